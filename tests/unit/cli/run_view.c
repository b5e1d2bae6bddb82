#include "cli/run_view.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "cli/run_jobs.h"

#define JOB(name) SLUICE__V1__JOB_STATE__JOB_##name
#define RUN(name) SLUICE__V1__RUN_STATE__RUN_##name

enum { T0 = 1000000 };

static struct arena *arena;
static Sluice__V1__RunDetail detail;
static Sluice__V1__Run run;
static const struct look plain = { .now_ms = T0 + 60000 };

static void setup(void)
{
	arena = arena_new(0);
	sluice__v1__run_detail__init(&detail);
	sluice__v1__run__init(&run);
	run.id = (char *)"id";
	run.pipeline = (char *)"fraud-scoring";
	run.number = 318;
	run.state = RUN(RUNNING);
	run.created_ms = T0;
	detail.run = &run;
	detail.jobs = arena_zalloc(arena, 32 * sizeof *detail.jobs);
	detail.waits = arena_zalloc(arena, 32 * sizeof *detail.waits);
	detail.verdicts = arena_zalloc(arena, 32 * sizeof *detail.verdicts);
}

static void teardown(void)
{
	arena_free(arena);
}

TestSuite(run_view, .init = setup, .fini = teardown);

static Sluice__V1__Job *job(const char *name, Sluice__V1__JobState state)
{
	Sluice__V1__Job *j = arena_zalloc(arena, sizeof *j);
	Sluice__V1__JobSpec *spec = arena_zalloc(arena, sizeof *spec);

	sluice__v1__job__init(j);
	sluice__v1__job_spec__init(spec);
	spec->name = (char *)name;
	spec->basename = arena_strndup(arena, name, strcspn(name, "["));
	j->spec = spec;
	j->id = arena_strdup(arena, name);
	j->state = state;
	if (state >= JOB(ACTIVE) && state != JOB(SKIPPED)) {
		j->attempts = 1;
		j->started_ms = T0 + 1000;
		j->agent_name = (char *)"gpu-01";
	}
	if (state >= JOB(SUCCEEDED) && state != JOB(SKIPPED))
		j->finished_ms = T0 + 11000;
	detail.jobs[detail.n_jobs++] = j;
	return j;
}

static void wait_for(const char *subject, const char *sentence)
{
	Sluice__V1__Wait *w = arena_zalloc(arena, sizeof *w);

	sluice__v1__wait__init(w);
	w->subject = (char *)subject;
	w->sentence = (char *)sentence;
	detail.waits[detail.n_waits++] = w;
}

static void shows(const struct look *look, const char *expect)
{
	cleanup(buf_release) struct buf out = { 0 };

	run_view(&detail, look, NULL, NULL, &out);
	cr_expect_str_eq(buf_str(&out), expect);
}

Test(run_view, instances_share_a_line_and_what_is_blocked_shares_one)
{
	Sluice__V1__ProducedOutput output = SLUICE__V1__PRODUCED_OUTPUT__INIT,
				   *outputs[] = { &output };
	Sluice__V1__Job *data = job("data", JOB(SUCCEEDED));

	output.size = UINT64_C(19756849562) + 64000000;
	data->outputs = outputs;
	data->n_outputs = 1;
	job("train[seed=1]", JOB(ACTIVE));
	job("train[seed=2]", JOB(SUCCEEDED));
	job("train[seed=3]", JOB(QUEUED));
	job("evaluate", JOB(BLOCKED));
	job("package", JOB(BLOCKED));
	wait_for("train[seed=3]", "needs 4 GPUs of >= 40G in zone=a");
	wait_for("evaluate", "waits for train[seed=1]");
	shows(&plain, "fraud-scoring #318  running 1m\n"
		      "  ✔ data         10s     18.4 GiB\n"
		      "  ◌ train 1/3    59s     seed=1 on gpu-01 · seed=3 waiting\n"
		      "      seed=3: needs 4 GPUs of >= 40G in zone=a\n"
		      "  · evaluate · package\n");
}

