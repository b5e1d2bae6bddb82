/*
 * A runner: one thread for each slot, which takes an attempt from READY to its end: workspace,
 * STARTED journalled, the shim told, events until it exits, outputs collected and uploaded. It may
 * block wherever it likes: renewals, offers and other slots have threads of their own.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/outputs.h"
#include "agent/work_private.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "proto/message.h"

enum { DEFAULT_GRACE_MS = 10000 };

/* ---- how it ended ---- */

static Sluice__V1__Exit *exit_new(Sluice__V1__ExitReason reason, const char *text)
{
	Sluice__V1__Exit *e = message_new(&sluice__v1__exit__descriptor);

	e->reason = reason;
	message_set_string(&e->text, text);
	e->started_ms = e->ended_ms = clock_wall_ms();
	return e;
}

static Sluice__V1__ExitReason reason_of(const struct shim_record *r)
{
	switch (r->reason) {
	case SHIM_EXITED:
		return r->exit_code == 0 ? SLUICE__V1__EXIT_REASON__EXIT_OK
					 : SLUICE__V1__EXIT_REASON__EXIT_CODE;
	case SHIM_SIGNALLED:
		return SLUICE__V1__EXIT_REASON__EXIT_SIGNAL;
	case SHIM_TIMEOUT:
		return SLUICE__V1__EXIT_REASON__EXIT_TIMEOUT;
	case SHIM_LEASE:
		return SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST;
	case SHIM_CANCELLED:
		return SLUICE__V1__EXIT_REASON__EXIT_CANCELLED;
	case SHIM_STOPPED:
	case SHIM_PREEMPTED:
		return SLUICE__V1__EXIT_REASON__EXIT_PREEMPTED;
	case SHIM_OUT_OF_MEMORY:
		return SLUICE__V1__EXIT_REASON__EXIT_OUT_OF_MEMORY;
	case SHIM_LOG_LIMIT:
		return SLUICE__V1__EXIT_REASON__EXIT_LOG_LIMIT;
	case SHIM_DISK_FULL:
		return SLUICE__V1__EXIT_REASON__EXIT_AGENT_DISK_FULL;
	default:
		return SLUICE__V1__EXIT_REASON__EXIT_INFRA;
	}
}

static Sluice__V1__Exit *exit_of(const struct shim_record *r)
{
	char text[256];
	Sluice__V1__Exit *e;

	spool_record_text(r, text, sizeof text);
	e = exit_new(reason_of(r), text);
	e->code = r->exit_code;
	e->signal = r->signal;
	e->started_ms = r->started_ms;
	e->ended_ms = r->ended_ms;
	e->cpu_us = (int64_t)(r->user_us + r->system_us);
	e->max_rss = r->max_rss_bytes;
	return e;
}

static bool told_to_stop(void *arg)
{
	struct attempt *a = arg;
	LOCKED(&a->work->lock);

	return a->stop || a->work->stopping;
}

/* ---- after its end ---- */

static struct workspace_from from_of(struct attempt *a)
{
	struct workspace_from from = a->work->config.workspace;

	from.transfer.cancelled = told_to_stop;
	from.transfer.cancelled_arg = a;
	return from;
}

/* Metrics as they are, then outputs if it succeeded. A job that says it succeeded but left no
 * output did not. */
static void collect(struct attempt *a, Sluice__V1__FinishedAttempt *done, struct buf *words,
		    struct buf *metrics)
{
	const struct workspace_from from = from_of(a);
	cleanup(workspace_freep) struct workspace *ws = workspace_reopen(&from, a->assignment);
	bool succeeded = done->exit->reason == SLUICE__V1__EXIT_REASON__EXIT_OK;
	struct error err = { 0 };

	if (outputs_metrics(ws, a->assignment, done, metrics, &err) < 0) {
		buf_printf(words, "%s\n", err.text);
		if (succeeded) {
			done->exit->reason = SLUICE__V1__EXIT_REASON__EXIT_OUTPUT_MISSING;
			message_set_string(&done->exit->text, err.text);
		}
		return;
	}
	if (!succeeded || outputs_upload(&from.transfer, ws, a->assignment, done, &err) == 0)
		return;
	buf_printf(words, "%s\n", err.text);
	done->exit->reason = told_to_stop(a) ? a->stop_as
			     : err.code == ERR_NOT_FOUND || err.code == ERR_INVALID
				     ? SLUICE__V1__EXIT_REASON__EXIT_OUTPUT_MISSING
				     : SLUICE__V1__EXIT_REASON__EXIT_INFRA;
	message_set_string(&done->exit->text, err.text);
}

