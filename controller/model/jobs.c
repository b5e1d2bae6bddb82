/*
 * The life of a job. States change through one table. A job that succeeds counts
 * its dependents down, one that ends otherwise skips them; the run is told last,
 * so that it ends in the outermost call. Only causes that the file names, and losses
 * as `on_lost` says, lead to another attempt.
 */
#include "controller/model/jobs.h"

#include <assert.h>
#include <string.h>

#include "controller/model/artifacts.h"
#include "controller/model/attempts.h"
#include "controller/model/delivery.h"
#include "controller/model/gates.h"
#include "controller/model/inputs.h"
#include "controller/model/place.h"
#include "controller/model/private.h"
#include "controller/model/runs.h"

#define STATE(name) SLUICE__V1__JOB_STATE__JOB_##name

static const unsigned char next_states[] = {
	/* bit set: this may follow */
	[STATE(BLOCKED)] = BIT(STATE(QUEUED)) | BIT(STATE(SKIPPED)) | BIT(STATE(CANCELLED)) |
			   BIT(STATE(FAILED)),
	[STATE(QUEUED)] = BIT(STATE(ACTIVE)) | BIT(STATE(CANCELLED)),
	[STATE(ACTIVE)] = BIT(STATE(QUEUED)) | BIT(STATE(SUCCEEDED)) | BIT(STATE(FAILED)) |
			  BIT(STATE(CANCELLED)),
	[STATE(SUCCEEDED)] = 0,
	[STATE(FAILED)] = 0,
	[STATE(CANCELLED)] = 0,
	[STATE(SKIPPED)] = 0,
};

static void count(struct world *w, const struct job *job, int by)
{
	if (job->row->state == STATE(QUEUED))
		w->jobs_queued += (uint32_t)by;
	else if (job->row->state == STATE(ACTIVE))
		w->jobs_active += (uint32_t)by;
}

static void set_state(struct world *w, struct job *job, Sluice__V1__JobState state)
{
	assert(next_states[job->row->state] & BIT(state));
	count(w, job, -1);
	job->row->state = state;
	count(w, job, 1);
	world_touch(w, &job->entity);
}

bool job_is_done(const struct job *job)
{
	return job->row->state >= STATE(SUCCEEDED);
}

/* ---- the graph ---- */

struct named_job {
	UT_hash_handle hh;
	struct job *job;
};

static struct named_job *names_new(const struct run *run, struct named_job **ret_all)
{
	struct named_job *by_name = NULL;
	struct named_job *all = xcalloc(run->n_jobs + 1, sizeof(*all));

	for (size_t i = 0; i < run->n_jobs; i++) {
		const char *name = run->jobs[i]->row->spec->name;

		all[i].job = run->jobs[i];
		HASH_ADD_KEYPTR(hh, by_name, name, strlen(name), &all[i]);
	}
	*ret_all = all;
	return by_name;
}

static struct job *names_find(struct named_job *by_name, const char *name)
{
	struct named_job *n;

	HASH_FIND(hh, by_name, name, strlen(name), n);
	return n ? n->job : NULL;
}

static int check_needs(struct named_job *by_name, const struct job *job, struct error *err)
{
	const Sluice__V1__JobSpec *spec = job->row->spec;

	for (size_t i = 0; i < spec->n_needs; i++) {
		const struct job *needed = names_find(by_name, spec->needs[i]);

		if (!needed || needed->row->index >= job->row->index)
			return error_id(err, "E0603",
					"job '%s' of run %u needs '%s', which is not before it",
					spec->name, job->row->run_number, spec->needs[i]);
	}
	return 0;
}

int jobs_link_check(const struct run *run, struct error *err)
{
	cleanup(freep) struct named_job *all = NULL;
	struct named_job *by_name = names_new(run, &all);
	int r = 0;

	for (size_t i = 0; r == 0 && i < run->n_jobs; i++)
		r = check_needs(by_name, run->jobs[i], err);
	HASH_CLEAR(hh, by_name);
	return r;
}

void jobs_link(struct run *run)
{
	cleanup(freep) struct named_job *all = NULL;
	struct named_job *by_name = names_new(run, &all);

	for (size_t i = 0; i < run->n_jobs; i++) {
		struct job *job = run->jobs[i];

		job->row->waiting = 0;
		for (size_t n = 0; n < job->row->spec->n_needs; n++) {
			struct job *needed = names_find(by_name, job->row->spec->needs[n]);

			assert(needed);
			needed->dependents =
				xreallocarray(needed->dependents, needed->n_dependents + 1,
					      sizeof(*needed->dependents));
			needed->dependents[needed->n_dependents++] = job;
			if (needed->row->state != STATE(SUCCEEDED))
				job->row->waiting++;
		}
	}
	HASH_CLEAR(hh, by_name);
}

/* ---- the end ---- */

static void finish(struct world *w, struct job *job, Sluice__V1__JobState state,
		   const char *reason);

