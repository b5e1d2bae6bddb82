/*
 * Rows: written by the one writer, read by anyone. Each row carries a crc32c over all its columns
 * and its body, because SQLite's pages have none: a row that was damaged on the disk is refused by
 * name instead of being believed.
 *
 * A put is one statement in the common cases: an insert, or a change of what changes
 * (state, open, body), which leaves alone the indexes of parent, key, number and time.
 */
#include "controller/store/private.h"

#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "proto/message.h"

const char row_columns[] =
	"t.id, t.parent, t.key, t.state, t.number, t.time_ms, t.open, t.crc, t.body";

enum column { ID, PARENT, KEY, STATE, NUMBER, TIME, OPEN, CRC, BODY };

static uint32_t crc_of(const struct row *row)
{
	uint64_t numbers[4] = { htole64((uint64_t)(int64_t)row->state), htole64(row->number),
				htole64((uint64_t)row->time_ms), htole64(row->open) };
	uint32_t crc = crc32c((uint32_t)row->kind, row->id, strlen(row->id) + 1);

	crc = crc32c(crc, row->parent, strlen(row->parent) + 1);
	crc = crc32c(crc, row->key, strlen(row->key) + 1);
	crc = crc32c(crc, numbers, sizeof numbers);
	return crc32c(crc, row->body, row->len);
}

static char *load_sql(enum row_kind kind)
{
	enum row_kind parent = row_kept_open_by(kind);

	if (!parent)
		return xprintf("SELECT %s FROM %s t WHERE t.open = 1"
			       " ORDER BY t.number, t.time_ms, t.id",
			       row_columns, schema_table(kind));
	return xprintf("SELECT %s FROM %s p JOIN %s t ON t.parent = p.id WHERE p.open = 1"
		       " ORDER BY p.number, t.number, t.time_ms, t.id",
		       row_columns, schema_table(parent), schema_table(kind));
}

static char *query_sql(enum row_kind kind, int query)
{
	const char *table = schema_table(kind);

	switch (query) {
	case QUERY_PUT:
		return xprintf("INSERT INTO %s AS t"
			       " (id, parent, key, state, number, time_ms, open, crc, body)"
			       " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO"
			       " UPDATE SET state = $4, open = $7, crc = $8, body = $9 WHERE"
			       " t.parent = $2 AND t.key = $3 AND t.number = $5 AND t.time_ms = $6",
			       table);
	case QUERY_MOVE:
		return xprintf("UPDATE %s SET parent = $2, key = $3, state = $4, number = $5,"
			       " time_ms = $6, open = $7, crc = $8, body = $9 WHERE id = $1",
			       table);
	case QUERY_DELETE:
		return xprintf("DELETE FROM %s WHERE id = $1", table);
	case QUERY_GET:
		return xprintf("SELECT %s FROM %s t WHERE t.id = $1", row_columns, table);
	case QUERY_FIND:
		return xprintf("SELECT %s FROM %s t WHERE t.parent = $1 AND t.key = $2"
			       " ORDER BY t.time_ms DESC, t.id DESC LIMIT 1",
			       row_columns, table);
	case QUERY_FIND_KEY:
		return xprintf("SELECT %s FROM %s t WHERE t.key = $2"
			       " ORDER BY t.time_ms DESC, t.id DESC LIMIT 1",
			       row_columns, table);
	case QUERY_BY_NUMBER:
		return xprintf("SELECT %s FROM %s t WHERE t.number = $1"
			       " ORDER BY t.time_ms DESC LIMIT 1",
			       row_columns, table);
	case QUERY_LOAD:
		return load_sql(kind);
	default:
		return list_sql(kind, query - QUERY_LIST);
	}
}

struct db_statement *row_query(struct connection *c, enum row_kind kind, int query,
			       struct error *err)
{
	struct db_statement **at = &c->rows[kind][query];

	if (!*at) {
		cleanup(freep) char *sql = query_sql(kind, query);

		*at = db_prepare(c->db, sql, err);
	}
	return *at;
}

