/*
 * Parameters: declared in the file, given by a submit. A value is brought into one
 * spelling (`007` is 7, `1e1` is 10), because it becomes a part of what made a release.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "spec/build.h"
#include "base/suggest.h"

enum { VALUE_MAX = 4096 };

struct param {
	const struct tree *tree;
	const char *name;
	Sluice__V1__Param__Type type;
};

static Sluice__V1__Param__Type type_of(const struct tree *t)
{
	static const char *const names[] = { "", "string", "int", "float", "bool", "choice" };
	const struct tree *type = tree_get(t, "type");

	for (size_t i = 1; type && i < ARRAY_SIZE(names); i++)
		if (!strcmp(type->text, names[i]))
			return (Sluice__V1__Param__Type)i;
	return SLUICE__V1__PARAM__TYPE__TYPE_UNSPECIFIED;
}

/* The shortest decimal that reads back as the same number. */
static char *canonical_float(struct build *b, double value)
{
	char text[40];

	if (value == floor(value) && fabs(value) < 1e15)
		return arena_printf(b->arena, "%.0f", value == 0 ? 0.0 : value);
	for (int digits = 1; digits <= 17; digits++) {
		struct scalar again;

		snprintf(text, sizeof text, "%.*g", digits, value);
		if (scalar_parse(SCALAR_NUMBER, text, &again, NULL) == 0 && again.real == value)
			break;
	}
	return arena_strdup(b->arena, text);
}

static int within(const struct tree *t, double value, const char *text, struct error *err)
{
	struct scalar bound;

	if (read_scalar(t, "min", SCALAR_NUMBER, &bound) && value < bound.real)
		return error_set(err, ERR_INVALID, "%.40s is below its min %s", text,
				 tree_get(t, "min")->text);
	if (read_scalar(t, "max", SCALAR_NUMBER, &bound) && value > bound.real)
		return error_set(err, ERR_INVALID, "%.40s is above its max %s", text,
				 tree_get(t, "max")->text);
	return 0;
}

static int choose(struct build *b, const struct tree *t, const char *text, struct error *err)
{
	struct suggest s = suggest_new(text);
	cleanup(buf_release) struct buf list = { 0 };
	const struct tree **options;
	size_t n = read_list(b, tree_get(t, "options"), &options);

	if (!n)
		return 0; /* check_keys_of() said so */
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(options[i]->text, text))
			return 0;
		suggest_offer(&s, options[i]->text);
		buf_printf(&list, "%s%s", i ? ", " : "", options[i]->text);
	}
	error_set(err, ERR_INVALID, "`%.60s` is none of its options: %.200s", text, buf_str(&list));
	return s.best ? error_hint(err, "did you mean `%s`?", s.best) : -1;
}

/* The canonical text of a value, or NULL with the reason. */
static char *convert(struct build *b, const struct param *p, const char *text, struct error *err)
{
	struct scalar value;
	char number[32];

	switch (p->type) {
	case SLUICE__V1__PARAM__TYPE__INT:
		if (scalar_parse(SCALAR_INT, text, &value, NULL) < 0) {
			error_set(err, ERR_INVALID, "`%.60s` is not a whole number", text);
			return NULL;
		}
		snprintf(number, sizeof number, "%" PRId64, value.number);
		if (within(p->tree, (double)value.number, number, err) < 0)
			return NULL;
		return arena_strdup(b->arena, number);
	case SLUICE__V1__PARAM__TYPE__FLOAT:
		if (scalar_parse(SCALAR_NUMBER, text, &value, NULL) < 0) {
			error_set(err, ERR_INVALID, "`%.60s` is not a number", text);
			return NULL;
		}
		return within(p->tree, value.real, text, err) < 0 ? NULL
								  : canonical_float(b, value.real);
	case SLUICE__V1__PARAM__TYPE__BOOL:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
			error_set(err, ERR_INVALID, "`%.60s` is not `true` or `false`", text);
			return NULL;
		}
		break;
	case SLUICE__V1__PARAM__TYPE__CHOICE:
		if (choose(b, p->tree, text, err) < 0)
			return NULL;
		break;
	default:
		break;
	}
	if (strlen(text) > VALUE_MAX) {
		error_set(err, ERR_INVALID, "it has more than %d bytes", VALUE_MAX);
		return NULL;
	}
	return arena_strdup(b->arena, text);
}

