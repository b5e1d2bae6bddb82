/*
 * identity.h - who this host is to the controller: key, certificate, the CA it trusts
 *
 * DIR (0700) holds identity.pem (0600: private key, then certificate, in one file so that they
 * change together), ca.pem, and agent.json {id, name, controller}. The key never leaves the host.
 */
#ifndef AGENT_IDENTITY_H
#define AGENT_IDENTITY_H

#include <stdint.h>
#include "base/error.h"
#include "base/mem.h"
#include "rpc/rpc.h"
#include "sluice/v1/agents.pb-c.h"

struct identity {
	char *id, *name;
	char *controller;   /* host:port of the agents' listener */
	char *pem, *ca_pem; /* pem: key and certificate */
	int64_t not_after_ms;
};

void identity_free(struct identity *i);
DEFINE_CLEANUP(struct identity *, identity_free)

/* ERR_NOT_FOUND: this host has not joined. ERR_DENIED: the key is readable by others. */
struct identity *identity_load(const char *dir, struct error *err);

/*
 * Joins: fetches the CA by the hash in the token ("SECRET.SHA256"), makes a key, has it certified.
 * address: the users' listener. An identity that is there is replaced only when `renew`, and keeps
 * its id when the token was made for it.
 */
struct identity_join {
	const char *dir, *address, *token;
	bool renew;
	const Sluice__V1__HostFacts *host;
};
int identity_join(const struct identity_join *how, struct error *err);

/* A third of its life is over (day 10 of 30)? */
bool identity_renewal_due(const struct identity *i, int64_t now_wall_ms);
/* A new key, certified over the old certificate; the files are replaced. The process goes on with
 * the old one until it loads anew. */
int identity_renew(const char *dir, struct rpc_channel *channel, struct error *err);

#endif
