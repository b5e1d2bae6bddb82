/*
 * tarball_unpack.c: what is good arrives as it was; what is hostile is refused as a whole and
 * leaves nothing.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "support.h"

static struct buf tar;

static void setup(void)
{
	setup_dir();
	tar = (struct buf){ 0 };
}

static void teardown(void)
{
	buf_release(&tar);
	teardown_dir();
}

static void part(const char *name, char type, unsigned int mode, const char *link, const char *data)
{
	tar_part(&tar, (struct tar_part){ name, type, mode, link, data, -1 });
}

static void file(const char *name, const char *data)
{
	part(name, '0', 0644, NULL, data);
}

static int unpack(uint64_t max_bytes)
{
	return unpack_bytes(tar.data, tar.len, 700, max_bytes);
}

/* Refused with these words, and nothing is left of it, not even in hiding. */
static void refused(enum error_code code, const char *words)
{
	cr_expect_eq(unpack(1 << 20), -1, "it should fail: %s", words);
	cr_expect_eq(err.code, code, "%s: %s", error_code_name(err.code), err.text);
	cr_expect(strstr(err.text, words), "'%s' is not in: %s", words, err.text);
	cr_expect_eq(count_files(dir), 0, "something is left");
	cr_expect_not(file_exists(in_dir("out")));
}

Test(unpack, a_tree_comes_back_as_it_was_packed, .init = setup, .fini = teardown)
{
	static const size_t steps[] = { 1, 511, 4096, 1 << 20 };
	cleanup(buf_release) struct buf was = { 0 };
	char name[1200], big[100000];
	struct tarball_source source = { .path = in_dir("in") };
	size_t n = 0;

	make_dir(in_dir("in"));
	make_dir(in_dir("in/empty"));
	make_dir(in_dir("in/d"));
	make_file(in_dir("in/d/run"), "x", 1, 0755);
	make_text(in_dir("in/d/nothing"), "");
	cr_assert_eq(symlink("../d", in_dir("in/d/self")), 0);
	fill_noise(big, sizeof big, 3);
	make_file(in_dir("in/big"), big, sizeof big, 0644);
	make_text(in_dir("in/n\xc3\xa4me \xe2\x82\xac\n\x01"), "strange, but a name");
	make_text(in_dir("in/a\xcc\x88 decomposed"), "must not become composed");
	make_text(in_dir("in/latin\xe4"), "not UTF-8");
	for (int i = 0; i < 7; i++) { /* to more than 900 bytes, beyond all that ustar can hold */
		n += (size_t)snprintf(name + n, sizeof name - n, "%s%0*d\xc3\xa4", n ? "/" : "in/",
				      120, i);
		make_dir(in_dir(name));
	}
	snprintf(name + n, sizeof name - n, "/f");
	make_text(in_dir(name), "deep");
	describe_tree(in_dir("in"), &was);
	source.path = in_dir("in");
	cr_assert(pack_all(&source, &tar), "%s", err.text);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		cleanup(buf_release) struct buf is = { 0 };
		struct stat st;

		cr_assert_eq(unpack_bytes(tar.data, tar.len, steps[i], tar.len), 0, "%s", err.text);
		describe_tree(in_dir("out"), &is);
		cr_expect_str_eq(buf_str(&is), buf_str(&was));
		cr_assert_eq(stat(in_dir("out"), &st), 0);
		cr_expect_eq(st.st_mode & 07777, 0700);
		cr_assert_eq(file_remove_tree(in_dir("out"), &err), 0, "%s", err.text);
	}
}

