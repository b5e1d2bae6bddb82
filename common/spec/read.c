/*
 * Values out of the tree. The checker has been here before, so a text either is what its
 * key asks for or is BAD; what fails to parse all the same is taken for absent.
 */
#include <stdlib.h>
#include <string.h>

#include "spec/build.h"

void *build_message(struct build *b, const ProtobufCMessageDescriptor *type)
{
	void *message = arena_alloc(b->arena, type->sizeof_message);

	protobuf_c_message_init(type, message);
	return message;
}

void *build_array(struct build *b, size_t count, size_t size)
{
	return arena_zalloc(b->arena, MAX(count, (size_t)1) * size);
}

char *read_text(struct build *b, const struct tree *map, const char *key)
{
	const struct tree *t = tree_get(map, key);

	if (!t || t->kind != TREE_SCALAR || tree_is_null(t))
		return (char *)protobuf_c_empty_string;
	return arena_strdup(b->arena, t->text);
}

bool read_scalar(const struct tree *map, const char *key, enum scalar_type type, struct scalar *ret)
{
	const struct tree *t = tree_get(map, key);

	return t && t->kind == TREE_SCALAR && scalar_parse(type, t->text, ret, NULL) == 0;
}

int64_t read_number(const struct tree *map, const char *key, enum scalar_type type,
		    int64_t fallback)
{
	struct scalar value;

	return read_scalar(map, key, type, &value) ? value.number : fallback;
}

const struct tree *read_next(const struct tree *map, const struct tree *last)
{
	const struct tree *t = last ? last->next : map ? map->first : NULL;

	while (t && t->kind == TREE_BAD)
		t = t->next;
	return t;
}

size_t read_count(const struct tree *map)
{
	const struct tree *t = NULL;
	size_t n = 0;

	while ((t = read_next(map, t)))
		n++;
	return n;
}

size_t read_list(struct build *b, const struct tree *list, const struct tree ***ret)
{
	const struct tree *t = NULL;
	size_t n = 0;

	*ret = build_array(b, list ? list->count + 1 : 1, sizeof **ret);
	if (list && list->kind == TREE_SCALAR)
		(*ret)[n++] = list;
	else if (list && list->kind == TREE_LIST)
		while ((t = read_next(list, t)))
			(*ret)[n++] = t;
	return n;
}

static Sluice__V1__Variable *new_variable(struct build *b, const char *name, size_t len,
					  const char *value)
{
	Sluice__V1__Variable *v = build_message(b, &sluice__v1__variable__descriptor);

	v->name = arena_strndup(b->arena, name, len);
	v->value = arena_strdup(b->arena, value);
	return v;
}

Sluice__V1__Variable **read_labels(struct build *b, const struct tree *list, size_t *ret_count)
{
	const struct tree **items;
	size_t n = read_list(b, list, &items);
	Sluice__V1__Variable **labels = build_array(b, n, sizeof *labels);

	*ret_count = 0;
	for (size_t i = 0; i < n; i++) {
		size_t len = strcspn(items[i]->text, "=");
		const char *value = items[i]->text + len + 1;
		bool there = false;

		for (size_t j = 0; j < *ret_count; j++) {
			if (strlen(labels[j]->name) != len ||
			    strncmp(labels[j]->name, items[i]->text, len) != 0)
				continue;
			there = true;
			if (strcmp(labels[j]->value, value) != 0)
				diagnostics_error(b->d, "E0119", items[i]->at,
						  "no agent has both `%s=%s` and `%s`",
						  labels[j]->name, labels[j]->value,
						  items[i]->text);
		}
		if (!there)
			labels[(*ret_count)++] = new_variable(b, items[i]->text, len, value);
	}
	return labels;
}

static void check_reserved(struct build *b, const struct tree *t)
{
	static const char *const reserved[] = { "PARAM_", "MATRIX_", "INPUT_", "OUTPUT_",
						"SLUICE_" };
	struct diagnostic *item;

	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
		if (strncmp(tree_name(t), reserved[i], strlen(reserved[i])) != 0)
			continue;
		item = diagnostics_error(b->d, "E0120", t->key->at, "`%s` is set by sluice itself",
					 tree_name(t));
		diagnostic_label(item, "names that begin with `%s` are reserved", reserved[i]);
	}
}

/* Exclusive are those GPUs only that a job does not choose itself. */
void read_no_gpus(struct build *b, const struct tree *env)
{
	static const char *const names[] = { "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct tree *t = tree_get(env, names[i]);
		struct diagnostic *item;

		if (!t)
			continue;
		item = diagnostics_error(b->d, "E0120", t->key->at, "`%s` is set by sluice itself",
					 names[i]);
		diagnostic_label(item, "a job sees the GPUs that it got");
		diagnostic_help(item, "resources: {gpu: 1}");
	}
}

static void put_env(struct build *b, const struct tree *map, Sluice__V1__Variable **env,
		    size_t *count)
{
	const struct tree *t = NULL;

	while ((t = read_next(map, t))) {
		size_t at = 0;

		while (at < *count && strcmp(env[at]->name, tree_name(t)) != 0)
			at++;
		env[at] = new_variable(b, tree_name(t), strlen(tree_name(t)), t->text);
		if (at == *count)
			++*count;
	}
}

Sluice__V1__Variable **read_env(struct build *b, const struct tree *base, const struct tree *top,
				size_t *ret_count)
{
	Sluice__V1__Variable **env =
		build_array(b, read_count(base) + read_count(top), sizeof *env);
	const struct tree *t = NULL;

	*ret_count = 0;
	put_env(b, base, env, ret_count);
	put_env(b, top, env, ret_count);
	while ((t = read_next(top, t)))
		check_reserved(b, t);
	return env;
}

Sluice__V1__Resources *read_resources(struct build *b, const struct tree *t)
{
	Sluice__V1__Resources *r = build_message(b, &sluice__v1__resources__descriptor);
	struct scalar value;

	r->cpu_milli = (uint32_t)read_number(t, "cpu", SCALAR_CPU, 0);
	if (read_scalar(t, "memory", SCALAR_SIZE, &value))
		r->memory = value.bytes;
	r->gpu = (uint32_t)read_number(t, "gpu", SCALAR_INT, 0);
	if (read_scalar(t, "gpu_memory", SCALAR_SIZE, &value))
		r->gpu_memory = value.bytes;
	if (read_scalar(t, "disk", SCALAR_SIZE, &value))
		r->disk = value.bytes;
	r->agents = read_labels(b, tree_get(t, "agents"), &r->n_agents);
	if (r->gpu_memory && !r->gpu)
		diagnostic_help(diagnostics_error(b->d, "E0119", tree_get(t, "gpu_memory")->key->at,
						  "`gpu_memory` without `gpu`"),
				"gpu: 1");
	return r;
}

void read_variables_differ(struct build *b, const struct tree *map, const char *prefix)
{
	size_t n = read_count(map), i = 0;
	const struct tree **items = build_array(b, n, sizeof *items), *t = NULL;
	char **variables = build_array(b, n, sizeof *variables);

	for (; (t = read_next(map, t)); i++) {
		cleanup(freep) char *variable = spec_variable(prefix, tree_name(t));
		struct diagnostic *item;

		items[i] = t;
		variables[i] = arena_strdup(b->arena, variable);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(variables[j], variable) != 0)
				continue;
			item = diagnostics_error(b->d, "E0120", t->key->at,
						 "`%s` and `%s` are both $%s", tree_name(items[j]),
						 tree_name(t), variable);
			diagnostic_related(item, items[j]->key->at, "`%s` is here",
					   tree_name(items[j]));
			break;
		}
	}
}
