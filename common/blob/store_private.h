/*
 * store_private.h - what the store's files share: store.c (the directory, staging, syncing),
 * store_write.c, store_read.c, store_collect.c
 */
#ifndef BLOB_STORE_PRIVATE_H
#define BLOB_STORE_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <uthash.h>
#include "base/thread.h"
#include "blob/store.h"

enum {
	BLOB_NAME_SIZE = 72, /* "ab/cdef...", "tmp/17", "bad/abcdef...", and the NUL */
	BLOB_HEADER_SIZE = 16,
};

enum blob_encoding { BLOB_RAW, BLOB_ZSTD };

struct blob_header {
	enum blob_encoding encoding;
	uint32_t size; /* plain bytes */
};

/* A blob that is whole and verified, but not yet synced. */
struct staged {
	struct digest digest;
	char name[BLOB_NAME_SIZE];
	bool syncing; /* by some thread, which tells `settled` */
	UT_hash_handle hh;
};

struct codec; /* a compressor and its output buffer */

struct blob_store {
	char *dir;
	int root;		/* all names are relative to it */
	int64_t wall_offset_ms; /* wall less boot time at open */
	atomic_uint_least64_t next_temporary;
	atomic_bool has_bad; /* there may be something in bad/ */
	struct lock lock;    /* guards the rest, pins against removals, and what is in place against
				staging */
	struct signal settled;
	struct staged *staged;
	struct codec *codecs; /* free ones */
};

void blob_final_name(const struct digest *d, char ret[BLOB_NAME_SIZE]);
void blob_bad_name(const struct digest *d, char ret[BLOB_NAME_SIZE]);
void blob_temporary_name(struct blob_store *s, char ret[BLOB_NAME_SIZE]);
/* The wall clock as it was at open, moved on by the boot clock: a jump does not make a pin look
 * old. */
struct timespec blob_now(const struct blob_store *s);

/* Takes the temporary file over: it is staged, or removed when the digest is there already. */
int blob_stage(struct blob_store *s, const struct digest *d, const char *temporary,
	       struct error *err);
/* Opens the blob wherever it is; -1 with ENOENT. ret_name is where it was found. */
int blob_open_file(struct blob_store *s, const struct digest *d, char ret_name[BLOB_NAME_SIZE]);
/* Moves the damaged file that fd is away, so that has() says no and an upload can mend it. */
void blob_condemn(struct blob_store *s, const struct digest *d, const char *name, int fd);

void blob_header_pack(const struct blob_header *h, uint8_t ret[BLOB_HEADER_SIZE]);
/* -1: no header of ours. */
int blob_header_parse(const uint8_t data[BLOB_HEADER_SIZE], struct blob_header *ret);

struct codec *codec_take(struct blob_store *s);
void codec_give(struct blob_store *s, struct codec *c);
void codecs_free(struct blob_store *s);

#endif
