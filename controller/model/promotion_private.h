/*
 * promotion_private.h - what promotion.c, promote.c and rollback.c share
 */
#ifndef MODEL_PROMOTION_PRIVATE_H
#define MODEL_PROMOTION_PRIVATE_H

#include "controller/model/promotion.h"

/* WAITING, not yet in any line. */
struct promotion *promotion_create(struct world *w, struct environment *env, struct release *r,
				   Sluice__V1__Promotion__Cause cause,
				   const Sluice__V1__Actor *actor);
void promotion_set_from(struct world *w, struct promotion *p, struct release *live);
void promotion_requested(struct world *w, struct promotion *p); /* the event */
void promotion_end(struct world *w, struct promotion *p, Sluice__V1__Promotion__State state,
		   const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Verified, or accepted by a person. */
void promotion_succeeded(struct world *w, struct promotion *p);
/* A new VERIFY run. */
void promotion_verify(struct world *w, struct promotion *p);
size_t promotion_hosts_in(const struct promotion *p, Sluice__V1__EnvironmentHost__State state);
/* A person is needed. */
void promotion_degrade(struct world *w, struct environment *env, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* For this environment and all after it; actor: the person whose doing it is, or NULL. */
void release_quarantine(struct world *w, const struct environment *env, struct release *r,
			const Sluice__V1__Actor *actor, const char *why);
/* Not here any more: a person overrode it, and then it was verified. True: it was quarantined. */
bool release_absolve(struct world *w, struct environment *env, struct release *r);
void environment_find_previous(struct world *w, struct environment *env);
/* Where to go back to from `bad`; NULL: nowhere. */
struct release *rollback_target(struct world *w, const struct environment *env,
				const struct release *bad);
/* "rolled back: chargebacks up", or "rolled back" when nobody said why; on the heap. */
char *rolled_back_text(const char *why);
/* Takes the next phi and begins; ends `failed` (may be NULL) as ROLLED_BACK. With an actor the
 * reason is what that person said, or "". */
struct promotion *rollback_begin(struct world *w, struct environment *env, struct release *target,
				 struct promotion *failed, const Sluice__V1__Actor *actor,
				 const char *reason);

#endif
