/*
 * Ways through the table of keys: a few hundred rows, so a walk is a scan.
 */
#include <stdio.h>
#include <string.h>

#include "spec/keys.h"

/* Is path "base.x" with no further dot? */
static bool directly_below(const char *path, const char *base, size_t len)
{
	if (!len)
		return !strchr(path, '.');
	return !strncmp(path, base, len) && path[len] == '.' && !strchr(path + len + 1, '.');
}

const struct key *keys_below(const struct key *map, const struct key *last)
{
	const char *base = map->like ? map->like : map->path;
	size_t len = strlen(base);

	for (const struct key *k = last ? last + 1 : keys; k < keys + keys_count; k++)
		if (directly_below(k->path, base, len) && strcmp(key_name(k), "*") != 0)
			return k;
	return NULL;
}

const struct key *keys_lookup(const char *path)
{
	if (!*path)
		return &keys_root;
	for (size_t i = 0; i < keys_count; i++)
		if (!strcmp(keys[i].path, path))
			return &keys[i];
	return NULL;
}

const struct key *keys_find(const struct key *map, const char *name)
{
	const struct key *k = NULL;
	char path[128];

	while ((k = keys_below(map, k)))
		if (!strcmp(key_name(k), name))
			return k;
	if (map->shape != KEY_NAMED)
		return NULL;
	snprintf(path, sizeof path, "%s.*", map->path);
	return keys_lookup(path);
}

const char *key_name(const struct key *key)
{
	const char *dot = strrchr(key->path, '.');

	return dot ? dot + 1 : key->path;
}

bool key_choice(const char **at, char *ret_name, size_t size, bool *ret_unbuilt)
{
	size_t n = strcspn(*at, "|");

	if (!n)
		return false;
	*ret_unbuilt = (*at)[n - 1] == '!';
	snprintf(ret_name, size, "%.*s", (int)(n - *ret_unbuilt), *at);
	*at += n + ((*at)[n] == '|');
	return true;
}
