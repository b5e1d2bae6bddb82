/*
 * spawn.h - starting a program beside running threads
 *
 * posix_spawn with a clean slate: all signals at their defaults and unblocked,
 * no descriptor but those asked for, the directory and the environment given.
 * Never fork(). The child is reaped through a pidfd by whoever started it.
 */
#ifndef BASE_SPAWN_H
#define BASE_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/error.h"

struct spawn {
	const char *const *argv; /* argv[0] is looked up in PATH unless it has a slash */
	const char *const *env;	 /* NULL: ours */
	const char *dir;	 /* NULL: ours */
	int in, out, errout;	 /* descriptors for 0, 1, 2; -1: /dev/null */
	const int *keep;	 /* further descriptors, they become 3, 4, ... */
	int n_keep;		 /* 16 at most */
	bool new_session;	 /* setsid */
};

struct child {
	pid_t pid;
	int pidfd;
};

int spawn_start(const struct spawn *s, struct child *ret, struct error *err);
/* Waits for its end, at most timeout_ms (-1: for ever; ERR_TIMEOUT). status is waitpid's. At
 * its end the pidfd is closed; after a time-out the child runs on. */
int spawn_wait(struct child *c, int timeout_ms, int *ret_status, struct error *err);
/* To this very process, never to another that got its number. Ended already is well. */
int spawn_signal(const struct child *c, int number, struct error *err);
/* Runs to the end, gathering at most `limit` bytes of stdout and stderr together (the rest is
 * read and dropped). 0 when it exited 0; otherwise the error carries the end of what it said and
 * ret_out is untouched. At a time-out it is killed, with its process group under new_session. */
int spawn_run(const struct spawn *s, int timeout_ms, size_t limit, struct buf *ret_out,
	      struct error *err);

#endif
