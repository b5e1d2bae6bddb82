#include "agent/outputs.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "proto/message.h"

static char dir[64];
static struct workspace ws;
static Sluice__V1__JobSpec spec;
static Sluice__V1__Assignment assignment;
static Sluice__V1__FinishedAttempt *done;

static void begin(void)
{
	snprintf(dir, sizeof dir, "/tmp/outputs-XXXXXX");
	cr_assert(mkdtemp(dir));
	ws = (struct workspace){ .root = dir, .dir = dir };
	sluice__v1__job_spec__init(&spec);
	sluice__v1__assignment__init(&assignment);
	assignment.spec = &spec;
	spec.metrics = (char *)"m.json";
	done = message_new(&sluice__v1__finished_attempt__descriptor);
}

static void end(void)
{
	message_free(done);
	file_remove_tree(dir, NULL);
}

TestSuite(outputs, .init = begin, .fini = end, .timeout = 20);

static int metrics_of(const char *text, struct error *err)
{
	cleanup(freep) char *path = path_join(dir, "m.json");
	cleanup(buf_release) struct buf lines = { 0 };
	struct error ignored = { 0 };

	cr_assert_eq(file_write_atomic(path, text, strlen(text), 0644, &ignored), 0);
	return outputs_metrics(&ws, &assignment, done, &lines, err);
}

static double value_of(const char *name)
{
	for (size_t i = 0; i < done->n_metrics; i++)
		if (strcmp(done->metrics[i]->name, name) == 0)
			return done->metrics[i]->value;
	return NAN;
}

Test(outputs, the_last_value_of_each_metric_counts)
{
	struct error err = { 0 };

	cr_assert_eq(
		metrics_of("{\"loss\": 3, \"step\": 1}\n{\"loss\": 2.5}\n\n{\"step\": 2}", &err), 0,
		"%s", err.text);
	cr_expect_eq(done->n_metrics, 2);
	cr_expect_eq(value_of("loss"), 2.5);
	cr_expect_eq(value_of("step"), 2);
}

Test(outputs, one_object_over_several_lines_is_well)
{
	struct error err = { 0 };

	cr_assert_eq(metrics_of("{\n \"a\": 1,\n \"note\": \"text\",\n \"b\": 2\n}\n", &err), 0);
	cr_expect_eq(done->n_metrics, 2);
}

Test(outputs, what_is_no_object_is_named_with_its_line)
{
	static const struct {
		const char *text, *says;
	} table[] = {
		{ "{\"a\": 1}\n[1, 2]\n", "line 2" },
		{ "{\"a\": 1}\n{\"a\": NaN}\n", "line 2" },
		{ "{\"a\": 1}\n{\"a\": 1e999}\n", "line 2" },
		{ "\n\n{\"a\"", "line 3" },
		{ "hello", "line 1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct error err = { 0 };

		cr_expect_lt(metrics_of(table[i].text, &err), 0, "%s", table[i].text);
		cr_expect_eq(err.code, ERR_INVALID);
		cr_expect(strstr(err.text, table[i].says), "%s: %s", table[i].text, err.text);
	}
}

Test(outputs, a_thousand_names_and_no_more)
{
	cleanup(buf_release) struct buf text = { 0 };
	struct error err = { 0 };

	for (int i = 0; i < METRICS_MAX; i++)
		buf_printf(&text, "{\"m%d\": %d}\n", i, i);
	cr_assert_eq(metrics_of(buf_str(&text), &err), 0, "%s", err.text);
	cr_expect_eq(done->n_metrics, METRICS_MAX);
	cr_expect_eq(value_of("m777"), 777);
	buf_puts(&text, "{\"one-more\": 1}\n");
	cr_expect_lt(metrics_of(buf_str(&text), &err), 0);
	cr_expect_eq(err.code, ERR_EXHAUSTED);
}

Test(outputs, no_metrics_are_no_error_but_a_fifo_and_a_link_out_are)
{
	cleanup(freep) char *path = path_join(dir, "m.json");
	cleanup(buf_release) struct buf lines = { 0 };
	struct error err = { 0 };

	cr_assert_eq(outputs_metrics(&ws, &assignment, done, &lines, &err), 0);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_expect_lt(outputs_metrics(&ws, &assignment, done, &lines, &err), 0);
	cr_expect_eq(err.code, ERR_INVALID, "%s", err.text);
	unlink(path);
	cr_assert_eq(symlink("/etc/passwd", path), 0);
	cr_expect_lt(outputs_metrics(&ws, &assignment, done, &lines, &err), 0);
	cr_expect_eq(err.code, ERR_INVALID, "%s", err.text);
	cr_expect(strstr(err.text, "leads out"), "%s", err.text);
}

Test(outputs, an_output_that_leads_out_is_not_uploaded)
{
	Sluice__V1__OutputSpec output = SLUICE__V1__OUTPUT_SPEC__INIT, *outputs = &output;
	struct transfer nobody = { 0 };
	cleanup(freep) char *link = path_join(dir, "out");
	static const char *const targets[] = { "/etc/passwd", "../..", "/proc/self/root" };

	output.name = (char *)"model";
	output.path = (char *)"out";
	spec.outputs = &outputs;
	spec.n_outputs = 1;
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		struct error err = { 0 };

		unlink(link);
		cr_assert_eq(symlink(targets[i], link), 0);
		cr_expect_lt(outputs_upload(&nobody, &ws, &assignment, done, &err), 0);
		cr_expect(strstr(err.text, "leads out"), "%s: %s", targets[i], err.text);
	}
}

