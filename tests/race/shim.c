/*
 * One owner runs jobs in a slot and hears of them, while other threads renew, watch, ask and stop:
 * as heartbeats and sessions do. The shim leaves and is replaced meanwhile.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/supervise.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/thread.h"

enum { RUNS = 60 };

static struct slot *slot;
static atomic_ullong fence;
static atomic_bool over;

static void *meddle(void *arg)
{
	struct error err;

	while (!over) {
		uint64_t f = fence;

		if (f) {
			slot_deadline(slot, f, clock_boot_ms() + 60000, &err);
			slot_watch(slot, f, 0, &err);
			slot_ask_status(slot, &err);
			if (f % 7 == 0)
				slot_signal(slot, f, SHIM_CANCELLED, 100, &err);
		}
		usleep(300);
	}
	return NULL;
}

static void fail(const char *what, const struct error *err)
{
	fprintf(stderr, "%s: %s\n", what, err->text);
	exit(1);
}

/* False: the shim went (we killed it). */
static bool run_one(uint64_t f, struct error *err)
{
	static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
	struct supervise_spec spec = { .fence = f,
				       .command = "echo a; sleep 0.01; echo b",
				       .env = env };
	struct slot_event event;

	if (f % 20 == 0)
		spec.command = "exec sleep 60";
	if (slot_run(slot, &spec, err) < 0)
		fail("starting", err);
	fence = f;
	for (;;) {
		if (slot_wait(slot, 20000, &event, err) <= 0)
			fail("waiting", err);
		if (event.kind == SLOT_STATUS && f % 20 == 0 && event.status.fence == f)
			kill(event.status.shim_pid, SIGKILL);
		if (event.kind == SLOT_EXITED)
			return true;
		if (event.kind == SLOT_GONE)
			return false;
	}
}

int main(void)
{
	char dir[] = "/tmp/shim-race-XXXXXX";
	struct contain contain;
	struct supervise *s;
	struct error err = { 0 };
	pthread_t threads[2];
	int gone = 0;

	if (!mkdtemp(dir) || contain_probe(SHIM_PROGRAM, "", CONTAIN_PIDNS, &contain, &err) < 0)
		fail("preparing", &err);
	s = supervise_open(dir, SHIM_PROGRAM, &contain, &err);
	slot = s ? slot_open(s, "0", &err) : NULL;
	if (!slot)
		fail("opening", &err);
	for (int i = 0; i < 2; i++)
		threads[i] = thread_start("meddler", 0, meddle, NULL);
	for (uint64_t f = 1; f <= RUNS; f++)
		gone += !run_one(f, &err);
	over = true;
	for (int i = 0; i < 2; i++)
		thread_join(threads[i]);
	slot_close(slot);
	supervise_close(s);
	contain_release(&contain);
	file_remove_tree(dir, &err);
	if (gone != RUNS / 20) {
		fprintf(stderr, "%d shims went, not %d\n", gone, RUNS / 20);
		return 1;
	}
	return 0;
}
