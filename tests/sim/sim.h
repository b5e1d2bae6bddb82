/*
 * sim.h - a controller's model, its rows, agents, their network and their clocks in one process
 *
 * Everything happens in simulated time and follows from one seed: what happens next is taken from
 * a heap of events. The controller is the real model, with a table for a store; the agents are
 * written here by PROTOCOL.md; the network carries messages in order within a session and
 * loses what is under way when that breaks; clocks differ by up to 1 %. Anything may crash at any
 * time.
 *
 * After every step the promises are checked (oracle.c): P2, P3, P6, P8, and that what is over is
 * over at the host before it is said; and a world that is built again from the rows is the one that
 * was (rebuild.c). A run of the simulation ends with the faults: then everything
 * must come to an end.
 */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/mem.h"
#include "controller/model/attempts.h"
#include "controller/model/caller.h"
#include "controller/model/world.h"
#include "proto/message.h"

enum {
	HOSTS = 4,
	HELD_MAX = 16,
	PROCESSES = 32,
	SLOTS_MAX = 4,
	SERVICE_SLOTS = 64,
	STAGES = 2, /* environments there may be: staging, then production */
};

/* The known mistakes; each must be found out. */
enum mutant {
	MUTANT_NONE,
	MUTANT_LEASE_FROM_RECEIPT,    /* agent: the lease counts from the answer, not the request */
	MUTANT_START_ON_OFFER,	      /* agent: starts before Accepted */
	MUTANT_EXEC_NOT_JOURNALED,    /* agent: executes before STARTED is durable */
	MUTANT_ANY_SEQ,		      /* agent: takes an old answer for the outstanding request's */
	MUTANT_NO_WAIT_AFTER_RESTART, /* controller: countdowns are over at its start */
	MUTANT_SHORT_COUNTDOWN,	      /* controller: T_c without the time to kill and the drift */
	MUTANT_NO_FENCE_CHECK,	  /* controller: a Finish counts for the job, whatever the fence */
	MUTANT_SAY_BEFORE_COMMIT, /* controller: effects before they are durable */
	MUTANT_FORGETFUL_JOURNAL, /* agent: does not say that its journal was lost */
	MUTANT_REPORT_AHEAD,	  /* host: says DONE before it has done it */
	MUTANT_UNTOUCHED,	  /* controller: changes a row and writes it not */
	MUTANT_DRIFT,		  /* controller: what is not a row goes wrong by and by */
	MUTANTS
};

struct sim;

/* ---- clockwork.c ---- */

struct event {
	int64_t at; /* true time, ms */
	uint64_t order;
	void (*happen)(struct sim *s, struct event *e);
	void *who, *what;
	uint64_t life; /* of who: a later one knows nothing of it */
	uint64_t fence;
	int64_t number;
};

struct clock {
	int64_t base;
	int64_t ppm; /* how much faster than true time */
};

uint64_t sim_random(struct sim *s);
int64_t sim_between(struct sim *s, int64_t low, int64_t high); /* both included */
bool sim_chance(struct sim *s, int percent);
int64_t clock_read(const struct sim *s, const struct clock *c);
int64_t clock_when(const struct sim *s, const struct clock *c, int64_t reading); /* true time */
struct clock clock_new(struct sim *s);
/* At true time `at`. `what` is owned by the event until it happened; its kind is the handler's to
 * know. */
struct event *sim_at(struct sim *s, int64_t at, void (*happen)(struct sim *s, struct event *e),
		     void *who);
bool sim_step(struct sim *s); /* false: nothing is left */

/* ---- rows.c ---- */

struct stored {
	UT_hash_handle by_id, by_child, by_key, by_number;
	char *id, *child, *key, *parent_id;
	char number[40];
	enum row_kind kind;
	bool open;
	int state;
	uint64_t version;
	uint8_t *body;
	size_t len;
};

struct table {
	struct stored *by_id, *by_child, *by_key, *by_number;
	struct stored **all; /* in the order in which they came */
	size_t n, cap;
};

int rows_put(struct sim *s, const struct row *row);
void rows_release(struct sim *s);
int rows_get(void *sim, enum row_kind kind, const char *id, ProtobufCMessage **ret,
	     struct error *err);
int rows_find(void *sim, enum row_kind kind, const char *parent, const char *key,
	      ProtobufCMessage **ret, struct error *err);
int rows_by_number(void *sim, enum row_kind kind, uint64_t number, ProtobufCMessage **ret,
		   struct error *err);
struct stored *rows_of(struct sim *s, enum row_kind kind, const char *id);
int rows_load(struct sim *s, struct world *w, struct error *err);
ProtobufCMessage *stored_message(const struct stored *r);

/* ---- network.c ---- */

struct session {
	uint64_t id;
	struct host *host;
	uint64_t life;		    /* of the controller that it reaches */
	int64_t up_last, down_last; /* when the last message arrives */
	bool cut;		    /* nothing passes any more */
	struct session *next;
};

/* To the controller: a message of the agent, or (message NULL) that its log of `fence` ends at
 * `number`. */
void net_up(struct sim *s, struct session *session, Sluice__V1__AgentMessage *message,
	    uint64_t fence, int64_t number);
