/*
 * A job's inputs become digests in two steps: a published artifact when the run is
 * created (its version is then fixed and recorded), another job's output when that
 * job has succeeded. After that nothing that happens elsewhere changes what is read.
 */
#include "controller/model/inputs.h"

#include <string.h>

#include "controller/model/artifacts.h"
#include "controller/model/private.h"

static int fix_version(struct world *w, Sluice__V1__InputSpec *in, const char *job,
		       struct error *err)
{
	cleanup(message_freep) Sluice__V1__ResolvedArtifact *a = NULL;

	if (!*in->artifact)
		return 0;
	if (artifact_resolve(w, in->artifact, in->version, &a, err) < 0)
		return error_wrap(err, "input '%s' of job '%s'", in->name, job);
	in->version = a->version;
	return 0;
}

int inputs_fix_versions(struct world *w, Sluice__V1__Pipeline *p, struct error *err)
{
	for (size_t i = 0; i < p->n_jobs; i++)
		for (size_t n = 0; n < p->jobs[i]->n_inputs; n++)
			if (fix_version(w, p->jobs[i]->inputs[n], p->jobs[i]->name, err) < 0)
				return -1;
	return 0;
}

static Sluice__V1__ResolvedInput *resolved_new(const Sluice__V1__InputSpec *in)
{
	Sluice__V1__ResolvedInput *ri = message_new(&sluice__v1__resolved_input__descriptor);

	message_set_string(&ri->name, in->name);
	ri->fan_in = in->fan_in;
	return ri;
}

int inputs_take_published(struct world *w, Sluice__V1__Job *row, struct error *err)
{
	for (size_t i = 0; i < row->spec->n_inputs; i++) {
		const Sluice__V1__InputSpec *in = row->spec->inputs[i];
		Sluice__V1__ResolvedArtifact *a;
		Sluice__V1__ResolvedInput *ri;

		if (!*in->artifact)
			continue;
		if (artifact_resolve(w, in->artifact, in->version, &a, err) < 0)
			return error_wrap(err, "input '%s' of job '%s'", in->name, row->spec->name);
		ri = resolved_new(in);
		message_append(ri, artifacts, a);
		message_append(row, inputs, ri);
	}
	return 0;
}

static Sluice__V1__ResolvedInput *take_resolved(Sluice__V1__Job *row, const char *name)
{
	for (size_t i = 0; i < row->n_inputs; i++)
		if (row->inputs[i] && strcmp(row->inputs[i]->name, name) == 0)
			return steal(row->inputs[i]);
	return NULL;
}

static const Sluice__V1__ProducedOutput *find_output(const struct run *run,
						     const Sluice__V1__InputSource *src)
{
	for (size_t i = 0; i < run->n_jobs; i++) {
		const Sluice__V1__Job *row = run->jobs[i]->row;

		if (strcmp(row->spec->name, src->job) != 0)
			continue;
		for (size_t n = 0; n < row->n_outputs; n++)
			if (strcmp(row->outputs[n]->name, src->output) == 0)
				return row->outputs[n];
	}
	return NULL;
}

static char *resolve_source(const struct run *run, Sluice__V1__ResolvedInput *ri,
			    const Sluice__V1__InputSource *src)
{
	const Sluice__V1__ProducedOutput *out = find_output(run, src);
	Sluice__V1__ResolvedArtifact *a;

	if (!out)
		return xprintf("input '%s': job '%s' made no output '%s'", ri->name, src->job,
			       src->output);
	a = message_new(&sluice__v1__resolved_artifact__descriptor);
	message_set_string(&a->key, src->key);
	message_set_string(&a->digest, out->digest);
	message_set_string(&a->artifact_id, out->artifact_id);
	a->kind = out->kind;
	a->is_file = out->is_file;
	message_append(ri, artifacts, a);
	return NULL;
}

/* An input that names neither a job nor a published artifact is the run's source. */
static char *resolve_tree(const struct run *run, Sluice__V1__ResolvedInput *ri)
{
	Sluice__V1__ResolvedArtifact *a;

	if (!*run->row->source)
		return xprintf("input '%s' is the source, and this run has none", ri->name);
	a = message_new(&sluice__v1__resolved_artifact__descriptor);
	message_set_string(&a->digest, run->row->source);
	a->kind = SLUICE__V1__ARTIFACT_KIND__SOURCE;
	message_append(ri, artifacts, a);
	return NULL;
}

static char *resolve_one(const struct run *run, const Sluice__V1__InputSpec *in,
			 Sluice__V1__ResolvedInput *ri)
{
	char *missing = NULL;

	if (!in->n_sources)
		return resolve_tree(run, ri);
	for (size_t i = 0; !missing && i < in->n_sources; i++)
		missing = resolve_source(run, ri, in->sources[i]);
	return missing;
}

char *inputs_resolve(struct job *job)
{
	Sluice__V1__Job *row = job->row;
	const Sluice__V1__JobSpec *spec = row->spec;
	Sluice__V1__ResolvedInput **all =
		xcalloc(spec->n_inputs + 1, sizeof(Sluice__V1__ResolvedInput *));
	char *missing = NULL;

	for (size_t i = 0; i < spec->n_inputs; i++) {
		all[i] = take_resolved(row, spec->inputs[i]->name);
		if (all[i])
			continue;
		all[i] = resolved_new(spec->inputs[i]);
		if (!missing)
			missing = resolve_one(job->run, spec->inputs[i], all[i]);
	}
	for (size_t i = 0; i < row->n_inputs; i++)
		message_free(row->inputs[i]);
	free(row->inputs);
	row->inputs = all;
	row->n_inputs = spec->n_inputs;
	return missing;
}

void inputs_each(const Sluice__V1__Job *row,
		 void (*fn)(void *arg, const Sluice__V1__ResolvedArtifact *a), void *arg)
{
	for (size_t i = 0; i < row->n_inputs; i++)
		for (size_t n = 0; n < row->inputs[i]->n_artifacts; n++)
			fn(arg, row->inputs[i]->artifacts[n]);
}

bool inputs_have(const Sluice__V1__Job *row, const char *digest, bool *ret_is_file)
{
	for (size_t i = 0; i < row->n_inputs; i++)
		for (size_t n = 0; n < row->inputs[i]->n_artifacts; n++) {
			const Sluice__V1__ResolvedArtifact *a = row->inputs[i]->artifacts[n];

			if (strcmp(a->digest, digest) != 0)
				continue;
			*ret_is_file = a->is_file;
			return true;
		}
	return false;
}
