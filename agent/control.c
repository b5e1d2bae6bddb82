/*
 * The control thread: all that waits is journalled with one write, then said to the controller in
 * one batch.
 *
 * STARTED is synced before anything is run (runner.c), and ACCEPTED, which comes before it in the
 * same file, with it. Neither ACCEPTED nor EXITED is synced by itself: they must survive this
 * process, which the page cache does, not the host, whose reboot is a proof of death for all its
 * attempts anyway.
 *
 * Offers may come ahead of a free slot. They are journalled and wait; Accept is said when the job
 * before has ended, behind its Finish. So the slot is filled again after one round trip.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/work_private.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "proto/message.h"

enum {
	BATCH = 256,
	BATCH_BYTES = 128 << 10, /* of one Finish, but for one attempt that has more */
};

struct batch {
	uint64_t accepted[BATCH];
	size_t n_accepted;
	Sluice__V1__FinishedAttempt *finished[BATCH];
	size_t n_finished, finished_bytes;
	Sluice__V1__Decline declines[BATCH];
	size_t n_declines;
};

/* ---- saying it ---- */

static void post(struct work *w, Sluice__V1__AgentMessage **m, size_t n)
{
	struct error err = { 0 };

	/* What is lost here is derived again at the next Register. */
	if (n && session_post_all(w->session, m, n, &err) < 0)
		log_debug("not said: %s", err.text);
}

static void say_declines(struct work *w, struct batch *b)
{
	Sluice__V1__AgentMessage m[SESSION_BATCH], *all[SESSION_BATCH];
	size_t n = 0;

	for (size_t i = 0; i < b->n_declines; i++) {
		sluice__v1__agent_message__init(&m[n]);
		m[n].body_case = SLUICE__V1__AGENT_MESSAGE__BODY_DECLINE;
		m[n].decline = &b->declines[i];
		all[n] = &m[n];
		if (++n == SESSION_BATCH || i + 1 == b->n_declines) {
			post(w, all, n);
			n = 0;
		}
	}
	for (size_t i = 0; i < b->n_declines; i++)
		free(b->declines[i].reason);
	b->n_declines = 0;
}

/* Finish first: it frees the slots that Accept takes. */
static void say(struct work *w, struct batch *b)
{
	Sluice__V1__AgentMessage m[2] = { SLUICE__V1__AGENT_MESSAGE__INIT,
					  SLUICE__V1__AGENT_MESSAGE__INIT };
	Sluice__V1__AgentMessage *all[2];
	Sluice__V1__Finish finish = SLUICE__V1__FINISH__INIT;
	Sluice__V1__Accept accept = SLUICE__V1__ACCEPT__INIT;
	size_t n = 0;

	if (b->n_finished) {
		finish.attempts = b->finished;
		finish.n_attempts = b->n_finished;
		m[n].body_case = SLUICE__V1__AGENT_MESSAGE__BODY_FINISH;
		m[n].finish = &finish;
		all[n] = &m[n];
		n++;
	}
	if (b->n_accepted) {
		accept.fences = b->accepted;
		accept.n_fences = b->n_accepted;
		m[n].body_case = SLUICE__V1__AGENT_MESSAGE__BODY_ACCEPT;
		m[n].accept = &accept;
		all[n] = &m[n];
		n++;
	}
	post(w, all, n);
	say_declines(w, b);
	for (size_t i = 0; i < b->n_finished; i++)
		message_free(b->finished[i]);
	b->n_accepted = b->n_finished = b->finished_bytes = 0;
}

/* ---- offers ---- */

/* Only from NONE, above every fence and epoch seen: the journal says no to anything else, and an
 * offer that is refused for that is an old one, which nobody waits for. */
static void decline(struct batch *b, uint64_t fence, const struct error *why)
{
	Sluice__V1__Decline *d = &b->declines[b->n_declines++];

	sluice__v1__decline__init(d);
	d->fence = fence;
	d->reason = xstrdup(why->text);
}

