/*
 * Leases and fences: each rule of PROTOCOL.md's table, and each of its mutants that a controller
 * could be.
 */
#include <string.h>

#include "lab.h"

enum { LEASE = 60 * 1000, T_C = 60000 + 15000 + 600 + 5000 + LEASE_TICK_MS };

struct scene {
	struct lab *l;
	struct lab_agent *a, *b;
	uint32_t run;
	uint64_t fence;
};

static Sluice__V1__JobSpec *spec_of(Sluice__V1__Pipeline *p)
{
	Sluice__V1__JobSpec *spec = add_job_to(p, "job", NULL);

	spec->lease_ms = LEASE;
	return spec;
}

/* A job offered to the one agent that is connected. */
static struct scene scene_offered(void)
{
	struct scene s = { .l = lab_new() };
	Sluice__V1__Pipeline *p = pipeline("p");

	s.a = lab_agent(s.l, "a", 1, "");
	s.b = lab_agent_enrol(s.l, "b", 1, "");
	spec_of(p);
	s.run = lab_submit(s.l, p);
	s.fence = agent_offered(s.a);
	cr_assert(s.run && s.fence);
	return s;
}

static struct scene scene_running(void)
{
	struct scene s = scene_offered();

	agent_accept(s.a, s.fence);
	cr_assert(agent_was_accepted(s.a, s.fence));
	return s;
}

static void scene_end(struct scene *s)
{
	lab_free(s->l);
}

static Sluice__V1__JobState state(struct scene *s)
{
	return lab_job(s->l, s->run, "job")->row->state;
}

Test(attempts, the_countdown_is_lease_plus_kill_budget_plus_drift_plus_a_tick)
{
	static const struct {
		int64_t lease, kill, drift, renewal;
	} cases[] = {
		{ 900000, 15000, 9000 + 5000, 10000 }, /* 15m: all bounds reached */
		{ 60000, 15000, 600 + 5000, 10000 },
		{ 30000, 7500, 300 + 3000, 5000 },
		{ 2000, 500, 20 + 200, 333 }, /* what tests use */
		{ 86400000, 15000, 864000 + 5000, 10000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t t = cases[i].lease;

		cr_expect_eq(lease_kill_budget(t), cases[i].kill);
		cr_expect_eq(lease_drift(t), cases[i].drift);
		cr_expect_eq(lease_renewal(t), cases[i].renewal);
		cr_expect_eq(lease_countdown(t),
			     t + cases[i].kill + cases[i].drift + LEASE_TICK_MS);
	}
	cr_expect_eq(lease_countdown(LEASE), T_C);
}

Test(attempts, an_offer_carries_all_that_is_needed_and_is_durable_before_it_is_sent)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	cleanup(message_freep) Sluice__V1__ControllerMessage *m = NULL;
	const Sluice__V1__Assignment *s;
	uint32_t run;

	spec_of(p);
	run = lab_submit(l, p);
	m = agent_take(a, BODY(OFFER));
	cr_assert(m);
	cr_assert_eq(m->offer->n_assignments, 1);
	s = m->offer->assignments[0];
	cr_expect_eq(s->run_number, run);
	cr_expect_eq(s->attempt, 1);
	cr_expect_eq(s->lease_ms, LEASE);
	cr_expect_str_eq(s->spec->run, "true");
	cr_expect_str_eq(s->pipeline, "p");
	expect_attempt(l, s->fence, ATTEMPT(OFFERED));
	expect_job(l, run, "job", JOB(ACTIVE), NULL);
}

Test(attempts, an_offer_runs_only_once_it_was_accepted)
{
	struct scene s = scene_offered();

	expect_attempt(s.l, s.fence, ATTEMPT(OFFERED));
	agent_accept(s.a, s.fence);
	cr_expect(agent_was_accepted(s.a, s.fence));
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	cr_expect_gt(lab_job(s.l, s.run, "job")->row->started_ms, 0);
	scene_end(&s);
}

Test(attempts, accepting_again_gets_the_same_answer_and_a_full_countdown)
{
	struct scene s = scene_running();

	lab_advance(s.l, T_C - 10);
	agent_accept(s.a, s.fence);
	cr_expect(agent_was_accepted(s.a, s.fence));
	cr_expect_eq(s.l->events[SLUICE__V1__EVENT_KIND__EVENT_ATTEMPT_STARTED], 1);
	lab_advance(s.l, T_C - 1);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	scene_end(&s);
}

