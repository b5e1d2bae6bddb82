/*
 * slot_clear.h - a slot in which nothing runs
 */
#ifndef AGENT_SLOT_CLEAR_H
#define AGENT_SLOT_CLEAR_H

#include "agent/supervise.h"

/* Ends what runs in a slot that its owner has just opened (later its status is stale): a run of an
 * earlier agent that nobody knows any more. Back when it is over. ERR_TIMEOUT: it does not end. */
int slot_clear(struct slot *slot, struct error *err);

#endif
