/*
 * Calls of each shape, from both ends, over real connections.
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
	struct rpc_endpoint u, a;

	e = echo_new(NULL);
	u = echo_user(e);
	a = echo_agent(e);
	user = rpc_dial(&u, &err);
	cr_assert(user, "%s", err.text);
	agent = rpc_dial(&a, &err);
	cr_assert(agent, "%s", err.text);
	arena = arena_new(0);
}

static void teardown(void)
{
	arena_free(arena);
	rpc_hangup(user);
	rpc_hangup(agent);
	echo_free(e);
}

TestSuite(rpc_call, .init = setup, .fini = teardown, .timeout = 60);

static const Pong *ask(struct rpc_channel *ch, const char *who)
{
	Ping ping = RPCTEST__V1__PING__INIT;

	ping.who = (char *)who;
	return echo_unary(ch, arena, &ping, &err);
}

static struct rpc_call *open_call(struct rpc_channel *ch, const char *method)
{
	struct rpc_call *c = rpc_open(ch, &rpctest__v1__echo__descriptor, method, &err);

	cr_assert(c, "%s", err.text);
	return c;
}

static void say(struct rpc_call *c, const char *who, uint64_t n)
{
	Ping ping = RPCTEST__V1__PING__INIT;

	ping.who = (char *)who;
	ping.n = n;
	cr_assert_eq(rpc_send(c, &ping, &err), 0, "%s", err.text);
}

Test(rpc_call, a_unary_call_is_answered)
{
	const Pong *pong = ask(user, "world");

	cr_assert(pong, "%s", err.text);
	cr_expect_str_eq(pong->text, "hello world");
}

Test(rpc_call, an_error_arrives_with_code_number_text_and_hint)
{
	cr_assert_null(ask(user, "nobody"));
	cr_expect_eq(err.code, ERR_NOT_FOUND);
	cr_expect_str_eq(err.id, "E0204");
	cr_expect_str_eq(err.text, "no such person 'nobody'");
	cr_expect_str_eq(err.hint, "ask for 'world'");
}

Test(rpc_call, a_handler_that_fails_without_a_reason_is_an_internal_error)
{
	cr_assert_null(ask(user, "mute"));
	cr_expect_eq(err.code, ERR_INTERNAL);
}

Test(rpc_call, a_server_stream_gives_all_messages_and_its_end)
{
	static const char *const ways[] = { "one by one", "more" };
	const Pong *pong;
	uint64_t n;
	int r;

	for (int way = 0; way < 2; way++) {
		cleanup(rpc_closep) struct rpc_call *c = open_call(user, "Down");

		say(c, ways[way], 1000);
		cr_assert_eq(rpc_done_sending(c, &err), 0);
		for (n = 0; (r = rpc_recv(c, &pong, &err)) > 0; n++)
			cr_assert_eq(pong->n, n);
		cr_expect_eq(r, 0, "%s", err.text);
		cr_expect_eq(n, 1000);
	}
}

Test(rpc_call, a_server_stream_may_end_in_an_error)
{
	cleanup(rpc_closep) struct rpc_call *c = open_call(user, "Down");
	const Pong *pong;

	say(c, "fail", 1);
	cr_assert_eq(rpc_recv(c, &pong, &err), 1);
	cr_assert_eq(rpc_recv(c, &pong, &err), -1);
	cr_expect_eq(err.code, ERR_CONFLICT);
	cr_expect_str_eq(err.text, "enough");
	cr_expect_eq(rpc_recv(c, &pong, &err), -1, "and it stays one");
}

Test(rpc_call, a_client_stream_is_summed_up)
{
	cleanup(rpc_closep) struct rpc_call *c = open_call(user, "Up");
	Ping ping = RPCTEST__V1__PING__INIT;
	const Pong *pong;

	ping.who = (char *)"abc";
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(rpc_send_more(c, &ping, &err), 0, "%s", err.text);
	cr_assert_eq(rpc_done_sending(c, &err), 0);
	cr_assert_eq(rpc_recv(c, &pong, &err), 1, "%s", err.text);
	cr_expect_eq(pong->n, 3000);
	cr_expect_eq(rpc_recv(c, &pong, &err), 0);
	cr_expect_eq(e->up_ended, 0, "the handler saw a clean end");
}

Test(rpc_call, both_ways_take_turns)
{
	cleanup(rpc_closep) struct rpc_call *c = open_call(user, "Bidi");
	const Pong *pong;
	char who[16];

	for (int i = 0; i < 100; i++) {
		snprintf(who, sizeof who, "m%d", i);
		say(c, who, i);
		cr_assert_eq(rpc_recv(c, &pong, &err), 1);
		cr_assert_str_eq(pong->text, who);
	}
	cr_assert_eq(rpc_done_sending(c, &err), 0);
	cr_expect_eq(rpc_recv(c, &pong, &err), 0);
}

Test(rpc_call, a_client_that_dies_is_not_a_clean_end)
{
	struct rpc_call *c = open_call(user, "Up");

	say(c, "abc", 0);
	cr_assert(echo_wait(e, &e->received, 1));
	rpc_close(c);
	for (int i = 0; i < 1000 && e->up_ended == 7; i++)
		usleep(10000);
	cr_expect_eq(e->up_ended, -1);
}

Test(rpc_call, a_handler_hears_that_its_client_is_gone)
{
	struct rpc_call *c = open_call(user, "Down");
	const Pong *pong;

	say(c, "wait", 0);
	cr_assert_eq(rpc_recv(c, &pong, &err), 1);
	rpc_close(c);
	cr_assert(echo_wait(e, &e->woken, 1));
	rpc_server_stop(e->server, 5000);
	cr_expect_eq(e->down_ended, 1);
}

Test(rpc_call, a_sender_stops_when_its_client_is_gone)
{
	struct rpc_call *c = open_call(user, "Down");
	const Pong *pong;

	say(c, "endless", 1ull << 40);
	cr_assert_eq(rpc_recv(c, &pong, &err), 1);
	rpc_close(c);
	rpc_server_stop(e->server, 10000);
	cr_expect_eq(e->down_ended, -1);
}

Test(rpc_call, a_deadline_ends_the_call_and_the_server_knows_it)
{
	Ping ping = RPCTEST__V1__PING__INIT;
	int64_t before = clock_mono_us();
	const Pong *pong;

	ping.who = (char *)"deadline";
	pong = rpc_ask_within(user, 5000, &rpctest__v1__echo__descriptor, "Unary", arena,
			      &ping.base, &err);
	cr_assert(pong, "%s", err.text);
	cr_expect(pong->n > 3000 && pong->n <= 5000, "%lu ms left", pong->n);
	e->hold = true;
	ping.who = (char *)"hold";
	before = clock_mono_us();
	cr_assert_null(rpc_ask_within(user, 300, &rpctest__v1__echo__descriptor, "Unary", arena,
				      &ping.base, &err));
	cr_expect_eq(err.code, ERR_TIMEOUT);
	cr_expect(strstr(err.text, "did not answer within 300ms"), "%s", err.text);
	cr_expect_lt(clock_mono_us() - before, 5000000);
	lock_take(&e->lock);
	e->hold = false;
	signal_all(&e->changed);
	lock_drop(&e->lock);
}

Test(rpc_call, a_receive_may_give_up_and_the_call_goes_on)
{
	cleanup(rpc_closep) struct rpc_call *c = open_call(user, "Bidi");
	const Pong *pong;

	cr_assert_eq(rpc_recv_within(c, &pong, 50, &err), -1);
	cr_expect_eq(err.code, ERR_TIMEOUT);
	say(c, "later", 0);
	cr_assert_eq(rpc_recv_within(c, &pong, 10000, &err), 1, "%s", err.text);
	cr_expect_str_eq(pong->text, "later");
}

Test(rpc_call, a_cancelled_call_says_so)
{
	cleanup(rpc_closep) struct rpc_call *c = open_call(user, "Bidi");
	const Pong *pong;

	rpc_cancel(c);
	cr_assert_eq(rpc_recv(c, &pong, &err), -1);
	cr_expect_eq(err.code, ERR_CANCELLED);
	cr_expect(rpc_cancelled(c));
}

Test(rpc_call, an_unknown_method_is_refused_at_once)
{
	Ping ping = RPCTEST__V1__PING__INIT;
	int64_t before = clock_mono_us();

	cr_assert_null(
		rpc_ask(user, &rpctest__v1__echo__descriptor, "Unserved", arena, &ping.base, &err));
	cr_expect_eq(err.code, ERR_UNIMPLEMENTED);
	cr_expect_lt(clock_mono_us() - before, 5000000);
}

Test(rpc_call, a_message_over_the_limit_is_refused)
{
	Ping ping = RPCTEST__V1__PING__INIT;

	ping.data.len = 2 << 20;
	ping.data.data = xcalloc(1, ping.data.len);
	cr_assert_null(echo_unary(user, arena, &ping, &err));
	cr_expect_eq(err.code, ERR_EXHAUSTED);
	cr_expect_str_eq(err.id, "E0206", "%s", err.text);
	ping.data.len = 1000000;
	cr_expect(echo_unary(user, arena, &ping, &err), "%s", err.text);
	free(ping.data.data);
}

Test(rpc_call, posts_from_other_threads_reach_the_server)
{
	cleanup(rpc_closep) struct rpc_call *c = open_call(user, "Bidi");
	Ping ping = RPCTEST__V1__PING__INIT;
	const Pong *pong;

	for (int i = 0; i < 100; i++) {
		ping.n = i;
		cr_assert_eq(rpc_post(c, &ping, &err), 0, "%s", err.text);
	}
	for (int i = 0; i < 100; i++) {
		cr_assert_eq(rpc_recv(c, &pong, &err), 1);
		cr_assert_eq(pong->n, i);
	}
}

Test(rpc_call, a_stream_may_have_a_deadline)
{
	cleanup(rpc_closep) struct rpc_call *c =
		rpc_open_within(user, 200, &rpctest__v1__echo__descriptor, "Bidi", &err);
	const Pong *pong;

	cr_assert_eq(rpc_recv(c, &pong, &err), -1);
	cr_expect_eq(err.code, ERR_TIMEOUT);
}
