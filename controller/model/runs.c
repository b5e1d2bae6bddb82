/*
 * Runs: made, cancelled, ended. A run ends with its last job; then one sentence says
 * why it ended as it did. How a run is made of an earlier one is in retry.c.
 */
#include "controller/model/runs.h"

#include <assert.h>
#include <string.h>

#include "controller/model/agents.h"
#include "controller/model/delivery.h"
#include "controller/model/inputs.h"
#include "controller/model/jobs.h"
#include "controller/model/make.h"
#include "controller/model/place.h"
#include "controller/model/private.h"
#include "controller/model/waits.h"

#define STATE(name) SLUICE__V1__RUN_STATE__RUN_##name

/* ---- submit ---- */

static int check_source(struct world *w, const char *digest, struct error *err)
{
	cleanup(message_freep) ProtobufCMessage *row = NULL;
	int found;

	if (!*digest)
		return 0;
	found = world_fetch_child(w, ROW_ARTIFACT, NULL, digest, &row, err);
	if (found < 0)
		return -1;
	if (!found)
		return error_id(err, "E0204", "there is no artifact '%s' to be the source", digest);
	if (((Sluice__V1__Artifact *)row)->collected)
		return error_id(err, "E0204", "the source '%s' was collected; send it again",
				digest);
	return 0;
}

static int check_size(struct world *w, const struct submit *s, struct error *err)
{
	const Sluice__V1__Pipeline *p = *s->pipeline;
	size_t size = protobuf_c_message_get_packed_size(&p->base) + strlen(s->request->file);

	if (!p->n_jobs)
		return error_set(err, ERR_INVALID, "the pipeline '%s' has no job", p->name);
	if (size > RUN_SPEC_MAX)
		return error_id(err, "E0102",
				"the pipeline '%s' has %zu bytes once expanded; %d are the most",
				p->name, size, RUN_SPEC_MAX);
	if (HASH_CNT(by_id, w->jobs) + p->n_jobs > OPEN_JOBS_MAX)
		return error_set(err, ERR_EXHAUSTED,
				 "%u jobs are open, at most %d may be; submit again later",
				 HASH_CNT(by_id, w->jobs), OPEN_JOBS_MAX);
	return 0;
}

/* The answer to a repeated request: the run as it is now. */
int runs_answer_again(struct world *w, const char *id, Sluice__V1__SubmitReply **ret,
		      struct error *err)
{
	cleanup(message_freep) Sluice__V1__SubmitReply *reply =
		message_new(&sluice__v1__submit_reply__descriptor);
	int found = run_fetch(w, id, &reply->run, err);

	if (found < 0)
		return -1;
	if (!found)
		return error_id(err, "E0204", "the run of this request is no more");
	for (size_t i = 0; i < reply->run->n_notes; i++)
		message_append(reply, notes, xstrdup(reply->run->notes[i]));
	*ret = steal(reply);
	return 0;
}

static int check_submit(struct world *w, const struct submit *s, struct run_plan *plan,
			struct error *err)
{
	Sluice__V1__Pipeline *p = *s->pipeline;
	bool nobody;

	if (caller_text("name of the file", s->request->file_name, err) < 0 ||
	    caller_text("label of the source", s->request->source_label, err) < 0 ||
	    check_size(w, s, err) < 0 || check_source(w, s->request->source, err) < 0 ||
	    inputs_fix_versions(w, p, err) < 0 || place_possible(w, p, &nobody, err) < 0)
		return -1;
	if (nobody)
		plan->note = "no agent is enrolled yet; the run starts when one joins";
	return run_plan_jobs(w, p, plan, err);
}

int runs_submit(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct submit *s = req;
	const Sluice__V1__SubmitRequest *r = s->request;
	cleanup(run_plan_release) struct run_plan plan = {
		.caller = s->caller,
		.source = r->source,
		.source_label = r->source_label,
		.file_name = r->file_name,
		.file = r->file,
		.priority = r->priority,
	};
	char id[ID_SIZE];
	struct run *run;
	int asked;

	world_at(w, now);
	asked = world_asked(w, r->request_id, "runs.submit", id, err);
	if (asked < 0)
		return -1;
	if (asked)
		return runs_answer_again(w, id, reply, err);
	if (check_submit(w, s, &plan, err) < 0)
		return -1;
	run = run_make(w, &plan, s->pipeline, err);
	if (!run)
		return -1;
	world_answered(w, r->request_id, "runs.submit", run->row->id);
	return runs_answer_again(w, run->row->id, reply, err);
}

/* ---- the end ---- */

static const struct job *first_failed(const struct run *run)
{
	for (size_t i = 0; i < run->n_jobs; i++)
		if (run->jobs[i]->row->state == SLUICE__V1__JOB_STATE__JOB_FAILED)
			return run->jobs[i];
	return NULL;
}

static void end(struct world *w, struct run *run)
{
	const struct job *failed = first_failed(run);
	cleanup(freep) char *why = NULL;
	const char *how = "succeeded";

	if (run->row->cancelling) {
		run->row->state = STATE(CANCELLED);
		how = "was cancelled";
	} else if (failed) {
		run->row->state = STATE(FAILED);
		how = "failed";
		if (run->row->jobs_failed > 1)
			why = xprintf("%s failed: %s; and %u more", failed->row->spec->name,
				      failed->row->reason, run->row->jobs_failed - 1);
		else
			why = xprintf("%s failed: %s", failed->row->spec->name,
				      failed->row->reason);
		message_set_string(&run->row->reason, why);
	} else {
		run->row->state = STATE(SUCCEEDED);
	}
	run->row->finished_ms = w->now.wall_ms;
	event_of_run(world_event(w, SLUICE__V1__EVENT_KIND__EVENT_RUN_FINISHED, NULL,
				 "run %u of %s %s%s%s", run->row->number, run->row->pipeline, how,
				 *run->row->reason ? ": " : "", run->row->reason),
		     run);
	delivery_run_finished(w, run);
}

