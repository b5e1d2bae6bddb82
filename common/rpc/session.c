/*
 * Sessions: calls that wait most of their life, so they own no thread. What
 * happens to one (it came, a message, its end) puts it into the run queue of
 * a small pool; while one thread works on it, others only note that there is
 * more. So its callbacks never overlap, and 10,000 idle ones cost nothing but
 * their memory.
 */
#include <assert.h>

#include "rpc/internal.h"

enum { SESSION_THREADS_MAX = 16 };

typedef int received_fn(struct rpc_call *, const void *, struct error *);

struct scratch { /* a pool thread's */
	struct arena *arena, *inbox;
};

void session_schedule(struct rpc_call *c)
{
	struct rpc_server *s = c->server;

	LOCKED(&s->lock);
	if (c->running) {
		c->again = true;
	} else if (!list_linked(&c->runnable)) {
		rpc_ref(c);
		list_append(&s->runnable, &c->runnable);
		signal_one(&s->session_work);
	}
}

static void refuse(struct rpc_call *c, const struct error *err)
{
	lock_take(&c->server->lock);
	c->server->refused++;
	lock_drop(&c->server->lock);
	call_finish(c, err);
}

static void begin(struct rpc_call *c)
{
	struct error err = { 0 };

	c->began = true;
	if (caller_admit(c, &err) < 0 || c->route->method->opened(c, c->route->self, &err) < 0) {
		if (err.code == ERR_NONE)
			error_set(&err, ERR_INTERNAL, "the session failed without a reason");
		refuse(c, &err);
		return;
	}
	c->open_ok = true;
	LOCKED(&c->lock);
	call_want_locked(c);
}

/* 1: a message; 0: nothing is there; -1: there will be none, *ret_meant says whether on purpose. */
static int take(struct rpc_call *c, grpc_byte_buffer **ret, bool *ret_meant)
{
	LOCKED(&c->lock);

	if (!c->arrived)
		return 0;
	c->arrived = false;
	*ret = steal(c->received);
	if (*ret)
		return 1;
	c->at_end = true;
	*ret_meant = !c->lost && !c->cancelled;
	return -1;
}

static void deliver(struct rpc_call *c, grpc_byte_buffer *buf)
{
	struct error err = { 0 };
	const void *msg = NULL;
	bool finishing;

	lock_take(&c->lock);
	finishing = c->finishing;
	lock_drop(&c->lock);
	if (!finishing && c->n_received > 0 && c->route->method->shape == RPC_SHAPE_WATCH) {
		error_set(&err, ERR_INVALID, "one request is enough");
	} else if (!finishing) {
		msg = codec_unpack(c->in, buf, c->inbox, &err);
		if (!msg)
			error_wrap(&err, "a message '%s' was refused", c->in->short_name);
	}
	grpc_byte_buffer_destroy(buf);
	if (finishing)
		return;
	if (!msg || ((received_fn *)c->route->method->fn)(c, msg, &err) < 0) {
		if (err.code == ERR_NONE)
			error_set(&err, ERR_INTERNAL, "the session failed without a reason");
		call_finish(c, &err);
	}
}

/* It will send no more. Of a watch that is what the end of its one request looks like. */
static void client_is_done(struct rpc_call *c)
{
	struct error err = { 0 };

	if (c->route->method->shape == RPC_SHAPE_SESSION) {
		call_finish(c, NULL);
	} else if (c->n_received == 0) {
		error_set(&err, ERR_INVALID, "the call came without a request");
		call_finish(c, &err);
	}
}

/* Every batch is back. */
static bool is_closed(struct rpc_call *c)
{
	LOCKED(&c->lock);

	return c->ended && !c->in_recv && !c->in_send && !c->arrived;
}

static void close_session(struct rpc_call *c)
{
	struct error why = { 0 };

	c->was_closed = true;
	lock_take(&c->lock);
	if (c->why)
		why = *c->why;
	else if (c->cancelled)
		error_set(&why, ERR_CANCELLED, "the client is gone");
	lock_drop(&c->lock);
	if (c->open_ok)
		c->route->method->closed(c, &why);
}

static void run(struct rpc_call *c, struct scratch *scratch)
{
	grpc_byte_buffer *buf = NULL;
	bool meant = false;
	int r;

	if (c->was_closed)
		return;
	c->arena = scratch->arena;
	c->inbox = scratch->inbox;
	if (!c->began)
		begin(c);
	while ((r = take(c, &buf, &meant)) > 0) {
		deliver(c, buf);
		c->n_received++;
		arena_reset(c->inbox);
		arena_reset(c->arena);
		lock_take(&c->lock);
		call_want_locked(c);
		lock_drop(&c->lock);
	}
	if (r < 0 && meant)
		client_is_done(c);
	if (is_closed(c))
		close_session(c);
	arena_reset(c->arena);
	c->arena = c->inbox = NULL;
	if (c->was_closed)
		call_unpin(c);
}

static struct rpc_call *next_locked(struct rpc_server *s)
{
	struct rpc_call *c;

	while (!(c = list_first(&s->runnable, struct rpc_call, runnable)) && !s->quitting)
		signal_wait(&s->session_work, &s->lock);
	if (!c)
		return NULL;
	list_remove(&c->runnable);
	c->running = true;
	c->again = false;
	return c;
}

static void *session_main(void *arg)
{
	struct rpc_server *s = arg;
	struct scratch scratch = { arena_new(0), arena_new(s->limits.max_unpacked) };
	struct rpc_call *c;
	bool again;

	for (;;) {
		lock_take(&s->lock);
		c = next_locked(s);
		lock_drop(&s->lock);
		if (!c)
			break;
		run(c, &scratch);
		lock_take(&s->lock);
		c->running = false;
		again = c->again;
		lock_drop(&s->lock);
		if (again)
			session_schedule(c);
		rpc_unref(c);
	}
	arena_free(scratch.arena);
	arena_free(scratch.inbox);
	return NULL;
}

void rpc_session_set(struct rpc_call *c, void *user)
{
	assert(call_is_session(c));
	c->user = user;
}

void *rpc_session_get(const struct rpc_call *c)
{
	return c->user;
}

void rpc_finish(struct rpc_call *c, const struct error *why)
{
	assert(call_is_session(c));
	call_finish(c, why);
}

void sessions_start(struct rpc_server *s)
{
	unsigned n = MIN(s->limits.session_threads, (unsigned)SESSION_THREADS_MAX);

	while (s->n_session_threads < n)
		s->session_threads[s->n_session_threads++] =
			thread_start("rpc-session", RPC_STACK, session_main, s);
}

void sessions_stop(struct rpc_server *s)
{
	lock_take(&s->lock);
	s->quitting = true;
	signal_all(&s->session_work);
	lock_drop(&s->lock);
	while (s->n_session_threads > 0)
		thread_join(s->session_threads[--s->n_session_threads]);
}
