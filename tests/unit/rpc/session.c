/*
 * Sessions, from both ends: the callbacks, posting from outside, the ways they end.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "echo.h"

static struct echo *e;
static struct rpc_channel *agent;
static struct error err;

static void setup_with(const struct rpc_limits *limits)
{
	struct rpc_endpoint ep;

	e = echo_new(limits);
	ep = echo_agent(e);
	agent = rpc_dial(&ep, &err);
	cr_assert(agent, "%s", err.text);
}

static void setup(void)
{
	struct rpc_limits limits = { .max_posts = 50, .max_peer_calls = 4000 };

	setup_with(&limits);
}

static void teardown(void)
{
	rpc_hangup(agent);
	echo_free(e);
}

TestSuite(rpc_session, .init = setup, .fini = teardown, .timeout = 60);

static struct rpc_call *open_session(void)
{
	struct rpc_call *c = rpc_open(agent, &rpctest__v1__echo__descriptor, "Session", &err);

	cr_assert(c);
	return c;
}

static void say(struct rpc_call *c, const char *who, uint64_t n)
{
	Ping ping = RPCTEST__V1__PING__INIT;

	ping.who = (char *)who;
	ping.n = n;
	cr_assert_eq(rpc_send(c, &ping, &err), 0, "%s", err.text);
}

Test(rpc_session, messages_are_delivered_in_order_and_answered_by_posts)
{
	cleanup(rpc_closep) struct rpc_call *c = open_session();
	const Pong *pong;

	for (uint64_t i = 0; i < 200; i++) {
		say(c, "x", i);
		cr_assert_eq(rpc_recv(c, &pong, &err), 1, "%s", err.text);
		cr_assert_eq(pong->n, i);
	}
	cr_expect_eq(e->opened, 1);
	cr_expect_eq(e->received, 200);
	cr_expect_eq(e->overlaps, 0);
}

Test(rpc_session, a_clean_end_is_closed_without_an_error)
{
	cleanup(rpc_closep) struct rpc_call *c = open_session();
	const Pong *pong;

	say(c, "x", 0);
	cr_assert_eq(rpc_recv(c, &pong, &err), 1);
	cr_assert_eq(rpc_done_sending(c, &err), 0);
	cr_expect_eq(rpc_recv(c, &pong, &err), 0, "%s", err.text);
	cr_assert(echo_wait(e, &e->closed, 1));
	cr_expect_eq(e->closed_why, ERR_NONE);
}

Test(rpc_session, a_client_that_dies_is_closed_as_such)
{
	struct rpc_call *c = open_session();

	say(c, "quiet", 0);
	cr_assert(echo_wait(e, &e->received, 1));
	rpc_close(c);
	cr_assert(echo_wait(e, &e->closed, 1));
	cr_expect_eq(e->closed_why, ERR_CANCELLED);
}

Test(rpc_session, the_server_may_finish_it_after_what_it_posted)
{
	struct error why = { 0 };
	cleanup(rpc_closep) struct rpc_call *c = open_session();
	Pong pong = RPCTEST__V1__PONG__INIT;
	const Pong *got;

	cr_assert(echo_wait(e, &e->opened, 1));
	for (int i = 0; i < 20; i++)
		cr_assert_eq(rpc_post(e->session, &pong, &err), 0, "%s", err.text);
	error_id(&why, "E0303", "the agent was revoked");
	rpc_finish(e->session, &why);
	cr_expect_eq(rpc_post(e->session, &pong, &err), -1);
	cr_expect_eq(err.code, ERR_CANCELLED);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(rpc_recv(c, &got, &err), 1, "%s", err.text);
	cr_expect_eq(rpc_recv(c, &got, &err), -1);
	cr_expect_str_eq(err.id, "E0303");
	cr_expect_str_eq(err.text, "the agent was revoked");
	cr_assert(echo_wait(e, &e->closed, 1));
	cr_expect_eq(e->closed_why, ERR_UNAUTHENTICATED);
}

/* The answer may overtake the news that the question was taken. */
static void say_last(struct rpc_call *c, const char *who)
{
	Ping ping = RPCTEST__V1__PING__INIT;

	ping.who = (char *)who;
	cr_assert_eq(rpc_post(c, &ping, &err), 0, "%s", err.text);
}

Test(rpc_session, a_callback_may_finish_or_refuse)
{
	cleanup(rpc_closep) struct rpc_call *a = open_session();
	const Pong *got;

	say_last(a, "finish");
	cr_expect_eq(rpc_recv(a, &got, &err), 0, "%s", err.text);
	cr_assert(echo_wait(e, &e->closed, 1));
	cr_expect_eq(e->closed_why, ERR_NONE);

	cleanup(rpc_closep) struct rpc_call *b = open_session();

	say_last(b, "refuse");
	cr_expect_eq(rpc_recv(b, &got, &err), -1);
	cr_expect_str_eq(err.text, "not that");
	cr_assert(echo_wait(e, &e->closed, 2));
	cr_expect_eq(e->closed_why, ERR_CONFLICT);
}

