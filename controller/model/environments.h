/*
 * environments.h - environments: recorded policies, hosts, holds
 *
 * A pipeline file states the wish, the environment's row holds the policy. An apply records it
 * under the next number; a promotion copies the policy when it starts and uses that to its end. An
 * environment takes the releases of one pipeline, recorded at its first apply.
 *
 * Its hosts are the enabled agents whose labels match, by name. A host that is drained later stays;
 * one that is revoked or matches no longer leaves (HOST_REMOVE, once it is reachable).
 *
 * `live` is the release that was decided to serve: it changes at the one decision by which a
 * rollout is complete (every host of the plan NEW, FAILED within max_failed, or skipped), before it
 * is verified. `last_good` follows when it is verified. A rollback sets `live` back when its hosts
 * are.
 *
 * Requests name the caller and carry the call's message; a repeated request_id gets the answer of
 * the first. Replies are messages on the heap, the asker's.
 */
#ifndef MODEL_ENVIRONMENTS_H
#define MODEL_ENVIRONMENTS_H

#include "controller/model/caller.h"
#include "controller/model/world.h"

enum {
	ENVIRONMENTS_MAX = 256,
	ENVIRONMENT_HOSTS_MAX = 1000,
	ENVIRONMENT_QUARANTINED = 256, /* newest kept; the release itself says so, too */
	ENVIRONMENT_VERIFIED = 32,     /* releases kept in `verified` */
};

struct environment_apply {
	const struct caller *caller;
	const Sluice__V1__ApplyRequest *request;
	const Sluice__V1__Pipeline *pipeline; /* the file, checked and expanded */
};
decide_fn environments_apply; /* reply: Sluice__V1__ApplyReply ** */

struct environment_hold {
	const struct caller *caller;
	const Sluice__V1__HoldRequest *request;
};
decide_fn environments_hold;   /* reply: Sluice__V1__Environment ** */
decide_fn environments_unhold; /* reply: Sluice__V1__Environment **. `auto` goes on at once */

struct environments_page {
	const char *after; /* the name that the last page ended with, or "" */
	size_t limit;	   /* 1..1000 */
};
/* In the order of promotion; reply: Sluice__V1__ListEnvironmentsReply **; next is a name. */
decide_fn environments_list;
decide_fn environments_get; /* req: const char *name; reply: Sluice__V1__EnvironmentDetail ** */

/* ---- for the rest of delivery ---- */

/* Makes a new environment (spec copied), with the hosts that match now. */
struct environment *environment_create(struct world *w, const Sluice__V1__EnvironmentSpec *spec,
				       const Sluice__V1__Actor *actor);
/* The hosts as agents are now: adds, marks those that leave, drops revoked ones. True: changed. */
bool environment_refresh_hosts(struct world *w, struct environment *env);
/* The same for one agent. */
bool environment_join_host(struct world *w, struct environment *env, const struct agent *agent);
Sluice__V1__EnvironmentHost *environment_host(const struct environment *env, const char *agent_id);
/* Must this host be left: is its agent gone or revoked, or does it match no longer? */
bool environment_host_leaves(struct world *w, const struct environment *env,
			     const Sluice__V1__EnvironmentHost *host);
/* Forgets hosts that have left: told to and done so, or revoked. */
void environment_drop_left(struct world *w, struct environment *env);
/* Agents that hosts keep from other work: counts them (+1) or no longer (-1). */
void environment_claim_hosts(struct world *w, struct environment *env, int by);
size_t environment_present_hosts(struct world *w, const struct environment *env);
/* Sets a hold, unless there is one; actor NULL: the controller. */
void environment_set_hold(struct world *w, struct environment *env, const Sluice__V1__Actor *actor,
			  const char *reason);
/* Points row.live, last_good or previous_good at a release (id or ""), and counts its uses. */
void environment_set_release(struct world *w, char **field, const char *id);
bool environment_is_verified(const struct environment *env, const char *release_id);
bool environment_is_quarantined(const struct environment *env, const char *release_id);
/* The environments in the order of promotion, on the heap. */
size_t environments_in_order(struct world *w, struct environment ***ret);
/* Is `env` reached from `first` by `after` (or `first` itself)? */
bool environment_is_downstream(struct world *w, const struct environment *env,
			       const struct environment *first);

#endif
