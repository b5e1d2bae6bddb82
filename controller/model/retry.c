/*
 * A run made of an earlier one: its file, source and parameters again, as they were
 * recorded, and what succeeded then is not done again.
 */
#include <string.h>

#include "controller/model/delivery.h"
#include "controller/model/make.h"
#include "controller/model/place.h"
#include "controller/model/private.h"
#include "controller/model/runs.h"

/* Are the bytes of what it made still there? 1, 0, -1. */
static int outputs_present(struct world *w, const Sluice__V1__Job *row, struct error *err)
{
	for (size_t i = 0; i < row->n_outputs; i++) {
		cleanup(message_freep) ProtobufCMessage *artifact = NULL;
		int found =
			world_fetch(w, ROW_ARTIFACT, row->outputs[i]->artifact_id, &artifact, err);

		if (found <= 0)
			return found;
		if (((Sluice__V1__Artifact *)artifact)->collected)
			return 0;
	}
	return 1;
}

/* The row of the new job becomes that of the old one, but for what the new run gives it. */
static void take_over(Sluice__V1__Job *row, const Sluice__V1__Job *old)
{
	for (size_t i = 0; i < row->n_inputs; i++)
		message_free(row->inputs[i]);
	free(steal(row->inputs));
	row->n_inputs = 0;
	for (size_t i = 0; i < old->n_inputs; i++)
		message_append(row, inputs, message_copy(old->inputs[i]));
	for (size_t i = 0; i < old->n_outputs; i++)
		message_append(row, outputs, message_copy(old->outputs[i]));
	for (size_t i = 0; i < old->n_metrics; i++)
		message_append(row, metrics, message_copy(old->metrics[i]));
	if (old->exit)
		row->exit = message_copy(old->exit);
	message_set_string(&row->verdict, old->verdict);
	message_set_string(&row->report, old->report);
	message_set_string(&row->reused_from, *old->reused_from ? old->reused_from : old->id);
	message_set_string(&row->agent_id, old->agent_id);
	message_set_string(&row->agent_name, old->agent_name);
	row->started_ms = old->started_ms;
	row->finished_ms = old->finished_ms;
}

static int plan_job(struct world *w, const char *run_id, Sluice__V1__Job *row, struct error *err)
{
	cleanup(message_freep) ProtobufCMessage *message = NULL;
	int found = world_fetch_child(w, ROW_JOB, run_id, row->spec->name, &message, err);
	const Sluice__V1__Job *old = (const Sluice__V1__Job *)message;

	if (found <= 0 || old->state != SLUICE__V1__JOB_STATE__JOB_SUCCEEDED)
		return found < 0 ? -1 : 0;
	found = outputs_present(w, old, err);
	if (found > 0)
		take_over(row, old);
	return found < 0 ? -1 : 0;
}

static int check(const Sluice__V1__Run *old, struct error *err)
{
	if (old->kind == SLUICE__V1__RUN__KIND__VERIFY)
		return error_set(err, ERR_CONFLICT,
				 "run %u verifies a promotion; promote again to verify again",
				 old->number);
	if (old->state == SLUICE__V1__RUN_STATE__RUN_RUNNING)
		return error_set(err, ERR_CONFLICT, "run %u has not ended yet", old->number);
	if (old->state == SLUICE__V1__RUN_STATE__RUN_SUCCEEDED)
		return error_set(err, ERR_CONFLICT,
				 "run %u succeeded, so there is nothing to do again", old->number);
	return 0;
}

static Sluice__V1__RunSpecRow *spec_of(struct world *w, const Sluice__V1__Run *old,
				       struct error *err)
{
	ProtobufCMessage *message;
	int found = world_fetch(w, ROW_RUN_SPEC, old->id, &message, err);

	if (found == 0)
		error_id(err, "E0204", "the pipeline of run %u is no longer kept", old->number);
	return found > 0 ? (Sluice__V1__RunSpecRow *)message : NULL;
}

static struct run *again(struct world *w, const struct caller *caller, const Sluice__V1__Run *old,
			 struct error *err)
{
	cleanup(message_freep) Sluice__V1__RunSpecRow *spec = spec_of(w, old, err);
	cleanup(run_plan_release) struct run_plan plan = {
		.caller = caller,
		.source = old->source,
		.source_label = old->source_label,
		.file_name = old->file,
		.retry_of = old->id,
		.priority = old->priority,
	};
	bool nobody;

	if (!spec || !spec->pipeline)
		return NULL;
	plan.file = spec->file;
	if (place_possible(w, spec->pipeline, &nobody, err) < 0 ||
	    run_plan_jobs(w, spec->pipeline, &plan, err) < 0)
		return NULL;
	if (nobody)
		plan.note = "no agent is enrolled yet; the run starts when one joins";
	for (size_t i = 0; i < plan.n_jobs; i++)
		if (plan_job(w, old->id, plan.jobs[i], err) < 0)
			return NULL;
	return run_make(w, &plan, &spec->pipeline, err);
}

int runs_retry(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct run_retry *r = req;
	cleanup(message_freep) Sluice__V1__Run *old = NULL;
	char id[ID_SIZE];
	struct run *run;
	int asked, found;

	world_at(w, now);
	asked = world_asked(w, r->request->request_id, "runs.retry", id, err);
	if (asked < 0)
		return -1;
	if (asked)
		return runs_answer_again(w, id, reply, err);
	found = run_fetch(w, r->request->run, &old, err);
	if (found < 0)
		return -1;
	if (!found)
		return error_id(err, "E0204", "there is no run '%s'", r->request->run);
	if (check(old, err) < 0)
		return -1;
	run = again(w, r->caller, old, err);
	if (!run)
		return -1;
	world_answered(w, r->request->request_id, "runs.retry", run->row->id);
	return runs_answer_again(w, run->row->id, reply, err);
}
