/*
 * Entities in and out of memory: made from a row, entered into the indexes that
 * find them, and taken out of every list, heap and index that may still know them
 * before they are freed. What an index is keyed by (id, number, name, hash) never
 * changes in a row, so the keys are the rows' own.
 */
#include <assert.h>
#include <string.h>

#include "controller/model/jobs.h"
#include "controller/model/place.h"
#include "controller/model/private.h"

static void begin(struct entity *e, enum row_kind kind, void *row)
{
	e->kind = kind;
	e->message = row;
	list_init(&e->touched);
}

struct run *entity_run_new(struct world *w, Sluice__V1__Run *row)
{
	struct run *run = xcalloc(1, sizeof(*run));

	begin(&run->entity, ROW_RUN, row);
	run->row = row;
	HASH_ADD_KEYPTR(by_id, w->runs_by_id, row->id, strlen(row->id), run);
	HASH_ADD_KEYPTR(by_number, w->runs_by_number, &row->number, sizeof(row->number), run);
	return run;
}

struct job *entity_job_new(struct world *w, struct run *run, Sluice__V1__Job *row)
{
	struct job *job = xcalloc(1, sizeof(*job));

	begin(&job->entity, ROW_JOB, row);
	job->row = row;
	job->run = run;
	HASH_ADD_KEYPTR(by_id, w->jobs, row->id, strlen(row->id), job);
	run->jobs = xreallocarray(run->jobs, run->n_jobs + 1, sizeof(*run->jobs));
	run->jobs[run->n_jobs++] = job;
	if (!job_is_done(job))
		run->open_jobs++;
	return job;
}

struct attempt *entity_attempt_new(struct world *w, struct job *job, struct agent *agent,
				   Sluice__V1__Attempt *row)
{
	struct attempt *a = xcalloc(1, sizeof(*a));

	assert(!job->attempt);
	begin(&a->entity, ROW_ATTEMPT, row);
	a->row = row;
	a->job = job;
	a->agent = agent;
	job->attempt = a;
	list_append(&agent->attempts, &a->of_agent);
	HASH_ADD_KEYPTR(by_fence, w->attempts, &row->fence, sizeof(row->fence), a);
	return a;
}

struct agent *entity_agent_new(struct world *w, Sluice__V1__Agent *row)
{
	struct agent *agent = xcalloc(1, sizeof(*agent));

	begin(&agent->entity, ROW_AGENT, row);
	agent->row = row;
	list_init(&agent->attempts);
	list_init(&agent->changed);
	HASH_ADD_KEYPTR(by_id, w->agents_by_id, row->id, strlen(row->id), agent);
	HASH_ADD_KEYPTR(by_name, w->agents_by_name, row->name, strlen(row->name), agent);
	return agent;
}

struct release *entity_release_new(struct world *w, Sluice__V1__Release *row)
{
	struct release *r = xcalloc(1, sizeof(*r));

	begin(&r->entity, ROW_RELEASE, row);
	r->row = row;
	list_append(&w->idle, &r->idle);
	HASH_ADD_KEYPTR(by_id, w->releases_by_id, row->id, strlen(row->id), r);
	HASH_ADD_KEYPTR(by_number, w->releases_by_number, &row->number, sizeof(row->number), r);
	return r;
}

struct environment *entity_environment_new(struct world *w, Sluice__V1__Environment *row)
{
	struct environment *env = xcalloc(1, sizeof(*env));

	begin(&env->entity, ROW_ENVIRONMENT, row);
	env->row = row;
	list_init(&env->waiting);
	HASH_ADD_KEYPTR(by_name, w->environments, row->name, strlen(row->name), env);
	return env;
}

struct promotion *entity_promotion_new(struct world *w, struct environment *env,
				       Sluice__V1__Promotion *row)
{
	struct promotion *p = xcalloc(1, sizeof(*p));

	begin(&p->entity, ROW_PROMOTION, row);
	p->row = row;
	p->environment = env;
	list_init(&p->queued);
	HASH_ADD_KEYPTR(by_id, w->promotions, row->id, strlen(row->id), p);
	return p;
}

