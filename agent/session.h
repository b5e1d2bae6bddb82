/*
 * session.h - the one control conversation with the controller
 *
 * Connects, registers, hears; connects again when it breaks, with jitter, for ever; while it cannot
 * it says so in the log (away.h). Messages are
 * numbered; the send time of each request is kept until its answer, since a lease counts from when
 * the request was sent, never from when the answer came (PROTOCOL.md, RenewAck).
 */
#ifndef AGENT_SESSION_H
#define AGENT_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "rpc/rpc.h"
#include "sluice/v1/agents.pb-c.h"

enum { SESSION_BATCH = 64 }; /* messages */

struct session;

/* Both come on the session's thread and must not wait: renewals depend on it. */
struct session_events {
	/* What this host holds, into a heap message that the session sends. */
	void (*describe)(void *arg, Sluice__V1__Register *ret);
	/* sent_boot_ms: when the request that this answers was sent; -1: it answers none that is
	 * open. */
	void (*received)(void *arg, const Sluice__V1__ControllerMessage *m, int64_t sent_boot_ms);
	/* away_ms: how long there was no session; 0: this is the first. */
	void (*connected)(void *arg, int64_t away_ms);
	void *arg;
};

/* address: what the channel leads to, for the log. */
struct session *session_start(struct rpc_channel *channel, const char *address,
			      const struct session_events *events);
void session_stop(struct session *s);
/* Numbers the message and queues it; returns at once. ERR_UNAVAILABLE while not registered: what
 * must arrive is said again after the next Register, which any other failure brings about. */
int session_post(struct session *s, Sluice__V1__AgentMessage *m, struct error *err);
/* The same for up to SESSION_BATCH of them, which travel together. */
int session_post_all(struct session *s, Sluice__V1__AgentMessage **m, size_t n, struct error *err);
/* Says Goodbye and waits a moment for it to leave. */
void session_goodbye(struct session *s, const char *reason);

#endif
