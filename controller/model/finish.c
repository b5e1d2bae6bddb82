/*
 * Finish. A result counts only when everything it rests on is durable here: the
 * log to its end in every stream, and each artifact under this very fence. Until then
 * the agent is told what is missing and asks again; afterwards any repeat gets the
 * same answer, from the closed row. Whoever comes with a fence that was overtaken
 * is told to stop.
 */
#include "controller/model/finish.h"

#include <math.h>
#include <string.h>

#include "controller/model/artifacts.h"
#include "controller/model/private.h"

#define STATE(name) SLUICE__V1__ATTEMPT_STATE__ATTEMPT_##name

enum {
	EXIT_TEXT = 1000,  /* bytes kept of how an attempt ended */
	METRIC_NAME = 256, /* a metric with a longer name is not kept */
};

int attempt_closed(struct world *w, const struct agent *agent, uint64_t fence,
		   Sluice__V1__Attempt **ret, struct error *err)
{
	cleanup(message_freep) ProtobufCMessage *message = NULL;
	char id[24];
	int found = world_fetch(w, ROW_ATTEMPT, fence_format(fence, id), &message, err);

	if (found < 0)
		return -1;
	if (found && strcmp(((Sluice__V1__Attempt *)message)->agent_id, agent->row->id) == 0)
		*ret = (Sluice__V1__Attempt *)steal(message);
	return 0;
}

/* ---- what is missing ---- */

/* What is durable was asked for by the run that the agent named: of another run it says nothing. */
static bool logs_durable(const struct attempt *a, const Sluice__V1__FinishedAttempt *f,
			 const uint64_t *durable)
{
	if (f->n_log_end > LOG_STREAMS)
		return false;
	if (strcmp(f->run_id, a->row->run_id) != 0)
		durable = NULL;
	for (size_t i = 0; i < f->n_log_end; i++)
		if (f->log_end[i] > (durable ? durable[i] : 0))
			return false;
	return true;
}

static void need_digest(Sluice__V1__FinishNeed *need, const char *digest)
{
	message_append(need, digests, xstrdup(digest));
}

/* Raw reports and notes are kept by digest, whatever they were called at upload. */
static int check_blob(struct world *w, const struct attempt *a, const char *digest,
		      Sluice__V1__FinishNeed *need, struct error *err)
{
	cleanup(message_freep) ProtobufCMessage *message = NULL;
	int found = 1;

	if (*digest)
		found = world_fetch_child(w, ROW_ARTIFACT, a->row->run_id, digest, &message, err);
	if (found == 0)
		need_digest(need, digest);
	return found < 0 ? -1 : 0;
}

/* Each costs a read, and no job has more than its file says. */
static size_t outputs_named(const struct attempt *a, const Sluice__V1__FinishedAttempt *f)
{
	return MIN(f->n_outputs, a->job->row->spec->n_outputs);
}

static int check_outputs(struct world *w, const struct attempt *a,
			 const Sluice__V1__FinishedAttempt *f, Sluice__V1__FinishNeed *need,
			 struct error *err)
{
	for (size_t i = 0; i < outputs_named(a, f); i++) {
		cleanup(message_freep) Sluice__V1__Artifact *row = NULL;
		int found = artifact_of_fence(w, a, f->outputs[i]->name, f->outputs[i]->digest,
					      &row, err);

		if (found < 0)
			return -1;
		if (!found)
			need_digest(need, f->outputs[i]->digest);
	}
	if (check_blob(w, a, f->report, need, err) < 0)
		return -1;
	return check_blob(w, a, f->notes, need, err);
}

/* 1 and *ret when something is missing, 0, -1. */
static int check(struct world *w, const struct attempt *a, const Sluice__V1__FinishedAttempt *f,
		 const uint64_t *durable, Sluice__V1__FinishNeed **ret, struct error *err)
{
	cleanup(message_freep) Sluice__V1__FinishNeed *need =
		message_new(&sluice__v1__finish_need__descriptor);
	bool logs = logs_durable(a, f, durable);

	need->fence = f->fence;
	if (check_outputs(w, a, f, need, err) < 0)
		return -1;
	if (logs && !need->n_digests)
		return 0;
	for (size_t i = 0; !logs && i < LOG_STREAMS; i++)
		message_append(need, log_durable, durable ? durable[i] : 0);
	*ret = steal(need);
	return 1;
}

