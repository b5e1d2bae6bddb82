/*
 * What running jobs measured last, from the lines of their logs.
 */
#include "controller/api/metrics.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#define RUN_ID "018f0000-0000-7000-8000-000000000001"

static char dir[64];
static struct logbook *book;
static struct metrics *metrics;
static struct arena *arena;
static Sluice__V1__RunDetail *detail;
static uint64_t ends[1000];

static void setup(void)
{
	struct error err = { 0 };

	snprintf(dir, sizeof dir, "/tmp/sluice-metrics-XXXXXX");
	cr_assert(mkdtemp(dir));
	book = logbook_open(dir, &err);
	cr_assert(book, "%s", err.text);
	metrics = metrics_new(book);
	arena = arena_new(0);
	detail = arena_zalloc(arena, sizeof *detail);
	sluice__v1__run_detail__init(detail);
	detail->jobs = arena_zalloc(arena, ARRAY_SIZE(ends) * sizeof *detail->jobs);
	memset(ends, 0, sizeof ends);
}

static void teardown(void)
{
	metrics_free(metrics);
	logbook_close(book);
	arena_free(arena);
	cr_assert_eq(file_remove_tree(dir, NULL), 0);
}

TestSuite(metrics, .init = setup, .fini = teardown);

static Sluice__V1__Job *active_job(uint64_t fence)
{
	Sluice__V1__Job *job = arena_zalloc(arena, sizeof *job);

	sluice__v1__job__init(job);
	job->spec = arena_zalloc(arena, sizeof *job->spec);
	sluice__v1__job_spec__init(job->spec);
	job->spec->metrics = (char *)"out/m.jsonl";
	job->run_id = (char *)RUN_ID;
	job->state = SLUICE__V1__JOB_STATE__JOB_ACTIVE;
	job->fence = fence;
	detail->jobs[detail->n_jobs++] = job;
	return job;
}

/* Written by its agent, and durable. */
static void writes(const Sluice__V1__Job *job, const char *text, size_t len)
{
	struct log_key key = { .run = job->run_id, .fence = job->fence, .stream = 2 };
	struct error err = { 0 };
	uint64_t durable;

	for (size_t at = 0, n; at < len; at += n) {
		n = MIN(len - at, (size_t)256 << 10);
		cr_assert_eq(logbook_append(book, &key, ends[job->fence], text + at, n,
					    &ends[job->fence], &err),
			     0, "%s", err.text);
	}
	cr_assert_eq(logbook_sync(book, &key, &durable, &err), 0, "%s", err.text);
}

static void says(const Sluice__V1__Job *job, const char *text)
{
	writes(job, text, strlen(text));
}

/* NaN: it has none of that name. */
static double value_of(const Sluice__V1__Job *job, const char *name)
{
	for (size_t i = 0; i < job->n_metrics; i++)
		if (strcmp(job->metrics[i]->name, name) == 0)
			return job->metrics[i]->value;
	return NAN;
}

Test(metrics, a_running_job_shows_the_newest_value_of_each_name)
{
	Sluice__V1__Job *job = active_job(7);

	metrics_show(metrics, detail, arena);
	cr_expect_eq(job->n_metrics, 0);
	says(job, "{\"epoch\":1,\"loss\":0.5,\"lr\":0.1}\n{\"epoch\":2,\"loss\":0.25}\n");
	metrics_show(metrics, detail, arena);
	cr_expect_eq(job->n_metrics, 3);
	cr_expect_float_eq(value_of(job, "epoch"), 2, 0);
	cr_expect_float_eq(value_of(job, "loss"), 0.25, 0);
	cr_expect_float_eq(value_of(job, "lr"), 0.1, 0);
	says(job, "{\"epoch\":3,\"lo");
	metrics_show(metrics, detail, arena);
	cr_expect_float_eq(value_of(job, "epoch"), 2, 0, "a line that has not ended is no line");
	says(job, "ss\":0.125}\n");
	metrics_show(metrics, detail, arena);
	cr_expect_float_eq(value_of(job, "epoch"), 3, 0);
	cr_expect_float_eq(value_of(job, "loss"), 0.125, 0);
}

