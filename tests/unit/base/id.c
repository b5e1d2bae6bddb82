#include "base/id.h"

#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

Test(id, new_ones_are_valid_and_differ)
{
	struct id a = id_new(), b = id_new();

	cr_expect(id_valid(a.text), "%s", a.text);
	cr_expect(id_valid(b.text), "%s", b.text);
	cr_expect_str_neq(a.text, b.text);
}

Test(id, a_later_one_sorts_after)
{
	struct timespec two_ms = { 0, 2000000 };

	for (int i = 0; i < 20; i++) {
		struct id a = id_new(), b;

		nanosleep(&two_ms, NULL);
		b = id_new();
		cr_assert_lt(strcmp(a.text, b.text), 0, "%s %s", a.text, b.text);
	}
}

Test(id, anything_else_is_refused)
{
	static const char *const rows[] = {
		"",
		"0193579e-5f2a-7c3d-8e4f-0123456789a",
		"0193579e-5f2a-7c3d-8e4f-0123456789abc",
		"0193579E-5f2a-7c3d-8e4f-0123456789ab",
		"0193579e-5f2a-4c3d-8e4f-0123456789ab",
		"0193579e-5f2a-7c3d-7e4f-0123456789ab",
		"0193579e_5f2a-7c3d-8e4f-0123456789ab",
		"0193579e-5f2a-7c3d-8e4f-0123456789a'",
		"../../../../../../../../../../../../",
	};

	cr_expect(id_valid("0193579e-5f2a-7c3d-8e4f-0123456789ab"));
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		cr_expect(!id_valid(rows[i]), "%s", rows[i]);
}
