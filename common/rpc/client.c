/*
 * Channels and the client's side of calls. All channels of a process share one
 * completion queue with one io thread, which lives while there is a channel. A
 * unary call is one batch of six operations.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "rpc/internal.h"

enum { MAX_ARGS = 24 };

/* ---- the queue they share ---- */

static struct lock shared_lock = LOCK_INIT; /* guards both */
static struct rpc_queue *shared;
static unsigned n_channels;

static struct rpc_queue *queue_get(void)
{
	LOCKED(&shared_lock);

	if (n_channels++ == 0) {
		shared = xcalloc(1, sizeof *shared);
		queue_start(shared, 1);
	}
	return shared;
}

static void queue_put(void)
{
	struct rpc_queue *last = NULL;

	lock_take(&shared_lock);
	if (--n_channels == 0)
		last = steal(shared);
	lock_drop(&shared_lock);
	if (!last)
		return;
	queue_stop(last);
	free(last);
}

/* ---- channels ---- */

static void add_arg(grpc_channel_args *args, const char *key, int value)
{
	assert(args->num_args < MAX_ARGS);
	args->args[args->num_args++] =
		(grpc_arg){ .type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value };
}

/* GRPC.md, "Settings", has the reason for each. The least reconnect back-off is also the time that
 * a handshake may take. */
