/*
 * tree.h - a YAML file as a tree that knows where everything stands
 *
 * Made by tree_load() in the caller's arena, its parts never outlive it. Scalars are
 * text; what they mean is decided by whoever reads them (scalar.h). A node that was
 * reported is BAD: readers take it for absent, so that one mistake gives one error.
 */
#ifndef SPEC_TREE_H
#define SPEC_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <uthash.h>
#include "base/arena.h"
#include "spec/diagnostics.h"

enum tree_kind { TREE_SCALAR, TREE_MAP, TREE_LIST, TREE_BAD };

struct tree {
	enum tree_kind kind;
	struct place at;
	const char *text;		  /* of a scalar: UTF-8 without a NUL inside */
	bool plain;			  /* a scalar without quotes */
	bool exact;			  /* its characters stand in the file as they are here */
	struct tree *key;		  /* of a value in a map */
	struct tree *first, *last, *next; /* children: values of a map, items of a list */
	size_t count;
	UT_hash_handle hh; /* of a key, while its map is read */
};

/* The one document of the text. NULL with diagnostics, or without where there is none: nothing but
 * comments. May return a tree and diagnostics as well, where reading could go on. */
struct tree *tree_load(const char *text, size_t len, struct arena *arena, struct diagnostics *d);

/* The value under a key, or NULL: absent, BAD, or `map` is NULL or no map. */
struct tree *tree_get(const struct tree *map, const char *key);
/* Is the key there, be its value BAD or not? */
bool tree_has(const struct tree *map, const char *key);
/* Its key as text: of a value in a map. */
const char *tree_name(const struct tree *value);
/* Plain and empty, `~` or `null`. */
bool tree_is_null(const struct tree *t);
/* The place of a part of a scalar: bytes at..at+len of its text. */
struct place tree_place(const struct tree *t, size_t at, size_t len);

#define tree_each(child, parent) \
	for (child = (parent) ? (parent)->first : NULL; child; child = child->next)

#endif
