#include "rollout_fixture.h"

#include <stdio.h>
#include <string.h>

static struct sim *with_hosts(size_t n, void (*change)(Sluice__V1__EnvironmentSpec *))
{
	static const char *const names[] = { "host-a", "host-b", "host-c", "host-d", "host-e" };
	struct sim *s = sim_new(n);
	Sluice__V1__EnvironmentSpec *spec = sim_spec("production", "");

	if (change)
		change(spec);
	s->max_unavailable = 1;
	for (size_t i = 0; i < n; i++)
		sim_host_add(s, names[i], "production");
	sim_apply_one(s, spec);
	message_free(spec);
	return s;
}

/* With r1 live everywhere. */
static struct sim *serving(size_t n, void (*change)(Sluice__V1__EnvironmentSpec *))
{
	struct sim *s = with_hosts(n, change);
	uint32_t r1 = sim_release(s);

	cr_assert_eq(sim_promote(s, "production", r1), 0, "%s", s->error.text);
	sim_advance(s, 60000);
	sim_expect_everywhere(s, "production", r1);
	return s;
}

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

static void unreachable_fails(Sluice__V1__EnvironmentSpec *spec)
{
	spec->deploy->unreachable = message_new(&sluice__v1__unreachable__descriptor);
	spec->deploy->unreachable->fail = true;
}

static void unreachable_skips_one(Sluice__V1__EnvironmentSpec *spec)
{
	spec->deploy->unreachable = message_new(&sluice__v1__unreachable__descriptor);
	spec->deploy->unreachable->skip = 1;
	spec->deploy->unreachable->wait_ms = 60000;
	spec->deploy->max_unavailable->count = 2;
}

Test(rollout, a_release_reaches_every_host_of_one_to_five)
{
	for (size_t n = 1; n <= 5; n++) {
		cleanup(sim_freep) struct sim *s = serving(n, NULL);
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
	cleanup(sim_freep) struct sim *s = serving(3, NULL);
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
	cleanup(sim_freep) struct sim *s = serving(4, by_halves);
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
	cleanup(sim_freep) struct sim *s = with_hosts(4, by_ones_with_a_pause);

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
	cleanup(sim_freep) struct sim *s = with_hosts(4, by_halves);
	uint32_t r1 = sim_release(s);

	cr_assert_eq(sim_promote(s, "production", r1), 0);
	sim_advance(s, 60000);
	sim_expect_everywhere(s, "production", r1);
}

Test(rollout, recreate_stops_all_before_it_starts_any)
{
	cleanup(sim_freep) struct sim *s = serving(3, recreate);
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
	cleanup(sim_freep) struct sim *s = serving(2, NULL);
	uint64_t phi = sim_env(s, "production")->row->phi;

	cr_assert_eq(sim_promote(s, "production", 1), 0);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(SUCCEEDED));
	cr_expect_eq(sim_env(s, "production")->row->phi, phi);
	cr_expect(!sim_deliver(s), "an order was sent");
}

/* ---- failures ---- */

Test(rollout, a_host_that_cannot_prepare_ends_it_before_any_host_is_changed)
{
	cleanup(sim_freep) struct sim *s = serving(3, NULL);
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
		cleanup(sim_freep) struct sim *s = serving(3, NULL);
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
	cleanup(sim_freep) struct sim *s = serving(3, NULL);
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
	cleanup(sim_freep) struct sim *s = serving(3, NULL);
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
	cleanup(sim_freep) struct sim *s = serving(2, NULL);
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
	cleanup(sim_freep) struct sim *s = with_hosts(2, NULL);
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
	cleanup(sim_freep) struct sim *s = serving(2, NULL);
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
	cleanup(sim_freep) struct sim *s = serving(2, NULL);
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

/* ---- unreachable hosts ---- */

Test(rollout, an_unreachable_host_fails_it_at_once_where_the_policy_says_so)
{
	cleanup(sim_freep) struct sim *s = serving(2, unreachable_fails);
	uint32_t r2 = sim_release(s);

	sim_advance(s, ROLLOUT_RESTART_GRACE_MS);
	sim_disconnect(s, &s->hosts[1]);
	cr_assert_eq(sim_promote(s, "production", r2), 0);
	sim_settle(s);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(FAILED));
	cr_expect_eq(s->hosts[0].activations, 1);
}

Test(rollout, a_skipped_host_is_diverged_and_converges_when_it_is_back)
{
	cleanup(sim_freep) struct sim *s = serving(3, unreachable_skips_one);
	uint32_t r2 = sim_release(s);

	s->max_unavailable = 2;
	sim_disconnect(s, &s->hosts[2]);
	cr_assert_eq(sim_promote(s, "production", r2), 0);
	sim_advance(s, 59999);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(ROLLING_OUT));
	sim_advance(s, 1);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(SUCCEEDED));
	cr_expect_eq(environment_host(sim_env(s, "production"), s->hosts[2].id)->state,
		     HOST_STATE(DIVERGED));
	sim_connect(s, &s->hosts[2]);
	sim_settle(s);
	sim_expect_everywhere(s, "production", r2);
}

