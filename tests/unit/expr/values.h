/* values.h - names with values for the tests of expressions */
#ifndef TESTS_EXPR_VALUES_H
#define TESTS_EXPR_VALUES_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "expr/expr.h"

struct value {
	const char *name; /* "champion.auc" */
	double value;
};

static const struct value test_values[] = {
	{ "accuracy", 0.9611 },	  { "champion.accuracy", 0.9603 },
	{ "rows", 1200000 },	  { "null_rate", 0.02 },
	{ "nan", NAN },		  { "zero", 0 },
	{ "infinite", INFINITY }, { "min", 7 },
};

static inline bool test_lookup(void *arg, const char *scope, const char *name, double *ret)
{
	char full[128];

	(void)arg;
	snprintf(full, sizeof full, "%s%s%s", scope, *scope ? "." : "", name);
	for (size_t i = 0; i < ARRAY_SIZE(test_values); i++)
		if (!strcmp(test_values[i].name, full))
			return *ret = test_values[i].value, true;
	return false;
}

#endif
