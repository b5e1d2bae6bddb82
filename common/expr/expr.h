/*
 * expr.h - expectations and conditions: one line, typed, total, without loops or I/O
 *
 * An expectation is one comparison of numbers: `auc >= champion.auc - 0.002`. A
 * condition is anything that is true or false: `rows > 0 and not (null_rate > 0.1)`.
 *
 *	or < and < not < == != < <= > >= < + - < * / < unary - < number, name,
 *	scope.name, true, false, min(a, b, ...), max(a, b, ...), abs(a), ( )
 *
 * Names and scopes are [A-Za-z_][A-Za-z0-9_]*; all names are numbers. A scope that is an
 * environment writes `_` for each `-` and `.` of its name (expr_scope_is()).
 * A comparison does not chain, and numbers are never true or false. What a name means
 * is the caller's: a lookup gives its value or says that there is none. A missing or
 * NaN name, and a side that is not finite (a division by zero), make the whole
 * expression NODATA, never a pass (SEMANTICS.md, Gates).
 *
 * An expression is on the heap and does not change once parsed: any number of threads may evaluate
 *it.
 */
#ifndef EXPR_EXPR_H
#define EXPR_EXPR_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"

enum {
	EXPR_TEXT = 1024, /* bytes of one expression */
	EXPR_NODES = 256,
	EXPR_DEPTH = 32,
};

struct expr;

/* Where in the text an error is, from 0, in bytes. */
struct expr_place {
	size_t at, len;
};

struct expr_ref {
	const char *scope; /* "champion"; "" for a bare name */
	const char *name;
	struct expr_place place;
};

enum expr_verdict { EXPR_PASS, EXPR_NODATA, EXPR_FAIL };

struct expr_result {
	enum expr_verdict verdict;
	double left, right;		/* of an expectation; NaN when there is none */
	const struct expr_ref *missing; /* the first name without a value, or NULL */
};

/* true and *ret, or false: there is no such value (now). */
typedef bool expr_lookup(void *arg, const char *scope, const char *name, double *ret);

/* NULL with a sentence in *err (ERR_INVALID) and the place in *ret_place (may be NULL). */
struct expr *expr_parse_expectation(const char *text, struct expr_place *ret_place,
				    struct error *err);
struct expr *expr_parse_condition(const char *text, struct expr_place *ret_place,
				  struct error *err);
void expr_free(struct expr *e);
DEFINE_CLEANUP(struct expr *, expr_free)

const char *expr_text(const struct expr *e);
/* Every name, in the order of the text, repeated ones repeated. */
size_t expr_refs(const struct expr *e, const struct expr_ref **ret_refs);
bool expr_uses_scope(const struct expr *e, const char *scope);
/* Does a scope mean the environment of that name? "prod_eu" is "prod-eu". */
bool expr_scope_is(const char *scope, const char *environment);

struct expr_result expr_eval(const struct expr *e, expr_lookup *lookup, void *arg);
/* The line that people read, appended:
 *   "accuracy 0.9611 >= 0.9583 (champion.accuracy 0.9603 - 0.002): pass" */
void expr_print(const struct expr *e, expr_lookup *lookup, void *arg, struct buf *out);
const char *expr_verdict_name(enum expr_verdict v); /* "pass", "no data", "fail" */
/* A number as expr_print() writes it: six digits that matter, no trailing zeros. */
void expr_number(double value, struct buf *out);

#endif
