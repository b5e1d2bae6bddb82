/*
 * From bytes to a tree: libyaml's events, nothing of its own trees. Everything that
 * could surprise is refused on the way in: bytes that are no UTF-8, several documents,
 * tags, anchors, aliases, `<<`, a key twice. A stack of SPEC_DEPTH_MAX frames stands for
 * recursion. libyaml's own complaints end the reading; ours do not, so that one run
 * tells all.
 */
#include "spec/tree.h"

#include <string.h>
#include <yaml.h>

#include "spec/spec.h"
#include "spec/utf8.h"

struct frame {
	struct tree *node;
	struct tree *key;  /* of a map: the key that waits for its value */
	struct tree *keys; /* uthash head: keys so far */
};

struct loader {
	struct arena *arena;
	struct diagnostics *d;
	const char *text;
	size_t len;
	yaml_parser_t parser;
	struct frame stack[SPEC_DEPTH_MAX + 1];
	size_t depth;
	size_t nodes;
	struct tree *root;
	int documents;
};

enum { LOAD_ON, LOAD_DONE, LOAD_STOP };

static struct place place_of(const yaml_mark_t *start, const yaml_mark_t *end)
{
	struct place at = { (int)start->line + 1, (int)start->column + 1, 1 };

	if (end->line == start->line && end->column > start->column)
		at.len = (int)(end->column - start->column);
	return at;
}

