/*
 * An attempt's spool is one file: what the pipe gave, the record, a rename. A
 * service writes segments, of which the last two are kept; as it must go on whatever
 * happens, it drops output where an attempt would wait.
 */
#include "agent/shim/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/shim/text.h"

enum { PATH_BYTES = SHIM_NAME_MAX + 64, PAGE_BYTES = 4096 };

static void spool_path(const struct output *o, char path[PATH_BYTES], const char *suffix)
{
	path[0] = '\0';
	text_add(path, PATH_BYTES, "spool/");
	text_add(path, PATH_BYTES, o->name);
	text_add(path, PATH_BYTES, suffix);
}

static void segment_path(const struct output *o, char path[PATH_BYTES], uint64_t segment)
{
	spool_path(o, path, ".seg-");
	text_number(path, PATH_BYTES, segment);
}

static int open_segment(struct output *o)
{
	char path[PATH_BYTES];
	int fd;

	o->segment = o->length / o->limit;
	segment_path(o, path, o->segment);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	if (o->spool >= 0)
		close(o->spool);
	o->spool = fd;
	if (o->segment >= 2) {
		segment_path(o, path, o->segment - 2);
		unlink(path);
	}
	return 0;
}

int output_open(struct output *o)
{
	char path[PATH_BYTES];

	o->spool = o->pipe = -1;
	o->held = o->ready = 0;
	o->dropped = 0;
	if (o->service)
		return open_segment(o);
	o->length = 0;
	spool_path(o, path, ".done");
	if (faccessat(AT_FDCWD, path, F_OK, 0) == 0) {
		errno = EEXIST;
		return -1;
	}
	spool_path(o, path, "");
	o->spool = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return o->spool < 0 ? -1 : 0;
}

int output_pipe(struct output *o)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	fcntl(fds[1], F_SETPIPE_SZ, OUTPUT_PIPE_BYTES); /* less, if the host allows no more */
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	o->pipe = fds[0];
	mask_restart(&o->mask);
	return fds[1];
}

void output_close_pipe(struct output *o)
{
	if (o->pipe >= 0)
		close(o->pipe);
	o->pipe = -1;
}

/* Writes up to n bytes at the end; how many, or -1. */
static ssize_t append(struct output *o, size_t n)
{
	ssize_t r;

	if (o->service) {
		uint64_t at = o->length % o->limit;

		if (o->length / o->limit != o->segment && open_segment(o) < 0)
			return -1;
		if (n > o->limit - at)
			n = (size_t)(o->limit - at);
		do
			r = pwrite(o->spool, o->buffer, n, (off_t)at);
		while (r < 0 && errno == EINTR);
		return r;
	}
	do
		r = pwrite(o->spool, o->buffer, n, (off_t)o->length);
	while (r < 0 && errno == EINTR);
	return r;
}

static void consume(struct output *o, size_t n)
{
	memmove(o->buffer, o->buffer + n, o->ready - n + o->held);
	o->ready -= n;
}

/* A service's output is not worth its life: the older segment goes, then the new bytes. */
static void make_room(struct output *o)
{
	char path[PATH_BYTES];

	if (o->segment >= 1) {
		segment_path(o, path, o->segment - 1);
		if (unlink(path) == 0)
			return;
	}
	o->dropped += o->ready;
	consume(o, o->ready);
}

/* IDLE: all that was ready is on the disk. */
static enum output_state flush(struct output *o)
{
	while (o->ready) {
		size_t n = o->ready;
		ssize_t r;

		if (!o->service && o->limit && n > o->limit - o->length)
			n = (size_t)(o->limit - o->length);
		if (n == 0)
			return OUTPUT_LIMIT;
		r = append(o, n);
		if (r > 0) {
			o->length += (uint64_t)r;
			consume(o, (size_t)r);
		} else if (o->service) {
			make_room(o);
		} else {
			o->error = errno; /* whatever the cause, it is waited out and then said */
			return OUTPUT_FULL;
		}
	}
	return OUTPUT_IDLE;
}

enum output_state output_pump(struct output *o, bool final)
{
	size_t moved = 0;
	enum output_state state = flush(o);

	/* One round takes at most twice what the pipe holds: a writer that is faster than we are,
	 * or one outside the tree that got hold of the pipe, keeps nobody from the deadline. */
	while (state == OUTPUT_IDLE && o->pipe >= 0 && moved < 2 * OUTPUT_PIPE_BYTES) {
		size_t room = sizeof o->buffer - o->held;
		ssize_t n = read(o->pipe, o->buffer + o->held, room);
		size_t have;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 && !(final && o->held))
			return n == 0 ? OUTPUT_END : moved ? OUTPUT_BUSY : OUTPUT_IDLE;
		have = o->held + (size_t)(n > 0 ? n : 0);
		o->ready = o->mask.count ? mask_apply(&o->mask, o->buffer, have, n <= 0) : have;
		o->held = have - o->ready;
		moved += have;
		o->touched |= have > PAGE_BYTES;
		state = flush(o);
		if (state == OUTPUT_IDLE && n > 0 && (size_t)n < room && !final)
			return OUTPUT_BUSY; /* emptied */
	}
	return state == OUTPUT_IDLE && moved ? OUTPUT_BUSY : state;
}

/* A whole record or none: a piece of one would read as output. */
static int write_record(int fd, const unsigned char *bytes, uint64_t at)
{
	ssize_t n = pwrite(fd, bytes, SHIM_RECORD_BYTES, (off_t)at);

	if (n == SHIM_RECORD_BYTES)
		return 0;
	if (n > 0 && ftruncate(fd, (off_t)at) < 0)
		return -1;
	return -1;
}

/* A service's record is a courtesy to an agent that was away: one that finds no room must not keep
 * the service from ending, and so from being started again or replaced. */
static void seal_service(struct output *o, const unsigned char *bytes)
{
	char path[PATH_BYTES], temp[PATH_BYTES];
	int fd, r;

	spool_path(o, path, ".done");
	spool_path(o, temp, ".done.tmp");
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	r = write_record(fd, bytes, 0);
	close(fd);
	if (r < 0 || rename(temp, path) < 0)
		unlink(temp);
}

int output_seal(struct output *o, const struct shim_record *record)
{
	unsigned char bytes[SHIM_RECORD_BYTES];
	char path[PATH_BYTES], done[PATH_BYTES];

	struct stat st;

	shim_record_encode(record, bytes);
	if (o->service) {
		seal_service(o, bytes);
		return 0;
	}
	spool_path(o, path, "");
	spool_path(o, done, ".done");
	if (fstat(o->spool, &st) == 0 && st.st_nlink == 0)
		return 0; /* released, or the whole state directory went */
	if (write_record(o->spool, bytes, o->length) < 0)
		return -1;
	return rename(path, done) < 0 && errno != ENOENT ? -1 : 0;
}

void output_close(struct output *o)
{
	output_close_pipe(o);
	if (o->spool >= 0)
		close(o->spool);
	o->spool = -1;
	o->held = o->ready = 0;
	if (o->touched)
		madvise(o->buffer, sizeof o->buffer, MADV_DONTNEED);
	o->touched = false;
}
