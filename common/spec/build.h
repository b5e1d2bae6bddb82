/*
 * build.h - between the checked tree and the expanded message
 *
 * One struct build stands for one spec_expand(): all it makes lies in its arena, what is
 * wrong goes to its diagnostics, and every reader goes on with what is left, so that a
 * file's mistakes are told in one run. A job as written is a struct job; its instances
 * are made of it at the end, when there were no errors.
 */
#ifndef SPEC_BUILD_H
#define SPEC_BUILD_H

#include "base/arena.h"
#include "sluice/v1/model.pb-c.h"
#include "spec/diagnostics.h"
#include "spec/scalar.h"
#include "spec/spec.h"
#include "spec/tree.h"

struct job;

struct input {
	const struct tree *tree; /* NULL for one of `needs` */
	const char *name;
	struct job *from;   /* NULL: a published artifact, or not found */
	const char *output; /* NULL: of `needs` */
	bool each;	    /* job.*.output */
	const char *artifact;
	uint32_t version;
};

struct dimension {
	const char *name;
	size_t count;
	const char **values;
};

struct instance {
	const char **values; /* one for each dimension */
	const char *key;     /* "lr=0.1,seed=1"; "" without a matrix */
	Sluice__V1__JobSpec *spec;
};

struct job {
	const struct tree *tree;
	const char *name;
	Sluice__V1__JobSpec *spec; /* what all instances share */
	size_t n_inputs, n_needs;
	struct input *inputs; /* those of `inputs`, then those of `needs` */
	size_t n_dimensions;
	struct dimension *dimensions;
	size_t n_instances;
	struct instance *instances; /* one without values when there is no matrix */
};

struct build {
	const struct spec_source *src;
	struct arena *arena;
	struct diagnostics *d;
	const struct tree *root;
	Sluice__V1__Pipeline *pipeline;
	size_t n_jobs;
	struct job *jobs; /* in the file's order */
};

/* Each file's one door, in the order in which spec_expand() goes through them. */
void build_params(struct build *b);		      /* params.c */
void build_jobs(struct build *b);		      /* jobs.c */
void build_outputs(struct build *b, struct job *job); /* outputs.c: outputs, evaluates, release */
void build_inputs(struct build *b);		      /* inputs.c: and needs, cycles */
void build_matrix(struct build *b, struct job *job);  /* matrix.c */
void build_environments(struct build *b);	      /* environments.c */
void build_deploy(struct build *b, const struct tree *t,
		  Sluice__V1__EnvironmentSpec *env); /* deploy.c */
/* gates.c: the expectations under `key` of a job or verify step called `name`. */
void build_gates(struct build *b, const struct tree *t, const char *key, Sluice__V1__JobSpec *spec);
void build_instances(struct build *b); /* expand.c */

/* read.c: values of checked scalars. Absent and BAD are the fallback; nothing is reported twice. */
void *build_message(struct build *b, const ProtobufCMessageDescriptor *type);
void *build_array(struct build *b, size_t count, size_t size);		   /* zeroed; never NULL */
char *read_text(struct build *b, const struct tree *map, const char *key); /* "" when absent */
bool read_scalar(const struct tree *map, const char *key, enum scalar_type type,
		 struct scalar *ret);
int64_t read_number(const struct tree *map, const char *key, enum scalar_type type,
		    int64_t fallback);
/* The scalars of a list, or one by itself. */
size_t read_list(struct build *b, const struct tree *list, const struct tree ***ret);
Sluice__V1__Variable **read_labels(struct build *b, const struct tree *list, size_t *ret_count);
/* `base` (may be NULL) and over it `top`; reserved names are reported. */
Sluice__V1__Variable **read_env(struct build *b, const struct tree *base, const struct tree *top,
				size_t *ret_count);
/* In a job's `env` no variable says which GPUs it sees. */
void read_no_gpus(struct build *b, const struct tree *env);
Sluice__V1__Resources *read_resources(struct build *b, const struct tree *t);
/* Children of a map that are not BAD. */
const struct tree *read_next(const struct tree *map, const struct tree *last);
size_t read_count(const struct tree *map);
/* Reports when two names of a map become the same variable. */
void read_variables_differ(struct build *b, const struct tree *map, const char *prefix);

#endif
