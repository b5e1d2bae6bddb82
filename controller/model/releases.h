/*
 * releases.h - releases: immutable bundles of what passed (SEMANTICS.md, Promotion 1)
 *
 * A release is its sorted (slot, kind, digest) list; its digest is the SHA-256 of that list, a line
 * each. The same list again is the same release: no new number, but what was measured meanwhile is
 * added. Evaluations are what is known of its parts, and the champion's side of later gates.
 */
#ifndef MODEL_RELEASES_H
#define MODEL_RELEASES_H

#include "controller/model/world.h"

enum {
	RELEASE_NAME = 16,
	RELEASE_PARTS = 32,
	RELEASE_EVALUATIONS = 512, /* kept on one release; the oldest goes first */
	RELEASE_ANCESTORS = 1000,  /* artifacts looked at when parts are compared */
};

/* Checks and makes the release of a job that is about to succeed. -1: nothing changed. */
int release_make(struct world *w, struct job *job, struct error *err);
/* Adds an evaluation (taken), in the place of one of the same artifact, set, evaluator and job. */
void release_add_evaluation(struct world *w, struct release *r, Sluice__V1__Evaluation *e);
bool release_is_quarantined(const struct release *r, const char *environment);
/* Why, since when, by whom; NULL: that was never kept. */
Sluice__V1__Quarantine *release_quarantine_of(const struct release *r, const char *environment);
/* "r3 is quarantined in 'production' for 2m10s, by admin: rolled back: chargebacks up"; on the
 * heap.
 */
char *release_quarantine_text(const struct world *w, const struct release *r,
			      const char *environment);
/* "r57"; "no release" for NULL */
char *release_name(const struct release *r, char ret[RELEASE_NAME]);
/* -1: a part's bytes are gone; names it. */
int release_present(struct world *w, const struct release *r, struct error *err);

/* What ReleaseDetail says of environments; the handler fills the rest from the store.
 * req: const char *id of the release; reply: Sluice__V1__ReleaseDetail **, with live_in and
 * verified_in. */
decide_fn releases_where;

#endif
