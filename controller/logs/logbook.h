/*
 * logbook.h - the log of every attempt and service: append-only files
 *
 * One file per (attempt, stream), under DIR/<run id>/<fence>.<stream>.log, or
 * DIR/env/<environment>/<agent id>.log for a service; a sparse line index beside it. Writers
 * append at the offset they believe in: an overlap is dropped and a gap refused, so an agent that
 * repeats itself after a crash does no harm. What is durable is what was synced: one sync serves
 * every writer who waits. The durable end of an open log is found again at start from the file
 * itself (frames carry a crc32c; see the .c for the layout). Readers hold an offset, not memory; they are woken from
 * memory when a log grows or closes. All functions are thread-safe.
 */
#ifndef LOGS_LOGBOOK_H
#define LOGS_LOGBOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

struct logbook;

/* Of an attempt: run, fence, stream. Of a service: run is "", environment and agent are set. */
struct log_key {
	const char *run;
	uint64_t fence;
	uint32_t stream;
	const char *environment, *agent;
};

struct logbook *logbook_open(const char *dir, struct error *err);
void logbook_close(struct logbook *b);

/*
 * Appends data that begins at `offset`. *ret_end is the end as written (not yet durable). A gap:
 * ERR_CONFLICT and *ret_end is the durable end. Above `limit` bytes (1 GiB): ERR_EXHAUSTED.
 */
int logbook_append(struct logbook *b, const struct log_key *key, uint64_t offset, const void *data,
		   size_t len, uint64_t *ret_end, struct error *err);
/* Waits until everything written to this log before the call is durable; calls from many threads share syncs. */
int logbook_sync(struct logbook *b, const struct log_key *key, uint64_t *ret_durable,
		 struct error *err);
/* The durable end, from memory where the log is open; 0 when there is no such log. Never waits for a disk sync. */
uint64_t logbook_end(struct logbook *b, const struct log_key *key);
/* The attempt is over: no more will come once its durable end reaches `end`; readers finish there. */
void logbook_finish(struct logbook *b, const struct log_key *key, uint64_t end);

/* A reader's wait. woken by growth, the end, or log_reader_wake() (any thread, sticky). */
struct log_reader;
struct log_reader *log_reader_open(struct logbook *b, const struct log_key *key, struct error *err);
void log_reader_close(struct log_reader *r);
/* Bytes at offset into data: > 0; 0 with *ret_ended true when the log has ended there, false when there is
 * nothing yet. Only durable bytes unless `live`. */
int64_t log_reader_read(struct log_reader *r, uint64_t offset, void *data, size_t len, bool *ret_ended,
			struct error *err);
void log_reader_wait(struct log_reader *r, uint64_t offset, int timeout_ms);
void log_reader_wake(struct log_reader *r);
/* Offset of the first byte of the last n lines. */
int log_reader_tail(struct log_reader *r, uint32_t lines, uint64_t *ret_offset, struct error *err);
/* Lines before `offset`, from the sparse index. */
int log_reader_line(struct log_reader *r, uint64_t offset, uint64_t *ret_line, struct error *err);

/* Removes logs of runs older than this; live ones are kept. */
int logbook_expire(struct logbook *b, int64_t before_wall_ms, uint64_t *ret_removed,
		   struct error *err);

#endif