Test(rpc_session, posts_beyond_the_queue_are_refused_not_kept)
{
	cleanup(rpc_closep) struct rpc_call *c = open_session();
	Pong pong = RPCTEST__V1__PONG__INIT;
	const Pong *got;
	int posted = 0, r = 0, received = 0;

	pong.data.len = 64 << 10;
	pong.data.data = xcalloc(1, pong.data.len);
	cr_assert(echo_wait(e, &e->opened, 1));
	while (posted < 10000 && (r = rpc_post(e->session, &pong, &err)) == 0)
		posted++;
	cr_expect_eq(r, -1);
	cr_expect_eq(err.code, ERR_EXHAUSTED, "%s", err.text);
	free(pong.data.data);
	rpc_finish(e->session, NULL);
	while (rpc_recv(c, &got, &err) == 1)
		received++;
	cr_expect_eq(received, posted, "what was taken arrives");
}

/* A dead session can be posted to as long as a reference is held. */
Test(rpc_session, a_reference_outlives_the_call)
{
	struct rpc_call *c = open_session();
	Pong pong = RPCTEST__V1__PONG__INIT;

	cr_assert(echo_wait(e, &e->opened, 1));
	rpc_close(c);
	cr_assert(echo_wait(e, &e->closed, 1));
	usleep(20000);
	cr_expect_eq(rpc_post(e->session, &pong, &err), -1);
	cr_expect_eq(err.code, ERR_CANCELLED);
	rpc_cancel(e->session);
	rpc_finish(e->session, NULL);
	cr_expect(rpc_cancelled(e->session));
	cr_expect_str_eq(rpc_peer(e->session), AGENT_URI);
}

static int count_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

Test(rpc_session, idle_sessions_have_no_threads)
{
	enum { N = 200 };
	struct rpc_call *calls[N];
	int before;

	calls[0] = open_session();
	cr_assert(echo_wait(e, &e->opened, 1));
	before = count_threads();
	for (int i = 1; i < N; i++)
		calls[i] = open_session();
	cr_assert(echo_wait(e, &e->opened, N));
	cr_expect_leq(count_threads(), before + 4);
	cr_expect_eq(rpc_server_stats(e->server).sessions, N);
	for (int i = 0; i < N; i++)
		rpc_close(calls[i]);
	cr_assert(echo_wait(e, &e->closed, N));
	for (int i = 0; i < 500 && rpc_server_stats(e->server).sessions > 0; i++)
		usleep(10000);
	cr_expect_eq(rpc_server_stats(e->server).sessions, 0);
}

static bool is_agent(void *arg, const struct rpc_caller *caller)
{
	return strcmp(caller->peer_uri, arg) == 0;
}

Test(rpc_session, the_calls_of_a_revoked_agent_are_cut)
{
	cleanup(rpc_closep) struct rpc_call *c = open_session();
	const Pong *got;

	cr_assert(echo_wait(e, &e->opened, 1));
	cr_expect_eq(rpc_server_cut(e->server, is_agent, (void *)"spiffe://test/agent/8"), 0);
	cr_expect_eq(rpc_server_cut(e->server, is_agent, (void *)AGENT_URI), 1);
	cr_expect_eq(rpc_recv(c, &got, &err), -1);
	cr_expect_eq(err.code, ERR_CANCELLED);
	cr_assert(echo_wait(e, &e->closed, 1));
	cr_expect_eq(e->closed_why, ERR_CANCELLED);
}

Test(rpc_session, a_stop_sends_agents_to_redial)
{
	cleanup(rpc_closep) struct rpc_call *c = open_session();
	int64_t before = clock_mono_us();
	const Pong *got;

	cr_assert(echo_wait(e, &e->opened, 1));
	rpc_server_stop(e->server, 10000);
	cr_expect_lt(clock_mono_us() - before, 5000000, "sessions do not hold up a stop");
	cr_expect_eq(e->closed, 1);
	cr_expect_eq(e->closed_why, ERR_UNAVAILABLE);
	cr_expect_eq(rpc_recv(c, &got, &err), -1);
	cr_expect_eq(err.code, ERR_UNAVAILABLE);
}

/* One thread receives, others send, post and cancel: what an agent does. */
static void *receiver(void *arg)
{
	struct rpc_call *c = arg;
	struct error why;
	const Pong *got;
	int *n = xcalloc(1, sizeof *n);

	while (rpc_recv(c, &got, &why) > 0)
		++*n;
	return n;
}

Test(rpc_session, a_client_may_receive_and_send_on_different_threads)
{
	struct rpc_call *c = open_session();
	pthread_t t = thread_start("receiver", 0, receiver, c);
	Ping ping = RPCTEST__V1__PING__INIT;
	void *n;

	for (int i = 0; i < 500; i++)
		cr_assert_eq(i % 2 ? rpc_send(c, &ping, &err) : rpc_post(c, &ping, &err), 0, "%s",
			     err.text);
	cr_assert(echo_wait(e, &e->received, 500));
	cr_assert_eq(rpc_done_sending(c, &err), 0);
	pthread_join(t, &n);
	cr_expect_eq(*(int *)n, 500);
	free(n);
	rpc_close(c);
}
