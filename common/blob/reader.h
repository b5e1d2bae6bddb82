/*
 * reader.h - an artifact's bytes in order, out of a store
 *
 * Reads the manifest by the artifact's digest, then chunk after chunk, each verified before any of
 * its bytes is given out. Serves downloads and feeds tarball_unpack(). Holds one chunk in memory.
 * One thread at a time.
 */
#ifndef BLOB_READER_H
#define BLOB_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "base/mem.h"
#include "blob/manifest.h"
#include "blob/store.h"
#include "crypto/digest.h"

struct blob_reader;

/* ERR_NOT_FOUND, ERR_CORRUPT. The store must outlive the reader. */
struct blob_reader *blob_reader_open(struct blob_store *s, const struct digest *artifact,
				     struct error *err);
void blob_reader_close(struct blob_reader *r);
DEFINE_CLEANUP(struct blob_reader *, blob_reader_close)

const struct manifest *blob_reader_manifest(const struct blob_reader *r);
/* The next bytes, at most a chunk, valid until the next call: 1; 0 at the end; -1. */
int blob_reader_next(struct blob_reader *r, const void **ret_data, size_t *ret_len,
		     struct error *err);
/* The same as a tarball_pull (tarball.h); arg is the reader. */
int blob_reader_pull(void *arg, const void **ret_data, size_t *ret_len, struct error *err);
/* Goes on at an offset (bytes; a resumed download). ERR_INVALID past the end. */
int blob_reader_seek(struct blob_reader *r, uint64_t offset, struct error *err);

/* Unpacks the tree artifact to path (tarball.h); ERR_INVALID when it is a raw one. durable as in
 * tarball_target. */
int blob_unpack(struct blob_store *s, const struct digest *artifact, const char *path, bool durable,
		struct error *err);

#endif
