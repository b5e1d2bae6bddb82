/*
 * The life of a promotion once it was asked for: its turn, what its end means for
 * the environment and for those after it, and the way back. A decision that ends one
 * promotion and begins its rollback is one commit: at no time is an environment
 * without the promotion that its hosts' orders belong to.
 */
#include "controller/model/promotion.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "controller/model/checks.h"
#include "controller/model/environments.h"
#include "controller/model/hosts.h"
#include "controller/model/promotion_private.h"
#include "controller/model/releases.h"
#include "controller/model/rollout.h"
#include "controller/model/runs.h"
#include "proto/message.h"

const char *promotion_state_name(Sluice__V1__Promotion__State state)
{
	static const char *const names[] = {
		[PROMOTION_STATE(STATE_UNSPECIFIED)] = "unknown",
		[PROMOTION_STATE(WAITING)] = "waiting",
		[PROMOTION_STATE(ROLLING_OUT)] = "being rolled out",
		[PROMOTION_STATE(VERIFYING)] = "being verified",
		[PROMOTION_STATE(SUCCEEDED)] = "live",
		[PROMOTION_STATE(FAILED)] = "failed",
		[PROMOTION_STATE(ROLLED_BACK)] = "rolled back",
		[PROMOTION_STATE(CANCELLED)] = "cancelled",
		[PROMOTION_STATE(PAUSED)] = "paused",
	};

	return (size_t)state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

bool promotion_is_rollback(const struct promotion *p)
{
	return p->row->cause == PROMOTION_CAUSE(ROLLBACK_PERSON) ||
	       p->row->cause == PROMOTION_CAUSE(ROLLBACK_FAILED);
}

/* ---- made and ended ---- */

struct promotion *promotion_create(struct world *w, struct environment *env, struct release *r,
				   Sluice__V1__Promotion__Cause cause,
				   const Sluice__V1__Actor *actor)
{
	Sluice__V1__Promotion *row = message_new(&sluice__v1__promotion__descriptor);
	struct release *live = env->row->live[0] ? world_release(w, env->row->live, NULL) : NULL;
	struct promotion *p;

	message_set_string(&row->id, world_id(w).text);
	message_set_string(&row->environment, env->row->name);
	message_set_string(&row->release, r->row->id);
	row->release_number = r->row->number;
	row->state = PROMOTION_STATE(WAITING);
	row->cause = cause;
	row->policy = env->row->policy;
	row->created_ms = w->now.wall_ms;
	row->number = ++env->row->promotions;
	if (actor)
		row->actor = message_copy(actor);
	world_touch(w, &env->entity);
	p = world_add_promotion(w, env, r, row);
	promotion_set_from(w, p, live);
	return p;
}

void promotion_set_from(struct world *w, struct promotion *p, struct release *live)
{
	if (live)
		world_release_ref(live);
	world_release_unref(w, p->from);
	p->from = live;
	message_set_string(&p->row->from, live ? live->row->id : "");
	p->row->from_number = live ? live->row->number : 0;
}

/* Environments after this one may wait for what ended here. */
static void wake_downstream(struct world *w, const struct environment *env)
{
	struct environment **all;
	size_t n = environments_in_order(w, &all);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i]->row->spec->after, env->row->name))
			rollout_step(w, all[i]);
	free(all);
}

void promotion_end(struct world *w, struct promotion *p, Sluice__V1__Promotion__State state,
		   const char *fmt, ...)
{
	struct environment *env = p->environment;
	cleanup(freep) char *outcome = NULL;
	char name[RELEASE_NAME];
	Sluice__V1__Event *e;
	va_list args;

	va_start(args, fmt);
	outcome = xvprintf(fmt, args);
	va_end(args);
	message_set_string(&p->row->outcome, outcome);
	p->row->state = state;
	p->row->finished_ms = w->now.wall_ms;
	world_touch(w, &p->entity);
	list_remove(&p->queued);
	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_PROMOTION_FINISHED, NULL,
			"%s -> %s %s: %s", release_name(p->release, name), env->row->name,
			promotion_state_name(state), p->row->outcome);
	event_of_promotion(e, p);
	message_set_string(&e->release_id, p->row->release);
	message_set_string(&env->row->last_promotion, p->row->id);
	world_touch(w, &env->entity);
	if (env->promotion == p) {
		env->promotion = NULL;
		message_set_string(&env->row->promotion, "");
		environment_refresh_hosts(w, env);
	}
	wake_downstream(w, env);
}

/* ---- its turn ---- */

static enum check_answer may_start(struct world *w, const struct promotion *p, char **ret_wait,
				   struct error *err)
{
	const struct checks checks = {
		.expect_live = p->row->expect_live,
		.override = p->row->override ? p->row->reason : "",
	};

	return checks_run(w, p->environment, p->release, &checks, ret_wait, err);
}

