#include "cli/source_tree.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"

static char dir[] = "/tmp/sluice-tree-XXXXXX";

static void setup(void)
{
	cr_assert(mkdtemp(dir));
	setenv("HOME", dir, 1); /* nobody's git configuration */
	setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
	setenv("GIT_CEILING_DIRECTORIES", "/tmp", 1);
}

static void teardown(void)
{
	file_remove_tree(dir, NULL);
}

TestSuite(source_tree, .init = setup, .fini = teardown);

static void put(const char *name, const char *text)
{
	cleanup(freep) char *path = path_join(dir, name);
	cleanup(freep) char *above = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	struct error err = { 0 };

	cr_assert_eq(file_make_dirs(above, 0755, &err), 0);
	cr_assert_eq(file_write_atomic(path, text, strlen(text), 0644, &err), 0, "%s", err.text);
}

static void put_private(const char *name, const char *text)
{
	cleanup(freep) char *path = path_join(dir, name);

	put(name, text);
	cr_assert_eq(chmod(path, 0600), 0);
}

static void drop(const char *name)
{
	cleanup(freep) char *path = path_join(dir, name);

	cr_assert_eq(unlink(path), 0);
}

static void git(const char *a, const char *b, const char *c)
{
	const char *argv[] = { "git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", dir, a,
			       b,     c,    NULL };
	struct spawn s = { .argv = argv, .in = -1 };
	cleanup(buf_release) struct buf out = { 0 };
	struct error err = { 0 };

	cr_assert_eq(spawn_run(&s, 20000, 4096, &out, &err), 0, "git %s: %s", a, err.text);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *listed(struct source_tree *t)
{
	struct error err = { 0 };
	struct buf out = { 0 };

	cr_assert_eq(source_tree_list(dir, t, &err), 0, "%s", err.text);
	qsort(t->paths, t->count, sizeof *t->paths, by_name);
	for (size_t i = 0; i < t->count; i++)
		buf_printf(&out, "%s%s", i ? " " : "", t->paths[i]);
	return buf_detach(&out);
}

Test(source_tree, outside_of_git_it_is_everything_but_what_is_ignored)
{
	cleanup(source_tree_release) struct source_tree t = { 0 };
	cleanup(freep) char *names = NULL, *link = path_join(dir, "link");

	put("sluice.yaml", "x");
	put("src/a.py", "12345");
	put("data/big.bin", "x");
	put(".sluiceignore", "data/\n");
	cr_assert_eq(symlink("src/a.py", link), 0);
	names = listed(&t);
	cr_expect_str_eq(names, ".sluiceignore link sluice.yaml src/a.py");
	cr_expect_eq(t.bytes, 1 + 5 + 6);
	cr_expect(strncmp(t.label, "directory sluice-tree-", 22) == 0, "%s", t.label);
}

Test(source_tree, within_git_it_is_what_git_tracks_or_would_track)
{
	cleanup(source_tree_release) struct source_tree clean = { 0 }, dirty = { 0 };
	cleanup(freep) char *before = NULL, *after = NULL;

	put(".gitignore", "*.pyc\n");
	put("sluice.yaml", "x");
	put("gone.py", "x");
	put("a b\tc.py", "x");
	put("cache.pyc", "x");
	git("init", "-q", ".");
	git("add", "-A", ".");
	git("commit", "-qm", "first");
	before = listed(&clean);
	cr_expect_str_eq(before, ".gitignore a b\tc.py gone.py sluice.yaml");
	cr_expect_eq(strlen(clean.label), 7, "%s", clean.label);
	cr_expect_eq(clean.changed, 0);
	drop("gone.py");
	put("new.py", "x");
	put("scratch.txt", "x");
	put(".sluiceignore", "scratch*\n");
	after = listed(&dirty);
	cr_expect_str_eq(after, ".gitignore .sluiceignore a b\tc.py new.py sluice.yaml");
	cr_expect(strcmp(dirty.label + 7, " + local changes") == 0, "%s", dirty.label);
	cr_expect_eq(dirty.changed, 4);
}

Test(source_tree, a_work_tree_without_a_commit_says_so)
{
	cleanup(source_tree_release) struct source_tree t = { 0 };
	cleanup(freep) char *names = NULL;

	put("sluice.yaml", "x");
	git("init", "-q", ".");
	names = listed(&t);
	cr_expect_str_eq(names, "sluice.yaml");
	cr_expect_str_eq(t.label, "no commit yet + local changes");
}

Test(source_tree, a_damaged_repository_is_not_taken_for_a_plain_directory)
{
	struct source_tree t;
	struct error err = { 0 };

	put("sluice.yaml", "x");
	put(".git/HEAD", "nonsense");
	cr_expect_eq(source_tree_list(dir, &t, &err), -1);
	cr_expect(strstr(err.text, "git ls-files"), "%s", err.text);
}

Test(source_tree, a_token_is_left_out_and_said)
{
	static const char user[] = "0123456789-abcdefghijklmnopqrstuvwxyz_ABCDE";
	cleanup(source_tree_release) struct source_tree t = { 0 };
	cleanup(freep) char *host = xprintf("%s.%064d\n", user, 7);
	cleanup(freep) char *line = xprintf("%s\n", user);
	cleanup(freep) char *names = NULL;

	put_private("ci.token", line);
	put_private("host.token", host);
	put_private("longer", host + 1); /* of another form */
	put("readable", line);		 /* no file of ours: anybody reads it already */
	names = listed(&t);
	cr_expect_str_eq(names, "longer readable");
	cr_expect_eq(t.tokens, 2);
	cr_expect(strstr(t.token, ".token"));
}

Test(source_tree, nothing_to_send_is_an_error)
{
	struct source_tree t;
	struct error err = { 0 };

	put(".sluiceignore", "*\n");
	cr_expect_eq(source_tree_list(dir, &t, &err), -1);
	cr_expect(strstr(err.text, "holds no file"), "%s", err.text);
}
