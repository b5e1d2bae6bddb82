/*
 * An agent's attempts: NONE -> ACCEPTED -> STARTED -> EXITED -> NONE, each step journalled before
 * what follows from it; and the shims, which keep the deadline whether the agent lives or not.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim.h"

#define HELD(name) SLUICE__V1__HELD__STATE__##name
#define EXIT(name) SLUICE__V1__EXIT_REASON__EXIT_##name

struct held *attempt_held(struct host *h, uint64_t fence)
{
	for (int i = 0; i < HELD_MAX; i++)
		if (fence && h->held[i].fence == fence)
			return &h->held[i];
	return NULL;
}

struct process *host_process(struct host *h, uint64_t fence)
{
	for (int i = 0; i < PROCESSES; i++)
		if (fence && h->processes[i].fence == fence)
			return &h->processes[i];
	return NULL;
}

void attempt_forget(struct sim *s, struct host *h, struct held *held)
{
	struct process *p = host_process(h, held->fence);

	if (p && !p->running)
		memset(p, 0, sizeof *p);
	memset(held, 0, sizeof *held);
}

/* A step of the journal: done a little later, unless the agent crashes before. */
static void journal(struct sim *s, struct host *h, uint64_t fence,
		    void (*done)(struct sim *, struct event *))
{
	struct event *e = sim_at(s, s->t + sim_between(s, 0, sim_chance(s, 90) ? 4 : 400), done, h);

	e->life = h->life;
	e->fence = fence;
}

static struct held *journalled(struct event *e)
{
	struct host *h = e->who;

	return h->up && h->life == e->life ? attempt_held(h, e->fence) : NULL;
}

/* ---- processes ---- */

static void exited(struct sim *s, struct event *e)
{
	struct held *held = journalled(e);
	struct process *p = held ? host_process(e->who, e->fence) : NULL;

	if (!p || !p->recorded || held->state != HELD(STARTED))
		return;
	held->state = HELD(EXITED);
	held->reason = p->reason;
	attempt_report(s, e->who, held);
}

static void end_process(struct sim *s, struct host *h, struct process *p,
			Sluice__V1__ExitReason reason, bool recorded)
{
	p->running = p->dying = false;
	p->recorded = recorded;
	p->reason = reason;
	p->life++;
	sim_trace(s, "%s: the process of %" PRIu64 " ends, reason %d", h->name, p->fence, reason);
	oracle_end(s, p->fence, reason);
	if (!attempt_held(h, p->fence))
		memset(p, 0, sizeof *p); /* nobody will ask for its record */
	else if (h->up)
		journal(s, h, p->fence, exited);
}

static struct process *process_of(struct event *e)
{
	struct process *p = host_process(e->who, e->fence);

	return p && p->running && p->life == e->life ? p : NULL;
}

static void ends_by_itself(struct sim *s, struct event *e)
{
	struct process *p = process_of(e);

	if (p)
		end_process(s, e->who, p, (Sluice__V1__ExitReason)e->number, true);
}

static void kill_within(struct sim *s, struct host *h, struct process *p, int64_t ms,
			Sluice__V1__ExitReason reason)
{
	struct event *e;

	if (p->dying)
		return;
	p->dying = true;
	e = sim_at(s,
		   clock_when(s, &h->clock, clock_read(s, &h->clock) + sim_between(s, ms / 2, ms)),
		   ends_by_itself, h);
	e->fence = p->fence;
	e->life = p->life;
	e->number = reason;
}

/* The timerfd of the shim. The deadline may have moved since it was set. */
static void deadline(struct sim *s, struct event *e)
{
	struct host *h = e->who;
	struct process *p = process_of(e);

	if (!p || p->dying)
		return;
	if (clock_read(s, &h->clock) >= p->deadline) {
		sim_trace(s, "%s: the lease of %" PRIu64 " ends", h->name, p->fence);
		kill_within(s, h, p, lease_kill_budget(p->lease_ms), EXIT(AGENT_LOST));
		return;
	}
	e = sim_at(s, clock_when(s, &h->clock, p->deadline), deadline, h);
	e->fence = p->fence;
	e->life = p->life;
}