static void skip_dependents(struct world *w, struct job *job)
{
	for (size_t i = 0; i < job->n_dependents; i++) {
		struct job *d = job->dependents[i];
		cleanup(freep) char *why = NULL;

		if (d->row->state != STATE(BLOCKED))
			continue;
		if (d->run->row->cancelling) {
			finish(w, d, STATE(CANCELLED), job->row->reason);
			continue;
		}
		why = xprintf("it needs '%s', which %s", job->row->spec->name,
			      job->row->state == STATE(SKIPPED) ? "was skipped" : "failed");
		finish(w, d, STATE(SKIPPED), why);
	}
}

static void ready(struct world *w, struct job *job);

static void release_dependents(struct world *w, struct job *job)
{
	for (size_t i = 0; i < job->n_dependents; i++) {
		struct job *d = job->dependents[i];

		assert(d->row->waiting > 0);
		if (--d->row->waiting == 0 && d->row->state == STATE(BLOCKED))
			ready(w, d);
	}
}

static void finish(struct world *w, struct job *job, Sluice__V1__JobState state, const char *reason)
{
	Sluice__V1__Event *e;

	set_state(w, job, state);
	message_set_string(&job->row->reason, reason);
	job->row->finished_ms = w->now.wall_ms;
	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_JOB_FINISHED, NULL, "%s of run %u %s%s%s",
			job->row->spec->name, job->row->run_number, job_state_name(state),
			*job->row->reason ? ": " : "", job->row->reason);
	event_of_job(e, job);
	if (state == STATE(SUCCEEDED))
		release_dependents(w, job);
	else
		skip_dependents(w, job);
	run_job_finished(w, job->run, job);
}

/* ---- queued ---- */

static void back_off_ended(struct world *w, struct timer *t)
{
	struct job *job = container_of(t, struct job, timer);

	job->row->not_before_ms = 0;
	world_touch(w, &job->entity);
	queue_add(w, job);
}

static void back_off(struct world *w, struct job *job, int64_t wait_ms)
{
	job->timer.fire = back_off_ended;
	timer_set_boot(&w->timers, &job->timer, w->now.boot_ms + wait_ms);
}

static void enqueue(struct world *w, struct job *job, int64_t wait_ms)
{
	set_state(w, job, STATE(QUEUED));
	job->row->queued_ms = w->now.wall_ms;
	job->row->not_before_ms = wait_ms > 0 ? w->now.wall_ms + wait_ms : 0;
	if (wait_ms > 0)
		back_off(w, job, wait_ms);
	else
		queue_add(w, job);
}

/* Out of BLOCKED: what it reads is known from now on. */
static void ready(struct world *w, struct job *job)
{
	cleanup(freep) char *missing = inputs_resolve(job);
	Sluice__V1__Event *e;

	if (missing) {
		finish(w, job, STATE(FAILED), missing);
		return;
	}
	enqueue(w, job, 0);
	if (!job->row->spec->n_needs)
		return;
	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_JOB_QUEUED, NULL, "%s of run %u can start",
			job->row->spec->name, job->row->run_number);
	event_of_job(e, job);
}

void jobs_begin(struct world *w, struct run *run)
{
	for (size_t i = 0; i < run->n_jobs; i++)
		if (run->jobs[i]->row->state == STATE(BLOCKED) && !run->jobs[i]->row->waiting)
			ready(w, run->jobs[i]);
}

int job_resume(struct world *w, struct job *job, struct error *err)
{
	int64_t left = job->row->not_before_ms - w->now.wall_ms;

	if ((job->row->state == STATE(ACTIVE)) != !!job->attempt)
		return error_id(err, "E0603", "job '%s' of run %u is %s and has %s attempt",
				job->row->spec->name, job->row->run_number,
				job_state_name(job->row->state), job->attempt ? "an" : "no");
	count(w, job, 1);
	if (job->row->state != STATE(QUEUED))
		return 0;
	if (job->row->spec->retry) /* the wall clock may have jumped */
		left = MIN(left, job->row->spec->retry->wait_ms);
	if (left > 0)
		back_off(w, job, left);
	else
		queue_add(w, job);
	return 0;
}

void job_offered(struct world *w, struct job *job, const struct attempt *a)
{
	queue_remove(w, job);
	set_state(w, job, STATE(ACTIVE));
	job->row->attempts = a->row->number;
	job->row->fence = a->row->fence;
	message_set_string(&job->row->agent_id, a->row->agent_id);
	message_set_string(&job->row->agent_name, a->row->agent_name);
}

void job_offer_ended(struct world *w, struct job *job)
{
	if (job->run->row->cancelling) {
		finish(w, job, STATE(CANCELLED), job->run->row->reason);
		return;
	}
	set_state(w, job, STATE(QUEUED));
	queue_add(w, job);
}

/* ---- after an attempt ---- */

static void fail(struct world *w, struct job *job, Sluice__V1__ExitReason as, const char *reason)
{
	job->row->exit->reason = as;
	message_set_string(&job->row->exit->text, reason);
	finish(w, job, STATE(FAILED), reason);
}