Test(attempts, an_offer_without_an_answer_is_withdrawn_and_goes_out_with_a_new_fence)
{
	struct scene s = scene_offered();
	uint64_t again;

	lab_advance(s.l, OFFER_TIMEOUT_MS - 1);
	expect_attempt(s.l, s.fence, ATTEMPT(OFFERED));
	lab_advance(s.l, 1);
	expect_attempt(s.l, s.fence, ATTEMPT(WITHDRAWN));
	again = agent_offered(s.a);
	cr_expect_gt(again, s.fence);
	agent_accept(s.a, s.fence);
	cr_expect_not(agent_was_accepted(s.a, s.fence), "a withdrawn offer does not start");
	cr_expect(agent_was_stopped(s.a, s.fence));
	expect_attempt(s.l, again, ATTEMPT(OFFERED));
	scene_end(&s);
}

Test(attempts, an_offer_ends_with_the_session_and_another_agent_gets_the_job)
{
	struct scene s = scene_offered();
	uint64_t again;

	agent_connect(s.b);
	agent_drop(s.a);
	expect_attempt(s.l, s.fence, ATTEMPT(WITHDRAWN));
	again = agent_offered(s.b);
	cr_expect_gt(again, s.fence);
	cr_expect_eq(lab_job(s.l, s.run, "job")->row->retries, 0, "it never ran");
	agent_register_holding(s.a, s.fence, HELD(ACCEPTED), UINT64_C(0));
	cr_expect_eq(agent_verdict(s.a, s.fence), VERDICT(STOP));
	scene_end(&s);
}

Test(attempts, an_offer_to_another_agent_cannot_be_accepted)
{
	struct scene s = scene_offered();

	agent_connect(s.b);
	agent_accept(s.b, s.fence);
	cr_expect_not(agent_was_accepted(s.b, s.fence));
	cr_expect(agent_was_stopped(s.b, s.fence));
	expect_attempt(s.l, s.fence, ATTEMPT(OFFERED));
	scene_end(&s);
}

Test(attempts, a_renewal_gives_a_full_countdown_and_costs_no_commit)
{
	struct scene s = scene_running();

	lab_advance(s.l, 20000);
	agent_renew(s.a, s.fence);
	cr_expect(agent_was_renewed(s.a, s.fence));
	cr_expect_eq(s.l->rows_written, 0);
	lab_advance(s.l, T_C - 1);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	lab_advance(s.l, 1);
	expect_attempt(s.l, s.fence, ATTEMPT(LOST));
	scene_end(&s);
}

Test(attempts, a_lease_is_not_lost_one_millisecond_before_its_countdown_ends)
{
	struct scene s = scene_running();
	cleanup(message_freep) Sluice__V1__Attempt *row = NULL;

	lab_advance(s.l, T_C - 1);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	lab_advance(s.l, 1);
	row = lab_attempt_row(s.l, s.fence);
	cr_expect_eq(row->state, ATTEMPT(LOST));
	cr_expect_eq(row->exit->reason, EXIT(AGENT_LOST));
	scene_end(&s);
}

Test(attempts, a_jump_of_the_wall_clock_loses_nothing)
{
	struct scene s = scene_running();

	s.l->now.wall_ms += INT64_C(365) * 24 * 3600 * 1000;
	lab_advance(s.l, 1);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	s.l->now.wall_ms -= INT64_C(730) * 24 * 3600 * 1000;
	lab_advance(s.l, T_C - 2);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	lab_advance(s.l, 1);
	expect_attempt(s.l, s.fence, ATTEMPT(LOST));
	scene_end(&s);
}

Test(attempts, after_a_restart_of_the_controller_every_countdown_is_full)
{
	struct scene s = scene_running();

	lab_advance(s.l, T_C - 1);
	lab_restart(s.l);
	lab_advance(s.l, T_C - 1);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	lab_advance(s.l, 1);
	expect_attempt(s.l, s.fence, ATTEMPT(LOST));
	scene_end(&s);
}

Test(attempts, a_controller_that_restarts_disturbs_no_job)
{
	struct scene s = scene_running();

	lab_restart(s.l);
	agent_register_holding(s.a, s.fence, HELD(STARTED), UINT64_C(0));
	cr_expect_eq(agent_verdict(s.a, s.fence), VERDICT(CONTINUE));
	agent_succeed(s.a, s.fence);
	expect_run(s.l, s.run, RUN(SUCCEEDED), "");
	scene_end(&s);
}

