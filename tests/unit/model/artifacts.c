/*
 * Artifacts: committed under a fence, published, resolved, kept.
 */
#include <stdio.h>
#include <string.h>

#include "lab.h"

static Sluice__V1__Artifact *artifact_by_digest(struct lab *l, const char *text)
{
	ProtobufCMessage *m = NULL;
	char digest[80];

	cr_assert_eq(world_fetch_child(l->world, ROW_ARTIFACT, NULL, digest_text(text, digest), &m,
				       NULL),
		     1);
	return (Sluice__V1__Artifact *)m;
}

static unsigned committed(const struct lab *l)
{
	return l->events[SLUICE__V1__EVENT_KIND__EVENT_ARTIFACT_COMMITTED];
}

Test(artifacts, a_row_tells_where_it_came_from)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	Sluice__V1__Pipeline *p = pipeline("fraud");
	Sluice__V1__Param *param = message_new(&sluice__v1__param__descriptor);
	Sluice__V1__JobSpec *train;
	Sluice__V1__FinishedAttempt *f;
	Sluice__V1__ProducedOutput *out = message_new(&sluice__v1__produced_output__descriptor);
	Sluice__V1__Metric *metric = message_new(&sluice__v1__metric__descriptor);
	cleanup(message_freep) Sluice__V1__Artifact *row = NULL;
	char digest[80];
	uint64_t fence;

	message_set_string(&param->name, "epochs");
	message_set_string(&param->value, "12");
	message_append(p, params, param);
	add_output(add_job_to(p, "data", NULL), "set", "");
	train = add_job_to(p, "train", "data");
	add_input(train, "set", "data", "set");
	add_output(train, "model", "")->kind = SLUICE__V1__ARTIFACT_KIND__MODEL;
	lab_submit(l, p);
	agent_succeed(a, agent_start(a));
	fence = agent_start(a);
	cr_assert_eq(agent_upload(a, fence, "model", "weights"), 0);
	f = finished(fence, EXIT(OK), 0);
	message_set_string(&out->name, "model");
	message_set_string(&out->digest, digest_text("weights", digest));
	message_append(f, outputs, out);
	message_set_string(&metric->name, "auc");
	metric->value = 0.96;
	message_append(f, metrics, metric);
	agent_finish_with(a, f, 0);
	cr_assert(agent_was_acked(a, fence));
	row = artifact_by_digest(l, "weights");
	cr_expect_eq(row->fence, fence);
	cr_expect_eq(row->kind, SLUICE__V1__ARTIFACT_KIND__MODEL);
	cr_expect_str_eq(row->pipeline, "fraud");
	cr_expect_str_eq(row->job_name, "train");
	cr_expect_eq(row->size, 7);
	cr_assert_eq(row->n_inputs, 1);
	cr_expect_str_eq(row->inputs[0], digest_text("data/set/1", digest));
	cr_assert_eq(row->n_params, 1);
	cr_expect_str_eq(row->params[0]->value, "12");
	cr_assert_eq(row->n_metrics, 1, "metrics are added when the job has ended");
	cr_expect_eq(row->metrics[0]->value, 0.96);
	cr_expect_str_eq(row->actor->name, "a");
}

Test(artifacts, a_commit_repeated_is_one_row_and_needs_the_current_fence)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	struct lab_agent *b = lab_agent_enrol(l, "b", 1, "");
	uint64_t fence;

	lab_submit_one(l);
	fence = agent_offered(a);
	cr_expect_eq(agent_upload(a, fence, "x", "bytes"), -1, "nothing runs yet");
	agent_accept(a, fence);
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(agent_upload(a, fence, "x", "bytes"), 0);
		if (i == 1)
			lab_restart(l);
	}
	cr_expect_eq(committed(l), 1);
	cr_expect_eq(agent_upload(b, fence, "x", "bytes"), -1);
	cr_expect_str_eq(l->error.id, "E0509");
	cr_expect_eq(agent_upload(a, fence, "../x", "bytes"), -1);
	cr_expect_str_eq(l->error.id, "E0110");
	agent_connect(a); /* holds nothing: LOST */
	cr_expect_eq(agent_upload(a, fence, "y", "bytes"), -1, "the attempt has ended");
	cr_expect_str_eq(l->error.id, "E0509");
	cr_expect_eq(committed(l), 1);
}

