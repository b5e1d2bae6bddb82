/*
 * The tables, and how older ones become today's. One table per kind of row, all with the same
 * columns: a list of runs does not read past the bodies of their jobs, and each kind carries only
 * the indexes that someone asks by. Every index ends in (time_ms, id), the order of lists.
 *
 * A migration is one transaction, after a copy of the whole database beside it. A version that
 * is newer than the program is refused.
 */
#include "controller/store/private.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"

enum index_set {
	BY_TIME = 1,
	BY_PARENT = 2,
	BY_KEY = 4,
	BY_PARENT_KEY = 8,
	BY_NUMBER = 16,
	BY_STATE = 32,
	WHILE_OPEN = 64,
};

static const struct table {
	const char *name;
	unsigned int indexes;
} tables[ROW_KINDS] = {
	[ROW_CONTROLLER] = { "controllers", 0 },
	[ROW_TOKEN] = { "tokens", BY_TIME | BY_PARENT_KEY },
	[ROW_ENROL_TOKEN] = { "enrol_tokens", BY_TIME | BY_PARENT_KEY | WHILE_OPEN },
	[ROW_AGENT] = { "agents", BY_TIME | BY_PARENT_KEY },
	[ROW_PUBLISHED] = { "published", BY_TIME },
	[ROW_RELEASE] = { "releases", BY_TIME | BY_PARENT | BY_KEY | BY_PARENT_KEY | BY_NUMBER },
	[ROW_ENVIRONMENT] = { "environments", BY_PARENT_KEY },
	[ROW_PROMOTION] = { "promotions",
			    BY_TIME | BY_PARENT | BY_KEY | BY_PARENT_KEY | WHILE_OPEN },
	[ROW_RUN] = { "runs", BY_TIME | BY_KEY | BY_NUMBER | BY_STATE | WHILE_OPEN },
	[ROW_RUN_SPEC] = { "run_specs", BY_PARENT },
	[ROW_JOB] = { "jobs", BY_PARENT | BY_PARENT_KEY },
	[ROW_ATTEMPT] = { "attempts", BY_PARENT | BY_KEY | WHILE_OPEN },
	[ROW_ARTIFACT] = { "artifacts", BY_TIME | BY_PARENT | BY_KEY | BY_PARENT_KEY | BY_STATE },
	[ROW_VERDICT] = { "verdicts", BY_PARENT | BY_KEY | BY_PARENT_KEY },
	[ROW_REQUEST] = { "requests", BY_TIME },
};

static const struct {
	enum index_set set;
	const char *suffix, *on;
} indexes[] = {
	{ BY_TIME, "time", "(time_ms, id)" },
	{ BY_PARENT, "parent", "(parent, time_ms, id)" },
	{ BY_KEY, "key", "(key, time_ms, id)" },
	{ BY_PARENT_KEY, "parent_key", "(parent, key, time_ms, id)" },
	{ BY_NUMBER, "number", "(number, time_ms, id)" },
	{ BY_STATE, "state", "(state, time_ms, id)" },
	{ WHILE_OPEN, "open", "(number, time_ms) WHERE open = 1" },
};

const char *schema_table(enum row_kind kind)
{
	assert(kind >= ROW_CONTROLLER && kind < ROW_KINDS);
	return tables[kind].name;
}

static int make_table(struct db *db, const struct table *t, struct error *err)
{
	cleanup(buf_release) struct buf sql = { 0 };

	buf_printf(&sql,
		   "CREATE TABLE %s (id TEXT PRIMARY KEY, parent TEXT NOT NULL, key TEXT NOT NULL,"
		   " state BIGINT NOT NULL, number BIGINT NOT NULL, time_ms BIGINT NOT NULL,"
		   " open BIGINT NOT NULL, crc BIGINT NOT NULL, body BYTEA NOT NULL);",
		   t->name);
	for (size_t i = 0; i < ARRAY_SIZE(indexes); i++)
		if (t->indexes & indexes[i].set)
			buf_printf(&sql, "CREATE INDEX %s_by_%s ON %s %s;", t->name,
				   indexes[i].suffix, t->name, indexes[i].on);
	return db_exec(db, buf_str(&sql), err);
}