Test(run_view, a_running_job_shows_what_it_measured_last)
{
	Sluice__V1__Metric loss = SLUICE__V1__METRIC__INIT, epoch = SLUICE__V1__METRIC__INIT,
			   *metrics[] = { &epoch, &loss };
	Sluice__V1__Job *train = job("train", JOB(ACTIVE));

	epoch.name = (char *)"epoch";
	epoch.value = 9;
	loss.name = (char *)"loss";
	loss.value = 0.2134567;
	train->metrics = metrics;
	train->n_metrics = 2;
	shows(&plain, "fraud-scoring #318  running 1m\n"
		      "  ◌ train     59s     on gpu-01: epoch 9, loss 0.213457\n");
}

Test(run_view, what_failed_says_why_and_gates_show_their_numbers)
{
	Sluice__V1__Job *j = job("evaluate", JOB(FAILED));

	j->reason = (char *)"gate not passed";
	job("package", JOB(SKIPPED));
	detail.verdicts[detail.n_verdicts++] = (char *)"evaluate: auc 0.95 >= 0.94: pass";
	detail.verdicts[detail.n_verdicts++] = (char *)"evaluate: auc 0.95 >= 0.96: fail";
	detail.verdicts[detail.n_verdicts++] = (char *)"evaluate: x >= champion.x: skipped (none)";
	run.state = RUN(FAILED);
	run.finished_ms = T0 + 11000;
	run.reason = (char *)"'evaluate' failed";
	shows(&plain, "fraud-scoring #318  failed after 11s\n"
		      "  ✖ evaluate  10s\n"
		      "      gate not passed\n"
		      "      ✔ auc 0.95 >= 0.94: pass\n"
		      "      ✖ auc 0.95 >= 0.96: fail\n"
		      "      – x >= champion.x: skipped (none)\n"
		      "  – package\n"
		      "  'evaluate' failed\n");
}

Test(run_view, a_gate_that_failed_is_told_once)
{
	Sluice__V1__Metric accuracy = SLUICE__V1__METRIC__INIT, *metrics[] = { &accuracy };
	Sluice__V1__Job *j = job("evaluate", JOB(FAILED));

	accuracy.name = (char *)"accuracy";
	accuracy.value = 0.8256029684601113;
	j->metrics = metrics;
	j->n_metrics = 1;
	j->reason = (char *)"gate failed: accuracy 0.825603 >= 0.9: fail (1 of 1 expectations)";
	detail.verdicts[detail.n_verdicts++] = (char *)"evaluate: accuracy 0.825603 >= 0.9: fail";
	run.state = RUN(FAILED);
	run.finished_ms = T0 + 11000;
	run.reason = (char *)"evaluate failed: gate failed: accuracy 0.825603 >= 0.9: fail (1 of 1 "
			     "expectations)";
	shows(&plain, "fraud-scoring #318  failed after 11s\n"
		      "  ✖ evaluate  10s     accuracy 0.825603\n"
		      "      gate failed\n"
		      "      ✖ accuracy 0.825603 >= 0.9: fail\n");
}

Test(run_view, a_large_matrix_is_counted_and_equal_sentences_share_a_line)
{
	for (int i = 0; i < 3; i++)
		job(arena_printf(arena, "train[seed=%d]", i), JOB(FAILED))->reason =
			(char *)(i ? "exit 1" : "exit 2");
	for (int i = 3; i < 7; i++)
		job(arena_printf(arena, "train[seed=%d]", i), JOB(ACTIVE));
	for (int i = 7; i < 12; i++) {
		char *name = arena_printf(arena, "train[seed=%d]", i);

		job(name, JOB(QUEUED));
		wait_for(name, arena_printf(arena, "needs a free slot; w has 0, 1 after #%d", i));
	}
	shows(&plain,
	      "fraud-scoring #318  running 1m\n"
	      "  ◌ train 0/12   59s     3 failed · seed=3 on gpu-01 · seed=4 on gpu-01 · "
	      "seed=5 on gpu-01 · 1 more running · 5 waiting\n"
	      "      seed=0: exit 2\n"
	      "      seed=1, seed=2: exit 1\n"
	      "      seed=7, seed=8, seed=9 and 2 more: needs a free slot; w has 0, 1 after "
	      "#7\n");
}

