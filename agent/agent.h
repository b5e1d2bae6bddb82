/*
 * agent.h - the parts of an agent, put together
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <stdbool.h>
#include "agent/facts.h"
#include "base/error.h"
#include "spec/config.h"

struct agent;

/* Takes up what an earlier process left, then connects. The state directory is locked and made. */
struct agent *agent_start(const struct config *config, struct error *err);
/* With stop_work jobs and services are ended first. */
void agent_stop(struct agent *agent, bool stop_work);
/* Somebody changed what services are stopped by hand. */
void agent_services(struct agent *agent);
/* Of sluice-shim, on the heap: as configured, or beside this program. */
char *agent_shim_path(const struct config *config, struct error *err);
/* What is due now and then: the cache is trimmed, the certificate renewed. 1: start anew with the
 * new one; -1: it could not be renewed, try again soon. */
int agent_look(struct agent *agent, struct error *err);

#endif
