#include "expanded.h"

#include <stdlib.h>

#include "base/file.h"
#include "everything.h"

static char *print(const Sluice__V1__Pipeline *p)
{
	struct buf out = { 0 };

	spec_print(p, &out);
	return buf_detach(&out);
}

/* SLUICE_GOLDEN=1 writes the file instead: look at the difference before it is committed. */
static void expect_golden(const char *name, const char *text)
{
	cleanup(freep) char *path =
		xprintf("%s/tests/unit/spec/golden/%s", SLUICE_SOURCE_DIR, name);
	cleanup(buf_release) struct buf want = { 0 };
	struct error err = { 0 };

	if (getenv("SLUICE_GOLDEN")) {
		cr_assert_eq(file_write_atomic(path, text, strlen(text), 0644, &err), 0, "%s",
			     err.text);
		return;
	}
	cr_assert_eq(file_read(path, 1 << 20, &want, &err), 0, "%s", err.text);
	cr_expect_str_eq(text, buf_str(&want), "differs from %s", path);
}

Test(expand, everything_expands_to_what_it_always_did)
{
	cleanup(expanded_release) struct expanded e = expand(everything);
	cleanup(freep) char *text = NULL;

	cr_assert(e.pipeline, "%s", expanded_text(&e));
	text = print(e.pipeline);
	expect_golden("everything.yaml", text);
}

Test(expand, the_example_expands_without_a_word)
{
	cleanup(buf_release) struct buf text = { 0 };
	struct error err = { 0 };

	cr_assert_eq(
		file_read(SLUICE_SOURCE_DIR "/examples/digits/sluice.yaml", 1 << 20, &text, &err),
		0, "%s", err.text);
	{
		cleanup(expanded_release) struct expanded e = expand(buf_str(&text));

		cr_assert(e.pipeline, "%s", expanded_text(&e));
		cr_expect_eq(e.d.warnings, 0, "%s", expanded_text(&e));
		cr_expect_eq(e.pipeline->n_jobs, 6);
	}
}

Test(expand, equal_files_give_equal_bytes)
{
	cleanup(expanded_release) struct expanded a = expand(everything);
	cleanup(expanded_release) struct expanded b = expand(everything);
	size_t n = protobuf_c_message_get_packed_size(&a.pipeline->base);
	cleanup(freep) uint8_t *x = xmalloc(n), *y = xmalloc(n);

	cr_assert_eq(protobuf_c_message_get_packed_size(&b.pipeline->base), n);
	protobuf_c_message_pack(&a.pipeline->base, x);
	protobuf_c_message_pack(&b.pipeline->base, y);
	cr_expect_arr_eq(x, y, n);
}

Test(expand, a_matrix_gives_instances_named_in_the_order_of_the_file)
{
	static const char *const want[] = { "a[lr=0.1,seed=1]", "a[lr=0.1,seed=2]",
					    "a[lr=0.5,seed=1]", "a[lr=0.5,seed=2]" };
	cleanup(expanded_release) struct expanded e =
		expand(JOB "    matrix: {lr: [0.1, 0.5], seed: [1, 2]}\n");

	cr_assert(e.pipeline, "%s", expanded_text(&e));
	cr_assert_eq(e.pipeline->n_jobs, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		cr_expect_str_eq(e.pipeline->jobs[i]->name, want[i]);
		cr_expect_str_eq(e.pipeline->jobs[i]->basename, "a");
		cr_expect_eq(e.pipeline->jobs[i]->n_matrix, 2);
	}
	cr_expect_str_eq(e.pipeline->jobs[1]->matrix[0]->name, "lr");
	cr_expect_str_eq(e.pipeline->jobs[1]->matrix[0]->value, "0.1");
	cr_expect_str_eq(e.pipeline->jobs[1]->matrix[1]->value, "2");
}

