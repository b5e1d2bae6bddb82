/*
 * tarball_pack.c, tar_header.c: the same tree gives the same bytes, and other programs read them.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "blob/tar_header.h"
#include "crypto/digest.h"
#include "support.h"

static void pack(const char *path, struct buf *ret)
{
	struct tarball_source source = { .path = path };

	cr_assert(pack_all(&source, ret), "%s", err.text);
}

/* A bit of everything. */
static void make_tree(const char *root)
{
	char path[4096], big[70000];

	make_dir(root);
	snprintf(path, sizeof path, "%s/empty-dir", root);
	make_dir(path);
	snprintf(path, sizeof path, "%s/b", root);
	make_dir(path);
	snprintf(path, sizeof path, "%s/b/script.sh", root);
	make_file(path, "#!/bin/sh\n", 10, 0755);
	snprintf(path, sizeof path, "%s/b-a", root);
	make_text(path, "sorts after b/ in a walk, before it in bytes");
	snprintf(path, sizeof path, "%s/b/link", root);
	cr_assert_eq(symlink("../b-a", path), 0);
	snprintf(path, sizeof path, "%s/empty", root);
	make_text(path, "");
	snprintf(path, sizeof path,
		 "%s/gr\xc3\xb6\xc3\x9f"
		 "e \xe6\x97\xa5\xe6\x9c\xac",
		 root);
	make_text(path, "unicode");
	snprintf(path, sizeof path, "%s/block", root);
	fill_noise(big, sizeof big, 1);
	make_file(path, big, 512, 0644);
	snprintf(path, sizeof path, "%s/zz-big", root);
	make_file(path, big, sizeof big, 0600);
}

Test(pack, the_same_tree_gives_the_same_bytes_whoever_made_it_and_when, .init = setup_dir,
     .fini = teardown_dir)
{
	cleanup(buf_release) struct buf a = { 0 }, b = { 0 };
	struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };

	make_tree(in_dir("one"));
	pack(in_dir("one"), &a);
	/* the same, made in another order, at another time, with other rights */
	make_dir(in_dir("two"));
	make_tree(in_dir("two/x"));
	cr_assert_eq(utimensat(AT_FDCWD, in_dir("two/x/b/script.sh"), old, 0), 0);
	cr_assert_eq(chmod(in_dir("two/x/b/script.sh"), 0700), 0);
	cr_assert_eq(chmod(in_dir("two/x/empty-dir"), 0700), 0);
	cr_assert_eq(chmod(in_dir("two/x/zz-big"), 0664), 0);
	if (geteuid() == 0)
		cr_assert_eq(chown(in_dir("two/x/zz-big"), 1234, 4321), 0);
	pack(in_dir("two/x"), &b);
	cr_assert_eq(a.len, b.len);
	cr_expect_eq(memcmp(a.data, b.data, a.len), 0);
	buf_release(&b);
}

Test(pack, a_tree_has_these_bytes_for_ever, .init = setup_dir, .fini = teardown_dir)
{
	cleanup(buf_release) struct buf tar = { 0 };
	char hex[DIGEST_HEX_SIZE];
	struct digest d;

	make_tree(in_dir("tree"));
	pack(in_dir("tree"), &tar);
	d = digest_of(tar.data, tar.len);
	cr_expect_str_eq(digest_hex(&d, hex),
			 "0aa3bdca7a25be5def0299edcfd857d87b4ccac5616085611b6ab860e35868f9");
	cr_expect_eq(tar.len % 512, 0);
}

