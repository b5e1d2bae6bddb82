/*
 * A call of either side. Three tags, each with at most one batch in flight:
 * send, recv, end. What is to be sent waits in one queue, whether rpc_send()
 * waits for it or rpc_post() does not; the status (server) or half-close
 * (client) goes with the last message. Whoever needs the core's call holds a
 * pin; when the last is dropped the core is freed, though references to the
 * rest may live on.
 */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "rpc/internal.h"

static void send_done(struct rpc_tag *tag, bool ok);
static void recv_done(struct rpc_tag *tag, bool ok);
static void end_done(struct rpc_tag *tag, bool ok);

struct rpc_call *call_new(void)
{
	struct rpc_call *c = xcalloc(1, sizeof *c);

	atomic_init(&c->refs, 1);
	lock_init(&c->lock);
	signal_init(&c->changed);
	c->last = &c->first;
	c->send.done = send_done;
	c->recv.done = recv_done;
	c->end.done = end_done;
	c->details = grpc_empty_slice();
	c->deadline_ms = INT64_MAX;
	list_init(&c->open);
	list_init(&c->timed);
	list_init(&c->runnable);
	grpc_metadata_array_init(&c->initial);
	grpc_metadata_array_init(&c->trailing);
	return c;
}

static void drop_queue(struct rpc_call *c)
{
	struct rpc_out *out;

	while ((out = c->first)) {
		c->first = out->next;
		grpc_byte_buffer_destroy(out->buf);
		free(out);
	}
	c->last = &c->first;
	c->n_out = 0;
	c->out_bytes = 0;
}

