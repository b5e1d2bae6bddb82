/*
 * mask.h - secrets are blanked before they reach the disk
 *
 * Patterns are exact bytes (the agent makes the encodings); each byte of a match becomes
 * '*', so offsets stay what they are. A match may span reads: what could still become one is held
 * back. Accident protection, not a wall: a job that wants to tell its secret can.
 */
#ifndef AGENT_SHIM_MASK_H
#define AGENT_SHIM_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include "agent/shim/wire.h"

struct mask {
	const unsigned char *pattern[WIRE_MAX_MASKS]; /* borrowed */
	size_t len[WIRE_MAX_MASKS];
	size_t count;
	unsigned char pairs[65536 / 8]; /* the first two bytes of some pattern */
	size_t carry;			/* so many of the next bytes belong to a match */
};

void mask_clear(struct mask *m);
/* Ignored when too short, too long or one too many. */
void mask_add(struct mask *m, const void *pattern, size_t len);
/* A new stream begins. */
void mask_restart(struct mask *m);
/*
 * Blanks data[0..len) in place and returns how many of these bytes may be written now. The rest
 * comes again, unchanged, at the front of the next call. final: nothing follows, all is returned.
 */
size_t mask_apply(struct mask *m, unsigned char *data, size_t len, bool final);

#endif
