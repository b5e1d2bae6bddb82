/*
 * Releases: made from what a job read and made, under the digest of the list of its
 * parts. Parts that come from different versions of one thing are refused: the list
 * of ancestors of each part is walked, and what two parts have in common must be the
 * same digest in both.
 */
#include "controller/model/releases.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "controller/model/delivery.h"
#include "controller/model/environments.h"
#include "controller/model/gates.h"
#include "controller/model/lineage.h"
#include "crypto/digest.h"
#include "proto/message.h"
#include "sluice/v1/artifacts.pb-c.h"

char *release_name(const struct release *r, char ret[RELEASE_NAME])
{
	if (r)
		snprintf(ret, RELEASE_NAME, "r%u", r->row->number);
	else
		snprintf(ret, RELEASE_NAME, "no release");
	return ret;
}

bool release_is_quarantined(const struct release *r, const char *environment)
{
	for (size_t i = 0; i < r->row->n_quarantined; i++)
		if (!strcmp(r->row->quarantined[i], environment))
			return true;
	return false;
}

Sluice__V1__Quarantine *release_quarantine_of(const struct release *r, const char *environment)
{
	for (size_t i = 0; i < r->row->n_quarantines; i++)
		if (!strcmp(r->row->quarantines[i]->environment, environment))
			return r->row->quarantines[i];
	return NULL;
}

char *release_quarantine_text(const struct world *w, const struct release *r,
			      const char *environment)
{
	const Sluice__V1__Quarantine *q = release_quarantine_of(r, environment);
	bool elsewhere = q && strcmp(q->origin, environment) != 0;
	char name[RELEASE_NAME], took[CLOCK_TEXT];

	release_name(r, name);
	if (!q)
		return xprintf("%s is quarantined in '%s'", name, environment);
	duration_format(MAX(w->now.wall_ms - q->since_ms, INT64_C(0)), took);
	return xprintf("%s is quarantined in '%s' for %s%s%s%s%s: %s", name, environment, took,
		       q->actor[0] ? ", by " : "", q->actor, elsewhere ? ", because of " : "",
		       elsewhere ? q->origin : "", q->reason);
}

int release_present(struct world *w, const struct release *r, struct error *err)
{
	char name[RELEASE_NAME];

	for (size_t i = 0; i < r->row->n_parts; i++) {
		cleanup(message_freep) ProtobufCMessage *message = NULL;
		const Sluice__V1__ReleasePart *part = r->row->parts[i];

		if (!part->artifact_id[0] ||
		    world_fetch(w, ROW_ARTIFACT, part->artifact_id, &message, NULL) != 1)
			continue;
		if (((const Sluice__V1__Artifact *)message)->collected)
			return error_id(err, "E0409", "part '%s' of %s was collected", part->slot,
					release_name(r, name));
	}
	return 0;
}

/* ---- evaluations ---- */

static bool same_yardstick(const Sluice__V1__Evaluation *a, const Sluice__V1__Evaluation *b)
{
	return !strcmp(a->artifact, b->artifact) && !strcmp(a->set, b->set) &&
	       !strcmp(a->evaluator, b->evaluator) && !strcmp(a->job, b->job);
}

static void remove_evaluation(Sluice__V1__Release *row, size_t i)
{
	message_free(row->evaluations[i]);
	row->n_evaluations--;
	memmove(row->evaluations + i, row->evaluations + i + 1,
		(row->n_evaluations - i) * sizeof(*row->evaluations));
}

static void add_evaluation(Sluice__V1__Release *row, Sluice__V1__Evaluation *e)
{
	for (size_t i = row->n_evaluations; i > 0; i--)
		if (same_yardstick(row->evaluations[i - 1], e))
			remove_evaluation(row, i - 1);
	if (row->n_evaluations >= RELEASE_EVALUATIONS)
		remove_evaluation(row, 0);
	message_append(row, evaluations, e);
}

void release_add_evaluation(struct world *w, struct release *r, Sluice__V1__Evaluation *e)
{
	add_evaluation(r->row, e);
	world_touch(w, &r->entity);
}

/* ---- parts ---- */

static Sluice__V1__ReleasePart *part_new(const char *slot, Sluice__V1__ArtifactKind kind,
					 const char *digest, const char *artifact_id, bool is_file)
{
	Sluice__V1__ReleasePart *part = message_new(&sluice__v1__release_part__descriptor);

	message_set_string(&part->slot, slot);
	part->kind = kind;
	message_set_string(&part->digest, digest);
	message_set_string(&part->artifact_id, artifact_id);
	part->is_file = is_file;
	return part;
}

