/*
 * From rows back to a world. Rows come kind by kind in the order of enum row_kind,
 * so what a row belongs to is there before it; a row that belongs to nothing is
 * damage, and is said so. world_start() then links and goes on: nobody is connected,
 * and every countdown begins at its full length, whatever was left of it before.
 */
#include <inttypes.h>
#include <string.h>

#include "controller/model/attempts.h"
#include "controller/model/delivery.h"
#include "controller/model/jobs.h"
#include "controller/model/place.h"
#include "controller/model/private.h"

static int orphan(struct error *err, const char *what, const char *id, const char *owner,
		  const char *owner_id)
{
	return error_id(err, "E0603", "the %s '%s' belongs to the %s '%s', which is not there",
			what, id, owner, owner_id);
}

static int load_controller(struct world *w, ProtobufCMessage *message, struct error *err)
{
	message_free(w->counters);
	w->counters = (Sluice__V1__ControllerRow *)message;
	w->controller.message = message;
	return 0;
}

static int load_token(struct world *w, ProtobufCMessage *message, struct error *err)
{
	entity_token_new(w, (Sluice__V1__Token *)message);
	return 0;
}

static int load_enrol_token(struct world *w, ProtobufCMessage *message, struct error *err)
{
	entity_enrol_token_new(w, (Sluice__V1__EnrolTokenRow *)message);
	return 0;
}

static int load_agent(struct world *w, ProtobufCMessage *message, struct error *err)
{
	entity_agent_new(w, (Sluice__V1__Agent *)message);
	return 0;
}

static int load_published(struct world *w, ProtobufCMessage *message, struct error *err)
{
	entity_published_new(w, (Sluice__V1__PublishedRow *)message);
	return 0;
}

static int load_release(struct world *w, ProtobufCMessage *message, struct error *err)
{
	entity_release_new(w, (Sluice__V1__Release *)message);
	return 0;
}

static int load_environment(struct world *w, ProtobufCMessage *message, struct error *err)
{
	entity_environment_new(w, (Sluice__V1__Environment *)message);
	return 0;
}

static int load_promotion(struct world *w, ProtobufCMessage *message, struct error *err)
{
	Sluice__V1__Promotion *row = (Sluice__V1__Promotion *)message;
	struct environment *env = world_environment(w, row->environment, NULL);

	if (!env)
		return orphan(err, "promotion", row->id, "environment", row->environment);
	entity_promotion_new(w, env, row);
	return 0;
}

static int load_run(struct world *w, ProtobufCMessage *message, struct error *err)
{
	Sluice__V1__Run *row = (Sluice__V1__Run *)message;
	struct run *run = entity_run_new(w, row);

	if (*row->promotion)
		run->promotion = world_promotion(w, row->promotion);
	return 0;
}

static void drop_jobs(Sluice__V1__Pipeline *p)
{
	for (size_t i = 0; i < p->n_jobs; i++)
		message_free(p->jobs[i]);
	free(p->jobs);
	p->jobs = NULL;
	p->n_jobs = 0;
}

/* The jobs of the pipeline are in their own rows. */
static int load_run_spec(struct world *w, ProtobufCMessage *message, struct error *err)
{
	cleanup(message_freep) Sluice__V1__RunSpecRow *row = (Sluice__V1__RunSpecRow *)message;
	struct run *run = world_run(w, row->run_id, NULL);

	if (!run || run->pipeline || run->row->kind == SLUICE__V1__RUN__KIND__VERIFY)
		return 0;
	run->pipeline = steal(row->pipeline);
	if (run->pipeline)
		drop_jobs(run->pipeline);
	return 0;
}

static int load_job(struct world *w, ProtobufCMessage *message, struct error *err)
{
	Sluice__V1__Job *row = (Sluice__V1__Job *)message;
	struct run *run = world_run(w, row->run_id, NULL);

	if (!run)
		return orphan(err, "job", row->id, "run", row->run_id);
	if (!row->spec)
		return error_id(err, "E0603", "the job '%s' says not what it runs", row->id);
	entity_job_new(w, run, row);
	return 0;
}

