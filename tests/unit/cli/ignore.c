#include "cli/ignore.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"

struct row {
	const char *rules, *path;
	bool directory, ignored;
};

static void check(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct ignore *ig = ignore_parse(rows[i].rules, strlen(rows[i].rules));

		cr_expect_eq(ignore_matches(ig, rows[i].path, rows[i].directory), rows[i].ignored,
			     "'%s' and '%s'", rows[i].rules, rows[i].path);
		ignore_free(ig);
	}
}

Test(ignore, a_name_matches_anywhere_and_a_path_from_the_root)
{
	static const struct row rows[] = {
		{ "data", "data", true, true },	     { "data", "a/data", false, true },
		{ "data", "data/x/y", false, true }, { "data", "mydata", false, false },
		{ "/data", "data", true, true },     { "/data", "a/data", true, false },
		{ "a/data", "a/data", true, true },  { "a/data", "b/a/data", true, false },
		{ "data/", "data", true, true },     { "data/", "data", false, false },
		{ "data/", "data/x", false, true },
	};

	check(rows, ARRAY_SIZE(rows));
}

Test(ignore, stars_stay_within_a_name_and_two_go_across)
{
	static const struct row rows[] = {
		{ "*.pyc", "a/b/c.pyc", false, true },
		{ "*.pyc", "a.py", false, false },
		{ "out/*.bin", "out/a.bin", false, true },
		{ "out/*.bin", "out/x/a.bin", false, false },
		{ "out/**/a.bin", "out/x/y/a.bin", false, true },
		{ "out/**/a.bin", "out/a.bin", false, true },
		{ "**/tmp", "a/b/tmp", false, true },
		{ "out/**", "out/a/b", false, true },
		{ "a?c", "abc", false, true },
		{ "a?c", "a/c", false, false },
		{ "*", "anything", false, true },
		{ "a*b*c", "aXbYc", false, true },
		{ "a*b*c", "aXbY", false, false },
		{ "run[0-9]", "run7", false, true },
		{ "run[!0-9]", "run7", false, false },
		{ "[", "[", false, true },
		{ "\\*", "*", false, true },
		{ "\\*", "x", false, false },
	};

	check(rows, ARRAY_SIZE(rows));
}

Test(ignore, the_last_rule_decides_but_nothing_comes_back_into_a_directory_that_is_out)
{
	static const struct row rows[] = {
		{ "*.bin\n!keep.bin", "keep.bin", false, false },
		{ "*.bin\n!keep.bin", "a.bin", false, true },
		{ "!keep.bin\n*.bin", "keep.bin", false, true },
		{ "out\n!out/keep", "out/keep", false, true },
		{ "# data\n\n  \nx  ", "data", false, false },
		{ "# data\n\n  \nx  ", "x", false, true },
		{ "a\r\nb", "a", false, true },
		{ "", "a", false, false },
		{ "/", "a", false, false },
		{ "!", "a", false, false },
	};

	check(rows, ARRAY_SIZE(rows));
	cr_expect_not(ignore_matches(NULL, "a", false));
}

Test(ignore, a_hostile_pattern_ends)
{
	struct ignore *ig = ignore_parse("*a*a*a*a*a*a*a*a*a*b", 20);
	char name[512];

	memset(name, 'a', sizeof name - 1);
	name[sizeof name - 1] = 0;
	cr_expect_not(ignore_matches(ig, name, false));
	ignore_free(ig);
}
