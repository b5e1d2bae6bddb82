/*
 * What people and fate do: runs are submitted and cancelled, releases made and promoted; sessions
 * break, processes crash, hosts lose power. All of it until the calm.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "controller/model/agents.h"
#include "controller/model/environments.h"
#include "controller/model/promotion.h"
#include "controller/model/runs.h"
#include "sim.h"

static const char *request_id(struct sim *s, char ret[32])
{
	snprintf(ret, 32, "request-%" PRIu64, ++s->requests);
	return ret;
}

/* ---- people ---- */

static Sluice__V1__JobSpec *job_new(struct sim *s, const char *name)
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
		spec = job_new(s, name);
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
	struct error err = { 0 };
	char id[32];

	request.request_id = (char *)request_id(s, id);
	s->runs++;
	if (controller_ask(s, runs_submit, &req, &reply, &err) == -1)
		oracle_fail(s, "a run was refused: %s", err.text);
}

static void cancel(struct sim *s)
{
	cleanup(message_freep) Sluice__V1__Run *reply = NULL;
	Sluice__V1__CancelRunRequest request = SLUICE__V1__CANCEL_RUN_REQUEST__INIT;
	struct run_cancellation req = { &sim_admin, &request };
	char id[32], run[16];

	snprintf(run, sizeof run, "%u", (unsigned int)sim_between(s, 1, MAX(s->runs, 1u)));
	request.request_id = (char *)request_id(s, id);
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
	request.request_id = (char *)request_id(s, id);
	request.agent = h->name;
	request.reason = (char *)"its power is off";
	controller_ask(s, agents_lost, &req, &reply, NULL);
}

/* ---- releases ---- */

static void apply(struct sim *s)
{
	cleanup(message_freep) Sluice__V1__Pipeline *p =
		message_new(&sluice__v1__pipeline__descriptor);
	cleanup(message_freep) Sluice__V1__ApplyReply *reply = NULL;
	Sluice__V1__EnvironmentSpec *spec = message_new(&sluice__v1__environment_spec__descriptor);
	Sluice__V1__ApplyRequest request = SLUICE__V1__APPLY_REQUEST__INIT;
	struct environment_apply req = { &sim_admin, &request, p };
	Sluice__V1__Variable *v = message_new(&sluice__v1__variable__descriptor);
	struct error err = { 0 };

	message_set_string(&p->name, "sim");
	message_set_string(&spec->name, "production");
	message_set_string(&v->name, "env");
	message_set_string(&v->value, "production");
	message_append(spec, agents, v);
	spec->shared = true;
	spec->deploy = message_new(&sluice__v1__deploy_spec__descriptor);
	message_set_string(&spec->deploy->service, "serve");
	spec->deploy->strategy = sim_chance(s, 70) ? SLUICE__V1__DEPLOY_SPEC__STRATEGY__ROLLING
						   : SLUICE__V1__DEPLOY_SPEC__STRATEGY__RECREATE;
	spec->deploy->batch = message_new(&sluice__v1__share__descriptor);
	spec->deploy->batch->count = 1;
	spec->deploy->max_unavailable = message_new(&sluice__v1__share__descriptor);
	spec->deploy->max_unavailable->count = (uint32_t)sim_between(s, 1, 2);
	spec->deploy->progress_ms = 60000;
	if (sim_chance(s, 60))
		message_append(spec, verify, job_new(s, "smoke"));
	message_append(p, environments, spec);
	if (controller_ask(s, environments_apply, &req, &reply, &err) == -1)
		oracle_fail(s, "the environment was refused: %s", err.text);
	s->environment = true;
}

/* A decision: as a run would make one. */
static int make_release(struct world *w, struct now now, const void *req, void *reply,
			struct error *err)
{
	Sluice__V1__Release *row = message_new(&sluice__v1__release__descriptor);
	Sluice__V1__ReleasePart *part = message_new(&sluice__v1__release_part__descriptor);
	cleanup(freep) char *digest = NULL;

	w->now = now;
	row->number = w->counters->next_release++;
	digest = xprintf("sha256:%064u", row->number);
	message_set_string(&row->id, world_id(w).text);
	message_set_string(&row->digest, digest);
	message_set_string(&row->pipeline, "sim");
	message_set_string(&part->slot, "model");
	message_set_string(&part->digest, digest);
	message_append(row, parts, part);
	row->created_ms = now.wall_ms;
	world_touch(w, &w->controller);
	*(uint32_t *)reply = row->number;
	world_add_release(w, row);
	return 0;
}

static void promote(struct sim *s)
{
	cleanup(message_freep) Sluice__V1__PromoteReply *reply = NULL;
	Sluice__V1__PromoteRequest request = SLUICE__V1__PROMOTE_REQUEST__INIT;
	struct promote req = { &sim_admin, &request };
	char id[32], name[16];
	uint32_t number = 0;

	if (controller_ask(s, make_release, NULL, &number, NULL) != 0)
		return;
	snprintf(name, sizeof name, "r%u", number);
	request.request_id = (char *)request_id(s, id);
	request.environment = (char *)"production";
	request.release = name;
	s->promotions++;
	controller_ask(s, promotions_promote, &req, &reply, NULL);
}

static void roll_back(struct sim *s)
{
	cleanup(message_freep) Sluice__V1__PromoteReply *reply = NULL;
	Sluice__V1__RollbackRequest request = SLUICE__V1__ROLLBACK_REQUEST__INIT;
	struct rollback req = { &sim_admin, &request };
	char id[32];

	request.request_id = (char *)request_id(s, id);
	request.environment = (char *)"production";
	request.reason = (char *)"worse than before";
	controller_ask(s, promotions_rollback, &req, &reply, NULL);
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

static void one_thing(struct sim *s)
{
	struct host *h = &s->hosts[sim_between(s, 0, s->n_hosts - 1)];
	int64_t what = sim_between(s, 0, 99);

	if (what < 30)
		submit(s);
	else if (what < 35)
		cancel(s);
	else if (what < 50)
		break_session(s);
	else if (what < 60)
		agent_crash(s, h);
	else if (what < 64)
		host_reboot(s, h,
			    sim_chance(s, 70) ? sim_between(s, 500, 5000)
					      : sim_between(s, 5000, 90000));
	else if (what < 70)
		process_kill_shim(s, h);
	else if (what < 76)
		controller_crash(s);
	else if (what < 80)
		s->slow_until = s->t + sim_between(s, 500, 20000);
	else if (what < 82)
		agent_lose_journal(s, h);
	else if (what < 86)
		vouch_lost(s);
	else if (what < 95 && s->environment)
		promote(s);
	else if (s->environment)
		roll_back(s);
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
	if (sim_chance(s, 60))
		apply(s);
	sim_at(s, s->t + 100, something_happens, NULL);
}