static grpc_channel *new_core(const struct rpc_channel *ch, grpc_channel_credentials *creds)
{
	const struct rpc_limits *l = &ch->limits;
	grpc_arg room[MAX_ARGS];
	grpc_channel_args args = { 0, room };

	add_arg(&args, GRPC_ARG_KEEPALIVE_TIME_MS, l->keepalive_ms);
	add_arg(&args, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, l->keepalive_timeout_ms);
	add_arg(&args, GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
	add_arg(&args, GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
	add_arg(&args, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)l->max_message);
	add_arg(&args, GRPC_ARG_MAX_METADATA_SIZE, RPC_MAX_METADATA);
	add_arg(&args, GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 500);
	add_arg(&args, GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10000);
	add_arg(&args, GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
	add_arg(&args, GRPC_ARG_ENABLE_RETRIES, 0);
	add_arg(&args, GRPC_ARG_ENABLE_HTTP_PROXY, 0);
	add_arg(&args, GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
	add_arg(&args, GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
	add_arg(&args, GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
	add_arg(&args, "grpc.compression_enabled_algorithms_bitset", 1 << GRPC_COMPRESS_NONE);
	add_arg(&args, GRPC_ARG_ENABLE_CHANNELZ, 0);
	add_arg(&args, GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_MEMORY_PER_NODE, 0);
	if (ch->server_name)
		args.args[args.num_args++] =
			(grpc_arg){ .type = GRPC_ARG_STRING,
				    .key = (char *)GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
				    .value.string = ch->server_name };
	return grpc_channel_create(ch->address, creds, &args);
}

static char *copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static int or_default(int value, int is)
{
	return value ? value : is;
}

static void channel_free(struct rpc_channel *ch)
{
	free(ch->address);
	free(ch->what);
	free(ch->server_name);
	free(ch->ca_pem);
	free(ch->cert_pem);
	if (ch->key_pem)
		explicit_bzero(ch->key_pem, strlen(ch->key_pem));
	free(ch->key_pem);
	free(ch->authorization);
	lock_release(&ch->lock);
	free(ch);
}

static struct rpc_channel *channel_new(const struct rpc_endpoint *ep)
{
	struct rpc_channel *ch = xcalloc(1, sizeof *ch);

	lock_init(&ch->lock);
	ch->address = xstrdup(ep->address);
	ch->what = xstrdup(ep->what ? ep->what : "the controller");
	ch->server_name = copy(ep->server_name);
	ch->ca_pem = copy(ep->ca_pem);
	ch->cert_pem = copy(ep->cert_pem);
	ch->key_pem = copy(ep->key_pem);
	ch->timeout_ms = or_default(ep->timeout_ms, 30000);
	ch->wait_ready_ms = ep->wait_ready_ms;
	ch->limits.keepalive_ms = or_default(ep->keepalive_ms, 20000);
	ch->limits.keepalive_timeout_ms = or_default(ep->keepalive_timeout_ms, 10000);
	ch->limits.max_message = ep->max_message ? ep->max_message : 4 << 20;
	ch->limits.max_unpacked = ep->max_unpacked ? ep->max_unpacked : 32 << 20;
	ch->limits.max_posts = ep->max_posts ? ep->max_posts : 1024;
	ch->limits.max_posted = ep->max_posted ? ep->max_posted : 4 << 20;
	return ch;
}

struct rpc_channel *rpc_dial(const struct rpc_endpoint *ep, struct error *err)
{
	cleanup(freep) char *host = NULL;
	cleanup(freep) char *port = NULL;
	grpc_channel_credentials *creds;
	struct rpc_channel *ch;

	if (tls_split_address(ep->address, &host, &port, err) < 0)
		return NULL;
	rpc_init();
	grpc_init();
	creds = tls_channel_credentials(ep, err);
	if (!creds) {
		grpc_shutdown();
		return NULL;
	}
	ch = channel_new(ep);
	ch->queue = queue_get();
	ch->core = new_core(ch, creds);
	grpc_channel_credentials_release(creds);
	rpc_channel_bearer(ch, ep->bearer);
	return ch;
}

void rpc_hangup(struct rpc_channel *ch)
{
	if (!ch)
		return;
	grpc_channel_destroy(ch->core);
	queue_put();
	channel_free(ch);
	grpc_shutdown();
}

void rpc_channel_bearer(struct rpc_channel *ch, const char *bearer)
{
	LOCKED(&ch->lock);

	free(ch->authorization);
	ch->authorization = bearer && *bearer ? xprintf("Bearer %s", bearer) : NULL;
}

struct ready {
	struct rpc_tag tag;
	struct lock lock;
	struct signal changed;
	bool done;
};

static void ready_done(struct rpc_tag *tag, bool ok)
{
	struct ready *r = container_of(tag, struct ready, tag);

	LOCKED(&r->lock);
	r->done = true;
	signal_all(&r->changed);
}

/* When it does not come, the call itself will say why. */
static void wait_ready(struct rpc_channel *ch)
{
	int64_t until = clock_mono_us() / 1000 + ch->wait_ready_ms, left;
	struct ready r = { .tag.done = ready_done };
	grpc_connectivity_state state;

	lock_init(&r.lock);
	signal_init(&r.changed);
	while ((state = grpc_channel_check_connectivity_state(ch->core, 1)) != GRPC_CHANNEL_READY &&
	       (left = until - clock_mono_us() / 1000) > 0) {
		r.done = false;
		tsan_release(&r.tag);
		grpc_channel_watch_connectivity_state(ch->core, state, rpc_in_ms(left),
						      ch->queue->cq, &r.tag);
		lock_take(&r.lock);
		while (!r.done)
			signal_wait(&r.changed, &r.lock);
		lock_drop(&r.lock);
	}
	signal_release(&r.changed);
	lock_release(&r.lock);
}

/* ---- calls ---- */

static struct rpc_call *client_call(struct rpc_channel *ch, int timeout_ms,
				    const ProtobufCServiceDescriptor *service, const char *method)
{
	const ProtobufCMethodDescriptor *m =
		protobuf_c_service_descriptor_get_method_by_name(service, method);
	struct rpc_call *c = call_new();
	grpc_slice path;
	char *text;

	assert(m);
	c->channel = ch;
	c->limits = &ch->limits;
	c->in = m->output;
	c->out = m->input;
	c->timeout_ms = timeout_ms;
	c->deadline_ms = timeout_ms > 0 ? clock_boot_ms() + timeout_ms : INT64_MAX;
	if (ch->wait_ready_ms > 0)
		wait_ready(ch);
	text = xprintf("/%s/%s", service->name, method);
	path = grpc_slice_from_copied_string(text);
	free(text);
	c->core = grpc_channel_create_call(ch->core, NULL, GRPC_PROPAGATE_DEFAULTS, ch->queue->cq,
					   path, NULL, rpc_in_ms(timeout_ms > 0 ? timeout_ms : -1),
					   NULL);
	grpc_slice_unref(path);
	c->pins = 1; /* ours, until rpc_close() */
	rpc_ref(c);
	return c;
}

static size_t authorization(struct rpc_channel *ch, grpc_metadata *ret)
{
	LOCKED(&ch->lock);

	ret->key = grpc_slice_from_static_string("authorization");
	ret->value = ch->authorization ? grpc_slice_from_copied_string(ch->authorization)
				       : grpc_empty_slice();
	return ch->authorization ? 1 : 0;
}

/* The headers that come and the status are of no use one without the other. */
static size_t add_end_ops(struct rpc_call *c, grpc_op *ops)
{
	ops[0].op = GRPC_OP_RECV_INITIAL_METADATA;
	ops[0].data.recv_initial_metadata.recv_initial_metadata = &c->initial;
	ops[1].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
	ops[1].data.recv_status_on_client.trailing_metadata = &c->trailing;
	ops[1].data.recv_status_on_client.status = &c->status;
	ops[1].data.recv_status_on_client.status_details = &c->details;
	return 2;
}

static size_t add_open_op(grpc_op *op, size_t n_md, grpc_metadata *md)
{
	op->op = GRPC_OP_SEND_INITIAL_METADATA;
	op->data.send_initial_metadata.count = n_md;
	op->data.send_initial_metadata.metadata = md;
	return 1;
}

struct rpc_call *rpc_open_within(struct rpc_channel *ch, int timeout_ms,
				 const ProtobufCServiceDescriptor *service, const char *method,
				 struct error *err)
{
	struct rpc_call *c = client_call(ch, timeout_ms, service, method);
	grpc_op ops[2] = { 0 }, open = { 0 };
	grpc_metadata md = { 0 };
	size_t n_md = authorization(ch, &md);

	lock_take(&c->lock);
	call_start_locked(c, ops, add_end_ops(c, ops), &c->end);
	c->opened = c->in_send = true;
	call_start_locked(c, &open, add_open_op(&open, n_md, &md), &c->send);
	lock_drop(&c->lock);
	grpc_slice_unref(md.value);
	return c;
}

struct rpc_call *rpc_open(struct rpc_channel *ch, const ProtobufCServiceDescriptor *service,
			  const char *method, struct error *err)
{
	return rpc_open_within(ch, 0, service, method, err);
}

int rpc_done_sending(struct rpc_call *c, struct error *err)
{
	assert(c->channel);
	LOCKED(&c->lock);
	c->finishing = true;
	call_pump_locked(c);
	while ((!c->finished || c->in_send) && !c->ended && !c->broken)
		signal_wait(&c->changed, &c->lock);
	if (c->broken || !c->finished)
		return error_set(err, ERR_CANCELLED, "the call is over");
	return 0;
}

void rpc_close(struct rpc_call *c)
{
	if (!c)
		return;
	assert(c->channel);
	lock_take(&c->lock);
	if (!c->ended)
		grpc_call_cancel(c->core, NULL);
	while (c->pins > 1)
		signal_wait(&c->changed, &c->lock);
	lock_drop(&c->lock);
	call_unpin(c);
	rpc_unref(c);
}

int client_status(struct rpc_call *c, struct error *err)
{
	cleanup(freep) char *details = NULL;

	if (c->status == GRPC_STATUS_OK)
		return 0;
	if (codec_error(c->status, c->details, &c->trailing, err))
		return -1;
	details = xstrndup((const char *)GRPC_SLICE_START_PTR(c->details),
			   GRPC_SLICE_LENGTH(c->details));
	words_for(c->channel, c->status, details, c->timeout_ms, err);
	return -1;
}

/* ---- unary ---- */

static void run_unary(struct rpc_call *c, const ProtobufCMessage *request)
{
	grpc_byte_buffer *buf = codec_pack(request);
	grpc_op ops[6] = { 0 };
	grpc_metadata md = { 0 };
	size_t n = add_end_ops(c, ops);

	n += add_open_op(&ops[n], authorization(c->channel, &md), &md);
	ops[n].op = GRPC_OP_SEND_MESSAGE;
	ops[n++].data.send_message.send_message = buf;
	ops[n++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
	ops[n].op = GRPC_OP_RECV_MESSAGE;
	ops[n++].data.recv_message.recv_message = &c->received;
	lock_take(&c->lock);
	call_start_locked(c, ops, n, &c->end);
	while (!c->ended)
		signal_wait(&c->changed, &c->lock);
	lock_drop(&c->lock);
	grpc_slice_unref(md.value);
	grpc_byte_buffer_destroy(buf);
}

const void *rpc_ask_within(struct rpc_channel *ch, int timeout_ms,
			   const ProtobufCServiceDescriptor *service, const char *method,
			   struct arena *arena, const ProtobufCMessage *request, struct error *err)
{
	cleanup(rpc_closep) struct rpc_call *c = client_call(ch, timeout_ms, service, method);
	const void *reply;

	assert(request->descriptor == c->out);
	run_unary(c, request);
	if (client_status(c, err) < 0)
		return NULL;
	if (!c->received)
		return error_set(err, ERR_INTERNAL, "%s gave no reply to '%s'", ch->what, method),
		       NULL;
	reply = codec_unpack(c->in, c->received, arena, err);
	if (!reply)
		error_wrap(err, "the reply to '%s'", method);
	return reply;
}

const void *rpc_ask(struct rpc_channel *ch, const ProtobufCServiceDescriptor *service,
		    const char *method, struct arena *arena, const ProtobufCMessage *request,
		    struct error *err)
{
	return rpc_ask_within(ch, ch->timeout_ms, service, method, arena, request, err);
}
