/*
 * tree.h - all processes of a run, and their certain end
 *
 * With a pid namespace: its first process (a copy of us, "the keeper") lives as long as the
 * shim. Every program the shim starts is in the namespace; on request the keeper kills
 * all but itself and answers when there is none left. When the shim dies the
 * keeper dies, and the kernel kills the namespace. When the keeper is killed the
 * kernel does the same; then nothing can be started any more and the shim is to leave.
 * Without: we are the subreaper of all descendants, kill the group and then
 * whatever child is left until there is none. A cgroup, if given, helps in both.
 */
#ifndef AGENT_SHIM_TREE_H
#define AGENT_SHIM_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum tree_kind { TREE_GROUP, TREE_USERNS, TREE_PIDNS };

struct tree {
	enum tree_kind kind;
	pid_t keeper;	       /* 0: none */
	uint64_t keeper_start; /* field 22 of its /proc/PID/stat: who waits for it knows it again */
	int keeper_fd;	       /* readable: an answer, or its end */
	bool own_proc;
	bool killing; /* a kill was asked for and not answered yet */
	bool broken;  /* the keeper died: nothing can be started any more */
};

/* Once, before anything is started. -1 with errno set. */
int tree_open(struct tree *t, enum tree_kind kind);
/* What getppid() says in a program started here. */
pid_t tree_parent(const struct tree *t);
/* Kills everything; group: the run's process group (0 once its leader was reaped: the number may be
 * another's then), cgroup: its directory or -1. */
void tree_kill(struct tree *t, pid_t group, int cgroup);
/* True once all are dead. main_gone: the run's own child was reaped. May be called any number of
 * times, on keeper_fd, on SIGCHLD and, if tree_ticks(), every few ms. */
bool tree_empty(struct tree *t, int cgroup, bool main_gone);
/* Must tree_empty() be asked again without an event? */
bool tree_ticks(const struct tree *t);

#endif