Test(pack, an_x_bit_a_name_a_byte_or_a_link_target_makes_a_difference, .init = setup_dir,
     .fini = teardown_dir)
{
	cleanup(buf_release) struct buf was = { 0 };

	make_tree(in_dir("tree"));
	pack(in_dir("tree"), &was);
	for (int i = 0; i < 4; i++) {
		cleanup(buf_release) struct buf is = { 0 };

		switch (i) {
		case 0:
			cr_assert_eq(chmod(in_dir("tree/b-a"), 0755), 0);
			break;
		case 1:
			cr_assert_eq(rename(in_dir("tree/empty"), in_dir("tree/empt")), 0);
			break;
		case 2:
			make_text(in_dir("tree/empt"), "x");
			break;
		case 3:
			cr_assert_eq(unlink(in_dir("tree/b/link")), 0);
			cr_assert_eq(symlink("../empt", in_dir("tree/b/link")), 0);
			break;
		}
		pack(in_dir("tree"), &is);
		cr_expect(is.len != was.len || memcmp(is.data, was.data, is.len) != 0, "%d", i);
		buf_clear(&was);
		buf_add(&was, is.data, is.len);
	}
}

Test(pack, a_list_of_all_files_gives_the_bytes_of_the_directory, .init = setup_dir,
     .fini = teardown_dir)
{
	static const char *const paths[] = {
		"zz", "a/b/c", "a-b", "a/b-c", "a/b/a", "x/link",
	};
	struct tarball_source list = { .paths = paths, .n_paths = ARRAY_SIZE(paths) };
	cleanup(buf_release) struct buf listed = { 0 }, walked = { 0 };

	make_dir(in_dir("t"));
	make_dir(in_dir("t/a"));
	make_dir(in_dir("t/a/b"));
	make_dir(in_dir("t/x"));
	cr_assert_eq(symlink("../zz", in_dir("t/x/link")), 0);
	for (size_t i = 0; i < 5; i++) {
		cleanup(freep) char *path = xprintf("t/%s", paths[i]);

		make_text(in_dir(path), paths[i]);
	}
	list.path = in_dir("t");
	cr_assert(pack_all(&list, &listed), "%s", err.text);
	pack(in_dir("t"), &walked);
	cr_assert_eq(listed.len, walked.len);
	cr_expect_eq(memcmp(listed.data, walked.data, listed.len), 0);
}

Test(pack, a_list_leaves_out_what_is_missing_only_when_told_to, .init = setup_dir,
     .fini = teardown_dir)
{
	static const char *const paths[] = { "deep/gone", "here" };
	struct tarball_source list = { .paths = paths, .n_paths = 2 };
	struct tarball_source only_here = { .paths = paths + 1, .n_paths = 1 };
	cleanup(buf_release) struct buf a = { 0 }, b = { 0 }, none = { 0 };

	make_dir(in_dir("t"));
	make_text(in_dir("t/here"), "x");
	list.path = only_here.path = in_dir("t");
	cr_expect_not(pack_all(&list, &none));
	cr_expect(strstr(err.text, "'deep/gone'"), "%s", err.text);
	cr_expect_eq(err.code, ERR_NOT_FOUND);
	list.skip_missing = true;
	cr_assert(pack_all(&list, &a), "%s", err.text);
	cr_assert(pack_all(&only_here, &b), "%s", err.text);
	cr_expect(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
}

Test(pack, a_list_names_files_beneath_the_tree_once, .init = setup_dir, .fini = teardown_dir)
{
	static const char *const lists[][2] = {
		{ "../x", NULL }, { "/etc/passwd", NULL }, { "a/../b", NULL },	   { "", NULL },
		{ "f", "f" },	  { "d", NULL },	   { "out/passwd", NULL },
	};

	make_dir(in_dir("t"));
	make_dir(in_dir("t/d"));
	make_text(in_dir("t/f"), "x");
	cr_assert_eq(symlink("/etc", in_dir("t/out")), 0);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		cleanup(buf_release) struct buf tar = { 0 };
		struct tarball_source s = { .path = in_dir("t"),
					    .paths = lists[i],
					    .n_paths = lists[i][1] ? 2 : 1 };

		cr_expect_not(pack_all(&s, &tar), "'%s'", lists[i][0]);
	}
}