void net_down(struct sim *s, struct session *session, Sluice__V1__ControllerMessage *message,
	      uint64_t fence, int64_t number);
struct session *net_connect(struct sim *s, struct host *h);
/* The controller died: what it said last may still arrive. */
void net_orphan(struct sim *s);
/* Breaks it; each end hears of it in its own time. */
void net_cut(struct sim *s, struct session *session, bool soon);
struct session *net_session(struct sim *s, uint64_t id);
void net_release(struct sim *s);

/* ---- controller.c ---- */

void controller_start(struct sim *s);
void controller_crash(struct sim *s); /* it comes back by itself */
/* 0, -1 refused, -2 it crashed meanwhile (or is down). */
int controller_ask(struct sim *s, decide_fn *decide, const void *req, void *reply,
		   struct error *err);
void controller_hear(struct sim *s, struct session *session,
		     const Sluice__V1__AgentMessage *message);
void controller_log(struct sim *s, struct session *session, uint64_t fence, uint64_t end);
void controller_lost_session(struct sim *s, struct session *session);
extern const struct caller sim_admin;

/* ---- agent.c, attempt.c ---- */

struct process {
	uint64_t fence; /* 0: this place is free */
	bool running;
	bool recorded; /* its exit record is there */
	bool dying;
	int64_t deadline; /* on the host's clock: kept by the shim, not by the agent */
	int64_t lease_ms;
	Sluice__V1__ExitReason reason;
	uint64_t life; /* of its timers */
};

struct held {
	uint64_t fence; /* 0: free */
	Sluice__V1__Held__State state;
	char run_id[ID_SIZE], job_id[ID_SIZE];
	int64_t lease_ms;
	Sluice__V1__ExitReason reason;
	/* volatile */
	uint64_t accept_seq;
	int64_t accept_sent;
	bool starting, log_acked, stopped;
};

/* What a host has of its environment; all of it is durable. */
struct service {
	const char *environment;
	uint64_t phi;
	char live[ID_SIZE];
	char slots[SERVICE_SLOTS][ID_SIZE];
	size_t n_slots;
	Sluice__V1__HostStep step;
	uint32_t attempt;
	Sluice__V1__HostReport__State state;
	char text[64];
	bool healthy, wanted_up;
};

struct host {
	struct sim *sim;
	int index;
	char id[ID_SIZE], name[32];
	struct clock clock;
	bool powered, up; /* the machine; the agent's process */
	unsigned int boot;
	uint64_t life; /* of the agent's process */
	uint32_t slots;
	bool revoked;
	/* durable */
	uint64_t max_fence, max_epoch;
	struct held held[HELD_MAX];
	bool journal_lost;
	struct service services[STAGES];
	/* not the agent's */
	struct process processes[PROCESSES];
	/* volatile */
	struct session *session;
	bool registered;
	uint64_t seq, renew_seq, register_seq;
	int64_t renew_sent, register_sent;
};

void host_enrol(struct sim *s, struct host *h, const char *label);
void agent_boot(struct sim *s, struct host *h);	 /* the process starts */
void agent_crash(struct sim *s, struct host *h); /* its shims live on */
void host_reboot(struct sim *s, struct host *h, int64_t off_ms);
void agent_lose_journal(struct sim *s, struct host *h);
void agent_hear(struct sim *s, struct host *h, const Sluice__V1__ControllerMessage *message);
void agent_log_acked(struct sim *s, struct host *h, uint64_t fence);
void agent_session_gone(struct sim *s, struct host *h, struct session *session);
void agent_send(struct sim *s, struct host *h, Sluice__V1__AgentMessage *message); /* takes it */
Sluice__V1__AgentMessage *agent_message_new(struct host *h,
					    Sluice__V1__AgentMessage__BodyCase body);

void attempt_offer_heard(struct sim *s, struct host *h, const Sluice__V1__Assignment *a,
			 uint64_t epoch);
void attempt_send_accept(struct sim *s, struct host *h, struct held *held);
void attempt_start(struct sim *s, struct host *h, struct held *held, int64_t sent);
void attempt_extend(struct sim *s, struct host *h, uint64_t fence, int64_t sent);
void attempt_stopped(struct sim *s, struct host *h, uint64_t fence, Sluice__V1__ExitReason as,
		     int64_t grace_ms);
void attempt_forget(struct sim *s, struct host *h, struct held *held);
void attempt_report(struct sim *s, struct host *h, struct held *held); /* log, then Finish */
struct held *attempt_held(struct host *h, uint64_t fence);
struct process *host_process(struct host *h, uint64_t fence);
void process_kill_shim(struct sim *s, struct host *h); /* of one of them, at random */
void processes_end(struct sim *s, struct host *h);     /* the power goes */
bool host_is_quiet(const struct host *h);

/* ---- service.c ---- */

void service_order(struct sim *s, struct host *h, const Sluice__V1__HostOrder *order);
void service_report(struct sim *s, struct host *h);
void services_describe(struct host *h, Sluice__V1__Register *r);
void services_went_down(struct host *h);
void services_lose_disk(struct host *h);

