/*
 * Runs and their jobs: through the graph to an end, tried again, taken back, taken over.
 */
#include <string.h>

#include "lab.h"

Test(runs, jobs_start_when_what_they_need_has_succeeded)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 4, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	char why[512];
	uint64_t data;
	uint32_t run;

	add_output(add_job_to(p, "data", NULL), "set", "");
	add_input(add_job_to(p, "train", "data"), "set", "data", "set");
	add_job_to(p, "package", "train data");
	run = lab_submit(l, p);
	expect_job(l, run, "data", JOB(ACTIVE), NULL);
	expect_job(l, run, "train", JOB(BLOCKED), NULL);
	cr_expect_str_eq(lab_why(l, run, "train", why), "waits for data");
	cr_expect_str_eq(lab_why(l, run, "package", why), "waits for train, data");
	data = agent_start(a);
	agent_succeed(a, data);
	expect_job(l, run, "train", JOB(ACTIVE), NULL);
	cr_expect_str_eq(lab_why(l, run, "package", why), "waits for train");
	lab_work(l);
	expect_run(l, run, RUN(SUCCEEDED), "");
	expect_job(l, run, "package", JOB(SUCCEEDED), "");
}

Test(runs, inputs_become_digests_when_a_job_leaves_blocked)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 4, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	cleanup(message_freep) Sluice__V1__Job *row = NULL;
	Sluice__V1__InputSpec *in;
	Sluice__V1__JobSpec *join;
	char digest[80];
	uint32_t run;

	add_output(add_job_to(p, "train[seed=1]", NULL), "model", "");
	add_output(add_job_to(p, "train[seed=2]", NULL), "model", "");
	join = add_job_to(p, "evaluate", "train[seed=1] train[seed=2]");
	in = add_input(join, "models", "train[seed=1]", "model");
	in->fan_in = true;
	message_set_string(&in->sources[0]->key, "seed=1");
	message_append(in, sources, message_copy(in->sources[0]));
	message_set_string(&in->sources[1]->job, "train[seed=2]");
	message_set_string(&in->sources[1]->key, "seed=2");
	run = lab_submit(l, p);
	agent_succeed(a, agent_start(a));
	agent_succeed(a, agent_start(a));
	row = lab_job_row(l, run, "evaluate");
	cr_assert_eq(row->n_inputs, 1);
	cr_expect(row->inputs[0]->fan_in);
	cr_assert_eq(row->inputs[0]->n_artifacts, 2);
	cr_expect_str_eq(row->inputs[0]->artifacts[0]->key, "seed=1");
	cr_expect_str_eq(row->inputs[0]->artifacts[0]->digest,
			 digest_text("train[seed=1]/model/1", digest));
	cr_expect_str_eq(row->inputs[0]->artifacts[1]->key, "seed=2");
	cr_expect_str_neq(row->inputs[0]->artifacts[1]->artifact_id, "");
}

Test(runs, what_needs_a_failed_job_is_skipped_and_the_rest_goes_on)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	uint32_t run;

	add_job_to(p, "bad", NULL);
	add_job_to(p, "after", "bad");
	add_job_to(p, "later", "after");
	add_job_to(p, "other", NULL);
	run = lab_submit(l, p);
	agent_finish(a, agent_start(a), EXIT(CODE), 2);
	expect_job(l, run, "bad", JOB(FAILED), "exit 2");
	expect_job(l, run, "after", JOB(SKIPPED), "it needs 'bad', which failed");
	expect_job(l, run, "later", JOB(SKIPPED), "it needs 'after', which was skipped");
	expect_run(l, run, RUN(RUNNING), NULL);
	lab_work(l);
	expect_run(l, run, RUN(FAILED), "bad failed: exit 2");
}

