/*
 * hosts.h - one host of an environment: its state, its orders, its reports
 */
#ifndef MODEL_HOSTS_H
#define MODEL_HOSTS_H

#include "controller/model/promotion.h"
#include "controller/model/releases.h"
#include "controller/model/world.h"

#define HOST_STATE(name) SLUICE__V1__ENVIRONMENT_HOST__STATE__##name

enum {
	HOST_SLOTS =
		16, /* the newest of a report; more are not remembered, but unpacked there still */
	HOST_TEXT = 1024, /* bytes of a host's reason */
};

/* Begins a step: state, attempt + 1, an order out. PREPARING, ACTIVATING or STOPPING. */
void host_begin(struct world *w, struct environment *env, Sluice__V1__EnvironmentHost *host,
		Sluice__V1__EnvironmentHost__State step);
/* A state that needs no order. */
void host_set(struct world *w, struct environment *env, Sluice__V1__EnvironmentHost *host,
	      Sluice__V1__EnvironmentHost__State state, const char *text);
/* What it is when nothing is under way, by what it runs. */
Sluice__V1__EnvironmentHost__State host_at_rest(const struct environment *env,
						const Sluice__V1__EnvironmentHost *host);
/* Sends the order of the step in progress, if there is one and the agent is connected. */
void host_send_order(struct world *w, struct environment *env,
		     const Sluice__V1__EnvironmentHost *host);
/* Takes what a report says; true: something of the host changed. */
bool host_take_report(struct world *w, struct environment *env, Sluice__V1__EnvironmentHost *host,
		      const Sluice__V1__HostReport *r);
/* What a host that connects has installed; NULL: nothing of this environment. */
void host_take_installed(struct world *w, struct environment *env,
			 Sluice__V1__EnvironmentHost *host, const Sluice__V1__HostReport *r);
/* To an agent that has something of an environment whose host it is no longer. */
void host_order_removal(struct world *w, struct environment *env, struct agent *agent);
struct agent *host_agent(struct world *w, const Sluice__V1__EnvironmentHost *host);
bool host_reachable(struct world *w, const Sluice__V1__EnvironmentHost *host);
/* Reachable, running something, healthy when last heard of, and not being changed. */
bool host_serves(struct world *w, const Sluice__V1__EnvironmentHost *host);
/* Did it fail to run the release (rather than to be reached or to unpack it)? */
bool host_check_failed(const Sluice__V1__EnvironmentHost *host);
/* Could it not be stopped? It is not told again before it connects again. */
bool host_stop_failed(const Sluice__V1__EnvironmentHost *host);
bool host_has_slot(const Sluice__V1__EnvironmentHost *host, const char *release_id);
/* Has a step in progress */
bool host_is_busy(const Sluice__V1__EnvironmentHost *host);
/* The policy that holds for what is done to hosts now: the promotion's copy, or the recorded one.
 */
const Sluice__V1__EnvironmentSpec *environment_policy(const struct environment *env);
const char *host_state_name(Sluice__V1__EnvironmentHost__State state);

#endif
