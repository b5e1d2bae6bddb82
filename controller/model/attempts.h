/*
 * attempts.h - controller and agent: leases, fences, offers and what the session says
 *
 * Exactly PROTOCOL.md's table. Countdowns live on the boot clock and begin at their full T_c after
 * a restart; a fence is given out once; what is stale is refused or answered by Stop.
 *
 * The API tells the engine each message of a session as one agent_message(), in order. Answers are
 * EFFECT_POST, a refused session is EFFECT_CLOSE: effects come also of decisions that touch no row
 * (a Renew costs no commit).
 */
#ifndef MODEL_ATTEMPTS_H
#define MODEL_ATTEMPTS_H

#include "controller/model/world.h"

enum {
	LOG_STREAMS = 3,
	LEASE_TICK_MS = 100,	      /* how late a timer may be */
	OFFER_TIMEOUT_MS = 30 * 1000, /* an unanswered Offer is withdrawn */
	SUSPECT_MS = 30 * 1000,
	LOST_LOG_MS = 7 * 24 * 3600 * 1000, /* how long the log of a LOST attempt is accepted */
	LEASE_DEFAULT_MS = 15 * 60 * 1000,
};

/* Of T_a, all in ms: K, D, the renewal's interval and T_c = T_a + K + D + one tick. */
int64_t lease_kill_budget(int64_t lease_ms);
int64_t lease_drift(int64_t lease_ms);
int64_t lease_renewal(int64_t lease_ms);
int64_t lease_countdown(int64_t lease_ms);

/* One message of one session. */
struct agent_message {
	const char *agent; /* the id that TLS proved */
	uint64_t session;  /* the handle that effects name; not 0; never reused */
	const Sluice__V1__AgentMessage *message;
	/* With Finish: the durable end of each stream (logbook_end), in the order of
	 * finish->attempts; NULL otherwise. */
	const uint64_t (*log_durable)[LOG_STREAMS];
};
/* Never -1 for what an agent said wrong: that closes its session (or is answered by Stop).
 * -1 only when history could not be read. reply: unused. */
decide_fn agent_message;

/* The stream ended, for whatever reason. One that is no longer the agent's session changes nothing.
 */
struct session_closed {
	const char *agent;
	uint64_t session;
	const char *reason;
};
decide_fn agent_session_closed;

/* ---- for the rest of the model ---- */

/* Makes the attempt of a job on this agent, OFFERED, with its GPUs and the next fence. The message
 * of the Offer is sent by place.c, many at once. */
struct attempt *attempt_offer(struct world *w, struct job *job, struct agent *agent, uint64_t gpus);
/* What the agent needs to run it. */
Sluice__V1__Assignment *attempt_assignment(struct world *w, const struct attempt *a);
/* The agent took it: OFFERED -> RUNNING, or RUNNING already; either way the countdown is full. */
void attempt_accepted(struct world *w, struct attempt *a);
void attempt_renewed(struct world *w, struct attempt *a);
/* Its result is complete (logs, artifacts; the job's row has outputs and metrics). */
void attempt_finished(struct world *w, struct attempt *a, const Sluice__V1__Exit *exit);
/* RUNNING -> CANCELLING and a Stop; an Offer is withdrawn. */
void attempt_stop(struct world *w, struct attempt *a, Sluice__V1__ExitReason as,
		  const char *reason);
void attempt_post_stop(struct world *w, struct agent *agent, uint64_t fence,
		       Sluice__V1__ExitReason as, const char *reason, int64_t grace_ms);
/* Certainly dead, or its countdown ended. reason: EXIT_AGENT_LOST or EXIT_HOST_LOST. A CANCELLING
 * one is CANCELLED by it. */
void attempt_lost(struct world *w, struct attempt *a, Sluice__V1__ExitReason reason,
		  const char *text);
void attempt_withdraw(struct world *w, struct attempt *a, const char *reason);
/* After load: timers at their full length. */
void attempt_resume(struct world *w, struct attempt *a);
/* The fences of an agent's open attempts, oldest first, on the heap. What ends one attempt may end
 * others (a run, a promotion), so whoever ends several goes by this and looks each up again. */
size_t attempts_of(const struct agent *agent, uint64_t **ret);
bool attempt_is_open(const struct attempt *a);
const char *attempt_state_name(Sluice__V1__AttemptState state);

#endif
