#include <criterion/criterion.h>
#include <string.h>

#include "base/errors.h"
#include "base/mem.h"
#include "cli/cli.h"

Test(status, every_number_of_the_catalogue_has_its_exit_code)
{
	for (size_t i = 0; i < error_catalogue_count; i++)
		cr_expect(status_of_number(error_catalogue[i].id) > 0, "%s has none",
			  error_catalogue[i].id);
	cr_expect_eq(status_of_number("E0999"), -1);
	cr_expect_eq(status_of_number(""), -1);
}

Test(status, the_exit_codes_are_those_of_the_pipeline_manual)
{
	static const struct {
		const char *id;
		int status;
	} rows[] = {
		{ "E0102", 3 }, { "E0107", 3 }, { "E0201", 2 }, { "E0204", 4 }, { "E0205", 4 },
		{ "E0301", 5 }, { "E0302", 5 }, { "E0305", 5 }, { "E0307", 6 }, { "E0403", 8 },
		{ "E0410", 8 }, { "E0409", 8 }, { "E0411", 1 }, { "E0506", 1 }, { "E0510", 8 },
		{ "E0601", 1 }, { "E0602", 1 }, { "E0900", 2 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error err = { 0 };

		error_id(&err, rows[i].id, "it went wrong");
		cr_expect_eq(status_of_error(&err), rows[i].status, "%s: %d", rows[i].id,
			     (int)status_of_error(&err));
	}
}

Test(status, an_error_without_a_number_goes_by_its_kind)
{
	static const struct {
		enum error_code code;
		int status;
	} rows[] = {
		{ ERR_INVALID, 2 },	{ ERR_NOT_FOUND, 4 }, { ERR_DENIED, 5 },
		{ ERR_UNAVAILABLE, 6 }, { ERR_TIMEOUT, 7 },   { ERR_EXISTS, 8 },
		{ ERR_ABORTED, 8 },	{ ERR_CANCELLED, 8 }, { ERR_CORRUPT, 1 },
		{ ERR_INTERNAL, 1 },	{ ERR_EXHAUSTED, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error err = { 0 };

		error_set(&err, rows[i].code, "it went wrong");
		cr_expect_eq(status_of_error(&err), rows[i].status, "%s",
			     error_code_name(rows[i].code));
	}
}
