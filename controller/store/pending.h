/*
 * pending.h - what was committed and has not reached its tables yet
 *
 * Whole records, kept as they were written, and an index over their rows: of a row that several
 * commits changed only the last version counts. Used under the store's lock.
 */
#ifndef STORE_PENDING_H
#define STORE_PENDING_H

#include <stddef.h>
#include <stdint.h>
#include <uthash.h>
#include "base/buf.h"
#include "controller/store/redo.h"

struct pending_row {
	struct row row; /* points into its commit's record */
	UT_hash_handle by_id;
	bool replaced; /* by a later commit's */
};

struct pending_commit {
	struct pending_commit *next;
	uint64_t number;
	struct buf record;
	struct pending_row *rows;
	size_t n_rows;
};

struct pending {
	struct pending_commit *first, *last;
	struct pending_row *rows[ROW_KINDS]; /* by id */
	size_t bytes;
};

/* The record becomes its own. False (and it is released): it is none. */
bool pending_add(struct pending *p, uint64_t number, struct buf *record);
const struct row *pending_find(const struct pending *p, enum row_kind kind, const char *id);
/* All of `later`, which is empty afterwards. */
void pending_join(struct pending *p, struct pending *later);
void pending_release(struct pending *p); /* and is empty again */

#endif
