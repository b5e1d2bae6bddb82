/*
 * From a submit to a verified release on its host, by the messages of sessions alone.
 */
#include <stdio.h>
#include <string.h>

#include "controller/model/delivery.h"
#include "controller/model/environments.h"
#include "controller/model/hosts.h"
#include "lab.h"

static Sluice__V1__EnvironmentSpec *staging(void)
{
	Sluice__V1__EnvironmentSpec *spec = message_new(&sluice__v1__environment_spec__descriptor);
	Sluice__V1__JobSpec *smoke = message_new(&sluice__v1__job_spec__descriptor);
	Sluice__V1__Variable *v = message_new(&sluice__v1__variable__descriptor);

	message_set_string(&spec->name, "staging");
	message_set_string(&v->name, "env");
	message_set_string(&v->value, "staging");
	message_append(spec, agents, v);
	spec->auto_newest = true;
	spec->deploy = message_new(&sluice__v1__deploy_spec__descriptor);
	spec->deploy->strategy = SLUICE__V1__DEPLOY_SPEC__STRATEGY__ROLLING;
	message_set_string(&spec->deploy->service, "serve");
	message_set_string(&smoke->name, "smoke");
	message_set_string(&smoke->basename, "smoke");
	message_set_string(&smoke->run, "pytest");
	message_append(smoke, gates, xstrdup("p99 <= 100"));
	message_append(spec, verify, smoke);
	return spec;
}

static Sluice__V1__Pipeline *fraud(void)
{
	Sluice__V1__Pipeline *p = pipeline("fraud");
	Sluice__V1__JobSpec *train = add_job_to(p, "train", NULL);
	Sluice__V1__JobSpec *evaluate = add_job_to(p, "evaluate", "train");
	Sluice__V1__JobSpec *package = add_job_to(p, "package", "evaluate train");
	Sluice__V1__ReleasePartSpec *part = message_new(&sluice__v1__release_part_spec__descriptor);

	add_output(train, "model", "");
	add_input(evaluate, "model", "train", "model");
	evaluate->evaluates = message_new(&sluice__v1__evaluates__descriptor);
	message_set_string(&evaluate->evaluates->candidate, "model");
	message_append(evaluate, gates, xstrdup("accuracy >= 0.9"));
	message_append(evaluate, gates, xstrdup("accuracy >= champion.accuracy - 0.01"));
	add_input(package, "model", "train", "model");
	package->release = message_new(&sluice__v1__release_spec__descriptor);
	message_set_string(&part->slot, "model");
	message_set_string(&part->input, "model");
	message_append(package->release, parts, part);
	message_append(p, environments, staging());
	return p;
}

static void finish_measuring(struct lab_agent *a, uint64_t fence, const char *name, double value)
{
	Sluice__V1__FinishedAttempt *f = finished(fence, EXIT(OK), 0);
	Sluice__V1__Metric *metric = message_new(&sluice__v1__metric__descriptor);

	message_set_string(&metric->name, name);
	metric->value = value;
	message_append(f, metrics, metric);
	agent_finish_with(a, f, 0);
	cr_assert(agent_was_acked(a, fence));
}

/* Answers one order; its step, or 0 when there is none. */
static Sluice__V1__HostStep obey(struct lab_agent *a)
{
	Sluice__V1__ControllerMessage *order = agent_take(a, BODY(HOST_ORDER));
	Sluice__V1__AgentMessage *answer;
	Sluice__V1__HostReport *r;
	Sluice__V1__HostStep step;

	if (!order)
		return 0;
	answer = message_new(&sluice__v1__agent_message__descriptor);
	r = message_new(&sluice__v1__host_report__descriptor);
	step = order->host_order->step;
	message_set_string(&r->environment, order->host_order->environment);
	r->phi = order->host_order->phi;
	r->step = step;
	r->attempt = order->host_order->attempt;
	r->state = SLUICE__V1__HOST_REPORT__STATE__DONE;
	message_append(r, slots, xstrdup(order->host_order->release->id));
	if (step == SLUICE__V1__HOST_STEP__HOST_ACTIVATE) {
		message_set_string(&r->live, order->host_order->release->id);
		message_set_string(&r->endpoint, "10.0.0.7:18000");
		r->healthy = true;
	}
	cr_expect_str_eq(order->host_order->deploy->service, "serve");
	message_free(order);
	answer->body_case = SLUICE__V1__AGENT_MESSAGE__BODY_HOST_REPORT;
	answer->host_report = r;
	agent_send(a, answer, NULL);
	message_free(agent_take(a, BODY(HOST_ACK)));
	return step;
}

