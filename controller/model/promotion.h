/*
 * promotion.h - what may go where, one after another (SEMANTICS.md, Promotion and Rollback)
 *
 *	WAITING -> ROLLING_OUT -> VERIFYING -> SUCCEEDED
 *	   |            |          |     |
 *	   |            |          |   PAUSED -> VERIFYING (promote again) | SUCCEEDED (override)
 *	   |            '----------+-----'-----> ROLLED_BACK (a rollback took it back)
 *	   '-> CANCELLED, FAILED   '-----------> FAILED (nothing was activated, or nothing to go
 *back to)
 *
 * One promotion at a time per environment (environment.promotion), the others wait in line, oldest
 * ready first. A rollback waits for nobody: it ends what is under way and takes the next phi. It is
 * a promotion, too, whose `rolls_back` names the other.
 *
 * Compare and swap: expect_live, if given, and the champion of each verdict that guards this
 * environment must be live when the promotion is asked for and again when it starts.
 */
#ifndef MODEL_PROMOTION_H
#define MODEL_PROMOTION_H

#include "controller/model/caller.h"
#include "controller/model/world.h"

#define PROMOTION_STATE(name) SLUICE__V1__PROMOTION__STATE__##name
#define PROMOTION_CAUSE(name) SLUICE__V1__PROMOTION__CAUSE__##name

enum { PROMOTION_GIVE_UP_MS = 24 * 3600 * 1000, PROMOTIONS_OPEN = 1000 };

struct promote {
	const struct caller *caller;
	const Sluice__V1__PromoteRequest *request;
};
/* A release that waits only for its verification in `after` is queued; one that cannot go is
 * refused by the first check that says so (E0403, E0404, E0408, ERR_ABORTED for the swap). With
 * dry_run every check is answered and nothing changes. The same release while it is PAUSED: is
 * verified again, or, with override_reason, accepted. */
decide_fn promotions_promote; /* reply: Sluice__V1__PromoteReply ** */

struct rollback {
	const struct caller *caller;
	const Sluice__V1__RollbackRequest *request;
};
decide_fn promotions_rollback; /* reply: Sluice__V1__PromoteReply **. Urgent */

/* ---- for the rest of delivery ---- */

/* Starts what can start: the first that waits and may, else what `auto` would promote. */
void promotions_next(struct world *w, struct environment *env);
/* A release became the newest that `auto` may promote here. */
void promotions_offer(struct world *w, struct environment *env, struct release *r);
/* The rollout is complete: `live` changes; verifies, or is done. */
void promotion_rolled_out(struct world *w, struct promotion *p);
/* It failed: back to the last good release when a host was changed. `quarantine`: the release is
 * to blame. */
void promotion_failed(struct world *w, struct promotion *p, bool quarantine, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Its VERIFY run ended. */
void promotion_verified(struct world *w, struct promotion *p, struct run *run);
/* PAUSED for PROMOTION_GIVE_UP_MS, which counts as FAIL. */
void promotion_give_up(struct world *w, struct promotion *p);
bool promotion_is_rollback(const struct promotion *p);
const char *promotion_state_name(Sluice__V1__Promotion__State state);
/* The sentence of what it waits for; NULL when it does not wait. On the heap. */
char *promotion_waits_for(struct world *w, const struct promotion *p);

#endif
