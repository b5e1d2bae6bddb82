/*
 * private.h - what the files of the engine share; nobody else includes it
 */
#ifndef ENGINE_PRIVATE_H
#define ENGINE_PRIVATE_H

#include "base/list.h"
#include "base/thread.h"
#include "controller/engine/engine.h"

enum ask_kind { ASK_NORMAL, ASK_URGENT, ASK_READ, ASK_TELL };

/* A decision that waits, or is being answered. Of an ask it lives on the asker's stack, and is gone
 * as soon as `answered` is seen; of a tell it is on the heap. */
struct ask {
	struct list link;
	enum ask_kind kind;
	decide_fn *decide;
	const void *req;
	void *reply;
	void (*done)(void *arg, int result, const struct error *err);
	void *arg;
	int result;
	struct error err;
	struct signal answer; /* of the inbox's lock */
	bool answered;
};

enum { FEED_SIZE = 8192 }; /* events in memory */

struct feed_entry {
	uint64_t run, environment; /* hashes of the names; 0: none */
};

struct feed {
	struct lock lock;		      /* guards all of it and the waiters */
	uint64_t last;			      /* number of the last durable event */
	uint64_t first;			      /* number of the oldest entry; last + 1: none */
	struct feed_entry entries[FEED_SIZE]; /* that of number n at n % FEED_SIZE */
	struct list waiters;
	bool stopped;
};

struct engine {
	struct engine_config config;
	struct store *store;
	pthread_t thread;
	bool started;

	struct lock lock; /* guards the inbox */
	struct signal work;
	struct list inbox;
	bool stopping;

	/* the engine's thread alone, from here to the feed */
	struct world *world; /* NULL: lost to a full disk, to be loaded again */
	struct list turn;    /* the asks being decided */
	bool below_reserve;
	int64_t reserve_known_ms; /* boot time when it was looked up; 0: never */
	struct feed_entry *fresh;
	size_t n_fresh, cap_fresh;
	uint64_t fresh_last;

	struct feed feed;
};

/* ---- turn.c: one transaction ---- */

int world_open(struct engine *e, struct error *err); /* load, world_start, commit */
void engine_turn(
	struct engine *e); /* decides, writes and answers what is in e->turn, and what is due */
void ask_answer(struct engine *e, struct ask *a);

/* ---- feed.c ---- */

void feed_init(struct feed *f, uint64_t last);
void feed_release(struct feed *f);
struct feed_entry feed_entry_of(const Sluice__V1__Event *event);
/* Entries of consecutive events that end with number `last` are durable: wakes who waits for them.
 */
void feed_publish(struct feed *f, const struct feed_entry *entries, size_t n, uint64_t last);
void feed_stop(struct feed *f);

#endif