static size_t characters(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

static bool check_bytes(const char *text, size_t len, struct diagnostics *d)
{
	struct place at = { 1, 1, 1 };

	for (size_t i = 0, n; i < len; i += n, at.col++) {
		n = utf8_length(text + i, len - i);
		if (!n || !text[i]) {
			diagnostics_error(d, "E0101", at, "the byte 0x%02x is not UTF-8 text",
					  (unsigned char)text[i]);
			return false;
		}
		if (text[i] == '\n')
			at = (struct place){ at.line + 1, 0, 1 };
	}
	return true;
}

static struct tree *new_node(struct loader *l, enum tree_kind kind, const yaml_event_t *event)
{
	struct tree *t = arena_zalloc(l->arena, sizeof *t);

	t->kind = kind;
	t->at = place_of(&event->start_mark, &event->end_mark);
	return t;
}

static void refuse_marks(struct loader *l, const struct tree *t, const yaml_char_t *anchor,
			 const yaml_char_t *tag)
{
	struct diagnostic *item;

	if (anchor) {
		item = diagnostics_error(l->d, "E0104", t->at, "an anchor `&%s`", anchor);
		diagnostic_label(item, "anchors and aliases are not used here");
		diagnostic_help(item,
				"write the value out, or put what jobs share under `defaults`");
	}
	if (tag) {
		item = diagnostics_error(l->d, "E0104", t->at, "a tag `%s`", tag);
		diagnostic_label(item, "every key knows the type of its value");
		diagnostic_help(item, "leave the tag out");
	}
}

static void add_key(struct loader *l, struct frame *f, struct tree *t)
{
	struct tree *before = NULL;
	struct diagnostic *item;

	f->key = t;
	if (t->kind == TREE_BAD)
		return;
	if (t->kind != TREE_SCALAR) {
		diagnostics_error(l->d, "E0106", t->at, "a key must be a plain text");
		t->kind = TREE_BAD;
		return;
	}
	if (t->plain && !strcmp(t->text, "<<")) {
		item = diagnostics_error(l->d, "E0104", t->at, "the merge key `<<`");
		diagnostic_label(item, "maps are not merged here");
		diagnostic_help(item,
				"write the keys out, or put what jobs share under `defaults`");
		t->kind = TREE_BAD;
		return;
	}
	HASH_FIND_STR(f->keys, t->text, before);
	if (before) {
		item = diagnostics_error(l->d, "E0103", t->at, "duplicate key `%s`", t->text);
		diagnostic_related(item, before->at, "the first `%s` is here", t->text);
		t->kind = TREE_BAD;
		return;
	}
	HASH_ADD_KEYPTR(hh, f->keys, t->text, strlen(t->text), t);
}

static void append(struct tree *parent, struct tree *child)
{
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
	parent->count++;
}

/* A node is complete enough to hang into the tree; containers go on the stack, too. */
static int attach(struct loader *l, struct tree *t)
{
	struct frame *top = l->depth ? &l->stack[l->depth - 1] : NULL;
	bool container = t->kind == TREE_MAP || t->kind == TREE_LIST; /* also when it becomes BAD */

	if (++l->nodes > SPEC_NODES_MAX) {
		diagnostics_error(l->d, "E0102", t->at, "the file has more than %d nodes",
				  SPEC_NODES_MAX);
		return LOAD_STOP;
	}
	if (!top) {
		l->root = t;
	} else if (top->node->kind == TREE_MAP && !top->key) {
		add_key(l, top, t);
	} else {
		if (top->node->kind == TREE_MAP) {
			t->key = steal(top->key);
			if (t->key->kind != TREE_BAD)
				append(top->node, t);
		} else {
			append(top->node, t);
		}
	}
	if (!container)
		return LOAD_ON;
	if (l->depth == SPEC_DEPTH_MAX) {
		diagnostics_error(l->d, "E0102", t->at, "the file is nested more than %d deep",
				  SPEC_DEPTH_MAX);
		return LOAD_STOP;
	}
	l->stack[l->depth++] = (struct frame){ .node = t };
	return LOAD_ON;
}

static void pop(struct loader *l)
{
	struct frame *f = &l->stack[--l->depth];

	HASH_CLEAR(hh, f->keys);
}

static int on_scalar(struct loader *l, const yaml_event_t *event)
{
	struct tree *t = new_node(l, TREE_SCALAR, event);
	const char *value = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	yaml_scalar_style_t style = event->data.scalar.style;
	int quotes = style == YAML_PLAIN_SCALAR_STYLE ? 0 : 2;

	if (memchr(value, 0, len)) {
		diagnostics_error(l->d, "E0101", t->at, "the text holds a NUL byte");
		t->kind = TREE_BAD;
	}
	t->text = arena_strndup(l->arena, value, len);
	t->plain = !quotes;
	t->exact = event->start_mark.line == event->end_mark.line &&
		   style != YAML_LITERAL_SCALAR_STYLE && style != YAML_FOLDED_SCALAR_STYLE &&
		   (size_t)t->at.len == characters(t->text) + (size_t)quotes;
	refuse_marks(l, t, event->data.scalar.anchor, event->data.scalar.tag);
	return attach(l, t);
}

static int on_document(struct loader *l, const yaml_event_t *event)
{
	struct place at = place_of(&event->start_mark, &event->end_mark);
	struct diagnostic *item;

	if (++l->documents > 1) {
		item = diagnostics_error(l->d, "E0104", at, "a second document");
		diagnostic_help(item, "one file holds one pipeline: remove the `---`");
		return LOAD_STOP;
	}
	if (event->data.document_start.tag_directives.start !=
	    event->data.document_start.tag_directives.end)
		diagnostics_error(l->d, "E0104", at, "a `%%TAG` directive");
	return LOAD_ON;
}

static int on_event(struct loader *l, const yaml_event_t *event)
{
	struct diagnostic *item;
	struct tree *t;

	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		return on_document(l, event);
	case YAML_SCALAR_EVENT:
		return on_scalar(l, event);
	case YAML_SEQUENCE_START_EVENT:
		t = new_node(l, TREE_LIST, event);
		refuse_marks(l, t, event->data.sequence_start.anchor,
			     event->data.sequence_start.tag);
		return attach(l, t);
	case YAML_MAPPING_START_EVENT:
		t = new_node(l, TREE_MAP, event);
		refuse_marks(l, t, event->data.mapping_start.anchor, event->data.mapping_start.tag);
		return attach(l, t);
	case YAML_ALIAS_EVENT:
		t = new_node(l, TREE_BAD, event);
		item = diagnostics_error(l->d, "E0104", t->at, "an alias `*%s`",
					 event->data.alias.anchor);
		diagnostic_label(item, "anchors and aliases are not used here");
		diagnostic_help(item, "in a text, put quotes around it: \"*%s\"",
				event->data.alias.anchor);
		return attach(l, t);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		pop(l);
		return LOAD_ON;
	case YAML_STREAM_END_EVENT:
		return LOAD_DONE;
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
	case YAML_NO_EVENT:
		break;
	}
	return LOAD_ON;
}