static int part_of_input(const struct job *job, const Sluice__V1__ReleasePartSpec *spec,
			 Sluice__V1__ReleasePart **ret, struct error *err)
{
	for (size_t i = 0; i < job->row->n_inputs; i++) {
		const Sluice__V1__ResolvedInput *input = job->row->inputs[i];
		const Sluice__V1__ResolvedArtifact *a;

		if (strcmp(input->name, spec->input))
			continue;
		if (input->n_artifacts != 1)
			return error_set(
				err, ERR_INVALID,
				"part '%s' of the release is the input '%s', which has %zu "
				"artifacts; a part is one",
				spec->slot, spec->input, input->n_artifacts);
		a = input->artifacts[0];
		*ret = part_new(spec->slot, a->kind, a->digest, a->artifact_id, a->is_file);
		return 1;
	}
	return 0;
}

static int part_of_output(const struct job *job, const Sluice__V1__ReleasePartSpec *spec,
			  Sluice__V1__ReleasePart **ret)
{
	for (size_t i = 0; i < job->row->n_outputs; i++) {
		const Sluice__V1__ProducedOutput *o = job->row->outputs[i];

		if (strcmp(o->name, spec->input))
			continue;
		*ret = part_new(spec->slot, o->kind, o->digest, o->artifact_id, o->is_file);
		return 1;
	}
	return 0;
}

/* The source has a row of its own, so that lineage leads to it; one that cannot be found is still a
 * part. */
static Sluice__V1__ReleasePart *part_of_source(struct world *w, const struct job *job,
					       const Sluice__V1__ReleasePartSpec *spec)
{
	const char *digest = job->run->row->source;
	cleanup(message_freep) ProtobufCMessage *row = NULL;
	const char *id = "";

	if (world_fetch_child(w, ROW_ARTIFACT, NULL, digest, &row, NULL) > 0)
		id = ((Sluice__V1__Artifact *)row)->id;
	return part_new(spec->slot, SLUICE__V1__ARTIFACT_KIND__SOURCE, digest, id, false);
}

static int resolve(struct world *w, const struct job *job, const Sluice__V1__ReleasePartSpec *spec,
		   Sluice__V1__ReleasePart **ret, struct error *err)
{
	int found = part_of_input(job, spec, ret, err);

	if (!found)
		found = part_of_output(job, spec, ret);
	if (!found && !strcmp(spec->input, "source") && job->run->row->source[0]) {
		*ret = part_of_source(w, job, spec);
		found = 1;
	}
	if (!found)
		return error_set(
			err, ERR_INVALID,
			"part '%s' of the release is '%s', which job '%s' neither reads nor "
			"made",
			spec->slot, spec->input, job->row->spec->name);
	return found < 0 ? -1 : 0;
}

static int by_slot(const void *a, const void *b)
{
	return strcmp((*(Sluice__V1__ReleasePart *const *)a)->slot,
		      (*(Sluice__V1__ReleasePart *const *)b)->slot);
}

static int resolve_parts(struct world *w, const struct job *job, Sluice__V1__Release *row,
			 struct error *err)
{
	const Sluice__V1__ReleaseSpec *spec = job->row->spec->release;

	if (!spec->n_parts || spec->n_parts > RELEASE_PARTS)
		return error_set(err, ERR_INVALID, "a release has 1 to %d parts, not %zu",
				 RELEASE_PARTS, spec->n_parts);
	for (size_t i = 0; i < spec->n_parts; i++) {
		Sluice__V1__ReleasePart *part = NULL;

		if (resolve(w, job, spec->parts[i], &part, err) < 0)
			return -1;
		message_append(row, parts, part);
	}
	qsort(row->parts, row->n_parts, sizeof(*row->parts), by_slot);
	return lineage_check_parts(w, row, err);
}

static const char *kind_name(Sluice__V1__ArtifactKind kind)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(
		&sluice__v1__artifact_kind__descriptor, (int)kind);

	return v ? v->name : "ANY";
}

