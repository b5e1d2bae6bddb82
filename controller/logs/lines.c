/*
 * Line numbers. Beside a log of more than 256 KiB lies NAME.idx: every 256 KiB or so, how many
 * lines end before an offset. An entry is true for ever, since bytes of a log never change; one
 * that is torn, or speaks of bytes that were cut after a crash, is passed over. The rest is
 * counted.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "controller/logs/private.h"
#include "crypto/digest.h"

struct entry {
	uint64_t end; /* little-endian, all three */
	uint64_t lines;
	uint32_t crc; /* of the two */
	uint32_t zero;
};

uint64_t lines_in(const void *data, size_t len)
{
	const char *at = data, *end = at + len;
	uint64_t n = 0;

	while ((at = memchr(at, '\n', (size_t)(end - at)))) {
		at++;
		n++;
	}
	return n;
}

static bool valid(const struct entry *e)
{
	return e->crc == htole32(crc32c(0, e, offsetof(struct entry, crc))) && e->end;
}

static bool entry_at(int fd, off_t n, struct entry *ret)
{
	return pread(fd, ret, sizeof *ret, n * (off_t)sizeof *ret) == sizeof *ret && valid(ret);
}

/* The last entry at or before `offset`: by halves, since they are in order. Zero without one. */
static off_t find_entry(int fd, uint64_t offset, struct entry *ret)
{
	struct stat st;
	off_t low = 0, high;

	*ret = (struct entry){ 0 };
	if (fstat(fd, &st) < 0)
		return 0;
	high = st.st_size / (off_t)sizeof *ret;
	while (low < high) {
		off_t middle = low + (high - low) / 2;
		struct entry e;

		if (entry_at(fd, middle, &e) && le64toh(e.end) <= offset) {
			*ret = e;
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

/* Newlines of the file in [from, to). */
static int count(int fd, uint64_t from, uint64_t to, uint64_t *ret, struct error *err)
{
	cleanup(freep) char *buffer = xmalloc(COPY_SIZE);
	uint64_t n = 0;

	while (from < to) {
		ssize_t got = pread(fd, buffer, MIN((uint64_t)COPY_SIZE, to - from), (off_t)from);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_errno(err, "reading a log");
		if (got == 0)
			return error_id(err, "E0602",
					"a log ends before the bytes that were stored");
		n += lines_in(buffer, (size_t)got);
		from += (uint64_t)got;
	}
	*ret = n;
	return 0;
}

int lines_know(struct logbook *b, struct log *log, struct error *err)
{
	cleanup(freep) char *path = log_path(b, log->name, ".idx");
	cleanup(closep) int index = -1;
	struct entry e = { 0 };
	uint64_t more;

	if (log->counted)
		return 0;
	index = open(path, O_RDWR | O_CLOEXEC);
	if (index >= 0) {
		off_t n = find_entry(index, log->end, &e);

		/* so that the next entry stands behind the last that is believed */
		if (ftruncate(index, n * (off_t)sizeof e) < 0)
			return error_errno(err, "cutting '%s'", path);
	}
	if (count(log->fd, le64toh(e.end), log->end, &more, err) < 0)
		return error_wrap(err, "'%s'", log->name);
	log->indexed = le64toh(e.end);
	log->lines = le64toh(e.lines) + more;
	log->counted = true;
	return 0;
}

void lines_note(struct logbook *b, struct log *log)
{
	struct entry e = { .end = htole64(log->end), .lines = htole64(log->lines) };
	cleanup(freep) char *path = NULL;
	cleanup(closep) int fd = -1;

	if (log->end - log->indexed < INDEX_STEP)
		return;
	path = log_path(b, log->name, ".idx");
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	e.crc = htole32(crc32c(0, &e, offsetof(struct entry, crc)));
	if (fd >= 0 && file_write_all(fd, &e, sizeof e, NULL) == 0)
		log->indexed = log->end;
}

/* ---- for readers ---- */

int log_reader_line(struct log_reader *r, uint64_t offset, uint64_t *ret_line, struct error *err)
{
	cleanup(freep) char *log_at = log_path(r->book, r->log->name, ".log");
	cleanup(freep) char *index_at = log_path(r->book, r->log->name, ".idx");
	cleanup(closep) int index = open(index_at, O_RDONLY | O_CLOEXEC);
	cleanup(closep) int fd = open(log_at, O_RDONLY | O_CLOEXEC);
	struct entry e = { 0 };
	uint64_t more;

	lock_take(&r->book->lock);
	offset = MIN(offset, r->log->end);
	lock_drop(&r->book->lock);
	*ret_line = 0;
	if (!offset)
		return 0;
	if (fd < 0)
		return error_errno(err, "opening '%s'", log_at);
	if (index >= 0)
		find_entry(index, offset, &e);
	if (count(fd, le64toh(e.end), offset, &more, err) < 0)
		return error_wrap(err, "'%s'", r->log->name);
	*ret_line = le64toh(e.lines) + more;
	return 0;
}

/* Walks a block back from its end and takes newlines off *lines; where the last wanted one stands,
 * or NULL. */
static const char *nth_from_end(const char *block, size_t len, uint64_t *lines)
{
	const char *at = block + len;

	while ((at = memrchr(block, '\n', (size_t)(at - block))))
		if ((*lines)-- == 0)
			return at;
	return NULL;
}

/* Where the last *left lines of the first `end` bytes of a log begin: 1, or 0 when it has fewer, of
 * which *left still are to be found before it. newest: nothing follows it. */
static int tail_of(const char *path, uint64_t end, bool newest, uint64_t *left, uint64_t *ret,
		   struct error *err)
{
	cleanup(freep) char *block = xmalloc(COPY_SIZE);
	cleanup(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) /* a segment, removed just now */
		return 0;
	if (fd < 0)
		return error_errno(err, "opening '%s'", path);
	for (uint64_t at = end; at > 0;) {
		size_t len = MIN((uint64_t)COPY_SIZE, at);
		const char *found;

		at -= len;
		if (pread(fd, block, len, (off_t)at) != (ssize_t)len)
			return error_id(err, "E0602", "'%s' cannot be read at %llu", path,
					(unsigned long long)at);
		/* the newline that ends the last line begins no other */
		if (newest && at + len == end && block[len - 1] != '\n')
			--*left;
		found = nth_from_end(block, len, left);
		if (found) {
			*ret = at + (uint64_t)(found - block) + 1;
			return 1;
		}
	}
	return 0;
}

/* Goes to the segment before. */
static bool segment_before(struct log_reader *r, uint64_t *start, uint64_t *bytes)
{
	const struct service *s = r->service;
	LOCKED(&r->book->lock);

	for (size_t i = s ? s->n : 0; i > 0; i--)
		if (s->segments[i - 1].start < *start) {
			*start = s->segments[i - 1].start;
			*bytes = s->segments[i - 1].kept;
			return true;
		}
	return false;
}

int log_reader_tail(struct log_reader *r, uint32_t lines, uint64_t *ret_offset, struct error *err)
{
	uint64_t start = r->base, bytes, at = 0, left = lines;
	bool newest = true;

	lock_take(&r->book->lock);
	bytes = r->live ? r->log->end : r->log->durable;
	lock_drop(&r->book->lock);
	*ret_offset = start + bytes;
	while (lines) {
		cleanup(freep) char *path = NULL;
		char name[LOG_NAME_SIZE];
		int found;

		if (r->service)
			segment_name(r->service, start, name);
		path = log_path(r->book, r->service ? name : r->log->name, ".log");
		found = bytes ? tail_of(path, bytes, newest, &left, &at, err) : 0;
		if (found < 0)
			return -1;
		if (bytes)
			*ret_offset = start + (found ? at : 0);
		newest &= !bytes;
		if (found || !segment_before(r, &start, &bytes))
			break;
	}
	return 0;
}
