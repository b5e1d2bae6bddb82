/*
 * store.c, store_write.c, store_read.c: what is acknowledged is there, verified and durable; what
 * is not leaves nothing.
 */
#include "blob/store.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
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

static void reopen(void)
{
	blob_store_close(store);
	store = blob_store_open(in_dir("blobs"), &err);
	cr_assert(store, "%s", err.text);
}

static struct digest put(const void *data, size_t len)
{
	struct digest d = digest_of(data, len);

	cr_assert_eq(blob_put(store, &d, data, len, &err), 0, "%s", err.text);
	return d;
}

static struct digest put_synced(const void *data, size_t len)
{
	struct digest d = put(data, len);

	cr_assert_eq(blob_sync(store, &d, 1, &err), 0, "%s", err.text);
	return d;
}

static const char *path_of(const struct digest *d)
{
	char hex[DIGEST_HEX_SIZE], name[100];

	digest_hex(d, hex);
	snprintf(name, sizeof name, "blobs/%.2s/%s", hex, hex + 2);
	return in_dir(name);
}

static void expect_content(const struct digest *d, const void *data, size_t len)
{
	cleanup(buf_release) struct buf got = { 0 };

	buf_puts(&got, "before ");
	cr_assert_eq(blob_read(store, d, len, &got, &err), 0, "%s", err.text);
	cr_assert_eq(got.len, len + 7);
	cr_expect_eq(memcmp(got.data, "before ", 7), 0);
	cr_expect(len == 0 || memcmp(got.data + 7, data, len) == 0);
}

/* Flips a bit of the file at path. */
static void damage(const char *path, off_t at)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char c;

	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_eq(pread(fd, &c, 1, at), 1);
	c ^= 4;
	cr_assert_eq(pwrite(fd, &c, 1, at), 1);
	close(fd);
}

Test(store, a_blob_is_there_after_its_sync_and_a_reopening, .init = setup, .fini = teardown)
{
	static char big[3 << 20];
	struct digest small, noise, empty;

	fill_noise(big, sizeof big, 1);
	small = put_synced("hello", 5);
	noise = put_synced(big, sizeof big);
	empty = put_synced(NULL, 0);
	cr_expect(file_exists(path_of(&small)));
	reopen();
	cr_expect(blob_has(store, &small) && blob_has(store, &noise) && blob_has(store, &empty));
	expect_content(&small, "hello", 5);
	expect_content(&noise, big, sizeof big);
	expect_content(&empty, NULL, 0);
	cr_expect_eq(count_files(in_dir("blobs")), 3);
}

Test(store, a_staged_blob_can_be_read_but_is_not_visible_and_dies_with_the_process, .init = setup,
     .fini = teardown)
{
	struct digest d = put("staged", 6);

	cr_expect(blob_has(store, &d));
	cr_expect(blob_pin(store, &d));
	expect_content(&d, "staged", 6);
	cr_expect_not(file_exists(path_of(&d)));
	reopen();
	cr_expect_not(blob_has(store, &d));
	cr_expect_eq(count_files(in_dir("blobs")), 0);
}

Test(store, what_a_crash_left_is_removed_at_open, .init = setup, .fini = teardown)
{
	struct digest d = put_synced("kept", 4);

	make_text(in_dir("blobs/tmp/0"), "half a blob");
	make_text(in_dir("blobs/tmp/123"), "another");
	reopen();
	cr_expect_eq(count_files(in_dir("blobs")), 1);
	expect_content(&d, "kept", 4);
	put("more", 4); /* and the names are free again */
}

Test(store, bytes_that_are_not_the_digest_are_refused, .init = setup, .fini = teardown)
{
	struct digest d = digest_of("right", 5);
	cleanup(buf_release) struct buf got = { 0 };

	cr_expect_eq(blob_put(store, &d, "wrong", 5, &err), -1);
	cr_expect_eq(err.code, ERR_CORRUPT);
	cr_expect_not(blob_has(store, &d));
	cr_expect_not(blob_pin(store, &d));
	cr_expect_eq(blob_read(store, &d, 100, &got, &err), -1);
	cr_expect_eq(err.code, ERR_NOT_FOUND);
	cr_expect_eq(count_files(in_dir("blobs")), 0);
	put_synced("right", 5);
	cr_expect_eq(blob_put(store, &d, "wrong", 5, &err), -1, "also when it is there");
	expect_content(&d, "right", 5);
}

Test(store, a_writer_takes_parts_and_says_what_they_are, .init = setup, .fini = teardown)
{
	cleanup(blob_writer_freep) struct blob_writer *w = blob_writer_new(store, &err);
	struct digest wanted = digest_of("one two", 7), got;

	cr_assert(w, "%s", err.text);
	cr_assert_eq(blob_write(w, "one", 3, &err), 0);
	cr_assert_eq(blob_write(w, "", 0, &err), 0);
	cr_assert_eq(blob_write(w, " two", 4, &err), 0);
	cr_assert_eq(blob_commit(w, NULL, &got, &err), 0, "%s", err.text);
	cr_expect(digest_equal(&got, &wanted));
	expect_content(&got, "one two", 7);
}

