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

#include "agent/owners.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"

enum { SPARES_MAX = 256, ROOT_MODE = 0700 };

const struct spares_dir spares_dirs[] = {
	{ "home", 0700 },
	{ "tmp", 0700 },
	{ "src", 0755 },
	{ NULL, 0 },
};

struct spares {
	struct lock lock; /* guards n and uids, and that names and n agree */
	unsigned n;
	uid_t uids[SPARES_MAX];
	char *work_dir;
	struct owners *owners;
	gid_t gid;
};

struct spares *spares_new(const char *work_dir, struct owners *owners)
{
	struct spares *s = xcalloc(1, sizeof *s);

	lock_init(&s->lock);
	s->work_dir = xstrdup(work_dir);
	s->owners = owners;
	s->gid = owners_gid(owners) ? owners_gid(owners) : getegid();
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

bool spares_take(struct spares *s, const char *path, uid_t *ret_uid)
{
	char spare[4096];
	LOCKED(&s->lock);

	if (!s->n)
		return false;
	spare_path(s, --s->n, spare, sizeof spare);
	if (rename(spare, path) < 0)
		return false;
	*ret_uid = s->uids[s->n];
	return true;
}

bool spares_drop(struct spares *s)
{
	struct error err = { 0 };
	char spare[4096];
	LOCKED(&s->lock);

	if (!s->n)
		return false;
	spare_path(s, --s->n, spare, sizeof spare);
	if (file_remove_tree(spare, &err) == 0)
		owners_return(s->owners, s->uids[s->n]);
	else
		log_warn("removing a spare workspace: %s", err.text);
	return true;
}

/* ---- is it as it was made? ---- */

static bool is_untouched(const struct spares *s, int fd, mode_t mode, uid_t uid)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 07777) == mode &&
	       st.st_uid == uid && st.st_gid == s->gid && flistxattr(fd, NULL, 0) <= 0;
}

static bool is_known(const char *name)
{
	for (size_t i = 0; spares_dirs[i].name; i++)
		if (strcmp(spares_dirs[i].name, name) == 0)
			return true;
	return false;
}

/* Has it so many directories with known names in it and nothing else? Takes fd over. */
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

static bool is_new(const struct spares *s, const char *path, uid_t *ret_uid)
{
	cleanup(closep) int root = open_dir(AT_FDCWD, path);
	struct stat st;
	size_t n = 0;

	if (root < 0 || fstat(root, &st) < 0 || !owners_has(s->owners, st.st_uid) ||
	    !is_untouched(s, root, ROOT_MODE, st.st_uid))
		return false;
	for (; spares_dirs[n].name; n++) {
		int fd = open_dir(root, spares_dirs[n].name);

		if (fd < 0)
			return false;
		if (!is_untouched(s, fd, spares_dirs[n].mode, st.st_uid))
			return close(fd), false;
		if (!holds(fd, 0))
			return false;
	}
	*ret_uid = st.st_uid;
	return holds(fcntl(root, F_DUPFD_CLOEXEC, 0), n);
}

bool spares_keep(struct spares *s, const char *path)
{
	char spare[4096];
	uid_t uid;

	if (!is_new(s, path, &uid))
		return false;
	LOCKED(&s->lock);
	if (s->n == SPARES_MAX)
		return false;
	spare_path(s, s->n, spare, sizeof spare);
	if (rename(path, spare) < 0)
		return false;
	s->uids[s->n++] = uid;
	return true;
}
