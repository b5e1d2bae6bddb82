/*
 * Which failures a transfer tries again.
 */
#include <criterion/criterion.h>

#include "base/error.h"
#include "transfer/retry.h"
#include "transfer/transfer.h"

struct story {
	enum error_code code;
	const char *id;
	int tries;
};

/* Fails once, then ends well. */
static int once(void *arg, uint64_t *ret_progress, struct error *err)
{
	struct story *s = arg;

	if (s->tries++)
		return 0;
	if (s->id)
		return error_id(err, s->id, "it failed");
	return error_set(err, s->code, "it failed");
}

Test(retry, what_may_pass_by_itself_is_tried_again_and_nothing_else)
{
	static const struct {
		enum error_code code;
		const char *id;
		bool again;
	} cases[] = {
		{ ERR_UNAVAILABLE, NULL, true },
		{ ERR_ABORTED, NULL, true },
		{ ERR_CANCELLED, NULL, true },
		{ 0, "E0606", true },
		{ 0, "E0601", true },
		{ ERR_EXHAUSTED, NULL, false },
		{ 0, "E0503", false },
		{ ERR_NOT_FOUND, NULL, false },
		{ ERR_DENIED, NULL, false },
		{ ERR_INVALID, NULL, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct story s = { cases[i].code, cases[i].id, 0 };
		struct transfer t = { .patience_ms = 10000 };
		struct error err = { 0 };
		int r = transfer_retry(&t, once, &s, &err);

		cr_expect_eq(r == 0, cases[i].again, "case %zu: %s", i, err.text);
		cr_expect_eq(s.tries, cases[i].again ? 2 : 1, "case %zu", i);
	}
}
