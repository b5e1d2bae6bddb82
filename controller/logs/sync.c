/*
 * Syncs, and the change from one journal to the other.
 *
 * Who needs a sync when none runs leads one: it takes all that is pending, syncs the files of large
 * pieces, writes the records of all in one batch, and everyone whose bytes were in it goes on. Who
 * comes meanwhile waits for the next. So one sync serves all, and one who is alone waits for
 * nobody.
 *
 * When a journal is full, the leader begins the other one: it names the durable end of every log
 * that goes on. The retiring thread then brings what the full one covered to its place (syncfs),
 * makes the logs that are over read-only, and clears it.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "controller/logs/private.h"

/* One log in a batch. */
struct member {
	struct log *log;
	uint64_t end; /* what the batch makes durable */
	int64_t used_ms;
	bool direct, fresh;
};

struct batch {
	struct buf records;
	struct member *members;
	size_t n;
};

static void batch_release(struct batch *batch)
{
	buf_release(&batch->records);
	free(batch->members);
}

static void take_batch_locked(struct logbook *b, struct batch *ret)
{
	struct log *log, *next;
	size_t n = 0;

	lock_assert_held(&b->lock);
	list_each(log, &b->dirty, dirty)
		n++;
	ret->members = xcalloc(n + 1, sizeof *ret->members);
	list_each_safe(log, next, &b->dirty, dirty) {
		ret->members[ret->n++] = (struct member){ log, log->end, log->used_ms, log->direct,
							  log->direct && log->fresh };
		list_remove(&log->dirty);
		log->holds++;
		log->in_journal = true;
		log->journaled = 0;
		log->direct = false;
	}
	ret->records = b->pending;
	b->pending = (struct buf){ 0 };
}

static int sync_file(struct logbook *b, const struct member *m, struct error *err)
{
	cleanup(freep) char *path = log_path(b, m->log->name, "");

	if (fdatasync(m->log->fd) < 0) {
		error_errno(err, "syncing the log '%s'", m->log->name);
		err->code = ERR_INTERNAL;
		return -1;
	}
	/* its name, too; the directory's own name is next to those of all runs */
	*strrchr(path, '/') = '\0';
	if (m->fresh && (file_sync_dir(path, err) < 0 || file_sync_dir(b->dir, err) < 0))
		return -1;
	return 0;
}

/* Large pieces first: their mark in the journal says that they are there. */
static int sync_files(struct logbook *b, struct batch *batch, struct error *err)
{
	for (size_t i = 0; i < batch->n; i++) {
		const struct member *m = &batch->members[i];
		struct journal_record mark = { .type = JOURNAL_MARK,
					       .name = m->log->name,
					       .at = m->end,
					       .time_ms = m->used_ms };

		if (!m->direct)
			continue;
		if (sync_file(b, m, err) < 0)
			return -1;
		journal_add(&batch->records, &mark);
	}
	return 0;
}

static int write_batch(struct logbook *b, struct batch *batch, struct error *err)
{
	struct journal_file *j = &b->journals[b->current];

	if (FAULT_POINT("logbook.before-sync"))
		return error_set(err, ERR_INTERNAL, "injected before the sync of logs");
	if (sync_files(b, batch, err) < 0)
		return -1;
	if (!batch->records.len)
		return 0;
	if (j->at + batch->records.len > JOURNAL_SIZE) {
		if (logbook_switch(b, err) < 0)
			return -1;
		j = &b->journals[b->current];
	}
	if (journal_write(j, &batch->records, err) < 0)
		return -1;
	(void)FAULT_POINT("logbook.after-sync");
	return 0;
}

static void settle_locked(struct logbook *b, struct batch *batch)
{
	for (size_t i = 0; i < batch->n; i++) {
		struct log *log = batch->members[i].log;

		log->durable = batch->members[i].end;
		if (batch->members[i].fresh)
			log->fresh = false;
		log_wake_readers_locked(log);
		log->holds--;
		log_drop_unused_locked(b, log);
	}
}

/* A full disk: the batch waits for the next try, before what came meanwhile. */
static void put_back_locked(struct logbook *b, struct batch *batch)
{
	buf_add(&batch->records, b->pending.data, b->pending.len);
	buf_release(&b->pending);
	b->pending = batch->records;
	batch->records = (struct buf){ 0 };
	for (size_t i = 0; i < batch->n; i++) {
		struct member *m = &batch->members[i];

		m->log->direct |= m->direct;
		m->log->holds--;
		if (!list_linked(&m->log->dirty))
			list_append(&b->dirty, &m->log->dirty);
	}
}

static int lead_locked(struct logbook *b, struct error *err)
{
	struct batch batch = { 0 };
	struct error why = { 0 };
	int r;

	lock_assert_held(&b->lock);
	b->leading = true;
	take_batch_locked(b, &batch);
	lock_drop(&b->lock);
	r = write_batch(b, &batch, &why);
	lock_take(&b->lock);
	if (r == 0)
		settle_locked(b, &batch);
	else
		put_back_locked(b, &batch);
	if (r < 0 && why.code != ERR_EXHAUSTED)
		b->broken = why;
	b->leading = false;
	signal_all(&b->synced);
	batch_release(&batch);
	if (r < 0 && err)
		*err = why;
	return r;
}

static int refuse_broken_locked(const struct logbook *b, struct error *err)
{
	if (err)
		*err = b->broken;
	return error_wrap(err, "logs cannot be synced any more");
}

