/*
 * rollout.h - host by host: prepare, activate, check (SEMANTICS.md, Environments; PROTOCOL.md, P6)
 *
 * rollout_step() is called after anything changed and does all that can be done now. All it goes by
 * is in the rows: a controller that restarts in the middle of any step goes on with the next.
 *
 *	PREPARE(phi) on all hosts of the plan -> every one PREPARED: the decision (batch 1)
 *	rolling:	ACTIVATE(phi) batch by batch, `pause` between them
 *	recreate:	DOWN(phi) on all (batch 1), then ACTIVATE(phi) on all (batch 2)
 *	rollback:	hosts that have the slot skip PREPARE; hosts that still run the target and
 *			were ordered nothing else are not touched
 *
 * Time-outs go by world_steady_ms(): nobody who sets the clock ends a rollout. A controller that
 * restarts gives hosts their full time again.
 *
 * An order is what a host's row says: (phi, step, attempt). It is sent when the step begins and
 * again whenever the host connects; the host answers by HostReports with the same three. What
 * answers another order only tells what the host runs.
 *
 * Hosts not serving, for any cause, never exceed max_unavailable by a step of ours: a serving host
 * is ordered to change only while they are fewer. One that serves nothing may always be activated.
 * A rollback that this would stop changes one host at a time. What was decided is decided: an order
 * is sent again when its host is back, whatever became of the others meanwhile.
 *
 * Between rollouts (and while one is verified) every host that does not run `live` is brought there
 * in the same way: new ones, those that were skipped, and failed ones when they connect again.
 */
#ifndef MODEL_ROLLOUT_H
#define MODEL_ROLLOUT_H

#include "controller/model/world.h"

enum {
	ROLLOUT_RESTART_GRACE_MS =
		30 * 1000, /* after a restart of the controller nobody is unreachable */
	ROLLOUT_UNREACHABLE_MS = 10 * 60 * 1000, /* likewise */
	ROLLOUT_PROGRESS_MS = 10 * 60 * 1000,	 /* where the policy says nothing */
};

/* Freezes plan and policy, takes the next phi, and begins. A rollback's plan may be empty. */
void rollout_begin(struct world *w, struct promotion *p);
/* The next phi. Hosts that were told to let go are told again: what they answer to the order of
 * before counts no more. */
void rollout_next_phi(struct world *w, struct environment *env);
/* Does what can be done now, and sets the environment's timer to the next due time. */
void rollout_step(struct world *w, struct environment *env);
/* Drops what is under way on the hosts: each is what it runs now. */
void rollout_end(struct world *w, struct environment *env);
/* Of the hosts that have something, and those that do not serve for whatever cause. */
struct rollout_room {
	size_t hosts, down, max_down;
	size_t changing; /* by orders of ours */
};
struct rollout_room rollout_room(struct world *w, const struct environment *env);
/* May this host be taken out of service now? one_at_least: also when no other is being changed. */
bool rollout_may_change(struct world *w, const struct rollout_room *room,
			const Sluice__V1__EnvironmentHost *host, bool one_at_least);
/* Orders it to, and counts it. */
void rollout_activate(struct world *w, struct environment *env, struct rollout_room *room,
		      Sluice__V1__EnvironmentHost *host);
size_t rollout_max_unavailable(const struct environment *env, size_t n);
/* How releases are deployed by the policy that holds now; never NULL. */
const Sluice__V1__DeploySpec *environment_deploy(const struct environment *env);
/* Is the release live and healthy on every host? */
bool rollout_is_everywhere(struct world *w, const struct environment *env, const char *release_id);
/* "2 of 3 hosts serve it; host-b is being checked"; on the heap. */
char *rollout_describe(struct world *w, const struct environment *env);

#endif
