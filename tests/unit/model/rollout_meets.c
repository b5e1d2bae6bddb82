/*
 * What happens when one thing meets another: a host that leaves when a rollout begins, one that
 * comes back in its last stage, a way back that hangs, a clock that jumps.
 */
#include <stdio.h>
#include <string.h>

#include "rollout_fixture.h"

static void relabel(struct sim *s, struct sim_host *h, const char *value)
{
	struct agent *agent = sim_agent(s, h);

	message_set_string(&agent->row->labels[0]->value, value);
	s->world->now = s->now;
	world_touch(s->world, &agent->entity);
	snprintf(h->label, sizeof h->label, "%s", value);
	delivery_agent_changed(s->world, agent);
	sim_commit(s);
}

static Sluice__V1__EnvironmentHost__State state_of(struct sim *s, const struct sim_host *h)
{
	return environment_host(sim_env(s, "production"), h->id)->state;
}

static void deliver_all_but(struct sim *s, const struct sim_host *silent)
{
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < s->n_hosts; i++)
			if (&s->hosts[i] != silent)
				more |= sim_deliver_to(s, &s->hosts[i]);
	}
}

/* ---- hosts that leave ---- */

Test(rollout_meets, a_host_that_lets_go_when_a_rollout_begins_is_told_again_and_leaves)
{
	cleanup(sim_freep) struct sim *s = sim_serving(3, NULL);
	struct sim_host *h = &s->hosts[1];

	relabel(s, h, "elsewhere");
	cr_assert_eq(sim_promote(s, "production", sim_release(s)), 0, "%s", s->error.text);
	sim_settle(s);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(SUCCEEDED));
	cr_expect_eq(h->removals, 2, "by the order of before, and by one that it can answer");
	cr_expect_eq(sim_env(s, "production")->row->n_hosts, 2);
	cr_expect_eq(sim_agent(s, h)->n_environments, 0);
}

Test(rollout_meets, a_host_that_leaves_in_the_middle_neither_stops_the_rollout_nor_stays)
{
	cleanup(sim_freep) struct sim *s = sim_serving(3, NULL);
	struct sim_host *h = &s->hosts[0];
	uint32_t r2 = sim_release(s);

	cr_assert_eq(sim_promote(s, "production", r2), 0, "%s", s->error.text);
	while (state_of(s, h) != HOST_STATE(ACTIVATING))
		cr_assert(sim_deliver(s));
	relabel(s, h, "elsewhere");
	sim_settle(s);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(SUCCEEDED));
	cr_expect_str_empty(h->live);
	cr_expect_eq(sim_env(s, "production")->row->n_hosts, 2);
	cr_expect_str_eq(s->hosts[2].live, sim_release_of(s, r2)->row->id);
}

Test(rollout_meets, a_host_that_failed_is_told_to_let_go_when_it_leaves)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, NULL);
	struct sim_host *h = &s->hosts[1];

	h->fail_any = 2; /* r2, and the way back */
	cr_assert_eq(sim_promote(s, "production", sim_release(s)), 0);
	sim_settle(s);
	cr_assert_eq(state_of(s, h), HOST_STATE(FAILED));
	relabel(s, h, "elsewhere");
	sim_settle(s);
	cr_expect_eq(h->removals, 1);
	cr_expect_eq(sim_env(s, "production")->row->n_hosts, 1);
}

Test(rollout_meets, all_hosts_leave_a_rollout_and_it_ends)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, NULL);

	cr_assert_eq(sim_promote(s, "production", sim_release(s)), 0);
	relabel(s, &s->hosts[0], "elsewhere");
	relabel(s, &s->hosts[1], "elsewhere");
	sim_settle(s);
	cr_expect_null(sim_env(s, "production")->promotion);
	cr_expect_eq(sim_env(s, "production")->row->n_hosts, 0);
	cr_expect_eq(s->hosts[0].removals + s->hosts[1].removals, 2);
}

/* ---- hosts that come back ---- */

static void recreate_skipping_one(Sluice__V1__EnvironmentSpec *spec)
{
	spec->deploy->strategy = SLUICE__V1__DEPLOY_SPEC__STRATEGY__RECREATE;
	spec->deploy->unreachable = message_new(&sluice__v1__unreachable__descriptor);
	spec->deploy->unreachable->skip = 1;
	spec->deploy->unreachable->wait_ms = 60000;
}

Test(rollout_meets, a_skipped_host_that_is_back_when_the_others_start_starts_with_them)
{
	cleanup(sim_freep) struct sim *s = sim_serving(3, recreate_skipping_one);
	uint32_t r2 = sim_release(s);

	s->max_unavailable = 0;
	sim_disconnect(s, &s->hosts[2]);
	cr_assert_eq(sim_promote(s, "production", r2), 0);
	sim_advance(s, 59999);
	sim_tick(s, 1);
	cr_assert_eq(state_of(s, &s->hosts[2]), HOST_STATE(DIVERGED));
	while (state_of(s, &s->hosts[0]) != HOST_STATE(ACTIVATING))
		cr_assert(sim_deliver(s));
	sim_connect(s, &s->hosts[2]);
	sim_settle(s);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(SUCCEEDED));
	sim_expect_everywhere(s, "production", r2);
}

