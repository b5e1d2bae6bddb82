/*
 * work_private.h - what work.c (the table), work_heard.c, control.c and runner.c share
 */
#ifndef AGENT_WORK_PRIVATE_H
#define AGENT_WORK_PRIVATE_H

#include <uthash.h>
#include "agent/live.h"
#include "agent/work.h"
#include "base/list.h"
#include "base/thread.h"

enum { DEFAULT_GRACE_MS = 10000 };

enum stage { STAGE_ACCEPTED, STAGE_READY, STAGE_RUNNING, STAGE_SHIPPING, STAGE_FINISHING };

enum todo {
	TODO_EXITED = BIT(0), /* journal it, let the log end */
	TODO_FINISH = BIT(1), /* say Finish */
	TODO_FORGET = BIT(2),
	TODO_REWIND = BIT(3), /* ship again from `durable` */
};

struct attempt {
	uint64_t fence;
	UT_hash_handle hh;
	Sluice__V1__Assignment *assignment;
	Sluice__V1__FinishedAttempt *finished; /* once it ended */
	enum stage stage;
	bool lost;	/* started, and no trace of how it ended */
	bool held;	/* a runner has it */
	bool attached;	/* found running or ended at start: nothing is prepared */
	bool resumed;	/* an agent before us started it, and may have shipped some of its log */
	bool announced; /* the last Register named it */
	bool stop;	/* the controller wants it to end */
	bool gone;	/* the controller wants no result: forget it once its output is there */
	bool told;	/* its shim heard of `stop` */
	bool given_up;	/* its log was refused, or its spool is damaged */
	bool waits;	/* for a slot, in work.waiting: then its Accept is said */
	bool occupies;	/* a slot: from its Accept until its job has ended */
	Sluice__V1__ExitReason stop_as;
	char *stop_reason;
	int64_t stop_grace_ms;
	int64_t lease_ms;      /* T_a */
	int64_t lease_boot_ms; /* when it ends; 0: not granted yet */
	struct runner *runner;
	struct ship_log *log;
	struct live *live;     /* its runner's, while it runs */
	struct list ready;     /* in work.waiting, then in work.ready_list */
	struct list todo_link; /* in work.todo */
	unsigned todo;
	uint64_t durable[SPOOL_STREAMS]; /* what the controller has, as it said in a need */
	struct work *work;
};

struct runner {
	struct work *work;
	pthread_t thread;
	struct slot *slot; /* changed with the lock held */
	int wake;	   /* eventfd: stop, or the end of the agent */
	char name[32];
	struct attempt *attempt; /* the one it has */
	struct attempt *first;	 /* found running in this slot at start */
};

struct offered {
	struct list link;
	Sluice__V1__Offer *offer;
	uint64_t epoch;
};

struct work {
	struct lock lock; /* guards all below, and every attempt */
	struct signal control, ready, beat, idle;
	struct work_config config;
	struct session *session;
	struct attempt *attempts;
	struct list ready_list, todo_list, offers;
	struct list waiting; /* offers that no slot is free for, in the order of their fences */
	unsigned occupied;   /* slots */
	struct runner *runners;
	unsigned n_runners;
	pthread_t control_thread, heartbeat_thread, sweeper_thread;
	struct list sweep;
	struct signal sweep_wake;
	int64_t renewed_boot_ms;
	int64_t beat_boot_ms; /* when the heartbeat looks again by itself */
	bool started, stopping;
};

/* All with the lock held. */
struct attempt *attempt_find(struct work *w, uint64_t fence);
struct attempt *attempt_add(struct work *w, Sluice__V1__Assignment *assignment); /* takes it */
void attempt_todo(struct attempt *a, enum todo what);
void attempt_ready(struct attempt *a);
void attempt_occupy(struct attempt *a); /* a slot, if it has none */
void attempt_stop(struct attempt *a, Sluice__V1__ExitReason as, const char *reason,
		  int64_t grace_ms);
void attempt_free(struct attempt *a);
/* Ended as `reason` without having run: what Finish says. */
Sluice__V1__FinishedAttempt *attempt_unrun(const struct attempt *a, Sluice__V1__ExitReason reason,
					   const char *text, uint64_t output);
void runner_wake(struct runner *r);
/* Removes work/<fence> on a thread of its own: it may be large. */
void sweep_later(struct work *w, uint64_t fence);
void sweep_free(struct work *w);
struct ship_log *attempt_log(struct attempt *a); /* opens its log */
/* How much of streams 1 and 2 there is on the disk, of an attempt that nobody follows. */
void attempt_streams(const struct attempt *a, uint64_t ends[SPOOL_STREAMS]);

/* Without the lock, on the runner's thread: where its workspace is made and from what. */
struct workspace_from attempt_workspace(struct attempt *a);
struct live *attempt_live(const struct attempt *a, const struct workspace *ws);
/* It ended, in one of these ways. The runner lets go of it, unless this agent stops while its
 * outputs are uploaded: then the next one finds the record and the outputs. */
void ending_record(struct attempt *a, const struct shim_record *record);
void ending_unstarted(struct attempt *a, const struct error *why); /* nothing was run */
void ending_lost(struct attempt *a, uint64_t output); /* so many bytes of it are there */

int64_t lease_kill_budget(int64_t lease_ms);
int64_t lease_renewal(int64_t lease_ms);
void *control_main(void *work);
void *heartbeat_main(void *work);
void *sweeper_main(void *work);
void *runner_main(void *runner);

#endif
