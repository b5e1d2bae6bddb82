/*
 * SQLite: WAL, synchronous=FULL or NORMAL, one connection that writes and checkpoints.
 *
 * Checkpoints never happen inside a commit (no autocheckpoint): the writer asks for one between
 * commits, when the log has grown. Only its connection does: two that checkpoint at once can
 * damage the file (the WAL-reset bug of SQLite before 3.51.3).
 *
 * The database file must not be opened and closed by anyone else in this process: closing any
 * descriptor of it drops SQLite's POSIX locks. It is made before SQLite opens it, for its mode.
 */
#include "controller/store/db.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

enum {
	CHECK_ALWAYS = 16 << 20, /* bytes: looked through at each open */
	CHECK_AFTER_CRASH = 256 << 20,
	BUSY_MS = 5000,
};

struct db {
	sqlite3 *sqlite;
	char *path;
	bool was_clean; /* there was no log when it was opened */
	bool durable;	/* commits are synced */
	uint32_t log_pages;
};

struct db_statement {
	struct db *db;
	sqlite3_stmt *stmt;
	int parameter[DB_PARAMETERS + 1]; /* SQLite's index of $n, 0: not in the text */
};

static bool disk_full(struct db *db, int rc)
{
	int number = sqlite3_system_errno(db->sqlite);

	if ((rc & 0xff) == SQLITE_FULL)
		return true;
	/* a sync that failed is another matter: what it should have written is in doubt */
	return (rc & 0xff) == SQLITE_IOERR && rc != SQLITE_IOERR_FSYNC &&
	       rc != SQLITE_IOERR_DIR_FSYNC && (number == ENOSPC || number == EDQUOT);
}

