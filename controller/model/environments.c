/*
 * Environments: recorded, applied, held. An apply compares the file's wish with the
 * record line by line, and records it under the next number where they differ. Which
 * agents are hosts is hosts_of.c's; what environments tell people is detail.c's.
 */
#include "controller/model/environments.h"

#include <assert.h>
#include <string.h>

#include "controller/model/delivery.h"
#include "controller/model/hosts.h"
#include "controller/model/policy.h"
#include "controller/model/promotion.h"
#include "controller/model/rollout.h"
#include "proto/message.h"

/* ---- releases that a row names ---- */

void environment_set_release(struct world *w, char **field, const char *id)
{
	struct release *old = **field ? world_release(w, *field, NULL) : NULL;
	struct release *new = *id ? world_release(w, id, NULL) : NULL;

	if (new)
		world_release_ref(new);
	world_release_unref(w, old);
	message_set_string(field, id);
}

static bool listed(char *const *ids, size_t n, const char *id)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(ids[i], id))
			return true;
	return false;
}

bool environment_is_quarantined(const struct environment *env, const char *release_id)
{
	return listed(env->row->quarantined, env->row->n_quarantined, release_id);
}

bool environment_is_verified(const struct environment *env, const char *release_id)
{
	for (size_t i = 0; i < env->row->n_verified; i++)
		if (!strcmp(env->row->verified[i]->release, release_id))
			return true;
	return false;
}

/* ---- their order ---- */

static size_t depth_of(struct world *w, const struct environment *env)
{
	size_t depth = 0;

	while (env && env->row->spec->after[0] && depth < ENVIRONMENTS_MAX) {
		env = world_environment(w, env->row->spec->after, NULL);
		depth++;
	}
	return depth;
}

bool environment_is_downstream(struct world *w, const struct environment *env,
			       const struct environment *first)
{
	for (size_t n = 0; env && n <= ENVIRONMENTS_MAX; n++) {
		if (env == first)
			return true;
		env = env->row->spec->after[0] ? world_environment(w, env->row->spec->after, NULL)
					       : NULL;
	}
	return false;
}

struct placed {
	struct environment *env;
	size_t depth;
};

static int by_depth(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;

	if (x->depth != y->depth)
		return x->depth < y->depth ? -1 : 1;
	return strcmp(x->env->row->name, y->env->row->name);
}

size_t environments_in_order(struct world *w, struct environment ***ret)
{
	size_t n = HASH_CNT(by_name, w->environments), i = 0;
	cleanup(freep) struct placed *all = xcalloc(n + 1, sizeof *all);
	struct environment *env, *tmp;

	HASH_ITER(by_name, w->environments, env, tmp)
		all[i++] = (struct placed){ env, depth_of(w, env) };
	qsort(all, n, sizeof *all, by_depth);
	*ret = xcalloc(n + 1, sizeof **ret);
	for (i = 0; i < n; i++)
		(*ret)[i] = all[i].env;
	return n;
}

/* ---- apply ---- */

struct environment *environment_create(struct world *w, const Sluice__V1__EnvironmentSpec *spec,
				       const Sluice__V1__Actor *actor)
{
	Sluice__V1__Environment *row = message_new(&sluice__v1__environment__descriptor);
	struct environment *env;
	Sluice__V1__Event *e;

	message_set_string(&row->id, world_id(w).text);
	message_set_string(&row->name, spec->name);
	row->policy = 1;
	row->spec = message_copy(spec);
	env = world_add_environment(w, row);
	environment_refresh_hosts(w, env);
	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_ENVIRONMENT_APPLIED, actor,
			"environment '%s' created with policy 1 and %zu hosts", spec->name,
			row->n_hosts);
	event_of_environment(e, env);
	return env;
}

static Sluice__V1__EnvironmentSpec *spec_for(const Sluice__V1__Pipeline *p,
					     const Sluice__V1__EnvironmentSpec *wish)
{
	Sluice__V1__EnvironmentSpec *spec = message_copy(wish);

	message_set_string(&spec->pipeline, p->name);
	return spec;
}

