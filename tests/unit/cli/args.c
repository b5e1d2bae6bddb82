#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/verbs.h"

static int nothing(struct cli *cli, struct error *err)
{
	return 0;
}

static const struct flag flags[] = {
	{ 'p', "param", "K=V", "a parameter" },
	{ 'w', "watch", NULL, "look on" },
	{ 0, "tail", "N", "lines" },
	{ 0, "ttl", "DURATION", "how long" },
	{ 0 },
};
static const struct verb verbs[] = {
	{ "submit", "[DIR]", "run", NULL, flags, 0, 1, true, nothing },
	{ "runs ls", "", "list", NULL, NULL, 0, 0, true, nothing },
	{ "runs cancel", "RUN", "end", NULL, NULL, 1, 1, false, nothing },
	{ "dev", "", "all", NULL, NULL, 0, 0, false, nothing },
	{ "dev stop", "", "stop", NULL, NULL, 0, 0, false, nothing },
	{ 0 },
};
static const struct family families[] = { { "All", verbs }, { 0 } };

static char **argv_of(const char *line, int *ret_n)
{
	static char copy[256], *argv[32];
	char *save;

	snprintf(copy, sizeof copy, "%s", line);
	*ret_n = 0;
	for (char *p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save))
		argv[(*ret_n)++] = p;
	argv[*ret_n] = NULL;
	return argv;
}

Test(args, a_verb_has_one_word_or_two_and_the_longer_one_wins)
{
	static const struct {
		const char *line, *name;
		int used;
	} table[] = { { "submit .", "submit", 1 },	     { "runs ls", "runs ls", 2 },
		      { "runs cancel 3", "runs cancel", 2 }, { "dev", "dev", 1 },
		      { "dev stop", "dev stop", 2 },	     { "dev --dir x", "dev", 1 } };

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct error err = { 0 };
		int n, used = 0;
		char **argv = argv_of(table[i].line, &n);
		const struct verb *v = verb_find(families, n, argv, &used, &err);

		cr_assert(v, "%s: %s", table[i].line, err.text);
		cr_expect_str_eq(v->name, table[i].name);
		cr_expect_eq(used, table[i].used);
	}
}

Test(args, an_unknown_verb_is_an_error_with_the_nearest_one)
{
	static const struct {
		const char *line, *text, *hint;
	} table[] = { { "sumbit", "'sumbit'", "did you mean `sluice submit`?" },
		      { "rnus ls", "'rnus'", "did you mean `sluice runs`?" },
		      { "runs cancle 1", "no verb 'cancle'", "did you mean `sluice runs cancel`?" },
		      { "runs", "needs a verb", "one of: ls, cancel" },
		      { "runs --json", "needs a verb", "one of: ls, cancel" },
		      { "xyzzy", "'xyzzy'", "sluice help" } };

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct error err = { 0 };
		int n, used;
		char **argv = argv_of(table[i].line, &n);

		cr_expect_null(verb_find(families, n, argv, &used, &err));
		cr_expect_eq(err.code, ERR_INVALID);
		cr_expect(strstr(err.text, table[i].text), "%s: %s", table[i].line, err.text);
		cr_expect(strstr(err.hint, table[i].hint), "%s: %s", table[i].line, err.hint);
	}
}

Test(args, flags_are_taken_in_all_their_forms_and_anywhere)
{
	static const char *const lines[] = { "-p a=1 -w dir --tail 7",
					     "--param a=1 --watch dir --tail=7",
					     "dir -pa=1 --tail 7 -w",
					     "--param=a=1 -w --tail 7 -- dir" };

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct error err = { 0 };
		struct args a;
		int64_t tail = 0;
		int n;
		char **argv = argv_of(lines[i], &n);

		cr_assert_eq(args_parse(&verbs[0], n, argv, &a, &err), 0, "%s: %s", lines[i],
			     err.text);
		cr_expect_str_eq(flag_text(&a, "param"), "a=1");
		cr_expect(flag_given(&a, "watch"));
		cr_expect_not(flag_given(&a, "json"));
		cr_expect_str_eq(word(&a, 0), "dir");
		cr_expect_str_eq(word(&a, 1), "");
		cr_expect_eq(flag_number(&a, "tail", 1, 100, &tail, &err), 0);
		cr_expect_eq(tail, 7);
	}
}

Test(args, a_repeated_flag_keeps_each_value_and_the_last_one_wins)
{
	struct error err = { 0 };
	struct args a;
	int n;
	char **argv = argv_of("-p a=1 -p b=2 -p c=3", &n);

	cr_assert_eq(args_parse(&verbs[0], n, argv, &a, &err), 0);
	cr_expect_str_eq(flag_each(&a, "param", 0), "a=1");
	cr_expect_str_eq(flag_each(&a, "param", 2), "c=3");
	cr_expect_null(flag_each(&a, "param", 3));
	cr_expect_str_eq(flag_text(&a, "param"), "c=3");
}

Test(args, what_is_wrong_is_named)
{
	static const struct {
		unsigned verb;
		const char *line, *text;
	} table[] = { { 0, "--wtach", "no flag '--wtach'" }, { 0, "-x", "no flag '-x'" },
		      { 0, "--param", "needs a value" },     { 0, "--watch=yes", "takes no value" },
		      { 0, "-wx", "takes no value" },	     { 0, "a b", "does not take 'b'" },
		      { 1, "x", "does not take 'x'" },	     { 2, "", "needs RUN" },
		      { 2, "3 --json", "no flag '--json'" } };

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct error err = { 0 };
		struct args a;
		int n;
		char **argv = argv_of(table[i].line, &n);

		cr_expect_eq(args_parse(&verbs[table[i].verb], n, argv, &a, &err), -1, "%s",
			     table[i].line);
		cr_expect(strstr(err.text, table[i].text), "%s: %s", table[i].line, err.text);
		cr_expect(*err.hint || strstr(err.text, "takes no"), "%s has a hint",
			  table[i].line);
	}
}

Test(args, help_is_given_whatever_else_is_missing)
{
	struct error err = { 0 };
	struct args a;
	int n;
	char **argv = argv_of("--help", &n);

	cr_expect_eq(args_parse(&verbs[2], n, argv, &a, &err), 0);
	cr_expect(flag_given(&a, "help"));
}

Test(args, numbers_and_durations_have_their_limits)
{
	static const char *const bad[] = { "0", "101", "x", "7x", "99999999999999999999" };
	struct error err = { 0 };
	struct args a;
	int64_t value = 42;
	int n;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cleanup(freep) char *line = xprintf("--tail %s", bad[i]);
		char **argv = argv_of(line, &n);

		cr_assert_eq(args_parse(&verbs[0], n, argv, &a, &err), 0);
		cr_expect_eq(flag_number(&a, "tail", 1, 100, &value, &err), -1, "%s", bad[i]);
		cr_expect_eq(value, 42);
	}
	cr_assert_eq(args_parse(&verbs[0], 2, argv_of("--ttl 30m", &n), &a, &err), 0);
	cr_expect_eq(flag_duration(&a, "ttl", &value, &err), 0);
	cr_expect_eq(value, 30 * 60 * 1000);
	cr_assert_eq(args_parse(&verbs[0], 2, argv_of("--ttl 30", &n), &a, &err), 0);
	cr_expect_eq(flag_duration(&a, "ttl", &value, &err), -1);
	cr_expect(strstr(err.text, "--ttl"));
}
