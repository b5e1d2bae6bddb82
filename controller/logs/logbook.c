/*
 * The logbook: one append-only file per attempt and stream. Writers append at the offset they
 * believe in; an overlap is dropped and a gap refused, so an agent that repeats itself after a
 * crash does no harm. An append goes into the page cache and wakes live readers; a sync makes it
 * durable.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "controller/logs/private.h"

/* ---- appending ---- */

static int refuse_large(const struct log *log, uint64_t limit, struct error *err)
{
	return error_id(err, "E0503", "the log '%s' would grow beyond %" PRIu64 " bytes", log->name,
			limit);
}

/* Further bytes for a log that was read-only: first the journal must know where it ended. */
static int unseal(struct logbook *b, struct log *log, struct error *err)
{
	cleanup(freep) char *path = log_path(b, log->name, ".log");
	struct journal_record mark = { .type = JOURNAL_MARK,
				       .name = log->name,
				       .at = log->durable,
				       .time_ms = clock_wall_ms() };
	int r;

	lock_take(&b->lock);
	journal_add(&b->pending, &mark);
	log->in_journal = true;
	r = logbook_flush_locked(b, err);
	lock_drop(&b->lock);
	if (r < 0)
		return -1;
	if (chmod(path, 0600) < 0)
		return error_errno(err, "opening '%s' again", path);
	log->sealed = false;
	return 0;
}

/* The bytes are in the file: now they are the log's. */
static void take_bytes_locked(struct logbook *b, struct log *log, const void *data, size_t len)
{
	struct journal_record record = { .type = JOURNAL_DATA,
					 .name = log->name,
					 .at = log->end,
					 .time_ms = clock_wall_ms(),
					 .data = data,
					 .len = len };

	lock_assert_held(&b->lock);
	log->end += len;
	log->used_ms = record.time_ms;
	if (log->end > log->finished)
		log->finished = LOG_OPEN;
	if (log->direct || len >= DIRECT_SIZE || log->journaled + len > DIRECT_TOTAL) {
		log->direct = true;
	} else {
		log->journaled += len;
		journal_add(&b->pending, &record);
	}
	if (!list_linked(&log->dirty))
		list_append(&b->dirty, &log->dirty);
	log_wake_readers_locked(log);
}

static int write_bytes(struct logbook *b, struct log *log, const void *data, size_t len,
		       struct error *err)
{
	struct error why = { 0 };

	if (log->sealed && unseal(b, log, err) < 0)
		return -1;
	if (log_file(b, log, err) < 0 || lines_know(b, log, err) < 0)
		return -1;
	if (file_pwrite_all(log->fd, data, len, (off_t)log->end, &why) < 0) {
		if (why.code == ERR_EXHAUSTED)
			return error_id(err, "E0601", "the log '%s': %s", log->name, why.text);
		return error_set(err, why.code, "the log '%s': %s", log->name, why.text);
	}
	lock_take(&b->lock);
	take_bytes_locked(b, log, data, len);
	lock_drop(&b->lock);
	log->lines += lines_in(data, len);
	lines_note(b, log);
	return 0;
}

int log_append(struct logbook *b, struct log *log, const struct piece *p, struct error *err)
{
	uint64_t known;

	if (p->offset > log->end)
		return error_set(err, ERR_CONFLICT,
				 "byte %" PRIu64 " of the log '%s' leaves a gap after %" PRIu64,
				 p->offset, log->name, log->end);
	known = log->end - p->offset;
	if (known >= p->len)
		return 0;
	if (p->len > p->limit || p->offset > p->limit - p->len)
		return refuse_large(log, p->limit, err);
	return write_bytes(b, log, p->data + known, p->len - known, err);
}

void log_appended(struct logbook *b, struct log *log, int r, uint64_t *ret_end)
{
	LOCKED(&b->lock);
	*ret_end = r < 0 ? log->durable : log->end;
	log_let_go_locked(b, log);
	/* nobody may outrun the disk for long; what fails here fails again for whoever asks */
	if (b->pending.len > PENDING_MAX)
		logbook_flush_locked(b, NULL);
}

int logbook_append(struct logbook *b, const struct log_key *key, uint64_t offset, const void *data,
		   size_t len, uint64_t *ret_end, struct error *err)
{
	struct piece piece = { offset, data, len, key->stream ? LOG_SIDE_LIMIT : LOG_LIMIT };
	char name[LOG_NAME_SIZE];
	struct service *service;
	struct log *log;
	int r;

	if (log_name(key, name, err) < 0)
		return -1;
	if (!*key->run) {
		service = service_of(b, name, err);
		return service ? service_append(b, service, &piece, ret_end, err) : -1;
	}
	log = log_hold(b, name, err);
	if (!log)
		return -1;
	r = log_append(b, log, &piece, err);
	log_appended(b, log, r, ret_end);
	return r;
}

