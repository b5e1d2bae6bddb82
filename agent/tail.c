/*
 * Watched are the file and its folder, or, while it is not there, the nearest folder that is. Every
 * watch is set before what it watches is looked at, so nothing falls in between. That a file was
 * rewritten in its place is seen by the bytes before our offset, of which the last are kept.
 */
#include "agent/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { KEPT = 64, FOLDERS_MAX = 64, EVENTS_BYTES = 4096 };

struct tail {
	char *path;
	int dir;  /* path is beneath it */
	int fd;	  /* the file, -1: it is not there */
	int told; /* inotify, -1: not watched */
	int file_watch;
	off_t at;
	unsigned char kept[KEPT]; /* the bytes before `at` */
	size_t n_kept;
};

struct tail *tail_new(int dir, const char *path)
{
	struct tail *t = xcalloc(1, sizeof *t);

	t->path = xstrdup(path);
	t->fd = t->told = t->file_watch = -1;
	t->dir = dir;
	return t;
}

void tail_free(struct tail *t)
{
	if (!t)
		return;
	closep(&t->dir);
	closep(&t->fd);
	closep(&t->told);
	free(t->path);
	free(t);
}

int tail_fd(const struct tail *t)
{
	return t->told;
}

static int open_beneath(const struct tail *t, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, t->dir, path, &how, sizeof how);
}

/* ---- watching ---- */

static int watch(struct tail *t, int fd, uint32_t events)
{
	char link[64];

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	return inotify_add_watch(t->told, link, events);
}

/* The folder `depth` levels above the file, "." for the directory itself; false: there is none. */
static bool folder_above(const char *path, int depth, char *ret, size_t size)
{
	snprintf(ret, size, "%s", path);
	while (depth--) {
		char *slash = strrchr(ret, '/');

		if (!slash && strcmp(ret, ".") == 0)
			return false;
		if (slash)
			*slash = '\0';
		else
			snprintf(ret, size, ".");
	}
	return true;
}

/* The nearest folder that is there; how many levels above the file it is. */
static int watch_nearest(struct tail *t)
{
	char folder[4096];

	for (int depth = 1; folder_above(t->path, depth, folder, sizeof folder); depth++) {
		int fd = open_beneath(t, folder, O_PATH | O_DIRECTORY);

		if (fd < 0)
			continue;
		watch(t, fd, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
		closep(&fd);
		return depth;
	}
	return 0;
}

/* A folder may come while the one above it is only about to be watched: until nothing changes. */
static void watch_folders(struct tail *t)
{
	int depth = watch_nearest(t), before = FOLDERS_MAX;

	while (depth && depth < before) {
		before = depth;
		depth = watch_nearest(t);
	}
}

static void drain(const struct tail *t)
{
	char events[EVENTS_BYTES];

	while (t->told >= 0 && read(t->told, events, sizeof events) > 0)
		;
}

int tail_watch(struct tail *t, struct error *err)
{
	t->told = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (t->told < 0)
		return error_errno(err, "watching '%s'", t->path);
	watch_folders(t);
	return 0;
}

/* ---- the file ---- */

/* -1 with err clear: it is not there. */
static int open_file(const struct tail *t, struct stat *ret_st, struct error *err)
{
	/* a FIFO must not keep us waiting */
	int fd = open_beneath(t, t->path, O_RDONLY | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return -1;
	if (fd < 0 && errno == EXDEV)
		return error_set(err, ERR_INVALID, "'%s' leads out of the workspace", t->path);
	if (fd < 0)
		return error_errno(err, "opening '%s'", t->path);
	if (fstat(fd, ret_st) == 0 && S_ISREG(ret_st->st_mode))
		return fd;
	closep(&fd);
	return error_set(err, ERR_INVALID, "'%s' is no file", t->path);
}

static bool same_file(int fd, const struct stat *b)
{
	struct stat a;

	return fd >= 0 && fstat(fd, &a) == 0 && a.st_dev == b->st_dev && a.st_ino == b->st_ino;
}

/* Is what was read still there, as it was? */
static bool goes_on(const struct tail *t, off_t size)
{
	unsigned char now[KEPT];

	return size >= t->at &&
	       pread(t->fd, now, t->n_kept, t->at - (off_t)t->n_kept) == (ssize_t)t->n_kept &&
	       memcmp(now, t->kept, t->n_kept) == 0;
}

static void begin(struct tail *t, int fd)
{
	if (t->told >= 0 && t->file_watch >= 0)
		inotify_rm_watch(t->told, t->file_watch);
	closep(&t->fd);
	t->fd = fd;
	t->at = 0;
	t->n_kept = 0;
	t->file_watch = t->told >= 0 ? watch(t, fd, IN_MODIFY) : -1;
}

/* Finds the file as it is called now. 0: there is none. */
static int find(struct tail *t, bool *ret_anew, struct error *err)
{
	struct error why = { 0 };
	struct stat st;
	int fd;

	if (t->told >= 0)
		watch_folders(t);
	fd = open_file(t, &st, &why);
	if (fd < 0 && why.code)
		return *err = why, -1;
	if (fd < 0)
		return 0;
	if (!same_file(t->fd, &st)) {
		*ret_anew = t->fd >= 0 && t->at > 0;
		begin(t, fd);
	} else {
		closep(&fd);
	}
	if (fstat(t->fd, &st) == 0 && !goes_on(t, st.st_size)) { /* as large as it is by now */
		*ret_anew = true;
		t->at = 0;
		t->n_kept = 0;
	}
	return 1;
}

static void keep(struct tail *t, const unsigned char *data, size_t len)
{
	size_t n = MIN(len, (size_t)KEPT), old = MIN(t->n_kept, KEPT - n);

	memmove(t->kept, t->kept + t->n_kept - old, old);
	memcpy(t->kept + old, data + len - n, n);
	t->n_kept = old + n;
}

ssize_t tail_read(struct tail *t, void *data, size_t len, bool *ret_anew, struct error *err)
{
	ssize_t n;
	int r;

	*ret_anew = false;
	drain(t);
	r = find(t, ret_anew, err);
	if (r <= 0)
		return r;
	do
		n = pread(t->fd, data, len, t->at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_errno(err, "reading '%s'", t->path);
	keep(t, data, (size_t)n);
	t->at += n;
	return n;
}
