/*
 * What people and fate do: runs are submitted and cancelled; sessions break, processes crash, hosts
 * lose power, clocks are set. All of it until the calm. What people do with releases is in
 * delivery.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "controller/model/agents.h"
#include "controller/model/runs.h"
#include "sim.h"

const char *work_request_id(struct sim *s, char ret[32])
{
	snprintf(ret, 32, "request-%" PRIu64, ++s->requests);
	return ret;
}

/* ---- people ---- */

Sluice__V1__JobSpec *work_job_new(struct sim *s, const char *name)
{
	Sluice__V1__JobSpec *spec = message_new(&sluice__v1__job_spec__descriptor);

	message_set_string(&spec->name, name);
	message_set_string(&spec->basename, name);
	message_set_string(&spec->run, "true");
	spec->lease_ms = s->lease_ms;
	spec->grace_ms = 500;
	spec->on_lost = sim_chance(s, 80) ? SLUICE__V1__ON_LOST__ON_LOST_RERUN
					  : SLUICE__V1__ON_LOST__ON_LOST_FAIL;
	spec->resources = message_new(&sluice__v1__resources__descriptor);
	if (sim_chance(s, 50)) {
		spec->retry = message_new(&sluice__v1__retry__descriptor);
		spec->retry->max = (int32_t)sim_between(s, 1, 4);
		message_append(spec->retry, causes, SLUICE__V1__EXIT_REASON__EXIT_CODE);
		spec->retry->wait_ms = sim_between(s, 0, 3000);
	}
	return spec;
}

static Sluice__V1__Pipeline *pipeline_new(struct sim *s)
{
	Sluice__V1__Pipeline *p = message_new(&sluice__v1__pipeline__descriptor);
	int64_t n = sim_between(s, 1, 4);

	message_set_string(&p->name, "sim");
	for (int64_t i = 0; i < n; i++) {
		char name[32], before[32];
		Sluice__V1__JobSpec *spec;

		snprintf(name, sizeof name, "j%" PRId64, i);
		snprintf(before, sizeof before, "j%" PRId64, i - 1);
		spec = work_job_new(s, name);
		if (i && sim_chance(s, 50))
			message_append(spec, needs, xstrdup(before));
		message_append(p, jobs, spec);
	}
	return p;
}

static void submit(struct sim *s)
{
	cleanup(message_freep) Sluice__V1__SubmitReply *reply = NULL;
	cleanup(message_freep) Sluice__V1__Pipeline *p = pipeline_new(s);
	Sluice__V1__SubmitRequest request = SLUICE__V1__SUBMIT_REQUEST__INIT;
	struct submit req = { &sim_admin, &request, &p };
	cleanup(freep) char *source = NULL;
	struct error err = { 0 };
	char id[32];

	if (s->stages && sim_chance(s, 40))
		delivery_add_release(s, p, &source);
	request.request_id = (char *)work_request_id(s, id);
	request.source = source ?: (char *)"";
	s->runs++;
	if (controller_ask(s, runs_submit, &req, &reply, &err) == -1)
		oracle_fail(s, "a run was refused: %s", err.text);
}

static void reached_cancel(struct sim *s, const char *number)
{
	const struct run *run = s->world ? world_run(s->world, number, NULL) : NULL;

	for (size_t i = 0; run && i < run->n_jobs; i++) {
		const struct attempt *a = run->jobs[i]->attempt;

		if (a && a->row->state == SLUICE__V1__ATTEMPT_STATE__ATTEMPT_OFFERED)
			reached(s, MET_CANCEL_OFFERED);
		else if (a)
			reached(s, MET_CANCEL_RUNNING);
	}
	if (run && run->promotion)
		reached(s, MET_VERIFY_CANCELLED);
}

static void cancel(struct sim *s)
{
	cleanup(message_freep) Sluice__V1__Run *reply = NULL;
	Sluice__V1__CancelRunRequest request = SLUICE__V1__CANCEL_RUN_REQUEST__INIT;
	struct run_cancellation req = { &sim_admin, &request };
	char id[32], run[24];
	int64_t number;

	if (!s->world)
		return;
	number = (int64_t)s->world->counters->next_run - 1;
	snprintf(run, sizeof run, "%" PRId64, MAX(INT64_C(1), number - sim_between(s, 0, 20)));
	reached_cancel(s, run);
	request.request_id = (char *)work_request_id(s, id);
	request.run = run;
	request.reason = (char *)"no more";
	controller_ask(s, runs_cancel, &req, &reply, NULL);
}

/* A person vouches only for what is true. */
static void vouch_lost(struct sim *s)
{
	struct host *h = &s->hosts[sim_between(s, 0, s->n_hosts - 1)];
	cleanup(message_freep) Sluice__V1__Agent *reply = NULL;
	Sluice__V1__AgentActionRequest request = SLUICE__V1__AGENT_ACTION_REQUEST__INIT;
	struct agent_action req = { &sim_admin, &request };
	char id[32];

	if (h->powered)
		return;
	request.request_id = (char *)work_request_id(s, id);
	request.agent = h->name;
	request.reason = (char *)"its power is off";
	controller_ask(s, agents_lost, &req, &reply, NULL);
}

/* ---- fate ---- */

static void break_session(struct sim *s)
{
	struct host *h = &s->hosts[sim_between(s, 0, s->n_hosts - 1)];

	if (!h->session || h->session->cut)
		return;
	s->cuts++;
	sim_trace(s, "%s: the session breaks", h->name);
	net_cut(s, h->session, false);
}

static void set_clock(struct sim *s)
{
	struct environment *env, *next;

	s->wall_jump = sim_between(s, -2 * 24 * 3600 * 1000, 2 * 24 * 3600 * 1000);
	if (!s->world)
		return;
	HASH_ITER(by_name, s->world->environments, env, next)
		if (env->promotion)
			reached(s, MET_CLOCK_JUMPED);
}

static void one_thing(struct sim *s)
{
	struct host *h = &s->hosts[sim_between(s, 0, s->n_hosts - 1)];
	int64_t what = sim_between(s, 0, 99);

	if (what < 25 || (what >= 71 && !s->stages))
		submit(s);
	else if (what < 30)
		cancel(s);
	else if (what < 42)
		break_session(s);
	else if (what < 50)
		agent_crash(s, h);
	else if (what < 53)
		host_reboot(s, h,
			    sim_chance(s, 70) ? sim_between(s, 500, 5000)
					      : sim_between(s, 5000, 90000));
	else if (what < 58)
		process_kill_shim(s, h);
	else if (what < 63)
		controller_crash(s);
	else if (what < 66)
		s->slow_until = s->t + sim_between(s, 500, 20000);
	else if (what < 68)
		agent_lose_journal(s, h);
	else if (what < 70)
		vouch_lost(s);
	else if (what < 71)
		set_clock(s);
	else
		delivery_one_thing(s);
}

static void something_happens(struct sim *s, struct event *e)
{
	if (s->calm)
		return;
	one_thing(s);
	sim_at(s, s->t + sim_between(s, 20, 2500), something_happens, NULL);
}

void work_begin(struct sim *s)
{
	if (s->stages)
		delivery_begin(s);
	sim_at(s, s->t + 100, something_happens, NULL);
}
