/*
 * What people do to releases, environments and their hosts, at any moment: they promote what is
 * new, what is old and what is paused, roll back, hold, change policies, and take hosts away.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "controller/model/agents.h"
#include "controller/model/artifacts.h"
#include "controller/model/environments.h"
#include "controller/model/promotion.h"
#include "controller/model/runs.h"
#include "sim.h"

static const char *const stages[STAGES] = { "staging", "production" };

static const char *some_environment(struct sim *s)
{
	return s->stages == 2 ? stages[sim_between(s, 0, 1)] : "production";
}

static const struct environment *environment(struct sim *s, const char *name)
{
	return s->world ? world_environment(s->world, name, NULL) : NULL;
}

static bool is_in(const struct environment *env, Sluice__V1__Promotion__State state)
{
	return env && env->promotion && env->promotion->row->state == state;
}

/* ---- policies ---- */

static Sluice__V1__Share *count_new(uint32_t count)
{
	Sluice__V1__Share *share = message_new(&sluice__v1__share__descriptor);

	share->count = count;
	return share;
}

static Sluice__V1__Unreachable *unreachable_new(struct sim *s)
{
	Sluice__V1__Unreachable *u = message_new(&sluice__v1__unreachable__descriptor);

	if (sim_chance(s, 25))
		u->fail = true;
	else
		u->wait_ms = sim_between(s, 500, 20000);
	if (!u->fail && sim_chance(s, 70))
		u->skip = 1;
	return u;
}

static Sluice__V1__DeploySpec *deploy_new(struct sim *s)
{
	Sluice__V1__DeploySpec *deploy = message_new(&sluice__v1__deploy_spec__descriptor);

	message_set_string(&deploy->service, "serve");
	deploy->strategy = sim_chance(s, 70) ? SLUICE__V1__DEPLOY_SPEC__STRATEGY__ROLLING
					     : SLUICE__V1__DEPLOY_SPEC__STRATEGY__RECREATE;
	deploy->batch = count_new(1);
	deploy->max_unavailable = count_new((uint32_t)sim_between(s, 1, 2));
	deploy->max_failed = sim_chance(s, 20);
	deploy->pause_ms = sim_chance(s, 30) ? sim_between(s, 1, 2000) : 0;
	deploy->progress_ms = 60000;
	if (sim_chance(s, 50))
		deploy->unreachable = unreachable_new(s);
	return deploy;
}

static Sluice__V1__EnvironmentSpec *spec_new(struct sim *s, const char *name, const char *after)
{
	Sluice__V1__EnvironmentSpec *spec = message_new(&sluice__v1__environment_spec__descriptor);
	Sluice__V1__Variable *v = message_new(&sluice__v1__variable__descriptor);

	message_set_string(&spec->name, name);
	message_set_string(&spec->after, after);
	message_set_string(&v->name, "env");
	message_set_string(&v->value, name);
	message_append(spec, agents, v);
	spec->shared = s->stages == 1 || strcmp(name, "staging") == 0 || sim_chance(s, 50);
	spec->auto_newest = sim_chance(s, 90) ? s->takes_auto : !s->takes_auto;
	spec->deploy = deploy_new(s);
	if (sim_chance(s, 60))
		message_append(spec, verify, work_job_new(s, "smoke"));
	return spec;
}

static void apply(struct sim *s)
{
	cleanup(message_freep) Sluice__V1__Pipeline *p =
		message_new(&sluice__v1__pipeline__descriptor);
	cleanup(message_freep) Sluice__V1__ApplyReply *reply = NULL;
	Sluice__V1__ApplyRequest request = SLUICE__V1__APPLY_REQUEST__INIT;
	struct environment_apply req = { &sim_admin, &request, p };
	struct error err = { 0 };
	char id[32];

	message_set_string(&p->name, "sim");
	request.request_id = (char *)work_request_id(s, id);
	if (s->stages == 2)
		message_append(p, environments, spec_new(s, "staging", ""));
	message_append(p, environments, spec_new(s, "production", s->stages == 2 ? "staging" : ""));
	if (controller_ask(s, environments_apply, &req, &reply, &err) == -1)
		oracle_fail(s, "the environment was refused: %s", err.text);
}

