/*
 * A program's own configuration: values are kept as text, each with its parsed form, so
 * that a lookup cannot fail. The file goes through the pipeline file's loader; a flag is
 * the same text from another place.
 */
#include "spec/config.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "spec/scalar.h"
#include "spec/spec.h"
#include "base/suggest.h"
#include "spec/tree.h"

struct item {
	char *name; /* of a MAP; else NULL */
	char *value;
};

struct setting {
	bool set;
	bool by_flag; /* the file does not change it any more */
	char *text;
	struct scalar value;
	uint16_t first, last; /* of PORTS */
	struct item *items;   /* of LIST and MAP */
	size_t n_items;
};

struct config {
	const struct config_key *keys;
	size_t n_keys;
	struct setting *settings;
};

static const enum scalar_type scalars[] = {
	[CONFIG_STRING] = SCALAR_VALUE, [CONFIG_INT] = SCALAR_INT,
	[CONFIG_BOOL] = SCALAR_BOOL,	[CONFIG_DURATION] = SCALAR_DURATION,
	[CONFIG_SIZE] = SCALAR_SIZE,	[CONFIG_PORTS] = SCALAR_VALUE,
	[CONFIG_LIST] = SCALAR_VALUE,	[CONFIG_MAP] = SCALAR_VALUE,
};

static void setting_clear(struct setting *s)
{
	for (size_t i = 0; i < s->n_items; i++) {
		free(s->items[i].name);
		free(s->items[i].value);
	}
	free(s->items);
	free(s->text);
	*s = (struct setting){ 0 };
}

static void add_item(struct setting *s, const char *name, size_t len, const char *value, size_t n)
{
	s->items = xreallocarray(s->items, s->n_items + 1, sizeof *s->items);
	s->items[s->n_items++] =
		(struct item){ name ? xstrndup(name, len) : NULL, xstrndup(value, n) };
}

static int parse_ports(const char *text, struct setting *s, struct error *err)
{
	char *end;
	unsigned long first = isdigit((unsigned char)*text) ? strtoul(text, &end, 10) : 0,
		      last = first;

	if (first && *end == '-' && isdigit((unsigned char)end[1]))
		last = strtoul(end + 1, &end, 10);
	if (!first || *end || last > 65535 || first > last)
		return error_set(err, ERR_INVALID, "write a port or a range such as 18000-18099");
	s->first = (uint16_t)first;
	s->last = (uint16_t)last;
	return 0;
}

static bool label_valid(const char *text, size_t len)
{
	cleanup(freep) char *label = xstrndup(text, len);
	struct scalar ignored;

	return scalar_parse(SCALAR_LABEL, label, &ignored, NULL) == 0;
}

/* "a,b" or "zone=a,env=dev"; an empty text is an empty list. */
static int parse_items(enum config_type type, const char *text, struct setting *s,
		       struct error *err)
{
	while (*text) {
		size_t n = strcspn(text, ","), name = strcspn(text, "=");

		if (type == CONFIG_MAP && !label_valid(text, n))
			return error_set(err, ERR_INVALID, "`%.*s` is not name=value",
					 (int)MIN(n, (size_t)60), text);
		if (type == CONFIG_MAP)
			add_item(s, text, name, text + name + 1, n - name - 1);
		else if (n)
			add_item(s, NULL, 0, text, n);
		text += n + (text[n] == ',');
	}
	return 0;
}

static int check_bounds(const struct config_key *key, const struct scalar *value, struct error *err)
{
	bool size = key->type == CONFIG_SIZE;
	int64_t n = size ? (int64_t)MIN(value->bytes, (uint64_t)INT64_MAX) : value->number;
	char least[CLOCK_TEXT], most[CLOCK_TEXT];

	if (n >= key->min && (!key->max || n <= key->max))
		return 0;
	if (key->type == CONFIG_DURATION)
		return error_set(err, ERR_INVALID, "it must be from %s to %s",
				 duration_format(key->min, least),
				 key->max ? duration_format(key->max, most) : "any");
	if (size)
		return error_set(err, ERR_INVALID, "it must be from %s to %s",
				 size_format((uint64_t)key->min, least),
				 key->max ? size_format((uint64_t)key->max, most) : "any");
	if (key->max)
		return error_set(err, ERR_INVALID, "it must be from %" PRId64 " to %" PRId64,
				 key->min, key->max);
	return error_set(err, ERR_INVALID, "it must be at least %" PRId64, key->min);
}

/* Replaces the setting, or leaves it as it was. */
static int assign(struct config *c, size_t i, const char *text, struct error *err)
{
	const struct config_key *key = &c->keys[i];
	struct setting s = { .set = true };
	int r = 0;

	if (key->type == CONFIG_PORTS)
		r = parse_ports(text, &s, err);
	else if (key->type == CONFIG_LIST || key->type == CONFIG_MAP)
		r = parse_items(key->type, text, &s, err);
	else if (scalar_parse(scalars[key->type], text, &s.value, err) < 0)
		r = err && *err->text ? -1
				      : error_set(err, ERR_INVALID, "it wants %s",
						  scalar_wanted(scalars[key->type]));
	else if (key->type == CONFIG_INT || key->type == CONFIG_DURATION ||
		 key->type == CONFIG_SIZE)
		r = check_bounds(key, &s.value, err);
	if (r < 0) {
		setting_clear(&s);
		return -1;
	}
	s.text = xstrdup(text);
	setting_clear(&c->settings[i]);
	c->settings[i] = s;
	return 0;
}

