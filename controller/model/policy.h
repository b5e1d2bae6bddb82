/*
 * policy.h - what differs between two policies of an environment, and what is wrong with one
 */
#ifndef MODEL_POLICY_H
#define MODEL_POLICY_H

#include "controller/model/world.h"

enum { POLICY_LINES = 200 };

typedef void policy_line_fn(void *arg, char *line); /* on the heap, the callee's to keep */

/* A line for each field: "deploy.batch: 50% -> 1", "verify.smoke: added". Fields of the schema that
 * are newer than this function are compared, too: it goes by the descriptors. At most POLICY_LINES.
 */
size_t policy_diff(const Sluice__V1__EnvironmentSpec *old, const Sluice__V1__EnvironmentSpec *new,
		   policy_line_fn *line, void *arg);

/* May these environments be recorded together with those that there are? Names, `after`, the
 * pipeline. -1 with the first thing that is wrong. */
int policy_check(struct world *w, const Sluice__V1__Pipeline *p, struct error *err);

#endif
