/*
 * What a call sends. All of it waits in one queue, whether rpc_send() waits for it or rpc_post()
 * does not, and goes a message a batch; the status (server) or half-close (client) goes with the
 * last.
 */
#include <assert.h>

#include "rpc/internal.h"

void call_drop_queue(struct rpc_call *c)
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
		call_drop_queue(c);
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

void call_sent(struct rpc_tag *tag, bool ok)
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
