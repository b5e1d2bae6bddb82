#include "helpers.h"

#include "base/clock.h"

static void say(struct fixture *f, const char *run)
{
	cr_assert_eq(engine_ask(f->engine, note, run, NULL, &f->err), 0, "%s", f->err.text);
}

/* The feed moves after the answer: waits until it has. */
static uint64_t settled(struct fixture *f)
{
	epoch(f);
	return engine_last_event(f->engine);
}

Test(feed, events_concern_the_run_they_are_about)
{
	struct fixture *f = setup();
	uint64_t start = settled(f), end;

	say(f, "run-a");
	say(f, "run-b");
	end = settled(f);
	cr_assert_eq(end, start + 2);
	cr_expect(feed_concerns(f->engine, start, end, "run-a", ""));
	cr_expect(feed_concerns(f->engine, start, end, "", ""));
	cr_expect_not(feed_concerns(f->engine, start, end, "run-c", ""));
	cr_expect_not(feed_concerns(f->engine, start + 1, end, "run-a", ""));
	cr_expect_not(feed_concerns(f->engine, start, end, "run-a", "production"));
	cr_expect_not(feed_concerns(f->engine, end, end, "", ""));
	cr_expect_not(feed_concerns(f->engine, end, end + 5, "", ""));
	cr_expect(feed_concerns(f->engine, 0, end, "run-c", ""), "the start is not in memory");
	teardown(f);
}

/* Says many things at once. */
static int chatter(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	for (int i = 0; i < *(const int *)req; i++) {
		char id[16];

		snprintf(id, sizeof id, "r%d", i);
		note(w, now, id, NULL, err);
	}
	return 0;
}

Test(feed, memory_reaches_back_8192_events_and_says_so_beyond)
{
	struct fixture *f = setup();
	uint64_t start = settled(f), end;
	int n = 9000;

	cr_assert_eq(engine_ask(f->engine, chatter, &n, NULL, &f->err), 0, "%s", f->err.text);
	end = settled(f);
	cr_assert_eq(end, start + 9000);
	cr_expect(feed_concerns(f->engine, end - 8192, end, "r8999", ""));
	cr_expect(feed_concerns(f->engine, end - 8192, end, "r808", ""));
	cr_expect_not(feed_concerns(f->engine, end - 8192, end, "r807", ""));
	cr_expect(feed_concerns(f->engine, end - 8193, end, "not there", ""));
	n = 10;
	cr_assert_eq(engine_ask(f->engine, chatter, &n, NULL, &f->err), 0);
	end = settled(f);
	cr_expect_not(feed_concerns(f->engine, end - 8192, end, "r817", ""));
	cr_expect(feed_concerns(f->engine, end - 8192, end, "r818", ""));
	teardown(f);
}

static void *wake_soon(void *arg)
{
	usleep(20000);
	feed_wake(arg);
	return NULL;
}

Test(feed, a_waiter_is_woken_by_events_by_hand_and_by_time)
{
	struct fixture *f = setup();
	struct feed_waiter *w = feed_waiter_new(f->engine);
	uint64_t start = settled(f);
	int64_t began = clock_mono_us();
	pthread_t t;

	cr_expect_eq(feed_wait(w, start, 30), start);
	cr_expect_geq(clock_mono_us() - began, 29000);
	cr_expect_eq(feed_wait(w, start - 1, -1), start, "what is past is not waited for");
	say(f, "x");
	cr_expect_eq(feed_wait(w, start, -1), start + 1);
	t = thread_start("wake", 0, wake_soon, w);
	feed_wait(w, start + 1, -1);
	feed_wait(w, start + 1, -1); /* a wake stays */
	thread_join(t);
	feed_waiter_free(w);
	teardown(f);
}

struct sleeper {
	struct feed_waiter *waiter;
	uint64_t after, woke;
};

static void *sleep_on(void *arg)
{
	struct sleeper *s = arg;

	s->woke = feed_wait(s->waiter, s->after, -1);
	return NULL;
}

Test(feed, a_waiter_that_named_a_run_sleeps_through_others)
{
	struct fixture *f = setup();
	struct sleeper s = { .waiter = feed_waiter_new(f->engine), .after = settled(f) };
	pthread_t t;

	feed_waiter_only(s.waiter, "mine", "");
	t = thread_start("sleeper", 0, sleep_on, &s);
	say(f, "other");
	say(f, "another");
	say(f, "mine");
	thread_join(t);
	cr_expect_geq(s.woke, s.after + 3);
	cr_expect_eq(feed_wait(s.waiter, settled(f), 10), settled(f));
	feed_waiter_free(s.waiter);
	teardown(f);
}

Test(feed, nobody_waits_on_an_engine_that_stopped)
{
	struct fixture *f = setup();
	struct sleeper s = { .waiter = feed_waiter_new(f->engine), .after = settled(f) };
	pthread_t t = thread_start("sleeper", 0, sleep_on, &s);

	engine_stop(f->engine);
	thread_join(t);
	cr_expect_eq(feed_wait(s.waiter, s.after, -1), s.after);
	feed_waiter_free(s.waiter);
	teardown(f);
}
