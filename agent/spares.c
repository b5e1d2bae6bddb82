/*
 * Spare workspaces: a stack whose members are the directories work/spare-0, spare-1, ... The
 * number on the stack is all there is to remember.
 */
#include "agent/spares.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/thread.h"

enum { SPARES_MAX = 256, ROOT_MODE = 0700 };

const struct spares_dir spares_dirs[] = {
	{ "home", 0700 },
	{ "tmp", 0700 },
	{ "src", 0755 },
	{ NULL, 0 },
};

struct spares {
	struct lock lock; /* guards n, and that names and n agree */
	unsigned n;
	char *work_dir;
	uid_t uid;
	gid_t gid;
};

struct spares *spares_new(const char *work_dir, uid_t uid, gid_t gid)
{
	struct spares *s = xcalloc(1, sizeof *s);

	lock_init(&s->lock);
	s->work_dir = xstrdup(work_dir);
	s->uid = uid ? uid : geteuid();
	s->gid = uid ? gid : getegid();
	return s;
}

void spares_free(struct spares *s)
{
	if (!s)
		return;
	lock_release(&s->lock);
	free(s->work_dir);
	free(s);
}

static void spare_path(const struct spares *s, unsigned i, char *ret, size_t size)
{
	snprintf(ret, size, "%s/spare-%u", s->work_dir, i);
}

bool spares_take(struct spares *s, const char *path)
{
	char spare[4096];
	LOCKED(&s->lock);

	if (!s->n)
		return false;
	spare_path(s, --s->n, spare, sizeof spare);
	return rename(spare, path) == 0;
}

/* ---- is it as it was made? ---- */

static bool is_untouched(const struct spares *s, int fd, mode_t mode)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 07777) == mode &&
	       st.st_uid == s->uid && st.st_gid == s->gid && flistxattr(fd, NULL, 0) <= 0;
}

static bool is_known(const char *name)
{
	for (size_t i = 0; spares_dirs[i].name; i++)
		if (strcmp(spares_dirs[i].name, name) == 0)
			return true;
	return false;
}

/* Has it `links` directories in it and nothing else? Takes fd over. With names, only known ones. */
static bool holds(int fd, size_t expected)
{
	DIR *dir = fdopendir(fd);
	struct dirent *e;
	size_t seen = 0;
	bool known = true;

	if (!dir)
		return close(fd), false;
	while (known && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			known = ++seen <= expected && is_known(e->d_name);
	closedir(dir);
	return known && seen == expected;
}

static int open_dir(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool is_new(const struct spares *s, const char *path)
{
	cleanup(closep) int root = open_dir(AT_FDCWD, path);
	size_t n = 0;

	if (root < 0 || !is_untouched(s, root, ROOT_MODE))
		return false;
	for (; spares_dirs[n].name; n++) {
		int fd = open_dir(root, spares_dirs[n].name);

		if (fd < 0)
			return false;
		if (!is_untouched(s, fd, spares_dirs[n].mode))
			return close(fd), false;
		if (!holds(fd, 0))
			return false;
	}
	return holds(fcntl(root, F_DUPFD_CLOEXEC, 0), n);
}

bool spares_keep(struct spares *s, const char *path)
{
	char spare[4096];

	if (!is_new(s, path))
		return false;
	LOCKED(&s->lock);
	if (s->n == SPARES_MAX)
		return false;
	spare_path(s, s->n, spare, sizeof spare);
	if (rename(path, spare) < 0)
		return false;
	s->n++;
	return true;
}
