#include "expanded.h"

#include <stdio.h>
#include <stdlib.h>

#include "everything.h"
#include "spec/keys.h"
#include "spec/tree.h"

enum { KEYS_MAX = 512 };

static void visit(const struct key *map, const struct tree *t, bool *seen)
{
	const struct tree *child;

	if (t->kind != TREE_MAP || (map->shape != KEY_MAP && map->shape != KEY_NAMED))
		return;
	tree_each(child, t)
	{
		const struct key *k = keys_find(map, tree_name(child));

		cr_assert(k, "%s", tree_name(child));
		seen[k - keys] = true;
		visit(k, child, seen);
	}
}

Test(keys, every_key_that_is_built_is_used_by_a_file_that_is_accepted)
{
	cleanup(expanded_release) struct expanded e = expand(everything);
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	struct diagnostics d;
	bool seen[KEYS_MAX] = { false };
	const struct tree *root;

	cr_assert(e.pipeline, "%s", expanded_text(&e));
	cr_assert(keys_count <= KEYS_MAX);
	diagnostics_init(&d, "x", NULL, 0);
	root = tree_load(everything, strlen(everything), arena, &d);
	visit(&keys_root, root, seen);
	for (size_t i = 0; i < keys_count; i++)
		cr_expect(seen[i] || keys[i].unbuilt, "no test uses `%s`", keys[i].path);
	diagnostics_release(&d);
}

/* "a.*.b" as "a: {x: {b: 1}}" */
static void write_path(struct buf *out, const char *path)
{
	int depth = 0;

	while (*path) {
		size_t n = strcspn(path, ".");

		buf_printf(out, "%s%.*s: ", depth++ ? "{" : "", *path == '*' ? 1 : (int)n,
			   *path == '*' ? "x" : path);
		path += n + (path[n] == '.');
	}
	buf_puts(out, "1");
	while (--depth > 0)
		buf_puts(out, "}");
	buf_puts(out, "\n");
}

/* The first of its parents, or itself, that is not built. */
static const struct key *top_unbuilt(const struct key *key)
{
	char path[128];

	for (const char *dot = key->path; (dot = strchr(dot, '.')); dot++) {
		const struct key *parent;

		snprintf(path, sizeof path, "%.*s", (int)(dot - key->path), key->path);
		parent = keys_lookup(path);
		cr_assert(parent, "`%s` has no row", path);
		if (parent->unbuilt)
			return parent;
	}
	return key;
}

Test(keys, every_key_that_is_not_built_is_refused_by_name)
{
	size_t refused = 0;

	for (size_t i = 0; i < keys_count; i++) {
		const struct key *key = &keys[i], *top = top_unbuilt(key);
		struct buf text = { 0 };
		char says[80];
		size_t found = 0;

		if (!top->unbuilt)
			continue;
		cr_expect(key->unbuilt, "`%s` is built below `%s`, which is not", key->path,
			  top->path);
		write_path(&text, key->path);
		snprintf(says, sizeof says, "`%s` is not supported yet", key_name(top));
		{
			cleanup(expanded_release) struct expanded e = expand(buf_str(&text));

			for (size_t j = 0; j < e.d.count; j++)
				found += !strcmp(e.d.items[j].id, "E0900") &&
					 !strcmp(e.d.items[j].message, says);
			cr_expect_eq(found, 1, "%s%s", buf_str(&text), expanded_text(&e));
		}
		refused++;
		buf_release(&text);
	}
	cr_expect(refused > 50);
}

Test(keys, every_choice_that_is_not_built_is_refused_by_name)
{
	static const struct mistake table[] = {
		{ JOB "    on_lost: wait\n", "E0900", 6, 14, "`wait` is not supported yet" },
		{ JOB "defaults: {on_lost: wait}\n", "E0900", 6, 21,
		  "`wait` is not supported yet" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		expect_mistake(&table[i]);
}

Test(keys, the_table_is_whole)
{
	for (size_t i = 0; i < keys_count; i++) {
		const struct key *key = &keys[i];

		cr_expect(key->doc && key->doc[strlen(key->doc) - 1] == '.', "%s", key->path);
		cr_expect_eq(keys_lookup(key->path), key, "`%s` is there twice", key->path);
		cr_expect((key->type == SCALAR_CHOICE) == !!key->choices, "%s", key->path);
		cr_expect(!key->like || keys_lookup(key->like), "%s", key->path);
		cr_expect(key->shape != KEY_NAMED || keys_find(key, "*"), "%s", key->path);
		cr_expect(key->unbuilt || key->example || strchr(key->path, '*'),
			  "`%s` has no example", key->path);
	}
}

/* An example is shown as help: it had better be right. */
Test(keys, every_example_passes_the_checker_in_its_place)
{
	for (size_t i = 0; i < keys_count; i++) {
		const struct key *key = &keys[i];
		struct buf text = { 0 };
		int depth = 0;

		if (!key->example || key->unbuilt)
			continue;
		for (const char *s = key->path; strchr(s, '.'); s += strcspn(s, ".") + 1) {
			buf_printf(&text, "%s%.*s: ", depth ? "{" : "",
				   *s == '*' ? 1 : (int)strcspn(s, "."), *s == '*' ? "x" : s);
			depth++;
		}
		/* a key named like its value shows itself inside its parent */
		buf_printf(&text, "%s%s%s", depth ? "{" : "", key->example, depth ? "}" : "");
		while (--depth > 0)
			buf_putc(&text, '}');
		buf_putc(&text, '\n');
		{
			cleanup(expanded_release) struct expanded e = expand(buf_str(&text));

			for (size_t j = 0; j < e.d.count; j++) {
				const char *id = e.d.items[j].id;

				cr_expect(!strcmp(id, "E0105") || !strcmp(id, "E0111") ||
						  !strcmp(id, "E0114") || !strcmp(id, "E0119") ||
						  !strcmp(id, "E0203"),
					  "%s%s", buf_str(&text), expanded_text(&e));
			}
		}
		buf_release(&text);
	}
}