static void refuse_key(struct build *b, const struct param *p, const char *key, const char *needs)
{
	const struct tree *t = tree_get(p->tree, key);

	if (t)
		diagnostics_error(b->d, "E0119", t->key->at, "`%s` is for %s", key, needs);
}

/* Keys that make no sense together. */
static void check_keys_of(struct build *b, const struct param *p)
{
	struct scalar min, max;
	bool number = p->type == SLUICE__V1__PARAM__TYPE__INT ||
		      p->type == SLUICE__V1__PARAM__TYPE__FLOAT;

	if (!number) {
		refuse_key(b, p, "min", "an int or float");
		refuse_key(b, p, "max", "an int or float");
	} else if (read_scalar(p->tree, "min", SCALAR_NUMBER, &min) &&
		   read_scalar(p->tree, "max", SCALAR_NUMBER, &max) && min.real > max.real) {
		diagnostics_error(b->d, "E0108", tree_get(p->tree, "max")->at,
				  "`max` is below `min`");
	}
	if (p->type != SLUICE__V1__PARAM__TYPE__CHOICE) {
		refuse_key(b, p, "options", "a choice");
	} else if (!read_count(tree_get(p->tree, "options"))) {
		struct diagnostic *item =
			diagnostics_error(b->d, "E0105", p->tree->key->at,
					  "`%s` is a choice without `options`", p->name);

		diagnostic_help(item, "options: [base, large]");
	}
}

static const struct spec_override *override_of(const struct build *b, const char *name)
{
	const struct spec_override *found = NULL;

	for (size_t i = 0; i < b->src->n_overrides; i++)
		if (!strcmp(b->src->overrides[i].name, name))
			found = &b->src->overrides[i]; /* the last one wins */
	return found;
}

static void refuse_value(struct build *b, const struct param *p, struct place at, const char *what,
			 const struct error *err)
{
	struct diagnostic *item =
		diagnostics_error(b->d, "E0202", at, "%s `%s`: %s", what, p->name, err->text);

	diagnostic_label(item, "%s", err->hint);
}

static void build_param(struct build *b, const struct tree *t, Sluice__V1__Param *ret)
{
	struct param p = { t, tree_name(t), type_of(t) };
	const struct tree *def = tree_get(t, "default");
	const struct spec_override *given = override_of(b, p.name);
	struct error err = { 0 };
	char *value = NULL;

	ret->name = arena_strdup(b->arena, p.name);
	ret->type = p.type;
	ret->is_default = !given;
	if (!p.type)
		return;
	check_keys_of(b, &p);
	if (def) {
		value = convert(b, &p, def->text, &err);
		if (!value)
			refuse_value(b, &p, def->at, "the default of", &err);
	}
	error_clear(&err);
	if (given) {
		value = convert(b, &p, given->value, &err);
		if (!value)
			refuse_value(b, &p, t->key->at, "the value given for", &err);
	} else if (!def && !(b->src->flags & (SPEC_ENVIRONMENTS | SPEC_LINT))) {
		struct diagnostic *item = diagnostics_error(b->d, "E0203", t->key->at,
							    "parameter `%s` has no default and no "
							    "value was given",
							    p.name);

		diagnostic_help(item, "-p %s=VALUE", p.name);
	}
	if (value)
		ret->value = value;
}

static void check_overrides(struct build *b, const struct tree *params)
{
	for (size_t i = 0; i < b->src->n_overrides; i++) {
		const char *name = b->src->overrides[i].name;
		struct suggest s = suggest_new(name);
		const struct tree *t = NULL;
		struct diagnostic *item;
		bool there = false;

		for (t = params ? params->first : NULL; t; t = t->next) {
			there = there || !strcmp(tree_name(t), name);
			suggest_offer(&s, tree_name(t));
		}
		if (there)
			continue;
		item = diagnostics_error(b->d, "E0201",
					 params ? params->key->at : (struct place){ 0 },
					 "the pipeline has no parameter `%s`", name);
		if (s.best)
			diagnostic_label(item, "did you mean `%s`?", s.best);
	}
}

void build_params(struct build *b)
{
	const struct tree *params = tree_get(b->root, "params"), *t = NULL;

	b->pipeline->params = build_array(b, read_count(params), sizeof *b->pipeline->params);
	while ((t = read_next(params, t))) {
		Sluice__V1__Param *p = build_message(b, &sluice__v1__param__descriptor);

		build_param(b, t, p);
		b->pipeline->params[b->pipeline->n_params++] = p;
	}
	read_variables_differ(b, params, "PARAM");
	check_overrides(b, params);
}