Test(run_view, a_narrow_terminal_cuts_lines_and_shows_no_foreign_control_characters)
{
	const struct look narrow = { .width = 30, .now_ms = T0 + 60000 };

	job("train", JOB(QUEUED));
	wait_for("train", "needs \033[2J a free slot somewhere");
	shows(&narrow, "fraud-scoring #318  running 1m\n"
		       "  ◷ train             waiting\n"
		       "      needs ?[2J a free slot …\n");
}

Test(run_view, colours_do_not_change_the_columns)
{
	const struct look coloured = { .colour = true, .now_ms = T0 + 60000 };
	cleanup(buf_release) struct buf with = { 0 }, without = { 0 };

	job("data", JOB(SUCCEEDED));
	job("train", JOB(ACTIVE));
	run_view(&detail, &coloured, NULL, NULL, &with);
	run_view(&detail, &plain, NULL, NULL, &without);
	cr_expect(with.len > without.len);
	cr_expect_eq(text_width(buf_str(&with)), text_width(buf_str(&without)));
}

static const char *loss(void *arg, const Sluice__V1__Job *j)
{
	return "epoch 9 loss 0.213 ↓";
}

Test(run_view, progress_stands_in_the_place_of_the_agent)
{
	cleanup(buf_release) struct buf out = { 0 };

	job("train", JOB(ACTIVE))->attempts = 2;
	run_view(&detail, &plain, loss, NULL, &out);
	cr_expect(strstr(buf_str(&out), "59s     epoch 9 loss 0.213 ↓ (attempt 2)\n"), "%s",
		  buf_str(&out));
}

/* ---- as a story ---- */

static void tells(const Sluice__V1__RunDetail *before, const char *expect)
{
	cleanup(buf_release) struct buf out = { 0 };

	run_changes(before, &detail, &plain, &out);
	cr_expect_str_eq(buf_str(&out), expect);
}

Test(run_view, only_what_changed_is_told)
{
	Sluice__V1__RunDetail before;
	Sluice__V1__Job *data = job("data", JOB(ACTIVE)), was = *data, *jobs[] = { &was, NULL };
	Sluice__V1__Job *train = job("train", JOB(BLOCKED)), then = *train;

	tells(NULL, "00:17:40  ◌ data running on gpu-01\n");
	before = detail;
	jobs[1] = &then;
	before.jobs = jobs;
	tells(&before, "");
	data->state = JOB(SUCCEEDED);
	data->finished_ms = T0 + 11000;
	train->state = JOB(QUEUED);
	before.n_waits = 0;
	wait_for("train", "needs a free slot; retry in 3s");
	tells(&before, "00:17:40  ✔ data succeeded after 10s\n"
		       "00:17:40  ◷ train waits: needs a free slot; retry in 3s\n");
}

Test(run_view, a_wait_whose_numbers_alone_changed_is_no_news)
{
	Sluice__V1__RunDetail before;
	Sluice__V1__Wait was, *waits[] = { &was };

	job("train", JOB(QUEUED));
	wait_for("train", "retry in 3.5s");
	was = *detail.waits[0];
	was.sentence = (char *)"retry in 12s";
	before = detail;
	before.waits = waits;
	tells(&before, "");
	was.sentence = (char *)"retry after failure";
	tells(&before, "00:17:40  ◷ train waits: retry in 3.5s\n");
}

Test(run_view, the_end_is_told_once)
{
	Sluice__V1__RunDetail before = detail;
	Sluice__V1__Run was = run;

	before.run = &was;
	run.state = RUN(SUCCEEDED);
	run.finished_ms = T0 + 20000;
	tells(&before, "00:17:40  fraud-scoring #318 succeeded after 20s\n");
	tells(&detail, "");
}

