/*
 * A server: one core server per listener, so that a call's listener is known
 * for certain, with one completion queue, one table of methods and one set of
 * limits for all of them.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "rpc/internal.h"

enum { MAX_ARGS = 24 };

static void set_default(unsigned *value, unsigned is)
{
	if (*value == 0)
		*value = is;
}

static void set_default_size(size_t *value, size_t is)
{
	if (*value == 0)
		*value = is;
}

static void set_default_ms(int *value, int is)
{
	if (*value == 0)
		*value = is;
}

static struct rpc_limits with_defaults(const struct rpc_limits *given)
{
	struct rpc_limits l = given ? *given : (struct rpc_limits){ 0 };

	set_default(&l.max_calls, 256);
	set_default(&l.max_sessions, 16384);
	set_default(&l.max_peer_calls, 32);
	set_default(&l.max_posts, 1024);
	set_default_size(&l.max_posted, 4 << 20);
	set_default_size(&l.max_message, 1 << 20);
	set_default_size(&l.max_unpacked, 8 << 20);
	set_default(&l.max_streams, 256);
	set_default(&l.io_threads, 1);
	set_default(&l.session_threads, 2);
	set_default_ms(&l.keepalive_ms, 30000);
	set_default_ms(&l.keepalive_timeout_ms, 10000);
	set_default_ms(&l.request_timeout_ms, 20000);
	l.io_threads = MIN(l.io_threads, (unsigned)RPC_MAX_IO_THREADS);
	return l;
}

static void add_arg(grpc_channel_args *args, const char *key, int value)
{
	assert(args->num_args < MAX_ARGS);
	args->args[args->num_args++] =
		(grpc_arg){ .type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value };
}

/* GRPC.md, "Settings", has the reason for each. */
static grpc_server *new_core(const struct rpc_limits *l)
{
	grpc_arg room[MAX_ARGS];
	grpc_channel_args args = { 0, room };

	add_arg(&args, GRPC_ARG_KEEPALIVE_TIME_MS, l->keepalive_ms);
	add_arg(&args, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, l->keepalive_timeout_ms);
	add_arg(&args, GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
	add_arg(&args, GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
	add_arg(&args, GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
		MIN(10000, l->keepalive_ms));
	add_arg(&args, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)l->max_message);
	add_arg(&args, GRPC_ARG_MAX_METADATA_SIZE, RPC_MAX_METADATA);
	add_arg(&args, GRPC_ARG_MAX_CONCURRENT_STREAMS, (int)l->max_streams);
	add_arg(&args, GRPC_ARG_ALLOW_REUSEPORT, 0);
	add_arg(&args, GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10000);
	add_arg(&args, GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
	add_arg(&args, "grpc.compression_enabled_algorithms_bitset", 1 << GRPC_COMPRESS_NONE);
	add_arg(&args, GRPC_ARG_ENABLE_CHANNELZ, 0);
	add_arg(&args, GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_MEMORY_PER_NODE, 0);
	return grpc_server_create(&args, NULL);
}

/* ---- calls with a time limit ---- */

static struct rpc_call *take_late(struct rpc_server *s, int64_t now)
{
	LOCKED(&s->lock);
	struct rpc_call *c = list_first(&s->timed, struct rpc_call, timed);

	if (!c || c->due_ms > now)
		return NULL;
	list_remove(&c->timed);
	s->n_timed--;
	return rpc_ref(c);
}

static void sweep(struct rpc_timer *timer)
{
	struct rpc_server *s = container_of(timer, struct rpc_server, sweep);
	int64_t now = clock_mono_us() / 1000, next = -1;
	struct rpc_call *c;

	while ((c = take_late(s, now))) {
		rpc_cancel(c);
		rpc_unref(c);
	}
	lock_take(&s->lock);
	c = list_first(&s->timed, struct rpc_call, timed);
	if (c)
		next = c->due_ms - now;
	s->sweeping = next >= 0;
	lock_drop(&s->lock);
	if (next >= 0)
		queue_set_timer(&s->queue, &s->sweep, next);
}

void server_expect(struct rpc_call *c)
{
	struct rpc_server *s = c->server;
	struct rpc_call *oldest = NULL;
	bool set;

	lock_take(&s->lock);
	c->due_ms = clock_mono_us() / 1000 + s->limits.request_timeout_ms;
	if (!list_linked(&c->timed))
		s->n_timed++;
	list_remove(&c->timed);
	list_append(&s->timed, &c->timed);
	/* Strangers can open calls and send nothing: the one that waits longest gives way. */
	if (s->n_timed > 4 * s->limits.max_calls) {
		oldest = rpc_ref(list_first(&s->timed, struct rpc_call, timed));
		list_remove(&oldest->timed);
		s->n_timed--;
	}
	set = !s->sweeping;
	s->sweeping = true;
	lock_drop(&s->lock);
	if (set)
		queue_set_timer(&s->queue, &s->sweep, s->limits.request_timeout_ms);
	if (oldest) {
		rpc_cancel(oldest);
		rpc_unref(oldest);
	}
}

static void settle_locked(struct rpc_call *c)
{
	if (!list_linked(&c->timed))
		return;
	list_remove(&c->timed);
	c->server->n_timed--;
}

void server_settle(struct rpc_call *c)
{
	LOCKED(&c->server->lock);

	settle_locked(c);
}

void server_forget(struct rpc_call *c)
{
	struct rpc_server *s = c->server;

	LOCKED(&s->lock);
	settle_locked(c);
	list_remove(&c->open);
	if (c->counted)
		c->port->sessions--;
	if (c->peer && --c->peer->calls == 0) {
		HASH_DEL(s->peers, c->peer);
		free(c->peer->uri);
		free(c->peer);
	}
	c->peer = NULL;
	if (--s->n_open == 0)
		signal_all(&s->changed);
}

/* ---- building it ---- */

struct rpc_server *rpc_server_new(const struct rpc_listener *listeners, unsigned n,
				  const struct rpc_limits *limits, struct error *err)
{
	cleanup(rpc_server_freep) struct rpc_server *s = xcalloc(1, sizeof *s);
	struct rpc_port *port;

	assert(n > 0 && n <= RPC_MAX_LISTENERS);
	rpc_init();
	grpc_init();
	s->limits = with_defaults(limits);
	lock_init(&s->lock);
	signal_init(&s->changed);
	signal_init(&s->session_work);
	list_init(&s->open);
	list_init(&s->timed);
	list_init(&s->idle);
	list_init(&s->gone);
	list_init(&s->runnable);
	s->sweep.fire = sweep;
	queue_start(&s->queue, s->limits.io_threads);
	while (s->n_ports < n) {
		port = &s->ports[s->n_ports];
		port->server = s;
		port->kind = listeners[s->n_ports].kind;
		port->address = xstrdup(listeners[s->n_ports].address);
		port->cert = xstrdup(listeners[s->n_ports].cert);
		port->key = xstrdup(listeners[s->n_ports].key);
		if (listeners[s->n_ports].client_ca)
			port->client_ca = xstrdup(listeners[s->n_ports].client_ca);
		port->core = new_core(&s->limits);
		grpc_server_register_completion_queue(port->core, s->queue.cq, NULL);
		s->n_ports++;
	}
	health_init(s);
	reflection_init(s);
	return steal(s);
}

void rpc_server_guard(struct rpc_server *s, rpc_guard *guard, void *self)
{
	assert(!s->started);
	s->guard = guard;
	s->guard_self = self;
}

static void add_route(struct rpc_server *s, const ProtobufCServiceDescriptor *service,
		      const struct rpc_method *m, void *self)
{
	struct rpc_route *route = xcalloc(1, sizeof *route), *other;

	route->service = service;
	route->method = m;
	route->self = self;
	route->descriptor = protobuf_c_service_descriptor_get_method_by_name(service, m->name);
	route->path = xprintf("/%s/%s", service->name, m->name);
	HASH_FIND_STR(s->routes, route->path, other);
	if (!route->descriptor || other || m->access == 0 || !m->fn ||
	    route->descriptor->input->sizeof_message != m->request_size ||
	    route->descriptor->output->sizeof_message != m->reply_size) {
		fprintf(stderr, "rpc: the row '%s' does not match the .proto's %s\n", m->name,
			service->name);
		abort();
	}
	HASH_ADD_KEYPTR(hh, s->routes, route->path, strlen(route->path), route);
}

void rpc_server_add(struct rpc_server *s, const ProtobufCServiceDescriptor *service,
		    const struct rpc_method *methods, void *self)
{
	assert(!s->started);
	for (const struct rpc_method *m = methods; m->name; m++)
		add_route(s, service, m, self);
}

static int open_port(struct rpc_port *port, struct error *err)
{
	grpc_server_credentials *creds = tls_server_credentials(port, err);

	if (!creds)
		return error_wrap(err, "listening on '%s'", port->address);
	port->port = grpc_server_add_http2_port(port->core, port->address, creds);
	grpc_server_credentials_release(creds);
	if (port->port == 0) {
		error_set(err, ERR_UNAVAILABLE, "cannot listen on '%s'", port->address);
		return error_hint(err, "is the address one of this host's, and the port free?");
	}
	return 0;
}

int rpc_server_start(struct rpc_server *s, struct error *err)
{
	assert(!s->started);
	for (unsigned i = 0; i < s->n_ports; i++)
		if (open_port(&s->ports[i], err) < 0)
			return -1;
	sessions_start(s);
	s->started = true;
	health_all(s, true);
	for (unsigned i = 0; i < s->n_ports; i++) {
		grpc_server_start(s->ports[i].core);
		accept_arm(&s->ports[i]);
	}
	return 0;
}

int rpc_server_port(const struct rpc_server *s, unsigned listener)
{
	assert(listener < s->n_ports);
	return s->ports[listener].port;
}

/* ---- stopping it ---- */

static void shut_done(struct rpc_tag *tag, bool ok)
{
	struct rpc_server *s = container_of(tag, struct rpc_port, shut)->server;

	LOCKED(&s->lock);
	s->shut++;
	signal_all(&s->changed);
}

static unsigned collect(struct rpc_server *s, bool (*match)(void *, const struct rpc_call *),
			void *arg, struct rpc_call ***ret)
{
	struct rpc_call *c;
	unsigned n = 0;

	LOCKED(&s->lock);
	*ret = xcalloc(s->n_open + 1, sizeof **ret);
	list_each(c, &s->open, open)
		if (match(arg, c))
			(*ret)[n++] = rpc_ref(c);
	return n;
}

static bool match_session(void *arg, const struct rpc_call *c)
{
	return call_is_session(c);
}

/* Agents redial by themselves; they need not wait for the grace to end. */
static void end_sessions(struct rpc_server *s)
{
	struct error why = { 0 };
	struct rpc_call **calls;
	unsigned n = collect(s, match_session, NULL, &calls);

	error_set(&why, ERR_UNAVAILABLE, "the server is stopping");
	while (n > 0) {
		call_finish(calls[--n], &why);
		rpc_unref(calls[n]);
	}
	free(calls);
}

static bool all_over_locked(const struct rpc_server *s)
{
	return s->shut == s->n_ports && s->n_open == 0 && s->armed == 0;
}

static bool wait_for_calls(struct rpc_server *s, int grace_ms)
{
	int64_t until = clock_mono_us() / 1000 + grace_ms, left;

	LOCKED(&s->lock);
	while (!all_over_locked(s)) {
		left = until - clock_mono_us() / 1000;
		if (left <= 0)
			return false;
		signal_wait_ms(&s->changed, &s->lock, left);
	}
	return true;
}

void rpc_server_stop(struct rpc_server *s, int grace_ms)
{
	if (!s->started || s->stopped)
		return;
	health_all(s, false);
	lock_take(&s->lock);
	s->stopping = true;
	lock_drop(&s->lock);
	for (unsigned i = 0; i < s->n_ports; i++) {
		s->ports[i].shut.done = shut_done;
		tsan_release(&s->ports[i].shut);
		grpc_server_shutdown_and_notify(s->ports[i].core, s->queue.cq, &s->ports[i].shut);
	}
	end_sessions(s);
	if (!wait_for_calls(s, grace_ms)) {
		for (unsigned i = 0; i < s->n_ports; i++)
			grpc_server_cancel_all_calls(s->ports[i].core);
		lock_take(&s->lock);
		while (!all_over_locked(s))
			signal_wait(&s->changed, &s->lock);
		lock_drop(&s->lock);
	}
	sessions_stop(s);
	workers_stop(s);
	s->stopped = true;
}

void rpc_server_free(struct rpc_server *s)
{
	struct rpc_route *route, *tmp;

	if (!s)
		return;
	rpc_server_stop(s, 0);
	for (unsigned i = 0; i < s->n_ports; i++) {
		if (!s->started) { /* the core wants every server shut down */
			s->ports[i].shut.done = shut_done;
			tsan_release(&s->ports[i].shut);
			grpc_server_shutdown_and_notify(s->ports[i].core, s->queue.cq,
							&s->ports[i].shut);
		}
	}
	lock_take(&s->lock);
	while (s->shut < s->n_ports)
		signal_wait(&s->changed, &s->lock);
	lock_drop(&s->lock);
	for (unsigned i = 0; i < s->n_ports; i++)
		grpc_server_destroy(s->ports[i].core);
	queue_stop(&s->queue);
	for (unsigned i = 0; i < s->n_ports; i++) {
		tls_files_free(s->ports[i].files);
		free(s->ports[i].address);
		free(s->ports[i].cert);
		free(s->ports[i].key);
		free(s->ports[i].client_ca);
	}
	HASH_ITER(hh, s->routes, route, tmp) {
		HASH_DEL(s->routes, route);
		free(route->path);
		free(route);
	}
	health_free(s);
	signal_release(&s->session_work);
	signal_release(&s->changed);
	lock_release(&s->lock);
	free(s);
	grpc_shutdown();
}

/* ---- looking at it ---- */

struct cut {
	bool (*match)(void *arg, const struct rpc_caller *);
	void *arg;
};

static bool match_caller(void *arg, const struct rpc_call *c)
{
	const struct cut *cut = arg;

	return c->caller && cut->match(cut->arg, c->caller);
}

unsigned rpc_server_cut(struct rpc_server *s, bool (*match)(void *arg, const struct rpc_caller *),
			void *arg)
{
	struct cut cut = { match, arg };
	struct rpc_call **calls;
	unsigned n = collect(s, match_caller, &cut, &calls);

	for (unsigned i = 0; i < n; i++) {
		rpc_cancel(calls[i]);
		rpc_unref(calls[i]);
	}
	free(calls);
	return n;
}

struct rpc_stats rpc_server_stats(struct rpc_server *s)
{
	struct rpc_stats stats = { 0 };

	LOCKED(&s->lock);
	stats.calls = s->calls;
	stats.served = s->served;
	stats.refused = s->refused;
	for (unsigned i = 0; i < s->n_ports; i++)
		stats.sessions += s->ports[i].sessions;
	return stats;
}
