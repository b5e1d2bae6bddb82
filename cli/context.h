/*
 * context.h - which controllers this user knows, and with which tokens
 *
 * ~/.config/sluice/contexts.json (XDG_CONFIG_HOME), 0600, refused when others may read it. What
 * counts, first that is there: --context NAME; SLUICE_ADDRESS with SLUICE_TOKEN and SLUICE_CA (a
 * file); SLUICE_CONTEXT; the file's current one.
 */
#ifndef CLI_CONTEXT_H
#define CLI_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include "base/error.h"
#include "base/mem.h"

struct context {
	char *name, *address, *token, *ca_pem;
	char *dev; /* made by `sluice dev`: its directory; "" otherwise */
};

struct contexts {
	char *path;
	char *current; /* NULL: none */
	struct context *items;
	size_t count;
};

/* Of this user. An absent file is an empty list. */
struct contexts *contexts_load(struct error *err);
/* From a file of its own. */
struct contexts *contexts_load_from(const char *path, struct error *err);
int contexts_save(const struct contexts *all, struct error *err);
void contexts_free(struct contexts *all);
DEFINE_CLEANUP(struct contexts *, contexts_free)

struct context *contexts_find(const struct contexts *all, const char *name); /* NULL: none */
/* Added, or put in the place of the one with its name. Strings are copied. */
void contexts_put(struct contexts *all, const struct context *what);
bool contexts_remove(struct contexts *all, const char *name);
void contexts_use(struct contexts *all, const char *name);

/* The one that counts; wanted is --context's or NULL. Released by context_release().
 * ERR_UNAVAILABLE (E0307) when there is none. */
int context_resolve(const char *wanted, struct context *ret, struct error *err);
void context_release(struct context *c);

#endif
