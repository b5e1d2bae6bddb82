/*
 * presence.h - what the audit log hears of agents that come and go
 *
 * The first coming and the first going are told at once; of each no second one within a minute, so
 * that an agent that flaps does not fill the log. When the minute is over, how it is then is told,
 * with how often it changed.
 */
#ifndef MODEL_PRESENCE_H
#define MODEL_PRESENCE_H

#include "controller/model/world.h"

enum { PRESENCE_MS = 60 * 1000 };

/* The agent has just connected (its row says so), or is gone. `how` follows its name in the event:
 * "connected, holding 2 attempts". */
void presence_changed(struct world *w, struct agent *agent, const char *how);

#endif
