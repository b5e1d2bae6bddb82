/*
 * finish.h - the end of attempts, as agents report it
 */
#ifndef MODEL_FINISH_H
#define MODEL_FINISH_H

#include "controller/model/attempts.h"

/* Finish A->C of PROTOCOL.md: each attempt is recorded, or named with what is missing, or answered
 * by Stop; a repeat gets the first answer. -1 when history could not be read; nothing is changed
 * then. */
int finish_message(struct world *w, struct agent *agent, const struct agent_message *m,
		   struct error *err);
/* A fence that is not open: what became of it here? Its row (heap), or NULL when it never was this
 * agent's. -1: could not be read. */
int attempt_closed(struct world *w, const struct agent *agent, uint64_t fence,
		   Sluice__V1__Attempt **ret, struct error *err);

#endif