/* What is taken belongs to its attempt from then on. */
static void take_one(struct work *w, Sluice__V1__Assignment **offered, struct batch *b)
{
	struct error err = { 0 };

	if (!(*offered)->spec)
		error_set(&err, ERR_INVALID, "the offer says nothing of its job");
	else if (journal_accept(w->config.journal, *offered, &err) == 0) {
		LOCKED(&w->lock);
		struct attempt *a = attempt_add(w, steal(*offered));

		a->waits = true;
		list_append(&w->waiting, &a->ready);
		return;
	}
	log_debug("offer %" PRIu64 " not taken: %s", (*offered)->fence, err.text);
	if (err.code != ERR_CONFLICT)
		decline(b, (*offered)->fence, &err);
}

/* Is there one that waits, and a slot for it? */
static bool may_accept(const struct work *w)
{
	return !list_empty(&w->waiting) && w->occupied < w->config.slots;
}

static void accept_waiting(struct work *w, struct batch *b)
{
	LOCKED(&w->lock);

	while (may_accept(w) && b->n_accepted + b->n_declines < BATCH) {
		struct attempt *a = list_first(&w->waiting, struct attempt, ready);

		list_remove(&a->ready);
		a->waits = false;
		attempt_occupy(a);
		b->accepted[b->n_accepted++] = a->fence;
	}
}

/* Nothing was promised yet, and without a journal nothing can be. */
static void take_back(struct work *w, struct batch *b, const struct error *why)
{
	LOCKED(&w->lock);

	for (size_t i = 0; i < b->n_accepted; i++) {
		struct attempt *a = attempt_find(w, b->accepted[i]);

		if (!a)
			continue;
		a->gone = true;
		attempt_todo(a, TODO_FORGET);
	}
	while (b->n_accepted) /* they and what was declined before are no more than a batch */
		decline(b, b->accepted[--b->n_accepted], why);
}

/* Written, then said. An end that could not be written is said all the same: after a crash what its
 * shim left is collected again. */
static void settle(struct work *w, struct batch *b)
{
	struct error err = { 0 };

	if (journal_flush(w->config.journal, &err) < 0) {
		log_error("%s", err.text);
		take_back(w, b, &err);
	}
	say(w, b);
}

static void take_offers(struct work *w, struct list *offers, struct batch *b)
{
	struct offered *o, *next;

	list_each_safe(o, next, offers, link) {
		struct error err = { 0 };
		bool current = journal_epoch(w->config.journal, o->epoch, &err) == 0;

		if (!current)
			log_warn("offer not taken: %s", err.text);
		for (size_t i = 0; current && i < o->offer->n_assignments; i++) {
			if (b->n_declines == BATCH)
				settle(w, b);
			take_one(w, &o->offer->assignments[i], b);
		}
		list_remove(&o->link);
		message_free(o->offer);
		free(o);
	}
}

/* ---- ends ---- */

static void shipped(void *arg, bool refused)
{
	struct attempt *a = arg;
	LOCKED(&a->work->lock);

	if (refused)
		log_debug("the log of %" PRIu64 " was refused", a->fence);
	a->given_up = refused;
	attempt_todo(a, TODO_FINISH);
}

static void drained(void *arg, uint64_t length)
{
	struct attempt *a = arg;
	struct error err = { 0 };
	LOCKED(&a->work->lock);

	if (a->runner && a->runner->slot && a->stage == STAGE_RUNNING &&
	    slot_watch(a->runner->slot, a->fence, length, &err) < 0)
		log_debug("watching %" PRIu64 ": %s", a->fence, err.text);
}

struct ship_log *attempt_log(struct attempt *a)
{
	struct ship_events events = { .drained = drained, .shipped = shipped, .arg = a };
	char name[24];
	struct ship_what what = { .fence = a->fence, .name = name, .resumed = a->resumed };

	snprintf(name, sizeof name, "%" PRIu64, a->fence);
	return ship_log_open(a->work->config.ship, &what, &events);
}

/* Journalled; now the output must become durable, if there is any. */
static void exited(struct work *w, struct attempt *a)
{
	struct error err = { 0 };
	uint64_t end[SPOOL_STREAMS] = { 0 };
	uint64_t all = 0;

	a->stage = STAGE_SHIPPING;
	lock_drop(&w->lock); /* a disk may be slow; only this thread frees it, no runner has it */
	if (FAULT_POINT("exited.before-journal") ||
	    journal_exited(w->config.journal, a->finished, &err) < 0)
		/* After a crash what its shim left is collected again. */
		log_warn("attempt %" PRIu64 ": %s", a->fence, err.text);
	lock_take(&w->lock);
	for (size_t i = 0; i < MIN(a->finished->n_log_end, (size_t)SPOOL_STREAMS); i++)
		all += end[i] = a->finished->log_end[i];
	if (!all) {
		attempt_todo(a, TODO_FINISH);
		return;
	}
	if (!a->log)
		a->log = attempt_log(a);
	lock_drop(&w->lock); /* shipped() takes it */
	ship_log_end(a->log, end);
	lock_take(&w->lock);
}