static int fail(struct db *db, struct error *err)
{
	int rc = sqlite3_extended_errcode(db->sqlite);
	const char *text = sqlite3_errmsg(db->sqlite);

	if (disk_full(db, rc))
		return error_id(err, "E0601", "writing '%s': %s", db->path, text);
	if ((rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB)
		return error_id(err, "E0603", "'%s' is damaged: %s", db->path, text);
	if ((rc & 0xff) == SQLITE_CANTOPEN)
		return error_set(err, ERR_INTERNAL, "opening '%s': %s (%s)", db->path, text,
				 strerror(sqlite3_system_errno(db->sqlite)));
	return error_set(err, ERR_INTERNAL, "'%s': %s (SQLite %d)", db->path, text, rc);
}

/* Before the first connection; its counters cost a global lock on each allocation. */
static void configure_once(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int note_log_size(void *self, sqlite3 *sqlite, const char *name, int pages)
{
	struct db *db = self;

	db->log_pages = (uint32_t)pages;
	return SQLITE_OK;
}

static int make_file(struct db *db, struct error *err)
{
	cleanup(freep) char *log = xprintf("%s-wal", db->path);
	struct stat st;
	int fd;

	db->was_clean = stat(log, &st) < 0 || st.st_size == 0;
	if (stat(db->path, &st) == 0)
		return file_check_private(db->path, err);
	fd = open(db->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, "making '%s'", db->path);
	close(fd);
	return 0;
}

static int prepare_writer(struct db *db, struct error *err)
{
	if (db_exec(db,
		    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-8192;"
		    "PRAGMA journal_size_limit=67108864; PRAGMA wal_autocheckpoint=0;"
		    "PRAGMA cell_size_check=ON",
		    err) < 0)
		return -1;
	db->durable = true;
	sqlite3_wal_hook(db->sqlite, note_log_size, db);
	return 0;
}

static int prepare_reader(struct db *db, struct error *err)
{
	sqlite3_busy_timeout(db->sqlite, BUSY_MS);
	return db_exec(db,
		       "PRAGMA query_only=ON; PRAGMA cache_size=-1024; PRAGMA wal_autocheckpoint=0;"
		       "PRAGMA cell_size_check=ON",
		       err);
}

struct db *db_open(const char *path, enum db_mode mode, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	cleanup(db_closep) struct db *db = xcalloc(1, sizeof *db);
	int flags = mode == DB_WRITER ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;

	pthread_once(&once, configure_once);
	db->path = xstrdup(path);
	if (mode == DB_WRITER && make_file(db, err) < 0)
		return NULL;
	if (sqlite3_open_v2(path, &db->sqlite, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		if (!db->sqlite)
			error_set(err, ERR_INTERNAL, "opening '%s': no memory", path);
		else
			fail(db, err);
		return NULL;
	}
	sqlite3_extended_result_codes(db->sqlite, 1);
	if ((mode == DB_WRITER ? prepare_writer(db, err) : prepare_reader(db, err)) < 0)
		return NULL;
	return steal(db);
}

void db_close(struct db *db)
{
	int rc;

	if (!db)
		return;
	rc = sqlite3_close(db->sqlite);
	assert(rc == SQLITE_OK); /* a statement was left */
	free(db->path);
	free(db);
}

/* The first column of the first row, as a number or as text. */
static int ask_int(struct db *db, const char *sql, int64_t *ret, struct error *err)
{
	struct db_statement *st = db_prepare(db, sql, err);
	int r = st ? db_step(st, err) : -1;

	if (r > 0)
		*ret = db_int(st, 0);
	if (r == 0)
		error_set(err, ERR_INTERNAL, "'%s': no answer to %s", db->path, sql);
	db_finish(st);
	return r > 0 ? 0 : -1;
}

static int check_all(struct db *db, struct error *err)
{
	struct db_statement *st = db_prepare(db, "PRAGMA quick_check(1)", err);
	int r = st ? db_step(st, err) : -1;

	if (r > 0 && strcmp(db_text(st, 0), "ok") != 0)
		r = error_id(err, "E0603", "'%s' is damaged: %s", db->path, db_text(st, 0));
	db_finish(st);
	return r < 0 ? -1 : 0;
}

int db_check(struct db *db, struct error *err)
{
	int64_t pages, page_size;
	struct stat st;

	/* both make SQLite read and check the header, and the schema is parsed */
	if (ask_int(db, "PRAGMA page_size", &page_size, err) < 0 ||
	    ask_int(db, "PRAGMA page_count", &pages, err) < 0 ||
	    db_exec(db, "SELECT count(*) FROM sqlite_schema", err) < 0)
		return -1;
	if (stat(db->path, &st) < 0)
		return error_errno(err, "looking at '%s'", db->path);
	if (db->was_clean && st.st_size < pages * page_size)
		return error_id(err, "E0603", "'%s' is damaged: it has %lld of its %lld bytes",
				db->path, (long long)st.st_size, (long long)(pages * page_size));
	if (st.st_size <= (db->was_clean ? CHECK_ALWAYS : CHECK_AFTER_CRASH))
		return check_all(db, err);
	return 0;
}

int db_version(struct db *db, int *ret, struct error *err)
{
	int64_t version;

	if (ask_int(db, "PRAGMA user_version", &version, err) < 0)
		return -1;
	*ret = (int)version;
	return 0;
}

int db_set_version(struct db *db, int version, struct error *err)
{
	char sql[64];

	snprintf(sql, sizeof sql, "PRAGMA user_version=%d", version);
	return db_exec(db, sql, err);
}

int db_copy(struct db *db, const char *to, struct error *err)
{
	struct db_statement *st = db_prepare(db, "VACUUM INTO $1", err);
	int r;

	if (!st)
		return error_wrap(err, "copying the database to '%s'", to);
	db_bind_text(st, 1, to);
	r = db_step(st, err);
	db_finish(st);
	if (r < 0)
		return error_wrap(err, "copying the database to '%s'", to);
	if (chmod(to, 0600) < 0)
		return error_errno(err, "protecting '%s'", to);
	return 0;
}

int db_exec(struct db *db, const char *sql, struct error *err)
{
	return sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(db, err);
}

int db_begin(struct db *db, struct error *err)
{
	return db_exec(db, "BEGIN IMMEDIATE", err);
}

int db_commit(struct db *db, struct error *err)
{
	if (db_exec(db, "COMMIT", err) == 0)
		return 0;
	db_rollback(db);
	return -1;
}

void db_rollback(struct db *db)
{
	if (!sqlite3_get_autocommit(db->sqlite))
		sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL);
}

int db_durable(struct db *db, bool durable, struct error *err)
{
	if (db->durable == durable)
		return 0;
	if (db_exec(db, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", err) < 0)
		return -1;
	db->durable = durable;
	return 0;
}

int db_checkpoint(struct db *db, struct error *err)
{
	int left = 0, moved = 0;
	int rc = sqlite3_wal_checkpoint_v2(db->sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE, &left,
					   &moved);

	if (rc != SQLITE_OK && rc != SQLITE_BUSY)
		return fail(db, err);
	db->log_pages = left > moved ? (uint32_t)(left - moved) : 0;
	return 0;
}

uint32_t db_log_pages(struct db *db)
{
	return db->log_pages;
}

struct db_statement *db_prepare(struct db *db, const char *sql, struct error *err)
{
	struct db_statement *st = xcalloc(1, sizeof *st);

	st->db = db;
	if (sqlite3_prepare_v3(db->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, &st->stmt, NULL) !=
	    SQLITE_OK) {
		fail(db, err);
		free(st);
		return NULL;
	}
	/* $2 before $1 in the text would be parameters 1 and 2 to SQLite */
	for (int n = 1; n <= DB_PARAMETERS; n++) {
		char name[16];

		snprintf(name, sizeof name, "$%d", n);
		st->parameter[n] = sqlite3_bind_parameter_index(st->stmt, name);
	}
	return st;
}

void db_finish(struct db_statement *st)
{
	if (!st)
		return;
	sqlite3_finalize(st->stmt);
	free(st);
}

static int parameter(struct db_statement *st, int n)
{
	assert(n >= 1 && n <= DB_PARAMETERS && st->parameter[n]);
	return st->parameter[n];
}

static void must_bind(int rc)
{
	assert(rc == SQLITE_OK); /* lengths are bounded by rows.c, and memory is always there */
}

void db_bind_text(struct db_statement *st, int n, const char *text)
{
	must_bind(sqlite3_bind_text(st->stmt, parameter(st, n), text, -1, SQLITE_STATIC));
}

void db_bind_int(struct db_statement *st, int n, int64_t value)
{
	must_bind(sqlite3_bind_int64(st->stmt, parameter(st, n), value));
}

void db_bind_bytes(struct db_statement *st, int n, const void *data, size_t len)
{
	const void *bytes = len ? data : ""; /* NULL would be SQL's NULL */

	must_bind(sqlite3_bind_blob64(st->stmt, parameter(st, n), bytes, len, SQLITE_STATIC));
}

int db_step(struct db_statement *st, struct error *err)
{
	int rc = sqlite3_step(st->stmt);

	if (rc == SQLITE_ROW)
		return 1;
	if (rc != SQLITE_DONE)
		fail(st->db, err);
	sqlite3_reset(st->stmt);
	return rc == SQLITE_DONE ? 0 : -1;
}

void db_reset(struct db_statement *st)
{
	sqlite3_reset(st->stmt);
}

int64_t db_changed(struct db_statement *st)
{
	return sqlite3_changes64(st->db->sqlite);
}

const char *db_text(struct db_statement *st, int column)
{
	const char *text = (const char *)sqlite3_column_text(st->stmt, column);

	return text ? text : "";
}

int64_t db_int(struct db_statement *st, int column)
{
	return sqlite3_column_int64(st->stmt, column);
}

const void *db_bytes(struct db_statement *st, int column, size_t *ret_len)
{
	const void *bytes = sqlite3_column_blob(st->stmt, column);

	*ret_len = (size_t)sqlite3_column_bytes(st->stmt, column);
	return bytes ? bytes : "";
}