/* ---- the way back ---- */

Test(rollout_meets, a_host_that_hangs_does_not_keep_the_others_from_being_rolled_back)
{
	cleanup(sim_freep) struct sim *s = sim_serving(4, NULL);
	struct sim_host *h = &s->hosts[0];
	uint32_t r2 = sim_release(s);

	cr_assert_eq(sim_promote(s, "production", r2), 0);
	sim_settle(s);
	s->max_unavailable =
		0; /* the one that hangs is down, and the others are changed all the same */
	cr_assert_eq(sim_rollback(s, "production", ""), 0, "%s", s->error.text);
	deliver_all_but(s, h); /* connected, and silent */
	sim_tick(s, 600000);
	deliver_all_but(s, h);
	cr_expect_eq(state_of(s, h), HOST_STATE(FAILED));
	for (size_t i = 1; i < 4; i++)
		cr_expect_str_eq(s->hosts[i].live, sim_release_of(s, 1)->row->id, "%s",
				 s->hosts[i].name);
	cr_expect(sim_env(s, "production")->row->degraded);
	cr_expect_null(sim_env(s, "production")->promotion);
}

Test(rollout_meets, a_first_release_that_fails_is_stopped_where_it_failed_too)
{
	cleanup(sim_freep) struct sim *s = sim_with_hosts(2, NULL);
	uint32_t r1 = sim_release(s);

	s->hosts[1].fail_activate = r1;
	cr_assert_eq(sim_promote(s, "production", r1), 0);
	sim_settle(s);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(FAILED));
	cr_expect_eq(s->hosts[0].stops, 1);
	cr_expect_eq(s->hosts[1].stops, 1, "a service that fails its check is running still");
}

Test(rollout_meets, a_rollback_that_finds_no_host_degrades)
{
	cleanup(sim_freep) struct sim *s = sim_serving(1, NULL);

	cr_assert_eq(sim_promote(s, "production", sim_release(s)), 0);
	sim_settle(s);
	relabel(s, &s->hosts[0], "elsewhere");
	sim_settle(s);
	cr_assert_eq(sim_rollback(s, "production", ""), 0, "%s", s->error.text);
	cr_expect(sim_env(s, "production")->row->degraded);
	cr_expect_null(sim_env(s, "production")->promotion);
	relabel(s, &s->hosts[0], "production");
	sim_settle(s);
	sim_expect_everywhere(s, "production", 1);
}

Test(rollout_meets, a_rollback_may_be_sent_elsewhere_while_it_runs)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, NULL);

	for (uint32_t r = 2; r <= 3; r++) {
		cr_assert_eq(sim_promote(s, "production", sim_release(s)), 0);
		sim_settle(s);
	}
	cr_assert_eq(sim_rollback(s, "production", ""), 0);
	sim_deliver(s);
	cr_assert_neq(sim_rollback(s, "production", ""), 0);
	cr_expect_str_eq(s->error.id, "E0406");
	cr_assert_eq(sim_rollback(s, "production", "r1"), 0, "%s", s->error.text);
	sim_settle(s);
	sim_expect_everywhere(s, "production", 1);
	cr_expect(!environment_is_quarantined(sim_env(s, "production"),
					      sim_release_of(s, 2)->row->id));
	cr_expect(environment_is_quarantined(sim_env(s, "production"),
					     sim_release_of(s, 3)->row->id));
}

/* ---- clocks ---- */

static void jump(struct sim *s, int64_t ms)
{
	s->now.wall_ms += ms;
	sim_tick(s, 0);
}

Test(rollout_meets, a_clock_that_jumps_ends_no_rollout_and_puts_no_end_off)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, NULL);

	cr_assert_eq(sim_promote(s, "production", sim_release(s)), 0);
	jump(s, 48 * 3600 * 1000);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(ROLLING_OUT));
	jump(s, -96 * 3600 * INT64_C(1000));
	sim_tick(s, 599999);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(ROLLING_OUT));
	sim_tick(s, 1);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(FAILED));
}

Test(rollout_meets, a_clock_that_jumps_makes_nobody_unreachable)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, NULL);
	uint32_t r2 = sim_release(s);

	cr_assert_eq(sim_promote(s, "production", r2), 0);
	sim_tick(s, ROLLOUT_RESTART_GRACE_MS);
	sim_disconnect(s, &s->hosts[1]);
	jump(s, 3600 * 1000);
	cr_expect_eq(state_of(s, &s->hosts[1]), HOST_STATE(PREPARING));
	sim_connect(s, &s->hosts[1]);
	sim_settle(s);
	sim_expect_everywhere(s, "production", r2);
}

Test(rollout_meets, a_clock_that_jumps_does_not_decide_for_a_person)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, true);

	sim_release(s);
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
	sim_settle(s);
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST);
	jump(s, 2 * (int64_t)PROMOTION_GIVE_UP_MS);
	cr_expect_eq(sim_outcome(s, "staging"), PROMOTION_STATE(PAUSED));
	sim_tick(s, PROMOTION_GIVE_UP_MS);
	cr_expect_eq(sim_outcome(s, "staging"), PROMOTION_STATE(FAILED));
}
