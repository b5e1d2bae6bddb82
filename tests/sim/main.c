/*
 * sim_cluster [COUNT [FIRST]]: COUNT schedules (2000) from seed FIRST (1), after the seeds that
 * once found something (tests/sim/seeds). sim_cluster --seed N: one, with everything that happens.
 * sim_cluster --mutants: each known mistake is planted; each must be found within some schedules.
 * Without arguments: the schedules, then the mutants.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sim.h"

enum {
	SCHEDULES = 2000,
	MUTANT_SCHEDULES = 3000, /* in which each must be found */
	STORM_MS = 100 * 1000,
	CALM_MS = 40 * 60 * 1000,
};

static const char *const mutant_names[MUTANTS] = {
	[MUTANT_NONE] = "none",
	[MUTANT_LEASE_FROM_RECEIPT] = "the lease counts from the answer's receipt",
	[MUTANT_START_ON_OFFER] = "an attempt starts on its Offer",
	[MUTANT_EXEC_NOT_JOURNALED] = "exec before it is journalled",
	[MUTANT_ANY_SEQ] = "answers are not matched to their request",
	[MUTANT_NO_WAIT_AFTER_RESTART] = "no wait after a controller's restart",
	[MUTANT_SHORT_COUNTDOWN] = "T_c without the time to kill and the drift",
	[MUTANT_NO_FENCE_CHECK] = "a Finish counts whatever its fence",
	[MUTANT_SAY_BEFORE_COMMIT] = "effects before the commit",
	[MUTANT_FORGETFUL_JOURNAL] = "a lost journal is not mentioned",
	[MUTANT_REPORT_AHEAD] = "a host reports a step before it is done",
	[MUTANT_UNTOUCHED] = "a row is changed and not written",
	[MUTANT_DRIFT] = "what a host has in use is counted wrongly",
};

static void calm_down(struct sim *s)
{
	s->calm = true;
	s->slow_until = 0;
	delivery_calm(s);
	sim_trace(s, "---- calm ----");
}

static void begin(struct sim *s)
{
	static const int64_t leases[] = { 2000, 2000, 5000, 20000 };

	s->lease_ms = leases[sim_between(s, 0, 3)];
	s->clock = clock_new(s);
	s->n_hosts = (int)sim_between(s, 1, HOSTS);
	s->stages = sim_chance(s, 40) ? 0 : s->n_hosts > 1 && sim_chance(s, 50) ? 2 : 1;
	s->takes_auto = sim_chance(s, 60);
	s->calm = true; /* nothing goes wrong before it has begun */
	controller_start(s);
	for (int i = 0; i < s->n_hosts; i++) {
		struct host *h = &s->hosts[i];

		*h = (struct host){ .sim = s, .index = i, .boot = 1, .clock = clock_new(s) };
		snprintf(h->name, sizeof h->name, "host-%c", 'a' + i);
		h->slots = (uint32_t)sim_between(s, 1, SLOTS_MAX);
		h->services[0].environment = "staging";
		h->services[1].environment = "production";
		host_enrol(s, h,
			   i == 3		      ? "work"
			   : i == 0 && s->stages == 2 ? "staging"
						      : "production");
		agent_boot(s, h);
	}
	s->calm = false;
	work_begin(s);
}

static void end(struct sim *s)
{
	struct ledger_entry *l, *next;

	world_free(s->world);
	while (s->n_heap) {
		message_free(s->heap[--s->n_heap]->what);
		free(s->heap[s->n_heap]);
	}
	free(s->heap);
	HASH_ITER(hh, s->ledger, l, next) {
		HASH_DEL(s->ledger, l);
		free(l);
	}
	rows_release(s);
	net_release(s);
}

/* Counts of all schedules, to see that things did happen. */
struct totals {
	uint64_t commits, restarts, crashes, reboots, cuts, starts, losses, runs, promotions,
		rebuilt;
	unsigned int met[MEETINGS]; /* in how many schedules */
};

static void add(struct totals *t, const struct sim *s)
{
	t->commits += s->commits;
	t->restarts += s->restarts;
	t->crashes += s->crashes;
	t->reboots += s->reboots;
	t->cuts += s->cuts;
	t->starts += s->starts;
	t->losses += s->losses;
	t->runs += s->runs;
	t->promotions += s->promotions;
	t->rebuilt += s->rebuilt;
	for (int m = 0; m < MEETINGS; m++)
		t->met[m] += s->met[m] > 0;
}