static void run_pipeline(struct lab *l, struct lab_agent *worker, double accuracy)
{
	cr_assert(lab_submit(l, fraud()), "%s", l->error.text);
	agent_succeed(worker, agent_start(worker));
	finish_measuring(worker, agent_start(worker), "accuracy", accuracy);
}

static struct environment *env_of(struct lab *l)
{
	return world_environment(l->world, "staging", NULL);
}

/* Its assignment names what it verifies; only the host is offered it. */
static void verify(struct lab_agent *host, struct lab_agent *worker, double p99)
{
	Sluice__V1__ControllerMessage *offer = agent_take(host, BODY(OFFER));
	const Sluice__V1__Assignment *a;
	uint64_t fence;

	cr_assert_not_null(offer);
	cr_expect_eq(agent_offered(worker), 0);
	a = offer->offer->assignments[0];
	fence = a->fence;
	cr_expect_str_eq(a->environment, "staging");
	cr_assert_not_null(a->release);
	cr_assert_eq(a->n_endpoints, 1);
	cr_expect_str_eq(a->endpoints[0], "10.0.0.7:18000");
	message_free(offer);
	agent_accept(host, fence);
	cr_assert(agent_was_accepted(host, fence));
	finish_measuring(host, fence, "p99", p99);
}

Test(rollout_whole, a_release_goes_from_a_submit_to_its_host_and_a_worse_one_back)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *worker = lab_agent(l, "worker", 2, "zone=a");
	struct lab_agent *host = lab_agent(l, "host-a", 2, "env=staging");
	char first[ID_SIZE];

	run_pipeline(l, worker, 0.95);
	agent_succeed(worker, agent_start(worker));
	expect_run(l, 1, RUN(SUCCEEDED), "");
	cr_assert_eq(obey(host), SLUICE__V1__HOST_STEP__HOST_PREPARE);
	cr_assert_eq(obey(host), SLUICE__V1__HOST_STEP__HOST_ACTIVATE);
	verify(host, worker, 50);
	cr_assert_null(env_of(l)->promotion);
	cr_expect_str_eq(env_of(l)->row->live, env_of(l)->row->last_good);
	snprintf(first, sizeof first, "%s", env_of(l)->row->live);

	/* Good enough for the gate, but slow: verified not, and taken back. */
	run_pipeline(l, worker, 0.96);
	agent_succeed(worker, agent_start(worker));
	cr_assert_eq(obey(host), SLUICE__V1__HOST_STEP__HOST_PREPARE);
	cr_assert_eq(obey(host), SLUICE__V1__HOST_STEP__HOST_ACTIVATE);
	cr_expect_str_neq(env_of(l)->row->live, first);
	verify(host, worker, 150);
	while (obey(host))
		;
	cr_assert_null(env_of(l)->promotion);
	cr_expect_str_eq(env_of(l)->row->live, first);
	cr_expect_eq(env_of(l)->row->n_quarantined, 1);

	/* Not good enough for the gate: there is no release at all. */
	run_pipeline(l, worker, 0.93);
	cr_expect_eq(agent_offered(worker), 0);
	cr_expect_eq(l->world->counters->next_release, 3);
}

Test(rollout_whole, a_new_controller_in_the_middle_goes_on)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *worker = lab_agent(l, "worker", 2, "zone=a");
	struct lab_agent *host = lab_agent(l, "host-a", 2, "env=staging");

	run_pipeline(l, worker, 0.95);
	agent_succeed(worker, agent_start(worker));
	cr_assert_eq(obey(host), SLUICE__V1__HOST_STEP__HOST_PREPARE);
	agent_forget(host);
	lab_restart(l);
	agent_connect(worker);
	agent_connect(host);
	while (obey(host))
		;
	cr_assert_eq(env_of(l)->promotion->row->state, PROMOTION_STATE(VERIFYING));
	agent_forget(host);
	lab_restart(l);
	cr_assert_eq(env_of(l)->promotion->row->state, PROMOTION_STATE(VERIFYING));
	cr_expect_not_null(env_of(l)->promotion->verify);
}
