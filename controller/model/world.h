/*
 * world.h - everything that is open, in memory: the model's own data
 *
 * The world holds running work, agents, environments and what they refer to,
 * indexed so that no step costs more as history or the queue grows. It is
 * rebuilt from the store at start. It knows no thread, no clock, no file: time
 * comes as `now`, randomness as a seed, closed things through a world_source.
 *
 * An entity is a struct that owns one protobuf message (its row) and its places
 * in the indexes. A decision checks first and changes after: on -1 the world is
 * untouched. Whoever changes a row calls world_touch() on it: that is what gets
 * it written. Closed entities leave memory at world_committed().
 *
 * One thread uses a world: the engine's (or the simulation's).
 */
#ifndef MODEL_WORLD_H
#define MODEL_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "base/list.h"
#include "controller/model/timer.h"
#include "proto/row.h"
#include "sluice/v1/agents.pb-c.h"
#include "sluice/v1/environments.pb-c.h"
#include "sluice/v1/events.pb-c.h"
#include "sluice/v1/releases.pb-c.h"
#include "sluice/v1/runs.pb-c.h"
#include "sluice/v1/store.pb-c.h"
#include "sluice/v1/tokens.pb-c.h"

struct world;

/* A page of a list ends with the item that makes it as large, packed: clients take 4 MiB. */
enum { LIST_BYTES = 2 << 20 };

/* A decision: a pure function of the world, the time and a request. 0, or -1 with *err and nothing
 * changed. */
typedef int decide_fn(struct world *w, struct now now, const void *req, void *reply,
		      struct error *err);

/*
 * Closed things, read when a decision needs them: in the engine from the same
 * transaction, in the simulation from a table in memory. What is pending in the world
 * (touched, not yet committed) is seen first by world_fetch(), so a source need not know it.
 * get: by id. find: the newest row with this parent and key. The message is on the heap
 * (protobuf_c_message_free_unpacked). 1 found, 0 not, -1 error.
 */
struct world_source {
	int (*get)(void *arg, enum row_kind kind, const char *id, ProtobufCMessage **ret,
		   struct error *err);
	int (*find)(void *arg, enum row_kind kind, const char *parent, const char *key,
		    ProtobufCMessage **ret, struct error *err);
	int (*by_number)(void *arg, enum row_kind kind, uint64_t number, ProtobufCMessage **ret,
			 struct error *err);
	void *arg;
};

/* The head of every entity. */
struct entity {
	enum row_kind kind;
	ProtobufCMessage *message; /* owned; the typed `row` beside it is the same pointer */
	struct list touched;	   /* in world.touched while its row must be written */
	bool gone;		   /* its row must be deleted */
};

struct run {
	struct entity entity;
	Sluice__V1__Run *row;
	UT_hash_handle by_id, by_number;
	struct job **jobs; /* in the pipeline's order */
	size_t n_jobs;
	Sluice__V1__Pipeline *pipeline; /* owned; NULL for a VERIFY run */
	struct promotion *promotion;	/* of a VERIFY run */
	uint32_t open_jobs;
};

struct job {
	struct entity entity;
	Sluice__V1__Job *row;
	UT_hash_handle by_id;
	struct run *run;
	struct attempt *attempt; /* the current one, or NULL */
	struct job **dependents; /* jobs that wait for this one */
	size_t n_dependents;
	void *queue;	    /* of its needs (queue.c), or NULL */
	size_t queue_place; /* in that heap, from 1; 0: in none */
	const char *notes;  /* digest of release notes, during delivery_job_succeeded() only */
	struct timer timer; /* back-off */
};

struct attempt {
	struct entity entity;
	Sluice__V1__Attempt *row;
	UT_hash_handle by_fence;
	struct job *job;
	struct agent *agent;
	struct list of_agent;	/* in agent.attempts */
	struct timer lease;	/* T_c, on the boot clock */
	struct timer suspicion; /* 30 s */
	int64_t renewed_boot_ms;
	size_t offer_bytes; /* of its offer while that has no answer */
};

/* What one caller was refused since the controller started (access.c). */
enum { DENIED_METHODS = 16 };
struct denials {
	uint64_t count;
	struct {
		char method[32];
		int64_t boot_ms; /* when the audit log last heard of it */
	} told[DENIED_METHODS];
};

struct agent {
	struct entity entity;
	Sluice__V1__Agent *row;
	UT_hash_handle by_id, by_name;
	uint64_t session; /* 0: not connected; else the handle that effects name */
	uint64_t last_seq;
	struct list attempts; /* open ones, oldest first */
	/* what open attempts and services hold of the host */
	uint32_t used_slots, used_cpu_milli;
	uint64_t used_memory;
	uint64_t used_gpus;	  /* bit per index */
	uint32_t n_environments;  /* whose host it is and which are not `shared` */
	bool leaving;		  /* said Goodbye: takes nothing more in this session */
	int64_t gone_ms;	  /* steady: since when it has no session, once it had one */
	struct list changed;	  /* in world.changed while place() must look at it again */
	Sluice__V1__Offer *offer; /* being filled by place() */
	size_t offer_size;	  /* bytes */
	size_t unanswered;	  /* bytes of offers that were made to it, place.h */
	int64_t told_until_ms[2]; /* boot: not told again before, gone and connected (presence.h) */
	uint32_t untold;	  /* changes since the last that was told */
	struct timer telling;
	struct denials *denials; /* NULL: none yet */
};

