#include <stdio.h>
#include <string.h>

#include "controller/model/hosts.h"
#include "rollout_fixture.h"

static const Sluice__V1__Actor bob = { PROTOBUF_C_MESSAGE_INIT(&sluice__v1__actor__descriptor),
				       SLUICE__V1__ACTOR__KIND__USER, (char *)"u2", (char *)"bob" };

static int apply(struct sim *s, const char *pipeline, Sluice__V1__EnvironmentSpec **specs, size_t n,
		 bool dry_run, Sluice__V1__ApplyReply **ret)
{
	Sluice__V1__Pipeline p = SLUICE__V1__PIPELINE__INIT;
	Sluice__V1__ApplyRequest request = SLUICE__V1__APPLY_REQUEST__INIT;
	struct caller caller = { .actor = &bob, .role = SLUICE__V1__ROLE__ADMIN };
	struct environment_apply req = { &caller, &request, &p };
	int r;

	p.name = (char *)pipeline;
	p.environments = specs;
	p.n_environments = n;
	request.file_name = (char *)"sluice.yaml";
	request.dry_run = dry_run;
	r = environments_apply(s->world, s->now, &req, ret, &s->error);
	sim_commit(s);
	return r;
}

static bool has_line(const Sluice__V1__PolicyChange *change, const char *line)
{
	for (size_t i = 0; i < change->n_lines; i++)
		if (!strcmp(change->lines[i], line))
			return true;
	return false;
}

Test(environments, a_dry_run_shows_the_difference_and_records_nothing)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec("staging", "");
	cleanup(message_freep) Sluice__V1__ApplyReply *reply = NULL;
	Sluice__V1__JobSpec *step = message_new(&sluice__v1__job_spec__descriptor);
	const Sluice__V1__PolicyChange *change;

	spec->deploy->batch->count = 0;
	spec->deploy->batch->percent = 50;
	sim_apply_one(s, spec);
	spec->deploy->batch->count = 1;
	spec->deploy->pause_ms = 90000;
	spec->auto_newest = true;
	message_set_string(&spec->agents[0]->value, "stage");
	message_set_string(&step->name, "smoke");
	message_append(spec, verify, step);
	cr_assert_eq(apply(s, "fraud", &spec, 1, true, &reply), 0, "%s", s->error.text);
	cr_assert_eq(reply->n_changes, 1);
	change = reply->changes[0];
	cr_expect_eq(change->policy, 2);
	cr_expect(!change->created);
	cr_expect_eq(change->n_lines, 5);
	cr_expect(has_line(change, "deploy.batch: 50% -> 1"));
	cr_expect(has_line(change, "deploy.pause: none -> 1m30s"));
	cr_expect(has_line(change, "auto_newest: no -> yes"));
	cr_expect(has_line(change, "agents: env=staging -> env=stage"));
	cr_expect(has_line(change, "verify.smoke: added"));
	cr_expect_eq(sim_env(s, "staging")->row->policy, 1);
	cr_expect(!sim_env(s, "staging")->row->spec->auto_newest);
}

Test(environments, an_apply_takes_the_next_number_only_where_something_changed)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec("staging", "");
	cleanup(message_freep) Sluice__V1__ApplyReply *same = NULL;
	cleanup(message_freep) Sluice__V1__ApplyReply *other = NULL;

	sim_apply_one(s, spec);
	cr_assert_eq(apply(s, "fraud", &spec, 1, false, &same), 0);
	cr_expect_eq(same->changes[0]->n_lines, 0);
	cr_expect_eq(sim_env(s, "staging")->row->policy, 1);
	spec->deploy->max_failed = 1;
	cr_assert_eq(apply(s, "fraud", &spec, 1, false, &other), 0);
	cr_expect_eq(other->changes[0]->n_lines, 1);
	cr_expect_str_eq(other->changes[0]->lines[0], "deploy.max_failed: 0 -> 1");
	cr_expect_eq(sim_env(s, "staging")->row->policy, 2);
}

Test(environments, what_cannot_be_recorded_is_refused_whole)
{
	static const struct {
		const char *name, *after, *pipeline, *says;
	} wrong[] = {
		{ "staging", "", "churn",
		  "takes the releases of pipeline 'fraud', not of 'churn'" },
		{ "prod", "nowhere", "fraud", "'prod' comes after 'nowhere', which there is not" },
		{ "prod", "prod", "fraud", "comes after itself" },
		{ "../etc", "", "fraud", "'../etc' is no name for an environment" },
	};
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *first = sim_spec("staging", "");

	sim_apply_one(s, first);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		cleanup(message_freep) Sluice__V1__EnvironmentSpec *good = sim_spec("good", "");
		cleanup(message_freep) Sluice__V1__EnvironmentSpec *bad =
			sim_spec(wrong[i].name, wrong[i].after);
		cleanup(message_freep) Sluice__V1__ApplyReply *reply = NULL;
		Sluice__V1__EnvironmentSpec *both[] = { good, bad };

		cr_expect_eq(apply(s, wrong[i].pipeline, both, 2, false, &reply), -1);
		cr_expect(strstr(s->error.text, wrong[i].says), "%s", s->error.text);
		cr_expect_null(reply);
		cr_expect_null(world_environment(s->world, "good", NULL));
	}
}