/* ---- work.c ---- */

void work_begin(struct sim *s); /* submissions, cancellations, faults: until the calm */
const char *work_request_id(struct sim *s, char ret[32]);
Sluice__V1__JobSpec *work_job_new(struct sim *s, const char *name);

/* ---- delivery.c ---- */

void delivery_begin(struct sim *s);
/* Something that people do to releases, environments and their hosts. */
void delivery_one_thing(struct sim *s);
void delivery_calm(struct sim *s); /* hosts are what they were; what failed is tried again */
/* A pipeline's last job makes a release of the source, judged by gates. */
void delivery_add_release(struct sim *s, Sluice__V1__Pipeline *p, char **ret_source);

/* ---- reached.c: which meetings there were; each must happen in enough schedules ---- */

enum meeting {
	MET_NEWER_WAITS,	 /* asked for while another is under way */
	MET_WAITS_FOR_STAGING,	 /* in line until it is verified upstream */
	MET_AUTO,		 /* promoted by itself */
	MET_AUTO_HELD,		 /* `auto` waits, and a hold is set */
	MET_UNHELD,		 /* lifted, and `auto` goes on */
	MET_STALE,		 /* its champion is not live any more */
	MET_POLICY_CHANGED,	 /* applied while a promotion is under way */
	MET_RELABELLED,		 /* a host leaves in the middle of a rollout */
	MET_DRAINED,		 /* likewise */
	MET_REVOKED,		 /* likewise */
	MET_DISK_LOST,		 /* likewise, with all that was unpacked */
	MET_SKIPPED,		 /* a host is DIVERGED */
	MET_CONVERGED,		 /* and brought to what is live afterwards */
	MET_ROLLED_BACK_ROLLING, /* by a person, in the middle of a rollout */
	MET_ROLLED_BACK_VERIFYING,
	MET_ROLLED_BACK_PAUSED,
	MET_ROLLED_BACK_ROLLBACK, /* sent elsewhere */
	MET_FAILED_FIRST,	  /* the first release of an environment */
	MET_DEGRADED,		  /* the way back failed */
	MET_PAUSED,
	MET_PAUSED_VERIFIED, /* again */
	MET_PAUSED_ACCEPTED, /* by an override */
	MET_VERIFY_LOST,     /* an attempt of a verify step */
	MET_VERIFY_CANCELLED,
	MET_RESTART_WAITING, /* the controller, with a promotion in this state */
	MET_RESTART_ROLLING,
	MET_RESTART_VERIFYING,
	MET_RESTART_PAUSED,
	MET_RESTART_ROLLBACK,
	MET_CLOCK_JUMPED, /* while a promotion is under way */
	MET_CANCEL_OFFERED,
	MET_CANCEL_RUNNING,
	MEETINGS
};
const char *meeting_name(enum meeting m);
void reached(struct sim *s, enum meeting m);
void reached_row(struct sim *s, const struct stored *before, const struct row *row);
void reached_restart(struct sim *s);

/* ---- rebuild.c ---- */

/* After a commit: what is in memory is what is stored, and could be built from it again. */
void rebuild_check(struct sim *s);

/* ---- oracle.c ---- */

struct ledger_entry { /* of one fence */
	UT_hash_handle hh;
	uint64_t fence;
	char job_id[ID_SIZE], run_id[ID_SIZE];
	int starts;
	bool running;
	Sluice__V1__ExitReason reason;
	uint64_t log_end, log_durable;
};

struct ledger_entry *ledger(struct sim *s, uint64_t fence);
void oracle_fail(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void oracle_start(struct sim *s, struct host *h, struct held *held);
void oracle_end(struct sim *s, uint64_t fence, Sluice__V1__ExitReason reason);
/* A row is about to be committed over what was there (NULL: nothing). */
void oracle_row(struct sim *s, const struct stored *before, const struct row *row);
void oracle_end_of_time(struct sim *s);
bool oracle_all_is_over(struct sim *s);

struct sim {
	uint64_t random;
	int64_t t;
	int64_t wall_jump; /* how far the controller's wall clock was set */
	struct event **heap;
	size_t n_heap, cap_heap;
	uint64_t orders;
	struct table table;
	struct world *world; /* NULL: the controller is down */
	uint64_t life;	     /* of the controller */
	struct clock clock;
	int64_t wake_at; /* true time of the wake that is scheduled */
	struct host hosts[HOSTS];
	int n_hosts;
	struct session *sessions;
	uint64_t session_ids, requests;
	int64_t slow_until; /* the network crawls */
	struct ledger_entry *ledger;
	enum mutant mutant;
	bool trace, calm, failed;
	char verdict[512];
	int64_t lease_ms;
	int stages;	 /* environments: 0, production alone, or both */
	bool takes_auto; /* the newest is promoted by itself */
	uint32_t sources;
	unsigned int met[MEETINGS];
	/* how much happened */
	unsigned int commits, restarts, crashes, reboots, cuts, starts, losses, runs, promotions,
		rebuilt;
};

#define sim_trace(s, ...) ((s)->trace ? sim_say((s), __VA_ARGS__) : (void)0)
void sim_say(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
