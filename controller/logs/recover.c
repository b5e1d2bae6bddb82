/*
 * Opening and closing. What the journals hold is put in its place, what was never acknowledged is
 * cut, and a new journal begins.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "controller/logs/private.h"

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
	struct service *service, *next_service;
	struct log *log, *next;

	HASH_ITER(hh, b->logs, log, next) {
		lock_take(&b->lock);
		log_close_file_locked(b, log);
		lock_drop(&b->lock);
		HASH_DEL(b->logs, log);
		free(log->name);
		free(log);
	}
	HASH_ITER(hh, b->services, service, next_service) {
		HASH_DEL(b->services, service);
		service_free(service);
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
	b->service_bytes = LOG_LIMIT;
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