Test(runs, only_causes_that_are_named_are_tried_again)
{
	static const struct {
		Sluice__V1__ExitReason reason;
		int32_t code;
		bool again;
	} cases[] = {
		{ EXIT(OUT_OF_MEMORY), 0, true }, { EXIT(CODE), 75, true },
		{ EXIT(CODE), 1, false },	  { EXIT(TIMEOUT), 0, false },
		{ EXIT(INFRA), 0, false },	  { EXIT(SIGNAL), 0, false },
		{ EXIT(PREEMPTED), 0, false },	  { EXIT(LOG_LIMIT), 0, false },
		{ EXIT(CANCELLED), 0, false },	  { EXIT(AGENT_DISK_FULL), 0, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct lab *l = lab_new();
		struct lab_agent *a = lab_agent(l, "a", 1, "");
		Sluice__V1__Pipeline *p = pipeline("p");
		Sluice__V1__JobSpec *spec = add_job_to(p, "job", NULL);
		int32_t code = 75;
		uint32_t run;

		retry_on(spec, 1, EXIT(OUT_OF_MEMORY), 0);
		message_append(spec->retry, exit_codes, code);
		run = lab_submit(l, p);
		agent_finish(a, agent_start(a), cases[i].reason, cases[i].code);
		expect_job(l, run, "job", cases[i].again ? JOB(ACTIVE) : JOB(FAILED), NULL);
		lab_free(l);
	}
}

Test(runs, a_retry_waits_its_time_and_says_so_and_there_are_only_so_many)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	char why[512];
	uint32_t run;

	retry_on(add_job_to(p, "job", NULL), 2, EXIT(CODE), 60 * 1000);
	run = lab_submit(l, p);
	agent_finish(a, agent_start(a), EXIT(CODE), 137);
	lab_advance(l, 20 * 1000);
	cr_expect_str_eq(lab_why(l, run, "job", why),
			 "retry in 40s after exit 137 (attempt 2 of 3)");
	cr_expect_eq(agent_offered(a), 0);
	lab_advance(l, 40 * 1000);
	agent_finish(a, agent_start(a), EXIT(CODE), 137);
	lab_advance(l, 60 * 1000);
	agent_finish(a, agent_start(a), EXIT(CODE), 137);
	expect_job(l, run, "job", JOB(FAILED), "exit 137 (attempt 3 of 3)");
	expect_run(l, run, RUN(FAILED), "job failed: exit 137 (attempt 3 of 3)");
}

Test(runs, a_back_off_goes_on_after_a_restart_and_no_clock_jump_makes_it_longer)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	uint32_t run;

	retry_on(add_job_to(p, "job", NULL), 2, EXIT(CODE), 60 * 1000);
	run = lab_submit(l, p);
	agent_finish(a, agent_start(a), EXIT(CODE), 1);
	lab_advance(l, 20 * 1000);
	lab_restart(l);
	agent_connect(a);
	lab_advance(l, 40 * 1000 - 1);
	cr_expect_eq(agent_offered(a), 0);
	l->now.wall_ms -= INT64_C(365) * 24 * 3600 * 1000;
	lab_restart(l);
	agent_connect(a);
	lab_advance(l, 60 * 1000);
	cr_expect_gt(agent_offered(a), 0);
	expect_job(l, run, "job", JOB(ACTIVE), NULL);
}

Test(runs, a_lost_job_runs_again_only_where_on_lost_says_so)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 2, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	uint64_t first, second;
	uint32_t run;

	retry_on(add_job_to(p, "rerun", NULL), 1, EXIT(CODE), 60 * 1000);
	add_job_to(p, "fail", NULL)->on_lost = SLUICE__V1__ON_LOST__ON_LOST_FAIL;
	run = lab_submit(l, p);
	first = agent_start(a);
	second = agent_start(a);
	agent_drop(a);
	agent_connect(a); /* holds nothing */
	expect_job(l, run, "fail", JOB(FAILED), "the agent was lost on 'a', and on_lost is `fail`");
	expect_job(l, run, "rerun", JOB(ACTIVE), NULL);
	expect_attempt(l, first, ATTEMPT(LOST));
	expect_attempt(l, second, ATTEMPT(LOST));
	cr_assert_gt(agent_start(a), second);
	agent_drop(a);
	agent_connect(a);
	expect_job(l, run, "rerun", JOB(FAILED),
		   "the agent was lost (attempt 2 of 2): the agent does not hold it");
}

Test(runs, an_output_that_was_not_made_fails_the_job)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	uint32_t run;

	add_output(add_job_to(p, "job", NULL), "model", "");
	run = lab_submit(l, p);
	agent_finish(a, agent_start(a), EXIT(OK), 0);
	expect_job(l, run, "job", JOB(FAILED),
		   "an output was missing or refused: the output 'model' was not made");
}

Test(runs, a_gate_that_does_not_pass_fails_the_job_and_is_never_tried_again)
{
	static const struct {
		double value;
		Sluice__V1__JobState state;
	} cases[] = { { 0.95, JOB(SUCCEEDED) }, { 0.85, JOB(FAILED) } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct lab *l = lab_new();
		struct lab_agent *a = lab_agent(l, "a", 1, "");
		Sluice__V1__Pipeline *p = pipeline("p");
		Sluice__V1__JobSpec *spec = add_job_to(p, "job", NULL);
		Sluice__V1__FinishedAttempt *f;
		Sluice__V1__Metric *m = message_new(&sluice__v1__metric__descriptor);
		cleanup(message_freep) Sluice__V1__Job *row = NULL;
		uint32_t run;

		retry_on(spec, 5, EXIT(GATE_FAILED), 0);
		message_append(spec, gates, xstrdup("accuracy >= 0.9"));
		run = lab_submit(l, p);
		f = finished(agent_start(a), EXIT(OK), 0);
		message_set_string(&m->name, "accuracy");
		m->value = cases[i].value;
		message_append(f, metrics, m);
		agent_finish_with(a, f, 0);
		row = lab_job_row(l, run, "job");
		cr_expect_eq(row->state, cases[i].state, "%s", row->reason);
		cr_expect_str_neq(row->verdict, "");
		cr_expect_eq(row->exit->reason,
			     row->state == JOB(FAILED) ? EXIT(GATE_FAILED) : EXIT(OK));
		lab_free(l);
	}
}

