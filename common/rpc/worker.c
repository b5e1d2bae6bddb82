/*
 * Call threads. A handler runs on a thread of its own, with a small stack and
 * two arenas that are reused; a thread without work for a while leaves. The
 * cap is on handlers: above limits.max_calls a call is refused, not queued, so
 * that a caller learns at once that the server is busy.
 */
#include <assert.h>

#include "rpc/internal.h"

enum { LINGER_MS = 10000 };

struct worker {
	struct list link; /* in server->idle or ->gone, under its lock */
	struct rpc_server *server;
	pthread_t thread;
	struct signal wake;
	struct rpc_call *job;
	struct arena *arena, *inbox;
};

typedef int unary_fn(struct rpc_call *, const void *, void *, struct error *);
typedef int server_stream_fn(struct rpc_call *, const void *, struct error *);
typedef int client_stream_fn(struct rpc_call *, void *, struct error *);
typedef int bidi_fn(struct rpc_call *, struct error *);

/* The request that arrived before the thread was taken. */
static int take_request(struct rpc_call *c, const void **ret, struct error *err)
{
	grpc_byte_buffer *buf;

	lock_take(&c->lock);
	assert(c->arrived);
	buf = steal(c->received);
	lock_drop(&c->lock);
	if (!buf && c->lost)
		return error_set(err, ERR_CANCELLED, "the client is gone");
	if (!buf)
		return error_set(err, ERR_INVALID, "the call came without a request");
	*ret = codec_unpack(c->in, buf, c->inbox, err);
	grpc_byte_buffer_destroy(buf);
	return *ret ? 0 : error_wrap(err, "'%s' was refused", c->route->method->name);
}

static int invoke(struct rpc_call *c, ProtobufCMessage *reply, struct error *err)
{
	const struct rpc_method *m = c->route->method;
	const void *request;

	if (caller_admit(c, err) < 0)
		return -1;
	if ((m->shape == RPC_SHAPE_UNARY || m->shape == RPC_SHAPE_SERVER_STREAM) &&
	    take_request(c, &request, err) < 0)
		return -1;
	switch (m->shape) {
	case RPC_SHAPE_UNARY:
		return ((unary_fn *)m->fn)(c, request, reply, err);
	case RPC_SHAPE_SERVER_STREAM:
		return ((server_stream_fn *)m->fn)(c, request, err);
	case RPC_SHAPE_CLIENT_STREAM:
		return ((client_stream_fn *)m->fn)(c, reply, err);
	case RPC_SHAPE_BIDI:
		return ((bidi_fn *)m->fn)(c, err);
	default:
		assert(!"a session has no call thread");
		return -1;
	}
}

/* What was posted, the reply and the status leave together; nobody waits for them here, but the
 * client has a limited time to take them. */
static void answer(struct rpc_call *c, const ProtobufCMessage *reply, const struct error *why)
{
	grpc_byte_buffer *buf = reply ? codec_pack(reply) : NULL;

	rpc_on_cancel(c, NULL, NULL);
	server_expect(c);
	lock_take(&c->lock);
	if (buf && !c->ended && !c->broken)
		call_enqueue_locked(c, steal(buf));
	lock_drop(&c->lock);
	if (buf)
		grpc_byte_buffer_destroy(buf);
	call_finish(c, why);
}

static void run(struct worker *w, struct rpc_call *c)
{
	enum rpc_shape shape = c->route->method->shape;
	ProtobufCMessage *reply = NULL;
	struct error err = { 0 };
	int r;

	c->arena = w->arena;
	c->inbox = w->inbox;
	if (shape == RPC_SHAPE_UNARY || shape == RPC_SHAPE_CLIENT_STREAM) {
		reply = arena_alloc(c->arena, c->out->sizeof_message);
		protobuf_c_message_init(c->out, reply);
	}
	r = invoke(c, reply, &err);
	if (r < 0 && err.code == ERR_NONE)
		error_set(&err, ERR_INTERNAL, "'%s' failed without a reason",
			  c->route->method->name);
	answer(c, r < 0 ? NULL : reply, r < 0 ? &err : NULL);
	c->arena = c->inbox = NULL;
	call_unpin(c);
	arena_reset(w->arena);
	arena_reset(w->inbox);
}

static bool next_job_locked(struct worker *w)
{
	struct rpc_server *s = w->server;

	s->calls--;
	s->served++;
	w->job = NULL;
	list_prepend(&s->idle, &w->link);
	while (!w->job && !s->quitting)
		if (!signal_wait_ms(&w->wake, &s->lock, LINGER_MS))
			break;
	if (w->job)
		return true;
	list_remove(&w->link);
	list_append(&s->gone, &w->link);
	s->n_workers--;
	signal_all(&s->changed);
	return false;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	bool more = true;

	w->arena = arena_new(0);
	w->inbox = arena_new(w->server->limits.max_unpacked);
	while (more) {
		run(w, w->job);
		lock_take(&w->server->lock);
		more = next_job_locked(w);
		lock_drop(&w->server->lock);
	}
	arena_free(w->arena);
	arena_free(w->inbox);
	return NULL;
}

static void join_gone(struct list *gone)
{
	struct worker *w;

	while ((w = list_first(gone, struct worker, link))) {
		list_remove(&w->link);
		thread_join(w->thread);
		signal_release(&w->wake);
		free(w);
	}
}

static void take_gone_locked(struct rpc_server *s, struct list *ret)
{
	struct worker *w;

	list_init(ret);
	while ((w = list_first(&s->gone, struct worker, link))) {
		list_remove(&w->link);
		list_append(ret, &w->link);
	}
}

static void start_worker(struct rpc_server *s, struct rpc_call *c)
{
	struct worker *w = xcalloc(1, sizeof *w);

	w->server = s;
	w->job = c;
	list_init(&w->link);
	signal_init(&w->wake);
	w->thread = thread_start("rpc-call", RPC_STACK, worker_main, w);
}

void worker_submit(struct rpc_call *c)
{
	struct rpc_server *s = c->server;
	struct error err = { 0 };
	struct worker *idle;
	struct list gone;

	lock_take(&s->lock);
	if (s->calls >= s->limits.max_calls) {
		error_id(&err, "E0606", "the server is busy with %u calls", s->calls);
		error_hint(&err, "try again in a moment");
		lock_drop(&s->lock);
		accept_refuse(c, &err);
		return;
	}
	s->calls++;
	idle = list_first(&s->idle, struct worker, link);
	if (idle) {
		list_remove(&idle->link);
		idle->job = c;
		signal_one(&idle->wake);
		lock_drop(&s->lock);
		return;
	}
	s->n_workers++;
	take_gone_locked(s, &gone);
	lock_drop(&s->lock);
	join_gone(&gone);
	start_worker(s, c);
}

void workers_stop(struct rpc_server *s)
{
	struct worker *w;
	struct list gone;

	lock_take(&s->lock);
	s->quitting = true;
	list_each(w, &s->idle, link)
		signal_one(&w->wake);
	while (s->n_workers > 0)
		signal_wait(&s->changed, &s->lock);
	take_gone_locked(s, &gone);
	lock_drop(&s->lock);
	join_gone(&gone);
}
