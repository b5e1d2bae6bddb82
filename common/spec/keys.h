/*
 * keys.h - the one table of every key of the pipeline file
 *
 * From it come the checker (check.c), the reference (reference.c) and the JSON Schema
 * (schema.c). A key that is not built yet is in it, too: it is refused by name (E0900).
 * A path's `*` is a name that the file's author gives.
 */
#ifndef SPEC_KEYS_H
#define SPEC_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "spec/scalar.h"

enum key_shape {
	KEY_SCALAR,
	KEY_LIST,	 /* of scalars */
	KEY_SCALAR_LIST, /* of scalars, or one of them by itself */
	KEY_LIST_MAP,	 /* a list of maps of names to scalars */
	KEY_MAP,	 /* of the keys below it */
	KEY_NAMED,	 /* a map of names to what `path.*` says */
	KEY_VALUES,	 /* a map of names to scalars */
};

enum { KEY_ENTRIES = 256 };

struct key {
	const char *path;
	enum key_shape shape;
	enum scalar_type
		type; /* of the scalar, or of the items; of a MAP: its short form, or NONE */
	enum scalar_type names; /* of NAMED and VALUES */
	bool unbuilt;
	bool required;
	unsigned most;	     /* entries of a map or list; 0: KEY_ENTRIES */
	const char *choices; /* "a|b|c!": with `!` not built yet */
	int64_t min, max;    /* INT, DURATION (ms); both 0: no bound but >= 0 */
	const char *value;   /* the default, for people; NULL: none */
	const char *like;    /* a MAP with the keys of another path */
	const char *since;   /* the version it came with; NULL: 0.1, unless unbuilt */
	const char *doc;     /* one line */
	const char *example; /* "retry: {max: 3, causes: [agent_lost]}"; NULL: none */
};

extern const struct key keys[]; /* in the order in which people should read them */
extern const size_t keys_count;
extern const struct key keys_root; /* the file itself: its path is "" */

/* Iterates the keys of a map: NULL starts; NULL ends. Not its `*`. */
const struct key *keys_below(const struct key *map, const struct key *last);
/* The key of that name below a map, the `*` below a NAMED one, or NULL. */
const struct key *keys_find(const struct key *map, const char *name);
const struct key *keys_lookup(const char *path);
/* The last part of its path: "timeout". */
const char *key_name(const struct key *key);
/* One choice after the other; *at starts as key->choices. false at the end. */
bool key_choice(const char **at, char *ret_name, size_t size, bool *ret_unbuilt);

#endif
