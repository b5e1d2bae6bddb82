#include "expanded.h"

#include <stdlib.h>

Test(load, what_yaml_allows_but_we_do_not_is_refused_with_its_place)
{
	static const struct mistake table[] = {
		{ "", "E0105", 1, 1, "empty" },
		{ "# only a comment\n", "E0105", 1, 1, "empty" },
		{ "[1, 2]", "E0106", 1, 1, "a map of keys" },
		{ "text", "E0106", 1, 1, "a map of keys" },
		{ JOB "---\nversion: 1\n", "E0104", 6, 1, "second document" },
		{ JOB "    env: &x {A: b}\n", "E0104", 6, 10, "an anchor `&x`" },
		{ JOB "    env: !!map {A: b}\n", "E0104", 6, 10, "a tag" },
		{ JOB "    metrics: !x m.json\n", "E0104", 6, 14, "a tag `!x`" },
		{ JOB "    metrics: *x\n", "E0104", 6, 14, "an alias `*x`" },
		{ JOB "    <<: {timeout: 5m}\n", "E0104", 6, 5, "merge key" },
		{ JOB "    run: y\n", "E0103", 6, 5, "duplicate key `run`" },
		{ JOB "    env: {A: 1, A: 2}\n", "E0103", 6, 17, "duplicate key `A`" },
		{ JOB "    ? [a]\n    : b\n", "E0106", 6, 7, "a key must be" },
		{ JOB "\ttimeout: 5m\n", "E0101", 6, 1, "spaces, never tabs" },
		{ JOB "    metrics: a: b\n", "E0101", 6, 15, "quotes" },
		{ JOB "    metrics: \"a\n", "E0101", 7, 1, "not valid YAML" },
		{ JOB "    env: {A: 1\n", "E0101", 7, 1, "not valid YAML" },
		{ JOB "    metrics: \"a\\0b\"\n", "E0101", 6, 14, "NUL" },
		{ JOB "    metrics: a\x01"
		      "b\n",
		  "E0101", 6, 15, "not valid YAML" },
		{ HEAD "jobs:\n  \xc3\xa4\xff: 1\n", "E0101", 4, 4, "0xff is not UTF-8" },
		{ HEAD "jobs: \xc0\x80\n", "E0101", 3, 7, "0xc0 is not UTF-8" },
		{ HEAD "jobs: \xed\xa0\x80\n", "E0101", 3, 7, "0xed is not UTF-8" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		expect_mistake(&table[i]);
}

Test(load, a_byte_order_mark_is_skipped)
{
	cleanup(expanded_release) struct expanded e = expand("\xef\xbb\xbf" JOB);

	cr_assert(e.pipeline, "%s", expanded_text(&e));
	cr_expect_str_eq(e.pipeline->jobs[0]->name, "a");
}

static void expect_refused(char *text, const char *id, const char *says)
{
	cleanup(expanded_release) struct expanded e = expand(text);
	const struct diagnostic *item = diagnostics_first(&e.d);

	cr_assert(item);
	cr_expect_str_eq(item->id, id);
	cr_expect(strstr(item->message, says), "%s", item->message);
	free(text);
}

static char *repeated(const char *head, const char *unit, size_t times)
{
	struct buf b = { 0 };

	buf_puts(&b, head);
	while (times-- > 0)
		buf_puts(&b, unit);
	return buf_detach(&b);
}

Test(load, size_depth_and_nodes_are_bounded)
{
	expect_refused(repeated(HEAD, "# fill\n", SPEC_TEXT_MAX / 7), "E0102", "bytes, more than");
	expect_refused(repeated("a: ", "[", 40), "E0102", "nested more than 32 deep");
	expect_refused(repeated("a: ", "{b: ", 40), "E0102", "nested more than 32 deep");
	expect_refused(repeated("a: [", "x, ", 21000), "E0102", "more than 20000 nodes");
}

Test(load, a_file_within_the_limits_is_read)
{
	char *text = repeated(HEAD "jobs:\n", "", 0);
	struct buf b = { 0 };

	free(text);
	buf_puts(&b, HEAD "jobs:\n");
	for (int i = 0; i < 499; i++)
		buf_printf(&b, "  j%d: {run: x, env: {A: 1, B: 2, C: 3}}\n", i);
	{
		cleanup(expanded_release) struct expanded e = expand(buf_str(&b));

		cr_assert(e.pipeline, "%s", expanded_text(&e));
		cr_expect_eq(e.pipeline->n_jobs, 499);
	}
	buf_release(&b);
}

Test(load, columns_count_characters_not_bytes)
{
	static const struct mistake m = { HEAD
					  "jobs:\n  a: {run: \"\xc3\xa4\xc3\xb6\", tmeout: 5m}\n",
					  "E0107", 4, 18, "did you mean `timeout`?" };

	expect_mistake(&m);
}
