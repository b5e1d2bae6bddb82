/*
 * How a rollout begins and ends: the plan is frozen, phi taken, and each host put
 * where it has to start from. And what is said of one under way.
 */
#include <string.h>

#include "base/buf.h"
#include "controller/model/environments.h"
#include "controller/model/hosts.h"
#include "controller/model/rollout.h"
#include "proto/message.h"

/* Hosts that serve nothing come first, so that they make room; then by name, as the row has them.
 */
static void freeze_plan(struct world *w, struct promotion *p)
{
	const struct environment *env = p->environment;

	for (int serving = 0; serving <= 1; serving++)
		for (size_t i = 0; i < env->row->n_hosts; i++) {
			const Sluice__V1__EnvironmentHost *host = env->row->hosts[i];

			if (host_serves(w, host) == serving &&
			    !environment_host_leaves(w, env, host))
				message_append(p->row, plan, xstrdup(host->agent_id));
		}
}

static void begin_host(struct world *w, struct promotion *p, Sluice__V1__EnvironmentHost *host)
{
	struct environment *env = p->environment;
	const char *target = p->release->row->id;

	if (!host->unsure && host->healthy && !strcmp(host->release, target))
		host_set(w, env, host, HOST_STATE(NEW), "");
	else if (promotion_is_rollback(p) && host_has_slot(host, target))
		host_set(w, env, host, HOST_STATE(PREPARED), "");
	else
		host_begin(w, env, host, HOST_STATE(PREPARING));
}

void rollout_next_phi(struct world *w, struct environment *env)
{
	env->row->phi++;
	world_touch(w, &env->entity);
	for (size_t i = 0; i < env->row->n_hosts; i++) {
		Sluice__V1__EnvironmentHost *host = env->row->hosts[i];

		if (host_is_busy(host) && environment_host_leaves(w, env, host))
			host_begin(w, env, host, HOST_STATE(STOPPING));
	}
}

void rollout_begin(struct world *w, struct promotion *p)
{
	struct environment *env = p->environment;
	char release[RELEASE_NAME], from[RELEASE_NAME];
	Sluice__V1__Event *e;

	env->promotion = p;
	message_set_string(&env->row->promotion, p->row->id);
	p->row->state = PROMOTION_STATE(ROLLING_OUT);
	p->row->policy = env->row->policy;
	p->row->spec = message_copy(env->row->spec);
	p->row->started_ms = w->now.wall_ms;
	p->row->progress_ms = p->begun_ms = world_steady_ms(w);
	rollout_next_phi(w, env);
	p->row->phi = env->row->phi;
	freeze_plan(w, p);
	world_touch(w, &p->entity);
	world_touch(w, &env->entity);
	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_PROMOTION_STARTED, p->row->actor,
			"%s: %s -> %s on %zu hosts, policy %u, order %llu", env->row->name,
			release_name(p->from, from), release_name(p->release, release),
			p->row->n_plan, p->row->policy, (unsigned long long)p->row->phi);
	event_of_promotion(e, p);
	for (size_t i = 0; i < p->row->n_plan; i++)
		begin_host(w, p, environment_host(env, p->row->plan[i]));
}

void rollout_end(struct world *w, struct environment *env)
{
	for (size_t i = 0; i < env->row->n_hosts; i++) {
		Sluice__V1__EnvironmentHost *host = env->row->hosts[i];

		/* One that could not prepare still runs what it ran. */
		if (environment_host_leaves(w, env, host) ||
		    (host->state == HOST_STATE(FAILED) && host->unsure))
			continue;
		host_set(w, env, host, host_at_rest(env, host), "");
	}
}

bool rollout_is_everywhere(struct world *w, const struct environment *env, const char *release_id)
{
	if (strcmp(env->row->live, release_id))
		return false;
	for (size_t i = 0; i < env->row->n_hosts; i++) {
		const Sluice__V1__EnvironmentHost *host = env->row->hosts[i];

		if (!environment_host_leaves(w, env, host) &&
		    (host->state != HOST_STATE(NEW) || strcmp(host->release, release_id)))
			return false;
	}
	return env->row->n_hosts > 0;
}

/* ---- what is said ---- */

static void describe_host(struct world *w, const struct environment *env,
			  const struct rollout_room *room, const Sluice__V1__EnvironmentHost *host,
			  struct buf *out)
{
	const struct promotion *p = env->promotion;

	buf_printf(out, "; '%s' ", host->agent_name);
	if (!host_reachable(w, host))
		buf_puts(out, "is unreachable");
	else if (host->state == HOST_STATE(PREPARED) && p->row->batch &&
		 !rollout_may_change(w, room, host, promotion_is_rollback(p)))
		buf_printf(out,
			   "waits, for no more than %zu of the hosts may be out of service at once",
			   room->max_down);
	else
		buf_printf(out, "is %s", host_state_name(host->state));
	if (host->state == HOST_STATE(FAILED))
		buf_printf(out, " (%s)", host->text);
}

char *rollout_describe(struct world *w, const struct environment *env)
{
	const struct rollout_room room = rollout_room(w, env);
	const struct promotion *p = env->promotion;
	struct buf out = { 0 };
	size_t named = 0, new = 0, n = 0;

	for (size_t i = 0; p && i < p->row->n_plan; i++) {
		const Sluice__V1__EnvironmentHost *host = environment_host(env, p->row->plan[i]);

		n += host != NULL;
		new += host && host->state == HOST_STATE(NEW);
	}
	buf_printf(&out, "%zu of %zu hosts serve it", new, n);
	for (size_t i = 0; p && i < p->row->n_plan && named < 3; i++) {
		const Sluice__V1__EnvironmentHost *host = environment_host(env, p->row->plan[i]);

		if (!host || host->state == HOST_STATE(NEW))
			continue;
		describe_host(w, env, &room, host, &out);
		named++;
	}
	if (n > new + named)
		buf_printf(&out, "; and %zu more", n - new - named);
	return buf_detach(&out);
}
