/*
 * An artifact out of the store: its manifest, then its chunks, one in memory at a time. A chunk
 * whose size is not what the manifest says cannot be (its digest is right), but for a manifest that
 * lies: that is an error, too.
 */
#include "blob/reader.h"

#include <string.h>
#include "blob/chunker.h"
#include "blob/tarball.h"

struct blob_reader {
	struct blob_store *store;
	struct digest artifact;
	struct manifest manifest;
	size_t next;	 /* the chunk to read */
	uint64_t offset; /* where that chunk begins */
	size_t skip;	 /* bytes of it that are not wanted (after a seek) */
	struct buf chunk;
};

struct blob_reader *blob_reader_open(struct blob_store *s, const struct digest *artifact,
				     struct error *err)
{
	cleanup(blob_reader_closep) struct blob_reader *r = xcalloc(1, sizeof *r);
	cleanup(buf_release) struct buf packed = { 0 };
	char hex[DIGEST_HEX_SIZE];

	r->store = s;
	r->artifact = *artifact;
	if (blob_read(s, artifact, MANIFEST_MAX_BYTES, &packed, err) < 0 ||
	    manifest_parse(packed.data, packed.len, &r->manifest, err) < 0)
		return error_wrap(err, "the artifact '%s'", digest_hex(artifact, hex)), NULL;
	return steal(r);
}

void blob_reader_close(struct blob_reader *r)
{
	if (!r)
		return;
	manifest_release(&r->manifest);
	buf_release(&r->chunk);
	free(r);
}

const struct manifest *blob_reader_manifest(const struct blob_reader *r)
{
	return &r->manifest;
}

int blob_reader_next(struct blob_reader *r, const void **ret_data, size_t *ret_len,
		     struct error *err)
{
	const struct manifest_chunk *c;
	char hex[DIGEST_HEX_SIZE];

	if (r->next == r->manifest.n_chunks)
		return 0;
	c = &r->manifest.chunks[r->next];
	buf_clear(&r->chunk);
	if (blob_read(r->store, &c->digest, CHUNK_MAX, &r->chunk, err) < 0)
		return error_wrap(err, "the artifact '%s'", digest_hex(&r->artifact, hex));
	if (r->chunk.len != c->size)
		return error_set(err, ERR_CORRUPT,
				 "the artifact '%s': chunk %zu has %zu bytes, not %u",
				 digest_hex(&r->artifact, hex), r->next, r->chunk.len, c->size);
	*ret_data = r->chunk.data + r->skip;
	*ret_len = r->chunk.len - r->skip;
	r->skip = 0;
	r->offset += c->size;
	r->next++;
	return 1;
}

int blob_reader_pull(void *arg, const void **ret_data, size_t *ret_len, struct error *err)
{
	return blob_reader_next(arg, ret_data, ret_len, err);
}

int blob_reader_seek(struct blob_reader *r, uint64_t offset, struct error *err)
{
	const struct manifest *m = &r->manifest;

	if (offset > m->size)
		return error_set(err, ERR_INVALID, "offset %llu of an artifact of %llu bytes",
				 (unsigned long long)offset, (unsigned long long)m->size);
	if (offset < r->offset)
		r->next = 0, r->offset = 0;
	while (r->next < m->n_chunks && r->offset + m->chunks[r->next].size <= offset)
		r->offset += m->chunks[r->next++].size;
	r->skip = (size_t)(offset - r->offset);
	return 0;
}

int blob_unpack(struct blob_store *s, const struct digest *artifact, const char *path, bool durable,
		struct error *err)
{
	cleanup(blob_reader_closep) struct blob_reader *r = blob_reader_open(s, artifact, err);
	struct tarball_target target = { .path = path, .durable = durable };
	char hex[DIGEST_HEX_SIZE];

	if (!r)
		return -1;
	if (r->manifest.media != MANIFEST_TAR)
		return error_set(err, ERR_INVALID, "the artifact '%s' is no tree, but raw bytes",
				 digest_hex(artifact, hex));
	target.max_bytes = r->manifest.size;
	return tarball_unpack(&target, blob_reader_pull, r, err);
}