static int make_first(struct db *db, struct error *err)
{
	for (int kind = ROW_CONTROLLER; kind < ROW_KINDS; kind++)
		if (make_table(db, &tables[kind], err) < 0)
			return -1;
	return db_exec(db,
		       "CREATE TABLE events (seq BIGINT PRIMARY KEY, time_ms BIGINT NOT NULL,"
		       " kind BIGINT NOT NULL, hash BYTEA NOT NULL, body BYTEA NOT NULL)",
		       err);
}

/* One row: the number of the last commit that the tables hold, and whether the log of commits may
 * hold more (redo.h). */
static int make_redo(struct db *db, struct error *err)
{
	return db_exec(db,
		       "CREATE TABLE redo (number BIGINT NOT NULL, in_use BIGINT NOT NULL);"
		       "INSERT INTO redo (number, in_use) VALUES (0, 0)",
		       err);
}

/* Version n is what the first n of these make. Append only. What is in the log of commits is
 * written by the same version: the new one refuses it (redo.h). */
static const struct migration migrations[] = {
	{ make_first },
	{ make_redo },
};

enum { FIRST_WITH_REDO = 2 };

int schema_version(void)
{
	return ARRAY_SIZE(migrations);
}

int schema_redo(struct db *db, uint64_t *ret_number, bool *ret_in_use, struct error *err)
{
	struct db_statement *st;
	int version, r;

	*ret_number = 0;
	*ret_in_use = false;
	if (db_version(db, &version, err) < 0)
		return -1;
	if (version < FIRST_WITH_REDO)
		return 0;
	st = db_prepare(db, "SELECT number, in_use FROM redo", err);
	r = st ? db_step(st, err) : -1;
	if (r > 0) {
		*ret_number = (uint64_t)db_int(st, 0);
		*ret_in_use = db_int(st, 1) != 0;
	}
	db_finish(st);
	return r < 0 ? -1 : 0;
}

static int sync_file(const char *path, struct error *err)
{
	cleanup(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return error_errno(err, "syncing '%s'", path);
	return 0;
}

static int keep_copy(struct db *db, const char *path, int version, struct error *err)
{
	cleanup(freep) char *to = xprintf("%s.v%d", path, version);
	cleanup(freep) char *half = xprintf("%s.half", to);

	unlink(half);
	if (db_copy(db, half, err) < 0 || sync_file(half, err) < 0)
		return -1;
	return file_rename(half, to, err);
}

static int climb(struct db *db, const struct migration *steps, int from, int to, struct error *err)
{
	if (db_begin(db, err) < 0)
		return -1;
	for (int version = from; version < to; version++)
		if (steps[version].up(db, err) < 0) {
			error_wrap(err, "migrating from version %d", version);
			db_rollback(db);
			return -1;
		}
	if (FAULT_POINT("schema.before-commit")) {
		db_rollback(db);
		return error_set(err, ERR_INTERNAL, "injected before the migration's commit");
	}
	if (db_set_version(db, to, err) < 0) {
		db_rollback(db);
		return -1;
	}
	return db_commit(db, err);
}

int schema_migrate(struct db *db, const char *path, const struct migration *steps, int count,
		   struct error *err)
{
	int version;

	if (db_version(db, &version, err) < 0)
		return -1;
	if (version == count)
		return 0;
	if (version > count)
		return error_id(err, "E0604",
				"'%s' has schema version %d; this program knows %d at most", path,
				version, count);
	if (version > 0 && keep_copy(db, path, version, err) < 0)
		return -1;
	return climb(db, steps, version, count, err);
}

int schema_open(struct db *db, const char *path, struct error *err)
{
	return schema_migrate(db, path, migrations, ARRAY_SIZE(migrations), err);
}
