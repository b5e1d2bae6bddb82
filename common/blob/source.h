/*
 * source.h - an artifact being made: packed, cut and hashed in one pass
 *
 * The sender's side of an upload. Each chunk comes with its digest and its bytes, which are valid
 * until the next call; the manifest grows alongside and is complete after the end. Nothing is read
 * twice and nothing is written: memory is bounded (one chunker) whatever the size. The same tree or
 * file always gives the same manifest. One thread at a time.
 */
#ifndef BLOB_SOURCE_H
#define BLOB_SOURCE_H

#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "base/mem.h"
#include "blob/manifest.h"
#include "blob/store.h"
#include "blob/tarball.h"
#include "crypto/digest.h"

/* media MANIFEST_TAR: tree says what to pack. MANIFEST_RAW: the file tree.path, or, when that
 * is NULL, the bytes at data (borrowed until the end). */
struct source_spec {
	enum manifest_media media;
	struct tarball_source tree;
	const void *data;
	size_t len;
};

struct source_chunk {
	struct digest digest;
	const void *data;
	size_t len;
	uint64_t offset; /* of the chunk in the stream */
};

struct source;

struct source *source_open(const struct source_spec *spec, struct error *err);
void source_close(struct source *s);
DEFINE_CLEANUP(struct source *, source_close)
/* 1: a chunk; 0: the end; -1. */
int source_next(struct source *s, struct source_chunk *ret, struct error *err);
/* Complete once source_next() said 0; owned by the source. */
const struct manifest *source_manifest(const struct source *s);

/* All of it into a store, synced, manifest included. */
int source_store(const struct source_spec *spec, struct blob_store *store,
		 struct digest *ret_artifact, struct error *err);

#endif
