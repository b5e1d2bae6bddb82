/*
 * The guard: asked before every call but health and reflection. An agent is who its certificate
 * says, on the agents' listener only; a user is whose token was sent, on the users' listener only.
 * Which role may call what is the ACCESS of each row of the tables in this folder; a role includes
 * those below it.
 */
#include "controller/api/private.h"

#include <stdio.h>
#include <string.h>

#include "controller/model/agents.h"
#include "controller/model/tokens.h"
#include "crypto/cert.h"
#include "crypto/digest.h"
#include "crypto/keys.h"

static unsigned bits_of(Sluice__V1__Role role)
{
	switch (role) {
	case SLUICE__V1__ROLE__ADMIN:
		return ADMIN | APPROVER | OPERATOR | VIEWER;
	case SLUICE__V1__ROLE__APPROVER:
		return APPROVER | OPERATOR | VIEWER;
	case SLUICE__V1__ROLE__OPERATOR:
		return OPERATOR | VIEWER;
	case SLUICE__V1__ROLE__VIEWER:
		return VIEWER;
	default:
		return 0;
	}
}

/* The least role that has one of these bits. */
static const char *role_name(unsigned access)
{
	return access & VIEWER	   ? "viewer"
	       : access & OPERATOR ? "operator"
	       : access & APPROVER ? "approver"
	       : access & ADMIN	   ? "admin"
				   : "agent";
}

/* The highest bit only: what the role adds to the one below. */
static unsigned own_bit(Sluice__V1__Role role)
{
	return role == SLUICE__V1__ROLE__ADMIN	    ? ADMIN
	       : role == SLUICE__V1__ROLE__APPROVER ? APPROVER
	       : role == SLUICE__V1__ROLE__OPERATOR ? OPERATOR
						    : VIEWER;
}

static void identity_free(void *arg)
{
	struct identity *i = arg;

	message_free(i->token);
	free(i);
}

/* ---- agents ---- */

static int admit_agent(struct api *api, const struct rpc_caller *caller, unsigned access,
		       struct identity *i, struct error *err)
{
	char cluster[CERT_URI_SIZE], id[CERT_URI_SIZE];
	struct agent_identity who = { .agent = id, .serial = caller->cert_serial };

	if (cert_parse_agent_uri(caller->peer_uri, cluster, id, err) < 0 ||
	    strcmp(cluster, api->cluster) != 0)
		return error_id(err, "E0303", "'%s' is no agent of this cluster", caller->peer_uri);
	if (!(access & AGENT))
		return error_id(err, "E0302", "%s is not for agents", caller->method);
	if (engine_read(api->engine, agents_admit, &who, NULL, err) < 0)
		return -1;
	i->is_agent = true;
	memcpy(i->agent, id, sizeof i->agent);
	i->actor.kind = SLUICE__V1__ACTOR__KIND__AGENT;
	i->actor.id = i->agent;
	return 0;
}

struct denial {
	struct agent_denial request;
	char agent[ID_SIZE];
	struct error why;
};

static void denial_done(void *arg, int result, const struct error *err)
{
	free(arg);
}

int agent_may(struct api *api, const struct agent_access *wish, struct agent_grant *ret,
	      struct error *err)
{
	struct denial *d;
	struct error why = { 0 };

	if (engine_read(api->engine, agents_access, wish, ret, &why) == 0)
		return 0;
	if (err)
		*err = why;
	if (why.code != ERR_DENIED)
		return -1;
	d = xcalloc(1, sizeof *d);
	snprintf(d->agent, sizeof d->agent, "%s", wish->agent);
	d->why = why;
	d->request = (struct agent_denial){ .agent = d->agent, .why = d->why.text };
	engine_tell(api->engine, agents_denied, &d->request, denial_done, d);
	return -1;
}

/* ---- users ---- */

static int admit_user(struct api *api, const struct rpc_caller *caller, unsigned access,
		      struct identity *i, struct error *err)
{
	struct digest hash;
	char hex[DIGEST_HEX_SIZE];

	if (access & ENROL) /* the token is in the request, and spent by the decision */
		return 0;
	if (!*caller->bearer) {
		error_id(err, "E0301", "no token was sent");
		return error_hint(err, "sluice login ADDRESS --ca-sha256 HASH --token-file FILE");
	}
	hash = token_hash(caller->bearer);
	if (engine_read(api->engine, tokens_find, digest_hex(&hash, hex), &i->token, err) < 0)
		return -1;
	i->actor.kind = SLUICE__V1__ACTOR__KIND__USER;
	i->actor.id = i->token->id;
	i->actor.name = i->token->name;
	if (!(bits_of(i->token->role) & access)) {
		error_id(err, "E0302", "%s needs the role %s; '%s' has %s", caller->method,
			 role_name(access), i->token->name, role_name(own_bit(i->token->role)));
		return -1;
	}
	i->caller = (struct caller){ .actor = &i->actor,
				     .role = i->token->role,
				     .groups = i->token->groups,
				     .n_groups = i->token->n_groups };
	return 0;
}

int guard(void *self, const struct rpc_caller *caller, unsigned access, struct rpc_identity *ret,
	  struct error *err)
{
	struct identity *i = xcalloc(1, sizeof *i);
	int r;

	sluice__v1__actor__init(&i->actor);
	i->caller.actor = &i->actor;
	r = caller->listener == RPC_AGENTS ? admit_agent(self, caller, access, i, err)
					   : admit_user(self, caller, access, i, err);
	if (r < 0) {
		identity_free(i);
		return -1;
	}
	ret->identity = i;
	ret->identity_free = identity_free;
	return 0;
}
