/*
 * lab.h - a world with a store in memory and agents that say what a test tells them to
 *
 * Every decision is followed by a commit, as the engine does it: place, rows, events, effects. A
 * decision that fails must have changed nothing, and a restart must find all that was committed;
 * both are checked on the way, whatever a test is about.
 */
#ifndef TEST_LAB_H
#define TEST_LAB_H

#include <criterion/criterion.h>
#include <uthash.h>

#include "controller/model/agents.h"
#include "controller/model/artifacts.h"
#include "controller/model/attempts.h"
#include "controller/model/jobs.h"
#include "controller/model/runs.h"
#include "controller/model/tokens.h"
#include "controller/model/waits.h"
#include "controller/model/world.h"
#include "proto/message.h"

enum { LAB_AGENTS = 32, LAB_MESSAGES = 4096, LAB_GIB = 30 };

#define GIB(n) ((uint64_t)(n) << LAB_GIB)

struct lab_row {
	UT_hash_handle hh;
	char *key; /* kind and id */
	enum row_kind kind;
	char *id, *parent, *column;
	uint64_t number, serial;
	bool open;
	uint8_t *body;
	size_t len;
};

struct lab_agent {
	struct lab *lab;
	char id[ID_SIZE], name[AGENT_NAME_MAX + 1], boot[16];
	uint64_t session, seq;
	bool closed; /* its last session was ended by the controller */
	enum error_code closed_code;
	Sluice__V1__HostFacts *host;
	Sluice__V1__ControllerMessage *inbox[LAB_MESSAGES];
	size_t n_inbox;
};

struct lab {
	struct world *world;
	struct now now;
	struct lab_row *rows;
	uint64_t serials, sessions, requests, seed;
	struct lab_agent *agents[LAB_AGENTS];
	size_t n_agents;
	unsigned events[128]; /* by kind */
	char last[128][512];  /* their texts */
	size_t rows_written;  /* by the last commit */
	size_t logs_closed;
	struct error error; /* of the last decision that failed */
};

extern const struct caller lab_admin, lab_viewer;

struct lab *lab_new(void);
void lab_free(struct lab *l);
void lab_freep(struct lab **l);
int lab_ask(struct lab *l, decide_fn *decide, const void *req, void *reply);
void lab_advance(struct lab *l, int64_t ms); /* time passes; each due thing happens at its time */
void lab_restart(struct lab *l);	     /* kill -9 of the controller, and a new one */
const char *lab_request(struct lab *l, char ret[32]);

/* ---- agents ---- */

/* Enrolled with labels "k=v,k=v", connected. */
struct lab_agent *lab_agent(struct lab *l, const char *name, uint32_t slots, const char *labels);
struct lab_agent *lab_gpu_agent(struct lab *l, const char *name, uint32_t gpus, uint64_t memory,
				const char *labels);
struct lab_agent *lab_agent_enrol(struct lab *l, const char *name, uint32_t slots,
				  const char *labels);
struct agent *lab_agent_of(struct lab_agent *a);
void agent_connect(struct lab_agent *a); /* Register, holding nothing */
void agent_drop(struct lab_agent *a);	 /* its stream ends */
/* Register with what it holds: pairs of (fence, state), ended by 0. */
void agent_register_holding(struct lab_agent *a, ...);
void agent_register_lossy(struct lab_agent *a); /* its journal was not intact */
void agent_send(struct lab_agent *a, Sluice__V1__AgentMessage *m,
		const uint64_t (*durable)[LOG_STREAMS]); /* takes it; the next seq */
void agent_accept(struct lab_agent *a, uint64_t fence);
void agent_renew(struct lab_agent *a, uint64_t fence);
void agent_decline(struct lab_agent *a, uint64_t fence, const char *reason);
void agent_goodbye(struct lab_agent *a);
Sluice__V1__FinishedAttempt *finished(uint64_t fence, Sluice__V1__ExitReason reason, int32_t code);
void agent_finish_with(struct lab_agent *a, Sluice__V1__FinishedAttempt *f, /* taken */
		       uint64_t log_durable);
void agent_finish(struct lab_agent *a, uint64_t fence, Sluice__V1__ExitReason reason, int32_t code);
/* Uploads and commits an artifact; its digest is made of the text. 0 or -1 with lab->error. */
int agent_upload(struct lab_agent *a, uint64_t fence, const char *name, const char *text);
const char *digest_text(const char *text, char ret[80]);

