#include "echo.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

static void note(struct echo *e, int *what, int value)
{
	LOCKED(&e->lock);

	*what = value;
	signal_all(&e->changed);
}

static void count(struct echo *e, int *what)
{
	LOCKED(&e->lock);

	++*what;
	signal_all(&e->changed);
}

static void hold(struct echo *e)
{
	LOCKED(&e->lock);

	e->holding++;
	signal_all(&e->changed);
	while (e->hold)
		signal_wait(&e->changed, &e->lock);
	e->holding--;
}

static int unary(struct rpc_call *call, const Ping *ping, Pong *pong, struct error *err)
{
	struct echo *e = rpc_self(call);

	if (!strcmp(ping->who, "nobody")) {
		error_id(err, "E0204", "no such person '%s'", ping->who);
		return error_hint(err, "ask for 'world'");
	}
	if (!strcmp(ping->who, "mute"))
		return -1;
	if (!strcmp(ping->who, "hold"))
		hold(e);
	if (!strcmp(ping->who, "deadline")) {
		pong->n = rpc_deadline(call) == INT64_MAX
				  ? 0
				  : (uint64_t)(rpc_deadline(call) - clock_boot_ms());
		return 0;
	}
	if (!strcmp(ping->who, "identity")) {
		pong->text = rpc_identity(call);
		return 0;
	}
	pong->text = arena_printf(rpc_arena(call), "hello %s", ping->who);
	pong->n = ping->n;
	pong->data = ping->data;
	return 0;
}

static void woken(void *arg)
{
	struct echo *e = arg;

	count(e, &e->woken);
}

/* Until the client is gone. */
static int wait_for_cancel(struct rpc_call *call, struct echo *e, struct error *err)
{
	Pong pong = RPCTEST__V1__PONG__INIT;
	bool was;

	rpc_on_cancel(call, woken, e);
	rpc_send(call, &pong, NULL); /* its end may overtake the news that it was taken */
	was = echo_wait(e, &e->woken, 1);
	rpc_on_cancel(call, NULL, NULL);
	note(e, &e->down_ended, was && rpc_cancelled(call) ? 1 : 0);
	return error_set(err, ERR_CANCELLED, "nobody listens");
}

static int down(struct rpc_call *call, const Ping *ping, struct error *err)
{
	struct echo *e = rpc_self(call);
	Pong pong = RPCTEST__V1__PONG__INIT;
	bool more = !strcmp(ping->who, "more");

	if (!strcmp(ping->who, "wait"))
		return wait_for_cancel(call, e, err);
	pong.data = ping->data;
	for (uint64_t i = 0; i < ping->n; i++) {
		pong.n = i;
		if ((more && i + 1 < ping->n ? rpc_send_more(call, &pong, err)
					     : rpc_send(call, &pong, err)) < 0) {
			note(e, &e->down_ended, -1);
			return -1;
		}
	}
	if (!strcmp(ping->who, "fail"))
		return error_set(err, ERR_CONFLICT, "enough");
	return 0;
}

static int up(struct rpc_call *call, Pong *reply, struct error *err)
{
	struct echo *e = rpc_self(call);
	const Ping *ping;
	int r;

	while ((r = rpc_recv(call, &ping, err)) > 0) {
		reply->n += strlen(ping->who) + ping->data.len;
		count(e, &e->received);
	}
	note(e, &e->up_ended, r);
	return r;
}

static int bidi(struct rpc_call *call, struct error *err)
{
	const Ping *ping;
	int r;

	while ((r = rpc_recv(call, &ping, err)) > 0) {
		Pong pong = RPCTEST__V1__PONG__INIT;

		pong.text = ping->who;
		pong.n = ping->n;
		pong.data = ping->data;
		if (rpc_send(call, &pong, err) < 0)
			return -1;
	}
	return r;
}

/* ---- the session ---- */

static void enter(struct echo *e)
{
	LOCKED(&e->lock);

	if (e->in_callback++ > 0)
		e->overlaps++;
}