/* The agent's words and the metrics go into streams 1 and 2, beside the output. */
static void keep_streams(struct attempt *a, const struct buf *words, const struct buf *metrics,
			 uint64_t ends[SPOOL_STREAMS])
{
	char name[24];
	struct error err = { 0 };
	cleanup(spool_closep) struct spool *spool = NULL;

	if (!words->len && !metrics->len)
		return;
	snprintf(name, sizeof name, "%" PRIu64, a->fence);
	spool = spool_open(supervise_spool_dir(a->work->config.supervise), name, &err);
	/* Collected again after a crash: what is there already stays. */
	if (!spool ||
	    (words->len && !spool_length(spool, SPOOL_WORDS) &&
	     spool_append(spool, SPOOL_WORDS, words->data, words->len, &err) < 0) ||
	    (metrics->len && !spool_length(spool, SPOOL_METRICS) &&
	     spool_append(spool, SPOOL_METRICS, metrics->data, metrics->len, &err) < 0))
		log_warn("attempt %" PRIu64 ": %s", a->fence, err.text);
	if (spool) {
		ends[SPOOL_WORDS] = spool_length(spool, SPOOL_WORDS);
		ends[SPOOL_METRICS] = spool_length(spool, SPOOL_METRICS);
	}
}

static void finish(struct attempt *a, Sluice__V1__FinishedAttempt *done)
{
	struct work *w = a->work;
	LOCKED(&w->lock);

	message_free(a->finished);
	a->finished = done;
	a->stage = STAGE_SHIPPING;
	a->held = false;
	a->runner = NULL;
	attempt_todo(a, a->gone ? TODO_FORGET : TODO_EXITED);
}

static Sluice__V1__FinishedAttempt *finished_new(struct attempt *a, Sluice__V1__Exit *e,
						 const uint64_t ends[SPOOL_STREAMS])
{
	Sluice__V1__FinishedAttempt *done = message_new(&sluice__v1__finished_attempt__descriptor);

	done->fence = a->fence;
	message_set_string(&done->run_id, a->assignment->run_id);
	done->exit = e;
	done->n_log_end = SPOOL_STREAMS;
	done->log_end = xmemdup(ends, SPOOL_STREAMS * sizeof *ends);
	return done;
}

/* It ended without ever having been started. */
static void finish_unstarted(struct attempt *a, const struct error *why)
{
	static const uint64_t none[SPOOL_STREAMS];
	Sluice__V1__ExitReason reason = SLUICE__V1__EXIT_REASON__EXIT_INFRA;
	const char *text = why->text;

	lock_take(&a->work->lock);
	if (a->stop) {
		reason = a->stop_as;
		text = a->stop_reason;
	}
	lock_drop(&a->work->lock);
	finish(a, finished_new(a, exit_new(reason, text), none));
}

static void finish_record(struct attempt *a, const struct shim_record *record)
{
	cleanup(buf_release) struct buf words = { 0 }, metrics = { 0 };
	uint64_t ends[SPOOL_STREAMS] = { record->length };
	Sluice__V1__FinishedAttempt *done = finished_new(a, exit_of(record), ends);

	collect(a, done, &words, &metrics);
	keep_streams(a, &words, &metrics, done->log_end);
	finish(a, done);
}

/* ---- while it runs ---- */

static void grown(struct attempt *a, uint64_t length)
{
	if (!a->log) {
		struct ship_log *log = attempt_log(a);

		lock_take(&a->work->lock);
		a->log = log;
		lock_drop(&a->work->lock);
	}
	ship_log_grown(a->log, length);
}

/* The shim is gone: a record may be there, else the job died with it. */
static void finish_gone(struct runner *r, struct attempt *a)
{
	char name[24];
	struct found found;
	struct error err = { 0 };

	snprintf(name, sizeof name, "%" PRIu64, a->fence);
	if (supervise_find(r->work->config.supervise, r->name, name, &found, &err) == 0 &&
	    found.state == FOUND_DONE) {
		finish_record(a, &found.record);
		return;
	}
	lock_take(&r->work->lock);
	a->lost = true;
	lock_drop(&r->work->lock);
	{
		uint64_t ends[SPOOL_STREAMS] = { found.state == FOUND_LOST ? found.length : 0 };

		finish(a, finished_new(a,
				       exit_new(SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST,
						"its supervisor died, and the job with it"),
				       ends));
	}
}

/* Until it has ended, or we are to stop and let it run on. */
static void follow(struct runner *r, struct attempt *a)
{
	struct error err = { 0 };
	struct slot_event event;

	for (;;) {
		int n = slot_wait(r->slot, -1, &event, &err);
		bool stopping;

		lock_take(&r->work->lock);
		stopping = r->work->stopping;
		lock_drop(&r->work->lock);
		if (stopping)
			return;
		if (n < 0) {
			log_error("slot '%s': %s", r->name, err.text);
			finish_gone(r, a);
			return;
		}
		if (n == 0 || (event.fence && event.fence != a->fence))
			continue;
		if (event.kind == SLOT_GROWN) {
			grown(a, event.length);
		} else if (event.kind == SLOT_EXITED) {
			finish_record(a, &event.record);
			return;
		} else if (event.kind == SLOT_GONE) {
			finish_gone(r, a);
			return;
		}
	}
}

