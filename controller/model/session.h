/*
 * session.h - the end of a session, for those who end it
 */
#ifndef MODEL_SESSION_H
#define MODEL_SESSION_H

#include "controller/model/world.h"

/* The agent is not connected from now on; its offers are withdrawn. Not connected: nothing. */
void agent_disconnect(struct world *w, struct agent *agent, const char *reason);

#endif
