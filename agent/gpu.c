/*
 * NVML by dlopen, with prototypes of our own (NVML API reference, "Device Queries"), so that
 * neither building nor running needs NVIDIA's packages.
 */
#include "agent/gpu.h"

#include <dlfcn.h>
#include <stdio.h>

#include "base/log.h"
#include "proto/message.h"

typedef struct nvml_device *nvml_device;
struct nvml_memory {
	unsigned long long total, free, used;
};

enum { NVML_SUCCESS = 0, NVML_DRIVER_NOT_LOADED = 9, NVML_NAME = 96 };

struct nvml {
	void *library;
	int (*init)(void);
	int (*shutdown)(void);
	int (*count)(unsigned *);
	int (*handle)(unsigned, nvml_device *);
	int (*uuid)(nvml_device, char *, unsigned);
	int (*name)(nvml_device, char *, unsigned);
	int (*memory)(nvml_device, struct nvml_memory *);
	const char *(*error_string)(int);
};

static bool nvml_load(struct nvml *n)
{
	const struct {
		void *at;
		const char *name;
	} symbols[] = {
		{ &n->init, "nvmlInit_v2" },
		{ &n->shutdown, "nvmlShutdown" },
		{ &n->count, "nvmlDeviceGetCount_v2" },
		{ &n->handle, "nvmlDeviceGetHandleByIndex_v2" },
		{ &n->uuid, "nvmlDeviceGetUUID" },
		{ &n->name, "nvmlDeviceGetName" },
		{ &n->memory, "nvmlDeviceGetMemoryInfo" },
		{ &n->error_string, "nvmlErrorString" },
	};

	n->library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
	for (size_t i = 0; n->library && i < ARRAY_SIZE(symbols); i++) {
		void *symbol = dlsym(n->library, symbols[i].name);

		if (!symbol)
			return false;
		*(void **)symbols[i].at = symbol;
	}
	return n->library != NULL;
}

/* One that does not answer is left out, the others are offered all the same. */
static void describe(const struct nvml *n, unsigned index, Sluice__V1__HostFacts *ret)
{
	char uuid[NVML_NAME] = "", name[NVML_NAME] = "";
	struct nvml_memory memory = { 0 };
	nvml_device device;
	Sluice__V1__Gpu *gpu;
	int r = n->handle(index, &device);

	if (r == NVML_SUCCESS)
		r = n->memory(device, &memory);
	if (r != NVML_SUCCESS) {
		log_warn("GPU %u is not offered to jobs: %s", index, n->error_string(r));
		return;
	}
	n->uuid(device, uuid, sizeof uuid);
	n->name(device, name, sizeof name);
	gpu = message_new(&sluice__v1__gpu__descriptor);
	gpu->index = index;
	gpu->memory = memory.total;
	message_set_string(&gpu->uuid, uuid);
	message_set_string(&gpu->name, name);
	message_append(ret, gpus, gpu);
}

void gpu_detect(Sluice__V1__HostFacts *ret)
{
	struct nvml n = { 0 };
	unsigned count = 0;
	int r;

	if (nvml_load(&n)) {
		r = n.init();
		if (r == NVML_SUCCESS) {
			r = n.count(&count);
			for (unsigned i = 0; i < MIN(count, (unsigned)GPU_MAX); i++)
				describe(&n, i, ret);
			n.shutdown();
		}
		if (r != NVML_SUCCESS && r != NVML_DRIVER_NOT_LOADED)
			log_warn("no GPU is offered to jobs: NVML says '%s'", n.error_string(r));
	} else if (n.library) {
		log_warn("no GPU is offered to jobs: libnvidia-ml.so.1 is older than this agent");
	}
	if (n.library)
		dlclose(n.library);
}

void gpu_pretend(Sluice__V1__HostFacts *ret, unsigned count, uint64_t memory)
{
	for (unsigned i = 0; i < MIN(count, (unsigned)GPU_MAX); i++) {
		Sluice__V1__Gpu *gpu = message_new(&sluice__v1__gpu__descriptor);
		char uuid[32];

		snprintf(uuid, sizeof uuid, "pretended-%u", i);
		gpu->index = i;
		gpu->memory = memory;
		message_set_string(&gpu->uuid, uuid);
		message_set_string(&gpu->name, "pretended");
		message_append(ret, gpus, gpu);
	}
}
