/*
 * db.h - which database: the little of SQL that differs between one and the next
 *
 * Everything above this header is SQL of the common subset of SQLite and PostgreSQL: `$1`,
 * ON CONFLICT, RETURNING, no PRAGMA, no rowid. A connection is used by one thread at a time. A
 * statement is prepared once and used again; its parameters are bound by number, and text or
 * bytes that were bound must live until it was stepped.
 *
 * Errors: E0601 (ERR_EXHAUSTED) when the disk is full, E0603 (ERR_CORRUPT) when the database is
 * damaged or is none; else ERR_INTERNAL.
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "base/mem.h"

enum { DB_PARAMETERS = 12 };

enum db_mode {
	DB_WRITER, /* makes the file (0600), and alone writes and checkpoints */
	DB_READER, /* while a writer is open */
};

struct db;
struct db_statement;

struct db *db_open(const char *path, enum db_mode mode, struct error *err);
void db_close(struct db *db); /* all its statements were finished; NULL is harmless */
DEFINE_CLEANUP(struct db *, db_close)

/* Is what is there sound? Bounded: a large file is looked through only after a crash, and never
 * beyond 256 MiB; damage elsewhere is found when the row is read. */
int db_check(struct db *db, struct error *err);
int db_version(struct db *db, int *ret, struct error *err);
int db_set_version(struct db *db, int version, struct error *err); /* part of the transaction */
/* A whole copy, as of now. The file must not exist. */
int db_copy(struct db *db, const char *to, struct error *err);

int db_exec(struct db *db, const char *sql, struct error *err);
int db_begin(struct db *db, struct error *err);
/* On -1 with ERR_EXHAUSTED the transaction is rolled back. After any other error nobody knows what
 * is on the disk: only opening it again tells. */
int db_commit(struct db *db, struct error *err);
void db_rollback(struct db *db); /* harmless without a transaction */
/* Between transactions. true (as it is opened): a commit is on the disk when it returns, with all
 * before it. false: it will be, before those after it, or with the next checkpoint. */
int db_durable(struct db *db, bool durable, struct error *err);
/* Moves what was committed from the log to its place. Never waits for readers. */
int db_checkpoint(struct db *db, struct error *err);
uint32_t db_log_pages(struct db *db); /* pages that wait for a checkpoint, as of the last commit */

struct db_statement *db_prepare(struct db *db, const char *sql, struct error *err);
void db_finish(struct db_statement *st); /* NULL is harmless */
void db_bind_text(struct db_statement *st, int n, const char *text);
void db_bind_int(struct db_statement *st, int n, int64_t value);
void db_bind_bytes(struct db_statement *st, int n, const void *data, size_t len);
/* 1: a row, 0: no more. At 0 and -1 the statement was reset. */
int db_step(struct db_statement *st, struct error *err);
void db_reset(struct db_statement *st);	     /* after the last row that is wanted */
int64_t db_changed(struct db_statement *st); /* rows changed by the last statement */
/* Of the current row, from 0; gone with the next step. */
const char *db_text(struct db_statement *st, int column); /* never NULL */
int64_t db_int(struct db_statement *st, int column);
const void *db_bytes(struct db_statement *st, int column, size_t *ret_len);

#endif
