/*
 * Pipelines, as spec_expand() would make them.
 */
#include <string.h>

#include "lab.h"

Sluice__V1__Pipeline *pipeline(const char *name)
{
	Sluice__V1__Pipeline *p = message_new(&sluice__v1__pipeline__descriptor);

	message_set_string(&p->name, name);
	return p;
}

Sluice__V1__JobSpec *add_job_to(Sluice__V1__Pipeline *p, const char *name, const char *needs)
{
	Sluice__V1__JobSpec *spec = message_new(&sluice__v1__job_spec__descriptor);
	cleanup(freep) char *list = xstrdup(needs ? needs : "");
	char *rest = NULL;

	message_set_string(&spec->name, name);
	message_set_string(&spec->basename, name);
	message_set_string(&spec->run, "true");
	spec->grace_ms = 10000;
	for (char *need = strtok_r(list, " ", &rest); need; need = strtok_r(NULL, " ", &rest))
		message_append(spec, needs, xstrdup(need));
	spec->resources = message_new(&sluice__v1__resources__descriptor);
	message_append(p, jobs, spec);
	return spec;
}

Sluice__V1__OutputSpec *add_output(Sluice__V1__JobSpec *spec, const char *name, const char *publish)
{
	Sluice__V1__OutputSpec *out = message_new(&sluice__v1__output_spec__descriptor);

	message_set_string(&out->name, name);
	message_set_string(&out->path, name);
	out->kind = SLUICE__V1__ARTIFACT_KIND__DATA;
	message_set_string(&out->publish, publish);
	message_append(spec, outputs, out);
	return out;
}

Sluice__V1__InputSpec *add_input(Sluice__V1__JobSpec *spec, const char *name, const char *job,
				 const char *output)
{
	Sluice__V1__InputSpec *in = message_new(&sluice__v1__input_spec__descriptor);

	message_set_string(&in->name, name);
	if (job) {
		Sluice__V1__InputSource *source =
			message_new(&sluice__v1__input_source__descriptor);

		message_set_string(&source->job, job);
		message_set_string(&source->output, output);
		message_append(in, sources, source);
	} else {
		message_set_string(&in->artifact, output);
	}
	message_append(spec, inputs, in);
	return in;
}

void need_label(Sluice__V1__JobSpec *spec, const char *name, const char *value)
{
	Sluice__V1__Variable *v = message_new(&sluice__v1__variable__descriptor);

	message_set_string(&v->name, name);
	message_set_string(&v->value, value);
	message_append(spec->resources, agents, v);
}

void retry_on(Sluice__V1__JobSpec *spec, int32_t max, Sluice__V1__ExitReason cause, int64_t wait_ms)
{
	spec->retry = message_new(&sluice__v1__retry__descriptor);
	spec->retry->max = max;
	spec->retry->wait_ms = wait_ms;
	message_append(spec->retry, causes, cause);
}
