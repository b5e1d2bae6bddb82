#include <stdio.h>
#include <string.h>

#include "controller/model/place.h"
#include "controller/model/runs.h"
#include "rollout_fixture.h"

/* ---- what people do ---- */

static const Sluice__V1__Actor alice = { PROTOBUF_C_MESSAGE_INIT(&sluice__v1__actor__descriptor),
					 SLUICE__V1__ACTOR__KIND__USER, (char *)"u1",
					 (char *)"alice" };

Sluice__V1__EnvironmentSpec *sim_spec(const char *name, const char *after)
{
	Sluice__V1__EnvironmentSpec *spec = message_new(&sluice__v1__environment_spec__descriptor);
	Sluice__V1__DeploySpec *deploy = message_new(&sluice__v1__deploy_spec__descriptor);
	Sluice__V1__Variable *v = message_new(&sluice__v1__variable__descriptor);

	message_set_string(&spec->name, name);
	message_set_string(&spec->after, after);
	message_set_string(&v->name, "env");
	message_set_string(&v->value, name);
	message_append(spec, agents, v);
	message_set_string(&deploy->service, "serve");
	deploy->strategy = SLUICE__V1__DEPLOY_SPEC__STRATEGY__ROLLING;
	deploy->batch = message_new(&sluice__v1__share__descriptor);
	deploy->batch->count = 1;
	deploy->max_unavailable = message_new(&sluice__v1__share__descriptor);
	deploy->max_unavailable->count = 1;
	deploy->progress_ms = 600000;
	spec->deploy = deploy;
	return spec;
}

static int decide(struct sim *s, decide_fn *fn, const void *req, void *reply)
{
	int r;

	error_clear(&s->error);
	r = fn(s->world, s->now, req, reply, &s->error);
	sim_commit(s);
	return r;
}

void sim_apply(struct sim *s, const char *pipeline, Sluice__V1__EnvironmentSpec **specs, size_t n)
{
	Sluice__V1__Pipeline p = SLUICE__V1__PIPELINE__INIT;
	Sluice__V1__ApplyRequest request = SLUICE__V1__APPLY_REQUEST__INIT;
	struct caller caller = { .actor = &alice, .role = SLUICE__V1__ROLE__ADMIN };
	struct environment_apply apply = { &caller, &request, &p };
	cleanup(message_freep) Sluice__V1__ApplyReply *reply = NULL;

	p.name = (char *)pipeline;
	p.environments = specs;
	p.n_environments = n;
	cr_assert_eq(decide(s, environments_apply, &apply, &reply), 0, "%s", s->error.text);
}

void sim_apply_one(struct sim *s, Sluice__V1__EnvironmentSpec *spec)
{
	sim_apply(s, "fraud", &spec, 1);
}

struct environment *sim_env(struct sim *s, const char *name)
{
	struct environment *env = world_environment(s->world, name, NULL);

	cr_assert(env, "there is no environment '%s'", name);
	return env;
}

uint32_t sim_release(struct sim *s)
{
	Sluice__V1__Release *row = message_new(&sluice__v1__release__descriptor);
	Sluice__V1__ReleasePart *part = message_new(&sluice__v1__release_part__descriptor);
	cleanup(freep) char *digest = NULL;

	s->world->now = s->now;
	row->number = s->world->counters->next_release++;
	digest = xprintf("sha256:%064u", row->number);
	message_set_string(&row->id, world_id(s->world).text);
	message_set_string(&row->digest, digest);
	message_set_string(&row->pipeline, "fraud");
	message_set_string(&part->slot, "model");
	message_set_string(&part->digest, digest);
	message_append(row, parts, part);
	world_touch(s->world, &s->world->controller);
	world_add_release(s->world, row);
	sim_commit(s);
	return s->world->counters->next_release - 1;
}

struct release *sim_release_of(struct sim *s, uint32_t number)
{
	struct release *r;
	char name[16];

	snprintf(name, sizeof name, "r%u", number);
	r = world_release(s->world, name, NULL);
	cr_assert(r, "there is no release %s", name);
	return r;
}

