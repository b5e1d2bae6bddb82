/*
 * spec.h - the pipeline file: from its bytes to what the controller decides on
 *
 * The one way in is spec_expand(): it reads the YAML (libyaml's events, our own tree
 * with places), checks it against the one table of keys (keys.c) and against itself
 * (references, cycles, gates), fills in defaults, takes the parameters, expands matrices,
 * and puts jobs into an order in which each comes after what it needs. The CLI calls it
 * to lint, the controller calls it again on the text it is sent and trusts nothing else.
 * Pure: no I/O, no clock; equal arguments give equal messages. Thread-safe.
 *
 * Limits: 256 KiB, depth 32, 20,000 nodes, 500 jobs, 256 instances of one matrix, 50,000 edges,
 * and 8 MiB expanded; a map or list has at most as many entries as keys.c says of it.
 */
#ifndef SPEC_SPEC_H
#define SPEC_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/buf.h"
#include "sluice/v1/model.pb-c.h"
#include "spec/diagnostics.h"

enum {
	SPEC_TEXT_MAX = 256 * 1024,
	SPEC_DEPTH_MAX = 32,
	SPEC_NODES_MAX = 20000,
	SPEC_JOBS_MAX = 500,
	SPEC_MATRIX_MAX = 256,
	SPEC_EDGES_MAX = 50000,		     /* needs and sources of all instances */
	SPEC_EXPANDED_MAX = 8 * 1024 * 1024, /* bytes of the packed message */
};

enum spec_flags {
	/* `env apply`: a file that holds only `environments` is whole, too */
	SPEC_ENVIRONMENTS = 1 << 0,
	/* lint: a parameter without default and value is well */
	SPEC_LINT = 1 << 1,
};

/* `-p name=value` */
struct spec_override {
	const char *name, *value;
};

struct spec_source {
	const char *file; /* for messages */
	const char *text; /* need not end in a NUL */
	size_t len;
	const struct spec_override *overrides;
	size_t n_overrides;
	unsigned flags; /* enum spec_flags */
};

/* 0 and a message whose every byte is in the arena (never free_unpacked it; pack it or copy it
 * to keep it longer); -1 when there are errors. *d is initialised here and released by
 * the caller in both cases: it may hold warnings. */
int spec_expand(const struct spec_source *src, struct arena *arena, Sluice__V1__Pipeline **ret,
		struct diagnostics *d);

/* "k=v" from a command line into an override, in the arena. ERR_INVALID without a `=`. */
int spec_override_parse(const char *text, struct arena *arena, struct spec_override *ret,
			struct error *err);
/* The environment variable of a parameter, matrix key, input or output: ("INPUT", "raw-data")
 * is "INPUT_RAW_DATA". On the heap. The checker refuses two names that give the same. */
char *spec_variable(const char *prefix, const char *name);

/* What a job, a service or a hook finds in its environment, but for its own `env`. A name that ends
 * in _NAME stands for one each. The end has no name. */
enum spec_seen_by { SEEN_BY_JOBS = 1, SEEN_BY_SERVICES = 2 };
extern const struct spec_seen {
	const char *name;
	unsigned by; /* enum spec_seen_by */
	const char *doc;
} spec_seen[];
void spec_seen_markdown(struct buf *out); /* a section of docs/pipeline.md */

/* The expanded pipeline as YAML for `lint --expanded`: every default spelled out. */
void spec_print(const Sluice__V1__Pipeline *p, struct buf *out);
/* From the table of keys: docs/pipeline.md and docs/sluice.schema.json. */
void spec_reference_markdown(struct buf *out);
void spec_json_schema(struct buf *out);

#endif
