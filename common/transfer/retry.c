/*
 * Only what may pass by itself is tried again: nobody answers, the stream broke, or the controller
 * has no call or no disk to spare. What it refused for another reason stays refused.
 */
#include "transfer/retry.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"

enum { FIRST_WAIT_MS = 200, LONGEST_WAIT_MS = 5000, NAP_MS = 50 };

static bool stopped(const struct transfer *t)
{
	return t->cancelled && t->cancelled(t->cancelled_arg);
}

/* In naps, so that a cancelled transfer ends soon. */
static void nap(const struct transfer *t, int64_t ms)
{
	struct timespec nap_for = { 0, NAP_MS * 1000000L };

	for (int64_t slept = 0; slept < ms && !stopped(t); slept += NAP_MS)
		nanosleep(&nap_for, NULL);
}

/* The controller is busy, or its disk is full. */
static bool is_short_of(const struct error *err)
{
	return err->code == ERR_EXHAUSTED &&
	       (strcmp(err->id, "E0606") == 0 || strcmp(err->id, "E0601") == 0);
}

int transfer_retry(const struct transfer *t, transfer_try *once, void *arg, struct error *err)
{
	int64_t last_progress = clock_boot_ms(), wait = FIRST_WAIT_MS;

	for (;;) {
		uint64_t progress = 0;

		error_clear(err);
		if (once(arg, &progress, err) == 0)
			return 0;
		if (stopped(t))
			return error_set(err, ERR_CANCELLED, "the transfer was cancelled");
		if (err->code != ERR_UNAVAILABLE && err->code != ERR_ABORTED &&
		    err->code != ERR_CANCELLED && !is_short_of(err))
			return -1;
		if (progress) {
			last_progress = clock_boot_ms();
			wait = FIRST_WAIT_MS;
		}
		if (clock_boot_ms() - last_progress >= t->patience_ms)
			return -1;
		nap(t, wait);
		wait = MIN(2 * wait, (int64_t)LONGEST_WAIT_MS);
	}
}
