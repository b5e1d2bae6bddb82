/*
 * services.h - `sluice-agent services`: what a person on the host may do about its services
 *
 * env/<environment>/stopped says that the service stays down, whatever the journal wants; an order
 * to activate removes it. A running agent is told by SIGUSR1 (its process id is in the lock file)
 * and answers by writing "down" into the file; without one the service's shim is told directly.
 */
#ifndef AGENT_SERVICES_H
#define AGENT_SERVICES_H

#include "base/error.h"
#include "spec/config.h"

/* args: what follows `services`. Prints to stdout. */
int services_command(const struct config *config, int n_args, char **args, struct error *err);

#endif