Test(run_view, many_that_wait_for_the_same_are_one_line)
{
	for (int i = 1; i <= 5; i++) {
		char *name = arena_printf(arena, "train[seed=%d]", i);

		job(name, JOB(QUEUED));
		wait_for(name, arena_printf(arena, "needs a free slot, %d are", i));
	}
	tells(NULL, "00:17:40  ◷ train[seed=1], train[seed=2], train[seed=3] and 2 more wait: "
		    "needs a free slot, 1 are\n");
	tells(&detail, "");
}

Test(run_view, what_a_gate_decided_follows_its_job_and_its_name)
{
	Sluice__V1__RunDetail before = detail;

	job("train[seed=1]", JOB(SUCCEEDED));
	job("train[seed=2]", JOB(SUCCEEDED));
	job("evaluate", JOB(FAILED))->reason =
		(char *)"gate failed: auc 0.8 >= 0.9: fail (1 of 1 expectations)";
	detail.verdicts[detail.n_verdicts++] = (char *)"train[seed=1]: auc 0.95 >= 0.9: pass";
	detail.verdicts[detail.n_verdicts++] = (char *)"train[seed=2]: auc 0.95 >= 0.9: pass";
	detail.verdicts[detail.n_verdicts++] = (char *)"evaluate: auc 0.8 >= 0.9: fail";
	tells(&before, "00:17:40  ✔ train[seed=1] succeeded after 10s\n"
		       "00:17:40  ✔ train[seed=1]: auc 0.95 >= 0.9: pass\n"
		       "00:17:40  ✔ train[seed=2] succeeded after 10s\n"
		       "00:17:40  ✔ train[seed=2]: auc 0.95 >= 0.9: pass\n"
		       "00:17:40  ✖ evaluate failed after 10s: gate failed\n"
		       "00:17:40  ✖ evaluate: auc 0.8 >= 0.9: fail\n");
}

/* ---- one by one ---- */

Test(run_view, each_job_has_a_line_with_its_agent_and_metrics)
{
	Sluice__V1__Metric loss_of = SLUICE__V1__METRIC__INIT, *metrics[] = { &loss_of };
	cleanup(buf_release) struct buf out = { 0 };
	Sluice__V1__Job *j;

	job("data", JOB(SUCCEEDED));
	j = job("train[seed=1]", JOB(SUCCEEDED));
	loss_of.name = (char *)"loss";
	loss_of.value = 0.1 + 0.2;
	j->metrics = metrics;
	j->n_metrics = 1;
	job("train[seed=2]", JOB(FAILED))->reason = (char *)"exit 1";
	job("train[seed=3]", JOB(QUEUED));
	wait_for("train[seed=3]", "needs a free slot");
	run_jobs_view(&detail, "train", &plain, &out);
	cr_expect_str_eq(buf_str(&out),
			 "JOB            STATE      ATTEMPTS  AGENT   TOOK\n"
			 "train[seed=1]  succeeded         1  gpu-01   10s  loss 0.3\n"
			 "train[seed=2]  failed            1  gpu-01   10s  exit 1\n"
			 "train[seed=3]  waiting           0  -             needs a free slot\n");
	buf_clear(&out);
	run_job_view(&detail, j, &plain, &out);
	cr_expect(
		strstr(buf_str(&out), "✔ train[seed=1] of fraud-scoring #318  succeeded after 10s"),
		"%s", buf_str(&out));
	cr_expect(strstr(buf_str(&out), "  metrics    loss 0.3\n"), "%s", buf_str(&out));
}

Test(run_view, what_was_left_out_is_said)
{
	cleanup(buf_release) struct buf view = { 0 }, jobs = { 0 };

	job("data", JOB(SUCCEEDED));
	detail.shortened = true;
	run_view(&detail, &plain, NULL, NULL, &view);
	run_jobs_view(&detail, "", &plain, &jobs);
	cr_expect(strstr(buf_str(&view), "some of it is not shown\n"), "%s", buf_str(&view));
	cr_expect(strstr(buf_str(&jobs), "some of it is not shown\n"), "%s", buf_str(&jobs));
}
