/*
 * chunker.h - cuts a stream where its content says so
 *
 * Content-defined chunking with a gear hash (Xia et al., "FastCDC", USENIX ATC 2016): a chunk ends
 * where a rolling hash of the last 64 bytes has certain bits zero, so that a changed byte changes
 *its own chunk and rarely the next. Chunks are CHUNK_MIN to CHUNK_MAX bytes, about CHUNK_MEAN on
 *average; the first CHUNK_MIN bytes of a chunk are skipped, the mask is stricter below the mean
 *than above it. Where a stream is cut depends on its bytes alone, never on how they arrive, and is
 *fixed for ever: stored artifacts are found again by it. The table is made by splitmix64
 *(chunker.c); golden vectors stand in tests/unit/blob/chunker.c.
 *
 *	while ((n = read(fd, chunker_room(c, &room), room)) > 0) {
 *		chunker_added(c, n);
 *		while (chunker_next(c, &data, &len))
 *			...
 *	}
 *	chunker_finish(c);
 *	while (chunker_next(c, &data, &len))
 *		...
 *
 * No byte is copied on the usual path. One thread at a time. Holds 8 MiB of address space, touched
 *as needed.
 */
#ifndef BLOB_CHUNKER_H
#define BLOB_CHUNKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/mem.h"

enum {
	CHUNK_MIN = 256 << 10,
	CHUNK_MEAN = 1 << 20,
	CHUNK_MAX = 4 << 20,
};

struct chunker;

struct chunker *chunker_new(void);
void chunker_free(struct chunker *c);
DEFINE_CLEANUP(struct chunker *, chunker_free)

/* Where the next bytes go; at least CHUNK_MIN of room once chunker_next() said false. Whatever
 * chunker_next() returned is gone then. */
void *chunker_room(struct chunker *c, size_t *ret_room);
void chunker_added(struct chunker *c, size_t len); /* that many bytes were put there */
/* The same with a copy: takes what there is room for and says how much that was. */
size_t chunker_push(struct chunker *c, const void *data, size_t len);
void chunker_finish(struct chunker *c); /* nothing more will come */
/* The next whole chunk, if there is one: valid until chunker_room() or chunker_push(). */
bool chunker_next(struct chunker *c, const void **ret_data, size_t *ret_len);
/* For a new stream with the same memory. */
void chunker_reset(struct chunker *c);

#endif
