/*
 * A runner: one thread for each slot, which takes an attempt from READY to its end: workspace,
 * STARTED journalled, the shim told, events until it exits; what it left is collected by ending.c.
 * It may block wherever it likes: renewals, offers and other slots have threads of their own.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/slot_clear.h"
#include "agent/work_private.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"

enum { FIND_AGAIN_MS = 2000, STOP_AGAIN_MS = 1000 };

/* ---- while it runs ---- */

/* Opened by the first byte. */
static struct ship_log *log_of(struct attempt *a)
{
	/* only its runner sets it while it has the attempt, so reading needs no lock */
	if (!a->log) {
		struct ship_log *log = attempt_log(a);

		lock_take(&a->work->lock);
		a->log = log;
		lock_drop(&a->work->lock);
	}
	return a->log;
}

static void grown(struct attempt *a, uint64_t length)
{
	ship_log_grown(log_of(a), length);
}

/* Its metrics, if it has any. */
static void look(struct attempt *a)
{
	uint64_t ends[SPOOL_STREAMS] = { 0 };

	if (!a->live || !live_look(a->live))
		return;
	live_ends(a->live, ends);
	ship_log_added(log_of(a), ends);
}

static bool stopping(struct work *w)
{
	LOCKED(&w->lock);
	return w->stopping;
}

void runner_wake(struct runner *r)
{
	uint64_t one = 1;

	if (r->work && write(r->wake, &one, sizeof one) < 0)
		log_debug("eventfd: full already");
}

/* Up to ms, or until somebody has something to say, its metrics included (`live`; NULL: none). */
static void runner_nap(struct runner *r, const struct live *live, int ms)
{
	int live_ms, metrics = live_fd(live, &live_ms);
	struct pollfd p[3] = { { .fd = r->wake, .events = POLLIN },
			       { .fd = r->slot ? slot_fd(r->slot) : -1, .events = POLLIN },
			       { .fd = metrics, .events = POLLIN } };
	uint64_t ignored;

	if (live_ms >= 0 && (ms < 0 || live_ms < ms))
		ms = live_ms;
	if (poll(p, 3, ms) > 0 && p[0].revents && read(r->wake, &ignored, sizeof ignored) < 0)
		log_debug("eventfd: already read");
}

static void slot_set(struct runner *r, struct slot *slot)
{
	struct slot *old;

	lock_take(&r->work->lock);
	old = r->slot;
	r->slot = slot;
	lock_drop(&r->work->lock);
	slot_close(old);
}

/* The shim is gone: a record may be there, else the job died with it. While something of it may
 * still run nothing is said: then its lease decides. */
static void finish_gone(struct runner *r, struct attempt *a)
{
	struct supervise *s = r->work->config.supervise;
	struct found found = { .state = FOUND_NOTHING };
	struct error err = { 0 };
	char name[24];

	slot_set(r, NULL); /* an idle shim leaves when we let go */
	snprintf(name, sizeof name, "%" PRIu64, a->fence);
	while (supervise_find(s, r->name, name, &found, &err) < 0) {
		log_warn("attempt %s: %s", name, err.text);
		if (err.code != ERR_TIMEOUT && err.code != ERR_EXHAUSTED)
			break; /* a damaged record: it ended, nobody knows how */
		error_clear(&err);
		runner_nap(r, NULL, FIND_AGAIN_MS);
		if (stopping(r->work))
			return;
	}
	if (found.state == FOUND_DONE) {
		ending_record(a, &found.record);
		return;
	}
	ending_lost(a, found.state == FOUND_LOST ? found.length : 0);
}

/* The run was refused: nothing was started. But for one that was started before, of which the
 * journal said nothing: what became of that counts. */
static void finish_refused(struct runner *r, struct attempt *a, const struct error *why)
{
	if (why->code == ERR_EXISTS) {
		finish_gone(r, a);
		return;
	}
	slot_set(r, NULL); /* begin anew with whatever is there */
	ending_unstarted(a, why);
}

/* The disk has no room for the exit record, and until it is written the run is not over. What we
 * have to give is the cache. */
static void make_room(struct runner *r, const struct attempt *a)
{
	struct blob_stats stats;
	struct error err = { 0 };

	log_error("the disk is full: the result of attempt %" PRIu64 " cannot be kept yet",
		  a->fence);
	if (blob_trim(r->work->config.workspace.cache, 0, &stats, &err) < 0)
		log_warn("emptying the cache: %s", err.text);
}

/* True: the event was the last of this run, which is finished by now. */
static bool follow_event(struct runner *r, struct attempt *a, const struct slot_event *event)
{
	if (event->fence && event->fence != a->fence)
		return false;
	switch (event->kind) {
	case SLOT_GROWN:
		grown(a, event->length);
		return false;
	case SLOT_EXITED:
		if (event->unwritten) {
			make_room(r, a);
			return false;
		}
		ending_record(a, &event->record);
		return true;
	case SLOT_REFUSED:
		if (event->run)
			finish_refused(r, a, &event->why);
		return event->run;
	case SLOT_GONE:
		finish_gone(r, a);
		return true;
	default:
		return false;
	}
}

