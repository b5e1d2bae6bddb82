/*
 * cli.h - what every verb of the command line is given
 *
 * A verb is a row of a family's table (verbs.h) and a function. The function gets its arguments
 * already checked against the row, asks the controller over cli_channel(), writes its answer to
 * stdout (out.h) and returns an exit status; or -1 with *err, which cli_main() says on stderr and
 * turns into a status. Talk that is not the answer goes to stderr by say().
 *
 * The main thread only, unless a function says otherwise.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/error.h"
#include "cli/args.h"
#include "rpc/rpc.h"

/* PIPELINE.md, "The command line". */
enum exit_status {
	STATUS_OK = 0,
	STATUS_FAILED = 1, /* the work failed, or something not named below */
	STATUS_USAGE = 2,
	STATUS_BAD_FILE = 3,
	STATUS_NOT_FOUND = 4,
	STATUS_DENIED = 5,
	STATUS_NO_CONTROLLER = 6,
	STATUS_TIMED_OUT = 7,
	STATUS_REJECTED = 8, /* or cancelled */
	STATUS_INTERRUPTED = 130,
};

struct cli {
	struct args args;
	struct arena *arena; /* as long as the program */
	bool json;	     /* --json */
	struct rpc_channel *channel;
	const char *address; /* where the channel leads to; NULL: nowhere yet */
	char *dev; /* the directory of `sluice dev` that the channel leads to; NULL: none */
};

/* All of it: parse, run, say what went wrong. */
int cli_main(int argc, char **argv);

/* The controller of the context in use; dialled at the first call. NULL: there is no context. */
struct rpc_channel *cli_channel(struct cli *cli, struct error *err);
/* A new request_id: 36 characters in the arena. */
char *cli_request_id(struct cli *cli);

/* A line on stderr. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "error[E0204]: ..." and the hint, on stderr. */
void say_error(const struct error *err);
/* The status that goes with an error. */
enum exit_status status_of_error(const struct error *err);
/* With a number of the catalogue; -1: there is none for it. */
int status_of_number(const char *id);
const char *status_word(enum exit_status status); /* "not found" */

#endif