Test(environments, two_that_come_after_each_other_are_refused)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *a = sim_spec("a", "b");
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *b = sim_spec("b", "a");
	cleanup(message_freep) Sluice__V1__ApplyReply *reply = NULL;
	Sluice__V1__EnvironmentSpec *both[] = { a, b };

	cr_expect_eq(apply(s, "fraud", both, 2, false, &reply), -1);
	cr_expect(strstr(s->error.text, "comes after itself"), "%s", s->error.text);
}

Test(environments, a_rollout_under_way_keeps_the_policy_it_began_with)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec("production", "");

	sim_host_add(s, "host-a", "production");
	sim_host_add(s, "host-b", "production");
	sim_host_add(s, "host-c", "elsewhere");
	sim_apply_one(s, spec);
	cr_assert_eq(sim_promote(s, "production", sim_release(s)), 0);
	message_set_string(&spec->agents[0]->value, "elsewhere");
	sim_apply_one(s, spec);
	cr_expect_eq(sim_env(s, "production")->promotion->row->policy, 1);
	cr_expect_eq(sim_env(s, "production")->promotion->row->n_plan, 2);
	sim_restart(s);
	sim_settle(s);
	/* Only then the hosts change: two leave, one comes. */
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(SUCCEEDED));
	cr_expect_eq(s->hosts[0].removals, 1);
	cr_expect_eq(s->hosts[1].removals, 1);
	cr_expect_str_eq(s->hosts[2].live, sim_release_of(s, 1)->row->id);
	cr_expect_eq(sim_env(s, "production")->row->n_hosts, 1);
	cr_expect_eq(sim_agent(s, &s->hosts[0])->n_environments, 0);
	cr_expect_eq(sim_agent(s, &s->hosts[2])->n_environments, 1);
}

Test(environments, shared_hosts_are_not_kept_from_other_work)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec("staging", "");
	struct agent *agent = sim_agent(s, sim_host_add(s, "host-a", "staging"));

	sim_apply_one(s, spec);
	cr_expect_eq(agent->n_environments, 1);
	spec->shared = true;
	sim_apply_one(s, spec);
	cr_expect_eq(agent->n_environments, 0);
	spec->shared = false;
	sim_apply_one(s, spec);
	cr_expect_eq(agent->n_environments, 1);
	sim_restart(s);
	cr_expect_eq(sim_agent(s, &s->hosts[0])->n_environments, 1);
}

static Sluice__V1__Run *submit(struct sim *s, Sluice__V1__EnvironmentSpec *spec, bool admin)
{
	Sluice__V1__Pipeline p = SLUICE__V1__PIPELINE__INIT;
	Sluice__V1__Run *run = message_new(&sluice__v1__run__descriptor);

	p.name = (char *)"fraud";
	p.environments = &spec;
	p.n_environments = 1;
	message_set_string(&run->file, "sluice.yaml");
	cr_assert_eq(delivery_apply_new(s->world, &p, &bob, admin, run, &s->error), 0, "%s",
		     s->error.text);
	sim_commit(s);
	return run;
}

Test(environments, a_submit_creates_what_is_missing_for_an_admin_and_changes_nothing_else)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec("staging", "");
	cleanup(message_freep) Sluice__V1__Run *by_operator = submit(s, spec, false);
	cleanup(message_freep) Sluice__V1__Run *admin = NULL;
	cleanup(message_freep) Sluice__V1__Run *same = NULL;
	cleanup(message_freep) Sluice__V1__Run *changed = NULL;

	cr_assert_eq(by_operator->n_notes, 1);
	cr_expect_str_eq(by_operator->notes[0],
			 "there is no environment 'staging' yet; an admin records "
			 "it: sluice env apply sluice.yaml");
	cr_expect_null(world_environment(s->world, "staging", NULL));
	admin = submit(s, spec, true);
	cr_expect_str_eq(sim_env(s, "staging")->row->spec->pipeline, "fraud");
	cr_expect_eq(admin->n_notes, 1);
	same = submit(s, spec, true);
	cr_expect_eq(same->n_notes, 0);
	spec->deploy->max_failed = 3;
	changed = submit(s, spec, true);
	cr_assert_eq(changed->n_notes, 1);
	cr_expect(strstr(changed->notes[0],
			 "the file's `staging` differs from the recorded policy 1, which holds"));
	cr_expect_eq(sim_env(s, "staging")->row->spec->deploy->max_failed, 0);
}

