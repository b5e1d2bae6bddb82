/*
 * journal.h - batches of records in one file that is written over and over
 *
 * A batch is written and synced at once, and is there whole or not at all (crc32c). The file is
 * kept and overwritten from its start when it is full, so that a sync moves no metadata; the epoch
 * in each batch tells new ones from what is left of older ones behind them. Numbers are in the byte
 * order of the host: a journal does not travel.
 */
#ifndef LOGS_JOURNAL_H
#define LOGS_JOURNAL_H

#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/error.h"

enum journal_type {
	JOURNAL_DATA = 1,   /* bytes of a log that begin at `at` */
	JOURNAL_MARK = 2,   /* the log is durable in its own file up to `at` */
	JOURNAL_FINISH = 3, /* the log is over at `at` */
};

struct journal_record {
	enum journal_type type;
	const char *name; /* of the log; < 512 bytes */
	uint64_t at;
	int64_t time_ms; /* wall: when the log was last written to */
	const void *data;
	size_t len;
};

struct journal_file {
	char *path;
	int fd;
	uint64_t epoch; /* of the batches in it; 0: none */
	uint64_t size;
	uint64_t at; /* where the next batch goes */
};

void journal_add(struct buf *batch, const struct journal_record *record);

int journal_open(struct journal_file *j, const char *path, struct error *err);
void journal_release(struct journal_file *j);
/* Every record of every whole batch, in order. Names end in NUL. Sets epoch. */
int journal_replay(struct journal_file *j,
		   int (*apply)(void *arg, const struct journal_record *record, struct error *err),
		   void *arg, struct error *err);
/* The next batch will be the first, under this epoch. */
void journal_restart(struct journal_file *j, uint64_t epoch);
/* Written and durable. On -1 with ERR_EXHAUSTED nothing of it counts; on any other nobody knows. */
int journal_write(struct journal_file *j, const struct buf *batch, struct error *err);
/* Durably empty. */
int journal_clear(struct journal_file *j, struct error *err);

#endif
