/*
 * inputs.h - what a job reads, as digests
 */
#ifndef MODEL_INPUTS_H
#define MODEL_INPUTS_H

#include "controller/model/world.h"

/* When the run is created: each input of the jobs that is a published artifact gets its version,
 * for good, in the spec and (by inputs_publish_resolved) in the job's row. E0208. */
int inputs_fix_versions(struct world *w, Sluice__V1__Pipeline *p, struct error *err);
/* Puts the published inputs into a new job's row. They were fixed before. */
int inputs_take_published(struct world *w, Sluice__V1__Job *row, struct error *err);
/* When it leaves BLOCKED: all of them. NULL, or a sentence (heap) that names what is missing. */
char *inputs_resolve(struct job *job);
/* Calls fn with each digest that the job reads. */
void inputs_each(const Sluice__V1__Job *row,
		 void (*fn)(void *arg, const Sluice__V1__ResolvedArtifact *a), void *arg);
bool inputs_have(const Sluice__V1__Job *row, const char *digest, bool *ret_is_file);

#endif
