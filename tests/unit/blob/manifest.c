/*
 * manifest.c: one packed form, the same as protobuf's own, and nothing else parses.
 */
#include "blob/manifest.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "blob/chunker.h"
#include "sluice/v1/blob.pb-c.h"
#include "support.h"

static struct manifest sample(size_t n, enum manifest_media media)
{
	struct manifest m = { .media = media };

	for (size_t i = 0; i < n; i++) {
		struct digest d = digest_of(&i, sizeof i);
		uint32_t size = (uint32_t)(i * 7919 % CHUNK_MAX) + 1;

		cr_assert_eq(manifest_add(&m, &d, size, &err), 0, "%s", err.text);
	}
	return m;
}

/* The same by protobuf-c. */
static void pack_by_protobuf(const struct manifest *m, struct buf *ret)
{
	Sluice__V1__Manifest msg = SLUICE__V1__MANIFEST__INIT;
	Sluice__V1__ChunkRef *refs = xcalloc(m->n_chunks + 1, sizeof *refs);
	Sluice__V1__ChunkRef **list = xcalloc(m->n_chunks + 1, sizeof *list);

	for (size_t i = 0; i < m->n_chunks; i++) {
		sluice__v1__chunk_ref__init(&refs[i]);
		refs[i].digest.data = m->chunks[i].digest.bytes;
		refs[i].digest.len = DIGEST_SIZE;
		refs[i].size = m->chunks[i].size;
		list[i] = &refs[i];
	}
	msg.version = 1;
	msg.media = (char *)manifest_media_name(m->media);
	msg.size = m->size;
	msg.n_chunks = m->n_chunks;
	msg.chunks = list;
	buf_reserve(ret, sluice__v1__manifest__get_packed_size(&msg));
	ret->len += sluice__v1__manifest__pack(&msg, (uint8_t *)ret->data + ret->len);
	free(list);
	free(refs);
}

Test(manifest, is_packed_as_protobuf_packs_it_and_parses_back)
{
	static const size_t sizes[] = { 0, 1, 2, 300, 5000 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		cleanup(manifest_release) struct manifest m =
			sample(sizes[i], i % 2 ? MANIFEST_RAW : MANIFEST_TAR);
		cleanup(manifest_release) struct manifest back = { 0 };
		cleanup(buf_release) struct buf ours = { 0 }, theirs = { 0 };

		manifest_pack(&m, &ours);
		pack_by_protobuf(&m, &theirs);
		cr_assert_eq(ours.len, theirs.len);
		cr_expect_eq(memcmp(ours.data, theirs.data, ours.len), 0);
		cr_assert_eq(manifest_parse(ours.data, ours.len, &back, &err), 0, "%s", err.text);
		cr_expect_eq(back.media, m.media);
		cr_expect_eq(back.size, m.size);
		cr_assert_eq(back.n_chunks, m.n_chunks);
		for (size_t k = 0; k < m.n_chunks; k++) {
			cr_expect(digest_equal(&back.chunks[k].digest, &m.chunks[k].digest));
			cr_expect_eq(back.chunks[k].size, m.chunks[k].size);
		}
	}
}

Test(manifest, its_digest_is_that_of_the_packed_form_for_ever)
{
	cleanup(manifest_release) struct manifest m = sample(3, MANIFEST_TAR);
	cleanup(buf_release) struct buf packed = { 0 };
	struct digest d = manifest_digest(&m), of_bytes;
	char hex[DIGEST_HEX_SIZE];

	manifest_pack(&m, &packed);
	of_bytes = digest_of(packed.data, packed.len);
	cr_expect(digest_equal(&d, &of_bytes));
	cr_expect_str_eq(digest_hex(&d, hex),
			 "c8237e6290ba953a4607833980cb004756e71b3cbc62195fc1955732a6e1fd31");
	m.media = MANIFEST_RAW;
	of_bytes = manifest_digest(&m);
	cr_expect_not(digest_equal(&d, &of_bytes), "the media is part of it");
}

Test(manifest, whatever_is_cut_off_or_added_does_not_parse)
{
	cleanup(manifest_release) struct manifest m = sample(3, MANIFEST_TAR), got = { 0 };
	cleanup(buf_release) struct buf packed = { 0 };

	manifest_pack(&m, &packed);
	for (size_t len = 0; len < packed.len; len++)
		if (len != 7) /* of an empty one, which another digest names */
			cr_expect_eq(manifest_parse(packed.data, len, &got, &err), -1, "%zu", len);
	buf_putc(&packed, 0);
	cr_expect_eq(manifest_parse(packed.data, packed.len, &got, &err), -1);
	packed.len--;
	buf_add(&packed, "\x28\x01", 2); /* an unknown field */
	cr_expect_eq(manifest_parse(packed.data, packed.len, &got, &err), -1);
	cr_expect_eq(err.code, ERR_INVALID);
	cr_expect_null(got.chunks);
}

