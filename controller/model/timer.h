/*
 * timer.h - due times on two clocks, in a heap each
 *
 * A timer is embedded in what it serves. Setting and clearing cost O(log n). Times on
 * the boot clock (leases, time-outs, back-off) and on the wall clock (pauses) never mix.
 */
#ifndef MODEL_TIMER_H
#define MODEL_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/clock.h"

struct world;
struct timer;
typedef void timer_fn(struct world *w, struct timer *t); /* it is no longer set when this runs */

struct timer {
	timer_fn *fire;
	int64_t due_ms;
	size_t place; /* in its heap, from 1; 0: not set */
	bool wall;
};

struct timer_heap {
	struct timer **at;
	size_t n, cap;
};

struct timers {
	struct timer_heap boot, wall;
};

void timer_set_boot(struct timers *ts, struct timer *t,
		    int64_t due_boot_ms); /* moves one that is set */
void timer_set_wall(struct timers *ts, struct timer *t, int64_t due_wall_ms);
void timer_clear(struct timers *ts, struct timer *t);
struct timer *timer_due(struct timers *ts, struct now now); /* cleared and returned, or NULL */
struct now timers_next(const struct timers *ts);
void timers_release(struct timers *ts);

#endif