static void forget(struct work *w, struct attempt *a)
{
	struct ship_log *log = steal(a->log);
	struct error err = { 0 };
	char name[24];

	a->gone = true; /* nobody begins anything with it while the lock is away */
	list_remove(&a->ready);
	lock_drop(&w->lock);
	ship_log_close(log);
	snprintf(name, sizeof name, "%" PRIu64, a->fence);
	if (supervise_release(w->config.supervise, name, &err) < 0 ||
	    journal_forget(w->config.journal, a->fence, &err) < 0)
		log_warn("attempt %" PRIu64 ": %s", a->fence, err.text);
	lock_take(&w->lock);
	sweep_later(w, a->fence);
	attempt_free(a);
	signal_all(&w->idle);
}

/* The controller has less than Finish said. What the spool no longer gives is not to be had: then
 * the log ends where the controller's does. */
static void again(struct work *w, struct attempt *a)
{
	uint64_t durable[SPOOL_STREAMS];
	bool given_up = !a->log || a->given_up;

	memcpy(durable, a->durable, sizeof durable);
	for (size_t i = 0; given_up && i < MIN(a->finished->n_log_end, (size_t)SPOOL_STREAMS); i++)
		a->finished->log_end[i] = MIN(a->finished->log_end[i], durable[i]);
	if (given_up) {
		attempt_todo(a, TODO_FINISH);
		return;
	}
	lock_drop(&w->lock); /* shipped() takes it */
	ship_log_rewind(a->log, durable);
	lock_take(&w->lock);
}

/* A batch that is larger than the controller takes would end each session that it is said in. */
static bool has_room(const struct batch *b, const struct attempt *a)
{
	if (!b->n_finished || !(a->todo & (TODO_EXITED | TODO_FINISH)) || !a->finished)
		return true;
	return b->n_finished < BATCH &&
	       b->finished_bytes + protobuf_c_message_get_packed_size(&a->finished->base) <=
		       BATCH_BYTES;
}

/* With the lock held, which is dropped where something waits. Only this thread frees attempts. */
static void take_todos_locked(struct work *w, struct batch *b)
{
	struct attempt *a;

	while ((a = list_first(&w->todo_list, struct attempt, todo_link)) && has_room(b, a)) {
		unsigned todo = a->todo;

		a->todo = 0;
		list_remove(&a->todo_link);
		if (a->held)
			continue; /* a runner has it, and will say what is to be done */
		if (todo & TODO_FORGET || (a->gone && todo & TODO_FINISH)) {
			forget(w, a);
			continue;
		}
		if (todo & TODO_EXITED)
			exited(w, a);
		if (todo & TODO_REWIND)
			again(w, a);
		if (todo & TODO_FINISH && a->finished) {
			a->stage = STAGE_FINISHING;
			b->finished[b->n_finished++] = message_copy(a->finished);
			b->finished_bytes += protobuf_c_message_get_packed_size(&a->finished->base);
		}
	}
}

/* ---- the thread ---- */

/* Moves all of one list to another. */
static void list_take(struct list *from, struct list *to)
{
	struct list *l;

	list_init(to);
	while ((l = from->next) != from) {
		list_remove(l);
		list_append(to, l);
	}
}

void *control_main(void *arg)
{
	struct work *w = arg;
	struct batch *b = xcalloc(1, sizeof *b);

	lock_take(&w->lock);
	while (!w->stopping) {
		struct list offers;

		if (list_empty(&w->offers) && list_empty(&w->todo_list) && !may_accept(w)) {
			signal_wait(&w->control, &w->lock);
			continue;
		}
		list_take(&w->offers, &offers);
		take_todos_locked(w, b);
		lock_drop(&w->lock);
		take_offers(w, &offers, b);
		accept_waiting(w, b);
		settle(w, b);
		lock_take(&w->lock);
	}
	lock_drop(&w->lock);
	free(b);
	return NULL;
}
