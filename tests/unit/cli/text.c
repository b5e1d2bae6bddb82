#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "cli/live.h"
#include "cli/table.h"
#include "cli/text.h"

Test(text, widths_are_those_of_a_terminal)
{
	static const struct {
		const char *text;
		int width;
	} table[] = {
		{ "", 0 },	   { "abc", 3 },     { "✔ train", 7 },	{ "◌·◷✖", 4 },
		{ "日本", 4 },	   { "e\u0301", 1 }, { "🙂", 2 },	{ "\033[31mred\033[0m", 3 },
		{ "\xff\xfe", 2 }, { "a\xc3", 2 },   { "\xe2\x9c", 2 }, { "\xed\xa0\x80", 3 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		cr_expect_eq(text_width(table[i].text), table[i].width, "%s: %d", table[i].text,
			     text_width(table[i].text));
}

Test(text, no_control_character_reaches_the_terminal)
{
	cleanup(buf_release) struct buf out = { 0 };

	text_put(&out, "a\033[2Jb\rc\nd\te\x7f"
		       "f\xc2\x9b"
		       "g\xff✔");
	cr_expect_str_eq(buf_str(&out), "a?[2Jb?c d e?f?g?✔");
}

Test(text, cutting_keeps_whole_characters_and_ends_colours)
{
	static const struct {
		const char *text;
		int width;
		const char *expect;
	} table[] = {
		{ "abcdef", 0, "abcdef" }, { "abcdef", 6, "abcdef" },
		{ "abcdef", 5, "abcd…" },  { "✔✔✔✔", 3, "✔✔…" },
		{ "日本語", 4, "日…" },	   { "\033[31mabcdef\033[0m", 4, "\033[31mabc…\033[0m" },
		{ "a", 1, "a" },	   { "ab", 1, "…" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		cleanup(buf_release) struct buf out = { 0 };

		text_cut(&out, table[i].text, table[i].width);
		cr_expect_str_eq(buf_str(&out), table[i].expect);
	}
}

Test(text, colours_are_there_only_where_they_are_wanted)
{
	cleanup(buf_release) struct buf plain = { 0 }, coloured = { 0 };
	struct look off = { 0 }, on = { .colour = true };

	text_paint(&plain, &off, RED, "no");
	text_paint(&coloured, &on, RED, "no");
	text_paint(&coloured, &on, PLAIN, "!");
	cr_expect_str_eq(buf_str(&plain), "no");
	cr_expect_str_eq(buf_str(&coloured), "\033[31mno\033[0m!");
}

/* ---- tables ---- */

static const char *const headings[] = { ">RUN", "PIPELINE", "WHY", NULL };

static struct table *example(void)
{
	struct table *t = table_new(headings);

	table_cell(t, PLAIN, "7");
	table_cell(t, PLAIN, "fraud");
	table_cell(t, PLAIN, "a long sentence that goes on");
	table_cellf(t, PLAIN, "%d", 318);
	table_cell(t, PLAIN, "日本");
	table_cell(t, PLAIN, "");
	return t;
}

Test(table, columns_are_aligned_and_a_pipe_gets_everything)
{
	cleanup(table_freep) struct table *t = example();
	cleanup(buf_release) struct buf out = { 0 };
	struct look look = { 0 };

	table_render(t, &look, "none", &out);
	cr_expect_str_eq(buf_str(&out), "RUN  PIPELINE  WHY\n"
					"  7  fraud     a long sentence that goes on\n"
					"318  日本\n");
}

Test(table, a_terminal_cuts_the_last_column_only)
{
	cleanup(table_freep) struct table *t = example();
	cleanup(buf_release) struct buf out = { 0 };
	struct look look = { .width = 30 };

	table_render(t, &look, "none", &out);
	cr_expect_str_eq(buf_str(&out), "RUN  PIPELINE  WHY\n"
					"  7  fraud     a long sentenc…\n"
					"318  日本\n");
}

Test(table, without_rows_it_says_so)
{
	cleanup(table_freep) struct table *t = table_new(headings);
	cleanup(buf_release) struct buf out = { 0 };
	struct look look = { 0 };

	table_render(t, &look, "No runs.", &out);
	cr_expect_str_eq(buf_str(&out), "No runs.\n");
}

/* ---- drawing in place ---- */

static char *frame(struct live *l, const char *text, int width, int rows)
{
	struct buf out = { 0 };

	live_render(l, text, width, rows, &out);
	return buf_detach(&out);
}

Test(live, a_second_frame_goes_up_as_far_as_the_first_went_down)
{
	struct live l = { 0 };
	cleanup(freep) char *first = frame(&l, "one\ntwo\n", 20, 10);
	cleanup(freep) char *second = frame(&l, "three\n", 20, 10);

	cr_expect_null(strstr(first, "A\033"), "nothing above it is touched");
	cr_expect(strstr(first, "one\033[K\r\ntwo\033[K\r\n"));
	cr_expect(strstr(second, "\r\033[2A"));
	cr_expect(strstr(second, "three\033[K\r\n\033[J"));
	free(l.widths);
}

Test(live, after_a_stop_the_lines_above_are_the_shells)
{
	struct live l = { 0 };
	cleanup(freep) char *first = frame(&l, "one\ntwo\n", 20, 10);
	cleanup(freep) char *second = NULL;

	live_forget(&l);
	second = frame(&l, "three\n", 20, 10);
	cr_expect(first && !strstr(second, "A"), "%s", second);
	free(l.widths);
}

Test(live, lines_are_cut_so_that_none_wraps)
{
	struct live l = { 0 };
	cleanup(freep) char *out = frame(&l, "0123456789\n", 10, 10);

	cr_expect(strstr(out, "01234567…\033[K"), "%s", out);
	free(l.widths);
}

Test(live, a_narrower_window_is_counted_in_its_own_rows)
{
	struct live l = { 0 };
	cleanup(freep) char *first = frame(&l, "0123456789012345678\nx\n", 40, 10);
	cleanup(freep) char *second = frame(&l, "x\n", 10, 10);

	/* 19 columns take two rows of 10 */
	cr_expect(strstr(second, "\033[3A"), "%s", second);
	free(l.widths);
	cr_expect(first);
}

Test(live, what_does_not_fit_the_height_is_counted)
{
	struct live l = { 0 };
	cleanup(freep) char *out = frame(&l, "1\n2\n3\n4\n5\n6\n", 20, 5);

	cr_expect(strstr(out, "3\033[K\r\n  … 3 more lines\033[K"), "%s", out);
	cr_expect_eq(l.count, 4);
	free(l.widths);
}
