#include "expanded.h"

#include <jansson.h>
#include <stdlib.h>

Test(diagnostics, the_text_is_that_of_the_manual)
{
	static const char text[] = "version: 1\npipeline: p\njobs:\n  a:\n    run: x\n\n\n\n\n\n"
				   "    retires: 3\n";
	static const char want[] = "error[E0107]: unknown key `retires`\n"
				   "  --> sluice.yaml:11:5\n"
				   "   |\n"
				   "11 |     retires: 3\n"
				   "   |     ^^^^^^^ did you mean `retry`?\n"
				   "   = help: retry: {max: 3, causes: [agent_lost]}\n"
				   "\n"
				   "1 error\n";
	cleanup(expanded_release) struct expanded e = expand(text);

	cr_expect_str_eq(expanded_text(&e), want);
}

Test(diagnostics, several_and_a_warning_and_a_related_place)
{
	static const char want[] =
		"error[E0103]: duplicate key `run`\n"
		" --> sluice.yaml:6:5\n"
		"  |\n"
		"6 |     run: y\n"
		"  |     ^^^\n"
		"  = note: the first `run` is here (line 5)\n"
		"\n"
		"warning[E0121]: with a lease under 1m a short network outage loses the "
		"job\n"
		" --> sluice.yaml:7:12\n"
		"  |\n"
		"7 |     lease: 5s # short\n"
		"  |            ^^\n"
		"  = help: lease: 15m\n"
		"\n"
		"1 error, 1 warning\n";
	cleanup(expanded_release) struct expanded e =
		expand(JOB "    run: y\n    lease: 5s # short\n");

	cr_expect_str_eq(expanded_text(&e), want);
}

Test(diagnostics, nothing_wrong_is_nothing_said)
{
	cleanup(expanded_release) struct expanded e = expand(JOB);

	cr_expect_str_eq(expanded_text(&e), "");
	cr_expect_eq(diagnostics_fail(&e.d, NULL), 0);
}

Test(diagnostics, the_first_in_the_file_is_the_error)
{
	cleanup(expanded_release) struct expanded e = expand(JOB "    needs: q\n    retires: 3\n");
	struct error err = { 0 };

	cr_expect_eq(diagnostics_fail(&e.d, &err), -1);
	cr_expect_str_eq(err.text, "sluice.yaml:6:12: there is no job `q` (and 1 more)");
	cr_expect_str_eq(err.id, "E0111");
	cr_expect_eq(err.code, ERR_INVALID);
	cr_expect_str_eq(err.file, "sluice.yaml");
	cr_expect_eq(err.line, 6);
	cr_expect_eq(err.col, 12);
}

Test(diagnostics, bytes_that_would_move_a_terminal_are_not_printed)
{
	struct diagnostics d;
	cleanup(buf_release) struct buf out = { 0 };
	static const char text[] = "key: \033[31mred\n";

	diagnostics_init(&d, "na\033me\xff.yaml", text, strlen(text));
	diagnostic_label(
		diagnostics_error(&d, "E0107", (struct place){ 1, 1, 3 }, "a %s", "\033[2J"), "%s",
		"cut \xc3");
	diagnostics_text(&d, false, &out);
	cr_expect_str_eq(buf_str(&out), "error[E0107]: a ?[2J\n --> na?me?.yaml:1:1\n  |\n"
					"1 | key: ?[31mred\n  | ^^^ cut ?\n\n1 error\n");
	buf_clear(&out);
	diagnostics_json(&d, &out);
	diagnostics_sarif(&d, &out);
	diagnostics_release(&d);
}

Test(diagnostics, nor_are_those_that_would_turn_its_text_around)
{
	struct diagnostics d;
	cleanup(buf_release) struct buf out = { 0 };
	static const char text[] = "a: \xe2\x80\xae\xc2\x9b\xc3\xa4\n";

	diagnostics_init(&d, "f", text, strlen(text));
	diagnostics_error(&d, "E0107", (struct place){ 1, 6, 1 }, "\xe2\x81\xa6 \xc3\xa4");
	diagnostics_text(&d, false, &out);
	cr_expect_str_eq(buf_str(&out), "error[E0107]: ??? \xc3\xa4\n --> f:1:6\n  |\n"
					"1 | a: ??\xc3\xa4\n  |      ^\n\n1 error\n");
	diagnostics_release(&d);
}

Test(diagnostics, a_long_line_is_shown_around_its_place)
{
	struct diagnostics d;
	cleanup(buf_release) struct buf text = { 0 }, out = { 0 };

	for (int i = 0; i < 100; i++)
		buf_printf(&text, "%04d ", i);
	diagnostics_init(&d, "f", text.data, text.len);
	diagnostics_error(&d, "E0107", (struct place){ 1, 301, 4 }, "here");
	diagnostics_text(&d, false, &out);
	cr_expect(strstr(buf_str(&out), "1 | ...") && strstr(buf_str(&out), "0060"));
	{
		const char *shown = strstr(buf_str(&out), "0060"),
			   *caret = strstr(buf_str(&out), "^^^^");
		const char *line = strstr(buf_str(&out), "\n1 | ") + 1;
		const char *under = strchr(line, '\n') + 1;

		cr_expect_eq(shown - line, caret - under, "%s", buf_str(&out));
	}
	diagnostics_release(&d);
}

Test(diagnostics, json_and_sarif_can_be_read_back)
{
	cleanup(expanded_release) struct expanded e = expand(JOB "    run: y\n    \xc3\xa4: 3\n");
	cleanup(buf_release) struct buf out = { 0 };
	json_t *json, *list, *result;

	diagnostics_json(&e.d, &out);
	cr_expect_eq(strchr(out.data, '\n'), out.data + out.len - 1, "one line");
	json = json_loads(buf_str(&out), 0, NULL);
	cr_assert(json);
	cr_expect_eq(json_integer_value(json_object_get(json, "errors")), 2);
	list = json_object_get(json, "diagnostics");
	cr_assert_eq(json_array_size(list), 2);
	cr_expect_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "code")),
			 "E0103");
	cr_expect_eq(json_integer_value(json_object_get(
			     json_object_get(json_array_get(list, 0), "related"), "line")),
		     5);
	json_decref(json);
	buf_clear(&out);
	diagnostics_sarif(&e.d, &out);
	json = json_loads(buf_str(&out), 0, NULL);
	cr_assert(json);
	cr_expect_str_eq(json_string_value(json_object_get(json, "version")), "2.1.0");
	result = json_array_get(
		json_object_get(json_array_get(json_object_get(json, "runs"), 0), "results"), 1);
	cr_expect_str_eq(json_string_value(json_object_get(result, "ruleId")), "E0107");
	json_decref(json);
}