static int load_attempt(struct world *w, ProtobufCMessage *message, struct error *err)
{
	Sluice__V1__Attempt *row = (Sluice__V1__Attempt *)message;
	struct job *job = world_job(w, row->job_id);
	struct agent *agent = world_agent_by_id(w, row->agent_id);

	if (!job || job->attempt)
		return orphan(err, "attempt", row->id, "job", row->job_id);
	if (!agent)
		return orphan(err, "attempt", row->id, "agent", row->agent_id);
	entity_attempt_new(w, job, agent, row);
	return 0;
}

int world_load(struct world *w, enum row_kind kind, ProtobufCMessage *message, struct error *err)
{
	static int (*const load[ROW_KINDS])(struct world *, ProtobufCMessage *, struct error *) = {
		[ROW_CONTROLLER] = load_controller,
		[ROW_TOKEN] = load_token,
		[ROW_ENROL_TOKEN] = load_enrol_token,
		[ROW_AGENT] = load_agent,
		[ROW_PUBLISHED] = load_published,
		[ROW_RELEASE] = load_release,
		[ROW_ENVIRONMENT] = load_environment,
		[ROW_PROMOTION] = load_promotion,
		[ROW_RUN] = load_run,
		[ROW_RUN_SPEC] = load_run_spec,
		[ROW_JOB] = load_job,
		[ROW_ATTEMPT] = load_attempt,
	};
	int r;

	if (kind <= 0 || kind >= ROW_KINDS || !load[kind]) {
		message_free(message);
		return 0;
	}
	r = load[kind](w, message, err);
	if (r < 0)
		message_free(message);
	return r;
}

static int by_index(const void *a, const void *b)
{
	const struct job *x = *(struct job *const *)a, *y = *(struct job *const *)b;

	return x->row->index < y->row->index ? -1 : x->row->index > y->row->index;
}

static int check_run(const struct run *run, struct error *err)
{
	if (run->n_jobs != run->row->jobs)
		return error_id(err, "E0603", "run %u has %u jobs, of which %zu are there",
				run->row->number, run->row->jobs, run->n_jobs);
	return jobs_link_check(run, err);
}

static int start_runs(struct world *w, struct error *err)
{
	struct run *run, *next;

	HASH_ITER(by_id, w->runs_by_id, run, next) {
		if (run->n_jobs)
			qsort(run->jobs, run->n_jobs, sizeof(*run->jobs), by_index);
		if (check_run(run, err) < 0)
			return -1;
		jobs_link(run);
	}
	HASH_ITER(by_id, w->runs_by_id, run, next)
		for (size_t i = 0; i < run->n_jobs; i++)
			if (job_resume(w, run->jobs[i], err) < 0)
				return -1;
	return 0;
}

static void start_agents(struct world *w)
{
	struct agent *agent, *next;

	HASH_ITER(by_id, w->agents_by_id, agent, next) {
		if (agent->row->connected) {
			agent->row->connected = false;
			agent->row->last_seen_ms = w->now.wall_ms;
			world_touch(w, &agent->entity);
		}
		agent->gone_ms = agent->row->last_seen_ms;
	}
}

static void first_start(struct world *w, const char *cluster)
{
	message_set_string(&w->counters->cluster, cluster ? cluster : "sluice");
	w->counters->next_fence = 1;
	w->counters->next_run = 1;
	w->counters->next_release = 1;
	w->counters->next_event = 1;
}

int world_start(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	struct attempt *a, *next;

	world_at(w, now);
	w->wall_zero = now.wall_ms - now.boot_ms;
	if (!w->counters->ctl_epoch)
		first_start(w, req);
	if (start_runs(w, err) < 0)
		return -1;
	w->counters->ctl_epoch++;
	world_touch(w, &w->controller);
	start_agents(w);
	HASH_ITER(by_fence, w->attempts, a, next)
		attempt_resume(w, a);
	if (delivery_start(w, err) < 0)
		return -1;
	world_event(w, SLUICE__V1__EVENT_KIND__EVENT_CONTROLLER_STARTED, NULL,
		    "controller started, epoch %" PRIu64 ", %u open runs", w->counters->ctl_epoch,
		    HASH_CNT(by_id, w->runs_by_id));
	w->place_wanted = true;
	return 0;
}
