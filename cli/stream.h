/*
 * stream.h - a server's stream that is read for as long as a person looks
 *
 * One open call, read message by message. Ctrl-C ends it. When the connection is lost it is opened
 * again, with patience: what the caller asks anew is what `ask` sends each time, so a log goes on
 * at its offset and a run is simply seen again as it is.
 */
#ifndef CLI_STREAM_H
#define CLI_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include "cli/cli.h"

enum {
	STREAM_PATIENCE_MS = 5 * 60 * 1000, /* without a connection, then it is given up */
};

struct stream {
	struct rpc_channel *channel;
	const ProtobufCServiceDescriptor *service;
	const char *method;
	const ProtobufCMessage *request; /* borrowed; may change between messages */
	bool quiet; /* says nothing of losses: a view shows them (stream_lost) */

	struct rpc_call *call; /* the rest is the stream's own */
	int64_t lost_ms;
	int wait_ms;
};

enum stream_news {
	STREAM_MESSAGE = 1,
	STREAM_END = 0, /* the server ended it well */
	STREAM_ERROR = -1,
	STREAM_TICK = 2,	/* ms have passed without a message */
	STREAM_INTERRUPTED = 3, /* Ctrl-C */
};

/* The next message, alive until the next call; ms -1: waits for ever. While the connection is lost
 * ticks come all the same. Main thread only. */
enum stream_news stream_next(struct stream *s, const void **ret, size_t size, int ms,
			     struct error *err);
void stream_close(struct stream *s); /* fits cleanup() */
/* Is the connection lost, and being made again? */
bool stream_lost(const struct stream *s);
extern const char stream_lost_text[]; /* how that is said */

#endif
