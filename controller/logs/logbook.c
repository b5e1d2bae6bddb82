/*
 * The logbook: one append-only file per attempt and stream. Writers append at the offset they
 * believe in; an overlap is dropped and a gap refused, so an agent that repeats itself after a
 * crash does no harm. An append goes into the page cache and wakes live readers; a sync makes it
 * durable.
 */
#include <assert.h>
#include <dirent.h>
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

/* What one append brings. */
struct piece {
	uint64_t offset;
	const char *data;
	size_t len;
	uint64_t limit; /* of its log */
};

static int append(struct logbook *b, struct log *log, const struct piece *p, struct error *err)
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

int logbook_append(struct logbook *b, const struct log_key *key, uint64_t offset, const void *data,
		   size_t len, uint64_t *ret_end, struct error *err)
{
	struct piece piece = { offset, data, len, key->stream ? LOG_SIDE_LIMIT : LOG_LIMIT };
	char name[LOG_NAME_SIZE];
	struct log *log;
	int r;

	if (log_name(key, name, err) < 0)
		return -1;
	log = log_hold(b, name, err);
	if (!log)
		return -1;
	r = append(b, log, &piece, err);
	lock_take(&b->lock);
	*ret_end = r < 0 ? log->durable : log->end;
	log_let_go_locked(b, log);
	/* nobody may outrun the disk for long; what fails here fails again for whoever asks */
	if (b->pending.len > PENDING_MAX)
		logbook_flush_locked(b, NULL);
	lock_drop(&b->lock);
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

uint64_t logbook_end(struct logbook *b, const struct log_key *key)
{
	char name[LOG_NAME_SIZE];
	struct log *log;
	uint64_t end = 0;
	bool known;

	if (log_name(key, name, NULL) < 0)
		return 0;
	lock_take(&b->lock);
	log = log_find_locked(b, name);
	known = log && log->known;
	if (known)
		end = log->durable;
	lock_drop(&b->lock);
	return known ? end : end_on_disk(b, name);
}

int logbook_sync(struct logbook *b, const struct log_key *key, uint64_t *ret_durable,
		 struct error *err)
{
	char name[LOG_NAME_SIZE];
	struct log *log;
	int r = 0;

	if (log_name(key, name, err) < 0)
		return -1;
	lock_take(&b->lock);
	log = log_find_locked(b, name);
	if (log) {
		log->holds++;
		r = log_sync_locked(b, log, log->end, err);
		*ret_durable = log->durable;
		log->holds--;
		log_drop_unused_locked(b, log);
	}
	lock_drop(&b->lock);
	if (!log)
		*ret_durable = end_on_disk(b, name);
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

void logbook_finish(struct logbook *b, const struct log_key *key, uint64_t end)
{
	struct journal_record record = { .type = JOURNAL_FINISH };
	char name[LOG_NAME_SIZE];
	struct log *log;

	if (log_name(key, name, NULL) < 0)
		return;
	log = log_hold(b, name, NULL);
	if (!log)
		return;
	believe_end(b, log, end);
	lock_take(&b->lock);
	end = MAX(end, log->end);
	if (log->finished == LOG_OPEN || log->finished > end) {
		log->finished = record.at = end;
		record.name = log->name;
		record.time_ms = log->used_ms;
		if (log->in_journal || list_linked(&log->dirty))
			journal_add(&b->pending, &record);
	}
	log_wake_readers_locked(log);
	log_let_go_locked(b, log);
	lock_drop(&b->lock);
}

bool logbook_is_open(struct logbook *b, const struct log_key *key)
{
	char name[LOG_NAME_SIZE];
	struct log *log;
	LOCKED(&b->lock);

	if (log_name(key, name, NULL) < 0)
		return false;
	log = log_find_locked(b, name);
	return log && log->known && log->finished == LOG_OPEN;
}

/* ---- recovery ---- */

/* A log as the journals know it. NULL: its file was read-only or removed since. */
static int recall(struct logbook *b, const struct journal_record *r, struct log **ret,
		  struct error *err)
{
	cleanup(freep) char *path = log_path(b, r->name, ".log");
	struct stat st;
	bool there;

	lock_take(&b->lock);
	*ret = log_find_locked(b, r->name);
	lock_drop(&b->lock);
	if (*ret)
		return 0;
	there = stat(path, &st) == 0;
	if (!there && errno != ENOENT)
		return error_errno(err, "looking at '%s'", path);
	if (there ? !(st.st_mode & S_IWUSR) : r->type != JOURNAL_DATA || r->at > 0)
		return 0;
	lock_take(&b->lock);
	*ret = log_add_locked(b, r->name);
	(*ret)->known = (*ret)->in_journal = true;
	lock_drop(&b->lock);
	return 0;
}

static int put_in_place(struct logbook *b, struct log *log, const struct journal_record *r,
			struct error *err)
{
	struct stat st;
	int result;

	lock_take(&b->lock);
	log->holds++;
	log->busy = true;
	lock_drop(&b->lock);
	result = log_file(b, log, err);
	if (result == 0 && fstat(log->fd, &st) < 0)
		result = error_errno(err, "looking at it");
	if (result == 0 && (uint64_t)st.st_size < r->at)
		result = error_id(err, "E0602",
				  "it has %lld of the %" PRIu64 " bytes that were stored",
				  (long long)st.st_size, r->at);
	if (result == 0)
		result = file_pwrite_all(log->fd, r->data, r->len, (off_t)r->at, err);
	log_let_go(b, log);
	return result;
}

static int apply(void *arg, const struct journal_record *r, struct error *err)
{
	struct logbook *b = arg;
	struct log *log;

	if (recall(b, r, &log, err) < 0)
		return -1;
	if (!log)
		return 0;
	log->used_ms = r->time_ms;
	switch (r->type) {
	case JOURNAL_DATA:
		if (put_in_place(b, log, r, err) < 0)
			return error_wrap(err, "recovering the log '%s'", r->name);
		log->durable = MAX(log->durable, r->at + r->len);
		break;
	case JOURNAL_MARK:
		log->durable = MAX(log->durable, r->at);
		break;
	case JOURNAL_FINISH:
		log->finished = r->at;
		break;
	}
	if (log->finished < log->durable)
		log->finished = LOG_OPEN;
	return 0;
}

/* Cuts what was never acknowledged; what was must be there. */
static int check_length(struct logbook *b, struct log *log, struct error *err)
{
	cleanup(freep) char *path = log_path(b, log->name, ".log");
	struct stat st;

	log->end = log->durable;
	if (stat(path, &st) < 0 && errno == ENOENT && !log->durable)
		return 0;
	if (stat(path, &st) < 0)
		return error_errno(err, "looking at '%s'", path);
	if ((uint64_t)st.st_size < log->durable)
		return error_id(err, "E0602",
				"'%s' has %lld of the %" PRIu64 " bytes that were stored", path,
				(long long)st.st_size, log->durable);
	if ((uint64_t)st.st_size > log->durable && truncate(path, (off_t)log->durable) < 0)
		return error_errno(err, "cutting '%s'", path);
	return 0;
}

static int recover(struct logbook *b, struct error *err)
{
	struct log *log, *next;
	uint64_t epochs[2];
	int first;

	for (int i = 0; i < 2; i++) {
		if (journal_replay(&b->journals[i], NULL, NULL, err) < 0)
			return -1;
		epochs[i] = b->journals[i].epoch;
	}
	first = epochs[0] > epochs[1];
	for (int i = 0; i < 2; i++)
		if (journal_replay(&b->journals[i ? !first : first], apply, b, err) < 0)
			return -1;
	HASH_ITER(hh, b->logs, log, next)
		if (check_length(b, log, err) < 0)
			return -1;
	if (HASH_COUNT(b->logs) && syncfs(b->dir_fd) < 0)
		return error_errno(err, "syncing '%s'", b->dir);
	/* on with a new journal in the file of the older one; the newer one is left, and cleared */
	b->current = !first;
	b->retired = true;
	if (logbook_switch(b, err) < 0)
		return -1;
	return logbook_retire(b, true, err);
}

static int open_journals(struct logbook *b, struct error *err)
{
	for (int i = 0; i < 2; i++) {
		cleanup(freep) char *path = xprintf("%s/journal.%d", b->dir, i);

		if (journal_open(&b->journals[i], path, err) < 0)
			return -1;
	}
	return file_sync_dir(b->dir, err);
}

static void release(struct logbook *b)
{
	struct log *log, *next;

	HASH_ITER(hh, b->logs, log, next) {
		lock_take(&b->lock);
		log_close_file_locked(b, log);
		lock_drop(&b->lock);
		HASH_DEL(b->logs, log);
		free(log->name);
		free(log);
	}
	journal_release(&b->journals[0]);
	journal_release(&b->journals[1]);
	if (b->dir_fd >= 0)
		close(b->dir_fd);
	signal_release(&b->let_go);
	signal_release(&b->synced);
	signal_release(&b->retire);
	lock_release(&b->lock);
	buf_release(&b->pending);
	free(b->sealing);
	free(b->dir);
	free(b);
}

struct logbook *logbook_open(const char *dir, struct error *err)
{
	struct logbook *b = xcalloc(1, sizeof *b);

	b->dir = xstrdup(dir);
	b->dir_fd = b->journals[0].fd = b->journals[1].fd = -1;
	lock_init(&b->lock);
	signal_init(&b->let_go);
	signal_init(&b->synced);
	signal_init(&b->retire);
	list_init(&b->files);
	list_init(&b->dirty);
	if (file_make_dirs(dir, 0700, err) == 0)
		b->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->dir_fd < 0 || open_journals(b, err) < 0 || recover(b, err) < 0) {
		error_wrap(err, "opening the logs in '%s'", dir);
		release(b);
		return NULL;
	}
	b->thread = thread_start("logbook", 0, logbook_retire_for_ever, b);
	return b;
}

void logbook_close(struct logbook *b)
{
	if (!b)
		return;
	lock_take(&b->lock);
	logbook_flush_locked(b, NULL);
	b->stopping = true;
	signal_all(&b->retire);
	lock_drop(&b->lock);
	thread_join(b->thread);
	release(b);
}

/* ---- expiry ---- */

static bool in_use(struct logbook *b, const char *run)
{
	size_t len = strlen(run);
	struct log *log, *next;

	LOCKED(&b->lock);
	HASH_ITER(hh, b->logs, log, next)
		if (strncmp(log->name, run, len) == 0 && log->name[len] == '/')
			return true;
	return false;
}

/* Begins a new journal, so that none is left that knows of logs about to be removed. */
static int forget_the_past(struct logbook *b, struct error *err)
{
	int r;

	lock_take(&b->lock);
	while (b->leading)
		signal_wait(&b->synced, &b->lock);
	b->leading = true;
	lock_drop(&b->lock);
	r = logbook_switch(b, err);
	lock_take(&b->lock);
	b->leading = false;
	signal_all(&b->synced);
	while (r == 0 && !b->retired && !b->broken.code)
		signal_wait(&b->synced, &b->lock);
	lock_drop(&b->lock);
	return r;
}

int logbook_expire(struct logbook *b, int64_t before_wall_ms, uint64_t *ret_removed,
		   struct error *err)
{
	uint64_t removed = 0;
	struct dirent *entry;
	int r = 0;
	DIR *dir;

	if (forget_the_past(b, err) < 0)
		return -1;
	dir = opendir(b->dir);
	if (!dir)
		return error_errno(err, "opening '%s'", b->dir);
	while (r == 0 && (entry = readdir(dir))) {
		cleanup(freep) char *path = path_join(b->dir, entry->d_name);
		struct stat st;

		if (entry->d_name[0] == '.' || strcmp(entry->d_name, "env") == 0 ||
		    lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) ||
		    (int64_t)st.st_mtim.tv_sec * 1000 >= before_wall_ms || in_use(b, entry->d_name))
			continue;
		r = file_remove_tree(path, err);
		removed += r == 0;
	}
	closedir(dir);
	*ret_removed = removed;
	return r;
}
