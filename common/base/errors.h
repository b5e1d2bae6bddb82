/*
 * errors.h - the catalogue: every numbered error a user can meet
 *
 * E01 pipeline file, E02 input, E03 access, E04 delivery, E05 agent, E06
 * storage, E09 not supported. From it come error_id(), `sluice explain CODE`
 * and docs/errors.md. A number is never given to another meaning.
 */
#ifndef BASE_ERRORS_H
#define BASE_ERRORS_H

#include <stddef.h>
#include "base/buf.h"
#include "base/error.h"

struct error_entry {
	const char *id; /* "E0107" */
	enum error_code code;
	const char *title;   /* "unknown key" */
	const char *explain; /* a paragraph: what it means, why it is so */
	const char *hint;    /* what to do next; "" where the place must say it */
};

extern const struct error_entry error_catalogue[]; /* sorted by id */
extern const size_t error_catalogue_count;
const struct error_entry *error_lookup(const char *id); /* NULL if there is none */
/* docs/errors.md: all of it, as a page. */
void error_reference_markdown(struct buf *out);

#endif