static void unreachable_skips_two(Sluice__V1__EnvironmentSpec *spec)
{
	unreachable_skips_one(spec);
	spec->deploy->unreachable->skip = 2;
	spec->deploy->max_unavailable->count = 3;
}

Test(rollout, hosts_that_come_back_are_changed_under_the_same_limit)
{
	cleanup(sim_freep) struct sim *s = serving(3, unreachable_skips_two);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *strict = sim_spec("production", "");
	uint32_t r2 = sim_release(s);

	s->max_unavailable = 3;
	sim_disconnect(s, &s->hosts[1]);
	sim_disconnect(s, &s->hosts[2]);
	cr_assert_eq(sim_promote(s, "production", r2), 0);
	sim_advance(s, 60000);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(SUCCEEDED));
	sim_apply_one(s, strict);
	s->max_unavailable = 1;
	sim_connect(s, &s->hosts[1]);
	sim_connect(s, &s->hosts[2]);
	while (sim_deliver_to(s, &s->hosts[1]) + sim_deliver_to(s, &s->hosts[2]))
		;
	sim_expect_everywhere(s, "production", r2);
}

Test(rollout, it_waits_where_max_unavailable_cannot_hold_and_says_so)
{
	cleanup(sim_freep) struct sim *s = serving(3, NULL);
	uint32_t r2 = sim_release(s);
	cleanup(freep) char *why = NULL;

	cr_assert_eq(sim_promote(s, "production", r2), 0);
	while (s->hosts[2].n_inbox || s->hosts[2].unsent)
		sim_deliver_to(s, &s->hosts[2]);
	sim_disconnect(s, &s->hosts[2]);
	sim_settle(s);
	cr_expect_eq(s->hosts[0].activations, 1);
	cr_expect_eq(s->hosts[1].activations, 1);
	why = rollout_describe(s->world, sim_env(s, "production"));
	cr_expect(strstr(why, "0 of 3 hosts NEW"), "%s", why);
	cr_expect(strstr(why, "'host-a' waits, for no more than 1 of the hosts"), "%s", why);
	cr_expect(strstr(why, "'host-c' is unreachable"), "%s", why);
	sim_connect(s, &s->hosts[2]);
	sim_settle(s);
	sim_expect_everywhere(s, "production", r2);
}

/* ---- phi ---- */

Test(rollout, an_answer_to_an_older_order_changes_nothing)
{
	cleanup(sim_freep) struct sim *s = serving(1, NULL);
	Sluice__V1__HostReport r = SLUICE__V1__HOST_REPORT__INIT;
	const Sluice__V1__EnvironmentHost *host;

	cr_assert_eq(sim_promote(s, "production", sim_release(s)), 0);
	host = environment_host(sim_env(s, "production"), s->hosts[0].id);
	r.environment = (char *)"production";
	r.step = SLUICE__V1__HOST_STEP__HOST_PREPARE;
	r.state = SLUICE__V1__HOST_REPORT__STATE__DONE;
	r.phi = sim_env(s, "production")->row->phi - 1;
	r.attempt = host->attempt;
	delivery_host_report(s->world, sim_agent(s, &s->hosts[0]), &r);
	cr_expect_eq(host->state, HOST_STATE(PREPARING), "an older phi");
	r.phi++;
	r.attempt--;
	delivery_host_report(s->world, sim_agent(s, &s->hosts[0]), &r);
	cr_expect_eq(host->state, HOST_STATE(PREPARING), "an older attempt");
	r.attempt++;
	r.step = SLUICE__V1__HOST_STEP__HOST_ACTIVATE;
	delivery_host_report(s->world, sim_agent(s, &s->hosts[0]), &r);
	cr_expect_eq(host->state, HOST_STATE(PREPARING), "another step");
	sim_commit(s);
}

Test(rollout, every_promotion_and_rollback_takes_the_next_phi)
{
	cleanup(sim_freep) struct sim *s = serving(2, NULL);
	uint64_t phi = sim_env(s, "production")->row->phi;

	cr_expect_eq(phi, 1);
	cr_assert_eq(sim_promote(s, "production", sim_release(s)), 0);
	sim_settle(s);
	cr_expect_eq(sim_env(s, "production")->row->phi, 2);
	cr_assert_eq(sim_rollback(s, "production", ""), 0);
	cr_expect_eq(sim_env(s, "production")->row->phi, 3);
	sim_settle(s);
	cr_expect_eq(s->hosts[0].refused + s->hosts[1].refused, 0);
}

