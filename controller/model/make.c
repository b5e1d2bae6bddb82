/*
 * A run and its jobs from an expanded pipeline, or from the verify steps of a
 * promotion. The pipeline's text and jobs go into a row of their own; in memory each
 * job owns its spec, and the run keeps the rest.
 */
#include "controller/model/make.h"

#include <assert.h>
#include <string.h>

#include "controller/model/agents.h"
#include "controller/model/delivery.h"
#include "controller/model/inputs.h"
#include "controller/model/jobs.h"
#include "controller/model/private.h"
#include "controller/model/runs.h"

static Sluice__V1__Job *job_row_new(Sluice__V1__JobSpec *spec, uint32_t index)
{
	Sluice__V1__Job *row = message_new(&sluice__v1__job__descriptor);

	row->index = index;
	row->spec = spec;
	row->state = SLUICE__V1__JOB_STATE__JOB_BLOCKED;
	return row;
}

int run_plan_jobs(struct world *w, const Sluice__V1__Pipeline *p, struct run_plan *plan,
		  struct error *err)
{
	plan->jobs = xcalloc(p->n_jobs + 1, sizeof(Sluice__V1__Job *));
	for (size_t i = 0; i < p->n_jobs; i++) {
		Sluice__V1__Job *row = job_row_new(message_copy(p->jobs[i]), (uint32_t)i);

		plan->jobs[plan->n_jobs++] = row;
		row->spec->priority += plan->priority;
		if (inputs_take_published(w, row, err) < 0)
			return -1;
	}
	return 0;
}

void run_plan_release(struct run_plan *plan)
{
	for (size_t i = 0; i < plan->n_jobs; i++)
		message_free(plan->jobs[i]);
	free(plan->jobs);
	plan->jobs = NULL;
	plan->n_jobs = 0;
}

static Sluice__V1__Run *run_row_new(struct world *w, Sluice__V1__Run__Kind kind,
				    const Sluice__V1__Actor *actor, size_t n_jobs)
{
	Sluice__V1__Run *row = message_new(&sluice__v1__run__descriptor);

	message_set_string(&row->id, world_id(w).text);
	row->kind = kind;
	row->state = SLUICE__V1__RUN_STATE__RUN_RUNNING;
	row->actor = actor_copy(actor);
	row->created_ms = w->now.wall_ms;
	row->jobs = (uint32_t)n_jobs;
	return row;
}

static Sluice__V1__Run *planned_row(struct world *w, const struct run_plan *plan,
				    const Sluice__V1__Pipeline *p)
{
	Sluice__V1__Run *row =
		run_row_new(w, SLUICE__V1__RUN__KIND__PIPELINE, plan->caller->actor, p->n_jobs);

	message_set_string(&row->pipeline, p->name);
	for (size_t i = 0; i < p->n_params; i++)
		message_append(row, params, message_copy(p->params[i]));
	message_set_string(&row->source, plan->source);
	message_set_string(&row->source_label, plan->source_label);
	message_set_string(&row->file, plan->file_name);
	row->priority = plan->priority;
	message_set_string(&row->retry_of, plan->retry_of);
	if (plan->note)
		message_append(row, notes, xstrdup(plan->note));
	return row;
}

static void record_spec(struct world *w, const struct run *run, const struct run_plan *plan,
			Sluice__V1__Pipeline *p)
{
	Sluice__V1__RunSpecRow *row = message_new(&sluice__v1__run_spec_row__descriptor);

	message_set_string(&row->run_id, run->row->id);
	row->pipeline = p;
	message_set_string(&row->file_name, plan->file_name);
	message_set_string(&row->file, plan->file);
	world_record(w, ROW_RUN_SPEC, &row->base);
}

static Sluice__V1__Pipeline *copy_without_jobs(Sluice__V1__Pipeline *p)
{
	size_t n = p->n_jobs;
	Sluice__V1__Pipeline *copy;

	p->n_jobs = 0;
	copy = message_copy(p);
	p->n_jobs = n;
	return copy;
}

static void add_job(struct world *w, struct run *run, Sluice__V1__Job *row)
{
	message_set_string(&row->id, world_id(w).text);
	message_set_string(&row->run_id, run->row->id);
	row->run_number = run->row->number;
	row->created_ms = w->now.wall_ms;
	world_add_job(w, run, row);
}

