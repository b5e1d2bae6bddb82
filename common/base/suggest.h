/*
 * suggest.h - "did you mean `retry`?"
 */
#ifndef BASE_SUGGEST_H
#define BASE_SUGGEST_H

#include <stddef.h>

/* Candidates are offered one by one; the nearest by edit distance (a swap of neighbours
 * counts as one; ties: the first) is in `best`, or NULL when none is near enough. */
struct suggest {
	const char *wanted;
	const char *best;
	size_t distance;
};

struct suggest suggest_new(const char *wanted);
void suggest_offer(struct suggest *s, const char *candidate);

#endif
