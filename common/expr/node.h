/*
 * node.h - a parsed expression, between the parser and its evaluation
 *
 * Nodes lie in the order in which they can be computed: operands before operators.
 */
#ifndef EXPR_NODE_H
#define EXPR_NODE_H

#include "expr/expr.h"

enum node_op {
	NODE_NUMBER,
	NODE_BOOL,
	NODE_NAME,
	NODE_NEGATE,
	NODE_NOT,
	NODE_ADD,
	NODE_SUB,
	NODE_MUL,
	NODE_DIV,
	NODE_LT,
	NODE_LE,
	NODE_GT,
	NODE_GE,
	NODE_EQ,
	NODE_NE,
	NODE_AND,
	NODE_OR,
	NODE_MIN,
	NODE_MAX,
	NODE_ABS,
};

enum node_type { TYPE_NUMBER, TYPE_BOOL };

enum { NODE_NONE = -1 };

struct node {
	unsigned char op, type;
	short a, b; /* operands; of a function: a is the first argument */
	short next; /* the next argument */
	short ref;  /* of a name */
	double number;
	struct expr_place place;
};

struct expr {
	char *text;
	bool condition;
	struct node *nodes;
	size_t n_nodes;
	struct expr_ref *refs;
	size_t n_refs;
	size_t op_at, op_len; /* of an expectation: where its comparison is */
	short left, right;    /* its sides; of a condition: left is the root */
};

#endif
