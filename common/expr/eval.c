/*
 * What an expression says about values: nodes are computed in one pass in the order in
 * which they lie, so nothing recurses. The printed line is the text itself with each
 * name's value put behind it, and each side's result before it where it is a sum.
 */
#include "expr/expr.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "expr/node.h"

const char *expr_text(const struct expr *e)
{
	return e->text;
}

size_t expr_refs(const struct expr *e, const struct expr_ref **ret_refs)
{
	*ret_refs = e->refs;
	return e->n_refs;
}

bool expr_uses_scope(const struct expr *e, const char *scope)
{
	for (size_t i = 0; i < e->n_refs; i++)
		if (!strcmp(e->refs[i].scope, scope))
			return true;
	return false;
}

bool expr_scope_is(const char *scope, const char *environment)
{
	for (; *scope && *environment; scope++, environment++) {
		char c = *environment == '-' || *environment == '.' ? '_' : *environment;

		if (*scope != c)
			return false;
	}
	return !*scope && !*environment;
}

static double fold(const struct node *nodes, const struct node *n, const double *values)
{
	double best = values[n->a];

	for (short i = nodes[n->a].next; i != NODE_NONE; i = nodes[i].next)
		best = n->op == NODE_MIN ? fmin(best, values[i]) : fmax(best, values[i]);
	return best;
}

static double compute(const struct node *nodes, const struct node *n, const double *values)
{
	double a = values[n->a], b = values[n->b];

	switch ((enum node_op)n->op) {
	case NODE_NEGATE:
		return -a;
	case NODE_NOT:
		return a == 0;
	case NODE_ADD:
		return a + b;
	case NODE_SUB:
		return a - b;
	case NODE_MUL:
		return a * b;
	case NODE_DIV:
		return b == 0 ? NAN : a / b;
	case NODE_LT:
		return a < b;
	case NODE_LE:
		return a <= b;
	case NODE_GT:
		return a > b;
	case NODE_GE:
		return a >= b;
	case NODE_EQ:
		return a == b;
	case NODE_NE:
		return a != b;
	case NODE_AND:
		return a != 0 && b != 0;
	case NODE_OR:
		return a != 0 || b != 0;
	case NODE_MIN:
	case NODE_MAX:
		return fold(nodes, n, values);
	case NODE_ABS:
		return fabs(a);
	case NODE_NUMBER:
	case NODE_BOOL:
	case NODE_NAME:
		break;
	}
	return n->number;
}

/* A number that is not finite anywhere (1/0 inside a `max`) is no data, too. */
struct expr_result expr_eval(const struct expr *e, expr_lookup *lookup, void *arg)
{
	struct expr_result result = { EXPR_PASS, NAN, NAN, NULL };
	double values[EXPR_NODES];
	bool data = true;

	for (size_t i = 0; i < e->n_nodes; i++) {
		const struct node *n = &e->nodes[i];

		if (n->op == NODE_NAME) {
			const struct expr_ref *ref = &e->refs[n->ref];

			if ((!lookup(arg, ref->scope, ref->name, &values[i]) || isnan(values[i]))) {
				values[i] = NAN;
				if (!result.missing)
					result.missing = ref;
			}
		} else {
			values[i] = n->op <= NODE_NAME ? n->number : compute(e->nodes, n, values);
		}
		data = data && isfinite(values[i]);
	}
	if (!e->condition) {
		result.left = values[e->left];
		result.right = values[e->right];
	}
	if (!data)
		result.verdict = EXPR_NODATA;
	else if (values[e->n_nodes - 1] == 0)
		result.verdict = EXPR_FAIL;
	return result;
}

const char *expr_verdict_name(enum expr_verdict v)
{
	static const char *const names[] = { "pass", "no data", "fail" };

	return names[v];
}

static void print_number(double value, int digits, struct buf *out)
{
	if (!isfinite(value))
		buf_puts(out, "(none)");
	else if (value == floor(value) && fabs(value) < 1e15)
		buf_printf(out, "%.0f", value == 0 ? 0.0 : value);
	else
		buf_printf(out, "%.*g", digits, value);
}

void expr_number(double value, struct buf *out)
{
	print_number(value, 6, out);
}

/* Six digits, or as many as it takes to tell two different sides apart. */
static int digits_for(const struct expr_result *r)
{
	int digits = 6;

	for (; digits < 17; digits++) {
		char left[40], right[40];

		snprintf(left, sizeof left, "%.*g", digits, r->left);
		snprintf(right, sizeof right, "%.*g", digits, r->right);
		if (r->left == r->right || strcmp(left, right))
			break;
	}
	return digits;
}

struct printing {
	const struct expr *expr;
	expr_lookup *lookup;
	void *arg;
	int digits;
};

/* The text from..to without its outer blanks, each name followed by its value. */
static void print_text(const struct printing *p, size_t from, size_t to, struct buf *out)
{
	const struct expr *e = p->expr;

	while (from < to && strchr(" \t", e->text[from]))
		from++;
	while (to > from && strchr(" \t", e->text[to - 1]))
		to--;
	for (size_t i = 0; i < e->n_refs; i++) {
		const struct expr_ref *ref = &e->refs[i];
		size_t end = ref->place.at + ref->place.len;
		double value = NAN;

		if (ref->place.at < from || end > to)
			continue;
		buf_add(out, e->text + from, end - from);
		buf_putc(out, ' ');
		if (!p->lookup(p->arg, ref->scope, ref->name, &value))
			value = NAN;
		print_number(value, p->digits, out);
		from = end;
	}
	buf_add(out, e->text + from, to - from);
}

static void print_side(const struct printing *p, short node, double value, size_t from, size_t to,
		       struct buf *out)
{
	enum node_op op = p->expr->nodes[node].op;

	if (op == NODE_NUMBER || op == NODE_NAME) {
		print_text(p, from, to, out);
		return;
	}
	print_number(value, p->digits, out);
	buf_puts(out, " (");
	print_text(p, from, to, out);
	buf_putc(out, ')');
}

void expr_print(const struct expr *e, expr_lookup *lookup, void *arg, struct buf *out)
{
	struct expr_result r = expr_eval(e, lookup, arg);
	struct printing p = { e, lookup, arg, digits_for(&r) };

	if (e->condition) {
		print_text(&p, 0, strlen(e->text), out);
	} else {
		print_side(&p, e->left, r.left, 0, e->op_at, out);
		buf_printf(out, " %.*s ", (int)e->op_len, e->text + e->op_at);
		print_side(&p, e->right, r.right, e->op_at + e->op_len, strlen(e->text), out);
	}
	buf_printf(out, ": %s", expr_verdict_name(r.verdict));
}