struct rpc_call *rpc_ref(struct rpc_call *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void rpc_unref(struct rpc_call *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	assert(!c->core);
	drop_queue(c);
	if (c->sending)
		grpc_byte_buffer_destroy(c->sending);
	if (c->received)
		grpc_byte_buffer_destroy(c->received);
	raw_release(c);
	grpc_slice_unref(c->details);
	grpc_metadata_array_destroy(&c->initial);
	grpc_metadata_array_destroy(&c->trailing);
	caller_free(c);
	if (c->channel) {
		arena_free(c->arena);
		arena_free(c->inbox);
	}
	free(c->why);
	signal_release(&c->changed);
	lock_release(&c->lock);
	free(c);
}

void call_unpin(struct rpc_call *c)
{
	grpc_call *core = NULL;

	lock_take(&c->lock);
	assert(c->pins > 0);
	if (--c->pins == 0)
		core = steal(c->core);
	else
		signal_all(&c->changed);
	lock_drop(&c->lock);
	if (!core)
		return;
	grpc_call_unref(core);
	if (c->server)
		server_forget(c);
	rpc_unref(c);
}

void call_start_locked(struct rpc_call *c, const grpc_op *ops, size_t n, struct rpc_tag *tag)
{
	grpc_call_error e;

	lock_assert_held(&c->lock);
	c->pins++;
	tsan_release(tag);
	e = grpc_call_start_batch(c->core, ops, n, tag, NULL);
	assert(e == GRPC_CALL_OK);
	(void)e;
}

/* ---- sending ---- */

static size_t add_message(struct rpc_call *c, grpc_op *op)
{
	struct rpc_out *out = c->first;

	if (!out)
		return 0;
	c->first = out->next;
	if (!c->first)
		c->last = &c->first;
	c->n_out--;
	c->out_bytes -= out->bytes;
	if (c->sending)
		grpc_byte_buffer_destroy(c->sending);
	c->sending = out->buf;
	op->op = GRPC_OP_SEND_MESSAGE;
	/* Never GRPC_WRITE_BUFFER_HINT: with it, what follows a hinted message on a new connection
	 * may wait for the next ping (tests/interop/010-python-client). */
	op->flags = 0;
	op->data.send_message.send_message = c->sending;
	free(out);
	return 1;
}

/* The batch copies slices and trailers, so both go when it has started. */
struct farewell {
	grpc_slice text;
	grpc_metadata trailer;
};

static size_t add_farewell(struct rpc_call *c, grpc_op *op, struct farewell *f)
{
	if (!c->finishing || c->first)
		return 0;
	c->finished = true;
	if (!c->server) {
		op->op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
		return 1;
	}
	op->op = GRPC_OP_SEND_STATUS_FROM_SERVER;
	if (c->why) {
		f->text = grpc_slice_from_copied_string(c->why->text);
		f->trailer = codec_trailer(c->why);
		op->data.send_status_from_server.status = codec_status(c->why->code);
		op->data.send_status_from_server.status_details = &f->text;
		op->data.send_status_from_server.trailing_metadata_count = 1;
		op->data.send_status_from_server.trailing_metadata = &f->trailer;
	}
	return 1;
}

void call_pump_locked(struct rpc_call *c)
{
	struct farewell f = { .text = grpc_empty_slice(),
			      .trailer = { .value = grpc_empty_slice() } };
	grpc_op ops[3] = { 0 };
	size_t n = 0;

	if (c->in_send || c->finished || !c->core)
		return;
	if (c->ended || c->broken) {
		drop_queue(c);
		signal_all(&c->changed);
		return;
	}
	if (!c->first && !c->finishing)
		return;
	if (!c->opened) {
		c->opened = true;
		ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
	}
	n += add_message(c, &ops[n]);
	n += add_farewell(c, &ops[n], &f);
	c->in_send = true;
	call_start_locked(c, ops, n, &c->send);
	grpc_slice_unref(f.text);
	grpc_slice_unref(f.trailer.value);
}

static void send_done(struct rpc_tag *tag, bool ok)
{
	struct rpc_call *c = container_of(tag, struct rpc_call, send);
	bool ended;

	lock_take(&c->lock);
	c->in_send = false;
	if (c->sending) {
		grpc_byte_buffer_destroy(c->sending);
		c->sending = NULL;
		c->n_sent++;
	}
	if (!ok) {
		c->broken = true;
		/* The status can no longer be sent; the end must come all the same. */
		if (c->server && !c->ended)
			grpc_call_cancel(c->core, NULL);
	}
	call_pump_locked(c);
	ended = c->ended;
	signal_all(&c->changed);
	lock_drop(&c->lock);
	if (ended && c->notify)
		c->notify(c);
	call_unpin(c);
}

static bool is_over(const struct rpc_call *c)
{
	return c->ended || c->broken || c->cancelled || c->finishing || !c->core;
}

static int over_error(struct error *err)
{
	return error_set(err, ERR_CANCELLED, "the call is over");
}

void call_enqueue_locked(struct rpc_call *c, grpc_byte_buffer *buf)
{
	struct rpc_out *out = xcalloc(1, sizeof *out);

	lock_assert_held(&c->lock);
	out->buf = buf;
	out->bytes = grpc_byte_buffer_length(buf);
	*c->last = out;
	c->last = &out->next;
	c->n_out++;
	c->out_bytes += out->bytes;
	c->n_queued++;
}

int call_send(struct rpc_call *c, grpc_byte_buffer *buf, bool more, struct error *err)
{
	uint64_t mine;

	lock_take(&c->lock);
	if (is_over(c)) {
		lock_drop(&c->lock);
		grpc_byte_buffer_destroy(buf);
		return over_error(err);
	}
	call_enqueue_locked(c, buf);
	call_pump_locked(c);
	mine = c->n_queued;
	while (c->n_sent < mine && !c->ended && !c->broken && c->core) {
		if (more && c->out_bytes <= RPC_SEND_AHEAD)
			break;
		signal_wait(&c->changed, &c->lock);
	}
	if (c->broken || ((c->ended || c->cancelled) && c->n_sent < mine)) {
		lock_drop(&c->lock);
		return over_error(err);
	}
	lock_drop(&c->lock);
	return 0;
}

int rpc_send_(struct rpc_call *c, const ProtobufCMessage *msg, bool more, struct error *err)
{
	assert(msg->descriptor == c->out);
	return call_send(c, codec_pack(msg), more, err);
}

int call_post(struct rpc_call *c, grpc_byte_buffer *buf, struct error *err)
{
	int r = 0;

	lock_take(&c->lock);
	if (is_over(c)) {
		r = over_error(err);
	} else if (c->n_out >= c->limits->max_posts ||
		   c->out_bytes + grpc_byte_buffer_length(buf) > c->limits->max_posted) {
		r = error_set(err, ERR_EXHAUSTED,
			      "%u messages (%zu bytes) wait for the peer to read", c->n_out,
			      c->out_bytes);
	} else {
		call_enqueue_locked(c, steal(buf));
		call_pump_locked(c);
	}
	lock_drop(&c->lock);
	if (buf)
		grpc_byte_buffer_destroy(buf);
	return r;
}

int rpc_post_(struct rpc_call *c, const ProtobufCMessage *msg, struct error *err)
{
	assert(msg->descriptor == c->out);
	return call_post(c, codec_pack(msg), err);
}

void call_finish(struct rpc_call *c, const struct error *why)
{
	LOCKED(&c->lock);

	if (c->finishing)
		return;
	c->finishing = true;
	if (why && why->code != ERR_NONE)
		c->why = xmemdup(why, sizeof *why);
	call_pump_locked(c);
}

/* ---- receiving ---- */

void call_want_locked(struct rpc_call *c)
{
	grpc_op op = { .op = GRPC_OP_RECV_MESSAGE };

	if (c->in_recv || c->arrived || c->at_end || !c->core)
		return;
	op.data.recv_message.recv_message = &c->received;
	c->in_recv = true;
	call_start_locked(c, &op, 1, &c->recv);
}

static void recv_done(struct rpc_tag *tag, bool ok)
{
	struct rpc_call *c = container_of(tag, struct rpc_call, recv);

	lock_take(&c->lock);
	c->in_recv = false;
	c->arrived = true;
	/* A client that died in the middle looks like a clean end to `ok`. */
	if (!c->received)
		c->lost = !ok || grpc_call_failed_before_recv_message(c->core);
	signal_all(&c->changed);
	lock_drop(&c->lock);
	if (c->notify)
		c->notify(c);
	call_unpin(c);
}

static int at_end_locked(struct rpc_call *c, struct error *err)
{
	if (!c->server) {
		while (!c->ended)
			signal_wait(&c->changed, &c->lock);
		return client_status(c, err);
	}
	if (c->lost || c->cancelled)
		return error_set(err, ERR_CANCELLED, "the client is gone");
	return 0;
}

int call_next(struct rpc_call *c, int ms, grpc_byte_buffer **ret, struct error *err)
{
	int64_t until = ms < 0 ? INT64_MAX : clock_mono_us() / 1000 + ms, left = -1;

	LOCKED(&c->lock);
	call_want_locked(c);
	while (c->in_recv) {
		if (ms >= 0 && (left = until - clock_mono_us() / 1000) <= 0)
			return error_set(err, ERR_TIMEOUT, "nothing came within %d ms", ms);
		signal_wait_ms(&c->changed, &c->lock, left);
	}
	if (!c->arrived)
		return at_end_locked(c, err);
	c->arrived = false;
	if (!c->received) {
		c->at_end = true;
		return at_end_locked(c, err);
	}
	*ret = steal(c->received);
	call_want_locked(c); /* the next comes while this one is worked on */
	return 1;
}

struct arena *call_inbox(struct rpc_call *c)
{
	if (!c->inbox)
		c->inbox = arena_new(c->limits->max_unpacked);
	else
		arena_reset(c->inbox);
	return c->inbox;
}

int rpc_recv_(struct rpc_call *c, const void **ret, size_t size, int ms, struct error *err)
{
	grpc_byte_buffer *buf;
	int r;

	assert(size == c->in->sizeof_message);
	r = call_next(c, ms, &buf, err);
	if (r <= 0)
		return r;
	*ret = codec_unpack(c->in, buf, call_inbox(c), err);
	grpc_byte_buffer_destroy(buf);
	return *ret ? 1 : error_wrap(err, "a message '%s' was refused", c->in->short_name);
}

/* ---- the end ---- */

static void end_done(struct rpc_tag *tag, bool ok)
{
	struct rpc_call *c = container_of(tag, struct rpc_call, end);
	void (*wake)(void *arg) = NULL;
	void *arg;

	lock_take(&c->lock);
	c->ended = true;
	if (c->server ? c->was_cancelled : c->status != GRPC_STATUS_OK)
		c->cancelled = true;
	if (c->wake && (c->cancelled || !c->server)) {
		wake = c->wake;
		arg = c->wake_arg;
		c->waking = true;
	}
	call_pump_locked(c);
	signal_all(&c->changed);
	lock_drop(&c->lock);
	if (wake) {
		wake(arg);
		lock_take(&c->lock);
		c->waking = false;
		signal_all(&c->changed);
		lock_drop(&c->lock);
	}
	if (c->notify)
		c->notify(c);
	call_unpin(c);
}

void rpc_cancel(struct rpc_call *c)
{
	LOCKED(&c->lock);

	if (c->core && !c->ended)
		grpc_call_cancel(c->core, NULL);
}

bool rpc_cancelled(struct rpc_call *c)
{
	LOCKED(&c->lock);

	return c->cancelled || !c->core || (!c->server && c->ended);
}

void rpc_on_cancel(struct rpc_call *c, void (*wake)(void *arg), void *arg)
{
	bool now;

	lock_take(&c->lock);
	while (c->waking)
		signal_wait(&c->changed, &c->lock);
	c->wake = wake;
	c->wake_arg = arg;
	now = wake && (c->cancelled || (!c->server && c->ended));
	lock_drop(&c->lock);
	if (now)
		wake(arg);
}

/* ---- what may be asked of it ---- */

struct arena *rpc_arena(struct rpc_call *c)
{
	if (!c->arena)
		c->arena = arena_new(0);
	return c->arena;
}

int64_t rpc_deadline(const struct rpc_call *c)
{
	return c->deadline_ms;
}

void *rpc_self(const struct rpc_call *c)
{
	return c->route ? c->route->self : NULL;
}

const struct rpc_caller *rpc_caller(const struct rpc_call *c)
{
	return c->caller;
}

const char *rpc_peer(const struct rpc_call *c)
{
	return c->caller ? c->caller->peer_uri : "";
}

void *rpc_identity(const struct rpc_call *c)
{
	return c->identity.identity;
}
