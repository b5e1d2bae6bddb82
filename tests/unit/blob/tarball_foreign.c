/*
 * tarball_unpack.c: streams that other programs wrote.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "support.h"

/* Whatever python's tarfile writes in its three formats. */
Test(foreign, reads_what_python_and_gnu_tar_write, .init = setup_dir, .fini = teardown_dir)
{
	static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
	static const char script[] =
		"import sys, tarfile, io\n"
		"for i, form in enumerate((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, "
		"tarfile.PAX_FORMAT)):\n"
		"  t = tarfile.open(sys.argv[1] + '/%d.tar' % i, 'w', format=form, "
		"encoding='utf-8')\n"
		"  long = '/'.join(['x' * 90] * (2 if i == 0 else 5))\n"
		"  for name in ['plain', 'gr\\u00f6\\u00dfe', 'a\\u0308', long + '/\\u65e5']:\n"
		"    e = tarfile.TarInfo(name); e.size = 3; e.mtime = 1.5 if i == 2 else 1\n"
		"    t.addfile(e, io.BytesIO(b'abc'))\n"
		"  t.close()\n";
	const char *argv[] = { "/usr/bin/python3", "-c", script, dir, NULL };
	struct spawn python = { .argv = argv, .env = env, .in = -1, .out = -1, .errout = -1 };
	cleanup(buf_release) struct buf out = { 0 };

	if (!file_exists(argv[0]))
		cr_skip_test("python3 is not installed");
	cr_assert_eq(spawn_run(&python, 30000, 4000, &out, &err), 0, "%s", err.text);
	for (int i = 0; i < 3; i++) {
		cleanup(buf_release) struct buf bytes = { 0 };
		char name[] = "0.tar";

		name[0] = (char)('0' + i);
		cr_assert_eq(file_read(in_dir(name), 1 << 20, &bytes, &err), 0);
		cr_assert_eq(unpack_bytes(bytes.data, bytes.len, 1000, 12), 0, "%d: %s", i,
			     err.text);
		cr_expect_eq(count_files(in_dir("out")), 4);
		cr_expect(file_exists(in_dir("out/gr\xc3\xb6\xc3\x9f"
					     "e")),
			  "%d", i);
		/* libarchive composes what a foreign pax header says */
		cr_expect(file_exists(in_dir(i == 2 ? "out/\xc3\xa4" : "out/a\xcc\x88")), "%d", i);
		cr_assert_eq(file_remove_tree(in_dir("out"), &err), 0);
	}
}

Test(foreign, a_sparse_file_is_whole, .init = setup_dir, .fini = teardown_dir)
{
	static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
	const char *argv[] = { "tar", "-C", dir, "-Scf", in_dir("s.tar"), "sparse", NULL };
	struct spawn gnu = { .argv = argv, .env = env, .in = -1, .out = -1, .errout = -1 };
	cleanup(buf_release) struct buf out = { 0 }, was = { 0 }, is = { 0 };
	int fd = open(in_dir("sparse"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	cr_assert_eq(ftruncate(fd, 3 << 20), 0);
	cr_assert_eq(pwrite(fd, "middle", 6, 1 << 20), 6);
	close(fd);
	cr_assert_eq(spawn_run(&gnu, 30000, 4000, &out, &err), 0, "%s", err.text);
	cr_assert_eq(file_read(in_dir("s.tar"), 1 << 20, &out, &err), 0, "%s", err.text);
	cr_assert_eq(unpack_bytes(out.data, out.len, 1000, 3 << 20), 0, "%s", err.text);
	cr_assert_eq(file_read(in_dir("sparse"), 4 << 20, &was, &err), 0);
	cr_assert_eq(file_read(in_dir("out/sparse"), 4 << 20, &is, &err), 0);
	cr_expect(was.len == is.len && memcmp(was.data, is.data, is.len) == 0);
	cr_assert_eq(file_remove_tree(in_dir("out"), &err), 0);
	cr_expect_eq(unpack_bytes(out.data, out.len, 1000, (3 << 20) - 1), -1);
}
