/*
 * The edges: `inputs` name a job and its output, `needs` a job alone. Both are resolved
 * to jobs here; cycles are told as the path that they are.
 */
#include <stdlib.h>
#include <string.h>

#include "expr/graph.h"
#include "spec/build.h"
#include "base/suggest.h"

struct reference {
	size_t job_len; /* of "job" */
	bool each;	/* "job.*.output" */
	const char *output;
	size_t output_at;
};

static int parse_reference(const char *text, struct reference *ret)
{
	size_t job_len = strcspn(text, ".");
	bool each = !strncmp(text + job_len, ".*.", 3);
	size_t at = job_len + (each ? 3 : 1);

	if (!job_len || !text[job_len] || !text[at] || memchr(text, '*', job_len) ||
	    strpbrk(text + at, ".*"))
		return -1;
	*ret = (struct reference){ job_len, each, text + at, at };
	return 0;
}

static struct job *find_job(struct build *b, const char *name, size_t len)
{
	for (size_t i = 0; i < b->n_jobs; i++)
		if (strlen(b->jobs[i].name) == len && !memcmp(b->jobs[i].name, name, len))
			return &b->jobs[i];
	return NULL;
}

/* Is there a job of that name which could not be read? Then it was reported already. */
static bool broken_job(const struct build *b, const char *name)
{
	const struct tree *jobs = tree_get(b->root, "jobs"), *t;

	tree_each(t, jobs) if (!strcmp(tree_name(t), name)) return true;
	return false;
}

static struct job *want_job(struct build *b, const struct tree *t, size_t len)
{
	char *name = arena_strndup(b->arena, t->text, len);
	struct suggest s = suggest_new(name);
	struct job *job = find_job(b, name, len);
	struct diagnostic *item;

	if (job || broken_job(b, name))
		return job;
	for (size_t i = 0; !diagnostics_full(b->d) && i < b->n_jobs; i++)
		suggest_offer(&s, b->jobs[i].name);
	item = diagnostics_error(b->d, "E0111", tree_place(t, 0, len), "there is no job `%.80s`",
				 name);
	if (s.best)
		diagnostic_label(item, "did you mean `%s`?", s.best);
	return NULL;
}

static void want_output(struct build *b, const struct tree *t, const struct reference *ref,
			const struct job *from)
{
	const struct tree *outputs = tree_get(from->tree, "outputs"), *o;
	struct suggest s = suggest_new(ref->output);
	struct diagnostic *item;

	tree_each(o, outputs)
	{
		if (!strcmp(tree_name(o), ref->output))
			return;
		if (!diagnostics_full(b->d))
			suggest_offer(&s, tree_name(o));
	}
	if (!outputs && tree_has(from->tree, "outputs"))
		return; /* it could not be read, and that was said */
	item = diagnostics_error(b->d, "E0111", tree_place(t, ref->output_at, strlen(ref->output)),
				 "`%s` has no output `%.80s`", from->name, ref->output);
	if (s.best)
		diagnostic_label(item, "did you mean `%s`?", s.best);
	else if (!outputs)
		diagnostic_help(item, "outputs: {%.40s: out/%.40s}", ref->output, ref->output);
}

static void build_reference(struct build *b, const struct tree *t, struct input *input)
{
	struct reference ref = { 0 };
	struct diagnostic *item;
	bool matrix;

	if (parse_reference(t->text, &ref) < 0) {
		item = diagnostics_error(b->d, "E0111", t->at,
					 "`%.80s` is no reference to an output", t->text);
		diagnostic_label(item, "write job.output, or job.*.output of a matrix");
		return;
	}
	input->from = want_job(b, t, ref.job_len);
	input->output = ref.output;
	input->each = ref.each;
	if (!input->from)
		return;
	want_output(b, t, &ref, input->from);
	matrix = tree_has(input->from->tree, "matrix");
	if (matrix == ref.each)
		return;
	item = diagnostics_error(b->d, "E0111", t->at,
				 matrix ? "`%s` has a matrix, so `%s` are several"
					: "`%s` has no matrix, so `%s` is one",
				 input->from->name, ref.output);
	diagnostic_label(item, "write `%s%s.%s`", input->from->name, matrix ? ".*" : "",
			 ref.output);
}

static void build_input(struct build *b, const struct tree *t, struct input *input)
{
	struct scalar version = { 0 };

	input->tree = t;
	input->name = tree_name(t);
	if (t->kind == TREE_SCALAR) {
		build_reference(b, t, input);
		return;
	}
	input->artifact = read_text(b, t, "artifact");
	if (read_scalar(t, "version", SCALAR_VERSION, &version))
		input->version = (uint32_t)version.number;
}

static void build_edges(struct build *b, struct job *job)
{
	const struct tree *inputs = tree_get(job->tree, "inputs"), *t = NULL, **needs;
	size_t n_needs = read_list(b, tree_get(job->tree, "needs"), &needs);

	job->inputs = build_array(b, read_count(inputs) + n_needs, sizeof *job->inputs);
	while ((t = read_next(inputs, t)))
		build_input(b, t, &job->inputs[job->n_inputs++]);
	for (size_t i = 0; i < n_needs; i++) {
		struct job *from = want_job(b, needs[i], strlen(needs[i]->text));

		if (from)
			job->inputs[job->n_inputs + job->n_needs++] =
				(struct input){ .tree = needs[i], .from = from };
	}
}

static void report_cycle(struct build *b, struct graph *g)
{
	cleanup(freep) size_t *path = xcalloc(b->n_jobs, sizeof *path);
	cleanup(buf_release) struct buf text = { 0 };
	size_t n = graph_cycle(g, path);
	const struct job *job = &b->jobs[path[0]], *last = &b->jobs[path[n - 1]];
	struct place at = job->tree->key->at;
	struct diagnostic *item;

	for (size_t i = 0; i < n; i++)
		buf_printf(&text, "%s -> ", b->jobs[path[i]].name);
	buf_puts(&text, job->name);
	for (size_t i = 0; i < job->n_inputs + job->n_needs; i++)
		if (job->inputs[i].from == last)
			at = job->inputs[i].tree->at;
	item = diagnostics_error(b->d, "E0112", at, "jobs wait for each other in a circle: %s",
				 buf_str(&text));
	diagnostic_label(item, "`%s` needs `%s` here", job->name, last->name);
}

void build_inputs(struct build *b)
{
	cleanup(graph_freep) struct graph *g = graph_new(b->n_jobs);
	cleanup(freep) size_t *order = xcalloc(b->n_jobs + 1, sizeof *order);

	for (size_t i = 0; i < b->n_jobs; i++) {
		struct job *job = &b->jobs[i];

		build_edges(b, job);
		for (size_t j = 0; j < job->n_inputs + job->n_needs; j++)
			if (job->inputs[j].from)
				graph_edge(g, (size_t)(job->inputs[j].from - b->jobs), i);
	}
	if (graph_sort(g, order) < 0)
		report_cycle(b, g);
}