/* More pieces than one call of the kernel takes, empty ones among them; noise stays raw, text is
 * compressed. */
Test(store, a_writer_takes_pieces_as_one, .init = setup, .fini = teardown)
{
	enum { PIECES = 3000, PIECE = 100 };
	static char bytes[PIECES * PIECE];
	static struct iovec pieces[2 * PIECES];

	for (int text = 0; text < 2; text++) {
		cleanup(blob_writer_freep) struct blob_writer *w = blob_writer_new(store, &err);
		struct digest wanted, got;

		fill_noise(bytes, sizeof bytes, 7);
		for (size_t i = 0; text && i < sizeof bytes; i++)
			bytes[i] = "loss=0.125\n"[i % 11];
		for (size_t i = 0; i < PIECES; i++)
			pieces[2 * i] = (struct iovec){ bytes + i * PIECE, PIECE };
		pieces[0].iov_len = 10 * PIECE; /* 1 to 9 are taken by the first */
		for (size_t i = 1; i < 10; i++)
			pieces[2 * i].iov_len = 0;
		wanted = digest_of(bytes, sizeof bytes);
		cr_assert_eq(blob_writev(w, pieces, ARRAY_SIZE(pieces), &err), 0, "%s", err.text);
		cr_assert_eq(blob_commit(w, &wanted, &got, &err), 0, "%s", err.text);
		expect_content(&got, bytes, sizeof bytes);
	}
}

Test(store, a_writer_freed_before_commit_leaves_no_file, .init = setup, .fini = teardown)
{
	struct blob_writer *w = blob_writer_new(store, &err);

	cr_assert(w && blob_write(w, "half", 4, &err) == 0, "%s", err.text);
	cr_expect_eq(count_files(in_dir("blobs")), 1);
	blob_writer_free(w);
	cr_expect_eq(count_files(in_dir("blobs")), 0);
}

Test(store, a_blob_has_at_most_64_mib, .init = setup, .fini = teardown)
{
	cleanup(blob_writer_freep) struct blob_writer *w = blob_writer_new(store, &err);
	cleanup(freep) char *zeros = xcalloc(1, BLOB_MAX_SIZE);

	cr_assert_eq(blob_write(w, zeros, BLOB_MAX_SIZE, &err), 0, "%s", err.text);
	cr_expect_eq(blob_write(w, "x", 1, &err), -1);
	cr_expect_eq(err.code, ERR_EXHAUSTED);
}

Test(store, compresses_only_what_gets_smaller_by_it, .init = setup, .fini = teardown)
{
	static char text[1 << 20], noise[1 << 20];
	struct digest t, n;
	struct stat st;

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = "step 17 loss=0.125 lr=3e-4\n"[i % 27];
	fill_noise(noise, sizeof noise, 2);
	t = put_synced(text, sizeof text);
	n = put_synced(noise, sizeof noise);
	cr_assert_eq(stat(path_of(&t), &st), 0);
	cr_expect_lt(st.st_size, (off_t)sizeof text / 10);
	cr_assert_eq(stat(path_of(&n), &st), 0);
	cr_expect_eq(st.st_size, (off_t)sizeof noise + 16);
	expect_content(&t, text, sizeof text);
	expect_content(&n, noise, sizeof noise);
}

Test(store, compresses_a_blob_that_comes_in_parts, .init = setup, .fini = teardown)
{
	cleanup(blob_writer_freep) struct blob_writer *w = blob_writer_new(store, &err);
	static char text[2 << 20];
	struct digest d;

	/* compressible first, noise behind: the stream must hold both */
	memset(text, 'a', sizeof text);
	fill_noise(text + (1 << 20), 1 << 20, 4);
	for (size_t at = 0; at < sizeof text; at += 256 << 10)
		cr_assert_eq(blob_write(w, text + at, 256 << 10, &err), 0, "%s", err.text);
	cr_assert_eq(blob_commit(w, NULL, &d, &err), 0, "%s", err.text);
	cr_assert_eq(blob_sync(store, &d, 1, &err), 0);
	expect_content(&d, text, sizeof text);
}

