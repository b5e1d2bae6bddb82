#include "agent/outputs.h"

#include <criterion/criterion.h>
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
	done = message_new(&sluice__v1__finished_attempt__descriptor);
}

static void end(void)
{
	message_free(done);
	file_remove_tree(dir, NULL);
}

TestSuite(outputs, .init = begin, .fini = end, .timeout = 20);

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
	error_clear(&err);
	cr_expect_lt(workspace_open_dir(&ws, &err), 0); /* by which its metrics are found */
	cr_expect(strstr(err.text, "replaced"), "%s", err.text);
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
