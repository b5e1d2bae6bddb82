/*
 * Opening, transactions, and the pool of readers. A transaction gathers in one record; its commit
 * is that record in the log of commits (redo.h), and the tables follow (behind.c). Readers are
 * connections of their own, made when none is idle and kept (up to 8) when they come back, with the
 * statements they have prepared. Each query begins by seeing to it that the tables hold what was
 * committed before.
 */
#include "controller/store/private.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"

enum {
	IDLE_READERS = 8,
	RECORD_KEPT = 1 << 16, /* bytes of memory for the next transaction */
	BEHIND_MAX = 4 << 20,  /* bytes that are in no table yet; then a commit waits */
};

int connection_open(struct connection *c, const char *path, enum db_mode mode, struct error *err)
{
	c->db = db_open(path, mode, err);
	return c->db ? 0 : -1;
}

void connection_close(struct connection *c)
{
	for (int kind = 0; kind < ROW_KINDS; kind++)
		for (int query = 0; query < QUERIES; query++)
			db_finish(c->rows[kind][query]);
	db_finish(c->event_append);
	db_finish(c->event_list);
	db_finish(c->redo_number);
	db_close(c->db);
	memset(c, 0, sizeof *c);
}

/* A record that was durable before a crash. */
static void take_record(void *arg, uint64_t number, struct buf *record)
{
	struct store *s = arg;

	if (pending_add(&s->waiting, number, record))
		s->committed = number;
	else
		s->broken.code = ERR_CORRUPT;
}

/* What the log of commits holds and the tables do not, before a migration: what wrote it is known
 * to be of this version. */
static int read_log(struct store *s, struct error *err)
{
	bool in_use;

	if (schema_redo(s->writer.db, &s->in_tables, &in_use, err) < 0)
		return -1;
	if (in_use && !redo_exists(s->path))
		return error_id(err, "E0603",
				"'%s' was not closed in order, and a file of its log of commits "
				"('%s.redo0', '%s.redo1') is missing",
				s->path, s->path, s->path);
	s->redo = redo_open(s->path, schema_version(), err);
	if (!s->redo)
		return -1;
	s->committed = s->durable = s->in_tables;
	if (redo_replay(s->redo, s->in_tables, take_record, s, err) < 0)
		return -1;
	if (s->broken.code)
		return error_id(err, "E0603", "the log of commits of '%s' holds what is no commit",
				s->path);
	if (!in_use && s->committed > s->in_tables)
		return error_id(err, "E0603",
				"'%s' was closed in order with commit %" PRIu64
				", and its log of commits goes on: it is an older copy; put the "
				"log's files that belong to it beside it, or move '%s.redo0' and "
				"'%s.redo1' away to begin with what it holds",
				s->path, s->in_tables, s->path, s->path);
	return 0;
}

static int open_all(struct store *s, struct error *err)
{
	if (connection_open(&s->writer, s->path, DB_WRITER, err) < 0 ||
	    db_check(s->writer.db, err) < 0 || read_log(s, err) < 0 ||
	    schema_open(s->writer.db, s->path, err) < 0 || behind_mark(s, true, err) < 0 ||
	    events_load_last(s, err) < 0 || connection_open(&s->own, s->path, DB_READER, err) < 0)
		return -1;
	redo_restart(s->redo, s->committed);
	return 0;
}

struct store *store_open(const char *path, struct error *err)
{
	cleanup(store_closep) struct store *s = xcalloc(1, sizeof *s);

	s->path = xstrdup(path);
	lock_init(&s->lock);
	signal_init(&s->work);
	signal_init(&s->settled);
	if (open_all(s, err) < 0)
		return NULL;
	s->started = true;
	s->thread = thread_start("store", 0, write_behind, s);
	return steal(s);
}

