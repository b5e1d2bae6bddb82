/*
 * The files of the log of commits. A record's head says its number and length and carries a crc
 * over all of it. When the file in turn has enough, the other takes over as soon as it is free;
 * until then the first goes on growing. What a file held in its last turn stands behind what it
 * holds now, with smaller numbers, and so ends it.
 */
#include "controller/store/redo.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "controller/store/private.h"

enum {
	TURN_BYTES = 4 << 20,  /* then the other file, if it is free */
	LONG_BYTES = 64 << 20, /* then no commit until it is */
	AHEAD_BYTES = 1 << 20, /* filled with zeros at a time */
	CRC_SEED = 0x7265646f,
};

struct redo_file {
	char *path;
	int fd;
	off_t filled;  /* its size: from here on a write makes it longer */
	uint64_t last; /* number of the last record in it; 0: none that counts */
};

struct redo {
	struct redo_file files[2];
	int turn;
	off_t end; /* of the records in the file in turn */
	uint64_t last;
	int version;
};

static char *name_of(const char *path, int n)
{
	return xprintf("%s.redo%d", path, n);
}

bool redo_exists(const char *path)
{
	cleanup(freep) char *first = name_of(path, 0);
	cleanup(freep) char *second = name_of(path, 1);

	return file_exists(first) && file_exists(second);
}

static int open_file(struct redo_file *f, const char *path, int n, struct error *err)
{
	struct stat st;

	f->path = name_of(path, n);
	f->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (f->fd < 0 || fstat(f->fd, &st) < 0)
		return error_errno(err, "opening '%s'", f->path);
	f->filled = st.st_size;
	return file_check_private(f->path, err);
}

static int sync_dir_of(const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	cleanup(freep) char *dir = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");

	return file_sync_dir(*dir ? dir : "/", err);
}

struct redo *redo_open(const char *path, int version, struct error *err)
{
	struct redo *r = xcalloc(1, sizeof *r);

	r->version = version;
	r->files[0].fd = r->files[1].fd = -1;
	if (open_file(&r->files[0], path, 0, err) < 0 ||
	    open_file(&r->files[1], path, 1, err) < 0 || sync_dir_of(path, err) < 0) {
		redo_close(r);
		return NULL;
	}
	return r;
}

void redo_close(struct redo *r)
{
	if (!r)
		return;
	for (int i = 0; i < 2; i++) {
		if (r->files[i].fd >= 0)
			close(r->files[i].fd);
		free(r->files[i].path);
	}
	free(r);
}

/* ---- after a crash ---- */

/* What is left of a file that is being replayed. */
struct tape {
	const struct redo_file *file;
	struct buf bytes;
	size_t at;
	struct redo_head head; /* of the record at `at`; number 0: there is none */
};

static uint32_t crc_of(const struct redo_head *head, const char *body)
{
	size_t skip = offsetof(struct redo_head, number);
	uint32_t crc = crc32c(CRC_SEED, (const char *)head + skip, sizeof *head - skip);

	return crc32c(crc, body, head->len);
}

/* Is there a whole record at this place? */
static bool record_at(const struct tape *t, size_t at, struct redo_head *ret)
{
	size_t left = t->bytes.len - at;
	struct redo_head head;

	if (left < sizeof head)
		return false;
	memcpy(&head, t->bytes.data + at, sizeof head);
	if (head.magic != REDO_MAGIC || !head.number || head.len > left - sizeof head ||
	    head.crc != crc_of(&head, t->bytes.data + at + sizeof head))
		return false;
	*ret = head;
	return true;
}

/* Moves to the record at `at`, if one is there that follows number `last` (0: any). */
static void look(struct tape *t, uint64_t last)
{
	struct redo_head head;

	t->head.number = 0;
	if (record_at(t, t->at, &head) && (!last || head.number == last + 1))
		t->head = head;
}

/* Behind the end of a tape only older records may stand. */
static int check_end(const struct tape *t, uint64_t last, struct error *err)
{
	static const uint32_t magic = REDO_MAGIC;
	const char *at = t->bytes.data + t->at, *end = t->bytes.data + t->bytes.len;
	struct redo_head head;

	for (; t->bytes.len && (at = memmem(at, (size_t)(end - at), &magic, sizeof magic)); at++)
		if (record_at(t, (size_t)(at - t->bytes.data), &head) && head.number > last)
			return error_id(err, "E0603",
					"'%s' is damaged: commit %" PRIu64
					" is whole, and of those after %" PRIu64 " one is not",
					t->file->path, head.number, last);
	return 0;
}

static void step(struct tape *t)
{
	t->at += sizeof t->head + t->head.len;
	look(t, t->head.number);
}

static int read_tape(struct tape *t, const struct redo_file *file, struct error *err)
{
	t->file = file;
	if (file_read(file->path, SIZE_MAX, &t->bytes, err) < 0)
		return -1;
	look(t, 0);
	return 0;
}

