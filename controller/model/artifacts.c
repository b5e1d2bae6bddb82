/*
 * Rows of artifacts. One is found again by what made it, not by its digest alone:
 * two jobs may well make the same bytes. So a commit answers like a request whose
 * id is (fence, name, digest), and a version of a published name like one whose id
 * is (name, version). Ids of our own hold a ':', which those of users cannot.
 */
#include "controller/model/artifacts.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "controller/model/agents.h"
#include "controller/model/attempts.h"
#include "controller/model/finish.h"
#include "controller/model/inputs.h"
#include "controller/model/private.h"

enum { META_MAX = 64 };

static char *commit_key(uint64_t fence, const char *name, const char *digest)
{
	return xprintf("artifact:%" PRIu64 ":%s:%s", fence, name, digest);
}

static char *version_key(const char *name, uint32_t version)
{
	return xprintf("version:%s:%u", name, version);
}

/* 1 and a copy of the artifact that our own request `key` made, 0, -1. */
static int find(struct world *w, const char *key, Sluice__V1__Artifact **ret, struct error *err)
{
	cleanup(message_freep) ProtobufCMessage *request = NULL;
	ProtobufCMessage *artifact;
	int found = world_fetch(w, ROW_REQUEST, key, &request, err);

	if (found <= 0)
		return found;
	found = world_fetch(w, ROW_ARTIFACT, ((Sluice__V1__RequestRow *)request)->subject,
			    &artifact, err);
	if (found > 0)
		*ret = (Sluice__V1__Artifact *)artifact;
	return found;
}

int artifact_of_fence(struct world *w, const struct attempt *a, const char *name,
		      const char *digest, Sluice__V1__Artifact **ret, struct error *err)
{
	cleanup(freep) char *key = commit_key(a->row->fence, name, digest);

	return find(w, key, ret, err);
}

/* ---- commit ---- */

static int check(struct world *w, const struct artifact_commit *c, struct attempt **ret,
		 struct error *err)
{
	struct agent *agent;

	*ret = NULL;
	if (!agent_name_valid(c->start->name))
		return error_id(err, "E0110", "'%.200s' cannot be the name of an artifact",
				c->start->name);
	if (c->commit->n_meta > META_MAX)
		return error_set(err, ERR_INVALID, "an artifact has at most %d meta values",
				 META_MAX);
	if (!c->agent)
		return 0;
	agent = world_agent(w, c->agent, err);
	if (!agent)
		return -1;
	*ret = world_attempt(w, c->start->fence);
	if (*ret && (*ret)->agent == agent &&
	    ((*ret)->row->state == SLUICE__V1__ATTEMPT_STATE__ATTEMPT_RUNNING ||
	     (*ret)->row->state == SLUICE__V1__ATTEMPT_STATE__ATTEMPT_CANCELLING))
		return 0;
	return error_id(err, "E0509", "fence %" PRIu64 " is not (or no longer) leased to '%s'",
			c->start->fence, agent->row->name);
}

static void add_input(void *arg, const Sluice__V1__ResolvedArtifact *a)
{
	Sluice__V1__Artifact *row = arg;

	message_append(row, inputs, xstrdup(a->digest));
	message_append(row, input_ids, xstrdup(a->artifact_id));
}

static Sluice__V1__Variable *variable_new(const char *prefix, const char *name, const char *value)
{
	Sluice__V1__Variable *v = message_new(&sluice__v1__variable__descriptor);
	cleanup(freep) char *full = xprintf("%s%s", prefix, name);

	message_set_string(&v->name, full);
	message_set_string(&v->value, value);
	return v;
}

/* Where it came from: run, job, fence, what was read, with which parameters. */
static void add_origin(struct world *w, Sluice__V1__Artifact *row, const struct attempt *a)
{
	const Sluice__V1__Job *job = a->job->row;
	const Sluice__V1__Run *run = a->job->run->row;

	message_set_string(&row->run_id, run->id);
	row->run_number = run->number;
	message_set_string(&row->job_id, job->id);
	message_set_string(&row->job_name, job->spec->name);
	row->fence = a->row->fence;
	message_set_string(&row->pipeline, run->pipeline);
	inputs_each(job, add_input, row);
	if (*run->source) {
		cleanup(message_freep) ProtobufCMessage *source = NULL;
		bool found =
			world_fetch_child(w, ROW_ARTIFACT, NULL, run->source, &source, NULL) > 0;

		message_append(row, inputs, xstrdup(run->source));
		message_append(row, input_ids,
			       xstrdup(found ? ((Sluice__V1__Artifact *)source)->id : ""));
	}
	for (size_t i = 0; i < run->n_params; i++)
		message_append(row, params,
			       variable_new("", run->params[i]->name, run->params[i]->value));
	for (size_t i = 0; i < job->spec->n_matrix; i++)
		message_append(row, params,
			       variable_new("matrix.", job->spec->matrix[i]->name,
					    job->spec->matrix[i]->value));
}

