/*
 * Time, chance, and the heap of what happens next. Events at the same time happen in the order in
 * which they were made, so a seed always gives the same run.
 */
#include "sim.h"

/* splitmix64 (Steele, Lea, Flood 2014) */
uint64_t sim_random(struct sim *s)
{
	uint64_t z = s->random += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

int64_t sim_between(struct sim *s, int64_t low, int64_t high)
{
	return low + (int64_t)(sim_random(s) % (uint64_t)(high - low + 1));
}

bool sim_chance(struct sim *s, int percent)
{
	return sim_between(s, 0, 99) < percent;
}

/* Any two clocks differ by 1 % at most. */
struct clock clock_new(struct sim *s)
{
	return (struct clock){ sim_between(s, 1000, 100000000), sim_between(s, -4900, 4900) };
}

static int64_t reading_at(const struct clock *c, int64_t t)
{
	return c->base + t + t * c->ppm / 1000000;
}

int64_t clock_read(const struct sim *s, const struct clock *c)
{
	return reading_at(c, s->t);
}

int64_t clock_when(const struct sim *s, const struct clock *c, int64_t reading)
{
	int64_t t = (reading - c->base) * 1000000 / (1000000 + c->ppm) - 2;

	while (reading_at(c, t) < reading)
		t++;
	return MAX(t, s->t);
}

static bool before(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void sift_up(struct sim *s, size_t i)
{
	for (size_t parent; i && before(s->heap[i], s->heap[parent = (i - 1) / 2]); i = parent) {
		struct event *e = s->heap[i];

		s->heap[i] = s->heap[parent];
		s->heap[parent] = e;
	}
}

static void sift_down(struct sim *s)
{
	for (size_t i = 0, child; (child = 2 * i + 1) < s->n_heap; i = child) {
		struct event *e = s->heap[i];

		if (child + 1 < s->n_heap && before(s->heap[child + 1], s->heap[child]))
			child++;
		if (!before(s->heap[child], e))
			return;
		s->heap[i] = s->heap[child];
		s->heap[child] = e;
	}
}

struct event *sim_at(struct sim *s, int64_t at, void (*happen)(struct sim *s, struct event *e),
		     void *who)
{
	struct event *e = xcalloc(1, sizeof *e);

	e->at = MAX(at, s->t);
	e->order = s->orders++;
	e->happen = happen;
	e->who = who;
	if (s->n_heap == s->cap_heap) {
		s->cap_heap = s->cap_heap ? 2 * s->cap_heap : 256;
		s->heap = xreallocarray(s->heap, s->cap_heap, sizeof(struct event *));
	}
	s->heap[s->n_heap++] = e;
	sift_up(s, s->n_heap - 1);
	return e;
}

bool sim_step(struct sim *s)
{
	struct event *e;

	if (!s->n_heap)
		return false;
	e = s->heap[0];
	s->heap[0] = s->heap[--s->n_heap];
	sift_down(s);
	s->t = e->at;
	e->happen(s, e);
	free(e);
	return true;
}