Test(attempts, a_lost_session_does_not_end_the_lease)
{
	struct scene s = scene_running();

	agent_drop(s.a);
	lab_advance(s.l, T_C - 1);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	agent_register_holding(s.a, s.fence, HELD(STARTED), UINT64_C(0));
	cr_expect_eq(agent_verdict(s.a, s.fence), VERDICT(CONTINUE));
	lab_advance(s.l, T_C - 1);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	scene_end(&s);
}

Test(attempts, thirty_seconds_without_renewal_are_suspect_until_the_next_one)
{
	struct scene s = scene_running();
	char why[512];

	lab_advance(s.l, SUSPECT_MS - 1);
	cr_expect_not(world_attempt(s.l->world, s.fence)->row->suspect);
	lab_advance(s.l, 1);
	cr_expect(world_attempt(s.l->world, s.fence)->row->suspect);
	cr_expect_str_eq(lab_why(s.l, s.run, "job", why), "nothing heard of a for 30s");
	agent_renew(s.a, s.fence);
	cr_expect_not(world_attempt(s.l->world, s.fence)->row->suspect);
	scene_end(&s);
}

Test(attempts, what_is_not_held_any_more_is_dead_at_once)
{
	struct scene s = scene_running();

	agent_drop(s.a);
	agent_connect(s.a);
	expect_attempt(s.l, s.fence, ATTEMPT(LOST));
	cr_expect_eq(state(&s), JOB(ACTIVE), "and starts again");
	cr_expect_gt(agent_offered(s.a), s.fence);
	scene_end(&s);
}

Test(attempts, what_a_lost_journal_does_not_hold_may_still_run)
{
	struct scene s = scene_running();

	agent_drop(s.a);
	agent_register_lossy(s.a);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	cr_expect_eq(agent_offered(s.a), 0, "its slot is not free");
	lab_advance(s.l, T_C);
	expect_attempt(s.l, s.fence, ATTEMPT(LOST));
	scene_end(&s);
}

Test(attempts, what_ran_on_another_boot_is_dead_even_when_the_journal_was_lost)
{
	struct scene s = scene_running();
	cleanup(message_freep) Sluice__V1__Attempt *row = NULL;

	agent_drop(s.a);
	strcpy(s.a->boot, "boot-2");
	agent_register_lossy(s.a);
	row = lab_attempt_row(s.l, s.fence);
	cr_expect_eq(row->state, ATTEMPT(LOST));
	cr_expect_eq(row->exit->reason, EXIT(HOST_LOST));
	scene_end(&s);
}

struct held_case {
	int held;
	bool rebooted;
	Sluice__V1__HeldVerdict__Verdict verdict;
	Sluice__V1__AttemptState state;
};

