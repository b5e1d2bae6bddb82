/*
 * Readers. Each has an offset of its own and a descriptor that it opens when there is something
 * to read; a log it waits for need not exist. It is woken by what writers do in memory, so a
 * follower of a printed line waits for no disk when it is live.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "controller/logs/private.h"

struct log_reader *log_reader_open(struct logbook *b, const struct log_key *key, struct error *err)
{
	char name[LOG_NAME_SIZE];
	struct log_reader *r;
	struct log *log;

	if (log_name(key, name, err) < 0)
		return NULL;
	log = log_hold(b, name, err);
	if (!log)
		return NULL;
	r = xcalloc(1, sizeof *r);
	r->book = b;
	r->log = log;
	r->fd = -1;
	signal_init(&r->signal);
	lock_take(&b->lock);
	log->refs++;
	list_append(&log->readers, &r->link);
	log_let_go_locked(b, log);
	lock_drop(&b->lock);
	return r;
}

void log_reader_close(struct log_reader *r)
{
	struct logbook *b;

	if (!r)
		return;
	b = r->book;
	lock_take(&b->lock);
	list_remove(&r->link);
	r->log->refs--;
	log_drop_unused_locked(b, r->log);
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
	return r->live ? r->log->end : r->log->durable;
}

static int64_t read_at(struct log_reader *r, uint64_t offset, void *data, size_t len,
		       struct error *err)
{
	ssize_t n;

	if (r->fd < 0) {
		cleanup(freep) char *path = log_path(r->book, r->log->name, ".log");

		r->fd = open(path, O_RDONLY | O_CLOEXEC);
		if (r->fd < 0)
			return error_errno(err, "opening '%s'", path);
	}
	do
		n = pread(r->fd, data, len, (off_t)offset);
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
	bool over;

	lock_take(&r->book->lock);
	visible = visible_locked(r);
	over = log_over_locked(r->log);
	lock_drop(&r->book->lock);
	*ret_ended = over && offset >= visible;
	if (offset >= visible || !len)
		return 0;
	return read_at(r, offset, data, MIN(len, visible - offset), err);
}

void log_reader_wait(struct log_reader *r, uint64_t offset, int timeout_ms)
{
	int64_t until = timeout_ms < 0 ? -1 : clock_mono_us() / 1000 + timeout_ms;

	LOCKED(&r->book->lock);
	while (visible_locked(r) <= offset && !log_over_locked(r->log) && !r->woken) {
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
