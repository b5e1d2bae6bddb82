/*
 * Which agents are an environment's hosts. The list in the row is by name. An agent
 * joins when it is enabled and its labels match; once it is a host, draining does
 * not change that (a service is not a job). A revoked one is forgotten at once, for
 * it cannot be told anything; one whose labels changed is told to let go first.
 */
#include <string.h>

#include "controller/model/delivery.h"
#include "controller/model/environments.h"
#include "controller/model/hosts.h"
#include "controller/model/place.h"
#include "proto/message.h"

/* By policy's labels; no label at all matches no agent. */
static bool matches(const struct environment *env, const struct agent *agent)
{
	const Sluice__V1__EnvironmentSpec *spec = environment_policy(env);

	return spec->n_agents && agent_matches(agent, spec->agents, spec->n_agents);
}

Sluice__V1__EnvironmentHost *environment_host(const struct environment *env, const char *agent_id)
{
	for (size_t i = 0; i < env->row->n_hosts; i++)
		if (!strcmp(env->row->hosts[i]->agent_id, agent_id))
			return env->row->hosts[i];
	return NULL;
}

bool environment_host_leaves(struct world *w, const struct environment *env,
			     const Sluice__V1__EnvironmentHost *host)
{
	const struct agent *agent = host_agent(w, host);

	return !agent || agent->row->state == SLUICE__V1__AGENT__STATE__REVOKED ||
	       !matches(env, agent);
}

static void claim(struct world *w, const struct environment *env,
		  const Sluice__V1__EnvironmentHost *host, int by)
{
	struct agent *agent = host_agent(w, host);

	if (!agent || env->row->spec->shared)
		return;
	agent->n_environments += (uint32_t)by;
	place_agent(w, agent);
}

void environment_claim_hosts(struct world *w, struct environment *env, int by)
{
	for (size_t i = 0; i < env->row->n_hosts; i++)
		claim(w, env, env->row->hosts[i], by);
}

static void join(struct world *w, struct environment *env, const struct agent *agent)
{
	Sluice__V1__EnvironmentHost *host = message_new(&sluice__v1__environment_host__descriptor);
	size_t at;

	message_set_string(&host->agent_id, agent->row->id);
	message_set_string(&host->agent_name, agent->row->name);
	host->state = HOST_STATE(EMPTY);
	host->changed_ms = w->now.wall_ms;
	message_append(env->row, hosts, host);
	at = env->row->n_hosts - 1;
	for (; at > 0 && strcmp(env->row->hosts[at - 1]->agent_name, host->agent_name) > 0; at--)
		env->row->hosts[at] = env->row->hosts[at - 1];
	env->row->hosts[at] = host;
	claim(w, env, host, 1);
	world_touch(w, &env->entity);
}

bool environment_join_host(struct world *w, struct environment *env, const struct agent *agent)
{
	if (agent->row->state != SLUICE__V1__AGENT__STATE__ENABLED || !matches(env, agent) ||
	    environment_host(env, agent->row->id) || env->row->n_hosts >= ENVIRONMENT_HOSTS_MAX)
		return false;
	join(w, env, agent);
	return true;
}

bool environment_refresh_hosts(struct world *w, struct environment *env)
{
	struct agent *agent, *tmp;
	bool changed = false;

	HASH_ITER(by_id, w->agents_by_id, agent, tmp)
		changed |= environment_join_host(w, env, agent);
	return changed;
}

static bool has_left(struct world *w, const struct environment *env,
		     const Sluice__V1__EnvironmentHost *host)
{
	const struct agent *agent = host_agent(w, host);

	if (!agent || agent->row->state == SLUICE__V1__AGENT__STATE__REVOKED)
		return true;
	return !matches(env, agent) && host->state == HOST_STATE(EMPTY) && !host->unsure &&
	       !host->n_slots;
}

void environment_drop_left(struct world *w, struct environment *env)
{
	size_t kept = 0;

	for (size_t i = 0; i < env->row->n_hosts; i++) {
		Sluice__V1__EnvironmentHost *host = env->row->hosts[i];

		if (!has_left(w, env, host)) {
			env->row->hosts[kept++] = host;
			continue;
		}
		claim(w, env, host, -1);
		message_free(host);
		world_touch(w, &env->entity);
	}
	env->row->n_hosts = kept;
}

size_t environment_present_hosts(struct world *w, const struct environment *env)
{
	size_t n = 0;

	for (size_t i = 0; i < env->row->n_hosts; i++)
		n += !environment_host_leaves(w, env, env->row->hosts[i]);
	return n;
}

/* ---- facts for others ---- */

bool environment_has_host(const struct environment *env, const struct agent *agent)
{
	return environment_host(env, agent->row->id) != NULL;
}

size_t environment_endpoints(const struct environment *env, char ***ret)
{
	size_t n = 0;

	*ret = NULL;
	for (size_t i = 0; i < env->row->n_hosts; i++) {
		const Sluice__V1__EnvironmentHost *host = env->row->hosts[i];

		if (host->state != HOST_STATE(NEW) || !host->endpoint[0])
			continue;
		*ret = xreallocarray(*ret, n + 1, sizeof **ret);
		(*ret)[n++] = xstrdup(host->endpoint);
	}
	return n;
}

static bool has_part(const struct release *r, const char *digest)
{
	for (size_t i = 0; r && i < r->row->n_parts; i++)
		if (!strcmp(r->row->parts[i]->digest, digest))
			return true;
	return false;
}

bool environment_may_read(struct world *w, const struct environment *env, const struct agent *agent,
			  const char *digest)
{
	const char *const named[] = { env->row->live, env->row->last_good,
				      env->row->previous_good };

	if (!environment_has_host(env, agent))
		return false;
	if (env->promotion && has_part(env->promotion->release, digest))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(named); i++)
		if (named[i][0] && has_part(world_release(w, named[i], NULL), digest))
			return true;
	return false;
}