Test(attempts, what_is_held_is_continued_or_stopped_by_what_it_proves)
{
	static const struct held_case cases[] = {
		{ HELD(ACCEPTED), false, VERDICT(CONTINUE), ATTEMPT(RUNNING) },
		{ HELD(STARTED), false, VERDICT(CONTINUE), ATTEMPT(RUNNING) },
		{ HELD(EXITED), false, VERDICT(CONTINUE), ATTEMPT(RUNNING) },
		{ HELD(LOST), false, VERDICT(STOP), ATTEMPT(LOST) },
		{ HELD(ACCEPTED), true, VERDICT(STOP), ATTEMPT(LOST) },
		{ HELD(STARTED), true, VERDICT(STOP), ATTEMPT(LOST) },
		{ HELD(EXITED), true, VERDICT(CONTINUE), ATTEMPT(RUNNING) },
		{ HELD(LOST), true, VERDICT(STOP), ATTEMPT(LOST) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scene s = scene_running();

		agent_drop(s.a);
		if (cases[i].rebooted)
			strcpy(s.a->boot, "boot-2");
		agent_register_holding(s.a, s.fence, cases[i].held, UINT64_C(0));
		cr_expect_eq(agent_verdict(s.a, s.fence), cases[i].verdict, "case %zu", i);
		expect_attempt(s.l, s.fence, cases[i].state);
		scene_end(&s);
	}
}

Test(attempts, an_offer_that_was_journalled_before_a_restart_goes_on)
{
	struct scene s = scene_offered();

	lab_restart(s.l);
	agent_register_holding(s.a, s.fence, HELD(ACCEPTED), UINT64_C(0));
	cr_expect_eq(agent_verdict(s.a, s.fence), VERDICT(CONTINUE));
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	agent_accept(s.a, s.fence);
	cr_expect(agent_was_accepted(s.a, s.fence));
	scene_end(&s);
}

Test(attempts, an_offer_that_is_not_held_after_a_restart_is_not_sent_again)
{
	struct scene s = scene_offered();

	lab_restart(s.l);
	agent_connect(s.a);
	expect_attempt(s.l, s.fence, ATTEMPT(WITHDRAWN));
	cr_expect_gt(agent_offered(s.a), s.fence);
	scene_end(&s);
}

Test(attempts, a_fence_that_was_finished_is_to_be_forgotten_and_an_unknown_one_stopped)
{
	struct scene s = scene_running();

	agent_succeed(s.a, s.fence);
	agent_drop(s.a);
	agent_register_holding(s.a, s.fence, HELD(EXITED), UINT64_C(0));
	cr_expect_eq(agent_verdict(s.a, s.fence), VERDICT(FINISH));
	agent_drop(s.a);
	agent_register_holding(s.a, UINT64_C(4711), HELD(STARTED), UINT64_C(0));
	cr_expect_eq(agent_verdict(s.a, 4711), VERDICT(STOP));
	agent_connect(s.b);
	agent_drop(s.b);
	agent_register_holding(s.b, s.fence, HELD(EXITED), UINT64_C(0));
	cr_expect_eq(agent_verdict(s.b, s.fence), VERDICT(STOP), "another agent's");
	scene_end(&s);
}

Test(attempts, a_message_of_a_stale_session_is_refused_and_changes_nothing)
{
	struct scene s = scene_offered();
	struct lab_agent old = *s.a;

	agent_register_holding(s.a, s.fence, HELD(ACCEPTED), UINT64_C(0)); /* a new session */
	agent_forget(s.a);
	old.n_inbox = 0;
	agent_finish(&old, s.fence, EXIT(OK), 0);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	cr_expect_eq(s.a->n_inbox, 0, "and is not answered");
	cr_expect_not(s.a->closed, "the new session lives");
	agent_renew(s.a, s.fence);
	cr_expect(agent_was_renewed(s.a, s.fence));
	scene_end(&s);
}

Test(attempts, a_number_that_was_used_closes_the_session)
{
	struct scene s = scene_running();

	s.a->seq--; /* the next message repeats a number */
	agent_renew(s.a, s.fence);
	cr_expect(s.a->closed);
	cr_expect_not(agent_was_renewed(s.a, s.fence));
	scene_end(&s);
}

Test(attempts, register_comes_once_in_a_session_and_first)
{
	struct scene s = scene_offered();
	Sluice__V1__AgentMessage *again = message_new(&sluice__v1__agent_message__descriptor);

	again->body_case = SLUICE__V1__AGENT_MESSAGE__BODY_REGISTER;
	again->register_ = message_new(&sluice__v1__register__descriptor);
	agent_send(s.a, again, NULL);
	cr_expect(s.a->closed);
	s.b->session = ++s.l->sessions;
	agent_renew(s.b, s.fence);
	cr_expect(s.b->closed);
	scene_end(&s);
}

Test(attempts, an_older_fence_finishes_nothing_and_is_stopped)
{
	struct scene s = scene_running();
	uint64_t newer;

	lab_advance(s.l, T_C); /* LOST; the agent is still connected, and gets it again */
	newer = agent_start(s.a);
	cr_assert_gt(newer, s.fence);
	agent_finish(s.a, s.fence, EXIT(OK), 0);
	cr_expect_not(agent_was_acked(s.a, s.fence));
	cr_expect(agent_was_stopped(s.a, s.fence));
	expect_attempt(s.l, s.fence, ATTEMPT(LOST));
	expect_attempt(s.l, newer, ATTEMPT(RUNNING));
	expect_job(s.l, s.run, "job", JOB(ACTIVE), NULL);
	scene_end(&s);
}

Test(attempts, a_finish_repeated_gets_the_same_answer_for_ever)
{
	struct scene s = scene_running();

	agent_succeed(s.a, s.fence);
	agent_finish(s.a, s.fence, EXIT(CODE), 1);
	cr_expect(agent_was_acked(s.a, s.fence));
	expect_attempt(s.l, s.fence, ATTEMPT(SUCCEEDED));
	lab_restart(s.l);
	agent_connect(s.a);
	agent_finish(s.a, s.fence, EXIT(OK), 0);
	cr_expect(agent_was_acked(s.a, s.fence));
	cr_expect_eq(s.l->events[SLUICE__V1__EVENT_KIND__EVENT_ATTEMPT_FINISHED], 1);
	scene_end(&s);
}

Test(attempts, a_finish_before_accepted_is_stopped)
{
	struct scene s = scene_offered();

	agent_finish(s.a, s.fence, EXIT(OK), 0);
	cr_expect_not(agent_was_acked(s.a, s.fence));
	cr_expect(agent_was_stopped(s.a, s.fence));
	expect_attempt(s.l, s.fence, ATTEMPT(OFFERED));
	scene_end(&s);
}

Test(attempts, a_finish_counts_only_when_the_log_is_durable_to_its_end)
{
	struct scene s = scene_running();
	cleanup(message_freep) Sluice__V1__ControllerMessage *m = NULL;
	Sluice__V1__FinishedAttempt *f = finished(s.fence, EXIT(OK), 0);
	uint64_t end = 100;

	message_append(f, log_end, end);
	agent_finish_with(s.a, f, 99);
	m = agent_take(s.a, BODY(FINISH_ACK));
	cr_assert(m);
	cr_expect_eq(m->finish_ack->n_fences, 0);
	cr_assert_eq(m->finish_ack->n_needs, 1);
	cr_expect_eq(m->finish_ack->needs[0]->log_durable[0], 99);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	f = finished(s.fence, EXIT(OK), 0);
	message_append(f, log_end, end);
	agent_finish_with(s.a, f, 100);
	cr_expect(agent_was_acked(s.a, s.fence));
	expect_attempt(s.l, s.fence, ATTEMPT(SUCCEEDED));
	cr_expect_eq(s.l->logs_closed, 1);
	scene_end(&s);
}

Test(attempts, a_finish_from_another_agent_is_stopped)
{
	struct scene s = scene_running();

	agent_connect(s.b);
	agent_finish(s.b, s.fence, EXIT(OK), 0);
	cr_expect(agent_was_stopped(s.b, s.fence));
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	scene_end(&s);
}

Test(attempts, an_attempt_being_cancelled_ends_cancelled_whatever_comes)
{
	static const Sluice__V1__ExitReason ends[] = { EXIT(OK), EXIT(CODE), EXIT(CANCELLED) };

	for (size_t i = 0; i <= ARRAY_SIZE(ends); i++) {
		struct scene s = scene_running();

		cr_assert_eq(lab_cancel(s.l, s.run), 0);
		cr_expect(agent_was_stopped(s.a, s.fence));
		expect_attempt(s.l, s.fence, ATTEMPT(CANCELLING));
		if (i < ARRAY_SIZE(ends))
			agent_finish(s.a, s.fence, ends[i], 1);
		else
			lab_advance(s.l, T_C); /* lost */
		expect_attempt(s.l, s.fence, ATTEMPT(CANCELLED));
		expect_job(s.l, s.run, "job", JOB(CANCELLED), NULL);
		expect_run(s.l, s.run, RUN(CANCELLED), NULL);
		scene_end(&s);
	}
}

Test(attempts, an_attempt_being_cancelled_is_not_renewed_but_stopped_again)
{
	struct scene s = scene_running();

	lab_cancel(s.l, s.run);
	agent_forget(s.a);
	lab_advance(s.l, 20000);
	agent_renew(s.a, s.fence);
	cr_expect_not(agent_was_renewed(s.a, s.fence));
	cr_expect(agent_was_stopped(s.a, s.fence));
	lab_advance(s.l, T_C - 20000);
	expect_attempt(s.l, s.fence, ATTEMPT(CANCELLED));
	scene_end(&s);
}

Test(attempts, a_stop_that_was_lost_is_repeated_at_register)
{
	struct scene s = scene_running();

	lab_cancel(s.l, s.run);
	agent_drop(s.a); /* the Stop with it */
	agent_register_holding(s.a, s.fence, HELD(STARTED), UINT64_C(0));
	cr_expect_eq(agent_verdict(s.a, s.fence), VERDICT(CONTINUE));
	cr_expect(agent_was_stopped(s.a, s.fence));
	agent_finish(s.a, s.fence, EXIT(CANCELLED), 0);
	cr_expect(agent_was_acked(s.a, s.fence));
	expect_run(s.l, s.run, RUN(CANCELLED), NULL);
	scene_end(&s);
}

Test(attempts, cancelling_an_offer_withdraws_it_at_once)
{
	struct scene s = scene_offered();

	lab_cancel(s.l, s.run);
	expect_attempt(s.l, s.fence, ATTEMPT(WITHDRAWN));
	expect_run(s.l, s.run, RUN(CANCELLED), NULL);
	agent_accept(s.a, s.fence);
	cr_expect_not(agent_was_accepted(s.a, s.fence));
	cr_expect(agent_was_stopped(s.a, s.fence));
	scene_end(&s);
}

Test(attempts, an_agent_that_declines_is_passed_over_for_a_while)
{
	struct scene s = scene_offered();
	char why[512];

	agent_decline(s.a, s.fence, "no scratch disk");
	expect_attempt(s.l, s.fence, ATTEMPT(WITHDRAWN));
	cr_expect_eq(agent_offered(s.a), 0);
	cr_expect_str_eq(lab_why(s.l, s.run, "job", why),
			 "a declined it: no scratch disk; it is asked again in 1m");
	lab_advance(s.l, 60 * 1000 - 1);
	cr_expect_eq(agent_offered(s.a), 0);
	lab_advance(s.l, 1);
	cr_expect_gt(agent_offered(s.a), s.fence);
	scene_end(&s);
}

Test(attempts, an_agent_that_leaves_gets_no_more_and_its_preempted_job_goes_on_elsewhere)
{
	struct scene s = scene_running();

	agent_connect(s.b);
	agent_goodbye(s.a);
	agent_finish(s.a, s.fence, EXIT(PREEMPTED), 0);
	cr_expect(agent_was_acked(s.a, s.fence));
	expect_attempt(s.l, s.fence, ATTEMPT(FAILED));
	cr_expect_eq(agent_offered(s.a), 0);
	cr_expect_eq(lab_job(s.l, s.run, "job")->row->retries, 0, "which uses up no retry");
	agent_succeed(s.b, agent_start(s.b));
	expect_run(s.l, s.run, RUN(SUCCEEDED), "");
	scene_end(&s);
}

Test(attempts, a_person_can_vouch_that_a_host_is_dead_but_not_while_it_speaks)
{
	struct scene s = scene_running();
	cleanup(message_freep) Sluice__V1__Agent *reply = NULL;
	Sluice__V1__AgentActionRequest r = SLUICE__V1__AGENT_ACTION_REQUEST__INIT;
	struct agent_action action = { &lab_admin, &r };

	r.agent = s.a->name;
	cr_expect_eq(lab_ask(s.l, agents_lost, &action, &reply), -1);
	cr_expect_eq(s.l->error.code, ERR_CONFLICT);
	agent_drop(s.a);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	cr_expect_eq(lab_ask(s.l, agents_lost, &action, &reply), 0);
	expect_attempt(s.l, s.fence, ATTEMPT(LOST));
	cr_expect_eq(state(&s), JOB(QUEUED));
	scene_end(&s);
}

Test(attempts, an_unknown_agent_or_a_revoked_one_is_sent_away)
{
	struct scene s = scene_running();
	cleanup(message_freep) Sluice__V1__Agent *reply = NULL;
	Sluice__V1__AgentActionRequest r = SLUICE__V1__AGENT_ACTION_REQUEST__INIT;

	r.agent = s.a->name;
	cr_expect_eq(lab_ask(s.l, agents_revoke, &(struct agent_action){ &lab_admin, &r }, &reply),
		     0);
	cr_expect(s.a->closed);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING)); /* it ends by its lease */
	agent_connect(s.a);
	cr_expect(s.a->closed);
	cr_expect_eq(s.a->closed_code, ERR_ABORTED);
	cr_expect_eq(lab_agent_of(s.a)->session, 0);
	lab_advance(s.l, T_C);
	expect_attempt(s.l, s.fence, ATTEMPT(LOST));
	scene_end(&s);
}