static void leave(struct echo *e)
{
	LOCKED(&e->lock);

	e->in_callback--;
	signal_all(&e->changed);
}

static int opened(struct rpc_call *call, void *self, struct error *err)
{
	struct echo *e = self;

	enter(e);
	rpc_session_set(call, e);
	lock_take(&e->lock);
	rpc_unref(e->session);
	e->session = rpc_ref(call);
	e->opened++;
	signal_all(&e->changed);
	lock_drop(&e->lock);
	leave(e);
	return 0;
}

static int received(struct rpc_call *call, const Ping *ping, struct error *err)
{
	struct echo *e = rpc_session_get(call);
	Pong pong = RPCTEST__V1__PONG__INIT;
	int r = 0;

	enter(e);
	count(e, &e->received);
	pong.text = ping->who;
	pong.n = ping->n;
	if (!strcmp(ping->who, "refuse"))
		r = error_set(err, ERR_CONFLICT, "not that");
	else if (!strcmp(ping->who, "finish"))
		rpc_finish(call, NULL);
	else if (strcmp(ping->who, "quiet") != 0)
		r = rpc_post(call, &pong, err);
	leave(e);
	return r;
}

static void closed(struct rpc_call *call, const struct error *why)
{
	struct echo *e = rpc_session_get(call);

	enter(e);
	lock_take(&e->lock);
	e->closed_why = why->code;
	e->closed++;
	lock_drop(&e->lock);
	leave(e);
}

static int parts(struct rpc_call *call, struct error *err)
{
	struct rpc_bytes bytes;
	const Part *part;
	int r;

	while ((r = rpc_recv_tail(call, &part, 15, &bytes, err)) > 0) {
		Part reply = RPCTEST__V1__PART__INIT;
		cleanup(freep) uint8_t *copy = xmalloc(bytes.len + 1);
		size_t at = 0;

		for (unsigned i = 0; i < bytes.n_parts; i++) {
			memcpy(copy + at, bytes.parts[i].iov_base, bytes.parts[i].iov_len);
			at += bytes.parts[i].iov_len;
		}
		assert(at == bytes.len && part->data.len == 0);
		reply.name = part->name;
		reply.offset = part->offset;
		reply.data = (ProtobufCBinaryData){ bytes.len, copy };
		if (rpc_send(call, &reply, err) < 0)
			return -1;
	}
	return r;
}

static const struct rpc_method echo_api[] = {
	RPC_UNARY(VIEWER | AGENT, Unary, unary, Ping, Pong),
	RPC_SERVER_STREAM(VIEWER, Down, down, Ping, Pong),
	RPC_CLIENT_STREAM(OPERATOR, Up, up, Ping, Pong),
	RPC_BIDI(VIEWER, Bidi, bidi, Ping, Pong),
	RPC_SESSION(AGENT, Session, opened, received, closed, Ping, Pong),
	RPC_BIDI(VIEWER, Parts, parts, Part, Part),
	RPC_END,
};

/* ---- the guard ---- */

static void identity_free(void *identity)
{
	free(identity);
}

static int guard(void *self, const struct rpc_caller *caller, unsigned access,
		 struct rpc_identity *ret, struct error *err)
{
	struct echo *e = self;

	lock_take(&e->lock);
	snprintf(e->caller.peer_uri, sizeof e->caller.peer_uri, "%s", caller->peer_uri);
	snprintf(e->caller.serial, sizeof e->caller.serial, "%s", caller->cert_serial);
	snprintf(e->caller.bearer, sizeof e->caller.bearer, "%s", caller->bearer);
	snprintf(e->caller.method, sizeof e->caller.method, "%s.%s", caller->service,
		 caller->method);
	e->caller.listener = caller->listener;
	e->caller.access = access;
	e->identities++;
	lock_drop(&e->lock);
	if (caller->listener == RPC_USERS && strcmp(caller->bearer, "good") != 0)
		return error_id(err, "E0301", "the token is not known");
	ret->identity = xprintf("%s%s", caller->bearer, caller->peer_uri);
	ret->identity_free = identity_free;
	return 0;
}

