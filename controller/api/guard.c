/*
 * The guard: asked before every call but health and reflection. An agent is who its certificate
 * says, on the agents' listener only; a user is whose token was sent, on the users' listener only.
 * Which role may call what is the ACCESS of each row of the tables in this folder; a role includes
 * those below it.
 */
#include "controller/api/private.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "controller/model/agents.h"
#include "controller/model/tokens.h"
#include "crypto/cert.h"
#include "crypto/digest.h"
#include "crypto/keys.h"

enum { LONGEST_LISTEN_MS = 60 * 1000 }; /* then the clock is looked at again */

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

/* ---- what is refused ---- */

struct denial {
	struct access_denial request;
	char agent[CERT_URI_SIZE], token[ID_SIZE], method[64];
	struct error why;
};

static void denial_done(void *arg, int result, const struct error *err)
{
	free(arg);
}

/* To the audit log, which knows how much of it is worth a line. Nobody waits for it. */
static void tell_denied(struct api *api, const char *agent, const char *token, const char *method,
			const struct error *why)
{
	struct denial *d = xcalloc(1, sizeof *d);

	snprintf(d->agent, sizeof d->agent, "%s", agent ? agent : "");
	snprintf(d->token, sizeof d->token, "%s", token ? token : "");
	snprintf(d->method, sizeof d->method, "%s", method);
	d->why = *why;
	d->request = (struct access_denial){ .agent = agent ? d->agent : NULL,
					     .token = token ? d->token : NULL,
					     .method = d->method,
					     .why = d->why.text };
	engine_tell(api->engine, access_denied, &d->request, denial_done, d);
}

int agent_may(struct api *api, const struct agent_access *wish, struct agent_grant *ret,
	      struct error *err)
{
	static const char *const methods[] = { [AGENT_MAY_LOG] = "Append",
					       [AGENT_MAY_UPLOAD] = "Upload",
					       [AGENT_MAY_DOWNLOAD] = "Download" };
	struct error why = { 0 };

	if (engine_read(api->engine, agents_access, wish, ret, &why) == 0)
		return 0;
	if (why.code == ERR_DENIED)
		tell_denied(api, wish->agent, NULL, methods[wish->wish], &why);
	if (err)
		*err = why;
	return -1;
}

/* ---- agents ---- */

static int admit_agent(struct api *api, const struct rpc_caller *caller, unsigned access,
		       struct identity *i, struct error *err)
{
	char cluster[CERT_URI_SIZE], id[CERT_URI_SIZE];
	struct agent_identity who = { .agent = id, .serial = caller->cert_serial };
	struct error why = { 0 };

	if (cert_parse_agent_uri(caller->peer_uri, cluster, id, err) < 0 ||
	    strcmp(cluster, api->cluster) != 0)
		return error_id(err, "E0303", "'%s' is no agent of this cluster", caller->peer_uri);
	if (!(access & AGENT))
		error_id(&why, "E0302", "%s is not for agents", caller->method);
	else
		engine_read(api->engine, agents_admit, &who, NULL, &why);
	if (why.code) {
		if (why.code == ERR_DENIED || why.code == ERR_UNAUTHENTICATED)
			tell_denied(api, id, NULL, caller->method, &why);
		if (err)
			*err = why;
		return -1;
	}
	i->is_agent = true;
	memcpy(i->agent, id, sizeof i->agent);
	i->actor.kind = SLUICE__V1__ACTOR__KIND__AGENT;
	i->actor.id = i->agent;
	return 0;
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
		struct error why = { 0 };

		error_id(&why, "E0302", "this needs the role %s; '%s' has %s", role_name(access),
			 i->token->name, role_name(own_bit(i->token->role)));
		tell_denied(api, NULL, i->token->id, caller->method, &why);
		if (err)
			*err = why;
		return -1;
	}
	i->caller = (struct caller){ .actor = &i->actor,
				     .role = i->token->role,
				     .groups = i->token->groups,
				     .n_groups = i->token->n_groups };
	return 0;
}

int access_left_ms(const struct rpc_call *call)
{
	const Sluice__V1__Token *token = identity_of(call)->token;
	int64_t left;

	if (!token || !token->expires_ms)
		return -1;
	left = token->expires_ms - clock_wall_ms();
	return (int)MAX(MIN(left, (int64_t)LONGEST_LISTEN_MS), INT64_C(0));
}

int access_over(struct error *err)
{
	return error_id(err, "E0301", "the token has expired meanwhile");
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
