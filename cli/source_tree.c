/*
 * Listing. git is asked by argument vector and answers with NULs between names, so no name can be
 * mistaken for anything else.
 */
#include "cli/source_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "blob/tarball.h"
#include "cli/ignore.h"
#include "crypto/random.h"

enum { GIT_MS = 60000, LIST_MAX = 256 << 20, IGNORE_FILE_MAX = 1 << 20 };

struct listing {
	struct source_tree *tree;
	struct ignore *ignore;
	size_t room;
};

/* A user's (43 characters of base64url) or a host's (the same, a dot, 64 hex digits) and no more,
 * in a file as `tokens create -o` makes it. */
static bool holds_token(const struct listing *l, const char *path, const struct stat *st)
{
	enum { SECRET = RANDOM_TOKEN_SIZE - 1, LONGEST = SECRET + 1 + 64 };
	cleanup(buf_release) struct buf text = { 0 };
	cleanup(freep) char *full = NULL;
	size_t len;

	if (!S_ISREG(st->st_mode) || st->st_mode & 077 || st->st_size < SECRET ||
	    st->st_size > LONGEST + 1)
		return false;
	full = path_join(l->tree->directory, path);
	if (file_read(full, LONGEST + 1, &text, NULL) < 0)
		return false;
	len = strcspn(buf_str(&text), "\n");
	return (len == SECRET || (len == LONGEST && text.data[SECRET] == '.')) &&
	       text.len <= len + 1 &&
	       strspn(text.data, "0123456789abcdefghijklmnopqrstuvwxyz-_."
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == len;
}

static int add(struct listing *l, const char *path, const struct stat *st, struct error *err)
{
	struct source_tree *t = l->tree;

	if (holds_token(l, path, st)) {
		if (!t->tokens++)
			t->token = xstrdup(path);
		return 0;
	}

	if (t->count == TARBALL_MAX_ENTRIES)
		return error_set(err, ERR_EXHAUSTED, "'%s' has more than %d files", t->directory,
				 TARBALL_MAX_ENTRIES);
	if (t->count == l->room) {
		l->room = MAX(2 * l->room, (size_t)256);
		t->paths = xreallocarray(t->paths, l->room, sizeof *t->paths);
	}
	t->paths[t->count++] = xstrdup(path);
	t->bytes += S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
	return 0;
}

/* ---- git ---- */

/* `git ARGUMENTS...` in the tree; its stdout. */
static int git(const char *directory, const char *const *arguments, struct buf *ret,
	       struct error *err)
{
	const char *argv[16] = { "git", "--no-optional-locks", "-C", directory };
	cleanup(closep) int in = -1, out = -1;
	struct spawn s = { .argv = argv, .in = -1, .errout = -1 };
	struct child child;
	int ends[2], status;
	ssize_t n;

	for (size_t i = 0; arguments[i]; i++)
		argv[4 + i] = arguments[i];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, "making a pipe");
	in = ends[0];
	s.out = out = ends[1];
	if (spawn_start(&s, &child, err) < 0)
		return error_wrap(err, "'%s' is a git work tree", directory);
	close(out);
	out = -1;
	do {
		buf_reserve(ret, 65536);
		n = file_read_some(in, ret->data + ret->len, 65536, err);
		ret->len += n > 0 ? (size_t)n : 0;
	} while (n > 0 && ret->len < LIST_MAX);
	ret->data[ret->len] = 0;
	if (n > 0)
		spawn_signal(&child, 9, NULL);
	if (spawn_wait(&child, GIT_MS, &status, err) < 0)
		return -1;
	if (n < 0)
		return -1;
	if (status != 0) {
		error_set(err, ERR_INVALID, "`git %s` fails in '%s'", arguments[0], directory);
		return error_hint(err, "run it there to see why");
	}
	return 0;
}

/* Is there a .git here or above? A work tree that git cannot read must not pass for a plain
 * directory: its .gitignore would not count. */
static bool in_work_tree(const char *directory)
{
	char *path = realpath(directory, NULL);
	bool found = false;

	while (path && *path && !found) {
		cleanup(freep) char *mark = path_join(path, ".git");
		char *slash = strrchr(path, '/');

		found = file_exists(mark);
		*slash = 0;
	}
	free(path);
	return found;
}

