/*
 * checks.h - may this release go to that environment now? Each question with its answer
 */
#ifndef MODEL_CHECKS_H
#define MODEL_CHECKS_H

#include "controller/model/world.h"

enum check_answer {
	CHECK_YES,
	CHECK_WAITS, /* not yet, but it comes by itself */
	CHECK_NO,
};

struct checks {
	const char *expect_live;	     /* release id, or "" */
	const char *override;		     /* the reason, or "" */
	void (*line)(void *arg, char *line); /* on the heap, the callee's; NULL: not wanted */
	void *arg;
};

/* The worst answer. CHECK_NO: *err says which and why. CHECK_WAITS: so does *ret_wait, on the heap
 * (may be NULL: not wanted). */
enum check_answer checks_run(struct world *w, const struct environment *env,
			     const struct release *r, const struct checks *checks, char **ret_wait,
			     struct error *err);

#endif
