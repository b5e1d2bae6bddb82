#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "expr/expr.h"
#include "values.h"

struct bad {
	const char *text;
	size_t at;
	const char *says;
};

static void refuse(const struct bad *b, bool condition)
{
	struct error err = { 0 };
	struct expr_place place = { 999, 0 };
	struct expr *e = condition ? expr_parse_condition(b->text, &place, &err)
				   : expr_parse_expectation(b->text, &place, &err);

	cr_expect_null(e, "`%s` was taken", b->text);
	cr_expect(strstr(err.text, b->says), "`%s`: \"%s\" does not say \"%s\"", b->text, err.text,
		  b->says);
	cr_expect_eq(place.at, b->at, "`%s`: at %zu, not %zu (%s)", b->text, place.at, b->at,
		     err.text);
	cr_expect_eq(err.code, ERR_INVALID);
	expr_free(e);
}

Test(parse, what_is_no_expectation_is_refused_with_its_place)
{
	static const struct bad table[] = {
		{ "", 0, "is empty" },
		{ "  \t", 0, "is empty" },
		{ "accuracy", 0, "compares nothing" },
		{ "accuracy + 1", 0, "compares nothing" },
		{ "(accuracy > 0.9)", 0, "compares nothing" },
		{ "true", 0, "compares nothing" },
		{ "accuracy and auc > 1", 9, "compares nothing" },
		{ "a > 1 and b > 2", 6, "goes on" },
		{ "a < b < c", 6, "goes on" },
		{ "a >", 3, "ends where" },
		{ "a > 1 2", 6, "operator" },
		{ "a > b c", 6, "operator" },
		{ "a = 1", 2, "means nothing" },
		{ "a ! 1", 2, "means nothing" },
		{ "a > 5%", 4, "is not a number" },
		{ "a > 5 %", 6, "means nothing" },
		{ "a > 1x", 4, "is not a number" },
		{ "a > 1.", 4, "is not a number" },
		{ "a > 0x10", 4, "is not a number" },
		{ "a > 1e999", 4, "too large" },
		{ "a > .5", 4, "means nothing" },
		{ "a > champion.", 4, "after its dot" },
		{ "a > champion.1", 4, "after its dot" },
		{ "a > x.y.z", 4, "more than one dot" },
		{ "a > (1", 6, "`)` is missing" },
		{ "a > 1)", 5, "operator" },
		{ "a > ()", 5, "where a number" },
		{ "a > min()", 8, "where a number" },
		{ "a > min(1", 9, "wants `,` or `)`" },
		{ "a > abs(1, 2)", 4, "one argument" },
		{ "a > log(1)", 4, "no function `log`" },
		{ "a > -(b > 1)", 8, "wants a number" },
		{ "a > (b > 1)", 7, "wants a number" },
		{ "a > true", 4, "wants a number" },
		{ "a > \xc3\xa4", 4, "0xc3" },
		{ "a > 1\n", 5, "0x0a" },
		{ "a && b", 2, "means nothing" },
		{ "$(a) > 1", 0, "`$`" },
		{ "or > 1", 0, "stands between" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		refuse(&table[i], false);
}

Test(parse, what_is_no_condition_is_refused_with_its_place)
{
	static const struct bad table[] = {
		{ "rows", 0, "wants a comparison" },
		{ "rows + 1", 5, "wants a comparison" },
		{ "not rows", 4, "wants a comparison" },
		{ "rows and rows > 1", 0, "wants a comparison" },
		{ "1 < 2 < 3", 6, "do not chain" },
		{ "1 == 2 == 3", 7, "do not chain" },
		{ "a > 1 and", 9, "ends where" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		refuse(&table[i], true);
}

static char *repeated(const char *head, const char *unit, size_t times, const char *tail)
{
	struct buf b = { 0 };

	buf_puts(&b, head);
	for (size_t i = 0; i < times; i++)
		buf_puts(&b, unit);
	buf_puts(&b, tail);
	return buf_detach(&b);
}

static void expect_limit(char *text, const char *says)
{
	struct error err = { 0 };
	struct expr *e = expr_parse_expectation(text, NULL, &err);

	cr_expect_null(e);
	cr_expect(strstr(err.text, says), "\"%s\" does not say \"%s\"", err.text, says);
	free(text);
}

Test(parse, depth_parts_and_length_are_bounded)
{
	expect_limit(repeated("a > ", "(", 40, "1"), "nested more than");
	expect_limit(repeated("a > ", "-", 40, "1"), "nested more than");
	expect_limit(repeated("a > ", "abs(", 40, "1"), "nested more than");
	expect_limit(repeated("a > 1", "+1", 200, ""), "more than 256 parts");
	expect_limit(repeated("a > 1", "+b", 200, ""), "more than 256 parts");
	expect_limit(repeated("a > 1", " ", 1100, ""), "more than 1024");
}

Test(parse, a_long_flat_sum_is_well)
{
	cleanup(freep) char *text = repeated("rows > 1", "+1", 120, "");
	struct error err = { 0 };
	cleanup(expr_freep) struct expr *e = expr_parse_expectation(text, NULL, &err);

	cr_assert(e, "%s", err.text);
	cr_expect_eq(expr_eval(e, test_lookup, NULL).right, 121);
}

Test(parse, the_names_are_listed_in_order_with_their_places)
{
	struct error err = { 0 };
	cleanup(expr_freep) struct expr *e =
		expr_parse_expectation("auc >= max(champion.auc, prod_eu.auc) - auc", NULL, &err);
	static const struct {
		const char *scope, *name;
		size_t at, len;
	} want[] = { { "", "auc", 0, 3 },
		     { "champion", "auc", 11, 12 },
		     { "prod_eu", "auc", 25, 11 },
		     { "", "auc", 40, 3 } };
	const struct expr_ref *refs;

	cr_assert(e, "%s", err.text);
	cr_assert_eq(expr_refs(e, &refs), ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		cr_expect_str_eq(refs[i].scope, want[i].scope);
		cr_expect_str_eq(refs[i].name, want[i].name);
		cr_expect_eq(refs[i].place.at, want[i].at);
		cr_expect_eq(refs[i].place.len, want[i].len);
	}
	cr_expect(expr_uses_scope(e, "champion"));
	cr_expect_not(expr_uses_scope(e, "champ"));
}

Test(parse, a_scope_names_an_environment_with_underscores)
{
	cr_expect(expr_scope_is("prod_eu", "prod-eu"));
	cr_expect(expr_scope_is("prod_eu_1", "prod.eu-1"));
	cr_expect(expr_scope_is("production", "production"));
	cr_expect_not(expr_scope_is("prod", "production"));
	cr_expect_not(expr_scope_is("production", "prod"));
	cr_expect_not(expr_scope_is("Prod", "prod"));
}
