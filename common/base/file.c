/*
 * Reading and writing whole files, and the locks that keep a second process
 * out. Trees are in file_tree.c.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"

ssize_t file_read_some(int fd, void *data, size_t len, struct error *err)
{
	ssize_t n;

	do
		n = read(fd, data, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_errno(err, "reading");
	return n;
}

/* All of fd, one byte past the limit at most. */
static int read_all(int fd, size_t limit, struct buf *into, struct error *err)
{
	enum { STEP = 64 * 1024 };

	while (into->len <= limit) {
		size_t want = MIN(limit - into->len, (size_t)STEP - 1) + 1;
		ssize_t n;

		buf_reserve(into, want);
		n = file_read_some(fd, into->data + into->len, want, err);
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		into->len += (size_t)n;
	}
	buf_reserve(into, 0);
	into->data[into->len] = '\0';
	return 0;
}

int file_read(const char *path, size_t limit, struct buf *ret, struct error *err)
{
	cleanup(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	cleanup(buf_release) struct buf content = { 0 };

	if (fd < 0)
		return error_errno(err, "opening '%s'", path);
	if (read_all(fd, limit, &content, err) < 0)
		return error_wrap(err, "'%s'", path);
	if (content.len > limit)
		return error_set(err, ERR_EXHAUSTED, "'%s' is larger than %zu bytes", path, limit);
	buf_release(ret);
	*ret = content;
	content = (struct buf){ 0 };
	return 0;
}

int file_write_all(int fd, const void *data, size_t len, struct error *err)
{
	const char *at = data;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, "writing");
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int file_pwrite_all(int fd, const void *data, size_t len, off_t at, struct error *err)
{
	const char *from = data;

	while (len) {
		ssize_t n = pwrite(fd, from, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, "writing");
		from += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* "a/b" -> "a", "b" -> ".", "/b" -> "/"; on the heap. */
static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return xstrdup(".");
	return xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
}

int file_sync_dir(const char *dir, struct error *err)
{
	cleanup(closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return error_errno(err, "opening '%s'", dir);
	if (FAULT_POINT("file.sync-dir"))
		errno = EIO;
	else if (fsync(fd) == 0)
		return 0;
	return error_errno(err, "syncing '%s'", dir);
}

int file_rename(const char *from, const char *to, struct error *err)
{
	cleanup(freep) char *dir = directory_of(to);

	if (FAULT_POINT("file.rename"))
		errno = EIO;
	else if (rename(from, to) == 0)
		return file_sync_dir(dir, err);
	return error_errno(err, "renaming '%s' to '%s'", from, to);
}

static int write_and_sync(int fd, const void *data, size_t len, mode_t mode, struct error *err)
{
	if (file_write_all(fd, data, len, err) < 0)
		return -1;
	if (fchmod(fd, mode) < 0)
		return error_errno(err, "setting its mode");
	if (FAULT_POINT("file.sync"))
		errno = EIO;
	else if (fsync(fd) == 0)
		return 0;
	return error_errno(err, "syncing");
}

int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode,
		      struct error *err)
{
	cleanup(freep) char *temp = xprintf("%s.tmp-XXXXXX", path);
	int fd = mkostemp(temp, O_CLOEXEC);
	int r;

	if (fd < 0)
		return error_errno(err, "creating '%s'", temp);
	r = write_and_sync(fd, data, len, mode, err);
	if (close(fd) < 0 && r == 0)
		r = error_errno(err, "closing");
	if (r < 0)
		error_wrap(err, "'%s'", path);
	else
		r = file_rename(temp, path, err);
	if (r < 0)
		unlink(temp); /* gone already where only the directory's sync failed */
	return r;
}

bool file_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

int file_lock(const char *path, int *ret_fd, struct error *err)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	cleanup(closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_errno(err, "opening '%s'", path);
	if (fcntl(fd, F_OFD_SETLK, &whole) == 0) {
		*ret_fd = fd;
		fd = -1;
		return 0;
	}
	if (errno == EAGAIN || errno == EACCES)
		return error_set(err, ERR_CONFLICT, "'%s' is locked by another process", path);
	return error_errno(err, "locking '%s'", path);
}

bool file_locked(const char *path)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	cleanup(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}

int file_check_private(const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return error_errno(err, "looking at '%s'", path);
	if (!(st.st_mode & 077))
		return 0;
	error_id(err, "E0305", "'%s' is open to others than its owner (mode %04o)", path,
		 (unsigned int)st.st_mode & 07777);
	return error_hint(err, "chmod %s %.200s", S_ISDIR(st.st_mode) ? "700" : "600", path);
}

int file_free_bytes(const char *path, uint64_t *ret, struct error *err)
{
	struct statvfs st;

	if (statvfs(path, &st) < 0)
		return error_errno(err, "asking what is free under '%s'", path);
	*ret = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

char *path_join(const char *dir, const char *name)
{
	size_t len = strlen(dir);

	return xprintf("%s%s%s", dir, len && dir[len - 1] == '/' ? "" : "/", name);
}

bool name_valid(const char *name)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t len = strnlen(name, 129);

	return len >= 1 && len <= 128 && name[0] != '-' && name[0] != '.' &&
	       strspn(name, allowed) == len;
}
