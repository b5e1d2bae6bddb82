/*
 * launch.h - from a description to a running program, in one clone and one exec
 *
 * The child shares our memory until it execs (as vfork does), so nothing is copied and
 * a failure before the exec comes back as a value. All our descriptors are
 * close-on-exec; the program gets /dev/null as 0 and one pipe as 1 and 2.
 */
#ifndef AGENT_SHIM_LAUNCH_H
#define AGENT_SHIM_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>
#include "agent/shim/wire.h"

struct launch {
	const char *exec;
	char *const *argv, *const *env;
	const char *dir;
	uid_t uid; /* 0: as we are */
	gid_t gid;
	bool no_new_privs;
	int in, out;
	int cgroup;		 /* a directory, or -1 */
	pid_t parent;		 /* what getppid() must say: 0 across a pid namespace */
	enum shim_step ret_step; /* where it failed ... */
	int ret_errno;		 /* ... and why */
};

/* The new process, leader of its session and group; or -1, with ret_step and ret_errno set and
 * nothing left behind. All signals are to be blocked; the program starts with none blocked or
 * ignored. */
pid_t launch_start(struct launch *l);

#endif