/* All of the workspace is the job's, and the agent may read what the job may not. */
Test(outputs, a_link_in_place_of_the_working_directory_leads_nowhere)
{
	Sluice__V1__OutputSpec output = SLUICE__V1__OUTPUT_SPEC__INIT, *outputs = &output;
	cleanup(buf_release) struct buf lines = { 0 };
	cleanup(freep) char *src = path_join(dir, "src");
	struct transfer nobody = { 0 };
	struct error err = { 0 };

	output.name = (char *)"model";
	output.path = (char *)"passwd";
	spec.outputs = &outputs;
	spec.n_outputs = 1;
	ws.dir = src;
	cr_assert_eq(symlink("/etc", src), 0);
	cr_expect_lt(outputs_upload(&nobody, &ws, &assignment, done, &err), 0);
	cr_expect(strstr(err.text, "replaced"), "%s", err.text);
	spec.metrics = (char *)"passwd";
	cr_expect_lt(outputs_metrics(&ws, &assignment, done, &lines, &err), 0);
	cr_expect(strstr(err.text, "replaced"), "%s", err.text);
}

Test(outputs, metrics_with_a_nul_are_not_half_read)
{
	cleanup(freep) char *path = path_join(dir, "m.json");
	cleanup(buf_release) struct buf lines = { 0 };
	static const char text[] = "{\"a\": 1}\n\0{\"a\": 2}\n";
	struct error err = { 0 };

	cr_assert_eq(file_write_atomic(path, text, sizeof text - 1, 0644, &err), 0);
	cr_expect_lt(outputs_metrics(&ws, &assignment, done, &lines, &err), 0);
	cr_expect_eq(err.code, ERR_INVALID);
}

Test(outputs, a_description_with_a_wrong_time_is_refused)
{
	static const char *const wrong[] = { "tomorrow", "2026-11-23T", "2026-11-23T15:04:05+99:00",
					     "2026-11-23T15:04:05Zulu" };
	Sluice__V1__OutputSpec output = SLUICE__V1__OUTPUT_SPEC__INIT, *outputs = &output;
	struct transfer nobody = { 0 };
	cleanup(freep) char *meta = path_join(dir, "meta.json");

	output.name = (char *)"data";
	output.path = (char *)"missing";
	output.meta = (char *)"meta.json";
	spec.outputs = &outputs;
	spec.n_outputs = 1;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		cleanup(freep) char *text = xprintf("{\"data_until\": \"%s\"}", wrong[i]);
		struct error err = { 0 };

		cr_assert_eq(file_write_atomic(meta, text, strlen(text), 0644, &err), 0);
		cr_expect_lt(outputs_upload(&nobody, &ws, &assignment, done, &err), 0);
		cr_expect(strstr(err.text, "not a time"), "%s: %s", wrong[i], err.text);
	}
}
