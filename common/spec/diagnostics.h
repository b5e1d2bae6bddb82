/*
 * diagnostics.h - what is wrong with a file: all of it at once, with places
 *
 * Up to 20 errors and 20 warnings are kept, the rest is counted. Each has a number of
 * the catalogue (base/errors.h), a place, a sentence, and where they help a label under
 * the caret ("did you mean `retry`?"), a help line and one related place. The text of the
 * file is copied, so a renderer shows the line. One thread at a time.
 */
#ifndef SPEC_DIAGNOSTICS_H
#define SPEC_DIAGNOSTICS_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "base/error.h"

enum { DIAGNOSTICS_MAX = 20 };

/* Lines and columns count from 1, columns in characters; line 0: the file as a whole. */
struct place {
	int line, col;
	int len; /* characters under the caret, at least 1 */
};

struct diagnostic {
	bool warning;
	char id[6]; /* "E0107" */
	struct place place;
	char message[256];
	char label[192];      /* beside the caret; "" */
	char help[256];	      /* "= help: ..."; "" */
	struct place related; /* line 0: none */
	char related_text[96];
};

struct diagnostics {
	char *file; /* its name, as the user gave it */
	char *text; /* may be NULL: no line is shown */
	size_t len;
	size_t errors, warnings; /* all there were; items hold the first of each */
	struct diagnostic items[2 * DIAGNOSTICS_MAX]; /* by place */
	size_t count;
};

/* `struct diagnostics d = {0}` is empty and may be released. */
void diagnostics_init(struct diagnostics *d, const char *file, const char *text, size_t len);
void diagnostics_release(struct diagnostics *d); /* fits cleanup() */

/* The diagnostic just added, for its label, help and related place; past the limit a
 * scratch one, so it is never NULL. It is valid until the next call. */
struct diagnostic *diagnostics_error(struct diagnostics *d, const char *id, struct place at,
				     const char *fmt, ...) __attribute__((format(printf, 4, 5)));
struct diagnostic *diagnostics_warn(struct diagnostics *d, const char *id, struct place at,
				    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void diagnostic_label(struct diagnostic *item, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void diagnostic_help(struct diagnostic *item, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void diagnostic_related(struct diagnostic *item, struct place at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* No more errors are kept, so none needs a costly label. */
bool diagnostics_full(const struct diagnostics *d);
/* In the order of the file; the renderers do it themselves. */
void diagnostics_sort(struct diagnostics *d);
/* The first error (in the file's order) or NULL. */
const struct diagnostic *diagnostics_first(struct diagnostics *d);
/* The first error as an error with its place: "sluice.yaml:22:5: unknown key `retires` (and 2
 * more)". Returns
 * -1 so that `return diagnostics_fail(...)` reads well; 0 when there is no error. */
int diagnostics_fail(struct diagnostics *d, struct error *err);

/* For people, in the style of PIPELINE.md; ends with "1 error, 2 warnings". Nothing when
 * there is nothing. */
void diagnostics_text(struct diagnostics *d, bool colour, struct buf *out);
void diagnostics_json(struct diagnostics *d, struct buf *out);	/* one object, one line */
void diagnostics_sarif(struct diagnostics *d, struct buf *out); /* SARIF 2.1.0 */

#endif