static void succeed(struct world *w, struct job *job)
{
	cleanup(message_freep) Sluice__V1__Verdict *verdict = NULL;
	cleanup(freep) char *why = NULL;
	struct error err = { 0 };

	artifacts_complete(w, job);
	if (job->row->spec->n_gates &&
	    gates_decide(w, job, &verdict) != SLUICE__V1__VERDICT_STATE__PASS) {
		why = gates_reason(verdict);
		fail(w, job, SLUICE__V1__EXIT_REASON__EXIT_GATE_FAILED, why);
		return;
	}
	if (delivery_job_succeeded(w, job, &err) < 0) {
		fail(w, job, SLUICE__V1__EXIT_REASON__EXIT_INFRA, err.text);
		return;
	}
	artifacts_publish(w, job);
	finish(w, job, STATE(SUCCEEDED), "");
}

static bool is_loss(Sluice__V1__ExitReason reason)
{
	return reason == SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST ||
	       reason == SLUICE__V1__EXIT_REASON__EXIT_HOST_LOST;
}

static bool is_named_cause(const Sluice__V1__Retry *retry, const Sluice__V1__Exit *exit)
{
	for (size_t i = 0; i < retry->n_causes; i++)
		if (retry->causes[i] == exit->reason)
			return true;
	for (size_t i = 0; i < retry->n_exit_codes; i++)
		if (exit->reason == SLUICE__V1__EXIT_REASON__EXIT_CODE &&
		    retry->exit_codes[i] == exit->code)
			return true;
	return false;
}

uint32_t job_retry_limit(const struct job *job, Sluice__V1__ExitReason reason)
{
	const Sluice__V1__Retry *retry = job->row->spec->retry;

	if (retry)
		return retry->max > 0 ? (uint32_t)retry->max : 0;
	return is_loss(reason) ? JOB_LOST_RERUNS : 0;
}

/* Is there another attempt after this exit, and does it count? */
static bool runs_again(const struct job *job, const Sluice__V1__Exit *exit, bool *ret_counts)
{
	const Sluice__V1__JobSpec *spec = job->row->spec;
	bool named = spec->retry && is_named_cause(spec->retry, exit);

	*ret_counts = true;
	if (exit->reason == SLUICE__V1__EXIT_REASON__EXIT_PREEMPTED && (named || !spec->retry)) {
		*ret_counts = false; /* its host was told to stop: that is nobody's failure */
		return true;
	}
	if (is_loss(exit->reason) ? spec->on_lost == SLUICE__V1__ON_LOST__ON_LOST_FAIL : !named)
		return false;
	return job->row->retries < job_retry_limit(job, exit->reason);
}

static void again(struct world *w, struct job *job, const Sluice__V1__Exit *exit, bool counts)
{
	char what[128], time[CLOCK_TEXT];
	int64_t wait_ms = 0;
	Sluice__V1__Event *e;

	if (counts) {
		job->row->retries++;
		if (job->row->spec->retry && !is_loss(exit->reason))
			wait_ms = job->row->spec->retry->wait_ms;
	}
	enqueue(w, job, wait_ms);
	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_JOB_RETRIED, NULL,
			"%s of run %u again%s%s after %s (%u of %u retries)", job->row->spec->name,
			job->row->run_number, wait_ms ? " in " : "",
			wait_ms ? duration_format(wait_ms, time) : "", exit_format(exit, what),
			job->row->retries, job_retry_limit(job, exit->reason));
	event_of_job(e, job);
}

static char *failure(const struct job *job, const Sluice__V1__Exit *exit)
{
	uint32_t limit = job_retry_limit(job, exit->reason);
	char what[128];

	exit_format(exit, what);
	if (is_loss(exit->reason) && job->row->spec->on_lost == SLUICE__V1__ON_LOST__ON_LOST_FAIL)
		return xprintf("%s on '%s', and on_lost is `fail`", what, job->row->agent_name);
	if (job->row->retries && limit)
		return xprintf("%s (attempt %u of %u)%s%s", what, job->row->retries + 1, limit + 1,
			       *exit->text ? ": " : "", exit->text);
	return xprintf("%s%s%s", what, *exit->text ? ": " : "", exit->text);
}

void job_attempt_ended(struct world *w, struct job *job, const Sluice__V1__Exit *exit)
{
	cleanup(freep) char *why = NULL;
	bool counts;

	assert(!job->attempt);
	message_free(job->row->exit);
	job->row->exit = message_copy(exit);
	if (job->run->row->cancelling) {
		finish(w, job, STATE(CANCELLED), job->run->row->reason);
	} else if (exit->reason == SLUICE__V1__EXIT_REASON__EXIT_OK) {
		succeed(w, job);
	} else if (runs_again(job, exit, &counts)) {
		again(w, job, exit, counts);
	} else {
		why = failure(job, exit);
		finish(w, job, STATE(FAILED), why);
	}
}

void job_cancel(struct world *w, struct job *job, const char *reason)
{
	assert(job->run->row->cancelling);
	if (job_is_done(job))
		return;
	if (job->attempt) {
		attempt_stop(w, job->attempt, SLUICE__V1__EXIT_REASON__EXIT_CANCELLED, reason);
		return;
	}
	queue_remove(w, job);
	timer_clear(&w->timers, &job->timer);
	finish(w, job, STATE(CANCELLED), reason);
}