Test(pack, a_file_becomes_one_entry_with_its_base_name, .init = setup_dir, .fini = teardown_dir)
{
	cleanup(buf_release) struct buf tar = { 0 };
	cleanup(freep) char *text = NULL;

	make_file(in_dir("model.bin"), "weights", 7, 0755);
	pack(in_dir("model.bin"), &tar);
	cr_assert_eq(tar.len, 512 + 512 + 1024);
	cr_assert_eq(unpack_bytes(tar.data, tar.len, 100, 7), 0, "%s", err.text);
	text = read_text(in_dir("out/model.bin"));
	cr_expect_str_eq(text, "weights");
	cr_expect_eq(count_files(in_dir("out")), 1);
}

Test(pack, refuses_what_is_no_file_directory_or_inward_link_and_names_it, .init = setup_dir,
     .fini = teardown_dir)
{
	static const char *const targets[] = { "/etc/passwd", "../../x", "sub/../../../x",
					       "sub/../f" };
	struct tarball_source source;
	cleanup(buf_release) struct buf tar = { 0 };

	make_dir(in_dir("t"));
	make_dir(in_dir("t/sub"));
	source = (struct tarball_source){ .path = in_dir("t") };
	cr_assert_eq(mkfifo(in_dir("t/sub/pipe"), 0644), 0);
	cr_expect_not(pack_all(&source, &tar));
	cr_expect(strstr(err.text, "'sub/pipe'"), "%s", err.text);
	cr_assert_eq(unlink(in_dir("t/sub/pipe")), 0);
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		cr_assert_eq(symlink(targets[i], in_dir("t/sub/l")), 0);
		source.path = in_dir("t");
		cr_expect_not(pack_all(&source, &tar), "'%s'", targets[i]);
		cr_expect(strstr(err.text, "'sub/l'") && strstr(err.text, targets[i]), "%s",
			  err.text);
		cr_assert_eq(unlink(in_dir("t/sub/l")), 0);
	}
}

Test(pack, a_missing_path_or_one_too_deep_is_an_error, .init = setup_dir, .fini = teardown_dir)
{
	struct tarball_source source = { .path = in_dir("absent") };
	cleanup(buf_release) struct buf tar = { 0 }, deep = { 0 };

	cr_expect_not(pack_all(&source, &tar));
	cr_expect_eq(err.code, ERR_NOT_FOUND);
	buf_puts(&deep, "t");
	make_dir(in_dir("t"));
	for (int i = 0; i < 65; i++) {
		buf_puts(&deep, "/d");
		make_dir(in_dir(deep.data));
	}
	source.path = in_dir("t");
	cr_expect_not(pack_all(&source, &tar));
	cr_expect_eq(err.code, ERR_INVALID);
}

Test(pack, a_file_that_changes_meanwhile_is_an_error, .init = setup_dir, .fini = teardown_dir)
{
	static char big[300000];
	struct tarball_source source = { .path = in_dir("t") };

	for (int grow = 0; grow < 2; grow++) {
		struct tarball_packer *p;
		ssize_t n = 1;

		make_file(in_dir("t"), big, sizeof big, 0644);
		p = tarball_pack_open(&source, &err);
		cr_assert(p, "%s", err.text);
		cr_assert_eq(tarball_pack_read(p, big, 1000, &err), 1000);
		cr_assert_eq(truncate(in_dir("t"), grow ? 400000 : 2000), 0);
		while (n > 0)
			n = tarball_pack_read(p, big, sizeof big, &err);
		cr_expect_eq(n, -1);
		cr_expect_eq(err.code, ERR_ABORTED);
		cr_expect(strstr(err.text, "meanwhile"), "%s", err.text);
		tarball_pack_close(p);
	}
}

