/*
 * gpu.h - which GPUs this host has
 */
#ifndef AGENT_GPU_H
#define AGENT_GPU_H

#include <stdint.h>
#include "sluice/v1/agents.pb-c.h"

enum { GPU_MAX = 64 };

/* NVIDIA's, by NVML, in PCI order (as CUDA_DEVICE_ORDER=PCI_BUS_ID counts them), appended to *ret.
 * A host without the library or a driver has none. What is there and does not answer is left out
 * and logged: a host with one broken GPU still works. */
void gpu_detect(Sluice__V1__HostFacts *ret);
/* `count` made-up ones with this much memory, for tests and for hosts that NVML does not know. */
void gpu_pretend(Sluice__V1__HostFacts *ret, unsigned count, uint64_t memory);

#endif
