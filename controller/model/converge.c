/*
 * Convergence: between rollouts every host is brought to what is live, by the same
 * orders and under the phi of the last rollout. A host that fails stays FAILED until
 * it connects again; hosts that serve an older release are changed under the same
 * max_unavailable.
 */
#include "controller/model/converge.h"

#include <string.h>

#include "controller/model/environments.h"
#include "controller/model/hosts.h"
#include "controller/model/rollout.h"
#include "proto/message.h"

static void leave(struct world *w, struct environment *env, Sluice__V1__EnvironmentHost *host)
{
	if (host->state != HOST_STATE(STOPPING) && !host_stop_failed(host))
		host_begin(w, env, host, HOST_STATE(STOPPING));
}

/* Nothing is live: whatever it runs is stopped, most of all what failed its check and would be
 * started again and again. */
static void clear(struct world *w, struct environment *env, Sluice__V1__EnvironmentHost *host)
{
	if (host->state == HOST_STATE(EMPTY) || host->state == HOST_STATE(STOPPING) ||
	    host_stop_failed(host))
		return;
	if (host->unsure || host->release[0])
		host_begin(w, env, host, HOST_STATE(STOPPING));
	else
		host_set(w, env, host, HOST_STATE(EMPTY), "");
}

static void bring(struct world *w, struct environment *env, struct rollout_room *room,
		  Sluice__V1__EnvironmentHost *host)
{
	switch (host->state) {
	case HOST_STATE(NEW):
		if (strcmp(host->release, env->row->live))
			host_set(w, env, host, HOST_STATE(DIVERGED), host->text);
		break;
	case HOST_STATE(PREPARING):
	case HOST_STATE(ACTIVATING):
	case HOST_STATE(STOPPING):
	case HOST_STATE(FAILED):
		return;
	default:
		break;
	}
	if (!host_reachable(w, host) || host->state == HOST_STATE(NEW))
		return;
	if (host->state != HOST_STATE(PREPARED))
		host_begin(w, env, host, HOST_STATE(PREPARING));
	else if (rollout_may_change(w, room, host, false))
		rollout_activate(w, env, room, host);
}

void converge(struct world *w, struct environment *env)
{
	struct rollout_room room = rollout_room(w, env);

	for (size_t i = 0; i < env->row->n_hosts; i++) {
		Sluice__V1__EnvironmentHost *host = env->row->hosts[i];

		if (environment_host_leaves(w, env, host))
			leave(w, env, host);
		else if (env->row->live[0])
			bring(w, env, &room, host);
		else
			clear(w, env, host);
	}
}

void converge_retry(struct world *w, struct environment *env, Sluice__V1__EnvironmentHost *host)
{
	if (host->state == HOST_STATE(FAILED))
		host_set(w, env, host, host_at_rest(env, host), "");
}