Test(runs, values_that_are_no_numbers_are_not_kept)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	uint32_t run = lab_submit_one(l);
	Sluice__V1__FinishedAttempt *f = finished(agent_start(a), EXIT(OK), 0);
	cleanup(message_freep) Sluice__V1__Job *row = NULL;
	const double values[] = { 0.5, __builtin_nan(""), __builtin_inf() };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		Sluice__V1__Metric *m = message_new(&sluice__v1__metric__descriptor);

		message_set_string(&m->name, "x");
		m->value = values[i];
		message_append(f, metrics, m);
	}
	agent_finish_with(a, f, 0);
	row = lab_job_row(l, run, "job");
	cr_assert_eq(row->n_metrics, 1);
	cr_expect_eq(row->metrics[0]->value, 0.5);
}

Test(runs, a_cancelled_run_ends_what_waits_at_once_and_the_rest_when_it_has_stopped)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	uint64_t fence;
	uint32_t run;

	add_job_to(p, "runs", NULL);
	add_job_to(p, "queued", NULL);
	add_job_to(p, "blocked", "runs");
	run = lab_submit(l, p);
	fence = agent_start(a);
	cr_assert_eq(lab_cancel(l, run), 0);
	expect_job(l, run, "queued", JOB(CANCELLED), NULL);
	expect_job(l, run, "blocked", JOB(CANCELLED), NULL);
	expect_run(l, run, RUN(RUNNING), NULL);
	lab_restart(l); /* it is not forgotten that it is being cancelled */
	agent_register_holding(a, fence, HELD(STARTED), UINT64_C(0));
	cr_expect(agent_was_stopped(a, fence));
	agent_finish(a, fence, EXIT(CANCELLED), 0);
	expect_run(l, run, RUN(CANCELLED), "cancelled by ada");
	cr_expect_eq(lab_cancel(l, run), -1);
	cr_expect_eq(l->error.code, ERR_CONFLICT);
	cr_expect_str_eq(l->error.text, "run 1 has ended: it was cancelled");
	cr_expect_eq(lab_cancel(l, 99), -1);
	cr_expect_str_eq(l->error.id, "E0204");
}

Test(runs, a_pipeline_that_no_row_could_hold_is_refused)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	Sluice__V1__Pipeline *p = pipeline("p");
	cleanup(freep) char *text = xcalloc(1, 2 << 20);

	memset(text, 'x', (2 << 20) - 1);
	message_set_string(&add_job_to(p, "one", NULL)->run, text);
	message_set_string(&add_job_to(p, "two", NULL)->run, text);
	cr_expect_eq(lab_submit(l, p), 0);
	cr_expect_str_eq(l->error.id, "E0102");
	cr_expect_eq(lab_submit(l, pipeline("empty")), 0);
	cr_expect_str_eq(l->error.text, "the pipeline 'empty' has no job");
}

Test(runs, a_request_repeated_makes_one_run)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	Sluice__V1__SubmitRequest request = SLUICE__V1__SUBMIT_REQUEST__INIT;
	uint32_t numbers[3];

	request.request_id = "same";
	for (int i = 0; i < 3; i++) {
		cleanup(message_freep) Sluice__V1__SubmitReply *reply = NULL;
		cleanup(message_freep) Sluice__V1__Pipeline *p = pipeline("p");

		add_job_to(p, "job", NULL);
		cr_assert_eq(lab_ask(l, runs_submit, &(struct submit){ &lab_admin, &request, &p },
				     &reply),
			     0);
		numbers[i] = reply->run->number;
		cr_expect_str_eq(reply->notes[0],
				 "no agent is enrolled yet; the run starts when one joins");
		if (i == 1)
			lab_restart(l);
	}
	cr_expect_eq(numbers[0], numbers[1]);
	cr_expect_eq(numbers[0], numbers[2]);
	cr_expect_eq(HASH_CNT(by_id, l->world->runs_by_id), 1);
}

