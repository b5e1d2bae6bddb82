/*
 * What a server bounds and how it stops.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "echo.h"

static struct echo *e;
static struct rpc_channel *user, *agent;
static struct error err;
static struct arena *arena;

static void setup(void)
{
	struct rpc_limits limits = {
		.max_calls = 3, .max_sessions = 5, .max_peer_calls = 2, .request_timeout_ms = 400
	};
	struct rpc_endpoint u, a;

	e = echo_new(&limits);
	u = echo_user(e);
	a = echo_agent(e);
	user = rpc_dial(&u, &err);
	agent = rpc_dial(&a, &err);
	cr_assert(user && agent);
	arena = arena_new(0);
}

static void release_held(void)
{
	LOCKED(&e->lock);

	e->hold = false;
	signal_all(&e->changed);
}

static void teardown(void)
{
	release_held();
	arena_free(arena);
	rpc_hangup(user);
	rpc_hangup(agent);
	echo_free(e);
}

TestSuite(rpc_server, .init = setup, .fini = teardown, .timeout = 60);

static const Pong *ask(struct rpc_channel *ch, const char *who)
{
	Ping ping = RPCTEST__V1__PING__INIT;

	ping.who = (char *)who;
	return echo_unary(ch, arena, &ping, &err);
}

static struct rpc_call *open_call(struct rpc_channel *ch, const char *method, const char *who)
{
	struct rpc_call *c = rpc_open(ch, &rpctest__v1__echo__descriptor, method, &err);
	Ping ping = RPCTEST__V1__PING__INIT;

	ping.who = (char *)who;
	cr_assert(c);
	/* A call that is refused at once may be over before this is taken: its status tells. */
	if (who && rpc_send(c, &ping, &err) < 0)
		error_clear(&err);
	return c;
}

static void *held(void *arg)
{
	struct arena *own = arena_new(0);
	struct error why = { 0 };
	Ping ping = RPCTEST__V1__PING__INIT;
	bool ok;

	ping.who = (char *)"hold";
	ok = echo_unary(user, own, &ping, &why) != NULL;
	arena_free(own);
	return ok ? arg : NULL;
}

Test(rpc_server, calls_beyond_the_limit_are_refused_at_once)
{
	pthread_t t[3];
	void *ok;

	e->hold = true;
	for (int i = 0; i < 3; i++)
		t[i] = thread_start("held", 0, held, e);
	cr_assert(echo_wait(e, &e->holding, 3));
	cr_assert_null(ask(user, "x"));
	cr_expect_eq(err.code, ERR_EXHAUSTED);
	cr_expect(strstr(err.text, "busy with 3 calls"), "%s", err.text);
	cr_expect_eq(rpc_server_stats(e->server).calls, 3);
	cr_expect_eq(rpc_server_stats(e->server).refused, 1);
	release_held();
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], &ok);
		cr_expect(ok);
	}
	cr_expect(ask(user, "x"), "%s", err.text);
}

Test(rpc_server, one_token_cannot_take_all_calls)
{
	struct rpc_limits limits = { .max_calls = 8, .max_token_calls = 2 };
	struct echo *own = echo_new(&limits);
	struct rpc_endpoint endpoint = echo_user(own);
	struct rpc_channel *ch = rpc_dial(&endpoint, &err);
	struct rpc_call *a = open_call(ch, "Bidi", "x"), *b = open_call(ch, "Bidi", "x");
	const Pong *got;

	cr_assert_eq(rpc_recv(a, &got, &err), 1, "%s", err.text);
	cr_assert_eq(rpc_recv(b, &got, &err), 1, "%s", err.text);
	cr_assert_null(ask(ch, "x"));
	cr_expect_eq(err.code, ERR_EXHAUSTED);
	cr_expect_str_eq(err.text, "'this token' has 2 calls open, at most 2 are allowed");
	rpc_close(a);
	for (int i = 0; i < 100 && !ask(ch, "x"); i++)
		usleep(20000);
	cr_expect(ask(ch, "x"), "%s", err.text);
	rpc_close(b);
	rpc_hangup(ch);
	echo_free(own);
}

