/*
 * A matrix: the product of its dimensions in the file's order (the last turns fastest),
 * without what `exclude` matches, with what `include` adds. The values become a part of
 * the job's name and of a path, so they are held to harmless characters.
 */
#include <string.h>

#include "spec/build.h"

enum {
	VALUE_MAX = 64, /* bytes of a value */
	KEY_MAX = 200,	/* bytes of "lr=0.1,seed=1": a file's name, too */
	DIMENSIONS_MAX = 16,
	PRODUCT_MAX = 4 * SPEC_MATRIX_MAX, /* before `exclude` */
};

static bool is_dimension(const struct tree *t)
{
	return strcmp(tree_name(t), "include") != 0 && strcmp(tree_name(t), "exclude") != 0;
}

static bool check_value(struct build *b, const struct tree *t)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._+:@%~-";
	struct diagnostic *item;
	size_t len = strlen(t->text);

	if (len && len <= VALUE_MAX && strspn(t->text, allowed) == len)
		return true;
	item = diagnostics_error(b->d, "E0108", t->at, "`%.60s` cannot be a value of a matrix",
				 t->text);
	diagnostic_label(item,
			 "1 to %d letters, digits and . _ + : @ %% ~ -: it becomes a part of "
			 "the job's name and of a path",
			 VALUE_MAX);
	return false;
}

static void read_dimension(struct build *b, const struct tree *t, struct dimension *ret)
{
	const struct tree **items;
	size_t n = read_list(b, t, &items);

	ret->name = tree_name(t);
	ret->values = build_array(b, n, sizeof *ret->values);
	if (!t->count)
		diagnostics_error(b->d, "E0105", t->at, "`%s` has no values", ret->name);
	for (size_t i = 0; i < n; i++) {
		bool there = false;

		if (!check_value(b, items[i]))
			continue;
		for (size_t j = 0; j < ret->count; j++)
			there = there || !strcmp(ret->values[j], items[i]->text);
		if (there)
			diagnostics_error(b->d, "E0108", items[i]->at, "`%s` is there twice",
					  items[i]->text);
		else
			ret->values[ret->count++] = items[i]->text;
	}
}

static const struct dimension *find_dimension(const struct job *job, const char *name)
{
	for (size_t i = 0; i < job->n_dimensions; i++)
		if (!strcmp(job->dimensions[i].name, name))
			return &job->dimensions[i];
	return NULL;
}

/* Does every pair of the rule stand in the combination? */
static bool matches(const struct job *job, const char *const *values, const struct tree *rule)
{
	const struct tree *t = NULL;

	while ((t = read_next(rule, t))) {
		size_t i = 0;

		while (i < job->n_dimensions && strcmp(job->dimensions[i].name, tree_name(t)) != 0)
			i++;
		if (i == job->n_dimensions || strcmp(values[i], t->text) != 0)
			return false;
	}
	return true;
}

static bool excluded(const struct job *job, const char *const *values, const struct tree *rules)
{
	const struct tree *rule = NULL;

	while ((rule = read_next(rules, rule)))
		if (matches(job, values, rule))
			return true;
	return false;
}

static void add_instance(struct build *b, struct job *job, const char *const *values)
{
	const char **copy;

	if (job->n_instances++ >= SPEC_MATRIX_MAX)
		return;
	copy = build_array(b, job->n_dimensions, sizeof *copy);
	memcpy(copy, values, job->n_dimensions * sizeof *copy);
	job->instances[job->n_instances - 1].values = copy;
}

static void multiply(struct build *b, struct job *job, const struct tree *exclude, size_t all)
{
	const char *values[DIMENSIONS_MAX];

	for (size_t n = 0; n < all; n++) {
		size_t rest = n;

		for (size_t i = job->n_dimensions; i-- > 0;) {
			const struct dimension *dim = &job->dimensions[i];

			values[i] = dim->values[rest % dim->count];
			rest /= dim->count;
		}
		if (!excluded(job, values, exclude))
			add_instance(b, job, values);
	}
}

static void check_rules(struct build *b, const struct job *job, const struct tree *rules,
			bool whole)
{
	const struct tree *rule = NULL;

	while ((rule = read_next(rules, rule))) {
		const struct tree *t = NULL;

		while ((t = read_next(rule, t)))
			if (!find_dimension(job, tree_name(t)))
				diagnostics_error(b->d, "E0111", t->key->at,
						  "the matrix has no dimension `%s`", tree_name(t));
		for (size_t i = 0; whole && i < job->n_dimensions; i++)
			if (!tree_get(rule, job->dimensions[i].name))
				diagnostics_error(b->d, "E0105", rule->at,
						  "the combination has no `%s`",
						  job->dimensions[i].name);
		if (!rule->count)
			diagnostics_error(b->d, "E0108", rule->at, "an empty combination");
	}
}