Test(artifacts, equal_bytes_of_two_jobs_are_two_artifacts)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 2, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	cleanup(message_freep) Sluice__V1__Job *x = NULL;
	cleanup(message_freep) Sluice__V1__Job *y = NULL;
	uint64_t fences[2];
	uint32_t run;

	add_output(add_job_to(p, "x", NULL), "out", "");
	add_output(add_job_to(p, "y", NULL), "out", "");
	run = lab_submit(l, p);
	for (int i = 0; i < 2; i++) {
		fences[i] = agent_start(a);
		cr_assert_eq(agent_upload(a, fences[i], "out", "the same"), 0);
	}
	for (int i = 0; i < 2; i++) {
		Sluice__V1__FinishedAttempt *f = finished(fences[i], EXIT(OK), 0);
		Sluice__V1__ProducedOutput *out =
			message_new(&sluice__v1__produced_output__descriptor);
		char digest[80];

		message_set_string(&out->name, "out");
		message_set_string(&out->digest, digest_text("the same", digest));
		message_append(f, outputs, out);
		agent_finish_with(a, f, 0);
		cr_expect(agent_was_acked(a, fences[i]));
	}
	expect_run(l, run, RUN(SUCCEEDED), "");
	x = lab_job_row(l, run, "x");
	y = lab_job_row(l, run, "y");
	cr_expect_str_eq(x->outputs[0]->digest, y->outputs[0]->digest);
	cr_expect_str_neq(x->outputs[0]->artifact_id, y->outputs[0]->artifact_id);
	cr_expect_eq(committed(l), 2);
}

Test(artifacts, a_finish_names_what_was_not_committed_under_its_fence)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	Sluice__V1__FinishedAttempt *f;
	Sluice__V1__ProducedOutput *out = message_new(&sluice__v1__produced_output__descriptor);
	cleanup(message_freep) Sluice__V1__ControllerMessage *m = NULL;
	char digest[80];
	uint64_t first, second;

	add_output(add_job_to(p, "job", NULL), "out", "");
	lab_submit(l, p);
	first = agent_start(a);
	agent_upload(a, first, "out", "bytes"); /* under the first fence only */
	agent_connect(a);
	second = agent_start(a);
	f = finished(second, EXIT(OK), 0);
	message_set_string(&out->name, "out");
	message_set_string(&out->digest, digest_text("bytes", digest));
	message_append(f, outputs, out);
	agent_finish_with(a, f, 0);
	m = agent_take(a, BODY(FINISH_ACK));
	cr_assert(m);
	cr_assert_eq(m->finish_ack->n_needs, 1);
	cr_assert_eq(m->finish_ack->needs[0]->n_digests, 1);
	cr_expect_str_eq(m->finish_ack->needs[0]->digests[0], digest);
	expect_attempt(l, second, ATTEMPT(RUNNING));
}

static uint32_t publish(struct lab *l, struct lab_agent *a, const char *text)
{
	Sluice__V1__Pipeline *p = pipeline("data");
	Sluice__V1__FinishedAttempt *f;
	Sluice__V1__ProducedOutput *out = message_new(&sluice__v1__produced_output__descriptor);
	char digest[80];
	uint64_t fence;
	uint32_t run;

	add_output(add_job_to(p, "fetch", NULL), "set", "transactions");
	run = lab_submit(l, p);
	fence = agent_start(a);
	agent_upload(a, fence, "set", text);
	f = finished(fence, EXIT(OK), 0);
	message_set_string(&out->name, "set");
	message_set_string(&out->digest, digest_text(text, digest));
	message_append(f, outputs, out);
	agent_finish_with(a, f, 0);
	return run;
}

static Sluice__V1__Pipeline *reader(const char *name, uint32_t version)
{
	Sluice__V1__Pipeline *p = pipeline("train");

	add_input(add_job_to(p, "train", NULL), "data", NULL, name)->version = version;
	return p;
}

Test(artifacts, a_published_name_has_versions_and_the_same_bytes_are_no_new_one)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	cleanup(message_freep) Sluice__V1__Artifact *row = NULL;
	struct published *p;

	publish(l, a, "monday");
	publish(l, a, "monday");
	publish(l, a, "tuesday");
	lab_restart(l);
	HASH_FIND(by_name, l->world->published, "transactions", strlen("transactions"), p);
	cr_assert(p);
	cr_expect_eq(p->row->version, 2);
	row = artifact_by_digest(l, "tuesday");
	cr_expect_str_eq(row->published, "transactions");
	cr_expect_eq(row->version, 2);
	cr_expect_str_eq(p->row->artifact_id, row->id);
}

Test(artifacts, a_run_reads_the_version_that_was_there_when_it_was_created)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	cleanup(message_freep) Sluice__V1__Job *latest = NULL;
	cleanup(message_freep) Sluice__V1__Job *first = NULL;
	char digest[80];
	uint32_t run, old;

	publish(l, a, "monday");
	publish(l, a, "tuesday");
	run = lab_submit(l, reader("transactions", 0));
	old = lab_submit(l, reader("transactions", 1));
	lab_work(l);
	publish(l, a, "wednesday");
	latest = lab_job_row(l, run, "train");
	first = lab_job_row(l, old, "train");
	cr_expect_eq(latest->inputs[0]->artifacts[0]->version, 2);
	cr_expect_eq(latest->spec->inputs[0]->version, 2);
	cr_expect_str_eq(latest->inputs[0]->artifacts[0]->digest, digest_text("tuesday", digest));
	cr_expect_str_eq(first->inputs[0]->artifacts[0]->digest, digest_text("monday", digest));
}

