/*
 * One turn: what waited is decided, what is due is done, what can start is placed; then every row
 * that changed and every event is written and committed; then, and only then, anyone hears of it.
 *
 * A disk that is full rolls the transaction back. The world in memory is then ahead of the disk
 * and is thrown away; all who asked are told so, all sessions are closed, and the next turn that
 * finds room loads it again, as a start would. Until then nothing is decided and no countdown runs,
 * which errs on the side of the jobs: after it, each has its full time.
 */
#include "controller/engine/private.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "proto/message.h"

enum {
	RESERVE_BYTES = 256 << 20,
	RESERVE_KNOWN_MS = 1000, /* for so long the free space is believed */
	ROOM_TO_START = 1 << 20, /* bytes: with less, loading the world is not even tried */
	EXIT_FATAL = 70,	 /* EX_SOFTWARE */
};

/* The disk and the memory may say different things from here on: only a new start sets that right.
 */
static _Noreturn void fatal(struct engine *e, const struct error *err)
{
	if (e->config.fatal)
		e->config.fatal(e->config.fatal_arg, err);
	else
		log_error("the engine cannot go on: %s", err->text);
	_exit(EXIT_FATAL);
}

/* ---- closed things, for the model ---- */

static int source_get(void *arg, enum row_kind kind, const char *id, ProtobufCMessage **ret,
		      struct error *err)
{
	return store_get(arg, kind, id, ret, err);
}

static int source_find(void *arg, enum row_kind kind, const char *parent, const char *key,
		       ProtobufCMessage **ret, struct error *err)
{
	return store_find(arg, kind, parent, key, ret, err);
}

static int source_by_number(void *arg, enum row_kind kind, uint64_t number, ProtobufCMessage **ret,
			    struct error *err)
{
	return store_by_number(arg, kind, number, ret, err);
}

/* ---- writing ---- */

static int put(void *arg, const struct row *row, struct error *err)
{
	return store_put(arg, row, err);
}

static void remember(struct engine *e, const Sluice__V1__Event *event)
{
	if (e->n_fresh == e->cap_fresh) {
		e->cap_fresh = e->cap_fresh ? 2 * e->cap_fresh : 64;
		e->fresh = xreallocarray(e->fresh, e->cap_fresh, sizeof *e->fresh);
	}
	e->fresh[e->n_fresh++] = feed_entry_of(event);
	e->fresh_last = event->seq;
}

/* The controller's row learns the hash of the last event, so that a cut end of the audit log shows.
 */
static void write_events(struct engine *e)
{
	Sluice__V1__Event *event;

	while ((event = world_take_event(e->world))) {
		store_append_event(e->store, event);
		remember(e, event);
		message_set_bytes(&e->world->counters->last_event_hash, event->hash.data,
				  event->hash.len);
		world_touch(e->world, &e->world->controller);
		message_free(event);
	}
}

static int write_all(struct engine *e, struct error *err)
{
	e->n_fresh = 0;
	store_begin(e->store);
	write_events(e);
	if (world_changes(e->world, put, e->store, err) < 0)
		return -1;
	return store_commit(e->store, err);
}

/* 0: written, or nothing to write. -1: refused, mostly because the disk is full, and rolled back.
 */
static int write_world(struct engine *e, struct error *err)
{
	if (!world_changed(e->world))
		return 0;
	if (write_all(e, err) == 0) {
		world_committed(e->world);
		return 0;
	}
	store_rollback(e->store);
	/* a row that is refused has changed nothing yet, like a disk that is full */
	if (err->code != ERR_EXHAUSTED && err->code != ERR_INVALID)
		fatal(e, err);
	return -1;
}

/* ---- the world, from the disk ---- */

struct loading {
	struct world *world;
	enum row_kind kind;
};

static int load_one(void *arg, ProtobufCMessage *message, struct error *err)
{
	struct loading *l = arg;

	return world_load(l->world, l->kind, message, err);
}

static int load_all(struct engine *e, struct error *err)
{
	struct loading l = { .world = e->world };

	for (int kind = ROW_CONTROLLER; kind < ROW_KINDS; kind++) {
		l.kind = (enum row_kind)kind;
		if (store_load(e->store, l.kind, load_one, &l, err) < 0)
			return -1;
	}
	return 0;
}