static void include(struct build *b, struct job *job, const struct tree *rules)
{
	const struct tree *rule = NULL;

	while ((rule = read_next(rules, rule))) {
		const char *values[DIMENSIONS_MAX];
		size_t found = 0;

		for (size_t i = 0; i < job->n_dimensions; i++) {
			const struct tree *t = tree_get(rule, job->dimensions[i].name);

			if (t && t->kind == TREE_SCALAR && check_value(b, t)) {
				values[i] = t->text;
				found++;
			}
		}
		if (found < job->n_dimensions || job->n_instances > SPEC_MATRIX_MAX)
			continue;
		for (size_t i = 0; i < MIN(job->n_instances, (size_t)SPEC_MATRIX_MAX); i++)
			if (matches(job, job->instances[i].values, rule))
				found = 0;
		if (found)
			add_instance(b, job, values);
		else
			diagnostics_warn(b->d, "E0121", rule->at,
					 "the combination is there already");
	}
}

/* How many combinations there are, or 0 when there are too many or none. */
static size_t product(struct build *b, const struct job *job, const struct tree *matrix)
{
	size_t all = 1;

	for (size_t i = 0; i < job->n_dimensions; i++) {
		all *= job->dimensions[i].count;
		if (all > PRODUCT_MAX) {
			diagnostics_error(b->d, "E0102", matrix->key->at,
					  "the matrix of `%s` has more than %d combinations",
					  job->name, PRODUCT_MAX);
			return 0;
		}
	}
	return job->n_dimensions ? all : 0;
}

static void name_instances(struct build *b, struct job *job, const struct tree *matrix)
{
	cleanup(buf_release) struct buf key = { 0 };

	for (size_t i = 0; i < MIN(job->n_instances, (size_t)SPEC_MATRIX_MAX); i++) {
		struct instance *one = &job->instances[i];

		buf_clear(&key);
		for (size_t j = 0; j < job->n_dimensions; j++)
			buf_printf(&key, "%s%s=%s", j ? "," : "", job->dimensions[j].name,
				   one->values[j]);
		one->key = arena_strdup(b->arena, buf_str(&key));
		if (key.len <= KEY_MAX)
			continue;
		diagnostics_error(b->d, "E0108", matrix->key->at,
				  "`%.60s...` has %zu bytes, more than %d: use shorter values",
				  one->key, key.len, KEY_MAX);
		return;
	}
}

void build_matrix(struct build *b, struct job *job)
{
	const struct tree *matrix = tree_get(job->tree, "matrix"), *t = NULL;
	const struct tree *add = tree_get(matrix, "include"), *drop = tree_get(matrix, "exclude");
	size_t all;

	job->instances = build_array(b, SPEC_MATRIX_MAX, sizeof *job->instances);
	if (!matrix) {
		job->n_instances = 1;
		job->instances[0].key = "";
		return;
	}
	job->dimensions = build_array(b, matrix->count, sizeof *job->dimensions);
	while ((t = read_next(matrix, t)) && job->n_dimensions < DIMENSIONS_MAX)
		if (is_dimension(t))
			read_dimension(b, t, &job->dimensions[job->n_dimensions++]);
	if (t)
		diagnostics_error(b->d, "E0102", t->key->at,
				  "the matrix has more than %d dimensions", DIMENSIONS_MAX);
	if (!job->n_dimensions && !b->d->errors)
		diagnostics_error(b->d, "E0105", matrix->key->at, "the matrix has no dimension");
	read_variables_differ(b, matrix, "MATRIX");
	check_rules(b, job, drop, false);
	check_rules(b, job, add, true);
	all = product(b, job, matrix);
	if (!all)
		return;
	multiply(b, job, drop, all);
	include(b, job, add);
	if (job->n_instances > SPEC_MATRIX_MAX)
		diagnostics_error(b->d, "E0102", matrix->key->at,
				  "the matrix of `%s` has %zu instances, more than %d", job->name,
				  job->n_instances, SPEC_MATRIX_MAX);
	else if (!job->n_instances)
		diagnostics_error(b->d, "E0108", matrix->key->at,
				  "`exclude` leaves nothing of the matrix of `%s`", job->name);
	name_instances(b, job, matrix);
}
