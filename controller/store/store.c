/*
 * Opening, transactions, and the pool of readers. The writer's connection belongs to one thread,
 * the engine's; readers are connections of their own, made when none is idle and kept (up to 8)
 * when they come back, with the statements they have prepared.
 */
#include "controller/store/private.h"

#include <assert.h>
#include <string.h>

#include "base/fault.h"
#include "base/mem.h"

enum {
	IDLE_READERS = 8,
	/* pages of 4 KiB in the log at which a checkpoint is worth its syncs, and at which it is
	   due */
	CHECKPOINT_IDLE = 512,
	CHECKPOINT_DUE = 2048,
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
	db_close(c->db);
	memset(c, 0, sizeof *c);
}

struct store *store_open(const char *path, struct error *err)
{
	cleanup(store_closep) struct store *s = xcalloc(1, sizeof *s);

	s->path = xstrdup(path);
	lock_init(&s->lock);
	if (connection_open(&s->writer, path, DB_WRITER, err) < 0 ||
	    db_check(s->writer.db, err) < 0 || schema_open(s->writer.db, path, err) < 0 ||
	    events_load_last(s, err) < 0)
		return NULL;
	return steal(s);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	assert(s->n_lent == 0);
	while (s->idle) {
		struct store_reader *r = s->idle;

		s->idle = r->next;
		connection_close(&r->connection);
		free(r);
	}
	connection_close(&s->writer);
	lock_release(&s->lock);
	free(s->path);
	free(s);
}

const char *store_path(const struct store *s)
{
	return s->path;
}

int store_begin(struct store *s, struct error *err)
{
	return db_begin(s->writer.db, err);
}

int store_commit(struct store *s, struct error *err)
{
	if (FAULT_POINT("commit.full")) {
		store_rollback(s);
		return error_id(err, "E0601", "injected: the disk is full");
	}
	if (FAULT_POINT("commit.before")) {
		store_rollback(s);
		return error_set(err, ERR_INTERNAL, "injected: the commit failed");
	}
	if (db_commit(s->writer.db, err) < 0) {
		store_rollback(s);
		return error_wrap(err, "committing");
	}
	s->last_event = s->pending_event;
	s->last_hash = s->pending_hash;
	(void)FAULT_POINT("commit.after");
	return 0;
}

void store_rollback(struct store *s)
{
	db_rollback(s->writer.db);
	s->pending_event = s->last_event;
	s->pending_hash = s->last_hash;
}

int store_checkpoint(struct store *s, bool idle, struct error *err)
{
	uint32_t pages = db_log_pages(s->writer.db);
	uint32_t enough = idle ? CHECKPOINT_IDLE : CHECKPOINT_DUE;

	/* what a reader held back the last time waits until as much has gathered again */
	if (pages < s->checkpointed_at)
		s->checkpointed_at = 0;
	if (pages < s->checkpointed_at + enough)
		return 0;
	if (db_checkpoint(s->writer.db, err) < 0)
		return error_wrap(err, "moving the log of '%s' to its place", s->path);
	s->checkpointed_at = db_log_pages(s->writer.db);
	return 0;
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