Test(runs, retry_takes_over_what_succeeded_and_runs_the_rest)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	cleanup(message_freep) Sluice__V1__Job *first = NULL;
	cleanup(message_freep) Sluice__V1__Job *taken = NULL;
	cleanup(message_freep) Sluice__V1__Job *train = NULL;
	uint32_t run, again;

	add_output(add_job_to(p, "data", NULL), "set", "");
	add_input(add_job_to(p, "train", "data"), "set", "data", "set");
	add_job_to(p, "package", "train");
	run = lab_submit(l, p);
	agent_succeed(a, agent_start(a));
	cr_expect_eq(lab_retry(l, run), 0);
	cr_expect_str_eq(l->error.text, "run 1 has not ended yet");
	agent_finish(a, agent_start(a), EXIT(CODE), 1);
	again = lab_retry(l, run);
	cr_assert(again, "%s", l->error.text);
	first = lab_job_row(l, run, "data");
	taken = lab_job_row(l, again, "data");
	cr_expect_eq(taken->state, JOB(SUCCEEDED));
	cr_expect_str_eq(taken->reused_from, first->id);
	cr_expect_str_neq(taken->id, first->id);
	cr_expect_str_eq(taken->outputs[0]->digest, first->outputs[0]->digest);
	train = lab_job_row(l, again, "train");
	cr_expect_str_eq(train->inputs[0]->artifacts[0]->digest, first->outputs[0]->digest);
	lab_work(l);
	expect_run(l, again, RUN(SUCCEEDED), "");
	cr_expect_eq(lab_retry(l, again), 0);
	cr_expect_eq(l->error.code, ERR_CONFLICT);
}

Test(runs, retry_does_not_take_over_what_was_collected_nor_what_rests_on_it)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	cleanup(message_freep) Sluice__V1__Job *data = NULL;
	struct artifacts_collected gone;
	uint32_t run, again;

	add_output(add_job_to(p, "data", NULL), "set", "");
	add_output(add_job_to(p, "clean", "data"), "set", "");
	add_job_to(p, "train", "clean");
	run = lab_submit(l, p);
	agent_succeed(a, agent_start(a));
	agent_succeed(a, agent_start(a));
	agent_finish(a, agent_start(a), EXIT(CODE), 1);
	data = lab_job_row(l, run, "data");
	gone = (struct artifacts_collected){ &data->outputs[0]->artifact_id, 1 };
	cr_assert_eq(lab_ask(l, artifacts_mark_collected, &gone, NULL), 0);
	again = lab_retry(l, run);
	expect_job(l, again, "data", JOB(ACTIVE), NULL);
	expect_job(l, again, "clean", JOB(BLOCKED), NULL);
	lab_work(l);
	expect_run(l, again, RUN(SUCCEEDED), "");
}

Test(runs, an_open_run_is_shown_whole)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	cleanup(message_freep) Sluice__V1__RunDetail *d = NULL;
	Sluice__V1__Pipeline *p = pipeline("p");

	add_job_to(p, "one", NULL);
	add_job_to(p, "two", "one");
	lab_submit(l, p);
	cr_assert_eq(lab_ask(l, runs_detail, "#1", &d), 0);
	cr_expect_eq(d->run->number, 1);
	cr_assert_eq(d->n_jobs, 2);
	cr_expect_str_eq(d->jobs[0]->spec->name, "one");
	cr_assert_eq(d->n_waits, 2);
	cr_expect_str_eq(d->waits[0]->sentence, "no agent is enrolled yet");
	cr_expect_eq(lab_ask(l, runs_detail, "77", &d), -1);
	cr_expect_eq(l->error.code, ERR_NOT_FOUND);
}

Test(runs, a_run_that_is_in_the_middle_goes_on_after_any_restart)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	cleanup(message_freep) Sluice__V1__Run *row = NULL;
	uint32_t run;
	int steps = 0;

	add_output(add_job_to(p, "a", NULL), "out", "");
	add_input(add_job_to(p, "b", "a"), "in", "a", "out");
	add_job_to(p, "c", "a");
	add_job_to(p, "d", "b c");
	run = lab_submit(l, p);
	for (;;) {
		uint64_t fence;

		lab_restart(l);
		agent_connect(a);
		fence = agent_offered(a);
		if (!fence)
			break;
		agent_accept(a, fence);
		cr_assert(agent_was_accepted(a, fence));
		lab_restart(l);
		agent_register_holding(a, fence, HELD(STARTED), UINT64_C(0));
		agent_succeed(a, fence);
		cr_assert_lt(steps++, 10);
	}
	cr_expect_eq(steps, 4);
	expect_run(l, run, RUN(SUCCEEDED), "");
	row = lab_run_row(l, run);
	cr_expect_eq(row->jobs_done, 4);
}