/* No two byte strings are the same manifest: what parses packs to itself. */
Test(manifest, every_changed_byte_is_refused_or_is_another_manifest)
{
	cleanup(manifest_release) struct manifest m = sample(2, MANIFEST_TAR);
	cleanup(buf_release) struct buf packed = { 0 };

	manifest_pack(&m, &packed);
	for (size_t at = 0; at < packed.len; at++)
		for (int bit = 0; bit < 8; bit++) {
			cleanup(manifest_release) struct manifest got = { 0 };
			cleanup(buf_release) struct buf again = { 0 };

			packed.data[at] ^= (char)(1 << bit);
			if (manifest_parse(packed.data, packed.len, &got, &err) == 0) {
				manifest_pack(&got, &again);
				cr_expect(again.len == packed.len &&
						  memcmp(again.data, packed.data, again.len) == 0,
					  "byte %zu bit %d", at, bit);
			}
			packed.data[at] ^= (char)(1 << bit);
		}
}

static int parse(const char *bytes, size_t len)
{
	cleanup(manifest_release) struct manifest got = { 0 };

	err = (struct error){ 0 };
	return manifest_parse(bytes, len, &got, &err);
}

#define D	 "01234567890123456789012345678901"
#define PARSE(s) parse(s, sizeof(s) - 1)

Test(manifest, has_one_form_only)
{
	cr_expect_eq(PARSE("\x08\x01\x12\x03tar"), 0, "%s", err.text);
	cr_expect_eq(PARSE("\x08\x01\x12\x03tar\x18\x05\x22\x24\x0a\x20" D "\x10\x05"), 0, "%s",
		     err.text);
	cr_expect_eq(PARSE("\x08\x81\x00\x12\x03tar"), -1, "a longer varint");
	cr_expect_eq(PARSE("\x12\x03tar\x08\x01"), -1, "another order");
	cr_expect_eq(PARSE("\x08\x01\x12\x03tar\x18\x00"), -1, "a default written out");
	cr_expect_eq(PARSE("\x08\x02\x12\x03tar"), -1, "another version");
	cr_expect(strstr(err.text, "version 2"), "%s", err.text);
	cr_expect_eq(PARSE("\x08\x01\x12\x03zip"), -1, "another media");
	cr_expect(strstr(err.text, "'zip'"), "%s", err.text);
	cr_expect_eq(PARSE("\x08\x01\x12\x04tar\0"), -1, "a NUL in the media");
	cr_expect_eq(PARSE("\x08\x01\x12\x7ftar"), -1, "a length past the end");
}

Test(manifest, sizes_add_up_and_have_limits)
{
	cr_expect_eq(PARSE("\x08\x01\x12\x03tar\x18\x06\x22\x24\x0a\x20" D "\x10\x05"), -1);
	cr_expect(strstr(err.text, "says 6 bytes, but its chunks have 5"), "%s", err.text);
	cr_expect_eq(PARSE("\x08\x01\x12\x03tar\x22\x24\x0a\x20" D "\x10\x05"), -1);
	cr_expect_eq(PARSE("\x08\x01\x12\x03tar\x22\x24\x0a\x20" D "\x10\x00"), -1,
		     "an empty chunk");
	cr_expect_eq(PARSE("\x08\x01\x12\x03tar\x18\x81\x80\x80\x02\x22\x27\x0a\x20" D
			   "\x10\x81\x80\x80\x02"),
		     -1, "4 MiB and one");
	cr_expect_eq(PARSE("\x08\x01\x12\x03tar\x18\x80\x80\x80\x02\x22\x27\x0a\x20" D
			   "\x10\x80\x80\x80\x02"),
		     0, "4 MiB: %s", err.text);
	cr_expect_eq(PARSE("\x08\x01\x12\x03tar\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), -1,
		     "a huge size without chunks");
	cr_expect_eq(PARSE("\x08\x01\x12\x03tar\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), -1,
		     "more than 64 bits");
}

Test(manifest, holds_a_million_chunks_and_not_one_more)
{
	cleanup(manifest_release) struct manifest m = { 0 }, back = { 0 };
	cleanup(buf_release) struct buf packed = { 0 };
	struct digest d = { { 1 } };

	for (int i = 0; i < MANIFEST_MAX_CHUNKS; i++)
		cr_assert_eq(manifest_add(&m, &d, CHUNK_MAX, &err), 0);
	cr_expect_eq(manifest_add(&m, &d, 1, &err), -1);
	cr_expect_eq(err.code, ERR_EXHAUSTED);
	manifest_pack(&m, &packed);
	cr_expect_leq(packed.len, MANIFEST_MAX_BYTES);
	cr_assert_eq(manifest_parse(packed.data, packed.len, &back, &err), 0, "%s", err.text);
	cr_expect_eq(back.size, (uint64_t)MANIFEST_MAX_CHUNKS * CHUNK_MAX);
	/* one more by hand */
	buf_add(&packed, "\x22\x24\x0a\x20" D "\x10\x05", 38);
	cr_expect_eq(manifest_parse(packed.data, packed.len, &back, &err), -1);
	cr_expect_eq(manifest_add(&m, &d, 0, &err), -1);
	cr_expect_eq(err.code, ERR_INVALID);
}

Test(manifest, media_have_names)
{
	enum manifest_media media = MANIFEST_TAR;

	cr_expect_eq(manifest_media_parse("raw", &media, &err), 0);
	cr_expect_eq(media, MANIFEST_RAW);
	cr_expect_eq(manifest_media_parse("RAW", &media, &err), -1);
	cr_expect_str_eq(manifest_media_name(MANIFEST_TAR), "tar");
}
