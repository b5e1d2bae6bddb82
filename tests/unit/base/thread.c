#include "base/thread.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"

struct shared {
	struct lock lock;
	struct signal changed;
	int count; /* lock */
};

static void *count_up(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < 10000; i++) {
		LOCKED(&s->lock);
		s->count++;
	}
	return NULL;
}

Test(thread, a_lock_held_to_the_end_of_a_scope_loses_nothing)
{
	struct shared s = { .lock = LOCK_INIT };
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		threads[i] = thread_start("counting", 0, count_up, &s);
	for (int i = 0; i < 4; i++)
		thread_join(threads[i]);
	cr_expect_eq(s.count, 40000);
	lock_release(&s.lock);
}

Test(thread, a_lock_taken_twice_stops_the_program, .signal = SIGABRT)
{
	struct lock l;

	lock_init(&l);
	lock_take(&l);
	lock_take(&l);
}

Test(thread, a_lock_dropped_by_somebody_else_stops_the_program, .signal = SIGABRT)
{
	struct lock l;

	lock_init(&l);
	lock_drop(&l);
}

Test(thread, a_lock_that_is_not_held_fails_its_assertion, .signal = SIGABRT)
{
	struct lock l = LOCK_INIT;

	lock_take(&l);
	lock_assert_held(&l);
	lock_drop(&l);
	lock_assert_held(&l);
}

static void *add_one(void *arg)
{
	struct shared *s = arg;
	LOCKED(&s->lock);

	s->count++;
	signal_all(&s->changed);
	return NULL;
}

Test(thread, a_signal_wakes_who_waits)
{
	struct shared s;
	pthread_t t;

	lock_init(&s.lock);
	signal_init(&s.changed);
	s.count = 0;
	lock_take(&s.lock);
	t = thread_start("adding", 64 * 1024, add_one, &s);
	while (s.count == 0)
		signal_wait(&s.changed, &s.lock);
	lock_assert_held(&s.lock);
	lock_drop(&s.lock);
	thread_join(t);
	signal_release(&s.changed);
	lock_release(&s.lock);
}

Test(thread, a_wait_ends_when_its_time_has_passed)
{
	struct lock l = LOCK_INIT;
	struct signal s;
	int64_t before = clock_mono_us(), passed;

	signal_init(&s);
	lock_take(&l);
	cr_expect(!signal_wait_ms(&s, &l, 1050));
	passed = clock_mono_us() - before;
	cr_expect(passed >= 1050000 && passed < 5000000, "%lld us", (long long)passed);
	cr_expect(!signal_wait_ms(&s, &l, 0));
	lock_drop(&l);
}

struct seen {
	char name[32];
	sigset_t blocked;
};

static void *look(void *arg)
{
	struct seen *s = arg;

	pthread_getname_np(pthread_self(), s->name, sizeof s->name);
	pthread_sigmask(SIG_SETMASK, NULL, &s->blocked);
	return NULL;
}

Test(thread, a_thread_has_its_name_and_takes_no_signals)
{
	struct seen seen;
	sigset_t ours;

	thread_join(thread_start("a-name-that-is-too-long", 0, look, &seen));
	cr_expect_str_eq(seen.name, "a-name-that-is-");
	cr_expect(sigismember(&seen.blocked, SIGTERM) && sigismember(&seen.blocked, SIGPIPE));
	cr_expect(!sigismember(&seen.blocked, SIGSEGV) && !sigismember(&seen.blocked, SIGABRT));
	pthread_sigmask(SIG_SETMASK, NULL, &ours);
	cr_expect(!sigismember(&ours, SIGTERM), "the starter's mask is as it was");
}
