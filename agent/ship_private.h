/*
 * ship_private.h - what the two halves of the shipper share
 *
 * ship.c is the owners' side: logs that open, grow, end and close. ship_stream.c is the wire's: a
 * thread that sends, one that hears the acknowledgements. What ends in _locked is called with the
 * ship's lock held.
 */
#ifndef AGENT_SHIP_PRIVATE_H
#define AGENT_SHIP_PRIVATE_H

#include <pthread.h>
#include "agent/ship.h"
#include "base/list.h"
#include "base/thread.h"

/* Does `acked` say what the controller has? */
enum known { KNOWN, UNKNOWN, ASKED };

struct ship_log {
	struct ship *ship;
	struct list link;
	struct ship_events events;
	struct spool *spool; /* the sender's */
	char *name, *environment;
	uint64_t fence;
	uint64_t have[SPOOL_STREAMS], sent[SPOOL_STREAMS], acked[SPOOL_STREAMS];
	uint64_t end[SPOOL_STREAMS];
	enum known known[SPOOL_STREAMS];
	bool ending, told, watching;
	bool refused;		/* the controller wants none of it */
	bool unreadable;	/* the spool does not give what was announced */
	int64_t rests_until_ms; /* boot clock; 0: it does not. Then more is looked for */
	int busy;
};

struct ship {
	struct lock lock; /* guards all below */
	struct signal work, idle;
	struct list logs;
	struct rpc_channel *channel;
	char *spool_dir;
	pthread_t sender, receiver;
	struct rpc_call *call;	    /* the open stream; only the sender changes it */
	struct rpc_call *receiving; /* the same, the receiver's; set before it starts */
	bool broken, stopping;
};

/* Nobody outside the lock uses it any more. */
void ship_busy_done_locked(struct ship_log *log);
/* Tells the owner, once, that all is durable or refused. The lock is away meanwhile. */
void ship_tell_shipped_locked(struct ship_log *log);
void *ship_send_all(void *ship); /* the sender's main */

#endif