struct config *config_new(const struct config_key *keys)
{
	struct config *c = xcalloc(1, sizeof *c);
	struct error err = { 0 };

	c->keys = keys;
	while (keys[c->n_keys].name)
		c->n_keys++;
	c->settings = xcalloc(c->n_keys + 1, sizeof *c->settings);
	for (size_t i = 0; i < c->n_keys; i++)
		if (keys[i].value && assign(c, i, keys[i].value, &err) < 0)
			abort(); /* a default that its own key refuses */
	return c;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_keys; i++)
		setting_clear(&c->settings[i]);
	free(c->settings);
	free(c);
}

static void refuse(struct diagnostics *d, const struct tree *t, const struct error *err)
{
	struct diagnostic *item = diagnostics_error(d, "E0106", t->at, "`%s` cannot be `%.60s`",
						    tree_name(t), t->text ? t->text : "");

	diagnostic_label(item, "%s", err->text);
	diagnostic_help(item, "%s", err->hint);
}

static bool wants_kind(struct diagnostics *d, const struct tree *t, const struct tree *part,
		       enum tree_kind kind, const char *wanted)
{
	if (part->kind == kind && !(kind == TREE_SCALAR && tree_is_null(part)))
		return true;
	if (part->kind != TREE_BAD)
		diagnostics_error(d, "E0106", part->at, "`%s` wants %s", tree_name(t), wanted);
	return false;
}

/* A LIST or MAP as the file writes it; a comma inside an item stays what it is. */
static void read_items(struct config *c, size_t i, const struct tree *t, struct diagnostics *d)
{
	bool map = c->keys[i].type == CONFIG_MAP;
	struct setting s = { .set = true, .text = xstrdup("") };
	const struct tree *part;

	if (wants_kind(d, t, t, map ? TREE_MAP : TREE_LIST,
		       map ? "a map of names to texts" : "a list of texts"))
		tree_each(part, t)
		{
			if (!wants_kind(d, t, part, TREE_SCALAR, "texts"))
				continue;
			if (map && (!name_valid(tree_name(part)) || !name_valid(part->text)))
				diagnostics_error(d, "E0110", part->at, "`%s=%s` is not a label",
						  tree_name(part), part->text);
			add_item(&s, map ? tree_name(part) : NULL,
				 map ? strlen(tree_name(part)) : 0, part->text, strlen(part->text));
		}
	setting_clear(&c->settings[i]);
	c->settings[i] = s;
}

static void read_key(struct config *c, const struct tree *t, struct diagnostics *d)
{
	struct suggest s = suggest_new(tree_name(t));
	struct error err = { 0 };
	struct diagnostic *item;
	size_t i = 0;

	for (; i < c->n_keys && strcmp(c->keys[i].name, tree_name(t)) != 0; i++)
		suggest_offer(&s, c->keys[i].name);
	if (i == c->n_keys) {
		item = diagnostics_error(d, "E0107", t->key->at, "unknown key `%.80s`",
					 tree_name(t));
		if (s.best)
			diagnostic_label(item, "did you mean `%s`?", s.best);
		return;
	}
	if (c->settings[i].by_flag || t->kind == TREE_BAD)
		return;
	if (c->keys[i].type == CONFIG_LIST || c->keys[i].type == CONFIG_MAP)
		read_items(c, i, t, d);
	else if (wants_kind(d, t, t, TREE_SCALAR, "one value") && assign(c, i, t->text, &err) < 0)
		refuse(d, t, &err);
}

int config_read(struct config *c, const char *file, const char *text, size_t len,
		struct diagnostics *d)
{
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	const struct tree *root, *t;

	diagnostics_init(d, file, text, MIN(len, (size_t)SPEC_TEXT_MAX));
	root = tree_load(text, len, arena, d);
	if (root && root->kind == TREE_MAP)
		tree_each(t, root) read_key(c, t, d);
	else if (root && root->kind != TREE_BAD)
		diagnostics_error(d, "E0106", root->at, "the file wants to be a map of keys");
	diagnostics_sort(d);
	return d->errors ? -1 : 0;
}

int config_load(struct config *c, const char *path, bool required, struct diagnostics *d)
{
	cleanup(buf_release) struct buf text = { 0 };
	struct error err = { 0 };

	if (file_read(path, SPEC_TEXT_MAX, &text, &err) == 0)
		return config_read(c, path, buf_str(&text), text.len, d);
	diagnostics_init(d, path, NULL, 0);
	if (err.code == ERR_NOT_FOUND && !required)
		return 0;
	diagnostics_error(d, err.code == ERR_EXHAUSTED ? "E0102" : "E0204", (struct place){ 0 },
			  "%s", err.text);
	return -1;
}

