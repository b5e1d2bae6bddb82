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

/* How often a lost job is run again when the file says nothing of `retry`. */
enum { JOB_LOST_RERUNS = 2 };

/* Do the `needs` of each job name others of the run that come before it? E0603. */
int jobs_link_check(const struct run *run, struct error *err);
/* Links each job of a run to its dependents and counts what it waits for; at creation and at load.
 */
void jobs_link(struct run *run);
/* After creation and jobs_link(): queues those that wait for nothing. */
void jobs_begin(struct world *w, struct run *run);
/* After load: back into its queue or its back-off. E0603 when its state and its attempt disagree.
 */
int job_resume(struct world *w, struct job *job, struct error *err);

/* QUEUED -> ACTIVE, with this attempt. */
void job_offered(struct world *w, struct job *job, const struct attempt *a);
/* An offer came to nothing (withdrawn, declined): queued again, in its old place. */
void job_offer_ended(struct world *w, struct job *job);
/* Its attempt is terminal and no longer its attempt. Decides: success (outputs and metrics are in
 * the row; gates, publication, release), another attempt, or the end. `exit` is copied. */
void job_attempt_ended(struct world *w, struct job *job, const Sluice__V1__Exit *exit);
/* What waits ends now; what has an attempt is asked to stop. Done already: nothing. The run's
 * `cancelling` is set before. */
void job_cancel(struct world *w, struct job *job, const char *reason);
/* An attempt that ends by this cause now: how many are counted, of how many. */
uint32_t job_retry_limit(const struct job *job, Sluice__V1__ExitReason reason);

bool job_is_done(const struct job *job);
const char *job_state_name(Sluice__V1__JobState state);	     /* "queued" */
const char *exit_reason_name(Sluice__V1__ExitReason reason); /* "out_of_memory" */
/* "exit 137", "signal 9", "the agent was lost": part of a sentence. ret has 128 bytes and is
 * returned. */
char *exit_format(const Sluice__V1__Exit *exit, char *ret);

#endif
