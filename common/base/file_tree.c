/*
 * Making and removing trees. What is removed was often made by a job: any depth,
 * directories without permissions, links to anywhere. So nothing recurses and
 * no link is followed: the directories inside a top entry are moved up beside it
 * and removed in the next round, which needs two descriptors at any depth.
 */
#include "base/file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static int make_one(const char *path, mode_t mode, struct error *err)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return error_errno(err, "creating '%s'", path);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	errno = ENOTDIR;
	return error_errno(err, "creating '%s'", path);
}

int file_make_dirs(const char *path, mode_t mode, struct error *err)
{
	cleanup(freep) char *part = xstrdup(path);

	for (char *p = part + strspn(part, "/"); *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (make_one(part, mode, err) < 0)
			return -1;
		*p = '/';
		p += strspn(p, "/") - 1;
	}
	return make_one(part, mode, err);
}

static void dir_closep(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* A round of removal: the tree's root, and the next free name for what is moved up. */
struct removal {
	int root;
	unsigned long next_name;
};

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Reading, changing and moving a directory take all three bits of its owner. Where it is not
 * ours this does nothing, and what follows tells. */
static void unseal(int at, const char *name)
{
	struct stat st;

	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode) ||
	    (st.st_mode & 0700) == 0700)
		return;
	if (fchmodat(at, name, 0700, AT_SYMLINK_NOFOLLOW) < 0)
		return;
}

static DIR *open_dir_at(int at, const char *name)
{
	int fd;
	DIR *dir;

	unseal(at, name);
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	dir = fdopendir(fd);
	if (!dir)
		close(fd);
	return dir;
}

/* rename without replacing; where the file system has no such thing, look first. */
static int rename_to_new(int from, const char *name, int to, const char *new)
{
	struct stat st;

	if (renameat2(from, name, to, new, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (fstatat(to, new, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	return renameat(from, name, to, new);
}

static int move_up(struct removal *r, int from, const char *name)
{
	unseal(from, name);
	for (;;) {
		char up[32];

		snprintf(up, sizeof up, ".removed-%lu", r->next_name++);
		if (rename_to_new(from, name, r->root, up) == 0)
			return 0;
		if (errno != EEXIST)
			return -1;
	}
}

/* unlink, and rmdir where that is what it takes; gone already is well. */
static int remove_at(int at, const char *name)
{
	int first;

	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	first = errno;
	if (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno == ENOTDIR)
		errno = first;
	return -1;
}

static bool is_full(int number)
{
	return number == ENOTEMPTY || number == EEXIST;
}

/* Removes what the top entry `name` holds, or moves it up to the root; then the entry itself. */
static int flatten(struct removal *r, const char *name)
{
	cleanup(dir_closep) DIR *dir = open_dir_at(r->root, name);
	struct dirent *e;

	if (!dir)
		return errno == ENOENT ? 0 : -1;
	while ((errno = 0, e = readdir(dir))) {
		if (is_dots(e->d_name) || remove_at(dirfd(dir), e->d_name) == 0)
			continue;
		if (!is_full(errno) || move_up(r, dirfd(dir), e->d_name) < 0)
			return -1;
	}
	if (errno)
		return -1;
	/* filled again meanwhile: the next round sees it */
	return remove_at(r->root, name) == 0 || is_full(errno) ? 0 : -1;
}

/* One pass over the root's entries; 1 when it saw any. */
static int remove_round(struct removal *r, DIR *dir)
{
	struct dirent *e;
	int seen = 0;

	rewinddir(dir);
	while ((errno = 0, e = readdir(dir))) {
		if (is_dots(e->d_name))
			continue;
		seen = 1;
		if (remove_at(r->root, e->d_name) == 0)
			continue;
		if (!is_full(errno) || flatten(r, e->d_name) < 0)
			return -1;
	}
	return errno ? -1 : seen;
}

/* NAME.tmp-XXXXXX, as mkostemp() fills it in. */
static bool is_temp(const char *name)
{
	const char *end = name + strlen(name), *mark = end - strlen(".tmp-XXXXXX");

	if (mark <= name || strncmp(mark, ".tmp-", 5) != 0)
		return false;
	for (mark += 5; mark < end; mark++)
		if (!isalnum((unsigned char)*mark))
			return false;
	return true;
}

void file_remove_temps(const char *path)
{
	cleanup(dir_closep) DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (is_temp(e->d_name))
			unlinkat(dirfd(dir), e->d_name, 0);
}

int file_remove_tree(const char *path, struct error *err)
{
	cleanup(dir_closep) DIR *dir = NULL;
	struct removal removal = { 0 };
	int r;

	if (remove_at(AT_FDCWD, path) == 0)
		return 0;
	if (!is_full(errno) || !(dir = open_dir_at(AT_FDCWD, path)))
		return error_errno(err, "removing '%s'", path);
	removal.root = dirfd(dir);
	while ((r = remove_round(&removal, dir)) > 0)
		;
	if (r < 0 || remove_at(AT_FDCWD, path) < 0)
		return error_errno(err, "removing '%s'", path);
	return 0;
}
