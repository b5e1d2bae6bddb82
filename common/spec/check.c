/*
 * The generic half of the checker: it knows shapes and types, and nothing of what a key
 * means. Recursion follows the tree, whose depth the loader bounds.
 */
#include "spec/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "spec/keys.h"
#include "base/suggest.h"

enum { CHOICES_MAX = 16 };

struct checker {
	struct diagnostics *d;
	bool whole;
};

static void check_value(struct checker *c, const struct key *key, struct tree *t);

static const char *kind_name(const struct tree *t)
{
	if (t->kind == TREE_MAP)
		return "a map";
	if (t->kind == TREE_LIST)
		return "a list";
	return tree_is_null(t) ? "nothing" : "a text";
}

/* What the value of a key is called: its own name, and that of a list's item is its list's. */
static const char *value_name(const struct key *key, const struct tree *t)
{
	return t->key ? tree_name(t) : key_name(key);
}

static struct diagnostic *wrong_kind(struct checker *c, const struct key *key, struct tree *t,
				     const char *wanted)
{
	struct diagnostic *item = diagnostics_error(c->d, "E0106", t->at, "`%s` wants %s, not %s",
						    value_name(key, t), wanted, kind_name(t));

	if (key->example)
		diagnostic_help(item, "%s", key->example);
	t->kind = TREE_BAD;
	return item;
}

static void refuse_unbuilt(struct checker *c, struct tree *t, struct place at, const char *what)
{
	struct diagnostic *item =
		diagnostics_error(c->d, "E0900", at, "`%s` is not supported yet", what);

	diagnostic_label(item, "this version refuses it rather than ignore it");
	t->kind = TREE_BAD;
}

static void check_choice(struct checker *c, const struct key *key, struct tree *t)
{
	struct suggest s = suggest_new(t->text);
	const char *at = key->choices;
	struct diagnostic *item;
	cleanup(buf_release) struct buf list = { 0 };
	char names[CHOICES_MAX][24];
	bool unbuilt;

	for (size_t i = 0; i < CHOICES_MAX; i++) {
		if (!key_choice(&at, names[i], sizeof names[i], &unbuilt))
			break;
		if (!strcmp(names[i], t->text)) {
			if (unbuilt)
				refuse_unbuilt(c, t, t->at, names[i]);
			return;
		}
		suggest_offer(&s, names[i]); /* it keeps the pointer */
		if (!unbuilt)
			buf_printf(&list, "%s%s", list.len ? ", " : "", names[i]);
	}
	item = diagnostics_error(c->d, "E0108", t->at, "`%s` cannot be `%.60s`", value_name(key, t),
				 t->text);
	if (s.best)
		diagnostic_label(item, "did you mean `%s`?", s.best);
	diagnostic_help(item, "one of: %s", buf_str(&list));
	t->kind = TREE_BAD;
}

static const char *error_number(enum scalar_type type)
{
	switch (type) {
	case SCALAR_NAME:
	case SCALAR_PLAIN_NAME:
	case SCALAR_VARIABLE:
		return "E0110";
	case SCALAR_DURATION:
	case SCALAR_SIZE:
		return "E0117";
	case SCALAR_PATH:
	case SCALAR_SHELL:
	case SCALAR_TEXT:
	case SCALAR_CAUSE:
	case SCALAR_SHARE:
	case SCALAR_EXPECTATION:
	case SCALAR_CPU:
		return "E0108";
	default:
		return "E0106";
	}
}

static void format_bound(const struct key *key, int64_t n, char *ret, size_t size)
{
	char text[CLOCK_TEXT];

	if (key->type == SCALAR_DURATION)
		snprintf(ret, size, "%s", n ? duration_format(n, text) : "0s");
	else
		snprintf(ret, size, "%" PRId64, n);
}