Test(rpc_server, one_agent_cannot_take_all_calls)
{
	cleanup(rpc_closep) struct rpc_call *a = open_call(agent, "Session", "x");
	cleanup(rpc_closep) struct rpc_call *b = open_call(agent, "Session", "x");

	cr_assert(echo_wait(e, &e->opened, 2));
	cr_assert_null(ask(agent, "x"));
	cr_expect_eq(err.code, ERR_EXHAUSTED);
	cr_expect(strstr(err.text, "'" AGENT_URI "' has 2 calls open"), "%s", err.text);
	cr_expect(ask(user, "x"), "others may: %s", err.text);
	rpc_close(steal(b));
	cr_assert(echo_wait(e, &e->closed, 1));
	usleep(50000);
	cr_expect(ask(agent, "x"), "%s", err.text);
}

Test(rpc_server, sessions_beyond_the_limit_are_refused)
{
	struct rpc_call *calls[6];
	const Pong *got;

	for (int i = 0; i < 6; i++)
		calls[i] = open_call(user, "Session", "x");
	for (int i = 0; i < 5; i++)
		cr_expect_eq(rpc_recv(calls[i], &got, &err), 1, "%s", err.text);
	cr_expect_eq(rpc_recv(calls[5], &got, &err), -1);
	cr_expect_eq(err.code, ERR_EXHAUSTED, "%s", err.text);
	for (int i = 0; i < 6; i++)
		rpc_close(calls[i]);
}

Test(rpc_server, a_call_without_its_request_is_not_waited_for)
{
	int64_t before = clock_mono_us();
	/* more than there are threads: none is taken */
	struct rpc_call *calls[8];
	const Pong *got;

	for (int i = 0; i < 8; i++)
		calls[i] = open_call(user, "Unary", NULL);
	cr_expect(ask(user, "x"), "%s", err.text);
	for (int i = 0; i < 8; i++) {
		cr_expect_eq(rpc_recv(calls[i], &got, &err), -1);
		rpc_close(calls[i]);
	}
	cr_expect_geq(clock_mono_us() - before, 300000);
	cr_expect_lt(clock_mono_us() - before, 8000000);
}

Test(rpc_server, a_call_that_ends_without_a_request_is_told_so)
{
	cleanup(rpc_closep) struct rpc_call *c = open_call(user, "Unary", NULL);
	const Pong *got;

	cr_assert_eq(rpc_done_sending(c, &err), 0);
	cr_expect_eq(rpc_recv(c, &got, &err), -1);
	cr_expect_eq(err.code, ERR_INVALID);
	cr_expect_str_eq(err.text, "the call came without a request");
}

Test(rpc_server, calls_get_the_grace_and_no_more)
{
	struct rpc_call *c = open_call(user, "Bidi", "x");
	int64_t before;
	const Pong *got;

	cr_assert_eq(rpc_recv(c, &got, &err), 1);
	before = clock_mono_us();
	rpc_server_stop(e->server, 300);
	cr_expect_geq(clock_mono_us() - before, 290000);
	cr_expect_lt(clock_mono_us() - before, 5000000);
	cr_expect_eq(rpc_recv(c, &got, &err), -1);
	rpc_close(c);
	cr_assert_null(ask(user, "x"));
	cr_expect_eq(err.code, ERR_UNAVAILABLE, "%s", err.text);
	rpc_server_stop(e->server, 300);
}

static void *stop(void *arg)
{
	rpc_server_stop(e->server, 10000);
	return NULL;
}

Test(rpc_server, a_call_under_way_may_end_well_during_the_grace)
{
	pthread_t call, stopper;
	void *ok;

	e->hold = true;
	call = thread_start("held", 0, held, e);
	cr_assert(echo_wait(e, &e->holding, 1));
	stopper = thread_start("stop", 0, stop, NULL);
	usleep(100000);
	release_held();
	pthread_join(call, &ok);
	cr_expect(ok);
	thread_join(stopper);
}

