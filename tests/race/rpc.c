/*
 * Everything in common/rpc that threads share, at once: unary calls, streams
 * that are cancelled in the middle, sessions posted to from outside while their
 * clients come and go, cuts, and a stop that falls into all of it.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "echo.h"

enum { CALLERS = 2, SESSIONS = 3, ROUNDS = 60 };

static struct echo *e;
static atomic_int unary, sessions, posts, cuts, streams;

static struct rpc_channel *dial(bool agent)
{
	struct rpc_endpoint ep = agent ? echo_agent(e) : echo_user(e);
	struct error err = { 0 };
	struct rpc_channel *ch = rpc_dial(&ep, &err);

	assert(ch);
	return ch;
}

static void *call_unary(void *arg)
{
	struct arena *arena = arena_new(0);
	Ping ping = RPCTEST__V1__PING__INIT;
	struct error err = { 0 };

	ping.who = (char *)"world";
	for (int i = 0; i < 5 * ROUNDS; i++) {
		unary += echo_unary(arg, arena, &ping, &err) != NULL;
		arena_reset(arena);
	}
	arena_free(arena);
	return NULL;
}

/* A third is read to the end, a third is left in the middle, a third is cancelled from elsewhere.
 */
static void *call_streams(void *arg)
{
	Ping ping = RPCTEST__V1__PING__INIT;
	struct error err = { 0 };
	const Pong *pong;
	struct rpc_call *c;

	ping.n = 20;
	for (int i = 0; i < ROUNDS; i++) {
		c = rpc_open(arg, &rpctest__v1__echo__descriptor, "Down", &err);
		if (rpc_send(c, &ping, &err) == 0 && rpc_done_sending(c, &err) == 0)
			while (rpc_recv(c, &pong, &err) > 0) {
				streams++;
				if (i % 3 == 1)
					break;
				if (i % 3 == 2)
					rpc_cancel(c);
			}
		rpc_close(c);
	}
	return NULL;
}

static void *receive(void *arg)
{
	struct error err = { 0 };
	const Pong *pong;

	while (rpc_recv(arg, &pong, &err) > 0)
		sessions++;
	return NULL;
}

static void *call_session(void *arg)
{
	Ping ping = RPCTEST__V1__PING__INIT;
	struct error err = { 0 };
	struct rpc_call *c;
	pthread_t t;

	for (int i = 0; i < ROUNDS; i++) {
		c = rpc_open(arg, &rpctest__v1__echo__descriptor, "Session", &err);
		t = thread_start("receive", 0, receive, c);
		for (int k = 0; k < 20; k++)
			if ((k % 2 ? rpc_post(c, &ping, &err) : rpc_send(c, &ping, &err)) < 0)
				break;
		if (i % 2)
			rpc_done_sending(c, &err);
		else
			rpc_cancel(c);
		thread_join(t);
		rpc_close(c);
	}
	return NULL;
}

static atomic_bool done;

/* As the engine does: holds a reference, posts, finishes. */
static void *post(void *arg)
{
	Pong pong = RPCTEST__V1__PONG__INIT;
	struct rpc_call *c;

	for (unsigned i = 0; !done; i++) {
		lock_take(&e->lock);
		c = e->session ? rpc_ref(e->session) : NULL;
		lock_drop(&e->lock);
		if (c) {
			posts += rpc_post(c, &pong, NULL) == 0;
			if (i % 50 == 0)
				rpc_finish(c, NULL);
			rpc_unref(c);
		}
		usleep(500);
	}
	return NULL;
}

static bool everybody(void *arg, const struct rpc_caller *caller)
{
	return caller->listener == RPC_AGENTS;
}

static void *cut(void *arg)
{
	while (!done) {
		usleep(20000);
		cuts += rpc_server_cut(e->server, everybody, NULL);
		rpc_server_health(e->server, "x", cuts % 2);
		rpc_server_stats(e->server);
	}
	return NULL;
}

static void run(bool stop_early)
{
	struct rpc_channel *users[CALLERS], *agents[SESSIONS];
	pthread_t threads[2 * CALLERS + SESSIONS], poster, cutter;
	unsigned n = 0;

	e = echo_new(&(struct rpc_limits){ .max_calls = 8 });
	done = false;
	for (int i = 0; i < CALLERS; i++) {
		users[i] = dial(false);
		threads[n++] = thread_start("unary", 0, call_unary, users[i]);
		threads[n++] = thread_start("streams", 0, call_streams, users[i]);
	}
	for (int i = 0; i < SESSIONS; i++) {
		agents[i] = dial(true);
		threads[n++] = thread_start("session", 0, call_session, agents[i]);
	}
	poster = thread_start("post", 0, post, NULL);
	cutter = thread_start("cut", 0, cut, NULL);
	if (stop_early) {
		usleep(300000);
		rpc_server_stop(e->server, 20);
	}
	while (n > 0)
		thread_join(threads[--n]);
	done = true;
	thread_join(poster);
	thread_join(cutter);
	for (int i = 0; i < CALLERS; i++)
		rpc_hangup(users[i]);
	for (int i = 0; i < SESSIONS; i++)
		rpc_hangup(agents[i]);
	rpc_server_stop(e->server, 1000);
	assert(e->opened == e->closed);
	assert(rpc_server_stats(e->server).sessions == 0);
	echo_free(e);
}

int main(void)
{
	thread_block_signals();
	run(false);
	run(true);
	printf("%d unary, %d from sessions, %d posts, %d cuts, %d from streams\n", unary, sessions,
	       posts, cuts, streams);
	assert(unary > 0 && sessions > 0 && posts > 0 && streams > 0);
	return 0;
}