Test(environments, hosts_are_the_enabled_agents_that_match_by_name)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec("staging", "");
	struct agent *drained;

	sim_host_add(s, "host-c", "staging");
	sim_host_add(s, "host-a", "staging");
	sim_host_add(s, "host-b", "production");
	drained = sim_agent(s, sim_host_add(s, "host-d", "staging"));
	drained->row->state = SLUICE__V1__AGENT__STATE__DRAINING;
	sim_apply_one(s, spec);
	cr_assert_eq(sim_env(s, "staging")->row->n_hosts, 2);
	cr_expect_str_eq(sim_env(s, "staging")->row->hosts[0]->agent_name, "host-a");
	cr_expect_str_eq(sim_env(s, "staging")->row->hosts[1]->agent_name, "host-c");
	cr_expect(environment_has_host(sim_env(s, "staging"), sim_agent(s, &s->hosts[0])));
	cr_expect(!environment_has_host(sim_env(s, "staging"), sim_agent(s, &s->hosts[2])));
}

Test(environments, what_cannot_be_an_address_is_no_endpoint)
{
	static const struct {
		const char *said, *kept;
	} cases[] = {
		{ "gpu-1.example.org:18000", "gpu-1.example.org:18000" },
		{ "[fe80::1%eth0]:18000", "[fe80::1%eth0]:18000" },
		{ "host:1,other:2", "" },
		{ "host:1\nPATH=/tmp", "" },
	};
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec("staging", "");
	Sluice__V1__HostReport r = SLUICE__V1__HOST_REPORT__INIT;
	Sluice__V1__EnvironmentHost *host;
	struct environment *env;

	sim_host_add(s, "host-a", "staging");
	sim_apply_one(s, spec);
	env = sim_env(s, "staging");
	host = env->row->hosts[0];
	r.attempt = host->attempt;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		r.endpoint = (char *)cases[i].said;
		host_take_report(s->world, env, host, &r);
		cr_expect_str_eq(host->endpoint, cases[i].kept);
	}
}

Test(environments, details_tell_releases_hosts_and_what_waits)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec("staging", "");
	cleanup(message_freep) Sluice__V1__EnvironmentDetail *d = NULL;
	char **endpoints;
	size_t n;

	sim_host_add(s, "host-a", "staging");
	sim_host_add(s, "host-b", "staging");
	sim_apply_one(s, spec);
	cr_assert_eq(sim_promote(s, "staging", sim_release(s)), 0);
	sim_settle(s);
	n = environment_endpoints(sim_env(s, "staging"), &endpoints);
	cr_assert_eq(n, 2);
	cr_expect_str_eq(endpoints[1], "host-b");
	free(endpoints[0]);
	free(endpoints[1]);
	free(endpoints);
	sim_disconnect(s, &s->hosts[1]);
	cr_assert_eq(sim_promote(s, "staging", sim_release(s)), 0);
	sim_settle(s);
	cr_assert_eq(environments_get(s->world, s->now, "staging", &d, &s->error), 0);
	cr_expect_eq(d->live->number, 1);
	cr_expect_eq(d->promotion->release_number, 2);
	cr_expect_eq(d->environment->hosts[1]->state, HOST_STATE(UNREACHABLE));
	cr_expect_eq(d->n_releases, 2);
	cr_assert_eq(d->n_waits, 1);
	cr_expect_str_eq(d->waits[0]->subject, "r2 -> staging");
	cr_expect_str_eq(d->waits[0]->sentence,
			 "0 of 2 hosts serve it; 'host-b' is unreachable; 'host-a' is prepared");
}

Test(environments, the_newest_slots_of_a_host_are_remembered)
{
	cleanup(sim_freep) struct sim *s = sim_serving(1, NULL);
	cleanup(message_freep) Sluice__V1__HostReport *r = message_copy(s->hosts[0].report);
	const Sluice__V1__EnvironmentHost *host =
		environment_host(sim_env(s, "production"), s->hosts[0].id);

	for (unsigned i = 0; i < 2 * HOST_SLOTS; i++)
		message_append(r, slots, xprintf("release-%u", i));
	delivery_host_report(s->world, sim_agent(s, &s->hosts[0]), r);
	sim_commit(s);
	cr_expect_eq(host->n_slots, (size_t)HOST_SLOTS);
	cr_expect_str_eq(host->slots[HOST_SLOTS - 1], r->slots[r->n_slots - 1]);
}

