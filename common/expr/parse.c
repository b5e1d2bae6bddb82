/*
 * From a line of text to nodes: one pass over the bytes, precedence climbing, types
 * checked as the nodes are made. Each nesting (a parenthesis, a sign, a `not`, an
 * argument) counts against EXPR_DEPTH, so foreign bytes cannot overflow the stack.
 * The first error ends the parse: a sentence and the place in the text.
 */
#include "expr/expr.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expr/node.h"

enum token_kind {
	TOKEN_END,
	TOKEN_NUMBER,
	TOKEN_NAME,
	TOKEN_SIGN, /* an operator, a parenthesis or a comma: its text tells which */
};

struct token {
	enum token_kind kind;
	size_t at, len;
	size_t dot; /* of a name: where its dot is, 0: it has none */
	double number;
};

struct parser {
	const char *text;
	size_t at;
	struct token token; /* the one to look at */
	int depth;
	struct expr *expr;
	struct expr_place *place;
	struct error *err;
};

enum precedence { PREC_OR, PREC_AND, PREC_EQUALITY, PREC_ORDER, PREC_SUM, PREC_PRODUCT };

static const struct binary {
	const char *sign;
	enum precedence prec;
	enum node_op op;
} binaries[] = {
	{ "or", PREC_OR, NODE_OR },	  { "and", PREC_AND, NODE_AND },
	{ "==", PREC_EQUALITY, NODE_EQ }, { "!=", PREC_EQUALITY, NODE_NE },
	{ "<", PREC_ORDER, NODE_LT },	  { "<=", PREC_ORDER, NODE_LE },
	{ ">", PREC_ORDER, NODE_GT },	  { ">=", PREC_ORDER, NODE_GE },
	{ "+", PREC_SUM, NODE_ADD },	  { "-", PREC_SUM, NODE_SUB },
	{ "*", PREC_PRODUCT, NODE_MUL },  { "/", PREC_PRODUCT, NODE_DIV },
};

static const char need_comparison[] = "an expectation is one comparison, such as `accuracy >= 0.9`";

static short parse_binary(struct parser *p, enum precedence prec);

#define FAIL(p, where, ...) fail(p, where, error_set((p)->err, ERR_INVALID, __VA_ARGS__))

static short fail(struct parser *p, struct expr_place where, int minus_one)
{
	if (p->place)
		*p->place = where;
	return (short)minus_one;
}

static struct expr_place here(const struct parser *p)
{
	return (struct expr_place){ p->token.at, p->token.len };
}