const char *sim_live(struct sim *s, const char *env, char ret[RELEASE_NAME])
{
	const char *id = sim_env(s, env)->row->live;

	return release_name(id[0] ? world_release(s->world, id, NULL) : NULL, ret);
}

int sim_promote_with(struct sim *s, Sluice__V1__PromoteRequest *request, Sluice__V1__Role role,
		     Sluice__V1__PromoteReply **ret)
{
	struct caller caller = { .actor = &alice, .role = role };
	struct promote promote = { &caller, request };
	cleanup(message_freep) Sluice__V1__PromoteReply *reply = NULL;
	int r = decide(s, promotions_promote, &promote, &reply);

	if (ret)
		*ret = steal(reply);
	return r;
}

int sim_promote(struct sim *s, const char *env, uint32_t release)
{
	Sluice__V1__PromoteRequest request = SLUICE__V1__PROMOTE_REQUEST__INIT;
	char id[32], name[RELEASE_NAME];

	snprintf(id, sizeof id, "promote-%u", s->requests++);
	snprintf(name, sizeof name, "r%u", release);
	request.request_id = id;
	request.environment = (char *)env;
	request.release = name;
	return sim_promote_with(s, &request, SLUICE__V1__ROLE__OPERATOR, NULL);
}

int sim_rollback(struct sim *s, const char *env, const char *to)
{
	Sluice__V1__RollbackRequest request = SLUICE__V1__ROLLBACK_REQUEST__INIT;
	struct caller caller = { .actor = &alice, .role = SLUICE__V1__ROLE__OPERATOR };
	struct rollback rollback = { &caller, &request };
	cleanup(message_freep) Sluice__V1__PromoteReply *reply = NULL;
	char id[32];

	snprintf(id, sizeof id, "rollback-%u", s->requests++);
	request.request_id = id;
	request.environment = (char *)env;
	request.to = (char *)to;
	request.reason = (char *)"chargebacks up";
	return decide(s, promotions_rollback, &rollback, &reply);
}

int sim_hold(struct sim *s, const char *env, bool hold)
{
	Sluice__V1__HoldRequest request = SLUICE__V1__HOLD_REQUEST__INIT;
	struct caller caller = { .actor = &alice, .role = SLUICE__V1__ROLE__OPERATOR };
	struct environment_hold req = { &caller, &request };
	cleanup(message_freep) Sluice__V1__Environment *reply = NULL;
	char id[32];

	snprintf(id, sizeof id, "hold-%u", s->requests++);
	request.request_id = id;
	request.environment = (char *)env;
	request.reason = (char *)"quarter's end";
	return decide(s, hold ? environments_hold : environments_unhold, &req, &reply);
}

void sim_verify(struct sim *s, const char *env, Sluice__V1__ExitReason reason)
{
	struct promotion *p = sim_env(s, env)->promotion;
	struct run *run;

	cr_assert(p && p->verify, "nothing is being verified in '%s'", env);
	run = p->verify;
	s->world->now = s->now;
	for (size_t i = 0; i < run->n_jobs; i++) {
		struct job *job = run->jobs[i];
		struct error err = { 0 };

		queue_remove(s->world, job);
		if (reason == SLUICE__V1__EXIT_REASON__EXIT_OK) {
			cr_assert_eq(delivery_job_succeeded(s->world, job, &err), 0, "%s",
				     err.text);
			job->row->state = SLUICE__V1__JOB_STATE__JOB_SUCCEEDED;
		} else {
			job->row->state = SLUICE__V1__JOB_STATE__JOB_FAILED;
			job->row->exit = message_new(&sluice__v1__exit__descriptor);
			job->row->exit->reason = reason;
			message_set_string(&job->row->reason, "it did not work");
		}
		world_touch(s->world, &job->entity);
		run_job_finished(s->world, run, job);
	}
	sim_commit(s);
}

