/*
 * follow.h - logs, one after another or many at once
 *
 * A log is bytes at offsets: after a lost connection it goes on where it was, so nothing is missing
 * and nothing comes twice. Several followed logs are put together line by line, each line with its
 * log's prefix. A thread per followed log, at most FOLLOW_MOST; the rest wait for their turn.
 */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include <stdbool.h>
#include "cli/cli.h"
#include "sluice/v1/logs.pb-c.h"

enum { FOLLOW_MOST = 32 };

/* Streams of an attempt (logs.proto). */
enum log_stream { LOG_OUTPUT, LOG_AGENT, LOG_METRICS };

struct follow;

struct follow_log {
	const char *run, *job;		 /* of an attempt; or */
	const char *environment, *agent; /* of a service; "" or NULL where not */
	const char *host;		 /* the agent's name, for --json */
	uint32_t attempt, stream, tail;
	bool live;	    /* to its end, not only to what there is */
	const char *prefix; /* before each line; NULL or "": bytes as they come */
};

struct follow *follow_new(struct rpc_channel *channel, bool json);
void follow_free(struct follow *f); /* stops and joins what is left */
/* Reads it on this thread. Ctrl-C ends it: then 0, and interrupted(). */
int follow_read(struct follow *f, const struct follow_log *log, struct error *err);
/* Starts a thread for it, or queues it. Strings are copied. */
void follow_add(struct follow *f, const struct follow_log *log);
/* Starts what is queued as far as there is room; true while something is left to do. */
bool follow_look(struct follow *f);
/* Until all have ended, or Ctrl-C. -1: the first that failed. */
int follow_wait(struct follow *f, struct error *err);

#endif