struct release {
	struct entity entity;
	Sluice__V1__Release *row;
	UT_hash_handle by_id, by_number;
	uint32_t uses;	  /* environments, promotions, hosts and open runs that name it */
	struct list idle; /* in world.idle while nobody uses it */
};

struct environment {
	struct entity entity;
	Sluice__V1__Environment *row;
	UT_hash_handle by_name;
	struct promotion *promotion; /* in progress, or NULL */
	struct list waiting;	     /* promotions that wait, oldest first (promotion.queued) */
	struct timer timer;	     /* the next due time of the rollout */
	int64_t resumed_ms;	     /* steady: when this controller loaded it (rollout.h) */
};

struct promotion {
	struct entity entity;
	Sluice__V1__Promotion *row;
	UT_hash_handle by_id;
	struct environment *environment;
	struct release *release, *from;
	struct run *verify; /* its VERIFY run while open */
	struct list queued; /* in environment.waiting */
	int64_t begun_ms;   /* steady: its rollout */
};

struct enrol_token {
	struct entity entity;
	Sluice__V1__EnrolTokenRow *row;
	UT_hash_handle by_hash;
};

struct token {
	struct entity entity;
	Sluice__V1__Token *row;
	UT_hash_handle by_hash, by_id;
	struct denials *denials; /* NULL: none yet */
};

struct published {
	struct entity entity;
	Sluice__V1__PublishedRow *row;
	UT_hash_handle by_name;
};

/* What happens after the commit and can be derived again from the world. */
enum effect_kind {
	EFFECT_POST,	  /* message to the agent's session */
	EFFECT_CLOSE,	  /* end the session, with err's text as the reason */
	EFFECT_LOG_CLOSED /* an attempt is terminal: its log ends here; readers stop */
};

struct effect {
	struct list link;
	enum effect_kind kind;
	uint64_t session;
	Sluice__V1__ControllerMessage *message; /* owned */
	struct error error;
	/* of EFFECT_LOG_CLOSED: whose log, and where each stream ends (what is durable there may be
	 * more) */
	char run_id[ID_SIZE];
	uint64_t fence;
	uint64_t log_end[3];
};

struct world {
	struct entity controller;
	Sluice__V1__ControllerRow *counters; /* controller.message */
	struct world_source source;
	struct now now;	    /* of the decision in progress */
	int64_t wall_zero;  /* what the wall clock said at boot, as it was when the world started */
	uint64_t random[4]; /* xoshiro256**; for ids */
	struct run *runs_by_id, *runs_by_number;
	struct job *jobs;
	struct attempt *attempts;
	struct agent *agents_by_id, *agents_by_name;
	struct release *releases_by_id, *releases_by_number;
	struct environment *environments;
	struct promotion *promotions;
	struct enrol_token *enrol_tokens;
	struct token *tokens_by_hash, *tokens_by_id;
	struct published *published;
	struct timers timers;
	struct list touched; /* entities whose rows must be written */
	struct list pending; /* rows made in this transaction that are not entities (record.c) */
	void *pending_by_id, *pending_by_child;
	struct list events, effects;
	struct buf packed;   /* the body of the row that world_changes() puts */
	struct list idle;    /* releases that nobody uses: gone at the next commit */
	struct list changed; /* agents that place() must look at */
	void *queues;	     /* queue.c: jobs by what they need */
	uint32_t jobs_queued, jobs_active;
	bool place_wanted; /* something changed that may let a job start */
	uint64_t denied;   /* calls that were refused to agents and tokens that are known */
};

/* ---- for the engine (and the simulation): load, run, write, forget ---- */

struct world *world_new(const struct world_source *source, uint64_t seed);
void world_free(struct world *w);
/* One open row at start; kinds in the order of enum row_kind. The message becomes the world's. */
int world_load(struct world *w, enum row_kind kind, ProtobufCMessage *message, struct error *err);
/* After the last world_load(), as a decision: links everything, ctl_epoch + 1, every countdown at
 * its full T_c, nobody connected. `req` is NULL or the cluster's name (first start). */
decide_fn world_start;
/* Runs what is due. */
decide_fn world_tick;
/* When the next tick is due on each clock; INT64_MAX: nothing is. */
struct now world_due(const struct world *w);
/* Starts what can start now; the engine calls it once after all decisions of a transaction. */
void world_place(struct world *w, struct now now);

