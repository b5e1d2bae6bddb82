/*
 * deploy_private.h - what deploy.c (threads, the session's side), orders.c (what each step does),
 * install.c (slots on disk), service.c (the running server) and hooks.c (hooks, checks) share
 */
#ifndef AGENT_DEPLOY_PRIVATE_H
#define AGENT_DEPLOY_PRIVATE_H

#include <uthash.h>
#include "agent/deploy.h"
#include "base/buf.h"
#include "base/thread.h"

enum { RESTART_AFTER_MS = 5000 }; /* between two starts of a service by us */

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
	Sluice__V1__JournalHost
		*state;	      /* as journalled; only its thread changes it, with the lock */
	bool acked;	      /* the last report was heard: its thread notes it */
	struct slot *service; /* connected shim, or NULL; only its thread changes it */

	_Atomic uint64_t service_fence; /* the phi it was started with */
	_Atomic bool running;		/* it runs (or restarts) something for us */
	bool stopped;			/* SLOT_EXITED came */
	bool crashed;			/* ... and nobody had asked for it */
	bool gone;    /* its shim is: what it left must die before another start */
	bool by_hand; /* stopped on the host; by_hand_path exists */
	bool resumed; /* carries out what a restart interrupted */
	char *by_hand_path;
	_Atomic bool look; /* by_hand_path may have changed */
	_Atomic uint32_t restarts;
	char ended[256]; /* how it ended, or how it ended last before a restart */
	struct ship_log *log;
	_Atomic bool healthy;
	int64_t next_check_boot_ms, next_start_boot_ms;
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
/* ---- orders.c ---- */
/* Carries out the order in the state, and reports how it went. */
void host_obey(struct host *h);
/* Makes the state durable; the host's thread only. */
int host_journal(struct host *h, struct error *err);
void host_report(struct host *h, Sluice__V1__HostReport__State state, const char *text);
/* What is so now, into a report; with the lock held. */
void host_facts(const struct host *h, Sluice__V1__HostReport *r);
void host_say(struct host *h); /* posts the last report */

/* ---- install.c ---- */
/* The slot of a release in the state, made with a port of its own. NULL: no port is free. */
Sluice__V1__JournalSlot *host_slot(struct host *h, const Sluice__V1__Release *release,
				   const Sluice__V1__DeploySpec *spec, struct error *err);

Sluice__V1__JournalSlot *host_find_slot(const struct host *h, const char *release);
/* The slot's port, if the release does not say which, is one that nothing else listens on. */
int host_port(struct host *h, Sluice__V1__JournalSlot *slot, const Sluice__V1__DeploySpec *spec,
	      struct error *err);
bool install_present(const struct host *h, const char *release);
int install_prepare(struct host *h, const Sluice__V1__HostOrder *order, struct error *err);
/* Points `current` at the release. */
int install_activate(struct host *h, const char *release, struct error *err);
bool install_is_current(const struct host *h, const char *release);
/* Removes slots that nobody needs: not live, not ordered, not kept, beyond the newest `slots`. */
void install_prune(struct host *h, const Sluice__V1__HostOrder *order);
char *install_path(const struct host *h, const char *release);
/* Removes what a crash left in slots/ that the state does not know. */
void install_sweep(const struct host *h);
int install_remove_all(const struct host *h, struct error *err);

/* ---- service.c ---- */
int service_start(struct host *h, struct error *err);
int service_stop(struct host *h, int64_t grace_ms, struct error *err);
void service_adopt(struct host *h, struct slot *slot); /* found at start */
void service_events(struct host *h);		       /* takes what there is */
void service_release(struct host *h);		       /* lets go of the shim */
/* Does as by_hand_path says. */
void service_by_hand(struct host *h);
int host_by_hand(struct host *h, bool stopped, struct error *err); /* changes by_hand_path */

/* ---- hooks.c ---- */
struct strings {
	char **at; /* NULL-terminated */
	size_t n;
};
void strings_release(struct strings *s);
/* What services and hooks see; port 0: none. */
void service_env(struct strings *ret, const struct host *h, const Sluice__V1__Release *release,
		 const Sluice__V1__DeploySpec *spec, unsigned port);
/* Where they start: part `code`, where there is one. */
char *service_dir(const struct host *h, const Sluice__V1__Release *release);
/* A shell text in the release's directory, under a shim, with a timeout. */
int service_hook(struct host *h, const char *what, const char *command,
		 const Sluice__V1__Release *release, const Sluice__V1__DeploySpec *spec,
		 struct error *err);
/* One probe of what is live. */
int service_probe(struct host *h, struct error *err);
/* Healthy for as long as the check asks, within its deadline. */
int service_check(struct host *h, struct error *err);

#endif
