/*
 * logbook.h - the log of every attempt and service: append-only files
 *
 * One file of plain bytes per (attempt, stream), DIR/<run id>/<fence>.<stream>.log; beside a large
 * one a sparse line index. A service never ends, and so its log is cut into segments, a file each,
 * DIR/env/<environment>/<agent id>[@<offset of its first byte>].log. When a new one begins, the
 * oldest are removed beyond what is kept of a service; its offsets only grow, and who reads
 * where nothing is kept any more goes on at the oldest byte that is.
 *
 * Writers append at the offset they believe in: an overlap is dropped and a gap refused, so an
 * agent that repeats itself after a crash does no harm. What is durable is what was synced: one
 * sync serves every writer who waits. Readers hold an offset, not memory; they are woken from
 * memory when a log grows or ends. All functions are thread-safe; a reader is used by one thread,
 * but for its wake.
 *
 * Durable by a journal: small pieces of many logs are synced by one write into one file (journal.0
 * or journal.1), large ones in their own file first. A log that is over and in its place is made
 * read-only (mode 0400): all of it is durable. Of any other log, the journal knows the durable end;
 * what is beyond it after a crash was never acknowledged and is cut.
 */
#ifndef LOGS_LOGBOOK_H
#define LOGS_LOGBOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

#define LOG_LIMIT      ((uint64_t)1 << 30)  /* bytes of one log */
#define LOG_SIDE_LIMIT ((uint64_t)32 << 20) /* of an attempt's streams 1 and 2: words, metrics */

struct logbook;

/* Of an attempt: run, fence, stream. Of a service: run is "", environment and agent are set. */
struct log_key {
	const char *run;
	uint64_t fence;
	uint32_t stream;
	const char *environment, *agent;
};

/* Recovers what a crash left. E0602 when acknowledged bytes are missing. */
struct logbook *logbook_open(const char *dir, struct error *err);
void logbook_close(struct logbook *b); /* all readers were closed. NULL is harmless */
DEFINE_CLEANUP(struct logbook *, logbook_close)

/*
 * Appends data that begins at `offset`. *ret_end is the end as written (not yet durable). A gap:
 * ERR_CONFLICT and *ret_end is the durable end. Above the limit: ERR_EXHAUSTED (E0503), and
 * nothing of it is taken. A disk that is full: ERR_EXHAUSTED, too (E0601).
 */
int logbook_append(struct logbook *b, const struct log_key *key, uint64_t offset, const void *data,
		   size_t len, uint64_t *ret_end, struct error *err);
/* Nothing before `offset` will come to this service's log: it goes on there. What is there already
 * stays; without a gap, nothing changes. */
int logbook_skip(struct logbook *b, const struct log_key *key, uint64_t offset, struct error *err);
/* What is kept of the log of each service, in bytes: 1 GiB, unless told otherwise. Before the first
 * append. */
void logbook_keep(struct logbook *b, uint64_t service_bytes);
/* Waits until everything written to this log before the call is durable; calls from many threads
 * share syncs, the first of them goes at once. After a disk that failed to sync, every call fails:
 * only opening the logbook again tells what is there. */
int logbook_sync(struct logbook *b, const struct log_key *key, uint64_t *ret_durable,
		 struct error *err);
/* The durable end, from memory where the log is open; 0 when there is no such log. Never waits for
 * a disk sync. */
uint64_t logbook_end(struct logbook *b, const struct log_key *key);
/* An attempt is over: no more will come once its durable end reaches `end`; readers finish there,
 * or behind what was written beyond it (0 for one that was lost: nobody knows its end). What is
 * appended later opens the log again. Remembered only for a log that is in memory: whoever reads
 * one opens the reader first, then says so. */
void logbook_finish(struct logbook *b, const struct log_key *key, uint64_t end);
/* It is in memory, and nobody said that it is over. */
bool logbook_is_open(struct logbook *b, const struct log_key *key);

/* Woken by growth, the end, or log_reader_wake() (any thread, sticky). The log need not be there
 * yet. */
struct log_reader;
struct log_reader *log_reader_open(struct logbook *b, const struct log_key *key, struct error *err);
void log_reader_close(struct log_reader *r); /* NULL is harmless */
/* From now on bytes are read and waited for as soon as they are written, before they are durable.
 */
void log_reader_live(struct log_reader *r);
DEFINE_CLEANUP(struct log_reader *, log_reader_close)
/* Moves *offset to the first byte at or behind it that is kept, or that will come. Of an attempt's
 * log all is kept. A service's is read only where this led: it is asked before each read. */
int log_reader_seek(struct log_reader *r, uint64_t *offset, struct error *err);
/* Bytes at offset into data: > 0; 0 with *ret_ended true when the log has ended there, false when
 * there is nothing yet. Only durable bytes unless live. ERR_NOT_FOUND: this part of a service's log
 * was removed just now; seek again. */
int64_t log_reader_read(struct log_reader *r, uint64_t offset, void *data, size_t len,
			bool *ret_ended, struct error *err);
/* Until there are bytes at offset, the log has ended, it is woken, or timeout_ms passed (-1:
 * never). */
void log_reader_wait(struct log_reader *r, uint64_t offset, int timeout_ms);
void log_reader_wake(struct log_reader *r);
/* Offset of the first byte of the last n lines; a last line without an end counts. */
int log_reader_tail(struct log_reader *r, uint32_t lines, uint64_t *ret_offset, struct error *err);
/* Lines before `offset`, from the sparse index. Of an attempt's log only. */
int log_reader_line(struct log_reader *r, uint64_t offset, uint64_t *ret_line, struct error *err);

/* Removes the logs of runs that last began a log before this, and of services the segments that
 * were last written before; those that are open or being read are kept. Counts runs and segments.
 */
int logbook_expire(struct logbook *b, int64_t before_wall_ms, uint64_t *ret_removed,
		   struct error *err);

#endif
