/*
 * ship.h - gets output to the controller: every byte once, in order, until it is durable there
 *
 * One Logs.Append stream carries the logs of all attempts and services; it is open while something
 * is unacknowledged. A log is read from its spool at an offset, so shipping needs no memory of what
 * was said; at most SHIP_WINDOW bytes of one log are ahead of its acknowledgement. When the stream
 * breaks it is opened again and each log goes on from what was acknowledged.
 *
 * All functions are thread-safe. Callbacks come on ship's threads, without a lock held; they must
 * not wait and must not call ship_log_close().
 */
#ifndef AGENT_SHIP_H
#define AGENT_SHIP_H

#include <stdbool.h>
#include <stdint.h>
#include "agent/spool.h"
#include "base/error.h"
#include "rpc/rpc.h"

enum { SHIP_FRAME = 256 << 10, SHIP_WINDOW = 8 << 20 };

struct ship;
struct ship_log;

/* The channel must outlive it. spool_dir as supervise_spool_dir(). */
struct ship *ship_start(struct rpc_channel *channel, const char *spool_dir);
void ship_stop(struct ship *s); /* what is not acknowledged stays in the spools */

struct ship_events {
	/* All of stream 0 that was announced is sent: watch for more beyond `length`. */
	void (*drained)(void *arg, uint64_t length);
	/* After ship_log_end(): all is durable, or (refused) the controller wants none of it or the
	 * spool does not give it. */
	void (*shipped)(void *arg, bool refused);
	void *arg;
};

/* Of an attempt (fence > 0, name is the fence in decimal) or a service (environment, its spool's
 * name). from: where stream 0 goes on. resumed: somebody before us may have shipped some of it;
 * then the controller is asked first, by a frame without bytes, how much it has. */
struct ship_what {
	uint64_t fence;
	const char *environment;
	const char *name;
	uint64_t from;
	bool resumed;
};

struct ship_log *ship_log_open(struct ship *s, const struct ship_what *what,
			       const struct ship_events *events);
/* Stream 0 has at least `length` bytes. */
void ship_log_grown(struct ship_log *log, uint64_t length);
/* Streams 1 and 2 have at least so many bytes; [0] does not matter. */
void ship_log_added(struct ship_log *log, const uint64_t length[SPOOL_STREAMS]);
/* No more will come than this; shipped() follows once. */
void ship_log_end(struct ship_log *log, const uint64_t end[SPOOL_STREAMS]);
/* The controller has only this: send again from there. shipped() follows again. */
void ship_log_rewind(struct ship_log *log, const uint64_t durable[SPOOL_STREAMS]);
/* Waits for a callback in progress; none comes after. */
void ship_log_close(struct ship_log *log);

#endif
