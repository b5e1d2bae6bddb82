/*
 * The canonical encoding is written and read by hand, 45 bytes a chunk at most: protobuf's own
 * reader would take many allocations for each chunk of a hostile manifest, and would accept
 * encodings that are not the one. That it is the same as protobuf's for valid manifests is a test
 * (tests/unit/blob/manifest.c).
 */
#include "blob/manifest.h"

#include <assert.h>
#include <string.h>
#include "base/mem.h"
#include "blob/chunker.h"

enum {
	VERSION = 1,
	/* field << 3 | wire type: 0 varint, 2 length-delimited */
	TAG_VERSION = 1 << 3 | 0,
	TAG_MEDIA = 2 << 3 | 2,
	TAG_SIZE = 3 << 3 | 0,
	TAG_CHUNK = 4 << 3 | 2,
	TAG_CHUNK_DIGEST = 1 << 3 | 2,
	TAG_CHUNK_SIZE = 2 << 3 | 0,
	CHUNK_HEAD = 2 + DIGEST_SIZE + 1, /* tag, length, digest, tag */
};

static const char *const media_names[] = {
	[MANIFEST_TAR] = "tar",
	[MANIFEST_RAW] = "raw",
};

void manifest_release(struct manifest *m)
{
	free(m->chunks);
	*m = (struct manifest){ 0 };
}

const char *manifest_media_name(enum manifest_media media)
{
	assert((size_t)media < ARRAY_SIZE(media_names));
	return media_names[media];
}

int manifest_media_parse(const char *name, enum manifest_media *ret, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(media_names); i++)
		if (strcmp(name, media_names[i]) == 0) {
			*ret = (enum manifest_media)i;
			return 0;
		}
	return error_set(err, ERR_INVALID, "the media '%.40s' is neither 'tar' nor 'raw'", name);
}

int manifest_add(struct manifest *m, const struct digest *digest, uint32_t size, struct error *err)
{
	if (size < 1 || size > CHUNK_MAX)
		return error_set(err, ERR_INVALID, "a chunk has 1 to %d bytes, this one %u",
				 CHUNK_MAX, size);
	if (m->n_chunks == MANIFEST_MAX_CHUNKS)
		return error_set(err, ERR_EXHAUSTED, "an artifact has at most %d chunks",
				 MANIFEST_MAX_CHUNKS);
	if (m->n_chunks == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 64;
		m->chunks = xreallocarray(m->chunks, m->cap, sizeof *m->chunks);
	}
	m->chunks[m->n_chunks++] = (struct manifest_chunk){ .digest = *digest, .size = size };
	m->size += size;
	return 0;
}

static int varint_len(uint64_t v)
{
	int n = 1;

	for (; v >= 128; v >>= 7)
		n++;
	return n;
}

static void put_varint(struct buf *b, uint64_t v)
{
	for (; v >= 128; v >>= 7)
		buf_putc(b, (char)(v | 128));
	buf_putc(b, (char)v);
}

void manifest_pack(const struct manifest *m, struct buf *ret)
{
	const char *media = manifest_media_name(m->media);

	buf_reserve(ret, 32 + m->n_chunks * (2 + CHUNK_HEAD + 4));
	buf_putc(ret, TAG_VERSION);
	put_varint(ret, VERSION);
	buf_putc(ret, TAG_MEDIA);
	put_varint(ret, strlen(media));
	buf_puts(ret, media);
	if (m->size) {
		buf_putc(ret, TAG_SIZE);
		put_varint(ret, m->size);
	}
	for (size_t i = 0; i < m->n_chunks; i++) {
		const struct manifest_chunk *c = &m->chunks[i];

		buf_putc(ret, TAG_CHUNK);
		put_varint(ret, (uint64_t)(CHUNK_HEAD + varint_len(c->size)));
		buf_putc(ret, TAG_CHUNK_DIGEST);
		put_varint(ret, DIGEST_SIZE);
		buf_add(ret, c->digest.bytes, DIGEST_SIZE);
		buf_putc(ret, TAG_CHUNK_SIZE);
		put_varint(ret, c->size);
	}
}