static bool is_name_start(char c)
{
	return isalpha((unsigned char)c) || c == '_';
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static int scan_number(struct parser *p)
{
	const char *start = p->text + p->at, *s = start;
	struct token *t = &p->token;

	while (isdigit((unsigned char)*s))
		s++;
	if (*s == '.' && isdigit((unsigned char)s[1]))
		for (s++; isdigit((unsigned char)*s);)
			s++;
	if ((*s == 'e' || *s == 'E') &&
	    (isdigit((unsigned char)s[1]) ||
	     ((s[1] == '+' || s[1] == '-') && isdigit((unsigned char)s[2]))))
		for (s += 2; isdigit((unsigned char)*s);)
			s++;
	t->kind = TOKEN_NUMBER;
	t->len = (size_t)(s - start);
	t->number = strtod(start, NULL);
	p->at += t->len;
	if (is_name(*s) || *s == '.' || *s == '%') {
		t->len++;
		error_set(p->err, ERR_INVALID, "`%.*s` is not a number", (int)t->len, start);
		if (*s == '%')
			error_hint(p->err, "write a share as a number: 5 %% is 0.05");
		return fail(p, here(p), -1);
	}
	if (!isfinite(t->number))
		return FAIL(p, here(p), "`%.*s` is too large", (int)MIN(t->len, (size_t)40), start);
	return 0;
}

static int scan_name(struct parser *p)
{
	const char *start = p->text + p->at, *s = start;
	struct token *t = &p->token;

	t->kind = TOKEN_NAME;
	while (is_name(*s))
		s++;
	if (*s == '.') {
		t->dot = (size_t)(s - p->text);
		s++;
		t->len = (size_t)(s - start);
		if (!is_name_start(*s))
			return FAIL(p, here(p), "`%.*s` wants a name after its dot", (int)t->len,
				    start);
		while (is_name(*s))
			s++;
	}
	t->len = (size_t)(s - start);
	if (*s == '.') {
		t->len++;
		return FAIL(p, here(p),
			    "`%.*s` has more than one dot: a name is `name` or `scope.name`",
			    (int)t->len, start);
	}
	p->at += t->len;
	return 0;
}

static int scan_sign(struct parser *p)
{
	const char *s = p->text + p->at;
	struct token *t = &p->token;
	static const char *const foreign[][2] = {
		{ "&&", "write `and`" },
		{ "||", "write `or`" },
		{ "=", "write `==`" },
		{ "!", "write `not`" },
		{ "%", "write a share as a number: 5 %% is 0.05" },
	};

	t->kind = TOKEN_SIGN;
	t->len = strchr("<>=!", *s) && s[1] == '=' ? 2 : 1;
	if (t->len == 2 || strchr("<>+-*/(),", *s)) {
		p->at += t->len;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		if (!strncmp(s, foreign[i][0], strlen(foreign[i][0]))) {
			t->len = strlen(foreign[i][0]);
			error_set(p->err, ERR_INVALID, "`%s` means nothing here", foreign[i][0]);
			error_hint(p->err, "%s", foreign[i][1]);
			return fail(p, here(p), -1);
		}
	if (*s >= 0x20 && *s < 0x7f)
		return FAIL(p, here(p), "`%c` means nothing here", *s);
	return FAIL(p, here(p), "the byte 0x%02x means nothing here", (unsigned char)*s);
}

static int advance(struct parser *p)
{
	char c;

	while (p->text[p->at] == ' ' || p->text[p->at] == '\t')
		p->at++;
	c = p->text[p->at];
	p->token = (struct token){ .at = p->at, .len = 1 };
	if (!c)
		return 0;
	if (isdigit((unsigned char)c))
		return scan_number(p);
	if (is_name_start(c))
		return scan_name(p);
	return scan_sign(p);
}

static bool token_is(const struct parser *p, const char *text)
{
	size_t len = strlen(text);

	return p->token.kind != TOKEN_END && p->token.kind != TOKEN_NUMBER && p->token.len == len &&
	       !memcmp(p->text + p->token.at, text, len);
}

static short add_node(struct parser *p, struct node node)
{
	struct expr *e = p->expr;

	if (e->n_nodes == EXPR_NODES)
		return FAIL(p, node.place, "the expression has more than %d parts", EXPR_NODES);
	e->nodes[e->n_nodes] = node;
	return (short)e->n_nodes++;
}

static int want_type(struct parser *p, short i, enum node_type type, const char *who)
{
	const struct node *n = &p->expr->nodes[i];

	if (n->type == type)
		return 0;
	if (type == TYPE_NUMBER)
		return FAIL(p, n->place, "%s wants a number, this is true or false", who);
	return FAIL(p, n->place, "%s wants a comparison, this is a number", who);
}

static short parse_name(struct parser *p)
{
	struct expr *e = p->expr;
	struct token t = p->token;
	const char *start = p->text + t.at;
	struct expr_ref *ref;
	struct node node = { .op = NODE_NAME, .place = here(p), .ref = (short)e->n_refs };

	if (token_is(p, "true") || token_is(p, "false")) {
		node = (struct node){ .op = NODE_BOOL,
				      .type = TYPE_BOOL,
				      .place = here(p),
				      .number = *start == 't' };
		return advance(p) < 0 ? NODE_NONE : add_node(p, node);
	}
	if (token_is(p, "and") || token_is(p, "or"))
		return FAIL(p, here(p), "`%.*s` stands between two comparisons", (int)t.len, start);
	if (e->n_refs == EXPR_NODES)
		return FAIL(p, here(p), "the expression has more than %d parts", EXPR_NODES);
	ref = &e->refs[e->n_refs++];
	ref->place = here(p);
	ref->scope = t.dot ? xstrndup(start, t.dot - t.at) : xstrdup("");
	ref->name = t.dot ? xstrndup(p->text + t.dot + 1, t.at + t.len - t.dot - 1)
			  : xstrndup(start, t.len);
	return advance(p) < 0 ? NODE_NONE : add_node(p, node);
}

/* name "(" argument { "," argument } ")" - the name and the parenthesis are known to be there. */
static short parse_call(struct parser *p, enum node_op op, const char *name)
{
	struct node call = { .op = (unsigned char)op, .a = NODE_NONE, .place = here(p) };
	short last = NODE_NONE, arg;
	int count = 0;

	if (advance(p) < 0)
		return NODE_NONE;
	do {
		if (advance(p) < 0) /* over "(" or "," */
			return NODE_NONE;
		arg = parse_binary(p, PREC_OR);
		if (arg < 0 || want_type(p, arg, TYPE_NUMBER, name) < 0)
			return NODE_NONE;
		p->expr->nodes[arg].next = NODE_NONE;
		if (last == NODE_NONE)
			call.a = arg;
		else
			p->expr->nodes[last].next = arg;
		last = arg;
		count++;
	} while (token_is(p, ","));
	if (!token_is(p, ")"))
		return FAIL(p, here(p), "`%s(` wants `,` or `)` here", name);
	if (op == NODE_ABS && count != 1)
		return FAIL(p, call.place, "`abs` takes one argument, not %d", count);
	return advance(p) < 0 ? NODE_NONE : add_node(p, call);
}

static short parse_group(struct parser *p)
{
	short inner;

	if (advance(p) < 0)
		return NODE_NONE;
	inner = parse_binary(p, PREC_OR);
	if (inner < 0)
		return NODE_NONE;
	if (!token_is(p, ")"))
		return FAIL(p, here(p), "a `)` is missing here");
	return advance(p) < 0 ? NODE_NONE : inner;
}

static short parse_sign(struct parser *p)
{
	bool negate = token_is(p, "-");
	struct node node = { .op = negate ? NODE_NEGATE : NODE_NOT,
			     .type = negate ? TYPE_NUMBER : TYPE_BOOL,
			     .place = here(p) };

	if (advance(p) < 0)
		return NODE_NONE;
	/* `not` reaches over a comparison, a sign over nothing. */
	node.a = parse_binary(p, negate ? PREC_PRODUCT + 1 : PREC_EQUALITY);
	if (node.a < 0 || want_type(p, node.a, node.type, negate ? "`-`" : "`not`") < 0)
		return NODE_NONE;
	return add_node(p, node);
}

static short parse_operand(struct parser *p)
{
	static const struct {
		const char *name;
		enum node_op op;
	} calls[] = { { "min", NODE_MIN }, { "max", NODE_MAX }, { "abs", NODE_ABS } };
	struct node node;

	if (p->token.kind == TOKEN_END)
		return FAIL(p, here(p), "the expression ends where a number or a name is wanted");
	if (p->token.kind == TOKEN_NUMBER) {
		node = (struct node){ .op = NODE_NUMBER,
				      .number = p->token.number,
				      .place = here(p) };
		return advance(p) < 0 ? NODE_NONE : add_node(p, node);
	}
	if (token_is(p, "-") || token_is(p, "not"))
		return parse_sign(p);
	if (token_is(p, "("))
		return parse_group(p);
	if (p->token.kind != TOKEN_NAME)
		return FAIL(p, here(p), "`%.*s` stands where a number or a name is wanted",
			    (int)p->token.len, p->text + p->token.at);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (token_is(p, calls[i].name) && p->text[p->at] == '(')
			return parse_call(p, calls[i].op, calls[i].name);
	if (p->text[p->at] == '(')
		return FAIL(p, here(p), "there is no function `%.*s`: there are min, max and abs",
			    (int)p->token.len, p->text + p->token.at);
	return parse_name(p);
}

static const struct binary *binary_here(const struct parser *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(binaries); i++)
		if (token_is(p, binaries[i].sign))
			return &binaries[i];
	return NULL;
}

static short join(struct parser *p, const struct binary *b, short left, short right,
		  struct expr_place where)
{
	bool logic = b->prec <= PREC_AND;
	enum node_type operand = logic ? TYPE_BOOL : TYPE_NUMBER;
	char who[8] = "`";

	strncat(who, b->sign, 4);
	strncat(who, "`", 2);
	if (b->prec == PREC_EQUALITY || b->prec == PREC_ORDER) {
		enum node_op inner = p->expr->nodes[left].op;

		if (inner >= NODE_LT && inner <= NODE_NE)
			return FAIL(p, where, "comparisons do not chain: join two with `and`");
	}
	if (want_type(p, left, operand, who) < 0 || want_type(p, right, operand, who) < 0)
		return NODE_NONE;
	return add_node(p, (struct node){ .op = (unsigned char)b->op,
					  .type = b->prec <= PREC_ORDER ? TYPE_BOOL : TYPE_NUMBER,
					  .a = left,
					  .b = right,
					  .place = where });
}

/* Everything that binds at least as tightly as prec. */
static short parse_binary(struct parser *p, enum precedence prec)
{
	const struct binary *b;
	short left;

	if (++p->depth > EXPR_DEPTH)
		return FAIL(p, here(p), "the expression is nested more than %d deep", EXPR_DEPTH);
	left = parse_operand(p);
	while (left >= 0 && (b = binary_here(p)) && b->prec >= prec) {
		struct expr_place where = here(p);
		short right;

		if (advance(p) < 0)
			return NODE_NONE;
		right = parse_binary(p, b->prec + 1);
		if (right < 0)
			return NODE_NONE;
		left = join(p, b, left, right, where);
	}
	p->depth--;
	return left;
}

static int parse_top(struct parser *p)
{
	struct expr *e = p->expr;
	const struct binary *b;

	if (e->condition) {
		e->left = parse_binary(p, PREC_OR);
		if (e->left < 0 || want_type(p, e->left, TYPE_BOOL, "a condition") < 0)
			return -1;
		return 0;
	}
	e->left = parse_binary(p, PREC_SUM);
	if (e->left < 0)
		return -1;
	b = binary_here(p);
	if (!b || b->prec < PREC_EQUALITY) {
		error_set(p->err, ERR_INVALID, "the expectation compares nothing");
		error_hint(p->err, "%s", need_comparison);
		return fail(p, b ? here(p) : (struct expr_place){ 0, p->at }, -1);
	}
	e->op_at = p->token.at;
	e->op_len = p->token.len;
	if (advance(p) < 0)
		return -1;
	e->right = parse_binary(p, PREC_SUM);
	if (e->right < 0)
		return -1;
	if (binary_here(p)) {
		error_set(p->err, ERR_INVALID, "the expectation goes on after its comparison");
		error_hint(p->err, "write each comparison as an expectation of its own");
		return fail(p, here(p), -1);
	}
	return join(p, b, e->left, e->right, (struct expr_place){ e->op_at, e->op_len }) < 0 ? -1
											     : 0;
}

static struct expr *parse(const char *text, bool condition, struct expr_place *ret_place,
			  struct error *err)
{
	cleanup(expr_freep) struct expr *e = xcalloc(1, sizeof *e);
	struct parser p = { .text = text, .expr = e, .place = ret_place, .err = err };
	size_t len = strlen(text);

	if (len > EXPR_TEXT)
		return FAIL(&p, ((struct expr_place){ 0, 1 }),
			    "the expression has %zu bytes, more than %d", len, EXPR_TEXT),
		       NULL;
	if (strspn(text, " \t") == len)
		return FAIL(&p, ((struct expr_place){ 0, 1 }), "the expression is empty"), NULL;
	e->text = xstrdup(text);
	e->condition = condition;
	e->right = NODE_NONE;
	e->nodes = xcalloc(EXPR_NODES, sizeof *e->nodes);
	e->refs = xcalloc(EXPR_NODES, sizeof *e->refs);
	if (advance(&p) < 0 || parse_top(&p) < 0)
		return NULL;
	if (p.token.kind != TOKEN_END)
		return FAIL(&p, here(&p), "`%.*s` stands where an operator is wanted",
			    (int)MIN(p.token.len, (size_t)40), text + p.token.at),
		       NULL;
	e->nodes = xreallocarray(e->nodes, e->n_nodes, sizeof *e->nodes);
	e->refs = xreallocarray(e->refs, MAX(e->n_refs, (size_t)1), sizeof *e->refs);
	return steal(e);
}

struct expr *expr_parse_expectation(const char *text, struct expr_place *ret_place,
				    struct error *err)
{
	return parse(text, false, ret_place, err);
}

struct expr *expr_parse_condition(const char *text, struct expr_place *ret_place, struct error *err)
{
	return parse(text, true, ret_place, err);
}

void expr_free(struct expr *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < e->n_refs; i++) {
		free((char *)e->refs[i].scope);
		free((char *)e->refs[i].name);
	}
	free(e->refs);
	free(e->nodes);
	free(e->text);
	free(e);
}
