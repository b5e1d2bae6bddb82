/*
 * manifest.h - what an artifact consists of: the digests of its chunks, in order
 *
 * The packed form is the canonical encoding of sluice.v1.Manifest (proto/sluice/v1/blob.proto); its
 * SHA-256 is the artifact's digest, so there is exactly one packed form of a manifest and
 * parsing refuses every other. The manifest itself lies in the store as a blob under that digest.
 *
 * `struct manifest m = {0}` is an empty tar manifest and owns nothing. One thread at a time.
 */
#ifndef BLOB_MANIFEST_H
#define BLOB_MANIFEST_H

#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/error.h"
#include "crypto/digest.h"

enum manifest_media {
	MANIFEST_TAR, /* the chunks joined are one tar stream: a tree */
	MANIFEST_RAW, /* the chunks joined are the file: reports, notes, metrics */
};

enum {
	MANIFEST_MAX_CHUNKS = 1000000,
	MANIFEST_MAX_BYTES = 48 << 20, /* of the packed form with the most chunks: 45 bytes each */
};

struct manifest_chunk {
	struct digest digest;
	uint32_t size; /* bytes, 1 to CHUNK_MAX (chunker.h) */
};

struct manifest {
	enum manifest_media media;
	uint64_t size; /* the sum of the chunks' sizes */
	struct manifest_chunk *chunks;
	size_t n_chunks;
	size_t cap; /* of chunks, private */
};

void manifest_release(struct manifest *m); /* frees, and is empty again; fits cleanup() */
/* Appends a chunk and adds up the size. ERR_EXHAUSTED past MANIFEST_MAX_CHUNKS. */
int manifest_add(struct manifest *m, const struct digest *digest, uint32_t size, struct error *err);
/* Appends the packed form to ret. */
void manifest_pack(const struct manifest *m, struct buf *ret);
/* The artifact's digest. */
struct digest manifest_digest(const struct manifest *m);
/* From foreign bytes. ERR_INVALID: not canonical, an unknown version or media, a chunk of no or too
 * great size, sizes that do not add up, too many chunks. ret is untouched on failure. */
int manifest_parse(const void *data, size_t len, struct manifest *ret, struct error *err);
const char *manifest_media_name(enum manifest_media media); /* "tar", "raw" */
int manifest_media_parse(const char *name, enum manifest_media *ret, struct error *err);

#endif