static int add_listed(struct listing *l, const struct buf *names, struct error *err)
{
	const char *last = "";

	for (const char *p = buf_str(names), *end = p + names->len; p < end; p += strlen(p) + 1) {
		cleanup(freep) char *path = path_join(l->tree->directory, p);
		struct stat st;

		/* deleted; a submodule or another repository; one of several stages */
		if (lstat(path, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)) ||
		    strcmp(p, last) == 0 || ignore_matches(l->ignore, p, false))
			continue;
		if (add(l, p, &st, err) < 0)
			return -1;
		last = p;
	}
	return 0;
}

static int list_git(struct listing *l, struct error *err)
{
	static const char *const ls[] = { "ls-files", "-z", "-co", "--exclude-standard", NULL };
	static const char *const head[] = { "rev-parse", "--short=7", "HEAD", NULL };
	static const char *const status[] = { "status", "--porcelain", "-z", "--no-renames",
					      "-uall",	"--",	       ".",  NULL };
	cleanup(buf_release) struct buf names = { 0 }, commit = { 0 }, changes = { 0 };
	const char *directory = l->tree->directory;

	if (git(directory, ls, &names, err) < 0 || add_listed(l, &names, err) < 0 ||
	    git(directory, status, &changes, err) < 0)
		return -1;
	for (size_t i = 0; i < changes.len; i++)
		l->tree->changed += changes.data[i] == 0;
	if (git(directory, head, &commit, NULL) < 0)
		buf_clear(&commit), buf_puts(&commit, "no commit yet");
	else
		commit.data[strcspn(commit.data, "\n")] = 0;
	l->tree->label =
		xprintf("%s%s", buf_str(&commit), l->tree->changed ? " + local changes" : "");
	return 0;
}

/* ---- without git ---- */

static int walk(struct listing *l, const char *relative, int depth, struct error *err)
{
	cleanup(freep) char *here =
		*relative ? path_join(l->tree->directory, relative) : xstrdup(l->tree->directory);
	DIR *dir = depth > TARBALL_MAX_DEPTH ? NULL : opendir(here);
	struct dirent *entry;
	int r = 0;

	if (depth > TARBALL_MAX_DEPTH)
		return error_set(err, ERR_EXHAUSTED, "'%s' is more than %d directories deep", here,
				 TARBALL_MAX_DEPTH);
	if (!dir)
		return error_errno(err, "opening '%s'", here);
	while (r == 0 && (entry = readdir(dir))) {
		cleanup(freep) char *path =
			*relative ? path_join(relative, entry->d_name) : xstrdup(entry->d_name);
		cleanup(freep) char *full = path_join(l->tree->directory, path);
		struct stat st;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    lstat(full, &st) < 0 || ignore_matches(l->ignore, path, S_ISDIR(st.st_mode)))
			continue;
		if (S_ISDIR(st.st_mode))
			r = walk(l, path, depth + 1, err);
		else if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
			r = add(l, path, &st, err);
	}
	closedir(dir);
	return r;
}

static int list_all(struct listing *l, struct error *err)
{
	char *real = realpath(l->tree->directory, NULL);
	const char *slash = real ? strrchr(real, '/') : NULL;

	l->tree->label = xprintf("directory %s", slash && slash[1] ? slash + 1 : "/");
	free(real);
	return walk(l, "", 1, err);
}

/* ---- all of it ---- */

static int read_ignore(struct listing *l, struct error *err)
{
	cleanup(freep) char *path = path_join(l->tree->directory, ".sluiceignore");
	cleanup(buf_release) struct buf text = { 0 };

	if (!file_exists(path))
		return 0;
	if (file_read(path, IGNORE_FILE_MAX, &text, err) < 0)
		return -1;
	l->ignore = ignore_parse(buf_str(&text), text.len);
	return 0;
}

int source_tree_list(const char *directory, struct source_tree *ret, struct error *err)
{
	struct source_tree tree = { .directory = xstrdup(directory) };
	struct listing l = { .tree = &tree };
	int r = read_ignore(&l, err);

	if (r == 0)
		r = (tree.is_git = in_work_tree(directory)) ? list_git(&l, err) : list_all(&l, err);
	if (r == 0 && !tree.count)
		r = error_set(err, ERR_INVALID, "'%s' holds no file that is not ignored",
			      directory);
	ignore_free(l.ignore);
	if (r < 0) {
		source_tree_release(&tree);
		return -1;
	}
	*ret = tree;
	return 0;
}

void source_tree_release(struct source_tree *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->paths[i]);
	free(t->paths);
	free(t->directory);
	free(t->label);
	free(t->token);
	memset(t, 0, sizeof *t);
}
