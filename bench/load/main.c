/*
 * bench_load [--quick] [GOAL...]: the goals of SPEED.md that are named, or all. Started by
 * bench/run, which builds it and says where the programs and a disk are.
 */
#include <stdio.h>
#include <string.h>

#include "load/goals.h"
#include "load/measure.h"
#include "rpc/rpc.h"

static const struct {
	const char *number;
	void (*measure)(void);
} goals[] = {
	{ "1", goal_throughput },  { "3", goal_latency },  { "4", goal_submissions },
	{ "5", goal_queued },	   { "6", goal_log_rate }, { "7", goal_printing },
	{ "8", goal_log_latency }, { "9", goal_upload },   { "10", goal_tree },
	{ "11", goal_known },	   { "12", goal_peak },	   { "13", goal_idle },
	{ "14", goal_agents },	   { "15", goal_kill },
};

static bool wanted(const char *number, int argc, char **argv)
{
	bool any = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], number) == 0)
			return true;
		any |= argv[i][0] != '-';
	}
	return !any;
}

static bool known(const char *number)
{
	for (size_t i = 0; i < ARRAY_SIZE(goals); i++)
		if (strcmp(goals[i].number, number) == 0)
			return true;
	return strcmp(number, "--quick") == 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!known(argv[i])) {
			fprintf(stderr, "bench_load: '%s' is no goal that is measured\n", argv[i]);
			return 2;
		}
		quick |= strcmp(argv[i], "--quick") == 0;
	}
	rpc_init();
	for (size_t i = 0; i < ARRAY_SIZE(goals); i++)
		if (wanted(goals[i].number, argc, argv))
			goals[i].measure();
	if (figures_missed())
		fprintf(stderr, "# %u figures are below their \"not below\"\n", figures_missed());
	return 0;
}