/* The place of a byte: libyaml's reader knows only that. */
static struct place place_of_byte(const char *text, size_t offset)
{
	struct place at = { 1, 1, 1 };

	for (size_t i = 0; i < offset; i++) {
		if ((text[i] & 0xc0) != 0x80)
			at.col++;
		if (text[i] == '\n')
			at = (struct place){ at.line + 1, 1, 1 };
	}
	return at;
}

static void report_parser(struct loader *l)
{
	const yaml_parser_t *p = &l->parser;
	struct place at = { (int)p->problem_mark.line + 1, (int)p->problem_mark.column + 1, 1 };
	struct diagnostic *item;
	const char *problem = p->problem ? p->problem : "unreadable";

	if (p->error == YAML_MEMORY_ERROR)
		abort();
	if (p->error == YAML_READER_ERROR)
		at = place_of_byte(l->text, MIN(p->problem_offset, l->len));
	item = diagnostics_error(l->d, "E0101", at, "not valid YAML: %s", problem);
	if (strstr(problem, "cannot start any token") || strstr(problem, "tab character"))
		diagnostic_help(item, "indent with spaces, never tabs; put a text that begins with "
				      "`%%`, `@` or a backquote into quotes");
	if (strstr(problem, "mapping values are not allowed"))
		diagnostic_help(item, "put a text that holds `: ` into quotes");
	if (p->context && p->context_mark.line + 1 != (size_t)at.line)
		diagnostic_related(item,
				   (struct place){ (int)p->context_mark.line + 1,
						   (int)p->context_mark.column + 1, 1 },
				   "%s", p->context);
}

static bool run(struct loader *l)
{
	int state = LOAD_ON;

	while (state == LOAD_ON) {
		yaml_event_t event;

		if (!yaml_parser_parse(&l->parser, &event)) {
			report_parser(l);
			return false;
		}
		state = on_event(l, &event);
		yaml_event_delete(&event);
	}
	return state == LOAD_DONE;
}

struct tree *tree_load(const char *text, size_t len, struct arena *arena, struct diagnostics *d)
{
	struct loader l = { .arena = arena, .d = d };
	bool whole;

	if (len > SPEC_TEXT_MAX) {
		diagnostics_error(d, "E0102", (struct place){ 0 },
				  "the file has %zu bytes, more than %d", len, SPEC_TEXT_MAX);
		return NULL;
	}
	if (!check_bytes(text, len, d))
		return NULL;
	if (!yaml_parser_initialize(&l.parser))
		abort();
	yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		text += 3;
		len -= 3;
	}
	l.text = text;
	l.len = len;
	yaml_parser_set_input_string(&l.parser, (const unsigned char *)text, len);
	whole = run(&l);
	while (l.depth)
		pop(&l);
	yaml_parser_delete(&l.parser);
	return whole ? l.root : NULL;
}

static struct tree *find(const struct tree *map, const char *key)
{
	struct tree *t;

	if (!map || map->kind != TREE_MAP)
		return NULL;
	tree_each(t, map) if (!strcmp(t->key->text, key)) return t;
	return NULL;
}

struct tree *tree_get(const struct tree *map, const char *key)
{
	struct tree *t = find(map, key);

	return t && t->kind != TREE_BAD ? t : NULL;
}

bool tree_has(const struct tree *map, const char *key)
{
	return find(map, key);
}

const char *tree_name(const struct tree *value)
{
	return value->key->text;
}

bool tree_is_null(const struct tree *t)
{
	return t->kind == TREE_SCALAR && t->plain &&
	       (!*t->text || !strcmp(t->text, "~") || !strcmp(t->text, "null"));
}

struct place tree_place(const struct tree *t, size_t at, size_t len)
{
	struct place p = t->at;
	size_t before = 0, inside = 0;

	if (!t->exact)
		return p;
	for (size_t i = 0; t->text[i] && i < at + len; i++)
		if ((t->text[i] & 0xc0) != 0x80)
			*(i < at ? &before : &inside) += 1;
	p.col += (int)before + (t->plain ? 0 : 1);
	p.len = inside ? (int)inside : 1;
	return p;
}