Test(rpc_server, a_client_comes_back_to_a_server_that_was_restarted)
{
	cleanup(freep) char *cert = echo_path(e, "server.pem");
	cleanup(freep) char *key = echo_path(e, "server.key");
	struct rpc_listener listener = { e->users, RPC_USERS, cert, key, NULL };
	cleanup(rpc_server_freep) struct rpc_server *second = NULL;
	struct rpc_endpoint ep = echo_user(e);
	cleanup(rpc_hangupp) struct rpc_channel *patient = NULL;
	Ping ping = RPCTEST__V1__PING__INIT;

	cr_assert(ask(user, "x"));
	rpc_server_stop(e->server, 0);
	rpc_server_free(steal(e->server));
	second = rpc_server_new(&listener, 1, NULL, &err);
	cr_assert_eq(rpc_server_start(second, &err), 0, "%s", err.text);
	ep.wait_ready_ms = 10000;
	patient = rpc_dial(&ep, &err);
	/* it serves nothing, but says so: it is there */
	cr_assert_null(echo_unary(patient, arena, &ping, &err));
	cr_expect_eq(err.code, ERR_UNIMPLEMENTED, "%s", err.text);
	for (int i = 0; i < 50; i++) {
		cr_assert_null(ask(user, "x"));
		if (err.code == ERR_UNIMPLEMENTED)
			break;
		usleep(100000);
	}
	cr_expect_eq(err.code, ERR_UNIMPLEMENTED, "%s", err.text);
}

static int unguarded(struct rpc_call *call, const Ping *ping, Pong *reply, struct error *why)
{
	return 0;
}

Test(rpc_server, without_a_guard_nothing_but_public_rows_may_be_called)
{
	static const struct rpc_method rows[] = { RPC_UNARY(VIEWER, Unary, unguarded, Ping, Pong),
						  RPC_END };
	cleanup(freep) char *cert = echo_path(e, "server.pem");
	cleanup(freep) char *key = echo_path(e, "server.key");
	struct rpc_listener listener = { "127.0.0.1:0", RPC_USERS, cert, key, NULL };
	cleanup(rpc_server_freep) struct rpc_server *open =
		rpc_server_new(&listener, 1, NULL, &err);
	struct rpc_endpoint ep = echo_user(e);
	cleanup(rpc_hangupp) struct rpc_channel *ch = NULL;
	char address[32];

	rpc_server_add(open, &rpctest__v1__echo__descriptor, rows, NULL);
	cr_assert_eq(rpc_server_start(open, &err), 0, "%s", err.text);
	snprintf(address, sizeof address, "127.0.0.1:%d", rpc_server_port(open, 0));
	ep.address = address;
	ch = rpc_dial(&ep, &err);
	cr_assert_null(ask(ch, "x"));
	cr_expect_eq(err.code, ERR_DENIED, "%s", err.text);
}

static int wrong(struct rpc_call *call, const Ping *ping, Ping *reply, struct error *why)
{
	return 0;
}

static void add(const struct rpc_method *methods)
{
	cleanup(freep) char *cert = echo_path(e, "server.pem");
	cleanup(freep) char *key = echo_path(e, "server.key");
	struct rpc_listener listener = { "127.0.0.1:0", RPC_USERS, cert, key, NULL };
	struct rpc_server *s = rpc_server_new(&listener, 1, NULL, &err);

	rpc_server_add(s, &rpctest__v1__echo__descriptor, methods, NULL);
}

Test(rpc_server, a_row_the_proto_does_not_know_aborts, .signal = 6)
{
	static const struct rpc_method rows[] = { RPC_UNARY(VIEWER, Nope, wrong, Ping, Ping),
						  RPC_END };

	add(rows);
}

Test(rpc_server, a_row_with_other_types_aborts, .signal = 6)
{
	static const struct rpc_method rows[] = { RPC_UNARY(VIEWER, Up, wrong, Ping, Ping),
						  RPC_END };

	_Static_assert(sizeof(Ping) != sizeof(Pong), "or the row would not be wrong");
	add(rows);
}
