/*
 * The feed: who is told that something happened. The last events are remembered only by what they
 * are about, two hashes each; the events themselves are read from the store by those whom they
 * concern. A waiter that named a run or an environment sleeps through all others.
 */
#include "controller/engine/private.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

struct feed_waiter {
	struct feed *feed;
	struct list link; /* in feed.waiters while it waits */
	struct signal signal;
	struct feed_entry only; /* 0: any */
	bool woken;		/* by feed_wake() */
	bool rung;		/* something it waits for is durable */
};

/* FNV-1a, 64 bits; never 0, which means "none". */
static uint64_t hash_of(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325;

	if (!text || !*text)
		return 0;
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
	return hash ? hash : 1;
}

struct feed_entry feed_entry_of(const Sluice__V1__Event *event)
{
	return (struct feed_entry){ hash_of(event->run_id), hash_of(event->environment) };
}

static bool concerns(const struct feed_entry *only, const struct feed_entry *entry)
{
	return (!only->run || only->run == entry->run) &&
	       (!only->environment || only->environment == entry->environment);
}

void feed_init(struct feed *f, uint64_t last)
{
	lock_init(&f->lock);
	list_init(&f->waiters);
	f->last = last;
	f->first = last + 1;
}

void feed_release(struct feed *f)
{
	assert(list_empty(&f->waiters));
	lock_release(&f->lock);
}

static bool any_concerns(const struct feed_entry *only, const struct feed_entry *entries, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (concerns(only, &entries[i]))
			return true;
	return false;
}

void feed_publish(struct feed *f, const struct feed_entry *entries, size_t n, uint64_t last)
{
	struct feed_waiter *waiter;

	if (!n)
		return;
	LOCKED(&f->lock);
	/* numbers follow one another; after a gap (a restored database) memory begins anew */
	if (last - n != f->last)
		f->first = last - n + 1;
	for (size_t i = n > FEED_SIZE ? n - FEED_SIZE : 0; i < n; i++)
		f->entries[(last - n + 1 + i) % FEED_SIZE] = entries[i];
	f->last = last;
	if (last - f->first >= FEED_SIZE)
		f->first = last - FEED_SIZE + 1;
	list_each(waiter, &f->waiters, link) {
		if (waiter->rung || !any_concerns(&waiter->only, entries, n))
			continue;
		waiter->rung = true;
		signal_one(&waiter->signal);
	}
}

void feed_stop(struct feed *f)
{
	struct feed_waiter *waiter;

	LOCKED(&f->lock);
	f->stopped = true;
	list_each(waiter, &f->waiters, link)
		signal_one(&waiter->signal);
}

uint64_t engine_last_event(struct engine *e)
{
	LOCKED(&e->feed.lock);
	return e->feed.last;
}

static bool concerns_locked(struct feed *f, uint64_t after, uint64_t upto,
			    const struct feed_entry *only)
{
	lock_assert_held(&f->lock);
	if (upto > f->last)
		upto = f->last;
	if (after >= upto)
		return false;
	if (after + 1 < f->first)
		return true;
	for (uint64_t seq = after + 1; seq <= upto; seq++)
		if (concerns(only, &f->entries[seq % FEED_SIZE]))
			return true;
	return false;
}

bool feed_concerns(struct engine *e, uint64_t after, uint64_t upto, const char *run_id,
		   const char *environment)
{
	struct feed_entry only = { hash_of(run_id), hash_of(environment) };

	LOCKED(&e->feed.lock);
	return concerns_locked(&e->feed, after, upto, &only);
}

struct feed_waiter *feed_waiter_new(struct engine *e)
{
	struct feed_waiter *w = xcalloc(1, sizeof *w);

	w->feed = &e->feed;
	list_init(&w->link);
	signal_init(&w->signal);
	return w;
}

void feed_waiter_only(struct feed_waiter *w, const char *run_id, const char *environment)
{
	w->only = (struct feed_entry){ hash_of(run_id), hash_of(environment) };
}

void feed_waiter_free(struct feed_waiter *w)
{
	if (!w)
		return;
	assert(!list_linked(&w->link));
	signal_release(&w->signal);
	free(w);
}

void feed_wake(struct feed_waiter *w)
{
	LOCKED(&w->feed->lock);
	w->woken = true;
	signal_one(&w->signal);
}

uint64_t feed_wait(struct feed_waiter *w, uint64_t after, int timeout_ms)
{
	struct feed *f = w->feed;
	int64_t until = timeout_ms < 0 ? -1 : clock_mono_us() / 1000 + timeout_ms;

	LOCKED(&f->lock);
	w->rung = concerns_locked(f, after, f->last, &w->only);
	list_append(&f->waiters, &w->link);
	while (!w->rung && !w->woken && !f->stopped) {
		int64_t left = until < 0 ? -1 : until - clock_mono_us() / 1000;

		if (until >= 0 && left <= 0)
			break;
		signal_wait_ms(&w->signal, &f->lock, left);
	}
	list_remove(&w->link);
	return f->last;
}