static uint64_t seed(void)
{
	struct id id = id_new();
	uint64_t hash = 0xcbf29ce484222325;

	for (const char *p = id.text; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 0x100000001b3;
	return hash;
}

int world_open(struct engine *e, struct error *err)
{
	struct world_source source = { source_get, source_find, source_by_number, e->store };

	assert(!e->world);
	e->world = world_new(&source, seed());
	if (load_all(e, err) < 0 ||
	    world_start(e->world, clock_now(), e->config.cluster, NULL, err) < 0 ||
	    write_world(e, err) < 0) {
		world_free(steal(e->world));
		return -1;
	}
	return 0;
}

/* ---- the reserve ---- */

static void look_at_reserve(struct engine *e, int64_t boot_ms)
{
	uint64_t reserve = e->config.reserve_bytes ? e->config.reserve_bytes : RESERVE_BYTES;
	uint64_t free_bytes;

	if (e->reserve_known_ms && boot_ms - e->reserve_known_ms < RESERVE_KNOWN_MS)
		return;
	e->reserve_known_ms = boot_ms;
	if (file_free_bytes(store_path(e->store), &free_bytes, NULL) == 0)
		e->below_reserve = free_bytes < reserve;
}

static int refuse_below_reserve(struct ask *a)
{
	return error_id(&a->err, "E0601",
			"the controller's disk is below its reserve; only running work goes on");
}

/* ---- a turn ---- */

static void decide(struct engine *e, struct ask *a, struct now now)
{
	bool changed = world_changed(e->world);

	if (a->kind == ASK_NORMAL && e->below_reserve) {
		a->result = refuse_below_reserve(a);
		return;
	}
	a->result = a->decide(e->world, now, a->req, a->reply, &a->err);
	assert(a->kind != ASK_READ || changed || !world_changed(e->world));
}

static void decide_all(struct engine *e, struct now now)
{
	struct now due = world_due(e->world);
	struct error err = { 0 };
	struct ask *a;

	/* what is due comes first: an ask must not find a lease that has ended */
	if ((due.wall_ms <= now.wall_ms || due.boot_ms <= now.boot_ms) &&
	    world_tick(e->world, now, NULL, NULL, &err) < 0)
		fatal(e, &err);
	list_each(a, &e->turn, link)
		decide(e, a, now);
	world_place(e->world, now);
}

static void answer_all(struct engine *e)
{
	struct ask *a, *next;

	list_each_safe(a, next, &e->turn, link) {
		list_remove(&a->link);
		ask_answer(e, a);
	}
}

static void refuse_all(struct engine *e, const struct error *err)
{
	struct ask *a;

	list_each(a, &e->turn, link) {
		a->result = -1;
		a->err = *err;
	}
	answer_all(e);
}

static void end_effects(struct engine *e)
{
	if (e->config.effects.performed)
		e->config.effects.performed(e->config.effects.arg);
}

static void perform_all(struct engine *e)
{
	struct effect *effect;

	while ((effect = world_take_effect(e->world))) {
		e->config.effects.perform(e->config.effects.arg, effect);
		effect_free(effect);
	}
	end_effects(e);
}

/* The agents must come back to a world that knows nothing of what they heard last. */
static void close_sessions(struct engine *e, const struct error *err)
{
	struct agent *agent, *next;

	HASH_ITER(by_id, e->world->agents_by_id, agent, next) {
		struct effect effect = { .kind = EFFECT_CLOSE, .session = agent->session };

		if (!agent->session)
			continue;
		effect.error = *err;
		effect.error.code = ERR_UNAVAILABLE;
		e->config.effects.perform(e->config.effects.arg, &effect);
	}
	end_effects(e);
}

static void lose_world(struct engine *e, const struct error *err)
{
	refuse_all(e, err);
	close_sessions(e, err);
	world_free(steal(e->world));
	e->reserve_known_ms = 0;
}

static int check_room(struct engine *e, struct error *err)
{
	uint64_t free_bytes;

	if (file_free_bytes(store_path(e->store), &free_bytes, err) < 0)
		return -1;
	if (free_bytes < ROOM_TO_START)
		return error_id(err, "E0601", "the controller's disk is full");
	return 0;
}

/* Loads a world that was lost; without room for its start the asks are refused. */
static int regain_world(struct engine *e)
{
	struct error err = { 0 };

	if (e->world)
		return 0;
	if (check_room(e, &err) == 0 && world_open(e, &err) == 0) {
		feed_publish(&e->feed, e->fresh, e->n_fresh, e->fresh_last);
		perform_all(e);
		return 0;
	}
	if (err.code != ERR_EXHAUSTED)
		fatal(e, &err);
	refuse_all(e, &err);
	return -1;
}

void engine_turn(struct engine *e)
{
	struct now now = clock_now();
	struct error err = { 0 };

	if (regain_world(e) < 0)
		return;
	look_at_reserve(e, now.boot_ms);
	e->n_fresh = 0;
	decide_all(e, now);
	if (write_world(e, &err) < 0) {
		lose_world(e, &err);
		return;
	}
	(void)FAULT_POINT("effects.before");
	answer_all(e);
	perform_all(e);
	feed_publish(&e->feed, e->fresh, e->n_fresh, e->fresh_last);
}
