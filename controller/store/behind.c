/*
 * Writing behind: a thread brings what was committed to its tables, some time later and many
 * commits at once, so that a row which changed ten times meanwhile is written once, and the engine
 * does not wait for it. Whoever reads the tables first brings there what is missing (store_settle),
 * so that nobody finds less than was acknowledged.
 *
 * These commits of the database are not synced one by one, as the log of commits (redo.h) can
 * repeat them. When a file of that log is to be free again, the next one is.
 */
#include "controller/store/private.h"

#include <assert.h>

#include "base/fault.h"
#include "base/log.h"

enum {
	LAG_MS = 100,		/* the tables are at most so far behind */
	ENOUGH_BYTES = 1 << 19, /* or this many bytes */
	AGAIN_MS = 1000,	/* after a failure */
	/* pages of 4 KiB in SQLite's log at which a checkpoint is worth its syncs */
	CHECKPOINT_PAGES = 1024,
};

static int put_rows(struct store *s, const struct pending_commit *c, struct error *err)
{
	for (size_t i = 0; i < c->n_rows; i++)
		if (!c->rows[i].replaced && row_write(&s->writer, &c->rows[i].row, err) < 0)
			return -1;
	return 0;
}

static int put_events(struct store *s, const struct pending_commit *c, struct error *err)
{
	struct record_item item;
	size_t at = 0;

	while (record_next(&c->record, &at, &item) > 0)
		if (item.is_event && event_write(&s->writer, &item, err) < 0)
			return -1;
	return 0;
}

static int write_number(struct store *s, uint64_t number, struct error *err)
{
	struct connection *c = &s->writer;

	if (!c->redo_number)
		c->redo_number = db_prepare(c->db, "UPDATE redo SET number = $1, in_use = $2", err);
	if (!c->redo_number)
		return -1;
	db_bind_int(c->redo_number, 1, (int64_t)number);
	db_bind_int(c->redo_number, 2, !s->log_unused);
	return db_step(c->redo_number, err);
}

static int write_all(struct store *s, const struct pending *p, uint64_t number, struct error *err)
{
	for (const struct pending_commit *c = p->first; c; c = c->next)
		if (put_rows(s, c, err) < 0 || put_events(s, c, err) < 0)
			return -1;
	return write_number(s, number, err);
}

/* One transaction of the tables. for_good: it and all before it are synced. */
static int transact(struct store *s, const struct pending *p, uint64_t number, bool for_good,
		    struct error *err)
{
	struct db *db = s->writer.db;

	if (FAULT_POINT("behind.before"))
		return error_id(err, "E0601", "injected: the tables cannot be written");
	if (db_durable(db, for_good, err) < 0 || db_begin(db, err) < 0)
		return -1;
	if (write_all(s, p, number, err) < 0) {
		db_rollback(db);
		return -1;
	}
	if (db_commit(db, err) < 0)
		return error_wrap(err, "committing");
	(void)FAULT_POINT("behind.after");
	return 0;
}

/* ---- one at a time ---- */

static void begin_locked(struct store *s)
{
	lock_assert_held(&s->lock);
	while (s->busy)
		signal_wait(&s->settled, &s->lock);
	s->busy = true;
}

static void end_locked(struct store *s)
{
	s->busy = false;
	signal_all(&s->settled);
}

/* A full disk passes; after anything else what is on the disk is in doubt, and so is the store. */
static int failed_locked(struct store *s, const struct error *why, struct error *err)
{
	s->stuck = true;
	if (why->code != ERR_EXHAUSTED)
		s->broken = *why;
	if (err)
		*err = *why;
	return -1;
}

/* The lock is let go meanwhile; `busy` is this thread's. What could not be written stays in
 * s->writing, and is tried again together with what has come. */
static int write_behind_locked(struct store *s, bool for_good, struct error *err)
{
	struct pending written;
	uint64_t number = s->committed;
	struct error why = { 0 };
	int r;

	for_good = for_good || s->awaits > s->durable;
	pending_join(&s->writing, &s->waiting);
	lock_drop(&s->lock);
	r = transact(s, &s->writing, number, for_good, &why);
	lock_take(&s->lock);
	if (r < 0)
		return failed_locked(s, &why, err);
	written = s->writing;
	s->writing = (struct pending){ 0 };
	s->stuck = false;
	s->in_tables = number;
	if (for_good)
		s->durable = number;
	lock_drop(&s->lock);
	pending_release(&written);
	lock_take(&s->lock);
	return 0;
}

int store_settle(struct store *s, bool for_good, struct error *err)
{
	uint64_t number;
	int r = 0;
	LOCKED(&s->lock);

	number = s->committed;
	while (r == 0 && (for_good ? s->durable : s->in_tables) < number) {
		begin_locked(s);
		/* another thread may have done it meanwhile */
		if ((for_good ? s->durable : s->in_tables) < number)
			r = write_behind_locked(s, for_good, err);
		end_locked(s);
	}
	return r;
}

int behind_mark(struct store *s, bool in_use, struct error *err)
{
	int r;
	LOCKED(&s->lock);

	s->log_unused = !in_use;
	begin_locked(s);
	r = write_behind_locked(s, true, err);
	end_locked(s);
	return r;
}

/* ---- the thread ---- */

static int checkpoint(struct store *s, struct error *err)
{
	struct db *db = s->writer.db;
	uint32_t pages = db_log_pages(db);

	/* what a reader held back the last time waits until as much has gathered again */
	if (pages < s->checkpointed_at)
		s->checkpointed_at = 0;
	if (pages < s->checkpointed_at + CHECKPOINT_PAGES)
		return 0;
	if (db_checkpoint(db, err) < 0)
		return error_wrap(err, "moving the log of '%s' to its place", s->path);
	s->checkpointed_at = db_log_pages(db);
	return 0;
}

static void checkpoint_locked(struct store *s)
{
	struct error err = { 0 };
	int r;

	lock_drop(&s->lock);
	r = checkpoint(s, &err);
	lock_take(&s->lock);
	/* what cannot be moved now stays in SQLite's log, which is as good */
	if (r < 0)
		log_warn("%s", err.text);
}

/* False when it failed. */
static bool settle_locked(struct store *s)
{
	struct error err = { 0 };
	int r = 0;

	begin_locked(s);
	if (s->in_tables < s->committed)
		r = write_behind_locked(s, false, &err);
	if (r == 0)
		checkpoint_locked(s);
	end_locked(s);
	if (r < 0)
		log_warn("writing the tables of '%s': %s", s->path, err.text);
	return r == 0;
}

void *write_behind(void *arg)
{
	struct store *s = arg;
	LOCKED(&s->lock);

	while (!s->closing) {
		if (!s->stirred) {
			signal_wait(&s->work, &s->lock);
			continue;
		}
		if (s->waiting.bytes < ENOUGH_BYTES)
			signal_wait_ms(&s->work, &s->lock, LAG_MS);
		s->stirred = false;
		if (s->closing || settle_locked(s))
			continue;
		s->stirred = true;
		if (!s->closing)
			signal_wait_ms(&s->work, &s->lock, AGAIN_MS);
	}
	return NULL;
}

/* ---- the engine's side ---- */

void behind_committed(struct store *s, uint64_t number, struct buf *record)
{
	bool ours;
	LOCKED(&s->lock);

	ours = pending_add(&s->waiting, number, record);
	assert(ours);
	s->committed = number;
	s->awaits = redo_awaits(s->redo, s->durable);
	if (!s->stirred || s->waiting.bytes >= ENOUGH_BYTES) {
		s->stirred = true;
		signal_one(&s->work);
	}
}
