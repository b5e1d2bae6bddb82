/*
 * live.h - what the agent adds to an attempt's log: its own words, and the job's metrics
 *
 * Streams 1 and 2, beside the output. While the job runs its metrics file is followed (tail.h) and
 * what is new in it is shipped; what the file says wrongly becomes words. At the end the rest of it
 * is taken, and the newest values go into Finish.
 *
 * Nothing is remembered but the streams: an agent that starts anew reads the file from the
 * beginning and leaves out what they have already. One thread, the runner's.
 */
#ifndef AGENT_LIVE_H
#define AGENT_LIVE_H

#include "agent/ship.h"
#include "agent/workspace.h"
#include "base/error.h"
#include "base/mem.h"
#include "sluice/v1/agents.pb-c.h"

enum {
	LIVE_EVERY_MS = 100,	    /* the file is looked at so often at most */
	LIVE_LOOK_BYTES = 1 << 20,  /* and so much of it is read */
	LIVE_STREAM_MAX = 16 << 20, /* bytes of stream 2; then only values are taken */
	LIVE_FILE_MAX = 1 << 30,    /* bytes that are read at the end */
};

struct live;

struct live_what {
	uint64_t fence;
	const char *spool_dir;
	const struct workspace *workspace;
	const char *metrics; /* path beneath its `dir`; "": none */
};

struct live *live_new(const struct live_what *what);
void live_free(struct live *l);
DEFINE_CLEANUP(struct live *, live_free)

/* For poll: -1 when there is nothing to wait for. Then, if it was readable or *ret_wait_ms (-1: no
 * matter) has passed, live_look(). */
int live_fd(const struct live *l, int *ret_wait_ms);
/* Takes what is new. True: the streams have grown, see live_ends(). */
bool live_look(struct live *l);
/* A sentence of the agent's own, without newline. */
void live_say(struct live *l, const char *sentence);
/* The job has ended: takes the rest and fills in the values. Errors are the job's, see metrics.h.
 */
int live_finish(struct live *l, Sluice__V1__FinishedAttempt *ret, struct error *err);
/* How long streams 1 and 2 are; that of 0 is left alone. */
void live_ends(struct live *l, uint64_t ret[SPOOL_STREAMS]);

#endif
