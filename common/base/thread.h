/*
 * thread.h - threads and locks that cannot be forgotten
 *
 * Starting a thread or locking never fails in a way that a program can mend: it
 * aborts. Threads block all signals (main takes them with sigwait) but those of
 * their own doing (SIGSEGV, SIGABRT ...), and are joined by whoever started them. Waits run on
 * CLOCK_MONOTONIC.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/mem.h"

typedef void *thread_fn(void *arg);
/* name (15 bytes shown by top and gdb); stack in bytes, 0: the default */
pthread_t thread_start(const char *name, size_t stack, thread_fn *fn, void *arg);
void thread_join(pthread_t t);
void thread_block_signals(void); /* call first in main, before gRPC starts its threads */

struct lock {
	pthread_mutex_t mu;
	_Atomic uintptr_t owner; /* the thread that holds it; only the assertions read it */
};
#define LOCK_INIT                               \
	{                                       \
		.mu = PTHREAD_MUTEX_INITIALIZER \
	} /* for locks that live as long as the program */

void lock_init(struct lock *l);
void lock_release(struct lock *l); /* destroys it */
void lock_take(struct lock *l);
void lock_drop(struct lock *l);
void lock_assert_held(const struct lock *l); /* the first line of a _locked function */

/* A condition variable. Waits may end for no reason: look again. All who wait for one use the same
 * lock, and what they look at changes only under it; then it does not matter whether it is raised
 * with the lock held. They are woken when the lock is dropped. */
struct signal {
	_Atomic uint32_t raised;  /* how often, while somebody waited */
	_Atomic uint32_t waiting; /* threads */
};

void signal_init(struct signal *s);
void signal_release(struct signal *s);
void signal_wait(struct signal *s, struct lock *l);
/* false when timeout_ms (>= 0) have passed; negative waits for ever. */
bool signal_wait_ms(struct signal *s, struct lock *l, int64_t timeout_ms);
void signal_one(struct signal *s);
void signal_all(struct signal *s);

static inline void lock_dropp(struct lock **l)
{
	if (*l)
		lock_drop(*l);
}
#define LOCK_NAME__(line) locked_##line
#define LOCK_NAME_(line)  LOCK_NAME__(line)
/* Held to the end of the scope. */
#define LOCKED(l)                                                                          \
	cleanup(lock_dropp) __attribute__((unused)) struct lock *LOCK_NAME_(__LINE__) = ({ \
		lock_take(l);                                                              \
		(l);                                                                       \
	})

#endif