/* ---- releases ---- */

/* Bytes that were put before make the release that there is. */
static char *put_source(struct sim *s)
{
	bool again = s->sources && sim_chance(s, 15);
	int64_t number = again ? sim_between(s, 1, s->sources) : ++s->sources;
	char *digest = xprintf("sha256:%064" PRId64, 1000000 + number);
	Sluice__V1__UploadStart start = SLUICE__V1__UPLOAD_START__INIT;
	Sluice__V1__UploadCommit commit = SLUICE__V1__UPLOAD_COMMIT__INIT;
	cleanup(message_freep) Sluice__V1__Artifact *reply = NULL;
	struct artifact_commit req = { .caller = &sim_admin,
				       .start = &start,
				       .commit = &commit,
				       .digest = digest,
				       .size = 1 };

	start.name = (char *)"source";
	if (controller_ask(s, artifacts_commit, &req, &reply, NULL) == 0)
		return digest;
	free(digest);
	return NULL;
}

void delivery_add_release(struct sim *s, Sluice__V1__Pipeline *p, char **ret_source)
{
	Sluice__V1__JobSpec *last = p->jobs[p->n_jobs - 1];
	Sluice__V1__ReleasePartSpec *part;

	*ret_source = put_source(s);
	if (!*ret_source)
		return;
	last->release = message_new(&sluice__v1__release_spec__descriptor);
	part = message_new(&sluice__v1__release_part_spec__descriptor);
	message_set_string(&part->slot, "code");
	message_set_string(&part->input, "source");
	message_append(last->release, parts, part);
	message_append(last, gates, xstrdup("quality >= 5"));
	if (sim_chance(s, 50))
		message_append(last, gates, xstrdup("quality >= champion.quality - 90"));
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

static const char *some_release(struct sim *s, char ret[16])
{
	int64_t last = s->world ? (int64_t)s->world->counters->next_release - 1 : 0;

	snprintf(ret, 16, "r%u", (unsigned int)MAX(INT64_C(1), last - sim_between(s, 0, 5)));
	return ret;
}

static void promote(struct sim *s, const char *env, const char *release, const char *override)
{
	cleanup(message_freep) Sluice__V1__PromoteReply *reply = NULL;
	Sluice__V1__PromoteRequest request = SLUICE__V1__PROMOTE_REQUEST__INIT;
	struct promote req = { &sim_admin, &request };
	struct error err = { 0 };
	char id[32], live[16];

	request.request_id = (char *)work_request_id(s, id);
	request.environment = (char *)env;
	request.release = (char *)release;
	request.override_reason = (char *) override;
	if (sim_chance(s, 10))
		request.expect_live = (char *)some_release(s, live);
	s->promotions++;
	if (controller_ask(s, promotions_promote, &req, &reply, &err) == -1 &&
	    strstr(err.text, "stale: "))
		reached(s, MET_STALE);
}

static void promote_new(struct sim *s)
{
	uint32_t number = 0;
	char name[16];

	if (controller_ask(s, make_release, NULL, &number, NULL) != 0)
		return;
	snprintf(name, sizeof name, "r%u", number);
	promote(s, s->stages == 2 && sim_chance(s, 70) ? "staging" : "production", name,
		s->stages == 2 && sim_chance(s, 30) ? "it cannot wait" : "");
}

/* What is under way most of all: it may be paused, or be wanted further on. */
static void promote_known(struct sim *s, const char *override)
{
	const struct environment *env = environment(s, some_environment(s));
	char name[16];

	if (env && env->promotion && sim_chance(s, 60))
		snprintf(name, sizeof name, "r%u", env->promotion->row->release_number);
	else
		some_release(s, name);
	promote(s, is_in(env, PROMOTION_STATE(PAUSED)) ? env->row->name : some_environment(s), name,
		override);
}

static void reached_rollback(struct sim *s, const struct environment *env)
{
	if (is_in(env, PROMOTION_STATE(ROLLING_OUT)))
		reached(s, promotion_is_rollback(env->promotion) ? MET_ROLLED_BACK_ROLLBACK
								 : MET_ROLLED_BACK_ROLLING);
	else if (is_in(env, PROMOTION_STATE(VERIFYING)))
		reached(s, MET_ROLLED_BACK_VERIFYING);
	else if (is_in(env, PROMOTION_STATE(PAUSED)))
		reached(s, MET_ROLLED_BACK_PAUSED);
}

static void roll_back(struct sim *s, bool named)
{
	cleanup(message_freep) Sluice__V1__PromoteReply *reply = NULL;
	Sluice__V1__RollbackRequest request = SLUICE__V1__ROLLBACK_REQUEST__INIT;
	struct rollback req = { &sim_admin, &request };
	const char *name = some_environment(s);
	const struct environment *env = environment(s, name);
	Sluice__V1__Promotion__State state = env && env->promotion ? env->promotion->row->state : 0;
	char id[32], to[16];

	if (named && env && env->row->n_verified) {
		const Sluice__V1__VerifiedRelease *v =
			env->row->verified[sim_between(s, 0, (int64_t)env->row->n_verified - 1)];

		request.to = v->release;
	} else if (named) {
		request.to = (char *)some_release(s, to);
	}
	request.request_id = (char *)work_request_id(s, id);
	request.environment = (char *)name;
	request.reason = (char *)"worse than before";
	if (state && (!promotion_is_rollback(env->promotion) || *request.to))
		reached_rollback(s, env);
	controller_ask(s, promotions_rollback, &req, &reply, NULL);
}

static void hold(struct sim *s, bool set)
{
	cleanup(message_freep) Sluice__V1__Environment *reply = NULL;
	Sluice__V1__HoldRequest request = SLUICE__V1__HOLD_REQUEST__INIT;
	struct environment_hold req = { &sim_admin, &request };
	const char *name = some_environment(s);
	const struct environment *env = environment(s, name);
	char id[32];

	if (!set && env && env->row->hold && env->row->waiting[0])
		reached(s, MET_UNHELD);
	request.request_id = (char *)work_request_id(s, id);
	request.environment = (char *)name;
	controller_ask(s, set ? environments_hold : environments_unhold, &req, &reply, NULL);
}

static void cancel_verification(struct sim *s)
{
	const struct environment *env = environment(s, some_environment(s));
	cleanup(message_freep) Sluice__V1__Run *reply = NULL;
	Sluice__V1__CancelRunRequest request = SLUICE__V1__CANCEL_RUN_REQUEST__INIT;
	struct run_cancellation req = { &sim_admin, &request };
	char id[32], run[16];

	if (!is_in(env, PROMOTION_STATE(VERIFYING)))
		return;
	snprintf(run, sizeof run, "%u", env->promotion->verify->row->number);
	request.request_id = (char *)work_request_id(s, id);
	request.run = run;
	reached(s, MET_VERIFY_CANCELLED);
	controller_ask(s, runs_cancel, &req, &reply, NULL);
}

/* ---- hosts ---- */

/* The first host and the last are never taken away: somebody must be left to work. */
static struct host *some_host(struct sim *s)
{
	return s->n_hosts < 2 ? NULL : &s->hosts[sim_between(s, 1, MIN(2, s->n_hosts - 1))];
}

static void reached_host(struct sim *s, const struct host *h, enum meeting m)
{
	for (int i = 0; i < STAGES; i++) {
		const struct environment *env = environment(s, stages[i]);

		if (is_in(env, PROMOTION_STATE(ROLLING_OUT)) && environment_host(env, h->id))
			reached(s, m);
	}
}

static int label(struct sim *s, const struct host *h, const char *value)
{
	cleanup(message_freep) Sluice__V1__Agent *reply = NULL;
	cleanup(message_freep) Sluice__V1__LabelAgentRequest *request =
		message_new(&sluice__v1__label_agent_request__descriptor);
	Sluice__V1__Variable *v = message_new(&sluice__v1__variable__descriptor);
	struct agent_label req = { &sim_admin, request };
	char id[32];

	message_set_string(&request->request_id, work_request_id(s, id));
	message_set_string(&request->agent, h->name);
	message_set_string(&v->name, "env");
	message_set_string(&v->value, value);
	message_append(request, set, v);
	return controller_ask(s, agents_label, &req, &reply, NULL);
}

static int act(struct sim *s, const struct host *h, decide_fn *decide)
{
	cleanup(message_freep) Sluice__V1__Agent *reply = NULL;
	Sluice__V1__AgentActionRequest request = SLUICE__V1__AGENT_ACTION_REQUEST__INIT;
	struct agent_action req = { &sim_admin, &request };
	char id[32];

	request.request_id = (char *)work_request_id(s, id);
	request.agent = (char *)h->name;
	return controller_ask(s, decide, &req, &reply, NULL);
}

static void relabel(struct sim *s)
{
	static const char *const labels[] = { "staging", "production", "production", "work" };
	const struct host *h = some_host(s);

	if (!h)
		return;
	reached_host(s, h, MET_RELABELLED);
	label(s, h, labels[sim_between(s, 0, 3)]);
}

static void drain(struct sim *s)
{
	const struct host *h = some_host(s);

	if (!h)
		return;
	reached_host(s, h, MET_DRAINED);
	act(s, h, sim_chance(s, 50) ? agents_drain : agents_resume);
}

static void revoke(struct sim *s)
{
	if (s->n_hosts < 3)
		return;
	reached_host(s, &s->hosts[2], MET_REVOKED);
	act(s, &s->hosts[2], agents_revoke);
}

static void lose_disk(struct sim *s)
{
	struct host *h = &s->hosts[sim_between(s, 0, s->n_hosts - 1)];

	if (!h->powered)
		return;
	reached_host(s, h, MET_DISK_LOST);
	sim_trace(s, "%s: the disk of its environments is lost", h->name);
	services_lose_disk(h);
	host_reboot(s, h, sim_between(s, 500, 5000));
}

void delivery_one_thing(struct sim *s)
{
	int64_t what = sim_between(s, 0, 99);

	if (what < 22)
		promote_new(s);
	else if (what < 34)
		promote_known(s, "");
	else if (what < 40)
		promote_known(s, "it was looked at");
	else if (what < 48)
		roll_back(s, false);
	else if (what < 53)
		roll_back(s, true);
	else if (what < 67)
		hold(s, what < 58);
	else if (what < 73)
		apply(s);
	else if (what < 81)
		relabel(s);
	else if (what < 86)
		drain(s);
	else if (what < 87)
		revoke(s);
	else if (what < 91)
		lose_disk(s);
	else
		cancel_verification(s);
}

/* ---- the calm ---- */

static void restore(struct sim *s, struct event *e)
{
	struct host *h = e->who;

	if (act(s, h, agents_resume) == -2 ||
	    ((h->index == 1 || sim_chance(s, 70)) && label(s, h, "production") == -2))
		sim_at(s, s->t + 500, restore, h);
}

/* A host that failed is tried again when it connects. */
static void connect_again(struct sim *s, struct event *e)
{
	struct host *h = e->who;

	if (h->session)
		net_cut(s, h->session, true);
}

void delivery_calm(struct sim *s)
{
	for (int i = 0; s->stages && i < s->n_hosts; i++) {
		if (i == 1 || i == 2)
			sim_at(s, s->t, restore, &s->hosts[i]);
		sim_at(s, s->t + 30000, connect_again, &s->hosts[i]);
		sim_at(s, s->t + 120000, connect_again, &s->hosts[i]);
	}
}

void delivery_begin(struct sim *s)
{
	apply(s);
}