/* A Stop that the shim did not take is said again. How long to wait for an event. */
static int stop_again(struct attempt *a)
{
	LOCKED(&a->work->lock);

	if (!a->stop || a->told)
		return -1;
	attempt_stop(a, a->stop_as, a->stop_reason, a->stop_grace_ms);
	return a->told ? -1 : STOP_AGAIN_MS;
}

/* Until it has ended, or we are to stop and let it run on. */
static void follow(struct runner *r, struct attempt *a)
{
	while (!stopping(r->work)) {
		struct error err = { 0 };
		struct slot_event event;
		int n = slot_next(r->slot, &event, &err);

		if (n < 0) {
			log_error("slot '%s': %s", r->name, err.text);
			finish_gone(r, a);
			return;
		}
		if (n == 0) {
			runner_nap(r, a->live, stop_again(a));
			look(a);
		} else if (follow_event(r, a, &event)) {
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

	if (a->stop || a->gone)
		return error_set(err, ERR_CANCELLED, "%s", a->stop ? a->stop_reason : "over");
	if (a->work->stopping)
		return error_set(err, ERR_CANCELLED, "the agent is stopping");
	if (left <= lease_kill_budget(a->lease_ms))
		return error_set(err, ERR_TIMEOUT, "the lease ran out while its inputs came");
	return 0;
}

/* A slot with a shim in it that has nothing to do. */
static int slot_ready(struct runner *r, struct error *err)
{
	if (!r->slot) {
		struct slot *slot = slot_open(r->work->config.supervise, r->name, err);

		if (!slot)
			return -1;
		if (slot_clear(slot, err) < 0) {
			slot_close(slot);
			return -1;
		}
		slot_set(r, slot);
	}
	if (slot_start(r->slot, err) == 0)
		return 0;
	slot_set(r, NULL);
	return -1;
}

/* With the lock held, so that a Stop or a renewal comes before or after. */
static int hand_over_locked(struct runner *r, struct attempt *a, struct supervise_spec *spec,
			    struct error *err)
{
	struct error ignored = { 0 };

	spec->deadline_boot_ms = a->lease_boot_ms;
	if (slot_run(r->slot, spec, err) < 0)
		return -1;
	a->stage = STAGE_RUNNING;
	if (a->stop) /* it came in between */
		attempt_stop(a, a->stop_as, a->stop_reason, a->stop_grace_ms);
	slot_watch(r->slot, a->fence, 0, &ignored); /* no: then SLOT_GONE is about to come */
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
		.uid = ws->uid,
		.gid = ws->gid,
		.no_new_privs = true,
		.kill_budget_ms = lease_kill_budget(a->lease_ms),
		.timeout_ms = job->timeout_ms,
		.grace_ms = job->grace_ms ? job->grace_ms : DEFAULT_GRACE_MS,
		.memory_max = job->resources ? job->resources->memory : 0,
	};

	if (slot_ready(r, err) < 0 || may_start(a, err) < 0)
		return -1;
	if (journal_started(w->config.journal, a->fence, r->name, err) < 0 ||
	    journal_sync(w->config.journal, err) < 0)
		return -1;
	if (FAULT_POINT("started.before-run"))
		return error_set(err, ERR_INTERNAL, "fault");
	LOCKED(&w->lock);
	return hand_over_locked(r, a, &spec, err);
}

/* The cache is the only thing on the disk that can be done without. */
static struct workspace *workspace_make(const struct workspace_from *from, struct attempt *a,
					struct error *err)
{
	struct workspace *ws = workspace_new(from, a->assignment, err);
	struct blob_stats stats;
	struct error ignored = { 0 };

	if (ws || err->code != ERR_EXHAUSTED || !strstr(err->text, strerror(ENOSPC)))
		return ws;
	log_warn("attempt %" PRIu64 ": %s; emptying the cache", a->fence, err->text);
	blob_trim(from->cache, 0, &stats, &ignored);
	error_clear(err);
	return workspace_new(from, a->assignment, err);
}

static void run(struct runner *r, struct attempt *a)
{
	const struct workspace_from from = attempt_workspace(a);
	struct error err = { 0 };
	cleanup(workspace_freep) struct workspace *ws = NULL;

	if (may_start(a, &err) == 0)
		ws = workspace_make(&from, a, &err);
	if (ws && *a->assignment->spec->metrics)
		a->live = attempt_live(a, ws);
	if (ws && start(r, a, ws, &err) == 0) {
		follow(r, a);
		return;
	}
	if (!stopping(r->work)) /* else it stays ACCEPTED in the journal, for the next agent */
		ending_unstarted(a, &err);
}

/* It had ended when we came: only its record is left. */
static void collect_found(struct runner *r, struct attempt *a)
{
	char name[24];
	struct shim_record record;
	struct error err = { 0 };

	snprintf(name, sizeof name, "%" PRIu64, a->fence);
	if (spool_record(supervise_spool_dir(r->work->config.supervise), name, &record, &err) > 0)
		ending_record(a, &record);
	else
		finish_gone(r, a);
}

static void attached(struct runner *r, struct attempt *a)
{
	const struct workspace_from from = attempt_workspace(a);
	cleanup(workspace_freep) struct workspace *ws = workspace_reopen(&from, a->assignment);
	struct error err = { 0 };

	if (*a->assignment->spec->metrics)
		a->live = attempt_live(a, ws);
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