/* One line a part, in the order of slots: "model MODEL sha256:...". */
static void set_digest(Sluice__V1__Release *row)
{
	cleanup(buf_release) struct buf list = { 0 };
	char text[DIGEST_TEXT_SIZE];
	struct digest digest;

	for (size_t i = 0; i < row->n_parts; i++)
		buf_printf(&list, "%s %s %s\n", row->parts[i]->slot, kind_name(row->parts[i]->kind),
			   row->parts[i]->digest);
	digest = digest_of(list.data, list.len);
	message_set_string(&row->digest, digest_format(&digest, text));
}

/* ---- the release ---- */

/* What the run's jobs measured and which gates they passed, this one's included. */
static void gather(struct world *w, const struct job *job, Sluice__V1__Release *row)
{
	const struct run *run = job->run;

	for (size_t i = 0; i < run->n_jobs; i++) {
		const struct job *j = run->jobs[i];
		Sluice__V1__Evaluation *e;

		if (j != job && j->row->state != SLUICE__V1__JOB_STATE__JOB_SUCCEEDED)
			continue;
		e = gates_evaluation(w, j);
		if (e)
			add_evaluation(row, e);
		if (j->row->verdict[0])
			message_append(row, verdicts, xstrdup(j->row->verdict));
	}
}

static Sluice__V1__Release *describe(struct world *w, const struct job *job, struct error *err)
{
	cleanup(message_freep) Sluice__V1__Release *row =
		message_new(&sluice__v1__release__descriptor);
	const Sluice__V1__Run *run = job->run->row;

	if (resolve_parts(w, job, row, err) < 0)
		return NULL;
	set_digest(row);
	message_set_string(&row->pipeline, run->pipeline);
	message_set_string(&row->run_id, run->id);
	row->run_number = run->number;
	row->created_ms = w->now.wall_ms;
	message_set_string(&row->source_label, run->source_label);
	for (size_t i = 0; i < run->n_params; i++)
		message_append(row, params, message_copy(run->params[i]));
	gather(w, job, row);
	message_set_string(&row->notes, job->notes ? job->notes : "");
	row->data_until_ms = lineage_data_until(w, row);
	if (run->actor)
		row->actor = message_copy(run->actor);
	return steal(row);
}

/* The same parts again: the gates it passed now are those that count. */
static void renew(struct world *w, struct release *r, Sluice__V1__Release *row)
{
	for (size_t i = 0; i < row->n_evaluations; i++)
		add_evaluation(r->row, steal(row->evaluations[i]));
	row->n_evaluations = 0;
	for (size_t i = 0; i < r->row->n_verdicts; i++)
		free(r->row->verdicts[i]);
	free(r->row->verdicts);
	r->row->n_verdicts = row->n_verdicts;
	r->row->verdicts = steal(row->verdicts);
	row->n_verdicts = 0;
	world_touch(w, &r->entity);
}

static struct release *add(struct world *w, const struct job *job, Sluice__V1__Release *row)
{
	cleanup(buf_release) struct buf parts = { 0 };
	Sluice__V1__Event *e;
	struct release *r;

	message_set_string(&row->id, world_id(w).text);
	row->number = w->counters->next_release++;
	world_touch(w, &w->controller);
	r = world_add_release(w, row);
	for (size_t i = 0; i < row->n_parts; i++)
		buf_printf(&parts, "%s%s %.15s", i ? ", " : "", row->parts[i]->slot,
			   row->parts[i]->digest);
	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_RELEASE_CREATED, row->actor,
			"r%u made by '%s' of run %u: %s", row->number, job->row->spec->name,
			row->run_number, buf_str(&parts));
	event_of_job(e, job);
	message_set_string(&e->release_id, row->id);
	return r;
}

int release_make(struct world *w, struct job *job, struct error *err)
{
	cleanup(message_freep) Sluice__V1__Release *row = describe(w, job, err);
	struct error why = { 0 };
	struct release *r;

	if (!row)
		return -1;
	r = world_release(w, row->digest, &why);
	if (!r && why.code != ERR_NOT_FOUND) {
		if (err)
			*err = why;
		return -1;
	}
	if (r && strcmp(r->row->pipeline, row->pipeline))
		return error_id(err, "E0408", "these parts are r%u of pipeline '%s' already",
				r->row->number, r->row->pipeline);
	if (r)
		renew(w, r, row);
	else
		r = add(w, job, steal(row));
	message_set_string(&job->run->row->release, r->row->id);
	world_touch(w, &job->run->entity);
	return 0;
}
