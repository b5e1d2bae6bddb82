/*
 * What the controller says about attempts. Everything here only marks what is to be done and
 * returns: the session's thread must never wait for a disk or a process.
 */
#include <inttypes.h>
#include <string.h>

#include "agent/work_private.h"
#include "base/clock.h"
#include "base/log.h"
#include "proto/message.h"

/* The controller wants no result of it. What it said is shipped all the same (an attempt that was
 * given up as lost has a log, too), and if nobody wants that either it is refused. */
static void attempt_drop(struct attempt *a)
{
	a->gone = true;
	if (a->waits)
		list_remove(&a->ready);
	a->waits = false;
	if (a->held)
		attempt_stop(a, SLUICE__V1__EXIT_REASON__EXIT_CANCELLED, "over", 0);
	else if (a->stage != STAGE_SHIPPING)
		attempt_todo(a, TODO_FORGET);
}

/* Not started, and it will not be. */
static void attempt_cancel(struct attempt *a)
{
	list_remove(&a->ready);
	a->finished = attempt_unrun(a, a->stop_as, a->stop_reason, 0);
	a->stage = STAGE_SHIPPING;
	attempt_todo(a, TODO_EXITED);
}

static void lease_granted(struct attempt *a, int64_t sent_boot_ms)
{
	struct error err = { 0 };

	if (sent_boot_ms < 0 || sent_boot_ms + a->lease_ms <= a->lease_boot_ms)
		return;
	a->lease_boot_ms = sent_boot_ms + a->lease_ms;
	if (a->work->renewed_boot_ms + lease_renewal(a->lease_ms) < a->work->beat_boot_ms)
		signal_one(&a->work->beat);
	if (a->runner && a->runner->slot && a->stage == STAGE_RUNNING &&
	    slot_deadline(a->runner->slot, a->fence, a->lease_boot_ms, &err) < 0)
		log_debug("renewing %" PRIu64 ": %s", a->fence, err.text);
}

static Sluice__V1__Held__State held_state(const struct attempt *a)
{
	if (a->lost)
		return SLUICE__V1__HELD__STATE__LOST;
	if (a->finished)
		return SLUICE__V1__HELD__STATE__EXITED;
	return a->stage == STAGE_RUNNING || a->attached ? SLUICE__V1__HELD__STATE__STARTED
							: SLUICE__V1__HELD__STATE__ACCEPTED;
}

void work_describe(struct work *w, Sluice__V1__Register *ret)
{
	struct attempt *a, *next;
	LOCKED(&w->lock);

	ret->journal_lost = journal_lost(w->config.journal);
	HASH_ITER(hh, w->attempts, a, next) {
		Sluice__V1__Held *held;

		if (a->gone || a->waits) /* what waits was not accepted: it is withdrawn, then */
			continue;
		held = message_new(&sluice__v1__held__descriptor);
		held->fence = a->fence;
		held->state = held_state(a);
		a->announced = true;
		message_append(ret, held, held);
	}
}

void work_registered(struct work *w, const Sluice__V1__Registered *m, int64_t sent_boot_ms)
{
	struct attempt *a, *next;
	LOCKED(&w->lock);

	/* Taken from an offer of the session before, and Register did not name it: withdrawn. */
	HASH_ITER(hh, w->attempts, a, next)
		if (!a->announced && a->stage == STAGE_ACCEPTED && !a->held)
			attempt_drop(a);
	for (size_t i = 0; i < m->n_held; i++) {
		a = attempt_find(w, m->held[i]->fence);
		if (!a || a->gone)
			continue;
		if (m->held[i]->verdict != SLUICE__V1__HELD_VERDICT__VERDICT__CONTINUE || a->lost) {
			attempt_drop(a);
			continue;
		}
		lease_granted(a, sent_boot_ms);
		if (a->stage == STAGE_ACCEPTED && a->lease_boot_ms)
			attempt_ready(a);
		else if (a->stage == STAGE_FINISHING)
			attempt_todo(a, TODO_FINISH); /* the last one may not have arrived */
	}
}

void work_offered(struct work *w, const Sluice__V1__Offer *m, uint64_t epoch)
{
	struct offered *o = xcalloc(1, sizeof *o);
	LOCKED(&w->lock);

	o->offer = message_copy(m);
	o->epoch = epoch;
	list_append(&w->offers, &o->link);
	signal_one(&w->control);
}

void work_accepted(struct work *w, const Sluice__V1__Accepted *m, int64_t sent_boot_ms)
{
	LOCKED(&w->lock);

	if (sent_boot_ms < 0)
		return; /* matches no open request: nobody can say when the lease began */
	for (size_t i = 0; i < m->n_fences; i++) {
		struct attempt *a = attempt_find(w, m->fences[i]);

		if (!a || a->gone)
			continue;
		lease_granted(a, sent_boot_ms);
		attempt_ready(a);
	}
}

void work_renewed(struct work *w, const Sluice__V1__RenewAck *m, int64_t sent_boot_ms)
{
	LOCKED(&w->lock);

	for (size_t i = 0; i < m->n_fences; i++) {
		struct attempt *a = attempt_find(w, m->fences[i]);

		if (a)
			lease_granted(a, sent_boot_ms);
	}
}

void work_told_to_stop(struct work *w, const Sluice__V1__Stop *m)
{
	LOCKED(&w->lock);

	for (size_t i = 0; i < m->n_fences; i++) {
		struct attempt *a = attempt_find(w, m->fences[i]);

		if (!a)
			continue;
		if (a->waits) { /* withdrawn: of what was never accepted nothing is said */
			attempt_drop(a);
			continue;
		}
		if (a->stage == STAGE_SHIPPING && !a->held)
			continue; /* it ended: Finish will say how, and hear if that is stale */
		if (a->stage == STAGE_FINISHING) {
			attempt_drop(a); /* what Finish said is known, or not wanted */
			continue;
		}
		attempt_stop(a, m->as, m->reason, m->grace_ms);
		if (!a->held && !a->attached)
			attempt_cancel(a);
	}
}

void work_acknowledged(struct work *w, const Sluice__V1__FinishAck *m)
{
	LOCKED(&w->lock);

	for (size_t i = 0; i < m->n_fences; i++) {
		struct attempt *a = attempt_find(w, m->fences[i]);

		if (a && !a->held && a->stage == STAGE_FINISHING)
			attempt_todo(a, TODO_FORGET);
	}
	for (size_t i = 0; i < m->n_needs; i++) {
		const Sluice__V1__FinishNeed *need = m->needs[i];
		struct attempt *a = attempt_find(w, need->fence);

		if (!a || a->held || a->gone || a->stage != STAGE_FINISHING ||
		    a->todo & TODO_FORGET)
			continue;
		a->stage = STAGE_SHIPPING;
		memset(a->durable, 0, sizeof a->durable);
		for (size_t k = 0; k < MIN(need->n_log_durable, (size_t)SPOOL_STREAMS); k++)
			a->durable[k] = need->log_durable[k];
		if (need->n_digests) { /* collect and upload again: the workspace is still there */
			a->attached = true;
			a->stage = STAGE_ACCEPTED;
			attempt_ready(a);
		} else {
			attempt_todo(a, TODO_REWIND);
		}
	}
}