void run_job_finished(struct world *w, struct run *run, const struct job *job)
{
	assert(run->open_jobs > 0);
	run->open_jobs--;
	run->row->jobs_done++;
	run->row->jobs_failed += job->row->state == SLUICE__V1__JOB_STATE__JOB_FAILED;
	world_touch(w, &run->entity);
	if (!run->open_jobs)
		end(w, run);
}

/* ---- cancel ---- */

void run_cancel(struct world *w, struct run *run, const struct caller *by, const char *reason)
{
	const char *name = by ? by->actor->name : "controller";
	cleanup(freep) char *why = NULL;
	size_t n = run->n_jobs;

	if (run->row->cancelling || run->row->state != STATE(RUNNING))
		return;
	why = *reason ? xprintf("cancelled by %s: %s", name, reason)
		      : xprintf("cancelled by %s", name);
	run->row->cancelling = true;
	message_set_string(&run->row->reason, why);
	world_touch(w, &run->entity);
	event_of_run(world_event(w, SLUICE__V1__EVENT_KIND__EVENT_RUN_CANCEL_REQUESTED,
				 by ? by->actor : NULL, "run %u is %s", run->row->number, why),
		     run);
	/* from the end, so that nothing is skipped for what it needs */
	while (n-- > 0)
		job_cancel(w, run->jobs[n], why);
}

static int cancelled_before(struct world *w, const char *id, Sluice__V1__Run **ret,
			    struct error *err)
{
	int found = run_fetch(w, id, ret, err);

	return found < 0 ? -1 : found ? 0 : error_id(err, "E0204", "there is no run '%s'", id);
}

static int not_open(struct world *w, const char *text, struct error *err)
{
	cleanup(message_freep) Sluice__V1__Run *row = NULL;
	int found = run_fetch(w, text, &row, err);

	if (found < 0)
		return -1;
	if (!found)
		return error_id(err, "E0204", "there is no run '%s'", text);
	return error_set(err, ERR_CONFLICT, "run %u has ended: it %s", row->number,
			 row->state == STATE(SUCCEEDED) ? "succeeded"
			 : row->state == STATE(FAILED)	? "failed"
							: "was cancelled");
}

int runs_cancel(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct run_cancellation *c = req;
	Sluice__V1__Run **ret = reply;
	char id[ID_SIZE];
	struct run *run;
	int asked;

	world_at(w, now);
	asked = world_asked(w, c->request->request_id, "runs.cancel", id, err);
	if (asked < 0 || caller_text("reason", c->request->reason, err) < 0)
		return -1;
	if (asked)
		return cancelled_before(w, id, ret, err);
	run = world_run(w, c->request->run, NULL);
	if (!run || run->row->state != STATE(RUNNING))
		return not_open(w, c->request->run, err);
	run_cancel(w, run, c->caller, c->request->reason);
	world_answered(w, c->request->request_id, "runs.cancel", run->row->id);
	*ret = message_copy(run->row);
	return 0;
}

/* ---- looked at ---- */

int run_fetch(struct world *w, const char *text, Sluice__V1__Run **ret, struct error *err)
{
	const char *digits = text + (*text == '#');
	size_t len = strspn(digits, "0123456789");
	struct run *run = world_run(w, text, NULL);
	ProtobufCMessage *message;
	int found = 0;

	if (run) {
		*ret = message_copy(run->row);
		return 1;
	}
	if (!len || digits[len])
		found = world_fetch(w, ROW_RUN, text, &message, err);
	else if (len < 10 && w->source.by_number)
		found = w->source.by_number(w->source.arg, ROW_RUN, strtoull(digits, NULL, 10),
					    &message, err);
	if (found > 0)
		*ret = (Sluice__V1__Run *)message;
	return found;
}

/* Under the job's name: a verdict that was kept may be another job's, of equal digests. */
static int add_verdict(struct world *w, const Sluice__V1__Job *job, Sluice__V1__RunDetail *d,
		       struct error *err)
{
	cleanup(message_freep) ProtobufCMessage *row = NULL;
	int found = *job->verdict ? world_fetch(w, ROW_VERDICT, job->verdict, &row, err) : 0;
	const Sluice__V1__Verdict *v = (const Sluice__V1__Verdict *)row;

	for (size_t i = 0; found > 0 && i < v->n_expectations; i++)
		message_append(d, verdicts,
			       xprintf("%s: %s", job->spec->name, v->expectations[i]->line));
	return found < 0 ? -1 : 0;
}

int runs_detail(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	cleanup(message_freep) Sluice__V1__RunDetail *d =
		message_new(&sluice__v1__run_detail__descriptor);
	struct run *run = world_run(w, req, err);
	Sluice__V1__RunDetail **ret = reply;

	world_at(w, now);
	if (!run)
		return -1;
	d->run = message_copy(run->row);
	for (size_t i = 0; i < run->n_jobs; i++) {
		Sluice__V1__Wait *wait = wait_of_job(w, run->jobs[i]);

		message_append(d, jobs, message_copy(run->jobs[i]->row));
		if (wait)
			message_append(d, waits, wait);
		if (add_verdict(w, run->jobs[i]->row, d, err) < 0)
			return -1;
	}
	*ret = steal(d);
	return 0;
}
