/*
 * What a job makes: outputs, and what names them: `evaluates` and `release`.
 */
#include <string.h>

#include "spec/build.h"
#include "base/suggest.h"

static const char source_name[] = "source";

static Sluice__V1__ArtifactKind kind_of(const struct tree *t)
{
	static const struct {
		const char *name;
		Sluice__V1__ArtifactKind kind;
	} kinds[] = { { "data", SLUICE__V1__ARTIFACT_KIND__DATA },
		      { "model", SLUICE__V1__ARTIFACT_KIND__MODEL },
		      { "code", SLUICE__V1__ARTIFACT_KIND__CODE },
		      { "report", SLUICE__V1__ARTIFACT_KIND__REPORT } };

	for (size_t i = 0; t && i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(t->text, kinds[i].name))
			return kinds[i].kind;
	return SLUICE__V1__ARTIFACT_KIND__ANY;
}

static void refuse_source(struct build *b, const struct tree *t)
{
	struct diagnostic *item;

	if (strcmp(tree_name(t), source_name) != 0)
		return;
	item = diagnostics_error(b->d, "E0110", t->key->at, "`source` is the run's source tree");
	diagnostic_label(item, "no input or output may have this name");
}

static Sluice__V1__OutputSpec *build_output(struct build *b, const struct tree *t)
{
	Sluice__V1__OutputSpec *o = build_message(b, &sluice__v1__output_spec__descriptor);

	o->name = arena_strdup(b->arena, tree_name(t));
	o->kind = SLUICE__V1__ARTIFACT_KIND__ANY;
	if (t->kind == TREE_SCALAR) {
		o->path = arena_strdup(b->arena, t->text);
		return o;
	}
	o->path = read_text(b, t, "path");
	o->kind = kind_of(tree_get(t, "kind"));
	o->publish = read_text(b, t, "publish");
	o->meta = read_text(b, t, "meta");
	return o;
}

/* Two outputs of a file under one name: which one would be the newest? */
static void check_publish(struct build *b, const struct job *job, const struct tree *t)
{
	const struct tree *publish = tree_get(t, "publish");
	struct diagnostic *item;

	if (!publish)
		return;
	if (tree_get(job->tree, "matrix"))
		diagnostics_warn(b->d, "E0121", publish->at,
				 "each instance of `%s` makes a version of `%s`", job->name,
				 publish->text);
	for (const struct job *other = b->jobs; other <= job; other++) {
		const struct tree *outputs = tree_get(other->tree, "outputs"), *o = NULL;

		while ((o = read_next(outputs, o)) && o != t) {
			const struct tree *theirs = tree_get(o, "publish");

			if (!theirs || strcmp(theirs->text, publish->text) != 0)
				continue;
			item = diagnostics_error(b->d, "E0119", publish->at,
						 "two outputs are published as `%s`",
						 publish->text);
			diagnostic_related(item, theirs->at, "the other one is here");
			return;
		}
	}
}

enum { AMONG_INPUTS = 1, AMONG_OUTPUTS = 2, AMONG_SOURCE = 4 };

/* The name must be one of the job's; reports and suggests. The input or output it is, or NULL. */
static const struct tree *find_named(struct build *b, const struct job *job, const struct tree *t,
				     unsigned among, const char *wanted)
{
	const struct tree *inputs = among & AMONG_INPUTS ? tree_get(job->tree, "inputs") : NULL;
	const struct tree *outputs = among & AMONG_OUTPUTS ? tree_get(job->tree, "outputs") : NULL;
	struct suggest s = suggest_new(t->text);
	const struct tree *lists[] = { inputs, outputs };
	struct diagnostic *item;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (const struct tree *o = lists[i] ? lists[i]->first : NULL; o; o = o->next) {
			if (!strcmp(tree_name(o), t->text))
				return o;
			if (!diagnostics_full(b->d))
				suggest_offer(&s, tree_name(o));
		}
	if (among & AMONG_SOURCE) {
		if (!strcmp(t->text, source_name))
			return NULL;
		suggest_offer(&s, source_name);
	}
	item = diagnostics_error(b->d, "E0111", t->at, "`%s` has no %s `%s`", job->name, wanted,
				 t->text);
	if (s.best)
		diagnostic_label(item, "did you mean `%s`?", s.best);
	return NULL;
}