Test(header, of_more_than_8_gib_has_its_size_in_pax)
{
	cleanup(buf_release) struct buf b = { 0 };
	struct tar_entry e = { .type = TAR_FILE, .path = "huge", .size = 9ull << 30 };

	tar_header_add(&b, &e);
	cr_assert_eq(b.len, 3 * 512);
	cr_expect_str_eq(b.data + 512, "19 size=9663676416\n");
	cr_expect_str_eq(b.data + 1024, "huge");
	b.len = 0;
	e.size = 077777777777;
	tar_header_add(&b, &e);
	cr_expect_eq(b.len, 512);
}

Test(header, a_link_stays_inside_only_when_its_text_shows_it)
{
	static const struct {
		const char *path, *target;
		bool inside;
	} cases[] = {
		{ "l", "x", true },
		{ "l", "./x", true },
		{ "l", ".", true },
		{ "l", "..", false },
		{ "l", "../x", false },
		{ "a/l", "..", true },
		{ "a/l", "../x/y", true },
		{ "a/l", "../../x", false },
		{ "a/b/l", "../../x", true },
		{ "l", "/x", false },
		{ "l", "", false },
		{ "l", "a/../b", false },
		{ "a/l", "../b/../c", false },
		{ "l", "a//b", true },
		{ "l", "..a", true },
		{ "l", "...", true },
		{ "a/l", ".//../x", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_expect_eq(tar_link_inside(cases[i].path, cases[i].target), cases[i].inside,
			     "%s -> %s", cases[i].path, cases[i].target);
}

/* Runs a program; false when it is not installed. */
static bool run(const char *const *argv, struct buf *ret)
{
	static const char *const env[] = { "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", NULL };
	struct spawn s = { .argv = argv, .env = env, .in = -1, .out = -1, .errout = -1 };

	if (!file_exists(argv[0]))
		return false;
	cr_assert_eq(spawn_run(&s, 30000, 1 << 20, ret, &err), 0, "%s", err.text);
	return true;
}

Test(pack, gnu_tar_and_python_extract_the_same_tree, .init = setup_dir, .fini = teardown_dir)
{
	cleanup(buf_release) struct buf tar = { 0 }, out = { 0 }, was = { 0 };
	cleanup(buf_release) struct buf by_tar = { 0 }, by_python = { 0 };
	char name[300];

	make_tree(in_dir("tree"));
	for (size_t len = 90; len < 250; len += 33) { /* around the limits of ustar */
		memset(name, 'n', len);
		memcpy(name, "tree/", 5);
		name[len] = '\0';
		make_text(in_dir(name), "long");
		memset(name + len, 'd', 1);
		name[len + 1] = '\0';
		make_dir(in_dir(name));
		memcpy(name + len + 1, "/f\xc3\xa4", 5);
		make_text(in_dir(name), "longer");
	}
	cr_assert_eq(chmod(in_dir("tree/zz-big"), 0644), 0);
	pack(in_dir("tree"), &tar);
	make_file(in_dir("t.tar"), tar.data, tar.len, 0644);
	make_dir(in_dir("gnu"));
	make_dir(in_dir("py"));
	describe_tree(in_dir("tree"), &was);
	if (!run((const char *[]){ "/usr/bin/tar", "-xpf", in_dir("t.tar"), "-C", in_dir("gnu"),
				   NULL },
		 &out) &&
	    !run((const char *[]){ "/bin/tar", "-xpf", in_dir("t.tar"), "-C", in_dir("gnu"), NULL },
		 &out))
		cr_skip_test("GNU tar is not installed");
	describe_tree(in_dir("gnu"), &by_tar);
	cr_expect_str_eq(buf_str(&by_tar), buf_str(&was));
	if (!run((const char *[]){ "/usr/bin/python3", "-c",
				   "import sys, tarfile\n"
				   "tarfile.open(sys.argv[1]).extractall(sys.argv[2])\n",
				   in_dir("t.tar"), in_dir("py"), NULL },
		 &out))
		cr_skip_test("python3 is not installed");
	describe_tree(in_dir("py"), &by_python);
	cr_expect_str_eq(buf_str(&by_python), buf_str(&was));
}