Test(store, many_are_synced_together, .init = setup, .fini = teardown)
{
	struct digest d[100];

	for (size_t i = 0; i < 100; i++)
		d[i] = put(&i, sizeof i);
	d[50] = d[49]; /* named twice */
	cr_assert_eq(blob_sync(store, d, 100, &err), 0, "%s", err.text);
	for (size_t i = 0; i < 100; i++)
		cr_expect(file_exists(path_of(&d[i])));
	cr_assert_eq(blob_sync(store, d, 100, &err), 0, "again: %s", err.text);
	cr_assert_eq(blob_sync_all(store, &err), 0);
	reopen();
	cr_expect_eq(count_files(in_dir("blobs")), 100, "and the one that nobody named");
}

Test(store, syncing_what_is_not_there_names_it, .init = setup, .fini = teardown)
{
	struct digest d[2] = { put("x", 1), digest_of("y", 1) };
	char hex[DIGEST_HEX_SIZE];

	cr_expect_eq(blob_sync(store, d, 2, &err), -1);
	cr_expect_eq(err.code, ERR_NOT_FOUND);
	cr_expect(strstr(err.text, digest_hex(&d[1], hex)), "%s", err.text);
	cr_expect_eq(blob_sync(store, NULL, 0, &err), 0);
}

Test(store, a_limit_of_a_read_is_kept, .init = setup, .fini = teardown)
{
	struct digest d = put("12345", 5);
	cleanup(buf_release) struct buf got = { 0 };

	cr_expect_eq(blob_read(store, &d, 4, &got, &err), -1);
	cr_expect_eq(err.code, ERR_EXHAUSTED);
	cr_expect_eq(got.len, 0);
	cr_expect(blob_has(store, &d), "it is no damage");
}

/* Wherever a bit flips, in header or body, raw or compressed: never a wrong byte, and an upload
 * mends it. */
Test(store, bit_rot_is_found_and_mended, .init = setup, .fini = teardown)
{
	static char text[3000];

	for (int packed = 0; packed < 2; packed++)
		for (off_t at = 0; at < 33; at += 3) {
			cleanup(buf_release) struct buf got = { 0 };
			struct digest d;

			fill_noise(text, sizeof text, 77);
			if (packed)
				memset(text, 'x', sizeof text);
			d = put_synced(text, sizeof text);
			damage(path_of(&d), at);
			buf_puts(&got, "as before");
			if (blob_read(store, &d, sizeof text, &got, &err) == 0) {
				/* a bit of zstd's header that means nothing to the bytes */
				cr_expect(packed && at >= 16, "at %ld", (long)at);
				expect_content(&d, text, sizeof text);
				cr_assert_eq(unlink(path_of(&d)), 0);
				continue;
			}
			cr_expect_eq(err.code, ERR_CORRUPT, "at %ld: %s", (long)at, err.text);
			cr_expect_str_eq(buf_str(&got), "as before");
			cr_expect_not(blob_has(store, &d), "at %ld", (long)at);
			cr_expect_eq(blob_read(store, &d, sizeof text, &got, &err), -1);
			cr_expect_eq(err.code, ERR_CORRUPT, "it is known to be damaged");
			put_synced(text, sizeof text);
			expect_content(&d, text, sizeof text);
			cr_expect_eq(count_files(in_dir("blobs/bad")), 0);
			cr_assert_eq(unlink(path_of(&d)), 0);
		}
}

Test(store, a_cut_or_grown_file_is_damage, .init = setup, .fini = teardown)
{
	static const off_t sizes[] = { 0, 5, 15, 16, 20, 22 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		cleanup(buf_release) struct buf got = { 0 };
		struct digest d = put_synced("12345", 5); /* 21 bytes on disk */

		cr_assert_eq(truncate(path_of(&d), sizes[i]), 0);
		cr_expect_eq(blob_read(store, &d, 100, &got, &err), -1, "%ld", (long)sizes[i]);
		cr_expect_eq(err.code, ERR_CORRUPT, "%ld: %s", (long)sizes[i], err.text);
	}
	reopen();
	cr_expect_eq(count_files(in_dir("blobs/bad")), 1, "it is kept to be looked at");
}

#ifdef SLUICE_FAULTS
static void with_faults(void)
{
	setenv("SLUICE_FAULTS", "blob.write=short@2,blob.sync=error@1", 1);
	setup();
}

Test(store, a_failed_write_leaves_nothing, .init = with_faults, .fini = teardown)
{
	struct digest b = digest_of("second", 6);

	put("first", 5);
	cr_expect_eq(blob_put(store, &b, "second", 6, &err), -1);
	cr_expect_eq(err.code, ERR_EXHAUSTED, "%s", err.text);
	cr_expect_not(blob_has(store, &b));
	cr_expect_eq(count_files(in_dir("blobs")), 1);
}

Test(store, what_could_not_be_synced_is_no_longer_there, .init = with_faults, .fini = teardown)
{
	struct digest a = put("first", 5);

	cr_expect_eq(blob_sync(store, &a, 1, &err), -1);
	cr_expect_not(blob_has(store, &a), "the next sync would succeed without its bytes");
	cr_expect_eq(blob_sync(store, &a, 1, &err), -1);
	cr_expect_eq(err.code, ERR_NOT_FOUND);
	cr_expect_eq(count_files(in_dir("blobs")), 0);
}
#endif

