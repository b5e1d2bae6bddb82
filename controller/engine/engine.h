/*
 * engine.h - the one thread that decides
 *
 * A handler never changes state: it hands the engine a decision with its request. The engine
 * takes every decision that waits, opens one transaction, runs them in order, then what is due and
 * what can be placed, writes each touched row and the events, commits once, and only then answers
 * the askers, performs the effects and wakes the watchers. Nothing is said that is not durable.
 *
 * A failed commit ends the process (the state on disk is right, the state in memory is not), but a
 * full disk does not: the asks get ERR_EXHAUSTED (E0601), all sessions are closed, and the world is
 * loaded again. Below the reserve (256 MiB free) only decisions marked as needed to finish run.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"
#include "controller/model/world.h"
#include "controller/store/store.h"

struct engine;

/* Called on the engine's thread after the commit, in order. They must not wait. */
struct engine_effects {
	void (*perform)(void *arg, struct effect *effect); /* may steal its message, no more */
	void *arg;
	void (*performed)(void *arg); /* after the last of a turn; may be NULL */
};

struct engine_config {
	struct store *store; /* its writer is the engine's from now on */
	struct engine_effects effects;
	const char *cluster;	/* of the first start */
	uint64_t reserve_bytes; /* 0: 256 MiB */
	/* Says why, on the engine's thread, when the state on disk and in memory may differ; the
	 * process exits with 70 (EX_SOFTWARE) after it. NULL: the reason goes to the log. */
	void (*fatal)(void *arg, const struct error *err);
	void *fatal_arg;
};

/* Loads the world and runs world_start; the thread is not running yet. */
struct engine *engine_new(const struct engine_config *config, struct error *err);
void engine_start(struct engine *e);
/* Decides what waits, then joins; later asks get ERR_UNAVAILABLE, later tells are done() at once on
 * the caller's thread, and waits on the feed return. Not from the engine's thread. */
void engine_stop(struct engine *e);
void engine_free(struct engine *e); /* stops it first; all waiters were freed. NULL is harmless */
DEFINE_CLEANUP(struct engine *, engine_free)

/* Back when durable. A decision that touches nothing costs no commit.
 * From any thread but the engine's. req and reply are the caller's. */
int engine_ask(struct engine *e, decide_fn *decide, const void *req, void *reply,
	       struct error *err);
/* The same, also below the reserve: Finish, Renew, cancel, rollback. */
int engine_ask_urgent(struct engine *e, decide_fn *decide, const void *req, void *reply,
		      struct error *err);
/* For a decision that only looks: it is never refused below the reserve, and must touch nothing. */
int engine_read(struct engine *e, decide_fn *decide, const void *req, void *reply,
		struct error *err);
/* Returns at once; never refused below the reserve. done(arg, result, err), which may be NULL, runs
 * on the engine's thread after the commit; req must live until then. Tells of one thread are
 * decided in order. */
void engine_tell(struct engine *e, decide_fn *decide, const void *req,
		 void (*done)(void *arg, int result, const struct error *err), void *arg);

/* The feed: events in order. Sequence number of the last durable event. */
uint64_t engine_last_event(struct engine *e);
/* Waits until an event after `after` is durable, or the waiter is woken, or timeout_ms passed (-1:
 * never). The last sequence number, as known. */
struct feed_waiter;
struct feed_waiter *feed_waiter_new(struct engine *e);
/* Woken only by events that feed_concerns() these ("" is all), not by every commit. Before the
 * first wait. */
void feed_waiter_only(struct feed_waiter *f, const char *run_id, const char *environment);
void feed_waiter_free(struct feed_waiter *f);
void feed_wake(struct feed_waiter *f); /* any thread; sticky */
uint64_t feed_wait(struct feed_waiter *f, uint64_t after, int timeout_ms);
/* Does any event in (after, upto] concern this run and this environment ("" matches all)? Answered
 * from memory (the last 8192 events); true when it reaches further back than that. One in 2^64 may
 * be wrong, for a look too many. */
bool feed_concerns(struct engine *e, uint64_t after, uint64_t upto, const char *run_id,
		   const char *environment);

#endif
