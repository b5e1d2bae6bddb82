/*
 * store.h - the chunk store: small blobs named by the SHA-256 of what they hold
 *
 *	DIR/ab/cdef...	a blob: a header of 16 bytes (magic, raw or zstd, plain size), then its
 *bytes; synced DIR/tmp/	blobs being written, and staged ones: whole, but not synced yet
 *	DIR/bad/	blobs whose bytes were found damaged, moved aside so that an upload can mend
 *them
 *
 * A blob is visible under its final name only when it is verified and durable. Writers stage
 *(blob_put, blob_commit), then one blob_sync() makes many blobs durable with few syncs. A staged
 *blob counts as there (blob_has, blob_pin, blob_read) but dies with the process. Every read is
 *hashed again: a wrong byte is ERR_CORRUPT and never delivered. Blobs are zstd'ed on disk when
 *their first block says that it pays.
 *
 * A directory belongs to one process (its owner's lock sees to that). All functions may be called
 *by any thread; several may write the same digest at once. A struct blob_writer belongs to one
 *thread.
 */
#ifndef BLOB_STORE_H
#define BLOB_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "crypto/digest.h"

enum {
	BLOB_MAX_SIZE = 64 << 20,	   /* plain bytes: chunks have 4 MiB, manifests up to 48 */
	BLOB_PIN_MS = 24 * 60 * 60 * 1000, /* how long a collection leaves what was touched */
};

struct blob_store;

/* Makes dir (0700) if absent and removes what a crash left in tmp/. */
struct blob_store *blob_store_open(const char *dir, struct error *err);
/* Staged blobs that nobody synced are removed. No writer may be left. */
void blob_store_close(struct blob_store *s);
DEFINE_CLEANUP(struct blob_store *, blob_store_close)

bool blob_has(struct blob_store *s, const struct digest *digest);
/* There? If so it is safe from collections for the next BLOB_PIN_MS: the answer to "have". */
bool blob_pin(struct blob_store *s, const struct digest *digest);

/* Verifies and stages. Already there: pins and is done. ERR_CORRUPT when data is not digest;
 * ERR_EXHAUSTED when the disk is full. */
int blob_put(struct blob_store *s, const struct digest *digest, const void *data, size_t len,
	     struct error *err);

/* The same in parts: the bytes in order, then commit. Never holds a blob in memory. */
struct blob_writer;
struct blob_writer *blob_writer_new(struct blob_store *s, struct error *err);
int blob_write(struct blob_writer *w, const void *data, size_t len, struct error *err);
/* The same for bytes that lie in pieces, as they came from the network: one write. */
int blob_writev(struct blob_writer *w, const struct iovec *parts, size_t n, struct error *err);
/* Verifies and stages; expect NULL: whatever it is. The writer is spent, free it. */
int blob_commit(struct blob_writer *w, const struct digest *expect, struct digest *ret_digest,
		struct error *err);
void blob_writer_free(struct blob_writer *w); /* before commit: leaves no file */
DEFINE_CLEANUP(struct blob_writer *, blob_writer_free)

/* Makes those of the n digests that are staged durable and visible: two syncs for many, one or two
 * for each of a few. ERR_NOT_FOUND names one that is neither staged nor there. Back when all are
 * durable. */
int blob_sync(struct blob_store *s, const struct digest *digests, size_t n, struct error *err);
/* The same for everything that is staged. */
int blob_sync_all(struct blob_store *s, struct error *err);

/* Appends the blob to ret, verified. ERR_NOT_FOUND, ERR_CORRUPT, ERR_EXHAUSTED when it has more
 * than limit bytes. ret is as before on failure. */
int blob_read(struct blob_store *s, const struct digest *digest, size_t limit, struct buf *ret,
	      struct error *err);

struct blob_stats {
	uint64_t kept, kept_bytes; /* bytes on disk */
	uint64_t removed, removed_bytes;
};

/* What a collection asks of each blob older than min_age_ms: does something name it? */
struct blob_collection {
	bool (*is_live)(void *arg, const struct digest *digest);
	void *arg;
	int64_t min_age_ms; /* BLOB_PIN_MS on the controller */
};
/* Removes what is not live and was not touched for min_age_ms; also damaged blobs of that age. Pins
 * that come meanwhile are respected. One collection at a time; others may read and write. */
int blob_collect(struct blob_store *s, const struct blob_collection *how, struct blob_stats *ret,
		 struct error *err);
/* For a cache: removes the longest untouched blobs until at most max_bytes are left on disk.
 * blob_read() does not touch, blob_pin() does. */
int blob_trim(struct blob_store *s, uint64_t max_bytes, struct blob_stats *ret, struct error *err);

#endif