struct digest manifest_digest(const struct manifest *m)
{
	cleanup(buf_release) struct buf packed = { 0 };

	manifest_pack(m, &packed);
	return digest_of(packed.data, packed.len);
}

/* What is left to parse. */
struct input {
	const uint8_t *p, *end;
};

static bool get_byte(struct input *in, uint8_t wanted)
{
	return in->p < in->end && *in->p++ == wanted;
}

/* The shortest form only, and not 0, which is a default and is left out. */
static bool get_varint(struct input *in, uint64_t *ret)
{
	uint64_t v = 0;

	for (int shift = 0; shift < 64 && in->p < in->end; shift += 7) {
		uint8_t b = *in->p++;

		if (shift == 63 && b > 1)
			return false;
		v |= (uint64_t)(b & 127) << shift;
		if (!(b & 128)) {
			*ret = v;
			return b != 0;
		}
	}
	return false;
}

static bool get_bytes(struct input *in, void *ret, size_t len)
{
	if ((size_t)(in->end - in->p) < len)
		return false;
	memcpy(ret, in->p, len);
	in->p += len;
	return true;
}

static int parse_head(struct input *in, struct manifest *m, uint64_t *ret_size, struct error *err)
{
	char media[8] = "";
	uint64_t version, len;

	if (!get_byte(in, TAG_VERSION) || !get_varint(in, &version))
		return error_set(err, ERR_INVALID, "a manifest does not begin with its version");
	if (version != VERSION)
		return error_set(err, ERR_INVALID, "a manifest of version %llu; only %d is known",
				 (unsigned long long)version, VERSION);
	if (!get_byte(in, TAG_MEDIA) || !get_varint(in, &len) || len >= sizeof media ||
	    !get_bytes(in, media, len) || strlen(media) != len)
		return error_set(err, ERR_INVALID, "a manifest does not say its media");
	if (manifest_media_parse(media, &m->media, err) < 0)
		return -1;
	*ret_size = 0;
	if (in->p < in->end && *in->p == TAG_SIZE) {
		in->p++;
		if (!get_varint(in, ret_size))
			return error_set(err, ERR_INVALID, "a manifest has a broken size");
	}
	return 0;
}

static int parse_chunk(struct input *in, struct manifest *m, struct error *err)
{
	struct digest digest;
	uint64_t len, size = 0;

	if (!get_byte(in, TAG_CHUNK) || !get_varint(in, &len) || !get_byte(in, TAG_CHUNK_DIGEST) ||
	    !get_byte(in, DIGEST_SIZE) || !get_bytes(in, digest.bytes, DIGEST_SIZE) ||
	    !get_byte(in, TAG_CHUNK_SIZE) || !get_varint(in, &size) ||
	    len != (uint64_t)(CHUNK_HEAD + varint_len(size)))
		return error_set(err, ERR_INVALID, "chunk %zu of a manifest is not well-formed",
				 m->n_chunks);
	if (size > CHUNK_MAX)
		return error_set(err, ERR_INVALID, "chunk %zu of a manifest has %llu bytes of %d",
				 m->n_chunks, (unsigned long long)size, CHUNK_MAX);
	return manifest_add(m, &digest, (uint32_t)size, err);
}

int manifest_parse(const void *data, size_t len, struct manifest *ret, struct error *err)
{
	struct input in = { data, (const uint8_t *)data + len };
	cleanup(manifest_release) struct manifest m = { 0 };
	uint64_t size;

	if (len > MANIFEST_MAX_BYTES)
		return error_set(err, ERR_INVALID, "a manifest has at most %d bytes, not %zu",
				 MANIFEST_MAX_BYTES, len);
	if (parse_head(&in, &m, &size, err) < 0)
		return -1;
	while (in.p < in.end)
		if (parse_chunk(&in, &m, err) < 0)
			return -1;
	if (m.size != size)
		return error_set(err, ERR_INVALID,
				 "a manifest says %llu bytes, but its chunks have %llu",
				 (unsigned long long)size, (unsigned long long)m.size);
	*ret = m;
	m = (struct manifest){ 0 };
	return 0;
}
