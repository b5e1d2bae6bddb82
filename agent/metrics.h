/*
 * metrics.h - what a job's metrics file says
 *
 * Pure: the bytes of the file go in, in order and in pieces of any size; out come the values, the
 * lines that are shipped as stream 2 of the log, and notes for the agent's own words. The file is a
 * sequence of JSON objects, one a line or one over several; members that are numbers are metrics.
 *
 * Everything in it is foreign. NaN, Infinity and -Infinity, which JSON does not have but Python
 * writes, are no damage: the metric has no value from there on, until a later object gives one
 * (a gate on it has no data), a note says so once for each name, and the line has `null` there.
 */
#ifndef AGENT_METRICS_H
#define AGENT_METRICS_H

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "sluice/v1/agents.pb-c.h"

enum {
	METRICS_MAX = 1000,	      /* names of one attempt */
	METRICS_OBJECT_MAX = 1 << 20, /* bytes, as it is in the file */
	METRICS_LINE_MAX = 64 << 10,  /* bytes of a line that is shipped, its newline included */
	METRICS_NOTES_MAX = 20,
};

struct metrics;

struct metrics *metrics_new(const char *path); /* path: what notes and errors call it */
void metrics_free(struct metrics *m);
DEFINE_CLEANUP(struct metrics *, metrics_free)
/* The file was written anew: its first bytes come next. Values are forgotten. */
void metrics_again(struct metrics *m);

/* For each object that is whole now a compact line is added to *lines; sentences, each with a
 * newline, to *notes. ERR_INVALID names the line that is no JSON object, ERR_EXHAUSTED a limit:
 * then nothing more is taken, and every later call says the same. */
int metrics_feed(struct metrics *m, const void *data, size_t len, struct buf *lines,
		 struct buf *notes, struct error *err);
/* Nothing follows. ERR_INVALID: the last object is not whole. */
int metrics_end(struct metrics *m, struct error *err);
/* The newest value of each name, in the order of their first mention. */
void metrics_values(const struct metrics *m, Sluice__V1__FinishedAttempt *ret);

#endif
