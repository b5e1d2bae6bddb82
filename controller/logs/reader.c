/*
 * Readers. Each has an offset of its own and a descriptor that it opens when there is something
 * to read; a log it waits for need not exist. It is woken by what writers do in memory, so a
 * follower of a printed line waits for no disk when it is live.
 *
 * A reader of a service has one segment at a time: the one that log_reader_seek() chose.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "controller/logs/private.h"

/* This log becomes the reader's. */
static int take_log(struct log_reader *r, const char *name, uint64_t base, struct error *err)
{
	struct logbook *b = r->book;
	struct log *log = log_hold(b, name, err);

	if (!log)
		return -1;
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	LOCKED(&b->lock);
	if (r->log) {
		list_remove(&r->link);
		r->log->refs--;
		log_drop_unused_locked(b, r->log);
	}
	r->log = log;
	r->base = base;
	log->refs++;
	list_append(&log->readers, &r->link);
	log_let_go_locked(b, log);
	return 0;
}

static int take_segment(struct log_reader *r, uint64_t start, struct error *err)
{
	char name[LOG_NAME_SIZE];

	segment_name(r->service, start, name);
	return take_log(r, name, start, err);
}

static uint64_t last_start(struct log_reader *r)
{
	LOCKED(&r->book->lock);
	return r->service->segments[r->service->n - 1].start;
}

struct log_reader *log_reader_open(struct logbook *b, const struct log_key *key, struct error *err)
{
	char name[LOG_NAME_SIZE];
	struct log_reader *r;
	int result;

	if (log_name(key, name, err) < 0)
		return NULL;
	r = xcalloc(1, sizeof *r);
	r->book = b;
	r->fd = -1;
	signal_init(&r->signal);
	if (*key->run)
		result = take_log(r, name, 0, err);
	else if ((r->service = service_of(b, name, err)))
		result = take_segment(r, last_start(r), err);
	else
		result = -1;
	if (result == 0)
		return r;
	log_reader_close(r);
	return NULL;
}

void log_reader_close(struct log_reader *r)
{
	struct logbook *b;

	if (!r)
		return;
	b = r->book;
	lock_take(&b->lock);
	if (r->log) {
		list_remove(&r->link);
		r->log->refs--;
		log_drop_unused_locked(b, r->log);
	}
	lock_drop(&b->lock);
	if (r->fd >= 0)
		close(r->fd);
	signal_release(&r->signal);
	free(r);
}

void log_reader_live(struct log_reader *r)
{
	LOCKED(&r->book->lock);
	r->live = true;
}

/* How far this reader may read. */
static uint64_t visible_locked(const struct log_reader *r)
{
	return r->base + (r->live ? r->log->end : r->log->durable);
}

/* Nothing will come behind what is visible in this log. */
static bool over_locked(const struct log_reader *r)
{
	return log_over_locked(r->log) ||
	       (r->service && !segment_is_last_locked(r->service, r->base));
}

int log_reader_seek(struct log_reader *r, uint64_t *offset, struct error *err)
{
	uint64_t at = *offset, start;
	bool here;

	if (!r->service)
		return 0;
	lock_take(&r->book->lock);
	/* it may have been removed; what is open can be read to its end */
	here = r->fd >= 0 && at >= r->base && at < visible_locked(r);
	start = here ? r->base : segment_for_locked(r->service, &at);
	lock_drop(&r->book->lock);
	if (start != r->base && take_segment(r, start, err) < 0)
		return -1;
	*offset = at;
	return 0;
}

static bool is_removed(struct log_reader *r)
{
	LOCKED(&r->book->lock);
	return r->service && r->base < r->service->segments[0].start;
}

static int64_t read_at(struct log_reader *r, uint64_t offset, void *data, size_t len,
		       struct error *err)
{
	ssize_t n;

	if (r->fd < 0) {
		cleanup(freep) char *path = log_path(r->book, r->log->name, ".log");

		r->fd = open(path, O_RDONLY | O_CLOEXEC);
		if (r->fd < 0 && errno == ENOENT && is_removed(r))
			return error_set(err, ERR_NOT_FOUND, "'%s' was removed just now", path);
		if (r->fd < 0)
			return error_errno(err, "opening '%s'", path);
	}
	do
		n = pread(r->fd, data, len, (off_t)(offset - r->base));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_errno(err, "reading log '%s'", r->log->name);
	if (n == 0)
		return error_id(err, "E0602", "log '%s' ends before byte %llu, which was stored",
				r->log->name, (unsigned long long)offset);
	return n;
}

int64_t log_reader_read(struct log_reader *r, uint64_t offset, void *data, size_t len,
			bool *ret_ended, struct error *err)
{
	uint64_t visible;
	bool over, last;

	lock_take(&r->book->lock);
	visible = visible_locked(r);
	over = over_locked(r);
	last = !r->service || segment_is_last_locked(r->service, r->base);
	lock_drop(&r->book->lock);
	*ret_ended = over && last && offset >= visible;
	if (offset >= visible || offset < r->base || !len)
		return 0;
	return read_at(r, offset, data, MIN(len, visible - offset), err);
}

void log_reader_wait(struct log_reader *r, uint64_t offset, int timeout_ms)
{
	int64_t until = timeout_ms < 0 ? -1 : clock_mono_us() / 1000 + timeout_ms;

	LOCKED(&r->book->lock);
	while (visible_locked(r) <= offset && !over_locked(r) && !r->woken) {
		int64_t left = until < 0 ? -1 : until - clock_mono_us() / 1000;

		if (until >= 0 && left <= 0)
			return;
		signal_wait_ms(&r->signal, &r->book->lock, left);
	}
}

void log_reader_wake(struct log_reader *r)
{
	LOCKED(&r->book->lock);
	r->woken = true;
	signal_one(&r->signal);
}
