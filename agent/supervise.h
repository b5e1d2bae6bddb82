/*
 * supervise.h - the agent's hand on the shims: start, attach, steer, hear
 *
 * A shim (agent/shim) owns the processes of one slot or service, its output and its exit
 * record, and outlives the agent. It is reached by `shims/SLOT.lock` (held: it lives) and
 * `shims/SLOT.sock`; what it wrote is read through agent/spool.h. A run that has neither a live
 * shim nor a record is lost: it is reported so and never started again.
 *
 * The order for an attempt: journal STARTED and sync, slot_run(), ship what slot_next() calls
 * grown, on SLOT_EXITED (durable only after spool_sync) report, supervise_release() after the
 * controller's answer. slot_run() can be called again right after SLOT_EXITED.
 *
 * Threads: a struct supervise never changes after it was opened, any thread may use it.
 * A struct slot has one owner at a time, who alone may call slot_next, slot_run, slot_start,
 * slot_wait and slot_close; slot_deadline, slot_signal, slot_watch and slot_ask_status are for any
 * thread, take a short lock and never wait for the shim (a shim that does not listen:
 * ERR_UNAVAILABLE). slot_fd() is for poll or epoll, so slots may share a thread or have one each.
 */
#ifndef AGENT_SUPERVISE_H
#define AGENT_SUPERVISE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "agent/contain.h"
#include "agent/shim/wire.h"
#include "agent/spool.h"
#include "base/error.h"
#include "base/mem.h"

struct supervise;
struct slot;

/*
 * Makes state_dir/{shims,spool} (0700). shim: the path of sluice-shim. `contain` is borrowed
 * for the life of it. The caller holds the state directory's lock.
 */
struct supervise *supervise_open(const char *state_dir, const char *shim,
				 const struct contain *contain, struct error *err);
void supervise_close(struct supervise *s); /* shims and what they run go on */
DEFINE_CLEANUP(struct supervise *, supervise_close)
const char *supervise_spool_dir(const struct supervise *s);

enum found_state {
	FOUND_NOTHING, /* no spool of that name: never started, or released */
	FOUND_LIVE,    /* its shim runs it */
	FOUND_DONE,    /* record is filled */
	FOUND_LOST,    /* its shim died; its processes are dead, too */
};

struct found {
	char name[SHIM_NAME_MAX + 1];
	enum found_state state;
	struct slot *slot; /* FOUND_LIVE: connected; the visitor's from now on */
	uint64_t fence;	   /* 0 for a lost run whose name is no number */
	uint64_t length;   /* of stream 0 */
	struct shim_record record;
};

/*
 * At start, once: everything that is here, live ones first. A shim that holds its lock
 * but does not answer within 5 s is killed, and its run is lost.
 * A lost run's processes are killed and awaited before it is named.
 */
typedef void supervise_visit_fn(void *arg, struct found *found);
int supervise_attach(struct supervise *s, supervise_visit_fn *visit, void *arg, struct error *err);
/* What became of a run of `slot` after SLOT_GONE: FOUND_DONE or FOUND_LOST, or FOUND_NOTHING when
 * the shim left before it began. Waits until what is left of it is dead. */
int supervise_find(struct supervise *s, const char *slot, const char *name, struct found *ret,
		   struct error *err);
/* Deletes the spool. ERR_NOT_FOUND is not an error. */
int supervise_release(struct supervise *s, const char *name, struct error *err);

struct supervise_mask {
	const void *data; /* WIRE_MIN_MASK..WIRE_MAX_MASK bytes; others are left out */
	size_t len;
};