/* The key of "--state-dir" or "--state-dir=..." or n_keys. */
static size_t flag_key(const struct config *c, const char *arg, const char **ret_value)
{
	size_t len = strcspn(arg, "=");

	*ret_value = arg[len] ? arg + len + 1 : NULL;
	for (size_t i = 0; i < c->n_keys; i++) {
		const char *name = c->keys[i].name;
		size_t at = 0;

		while (at < len && name[at] &&
		       (arg[at] == name[at] || (arg[at] == '-' && name[at] == '_')))
			at++;
		if (at == len && !name[at])
			return i;
	}
	return c->n_keys;
}

static int take_flag(struct config *c, size_t key, const char *flag, const char *value,
		     struct error *err)
{
	struct error why = { 0 };

	if (assign(c, key, value, &why) < 0) {
		error_set(err, ERR_INVALID, "'%s' cannot be '%s': %s", flag, value, why.text);
		return *why.hint ? error_hint(err, "%s", why.hint) : -1;
	}
	c->settings[key].by_flag = true;
	return 0;
}

int config_flags(struct config *c, int *argc, char **argv, struct error *err)
{
	int kept = 1, i = 1;

	for (; i < *argc && strcmp(argv[i], "--") != 0; i++) {
		const char *value = NULL, *flag = argv[i];
		size_t key = strncmp(flag, "--", 2) ? c->n_keys : flag_key(c, flag + 2, &value);

		if (key == c->n_keys) {
			argv[kept++] = argv[i];
			continue;
		}
		if (!value && c->keys[key].type == CONFIG_BOOL)
			value = "true";
		else if (!value && (i + 1 == *argc || !strcmp(argv[i + 1], "--")))
			return error_set(err, ERR_INVALID, "'%s' wants a value", flag);
		else if (!value)
			value = argv[++i];
		if (take_flag(c, key, flag, value, err) < 0)
			return -1;
	}
	while (i < *argc)
		argv[kept++] = argv[i++];
	argv[kept] = NULL;
	*argc = kept;
	return 0;
}

static const struct setting *look(const struct config *c, const char *name, unsigned types)
{
	for (size_t i = 0; i < c->n_keys; i++)
		if (!strcmp(c->keys[i].name, name)) {
			assert(types & BIT(c->keys[i].type));
			return &c->settings[i];
		}
	assert(!"no such key");
	return NULL;
}

bool config_has(const struct config *c, const char *name)
{
	return look(c, name, ~0u)->set;
}

const char *config_string(const struct config *c, const char *name)
{
	return look(c, name, BIT(CONFIG_STRING))->text;
}

int64_t config_int(const struct config *c, const char *name)
{
	return look(c, name, BIT(CONFIG_INT))->value.number;
}

bool config_bool(const struct config *c, const char *name)
{
	return look(c, name, BIT(CONFIG_BOOL))->value.number;
}

int64_t config_duration(const struct config *c, const char *name)
{
	return look(c, name, BIT(CONFIG_DURATION))->value.number;
}

uint64_t config_size(const struct config *c, const char *name)
{
	return look(c, name, BIT(CONFIG_SIZE))->value.bytes;
}

bool config_ports(const struct config *c, const char *name, uint16_t *ret_first, uint16_t *ret_last)
{
	const struct setting *s = look(c, name, BIT(CONFIG_PORTS));

	if (!s->set)
		return false;
	*ret_first = s->first;
	*ret_last = s->last;
	return true;
}

size_t config_count(const struct config *c, const char *name)
{
	return look(c, name, BIT(CONFIG_LIST) | BIT(CONFIG_MAP))->n_items;
}

const char *config_item(const struct config *c, const char *name, size_t i)
{
	const struct setting *s = look(c, name, BIT(CONFIG_LIST) | BIT(CONFIG_MAP));

	assert(i < s->n_items);
	return s->items[i].value;
}

const char *config_item_name(const struct config *c, const char *name, size_t i)
{
	const struct setting *s = look(c, name, BIT(CONFIG_MAP));

	assert(i < s->n_items);
	return s->items[i].name;
}

void config_usage(const struct config_key *keys, struct buf *out)
{
	static const char *const values[] = { "TEXT", "N",     "",	  "DURATION",
					      "SIZE", "PORTS", "A,B,...", "NAME=VALUE,..." };

	for (const struct config_key *k = keys; k->name; k++) {
		struct buf flag = { 0 };

		buf_puts(&flag, "--");
		for (const char *s = k->name; *s; s++)
			buf_putc(&flag, *s == '_' ? '-' : *s);
		buf_printf(&flag, " %s", values[k->type]);
		buf_printf(out, "  %-32s %s", buf_str(&flag), k->doc);
		if (k->value && *k->value)
			buf_printf(out, " (default: %s)", k->value);
		buf_putc(out, '\n');
		buf_release(&flag);
	}
}
