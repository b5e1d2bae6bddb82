#include "rollout_fixture.h"

#include <stdio.h>
#include <string.h>

static uint32_t promotion_batch(struct sim *s)
{
	cr_assert(sim_env(s, "production")->promotion);
	return sim_env(s, "production")->promotion->row->batch;
}

static void recreate(Sluice__V1__EnvironmentSpec *spec)
{
	spec->deploy->strategy = SLUICE__V1__DEPLOY_SPEC__STRATEGY__RECREATE;
}

static void by_halves(Sluice__V1__EnvironmentSpec *spec)
{
	spec->deploy->batch->count = 0;
	spec->deploy->batch->percent = 50;
	spec->deploy->max_unavailable->count = 0;
	spec->deploy->max_unavailable->percent = 50;
	spec->deploy->pause_ms = 60000;
}

Test(rollout, a_release_reaches_every_host_of_one_to_five)
{
	for (size_t n = 1; n <= 5; n++) {
		cleanup(sim_freep) struct sim *s = sim_serving(n, NULL);
		uint32_t r2 = sim_release(s);

		cr_assert_eq(sim_promote(s, "production", r2), 0);
		sim_settle(s);
		sim_expect_everywhere(s, "production", r2);
		cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(SUCCEEDED));
		cr_expect_eq(s->events[SLUICE__V1__EVENT_KIND__EVENT_HOST_ACTIVATED], 2 * n);
	}
}

Test(rollout, no_host_is_activated_before_all_are_prepared)
{
	cleanup(sim_freep) struct sim *s = sim_serving(3, NULL);
	uint32_t r2 = sim_release(s);

	cr_assert_eq(sim_promote(s, "production", r2), 0);
	for (unsigned prepared = 0; sim_deliver(s);) {
		prepared = 0;
		for (size_t i = 0; i < 3; i++)
			prepared += s->hosts[i].prepares == 2;
		for (size_t i = 0; i < 3; i++)
			cr_assert(prepared == 3 || s->hosts[i].activations == 1);
	}
	sim_expect_everywhere(s, "production", r2);
}

Test(rollout, a_rolling_one_changes_one_batch_at_a_time_and_pauses_between)
{
	cleanup(sim_freep) struct sim *s = sim_serving(4, by_halves);
	uint32_t r2 = sim_release(s);
	unsigned activations = 0;

	s->max_unavailable = 2;
	cr_assert_eq(sim_promote(s, "production", r2), 0);
	sim_settle(s);
	for (size_t i = 0; i < 4; i++)
		activations += s->hosts[i].activations - 1;
	cr_assert_eq(activations, 2, "the first batch only, but %u were changed", activations);
	sim_advance(s, 59999);
	cr_assert_eq(sim_env(s, "production")->promotion->row->batch, 1);
	sim_advance(s, 1);
	sim_expect_everywhere(s, "production", r2);
}

static void by_ones_with_a_pause(Sluice__V1__EnvironmentSpec *spec)
{
	spec->deploy->pause_ms = 60000;
}

Test(rollout, each_batch_is_followed_by_its_own_pause)
{
	cleanup(sim_freep) struct sim *s = sim_with_hosts(4, by_ones_with_a_pause);

	cr_assert_eq(sim_promote(s, "production", sim_release(s)), 0);
	sim_settle(s);
	for (uint32_t batch = 1; batch < 4; batch++) {
		cr_expect_eq(promotion_batch(s), batch);
		sim_advance(s, 59999);
		cr_expect_eq(promotion_batch(s), batch);
		sim_advance(s, 1);
	}
	sim_expect_everywhere(s, "production", 1);
}

Test(rollout, the_first_release_needs_no_room_for_hosts_that_serve_nothing)
{
	cleanup(sim_freep) struct sim *s = sim_with_hosts(4, by_halves);
	uint32_t r1 = sim_release(s);

	cr_assert_eq(sim_promote(s, "production", r1), 0);
	sim_advance(s, 60000);
	sim_expect_everywhere(s, "production", r1);
}

Test(rollout, recreate_stops_all_before_it_starts_any)
{
	cleanup(sim_freep) struct sim *s = sim_serving(3, recreate);
	uint32_t r2 = sim_release(s);

	s->max_unavailable = 0;
	cr_assert_eq(sim_promote(s, "production", r2), 0);
	while (sim_deliver(s)) {
		unsigned stopped = 0, started = 0;

		for (size_t i = 0; i < 3; i++) {
			stopped += s->hosts[i].stops;
			started += s->hosts[i].activations - 1;
		}
		cr_assert(!started || stopped == 3, "%u started when %u were stopped", started,
			  stopped);
	}
	sim_expect_everywhere(s, "production", r2);
}

Test(rollout, the_same_release_live_everywhere_is_a_success_without_work)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, NULL);
	uint64_t phi = sim_env(s, "production")->row->phi;

	cr_assert_eq(sim_promote(s, "production", 1), 0);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(SUCCEEDED));
	cr_expect_eq(sim_env(s, "production")->row->phi, phi);
	cr_expect(!sim_deliver(s), "an order was sent");
}

/* ---- failures ---- */

Test(rollout, a_host_that_cannot_prepare_ends_it_before_any_host_is_changed)
{
	cleanup(sim_freep) struct sim *s = sim_serving(3, NULL);
	uint32_t r2 = sim_release(s);

	s->hosts[1].fail_prepare = r2;
	cr_assert_eq(sim_promote(s, "production", r2), 0);
	sim_settle(s);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(FAILED));
	for (size_t i = 0; i < 3; i++) {
		cr_expect_eq(s->hosts[i].activations, 1);
		cr_expect(s->hosts[i].serving);
	}
	cr_expect(!environment_is_quarantined(sim_env(s, "production"),
					      sim_release_of(s, r2)->row->id),
		  "a full disk is not the release's fault");
	cr_expect_null(sim_env(s, "production")->row->hold);
}