Test(artifacts, a_version_that_is_not_there_is_refused_with_those_that_are)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	cleanup(message_freep) Sluice__V1__Artifact *row = NULL;
	struct artifacts_collected gone;

	cr_expect_eq(lab_submit(l, reader("transactions", 0)), 0);
	cr_expect_str_eq(l->error.id, "E0208");
	cr_expect_str_eq(l->error.text, "input 'data' of job 'train': no artifact is published as "
					"'transactions'; none is published at all yet");
	publish(l, a, "monday");
	publish(l, a, "tuesday");
	cr_expect_eq(lab_submit(l, reader("transaktions", 0)), 0);
	cr_expect_str_eq(l->error.text, "input 'data' of job 'train': no artifact is published as "
					"'transaktions'; there is 'transactions' (v2)");
	cr_expect_eq(lab_submit(l, reader("transactions", 7)), 0);
	cr_expect_str_eq(l->error.text,
			 "input 'data' of job 'train': 'transactions' has no version "
			 "7; the latest is v2");
	row = artifact_by_digest(l, "monday");
	gone = (struct artifacts_collected){ &row->id, 1 };
	cr_assert_eq(lab_ask(l, artifacts_mark_collected, &gone, NULL), 0);
	cr_expect_eq(lab_submit(l, reader("transactions", 1)), 0);
	cr_expect(strstr(l->error.text, "version 1 of 'transactions' was collected"), "%s",
		  l->error.text);
}

static void note_root(void *arg, const char *digest)
{
	buf_printf(arg, "%s\n", digest);
}

static bool is_root(struct lab *l, const char *text)
{
	cleanup(buf_release) struct buf roots = { 0 };
	struct artifact_roots r = { note_root, &roots };
	char digest[80];

	cr_assert_eq(lab_ask(l, artifacts_roots, NULL, &r), 0);
	return strstr(buf_str(&roots), digest_text(text, digest)) != NULL;
}

Test(artifacts, what_open_runs_read_and_made_and_the_latest_versions_are_kept)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	Sluice__V1__Pipeline *p = pipeline("p");

	publish(l, a, "monday");
	publish(l, a, "tuesday");
	cr_expect_not(is_root(l, "monday"));
	cr_expect(is_root(l, "tuesday"));
	cr_assert(lab_submit(l, reader("transactions", 1)));
	cr_expect(is_root(l, "monday"), "an open run reads it");
	lab_work(l);
	cr_expect_not(is_root(l, "monday"));
	add_output(add_job_to(p, "one", NULL), "out", "");
	add_job_to(p, "two", "one");
	lab_submit(l, p);
	agent_succeed(a, agent_start(a));
	cr_expect(is_root(l, "one/out/4"), "made in an open run");
	lab_work(l);
	cr_expect_not(is_root(l, "one/out/4"));
}

Test(artifacts, a_user_puts_a_source_and_a_run_takes_it)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	cleanup(message_freep) Sluice__V1__Artifact *row = NULL;
	cleanup(message_freep) Sluice__V1__SubmitReply *reply = NULL;
	cleanup(message_freep) Sluice__V1__Pipeline *p = pipeline("p");
	Sluice__V1__SubmitRequest request = SLUICE__V1__SUBMIT_REQUEST__INIT;
	Sluice__V1__UploadStart start = SLUICE__V1__UPLOAD_START__INIT;
	Sluice__V1__UploadCommit done = SLUICE__V1__UPLOAD_COMMIT__INIT;
	struct submit submit = { &lab_admin, &request, &p };
	char digest[80];
	struct artifact_commit c = { .caller = &lab_admin, .start = &start, .commit = &done };

	add_job_to(p, "job", NULL);
	request.source = (char *)digest_text("tree", digest);
	cr_expect_eq(lab_ask(l, runs_submit, &submit, &reply), -1);
	cr_expect_str_eq(l->error.id, "E0204");
	cr_assert(p, "it is still the caller's");
	start.name = "source";
	start.kind = SLUICE__V1__ARTIFACT_KIND__SOURCE;
	c.digest = digest;
	cr_assert_eq(lab_ask(l, artifacts_commit, &c, &row), 0);
	cr_expect_eq(row->kind, SLUICE__V1__ARTIFACT_KIND__SOURCE);
	cr_expect_str_eq(row->actor->name, "ada");
	cr_assert_eq(lab_ask(l, runs_submit, &submit, &reply), 0, "%s", l->error.text);
	cr_expect_str_eq(reply->run->source, digest);
	cr_expect(is_root(l, "tree"));
}