ProtobufCMessage *row_message(struct db_statement *st, enum row_kind kind, struct arena *a,
			      struct error *err)
{
	struct row row = {
		.kind = kind,
		.id = db_text(st, ID),
		.parent = db_text(st, PARENT),
		.key = db_text(st, KEY),
		.state = (int)db_int(st, STATE),
		.number = (uint64_t)db_int(st, NUMBER),
		.time_ms = db_int(st, TIME),
		.open = db_int(st, OPEN) != 0,
	};
	ProtobufCMessage *m;

	row.body = db_bytes(st, BODY, &row.len);
	if (crc_of(&row) != (uint32_t)db_int(st, CRC)) {
		error_id(err, "E0602", "the row of %s '%.100s' is damaged", row_kind_name(kind),
			 row.id);
		return NULL;
	}
	m = message_unpack(row_descriptor(kind), a, row.body, row.len, err);
	if (!m)
		error_wrap(err, "the row of %s '%.100s'", row_kind_name(kind), row.id);
	return m;
}

int row_only(struct db_statement *st, enum row_kind kind, struct arena *a, ProtobufCMessage **ret,
	     struct error *err)
{
	ProtobufCMessage *m;
	int r = db_step(st, err);

	if (r <= 0)
		return r;
	m = row_message(st, kind, a, err);
	db_reset(st);
	if (!m)
		return -1;
	*ret = m;
	return 1;
}

/* Runs a statement of the writer with all the columns of a row bound. */
static int run_with(struct connection *c, enum query query, const struct row *row,
		    int64_t *ret_changed, struct error *err)
{
	struct db_statement *st = row_query(c, row->kind, (int)query, err);

	if (!st)
		return -1;
	db_bind_text(st, 1, row->id);
	db_bind_text(st, 2, row->parent);
	db_bind_text(st, 3, row->key);
	db_bind_int(st, 4, row->state);
	db_bind_int(st, 5, (int64_t)row->number);
	db_bind_int(st, 6, row->time_ms);
	db_bind_int(st, 7, row->open);
	db_bind_int(st, 8, crc_of(row));
	db_bind_bytes(st, 9, row->body, row->len);
	if (db_step(st, err) < 0)
		return -1;
	*ret_changed = db_changed(st);
	return 0;
}

static int drop(struct connection *c, const struct row *row, struct error *err)
{
	struct db_statement *st = row_query(c, row->kind, QUERY_DELETE, err);

	if (!st)
		return -1;
	db_bind_text(st, 1, row->id);
	return db_step(st, err);
}

int row_write(struct connection *c, const struct row *row, struct error *err)
{
	int64_t changed = 0;

	if (row->gone)
		return drop(c, row, err);
	if (run_with(c, QUERY_PUT, row, &changed, err) < 0)
		return -1;
	if (changed == 0 && run_with(c, QUERY_MOVE, row, &changed, err) < 0)
		return -1;
	assert(changed == 1);
	return 0;
}

static int check(const struct row *row, struct error *err)
{
	assert(*row->id);
	if (strlen(row->id) >= ROW_ID_MAX || strlen(row->parent) >= ROW_ID_MAX ||
	    strlen(row->key) >= ROW_ID_MAX)
		return error_set(err, ERR_INVALID, "a name of %s '%.100s' is longer than %d bytes",
				 row_kind_name(row->kind), row->id, ROW_ID_MAX - 1);
	if (row->len > ROW_BODY_MAX)
		return error_set(err, ERR_EXHAUSTED, "%s '%s' has %zu bytes; %d are the most",
				 row_kind_name(row->kind), row->id, row->len, ROW_BODY_MAX);
	return 0;
}

int store_put(struct store *s, const struct row *row, struct error *err)
{
	if (check(row, err) < 0)
		return -1;
	record_row(&s->record, row);
	return 0;
}

int store_load(struct store *s, enum row_kind kind,
	       int (*load)(void *arg, ProtobufCMessage *message, struct error *err), void *arg,
	       struct error *err)
{
	struct db_statement *st;
	int r = -1;

	if (store_settle(s, false, err) < 0)
		return -1;
	st = row_query(&s->own, kind, QUERY_LOAD, err);
	while (st && (r = db_step(st, err)) > 0) {
		ProtobufCMessage *m = row_message(st, kind, NULL, err);

		if (!m || load(arg, m, err) < 0) {
			db_reset(st);
			return error_wrap(err, "loading %s", schema_table(kind));
		}
	}
	return r;
}