Test(rollout, a_host_that_is_not_healthy_takes_all_back_and_quarantines)
{
	for (size_t bad = 0; bad < 3; bad++) {
		cleanup(sim_freep) struct sim *s = sim_serving(3, NULL);
		uint32_t r2 = sim_release(s);

		s->hosts[bad].fail_activate = r2;
		cr_assert_eq(sim_promote(s, "production", r2), 0);
		sim_settle(s);
		sim_expect_everywhere(s, "production", 1);
		cr_expect(environment_is_quarantined(sim_env(s, "production"),
						     sim_release_of(s, r2)->row->id));
		cr_expect_not_null(sim_env(s, "production")->row->hold);
		cr_expect(!sim_env(s, "production")->row->degraded);
		cr_expect_neq(sim_promote(s, "production", r2), 0);
		cr_expect_str_eq(s->error.id, "E0403");
	}
}

Test(rollout, a_rollback_does_not_touch_hosts_that_were_not_changed)
{
	cleanup(sim_freep) struct sim *s = sim_serving(3, NULL);
	uint32_t r2 = sim_release(s);

	s->hosts[1].fail_activate = r2;
	cr_assert_eq(sim_promote(s, "production", r2), 0);
	sim_settle(s);
	cr_expect_eq(s->hosts[0].activations, 3);
	cr_expect_eq(s->hosts[1].activations, 3);
	cr_expect_eq(s->hosts[2].activations, 1, "it was never changed");
}

Test(rollout, a_rollback_to_a_slot_that_is_there_fetches_nothing)
{
	cleanup(sim_freep) struct sim *s = sim_serving(3, NULL);
	uint32_t r2 = sim_release(s);

	cr_assert_eq(sim_promote(s, "production", r2), 0);
	sim_settle(s);
	cr_assert_eq(sim_rollback(s, "production", ""), 0, "%s", s->error.text);
	sim_settle(s);
	sim_expect_everywhere(s, "production", 1);
	for (size_t i = 0; i < 3; i++)
		cr_expect_eq(s->hosts[i].prepares, 2, "r1 and r2, once each");
}

Test(rollout, a_slot_that_is_gone_is_fetched_again_for_a_rollback)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, NULL);
	uint32_t r2 = sim_release(s);

	cr_assert_eq(sim_promote(s, "production", r2), 0);
	sim_settle(s);
	sim_disconnect(s, &s->hosts[0]);
	snprintf(s->hosts[0].slots[0], ID_SIZE, "%s", s->hosts[0].slots[1]);
	s->hosts[0].n_slots = 1;
	sim_connect(s, &s->hosts[0]);
	cr_assert_eq(sim_rollback(s, "production", ""), 0);
	sim_settle(s);
	sim_expect_everywhere(s, "production", 1);
	cr_expect_eq(s->hosts[0].prepares, 3);
	cr_expect_eq(s->hosts[1].prepares, 2);
}

Test(rollout, a_first_release_that_fails_leaves_nothing_running)
{
	cleanup(sim_freep) struct sim *s = sim_with_hosts(2, NULL);
	uint32_t r1 = sim_release(s);

	s->hosts[1].fail_activate = r1;
	cr_assert_eq(sim_promote(s, "production", r1), 0);
	sim_settle(s);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(FAILED));
	cr_expect_str_empty(sim_env(s, "production")->row->live);
	cr_expect(sim_env(s, "production")->row->degraded);
	cr_expect(!s->hosts[0].serving && !s->hosts[1].serving);
}

Test(rollout, a_rollback_that_fails_degrades_and_is_not_rolled_back)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, NULL);
	uint32_t r2 = sim_release(s);

	s->hosts[1].fail_any = 2;
	cr_assert_eq(sim_promote(s, "production", r2), 0);
	sim_settle(s);
	cr_expect(sim_env(s, "production")->row->degraded);
	cr_expect_null(sim_env(s, "production")->promotion);
	cr_expect_eq(s->events[SLUICE__V1__EVENT_KIND__EVENT_PROMOTION_STARTED], 3);
	cr_expect(s->hosts[0].serving);
	cr_expect_str_eq(s->hosts[0].live, sim_release_of(s, 1)->row->id);
	/* It is tried again when the host is back. */
	sim_disconnect(s, &s->hosts[1]);
	sim_connect(s, &s->hosts[1]);
	sim_settle(s);
	cr_expect_str_eq(s->hosts[1].live, sim_release_of(s, 1)->row->id);
	cr_expect(s->hosts[1].serving);
}

Test(rollout, no_progress_in_time_takes_it_back)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, NULL);
	uint32_t r2 = sim_release(s);

	cr_assert_eq(sim_promote(s, "production", r2), 0);
	/* Both prepare; then one hangs in its activation. */
	while (!s->hosts[0].changing && !s->hosts[1].changing)
		cr_assert(sim_deliver(s));
	sim_tick(s, 599999);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(ROLLING_OUT));
	sim_tick(s, 1);
	cr_expect_eq(s->events[SLUICE__V1__EVENT_KIND__EVENT_PROMOTION_STARTED], 3);
	sim_settle(s);
	sim_expect_everywhere(s, "production", 1);
}
