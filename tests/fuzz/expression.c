/*
 * Expectations and conditions from any bytes: refused with a place inside the text, or
 * evaluated and printed, twice alike.
 */
#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "expr/expr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lookup(void *arg, const char *scope, const char *name, double *ret)
{
	size_t n = strlen(name) + strlen(scope);

	(void)arg;
	*ret = n % 7 == 0 ? NAN : n % 5 == 0 ? 0 : (double)n / 3;
	return n % 11 != 0;
}

static void evaluate(struct expr *e)
{
	struct buf one = { 0 }, two = { 0 };
	struct expr_result r = expr_eval(e, lookup, NULL);
	const struct expr_ref *refs;
	size_t n = expr_refs(e, &refs);

	for (size_t i = 0; i < n; i++)
		assert(refs[i].place.at + refs[i].place.len <= strlen(expr_text(e)));
	assert(!r.missing || r.verdict == EXPR_NODATA);
	expr_print(e, lookup, NULL, &one);
	expr_print(e, lookup, NULL, &two);
	assert(!strcmp(buf_str(&one), buf_str(&two)));
	buf_release(&one);
	buf_release(&two);
	expr_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xstrndup((const char *)data, size);
	struct expr_place place = { 0 };
	struct error err = { 0 };
	struct expr *e = expr_parse_expectation(text, &place, &err);

	if (e)
		evaluate(e);
	else
		assert(*err.text && place.at <= strlen(text));
	e = expr_parse_condition(text, &place, &err);
	if (e)
		evaluate(e);
	else
		assert(*err.text && place.at <= strlen(text));
	free(text);
	return 0;
}
