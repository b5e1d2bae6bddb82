/*
 * watch.h - looking on until something has ended
 */
#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include "cli/cli.h"

/* run: number or id, "" is the newest. The status is the run's outcome. */
int watch_run(struct cli *cli, const char *run, struct error *err);
/* Until the promotion has ended; its outcome. "": until Ctrl-C. */
int watch_environment(struct cli *cli, const char *environment, const char *promotion,
		      struct error *err);

#endif