bool world_changed(const struct world *w); /* is there anything to write? */
/* Each changed row once, in no particular order. The row's bytes live until the next call. */
int world_changes(struct world *w, int (*put)(void *arg, const struct row *row, struct error *err),
		  void *arg, struct error *err);
/* Takes the first event off, NULL when none is left. seq and time are set, the hashes are not. */
Sluice__V1__Event *world_take_event(struct world *w);
struct effect *world_take_effect(struct world *w); /* effect_free() it */
void effect_free(struct effect *e);
void world_committed(struct world *w); /* forgets touches, drops what is closed */

/* ---- for decisions ---- */

/* The wall clock as it would be had nobody set it since the world started: what a rollout's
 * time-outs go by, whose rows outlive a restart, and which no jump of the wall clock may end or put
 * off. */
static inline int64_t world_steady_ms(const struct world *w)
{
	return w->wall_zero + w->now.boot_ms;
}

void world_touch(struct world *w, struct entity *e);
/* A new UUIDv7 from now and the world's own randomness. */
struct id world_id(struct world *w);
/* Appends an event; unset fields are left empty. The text is formatted. */
Sluice__V1__Event *world_event(struct world *w, Sluice__V1__EventKind kind,
			       const Sluice__V1__Actor *actor, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void event_of_run(Sluice__V1__Event *e, const struct run *run);
void event_of_job(Sluice__V1__Event *e, const struct job *job);
void event_of_agent(Sluice__V1__Event *e, const struct agent *agent);
void event_of_environment(Sluice__V1__Event *e, const struct environment *env);
void event_of_promotion(Sluice__V1__Event *e, const struct promotion *p);
/* To a connected agent after the commit; takes the message; drops it when nobody is connected. */
void world_post(struct world *w, struct agent *agent, Sluice__V1__ControllerMessage *message);
void world_close_session(struct world *w, struct agent *agent, enum error_code code,
			 const char *reason);

/* Rows that are not kept in memory: artifacts, verdicts, run specs, requests, history.
 * world_record() takes the message; a later world_fetch() sees it at once. */
void world_record(struct world *w, enum row_kind kind, ProtobufCMessage *message);
/* A row of these kinds that is in the store: it is deleted. Takes the message. */
void world_forget(struct world *w, enum row_kind kind, ProtobufCMessage *message);
/* 1 and a copy on the heap, 0, or -1. Looks at what is open, then pending, then the source. */
int world_fetch(struct world *w, enum row_kind kind, const char *id, ProtobufCMessage **ret,
		struct error *err);
int world_fetch_child(struct world *w, enum row_kind kind, const char *parent, const char *key,
		      ProtobufCMessage **ret, struct error *err);

/* By what people write: a number, "r57", "318", an id, a name. NULL with ERR_NOT_FOUND that names
 * it. A run or release that is closed is not here: handlers read those from the store. */
struct run *world_run(struct world *w, const char *text, struct error *err);
struct job *world_job(struct world *w, const char *id);
struct attempt *world_attempt(struct world *w, uint64_t fence);
struct agent *world_agent(struct world *w, const char *name_or_id, struct error *err);
struct agent *world_agent_by_id(struct world *w, const char *id);
struct environment *world_environment(struct world *w, const char *name, struct error *err);
struct promotion *world_promotion(struct world *w, const char *id);
/* Loads a release that is not in memory from the source, too. */
struct release *world_release(struct world *w, const char *text, struct error *err);
struct release *world_release_ref(struct release *r); /* +1 use */
void world_release_unref(struct world *w, struct release *r);

/* New entities: entered into the indexes and touched; the row becomes the entity's. */
struct run *world_add_run(struct world *w, Sluice__V1__Run *row, Sluice__V1__Pipeline *pipeline);
struct job *world_add_job(struct world *w, struct run *run, Sluice__V1__Job *row);
struct attempt *world_add_attempt(struct world *w, struct job *job, struct agent *agent,
				  Sluice__V1__Attempt *row);
struct agent *world_add_agent(struct world *w, Sluice__V1__Agent *row);
struct release *world_add_release(struct world *w, Sluice__V1__Release *row);
struct environment *world_add_environment(struct world *w, Sluice__V1__Environment *row);
struct promotion *world_add_promotion(struct world *w, struct environment *env,
				      struct release *release, Sluice__V1__Promotion *row);

/* A request that was answered before: 1 and the id of what it made; 0: new, and world_answered()
 * must follow. */
int world_asked(struct world *w, const char *request_id, const char *method,
		char ret_subject[ID_SIZE], struct error *err);
void world_answered(struct world *w, const char *request_id, const char *method,
		    const char *subject);
/* The same under a key of our own (with a ':'), kept for ever. */
void world_noted(struct world *w, const char *key, const char *what, const char *subject);

/* Do an agent's labels (and name, as `agent=NAME`) carry all of these? */
bool agent_matches(const struct agent *agent, Sluice__V1__Variable *const *labels, size_t n);
bool agent_label_is(const struct agent *agent, const char *name, const char *value);

#endif
