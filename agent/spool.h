/*
 * spool.h - the output of a run on this host's disk, as the agent reads it
 *
 * An attempt's stream 0 (stdout and stderr, in order) is the file `spool/NAME`:
 * the raw bytes, nothing else, written by its shim alone. When it has ended the
 * exit record follows them and the file is renamed to `spool/NAME.done`.
 * A service's stream 0 goes to segments `spool/NAME.seg-I` of a fixed size: offsets
 * grow for ever, segment I holds those from I * size, the newest two are kept; its
 * record is the file `spool/NAME.done`.
 * Streams 1 (the agent's words) and 2 (metrics) are small files `NAME.words` and
 * `NAME.metrics` that only the agent appends to.
 *
 * Reading is by offset and never goes past what the shim has announced, because behind it
 * the record may stand. One thread at a time per struct spool; nothing is cached.
 */
#ifndef AGENT_SPOOL_H
#define AGENT_SPOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "agent/shim/wire.h"
#include "base/error.h"
#include "base/mem.h"

enum { SPOOL_STREAMS = 3, SPOOL_SEGMENT_BYTES = 4 << 20 };
enum spool_stream { SPOOL_OUTPUT, SPOOL_WORDS, SPOOL_METRICS };

struct spool;

/* dir: the spool directory. ERR_NOT_FOUND: there is nothing of that name. */
struct spool *spool_open(const char *dir, const char *name, struct error *err);
void spool_close(struct spool *s);
DEFINE_CLEANUP(struct spool *, spool_close)

/* Stream 0 now ends at `length`: from a grown or exited event. Never moves back. */
void spool_set_length(struct spool *s, uint64_t length);
uint64_t spool_length(struct spool *s, enum spool_stream stream);
/* The oldest byte of stream 0 that is still there: above 0 only for services. */
uint64_t spool_begin(struct spool *s);
/* Up to len bytes from offset; 0 at the announced end. ERR_NOT_FOUND: rotated away, go on at
 * spool_begin(). */
ssize_t spool_read(struct spool *s, enum spool_stream stream, uint64_t offset, void *buf,
		   size_t len, struct error *err);
/* Streams 1 and 2. ERR_EXHAUSTED when the disk is full; nothing is half written. */
int spool_append(struct spool *s, enum spool_stream stream, const void *data, size_t len,
		 struct error *err);

/* Where a service's output ends. ERR_NOT_FOUND: it has none. */
int spool_service_end(const char *dir, const char *name, uint64_t *ret, struct error *err);
/* The record, if the run has ended: 1, else 0. Damage is ERR_CORRUPT. A shim killed between
 * record and rename left a whole record: the rename is made up for. Call that only when no
 * shim lives for it. */
int spool_record(const char *dir, const char *name, struct shim_record *ret, struct error *err);
/* Deletes all files of that name, after the controller acknowledged them. Absent is well. */
int spool_release(const char *dir, const char *name, struct error *err);
/* One durable point for many: fdatasync of each (streams included), then the directory. */
int spool_sync(struct spool *const *spools, size_t n, const char *dir, struct error *err);
/* "exit code 3", "timeout after SIGTERM", "starting failed: entering the directory: ..." */
void spool_record_text(const struct shim_record *r, char *ret, size_t size);

#endif