struct enrol_token *entity_enrol_token_new(struct world *w, Sluice__V1__EnrolTokenRow *row)
{
	struct enrol_token *t = xcalloc(1, sizeof(*t));

	begin(&t->entity, ROW_ENROL_TOKEN, row);
	t->row = row;
	HASH_ADD_KEYPTR(by_hash, w->enrol_tokens, row->hash, strlen(row->hash), t);
	return t;
}

struct token *entity_token_new(struct world *w, Sluice__V1__Token *row)
{
	struct token *t = xcalloc(1, sizeof(*t));

	begin(&t->entity, ROW_TOKEN, row);
	t->row = row;
	HASH_ADD_KEYPTR(by_hash, w->tokens_by_hash, row->hash, strlen(row->hash), t);
	HASH_ADD_KEYPTR(by_id, w->tokens_by_id, row->id, strlen(row->id), t);
	return t;
}

struct published *entity_published_new(struct world *w, Sluice__V1__PublishedRow *row)
{
	struct published *p = xcalloc(1, sizeof(*p));

	begin(&p->entity, ROW_PUBLISHED, row);
	p->row = row;
	HASH_ADD_KEYPTR(by_name, w->published, row->name, strlen(row->name), p);
	return p;
}

static void job_free(struct world *w, struct job *job)
{
	assert(!job->attempt);
	queue_remove(w, job);
	timer_clear(&w->timers, &job->timer);
	HASH_DELETE(by_id, w->jobs, job);
	free(job->dependents);
	list_remove(&job->entity.touched);
	message_free(job->row);
	free(job);
}

static void run_free(struct world *w, struct run *run)
{
	if (run->promotion && run->promotion->verify == run)
		run->promotion->verify = NULL;
	for (size_t i = 0; i < run->n_jobs; i++)
		job_free(w, run->jobs[i]);
	free(run->jobs);
	message_free(run->pipeline);
	HASH_DELETE(by_id, w->runs_by_id, run);
	HASH_DELETE(by_number, w->runs_by_number, run);
	message_free(run->row);
	free(run);
}

static void attempt_free(struct world *w, struct attempt *a)
{
	if (a->job->attempt == a)
		a->job->attempt = NULL;
	timer_clear(&w->timers, &a->lease);
	timer_clear(&w->timers, &a->suspicion);
	list_remove(&a->of_agent);
	HASH_DELETE(by_fence, w->attempts, a);
	message_free(a->row);
	free(a);
}

static void agent_free(struct world *w, struct agent *agent)
{
	assert(list_empty(&agent->attempts));
	timer_clear(&w->timers, &agent->telling);
	list_remove(&agent->changed);
	message_free(agent->offer);
	free(agent->denials);
	HASH_DELETE(by_id, w->agents_by_id, agent);
	HASH_DELETE(by_name, w->agents_by_name, agent);
	message_free(agent->row);
	free(agent);
}

static void release_free(struct world *w, struct release *r)
{
	list_remove(&r->idle);
	HASH_DELETE(by_id, w->releases_by_id, r);
	HASH_DELETE(by_number, w->releases_by_number, r);
	message_free(r->row);
	free(r);
}

static void environment_free(struct world *w, struct environment *env)
{
	timer_clear(&w->timers, &env->timer);
	HASH_DELETE(by_name, w->environments, env);
	message_free(env->row);
	free(env);
}

static void promotion_free(struct world *w, struct promotion *p)
{
	if (p->verify)
		p->verify->promotion = NULL;
	if (p->environment->promotion == p)
		p->environment->promotion = NULL;
	world_release_unref(w, p->release);
	world_release_unref(w, p->from);
	list_remove(&p->queued);
	HASH_DELETE(by_id, w->promotions, p);
	message_free(p->row);
	free(p);
}

static void enrol_token_free(struct world *w, struct enrol_token *t)
{
	HASH_DELETE(by_hash, w->enrol_tokens, t);
	message_free(t->row);
	free(t);
}