/* ---- hosts come and go ---- */

static void find_unhealthy(void *arg, Sluice__V1__Wait *wait)
{
	*(bool *)arg |= !strcmp(wait->sentence,
				"host 'host-b' runs what is live, but its last check failed");
	message_free(wait);
}

Test(rollout, a_host_that_falls_ill_later_is_told_of_and_counts_as_down)
{
	cleanup(sim_freep) struct sim *s = serving(3, NULL);
	struct sim_host *h = &s->hosts[1];
	bool found = false;

	h->report->healthy = h->serving = false;
	h->unsent = true;
	sim_settle(s);
	delivery_waits(s->world, find_unhealthy, &found);
	cr_expect(found);
	cr_expect(!host_serves(s->world, environment_host(sim_env(s, "production"), h->id)));
	/* The next release goes to it first: the others cannot be spared. */
	cr_assert_eq(sim_promote(s, "production", sim_release(s)), 0);
	cr_expect_str_eq(sim_env(s, "production")->promotion->row->plan[0], h->id);
	sim_settle(s);
	sim_expect_everywhere(s, "production", 2);
}

Test(rollout, a_new_host_converges_to_the_live_release)
{
	cleanup(sim_freep) struct sim *s = serving(2, NULL);

	sim_host_add(s, "host-x", "production");
	sim_settle(s);
	sim_expect_everywhere(s, "production", 1);
	cr_expect_eq(sim_env(s, "production")->row->phi, 1);
}

Test(rollout, a_host_that_lost_its_disk_converges_again)
{
	cleanup(sim_freep) struct sim *s = serving(2, NULL);
	struct sim_host *h = &s->hosts[1];

	sim_disconnect(s, h);
	h->live[0] = 0;
	h->n_slots = 0;
	h->serving = false;
	message_free(h->report);
	h->report = NULL;
	sim_connect(s, h);
	sim_settle(s);
	sim_expect_everywhere(s, "production", 1);
}

Test(rollout, a_host_whose_labels_no_longer_match_is_told_to_let_go)
{
	cleanup(sim_freep) struct sim *s = serving(2, NULL);
	struct agent *agent = sim_agent(s, &s->hosts[1]);

	message_set_string(&agent->row->labels[0]->value, "elsewhere");
	delivery_agent_changed(s->world, agent);
	sim_commit(s);
	sim_settle(s);
	cr_expect_eq(s->hosts[1].removals, 1);
	cr_expect_eq(sim_env(s, "production")->row->n_hosts, 1);
	cr_expect_eq(agent->n_environments, 0);
}

Test(rollout, a_host_that_belongs_again_before_it_let_go_is_begun_anew)
{
	cleanup(sim_freep) struct sim *s = serving(2, NULL);
	struct agent *agent = sim_agent(s, &s->hosts[1]);

	message_set_string(&agent->row->labels[0]->value, "elsewhere");
	delivery_agent_changed(s->world, agent);
	sim_commit(s);
	message_set_string(&agent->row->labels[0]->value, "production");
	delivery_agent_changed(s->world, agent);
	sim_commit(s);
	sim_settle(s);
	sim_expect_everywhere(s, "production", 1);
}

Test(rollout, a_revoked_host_does_not_hold_up_a_rollout)
{
	cleanup(sim_freep) struct sim *s = serving(3, NULL);
	uint32_t r2 = sim_release(s);
	struct agent *agent = sim_agent(s, &s->hosts[1]);

	cr_assert_eq(sim_promote(s, "production", r2), 0);
	agent->row->state = SLUICE__V1__AGENT__STATE__REVOKED;
	sim_disconnect(s, &s->hosts[1]);
	delivery_agent_changed(s->world, agent);
	sim_commit(s);
	s->hosts[1].served = false; /* no host of the environment any more */
	snprintf(s->hosts[1].label, sizeof s->hosts[1].label, "gone");
	sim_settle(s);
	sim_expect_everywhere(s, "production", r2);
}

Test(rollout, a_drained_host_goes_on_serving_and_gets_the_next_release)
{
	cleanup(sim_freep) struct sim *s = serving(2, NULL);
	uint32_t r2 = sim_release(s);
	struct agent *agent = sim_agent(s, &s->hosts[1]);

	agent->row->state = SLUICE__V1__AGENT__STATE__DRAINING;
	delivery_agent_changed(s->world, agent);
	sim_commit(s);
	cr_expect_eq(s->hosts[1].stops + s->hosts[1].removals, 0);
	cr_assert_eq(sim_promote(s, "production", r2), 0);
	sim_settle(s);
	sim_expect_everywhere(s, "production", r2);
}