/* In order: the tables have all of it, and the log of commits is not needed. */
static void stop(struct store *s)
{
	struct error err = { 0 };

	if (!s->started)
		return;
	lock_take(&s->lock);
	s->closing = true;
	signal_one(&s->work);
	lock_drop(&s->lock);
	thread_join(s->thread);
	if (behind_mark(s, false, &err) < 0) /* the next start does it */
		log_warn("closing '%s': %s", s->path, err.text);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	assert(s->n_lent == 0);
	stop(s);
	while (s->idle) {
		struct store_reader *r = s->idle;

		s->idle = r->next;
		connection_close(&r->connection);
		free(r);
	}
	connection_close(&s->own);
	connection_close(&s->writer);
	redo_close(s->redo);
	pending_release(&s->waiting);
	pending_release(&s->writing);
	buf_release(&s->record);
	signal_release(&s->settled);
	signal_release(&s->work);
	lock_release(&s->lock);
	free(s->path);
	free(s);
}

const char *store_path(const struct store *s)
{
	return s->path;
}

void store_begin(struct store *s)
{
	record_begin(&s->record);
}

/* Memory and files are bounded, and what the tables cannot take must not pile up: a commit then
 * begins with theirs. */
static int make_room(struct store *s, struct error *err)
{
	bool far;

	lock_take(&s->lock);
	far = s->stuck || s->waiting.bytes + s->writing.bytes >= BEHIND_MAX;
	if (s->broken.code)
		*err = s->broken;
	lock_drop(&s->lock);
	if (err->code)
		return -1;
	if (far && store_settle(s, false, err) < 0)
		return -1;
	return redo_is_long(s->redo) ? store_settle(s, true, err) : 0;
}

/* Of the record itself what is behind takes the memory. */
static int write_record(struct store *s, struct error *err)
{
	struct buf record = { 0 };
	uint64_t durable;

	if (make_room(s, err) < 0)
		return -1;
	lock_take(&s->lock);
	durable = s->durable;
	lock_drop(&s->lock);
	if (redo_append(s->redo, &s->record, durable, err) < 0)
		return -1;
	buf_add(&record, s->record.data, s->record.len);
	behind_committed(s, redo_last(s->redo), &record);
	return 0;
}

static void end(struct store *s)
{
	if (s->record.cap > RECORD_KEPT)
		buf_release(&s->record);
	buf_clear(&s->record);
}

int store_commit(struct store *s, struct error *err)
{
	struct error why = { 0 };

	if (FAULT_POINT("commit.full")) {
		store_rollback(s);
		return error_id(err, "E0601", "injected: the disk is full");
	}
	if (FAULT_POINT("commit.before")) {
		store_rollback(s);
		return error_set(err, ERR_INTERNAL, "injected: the commit failed");
	}
	if (!record_is_empty(&s->record) && write_record(s, &why) < 0) {
		store_rollback(s);
		*err = why;
		return error_wrap(err, "committing");
	}
	s->last_event = s->pending_event;
	s->last_hash = s->pending_hash;
	end(s);
	(void)FAULT_POINT("commit.after");
	return 0;
}

void store_rollback(struct store *s)
{
	end(s);
	s->pending_event = s->last_event;
	s->pending_hash = s->last_hash;
}

struct store_reader *store_reader_take(struct store *s, struct error *err)
{
	struct store_reader *r;

	lock_take(&s->lock);
	r = s->idle;
	if (r) {
		s->idle = r->next;
		s->n_idle--;
	}
	s->n_lent++;
	lock_drop(&s->lock);
	if (r)
		return r;
	r = xcalloc(1, sizeof *r);
	r->store = s;
	if (connection_open(&r->connection, s->path, DB_READER, err) == 0)
		return r;
	connection_close(&r->connection);
	free(r);
	lock_take(&s->lock);
	s->n_lent--;
	lock_drop(&s->lock);
	return NULL;
}

void store_reader_give(struct store_reader *r)
{
	struct store *s;
	bool keep;

	if (!r)
		return;
	s = r->store;
	lock_take(&s->lock);
	keep = s->n_idle < IDLE_READERS;
	if (keep) {
		r->next = s->idle;
		s->idle = r;
		s->n_idle++;
		s->n_lent--;
	}
	lock_drop(&s->lock);
	if (keep)
		return;
	connection_close(&r->connection);
	free(r);
	lock_take(&s->lock);
	s->n_lent--;
	lock_drop(&s->lock);
}
