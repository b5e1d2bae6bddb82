/*
 * Many threads ask, tell, look and wait at one engine, while readers read its store. Every answer
 * must be in the store when it is given, and no waiter may sleep through the end.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/thread.h"
#include "controller/engine/engine.h"
#include "proto/message.h"

enum { ASKERS = 6, ASKS = 150, WATCHERS = 4 };

static struct store *store;
static struct engine *engine;
static _Atomic int told, effects;
static _Atomic bool over;

static int note(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	Sluice__V1__Event *e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_RUN_SUBMITTED, NULL,
					   "%s", (const char *)req);

	message_set_string(&e->run_id, req);
	world_answered(w, req, "race.note", "subject");
	return 0;
}

static int look(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	*(uint64_t *)reply = w->counters->next_event;
	return 0;
}

static void perform(void *arg, struct effect *effect)
{
	effects++;
}

static void count(void *arg, int result, const struct error *err)
{
	assert(result == 0);
	told++;
	free(arg);
}

static bool is_there(const char *id)
{
	struct store_reader *r = store_reader_take(store, NULL);
	struct arena *a = arena_new(0);
	ProtobufCMessage *m;
	int found = reader_get(r, ROW_REQUEST, id, a, &m, NULL);

	arena_free(a);
	store_reader_give(r);
	return found == 1;
}

static void *ask(void *arg)
{
	int me = (int)(intptr_t)arg;

	for (int i = 0; i < ASKS; i++) {
		char *id = xprintf("a%d-%d", me, i);
		char *tell = xprintf("t%d-%d", me, i);
		uint64_t next;

		engine_tell(engine, note, tell, count, tell);
		if (engine_ask(engine, note, id, NULL, NULL) < 0 || !is_there(id))
			abort();
		if (i % 10 == 0 && engine_read(engine, look, NULL, &next, NULL) < 0)
			abort();
		free(id);
	}
	return NULL;
}

static void *watch(void *arg)
{
	struct feed_waiter *w = arg;
	uint64_t seen = 0;

	while (!over) {
		uint64_t last = feed_wait(w, seen, 50);

		assert(last >= seen);
		feed_concerns(engine, seen, last, "a1-7", "");
		seen = last;
	}
	return NULL;
}

int main(void)
{
	char dir[] = "/tmp/sluice-race-XXXXXX";
	cleanup(freep) char *path = path_join(mkdtemp(dir), "sluice.db");
	struct feed_waiter *waiters[WATCHERS];
	pthread_t askers[ASKERS], watchers[WATCHERS];
	struct error err = { 0 };
	uint64_t last;

	store = store_open(path, &err);
	if (store)
		engine = engine_new(&(struct engine_config){ .store = store,
							     .effects = { .perform = perform },
							     .cluster = "race",
							     .reserve_bytes = 1 },
				    &err);
	if (!engine) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	engine_start(engine);
	for (int i = 0; i < WATCHERS; i++) {
		waiters[i] = feed_waiter_new(engine);
		if (i % 2)
			feed_waiter_only(waiters[i], "a1-7", "");
		watchers[i] = thread_start("watcher", 0, watch, waiters[i]);
	}
	for (int i = 0; i < ASKERS; i++)
		askers[i] = thread_start("asker", 0, ask, (void *)(intptr_t)i);
	for (int i = 0; i < ASKERS; i++)
		thread_join(askers[i]);
	engine_stop(engine);
	last = engine_last_event(engine);
	over = true;
	for (int i = 0; i < WATCHERS; i++) {
		feed_wake(waiters[i]);
		thread_join(watchers[i]);
		feed_waiter_free(waiters[i]);
	}
	engine_free(engine);
	store_close(store);
	file_remove_tree(dir, NULL);
	/* each ask and each tell made one event, the start another */
	if (told != ASKERS * ASKS || last != 2 * ASKERS * ASKS + 1) {
		fprintf(stderr, "%d told, %llu events\n", told, (unsigned long long)last);
		return 1;
	}
	return 0;
}
