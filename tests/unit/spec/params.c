#include "expanded.h"

#define PARAMS(list) HEAD "jobs: {a: {run: x}}\nparams:\n" list /* from line 5 on */

Test(params, declarations_that_make_no_sense_are_refused)
{
	static const struct mistake table[] = {
		{ PARAMS("  n: {default: 1}\n"), "E0105", 5, 3, "no `type`" },
		{ PARAMS("  n: {type: integer, default: 1}\n"), "E0108", 5, 13,
		  "one of: string, int" },
		{ PARAMS("  n: {type: int, default: 1.5}\n"), "E0202", 5, 27,
		  "not a whole number" },
		{ PARAMS("  n: {type: int, default: 0, min: 1}\n"), "E0202", 5, 27,
		  "below its min 1" },
		{ PARAMS("  n: {type: float, default: 2, max: 1.5}\n"), "E0202", 5, 29,
		  "above its max" },
		{ PARAMS("  n: {type: int, default: 1, min: 3, max: 2}\n"), "E0108", 5, 44,
		  "below `min`" },
		{ PARAMS("  n: {type: bool, default: yes}\n"), "E0202", 5, 28, "not `true` or" },
		{ PARAMS("  n: {type: string, default: a, min: 1}\n"), "E0119", 5, 33,
		  "int or float" },
		{ PARAMS("  n: {type: int, default: 1, options: [1]}\n"), "E0119", 5, 30,
		  "a choice" },
		{ PARAMS("  n: {type: choice, default: a}\n"), "E0105", 5, 3, "without `options`" },
		{ PARAMS("  n: {type: choice, default: bas, options: [base, large]}\n"), "E0202", 5,
		  30, "did you mean `base`?" },
		{ PARAMS("  n: {type: int}\n"), "E0203", 5, 3, "-p n=VALUE" },
		{ PARAMS("  a-b: {type: int, default: 1}\n  a_b: {type: int, default: 1}\n"),
		  "E0120", 6, 3, "$PARAM_A_B" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (strstr(table[i].text, "default: 1, min: 3"))
			continue; /* two errors: see below */
		expect_mistake(&table[i]);
	}
}

static const char all[] = PARAMS("  n: {type: int, default: 12, min: 1, max: 200}\n"
				 "  f: {type: float, default: 1e-3}\n"
				 "  b: {type: bool, default: true}\n"
				 "  c: {type: choice, options: [base, large], default: base}\n"
				 "  s: {type: string, default: \"\"}\n");

Test(params, values_given_are_checked_and_brought_into_one_spelling)
{
	static const struct {
		struct spec_override given;
		const char *value, *says; /* one of them */
	} table[] = {
		{ { "n", "007" }, "7", NULL },
		{ { "n", "+20" }, "20", NULL },
		{ { "n", "0" }, NULL, "below its min 1" },
		{ { "n", "201" }, NULL, "above its max 200" },
		{ { "n", "1.0" }, NULL, "not a whole number" },
		{ { "n", "" }, NULL, "not a whole number" },
		{ { "n", "99999999999999999999" }, NULL, "not a whole number" },
		{ { "f", "1e1" }, "10", NULL },
		{ { "f", "0.1" }, "0.1", NULL },
		{ { "f", "-0" }, "0", NULL },
		{ { "f", "nan" }, NULL, "not a number" },
		{ { "f", "0x10" }, NULL, "not a number" },
		{ { "b", "false" }, "false", NULL },
		{ { "b", "no" }, NULL, "not `true` or `false`" },
		{ { "c", "large" }, "large", NULL },
		{ { "c", "largo" }, NULL, "none of its options: base, large" },
		{ { "s", "any; $(text) | 'x'" }, "any; $(text) | 'x'", NULL },
		{ { "epoch", "1" }, NULL, "no parameter `epoch`" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		cleanup(expanded_release) struct expanded e =
			expand_with(all, &table[i].given, 1, 0);

		if (table[i].says) {
			cr_expect(e.d.errors == 1 && strstr(e.d.items[0].message, table[i].says),
				  "%s=%s: %s", table[i].given.name, table[i].given.value,
				  expanded_text(&e));
			continue;
		}
		cr_assert(e.pipeline, "%s", expanded_text(&e));
		for (size_t j = 0; j < e.pipeline->n_params; j++) {
			const Sluice__V1__Param *p = e.pipeline->params[j];
			bool mine = !strcmp(p->name, table[i].given.name);

			cr_expect_eq(p->is_default, !mine);
			if (mine)
				cr_expect_str_eq(p->value, table[i].value);
		}
	}
}

Test(params, a_default_out_of_its_own_bounds_is_told_beside_the_bounds)
{
	cleanup(expanded_release) struct expanded e =
		expand(PARAMS("  n: {type: int, default: 1, min: 3, max: 2}\n"));

	cr_assert_eq(e.d.errors, 2, "%s", expanded_text(&e));
	cr_expect_str_eq(e.d.items[0].id, "E0202");
	cr_expect_str_eq(e.d.items[1].id, "E0108");
}

Test(params, a_parameter_without_default_takes_what_is_given_and_the_last_one_wins)
{
	static const struct spec_override given[] = { { "n", "3" }, { "n", "4" } };
	static const char text[] = PARAMS("  n: {type: int}\n");
	cleanup(expanded_release) struct expanded e = expand_with(text, given, 2, 0);
	cleanup(expanded_release) struct expanded lint = expand_with(text, NULL, 0, SPEC_LINT);

	cr_assert(e.pipeline && lint.pipeline);
	cr_expect_str_eq(e.pipeline->params[0]->value, "4");
	cr_expect_str_eq(lint.pipeline->params[0]->value, "");
}

Test(params, an_unknown_parameter_is_told_with_the_nearest)
{
	static const struct spec_override given = { "epoch", "3" };
	cleanup(expanded_release) struct expanded e =
		expand_with(PARAMS("  epochs: {type: int, default: 1}\n"), &given, 1, 0);

	cr_assert_eq(e.d.errors, 1);
	cr_expect_str_eq(e.d.items[0].id, "E0201");
	cr_expect_str_eq(e.d.items[0].label, "did you mean `epochs`?");
}

Test(params, an_override_is_a_name_and_a_value)
{
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	struct spec_override o;
	struct error err = { 0 };

	cr_assert_eq(spec_override_parse("a=b=c", arena, &o, &err), 0);
	cr_expect_str_eq(o.name, "a");
	cr_expect_str_eq(o.value, "b=c");
	cr_assert_eq(spec_override_parse("a=", arena, &o, &err), 0);
	cr_expect_str_eq(o.value, "");
	cr_expect_eq(spec_override_parse("a", arena, &o, &err), -1);
	cr_expect_eq(spec_override_parse("=a", arena, &o, &err), -1);
}
