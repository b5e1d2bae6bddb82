/*
 * store.h - rows, durable
 *
 * Each row is a protobuf message with a few indexed columns (proto/row.h). A commit is one record
 * in a log beside the database (PATH.redo0 and PATH.redo1), synced: that is all the engine waits
 * for. A thread of the store brings it to the tables, at most 100 ms later unless the disk is full,
 * over the one connection that writes and checkpoints. Handlers read over read-only connections of
 * their own, lent by a pool; each query finds what was committed before it. Events are append-only
 * and hash-chained: hash = SHA-256(packed event without `hash`, `prev_hash` included).
 *
 * A schema newer than this program is refused; an older one is migrated forward at open, in one
 * transaction, after a copy of the database. Damage is reported, never guessed around.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/error.h"
#include "proto/row.h"
#include "sluice/v1/events.pb-c.h"

struct store;

/* path: the SQLite file, made if absent. E0603 when it is damaged, E0604 when it is too new. */
struct store *store_open(const char *path, struct error *err);
/* All readers were given back. NULL is harmless. */
void store_close(struct store *s);
const char *store_path(const struct store *s);
DEFINE_CLEANUP(struct store *, store_close)

/* ---- the writer: one thread ---- */
void store_begin(struct store *s);
int store_put(struct store *s, const struct row *row,
	      struct error *err); /* insert, replace or delete */
/* A message on the heap; sets both hashes. Its seq is greater than the last one's. */
void store_append_event(struct store *s, Sluice__V1__Event *event);
/* ERR_EXHAUSTED means that the disk is full: the store is as before the transaction, and usable.
 * Any other failure leaves it open what is on the disk: only opening the store again tells. err is
 * not NULL. */
int store_commit(struct store *s, struct error *err);
void store_rollback(struct store *s); /* harmless after a commit */
/* The last committed event: its number, 0 when there is none, and its hash (32 bytes, or NULL). */
uint64_t store_last_event(const struct store *s, const uint8_t **ret_hash);
/* Every open row of a kind, by number then time; jobs and specs of every open run, by the run's
 * number then their own. The message is the callback's (heap). A damaged row ends it with E0602. */
int store_load(struct store *s, enum row_kind kind,
	       int (*load)(void *arg, ProtobufCMessage *message, struct error *err), void *arg,
	       struct error *err);
/* Reads of what was committed, for world_source. 1, 0, -1. find: the newest with this
 * parent (NULL: any) and key. */
int store_get(struct store *s, enum row_kind kind, const char *id, ProtobufCMessage **ret,
	      struct error *err);
int store_find(struct store *s, enum row_kind kind, const char *parent, const char *key,
	       ProtobufCMessage **ret, struct error *err);
int store_by_number(struct store *s, enum row_kind kind, uint64_t number, ProtobufCMessage **ret,
		    struct error *err);

/* ---- readers: any thread; a reader is used by one thread at a time ---- */
struct store_reader;
struct store_reader *store_reader_take(struct store *s, struct error *err);
void store_reader_give(struct store_reader *r); /* NULL is harmless; never after store_close() */
DEFINE_CLEANUP(struct store_reader *, store_reader_give)

/* Messages live in the arena. 1, 0, -1. */
int reader_get(struct store_reader *r, enum row_kind kind, const char *id, struct arena *a,
	       ProtobufCMessage **ret, struct error *err);
/* names: parent (NULL: any) and key. The newest such row. */
int reader_find(struct store_reader *r, enum row_kind kind, const char *const names[2],
		struct arena *a, ProtobufCMessage **ret, struct error *err);
int reader_by_number(struct store_reader *r, enum row_kind kind, uint64_t number, struct arena *a,
		     ProtobufCMessage **ret, struct error *err);

struct row_filter {
	const char *parent; /* NULL: any */
	const char *key;    /* NULL: any */
	int state;	    /* 0: any */
	uint64_t number;    /* 0: any */
	bool oldest_first;
	bool open_only;
	int limit;	   /* 1..1000 */
	size_t max_bytes;  /* 0: any; a page ends with the row that makes it as large, packed */
	const char *after; /* the last page's `next`, or "" */
	/* NULL, or what no column can tell. Tried on at most 10,000 rows a page: a page may be
	 * short, even empty, and still have a next. */
	bool (*match)(void *arg, const ProtobufCMessage *message);
	void *match_arg;
};

struct row_page {
	ProtobufCMessage **messages; /* in the arena */
	size_t count;
	const char *next; /* "" at the end */
};

/* By time, newest first unless told otherwise. A token that is not from this very list (kind and
 * filter, but for the limit): ERR_INVALID. */
int reader_list(struct store_reader *r, enum row_kind kind, const struct row_filter *filter,
		struct arena *a, struct row_page *ret, struct error *err);
/* Events after `after`, at most limit. */
int reader_events(struct store_reader *r, uint64_t after, int limit, struct arena *a,
		  Sluice__V1__Event ***ret, size_t *ret_count, struct error *err);
/* Verifies the whole audit chain, against the controller's row, too, if there is one: the error
 * (E0602) names the first event that does not fit. Takes as long as reading them all. */
int reader_verify_events(struct store_reader *r, uint64_t *ret_count, struct error *err);

#endif
