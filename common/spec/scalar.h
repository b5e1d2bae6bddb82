/*
 * scalar.h - what the text of a scalar means
 */
#ifndef SPEC_SCALAR_H
#define SPEC_SCALAR_H

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"

enum scalar_type {
	SCALAR_NONE,
	SCALAR_TEXT,	   /* not empty */
	SCALAR_SHELL,	   /* a text for /bin/sh, at most SHELL_MAX bytes */
	SCALAR_NAME,	   /* [A-Za-z0-9._-]{1,128}, beginning with a letter, a digit or `_` */
	SCALAR_PLAIN_NAME, /* the same without `.`: of what references name */
	SCALAR_VARIABLE,   /* [A-Za-z_][A-Za-z0-9_]* */
	SCALAR_PATH,	   /* inside the workspace */
	SCALAR_INT,
	SCALAR_NUMBER,
	SCALAR_BOOL,
	SCALAR_DURATION, /* ms */
	SCALAR_SIZE,	 /* bytes */
	SCALAR_CPU,	 /* "4", "0.5": thousandths */
	SCALAR_SHARE,	 /* "2" or "50%" */
	SCALAR_CHOICE,	 /* of a key's choices: checked by its owner */
	SCALAR_LABEL,	 /* "zone=a" */
	SCALAR_CAUSE,	 /* of a retry: "preempted", "exit:75" */
	SCALAR_EXPECTATION,
	SCALAR_REFERENCE, /* "job.output" or "job.*.output" */
	SCALAR_VERSION,	  /* "latest" or a number */
	SCALAR_VALUE,	  /* any text, also an empty one */
	SCALAR_TYPES
};

enum { SHELL_MAX = 100 * 1024 };

struct scalar {
	int64_t number;	  /* INT, BOOL, DURATION, CPU, SHARE (hosts), VERSION (0: latest) */
	uint64_t bytes;	  /* SIZE */
	double real;	  /* NUMBER */
	unsigned percent; /* SHARE: when number is 0 */
	int exit_code;	  /* CAUSE: of exit:N */
	int reason;	  /* CAUSE: Sluice__V1__ExitReason */
};

/* What a type is called ("duration"), and what it asks for ("a duration such as `5m`"). */
const char *scalar_type_name(enum scalar_type type);
const char *scalar_wanted(enum scalar_type type);
/* ERR_INVALID with the reason when the text is no such thing ("" when scalar_wanted() says it
 * all), or ERR_UNIMPLEMENTED. *ret is zero but for what the type gives. */
int scalar_parse(enum scalar_type type, const char *text, struct scalar *ret, struct error *err);

#endif
