/*
 * args.h - the command line against the table of verbs
 *
 * `--name value`, `--name=value`, `-n value`, `-nvalue`; switches that take no value may be put
 * together (`-f`). `--` ends the flags. Flags may stand before, between and after the words. What
 * is not in the verb's row is an error with the nearest name. Pure: nothing is printed, nothing is
 * read but the arguments, whose strings are borrowed.
 */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

struct cli;

struct flag {
	char letter; /* 0: none */
	const char *name;
	const char *value; /* what it takes, for the help; NULL: a switch */
	const char *doc;
};

/* Returns an exit status, or -1 with *err. */
typedef int verb_fn(struct cli *cli, struct error *err);

struct verb {
	const char *name;	  /* "runs cancel" */
	const char *arguments;	  /* "[RUN]", as shown */
	const char *summary;	  /* one line */
	const char *about;	  /* further lines and examples, or NULL */
	const struct flag *flags; /* ended by a row without name, or NULL */
	unsigned min, max;	  /* words after the verb */
	bool json;		  /* takes --json */
	verb_fn *run;		  /* NULL: known, and refused by name (E0900) */
};

/* A family: rows up to one without a name, under one heading of the help. */
struct family {
	const char *heading;
	const struct verb *verbs;
};

enum { ARGS_MAX = 256 };

struct args {
	const struct verb *verb;
	const char *words[ARGS_MAX + 1];
	unsigned n_words;
	struct given {
		const char *name;
		const char *value; /* "" for a switch */
	} given[ARGS_MAX];
	unsigned n_given;
};

/* The verb that argv names ("runs", "cancel") in *ret_used words; NULL with ERR_INVALID and a hint.
 * families ends with a row without a heading. */
const struct verb *verb_find(const struct family *families, int argc, char **argv, int *ret_used,
			     struct error *err);
/* verb's own arguments: argv[0..argc). `--help`, `--json` (where it may) and `--context` are known
 * to all. */
int args_parse(const struct verb *verb, int argc, char **argv, struct args *ret, struct error *err);

/* Asking for a flag that the verb's row does not have is a bug and aborts. */
bool flag_given(const struct args *args, const char *name);
const char *flag_text(const struct args *args, const char *name); /* the last; NULL: not given */
/* The n-th of a flag given several times; NULL past the last. */
const char *flag_each(const struct args *args, const char *name, unsigned n);
/* 0, with *ret untouched when it was not given. */
int flag_number(const struct args *args, const char *name, int64_t min, int64_t max, int64_t *ret,
		struct error *err);
int flag_duration(const struct args *args, const char *name, int64_t *ret_ms, struct error *err);
/* The n-th word, "" past the last. */
const char *word(const struct args *args, unsigned n);

/* A verb's own flags, then those of all; NULL past the last. */
const struct flag *verb_flag(const struct verb *verb, unsigned n);

#endif