static int check(const struct redo *r, const struct tape *t, uint64_t after, struct error *err)
{
	if (t->head.version != r->version)
		return error_id(err, "E0604",
				"'%s' has commits of schema version %d that are not in the tables "
				"yet; this program knows %d: start the program that wrote them and "
				"stop it in order",
				t->file->path, t->head.version, r->version);
	if (t->head.number != after + 1)
		return error_id(err, "E0603",
				"'%s' goes on with commit %" PRIu64
				", but the database ends with %" PRIu64
				": what lies between is missing",
				t->file->path, t->head.number, after);
	return 0;
}

/* The tape with the smaller number, NULL at the end of both. */
static struct tape *next_tape(struct tape *a, struct tape *b)
{
	if (!a->head.number)
		return b->head.number ? b : NULL;
	return b->head.number && b->head.number < a->head.number ? b : a;
}

int redo_replay(struct redo *r, uint64_t after,
		void (*take)(void *arg, uint64_t number, struct buf *record), void *arg,
		struct error *err)
{
	struct tape tapes[2] = { 0 }, *t;
	int result = -1;

	if (read_tape(&tapes[0], &r->files[0], err) < 0 ||
	    read_tape(&tapes[1], &r->files[1], err) < 0)
		goto out;
	for (; (t = next_tape(&tapes[0], &tapes[1])); step(t)) {
		struct buf record = { 0 };

		if (t->head.number <= after)
			continue;
		if (check(r, t, after, err) < 0)
			goto out;
		buf_add(&record, t->bytes.data + t->at, sizeof t->head + t->head.len);
		take(arg, ++after, &record);
	}
	if (check_end(&tapes[0], after, err) == 0 && check_end(&tapes[1], after, err) == 0)
		result = 0;
out:
	buf_release(&tapes[0].bytes);
	buf_release(&tapes[1].bytes);
	return result;
}

void redo_restart(struct redo *r, uint64_t last)
{
	r->files[0].last = r->files[1].last = 0;
	r->turn = 0;
	r->end = 0;
	r->last = last;
}

/* ---- commits ---- */

static int write_failed(struct redo_file *f, struct error *err)
{
	if (errno == ENOSPC || errno == EDQUOT)
		return error_id(err, "E0601", "writing '%s': %s", f->path, strerror(errno));
	return error_errno(err, "writing '%s'", f->path);
}

static int write_at(struct redo_file *f, const char *data, size_t len, off_t at, struct error *err)
{
	while (len) {
		ssize_t n = pwrite(f->fd, data, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return write_failed(f, err);
		data += n;
		len -= (size_t)n;
		at += n;
	}
	return 0;
}

/* Zeros behind the record, for those to come; a disk that has no room for them may have enough for
 * these. */
static void fill_ahead(struct redo_file *f, off_t end)
{
	cleanup(freep) char *zeros = xcalloc(1, AHEAD_BYTES);

	if (write_at(f, zeros, AHEAD_BYTES, end, NULL) == 0)
		f->filled = end + AHEAD_BYTES;
	else
		f->filled = end;
}

static void take_turns(struct redo *r, uint64_t durable)
{
	struct redo_file *other = &r->files[!r->turn];

	if (r->end < TURN_BYTES || other->last > durable)
		return;
	other->last = 0;
	r->turn = !r->turn;
	r->end = 0;
}

int redo_append(struct redo *r, struct buf *record, uint64_t durable, struct error *err)
{
	struct redo_head head = { .magic = REDO_MAGIC,
				  .version = r->version,
				  .number = r->last + 1 };
	struct redo_file *f;
	off_t end;

	assert(record->len >= sizeof head);
	take_turns(r, durable);
	f = &r->files[r->turn];
	head.len = record->len - sizeof head;
	head.crc = crc_of(&head, record->data + sizeof head);
	memcpy(record->data, &head, sizeof head);
	if (write_at(f, record->data, record->len, r->end, err) < 0)
		return -1;
	end = r->end + (off_t)record->len;
	if (end > f->filled)
		fill_ahead(f, end);
	if (FAULT_POINT("redo.before-sync"))
		return error_set(err, ERR_INTERNAL, "injected: syncing '%s'", f->path);
	if (fdatasync(f->fd) < 0)
		return error_set(err, ERR_INTERNAL, "syncing '%s': %s", f->path, strerror(errno));
	r->end = end;
	f->last = r->last = head.number;
	return 0;
}

uint64_t redo_last(const struct redo *r)
{
	return r->last;
}

uint64_t redo_awaits(const struct redo *r, uint64_t durable)
{
	uint64_t last = r->files[!r->turn].last;

	return last > durable ? last : 0;
}

bool redo_is_long(const struct redo *r)
{
	return r->end >= LONG_BYTES;
}