struct supervise_spec {
	uint64_t fence;		 /* > 0; a service's phi */
	const char *name;	 /* the spool's, name_valid(); NULL: the fence in decimal */
	const char *command;	 /* for /bin/sh -ec, or: */
	const char *const *argv; /* argv[0] without a slash is looked up in env's PATH */
	const char *const *env;	 /* all of it, "K=V", NULL-terminated; NULL: none */
	const char *dir;	 /* NULL: / */
	uid_t uid;		 /* 0: as the agent */
	gid_t gid;
	bool no_new_privs;
	int64_t deadline_boot_ms;	    /* the lease's end; 0: none (services, hooks) */
	int64_t kill_budget_ms;		    /* K: TERM at deadline - K/2, kill at the deadline */
	int64_t timeout_ms;		    /* 0: none */
	int64_t grace_ms;		    /* between TERM and kill at a timeout; 0: 10 s */
	uint64_t log_limit;		    /* bytes, 0: 1 GiB. A service has segments instead */
	int64_t disk_full_ms;		    /* how long a full disk is waited for; 0: 60 s */
	uint64_t memory_max, pids_max;	    /* 0: none; without a cgroup they are not enforced */
	const struct supervise_mask *masks; /* blanked with '*', same length */
	size_t n_masks;
	bool service; /* restarted whenever it ends, until slot_signal(); below: 0 the default */
	uint32_t restart_max; /* restarts in restart_window_ms that are a crash loop; 0: never */
	int64_t restart_window_ms; /* 10 min */
	int64_t backoff_min_ms;	   /* 200 ms, doubled up to */
	int64_t backoff_max_ms;	   /* 30 s */
	int64_t healthy_ms;	   /* 60 s of life begin the back-off anew */
};

/* name: of the slot or service, name_valid(). Connects to the shim that lives there, or will
 * start one at slot_run(). */
struct slot *slot_open(struct supervise *s, const char *name, struct error *err);
/* Lets go: a run goes on without us; an idle shim leaves by itself. */
void slot_close(struct slot *slot);
DEFINE_CLEANUP(struct slot *, slot_close)
const char *slot_name(const struct slot *slot);
/* Readable: call slot_next(). It changes when a new shim is started (slot_run): -1 without one. */
int slot_fd(const struct slot *slot);

/* Starts the shim, if there is none, so that the first run need not wait for it. */
int slot_start(struct slot *slot, struct error *err);
/*
 * Sends the run to the shim and returns; that it could not be started is told by
 * SLOT_EXITED with SHIM_NOT_STARTED. ERR_CONFLICT: something runs here. ERR_INVALID: a limit of
 * wire.h.
 */
int slot_run(struct slot *slot, const struct supervise_spec *spec, struct error *err);
/* The lease now ends at boot_ms. */
int slot_deadline(struct slot *slot, uint64_t fence, int64_t boot_ms, struct error *err);
/* TERM, after grace_ms kill. reason: SHIM_CANCELLED, SHIM_STOPPED or SHIM_PREEMPTED. */
int slot_signal(struct slot *slot, uint64_t fence, enum shim_reason reason, int64_t grace_ms,
		struct error *err);
/* One SLOT_GROWN when stream 0 is longer than length (at once if it is): call it when all up to
 * there was taken. So a burst is one event, and a busy reader gets none. A run begins unwatched. */
int slot_watch(struct slot *slot, uint64_t fence, uint64_t length, struct error *err);
/* Asks for a SLOT_STATUS event. */
int slot_ask_status(struct slot *slot, struct error *err);

struct slot_status {
	enum shim_phase phase;
	pid_t shim_pid, job_pid; /* job_pid 0: nothing runs at this moment */
	uint64_t fence;		 /* 0 when idle */
	char name[SHIM_NAME_MAX + 1];
	uint64_t length;
	uint32_t restarts;
	uint64_t dropped; /* bytes of a service's output lost to a full disk */
	uint32_t runs;
};

enum slot_event_kind {
	SLOT_GROWN = 1, /* length */
	SLOT_RESTARTED, /* a service ended (record) and will be started again; restarts */
	SLOT_EXITED,	/* record; the slot is free */
	SLOT_REFUSED,	/* why: a message came too late or was wrong */
	SLOT_STATUS,	/* status */
	SLOT_GONE,	/* the shim left or died; supervise_find() tells what became of a run.
			 * slot_run() starts another */
};

struct slot_event {
	enum slot_event_kind kind;
	uint64_t fence;
	uint64_t length;
	uint32_t restarts;
	bool unwritten; /* SLOT_EXITED: the disk is full, so the record exists only here */
	bool run;	/* SLOT_REFUSED: the run was, so nothing was started */
	struct shim_record record;
	struct slot_status status;
	struct error why;
};

/* 1 an event, 0 nothing now (never waits), -1 an error of ours. */
int slot_next(struct slot *slot, struct slot_event *ret, struct error *err);
/* The same, waiting up to timeout_ms (-1: for ever); 0 when it has passed. */
int slot_wait(struct slot *slot, int timeout_ms, struct slot_event *ret, struct error *err);
/* What the last state message said; the attached run's, after supervise_attach(). */
const struct slot_status *slot_status(const struct slot *slot);

#endif