static void token_free(struct world *w, struct token *t)
{
	HASH_DELETE(by_hash, w->tokens_by_hash, t);
	HASH_DELETE(by_id, w->tokens_by_id, t);
	free(t->denials);
	message_free(t->row);
	free(t);
}

static void published_free(struct world *w, struct published *p)
{
	HASH_DELETE(by_name, w->published, p);
	message_free(p->row);
	free(p);
}

void entity_free(struct world *w, struct entity *e)
{
	list_remove(&e->touched);
	switch (e->kind) {
	case ROW_RUN:
		run_free(w, container_of(e, struct run, entity));
		break;
	case ROW_ATTEMPT:
		attempt_free(w, container_of(e, struct attempt, entity));
		break;
	case ROW_AGENT:
		agent_free(w, container_of(e, struct agent, entity));
		break;
	case ROW_RELEASE:
		release_free(w, container_of(e, struct release, entity));
		break;
	case ROW_ENVIRONMENT:
		environment_free(w, container_of(e, struct environment, entity));
		break;
	case ROW_PROMOTION:
		promotion_free(w, container_of(e, struct promotion, entity));
		break;
	case ROW_ENROL_TOKEN:
		enrol_token_free(w, container_of(e, struct enrol_token, entity));
		break;
	case ROW_TOKEN:
		token_free(w, container_of(e, struct token, entity));
		break;
	case ROW_PUBLISHED:
		published_free(w, container_of(e, struct published, entity));
		break;
	default:
		assert(!"an entity of this kind is freed with what it belongs to");
	}
}

/* Does it leave memory once its row is written? Jobs leave with their run, releases with their last
 * use. */
bool entity_is_closed(const struct entity *e)
{
	char scratch[256];
	struct row row;

	if (e->kind == ROW_JOB || e->kind == ROW_RELEASE || e->kind == ROW_CONTROLLER)
		return false;
	if (e->gone)
		return true;
	row_describe(e->kind, e->message, &row, scratch);
	return !row.open;
}

struct release *world_release_ref(struct release *r)
{
	list_remove(&r->idle);
	r->uses++;
	return r;
}

void world_release_unref(struct world *w, struct release *r)
{
	if (!r)
		return;
	assert(r->uses > 0);
	if (--r->uses == 0)
		list_append(&w->idle, &r->idle);
}

void world_drop_idle(struct world *w)
{
	struct release *r, *next;

	list_each_safe(r, next, &w->idle, idle)
		if (!list_linked(&r->entity.touched))
			entity_free(w, &r->entity);
}

struct run *world_add_run(struct world *w, Sluice__V1__Run *row, Sluice__V1__Pipeline *pipeline)
{
	struct run *run = entity_run_new(w, row);

	run->pipeline = pipeline;
	world_touch(w, &run->entity);
	return run;
}

struct job *world_add_job(struct world *w, struct run *run, Sluice__V1__Job *row)
{
	struct job *job = entity_job_new(w, run, row);

	world_touch(w, &job->entity);
	return job;
}

struct attempt *world_add_attempt(struct world *w, struct job *job, struct agent *agent,
				  Sluice__V1__Attempt *row)
{
	struct attempt *a = entity_attempt_new(w, job, agent, row);

	world_touch(w, &a->entity);
	return a;
}

struct agent *world_add_agent(struct world *w, Sluice__V1__Agent *row)
{
	struct agent *agent = entity_agent_new(w, row);

	world_touch(w, &agent->entity);
	return agent;
}

struct release *world_add_release(struct world *w, Sluice__V1__Release *row)
{
	struct release *r = entity_release_new(w, row);

	world_touch(w, &r->entity);
	return r;
}

struct environment *world_add_environment(struct world *w, Sluice__V1__Environment *row)
{
	struct environment *env = entity_environment_new(w, row);

	world_touch(w, &env->entity);
	return env;
}

struct promotion *world_add_promotion(struct world *w, struct environment *env,
				      struct release *release, Sluice__V1__Promotion *row)
{
	struct promotion *p = entity_promotion_new(w, env, row);

	p->release = world_release_ref(release);
	world_touch(w, &p->entity);
	return p;
}