/* What an output is, is said by the file; what other uploads are, by whoever uploads. */
static Sluice__V1__ArtifactKind kind_of(const struct artifact_commit *c, const struct attempt *a)
{
	for (size_t i = 0; a && i < a->job->row->spec->n_outputs; i++)
		if (strcmp(a->job->row->spec->outputs[i]->name, c->start->name) == 0)
			return a->job->row->spec->outputs[i]->kind;
	return c->start->kind ? c->start->kind : SLUICE__V1__ARTIFACT_KIND__ANY;
}

static Sluice__V1__Artifact *row_new(struct world *w, const struct artifact_commit *c,
				     const struct attempt *a)
{
	Sluice__V1__Artifact *row = message_new(&sluice__v1__artifact__descriptor);
	Sluice__V1__Actor agent;

	message_set_string(&row->id, world_id(w).text);
	message_set_string(&row->digest, c->digest);
	message_set_string(&row->name, c->start->name);
	row->kind = kind_of(c, a);
	row->size = c->size;
	row->created_ms = w->now.wall_ms;
	for (size_t i = 0; i < c->commit->n_meta; i++)
		message_append(row, meta, variable_copy(c->commit->meta[i]));
	row->data_until_ms = c->commit->data_until_ms;
	row->produced_at_ms = c->commit->produced_at_ms;
	row->is_file = c->start->is_file;
	if (a) {
		add_origin(w, row, a);
		agent = agent_actor(a->agent);
		row->actor = actor_copy(&agent);
	} else {
		row->actor = actor_copy(c->caller->actor);
	}
	return row;
}

static void announce(struct world *w, const Sluice__V1__Artifact *row, const struct attempt *a)
{
	char size[CLOCK_TEXT];
	Sluice__V1__Event *e;

	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_ARTIFACT_COMMITTED, row->actor,
			"'%s' of %s, %s", row->name, size_format(row->size, size), row->digest);
	if (a)
		event_of_job(e, a->job);
}

int artifacts_commit(struct world *w, struct now now, const void *req, void *reply,
		     struct error *err)
{
	const struct artifact_commit *c = req;
	cleanup(freep) char *key = NULL;
	Sluice__V1__Artifact **ret = reply;
	Sluice__V1__Artifact *row;
	struct attempt *a;
	int found;

	world_at(w, now);
	if (check(w, c, &a, err) < 0)
		return -1;
	key = commit_key(a ? a->row->fence : 0, c->start->name, c->digest);
	found = find(w, key, ret, err);
	if (found < 0)
		return -1;
	if (found && !(*ret)->collected)
		return 0;
	if (found)
		message_free(steal(*ret));
	row = row_new(w, c, a);
	*ret = message_copy(row);
	announce(w, row, a);
	world_answered(w, key, "artifact", row->id);
	world_record(w, ROW_ARTIFACT, &row->base);
	return 0;
}

/* ---- collected ---- */

int artifacts_mark_collected(struct world *w, struct now now, const void *req, void *reply,
			     struct error *err)
{
	const struct artifacts_collected *c = req;

	world_at(w, now);
	for (size_t i = 0; i < c->n; i++) {
		ProtobufCMessage *message;
		Sluice__V1__Artifact *row;
		int found = world_fetch(w, ROW_ARTIFACT, c->ids[i], &message, err);

		if (found < 0)
			return -1;
		if (!found)
			continue;
		row = (Sluice__V1__Artifact *)message;
		if (row->collected) {
			message_free(row);
			continue;
		}
		row->collected = true;
		world_event(w, SLUICE__V1__EVENT_KIND__EVENT_ARTIFACT_COLLECTED, NULL,
			    "the bytes of '%s' are gone: nothing names %s", row->name, row->digest);
		world_record(w, ROW_ARTIFACT, message);
	}
	return 0;
}

/* ---- when a job has ended well ---- */

static Sluice__V1__Artifact *output_row(struct world *w, const Sluice__V1__ProducedOutput *out)
{
	ProtobufCMessage *message;

	if (world_fetch(w, ROW_ARTIFACT, out->artifact_id, &message, NULL) <= 0)
		return NULL;
	return (Sluice__V1__Artifact *)message;
}

void artifacts_complete(struct world *w, struct job *job)
{
	for (size_t i = 0; job->row->n_metrics && i < job->row->n_outputs; i++) {
		Sluice__V1__Artifact *row = output_row(w, job->row->outputs[i]);

		if (!row)
			continue;
		for (size_t n = 0; n < row->n_metrics; n++)
			message_free(row->metrics[n]);
		row->n_metrics = 0;
		for (size_t n = 0; n < job->row->n_metrics; n++)
			message_append(row, metrics, message_copy(job->row->metrics[n]));
		world_record(w, ROW_ARTIFACT, &row->base);
	}
}