Test(store, a_full_disk_is_an_error_and_keeps_what_was_there, .init = setup_dir,
     .fini = teardown_dir)
{
	static char noise[100000];
	struct digest first, d;
	int r = 0, n = 0;

	make_dir(in_dir("small"));
	if (mount("tmpfs", in_dir("small"), "tmpfs", 0, "size=2m") < 0)
		cr_skip_test("mounting a tmpfs needs root");
	store = blob_store_open(in_dir("small/blobs"), &err);
	cr_assert(store, "%s", err.text);
	first = put_synced("first", 5);
	for (; n < 100 && r == 0; n++) {
		fill_noise(noise, sizeof noise, (uint64_t)n + 1);
		d = digest_of(noise, sizeof noise);
		r = blob_put(store, &d, noise, sizeof noise, &err);
	}
	cr_expect_eq(r, -1);
	cr_expect_lt(n, 30);
	cr_expect_eq(err.code, ERR_EXHAUSTED, "%s", err.text);
	cr_expect(strstr(err.text, "No space left"), "%s", err.text);
	cr_expect_not(blob_has(store, &d));
	expect_content(&first, "first", 5);
	blob_store_close(store);
	cr_expect_eq(count_files(in_dir("small/blobs")), 1, "no half blobs");
	cr_assert_eq(umount(in_dir("small")), 0);
}

/* Collections. */

static bool is_in(void *arg, const struct digest *d)
{
	return digest_equal(arg, d);
}

static void age(const struct digest *d, int hours)
{
	struct timespec t = { .tv_sec = time(NULL) - hours * 3600 }, times[2] = { t, t };

	cr_assert_eq(utimensat(AT_FDCWD, path_of(d), times, 0), 0);
}

Test(collect, removes_what_nothing_names_and_nobody_touched, .init = setup, .fini = teardown)
{
	struct digest live = put_synced("live", 4), dead = put_synced("dead", 4);
	struct digest young = put_synced("young", 5), pinned = put_synced("pinned", 6);
	struct digest again = put_synced("again", 5), staged = put("staged", 6);
	struct blob_collection how = { is_in, &live, BLOB_PIN_MS };
	struct blob_stats stats;

	age(&live, 100);
	age(&dead, 25);
	age(&young, 23);
	age(&pinned, 25);
	age(&again, 25);
	cr_expect(blob_pin(store, &pinned));
	put("again", 5);
	cr_assert_eq(blob_collect(store, &how, &stats, &err), 0, "%s", err.text);
	cr_expect_not(blob_has(store, &dead));
	cr_expect(blob_has(store, &live) && blob_has(store, &young));
	cr_expect(blob_has(store, &pinned) && blob_has(store, &again) && blob_has(store, &staged));
	cr_expect_eq(stats.removed, 1);
	cr_expect_eq(stats.removed_bytes, 4 + 16);
	cr_expect_eq(stats.kept, 5);
	cr_expect_eq(blob_sync(store, &dead, 1, &err), -1);
}

Test(collect, leaves_foreign_files_alone_and_removes_old_damage, .init = setup, .fini = teardown)
{
	struct digest none = { { 0 } };
	struct blob_collection how = { is_in, &none, 0 };
	struct blob_stats stats;

	make_text(in_dir("blobs/00/README"), "not ours");
	make_text(in_dir("blobs/bad/0123"), "damaged");
	cr_assert_eq(blob_collect(store, &how, &stats, &err), 0, "%s", err.text);
	cr_expect(file_exists(in_dir("blobs/00/README")));
	cr_expect_eq(count_files(in_dir("blobs")), 1);
	cr_expect_eq(stats.removed, 1);
}

Test(trim, removes_the_longest_untouched_first, .init = setup, .fini = teardown)
{
	struct digest d[4];
	struct blob_stats stats;

	for (int i = 0; i < 4; i++) {
		char text[10] = { (char)('a' + i) };

		d[i] = put_synced(text, sizeof text); /* 26 bytes on disk */
		age(&d[i], 10 - i);
	}
	cr_expect(blob_pin(store, &d[0]));
	cr_assert_eq(blob_trim(store, 60, &stats, &err), 0, "%s", err.text);
	cr_expect_eq(stats.removed, 2);
	cr_expect_eq(stats.kept_bytes, 52);
	cr_expect(blob_has(store, &d[0]) && blob_has(store, &d[3]));
	cr_assert_eq(blob_trim(store, 0, NULL, &err), 0);
	cr_expect_eq(count_files(in_dir("blobs")), 0);
}
