/*
 * source.c, reader.c: from a tree to its artifact and back, and what a change costs.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "blob/chunker.h"
#include "blob/reader.h"
#include "support.h"

static struct blob_store *store;

static void setup(void)
{
	setup_dir();
	store = blob_store_open(in_dir("blobs"), &err);
	cr_assert(store, "%s", err.text);
}

static void teardown(void)
{
	blob_store_close(store);
	teardown_dir();
}

static struct digest store_tree(const char *path)
{
	struct source_spec spec = { .media = MANIFEST_TAR, .tree = { .path = path } };
	struct digest d;

	cr_assert_eq(source_store(&spec, store, &d, &err), 0, "%s", err.text);
	return d;
}

static void make_noise(const char *path, size_t len, uint64_t seed)
{
	cleanup(freep) char *data = xmalloc(len);

	fill_noise(data, len, seed);
	make_file(path, data, len, 0644);
}

Test(artifact, a_tree_goes_in_and_comes_out, .init = setup, .fini = teardown)
{
	cleanup(buf_release) struct buf was = { 0 }, is = { 0 };
	struct digest d, same;

	make_dir(in_dir("t"));
	make_dir(in_dir("t/data"));
	make_noise(in_dir("t/data/a"), 5 << 20, 1);
	make_noise(in_dir("t/data/b"), 3 << 20, 2);
	make_text(in_dir("t/params"), "lr: 0.1\n");
	d = store_tree(in_dir("t"));
	same = store_tree(in_dir("t"));
	cr_expect(digest_equal(&d, &same));
	cr_assert_eq(blob_unpack(store, &d, in_dir("out"), true, &err), 0, "%s", err.text);
	describe_tree(in_dir("t"), &was);
	describe_tree(in_dir("out"), &is);
	cr_expect_str_eq(buf_str(&is), buf_str(&was));
	cr_expect_eq(blob_unpack(store, &d, in_dir("out"), false, &err), -1);
	cr_expect_eq(err.code, ERR_EXISTS);
}

Test(artifact, a_changed_byte_costs_few_chunks, .init = setup, .fini = teardown)
{
	struct source_spec spec = { .media = MANIFEST_TAR, .tree = { .path = in_dir("model") } };
	cleanup(source_closep) struct source *s = NULL;
	struct source_chunk c;
	size_t fresh = 0, all = 0;
	int fd, r;

	make_noise(in_dir("model"), 40 << 20, 3);
	store_tree(in_dir("model"));
	fd = open(in_dir("model"), O_WRONLY | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, "!", 1, 17 << 20), 1);
	close(fd);
	s = source_open(&spec, &err);
	cr_assert(s, "%s", err.text);
	while ((r = source_next(s, &c, &err)) > 0) {
		fresh += !blob_has(store, &c.digest);
		all++;
	}
	cr_expect_eq(r, 0, "%s", err.text);
	cr_expect_gt(all, 25);
	cr_expect_geq(fresh, 1);
	cr_expect_leq(fresh, 2, "%zu of %zu", fresh, all);
	cr_expect_eq(source_next(s, &c, &err), 0, "the end stays the end");
}

Test(artifact, the_manifest_says_what_the_chunks_are, .init = setup, .fini = teardown)
{
	struct source_spec spec = { .media = MANIFEST_RAW, .tree = { .path = in_dir("f") } };
	cleanup(source_closep) struct source *s = NULL;
	const struct manifest *m;
	struct source_chunk c;
	size_t n = 0;

	make_noise(in_dir("f"), 6 << 20, 4);
	s = source_open(&spec, &err);
	cr_assert(s, "%s", err.text);
	m = source_manifest(s);
	for (uint64_t at = 0; source_next(s, &c, &err) > 0; n++) {
		struct digest d = digest_of(c.data, c.len);

		cr_expect_eq(c.offset, at);
		cr_expect(digest_equal(&d, &c.digest));
		cr_expect(digest_equal(&d, &m->chunks[n].digest));
		cr_expect_eq(m->chunks[n].size, c.len);
		at += c.len;
	}
	cr_expect_eq(m->n_chunks, n);
	cr_expect_eq(m->size, 6 << 20);
	cr_expect_eq(m->media, MANIFEST_RAW);
}

Test(artifact, raw_bytes_from_memory_and_from_a_file_are_the_same, .init = setup, .fini = teardown)
{
	static char data[5 << 20];
	struct source_spec memory = { .media = MANIFEST_RAW, .data = data, .len = sizeof data };
	struct source_spec file = { .media = MANIFEST_RAW, .tree = { .path = in_dir("f") } };
	struct source_spec empty = { .media = MANIFEST_RAW };
	struct digest a, b, e;
	cleanup(blob_reader_closep) struct blob_reader *r = NULL;
	const void *got;
	size_t len;

	fill_noise(data, sizeof data, 5);
	make_file(in_dir("f"), data, sizeof data, 0644);
	cr_assert_eq(source_store(&memory, store, &a, &err), 0, "%s", err.text);
	cr_assert_eq(source_store(&file, store, &b, &err), 0, "%s", err.text);
	cr_expect(digest_equal(&a, &b));
	cr_expect_eq(blob_unpack(store, &a, in_dir("out"), false, &err), -1);
	cr_expect_eq(err.code, ERR_INVALID);
	cr_assert_eq(source_store(&empty, store, &e, &err), 0, "%s", err.text);
	r = blob_reader_open(store, &e, &err);
	cr_assert(r, "%s", err.text);
	cr_expect_eq(blob_reader_next(r, &got, &len, &err), 0);
}

Test(reader, gives_all_bytes_from_any_offset, .init = setup, .fini = teardown)
{
	static char data[6 << 20];
	struct source_spec spec = { .media = MANIFEST_RAW, .data = data, .len = sizeof data };
	static const size_t offsets[] = { 0,	   1, 300000,	  5 << 20, sizeof data - 1,
					  2 << 20, 7, sizeof data };
	cleanup(blob_reader_closep) struct blob_reader *r = NULL;
	struct digest d;
	const void *got;
	size_t len;

	fill_noise(data, sizeof data, 6);
	cr_assert_eq(source_store(&spec, store, &d, &err), 0, "%s", err.text);
	r = blob_reader_open(store, &d, &err);
	cr_assert(r, "%s", err.text);
	cr_expect_eq(blob_reader_manifest(r)->size, sizeof data);
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		size_t at = offsets[i];
		int n;

		cr_assert_eq(blob_reader_seek(r, at, &err), 0, "%s", err.text);
		while ((n = blob_reader_next(r, &got, &len, &err)) > 0) {
			cr_assert_leq(len, sizeof data - at);
			cr_expect_eq(memcmp(got, data + at, len), 0);
			at += len;
		}
		cr_expect_eq(n, 0, "%s", err.text);
		cr_expect_eq(at, sizeof data);
	}
	cr_expect_eq(blob_reader_seek(r, sizeof data + 1, &err), -1);
	cr_expect_eq(err.code, ERR_INVALID);
}

Test(reader, a_missing_or_damaged_chunk_is_named_and_nothing_is_unpacked, .init = setup,
     .fini = teardown)
{
	char hex[DIGEST_HEX_SIZE], name[100];
	struct digest d;
	cleanup(blob_reader_closep) struct blob_reader *r = NULL;
	const struct manifest *m;

	make_noise(in_dir("f"), 8 << 20, 7);
	d = store_tree(in_dir("f"));
	r = blob_reader_open(store, &d, &err);
	cr_assert(r, "%s", err.text);
	m = blob_reader_manifest(r);
	cr_assert_gt(m->n_chunks, 2);
	digest_hex(&m->chunks[m->n_chunks - 1].digest, hex);
	snprintf(name, sizeof name, "blobs/%.2s/%s", hex, hex + 2);
	cr_assert_eq(truncate(in_dir(name), 1000), 0);
	cr_expect_eq(blob_unpack(store, &d, in_dir("out"), false, &err), -1);
	cr_expect_eq(err.code, ERR_CORRUPT, "%s", err.text);
	cr_expect(strstr(err.text, hex), "%s", err.text);
	cr_expect_not(file_exists(in_dir("out")));
	cr_expect_eq(count_files(dir), 1 + m->n_chunks + 1, "the file, the chunks, the manifest");
}

Test(reader, what_is_no_manifest_is_refused, .init = setup, .fini = teardown)
{
	struct digest d = digest_of("hello", 5), absent = { { 9 } };

	cr_assert_eq(blob_put(store, &d, "hello", 5, &err), 0);
	cr_expect_null(blob_reader_open(store, &d, &err));
	cr_expect_eq(err.code, ERR_INVALID);
	cr_expect_null(blob_reader_open(store, &absent, &err));
	cr_expect_eq(err.code, ERR_NOT_FOUND);
}

Test(reader, a_manifest_that_lies_about_a_size_is_corrupt, .init = setup, .fini = teardown)
{
	cleanup(manifest_release) struct manifest m = { .media = MANIFEST_RAW };
	cleanup(buf_release) struct buf packed = { 0 };
	struct digest chunk = digest_of("12345", 5), d;
	cleanup(blob_reader_closep) struct blob_reader *r = NULL;
	const void *got;
	size_t len;

	cr_assert_eq(manifest_add(&m, &chunk, 6, &err), 0);
	manifest_pack(&m, &packed);
	d = digest_of(packed.data, packed.len);
	cr_assert_eq(blob_put(store, &chunk, "12345", 5, &err), 0);
	cr_assert_eq(blob_put(store, &d, packed.data, packed.len, &err), 0);
	r = blob_reader_open(store, &d, &err);
	cr_assert(r, "%s", err.text);
	cr_expect_eq(blob_reader_next(r, &got, &len, &err), -1);
	cr_expect_eq(err.code, ERR_CORRUPT);
}
