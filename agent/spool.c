/*
 * One descriptor per stream, opened when first needed; it stays valid when the file is renamed
 * to .done. A service's segment is opened as the offset moves through them.
 */
#include "agent/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"

struct spool {
	char *dir, *name;
	bool service;
	uint64_t length; /* of stream 0, as announced */
	int fds[SPOOL_STREAMS];
	uint64_t segment; /* that fds[0] is, for a service */
};

static const char *const stream_suffix[SPOOL_STREAMS] = { "", ".words", ".metrics" };

static char *spool_path(const char *dir, const char *name, const char *suffix)
{
	return xprintf("%s/%s%s", dir, name, suffix);
}

static int open_file(const char *dir, const char *name, const char *suffix, int flags)
{
	cleanup(freep) char *path = spool_path(dir, name, suffix);

	return open(path, flags | O_CLOEXEC, 0600);
}

static uint64_t size_of(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* Calls visit with each segment's number. */
static int each_segment(const char *dir, const char *name, void (*visit)(void *, uint64_t),
			void *arg)
{
	cleanup(freep) char *prefix = xprintf("%s.seg-", name);
	DIR *d = opendir(dir);
	struct dirent *entry;
	size_t n = strlen(prefix);

	if (!d)
		return -1;
	while ((entry = readdir(d)))
		if (strncmp(entry->d_name, prefix, n) == 0)
			visit(arg, strtoull(entry->d_name + n, NULL, 10));
	closedir(d);
	return 0;
}

struct newest {
	uint64_t segment;
	bool any;
};

static void keep_newest(void *arg, uint64_t segment)
{
	struct newest *n = arg;

	if (!n->any || segment > n->segment)
		*n = (struct newest){ .segment = segment, .any = true };
}

int spool_service_end(const char *dir, const char *name, uint64_t *ret, struct error *err)
{
	cleanup(closep) int fd = -1;
	cleanup(freep) char *suffix = NULL;
	struct newest newest = { 0 };

	if (each_segment(dir, name, keep_newest, &newest) < 0)
		return error_errno(err, "reading '%s'", dir);
	if (!newest.any)
		return error_set(err, ERR_NOT_FOUND, "there is no spool '%s'", name);
	suffix = xprintf(".seg-%" PRIu64, newest.segment);
	fd = open_file(dir, name, suffix, O_RDONLY);
	*ret = newest.segment * SPOOL_SEGMENT_BYTES + size_of(fd);
	return 0;
}

static int open_output(struct spool *s, struct error *err)
{
	struct shim_record record;

	s->fds[0] = open_file(s->dir, s->name, "", O_RDONLY);
	if (s->fds[0] >= 0)
		return 0;
	if (spool_service_end(s->dir, s->name, &s->length, NULL) == 0) {
		s->service = true;
		return 0;
	}
	s->fds[0] = open_file(s->dir, s->name, ".done", O_RDONLY);
	if (s->fds[0] < 0)
		return error_errno(err, "opening the spool '%s'", s->name);
	if (spool_record(s->dir, s->name, &record, err) < 0)
		return -1;
	s->length = record.length;
	return 0;
}

struct spool *spool_open(const char *dir, const char *name, struct error *err)
{
	cleanup(spool_closep) struct spool *s = xcalloc(1, sizeof *s);

	s->dir = xstrdup(dir);
	s->name = xstrdup(name);
	for (int i = 0; i < SPOOL_STREAMS; i++)
		s->fds[i] = -1;
	if (open_output(s, err) < 0)
		return NULL;
	return steal(s);
}

void spool_close(struct spool *s)
{
	if (!s)
		return;
	for (int i = 0; i < SPOOL_STREAMS; i++)
		closep(&s->fds[i]);
	free(s->dir);
	free(s->name);
	free(s);
}

void spool_set_length(struct spool *s, uint64_t length)
{
	if (length > s->length)
		s->length = length;
}

static int open_stream(struct spool *s, enum spool_stream stream, int flags)
{
	if (s->fds[stream] < 0)
		s->fds[stream] = open_file(s->dir, s->name, stream_suffix[stream],
					   O_RDWR | O_APPEND | flags);
	return s->fds[stream];
}

uint64_t spool_length(struct spool *s, enum spool_stream stream)
{
	if (stream == SPOOL_OUTPUT)
		return s->length;
	return size_of(open_stream(s, stream, 0));
}

static bool segment_there(struct spool *s, uint64_t segment)
{
	cleanup(freep) char *suffix = xprintf(".seg-%" PRIu64, segment);
	cleanup(freep) char *path = spool_path(s->dir, s->name, suffix);

	return file_exists(path);
}

uint64_t spool_begin(struct spool *s)
{
	uint64_t newest = s->length ? (s->length - 1) / SPOOL_SEGMENT_BYTES : 0;

	if (!s->service)
		return 0;
	if (newest > 0 && segment_there(s, newest - 1))
		newest--;
	return newest * SPOOL_SEGMENT_BYTES;
}

static int open_segment(struct spool *s, uint64_t segment, struct error *err)
{
	cleanup(freep) char *suffix = xprintf(".seg-%" PRIu64, segment);

	if (s->fds[0] >= 0 && s->segment == segment)
		return 0;
	closep(&s->fds[0]);
	s->fds[0] = open_file(s->dir, s->name, suffix, O_RDONLY);
	s->segment = segment;
	if (s->fds[0] >= 0)
		return 0;
	if (errno == ENOENT)
		return error_set(err, ERR_NOT_FOUND,
				 "this part of the output of '%s' was rotated away", s->name);
	return error_errno(err, "opening segment %" PRIu64 " of '%s'", segment, s->name);
}

ssize_t spool_read(struct spool *s, enum spool_stream stream, uint64_t offset, void *buf,
		   size_t len, struct error *err)
{
	uint64_t end = spool_length(s, stream), at = offset;
	ssize_t n;

	if (offset >= end)
		return 0;
	len = (size_t)MIN((uint64_t)len, end - offset);
	if (stream == SPOOL_OUTPUT && s->service) {
		if (open_segment(s, offset / SPOOL_SEGMENT_BYTES, err) < 0)
			return -1;
		at = offset % SPOOL_SEGMENT_BYTES;
		len = (size_t)MIN((uint64_t)len, SPOOL_SEGMENT_BYTES - at);
	}
	do
		n = pread(s->fds[stream], buf, len, (off_t)at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_errno(err, "reading the spool '%s'", s->name);
	if (n == 0)
		return error_set(err, ERR_CORRUPT, "the spool '%s' is shorter than was announced",
				 s->name);
	return n;
}

int spool_append(struct spool *s, enum spool_stream stream, const void *data, size_t len,
		 struct error *err)
{
	int fd = open_stream(s, stream, O_CREAT);
	uint64_t before;

	if (fd < 0)
		return error_errno(err, "creating a stream of the spool '%s'", s->name);
	before = size_of(fd);
	if (FAULT_SHORT("spool.append", fd, data, len))
		error_errno(err, "writing");
	else if (file_write_all(fd, data, len, err) == 0)
		return 0;
	if (ftruncate(fd, (off_t)before) < 0)
		return error_errno(err, "taking back a half written line of '%s'", s->name);
	return error_wrap(err, "appending to the spool '%s'", s->name);
}

/* The record at the end of an open file: 1, or 0 if there is none. */
static int read_record(int fd, const char *name, bool alone, struct shim_record *ret)
{
	unsigned char bytes[SHIM_RECORD_BYTES];
	uint64_t size = size_of(fd);
	char *end;
	unsigned long long fence;

	if (size < SHIM_RECORD_BYTES ||
	    pread(fd, bytes, sizeof bytes, (off_t)(size - SHIM_RECORD_BYTES)) != sizeof bytes ||
	    !shim_record_decode(bytes, ret))
		return 0;
	fence = strtoull(name, &end, 10);
	if (*end == '\0' && fence != ret->fence)
		return 0;
	return alone || ret->length == size - SHIM_RECORD_BYTES;
}

int spool_record(const char *dir, const char *name, struct shim_record *ret, struct error *err)
{
	cleanup(freep) char *live = spool_path(dir, name, "");
	cleanup(freep) char *done = spool_path(dir, name, ".done");
	cleanup(closep) int fd = open(done, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		/* A service's record stands alone: its output is in segments. */
		if (read_record(fd, name, size_of(fd) == SHIM_RECORD_BYTES, ret))
			return 1;
		return error_set(err, ERR_CORRUPT, "the exit record of '%s' is damaged", name);
	}
	if (errno != ENOENT)
		return error_errno(err, "opening '%s'", done);
	fd = open(live, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !read_record(fd, name, false, ret))
		return 0;
	return file_rename(live, done, err) < 0 ? -1 : 1;
}

struct removal {
	const char *dir, *name;
};

static void remove_segment(void *arg, uint64_t segment)
{
	const struct removal *r = arg;
	cleanup(freep) char *path = xprintf("%s/%s.seg-%" PRIu64, r->dir, r->name, segment);

	unlink(path);
}

/* 1: it was there, 0: it was not. */
static int remove_file(const char *dir, const char *name, const char *suffix, struct error *err)
{
	cleanup(freep) char *path = spool_path(dir, name, suffix);

	if (unlink(path) == 0)
		return 1;
	return errno == ENOENT ? 0 : error_errno(err, "removing '%s'", path);
}

int spool_release(const char *dir, const char *name, struct error *err)
{
	struct removal removal = { dir, name };
	int done = remove_file(dir, name, ".done", err);

	/* Usually that was all of the output: a small job should not pay for looking further. */
	if (done < 0 || (done == 0 && remove_file(dir, name, "", err) < 0) ||
	    remove_file(dir, name, stream_suffix[SPOOL_WORDS], err) < 0 ||
	    remove_file(dir, name, stream_suffix[SPOOL_METRICS], err) < 0)
		return -1;
	if (strspn(name, "0123456789") == strlen(name))
		return 0; /* an attempt: no segments to look for */
	if (remove_file(dir, name, ".done.tmp", err) < 0)
		return -1;
	if (each_segment(dir, name, remove_segment, &removal) < 0)
		return error_errno(err, "reading '%s'", dir);
	return 0;
}

int spool_sync(struct spool *const *spools, size_t n, const char *dir, struct error *err)
{
	for (size_t i = 0; i < n; i++)
		for (int stream = 0; stream < SPOOL_STREAMS; stream++)
			if (spools[i]->fds[stream] >= 0 && fdatasync(spools[i]->fds[stream]) < 0)
				return error_errno(err, "syncing the spool '%s'", spools[i]->name);
	return file_sync_dir(dir, err);
}

static void how_it_ended(const struct shim_record *r, char *ret, size_t size)
{
	if (r->signal)
		snprintf(ret, size, "signal %d (%s)", r->signal, strsignal(r->signal));
	else if (r->exit_code >= 0)
		snprintf(ret, size, "exit code %d", r->exit_code);
	else
		snprintf(ret, size, "no exit code");
}

void spool_record_text(const struct shim_record *r, char *ret, size_t size)
{
	char how[96];

	how_it_ended(r, how, sizeof how);
	switch (r->reason) {
	case SHIM_EXITED:
	case SHIM_SIGNALLED:
		snprintf(ret, size, "%s", how);
		break;
	case SHIM_NOT_STARTED:
		snprintf(ret, size, "starting failed: %s: %s", shim_step_text(r->step),
			 strerror(r->errno_value));
		break;
	case SHIM_DISK_FULL:
		snprintf(ret, size, "the agent's disk took no more output: %s (%s)",
			 strerror(r->errno_value), how);
		break;
	case SHIM_CRASH_LOOP:
		snprintf(ret, size, "crash loop: %u restarts, last %s", r->restarts, how);
		break;
	default:
		snprintf(ret, size, "%s (%s)", shim_reason_name(r->reason), how);
	}
}