/* ---- what is taken ---- */

static const Sluice__V1__OutputSpec *output_spec(const Sluice__V1__JobSpec *spec, const char *name)
{
	for (size_t i = 0; i < spec->n_outputs; i++)
		if (strcmp(spec->outputs[i]->name, name) == 0)
			return spec->outputs[i];
	return NULL;
}

static void clear_results(Sluice__V1__Job *row)
{
	for (size_t i = 0; i < row->n_outputs; i++)
		message_free(row->outputs[i]);
	free(steal(row->outputs));
	row->n_outputs = 0;
	for (size_t i = 0; i < row->n_metrics; i++)
		message_free(row->metrics[i]);
	free(steal(row->metrics));
	row->n_metrics = 0;
	message_set_string(&row->report, "");
}

static bool has_output(const Sluice__V1__Job *row, const char *name)
{
	for (size_t i = 0; i < row->n_outputs; i++)
		if (strcmp(row->outputs[i]->name, name) == 0)
			return true;
	return false;
}

static void take_outputs(struct world *w, const struct attempt *a, Sluice__V1__Job *row,
			 const Sluice__V1__FinishedAttempt *f)
{
	for (size_t i = 0; i < f->n_outputs; i++) {
		const Sluice__V1__OutputSpec *spec = output_spec(row->spec, f->outputs[i]->name);
		cleanup(message_freep) Sluice__V1__Artifact *artifact = NULL;
		Sluice__V1__ProducedOutput *out;

		if (!spec || has_output(row, spec->name) ||
		    artifact_of_fence(w, a, f->outputs[i]->name, f->outputs[i]->digest, &artifact,
				      NULL) <= 0)
			continue;
		out = message_new(&sluice__v1__produced_output__descriptor);
		message_set_string(&out->name, spec->name);
		message_set_string(&out->digest, artifact->digest);
		message_set_string(&out->artifact_id, artifact->id);
		out->size = artifact->size;
		out->kind = artifact->kind;
		out->is_file = artifact->is_file;
		message_append(row, outputs, out);
	}
}

/* Values that are no numbers are not kept: no gate could decide on them, and absence says so. */
static void take_metrics(Sluice__V1__Job *row, const Sluice__V1__FinishedAttempt *f)
{
	for (size_t i = 0; i < f->n_metrics && row->n_metrics < METRICS_MAX; i++)
		if (isfinite(f->metrics[i]->value) && strlen(f->metrics[i]->name) <= METRIC_NAME)
			message_append(row, metrics, message_copy(f->metrics[i]));
}

/* A sentence goes into rows and events; what is longer is cut between two characters. */
static void clip(char *sentence)
{
	size_t at = EXIT_TEXT;

	if (strlen(sentence) <= EXIT_TEXT)
		return;
	while (at && ((unsigned char)sentence[at] & 0xc0) == 0x80)
		at--;
	sentence[at] = '\0';
}

static const char *missing_output(const Sluice__V1__Job *row)
{
	for (size_t i = 0; i < row->spec->n_outputs; i++)
		if (!has_output(row, row->spec->outputs[i]->name))
			return row->spec->outputs[i]->name;
	return NULL;
}

static Sluice__V1__Exit *exit_of(const Sluice__V1__Job *row, const Sluice__V1__FinishedAttempt *f)
{
	Sluice__V1__Exit *exit =
		f->exit ? message_copy(f->exit) : message_new(&sluice__v1__exit__descriptor);
	cleanup(freep) char *text = NULL;
	const char *missing;

	clip(exit->text);
	if (exit->reason == SLUICE__V1__EXIT_REASON__EXIT_REASON_UNSPECIFIED) {
		exit->reason = SLUICE__V1__EXIT_REASON__EXIT_INFRA;
		message_set_string(&exit->text, "the agent did not say how it ended");
	}
	if (exit->reason != SLUICE__V1__EXIT_REASON__EXIT_OK)
		return exit;
	missing = missing_output(row);
	if (missing) {
		text = xprintf("the output '%s' was not made", missing);
		exit->reason = SLUICE__V1__EXIT_REASON__EXIT_OUTPUT_MISSING;
		message_set_string(&exit->text, text);
	}
	return exit;
}

