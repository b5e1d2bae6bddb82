/*
 * config.h - /etc/sluice/{controller,agent}.yaml, and every key as a flag
 *
 * A program lists its keys in one table. Defaults, then the file, then the flags: the
 * last that speaks wins. Unknown keys and wrong values are diagnostics with places, as in a
 * pipeline file. `state_dir` in the file is `--state-dir` (or --state_dir) on the command line.
 * Asking for a key that is not in the table, or as another type, is a bug and aborts.
 * Loading is one thread's; a loaded config may be read by any.
 */
#ifndef SPEC_CONFIG_H
#define SPEC_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "spec/diagnostics.h"

enum config_type {
	CONFIG_STRING,
	CONFIG_INT,
	CONFIG_BOOL,	 /* the flag alone means true */
	CONFIG_DURATION, /* "90s"; ms */
	CONFIG_SIZE,	 /* "16G"; bytes */
	CONFIG_PORTS,	 /* "18000-18099" or "18000" */
	CONFIG_LIST,	 /* of strings; "a,b" as a default or flag */
	CONFIG_MAP,	 /* names to strings (labels); "zone=a,env=dev" as a default or flag */
};

struct config_key {
	const char *name; /* "state_dir"; NULL ends the table */
	enum config_type type;
	/* The default, as one would write it; NULL: none, and config_has() is false. */
	const char *value;
	const char *doc; /* one line */
	/* Of INT, DURATION (ms) and SIZE; both 0: no bound but >= 0. */
	int64_t min, max;
};

struct config;

struct config *config_new(const struct config_key *keys); /* the table must outlive it */
void config_free(struct config *c);
DEFINE_CLEANUP(struct config *, config_free)

/* An absent file is well unless `required`. -1 with diagnostics: print them and leave. *d is
 * initialised here and released by the caller. */
int config_load(struct config *c, const char *path, bool required, struct diagnostics *d);
/* The same from memory. */
int config_read(struct config *c, const char *file, const char *text, size_t len,
		struct diagnostics *d);
/* Takes `--key value` and `--key=value` of the table out of argv[1..], leaves the rest in order and
 * *argc adjusted; stops at `--`, which stays. Flags that are not in the table stay, too. */
int config_flags(struct config *c, int *argc, char **argv, struct error *err);

bool config_has(const struct config *c, const char *name);
const char *config_string(const struct config *c, const char *name); /* NULL: not set */
int64_t config_int(const struct config *c, const char *name);	     /* 0: not set */
bool config_bool(const struct config *c, const char *name);
int64_t config_duration(const struct config *c, const char *name);
uint64_t config_size(const struct config *c, const char *name);
/* false when not set */
bool config_ports(const struct config *c, const char *name, uint16_t *ret_first,
		  uint16_t *ret_last);
size_t config_count(const struct config *c, const char *name); /* of a LIST or MAP */
const char *config_item(const struct config *c, const char *name,
			size_t i); /* LIST; MAP: the value */
const char *config_item_name(const struct config *c, const char *name, size_t i); /* MAP */

/* "  --state-dir PATH   where ... (default ...)" for --help, one line a key. */
void config_usage(const struct config_key *keys, struct buf *out);

#endif
