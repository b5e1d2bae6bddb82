/*
 * contain.h - what keeps a job together on this host, found out once
 *
 * A job's processes must all die, also those that called setsid, and also when
 * their shim is killed. From strong to weak: a pid namespace per shim (as root,
 * or inside a user namespace), else subreaper and process group with a search by
 * a mark in the environment. A delegated cgroup v2, if there is one, is used on
 * top: it bounds memory and tells an out-of-memory kill from others.
 *
 * The trial is made by `sluice-shim probe` in a process of its own, as a
 * program with threads cannot enter a user namespace.
 */
#ifndef AGENT_CONTAIN_H
#define AGENT_CONTAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/error.h"

enum contain_kind {
	CONTAIN_GROUP,	/* subreaper and process group */
	CONTAIN_USERNS, /* pid namespace in a user namespace */
	CONTAIN_PIDNS,	/* pid namespace, as root */
};

struct contain {
	enum contain_kind kind;
	bool own_proc;	   /* /proc shows the namespace; false: the host's is seen */
	char *cgroup;	   /* directory of the jobs' cgroups, or NULL */
	bool memory, pids; /* may they be bounded there? */
	char reason[256];  /* a sentence for `doctor` and host.containment */
};

/*
 * shim: the program's path. cgroup: a cgroup v2 directory to use; NULL looks for our own one
 * if it was delegated to us (systemd's Delegate=yes); "" uses none. In a delegated
 * one the agent moves itself to the child `agent` and jobs get children of `jobs`.
 * at_most: a weaker kind may be asked for (tests); CONTAIN_PIDNS otherwise.
 * Fails only when the shim cannot be run.
 */
int contain_probe(const char *shim, const char *cgroup, enum contain_kind at_most,
		  struct contain *ret, struct error *err);
void contain_release(struct contain *c);
const char *contain_kind_name(enum contain_kind kind); /* "pid namespace" */

/* A cgroup for one run, 0: no bound. *ret is NULL when there are none; freed by the caller. */
int contain_cgroup_make(const struct contain *c, const char *name, uint64_t memory_max,
			uint64_t pids_max, char **ret, struct error *err);
/* Kills what is in it, waits until it is empty, removes it. Absent is well. */
int contain_cgroup_remove(const char *dir, int timeout_ms, struct error *err);
/* Kills every process whose environment holds `mark` ("K=V") until there is none. */
int contain_kill_marked(const char *mark, int timeout_ms, struct error *err);

#endif
