/*
 * How calls come in. Some slots per listener stand ready for the next call of
 * any method; a taken slot is armed again before its call is looked at, and a
 * method that is not in the table is refused at once (the core would let it
 * hang). A call with one request gets no thread before that has arrived, for
 * which it has a limited time; it is the guard, later, who decides about it.
 */
#include <assert.h>

#include "base/clock.h"
#include "rpc/internal.h"

static void slot_done(struct rpc_tag *tag, bool ok);

static void slot_request(struct rpc_slot *slot)
{
	grpc_completion_queue *cq = slot->port->server->queue.cq;
	grpc_call_error e;

	grpc_call_details_init(&slot->details);
	grpc_metadata_array_init(&slot->initial);
	tsan_release(&slot->tag);
	e = grpc_server_request_call(slot->port->core, &slot->core, &slot->details, &slot->initial,
				     cq, cq, &slot->tag);
	assert(e == GRPC_CALL_OK);
	(void)e;
}

void accept_arm(struct rpc_port *port)
{
	lock_take(&port->server->lock);
	port->server->armed += RPC_SLOTS;
	lock_drop(&port->server->lock);
	for (int i = 0; i < RPC_SLOTS; i++) {
		port->slots[i].port = port;
		port->slots[i].tag.done = slot_done;
		slot_request(&port->slots[i]);
	}
}

static int64_t boot_deadline(gpr_timespec deadline)
{
	gpr_timespec now = gpr_now(deadline.clock_type);

	if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0)
		return INT64_MAX;
	return clock_boot_ms() + gpr_time_to_millis(gpr_time_sub(deadline, now));
}

static struct rpc_call *call_from(struct rpc_slot *slot)
{
	struct rpc_call *c = call_new();
	struct rpc_server *s = slot->port->server;
	grpc_slice path = slot->details.method;

	c->server = s;
	c->port = slot->port;
	c->limits = &s->limits;
	c->core = slot->core;
	c->pins = 1;
	c->initial = slot->initial;
	c->deadline_ms = boot_deadline(slot->details.deadline);
	HASH_FIND(hh, s->routes, GRPC_SLICE_START_PTR(path), GRPC_SLICE_LENGTH(path), c->route);
	if (c->route) {
		c->in = c->route->descriptor->input;
		c->out = c->route->descriptor->output;
	}
	grpc_call_details_destroy(&slot->details);
	return c;
}

void accept_refuse(struct rpc_call *c, const struct error *why)
{
	lock_take(&c->server->lock);
	c->server->refused++;
	lock_drop(&c->server->lock);
	call_finish(c, why);
	call_unpin(c);
}

bool call_is_session(const struct rpc_call *c)
{
	return c->route && (c->route->method->shape == RPC_SHAPE_SESSION ||
			    c->route->method->shape == RPC_SHAPE_WATCH);
}

/* The one request of a call is there, or will never be. */
static void request_arrived(struct rpc_call *c)
{
	bool first;

	lock_take(&c->lock);
	first = c->arrived && !c->began;
	if (first)
		c->began = true;
	lock_drop(&c->lock);
	if (!first)
		return;
	server_settle(c);
	worker_submit(c);
}

static bool count_session(struct rpc_call *c)
{
	LOCKED(&c->server->lock);

	if (c->port->sessions >= c->limits->max_sessions)
		return false;
	c->port->sessions++;
	c->counted = true;
	return true;
}

static void watch_end(struct rpc_call *c)
{
	grpc_op op = { .op = GRPC_OP_RECV_CLOSE_ON_SERVER };

	op.data.recv_close_on_server.cancelled = &c->was_cancelled;
	LOCKED(&c->lock);
	call_start_locked(c, &op, 1, &c->end);
}

static void await_request(struct rpc_call *c)
{
	server_expect(c);
	LOCKED(&c->lock);
	call_want_locked(c);
}

static void take_call(struct rpc_call *c, bool stopping)
{
	struct error err = { 0 };

	if (stopping)
		error_set(&err, ERR_UNAVAILABLE, "the server is stopping");
	else if (!c->route)
		error_set(&err, ERR_UNIMPLEMENTED, "there is no such method here");
	else if (call_is_session(c) && !count_session(c))
		error_set(&err, ERR_EXHAUSTED, "%u sessions are open, no more are allowed",
			  c->limits->max_sessions);
	if (err.code != ERR_NONE) {
		watch_end(c);
		accept_refuse(c, &err);
		return;
	}
	switch (c->route->method->shape) {
	case RPC_SHAPE_UNARY:
	case RPC_SHAPE_SERVER_STREAM:
		c->notify = request_arrived;
		watch_end(c);
		await_request(c);
		break;
	case RPC_SHAPE_CLIENT_STREAM:
	case RPC_SHAPE_BIDI:
		watch_end(c);
		worker_submit(c);
		break;
	case RPC_SHAPE_SESSION:
	case RPC_SHAPE_WATCH:
		c->notify = session_schedule;
		watch_end(c);
		session_schedule(c);
		break;
	}
}

static void slot_done(struct rpc_tag *tag, bool ok)
{
	struct rpc_slot *slot = container_of(tag, struct rpc_slot, tag);
	struct rpc_server *s = slot->port->server;
	struct rpc_call *c = NULL;
	bool stopping;

	if (ok) {
		c = call_from(slot);
	} else {
		grpc_call_details_destroy(&slot->details);
		grpc_metadata_array_destroy(&slot->initial);
	}
	lock_take(&s->lock);
	stopping = s->stopping;
	if (c) {
		list_append(&s->open, &c->open);
		s->n_open++;
	}
	if (!ok || stopping)
		s->armed--;
	signal_all(&s->changed);
	lock_drop(&s->lock);
	if (ok && !stopping)
		slot_request(slot);
	if (c)
		take_call(c, stopping);
}
