#include "cli/progress.h"

#include <criterion/criterion.h>

#include "base/mem.h"

Test(progress, numbers_of_a_line_are_shown_and_arrows_say_where_they_go)
{
	static const struct {
		const char *line, *before, *expect;
	} table[] = {
		{ "{\"epoch\": 9, \"loss\": 0.213}", NULL, "epoch 9 loss 0.213" },
		{ "{\"epoch\": 9, \"loss\": 0.213}", "{\"epoch\": 8, \"loss\": 0.25}",
		  "epoch 9 loss 0.213 ↓" },
		{ "{\"auc\": 0.9}", "{\"auc\": 0.8}", "auc 0.9 ↑" },
		{ "{\"auc\": 0.9}", "{\"auc\": 0.9}", "auc 0.9" },
		{ "{\"auc\": 0.9}", "not json", "auc 0.9" },
		{ "{\"note\": \"text\", \"n\": 1}", NULL, "n 1" },
		{ "{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5}", NULL, "a 1 b 2 c 3 d 4" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		cleanup(freep) char *text = progress_text(table[i].line, table[i].before);

		cr_assert(text, "%s", table[i].line);
		cr_expect_str_eq(text, table[i].expect);
	}
}

Test(progress, what_holds_no_number_says_nothing)
{
	static const char *const lines[] = { "", "{", "[]", "3", "{}", "{\"a\": \"b\"}", "null" };

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		cr_expect_null(progress_text(lines[i], NULL), "%s", lines[i]);
}
