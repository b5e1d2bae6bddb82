/*
 * deploy.h - the environments whose host this is: releases in slots, one of them live
 *
 * env/<environment>/slots/<release>/<part>, `current` names the live one. Orders come with a fence
 * phi that only grows; each is journalled, carried out on the environment's own thread and reported
 * until it is acknowledged. What the journal says is kept true with no controller at all: a service
 * is started again after a crash, after a restart of the agent, after a reboot (PROTOCOL.md, rule
 * h).
 */
#ifndef AGENT_DEPLOY_H
#define AGENT_DEPLOY_H

#include <stdbool.h>
#include <sys/types.h>
#include "agent/journal.h"
#include "agent/session.h"
#include "agent/ship.h"
#include "agent/supervise.h"
#include "transfer/transfer.h"

struct deploy;

struct deploy_config {
	const char *env_dir; /* the agent's env/ */
	struct journal *journal;
	struct supervise *supervise;
	struct ship *ship;
	struct transfer transfer;
	struct blob_store *cache;
	const char *address;		/* what endpoints say; services listen where they like */
	unsigned first_port, last_port; /* service_ports */
	uid_t uid;
	gid_t gid;
};

struct deploy *deploy_new(const struct deploy_config *config);
/* What supervise_attach() found under a service's name; takes the slot. False: not one of ours. */
bool deploy_found(struct deploy *d, struct found *found);
/* Starts a thread for each environment of the journal; services that should be up are started. */
void deploy_start(struct deploy *d, struct session *session);
/* Threads end. Services go on under their shims, or are stopped (and start again at the next
 * start). */
void deploy_stop(struct deploy *d, bool stop_services);
void deploy_free(struct deploy *d);

/* For the session's events; none of them waits. */
void deploy_describe(struct deploy *d, Sluice__V1__Register *ret);
void deploy_ordered(struct deploy *d, const Sluice__V1__HostOrder *order);
void deploy_acknowledged(struct deploy *d, const Sluice__V1__HostAck *ack);
/* Somebody changed env/<environment>/stopped (services.h). */
void deploy_look(struct deploy *d);
/* After Registered: what was not acknowledged is reported again. */
void deploy_connected(struct deploy *d);

#endif
