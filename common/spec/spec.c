/*
 * The way through the house: read, check against the table, build while there is
 * something to say, expand when nothing was wrong.
 */
#include "spec/spec.h"

#include <ctype.h>
#include <string.h>

#include "spec/build.h"
#include "spec/check.h"

static void check_version(struct build *b)
{
	struct scalar version;
	struct diagnostic *item;

	if (!read_scalar(b->root, "version", SCALAR_INT, &version) || version.number == 1)
		return;
	item = diagnostics_error(b->d, "E0109", tree_get(b->root, "version")->at,
				 "this program knows version 1, not %.20s",
				 tree_get(b->root, "version")->text);
	diagnostic_help(item, "version: 1");
}

static bool environments_alone(const struct spec_source *src, const struct tree *root)
{
	return (src->flags & SPEC_ENVIRONMENTS) && tree_get(root, "environments") &&
	       !tree_get(root, "jobs");
}

int spec_expand(const struct spec_source *src, struct arena *arena, Sluice__V1__Pipeline **ret,
		struct diagnostics *d)
{
	struct build b = { .src = src, .arena = arena, .d = d };
	struct tree *root;

	diagnostics_init(d, src->file, src->text, MIN(src->len, (size_t)SPEC_TEXT_MAX));
	root = tree_load(src->text, src->len, arena, d);
	if (!root && !d->errors)
		diagnostics_error(d, "E0105", (struct place){ 1, 1, 1 }, "the file is empty");
	if (!root)
		return -1;
	check_keys(root, !environments_alone(src, root), d);
	if (root->kind != TREE_MAP)
		return -1;
	b.root = root;
	b.pipeline = build_message(&b, &sluice__v1__pipeline__descriptor);
	b.pipeline->name = read_text(&b, root, "pipeline");
	check_version(&b);
	build_params(&b);
	build_jobs(&b);
	build_inputs(&b);
	for (size_t i = 0; i < b.n_jobs; i++)
		build_gates(&b, b.jobs[i].tree, "gates", b.jobs[i].spec);
	build_environments(&b);
	if (!d->errors)
		build_instances(&b);
	diagnostics_sort(d);
	if (d->errors)
		return -1;
	*ret = b.pipeline;
	return 0;
}

int spec_override_parse(const char *text, struct arena *arena, struct spec_override *ret,
			struct error *err)
{
	const char *equal = strchr(text, '=');

	if (!equal || equal == text) {
		error_id(err, "E0202", "'%s' gives no value to a parameter", text);
		return error_hint(err, "write -p NAME=VALUE");
	}
	ret->name = arena_strndup(arena, text, (size_t)(equal - text));
	ret->value = arena_strdup(arena, equal + 1);
	return 0;
}

char *spec_variable(const char *prefix, const char *name)
{
	char *variable = xprintf("%s%s%s", prefix, *prefix ? "_" : "", name);

	for (char *c = variable + strlen(prefix); *c; c++)
		*c = isalnum((unsigned char)*c) ? (char)toupper((unsigned char)*c) : '_';
	return variable;
}