static void record(struct world *w, struct environment *env,
		   const Sluice__V1__EnvironmentSpec *spec, const Sluice__V1__Actor *actor,
		   size_t n_lines)
{
	Sluice__V1__Event *e;

	environment_claim_hosts(w, env, -1);
	message_free(env->row->spec);
	env->row->spec = message_copy(spec);
	env->row->policy++;
	world_touch(w, &env->entity);
	environment_claim_hosts(w, env, 1);
	environment_refresh_hosts(w, env);
	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_ENVIRONMENT_APPLIED, actor,
			"environment '%s' has policy %u now, %zu changes", env->row->name,
			env->row->policy, n_lines);
	event_of_environment(e, env);
}

static void keep_line(void *arg, char *line)
{
	Sluice__V1__PolicyChange *change = arg;

	message_append(change, lines, line);
}

static Sluice__V1__PolicyChange *apply_one(struct world *w, const struct environment_apply *req,
					   const Sluice__V1__EnvironmentSpec *wish, bool dry_run)
{
	Sluice__V1__PolicyChange *change = message_new(&sluice__v1__policy_change__descriptor);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = spec_for(req->pipeline, wish);
	struct environment *env = world_environment(w, wish->name, NULL);
	size_t n;

	message_set_string(&change->environment, wish->name);
	if (!env) {
		const Sluice__V1__EnvironmentSpec nothing = SLUICE__V1__ENVIRONMENT_SPEC__INIT;

		change->created = true;
		change->policy = 1;
		policy_diff(&nothing, spec, keep_line, change);
		if (!dry_run)
			environment_create(w, spec, req->caller->actor);
		return change;
	}
	n = policy_diff(env->row->spec, spec, keep_line, change);
	change->policy = env->row->policy + (n > 0);
	if (n && !dry_run)
		record(w, env, spec, req->caller->actor, n);
	return change;
}

int environments_apply(struct world *w, struct now now, const void *req, void *reply,
		       struct error *err)
{
	const struct environment_apply *apply = req;
	const Sluice__V1__ApplyRequest *request = apply->request;
	Sluice__V1__ApplyReply *ret;
	char subject[ID_SIZE];
	int asked = 0;

	w->now = now;
	if (!apply->pipeline->n_environments)
		return error_set(err, ERR_INVALID, "'%s' has no `environments:`",
				 request->file_name);
	if (!request->dry_run)
		asked = world_asked(w, request->request_id, "Environments.Apply", subject, err);
	if (asked < 0 || policy_check(w, apply->pipeline, err) < 0)
		return -1;
	ret = message_new(&sluice__v1__apply_reply__descriptor);
	for (size_t i = 0; i < apply->pipeline->n_environments; i++)
		message_append(ret, changes,
			       apply_one(w, apply, apply->pipeline->environments[i],
					 request->dry_run || asked));
	if (!request->dry_run && !asked) {
		world_answered(w, request->request_id, "Environments.Apply", "");
		for (size_t i = 0; i < apply->pipeline->n_environments; i++)
			rollout_step(w, world_environment(w, apply->pipeline->environments[i]->name,
							  NULL));
	}
	*(Sluice__V1__ApplyReply **)reply = ret;
	return 0;
}

/* ---- at submit ---- */

static void drop_line(void *arg, char *line)
{
	free(line);
}

static void note_difference(struct world *w, const Sluice__V1__Pipeline *p,
			    const Sluice__V1__EnvironmentSpec *wish, Sluice__V1__Run *run)
{
	const struct environment *env = world_environment(w, wish->name, NULL);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = spec_for(p, wish);

	if (!env)
		message_append(
			run, notes,
			xprintf("there is no environment '%s' yet; an admin records it: sluice "
				"env apply %s",
				wish->name, run->file));
	else if (policy_diff(env->row->spec, spec, drop_line, NULL))
		message_append(run, notes,
			       xprintf("the file's `%s` differs from the recorded policy %u, which "
				       "holds; an admin records it: sluice env apply %s",
				       wish->name, env->row->policy, run->file));
}

