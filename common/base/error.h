/*
 * error.h - what went wrong, as a value on the caller's stack
 *
 * A function that can fail returns 0 or -1 (or a pointer or NULL) and takes a
 * `struct error *err` as its last argument. It sets *err where the failure
 * happens; callers add where it mattered (error_wrap); the top of a thread logs
 * it once. Nothing here allocates or is freed. `err` may be NULL: not wanted.
 *
 * `code` maps 1:1 to a gRPC status code (common/rpc). `id` is the catalogue's
 * number (errors.h, "E0107") or empty. `text` is one sentence that names the
 * thing in quotes, `hint` the next thing to try, or empty. What is wrong in a file of the user's
 * says where, for programs; the text says so, too, for people.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdarg.h>

enum error_code {
	ERR_NONE,
	ERR_CANCELLED, /* the caller or its peer gave up */
	ERR_INVALID,   /* wrong whatever the state of the system */
	ERR_TIMEOUT,
	ERR_NOT_FOUND,
	ERR_EXISTS,
	ERR_DENIED,	     /* known, but not allowed */
	ERR_UNAUTHENTICATED, /* not known */
	ERR_EXHAUSTED,	     /* a limit, a quota, a disk, a full queue */
	ERR_CONFLICT,	     /* wrong in the present state */
	ERR_ABORTED,	     /* lost a race; reading again and retrying may help */
	ERR_UNAVAILABLE,     /* nobody answers; trying again later may help */
	ERR_UNIMPLEMENTED,
	ERR_CORRUPT,  /* stored or received bytes are not what they were */
	ERR_INTERNAL, /* a bug, or an operating system that refuses */
	ERR_CODES
};

struct error {
	enum error_code code;
	char id[6]; /* "E0107" or "" */
	char text[512];
	char hint[256];
	char file[128]; /* where in a file of the user's, or "" */
	int line, col;	/* from 1; 0: nowhere, or the file as a whole */
};

#define ERROR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* All return -1, so that `return error_set(...)` reads as what it is. */
int error_set(struct error *err, enum error_code code, const char *fmt, ...) ERROR_PRINTF(3, 4);
int error_setv(struct error *err, enum error_code code, const char *fmt, va_list args)
	ERROR_PRINTF(3, 0);
/* The same with a number of the catalogue; the catalogue gives code and hint. */
int error_id(struct error *err, const char *id, const char *fmt, ...) ERROR_PRINTF(3, 4);
/* From errno: ": No space left on device" is appended; ENOSPC, EDQUOT and EMFILE are
 * ERR_EXHAUSTED, ENOENT is ERR_NOT_FOUND, EACCES and EPERM ERR_DENIED, the rest ERR_INTERNAL. */
int error_errno(struct error *err, const char *fmt, ...) ERROR_PRINTF(2, 3);
/* Puts "what: " before the text that is there. */
int error_wrap(struct error *err, const char *fmt, ...) ERROR_PRINTF(2, 3);
/* Where in a file it is: a long name keeps its end. */
int error_place(struct error *err, const char *file, int line, int col);
/* Replaces the hint. */
int error_hint(struct error *err, const char *fmt, ...) ERROR_PRINTF(2, 3);
void error_clear(struct error *err);
const char *error_code_name(enum error_code code); /* "not found" */

#endif