/* The first message of this kind in the inbox, taken out (yours), or NULL. */
Sluice__V1__ControllerMessage *agent_take(struct lab_agent *a,
					  Sluice__V1__ControllerMessage__BodyCase body);
/* The fence of the first assignment of the next Offer; 0: there is none. */
uint64_t agent_offered(struct lab_agent *a);
bool agent_was_stopped(struct lab_agent *a, uint64_t fence);  /* takes Stops up to that one */
bool agent_was_accepted(struct lab_agent *a, uint64_t fence); /* takes an Accepted */
bool agent_was_acked(struct lab_agent *a, uint64_t fence);    /* takes a FinishAck */
bool agent_was_renewed(struct lab_agent *a, uint64_t fence);  /* takes a RenewAck */
/* The verdict of the last Registered on this fence; takes it. */
Sluice__V1__HeldVerdict__Verdict agent_verdict(struct lab_agent *a, uint64_t fence);
void agent_forget(struct lab_agent *a); /* empties the inbox */
/* Accepts and finishes every offer, all agents, with all outputs, until none is left. */
void lab_work(struct lab *l);
/* Takes one offer on any agent and runs it; asserts that there is one. */
uint64_t agent_start(struct lab_agent *a);
void agent_succeed(struct lab_agent *a, uint64_t fence); /* with the outputs of its spec */

/* ---- pipelines ---- */

Sluice__V1__Pipeline *pipeline(const char *name);
/* needs: names separated by spaces, or NULL. The spec is the pipeline's. */
Sluice__V1__JobSpec *add_job_to(Sluice__V1__Pipeline *p, const char *name, const char *needs);
Sluice__V1__OutputSpec *add_output(Sluice__V1__JobSpec *spec, const char *name,
				   const char *publish);
Sluice__V1__InputSpec *add_input(Sluice__V1__JobSpec *spec, const char *name, const char *job,
				 const char *output);
void need_label(Sluice__V1__JobSpec *spec, const char *name, const char *value);
void retry_on(Sluice__V1__JobSpec *spec, int32_t max, Sluice__V1__ExitReason cause,
	      int64_t wait_ms);

/* Submits it (taken); the number of the run, or 0 with lab->error. */
uint32_t lab_submit(struct lab *l, Sluice__V1__Pipeline *p);
/* A pipeline of one job. */
uint32_t lab_submit_one(struct lab *l);
struct run *lab_run(struct lab *l, uint32_t number); /* open; asserts */
struct job *lab_job(struct lab *l, uint32_t run, const char *name);
/* Rows as the store has them, yours to free; NULL: none. */
Sluice__V1__Run *lab_run_row(struct lab *l, uint32_t number);
Sluice__V1__Job *lab_job_row(struct lab *l, uint32_t run, const char *name);
Sluice__V1__Attempt *lab_attempt_row(struct lab *l, uint64_t fence);
void expect_run(struct lab *l, uint32_t number, Sluice__V1__RunState state, const char *reason);
void expect_job(struct lab *l, uint32_t run, const char *name, Sluice__V1__JobState state,
		const char *reason);
void expect_attempt(struct lab *l, uint64_t fence, Sluice__V1__AttemptState state);
int lab_cancel(struct lab *l, uint32_t run);
uint32_t lab_retry(struct lab *l, uint32_t run);
/* The sentence of a job that waits, into ret. */
const char *lab_why(struct lab *l, uint32_t run, const char *job, char ret[512]);

#define JOB(name)     SLUICE__V1__JOB_STATE__JOB_##name
#define RUN(name)     SLUICE__V1__RUN_STATE__RUN_##name
#define ATTEMPT(name) SLUICE__V1__ATTEMPT_STATE__ATTEMPT_##name
#define EXIT(name)    SLUICE__V1__EXIT_REASON__EXIT_##name
#define HELD(name)    SLUICE__V1__HELD__STATE__##name
#define VERDICT(name) SLUICE__V1__HELD_VERDICT__VERDICT__##name
#define BODY(name)    SLUICE__V1__CONTROLLER_MESSAGE__BODY_##name

#endif