static void execute(struct sim *s, struct host *h, struct held *held, int64_t until)
{
	struct process *p = NULL;
	struct event *e;

	for (int i = 0; i < PROCESSES && !p; i++)
		if (!h->processes[i].fence)
			p = &h->processes[i];
	if (!p || clock_read(s, &h->clock) >= until) {
		held->state = HELD(LOST); /* never ran; said at the next Register, or below */
		if (h->session)
			net_cut(s, h->session, true);
		return;
	}
	*p = (struct process){ .fence = held->fence,
			       .running = true,
			       .deadline = until,
			       .lease_ms = held->lease_ms,
			       .life = sim_random(s) };
	oracle_start(s, h, held);
	e = sim_at(s, clock_when(s, &h->clock, until), deadline, h);
	e->fence = p->fence;
	e->life = p->life;
	e = sim_at(s,
		   s->t + (sim_chance(s, 60) ? sim_between(s, 1, 2000)
					     : sim_between(s, 2000, 4 * s->lease_ms)),
		   ends_by_itself, h);
	e->fence = p->fence;
	e->life = p->life;
	e->number = sim_chance(s, 90) ? EXIT(OK) : EXIT(CODE);
}

void process_kill_shim(struct sim *s, struct host *h)
{
	int at = (int)sim_between(s, 0, PROCESSES - 1);
	struct process *p = &h->processes[at];
	struct held *held;

	if (!p->running)
		return;
	sim_trace(s, "%s: the shim of %" PRIu64 " is killed", h->name, p->fence);
	held = attempt_held(h, p->fence);
	end_process(s, h, p, EXIT(AGENT_LOST), false);
	if (!h->up || !held)
		return;
	/* the agent sees it at once, and says so */
	held->state = HELD(EXITED);
	held->reason = EXIT(AGENT_LOST);
	attempt_report(s, h, held);
}

void processes_end(struct sim *s, struct host *h)
{
	for (int i = 0; i < PROCESSES; i++) {
		struct process *p = &h->processes[i];

		if (p->running) {
			p->running = false;
			oracle_end(s, p->fence, EXIT(HOST_LOST));
		}
		/* a record that was not synced is gone, too */
		if (!attempt_held(h, p->fence) || sim_chance(s, 50))
			memset(p, 0, sizeof *p);
		p->life++;
	}
}

/* ---- from offer to start ---- */

static void offer_journalled(struct sim *s, struct event *e)
{
	struct held *held = journalled(e);
	struct host *h = e->who;

	if (!held || held->state != HELD(ACCEPTED))
		return;
	attempt_send_accept(s, h, held);
	if (s->mutant == MUTANT_START_ON_OFFER)
		attempt_start(s, h, held, clock_read(s, &h->clock));
}

/* The journal's write is not lost by a crash of the agent: the kernel has it. So it is there at
 * once, and what follows from it only after the sync; a crash in between leaves it ACCEPTED with
 * nothing said. */
void attempt_offer_heard(struct sim *s, struct host *h, const Sluice__V1__Assignment *a,
			 uint64_t epoch)
{
	struct ledger_entry *l = ledger(s, a->fence);
	struct held *held = NULL;

	if (attempt_held(h, a->fence) || a->fence <= h->max_fence || !h->registered)
		return;
	for (int i = 0; i < HELD_MAX && !held; i++)
		if (!h->held[i].fence)
			held = &h->held[i];
	if (!held)
		return;
	if (*l->job_id && strcmp(l->job_id, a->job_id) != 0)
		oracle_fail(s, "fence %" PRIu64 " was given to two jobs", a->fence);
	snprintf(l->job_id, sizeof l->job_id, "%s", a->job_id);
	snprintf(l->run_id, sizeof l->run_id, "%s", a->run_id);
	*held = (struct held){ .fence = a->fence,
			       .state = HELD(ACCEPTED),
			       .lease_ms = a->lease_ms };
	snprintf(held->run_id, sizeof held->run_id, "%s", a->run_id);
	snprintf(held->job_id, sizeof held->job_id, "%s", a->job_id);
	h->max_fence = a->fence;
	journal(s, h, a->fence, offer_journalled);
}

void attempt_send_accept(struct sim *s, struct host *h, struct held *held)
{
	Sluice__V1__AgentMessage *m;

	if (!h->registered)
		return;
	m = agent_message_new(h, SLUICE__V1__AGENT_MESSAGE__BODY_ACCEPT);
	m->accept = message_new(&sluice__v1__accept__descriptor);
	message_append(m->accept, fences, held->fence);
	held->accept_seq = m->seq;
	held->accept_sent = clock_read(s, &h->clock);
	agent_send(s, h, m);
}