/* ---- the whole ---- */

char *echo_path(const struct echo *e, const char *name)
{
	return path_join(e->dir, name);
}

void echo_write(const struct echo *e, const char *name, const char *text, const char *more)
{
	cleanup(freep) char *path = echo_path(e, name);
	cleanup(freep) char *all = xprintf("%s%s", text, more ? more : "");
	struct error err = { 0 };

	if (file_write_atomic(path, all, strlen(all), 0600, &err) < 0)
		abort();
}

static void make_certs(struct echo *e)
{
	struct leaf server = { .names = "DNS:localhost,IP:127.0.0.1", .usage = "serverAuth" };
	struct leaf client = { .names = "URI:" AGENT_URI, .usage = "clientAuth" };
	struct pair p;

	e->ca = certs_ca("test CA");
	e->agent = certs_leaf(&e->ca, &client);
	p = certs_leaf(&e->ca, &server);
	echo_write(e, "ca.pem", e->ca.cert, NULL);
	echo_write(e, "server.pem", p.cert, e->ca.cert);
	echo_write(e, "server.key", p.key, NULL);
	pair_release(&p);
}

struct echo *echo_new(const struct rpc_limits *limits)
{
	struct echo *e = xcalloc(1, sizeof *e);
	struct rpc_listener listeners[2] = { { .address = "127.0.0.1:0", .kind = RPC_USERS },
					     { .address = "127.0.0.1:0", .kind = RPC_AGENTS } };
	struct error err = { 0 };
	cleanup(freep) char *ca = NULL;
	cleanup(freep) char *cert = NULL;
	cleanup(freep) char *key = NULL;

	lock_init(&e->lock);
	signal_init(&e->changed);
	e->up_ended = e->down_ended = 7;
	snprintf(e->dir, sizeof e->dir, "/tmp/rpc-test-XXXXXX");
	if (!mkdtemp(e->dir))
		abort();
	make_certs(e);
	ca = echo_path(e, "ca.pem");
	cert = echo_path(e, "server.pem");
	key = echo_path(e, "server.key");
	listeners[0].cert = listeners[1].cert = cert;
	listeners[0].key = listeners[1].key = key;
	listeners[1].client_ca = ca;
	e->server = rpc_server_new(listeners, 2, limits, &err);
	assert(e->server);
	rpc_server_guard(e->server, guard, e);
	rpc_server_add(e->server, &rpctest__v1__echo__descriptor, echo_api, e);
	if (rpc_server_start(e->server, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	snprintf(e->users, sizeof e->users, "127.0.0.1:%d", rpc_server_port(e->server, 0));
	snprintf(e->agents, sizeof e->agents, "127.0.0.1:%d", rpc_server_port(e->server, 1));
	return e;
}

void echo_free(struct echo *e)
{
	rpc_unref(e->session);
	rpc_server_free(e->server);
	file_remove_tree(e->dir, NULL);
	pair_release(&e->ca);
	pair_release(&e->agent);
	signal_release(&e->changed);
	lock_release(&e->lock);
	free(e);
}

struct rpc_endpoint echo_user(const struct echo *e)
{
	return (struct rpc_endpoint){
		.address = e->users, .ca_pem = e->ca.cert, .bearer = "good", .timeout_ms = 20000
	};
}

struct rpc_endpoint echo_agent(const struct echo *e)
{
	return (struct rpc_endpoint){ .address = e->agents,
				      .ca_pem = e->ca.cert,
				      .cert_pem = e->agent.cert,
				      .key_pem = e->agent.key,
				      .timeout_ms = 20000 };
}

bool echo_wait(struct echo *e, const int *value, int n)
{
	int64_t until = clock_mono_us() / 1000 + 10000, left;

	LOCKED(&e->lock);
	while (*value < n && (left = until - clock_mono_us() / 1000) > 0)
		signal_wait_ms(&e->changed, &e->lock, left);
	return *value >= n;
}