static void take(struct world *w, struct attempt *a, const Sluice__V1__FinishedAttempt *f)
{
	struct job *job = a->job;
	Sluice__V1__Job *row = job->row;
	cleanup(message_freep) Sluice__V1__Exit *exit = NULL;

	clear_results(row);
	take_outputs(w, a, row, f);
	take_metrics(row, f);
	message_set_string(&row->report, f->report);
	row->log_size = f->n_log_end ? f->log_end[0] : 0;
	for (size_t i = 0; i < f->n_log_end; i++)
		message_append(a->row, log_end, f->log_end[i]);
	exit = exit_of(row, f);
	job->notes = f->notes;
	attempt_finished(w, a, exit);
	job->notes = NULL;
}

/* ---- the message ---- */

struct answer {
	Sluice__V1__FinishAck *ack;
	bool *complete; /* of each attempt: to be taken */
};

static void stop(struct world *w, struct agent *agent, uint64_t fence)
{
	attempt_post_stop(w, agent, fence, SLUICE__V1__EXIT_REASON__EXIT_CANCELLED,
			  "its fence was overtaken", 0);
}

/* First pass: reads and checks, changes nothing but the answer. -1, 0, or 1: a Stop is due. */
static int look(struct world *w, struct agent *agent, const struct agent_message *m, size_t i,
		struct answer *answer, struct error *err)
{
	const Sluice__V1__FinishedAttempt *f = m->message->finish->attempts[i];
	struct attempt *a = world_attempt(w, f->fence);
	cleanup(message_freep) Sluice__V1__Attempt *closed = NULL;
	Sluice__V1__FinishNeed *need;
	int missing;

	if (a && attempt_is_open(a)) {
		if (a->agent != agent || a->row->state == STATE(OFFERED))
			return 1;
		missing = check(w, a, f, m->log_durable ? m->log_durable[i] : NULL, &need, err);
		if (missing > 0)
			message_append(answer->ack, needs, need);
		answer->complete[i] = missing == 0;
		return missing < 0 ? -1 : 0;
	}
	if (attempt_closed(w, agent, f->fence, &closed, err) < 0)
		return -1;
	if (!closed || closed->state == STATE(LOST) || closed->state == STATE(WITHDRAWN))
		return 1;
	message_append(answer->ack, fences, f->fence);
	return 0;
}

/* The same fence twice in one message is one attempt. */
static void take_all(struct world *w, const struct agent_message *m, struct answer *answer)
{
	const Sluice__V1__Finish *finish = m->message->finish;

	for (size_t i = 0; i < finish->n_attempts; i++) {
		struct attempt *a = world_attempt(w, finish->attempts[i]->fence);

		if (!answer->complete[i])
			continue;
		if (a && attempt_is_open(a))
			take(w, a, finish->attempts[i]);
		message_append(answer->ack, fences, finish->attempts[i]->fence);
	}
}

int finish_message(struct world *w, struct agent *agent, const struct agent_message *m,
		   struct error *err)
{
	const Sluice__V1__Finish *finish = m->message->finish;
	cleanup(message_freep) Sluice__V1__ControllerMessage *answer =
		message_new(&sluice__v1__controller_message__descriptor);
	cleanup(freep) bool *complete = xcalloc(finish->n_attempts + 1, sizeof(*complete));
	cleanup(freep) bool *stale = xcalloc(finish->n_attempts + 1, sizeof(*stale));
	struct answer a = { message_new(&sluice__v1__finish_ack__descriptor), complete };

	answer->body_case = SLUICE__V1__CONTROLLER_MESSAGE__BODY_FINISH_ACK;
	answer->finish_ack = a.ack;
	a.ack->request_seq = m->message->seq;
	for (size_t i = 0; i < finish->n_attempts; i++) {
		int r = look(w, agent, m, i, &a, err);

		if (r < 0)
			return -1;
		stale[i] = r > 0;
	}
	take_all(w, m, &a);
	world_post(w, agent, steal(answer));
	for (size_t i = 0; i < finish->n_attempts; i++)
		if (stale[i])
			stop(w, agent, finish->attempts[i]->fence);
	return 0;
}