/* ---- what is durable ---- */

static uint64_t end_on_disk(struct logbook *b, const char *name)
{
	cleanup(freep) char *path = log_path(b, name, ".log");
	struct stat st;

	if (stat(path, &st) < 0 || (st.st_mode & S_IWUSR))
		return 0;
	return (uint64_t)st.st_size;
}

/* The log that is written, and where its first byte stands in that of its service. */
static int written_log(struct logbook *b, const struct log_key *key, char ret_name[LOG_NAME_SIZE],
		       uint64_t *ret_base, struct error *err)
{
	struct service *service;

	*ret_base = 0;
	if (log_name(key, ret_name, err) < 0)
		return -1;
	if (*key->run)
		return 0;
	service = service_of(b, ret_name, err);
	if (!service)
		return -1;
	lock_take(&b->lock);
	*ret_base = service->segments[service->n - 1].start;
	lock_drop(&b->lock);
	segment_name(service, *ret_base, ret_name);
	return 0;
}

uint64_t logbook_end(struct logbook *b, const struct log_key *key)
{
	char name[LOG_NAME_SIZE];
	struct log *log;
	uint64_t base, end = 0;
	bool known;

	if (written_log(b, key, name, &base, NULL) < 0)
		return 0;
	lock_take(&b->lock);
	log = log_find_locked(b, name);
	known = log && log->known;
	if (known)
		end = log->durable;
	lock_drop(&b->lock);
	return base + (known ? end : end_on_disk(b, name));
}

int logbook_sync(struct logbook *b, const struct log_key *key, uint64_t *ret_durable,
		 struct error *err)
{
	char name[LOG_NAME_SIZE];
	struct log *log;
	uint64_t base;
	int r = 0;

	if (written_log(b, key, name, &base, err) < 0)
		return -1;
	lock_take(&b->lock);
	log = log_find_locked(b, name);
	if (log) {
		log->holds++;
		r = log_sync_locked(b, log, log->end, err);
		*ret_durable = base + log->durable;
		log->holds--;
		log_drop_unused_locked(b, log);
	}
	lock_drop(&b->lock);
	if (!log)
		*ret_durable = base + end_on_disk(b, name);
	return r;
}

/* The controller's rows say that `end` was durable, and the file, which no journal knows, has as
 * much: it came back from a backup, or was read-only before that. */
static void believe_end(struct logbook *b, struct log *log, uint64_t end)
{
	cleanup(freep) char *path = log_path(b, log->name, ".log");
	struct stat st;
	bool there = stat(path, &st) == 0 && (uint64_t)st.st_size >= end;

	LOCKED(&b->lock);
	if (there && !log->in_journal && log->durable < end && log->end == log->durable)
		log->end = log->durable = end;
}

void log_finish_locked(struct logbook *b, struct log *log, uint64_t end)
{
	struct journal_record record = {
		.type = JOURNAL_FINISH, .name = log->name, .at = end, .time_ms = log->used_ms
	};

	lock_assert_held(&b->lock);
	if (log->finished == LOG_OPEN || log->finished > end) {
		log->finished = end;
		if (log->in_journal || list_linked(&log->dirty))
			journal_add(&b->pending, &record);
	}
	log_wake_readers_locked(log);
}

static bool in_memory(struct logbook *b, const char *name)
{
	LOCKED(&b->lock);
	return log_find_locked(b, name) != NULL;
}

void logbook_finish(struct logbook *b, const struct log_key *key, uint64_t end)
{
	char name[LOG_NAME_SIZE];
	struct log *log;

	assert(*key->run);
	if (log_name(key, name, NULL) < 0 || !in_memory(b, name))
		return;
	log = log_hold(b, name, NULL);
	if (!log)
		return;
	believe_end(b, log, end);
	lock_take(&b->lock);
	log_finish_locked(b, log, MAX(end, log->end));
	log_let_go_locked(b, log);
	lock_drop(&b->lock);
}

bool logbook_is_open(struct logbook *b, const struct log_key *key)
{
	char name[LOG_NAME_SIZE];
	struct log *log;
	uint64_t base;

	if (written_log(b, key, name, &base, NULL) < 0)
		return false;
	LOCKED(&b->lock);
	log = log_find_locked(b, name);
	return log && log->known && log->finished == LOG_OPEN;
}