/* True: every promise held. */
static bool schedule(uint64_t seed, enum mutant mutant, bool trace, struct totals *totals)
{
	struct sim *s = xcalloc(1, sizeof *s);
	bool held;

	s->random = seed * 0x9e3779b97f4a7c15;
	s->mutant = mutant;
	s->trace = trace;
	begin(s);
	while (!s->failed && sim_step(s)) {
		if (!s->calm && s->t > STORM_MS)
			calm_down(s);
		if (s->t > STORM_MS + CALM_MS || (s->calm && oracle_all_is_over(s)))
			break;
	}
	oracle_end_of_time(s);
	held = !s->failed;
	if (!held && mutant == MUTANT_NONE)
		printf("seed %" PRIu64 " at %.3f s: %s\n", seed, (double)s->t / 1000, s->verdict);
	else if (!held && totals)
		printf("found by seed %" PRIu64 ": %s\n", seed, s->verdict);
	if (totals)
		add(totals, s);
	end(s);
	free(s);
	return held;
}

static int old_seeds(void)
{
	FILE *f = fopen(SLUICE_SOURCE_DIR "/tests/sim/seeds/cluster", "re");
	uint64_t seed;
	int failed = 0;

	while (f && fscanf(f, "%" SCNu64 "%*[^\n]", &seed) == 1)
		failed += !schedule(seed, MUTANT_NONE, false, NULL);
	if (f)
		fclose(f);
	return failed;
}

/* A generator that no longer reaches something finds nothing there. */
static int unreached(const struct totals *t, uint64_t count)
{
	int missing = 0;

	for (int m = 0; m < MEETINGS; m++) {
		printf("%6u schedules reached: %s\n", t->met[m], meeting_name((enum meeting)m));
		if (t->met[m] || count < SCHEDULES)
			continue;
		printf("       NOT ONE of %" PRIu64 "\n", count);
		missing++;
	}
	return missing;
}

static int schedules(uint64_t count, uint64_t first)
{
	struct totals t = { 0 };
	int64_t start = clock_mono_us();
	int failed = old_seeds();

	for (uint64_t seed = first; seed < first + count && failed < 10; seed++)
		failed += !schedule(seed, MUTANT_NONE, false, &t);
	printf("%" PRIu64 " schedules in %.1f s: %" PRIu64 " runs, %" PRIu64 " starts, %" PRIu64
	       " lost, %" PRIu64 " promotions, %" PRIu64 " commits, %" PRIu64
	       " worlds built again; %" PRIu64 " controllers, %" PRIu64 " agents and %" PRIu64
	       " hosts went down, %" PRIu64 " sessions broke\n",
	       count, (double)(clock_mono_us() - start) / 1e6, t.runs, t.starts, t.losses,
	       t.promotions, t.commits, t.rebuilt, t.restarts, t.crashes, t.reboots, t.cuts);
	return failed + unreached(&t, count);
}

static int mutants(void)
{
	int missed = 0;

	for (int m = MUTANT_NONE + 1; m < MUTANTS; m++) {
		struct totals t = { 0 };
		uint64_t seed = 1;

		printf("%-48s ", mutant_names[m]);
		fflush(stdout);
		while (seed <= MUTANT_SCHEDULES && schedule(seed, (enum mutant)m, false, &t))
			seed++;
		if (seed <= MUTANT_SCHEDULES)
			continue;
		printf("NOT FOUND in %d schedules\n", MUTANT_SCHEDULES);
		missed++;
	}
	return missed;
}

int main(int argc, char **argv)
{
	int failed;

	if (argc == 3 && strcmp(argv[1], "--seed") == 0)
		return !schedule(strtoull(argv[2], NULL, 10), MUTANT_NONE, true, NULL);
	if (argc == 2 && strcmp(argv[1], "--mutants") == 0)
		return mutants() != 0;
	failed = schedules(argc > 1 ? strtoull(argv[1], NULL, 10) : SCHEDULES,
			   argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
	if (argc == 1)
		failed += mutants();
	printf("%d passed, %d failed\n", failed ? 0 : 1, failed);
	return failed != 0;
}
