/*
 * source_tree.h - what of a directory is the source of a run
 *
 * Inside a git work tree: what git tracks and what it would track (`git ls-files -co
 * --exclude-standard`), deleted files left out. Elsewhere: every file. Less what .sluiceignore
 * names. Files and symbolic links only. A file of its owner alone that holds nothing but a token of
 * Sluice's is left out: every viewer reads the source of a run.
 */
#ifndef CLI_SOURCE_TREE_H
#define CLI_SOURCE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

struct source_tree {
	char *directory;
	char **paths; /* relative to it */
	size_t count;
	uint64_t bytes;
	char *label; /* "9f31c2e + local changes" */
	bool is_git;
	size_t changed; /* files that are not as in the commit */
	size_t tokens;	/* files left out because they hold a token; the first is: */
	char *token;
};

int source_tree_list(const char *directory, struct source_tree *ret, struct error *err);
void source_tree_release(struct source_tree *t); /* fits cleanup() */

#endif