static void check_range(struct checker *c, const struct key *key, struct tree *t, int64_t n)
{
	char least[CLOCK_TEXT], most[CLOCK_TEXT];

	if (n >= key->min && (!key->max || n <= key->max))
		return;
	format_bound(key, key->min, least, sizeof least);
	format_bound(key, key->max, most, sizeof most);
	if (key->max)
		diagnostics_error(c->d, "E0108", t->at, "`%s` must be from %s to %s, not %.40s",
				  value_name(key, t), least, most, t->text);
	else
		diagnostics_error(c->d, "E0108", t->at, "`%s` must be at least %s, not %.40s",
				  value_name(key, t), least, t->text);
	t->kind = TREE_BAD;
}

static void check_scalar(struct checker *c, const struct key *key, enum scalar_type type,
			 struct tree *t)
{
	struct error err = { 0 };
	struct diagnostic *item;
	struct scalar value;

	if (t->kind == TREE_BAD)
		return;
	if (t->kind != TREE_SCALAR || (tree_is_null(t) && type != SCALAR_NONE)) {
		wrong_kind(c, key, t, scalar_wanted(type));
		return;
	}
	if (type == SCALAR_CHOICE) {
		check_choice(c, key, t);
		return;
	}
	if (scalar_parse(type, t->text, &value, &err) == 0) {
		if (type == SCALAR_INT || type == SCALAR_DURATION)
			check_range(c, key, t, value.number);
		return;
	}
	if (*t->text) {
		item = diagnostics_error(c->d, error_number(type), t->at,
					 "`%s` wants %s, not `%.60s`", value_name(key, t),
					 scalar_wanted(type), t->text);
		diagnostic_label(item, "%s", err.text);
	} else {
		item = diagnostics_error(c->d, error_number(type), t->at,
					 "`%s` is empty, it wants %s", value_name(key, t),
					 scalar_wanted(type));
	}
	if (*err.hint)
		diagnostic_help(item, "%s", err.hint);
	else if (key->example)
		diagnostic_help(item, "%s", key->example);
	t->kind = TREE_BAD;
}

/* What is too long is not looked at: a hostile file must not cost more than its bytes. */
static bool check_count(struct checker *c, const struct key *key, struct tree *t)
{
	size_t most = key->most ? key->most : KEY_ENTRIES;

	if (t->count <= most)
		return true;
	diagnostics_error(c->d, "E0102", t->key ? t->key->at : t->at,
			  "`%s` has %zu entries, more than %zu", value_name(key, t), t->count,
			  most);
	t->kind = TREE_BAD;
	return false;
}

static bool check_map_kind(struct checker *c, const struct key *key, struct tree *t)
{
	if (t->kind == TREE_MAP)
		return check_count(c, key, t);
	if (t->kind != TREE_BAD)
		wrong_kind(c, key, t, "a map");
	return false;
}

static void unknown_key(struct checker *c, const struct key *map, struct tree *value)
{
	struct suggest s = suggest_new(tree_name(value));
	const struct key *k = NULL;
	struct diagnostic *item;

	while (!diagnostics_full(c->d) && (k = keys_below(map, k)))
		suggest_offer(&s, key_name(k));
	item = diagnostics_error(c->d, "E0107", value->key->at, "unknown key `%.80s`",
				 tree_name(value));
	value->kind = TREE_BAD;
	if (!s.best)
		return;
	diagnostic_label(item, "did you mean `%s`?", s.best);
	k = keys_find(map, s.best);
	if (k && k->example)
		diagnostic_help(item, "%s", k->example);
}

static void check_name(struct checker *c, const struct key *map, struct tree *value)
{
	struct error err = { 0 };
	struct diagnostic *item;
	struct scalar ignored;

	if (scalar_parse(map->names, tree_name(value), &ignored, &err) == 0)
		return;
	item = diagnostics_error(c->d, "E0110", value->key->at,
				 "`%.80s` is not a name for one of `%s`", tree_name(value),
				 key_name(map));
	diagnostic_label(item, "%s", err.text);
	value->kind = TREE_BAD;
}