Test(environments, they_are_listed_in_the_order_of_promotion)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *a = sim_spec("asia", "staging");
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *b = sim_spec("staging", "lab");
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *c = sim_spec("lab", "");
	cleanup(message_freep) Sluice__V1__ListEnvironmentsReply *reply = NULL;
	Sluice__V1__EnvironmentSpec *all[] = { a, b, c };
	struct environments_page page = { .after = "", .limit = 100 };

	sim_apply(s, "fraud", all, 3);
	cr_assert_eq(environments_list(s->world, s->now, &page, &reply, &s->error), 0);
	cr_assert_eq(reply->n_environments, 3);
	cr_expect_str_eq(reply->environments[0]->environment->name, "lab");
	cr_expect_str_eq(reply->environments[1]->environment->name, "staging");
	cr_expect_str_eq(reply->environments[2]->environment->name, "asia");
	cr_expect_str_eq(reply->next, "");
}

Test(environments, a_list_of_them_comes_in_pages)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *a = sim_spec("asia", "staging");
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *b = sim_spec("staging", "lab");
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *c = sim_spec("lab", "");
	Sluice__V1__EnvironmentSpec *all[] = { a, b, c };
	static const char *const names[] = { "lab", "staging", "asia" };
	char after[64] = "";

	sim_apply(s, "fraud", all, 3);
	for (int i = 0; i < 3; i++) {
		cleanup(message_freep) Sluice__V1__ListEnvironmentsReply *reply = NULL;
		struct environments_page page = { .after = after, .limit = 1 };

		cr_assert_eq(environments_list(s->world, s->now, &page, &reply, &s->error), 0);
		cr_assert_eq(reply->n_environments, 1);
		cr_expect_str_eq(reply->environments[0]->environment->name, names[i]);
		cr_expect_str_eq(reply->next, i < 2 ? names[i] : "");
		snprintf(after, sizeof after, "%s", reply->next);
	}
}

Test(environments, a_page_ends_before_it_is_too_large_for_a_message)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	struct environments_page page = { .after = "", .limit = 1000 };
	size_t seen = 0;
	int pages = 0;

	for (int i = 0; i < 12; i++) {
		cleanup(freep) char *name = xprintf("env-%02d", i);
		cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec(name, "");
		Sluice__V1__EnvironmentSpec *one[] = { spec };

		free(spec->deploy->service);
		spec->deploy->service = xcalloc(1, 300001);
		memset(spec->deploy->service, 'x', 300000);
		sim_apply(s, "fraud", one, 1);
	}
	do {
		cleanup(message_freep) Sluice__V1__ListEnvironmentsReply *reply = NULL;
		static char after[64];

		cr_assert_eq(environments_list(s->world, s->now, &page, &reply, &s->error), 0);
		cr_expect_leq(protobuf_c_message_get_packed_size(&reply->base), 3 << 20);
		seen += reply->n_environments;
		snprintf(after, sizeof after, "%s", reply->next);
		page.after = after;
		pages++;
	} while (*page.after && pages < 20);
	cr_expect_eq(seen, 12);
	cr_expect_gt(pages, 1);
}

Test(environments, a_page_token_of_another_list_is_refused)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	struct environments_page page = { .after = "nowhere", .limit = 1 };
	Sluice__V1__ListEnvironmentsReply *reply = NULL;

	cr_assert_eq(environments_list(s->world, s->now, &page, &reply, &s->error), -1);
	cr_expect_eq(s->error.code, ERR_INVALID);
	cr_expect(strstr(s->error.text, "'nowhere'") != NULL);
}

Test(environments, a_host_may_read_only_what_its_environment_runs)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec("staging", "");
	struct environment *env;

	sim_host_add(s, "host-a", "staging");
	sim_host_add(s, "host-b", "production");
	sim_apply_one(s, spec);
	sim_release(s);
	cr_assert_eq(sim_promote(s, "staging", sim_release(s)), 0);
	env = sim_env(s, "staging");
	cr_expect(environment_may_read(s->world, env, sim_agent(s, &s->hosts[0]),
				       sim_release_of(s, 2)->row->digest));
	cr_expect(!environment_may_read(s->world, env, sim_agent(s, &s->hosts[0]),
					sim_release_of(s, 1)->row->digest));
	cr_expect(!environment_may_read(s->world, env, sim_agent(s, &s->hosts[1]),
					sim_release_of(s, 2)->row->digest));
	sim_settle(s);
	cr_expect(environment_may_read(s->world, env, sim_agent(s, &s->hosts[0]),
				       sim_release_of(s, 2)->row->digest));
}