static int get(struct connection *c, enum row_kind kind, const char *id, struct arena *a,
	       ProtobufCMessage **ret, struct error *err)
{
	struct db_statement *st = row_query(c, kind, QUERY_GET, err);

	if (!st)
		return -1;
	db_bind_text(st, 1, id);
	return row_only(st, kind, a, ret, err);
}

static int find(struct connection *c, enum row_kind kind, const char *const names[2],
		struct arena *a, ProtobufCMessage **ret, struct error *err)
{
	int query = names[0] ? QUERY_FIND : QUERY_FIND_KEY;
	struct db_statement *st = row_query(c, kind, query, err);

	if (!st)
		return -1;
	if (names[0])
		db_bind_text(st, 1, names[0]);
	db_bind_text(st, 2, names[1]);
	return row_only(st, kind, a, ret, err);
}

static int by_number(struct connection *c, enum row_kind kind, uint64_t number, struct arena *a,
		     ProtobufCMessage **ret, struct error *err)
{
	struct db_statement *st = row_query(c, kind, QUERY_BY_NUMBER, err);

	if (!st)
		return -1;
	db_bind_int(st, 1, (int64_t)number);
	return row_only(st, kind, a, ret, err);
}

/* 1 when this row is committed and not in its table yet, with its message, or NULL if it is gone;
 * 0; -1. */
static int get_pending(struct store *s, enum row_kind kind, const char *id, ProtobufCMessage **ret,
		       struct error *err)
{
	const struct row *row;
	LOCKED(&s->lock);

	row = pending_find(&s->waiting, kind, id);
	if (!row)
		row = pending_find(&s->writing, kind, id);
	if (!row)
		return 0;
	*ret = NULL;
	if (row->gone)
		return 1;
	*ret = message_unpack(row_descriptor(kind), NULL, row->body, row->len, err);
	return *ret ? 1 : -1;
}

int store_get(struct store *s, enum row_kind kind, const char *id, ProtobufCMessage **ret,
	      struct error *err)
{
	ProtobufCMessage *m = NULL;
	int found = get_pending(s, kind, id, &m, err);

	if (found == 0)
		return get(&s->own, kind, id, NULL, ret, err);
	if (found > 0 && m)
		*ret = m;
	return found > 0 ? m != NULL : -1;
}

/* Other columns than the id are known to the tables alone. */
static int settle_kind(struct store *s, enum row_kind kind, struct error *err)
{
	bool behind;

	lock_take(&s->lock);
	behind = s->waiting.rows[kind] || s->writing.rows[kind];
	lock_drop(&s->lock);
	return behind ? store_settle(s, false, err) : 0;
}

int store_find(struct store *s, enum row_kind kind, const char *parent, const char *key,
	       ProtobufCMessage **ret, struct error *err)
{
	if (settle_kind(s, kind, err) < 0)
		return -1;
	return find(&s->own, kind, (const char *[]){ parent, key }, NULL, ret, err);
}

int store_by_number(struct store *s, enum row_kind kind, uint64_t number, ProtobufCMessage **ret,
		    struct error *err)
{
	if (settle_kind(s, kind, err) < 0)
		return -1;
	return by_number(&s->own, kind, number, NULL, ret, err);
}

int reader_get(struct store_reader *r, enum row_kind kind, const char *id, struct arena *a,
	       ProtobufCMessage **ret, struct error *err)
{
	if (store_settle(r->store, false, err) < 0)
		return -1;
	return get(&r->connection, kind, id, a, ret, err);
}

int reader_find(struct store_reader *r, enum row_kind kind, const char *const names[2],
		struct arena *a, ProtobufCMessage **ret, struct error *err)
{
	if (store_settle(r->store, false, err) < 0)
		return -1;
	return find(&r->connection, kind, names, a, ret, err);
}

int reader_by_number(struct store_reader *r, enum row_kind kind, uint64_t number, struct arena *a,
		     ProtobufCMessage **ret, struct error *err)
{
	if (store_settle(r->store, false, err) < 0)
		return -1;
	return by_number(&r->connection, kind, number, a, ret, err);
}