int log_sync_locked(struct logbook *b, struct log *log, uint64_t target, struct error *err)
{
	while (log->durable < target) {
		if (b->broken.code)
			return refuse_broken_locked(b, err);
		if (b->leading)
			signal_wait(&b->synced, &b->lock);
		else if (lead_locked(b, err) < 0)
			return -1;
	}
	return 0;
}

int logbook_flush_locked(struct logbook *b, struct error *err)
{
	while (b->leading)
		signal_wait(&b->synced, &b->lock);
	return b->broken.code ? refuse_broken_locked(b, err) : lead_locked(b, err);
}

/* ---- from one journal to the other ---- */

static bool is_sealable_locked(const struct log *log, int64_t now_ms)
{
	bool quiet = !log->busy && log->holds == 0 && log->end == log->durable;

	return quiet &&
	       (log_over_locked(log) || (log->refs == 0 && now_ms - log->used_ms > ABANDONED_MS));
}

/* Holds those that are over, and marks the others in the batch that begins a journal. */
static void sort_logs_locked(struct logbook *b, struct buf *marks)
{
	int64_t now_ms = clock_wall_ms();
	struct log *log, *next;

	lock_assert_held(&b->lock);
	b->sealing = xreallocarray(NULL, HASH_COUNT(b->logs) + 1, sizeof(struct log *));
	b->n_sealing = 0;
	HASH_ITER(hh, b->logs, log, next) {
		struct journal_record mark = { .type = JOURNAL_MARK,
					       .name = log->name,
					       .at = log->durable,
					       .time_ms = log->used_ms };

		if (!log->in_journal)
			continue;
		if (is_sealable_locked(log, now_ms)) {
			log->holds++;
			log->busy = true;
			b->sealing[b->n_sealing++] = log;
			continue;
		}
		journal_add(marks, &mark);
		if (log->finished == LOG_OPEN)
			continue;
		mark.type = JOURNAL_FINISH;
		mark.at = log->finished;
		journal_add(marks, &mark);
	}
}

static void unsort_logs_locked(struct logbook *b)
{
	for (size_t i = 0; i < b->n_sealing; i++)
		log_let_go_locked(b, b->sealing[i]);
	free(steal(b->sealing));
	b->n_sealing = 0;
}

int logbook_switch(struct logbook *b, struct error *err)
{
	struct journal_file *old = &b->journals[b->current], *new = &b->journals[!b->current];
	cleanup(buf_release) struct buf marks = { 0 };

	lock_take(&b->lock);
	while (!b->retired && !b->broken.code)
		signal_wait(&b->synced, &b->lock);
	if (!b->retired) {
		refuse_broken_locked(b, err);
		lock_drop(&b->lock);
		return -1;
	}
	sort_logs_locked(b, &marks);
	lock_drop(&b->lock);
	journal_restart(new, old->epoch + 1);
	if (journal_write(new, &marks, err) < 0) {
		lock_take(&b->lock);
		unsort_logs_locked(b);
		lock_drop(&b->lock);
		return -1;
	}
	lock_take(&b->lock);
	b->current = !b->current;
	b->retired = false;
	signal_all(&b->retire);
	lock_drop(&b->lock);
	return 0;
}

/* All its bytes are durable; what was written beyond its end was never taken. */
static int seal(struct logbook *b, struct log *log, struct error *err)
{
	cleanup(freep) char *path = log_path(b, log->name, ".log");
	struct stat st;

	assert(log->busy);
	if (log->sealed)
		return 0;
	if (stat(path, &st) < 0) {
		if (errno == ENOENT && !log->end)
			return 0;
		return error_errno(err, "looking at '%s'", path);
	}
	if (((uint64_t)st.st_size > log->end && truncate(path, (off_t)log->end) < 0) ||
	    chmod(path, 0400) < 0)
		return error_errno(err, "making '%s' read-only", path);
	return 0;
}

int logbook_retire(struct logbook *b, bool in_place, struct error *err)
{
	if (!in_place && syncfs(b->dir_fd) < 0)
		return error_errno(err, "syncing '%s'", b->dir);
	for (size_t i = 0; i < b->n_sealing; i++)
		if (seal(b, b->sealing[i], err) < 0)
			return -1;
	if (b->n_sealing && syncfs(b->dir_fd) < 0)
		return error_errno(err, "syncing '%s'", b->dir);
	if (journal_clear(&b->journals[!b->current], err) < 0)
		return -1;
	lock_take(&b->lock);
	for (size_t i = 0; i < b->n_sealing; i++) {
		struct log *log = b->sealing[i];

		log->sealed = true;
		log->finished = log->end;
		log->in_journal = false;
		log_wake_readers_locked(log);
	}
	unsort_logs_locked(b);
	b->retired = true;
	signal_all(&b->synced);
	lock_drop(&b->lock);
	return 0;
}

void *logbook_retire_for_ever(void *book)
{
	struct logbook *b = book;
	struct error err = { 0 };

	lock_take(&b->lock);
	for (;;) {
		while (b->retired && !b->stopping)
			signal_wait(&b->retire, &b->lock);
		if (b->retired || b->broken.code)
			break;
		lock_drop(&b->lock);
		if (logbook_retire(b, false, &err) < 0) {
			lock_take(&b->lock);
			b->broken = err;
			signal_all(&b->synced);
			break;
		}
		lock_take(&b->lock);
	}
	lock_drop(&b->lock);
	return NULL;
}
