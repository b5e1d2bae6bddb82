#include <criterion/criterion.h>
#include <string.h>

#include "cli/dev.h"

static const uint64_t gib = UINT64_C(1) << 30;

Test(dev_plan, workers_share_the_machine_and_each_environment_gets_a_little)
{
	struct machine m = { 16, 64 * gib };
	struct error err = { 0 };
	struct dev_plan plan = { 0 };

	cr_assert_eq(dev_plan_agents(&plan, "worker,staging,production", &m, &err), 0, "%s",
		     err.text);
	cr_assert_eq(plan.n_agents, 3);
	cr_expect_str_eq(plan.agents[0].label, "role=worker");
	cr_expect_eq(plan.agents[0].cpus, 16);
	cr_expect_eq(plan.agents[0].slots, 16);
	cr_expect_eq(plan.agents[0].memory, 48 * gib);
	cr_expect_str_eq(plan.agents[1].label, "env=staging");
	cr_expect_eq(plan.agents[1].cpus, 2);
	cr_expect_eq(plan.agents[1].slots, 2);
	cr_expect_eq(plan.agents[2].memory, 8 * gib);
	dev_plan_release(&plan);
}

Test(dev_plan, a_small_machine_still_gives_each_a_cpu)
{
	struct machine m = { 1, gib };
	struct error err = { 0 };
	struct dev_plan plan = { 0 };

	cr_assert_eq(dev_plan_agents(&plan, "worker-a,worker-b,qa", &m, &err), 0);
	for (unsigned i = 0; i < 3; i++) {
		cr_expect_eq(plan.agents[i].cpus, 1);
		cr_expect_eq(plan.agents[i].slots, 2);
	}
	cr_expect_eq(plan.agents[0].memory, gib / 4 * 3 / 2);
	dev_plan_release(&plan);
}

Test(dev_plan, without_workers_environments_get_all_the_memory)
{
	struct machine m = { 8, 8 * gib };
	struct error err = { 0 };
	struct dev_plan plan = { 0 };

	cr_assert_eq(dev_plan_agents(&plan, "a,b", &m, &err), 0);
	cr_expect_eq(plan.agents[0].memory + plan.agents[1].memory, 8 * gib);
	dev_plan_release(&plan);
}

Test(dev_plan, names_that_cannot_be_are_refused)
{
	static const char *const bad[] = {
		"", ",", "a,a", "../x", "a b", "-x", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"
	};
	struct machine m = { 8, 8 * gib };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error err = { 0 };
		struct dev_plan plan = { 0 };

		cr_expect_eq(dev_plan_agents(&plan, bad[i], &m, &err), -1, "%s", bad[i]);
		cr_expect_eq(err.code, ERR_INVALID);
		dev_plan_release(&plan);
	}
}