Test(metrics, a_value_that_became_no_number_is_shown_no_more)
{
	Sluice__V1__Job *job = active_job(7);

	says(job, "{\"loss\":0.5,\"epoch\":1}\n{\"loss\":null,\"epoch\":2,\"auc\":null}\n");
	metrics_show(metrics, detail, arena);
	cr_expect_eq(job->n_metrics, 1);
	cr_expect_float_eq(value_of(job, "epoch"), 2, 0);
	says(job, "{\"loss\":0.25}\n");
	metrics_show(metrics, detail, arena);
	cr_expect_float_eq(value_of(job, "loss"), 0.25, 0);
}

Test(metrics, lines_that_cannot_be_read_are_passed_over)
{
	Sluice__V1__Job *job = active_job(7);

	says(job, "{\"loss\":0.5}\n{\"loss\":NaN}\nno json\n[1,2]\n{\"loss\":\"low\"}\n"
		  "{\"../name\":1,\"big\":1e999}\n\n{\"auc\":0.9}\n");
	metrics_show(metrics, detail, arena);
	cr_expect_eq(job->n_metrics, 2);
	cr_expect_float_eq(value_of(job, "loss"), 0.5, 0);
	cr_expect_float_eq(value_of(job, "auc"), 0.9, 0);
}

Test(metrics, a_line_without_an_end_costs_only_itself)
{
	cleanup(buf_release) struct buf text = { 0 };
	Sluice__V1__Job *job = active_job(7);

	buf_puts(&text, "{\"a\":1}\n{\"b\":\"");
	for (int i = 0; i < 600 << 10; i++)
		buf_putc(&text, 'x');
	says(job, "{\"a\":0}\n");
	metrics_show(metrics, detail, arena);
	writes(job, text.data, text.len);
	metrics_show(metrics, detail, arena);
	says(job, "\",\"a\":2}\n{\"c\":3}\n");
	metrics_show(metrics, detail, arena);
	cr_expect_float_eq(value_of(job, "c"), 3, 0);
	cr_expect(isnan(value_of(job, "b")));
	cr_expect(value_of(job, "a") < 2);
}

Test(metrics, no_more_than_a_thousand_names_are_kept)
{
	cleanup(buf_release) struct buf text = { 0 };
	Sluice__V1__Job *job = active_job(7);

	for (int i = 0; i < 1500; i++)
		buf_printf(&text, "{\"m%d\":%d}\n", i, i);
	writes(job, text.data, text.len);
	metrics_show(metrics, detail, arena);
	cr_expect_eq(job->n_metrics, 1000);
}

Test(metrics, each_attempt_has_its_own_and_many_are_forgotten_not_mixed_up)
{
	for (uint64_t fence = 1; fence <= 300; fence++) {
		cleanup(freep) char *line = xprintf("{\"seed\":%d}\n", (int)fence);

		says(active_job(fence), line);
	}
	for (int again = 0; again < 2; again++) {
		metrics_show(metrics, detail, arena);
		for (size_t i = 0; i < detail->n_jobs; i++)
			cr_expect_float_eq(value_of(detail->jobs[i], "seed"),
					   (double)detail->jobs[i]->fence, 0);
	}
	detail->jobs[0]->fence = 301; /* a further attempt: nothing of the one before */
	metrics_show(metrics, detail, arena);
	cr_expect_eq(detail->jobs[0]->n_metrics, 0);
}

Test(metrics, what_a_job_that_has_ended_measured_is_left_as_it_is)
{
	Sluice__V1__Job *job = active_job(7);

	says(job, "{\"loss\":0.5}\n");
	job->state = SLUICE__V1__JOB_STATE__JOB_SUCCEEDED;
	metrics_show(metrics, detail, arena);
	cr_expect_eq(job->n_metrics, 0);
}