static struct published *published_name(struct world *w, const char *name)
{
	Sluice__V1__PublishedRow *row;
	struct published *p;

	HASH_FIND(by_name, w->published, name, strlen(name), p);
	if (p)
		return p;
	row = message_new(&sluice__v1__published_row__descriptor);
	message_set_string(&row->name, name);
	return entity_published_new(w, row);
}

/* The same bytes again are no new version: whoever waits for one would wake for nothing. */
static void publish(struct world *w, struct job *job, const char *name,
		    const Sluice__V1__ProducedOutput *out)
{
	Sluice__V1__Artifact *row = output_row(w, out);
	cleanup(freep) char *key = NULL;
	struct published *p;
	Sluice__V1__Event *e;

	if (!row)
		return;
	p = published_name(w, name);
	if (p->row->version && strcmp(p->row->digest, out->digest) == 0) {
		p->row->at_ms = w->now.wall_ms;
		world_touch(w, &p->entity);
		message_free(row);
		return;
	}
	p->row->version++;
	message_set_string(&p->row->artifact_id, row->id);
	message_set_string(&p->row->digest, row->digest);
	message_set_string(&p->row->pipeline, job->run->row->pipeline);
	p->row->kind = row->kind;
	p->row->is_file = row->is_file;
	p->row->at_ms = w->now.wall_ms;
	world_touch(w, &p->entity);
	message_set_string(&row->published, name);
	row->version = p->row->version;
	key = version_key(name, row->version);
	world_noted(w, key, "version", row->id);
	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_ARTIFACT_PUBLISHED, NULL,
			"%s v%u, from %s of run %u", name, row->version, job->row->spec->name,
			job->row->run_number);
	event_of_job(e, job);
	world_record(w, ROW_ARTIFACT, &row->base);
}

void artifacts_publish(struct world *w, struct job *job)
{
	const Sluice__V1__JobSpec *spec = job->row->spec;

	for (size_t i = 0; i < spec->n_outputs; i++)
		for (size_t n = 0; *spec->outputs[i]->publish && n < job->row->n_outputs; n++)
			if (strcmp(job->row->outputs[n]->name, spec->outputs[i]->name) == 0)
				publish(w, job, spec->outputs[i]->publish, job->row->outputs[n]);
}

/* ---- found by its name ---- */

static int by_name(const void *a, const void *b)
{
	const struct published *x = *(struct published *const *)a;
	const struct published *y = *(struct published *const *)b;

	return strcmp(x->row->name, y->row->name);
}

static int nothing_published(struct world *w, const char *name, struct error *err)
{
	enum { NAMED = 8 };
	size_t count = HASH_CNT(by_name, w->published), n = 0;
	cleanup(freep) struct published **all = xcalloc(count + 1, sizeof(struct published *));
	cleanup(buf_release) struct buf names = { 0 };
	struct published *p, *next;

	if (!count)
		return error_id(err, "E0208",
				"no artifact is published as '%s'; none is published at all yet",
				name);
	HASH_ITER(by_name, w->published, p, next)
		all[n++] = p;
	qsort(all, n, sizeof(*all), by_name);
	for (size_t i = 0; i < n && i < NAMED; i++)
		buf_printf(&names, "%s'%s' (v%u)", i ? ", " : "", all[i]->row->name,
			   all[i]->row->version);
	return error_id(err, "E0208", "no artifact is published as '%s'; there %s %s%s", name,
			n == 1 ? "is" : "are", buf_str(&names), n > NAMED ? " and others" : "");
}

static Sluice__V1__ResolvedArtifact *resolved_new(const char *name, uint32_t version,
						  const Sluice__V1__Artifact *row)
{
	Sluice__V1__ResolvedArtifact *a = message_new(&sluice__v1__resolved_artifact__descriptor);

	message_set_string(&a->digest, row->digest);
	a->kind = row->kind;
	message_set_string(&a->name, name);
	a->version = version;
	message_set_string(&a->artifact_id, row->id);
	a->is_file = row->is_file;
	return a;
}

int artifact_resolve(struct world *w, const char *name, uint32_t version,
		     Sluice__V1__ResolvedArtifact **ret, struct error *err)
{
	cleanup(message_freep) Sluice__V1__Artifact *row = NULL;
	cleanup(freep) char *key = NULL;
	struct published *p;
	int found;

	HASH_FIND(by_name, w->published, name, strlen(name), p);
	if (!p)
		return nothing_published(w, name, err);
	if (!version)
		version = p->row->version;
	key = version_key(name, version);
	found = version > p->row->version ? 0 : find(w, key, &row, err);
	if (found < 0)
		return -1;
	if (!found)
		return error_id(err, "E0208", "'%s' has no version %u; the latest is v%u", name,
				version, p->row->version);
	if (row->collected)
		return error_id(err, "E0208", "version %u of '%s' was collected; the latest is v%u",
				version, name, p->row->version);
	*ret = resolved_new(name, version, row);
	return 0;
}
