#include "base/file.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"

static char dir[64];

static void make_dir(void)
{
	memcpy(dir, "/tmp/sluice-file-XXXXXX", sizeof "/tmp/sluice-file-XXXXXX");
	cr_assert(mkdtemp(dir));
}

static void drop_dir(void)
{
	cr_expect_eq(file_remove_tree(dir, NULL), 0);
}

TestSuite(file, .init = make_dir, .fini = drop_dir);

static int count_files(void)
{
	DIR *d = opendir(dir);
	int n = -2; /* "." and ".." */

	cr_assert(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

Test(file, what_was_written_is_read_back_with_its_mode)
{
	cleanup(freep) char *path = path_join(dir, "token");
	cleanup(buf_release) struct buf b = { 0 };
	struct error err = { 0 };
	struct stat st;

	cr_assert_eq(file_write_atomic(path, "a\0b", 3, 0640, &err), 0, "%s", err.text);
	cr_assert_eq(file_read(path, 3, &b, &err), 0, "%s", err.text);
	cr_expect(b.len == 3 && memcmp(b.data, "a\0b", 4) == 0);
	stat(path, &st);
	cr_expect_eq(st.st_mode & 07777, 0640);
	cr_expect_eq(count_files(), 1);
}

Test(file, an_empty_file_is_an_empty_string)
{
	cleanup(freep) char *path = path_join(dir, "empty");
	cleanup(buf_release) struct buf b = { 0 };

	cr_assert_eq(file_write_atomic(path, "", 0, 0600, NULL), 0);
	cr_assert_eq(file_read(path, 0, &b, NULL), 0);
	cr_expect_str_eq(buf_str(&b), "");
}

Test(file, one_byte_above_the_limit_is_refused_and_nothing_returned)
{
	cleanup(freep) char *path = path_join(dir, "large");
	cleanup(buf_release) struct buf b = { 0 };
	struct error err = { 0 };
	char *data = xcalloc(1, 200001);

	cr_assert_eq(file_write_atomic(path, data, 200001, 0600, NULL), 0);
	free(data);
	cr_expect_eq(file_read(path, 200000, &b, &err), -1);
	cr_expect_eq(err.code, ERR_EXHAUSTED);
	cr_expect(strstr(err.text, "'") && strstr(err.text, "200000"), "%s", err.text);
	cr_expect_null(b.data);
	cr_expect_eq(file_read(path, 200001, &b, &err), 0, "%s", err.text);
	cr_expect_eq(b.len, 200001);
}

Test(file, a_missing_file_is_named)
{
	cleanup(buf_release) struct buf b = { 0 };
	struct error err = { 0 };

	cr_expect_eq(file_read("/nowhere/at all", 10, &b, &err), -1);
	cr_expect_eq(err.code, ERR_NOT_FOUND);
	cr_expect_str_eq(err.text, "opening '/nowhere/at all': No such file or directory");
	cr_expect_eq(file_read(dir, 10, &b, &err), -1, "a directory is no file");
}

#ifdef SLUICE_FAULTS
Test(file, a_write_that_fails_leaves_the_old_file_and_nothing_else)
{
	static const char *const points[] = { "file.sync=error", "file.rename=error" };
	cleanup(freep) char *path = path_join(dir, "state");

	cr_assert_eq(file_write_atomic(path, "old", 3, 0600, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		cleanup(buf_release) struct buf b = { 0 };
		struct error err = { 0 };

		fault_load(points[i]);
		cr_expect_eq(file_write_atomic(path, "new", 3, 0600, &err), -1);
		cr_expect(strstr(err.text, path), "%s", err.text);
		fault_load("");
		cr_expect_eq(file_read(path, 10, &b, NULL), 0);
		cr_expect_str_eq(buf_str(&b), "old");
		cr_expect_eq(count_files(), 1);
	}
}
#endif

Test(file, writing_where_there_is_no_directory_names_it)
{
	struct error err = { 0 };

	cr_expect_eq(file_write_atomic("/nowhere/state", "x", 1, 0600, &err), -1);
	cr_expect(strstr(err.text, "/nowhere/state"), "%s", err.text);
}

Test(file, bytes_go_where_they_are_told)
{
	cleanup(freep) char *path = path_join(dir, "log");
	cleanup(closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char back[8] = "";

	cr_assert_eq(file_write_all(fd, "abc", 3, NULL), 0);
	cr_assert_eq(file_pwrite_all(fd, "XY", 2, 1, NULL), 0);
	lseek(fd, 0, SEEK_SET);
	cr_expect_eq(file_read_some(fd, back, sizeof back, NULL), 3);
	cr_expect_str_eq(back, "aXY");
	cr_expect_eq(file_read_some(fd, back, sizeof back, NULL), 0);
	cr_expect_eq(file_write_all(-1, "x", 1, NULL), -1);
	cr_expect_eq(file_read_some(-1, back, 1, NULL), -1);
}

Test(file, directories_are_made_as_by_mkdir_p)
{
	cleanup(freep) char *path = xprintf("%s/a//b/c/", dir);
	cleanup(freep) char *file = xprintf("%s/file", dir);
	cleanup(freep) char *below = xprintf("%s/file/x", dir);
	struct error err = { 0 };

	cr_expect_eq(file_make_dirs(path, 0700, &err), 0, "%s", err.text);
	cr_expect_eq(file_make_dirs(path, 0700, &err), 0, "%s", err.text);
	cr_expect(file_exists(path));
	cr_assert_eq(file_write_atomic(file, "", 0, 0600, NULL), 0);
	cr_expect_eq(file_make_dirs(below, 0700, &err), -1);
	cr_expect_eq(file_make_dirs(file, 0700, &err), -1);
	cr_expect(strstr(err.text, "Not a directory"), "%s", err.text);
	cr_expect_eq(file_make_dirs("/", 0700, &err), 0, "%s", err.text);
}

Test(file, a_tree_of_any_depth_is_removed)
{
	enum { DEPTH = 3000 };
	cleanup(freep) char *top = path_join(dir, "deep");
	int at;

	cr_assert_eq(mkdir(top, 0700), 0);
	at = open(top, O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < DEPTH; i++) {
		int below;

		cr_assert_eq(mkdirat(at, "d", 0700), 0);
		close(openat(at, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0400));
		below = openat(at, "d", O_DIRECTORY | O_CLOEXEC);
		close(at);
		at = below;
	}
	close(at);
	cr_expect_eq(file_remove_tree(top, NULL), 0);
	cr_expect_eq(count_files(), 0);
}

Test(file, removing_a_tree_follows_no_link)
{
	cleanup(freep) char *kept = path_join(dir, "kept"), *file = path_join(kept, "file");
	cleanup(freep) char *tree = path_join(dir, "tree"), *link = path_join(tree, "link");
	cleanup(freep) char *top = path_join(dir, "top");

	cr_assert_eq(file_make_dirs(kept, 0700, NULL) | file_make_dirs(tree, 0700, NULL), 0);
	cr_assert_eq(file_write_atomic(file, "x", 1, 0600, NULL), 0);
	cr_assert_eq(symlink(kept, link) | symlink(kept, top), 0);
	cr_expect_eq(file_remove_tree(tree, NULL), 0);
	cr_expect_eq(file_remove_tree(top, NULL), 0);
	cr_expect(file_exists(file) && !file_exists(tree) && !file_exists(top));
}

/* A tree as a job may leave it: sealed directories, and a name like those used on the way. */
static char *hostile_tree(void)
{
	char *tree = path_join(dir, "tree");
	cleanup(freep) char *inner = xprintf("%s/a/b/c", tree);
	cleanup(freep) char *odd = xprintf("%s/.removed-0/.removed-1/x", tree);
	cleanup(freep) char *file = xprintf("%s/a/b/c/f", tree), *b = xprintf("%s/a/b", tree);

	cr_assert_eq(file_make_dirs(inner, 0700, NULL) | file_make_dirs(odd, 0700, NULL), 0);
	cr_assert_eq(file_write_atomic(file, "x", 1, 0000, NULL), 0);
	cr_assert_eq(chmod(inner, 0000) | chmod(b, 0500) | chmod(tree, 0000), 0);
	return tree;
}

Test(file, sealed_directories_are_removed_by_their_owner)
{
	cleanup(freep) char *tree = hostile_tree();
	pid_t child = -1;
	int status = 0;

	if (geteuid() != 0) {
		cr_expect_eq(file_remove_tree(tree, NULL), 0);
	} else { /* root is above modes: do it as somebody else */
		cleanup(freep) char *give = xprintf("chown -R 65534:65534 '%s'", dir);

		cr_assert_eq(system(give), 0);
		child = fork();
		if (child == 0)
			_exit(setgid(65534) || setuid(65534) || file_remove_tree(tree, NULL));
		waitpid(child, &status, 0);
		cr_expect_eq(status, 0);
	}
	cr_expect(!file_exists(tree));
}

Test(file, removing_what_is_not_there_is_well)
{
	cleanup(freep) char *path = path_join(dir, "absent");
	struct error err = { 0 };

	cr_expect_eq(file_remove_tree(path, &err), 0, "%s", err.text);
	cr_expect_eq(file_remove_tree("/proc/self", &err), -1);
	cr_expect(strstr(err.text, "removing '/proc/self'"), "%s", err.text);
}

static void make_file(const char *name)
{
	cleanup(freep) char *path = path_join(dir, name);

	cr_assert_eq(file_write_atomic(path, "", 0, 0600, NULL), 0);
}

Test(file, what_a_killed_writer_left_is_removed_and_nothing_else)
{
	static const char *const left[] = { "journal.tmp-a1B2c3", "a.tmp-b.tmp-ZZZZZZ" };
	static const char *const kept[] = { "journal",	     ".tmp-a1B2c3",	 "x.tmp-short",
					    "x.tmp-toolong", "x.tmp-a1B2c3.pem", "x.tmp-a1_2c3" };

	for (size_t i = 0; i < ARRAY_SIZE(left); i++)
		make_file(left[i]);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		make_file(kept[i]);
	file_remove_temps(dir);
	cr_expect_eq(count_files(), (int)ARRAY_SIZE(kept));
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		cleanup(freep) char *path = path_join(dir, kept[i]);

		cr_expect(file_exists(path), "%s", kept[i]);
	}
	file_remove_temps("/tmp/there/is/no/such/directory");
}

Test(file, a_lock_keeps_others_out_and_ends_with_its_descriptor)
{
	cleanup(freep) char *path = path_join(dir, "lock");
	struct error err = { 0 };
	int first = -1, second = -1;

	cr_expect(!file_locked(path));
	cr_assert_eq(file_lock(path, &first, &err), 0, "%s", err.text);
	cr_expect(file_locked(path));
	cr_expect_eq(file_lock(path, &second, &err), -1);
	cr_expect_eq(err.code, ERR_CONFLICT);
	cr_expect_eq(second, -1);
	close(first);
	cr_expect(!file_locked(path));
	cr_assert_eq(file_lock(path, &second, &err), 0, "%s", err.text);
	close(second);
}

Test(file, a_secret_must_be_its_owners_alone)
{
	cleanup(freep) char *path = path_join(dir, "key");
	struct error err = { 0 };

	cr_assert_eq(file_write_atomic(path, "k", 1, 0600, NULL), 0);
	cr_expect_eq(file_check_private(path, &err), 0, "%s", err.text);
	chmod(path, 0640);
	cr_expect_eq(file_check_private(path, &err), -1);
	cr_expect_eq(err.code, ERR_DENIED);
	cr_expect(strstr(err.text, "0640") && strstr(err.hint, "chmod 600"), "%s", err.text);
	cr_expect_eq(file_check_private("/nowhere", &err), -1);
	cr_expect_eq(err.code, ERR_NOT_FOUND);
}

Test(file, free_space_is_told_in_bytes)
{
	uint64_t bytes = 0;

	cr_expect_eq(file_free_bytes(dir, &bytes, NULL), 0);
	cr_expect_gt(bytes, 0);
	cr_expect_eq(file_free_bytes("/nowhere", &bytes, NULL), -1);
}

Test(file, paths_are_joined_with_one_slash)
{
	cleanup(freep) char *a = path_join("/a", "b"), *b = path_join("/a/", "b"),
			    *c = path_join("/", "b");

	cr_expect_str_eq(a, "/a/b");
	cr_expect_str_eq(b, "/a/b");
	cr_expect_str_eq(c, "/b");
}

Test(file, a_peers_name_is_a_name_and_no_path)
{
	static const char *const bad[] = { "",	  ".",	 "..",	"-x",	   ".x",
					   "a/b", "a b", "a\n", "\xc3\xbc" };
	char longest[130];

	cr_expect(name_valid("model") && name_valid("_a.B-9") && name_valid("9"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_expect(!name_valid(bad[i]), "'%s'", bad[i]);
	memset(longest, 'x', sizeof longest);
	longest[128] = '\0';
	cr_expect(name_valid(longest));
	longest[128] = 'x';
	longest[129] = '\0';
	cr_expect(!name_valid(longest));
}
