/*
 * pthreads without return values: each of these calls can only fail by a bug or
 * when the system refuses a thread, and no program here goes on after either.
 * A lock remembers its owner, so taking it twice and forgetting to take it stop
 * the program where it happens.
 *
 * A signal is a number to wait on with futex(2). Who raises it while holding a lock wakes the
 * others only after dropping that lock: woken before, they would run into it and sleep again, which
 * costs more than the rest of the hand-over. What is woken then is only an address, so the signal
 * may be gone by that time, as when the woken thread frees it: at worst somebody else's futex
 * there sees a wake-up that it must expect anyway.
 */
#include "base/thread.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

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

/* ---- wake-ups that wait for the lock to be dropped ---- */

enum { WAKES_MAX = 8 };

static _Thread_local struct {
	struct {
		_Atomic uint32_t *raised;
		int threads;
	} wakes[WAKES_MAX];
	unsigned n;    /* of them */
	unsigned held; /* locks of this thread */
} mine;

static void wake(_Atomic uint32_t *raised, int threads)
{
	syscall(SYS_futex, raised, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
}

static void wake_all(void)
{
	while (mine.n > 0) {
		mine.n--;
		wake(mine.wakes[mine.n].raised, mine.wakes[mine.n].threads);
	}
}

static void wake_later(_Atomic uint32_t *raised, int threads)
{
	if (!mine.held) {
		wake(raised, threads);
		return;
	}
	for (unsigned i = 0; i < mine.n; i++)
		if (mine.wakes[i].raised == raised) {
			threads = MIN(threads, INT_MAX - mine.wakes[i].threads);
			mine.wakes[i].threads += threads;
			return;
		}
	if (mine.n == WAKES_MAX)
		wake_all();
	mine.wakes[mine.n].raised = raised;
	mine.wakes[mine.n++].threads = threads;
}

/* ---- locks ---- */

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
	mine.held++;
}

void lock_drop(struct lock *l)
{
	assert(is_ours(l));
	own(l, 0);
	mine.held--;
	must(pthread_mutex_unlock(&l->mu), "dropping a lock");
	wake_all();
}

void lock_assert_held(const struct lock *l)
{
	assert(is_ours(l));
}

/* ---- signals ---- */

void signal_init(struct signal *s)
{
	atomic_init(&s->raised, 0);
	atomic_init(&s->waiting, 0);
}

void signal_release(struct signal *s)
{
	assert(atomic_load(&s->waiting) == 0);
}

/* until: on CLOCK_MONOTONIC, NULL: for ever. False when that has passed. */
static bool wait_until(struct signal *s, struct lock *l, const struct timespec *until)
{
	uint32_t seen;
	long r;

	lock_assert_held(l);
	seen = atomic_load(&s->raised);
	atomic_fetch_add(&s->waiting, 1);
	lock_drop(l);
	r = syscall(SYS_futex, &s->raised, FUTEX_WAIT_BITSET_PRIVATE, seen, until, NULL,
		    FUTEX_BITSET_MATCH_ANY);
	if (r < 0 && errno != EAGAIN && errno != EINTR && errno != ETIMEDOUT)
		must(errno, "waiting for a signal");
	r = r < 0 ? errno : 0;
	lock_take(l);
	atomic_fetch_sub(&s->waiting, 1);
	return r != ETIMEDOUT;
}

void signal_wait(struct signal *s, struct lock *l)
{
	wait_until(s, l, NULL);
}

bool signal_wait_ms(struct signal *s, struct lock *l, int64_t timeout_ms)
{
	enum { LONGEST = 365 * 24 * 3600 }; /* seconds: keeps the sum below in range */
	struct timespec until;

	if (timeout_ms < 0)
		return wait_until(s, l, NULL);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)MIN(timeout_ms / 1000, (int64_t)LONGEST);
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	return wait_until(s, l, &until);
}

/* A waiter counts itself before it drops the lock under which it looked: who changed something
 * under that lock afterwards sees it here. */
static void raise_for(struct signal *s, int threads)
{
	if (atomic_load(&s->waiting) == 0)
		return;
	atomic_fetch_add(&s->raised, 1);
	wake_later(&s->raised, threads);
}

void signal_one(struct signal *s)
{
	raise_for(s, 1);
}

void signal_all(struct signal *s)
{
	raise_for(s, INT_MAX);
}