static void start(struct world *w, struct promotion *p)
{
	struct environment *env = p->environment;
	struct release *live = env->row->live[0] ? world_release(w, env->row->live, NULL) : NULL;
	char name[RELEASE_NAME];

	list_remove(&p->queued);
	if (rollout_is_everywhere(w, env, p->row->release)) {
		promotion_end(w, p, PROMOTION_STATE(SUCCEEDED), "%s is live on every host already",
			      release_name(p->release, name));
		return;
	}
	promotion_set_from(w, p, live);
	rollout_begin(w, p);
}

static struct promotion *first_ready(struct world *w, struct environment *env)
{
	struct promotion *p, *tmp;

	list_each_safe(p, tmp, &env->waiting, queued) {
		struct error err = { 0 };
		enum check_answer answer = may_start(w, p, NULL, &err);

		if (answer == CHECK_YES)
			return p;
		if (answer == CHECK_NO)
			promotion_end(w, p, PROMOTION_STATE(FAILED), "%s", err.text);
	}
	return NULL;
}

/* What `auto` would promote; it stays noted while something is in the way. */
static void next_auto(struct world *w, struct environment *env)
{
	const struct checks checks = { .expect_live = "", .override = "" };
	struct release *r;
	struct promotion *p;

	if (!env->row->waiting[0] || env->row->hold || !env->row->spec->auto_newest)
		return;
	r = world_release(w, env->row->waiting, NULL);
	if (!r || checks_run(w, env, r, &checks, NULL, NULL) != CHECK_YES)
		return;
	message_set_string(&env->row->waiting, "");
	p = promotion_create(w, env, r, PROMOTION_CAUSE(AUTO), NULL);
	promotion_requested(w, p);
	start(w, p);
}

void promotions_next(struct world *w, struct environment *env)
{
	struct promotion *p;

	while (!env->promotion && (p = first_ready(w, env)))
		start(w, p);
	if (!env->promotion)
		next_auto(w, env);
}

void promotions_offer(struct world *w, struct environment *env, struct release *r)
{
	const struct release *live =
		env->row->live[0] ? world_release(w, env->row->live, NULL) : NULL;

	if (r->row->number > env->row->newest_number) {
		env->row->newest_number = r->row->number;
		world_touch(w, &env->entity);
	}
	if (!env->row->spec->auto_newest || r->row->number < env->row->newest_number || live == r ||
	    environment_is_quarantined(env, r->row->id))
		return;
	message_set_string(&env->row->waiting, r->row->id);
	world_touch(w, &env->entity);
	rollout_step(w, env);
}

void promotion_requested(struct world *w, struct promotion *p)
{
	char name[RELEASE_NAME], from[RELEASE_NAME];
	Sluice__V1__Event *e;

	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_PROMOTION_REQUESTED, p->row->actor,
			"%s -> %s, now %s%s%s%s", release_name(p->release, name),
			p->environment->row->name, release_name(p->from, from),
			p->row->cause == PROMOTION_CAUSE(AUTO) ? " (auto)"
			: p->row->override		       ? " (override)"
							       : "",
			p->row->reason[0] ? ": " : "", p->row->reason);
	event_of_promotion(e, p);
	message_set_string(&e->release_id, p->row->release);
}

/* ---- its good end ---- */

static void set_live(struct world *w, struct environment *env, const struct release *r)
{
	if (!strcmp(env->row->live, r->row->id))
		return;
	environment_set_release(w, &env->row->live, r->row->id);
	env->row->live_since_ms = w->now.wall_ms;
	world_touch(w, &env->entity);
}

/* Where a rollback would go: verified before last_good, and not quarantined since. */
void environment_find_previous(struct world *w, struct environment *env)
{
	const char *found = "";

	for (size_t i = 0; i < env->row->n_verified; i++) {
		const char *id = env->row->verified[i]->release;

		if (!strcmp(id, env->row->last_good))
			continue;
		if (!environment_is_quarantined(env, id) && world_release(w, id, NULL))
			found = id;
	}
	if (strcmp(found, env->row->previous_good)) {
		cleanup(freep) char *id = xstrdup(found);

		environment_set_release(w, &env->row->previous_good, id);
		world_touch(w, &env->entity);
	}
}

static void forget_verified(struct environment *env, size_t i)
{
	message_free(env->row->verified[i]);
	env->row->n_verified--;
	memmove(env->row->verified + i, env->row->verified + i + 1,
		(env->row->n_verified - i) * sizeof(*env->row->verified));
}

static void record_verified(struct world *w, struct promotion *p)
{
	struct environment *env = p->environment;
	Sluice__V1__VerifiedRelease *v = message_new(&sluice__v1__verified_release__descriptor);

	for (size_t i = env->row->n_verified; i > 0; i--)
		if (!strcmp(env->row->verified[i - 1]->release, p->row->release))
			forget_verified(env, i - 1);
	if (env->row->n_verified >= ENVIRONMENT_VERIFIED)
		forget_verified(env, 0);
	message_set_string(&v->release, p->row->release);
	message_set_string(&v->promotion, p->row->id);
	v->at_ms = w->now.wall_ms;
	for (size_t i = 0; i < p->row->n_verdicts; i++)
		message_append(v, verdicts, xstrdup(p->row->verdicts[i]));
	message_append(env->row, verified, v);
}

