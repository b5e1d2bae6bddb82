/*
 * metrics.h - what a running job measured last
 *
 * A job's metrics come as lines of its log, stream 2, while it runs (PROTOCOL.md): one JSON object
 * a line. Here the newest number of each name is kept for those that somebody looks at, so that a
 * look costs only what was written since the one before. Nothing of it is stored, and no gate asks
 * it: what counts is what the attempt's Finish says.
 *
 * Limits: 1,000 names an attempt (further ones are not shown), lines of 64 KiB (longer ones are
 * passed over), 256 attempts (those looked at longest ago are read anew). Who looks for the first
 * time sees the last 256 KiB.
 *
 * All functions are thread-safe.
 */
#ifndef API_METRICS_H
#define API_METRICS_H

#include "base/arena.h"
#include "controller/logs/logbook.h"
#include "sluice/v1/runs.pb-c.h"

struct metrics;

struct metrics *metrics_new(struct logbook *b); /* the logbook outlives it */
void metrics_free(struct metrics *m);		/* NULL is harmless */
/* Into each active job of `detail` that was told where to find metrics: the newest of its current
 * attempt, in the arena. What cannot be read is left out. */
void metrics_show(struct metrics *m, Sluice__V1__RunDetail *detail, struct arena *a);

#endif
