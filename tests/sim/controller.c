/*
 * The controller: the model, run as the engine runs it. What is due, the decision, placing, the
 * commit, then the effects; and a crash may come before the commit (nothing happened) or after it
 * (nobody was told). A crash drops the world; it is loaded from the rows that were committed.
 */
#include <string.h>

#include "controller/model/agents.h"
#include "sim.h"

static Sluice__V1__Actor admin = {
	.base = PROTOBUF_C_MESSAGE_INIT(&sluice__v1__actor__descriptor),
	.kind = SLUICE__V1__ACTOR__KIND__USER,
	.id = (char *)"user-1",
	.name = (char *)"ada",
};
const struct caller sim_admin = { &admin, SLUICE__V1__ROLE__ADMIN, NULL, 0 };

static void drop_effects(struct sim *s)
{
	struct effect *effect;

	while ((effect = world_take_effect(s->world)))
		effect_free(effect);
}

static void perform(struct sim *s)
{
	struct effect *effect;

	while ((effect = world_take_effect(s->world))) {
		struct session *session = net_session(s, effect->session);

		if (session && effect->kind == EFFECT_POST)
			net_down(s, session, steal(effect->message), 0, 0);
		else if (session && effect->kind == EFFECT_CLOSE)
			net_cut(s, session, true);
		effect_free(effect);
	}
}

static int put(void *sim, const struct row *row, struct error *err)
{
	return rows_put(sim, row);
}

static void plant_change(struct sim *s)
{
	struct agent *agent = s->world->agents_by_id;

	if (!agent || !sim_chance(s, 1))
		return;
	if (s->mutant == MUTANT_UNTOUCHED)
		agent->row->max_fence++;
	else
		agent->used_slots++;
}

static void write_rows(struct sim *s)
{
	struct error err = { 0 };
	Sluice__V1__Event *event;

	s->commits++;
	if (world_changes(s->world, put, s, &err) < 0)
		oracle_fail(s, "writing: %s", err.text);
	while ((event = world_take_event(s->world))) {
		sim_trace(s, "event %llu: %s", (unsigned long long)event->seq, event->text);
		message_free(event);
	}
	world_committed(s->world);
	if (s->mutant == MUTANT_UNTOUCHED || s->mutant == MUTANT_DRIFT)
		plant_change(s);
	rebuild_check(s);
}

/* False when it crashed on the way. */
static bool commit(struct sim *s)
{
	bool crash = !s->calm && s->t > 0 && world_changed(s->world) && sim_between(s, 0, 499) == 0;
	bool before = crash && sim_chance(s, 50);

	if (s->mutant == MUTANT_SAY_BEFORE_COMMIT)
		perform(s);
	if (before) {
		drop_effects(s);
		sim_trace(s, "controller: crashes before the commit");
		controller_crash(s);
		return false;
	}
	if (world_changed(s->world))
		write_rows(s);
	if (crash) {
		drop_effects(s);
		sim_trace(s, "controller: crashes after the commit");
		controller_crash(s);
		return false;
	}
	perform(s);
	return true;
}

static struct now controller_now(const struct sim *s)
{
	int64_t boot_ms = clock_read(s, &s->clock);

	return (struct now){ 1800000000000 + s->t + s->wall_jump, boot_ms };
}

static void plant_short_countdown(struct sim *s, int64_t boot_ms)
{
	struct attempt *a, *next;

	HASH_ITER(by_fence, s->world->attempts, a, next) {
		int64_t ms = a->row->lease_ms;

		if (a->row->state != SLUICE__V1__ATTEMPT_STATE__ATTEMPT_OFFERED && a->lease.place &&
		    a->lease.due_ms == a->renewed_boot_ms + lease_countdown(ms))
			timer_set_boot(&s->world->timers, &a->lease, a->renewed_boot_ms + ms);
	}
}

static void schedule_wake(struct sim *s);

static void wake(struct sim *s, struct event *e)
{
	if (e->life != s->life || !s->world || e->at != s->wake_at)
		return;
	s->wake_at = INT64_MAX;
	controller_ask(s, NULL, NULL, NULL, NULL);
}

/* The engine's thread wakes when something is due, up to a tick late. */
static void schedule_wake(struct sim *s)
{
	struct now due = world_due(s->world), now = controller_now(s);
	int64_t at = INT64_MAX;

	if (due.boot_ms != INT64_MAX)
		at = clock_when(s, &s->clock, due.boot_ms);
	if (due.wall_ms != INT64_MAX)
		at = MIN(at, s->t + MAX(INT64_C(0), due.wall_ms - now.wall_ms));
	if (at == INT64_MAX)
		return;
	at += sim_between(s, 0, LEASE_TICK_MS / 2);
	if (at >= s->wake_at)
		return;
	s->wake_at = at;
	sim_at(s, at, wake, NULL)->life = s->life;
}