/* ---- starting it ---- */

/* May it still be started? The lease must have a while to run. */
static int may_start(struct attempt *a, struct error *err)
{
	LOCKED(&a->work->lock);
	int64_t left = a->lease_boot_ms - clock_boot_ms();

	if (a->stop)
		return error_set(err, ERR_CANCELLED, "%s", a->stop_reason);
	if (a->work->stopping)
		return error_set(err, ERR_CANCELLED, "the agent is stopping");
	if (left <= lease_kill_budget(a->lease_ms))
		return error_set(err, ERR_TIMEOUT, "the lease ran out while its inputs came");
	return 0;
}

static int start(struct runner *r, struct attempt *a, const struct workspace *ws, struct error *err)
{
	struct work *w = r->work;
	const Sluice__V1__JobSpec *job = a->assignment->spec;
	struct supervise_spec spec = {
		.fence = a->fence,
		.command = job->run,
		.env = (const char *const *)ws->env,
		.dir = ws->dir,
		.uid = w->config.workspace.uid,
		.gid = w->config.workspace.gid,
		.no_new_privs = true,
		.kill_budget_ms = lease_kill_budget(a->lease_ms),
		.timeout_ms = job->timeout_ms,
		.grace_ms = job->grace_ms ? job->grace_ms : DEFAULT_GRACE_MS,
		.memory_max = job->resources ? job->resources->memory : 0,
	};

	if (!r->slot && !(r->slot = slot_open(w->config.supervise, r->name, err)))
		return -1;
	if (may_start(a, err) < 0)
		return -1;
	if (journal_started(w->config.journal, a->fence, r->name, err) < 0 ||
	    journal_sync(w->config.journal, err) < 0)
		return -1;
	if (FAULT_POINT("started.before-run"))
		return error_set(err, ERR_INTERNAL, "fault");
	LOCKED(&w->lock);
	spec.deadline_boot_ms = a->lease_boot_ms;
	if (slot_run(r->slot, &spec, err) < 0)
		return -1;
	a->stage = STAGE_RUNNING;
	if (a->stop) /* it came in between */
		attempt_stop(a, a->stop_as, a->stop_reason, a->stop_grace_ms);
	return slot_watch(r->slot, a->fence, 0, err);
}

static void run(struct runner *r, struct attempt *a)
{
	const struct workspace_from from = from_of(a);
	struct error err = { 0 };
	cleanup(workspace_freep) struct workspace *ws = workspace_new(&from, a->assignment, &err);

	if (!ws || start(r, a, ws, &err) < 0) {
		bool stopping;

		lock_take(&r->work->lock);
		stopping = r->work->stopping && a->stage != STAGE_RUNNING;
		lock_drop(&r->work->lock);
		if (!stopping) /* else it stays ACCEPTED or STARTED in the journal */
			finish_unstarted(a, &err);
		return;
	}
	follow(r, a);
}

/* It had ended when we came: only its record is left. */
static void collect_found(struct runner *r, struct attempt *a)
{
	char name[24];
	struct shim_record record;
	struct error err = { 0 };

	snprintf(name, sizeof name, "%" PRIu64, a->fence);
	if (spool_record(supervise_spool_dir(r->work->config.supervise), name, &record, &err) > 0)
		finish_record(a, &record);
	else
		finish_gone(r, a);
}

static void attached(struct runner *r, struct attempt *a)
{
	struct error err = { 0 };

	lock_take(&r->work->lock);
	if (a->stop || a->gone)
		attempt_stop(a, a->stop_as, a->stop_reason ? a->stop_reason : "over",
			     a->stop_grace_ms);
	lock_drop(&r->work->lock);
	grown(a, slot_status(r->slot)->length);
	if (slot_watch(r->slot, a->fence, slot_status(r->slot)->length, &err) < 0)
		log_warn("slot '%s': %s", r->name, err.text);
	follow(r, a);
}

void *runner_main(void *arg)
{
	struct runner *r = arg;
	struct work *w = r->work;

	if (r->first) {
		attached(r, r->first);
		r->first = NULL;
	}
	lock_take(&w->lock);
	while (!w->stopping) {
		struct attempt *a = list_first(&w->ready_list, struct attempt, ready);

		if (!a) {
			signal_wait(&w->ready, &w->lock);
			continue;
		}
		list_remove(&a->ready);
		a->held = true;
		a->runner = r;
		lock_drop(&w->lock);
		if (a->attached)
			collect_found(r, a);
		else
			run(r, a);
		lock_take(&w->lock);
	}
	lock_drop(&w->lock);
	return NULL;
}