Sluice__V1__Promotion__State sim_outcome(struct sim *s, const char *env)
{
	ProtobufCMessage *message = NULL;
	Sluice__V1__Promotion__State state;
	const struct environment *e = sim_env(s, env);

	if (e->promotion)
		return e->promotion->row->state;
	cr_assert_eq(world_fetch(s->world, ROW_PROMOTION, e->row->last_promotion, &message, NULL),
		     1);
	state = ((Sluice__V1__Promotion *)message)->state;
	message_free(message);
	return state;
}

void sim_expect_everywhere(struct sim *s, const char *env, uint32_t release)
{
	const struct environment *e = sim_env(s, env);
	const char *id = sim_release_of(s, release)->row->id;

	cr_expect_null(e->promotion, "%s", e->promotion ? e->promotion->row->outcome : "");
	cr_expect_str_eq(e->row->live, id);
	for (size_t i = 0; i < s->n_hosts; i++) {
		const struct sim_host *h = &s->hosts[i];

		if (strcmp(h->label, env))
			continue;
		cr_expect_str_eq(h->live, id, "'%s' runs another release than r%u", h->name,
				 release);
		cr_expect(h->serving, "'%s' does not serve", h->name);
		cr_expect_eq(environment_host(e, h->id)->state, HOST_STATE(NEW));
	}
}

struct sim *sim_two_stages(bool auto_newest, bool verify)
{
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *staging = sim_spec("staging", "");
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *production =
		sim_spec("production", "staging");
	Sluice__V1__EnvironmentSpec *specs[] = { production, staging };
	struct sim *s = sim_new(3);

	for (size_t i = 0; i < 2; i++) {
		Sluice__V1__JobSpec *step = message_new(&sluice__v1__job_spec__descriptor);

		specs[i]->auto_newest = auto_newest;
		message_set_string(&step->name, "smoke");
		message_set_string(&step->basename, "smoke");
		message_set_string(&step->run, "pytest tests/smoke");
		if (verify)
			message_append(specs[i], verify, step);
		else
			message_free(step);
	}
	sim_host_add(s, "host-s", "staging");
	sim_host_add(s, "host-p", "production");
	sim_host_add(s, "host-q", "production");
	sim_apply(s, "fraud", specs, 2);
	return s;
}

void sim_run_succeeds(struct sim *s, uint32_t release)
{
	struct run run = { 0 };
	Sluice__V1__Run row = SLUICE__V1__RUN__INIT;

	row.kind = SLUICE__V1__RUN__KIND__PIPELINE;
	row.state = SLUICE__V1__RUN_STATE__RUN_SUCCEEDED;
	row.pipeline = (char *)"fraud";
	row.release = sim_release_of(s, release)->row->id;
	run.row = &row;
	s->world->now = s->now;
	delivery_run_finished(s->world, &run);
	sim_commit(s);
}

Sluice__V1__PromoteRequest sim_request(const char *env, const char *release, const char *id)
{
	Sluice__V1__PromoteRequest request = SLUICE__V1__PROMOTE_REQUEST__INIT;

	request.environment = (char *)env;
	request.release = (char *)release;
	request.request_id = (char *)id;
	return request;
}

/* ---- what waits ---- */

struct looked_for {
	const char *subject, *sentence;
	bool found;
};

static void look(void *arg, Sluice__V1__Wait *wait)
{
	struct looked_for *l = arg;

	l->found |= !strcmp(wait->subject, l->subject) && strstr(wait->sentence, l->sentence);
	message_free(wait);
}

bool sim_waits_say(struct sim *s, const char *subject, const char *sentence)
{
	struct looked_for l = { subject, sentence, false };

	delivery_waits(s->world, look, &l);
	return l.found;
}

struct sim *sim_with_hosts(size_t n, void (*change)(Sluice__V1__EnvironmentSpec *))
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

struct sim *sim_serving(size_t n, void (*change)(Sluice__V1__EnvironmentSpec *))
{
	struct sim *s = sim_with_hosts(n, change);
	uint32_t r1 = sim_release(s);

	cr_assert_eq(sim_promote(s, "production", r1), 0, "%s", s->error.text);
	sim_advance(s, 60000);
	sim_expect_everywhere(s, "production", r1);
	return s;
}
