/*
 * redo.h - the log of commits: what makes one durable
 *
 * A commit is one record in a file beside the database, written and synced; its rows reach their
 * tables later, many commits at a time (behind.c). Records are numbered without a gap, and the
 * database knows the number of the last one that its tables hold, so that after a crash exactly
 * what is missing is taken from here.
 *
 * Two files, PATH.redo0 and PATH.redo1, take turns: while one is written, what the other holds
 * reaches the tables and is synced there. They are filled with zeros ahead and never cut, since a
 * sync that need not change the inode costs half. A record is as the machine that wrote it has its
 * numbers; a store that was closed in order needs none of them.
 *
 * A record that was not written whole ends a file: it was never acknowledged. One that is missing
 * or damaged before another that is whole is damage (E0603). Not for two threads at once.
 */
#ifndef STORE_REDO_H
#define STORE_REDO_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/error.h"
#include "proto/row.h"

/* ---- a record: rows and events of one commit ---- */

enum { REDO_MAGIC = 0x6f646572 }; /* "redo" */

struct redo_head {
	uint32_t magic;
	uint32_t crc; /* of all that follows */
	uint64_t number;
	uint64_t len; /* of the items */
	int32_t version, unused;
};

struct record_item {
	bool is_event;
	struct row row;	     /* of an event: number, time_ms, state (its kind) and body */
	const uint8_t *hash; /* of an event: 32 bytes */
};

void record_begin(struct buf *record); /* empties it; leaves room for the head */
bool record_is_empty(const struct buf *record);
void record_row(struct buf *record, const struct row *row);
void record_event(struct buf *record, const struct record_item *event);
/* The item at *at (0: the first), which points into the record; moves *at to the next. 1, 0 at the
 * end, -1 when it is none. */
int record_next(const struct buf *record, size_t *at, struct record_item *ret);

/* ---- the files ---- */

struct redo;

bool redo_exists(const char *path); /* both files */
/* Makes what is not there. version: the schema's; a record of another one cannot be taken. */
struct redo *redo_open(const char *path, int version, struct error *err);
void redo_close(struct redo *r); /* NULL is harmless */
/* Each record after number `after`, in order; take() owns it. */
int redo_replay(struct redo *r, uint64_t after,
		void (*take)(void *arg, uint64_t number, struct buf *record), void *arg,
		struct error *err);
/* After the replay: all up to `last` is durable in the tables, and both files are free. */
void redo_restart(struct redo *r, uint64_t last);
/* Durable on 0, with the next number. -1 with ERR_EXHAUSTED: the disk is full, and nothing
 * happened; else nobody knows what is on the disk. `durable`: the last number that the tables hold
 * for good.
 */
int redo_append(struct redo *r, struct buf *record, uint64_t durable, struct error *err);
uint64_t redo_last(const struct redo *r);
/* What must be durable in the tables for the other file to be free; 0: it is. */
uint64_t redo_awaits(const struct redo *r, uint64_t durable);
/* The file in turn is large because the other was not free for long. */
bool redo_is_long(const struct redo *r);

#endif
