/*
 * yardstick.h - the two sides of a comparison: what the job measured, and its rivals (gates.h)
 */
#ifndef MODEL_YARDSTICK_H
#define MODEL_YARDSTICK_H

#include "base/buf.h"
#include "controller/model/world.h"

enum rival_state {
	RIVAL_KNOWN,
	RIVAL_ABSENT,	 /* no such release yet */
	RIVAL_UNKNOWN,	 /* no such environment */
	RIVAL_DIFFERENT, /* never measured, or with another yardstick: note says which */
};

/* A scope of an expectation: `champion`, or an environment. */
struct rival {
	char *scope; /* as the text has it */
	enum rival_state state;
	const struct release *release;
	const Sluice__V1__Evaluation *evaluation;
	char *note;
};

enum { RIVALS = 16 };

struct gate {
	struct world *w;
	const struct job *job;
	Sluice__V1__Evaluation *candidate; /* owned; without metrics */
	struct environment *guarded;	   /* or NULL */
	struct rival rivals[RIVALS];
	size_t n_rivals;
};

void gate_init(struct gate *g, struct world *w, const struct job *job);
void gate_release(struct gate *g);
bool gate_is_verify(const struct job *job);
/* Resolved at the first call with this scope; NULL: there are too many. */
const struct rival *gate_rival(struct gate *g, const char *scope);
/* "sha256:..." of a text, into a message's field. */
void gate_set_digest(char **field, const struct buf *text);

#endif
