#include "agent/gpu.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdlib.h>

#include "proto/message.h"

static void *library;
static Sluice__V1__HostFacts *facts;

static void begin(void)
{
	library = dlopen(NVML_STAND, RTLD_NOW | RTLD_LOCAL);
	cr_assert(library, "%s", dlerror());
	facts = message_new(&sluice__v1__host_facts__descriptor);
}

static void end(void)
{
	message_free(facts);
	dlclose(library);
}

TestSuite(gpu, .init = begin, .fini = end);

Test(gpu, what_nvml_tells_is_offered)
{
	gpu_detect(facts);
	cr_assert_geq(facts->n_gpus, 1);
	cr_expect_eq(facts->gpus[0]->index, 0);
	cr_expect_eq(facts->gpus[0]->memory, UINT64_C(40) << 30);
	cr_expect_str_eq(facts->gpus[0]->uuid, "GPU-0");
	cr_expect_str_eq(facts->gpus[0]->name, "Stand-in");
}

Test(gpu, one_that_fell_off_the_bus_is_left_out_and_the_others_keep_their_numbers)
{
	gpu_detect(facts);
	cr_assert_eq(facts->n_gpus, 2);
	cr_expect_eq(facts->gpus[1]->index, 2);
	cr_expect_eq(facts->gpus[1]->memory, UINT64_C(42) << 30);
}

Test(gpu, a_driver_that_does_not_answer_leaves_a_host_without_gpus)
{
	setenv("NVML_STAND_INIT", "18", 1);
	gpu_detect(facts);
	cr_expect_eq(facts->n_gpus, 0);
}