Test(expand, matrices_that_are_too_large_or_empty_or_odd_are_refused)
{
	static const struct mistake table[] = {
		{ JOB "    matrix: {s: []}\n", "E0105", 6, 17, "no values" },
		{ JOB "    matrix: {}\n", "E0105", 6, 5, "no dimension" },
		{ JOB "    matrix: {s: 1}\n", "E0106", 6, 17, "wants a list" },
		{ JOB "    matrix: {s: [a/b]}\n", "E0108", 6, 18, "cannot be a value" },
		{ JOB "    matrix: {s: [\"a b\"]}\n", "E0108", 6, 18, "cannot be a value" },
		{ JOB "    matrix: {s: [\"\"]}\n", "E0108", 6, 18, "cannot be a value" },
		{ JOB "    matrix: {s: [1, 1]}\n", "E0108", 6, 21, "there twice" },
		{ JOB "    matrix: {s: [1], exclude: [{t: 1}]}\n", "E0111", 6, 33,
		  "no dimension `t`" },
		{ JOB "    matrix: {s: [1], exclude: [{s: 1}]}\n", "E0108", 6, 5,
		  "leaves nothing" },
		{ JOB "    matrix: {s: [1], t: [1], include: [{s: 2}]}\n", "E0105", 6, 40,
		  "no `t`" },
		{ JOB "    matrix: {a: &a [1]}\n", "E0104", 6, 17, "an anchor" },
		{ JOB
		  "    matrix: {a: [1,2,3,4,5,6,7,8,9], b: [1,2,3,4,5,6,7,8,9], c: [1,2,3,4]}\n",
		  "E0102", 6, 5, "324 instances, more than 256" },
		{ JOB "    matrix: {a: [1,2,3,4,5,6,7,8,9], b: [1,2,3,4,5,6,7,8,9], c: "
		      "[1,2,3,4,5,6,7,8,9], d: [1,2,3,4,5,6,7,8,9]}\n",
		  "E0102", 6, 5, "more than 1024 combinations" },
		{ HEAD
		  "jobs:\n  a: {run: x, matrix: {a: [1,2,3,4,5,6,7,8], b: [1,2,3,4,5,6,7,8], c: "
		  "[1,2,3,4]}}\n  b: {run: x, matrix: {a: [1,2,3,4,5,6,7,8], b: [1,2,3,4,5,6,7,8], "
		  "c: [1,2,3,4]}}\n",
		  "E0102", 3, 1, "make 512 jobs, more than 500" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		expect_mistake(&table[i]);
}

static void expect_limit(struct buf *text, const char *id, const char *says)
{
	cleanup(expanded_release) struct expanded e = expand(buf_str(text));

	cr_assert_eq(e.d.errors, 1, "%s", expanded_text(&e));
	cr_expect_str_eq(e.d.items[0].id, id);
	cr_expect(strstr(e.d.items[0].message, says), "%s", e.d.items[0].message);
	buf_release(text);
}

static void repeat(struct buf *b, int n, const char *fmt)
{
	for (int i = 0; i < n; i++)
		for (const char *s = fmt; *s; s++)
			if (*s == '#')
				buf_printf(b, "%d", i);
			else
				buf_putc(b, *s);
}

Test(expand, a_small_file_cannot_become_a_huge_pipeline)
{
	struct buf b = { 0 };

	buf_puts(&b, JOB "    env:\n");
	repeat(&b, 65, "      V#: x\n");
	expect_limit(&b, "E0102", "`env` has 65 entries, more than 64");
	buf_puts(&b, HEAD "jobs:\n");
	repeat(&b, 501, "  j#: {run: x}\n");
	expect_limit(&b, "E0102", "`jobs` has 501 entries, more than 500");
	buf_puts(&b, JOB "    matrix:\n");
	repeat(&b, 17, "      d#: [1]\n");
	expect_limit(&b, "E0102", "more than 16 dimensions");
	buf_puts(&b, JOB "    matrix:\n");
	repeat(&b, 10, "      dimension-of-some-length-#: [1]\n");
	expect_limit(&b, "E0108", "more than 200");
	buf_puts(&b, JOB "    outputs: {o: o}\n    matrix: {s: [");
	repeat(&b, 200, "#,");
	buf_puts(&b, "]}\n  b:\n    run: x\n    matrix: {t: [");
	repeat(&b, 200, "#,");
	buf_puts(&b, "]}\n    inputs:\n");
	repeat(&b, 2, "      i#: a.*.o\n");
	expect_limit(&b, "E0102", "80000 inputs and needs, more than 50000");
	buf_puts(&b, JOB "    env: {A: \"");
	repeat(&b, 10000, "xxxxxxxxxx");
	buf_puts(&b, "\"}\n    matrix: {s: [");
	repeat(&b, 200, "#,");
	buf_puts(&b, "]}\n");
	expect_limit(&b, "E0102", "expanded, the jobs are");
}

Test(expand, jobs_come_after_what_they_need_and_needs_hold_every_edge)
{
	cleanup(expanded_release) struct expanded e = expand(everything);
	const Sluice__V1__JobSpec *last;

	cr_assert(e.pipeline, "%s", expanded_text(&e));
	for (size_t i = 0; i < e.pipeline->n_jobs; i++) {
		const Sluice__V1__JobSpec *job = e.pipeline->jobs[i];

		for (size_t j = 0; j < job->n_needs; j++) {
			size_t at = 0;

			while (at < i && strcmp(e.pipeline->jobs[at]->name, job->needs[j]) != 0)
				at++;
			cr_expect(at < i, "`%s` is before `%s`", job->name, job->needs[j]);
		}
	}
	last = e.pipeline->jobs[e.pipeline->n_jobs - 1];
	cr_expect_str_eq(last->name, "package");
	cr_assert_eq(last->n_needs, 2);
	cr_expect_str_eq(last->needs[0], "evaluate");
	cr_expect_str_eq(last->needs[1], "prepare");
}

Test(expand, a_fan_in_has_a_source_with_a_key_for_each_instance)
{
	cleanup(expanded_release) struct expanded e =
		expand(JOB "    matrix: {s: [1, 2]}\n    outputs: {m: m}\n"
			   "  c: {run: x, inputs: {all: a.*.m}}\n");
	const Sluice__V1__InputSpec *in;

	cr_assert(e.pipeline, "%s", expanded_text(&e));
	in = e.pipeline->jobs[2]->inputs[0];
	cr_expect(in->fan_in);
	cr_assert_eq(in->n_sources, 2);
	cr_expect_str_eq(in->sources[1]->job, "a[s=2]");
	cr_expect_str_eq(in->sources[1]->output, "m");
	cr_expect_str_eq(in->sources[1]->key, "s=2");
}

Test(expand, what_a_job_does_not_say_comes_from_the_defaults_key_by_key)
{
	cleanup(expanded_release) struct expanded e =
		expand(JOB "    retry: {max: 1}\n    env: {B: mine}\n  b: {run: y}\n"
			   "defaults: {timeout: 2m, retry: {max: 5, causes: [infra], wait: 0s}, "
			   "env: {A: a, B: b}, priority: 3}\n");
	const Sluice__V1__JobSpec *a, *b;

	cr_assert(e.pipeline, "%s", expanded_text(&e));
	a = e.pipeline->jobs[0];
	b = e.pipeline->jobs[1];
	cr_expect_eq(a->timeout_ms, 120000);
	cr_expect_eq(a->retry->max, 1);
	cr_expect_eq(b->retry->max, 5);
	cr_expect_eq(a->retry->wait_ms, 0);
	cr_expect_eq(a->retry->n_causes, 1);
	cr_expect_eq(a->priority, 3);
	cr_assert_eq(a->n_env, 2);
	cr_expect_str_eq(a->env[0]->value, "a");
	cr_expect_str_eq(a->env[1]->value, "mine");
	cr_expect_str_eq(b->env[1]->value, "b");
}

Test(expand, without_a_word_a_job_has_the_documented_values)
{
	cleanup(expanded_release) struct expanded e = expand(JOB);
	const Sluice__V1__JobSpec *a;

	cr_assert(e.pipeline, "%s", expanded_text(&e));
	a = e.pipeline->jobs[0];
	cr_expect_eq(a->timeout_ms, 3600000);
	cr_expect_eq(a->grace_ms, 10000);
	cr_expect_eq(a->lease_ms, 900000);
	cr_expect_eq(a->on_lost, SLUICE__V1__ON_LOST__ON_LOST_RERUN);
	cr_expect_eq(a->retry->max, 2);
	cr_expect_eq(a->retry->wait_ms, 10000);
	cr_assert_eq(a->retry->n_causes, 2);
	cr_expect_eq(a->retry->causes[0], SLUICE__V1__EXIT_REASON__EXIT_PREEMPTED);
	cr_expect_eq(a->retry->causes[1], SLUICE__V1__EXIT_REASON__EXIT_INFRA);
	cr_expect_eq(a->resources->cpu_milli, 0);
}

/* Whatever is cut off, the answer is a pipeline or an error, never a crash. */
Test(expand, every_beginning_of_a_file_is_answered)
{
	for (size_t len = 0; len < sizeof everything; len++) {
		cleanup(freep) char *text = xstrndup(everything, len);
		cleanup(expanded_release) struct expanded e = expand(text);

		if (e.pipeline) {
			cleanup(freep) char *printed = print(e.pipeline);

			cr_expect(*printed);
		} else {
			cr_expect(*expanded_text(&e));
		}
	}
}

Test(expand, names_become_variables)
{
	cleanup(freep) char *a = spec_variable("INPUT", "raw-data.v2");
	cleanup(freep) char *b = spec_variable("PARAM", "epochs");

	cr_expect_str_eq(a, "INPUT_RAW_DATA_V2");
	cr_expect_str_eq(b, "PARAM_EPOCHS");
}

Test(expand, the_reference_and_the_schema_in_docs_are_those_of_the_table)
{
	cleanup(buf_release) struct buf page = { 0 }, schema = { 0 }, want = { 0 };
	struct error err = { 0 };

	spec_reference_markdown(&page);
	cr_assert_eq(file_read(SLUICE_SOURCE_DIR "/docs/pipeline.md", 1 << 20, &want, &err), 0,
		     "%s", err.text);
	cr_expect_str_eq(buf_str(&page), buf_str(&want),
			 "run `sluice reference > docs/pipeline.md`");
	buf_clear(&want);
	spec_json_schema(&schema);
	cr_assert_eq(file_read(SLUICE_SOURCE_DIR "/docs/sluice.schema.json", 1 << 20, &want, &err),
		     0, "%s", err.text);
	cr_expect_str_eq(buf_str(&schema), buf_str(&want),
			 "run `sluice schema > docs/sluice.schema.json`");
}