Test(unpack, modes_are_two_whatever_the_umask_and_the_stream_say, .init = setup, .fini = teardown)
{
	struct stat st;

	part("d", '5', 0700, NULL, NULL);
	part("d/f", '0', 0600, NULL, "x");
	part("d/x", '0', 0711, NULL, "x");
	part("i/w", '0', 01666, NULL, "x"); /* sticky means nothing and is dropped */
	tar_end(&tar);
	umask(077);
	cr_assert_eq(unpack(100), 0, "%s", err.text);
	umask(022);
	cr_assert_eq(stat(in_dir("out/d"), &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0755);
	cr_assert_eq(stat(in_dir("out/i"), &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0755);
	cr_assert_eq(stat(in_dir("out/d/f"), &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0644);
	cr_assert_eq(stat(in_dir("out/d/x"), &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0755);
	cr_assert_eq(stat(in_dir("out/i/w"), &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0644);
}

Test(unpack, takes_dots_and_slashes_as_tar_writes_them, .init = setup, .fini = teardown)
{
	part("./", '5', 0755, NULL, NULL);
	file("./a//b/./c", "1");
	part("a/", '5', 0755, NULL, NULL); /* after what lies in it */
	part("a/b", '5', 0755, NULL, NULL);
	file("d", "2");
	tar_end(&tar);
	cr_assert_eq(unpack(100), 0, "%s", err.text);
	cr_expect(file_exists(in_dir("out/a/b/c")));
	cr_expect_eq(count_files(in_dir("out")), 2);
}

Test(unpack, an_empty_tree_is_an_empty_directory, .init = setup, .fini = teardown)
{
	tar_end(&tar);
	cr_assert_eq(unpack(0), 0, "%s", err.text);
	cr_expect(file_exists(in_dir("out")));
	cr_expect_eq(count_files(in_dir("out")), 0);
}

Test(unpack, reads_zstd_and_gzip, .init = setup, .fini = teardown)
{
	cleanup(freep) char *packed = xmalloc(10000);
	static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
	const char *argv[] = { "gzip", in_dir("t"), NULL };
	struct spawn gzip = { .argv = argv, .env = env, .in = -1, .out = -1, .errout = -1 };
	cleanup(buf_release) struct buf out = { 0 };
	size_t n;

	file("f", "content");
	tar_end(&tar);
	n = ZSTD_compress(packed, 10000, tar.data, tar.len, 3);
	cr_assert_not(ZSTD_isError(n));
	cr_assert_eq(unpack_bytes(packed, n, 7, 7), 0, "%s", err.text);
	cr_assert_eq(file_remove_tree(in_dir("out"), &err), 0);
	make_file(in_dir("t"), tar.data, tar.len, 0644);
	cr_assert_eq(spawn_run(&gzip, 10000, 1000, &out, &err), 0, "%s", err.text);
	cr_assert_eq(file_read(in_dir("t.gz"), 10000, &out, &err), 0);
	cr_assert_eq(unpack_bytes(out.data, out.len, 7, 7), 0, "%s", err.text);
	cr_expect_eq(unpack_bytes(out.data, out.len, 7, 7), -1);
	cr_expect_eq(err.code, ERR_EXISTS);
}

Test(unpack, refuses_names_that_lead_out, .init = setup, .fini = teardown)
{
	static const char *const names[] = { "../x",   "a/../../x", "a/..",  "..",
					     "/etc/x", "//x",	    "./../x" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		buf_clear(&tar);
		file("good", "1");
		file(names[i], "2");
		tar_end(&tar);
		refused(ERR_INVALID, names[i][0] == '/' ? "absolute" : "upwards");
	}
}

Test(unpack, refuses_links_that_lead_out, .init = setup, .fini = teardown)
{
	static const char *const targets[] = { "/etc/passwd", "..", "../x", "a/../../x", "a/../x" };

	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		buf_clear(&tar);
		part("l", '2', 0777, targets[i], NULL);
		tar_end(&tar);
		refused(ERR_INVALID, "outside");
	}
	buf_clear(&tar);
	part("l", '2', 0777, "", NULL);
	tar_end(&tar);
	cr_expect_eq(unpack(100), -1);
}

Test(unpack, writes_nothing_through_a_link, .init = setup, .fini = teardown)
{
	part("d", '5', 0755, NULL, NULL);
	part("l", '2', 0777, "d", NULL);
	file("l/f", "through");
	tar_end(&tar);
	refused(ERR_INVALID, "'l'");
	buf_clear(&tar);
	part("l", '2', 0777, "f", NULL);
	file("l", "over");
	tar_end(&tar);
	refused(ERR_INVALID, "'l' comes twice");
	buf_clear(&tar);
	part("l", '2', 0777, "nowhere", NULL);
	part("l", '5', 0755, NULL, NULL);
	tar_end(&tar);
	refused(ERR_INVALID, "'l' comes twice");
}

Test(unpack, a_chain_of_links_cannot_lead_out, .init = setup, .fini = teardown)
{
	/* a/b/up is the root; "a/b/up/.." would be above it, if texts were only counted */
	part("a/b/up", '2', 0777, "../..", NULL);
	part("out", '2', 0777, "a/b/up/..", NULL);
	tar_end(&tar);
	refused(ERR_INVALID, "'out'");
}

Test(unpack, refuses_all_other_kinds_of_entry, .init = setup, .fini = teardown)
{
	static const struct {
		char type;
		const char *words;
	} kinds[] = {
		{ '1', "hard link" }, { '3', "neither" }, { '4', "neither" }, { '6', "neither" }
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		buf_clear(&tar);
		file("f", "x");
		part("it", kinds[i].type, 0644, kinds[i].type == '1' ? "f" : NULL, NULL);
		tar_end(&tar);
		refused(ERR_INVALID, kinds[i].words);
	}
}

Test(unpack, refuses_setuid_and_setgid, .init = setup, .fini = teardown)
{
	static const unsigned int modes[] = { 04755, 02755, 06644 };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		buf_clear(&tar);
		part("f", '0', modes[i], NULL, "x");
		tar_end(&tar);
		refused(ERR_INVALID, "setuid");
	}
	buf_clear(&tar);
	part("d", '5', 02755, NULL, NULL);
	tar_end(&tar);
	refused(ERR_INVALID, "setuid");
}

Test(unpack, refuses_duplicates, .init = setup, .fini = teardown)
{
	static const char *const second[] = { "f", "./f", "f/" };

	for (size_t i = 0; i < ARRAY_SIZE(second); i++) {
		buf_clear(&tar);
		file("f", "1");
		part(second[i], i == 2 ? '5' : '0', 0644, NULL, i == 2 ? NULL : "2");
		tar_end(&tar);
		refused(ERR_INVALID, "'f' comes twice");
	}
	buf_clear(&tar);
	part("d", '5', 0755, NULL, NULL);
	part("d", '5', 0755, NULL, NULL);
	tar_end(&tar);
	refused(ERR_INVALID, "'d' comes twice");
	buf_clear(&tar);
	file("d/f", "1");
	part("d", '5', 0755, NULL, NULL);
	part("d", '5', 0755, NULL, NULL);
	tar_end(&tar);
	refused(ERR_INVALID, "'d' comes twice");
	buf_clear(&tar);
	file("f", "1");
	file("f/g", "a file is no directory");
	tar_end(&tar);
	refused(ERR_INVALID, "'f' is no directory");
}

Test(unpack, refuses_more_bytes_than_declared, .init = setup, .fini = teardown)
{
	file("a", "12345");
	file("b", "67890");
	tar_end(&tar);
	cr_expect_eq(unpack(9), -1);
	cr_expect_eq(err.code, ERR_EXHAUSTED);
	cr_expect(strstr(err.text, "'b'"), "%s", err.text);
	cr_expect_eq(count_files(dir), 0);
	cr_assert_eq(unpack(10), 0, "%s", err.text);
}

Test(unpack, an_entry_that_claims_a_terabyte_takes_no_disk, .init = setup, .fini = teardown)
{
	/* 68 GiB is what ustar can say */
	tar_part(&tar, (struct tar_part){ "huge", '0', 0644, NULL, "x", 077777777777 });
	tar_end(&tar);
	refused(ERR_EXHAUSTED, "'huge'");
}

Test(unpack, refuses_a_path_too_long_or_too_deep, .init = setup, .fini = teardown)
{
	char name[100] = "";

	for (int i = 0; i < 32; i++) /* 32 here, 33 more in the prefix */
		memcpy(name + 2 * i, "d/", 3);
	for (int depth = 64; depth <= 65; depth++) {
		char *header;
		unsigned int sum = 0;

		buf_clear(&tar);
		file(name, "");
		header = tar.data;
		memset(header + 345, 0, 155);
		for (int i = 0; i < depth - 32; i++) /* "e/e/.../e", joined by a slash */
			memcpy(header + 345 + 2 * i, i == depth - 33 ? "e" : "e/", 2);
		memset(header + 148, ' ', 8);
		for (int i = 0; i < 512; i++)
			sum += (unsigned char)header[i];
		snprintf(header + 148, 8, "%06o", sum);
		header[156] = '0';
		tar_end(&tar);
		if (depth == 64)
			cr_expect_eq(unpack(100), 0, "%s", err.text);
		cr_assert_eq(file_remove_tree(in_dir("out"), &err), 0);
	}
	refused(ERR_INVALID, "deeper");
}

/* The stream of a pax header that gives the next entry this name. */
static void pax_name(const char *key, const char *value)
{
	size_t len = strlen(key) + strlen(value) + 3 + 4; /* four digits */
	cleanup(freep) char *record = xprintf("%zu %s=%s\n", len, key, value);

	cr_assert_eq(strlen(record), len);
	tar_part(&tar, (struct tar_part){ "pax", 'x', 0644, NULL, record, -1 });
}

Test(unpack, refuses_a_name_of_more_than_1024_bytes, .init = setup, .fini = teardown)
{
	char name[1026];

	for (size_t len = 1024; len <= 1025; len++) {
		memset(name, 'n', len);
		name[len] = '\0';
		for (size_t i = 200; i < len; i += 200)
			name[i] = '/';
		buf_clear(&tar);
		pax_name("path", name);
		file("short", "x");
		tar_end(&tar);
		if (len == 1025)
			break;
		cr_expect_eq(unpack(100), 0, "%s", err.text);
		cr_assert_eq(file_remove_tree(in_dir("out"), &err), 0);
	}
	refused(ERR_INVALID, "more than 1024 bytes");
}

Test(unpack, pax_cannot_smuggle_a_bad_name_or_target, .init = setup, .fini = teardown)
{
	char up[1000] = "../";

	memset(up + 3, 'x', sizeof up - 4);
	for (size_t i = 200; i < sizeof up - 1; i += 200)
		up[i] = '/';
	pax_name("path", up);
	file("innocent", "x");
	tar_end(&tar);
	refused(ERR_INVALID, "upwards");
	buf_clear(&tar);
	pax_name("linkpath", up);
	part("l", '2', 0777, "innocent", NULL);
	tar_end(&tar);
	refused(ERR_INVALID, "outside");
}

Test(unpack, refuses_too_many_entries, .init = setup, .fini = teardown)
{
	/* the root may be named often; it is the cheapest entry there is */
	cleanup(buf_release) struct buf one = { 0 };

	tar_part(&one, (struct tar_part){ "./", '5', 0755, NULL, NULL, -1 });
	for (int i = 0; i <= TARBALL_MAX_ENTRIES; i++)
		buf_add(&tar, one.data, one.len);
	tar_end(&tar);
	cr_expect_eq(unpack_bytes(tar.data, tar.len, 1 << 20, 100), -1);
	cr_expect_eq(err.code, ERR_EXHAUSTED);
	cr_expect(strstr(err.text, "more than 1000000 entries"), "%s", err.text);
}

Test(unpack, refuses_what_is_cut_anywhere, .init = setup, .fini = teardown)
{
	file("a", "12345");
	part("d", '5', 0755, NULL, NULL);
	file("d/b", "67890");
	/* cut in headers, in contents, between entries, and before the mark at the end */
	for (size_t len = 0; len <= tar.len; len += len % 512 == 256 ? 256 : 128) {
		cr_expect_eq(unpack_bytes(tar.data, len, 700, 1000), -1, "cut at %zu", len);
		cr_expect_eq(err.code, ERR_CORRUPT, "at %zu: %s", len, err.text);
		cr_expect_eq(count_files(dir), 0);
		file_remove_tree(in_dir("out"), NULL);
	}
}

Test(unpack, refuses_damaged_headers_and_what_is_no_tar, .init = setup, .fini = teardown)
{
	static char noise[5000];

	file("a", "1");
	file("b", "2");
	tar_end(&tar);
	tar.data[1024 + 3] ^= 1; /* in the second name: its checksum is wrong */
	refused(ERR_CORRUPT, "reading the tar stream");
	fill_noise(noise, sizeof noise, 9);
	cr_expect_eq(unpack_bytes(noise, sizeof noise, 700, 1000), -1);
	cr_expect_eq(err.code, ERR_CORRUPT);
	cr_expect_eq(unpack_bytes("PK\3\4 a zip", 10, 700, 1000), -1);
	cr_expect_eq(unpack_bytes("", 0, 700, 1000), -1);
	cr_expect_eq(err.code, ERR_CORRUPT);
}

Test(unpack, an_error_of_the_stream_passes_through_and_leaves_nothing, .init = setup,
     .fini = teardown)
{
	struct feed f = { .step = 100, .break_at_end = true };
	struct tarball_target target = { .path = in_dir("out"), .max_bytes = 1000 };

	file("a", "1");
	file("b", "2");
	tar_end(&tar);
	/* also broken after all is there: the last chunk may be the bad one */
	for (size_t len = 0; len <= tar.len; len += 512) {
		f.data = tar.data;
		f.left = len;
		err = (struct error){ 0 };
		cr_expect_eq(tarball_unpack(&target, feed_pull, &f, &err), -1);
		cr_expect_eq(err.code, ERR_UNAVAILABLE, "%s", err.text);
		cr_expect(strstr(err.text, "the line went dead"), "%s", err.text);
		cr_expect_eq(count_files(dir), 0);
		cr_expect_not(file_exists(in_dir("out")));
	}
}

Test(unpack, never_replaces_what_is_there, .init = setup, .fini = teardown)
{
	cleanup(freep) char *text = NULL;

	file("f", "new");
	tar_end(&tar);
	make_text(in_dir("out"), "old");
	cr_expect_eq(unpack(100), -1);
	cr_expect_eq(err.code, ERR_EXISTS);
	text = read_text(in_dir("out"));
	cr_expect_str_eq(text, "old");
	cr_expect_eq(count_files(dir), 1);
}

Test(unpack, what_a_crash_left_is_cleaned, .init = setup, .fini = teardown)
{
	make_dir(in_dir(".unpack-AbCdEf"));
	make_text(in_dir(".unpack-AbCdEf/f"), "half");
	make_text(in_dir("keep"), "x");
	cr_assert_eq(tarball_clean(dir, &err), 0, "%s", err.text);
	cr_expect_eq(count_files(dir), 1);
	cr_expect_not(file_exists(in_dir(".unpack-AbCdEf")));
	cr_expect_eq(tarball_clean(in_dir("absent"), &err), 0);
}

Test(unpack, a_durable_tree_is_the_same, .init = setup, .fini = teardown)
{
	struct feed f = { .step = 100 };
	struct tarball_target target = { .path = in_dir("out"), .max_bytes = 1, .durable = true };

	file("f", "x");
	tar_end(&tar);
	f.data = tar.data;
	f.left = tar.len;
	cr_assert_eq(tarball_unpack(&target, feed_pull, &f, &err), 0, "%s", err.text);
	cr_expect(file_exists(in_dir("out/f")));
}
