/*
 * jobs.h - jobs: from BLOCKED to an end
 *
 *	BLOCKED -> QUEUED -> ACTIVE -> SUCCEEDED | FAILED | CANCELLED
 *	   |         ^--------'  (attempt n+1)
 *	   '-> SKIPPED | CANCELLED
 *
 * A job counts what it still waits for (row.waiting); whoever succeeds counts its dependents
 * down, so that nothing is searched. Its inputs are resolved to digests as it leaves BLOCKED.
 * For the rest of the model; there is no decision here.
 */
#ifndef MODEL_JOBS_H
#define MODEL_JOBS_H

#include "controller/model/world.h"

/* Links each job of a run to its dependents; at creation and at load. Names in `needs` exist. */
void jobs_link(struct run *run);
/* After creation: queues those that wait for nothing, skips those that never can start. */
void jobs_begin(struct world *w, struct run *run);
/* After load: back into its queue, or its back-off, or its decision. */
void job_resume(struct world *w, struct job *job);

/* What ended an attempt, of a job whose current attempt it is. Decides: success (metrics, outputs,
 * gates, publication, release), another attempt, or the end. `exit` is copied. */
void job_attempt_ended(struct world *w, struct job *job, const Sluice__V1__Exit *exit);
/* An offer came to nothing (withdrawn, declined): queued again at once, with its old place in the
 * queue. */
void job_offer_ended(struct world *w, struct job *job);
/* A job without an attempt ends; one with an attempt is asked to stop. */
void job_cancel(struct world *w, struct job *job, const char *reason);

bool job_is_done(const struct job *job);
const char *job_state_name(Sluice__V1__JobState state);	     /* "queued" */
const char *exit_reason_name(Sluice__V1__ExitReason reason); /* "out_of_memory" */
/* "exit 137", "signal 9", "the agent was lost": part of a sentence. ret has 128 bytes and is
 * returned. */
char *exit_format(const Sluice__V1__Exit *exit, char *ret);

#endif