static void forget_results(Sluice__V1__Job *row)
{
	Sluice__V1__Job *fresh = job_row_new(steal(row->spec), row->index);
	Sluice__V1__Job old = *row;

	message_set_string(&fresh->id, row->id);
	message_set_string(&fresh->run_id, row->run_id);
	fresh->run_number = row->run_number;
	fresh->created_ms = row->created_ms;
	*row = *fresh;
	*fresh = old;
	message_free(fresh);
}

static bool is_reused(const struct run *run, const char *name)
{
	for (size_t i = 0; i < run->n_jobs; i++)
		if (strcmp(run->jobs[i]->row->spec->name, name) == 0)
			return *run->jobs[i]->row->reused_from;
	return false;
}

/* Taken over only when all that it needs was, too: else it would rest on what is made anew. */
static bool may_reuse(struct world *w, const struct run *run, struct job *job)
{
	struct error err = { 0 };

	for (size_t i = 0; i < job->row->spec->n_needs; i++)
		if (!is_reused(run, job->row->spec->needs[i]))
			return false;
	return delivery_job_succeeded(w, job, &err) == 0;
}

static void reuse_jobs(struct world *w, struct run *run)
{
	for (size_t i = 0; i < run->n_jobs; i++) {
		struct job *job = run->jobs[i];

		if (!*job->row->reused_from)
			continue;
		if (!may_reuse(w, run, job)) {
			HASH_DELETE(by_id, w->jobs, job);
			forget_results(job->row);
			HASH_ADD_KEYPTR(by_id, w->jobs, job->row->id, strlen(job->row->id), job);
			continue;
		}
		job->row->state = SLUICE__V1__JOB_STATE__JOB_SUCCEEDED;
		run->open_jobs--;
		run->row->jobs_done++;
	}
}

static void announce(struct world *w, const struct run *run, const Sluice__V1__Actor *actor)
{
	event_of_run(world_event(w, SLUICE__V1__EVENT_KIND__EVENT_RUN_SUBMITTED, actor,
				 "run %u of %s, %u job%s%s%s", run->row->number, run->row->pipeline,
				 run->row->jobs, run->row->jobs == 1 ? "" : "s",
				 *run->row->source_label ? ", source " : "",
				 run->row->source_label),
		     run);
}

struct run *run_make(struct world *w, struct run_plan *plan, Sluice__V1__Pipeline **pipeline,
		     struct error *err)
{
	cleanup(message_freep) Sluice__V1__Run *row = planned_row(w, plan, *pipeline);
	Sluice__V1__Pipeline *p = *pipeline;
	struct run *run;

	if (delivery_apply_new(w, p, plan->caller->actor, caller_is_admin(plan->caller), row, err) <
	    0)
		return NULL;
	*pipeline = NULL;
	row->number = w->counters->next_run++;
	world_touch(w, &w->controller);
	run = world_add_run(w, steal(row), copy_without_jobs(p));
	record_spec(w, run, plan, p);
	announce(w, run, plan->caller->actor);
	for (size_t i = 0; i < plan->n_jobs; i++)
		add_job(w, run, plan->jobs[i]);
	free(steal(plan->jobs));
	plan->n_jobs = 0;
	reuse_jobs(w, run);
	jobs_link(run);
	jobs_begin(w, run);
	return run;
}

struct run *run_create_verify(struct world *w, struct promotion *p, Sluice__V1__JobSpec **steps,
			      size_t n)
{
	Sluice__V1__Run *row = run_row_new(w, SLUICE__V1__RUN__KIND__VERIFY, p->row->actor, n);
	struct run *run;

	assert(n > 0);
	message_set_string(&row->pipeline, p->release->row->pipeline);
	message_set_string(&row->promotion, p->row->id);
	message_set_string(&row->environment, p->row->environment);
	message_set_string(&row->release, p->release->row->id);
	message_set_string(&row->source_label, p->release->row->source_label);
	for (size_t i = 0; i < p->release->row->n_params; i++)
		message_append(row, params, message_copy(p->release->row->params[i]));
	row->number = w->counters->next_run++;
	world_touch(w, &w->controller);
	run = world_add_run(w, row, NULL);
	run->promotion = p;
	announce(w, run, p->row->actor);
	for (size_t i = 0; i < n; i++)
		add_job(w, run, job_row_new(steps[i], (uint32_t)i));
	jobs_link(run);
	jobs_begin(w, run);
	return run;
}