int controller_ask(struct sim *s, decide_fn *decide, const void *req, void *reply,
		   struct error *err)
{
	struct now now = controller_now(s), due;
	struct error why = { 0 };
	int r = 0;

	if (!s->world)
		return -2;
	due = world_due(s->world);
	if ((due.boot_ms <= now.boot_ms || due.wall_ms <= now.wall_ms) &&
	    world_tick(s->world, now, NULL, NULL, &why) < 0)
		oracle_fail(s, "a tick failed: %s", why.text);
	if (decide)
		r = decide(s->world, now, req, reply, err ? err : &why);
	world_place(s->world, now);
	if (s->mutant == MUTANT_SHORT_COUNTDOWN)
		plant_short_countdown(s, now.boot_ms);
	if (!commit(s))
		return -2;
	schedule_wake(s);
	return r;
}

static void plant_no_wait(struct sim *s, int64_t boot_ms)
{
	struct attempt *a, *next;

	HASH_ITER(by_fence, s->world->attempts, a, next)
		if (a->row->state != SLUICE__V1__ATTEMPT_STATE__ATTEMPT_OFFERED)
			timer_set_boot(&s->world->timers, &a->lease, boot_ms + 100);
}

void controller_start(struct sim *s)
{
	struct world_source source = { rows_get, rows_find, rows_by_number, s };
	struct now now = controller_now(s);
	struct error err = { 0 };

	s->world = world_new(&source, sim_random(s));
	s->life++;
	s->wake_at = INT64_MAX;
	if (rows_load(s, s->world, &err) < 0 ||
	    world_start(s->world, now, s->t ? NULL : "sim", NULL, &err) < 0) {
		oracle_fail(s, "the controller does not start: %s", err.text);
		return;
	}
	if (s->mutant == MUTANT_NO_WAIT_AFTER_RESTART)
		plant_no_wait(s, now.boot_ms);
	sim_trace(s, "controller: starts, epoch %llu",
		  (unsigned long long)s->world->counters->ctl_epoch);
	controller_ask(s, NULL, NULL, NULL, NULL);
}

static void come_back(struct sim *s, struct event *e)
{
	if (!s->world)
		controller_start(s);
}

void controller_crash(struct sim *s)
{
	if (!s->world)
		return;
	s->restarts++;
	reached_restart(s);
	world_free(steal(s->world));
	s->life++;
	/* a host that reboots has another clock; a process that restarts has not */
	if (sim_chance(s, 20))
		s->clock = clock_new(s);
	net_orphan(s);
	sim_at(s, s->t + (sim_chance(s, 70) ? sim_between(s, 1, 500) : sim_between(s, 500, 8000)),
	       come_back, NULL);
}

/* ---- what agents say ---- */

/* A controller that looks at the job and not at the fence takes the result of whoever brings one.
 */
static void plant_no_fence_check(struct sim *s, const Sluice__V1__AgentMessage *message)
{
	for (size_t i = 0; i < message->finish->n_attempts; i++) {
		const Sluice__V1__FinishedAttempt *f = message->finish->attempts[i];
		struct ledger_entry *l = ledger(s, f->fence);
		struct job *job = world_job(s->world, l->job_id);

		if (job && job->attempt && job->attempt->row->fence != f->fence && f->exit &&
		    job->attempt->row->state == SLUICE__V1__ATTEMPT_STATE__ATTEMPT_RUNNING)
			attempt_finished(s->world, job->attempt, f->exit);
	}
}

void controller_hear(struct sim *s, struct session *session,
		     const Sluice__V1__AgentMessage *message)
{
	uint64_t durable[HELD_MAX][LOG_STREAMS] = { 0 };
	struct agent_message m = { .agent = session->host->id,
				   .session = session->id,
				   .message = message };
	struct error err = { 0 };

	if (message->body_case == SLUICE__V1__AGENT_MESSAGE__BODY_FINISH) {
		for (size_t i = 0; i < message->finish->n_attempts && i < HELD_MAX; i++)
			durable[i][0] = ledger(s, message->finish->attempts[i]->fence)->log_durable;
		m.log_durable = durable;
		if (s->mutant == MUTANT_NO_FENCE_CHECK)
			plant_no_fence_check(s, message);
	}
	if (controller_ask(s, agent_message, &m, NULL, &err) == -1)
		oracle_fail(s, "a message of an agent failed: %s", err.text);
}

void controller_log(struct sim *s, struct session *session, uint64_t fence, uint64_t end)
{
	struct ledger_entry *l = ledger(s, fence);

	l->log_durable = MAX(l->log_durable, end);
	net_down(s, session, NULL, fence, (int64_t)l->log_durable);
}

void controller_lost_session(struct sim *s, struct session *session)
{
	struct session_closed c = { session->host->id, session->id, "it broke" };

	controller_ask(s, agent_session_closed, &c, NULL, NULL);
}