static void build_evaluates(struct build *b, struct job *job)
{
	const struct tree *t = tree_get(job->tree, "evaluates");
	const struct tree *candidate = tree_get(t, "candidate"), *set = tree_get(t, "set");
	struct diagnostic *item;

	if (!t)
		return;
	job->spec->evaluates = build_message(b, &sluice__v1__evaluates__descriptor);
	job->spec->evaluates->candidate = read_text(b, t, "candidate");
	job->spec->evaluates->set = read_text(b, t, "set");
	if (candidate)
		find_named(b, job, candidate, AMONG_INPUTS | AMONG_OUTPUTS, "input or output");
	if (set)
		find_named(b, job, set, AMONG_INPUTS, "input");
	if (tree_has(job->tree, "metrics"))
		return;
	item = diagnostics_error(b->d, "E0105", t->key->at, "`%s` evaluates but has no `metrics`",
				 job->name);
	diagnostic_help(item, "metrics: out/metrics.json");
}

static void check_part(struct build *b, const struct job *job, const struct tree *t)
{
	const struct tree *named = find_named(
		b, job, t, AMONG_INPUTS | AMONG_OUTPUTS | AMONG_SOURCE, "input or output");
	struct diagnostic *item;

	if (!named || named->kind != TREE_SCALAR || !strstr(named->text, ".*."))
		return;
	item = diagnostics_error(b->d, "E0119", t->at, "`%s` is several artifacts, a part is one",
				 t->text);
	diagnostic_related(item, named->at, "`%s` joins the instances of a matrix", t->text);
}

static void build_release(struct build *b, struct job *job)
{
	const struct tree *t = tree_get(job->tree, "release"), *parts = tree_get(t, "parts");
	const struct tree *part = NULL;
	Sluice__V1__ReleaseSpec *r;
	struct diagnostic *item;

	if (!t)
		return;
	r = job->spec->release = build_message(b, &sluice__v1__release_spec__descriptor);
	r->notes = read_text(b, t, "notes");
	r->parts = build_array(b, read_count(parts), sizeof *r->parts);
	while ((part = read_next(parts, part))) {
		Sluice__V1__ReleasePartSpec *p =
			build_message(b, &sluice__v1__release_part_spec__descriptor);

		p->slot = arena_strdup(b->arena, tree_name(part));
		p->input = arena_strdup(b->arena, part->text);
		r->parts[r->n_parts++] = p;
		check_part(b, job, part);
	}
	if (parts && !parts->count)
		diagnostic_help(
			diagnostics_error(b->d, "E0105", parts->at, "the release has no parts"),
			"parts: {model: model, code: source}");
	if (tree_get(job->tree, "matrix"))
		diagnostics_error(b->d, "E0119", t->key->at,
				  "`%s` has a matrix, a run makes one release", job->name);
	for (const struct job *other = b->jobs; other < job; other++) {
		if (!tree_get(other->tree, "release"))
			continue;
		item = diagnostics_error(b->d, "E0119", t->key->at, "a second job makes a release");
		diagnostic_related(item, tree_get(other->tree, "release")->key->at,
				   "`%s` makes one, too", other->name);
		return;
	}
}

void build_outputs(struct build *b, struct job *job)
{
	const struct tree *outputs = tree_get(job->tree, "outputs"), *t = NULL;
	const struct tree *inputs = tree_get(job->tree, "inputs");
	struct diagnostic *item;

	job->spec->outputs = build_array(b, read_count(outputs), sizeof *job->spec->outputs);
	while ((t = read_next(outputs, t))) {
		const struct tree *input = tree_get(inputs, tree_name(t));

		job->spec->outputs[job->spec->n_outputs++] = build_output(b, t);
		refuse_source(b, t);
		check_publish(b, job, t);
		if (!input)
			continue;
		item = diagnostics_error(b->d, "E0119", t->key->at,
					 "`%s` is an input and an output of `%s`", tree_name(t),
					 job->name);
		diagnostic_related(item, input->key->at, "the input is here");
	}
	while ((t = read_next(inputs, t)))
		refuse_source(b, t);
	read_variables_differ(b, outputs, "OUTPUT");
	read_variables_differ(b, inputs, "INPUT");
	build_evaluates(b, job);
	build_release(b, job);
}
