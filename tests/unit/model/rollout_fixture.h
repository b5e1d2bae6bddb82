/*
 * rollout_fixture.h - a controller's model with a store in memory, and hosts that obey orders
 *
 * The hosts follow PROTOCOL.md: they refuse a smaller phi, do an order once, and say what they run.
 * Orders and reports are delivered one by one, so that a test can stop, lose a connection or start
 * a new controller between any two. Every order to take a serving host out of service is checked
 * against max_unavailable as it is decided; a rollback may always change one.
 */
#ifndef TEST_ROLLOUT_FIXTURE_H
#define TEST_ROLLOUT_FIXTURE_H

#include <criterion/criterion.h>

#include "controller/model/delivery.h"
#include "controller/model/environments.h"
#include "controller/model/gates.h"
#include "controller/model/hosts.h"
#include "controller/model/promotion.h"
#include "controller/model/releases.h"
#include "controller/model/rollout.h"
#include "proto/message.h"

enum { SIM_HOSTS = 8, SIM_SLOTS = 8, SIM_INBOX = 64 };

/* What one host has of its environment. */
struct sim_host {
	struct sim *sim;
	char id[ID_SIZE], name[32], label[32];
	bool connected;
	uint64_t phi;
	char live[ID_SIZE]; /* what `current` names */
	char slots[SIM_SLOTS][ID_SIZE];
	size_t n_slots;
	bool serving, served;	/* now; ever */
	uint64_t ordered_phi;	/* of the last order that was sent */
	uint32_t ordered;	/* its attempt */
	bool changing;		/* was sent an order that it has not answered */
	uint32_t fail_prepare;	/* number of the release that it cannot unpack */
	uint32_t fail_activate; /* that is not healthy here */
	uint32_t fail_any;	/* activations that fail whatever the release */
	unsigned prepares, activations, stops, removals; /* done */
	unsigned refused;				 /* orders with a smaller phi */
	Sluice__V1__HostOrder *inbox[SIM_INBOX];
	size_t n_inbox;
	Sluice__V1__HostReport *report; /* the last: not yet heard by the controller if unsent */
	bool unsent;
	char environment[64];
};

struct sim_row {
	enum row_kind kind;
	char id[80], parent[80], key[256];
	uint64_t number;
	bool open;
	size_t len;
	uint8_t *body;
};

struct sim {
	struct world *world;
	struct now now;
	uint64_t seed;
	struct sim_row *rows;
	size_t n_rows;
	struct sim_host hosts[SIM_HOSTS];
	size_t n_hosts;
	unsigned requests, restarts, commits;
	size_t max_unavailable; /* checked when not 0 */
	unsigned events[128];	/* by kind */
	char last_event[2048];
	struct error error; /* of the last decision that failed */
};

struct sim *sim_new(uint64_t seed);
void sim_free(struct sim *s);
void sim_freep(struct sim **s);
uint32_t sim_random(struct sim *s, uint32_t below);

/* An enabled, connected agent labelled env=LABEL. */
struct sim_host *sim_host_add(struct sim *s, const char *name, const char *label);
void sim_disconnect(struct sim *s, struct sim_host *h);
void sim_connect(struct sim *s, struct sim_host *h);
struct agent *sim_agent(struct sim *s, const struct sim_host *h);

/* A policy with a rolling deployment, agents env=NAME; free it with message_free. */
Sluice__V1__EnvironmentSpec *sim_spec(const char *name, const char *after);
void sim_apply(struct sim *s, const char *pipeline, Sluice__V1__EnvironmentSpec **specs, size_t n);
/* Applies one environment of the pipeline "fraud". */
void sim_apply_one(struct sim *s, Sluice__V1__EnvironmentSpec *spec);
struct environment *sim_env(struct sim *s, const char *name);
/* A new release of "fraud"; its number. */
uint32_t sim_release(struct sim *s);
const char *sim_live(struct sim *s, const char *env, char ret[RELEASE_NAME]);
struct release *sim_release_of(struct sim *s, uint32_t number);

/* 0, or -1 with s->error. The reply is dropped. */
int sim_promote(struct sim *s, const char *env, uint32_t release);
int sim_promote_with(struct sim *s, Sluice__V1__PromoteRequest *request, Sluice__V1__Role role,
		     Sluice__V1__PromoteReply **ret);
int sim_rollback(struct sim *s, const char *env, const char *to);
int sim_hold(struct sim *s, const char *env, bool hold);
/* Ends the VERIFY run of the environment's promotion: each step with this exit. */
void sim_verify(struct sim *s, const char *env, Sluice__V1__ExitReason reason);
/* Of the last promotion of the environment. */
Sluice__V1__Promotion__State sim_outcome(struct sim *s, const char *env);

/* Delivers one order or report; false: there is none. */
bool sim_deliver_to(struct sim *s, struct sim_host *h);
bool sim_deliver(struct sim *s);
void sim_settle(struct sim *s);		     /* delivers until all is quiet */
void sim_advance(struct sim *s, int64_t ms); /* time passes; what is due is done; settles */
void sim_tick(struct sim *s, int64_t ms);    /* the same without settling */
void sim_restart(struct sim *s); /* a new controller on the same rows; everyone connects again */
void sim_commit(struct sim *s);
/* Every host serves this release and nothing is under way. */
void sim_expect_everywhere(struct sim *s, const char *env, uint32_t release);

/* host-a, host-b, ... of production, whose policy `change` may change; at most one unavailable. */
struct sim *sim_with_hosts(size_t n, void (*change)(Sluice__V1__EnvironmentSpec *));
/* The same with r1 live everywhere. */
struct sim *sim_serving(size_t n, void (*change)(Sluice__V1__EnvironmentSpec *));
/* staging (host-s) -> production (host-p, host-q), with a verify step each when asked for. */
struct sim *sim_two_stages(bool auto_newest, bool verify);
/* As if a run of "fraud" had succeeded with this release. */
void sim_run_succeeds(struct sim *s, uint32_t release);
Sluice__V1__PromoteRequest sim_request(const char *env, const char *release, const char *id);
/* Does something with this subject wait, with these words in its sentence? */
bool sim_waits_say(struct sim *s, const char *subject, const char *sentence);

#endif