static void start_journalled(struct sim *s, struct event *e)
{
	struct held *held = journalled(e);

	if (!held || !held->starting)
		return;
	held->starting = false;
	if (s->mutant == MUTANT_EXEC_NOT_JOURNALED) {
		held->state = HELD(STARTED);
		return;
	}
	if (held->state == HELD(STARTED))
		execute(s, e->who, held, e->number);
}

void attempt_start(struct sim *s, struct host *h, struct held *held, int64_t sent)
{
	int64_t until = (s->mutant == MUTANT_LEASE_FROM_RECEIPT ? clock_read(s, &h->clock) : sent) +
			held->lease_ms;
	struct event *e;

	if (held->starting || held->state != HELD(ACCEPTED))
		return;
	if (clock_read(s, &h->clock) >= until)
		return; /* too late to begin: asked again */
	held->starting = true;
	if (s->mutant == MUTANT_EXEC_NOT_JOURNALED) {
		execute(s, h, held, until);
		journal(s, h, held->fence, start_journalled);
		return;
	}
	held->state = HELD(STARTED);
	e = sim_at(s, s->t + sim_between(s, 0, sim_chance(s, 90) ? 4 : 400), start_journalled, h);
	e->life = h->life;
	e->fence = held->fence;
	e->number = until;
}

void attempt_extend(struct sim *s, struct host *h, uint64_t fence, int64_t sent)
{
	struct process *p = host_process(h, fence);

	if (!p || !p->running || p->dying)
		return;
	if (s->mutant == MUTANT_LEASE_FROM_RECEIPT)
		sent = clock_read(s, &h->clock);
	p->deadline = MAX(p->deadline, sent + p->lease_ms);
}

/* ---- the end ---- */

void attempt_stopped(struct sim *s, struct host *h, uint64_t fence, Sluice__V1__ExitReason as,
		     int64_t grace_ms)
{
	struct held *held = attempt_held(h, fence);
	struct process *p = host_process(h, fence);

	if (p && p->running) {
		kill_within(s, h, p, MIN(grace_ms, INT64_C(2000)) + 50, as);
		return;
	}
	if (!held)
		return;
	/* a result may have met the Stop on its way: it is said once more; the next Stop is the
	 * answer */
	if (held->state == HELD(EXITED) && !held->stopped) {
		held->stopped = true;
		attempt_report(s, h, held);
		return;
	}
	attempt_forget(s, h, held);
}

/* What a job measures; the same whenever it is said again. */
static Sluice__V1__Metric *quality_new(uint64_t fence)
{
	Sluice__V1__Metric *m = message_new(&sluice__v1__metric__descriptor);

	message_set_string(&m->name, "quality");
	m->value = (double)(fence * 37 % 100);
	return m;
}

void attempt_report(struct sim *s, struct host *h, struct held *held)
{
	struct ledger_entry *l = ledger(s, held->fence);
	Sluice__V1__FinishedAttempt *f;
	Sluice__V1__AgentMessage *m;

	if (!h->registered)
		return;
	if (!held->log_acked) {
		if (h->session)
			net_up(s, h->session, NULL, held->fence, (int64_t)l->log_end);
		return;
	}
	m = agent_message_new(h, SLUICE__V1__AGENT_MESSAGE__BODY_FINISH);
	f = message_new(&sluice__v1__finished_attempt__descriptor);
	m->finish = message_new(&sluice__v1__finish__descriptor);
	message_append(m->finish, attempts, f);
	f->fence = held->fence;
	message_set_string(&f->run_id, held->run_id);
	f->exit = message_new(&sluice__v1__exit__descriptor);
	f->exit->reason = held->reason;
	f->exit->code = held->reason == EXIT(CODE);
	message_append(f, log_end, l->log_end);
	message_append(f, metrics, quality_new(held->fence));
	agent_send(s, h, m);
}

bool host_is_quiet(const struct host *h)
{
	for (int i = 0; i < HELD_MAX; i++)
		if (h->held[i].fence)
			return false;
	for (int i = 0; i < PROCESSES; i++)
		if (h->processes[i].running)
			return false;
	return true;
}
