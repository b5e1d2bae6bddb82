#include "releases_fixture.h"

#include <string.h>

#include "sluice/v1/artifacts.pb-c.h"

static struct job *job_add(struct sim *s, struct run *run, const char *name, const char *command)
{
	Sluice__V1__Job *row = message_new(&sluice__v1__job__descriptor);

	message_set_string(&row->id, world_id(s->world).text);
	message_set_string(&row->run_id, run->row->id);
	row->run_number = run->row->number;
	row->index = (uint32_t)run->n_jobs;
	row->state = SLUICE__V1__JOB_STATE__JOB_ACTIVE;
	row->spec = message_new(&sluice__v1__job_spec__descriptor);
	message_set_string(&row->spec->name, name);
	message_set_string(&row->spec->basename, name);
	message_set_string(&row->spec->run, command);
	return world_add_job(s->world, run, row);
}

void made_input(struct job *job, const char *name, const char *digest, const char *artifact_id)
{
	Sluice__V1__ResolvedInput *input = message_new(&sluice__v1__resolved_input__descriptor);
	Sluice__V1__ResolvedArtifact *a = message_new(&sluice__v1__resolved_artifact__descriptor);

	message_set_string(&input->name, name);
	message_set_string(&a->digest, digest);
	message_set_string(&a->artifact_id, artifact_id);
	a->kind = SLUICE__V1__ARTIFACT_KIND__MODEL;
	message_append(input, artifacts, a);
	message_append(job->row, inputs, input);
}

static void package_parts(struct job *job)
{
	static const char *const parts[][2] = { { "model", "model" }, { "code", "source" } };

	job->row->spec->release = message_new(&sluice__v1__release_spec__descriptor);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		Sluice__V1__ReleasePartSpec *part =
			message_new(&sluice__v1__release_part_spec__descriptor);

		message_set_string(&part->slot, parts[i][0]);
		message_set_string(&part->input, parts[i][1]);
		message_append(job->row->spec->release, parts, part);
	}
}

struct made made_run(struct sim *s, const char *model, const char *set)
{
	Sluice__V1__Run *row = message_new(&sluice__v1__run__descriptor);
	struct made m;

	s->world->now = s->now;
	message_set_string(&row->id, world_id(s->world).text);
	row->number = s->world->counters->next_run++;
	row->kind = SLUICE__V1__RUN__KIND__PIPELINE;
	row->state = SLUICE__V1__RUN_STATE__RUN_RUNNING;
	row->jobs = 2;
	message_set_string(&row->pipeline, "fraud");
	message_set_string(&row->source, "sha256:50u4ce");
	m.run = world_add_run(s->world, row, NULL);
	m.evaluate = job_add(s, m.run, "evaluate", "python3 -m fraud.evaluate");
	m.evaluate->row->spec->evaluates = message_new(&sluice__v1__evaluates__descriptor);
	message_set_string(&m.evaluate->row->spec->evaluates->candidate, "model");
	message_set_string(&m.evaluate->row->spec->evaluates->set, "dataset");
	made_input(m.evaluate, "model", model, "");
	made_input(m.evaluate, "dataset", set, "");
	m.package = job_add(s, m.run, "package", "tar");
	made_input(m.package, "model", model, "");
	package_parts(m.package);
	return m;
}

void made_metric(struct job *job, const char *name, double value)
{
	Sluice__V1__Metric *metric = message_new(&sluice__v1__metric__descriptor);

	message_set_string(&metric->name, name);
	metric->value = value;
	message_append(job->row, metrics, metric);
}

void made_gate(struct job *job, const char *expectation)
{
	message_append(job->row->spec, gates, xstrdup(expectation));
}

static void succeed(struct sim *s, struct job *job)
{
	struct error err = { 0 };

	cr_assert_eq(delivery_job_succeeded(s->world, job, &err), 0, "%s", err.text);
	job->row->state = SLUICE__V1__JOB_STATE__JOB_SUCCEEDED;
	world_touch(s->world, &job->entity);
}

Sluice__V1__VerdictState made_finish(struct sim *s, struct made *m)
{
	Sluice__V1__VerdictState state = SLUICE__V1__VERDICT_STATE__PASS;

	s->world->now = s->now;
	if (m->evaluate->row->spec->n_gates)
		state = gates_decide(s->world, m->evaluate, NULL);
	if (state == SLUICE__V1__VERDICT_STATE__PASS) {
		succeed(s, m->evaluate);
		succeed(s, m->package);
	}
	sim_commit(s);
	return state;
}

Sluice__V1__Verdict *made_verdict(struct sim *s, const struct made *m)
{
	ProtobufCMessage *message = NULL;

	cr_assert_eq(world_fetch(s->world, ROW_VERDICT, m->evaluate->row->verdict, &message, NULL),
		     1);
	return (Sluice__V1__Verdict *)message;
}

void made_artifact(struct sim *s, const char *id, const char *digest, const char *published,
		   uint32_t version, const char *const *inputs, size_t n_inputs)
{
	Sluice__V1__Artifact *row = message_new(&sluice__v1__artifact__descriptor);

	message_set_string(&row->id, id);
	message_set_string(&row->digest, digest);
	message_set_string(&row->published, published);
	row->version = version;
	for (size_t i = 0; i < n_inputs; i++)
		message_append(row, inputs, xstrdup(inputs[i]));
	world_record(s->world, ROW_ARTIFACT, &row->base);
	sim_commit(s);
}
