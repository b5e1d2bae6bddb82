/*
 * names.h - the words that may stand for ENVIRONMENT, RELEASE, ROLE... in the help
 */
#ifndef CLI_NAMES_H
#define CLI_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include "cli/cli.h"

/* Is there a list of these? */
bool names_known(const char *kind, size_t len);
/* One a line on stdout; asks the controller where it must. */
int names_print(struct cli *cli, const char *kind, struct error *err);

#endif
