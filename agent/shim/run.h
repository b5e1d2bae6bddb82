/*
 * run.h - one run from its message to its record: the states of an attempt or a service
 *
 *   IDLE -> RUNNING -> ENDING -> IDLE            an attempt
 *   RUNNING -> ENDING -> BACKING_OFF -> RUNNING  a service, until it is told to stop
 *
 * RUNNING: the program lives, or it was told to end and its group still writes. ENDING: everything
 * is being killed; when nothing is left the pipe is emptied, the record written and the spool
 * renamed. The first cause of an end is the reason that is recorded. A run that died with the
 * keeper of its namespace (tree.h) is lost: it gets no record, and the shim leaves.
 */
#ifndef AGENT_SHIM_RUN_H
#define AGENT_SHIM_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include "agent/shim/launch.h"
#include "agent/shim/output.h"
#include "agent/shim/tree.h"
#include "agent/shim/wire.h"

enum { RUN_RESTART_HISTORY = 64 };

/* What a RUN message asks for. All pointers lead into the message. */
struct request {
	uint64_t fence, flags, limit, length;
	const char *name, *exec, *dir, *cgroup;
	char *argv[WIRE_MAX_ARGS + 1], *env[WIRE_MAX_ARGS + 1];
	size_t n_argv, n_env;
	uint64_t uid, gid;
	int64_t deadline, budget, timeout, grace, full_wait; /* ms; deadline in boot time */
	uint64_t restart_max;
	int64_t restart_window, backoff_min, backoff_max, healthy;
};

/* Fills `ret` and the masks from an opened RUN message. -1: damaged or past a limit. */
int request_parse(struct request *ret, struct mask *masks, struct wire_in *in);

struct run {
	struct tree *tree;
	void (*tell)(enum wire_kind kind); /* GROWN, RESTARTED, EXITED: look at us and say so */

	struct request request;
	struct output output;
	enum output_state flow;
	enum shim_phase phase;
	int cgroup; /* its directory, or -1 */
	int cgroup_error;
	int null; /* /dev/null */

	pid_t pid; /* 0: none was started, or it was reaped */
	int status;
	bool gone;
	struct rusage usage;

	enum shim_reason cause;
	bool told_to_end; /* TERM was sent */
	bool timed_out;
	int64_t started_boot, started_wall;
	int64_t kill_at; /* boot ms, 0: not set */
	int64_t full_since, retry_at;
	uint64_t oom_kills;

	struct shim_record record;
	bool judged;	/* the record is complete */
	bool unwritten; /* and the agent knows that the disk has no room for it */

	uint32_t restarts;
	int64_t restart_at, backoff;
	int64_t history[RUN_RESTART_HISTORY]; /* boot ms of the last restarts, a ring */

	uint64_t watch; /* output length above which to tell; UINT64_MAX: do not */
	uint32_t runs;
};

void run_init(struct run *r, struct tree *tree, void (*tell)(enum wire_kind kind));
/* Begins; false when refused, then nothing was done: *ret_step, *ret_errno. A program that cannot
 * be started is no refusal: it ends with a record. */
bool run_begin(struct run *r, struct wire_in *in, enum shim_step *ret_step, int *ret_errno);
void run_deadline(struct run *r, int64_t boot_ms);
void run_signal(struct run *r, enum shim_reason reason, int64_t grace_ms);
/* A child of the shim was reaped. */
void run_reaped(struct run *r, pid_t pid, int status, const struct rusage *usage);
/* Everything that is due: call it after each wake-up. pump: the pipe is readable, or its pause is
 * over. */
void run_step(struct run *r, bool pump);
/* When to call it at the latest: boot ms, 0: no need. */
int64_t run_due(const struct run *r);

int64_t boot_ms(void);
int64_t wall_ms(void);

#endif