static void clear_degraded(struct environment *env)
{
	env->row->degraded = false;
	message_set_string(&env->row->degraded_reason, "");
}

static void release_verified(struct world *w, const struct environment *env, struct release *r)
{
	struct environment **all;
	size_t n = environments_in_order(w, &all);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i]->row->spec->after, env->row->name))
			promotions_offer(w, all[i], r);
	free(all);
}

void promotion_succeeded(struct world *w, struct promotion *p)
{
	struct environment *env = p->environment;
	struct release *r = p->release;
	bool absolved = release_absolve(w, env, r);
	char name[RELEASE_NAME];

	record_verified(w, p);
	environment_set_release(w, &env->row->last_good, p->row->release);
	environment_find_previous(w, env);
	clear_degraded(env);
	promotion_end(w, p, PROMOTION_STATE(SUCCEEDED), "%s is live on %zu of %zu hosts%s%s",
		      release_name(r, name), promotion_hosts_in(p, HOST_STATE(NEW)), p->row->n_plan,
		      p->row->verify_run[0] ? " and verified" : "",
		      absolved ? ", so that its quarantine here is over" : "");
	release_verified(w, env, r);
}

size_t promotion_hosts_in(const struct promotion *p, Sluice__V1__EnvironmentHost__State state)
{
	size_t n = 0;

	for (size_t i = 0; i < p->row->n_plan; i++) {
		const Sluice__V1__EnvironmentHost *host =
			environment_host(p->environment, p->row->plan[i]);

		n += host && host->state == state;
	}
	return n;
}

void promotion_verify(struct world *w, struct promotion *p)
{
	const Sluice__V1__EnvironmentSpec *spec = environment_policy(p->environment);
	cleanup(freep) Sluice__V1__JobSpec **steps = xcalloc(spec->n_verify + 1, sizeof *steps);
	char name[RELEASE_NAME];
	Sluice__V1__Event *e;

	for (size_t i = 0; i < spec->n_verify; i++)
		steps[i] = message_copy(spec->verify[i]);
	p->row->state = PROMOTION_STATE(VERIFYING);
	p->row->paused_ms = 0;
	message_set_string(&p->row->outcome, "");
	p->verify = run_create_verify(w, p, steps, spec->n_verify);
	message_set_string(&p->row->verify_run, p->verify->row->id);
	world_touch(w, &p->entity);
	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_PROMOTION_VERIFYING, NULL,
			"%s: %s is on its hosts, run %u verifies it", p->environment->row->name,
			release_name(p->release, name), p->verify->row->number);
	event_of_promotion(e, p);
	message_set_string(&e->run_id, p->verify->row->id);
}

static bool environment_is_good(const struct environment *env, const char *release_id)
{
	return environment_is_verified(env, release_id) &&
	       !environment_is_quarantined(env, release_id);
}

static void rolled_back(struct world *w, struct promotion *p)
{
	struct environment *env = p->environment;
	size_t failed = promotion_hosts_in(p, HOST_STATE(FAILED));
	char name[RELEASE_NAME];

	/* without anything better it went back to what served, which is not good for that */
	if (!environment_is_good(env, p->row->release)) {
		promotion_degrade(
			w, env, "%s serves again, but it %s here; there is nothing better",
			release_name(p->release, name),
			environment_is_quarantined(env, p->row->release) ? "is quarantined"
									 : "was never verified");
		promotion_end(w, p, PROMOTION_STATE(FAILED), "%s", env->row->degraded_reason);
		return;
	}
	environment_set_release(w, &env->row->last_good, p->row->release);
	environment_find_previous(w, env);
	if (failed) {
		promotion_degrade(w, env, "the rollback to %s failed on %zu of %zu hosts",
				  release_name(p->release, name), failed, p->row->n_plan);
		promotion_end(w, p, PROMOTION_STATE(FAILED), "%s", env->row->degraded_reason);
		return;
	}
	clear_degraded(env);
	promotion_end(w, p, PROMOTION_STATE(SUCCEEDED), "%s is live again on %zu of %zu hosts",
		      release_name(p->release, name), promotion_hosts_in(p, HOST_STATE(NEW)),
		      p->row->n_plan);
}

void promotion_rolled_out(struct world *w, struct promotion *p)
{
	set_live(w, p->environment, p->release);
	if (promotion_is_rollback(p))
		rolled_back(w, p);
	else if (environment_policy(p->environment)->n_verify)
		promotion_verify(w, p);
	else
		promotion_succeeded(w, p);
}
