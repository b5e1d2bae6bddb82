/* An engine over a store in a directory of its own, and small decisions. */
#ifndef TEST_ENGINE_HELPERS_H
#define TEST_ENGINE_HELPERS_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/thread.h"
#include "controller/engine/engine.h"
#include "proto/message.h"

struct fixture {
	char dir[64];
	char *path;
	struct store *store;
	struct engine *engine;
	struct engine_config config;
	struct error err;
	struct lock lock; /* guards what the effects leave */
	int posts, closes;
	uint64_t last_session;
};

static inline void perform(void *arg, struct effect *effect)
{
	struct fixture *f = arg;

	LOCKED(&f->lock);
	f->posts += effect->kind == EFFECT_POST;
	f->closes += effect->kind == EFFECT_CLOSE;
	f->last_session = effect->session;
}

static inline void open_engine(struct fixture *f)
{
	f->store = store_open(f->path, &f->err);
	cr_assert(f->store, "%s", f->err.text);
	f->config.store = f->store;
	f->config.effects = (struct engine_effects){ .perform = perform, .arg = f };
	f->config.cluster = "test";
	f->engine = engine_new(&f->config, &f->err);
	cr_assert(f->engine, "%s", f->err.text);
	engine_start(f->engine);
}

static inline void close_engine(struct fixture *f)
{
	engine_free(f->engine);
	store_close(f->store);
}

static inline struct fixture *setup_with(uint64_t reserve_bytes)
{
	struct fixture *f = xcalloc(1, sizeof *f);

	snprintf(f->dir, sizeof f->dir, "/tmp/sluice-engine-XXXXXX");
	cr_assert(mkdtemp(f->dir));
	f->path = path_join(f->dir, "sluice.db");
	f->config.reserve_bytes = reserve_bytes;
	lock_init(&f->lock);
	open_engine(f);
	return f;
}

static inline struct fixture *setup(void)
{
	return setup_with(1);
}

static inline void reopen(struct fixture *f)
{
	close_engine(f);
	open_engine(f);
}

static inline void teardown(struct fixture *f)
{
	close_engine(f);
	cr_assert_eq(file_remove_tree(f->dir, &f->err), 0, "%s", f->err.text);
	lock_release(&f->lock);
	free(f->path);
	free(f);
}

/* ---- decisions ---- */

/* req: a text. Records a row with this id and an event that says it. */
static inline int note(struct world *w, struct now now, const void *req, void *reply,
		       struct error *err)
{
	Sluice__V1__Event *e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_RUN_SUBMITTED, NULL,
					   "%s", (const char *)req);

	message_set_string(&e->run_id, req);
	world_answered(w, req, "test.note", "subject");
	return 0;
}

static inline int refuse(struct world *w, struct now now, const void *req, void *reply,
			 struct error *err)
{
	return error_set(err, ERR_CONFLICT, "no, because of '%s'", (const char *)req);
}

/* reply: the epoch */
static inline int look(struct world *w, struct now now, const void *req, void *reply,
		       struct error *err)
{
	*(uint64_t *)reply = w->counters->ctl_epoch;
	return 0;
}

/* req: a text. Is there a row with this id? */
static inline bool noted(struct fixture *f, const char *id)
{
	struct store_reader *r = store_reader_take(f->store, &f->err);
	struct arena *a = arena_new(0);
	ProtobufCMessage *m;
	int found;

	cr_assert(r, "%s", f->err.text);
	found = reader_get(r, ROW_REQUEST, id, a, &m, &f->err);
	cr_assert_geq(found, 0, "%s", f->err.text);
	arena_free(a);
	store_reader_give(r);
	return found;
}

static inline uint64_t epoch(struct fixture *f)
{
	uint64_t n = 0;

	cr_assert_eq(engine_read(f->engine, look, NULL, &n, &f->err), 0, "%s", f->err.text);
	return n;
}

/* What told decisions come to, in order. */
struct told {
	struct lock lock;
	struct signal more;
	int count, failed;
	int order[256];
	pthread_t thread;
	char last[6];
};

struct telling {
	struct told *told;
	int number;
};

static inline void count_told(void *arg, int result, const struct error *err)
{
	struct telling *t = arg;

	LOCKED(&t->told->lock);
	t->told->order[t->told->count++] = t->number;
	t->told->failed += result < 0;
	if (result < 0)
		snprintf(t->told->last, sizeof t->told->last, "%s", err->id);
	t->told->thread = pthread_self();
	signal_all(&t->told->more);
}

static inline void wait_told(struct told *t, int n)
{
	LOCKED(&t->lock);
	while (t->count < n)
		signal_wait(&t->more, &t->lock);
}

/* Holds the engine inside a decision until it is let go, so that asks gather. */
struct gate {
	struct lock lock;
	struct signal signal;
	bool entered, open;
};

static inline int wait_at_gate(struct world *w, struct now now, const void *req, void *reply,
			       struct error *err)
{
	struct gate *g = (struct gate *)req;

	LOCKED(&g->lock);
	g->entered = true;
	signal_all(&g->signal);
	while (!g->open)
		signal_wait(&g->signal, &g->lock);
	return 0;
}

static inline void close_gate(struct fixture *f, struct gate *g)
{
	lock_init(&g->lock);
	signal_init(&g->signal);
	g->entered = g->open = false;
	engine_tell(f->engine, wait_at_gate, g, NULL, NULL);
	LOCKED(&g->lock);
	while (!g->entered)
		signal_wait(&g->signal, &g->lock);
}

static inline void open_gate(struct gate *g)
{
	LOCKED(&g->lock);
	g->open = true;
	signal_all(&g->signal);
}

#endif