int delivery_apply_new(struct world *w, const Sluice__V1__Pipeline *p,
		       const Sluice__V1__Actor *actor, bool admin, Sluice__V1__Run *run,
		       struct error *err)
{
	struct error why = { 0 };

	if (policy_check(w, p, &why) < 0 && (admin || why.code != ERR_INVALID)) {
		if (err)
			*err = why;
		return -1;
	}
	for (size_t i = 0; i < p->n_environments; i++) {
		cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = NULL;

		if (!admin || world_environment(w, p->environments[i]->name, NULL)) {
			note_difference(w, p, p->environments[i], run);
			continue;
		}
		spec = spec_for(p, p->environments[i]);
		environment_create(w, spec, actor);
		message_append(run, notes, xprintf("environment '%s' was created", spec->name));
	}
	return 0;
}

/* ---- holds ---- */

void environment_set_hold(struct world *w, struct environment *env, const Sluice__V1__Actor *actor,
			  const char *reason)
{
	Sluice__V1__Hold *hold;
	Sluice__V1__Event *e;

	if (env->row->hold)
		return;
	hold = message_new(&sluice__v1__hold__descriptor);
	message_set_string(&hold->actor, actor && actor->name[0] ? actor->name : "the controller");
	message_set_string(&hold->reason, reason);
	hold->since_ms = w->now.wall_ms;
	env->row->hold = hold;
	world_touch(w, &env->entity);
	e = world_event(
		w, SLUICE__V1__EVENT_KIND__EVENT_ENVIRONMENT_HELD, actor,
		"hold set on '%s': %s; nothing is promoted automatically. Lift it: sluice env "
		"unhold %s",
		env->row->name, reason, env->row->name);
	event_of_environment(e, env);
}

static int find(struct world *w, const struct environment_hold *req, const char *method,
		struct environment **ret, struct error *err)
{
	char subject[ID_SIZE];
	int asked = world_asked(w, req->request->request_id, method, subject, err);

	if (asked < 0 || caller_text("reason", req->request->reason, err) < 0)
		return -1;
	*ret = world_environment(w, req->request->environment, err);
	return *ret ? asked : -1;
}

int environments_hold(struct world *w, struct now now, const void *req, void *reply,
		      struct error *err)
{
	const struct environment_hold *hold = req;
	struct environment *env = NULL;
	int asked;

	w->now = now;
	asked = find(w, hold, "Environments.Hold", &env, err);
	if (asked < 0)
		return -1;
	if (!asked) {
		/* what a person says of it now counts */
		if (env->row->hold && hold->request->reason[0]) {
			message_free(env->row->hold);
			env->row->hold = NULL;
		}
		environment_set_hold(w, env, hold->caller->actor,
				     hold->request->reason[0] ? hold->request->reason : "by hand");
		world_answered(w, hold->request->request_id, "Environments.Hold", env->row->id);
	}
	*(Sluice__V1__Environment **)reply = message_copy(env->row);
	return 0;
}

int environments_unhold(struct world *w, struct now now, const void *req, void *reply,
			struct error *err)
{
	const struct environment_hold *hold = req;
	struct environment *env = NULL;
	int asked;

	w->now = now;
	asked = find(w, hold, "Environments.Unhold", &env, err);
	if (asked < 0)
		return -1;
	if (!asked && env->row->hold) {
		Sluice__V1__Event *e;

		e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_ENVIRONMENT_UNHELD,
				hold->caller->actor, "hold on '%s' lifted: it was set by %s (%s)",
				env->row->name, env->row->hold->actor, env->row->hold->reason);
		event_of_environment(e, env);
		message_free(env->row->hold);
		env->row->hold = NULL;
		world_touch(w, &env->entity);
		rollout_step(w, env);
	}
	if (!asked)
		world_answered(w, hold->request->request_id, "Environments.Unhold", env->row->id);
	*(Sluice__V1__Environment **)reply = message_copy(env->row);
	return 0;
}
