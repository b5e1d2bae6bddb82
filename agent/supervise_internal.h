/*
 * supervise_internal.h - what slot.c, slot_run.c and supervise.c share
 */
#ifndef AGENT_SUPERVISE_INTERNAL_H
#define AGENT_SUPERVISE_INTERNAL_H

#include "agent/supervise.h"
#include "base/thread.h"

enum {
	ANSWER_MS = 5000,   /* a shim that takes longer to say what it does is killed */
	DEATH_MS = 30000,   /* how long the processes of a dead shim are waited for */
	SLOT_NAME_MAX = 96, /* "shims/NAME.sock" must fit a socket's address */
};

struct supervise {
	char *dir, *shims, *spool, *program;
	const struct contain *contain;
};

struct slot {
	const struct supervise *supervise;
	char *name;
	struct lock lock;      /* guards fd against being closed while another thread sends */
	int fd;		       /* to the shim, -1: none */
	pid_t child;	       /* a shim that we started and have to reap, 0: it is not ours */
	bool leaving;	       /* it said so with its last record */
	bool busy;	       /* a run was sent and has not ended */
	uint64_t fence;	       /* of that run */
	unsigned char *packet; /* WIRE_MAX_BYTES for slot_run(), made by the first */
	struct slot_status status;
};

/* Who lived and died behind a lock file. */
struct tomb {
	pid_t shim, keeper;
	uint64_t keeper_start;
};

int tomb_read(const struct supervise *s, const char *slot, struct tomb *ret, struct error *err);
/* Connects to a live shim and hears its state: ERR_NOT_FOUND when it is none or left,
 * ERR_TIMEOUT when it does not answer. */
int slot_connect(struct slot *slot, struct error *err);
void slot_disconnect(struct slot *slot);
bool slot_alive(const struct supervise *s, const char *slot);
/* What a run's environment ends with, so that it can be found: on the heap. */
char *supervise_mark(const struct supervise *s, const char *name);
char *supervise_cgroup(const struct supervise *s, const char *name); /* NULL: there are none */
/* Names a spool's file name cannot be told apart from. */
bool supervise_name_valid(const char *name);

#endif
