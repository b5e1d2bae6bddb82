/*
 * VERIFY runs: made for a promotion, placed on the environment's hosts, and told what to look at.
 */
#include <string.h>

#include "lab.h"

struct verifying {
	struct lab *l;
	struct lab_agent *host, *other;
	struct promotion *promotion;
	struct run *run;
};

static Sluice__V1__EnvironmentSpec *spec(void)
{
	Sluice__V1__EnvironmentSpec *s = message_new(&sluice__v1__environment_spec__descriptor);
	Sluice__V1__Variable *v = message_new(&sluice__v1__variable__descriptor);

	message_set_string(&s->name, "staging");
	message_set_string(&v->name, "env");
	message_set_string(&v->value, "staging");
	message_append(s, agents, v);
	s->deploy = message_new(&sluice__v1__deploy_spec__descriptor);
	return s;
}

static struct environment *environment(struct verifying *v)
{
	Sluice__V1__Environment *row = message_new(&sluice__v1__environment__descriptor);
	Sluice__V1__EnvironmentHost *h = message_new(&sluice__v1__environment_host__descriptor);

	message_set_string(&row->id, world_id(v->l->world).text);
	message_set_string(&row->name, "staging");
	row->spec = spec();
	message_set_string(&h->agent_id, v->host->id);
	message_set_string(&h->agent_name, v->host->name);
	h->state = SLUICE__V1__ENVIRONMENT_HOST__STATE__NEW;
	h->healthy = true;
	message_set_string(&h->endpoint, "host:18000");
	message_append(row, hosts, h);
	lab_agent_of(v->host)->n_environments = 1;
	return world_add_environment(v->l->world, row);
}

static struct release *release(struct verifying *v)
{
	Sluice__V1__Release *row = message_new(&sluice__v1__release__descriptor);
	Sluice__V1__ReleasePart *part = message_new(&sluice__v1__release_part__descriptor);
	char digest[80];

	message_set_string(&row->id, world_id(v->l->world).text);
	row->number = v->l->world->counters->next_release++;
	message_set_string(&row->digest, digest_text("release", digest));
	message_set_string(&row->pipeline, "fraud");
	message_set_string(&part->slot, "model");
	message_set_string(&part->digest, digest_text("weights", digest));
	part->is_file = true;
	message_append(row, parts, part);
	return world_add_release(v->l->world, row);
}

/* Made as delivery makes it; the promotion is VERIFYING and nothing but the run is under way. */
static struct verifying verifying_new(const char *label)
{
	struct verifying v = { .l = lab_new() };
	Sluice__V1__Promotion *row = message_new(&sluice__v1__promotion__descriptor);
	Sluice__V1__Pipeline *p = pipeline("verify");
	struct environment *env;

	v.host = lab_agent(v.l, "host", 1, "env=staging");
	v.other = lab_agent(v.l, "other", 1, "");
	env = environment(&v);
	message_set_string(&row->id, world_id(v.l->world).text);
	message_set_string(&row->environment, "staging");
	row->state = SLUICE__V1__PROMOTION__STATE__VERIFYING;
	v.promotion = world_add_promotion(v.l->world, env, release(&v), row);
	message_set_string(&row->release, v.promotion->release->row->id);
	env->promotion = v.promotion;
	message_set_string(&env->row->promotion, row->id);
	add_job_to(p, "smoke", NULL);
	if (label)
		need_label(p->jobs[0], "agent", label);
	v.run = run_create_verify(v.l->world, v.promotion, p->jobs, 1);
	v.promotion->verify = v.run;
	message_set_string(&row->verify_run, v.run->row->id);
	p->n_jobs = 0;
	message_free(p);
	lab_advance(v.l, 0);
	return v;
}

Test(verify, a_step_runs_on_the_environments_hosts_though_they_take_no_other_jobs)
{
	struct verifying v = verifying_new(NULL);
	cleanup(message_freep) Sluice__V1__ControllerMessage *m = agent_take(v.host, BODY(OFFER));
	const Sluice__V1__Assignment *s;

	cr_assert(m);
	cr_expect_eq(agent_offered(v.other), 0);
	s = m->offer->assignments[0];
	cr_expect_str_eq(s->environment, "staging");
	cr_assert(s->release);
	cr_expect_str_eq(s->release->id, v.promotion->release->row->id);
	cr_assert_eq(s->n_endpoints, 1);
	cr_expect_str_eq(s->endpoints[0], "host:18000");
	cr_expect_str_eq(s->pipeline, "fraud");
	lab_free(v.l);
}

Test(verify, a_step_with_labels_of_its_own_runs_where_they_say)
{
	struct verifying v = verifying_new("other");

	cr_expect_eq(agent_offered(v.host), 0);
	cr_expect_gt(agent_offered(v.other), 0);
	lab_free(v.l);
}

Test(verify, a_step_may_read_its_release_and_nothing_else)
{
	struct verifying v = verifying_new(NULL);
	uint64_t fence = agent_start(v.host);
	struct agent_access q = { v.host->id, AGENT_MAY_DOWNLOAD, fence, "", NULL };
	struct agent_grant grant;
	char digest[80];

	q.digest = digest_text("weights", digest);
	cr_expect_eq(lab_ask(v.l, agents_access, &q, &grant), 0, "%s", v.l->error.text);
	cr_expect(grant.is_file);
	cr_expect_str_eq(grant.run_id, v.run->row->id);
	q.digest = digest_text("other weights", digest);
	cr_expect_eq(lab_ask(v.l, agents_access, &q, &grant), -1);
	cr_expect_eq(v.l->error.code, ERR_DENIED);
	lab_free(v.l);
}

Test(verify, a_host_that_fell_behind_verifies_nothing)
{
	struct verifying v = verifying_new(NULL);
	struct environment *env = v.promotion->environment;
	uint64_t fence = agent_offered(v.host);
	char why[512];

	env->row->hosts[0]->state = SLUICE__V1__ENVIRONMENT_HOST__STATE__DIVERGED;
	agent_decline(v.host, fence, "x");
	lab_advance(v.l, 60 * 1000);
	cr_expect_eq(agent_offered(v.host), 0);
	env->row->hosts[0]->state = SLUICE__V1__ENVIRONMENT_HOST__STATE__FAILED;
	lab_advance(v.l, 60 * 1000);
	cr_expect_eq(agent_offered(v.host), 0, "tolerated by max_failed, it runs something else");
	cr_expect_str_eq(lab_why(v.l, v.run->row->number, "smoke", why),
			 "the environment staging has no host that can take it");
	lab_free(v.l);
}
