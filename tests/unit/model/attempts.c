/*
 * Leases, fences and offers: each rule of PROTOCOL.md, and each of its mutants that a controller
 * could be.
 */
#include "scene.h"

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
	cr_expect_eq(lease_countdown(SCENE_LEASE), T_C);
}

Test(attempts, an_offer_carries_all_that_is_needed_and_is_durable_before_it_is_sent)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	cleanup(message_freep) Sluice__V1__ControllerMessage *m = NULL;
	const Sluice__V1__Assignment *s;
	uint32_t run;

	add_job_to(p, "job", NULL)->lease_ms = SCENE_LEASE;
	run = lab_submit(l, p);
	m = agent_take(a, BODY(OFFER));
	cr_assert(m);
	cr_assert_eq(m->offer->n_assignments, 1);
	s = m->offer->assignments[0];
	cr_expect_eq(s->run_number, run);
	cr_expect_eq(s->attempt, 1);
	cr_expect_eq(s->lease_ms, SCENE_LEASE);
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
