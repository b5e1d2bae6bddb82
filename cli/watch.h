/*
 * watch.h - looking on until something has ended
 */
#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include <stdint.h>
#include "cli/cli.h"

enum { TICK_MS = 1000 };

#define TIMEOUT_FLAG                                                                          \
	{                                                                                     \
		0, "timeout", "DURATION", "look on at most so long (exit code 7; it goes on)" \
	}

/* --timeout of a verb that has it, on the boot clock; 0: not given. Asked before anything is begun,
 * so that a mistake in it begins nothing. */
int watch_until(const struct args *args, int64_t *ret, struct error *err);
/* How long to wait for news: 0 when the time is up, -1 for ever. */
int watch_tick(int64_t until_ms, bool screen);

/* run: number or id, "" is the newest. The status is the run's outcome; with --timeout,
 * ERR_TIMEOUT when it has none yet. */
int watch_run(struct cli *cli, const char *run, struct error *err);
/* Until the promotion has ended; its outcome. "": until Ctrl-C, or --timeout. */
int watch_environment(struct cli *cli, const char *environment, const char *promotion,
		      struct error *err);

#endif
