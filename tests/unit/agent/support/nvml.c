/*
 * A libnvidia-ml.so.1 with three GPUs, of which the second has fallen off the bus. The variable
 * NVML_STAND_INIT makes nvmlInit fail with that code.
 */
#include <stdio.h>
#include <stdlib.h>

struct memory {
	unsigned long long total, free, used;
};

enum { GPUS = 3, LOST = 1, GPU_IS_LOST = 15 };

int nvmlInit_v2(void)
{
	const char *fails = getenv("NVML_STAND_INIT");

	return fails ? (int)strtol(fails, NULL, 10) : 0;
}

int nvmlShutdown(void)
{
	return 0;
}

int nvmlDeviceGetCount_v2(unsigned *ret)
{
	*ret = GPUS;
	return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **ret)
{
	static char devices[GPUS];

	if (index == LOST)
		return GPU_IS_LOST;
	*ret = &devices[index];
	devices[index] = (char)index;
	return 0;
}

int nvmlDeviceGetUUID(const char *device, char *ret, unsigned size)
{
	snprintf(ret, size, "GPU-%d", *device);
	return 0;
}

int nvmlDeviceGetName(const char *device, char *ret, unsigned size)
{
	(void)device;
	snprintf(ret, size, "Stand-in");
	return 0;
}

int nvmlDeviceGetMemoryInfo(const char *device, struct memory *ret)
{
	*ret = (struct memory){ .total = (40ULL + (unsigned)*device) << 30 };
	return 0;
}

const char *nvmlErrorString(int code)
{
	return code == GPU_IS_LOST ? "GPU is lost" : "Driver/library version mismatch";
}
