/*
 * What an agent may touch, and nothing else: the log and the artifacts of the
 * attempts leased to it, by their fence; what its job reads; the releases of the
 * environments whose host it is. A digest is no capability.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "controller/model/agents.h"
#include "controller/model/attempts.h"
#include "controller/model/delivery.h"
#include "controller/model/finish.h"
#include "controller/model/inputs.h"
#include "controller/model/private.h"

enum { DENIED_EVERY_MS = 60 * 1000 };

#define STATE(name) SLUICE__V1__ATTEMPT_STATE__ATTEMPT_##name

static int denied(struct error *err, const struct agent *agent, uint64_t fence)
{
	return error_id(err, "E0509", "fence %" PRIu64 " is not (or no longer) leased to '%s'",
			fence, agent->row->name);
}

static void grant_run(struct agent_grant *ret, const char *run_id)
{
	snprintf(ret->run_id, sizeof(ret->run_id), "%s", run_id);
}

static bool runs_here(const struct attempt *a, const struct agent *agent)
{
	return a && a->agent == agent &&
	       (a->row->state == STATE(RUNNING) || a->row->state == STATE(CANCELLING));
}

static bool was_lost(const Sluice__V1__Attempt *row)
{
	return row->exit && (row->exit->reason == SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST ||
			     row->exit->reason == SLUICE__V1__EXIT_REASON__EXIT_HOST_LOST);
}

static int may_log(struct world *w, const struct agent *agent, uint64_t fence,
		   struct agent_grant *ret, struct error *err)
{
	cleanup(message_freep) Sluice__V1__Attempt *row = NULL;
	const struct attempt *a = world_attempt(w, fence);

	if (runs_here(a, agent)) {
		grant_run(ret, a->row->run_id);
		return 0;
	}
	if (a && attempt_is_open(a))
		return denied(err, agent, fence);
	if (attempt_closed(w, agent, fence, &row, err) < 0)
		return -1;
	if (!row || !was_lost(row) || w->now.wall_ms - row->finished_ms > LOST_LOG_MS)
		return denied(err, agent, fence);
	grant_run(ret, row->run_id);
	return 0;
}

static bool reads(const struct attempt *a, const char *digest, struct agent_grant *ret)
{
	const struct run *run = a->job->run;

	if (strcmp(run->row->source, digest) == 0)
		return true;
	if (inputs_have(a->job->row, digest, &ret->is_file))
		return true;
	if (!run->promotion)
		return false;
	for (size_t i = 0; i < run->promotion->release->row->n_parts; i++) {
		const Sluice__V1__ReleasePart *part = run->promotion->release->row->parts[i];

		if (strcmp(part->digest, digest) != 0)
			continue;
		ret->is_file = part->is_file;
		return true;
	}
	return false;
}

static int may_download(struct world *w, const struct agent *agent, const struct agent_access *q,
			struct agent_grant *ret, struct error *err)
{
	const struct attempt *a = world_attempt(w, q->fence);

	if (!runs_here(a, agent))
		return denied(err, agent, q->fence);
	if (!reads(a, q->digest, ret))
		return error_set(err, ERR_DENIED, "'%s' is not an input of '%s'", q->digest,
				 a->row->job_name);
	grant_run(ret, a->row->run_id);
	return 0;
}

static int of_environment(struct world *w, const struct agent *agent, const struct agent_access *q,
			  struct agent_grant *ret, struct error *err)
{
	struct environment *env = world_environment(w, q->environment, NULL);

	if (!env || !environment_has_host(env, agent))
		return error_set(err, ERR_DENIED, "'%s' is not a host of environment '%s'",
				 agent->row->name, q->environment);
	if (q->wish == AGENT_MAY_LOG)
		return 0;
	if (q->wish == AGENT_MAY_UPLOAD)
		return error_set(err, ERR_DENIED, "a host uploads nothing for an environment");
	if (!environment_may_read(w, env, agent, q->digest))
		return error_set(err, ERR_DENIED, "'%s' is no part of a release for '%s'",
				 q->digest, q->environment);
	return 0;
}

int agents_access(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct agent_access *q = req;
	const struct agent *agent = world_agent(w, q->agent, err);
	struct agent_grant *ret = reply;
	const struct attempt *a;

	world_at(w, now);
	*ret = (struct agent_grant){ 0 };
	if (!agent)
		return -1;
	if (agent->row->state == SLUICE__V1__AGENT__STATE__REVOKED)
		return error_id(err, "E0303", "the agent '%s' was revoked", agent->row->name);
	if (!q->fence)
		return of_environment(w, agent, q, ret, err);
	if (q->wish == AGENT_MAY_LOG)
		return may_log(w, agent, q->fence, ret, err);
	if (q->wish == AGENT_MAY_DOWNLOAD)
		return may_download(w, agent, q, ret, err);
	a = world_attempt(w, q->fence);
	if (!runs_here(a, agent))
		return denied(err, agent, q->fence);
	grant_run(ret, a->row->run_id);
	return 0;
}

/* ---- what was refused ---- */

/* Is this one to be told? A place is taken from another method only when that one may be told again
 * anyway. */
static bool worth_telling(struct world *w, struct denials **denials, const char *method)
{
	struct denials *d = *denials ?: (*denials = xcalloc(1, sizeof(*d)));
	size_t place = DENIED_METHODS;

	w->denied++;
	d->count++;
	for (size_t i = 0; i < DENIED_METHODS; i++) {
		bool over = !d->told[i].boot_ms ||
			    w->now.boot_ms - d->told[i].boot_ms >= DENIED_EVERY_MS;

		if (strncmp(d->told[i].method, method, sizeof(d->told[i].method) - 1) == 0) {
			if (!over)
				return false;
			place = i;
			break;
		}
		if (over && place == DENIED_METHODS)
			place = i;
	}
	if (place == DENIED_METHODS)
		return false;
	snprintf(d->told[place].method, sizeof(d->told[place].method), "%s", method);
	d->told[place].boot_ms = MAX(w->now.boot_ms, INT64_C(1));
	return true;
}

static Sluice__V1__Event *tell(struct world *w, const Sluice__V1__Actor *actor,
			       const struct denials *denials, const struct access_denial *d)
{
	return world_event(w, SLUICE__V1__EVENT_KIND__EVENT_ACCESS_DENIED, actor,
			   "%s was refused %s, the %" PRIu64 ". refusal: %s", actor->name,
			   d->method, denials->count, d->why);
}

static void agent_denied(struct world *w, struct agent *agent, const struct access_denial *d)
{
	Sluice__V1__Actor actor = agent_actor(agent);

	if (worth_telling(w, &agent->denials, d->method))
		event_of_agent(tell(w, &actor, agent->denials, d), agent);
}

static void token_denied(struct world *w, struct token *t, const struct access_denial *d)
{
	Sluice__V1__Actor actor = SLUICE__V1__ACTOR__INIT;

	actor.kind = SLUICE__V1__ACTOR__KIND__USER;
	actor.id = t->row->id;
	actor.name = t->row->name;
	if (worth_telling(w, &t->denials, d->method))
		tell(w, &actor, t->denials, d);
}

int access_denied(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct access_denial *d = req;
	struct agent *agent = d->agent ? world_agent_by_id(w, d->agent) : NULL;
	struct token *t = NULL;

	world_at(w, now);
	if (d->token)
		HASH_FIND(by_id, w->tokens_by_id, d->token, strlen(d->token), t);
	if (agent)
		agent_denied(w, agent, d);
	else if (t)
		token_denied(w, t, d);
	return 0;
}
