/*
 * runs.h - runs: submitted, cancelled, retried, ended
 *
 * The decisions of the Runs service, and what the rest of the model says to a run.
 *
 * Conventions of every decision in this folder:
 * - `reply` points to a message pointer that is NULL before; what is put there is a heap copy, the
 *   asker's (message_free). It may be set even though the ask fails later (a full disk): free it
 *   on every path, with cleanup(message_freep).
 * - Strings and messages in a request are the asker's and need to live until the answer.
 * - A repeated request_id gets the answer of the first time and changes nothing.
 * - A run, a job, an agent that is not there is E0204 and named in the text.
 */
#ifndef MODEL_RUNS_H
#define MODEL_RUNS_H

#include "controller/model/caller.h"
#include "controller/model/world.h"

/*
 * Submit. *pipeline is what spec_expand() made of request->file, as a heap message (message_copy);
 * on success it is taken and *pipeline is NULL.
 *
 * Decided here: a source must be an artifact that was put (E0208); an input `{artifact, version}`
 * is resolved to a digest now, for good (E0208 names what exists); a job that no enabled agent
 * could ever hold, however long it waited, is refused with the nearest agent's numbers (E0510),
 * unless no agent is enrolled at all, which is a note. Environments that do not exist yet are
 * created when the caller is an admin.
 */
struct submit {
	const struct caller *caller;
	const Sluice__V1__SubmitRequest *request;
	Sluice__V1__Pipeline **pipeline;
};
decide_fn runs_submit; /* reply: Sluice__V1__SubmitReply ** */

/* A new run of a closed run's file, source and parameters. Jobs that succeeded are taken over with
 * their outputs (reused_from), unless what they made was collected since. An open run:
 * ERR_CONFLICT. */
struct run_retry {
	const struct caller *caller;
	const Sluice__V1__RetryRunRequest *request;
};
decide_fn runs_retry; /* reply: Sluice__V1__SubmitReply ** */

/* Jobs that wait end at once, attempts are told to stop and the run ends with the last of them.
 * A run that has ended: ERR_CONFLICT that says how. Urgent (engine_ask_urgent). */
struct run_cancellation {
	const struct caller *caller;
	const Sluice__V1__CancelRunRequest *request;
};
decide_fn runs_cancel; /* reply: Sluice__V1__Run ** */

/* An open run with its jobs, waits and verdicts. req: const char *, a number ("318", "#318") or an
 * id. ERR_NOT_FOUND (E0204) when it is not open: the handler then reads the store. "" (the newest)
 * is for the handler to resolve. */
decide_fn runs_detail; /* reply: Sluice__V1__RunDetail ** */

/* ---- for the rest of the model ---- */

/*
 * The VERIFY run of a promotion: a job for each step, in `needs` order, placed on the environment's
 * hosts (on others by a step's own `agents:`) and given the release, the environment and its
 * endpoints. Takes the steps (heap messages), not the array. n > 0. p->verify is not set here. Its
 * end calls delivery_run_finished().
 */
struct run *run_create_verify(struct world *w, struct promotion *p, Sluice__V1__JobSpec **steps,
			      size_t n);
/* Ends what waits, stops what runs. Harmless when the run is being cancelled already. */
void run_cancel(struct world *w, struct run *run, const struct caller *by, const char *reason);
/* One of its jobs reached a terminal state: counts it, and ends the run with the last one. */
void run_job_finished(struct world *w, struct run *run, const struct job *job);
/* 1 and a heap copy of the row of a run, open or closed, by number or id; 0; -1. */
int run_fetch(struct world *w, const char *text, Sluice__V1__Run **ret, struct error *err);

#endif