static void missing(struct checker *c, const struct key *map, const struct tree *t,
		    const struct key *k)
{
	struct place at = t->key ? t->key->at : t->at;
	const char *name = t->key ? tree_name(t) : "the file";
	const char *tick = t->key ? "`" : "";
	struct diagnostic *item;

	if (map == &keys_root) {
		if (!c->whole && (!strcmp(k->path, "pipeline") || !strcmp(k->path, "jobs")))
			return;
		at = (struct place){ 1, 1, 1 };
	}
	if (!strcmp(key_name(k), "run") && tree_has(t, "use"))
		return; /* the job used would have it; that `use` is not built is said already */
	item = diagnostics_error(c->d, "E0105", at, "%s%s%s has no `%s`", tick, name, tick,
				 key_name(k));
	if (k->example)
		diagnostic_help(item, "%s", k->example);
}

static void check_map(struct checker *c, const struct key *map, struct tree *t)
{
	const struct key *k = NULL;
	struct tree *value;

	if (t->kind == TREE_SCALAR && map->type != SCALAR_NONE && !tree_is_null(t)) {
		check_scalar(c, map, map->type, t);
		return;
	}
	if (!check_map_kind(c, map, t))
		return;
	tree_each(value, t)
	{
		const struct key *known = keys_find(map, tree_name(value));

		if (!known)
			unknown_key(c, map, value);
		else if (known->unbuilt)
			refuse_unbuilt(c, value, value->key->at, tree_name(value));
		else
			check_value(c, known, value);
	}
	while ((k = keys_below(map, k)))
		if (k->required && !k->unbuilt && !tree_has(t, key_name(k)))
			missing(c, map, t, k);
}

static void check_named(struct checker *c, const struct key *map, struct tree *t)
{
	struct tree *value;

	if (!check_map_kind(c, map, t))
		return;
	if (!t->count && map->required)
		diagnostics_error(c->d, "E0105", t->at, "`%s` is empty", key_name(map));
	tree_each(value, t)
	{
		const struct key *known = keys_find(map, tree_name(value));

		if (!strcmp(key_name(known), "*"))
			check_name(c, map, value);
		if (value->kind != TREE_BAD)
			check_value(c, known, value);
	}
}

static void check_values(struct checker *c, const struct key *map, struct tree *t)
{
	struct tree *value;

	if (!check_map_kind(c, map, t))
		return;
	tree_each(value, t)
	{
		if (map->names != SCALAR_NONE)
			check_name(c, map, value);
		check_scalar(c, map, map->type, value);
	}
}

static void check_list(struct checker *c, const struct key *key, struct tree *t)
{
	struct tree *value;

	if (key->shape == KEY_SCALAR_LIST && t->kind == TREE_SCALAR) {
		check_scalar(c, key, key->type, t);
		return;
	}
	if (t->kind == TREE_BAD)
		return;
	if (t->kind != TREE_LIST) {
		wrong_kind(c, key, t, "a list");
		return;
	}
	if (!check_count(c, key, t))
		return;
	tree_each(value, t)
	{
		if (key->shape == KEY_LIST_MAP)
			check_values(c, key, value);
		else
			check_scalar(c, key, key->type, value);
	}
}

static void check_value(struct checker *c, const struct key *key, struct tree *t)
{
	switch (key->shape) {
	case KEY_SCALAR:
		check_scalar(c, key, key->type, t);
		return;
	case KEY_LIST:
	case KEY_SCALAR_LIST:
	case KEY_LIST_MAP:
		check_list(c, key, t);
		return;
	case KEY_MAP:
		check_map(c, key, t);
		return;
	case KEY_NAMED:
		check_named(c, key, t);
		return;
	case KEY_VALUES:
		check_values(c, key, t);
		return;
	}
}

void check_keys(struct tree *root, bool whole, struct diagnostics *d)
{
	struct checker c = { d, whole };

	if (root->kind == TREE_BAD)
		return;
	if (root->kind != TREE_MAP) {
		diagnostics_error(d, "E0106", root->at, "the file wants to be a map of keys");
		root->kind = TREE_BAD;
		return;
	}
	check_map(&c, &keys_root, root);
}
