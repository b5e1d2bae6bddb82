/*
 * deploy_private.h - what deploy.c (orders and threads), install.c (slots on disk) and service.c
 * (the running server, hooks, checks) share
 */
#ifndef AGENT_DEPLOY_PRIVATE_H
#define AGENT_DEPLOY_PRIVATE_H

#include <uthash.h>
#include "agent/deploy.h"
#include "base/buf.h"
#include "base/thread.h"

enum { REPORT_TEXT_MAX = 1000 };

/* One environment on this host. Its thread owns all but what the lock guards. */
struct host {
	struct deploy *deploy;
	UT_hash_handle hh;
	char *name;	    /* of the environment */
	char *dir;	    /* env/<name> */
	char *service_name; /* of its shim and spool */
	pthread_t thread;
	int wake; /* eventfd: an order, or the end */

	/* deploy.lock guards these */
	Sluice__V1__HostOrder *pending;
	Sluice__V1__JournalHost *state; /* as journalled; others only read it */

	struct slot *service;	/* connected shim, or NULL */
	uint64_t service_fence; /* the phi it was started with */
	_Atomic bool running;	/* it runs (or restarts) something for us */
	bool stopped;		/* SLOT_EXITED came */
	bool crashed;		/* ... and nobody had asked for it */
	uint32_t restarts;
	char ended[256]; /* how it ended, or how it ended last before a restart */
	struct ship_log *log;
	bool healthy;
	int64_t next_check_boot_ms;
};

struct deploy {
	struct lock lock;
	struct deploy_config config;
	struct session *session;
	struct host *hosts;
	bool stopping, stop_services, started;
};

/* ---- deploy.c ---- */
/* Waits for a service event, a newer order or the end, at most ms (-1: for ever); service events
 * are handled. ERR_CANCELLED: what is being done is no longer wanted. */
int host_wait(struct host *h, int64_t ms, struct error *err);
bool host_interrupted(void *host);
/* Journals a change of the state; *h->state is what to write. */
int host_journal(struct host *h, struct error *err);
/* The slot of a release in the state, made with a port of its own. NULL: no port is free. */
Sluice__V1__JournalSlot *host_slot(struct host *h, const Sluice__V1__Release *release,
				   const Sluice__V1__DeploySpec *spec, struct error *err);

/* ---- install.c ---- */
bool install_present(const struct host *h, const char *release);
int install_prepare(struct host *h, const Sluice__V1__HostOrder *order, struct error *err);
/* Points `current` at the release. */
int install_activate(struct host *h, const char *release, struct error *err);
/* Removes slots that nobody needs: not live, not ordered, not kept, beyond the newest `slots`. */
void install_prune(struct host *h, const Sluice__V1__HostOrder *order);
char *install_path(const struct host *h, const char *release);

/* ---- service.c ---- */
int service_start(struct host *h, struct error *err);
int service_stop(struct host *h, int64_t grace_ms, struct error *err);
void service_adopt(struct host *h, struct slot *slot); /* found at start */
void service_events(struct host *h);		       /* takes what there is */
void service_release(struct host *h);		       /* lets go of the shim */
/* A shell text in the release's directory, under a shim, with a timeout. */
int service_hook(struct host *h, const char *what, const char *command,
		 const Sluice__V1__Release *release, const Sluice__V1__DeploySpec *spec,
		 struct error *err);
/* One probe of what is live. */
int service_probe(struct host *h, struct error *err);
/* Healthy for as long as the check asks, within its deadline. */
int service_check(struct host *h, struct error *err);

#endif
