/*
 * The table of attempts: what they are taken from at start, what becomes of them, and the threads
 * that serve them.
 */
#include "agent/work.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/work_private.h"
#include "base/clock.h"
#include "base/log.h"
#include "proto/message.h"

/* ---- attempts ---- */

int64_t lease_kill_budget(int64_t lease_ms)
{
	return MIN((int64_t)15000, lease_ms / 4);
}

int64_t lease_renewal(int64_t lease_ms)
{
	return MIN((int64_t)10000, lease_ms / 6);
}

struct attempt *attempt_find(struct work *w, uint64_t fence)
{
	struct attempt *a;

	HASH_FIND(hh, w->attempts, &fence, sizeof fence, a);
	return a;
}

struct attempt *attempt_add(struct work *w, Sluice__V1__Assignment *assignment)
{
	struct attempt *a = xcalloc(1, sizeof *a);

	a->work = w;
	a->fence = assignment->fence;
	a->assignment = assignment;
	a->lease_ms = assignment->lease_ms;
	list_init(&a->ready);
	list_init(&a->todo_link);
	HASH_ADD(hh, w->attempts, fence, sizeof a->fence, a);
	return a;
}

void attempt_occupy(struct attempt *a)
{
	if (!a->occupies)
		a->work->occupied++;
	a->occupies = true;
}

static void attempt_vacate(struct attempt *a)
{
	if (a->occupies)
		a->work->occupied--;
	a->occupies = false;
	if (!list_empty(&a->work->waiting))
		signal_one(&a->work->control);
}

void attempt_free(struct attempt *a)
{
	attempt_vacate(a);
	HASH_DEL(a->work->attempts, a);
	list_remove(&a->ready);
	list_remove(&a->todo_link);
	message_free(a->assignment);
	message_free(a->finished);
	live_free(a->live);
	free(a->stop_reason);
	free(a);
}

void attempt_todo(struct attempt *a, enum todo what)
{
	if (what & (TODO_EXITED | TODO_FORGET))
		attempt_vacate(a);
	a->todo |= what;
	if (!list_linked(&a->todo_link))
		list_append(&a->work->todo_list, &a->todo_link);
	signal_one(&a->work->control);
}

void attempt_ready(struct attempt *a)
{
	if (a->stage != STAGE_ACCEPTED || a->waits)
		return;
	attempt_occupy(a);
	a->stage = STAGE_READY;
	list_append(&a->work->ready_list, &a->ready);
	signal_one(&a->work->ready);
}

static enum shim_reason shim_reason_of(Sluice__V1__ExitReason as)
{
	return as == SLUICE__V1__EXIT_REASON__EXIT_PREEMPTED ? SHIM_PREEMPTED : SHIM_CANCELLED;
}

/* A runner that has it hears from its slot, or sees `stop` before it starts anything. */
void attempt_stop(struct attempt *a, Sluice__V1__ExitReason as, const char *reason,
		  int64_t grace_ms)
{
	struct error err = { 0 };

	if (!a->stop) {
		a->stop = true;
		a->stop_as = as ? as : SLUICE__V1__EXIT_REASON__EXIT_CANCELLED;
		a->stop_reason = xstrdup(reason);
		a->stop_grace_ms = grace_ms > 0			   ? grace_ms
				   : a->assignment->spec->grace_ms ? a->assignment->spec->grace_ms
								   : DEFAULT_GRACE_MS;
	}
	if (!a->runner || !a->runner->slot || a->stage != STAGE_RUNNING)
		return;
	if (slot_signal(a->runner->slot, a->fence, shim_reason_of(a->stop_as), a->stop_grace_ms,
			&err) == 0) {
		a->told = true;
		return;
	}
	log_debug("stopping %" PRIu64 ": %s", a->fence, err.text);
	runner_wake(a->runner); /* which says it again */
}

Sluice__V1__FinishedAttempt *attempt_unrun(const struct attempt *a, Sluice__V1__ExitReason reason,
					   const char *text, uint64_t output)
{
	Sluice__V1__FinishedAttempt *done = message_new(&sluice__v1__finished_attempt__descriptor);
	uint64_t ends[SPOOL_STREAMS] = { output };

	done->fence = a->fence;
	message_set_string(&done->run_id, a->assignment->run_id);
	done->exit = message_new(&sluice__v1__exit__descriptor);
	done->exit->reason = reason;
	message_set_string(&done->exit->text, text);
	done->exit->started_ms = done->exit->ended_ms = clock_wall_ms();
	done->n_log_end = SPOOL_STREAMS;
	done->log_end = xmemdup(ends, sizeof ends);
	return done;
}

/* ---- from the journal, and the threads ---- */

static void take_in(void *arg, Sluice__V1__JournalAttempt *row)
{
	struct work *w = arg;
	struct attempt *a;

	if (!row->assignment || !row->assignment->spec) {
		struct error err = { 0 };

		if (journal_forget(w->config.journal, row->fence, &err) < 0)
			log_warn("%s", err.text);
		message_free(row);
		return;
	}
	a = attempt_add(w, steal(row->assignment));
	a->resumed = row->state != SLUICE__V1__JOURNAL_ATTEMPT__STATE__ACCEPTED;
	if (row->state == SLUICE__V1__JOURNAL_ATTEMPT__STATE__EXITED && row->finished) {
		a->finished = steal(row->finished);
		a->stage = STAGE_SHIPPING;
		attempt_todo(a, TODO_EXITED);
	} else if (row->state != SLUICE__V1__JOURNAL_ATTEMPT__STATE__ACCEPTED) {
		a->lost = true; /* until work_found() says otherwise */
	}
	message_free(row);
}

