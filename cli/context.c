/*
 * The file of contexts: read whole, written whole (atomically). It holds tokens, so it is for its
 * owner only.
 */
#include "cli/context.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/suggest.h"

enum { FILE_LIMIT = 1 << 20 };

void context_release(struct context *c)
{
	free(c->name);
	free(c->address);
	free(c->token);
	free(c->ca_pem);
	free(c->dev);
	memset(c, 0, sizeof *c);
}

void contexts_free(struct contexts *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->count; i++)
		context_release(&all->items[i]);
	free(all->items);
	free(all->current);
	free(all->path);
	free(all);
}

static struct context copy_of(const struct context *c)
{
	return (struct context){ xstrdup(c->name), xstrdup(c->address), xstrdup(c->token),
				 xstrdup(c->ca_pem), xstrdup(c->dev ? c->dev : "") };
}

struct context *contexts_find(const struct contexts *all, const char *name)
{
	for (size_t i = 0; name && i < all->count; i++)
		if (strcmp(all->items[i].name, name) == 0)
			return &all->items[i];
	return NULL;
}

void contexts_put(struct contexts *all, const struct context *what)
{
	struct context *there = contexts_find(all, what->name);
	struct context copy = copy_of(what);

	if (there) {
		context_release(there);
		*there = copy;
		return;
	}
	all->items = xreallocarray(all->items, all->count + 1, sizeof *all->items);
	all->items[all->count++] = copy;
}

void contexts_use(struct contexts *all, const char *name)
{
	char *copy = xstrdup(name);

	free(all->current);
	all->current = copy;
}

bool contexts_remove(struct contexts *all, const char *name)
{
	struct context *there = contexts_find(all, name);
	size_t at;

	if (!there)
		return false;
	if (all->current && strcmp(all->current, name) == 0) {
		free(all->current);
		all->current = NULL;
	}
	at = (size_t)(there - all->items);
	context_release(there);
	memmove(there, there + 1, (all->count - at - 1) * sizeof *there);
	all->count--;
	return true;
}

/* ---- the file ---- */

static int parse(struct contexts *all, const struct buf *text, struct error *err)
{
	const char *current = NULL, *name;
	json_t *root, *map = NULL, *item;
	json_error_t why;

	root = json_loadb(text->data, text->len, JSON_REJECT_DUPLICATES, &why);
	if (!root)
		return error_set(err, ERR_CORRUPT, "'%s', line %d: %s", all->path, why.line,
				 why.text);
	if (json_unpack(root, "{s?s, s?o}", "current", &current, "contexts", &map) < 0 ||
	    (map && !json_is_object(map))) {
		json_decref(root);
		return error_set(err, ERR_CORRUPT, "'%s' is not a file of contexts", all->path);
	}
	json_object_foreach(map, name, item)
	{
		struct context c = { .name = (char *)name,
				     .token = (char *)"",
				     .ca_pem = (char *)"",
				     .dev = (char *)"" };

		if (json_unpack(item, "{s:s, s?s, s?s, s?s}", "address", &c.address, "token",
				&c.token, "ca_pem", &c.ca_pem, "dev", &c.dev) < 0) {
			error_set(err, ERR_CORRUPT, "'%s': the context '%s' is incomplete",
				  all->path, name);
			json_decref(root);
			return -1;
		}
		contexts_put(all, &c);
	}
	if (current && contexts_find(all, current))
		contexts_use(all, current);
	json_decref(root);
	return 0;
}

struct contexts *contexts_load_from(const char *path, struct error *err)
{
	cleanup(contexts_freep) struct contexts *all = xcalloc(1, sizeof *all);
	cleanup(buf_release) struct buf text = { 0 };

	all->path = xstrdup(path);
	if (!file_exists(path))
		return steal(all);
	if (file_check_private(path, err) < 0 || file_read(path, FILE_LIMIT, &text, err) < 0 ||
	    parse(all, &text, err) < 0)
		return NULL;
	return steal(all);
}

static char *file_path(struct error *err)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (config && *config == '/')
		return xprintf("%s/sluice/contexts.json", config);
	if (home && *home)
		return xprintf("%s/.config/sluice/contexts.json", home);
	error_set(err, ERR_INVALID, "HOME is not set, so there is no place for contexts");
	return NULL;
}

struct contexts *contexts_load(struct error *err)
{
	cleanup(freep) char *path = file_path(err);

	return path ? contexts_load_from(path, err) : NULL;
}

int contexts_save(const struct contexts *all, struct error *err)
{
	cleanup(freep) char *dir =
		xstrndup(all->path, (size_t)(strrchr(all->path, '/') - all->path));
	cleanup(freep) char *text = NULL;
	json_t *map = json_object(), *root;
	int r;

	for (size_t i = 0; i < all->count; i++) {
		const struct context *c = &all->items[i];
		json_t *item = json_pack("{s:s, s:s, s:s, s:s}", "address", c->address, "token",
					 c->token, "ca_pem", c->ca_pem, "dev", c->dev);

		json_object_set_new(map, c->name, item);
	}
	root = json_pack("{s:s?, s:o}", "current", all->current, "contexts", map);
	text = json_dumps(root, JSON_INDENT(2));
	json_decref(root);
	r = file_make_dirs(dir, 0700, err);
	if (r == 0)
		r = file_write_atomic(all->path, text, strlen(text), 0600, err);
	return r < 0 ? error_wrap(err, "keeping the contexts") : 0;
}

/* ---- which one counts ---- */

static int from_environment(const char *address, struct context *ret, struct error *err)
{
	const char *token = getenv("SLUICE_TOKEN"), *ca = getenv("SLUICE_CA");
	cleanup(buf_release) struct buf pem = { 0 };

	if (!ca || !*ca)
		return error_set(err, ERR_INVALID,
				 "SLUICE_ADDRESS is set, SLUICE_CA (the file with the "
				 "controller's CA) is not");
	if (file_read(ca, FILE_LIMIT, &pem, err) < 0)
		return error_wrap(err, "SLUICE_CA");
	*ret = (struct context){ xstrdup("SLUICE_ADDRESS"), xstrdup(address),
				 xstrdup(token ? token : ""), buf_detach(&pem), xstrdup("") };
	return 0;
}

static int no_context(const struct contexts *all, const char *wanted, struct error *err)
{
	struct suggest near = suggest_new(wanted ? wanted : "");

	if (!wanted) {
		error_id(err, "E0307", "no controller is known yet");
		return error_hint(err, "sluice dev starts one here; sluice login ADDRESS "
				       "--ca-sha256 HASH --token-file FILE joins one");
	}
	for (size_t i = 0; i < all->count; i++)
		suggest_offer(&near, all->items[i].name);
	error_id(err, "E0204", "there is no context '%s'", wanted);
	return near.best ? error_hint(err, "did you mean `%s`?", near.best)
			 : error_hint(err, "sluice context ls shows what there is");
}

int context_resolve(const char *wanted, struct context *ret, struct error *err)
{
	const char *address = getenv("SLUICE_ADDRESS"), *named = getenv("SLUICE_CONTEXT");
	cleanup(contexts_freep) struct contexts *all = NULL;
	const struct context *found;

	if (!wanted && address && *address)
		return from_environment(address, ret, err);
	all = contexts_load(err);
	if (!all)
		return -1;
	if (!wanted)
		wanted = named && *named ? named : all->current;
	found = contexts_find(all, wanted);
	if (!found)
		return no_context(all, wanted, err);
	*ret = copy_of(found);
	return 0;
}
