#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "expr/expr.h"
#include "values.h"

Test(eval, conditions_follow_the_rules_of_arithmetic_and_logic)
{
	static const struct {
		const char *text;
		enum expr_verdict verdict;
	} table[] = {
		{ "1 + 2 * 3 == 7", EXPR_PASS },
		{ "(1 + 2) * 3 == 9", EXPR_PASS },
		{ "10 - 4 - 3 == 3", EXPR_PASS },
		{ "8 / 4 / 2 == 1", EXPR_PASS },
		{ "-2 * -3 == 6", EXPR_PASS },
		{ "- -2 == 2", EXPR_PASS },
		{ "2 - -2 == 4", EXPR_PASS },
		{ "1e3 == 1000 and 2.5e-1 == 0.25", EXPR_PASS },
		{ "min(3, 1, 2) == 1 and max(3, 1, 2) == 3 and abs(-4) == 4", EXPR_PASS },
		{ "min(5) == 5", EXPR_PASS },
		{ "min == 7", EXPR_PASS },
		{ "1 < 2 and 2 <= 2 and 3 > 2 and 3 >= 3 and 1 != 2", EXPR_PASS },
		{ "2 < 1", EXPR_FAIL },
		{ "2 <= 1", EXPR_FAIL },
		{ "1 > 2", EXPR_FAIL },
		{ "1 >= 2", EXPR_FAIL },
		{ "1 == 2", EXPR_FAIL },
		{ "1 != 1", EXPR_FAIL },
		{ "true or false and false", EXPR_PASS },
		{ "(true or false) and false", EXPR_FAIL },
		{ "not false and true", EXPR_PASS },
		{ "not 1 > 2 and true", EXPR_PASS },
		{ "not (1 > 2 or 2 > 1)", EXPR_FAIL },
		{ "rows > 0 and not (null_rate > 0.1)", EXPR_PASS },
		{ "champion.accuracy < accuracy", EXPR_PASS },
		{ "absent > 0", EXPR_NODATA },
		{ "true or absent > 0", EXPR_NODATA },
		{ "nan == nan", EXPR_NODATA },
		{ "1 / zero > 0", EXPR_NODATA },
		{ "zero / zero > 0", EXPR_NODATA },
		{ "max(1, 1 / zero) > 0", EXPR_NODATA },
		{ "infinite > 0", EXPR_NODATA },
		{ "1e308 * 10 > 0", EXPR_NODATA },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct error err = { 0 };
		struct expr *e = expr_parse_condition(table[i].text, NULL, &err);

		cr_assert(e, "`%s`: %s", table[i].text, err.text);
		cr_expect_eq(expr_eval(e, test_lookup, NULL).verdict, table[i].verdict, "`%s`",
			     table[i].text);
		expr_free(e);
	}
}

Test(eval, an_expectation_tells_its_sides_and_what_is_missing)
{
	struct error err = { 0 };
	cleanup(expr_freep) struct expr *e =
		expr_parse_expectation("accuracy * 100 >= other.accuracy + absent", NULL, &err);
	struct expr_result r;

	cr_assert(e, "%s", err.text);
	r = expr_eval(e, test_lookup, NULL);
	cr_expect_eq(r.verdict, EXPR_NODATA);
	cr_expect_float_eq(r.left, 96.11, 1e-9);
	cr_expect(isnan(r.right));
	cr_assert(r.missing);
	cr_expect_str_eq(r.missing->scope, "other");
	cr_expect_str_eq(r.missing->name, "accuracy");
}

Test(eval, the_printed_line_shows_every_number)
{
	static const struct {
		const char *text, *line;
	} table[] = {
		{ "accuracy >= champion.accuracy - 0.002",
		  "accuracy 0.9611 >= 0.9583 (champion.accuracy 0.9603 - 0.002): pass" },
		{ "accuracy >= 0.97", "accuracy 0.9611 >= 0.97: fail" },
		{ "  accuracy>=0.9  ", "accuracy 0.9611 >= 0.9: pass" },
		{ "accuracy >= champion.accuracy",
		  "accuracy 0.9611 >= champion.accuracy 0.9603: pass" },
		{ "absent < 1", "absent (none) < 1: no data" },
		{ "accuracy > other.auc - 1",
		  "accuracy 0.9611 > (none) (other.auc (none) - 1): no data" },
		{ "rows / 2 > 1000", "600000 (rows 1200000 / 2) > 1000: pass" },
		{ "1 / zero > 1", "(none) (1 / zero 0) > 1: no data" },
		{ "min(accuracy, null_rate) > 0",
		  "0.02 (min(accuracy 0.9611, null_rate 0.02)) > 0: pass" },
		{ "accuracy > 0.96109999999", "accuracy 0.9611 > 0.96109999999: pass" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct error err = { 0 };
		struct buf out = { 0 };
		struct expr *e = expr_parse_expectation(table[i].text, NULL, &err);

		cr_assert(e, "`%s`: %s", table[i].text, err.text);
		expr_print(e, test_lookup, NULL, &out);
		cr_expect_str_eq(buf_str(&out), table[i].line);
		buf_release(&out);
		expr_free(e);
	}
}

Test(eval, two_sides_that_differ_never_print_alike)
{
	struct error err = { 0 };
	cleanup(buf_release) struct buf out = { 0 };
	cleanup(expr_freep) struct expr *e =
		expr_parse_expectation("champion.accuracy - 0.0000001 >= 0.9603", NULL, &err);

	cr_assert(e, "%s", err.text);
	expr_print(e, test_lookup, NULL, &out);
	cr_expect_str_eq(buf_str(&out),
			 "0.9602999 (champion.accuracy 0.9603 - 0.0000001) >= 0.9603: fail");
}

Test(eval, a_condition_prints_its_names_with_values)
{
	struct error err = { 0 };
	cleanup(buf_release) struct buf out = { 0 };
	cleanup(expr_freep) struct expr *e =
		expr_parse_condition("rows > 0 and not null_rate > 0.1", NULL, &err);

	cr_assert(e, "%s", err.text);
	expr_print(e, test_lookup, NULL, &out);
	cr_expect_str_eq(buf_str(&out), "rows 1200000 > 0 and not null_rate 0.02 > 0.1: pass");
}