struct work *work_new(const struct work_config *config)
{
	struct work *w = xcalloc(1, sizeof *w);

	lock_init(&w->lock);
	signal_init(&w->control);
	signal_init(&w->ready);
	signal_init(&w->beat);
	signal_init(&w->idle);
	signal_init(&w->sweep_wake);
	list_init(&w->ready_list);
	list_init(&w->todo_list);
	list_init(&w->offers);
	list_init(&w->waiting);
	list_init(&w->sweep);
	w->config = *config;
	w->n_runners = config->slots;
	w->runners = xcalloc(w->n_runners, sizeof *w->runners);
	journal_attempts(config->journal, take_in, w);
	return w;
}

static struct runner *runner_of(struct work *w, const char *slot)
{
	unsigned at;

	if (sscanf(slot, "slot-%u", &at) != 1 || at >= 4096)
		return NULL;
	if (at >= w->n_runners) {
		w->runners = xreallocarray(w->runners, at + 1, sizeof *w->runners);
		memset(w->runners + w->n_runners, 0, (at + 1 - w->n_runners) * sizeof *w->runners);
		w->n_runners = at + 1;
	}
	return &w->runners[at];
}

bool work_found(struct work *w, struct found *found)
{
	struct attempt *a = found->fence ? attempt_find(w, found->fence) : NULL;
	struct runner *r;

	if (!a)
		return false;
	if (a->finished) /* its output is still to be shipped */
		return found->state != FOUND_LIVE;
	a->attached = true;
	if (found->state == FOUND_DONE) {
		a->lost = false; /* a runner collects what it left */
		a->stage = STAGE_ACCEPTED;
		attempt_ready(a);
		return true;
	}
	if (found->state == FOUND_LOST) { /* what it said until then is worth keeping */
		a->lost = true;
		a->finished =
			attempt_unrun(a, SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST,
				      "its supervisor died, and the job with it", found->length);
		attempt_streams(a, a->finished->log_end);
		a->stage = STAGE_SHIPPING;
		attempt_todo(a, TODO_EXITED);
		return true;
	}
	r = found->state == FOUND_LIVE ? runner_of(w, slot_name(found->slot)) : NULL;
	if (!r || r->first)
		return false;
	a->lost = false;
	a->stage = STAGE_RUNNING;
	a->held = true;
	attempt_occupy(a);
	r->slot = steal(found->slot);
	r->first = a;
	return true;
}

void work_start(struct work *w, struct session *session)
{
	lock_take(&w->lock); /* the session may already be speaking of what was found */
	w->session = session;
	w->started = true;
	for (unsigned i = 0; i < w->n_runners; i++) {
		struct runner *r = &w->runners[i];

		r->work = w;
		r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		snprintf(r->name, sizeof r->name, "slot-%u", i);
		if (r->first)
			r->first->runner = r;
	}
	lock_drop(&w->lock);
	for (unsigned i = 0; i < w->n_runners; i++)
		w->runners[i].thread =
			thread_start(w->runners[i].name, 512 << 10, runner_main, &w->runners[i]);
	w->control_thread = thread_start("control", 256 << 10, control_main, w);
	w->heartbeat_thread = thread_start("heartbeat", 128 << 10, heartbeat_main, w);
	w->sweeper_thread = thread_start("sweeper", 128 << 10, sweeper_main, w);
}

static bool any_running(struct work *w)
{
	struct attempt *a, *next;

	HASH_ITER(hh, w->attempts, a, next)
		if (a->held || a->stage >= STAGE_READY)
			return true;
	return false;
}

void work_stop(struct work *w, bool stop, int64_t stop_ms)
{
	int64_t until = clock_boot_ms() + stop_ms;
	struct attempt *a, *next;

	if (!w->started)
		return;
	lock_take(&w->lock);
	if (stop) {
		HASH_ITER(hh, w->attempts, a, next)
			attempt_stop(a, SLUICE__V1__EXIT_REASON__EXIT_PREEMPTED,
				     "the agent was stopped", 0);
		while (any_running(w) && clock_boot_ms() < until)
			signal_wait_ms(&w->idle, &w->lock, until - clock_boot_ms());
	}
	w->stopping = true;
	signal_all(&w->control);
	signal_all(&w->ready);
	signal_all(&w->beat);
	signal_all(&w->sweep_wake);
	for (unsigned i = 0; i < w->n_runners; i++)
		runner_wake(&w->runners[i]);
	lock_drop(&w->lock);
	for (unsigned i = 0; i < w->n_runners; i++)
		thread_join(w->runners[i].thread);
	thread_join(w->control_thread);
	thread_join(w->heartbeat_thread);
	thread_join(w->sweeper_thread);
	w->started = false;
}

void work_free(struct work *w)
{
	struct attempt *a, *next;
	struct offered *o, *next_o;

	if (!w)
		return;
	HASH_ITER(hh, w->attempts, a, next) {
		ship_log_close(a->log);
		attempt_free(a);
	}
	list_each_safe(o, next_o, &w->offers, link) {
		message_free(o->offer);
		free(o);
	}
	for (unsigned i = 0; i < w->n_runners; i++) {
		slot_close(w->runners[i].slot);
		if (w->runners[i].work)
			closep(&w->runners[i].wake);
	}
	sweep_free(w);
	free(w->runners);
	signal_release(&w->control);
	signal_release(&w->ready);
	signal_release(&w->beat);
	signal_release(&w->idle);
	signal_release(&w->sweep_wake);
	lock_release(&w->lock);
	free(w);
}
