/*
 * Two binary heaps, numbered from 1, whose members know their place: so a timer
 * that is cleared or moved is found without a search.
 */
#include "controller/model/timer.h"

#include <assert.h>

#include "base/mem.h"

static void put(struct timer_heap *h, size_t place, struct timer *t)
{
	h->at[place - 1] = t;
	t->place = place;
}

static void sift_up(struct timer_heap *h, struct timer *t)
{
	size_t place = t->place;

	while (place > 1 && h->at[place / 2 - 1]->due_ms > t->due_ms) {
		put(h, place, h->at[place / 2 - 1]);
		place /= 2;
	}
	put(h, place, t);
}

static void sift_down(struct timer_heap *h, struct timer *t)
{
	size_t place = t->place;

	for (;;) {
		size_t child = place * 2;

		if (child > h->n)
			break;
		if (child < h->n && h->at[child]->due_ms < h->at[child - 1]->due_ms)
			child++;
		if (h->at[child - 1]->due_ms >= t->due_ms)
			break;
		put(h, place, h->at[child - 1]);
		place = child;
	}
	put(h, place, t);
}

static void set(struct timers *ts, struct timer *t, int64_t due_ms, bool wall)
{
	struct timer_heap *h = wall ? &ts->wall : &ts->boot;

	assert(t->fire);
	if (t->place && t->wall != wall)
		timer_clear(ts, t);
	t->wall = wall;
	t->due_ms = due_ms;
	if (!t->place) {
		if (h->n == h->cap) {
			h->cap = h->cap ? h->cap * 2 : 64;
			h->at = xreallocarray(h->at, h->cap, sizeof(*h->at));
		}
		put(h, ++h->n, t);
	}
	sift_up(h, t);
	sift_down(h, t);
}

void timer_set_boot(struct timers *ts, struct timer *t, int64_t due_boot_ms)
{
	set(ts, t, due_boot_ms, false);
}

void timer_set_wall(struct timers *ts, struct timer *t, int64_t due_wall_ms)
{
	set(ts, t, due_wall_ms, true);
}

void timer_clear(struct timers *ts, struct timer *t)
{
	struct timer_heap *h = t->wall ? &ts->wall : &ts->boot;
	size_t place = t->place;
	struct timer *last;

	if (!place)
		return;
	assert(place <= h->n && h->at[place - 1] == t);
	last = h->at[--h->n];
	t->place = 0;
	if (last == t)
		return;
	put(h, place, last);
	sift_up(h, last);
	sift_down(h, last);
}

struct timer *timer_due(struct timers *ts, struct now now)
{
	struct timer *t = NULL;

	if (ts->boot.n && ts->boot.at[0]->due_ms <= now.boot_ms)
		t = ts->boot.at[0];
	else if (ts->wall.n && ts->wall.at[0]->due_ms <= now.wall_ms)
		t = ts->wall.at[0];
	if (t)
		timer_clear(ts, t);
	return t;
}

struct now timers_next(const struct timers *ts)
{
	return (struct now){
		.boot_ms = ts->boot.n ? ts->boot.at[0]->due_ms : INT64_MAX,
		.wall_ms = ts->wall.n ? ts->wall.at[0]->due_ms : INT64_MAX,
	};
}

void timers_release(struct timers *ts)
{
	free(ts->boot.at);
	free(ts->wall.at);
	*ts = (struct timers){ 0 };
}
