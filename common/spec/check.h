/*
 * check.h - a tree against the table of keys
 */
#ifndef SPEC_CHECK_H
#define SPEC_CHECK_H

#include "spec/diagnostics.h"
#include "spec/tree.h"

/* Every unknown, unbuilt, missing or mistyped key is an error of its own; what was reported is
 * BAD afterwards. Without `whole`, `pipeline` and `jobs` may be missing (environments alone). */
void check_keys(struct tree *root, bool whole, struct diagnostics *d);

#endif
