#include <stdio.h>
#include <string.h>

#include "rollout_fixture.h"

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

/* ---- unreachable hosts ---- */

Test(rollout_hosts, an_unreachable_host_fails_it_at_once_where_the_policy_says_so)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, unreachable_fails);
	uint32_t r2 = sim_release(s);

	sim_advance(s, ROLLOUT_RESTART_GRACE_MS);
	sim_disconnect(s, &s->hosts[1]);
	cr_assert_eq(sim_promote(s, "production", r2), 0);
	sim_settle(s);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(FAILED));
	cr_expect_eq(s->hosts[0].activations, 1);
}

Test(rollout_hosts, a_skipped_host_is_diverged_and_converges_when_it_is_back)
{
	cleanup(sim_freep) struct sim *s = sim_serving(3, unreachable_skips_one);
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

Test(rollout_hosts, hosts_that_come_back_are_changed_under_the_same_limit)
{
	cleanup(sim_freep) struct sim *s = sim_serving(3, unreachable_skips_two);
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

Test(rollout_hosts, it_waits_where_max_unavailable_cannot_hold_and_says_so)
{
	cleanup(sim_freep) struct sim *s = sim_serving(3, NULL);
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
	cr_expect(strstr(why, "0 of 3 hosts serve it"), "%s", why);
	cr_expect(strstr(why, "'host-a' waits, for no more than 1 of the hosts"), "%s", why);
	cr_expect(strstr(why, "'host-c' is unreachable"), "%s", why);
	sim_connect(s, &s->hosts[2]);
	sim_settle(s);
	sim_expect_everywhere(s, "production", r2);
}

/* ---- phi ---- */

Test(rollout_hosts, an_answer_to_an_older_order_changes_nothing)
{
	cleanup(sim_freep) struct sim *s = sim_serving(1, NULL);
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

Test(rollout_hosts, every_promotion_and_rollback_takes_the_next_phi)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, NULL);
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

Test(rollout_hosts, a_host_that_falls_ill_later_is_told_of_and_counts_as_down)
{
	cleanup(sim_freep) struct sim *s = sim_serving(3, NULL);
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

Test(rollout_hosts, a_new_host_converges_to_the_live_release)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, NULL);

	sim_host_add(s, "host-x", "production");
	sim_settle(s);
	sim_expect_everywhere(s, "production", 1);
	cr_expect_eq(sim_env(s, "production")->row->phi, 1);
}

Test(rollout_hosts, a_host_that_lost_its_disk_converges_again)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, NULL);
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

Test(rollout_hosts, a_host_whose_labels_no_longer_match_is_told_to_let_go)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, NULL);
	struct agent *agent = sim_agent(s, &s->hosts[1]);

	message_set_string(&agent->row->labels[0]->value, "elsewhere");
	delivery_agent_changed(s->world, agent);
	sim_commit(s);
	sim_settle(s);
	cr_expect_eq(s->hosts[1].removals, 1);
	cr_expect_eq(sim_env(s, "production")->row->n_hosts, 1);
	cr_expect_eq(agent->n_environments, 0);
}

Test(rollout_hosts, a_host_that_belongs_again_before_it_let_go_is_begun_anew)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, NULL);
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

Test(rollout_hosts, a_revoked_host_does_not_hold_up_a_rollout)
{
	cleanup(sim_freep) struct sim *s = sim_serving(3, NULL);
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

Test(rollout_hosts, a_drained_host_goes_on_serving_and_gets_the_next_release)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, NULL);
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
