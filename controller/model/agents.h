/*
 * agents.h - hosts: how they join, what people do with them, what they may touch
 *
 * See runs.h for what all decisions have in common. An agent's identity is the id in its
 * certificate; it is enabled while its row is not REVOKED and the certificate's serial is
 * recorded there.
 */
#ifndef MODEL_AGENTS_H
#define MODEL_AGENTS_H

#include "controller/model/caller.h"
#include "controller/model/world.h"

enum {
	AGENT_NAME_MAX = 128,
	AGENT_CERTIFICATES_MAX = 8,
	ENROL_TTL_MS = 30 * 60 * 1000,
	ENROL_TTL_MAX_MS = 7 * 24 * 3600 * 1000,
};

/* May a string from an agent be a name? [A-Za-z0-9._-]{1,128}, not beginning with '-' or '.'. */
bool agent_name_valid(const char *name);

/* ---- joining ---- */

/* `hash` is the hex SHA-256 of the secret that the handler made. A repeated request puts the new
 * hash in the place of the old one, as only the new secret can be shown again. */
struct enrol_token_create {
	const struct caller *caller;
	const Sluice__V1__CreateEnrolTokenRequest *request;
	const char *hash;
};
decide_fn agents_token_create; /* reply: Sluice__V1__CreateEnrolTokenReply **, without the token */

/* Before the certificate is made: is the token good, and for which agent id? E0304 when it is
 * unknown, expired or used by another request. Changes nothing. */
struct enrol {
	const char *token_hash; /* hex */
	const char *request_id;
	/* for agents_enrol only: */
	const char *agent_id; /* as agents_enrol_check said */
	const Sluice__V1__HostFacts *host;
	const char *version;
	const char *serial; /* of the certificate made for agent_id, hex */
	int64_t not_after_ms;
};
struct enrolled {
	char agent_id[ID_SIZE];
	char name[AGENT_NAME_MAX + 1]; /* agents_enrol only */
};
decide_fn agents_enrol_check; /* reply: struct enrolled * */
/* Spends the token, makes the agent (or renews the one the token names) and records the
 * certificate, at once. The same request_id again, while the token has not expired: the same agent,
 * the new certificate. */
decide_fn agents_enrol; /* reply: struct enrolled * */

struct certificate_renewal {
	const char *agent;  /* id that TLS proved */
	const char *serial; /* of the new certificate */
	int64_t not_after_ms;
};
decide_fn agents_renew; /* reply: unused. The old certificates stay good until they end */

/* ---- what people do with them. reply: Sluice__V1__Agent ** ---- */

struct agent_action {
	const struct caller *caller;
	const Sluice__V1__AgentActionRequest *request;
};
decide_fn agents_drain;
decide_fn agents_resume;
decide_fn agents_revoke; /* closes its session; attempts end by lease, services stay up */
decide_fn agents_lost;	 /* its attempts are LOST now. ERR_CONFLICT while it is connected */

struct agent_label {
	const struct caller *caller;
	const Sluice__V1__LabelAgentRequest *request;
};
decide_fn agents_label;

decide_fn agents_detail; /* req: const char *name_or_id; reply: Sluice__V1__AgentDetail ** */
struct agents_page {
	const char *after; /* the name that the last page ended with, or "" */
	size_t limit;	   /* 1..1000 */
};
decide_fn agents_list; /* by name; reply: Sluice__V1__ListAgentsReply **; next is a name */
/* version, started_ms, disk_free and ca_sha256 are left to the handler. */
decide_fn system_info; /* req: unused; reply: Sluice__V1__SystemInfo ** */

/* ---- the guard's questions ---- */

/* Is this certificate good for this agent? E0303 when not: unknown, revoked, another serial, ended.
 */
struct agent_identity {
	const char *agent;
	const char *serial;
};
decide_fn agents_admit; /* reply: unused */

/* What an agent may touch. ERR_DENIED (E0509 for a stale fence) and nothing else when it may not.
 */
enum agent_wish {
	AGENT_MAY_LOG =
		1, /* append to the log of `fence` (an open attempt of it, or one LOST less than 7
		    * days ago), or of the service in `environment`, whose host it must be */
	AGENT_MAY_UPLOAD,  /* under `fence`: RUNNING or CANCELLING and its own */
	AGENT_MAY_DOWNLOAD /* `digest`, as an input, the source or a verify job's release of
			    * `fence`, or as a part of a release that `environment` runs, falls back
			    * to or was ordered */
};
struct agent_access {
	const char *agent;
	enum agent_wish wish;
	uint64_t fence; /* 0: of the environment */
	const char *environment;
	const char *digest; /* "sha256:..." */
};
struct agent_grant {
	char run_id[ID_SIZE]; /* of the attempt; "" for a service */
	bool is_file;	      /* of what is downloaded */
};
decide_fn agents_access; /* reply: struct agent_grant * */

/* A call of an agent or token that is known was refused: counted, and told to the audit log once a
 * minute for each caller and method (and for 16 methods of a caller), so that whoever is refused
 * cannot fill it. */
struct access_denial {
	const char *agent; /* id, or NULL */
	const char *token; /* id, or NULL */
	const char *method, *why;
};
decide_fn access_denied; /* reply: unused */

/* ---- for the rest of the model ---- */

/* It was revoked: what was made for it before lets it in no more. */
void enrol_tokens_end(struct world *w, const struct agent *agent);
/* In an error: the agents there are, to choose from. */
void agent_changed(struct world *w,
		   struct agent *agent);      /* labels, state, host: place, environments */
bool agent_usable(const struct agent *agent); /* connected and ENABLED */
Sluice__V1__Actor agent_actor(const struct agent *agent); /* borrows the row's strings */
extern const Sluice__V1__Actor actor_controller;

#endif
