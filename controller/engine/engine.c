/*
 * The engine's thread and its inbox. Asks wait in a list under one lock; the thread takes all of
 * them (512 at most) and decides them in one transaction, so that those who come while the disk is
 * busy share the next commit. It sleeps until someone asks or something is due, and does nothing
 * else.
 */
#include "controller/engine/private.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
	TURN_MAX = 512, /* decisions in one transaction */
	/* While something is due at all, the clocks are looked at this often: the wall clock may
	 * have been set, and the host may have slept, which the wait does not count. */
	LONGEST_WAIT_MS = 60 * 1000,
};

struct engine *engine_new(const struct engine_config *config, struct error *err)
{
	struct engine *e = xcalloc(1, sizeof *e);

	assert(config->store && config->effects.perform);
	e->config = *config;
	e->config.cluster = config->cluster ? xstrdup(config->cluster) : NULL;
	e->store = config->store;
	lock_init(&e->lock);
	signal_init(&e->work);
	list_init(&e->inbox);
	list_init(&e->turn);
	if (world_open(e, err) < 0) {
		feed_init(&e->feed, 0);
		engine_free(e);
		return NULL;
	}
	feed_init(&e->feed, store_last_event(e->store, NULL));
	return e;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	engine_stop(e);
	world_free(e->world);
	feed_release(&e->feed);
	signal_release(&e->work);
	lock_release(&e->lock);
	free((char *)e->config.cluster);
	free(e->fresh);
	free(e);
}

/* ---- the thread ---- */

/* Until the next thing is due, in ms; -1: nothing is. */
static int64_t wait_ms(struct engine *e)
{
	struct now now, due;
	int64_t left;

	if (!e->world)
		return -1; /* the next ask tries to load it again */
	due = world_due(e->world);
	if (due.boot_ms == INT64_MAX && due.wall_ms == INT64_MAX)
		return -1;
	now = clock_now();
	left = MIN(due.boot_ms == INT64_MAX ? INT64_MAX : due.boot_ms - now.boot_ms,
		   due.wall_ms == INT64_MAX ? INT64_MAX : due.wall_ms - now.wall_ms);
	return left < 0 ? 0 : MIN(left, (int64_t)LONGEST_WAIT_MS);
}

/* Waits for work and moves up to TURN_MAX asks to the turn. False: stopping, and none is left. */
static bool take_turn(struct engine *e)
{
	int64_t left = wait_ms(e);

	LOCKED(&e->lock);
	if (list_empty(&e->inbox) && !e->stopping && left != 0)
		signal_wait_ms(&e->work, &e->lock, left);
	for (int n = 0; n < TURN_MAX && !list_empty(&e->inbox); n++) {
		struct ask *a = list_first(&e->inbox, struct ask, link);

		list_remove(&a->link);
		list_append(&e->turn, &a->link);
	}
	return !list_empty(&e->turn) || !e->stopping;
}

static void *decide_for_ever(void *arg)
{
	struct engine *e = arg;

	engine_turn(e); /* what the start left to do */
	while (take_turn(e))
		engine_turn(e);
	return NULL;
}

void engine_start(struct engine *e)
{
	assert(!e->started);
	e->started = true;
	e->thread = thread_start("engine", 0, decide_for_ever, e);
}

void engine_stop(struct engine *e)
{
	lock_take(&e->lock);
	e->stopping = true;
	signal_one(&e->work);
	lock_drop(&e->lock);
	if (e->started)
		thread_join(e->thread);
	e->started = false;
	feed_stop(&e->feed);
}

/* ---- asking ---- */

/* False when the engine has stopped. */
static bool submit(struct engine *e, struct ask *a)
{
	LOCKED(&e->lock);
	if (e->stopping)
		return false;
	if (list_empty(&e->inbox))
		signal_one(&e->work);
	list_append(&e->inbox, &a->link);
	return true;
}

static int refuse_stopped(struct error *err)
{
	return error_set(err, ERR_UNAVAILABLE, "the controller is stopping");
}

static int ask(struct engine *e, struct ask *a, struct error *err)
{
	assert(!e->started || !pthread_equal(pthread_self(), e->thread));
	signal_init(&a->answer);
	if (!submit(e, a)) {
		signal_release(&a->answer);
		return refuse_stopped(err);
	}
	lock_take(&e->lock);
	while (!a->answered)
		signal_wait(&a->answer, &e->lock);
	lock_drop(&e->lock);
	signal_release(&a->answer);
	if (a->result < 0 && err)
		*err = a->err;
	return a->result;
}

int engine_ask(struct engine *e, decide_fn *decide, const void *req, void *reply, struct error *err)
{
	struct ask a = { .kind = ASK_NORMAL, .decide = decide, .req = req, .reply = reply };

	return ask(e, &a, err);
}

int engine_ask_urgent(struct engine *e, decide_fn *decide, const void *req, void *reply,
		      struct error *err)
{
	struct ask a = { .kind = ASK_URGENT, .decide = decide, .req = req, .reply = reply };

	return ask(e, &a, err);
}

int engine_read(struct engine *e, decide_fn *decide, const void *req, void *reply,
		struct error *err)
{
	struct ask a = { .kind = ASK_READ, .decide = decide, .req = req, .reply = reply };

	return ask(e, &a, err);
}

void engine_tell(struct engine *e, decide_fn *decide, const void *req,
		 void (*done)(void *arg, int result, const struct error *err), void *arg)
{
	struct ask *a = xcalloc(1, sizeof *a);

	*a = (struct ask){
		.kind = ASK_TELL, .decide = decide, .req = req, .done = done, .arg = arg
	};
	if (submit(e, a))
		return;
	a->result = refuse_stopped(&a->err);
	if (done)
		done(arg, a->result, &a->err);
	free(a);
}

void ask_answer(struct engine *e, struct ask *a)
{
	if (a->kind == ASK_TELL) {
		if (a->done)
			a->done(a->arg, a->result, &a->err);
		free(a);
		return;
	}
	LOCKED(&e->lock);
	a->answered = true;
	signal_one(&a->answer);
}
