/*
 * How an attempt ended: what its exit record says in the protocol's words, then what it left -
 * metrics, outputs, a report - and the agent's own words about that. On its runner's thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/live.h"
#include "agent/outputs.h"
#include "agent/work_private.h"
#include "base/clock.h"
#include "base/log.h"
#include "proto/message.h"

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
	/* A plain exit is said by its code or signal: words are for what these do not tell. */
	e = exit_new(reason_of(r),
		     r->reason == SHIM_EXITED || r->reason == SHIM_SIGNALLED ? "" : text);
	e->code = r->exit_code;
	e->signal = r->signal;
	e->started_ms = r->started_ms;
	e->ended_ms = r->ended_ms;
	e->cpu_us = (int64_t)(r->user_us + r->system_us);
	e->max_rss = r->max_rss_bytes;
	return e;
}

/* ---- what it left ---- */

static bool told_to_stop(void *arg)
{
	struct attempt *a = arg;
	LOCKED(&a->work->lock);

	return a->stop || a->work->stopping;
}

struct workspace_from attempt_workspace(struct attempt *a)
{
	struct workspace_from from = a->work->config.workspace;

	from.transfer.cancelled = told_to_stop;
	from.transfer.cancelled_arg = a;
	return from;
}

/* Why the outputs are not there. -1: only because this agent stops. */
static int judge(struct attempt *a, Sluice__V1__FinishedAttempt *done, const struct error *why)
{
	LOCKED(&a->work->lock);

	if (a->stop)
		done->exit->reason = a->stop_as;
	else if (a->work->stopping)
		return -1;
	else if (why->code == ERR_NOT_FOUND || why->code == ERR_INVALID)
		done->exit->reason = SLUICE__V1__EXIT_REASON__EXIT_OUTPUT_MISSING;
	else
		done->exit->reason = SLUICE__V1__EXIT_REASON__EXIT_INFRA;
	message_set_string(&done->exit->text, why->text);
	return 0;
}

/* Metrics as they are, then outputs if it succeeded. A job that says it succeeded but left no
 * output did not. */
static int collect(struct attempt *a, Sluice__V1__FinishedAttempt *done, const struct workspace *ws)
{
	const struct workspace_from from = attempt_workspace(a);
	bool succeeded = done->exit->reason == SLUICE__V1__EXIT_REASON__EXIT_OK;
	struct error err = { 0 };

	if (live_finish(a->live, done, &err) < 0) {
		live_say(a->live, err.text);
		if (succeeded) {
			done->exit->reason = SLUICE__V1__EXIT_REASON__EXIT_OUTPUT_MISSING;
			message_set_string(&done->exit->text, err.text);
		}
		return 0;
	}
	if (!succeeded || outputs_upload(&from.transfer, ws, a->assignment, done, &err) == 0)
		return 0;
	live_say(a->live, err.text);
	return judge(a, done, &err);
}

struct live *attempt_live(const struct attempt *a, const struct workspace *ws)
{
	const struct live_what what = {
		.fence = a->fence,
		.spool_dir = supervise_spool_dir(a->work->config.supervise),
		.workspace = ws,
		.metrics = a->assignment->spec->metrics,
	};

	return live_new(&what);
}

void attempt_streams(const struct attempt *a, uint64_t ends[SPOOL_STREAMS])
{
	char name[24];
	struct error ignored = { 0 };
	cleanup(spool_closep) struct spool *spool = NULL;

	if (!*a->assignment->spec->metrics)
		return; /* then nothing was said while it ran */
	snprintf(name, sizeof name, "%" PRIu64, a->fence);
	spool = spool_open(supervise_spool_dir(a->work->config.supervise), name, &ignored);
	for (int i = SPOOL_WORDS; spool && i < SPOOL_STREAMS; i++)
		ends[i] = spool_length(spool, (enum spool_stream)i);
}

/* The runner lets go of it. */
static void ending_say(struct attempt *a, Sluice__V1__FinishedAttempt *done)
{
	struct work *w = a->work;

	live_free(steal(a->live));
	LOCKED(&w->lock);

	message_free(a->finished);
	a->finished = done;
	a->stage = STAGE_SHIPPING;
	a->held = false;
	a->runner = NULL;
	attempt_todo(a, TODO_EXITED);
}

void ending_unstarted(struct attempt *a, const struct error *why)
{
	Sluice__V1__ExitReason reason = SLUICE__V1__EXIT_REASON__EXIT_INFRA;
	const char *text = why->text;

	if (why->code == ERR_EXHAUSTED && strstr(why->text, strerror(ENOSPC)))
		reason = SLUICE__V1__EXIT_REASON__EXIT_AGENT_DISK_FULL;
	lock_take(&a->work->lock);
	if (a->stop) {
		reason = a->stop_as;
		text = a->stop_reason;
	}
	lock_drop(&a->work->lock);
	ending_say(a, attempt_unrun(a, reason, text, 0));
}

void ending_record(struct attempt *a, const struct shim_record *record)
{
	const struct workspace_from from = attempt_workspace(a);
	cleanup(workspace_freep) struct workspace *ws = workspace_reopen(&from, a->assignment);
	Sluice__V1__FinishedAttempt *done =
		attempt_unrun(a, SLUICE__V1__EXIT_REASON__EXIT_INFRA, "", record->length);

	message_free(done->exit);
	done->exit = exit_of(record);
	if (!a->live)
		a->live = attempt_live(a, ws);
	if (collect(a, done, ws) < 0) {
		message_free(
			done); /* the agent stops; the next one finds the record and the outputs */
		return;
	}
	live_ends(a->live, done->log_end);
	ending_say(a, done);
}

void ending_lost(struct attempt *a, uint64_t output)
{
	Sluice__V1__FinishedAttempt *done =
		attempt_unrun(a, SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST,
			      "its supervisor died, and the job with it", output);

	attempt_streams(a, done->log_end);
	lock_take(&a->work->lock);
	a->lost = true;
	lock_drop(&a->work->lock);
	ending_say(a, done);
}
