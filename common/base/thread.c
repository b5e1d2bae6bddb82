/*
 * pthreads without return values: each of these calls can only fail by a bug or
 * when the system refuses a thread, and no program here goes on after either.
 * A lock remembers its owner, so taking it twice and forgetting to take it stop
 * the program where it happens.
 */
#include "base/thread.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct start {
	thread_fn *fn;
	void *arg;
	char name[16]; /* with the NUL, as the kernel has it */
};

static void must(int r, const char *what)
{
	if (r == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(r));
	abort();
}

/* All but those a thread raises by its own doing: blocked, they would kill without a word. */
static void all_signals(sigset_t *ret)
{
	static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS };

	sigfillset(ret);
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		sigdelset(ret, own[i]);
}

void thread_block_signals(void)
{
	sigset_t all;

	all_signals(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, NULL), "blocking signals");
}

static void *run(void *arg)
{
	struct start start = *(struct start *)arg;

	free(arg);
	pthread_setname_np(pthread_self(), start.name);
	return start.fn(start.arg);
}

pthread_t thread_start(const char *name, size_t stack, thread_fn *fn, void *arg)
{
	struct start *start = xcalloc(1, sizeof *start);
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t t;

	start->fn = fn;
	start->arg = arg;
	snprintf(start->name, sizeof start->name, "%s", name);
	must(pthread_attr_init(&attr), "preparing a thread");
	if (stack)
		must(pthread_attr_setstacksize(&attr, stack), "sizing a thread's stack");
	all_signals(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &before), "blocking signals");
	must(pthread_create(&t, &attr, run, start), "starting a thread");
	must(pthread_sigmask(SIG_SETMASK, &before, NULL), "unblocking signals");
	pthread_attr_destroy(&attr);
	return t;
}

void thread_join(pthread_t t)
{
	must(pthread_join(t, NULL), "joining a thread");
}

static bool is_ours(const struct lock *l)
{
	return atomic_load_explicit(&l->owner, memory_order_relaxed) == (uintptr_t)pthread_self();
}

static void own(struct lock *l, uintptr_t owner)
{
	atomic_store_explicit(&l->owner, owner, memory_order_relaxed);
}

void lock_init(struct lock *l)
{
	must(pthread_mutex_init(&l->mu, NULL), "making a lock");
	own(l, 0);
}

void lock_release(struct lock *l)
{
	must(pthread_mutex_destroy(&l->mu), "destroying a lock");
}

void lock_take(struct lock *l)
{
	assert(!is_ours(l));
	must(pthread_mutex_lock(&l->mu), "taking a lock");
	own(l, (uintptr_t)pthread_self());
}

void lock_drop(struct lock *l)
{
	assert(is_ours(l));
	own(l, 0);
	must(pthread_mutex_unlock(&l->mu), "dropping a lock");
}

void lock_assert_held(const struct lock *l)
{
	assert(is_ours(l));
}

void signal_init(struct signal *s)
{
	pthread_condattr_t attr;

	must(pthread_condattr_init(&attr), "making a signal");
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC), "making a signal");
	must(pthread_cond_init(&s->cv, &attr), "making a signal");
	pthread_condattr_destroy(&attr);
}

void signal_release(struct signal *s)
{
	must(pthread_cond_destroy(&s->cv), "destroying a signal");
}

void signal_wait(struct signal *s, struct lock *l)
{
	lock_assert_held(l);
	own(l, 0);
	must(pthread_cond_wait(&s->cv, &l->mu), "waiting for a signal");
	own(l, (uintptr_t)pthread_self());
}

bool signal_wait_ms(struct signal *s, struct lock *l, int64_t timeout_ms)
{
	enum { LONGEST = 365 * 24 * 3600 }; /* seconds: keeps the sum below in range */
	struct timespec until;
	int r;

	if (timeout_ms < 0) {
		signal_wait(s, l);
		return true;
	}
	lock_assert_held(l);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)MIN(timeout_ms / 1000, (int64_t)LONGEST);
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	own(l, 0);
	r = pthread_cond_timedwait(&s->cv, &l->mu, &until);
	own(l, (uintptr_t)pthread_self());
	if (r != ETIMEDOUT)
		must(r, "waiting for a signal");
	return r == 0;
}

void signal_one(struct signal *s)
{
	must(pthread_cond_signal(&s->cv), "signalling");
}

void signal_all(struct signal *s)
{
	must(pthread_cond_broadcast(&s->cv), "signalling");
}
