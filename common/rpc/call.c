/*
 * A call of either side. Three tags, each with at most one batch in flight:
 * send (call_send.c), recv, end. Whoever needs the core's call holds a pin; when
 * the last is dropped the core is freed, though references to the rest may live
 * on.
 */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "rpc/internal.h"

static void recv_done(struct rpc_tag *tag, bool ok);
static void end_done(struct rpc_tag *tag, bool ok);

struct rpc_call *call_new(void)
{
	struct rpc_call *c = xcalloc(1, sizeof *c);

	atomic_init(&c->refs, 1);
	lock_init(&c->lock);
	signal_init(&c->changed);
	c->last = &c->first;
	c->send.done = call_sent;
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
	call_drop_queue(c);
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
