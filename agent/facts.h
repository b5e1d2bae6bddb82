/*
 * facts.h - what this host is: measured, or as its configuration says
 */
#ifndef AGENT_FACTS_H
#define AGENT_FACTS_H

#include "agent/contain.h"
#include "base/error.h"
#include "sluice/v1/agents.pb-c.h"
#include "spec/config.h"

/* A heap message; keys: slots, cpus, memory, gpus, gpu_memory, address. contain may be NULL. */
Sluice__V1__HostFacts *facts_measure(const struct config *config, const char *state_dir,
				     const struct contain *contain, struct error *err);

#endif
