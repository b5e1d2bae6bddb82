/*
 * From jobs to instances: a copy of the job for each combination of its matrix, inputs and
 * needs resolved to the instances they come from, all in an order in which each comes
 * after what it needs (of those that could come next, the first in the file).
 */
#include <stdlib.h>
#include <string.h>

#include "expr/graph.h"
#include "spec/build.h"

static Sluice__V1__InputSource *new_source(struct build *b, const struct input *input,
					   const struct instance *from)
{
	Sluice__V1__InputSource *s = build_message(b, &sluice__v1__input_source__descriptor);

	s->job = from->spec->name;
	s->output = arena_strdup(b->arena, input->output);
	if (input->each)
		s->key = arena_strdup(b->arena, from->key);
	return s;
}

static Sluice__V1__InputSpec *expand_input(struct build *b, const struct input *input)
{
	Sluice__V1__InputSpec *spec = build_message(b, &sluice__v1__input_spec__descriptor);
	size_t n = input->from ? input->from->n_instances : 0;

	spec->name = arena_strdup(b->arena, input->name);
	spec->fan_in = input->each;
	if (input->artifact) {
		spec->artifact = arena_strdup(b->arena, input->artifact);
		spec->version = input->version;
	}
	spec->sources = build_array(b, n, sizeof *spec->sources);
	for (size_t i = 0; i < n; i++)
		spec->sources[spec->n_sources++] = new_source(b, input, &input->from->instances[i]);
	return spec;
}

/* All inputs of a job are the same for each of its instances, and so are its needs. */
static void expand_edges(struct build *b, struct job *job)
{
	Sluice__V1__JobSpec *spec = job->spec;
	bool *needed = build_array(b, b->n_jobs, sizeof *needed);
	size_t n = 0;

	spec->inputs = build_array(b, job->n_inputs, sizeof *spec->inputs);
	for (size_t i = 0; i < job->n_inputs; i++)
		spec->inputs[spec->n_inputs++] = expand_input(b, &job->inputs[i]);
	for (size_t i = 0; i < job->n_inputs + job->n_needs; i++)
		if (job->inputs[i].from)
			needed[job->inputs[i].from - b->jobs] = true;
	for (size_t i = 0; i < b->n_jobs; i++)
		n += needed[i] ? b->jobs[i].n_instances : 0;
	spec->needs = build_array(b, n, sizeof *spec->needs);
	for (size_t i = 0; i < b->n_jobs; i++)
		for (size_t j = 0; needed[i] && j < b->jobs[i].n_instances; j++)
			spec->needs[spec->n_needs++] = b->jobs[i].instances[j].spec->name;
}

/* Names first: edges point forward and backward in the file. */
static void name_instances(struct build *b, struct job *job)
{
	for (size_t i = 0; i < job->n_instances; i++) {
		struct instance *one = &job->instances[i];

		one->spec = build_message(b, &sluice__v1__job_spec__descriptor);
		one->spec->name = *one->key ? arena_printf(b->arena, "%s[%s]", job->name, one->key)
					    : arena_strdup(b->arena, job->name);
	}
}

static void fill_instance(struct build *b, const struct job *job, struct instance *one)
{
	char *name = one->spec->name;

	*one->spec = *job->spec;
	one->spec->name = name;
	one->spec->matrix = build_array(b, job->n_dimensions, sizeof *one->spec->matrix);
	for (size_t i = 0; i < job->n_dimensions; i++) {
		Sluice__V1__Variable *v = build_message(b, &sluice__v1__variable__descriptor);

		v->name = arena_strdup(b->arena, job->dimensions[i].name);
		v->value = arena_strdup(b->arena, one->values[i]);
		one->spec->matrix[one->spec->n_matrix++] = v;
	}
}

static void order_jobs(struct build *b, size_t *ret_order)
{
	cleanup(graph_freep) struct graph *g = graph_new(b->n_jobs);

	for (size_t i = 0; i < b->n_jobs; i++)
		for (size_t j = 0; j < b->jobs[i].n_inputs + b->jobs[i].n_needs; j++)
			if (b->jobs[i].inputs[j].from)
				graph_edge(g, (size_t)(b->jobs[i].inputs[j].from - b->jobs), i);
	if (graph_sort(g, ret_order) < 0)
		abort(); /* build_inputs() refused cycles */
}

/* Each instance of a job repeats all edges of the job. */
static size_t count_edges(const struct build *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_jobs; i++) {
		const struct job *job = &b->jobs[i];

		for (size_t j = 0; j < job->n_inputs + job->n_needs; j++)
			if (job->inputs[j].from)
				n += job->n_instances * job->inputs[j].from->n_instances;
	}
	return n;
}

static bool check_limits(struct build *b, size_t instances)
{
	struct place at = tree_get(b->root, "jobs")->key->at;
	size_t edges = count_edges(b);

	if (instances > SPEC_JOBS_MAX)
		diagnostics_error(b->d, "E0102", at, "the matrices make %zu jobs, more than %d",
				  instances, SPEC_JOBS_MAX);
	else if (edges > SPEC_EDGES_MAX)
		diagnostics_error(b->d, "E0102", at,
				  "the jobs have %zu inputs and needs, more than %d", edges,
				  SPEC_EDGES_MAX);
	return !b->d->errors;
}

void build_instances(struct build *b)
{
	cleanup(freep) size_t *order = xcalloc(b->n_jobs + 1, sizeof *order);
	Sluice__V1__Pipeline *p = b->pipeline;
	size_t n = 0;

	for (size_t i = 0; i < b->n_jobs; i++)
		n += b->jobs[i].n_instances;
	if (!b->n_jobs || !check_limits(b, n))
		return;
	for (size_t i = 0; i < b->n_jobs; i++)
		name_instances(b, &b->jobs[i]);
	for (size_t i = 0; i < b->n_jobs; i++)
		expand_edges(b, &b->jobs[i]);
	order_jobs(b, order);
	p->jobs = build_array(b, n, sizeof *p->jobs);
	for (size_t i = 0; i < b->n_jobs; i++) {
		struct job *job = &b->jobs[order[i]];

		for (size_t j = 0; j < job->n_instances; j++) {
			fill_instance(b, job, &job->instances[j]);
			p->jobs[p->n_jobs++] = job->instances[j].spec;
		}
	}
	n = protobuf_c_message_get_packed_size(&p->base);
	if (n > SPEC_EXPANDED_MAX)
		diagnostics_error(b->d, "E0102", tree_get(b->root, "jobs")->key->at,
				  "expanded, the jobs are %zu bytes, more than %d", n,
				  SPEC_EXPANDED_MAX);
}
