/*
 * Why something in delivery waits: the sentences, from the same questions that the
 * decisions ask.
 */
#include <string.h>

#include "base/buf.h"
#include "controller/model/checks.h"
#include "controller/model/delivery.h"
#include "controller/model/environments.h"
#include "controller/model/delivery_waits.h"
#include "controller/model/hosts.h"
#include "controller/model/promotion.h"
#include "controller/model/releases.h"
#include "controller/model/rollout.h"
#include "controller/model/waits.h"
#include "proto/message.h"

static char *why_not_yet(struct world *w, const struct environment *env, const struct release *r,
			 const struct checks *checks)
{
	struct error err = { 0 };
	char *wait = NULL;

	if (checks_run(w, env, r, checks, &wait, &err) != CHECK_NO)
		return wait ? wait : xstrdup("starts now");
	free(wait);
	return xstrdup(err.text);
}

static char *describe_pause(struct world *w, const struct promotion *p)
{
	char left[CLOCK_TEXT];
	int64_t ms = p->row->paused_ms + PROMOTION_GIVE_UP_MS - world_steady_ms(w);

	return xprintf(
		"paused: %s; promote it again, or: sluice rollback %s; in %s it counts as failed",
		p->row->outcome, p->row->environment, duration_format(MAX(ms, 0), left));
}

char *promotion_waits_for(struct world *w, const struct promotion *p)
{
	const struct checks checks = {
		.expect_live = p->row->expect_live,
		.override = p->row->override ? p->row->reason : "",
	};

	switch (p->row->state) {
	case PROMOTION_STATE(WAITING):
		return why_not_yet(w, p->environment, p->release, &checks);
	case PROMOTION_STATE(ROLLING_OUT):
		return rollout_describe(w, p->environment);
	case PROMOTION_STATE(VERIFYING):
		return p->verify ? xprintf("run %u verifies it: %u of %u steps done",
					   p->verify->row->number, p->verify->row->jobs_done,
					   p->verify->row->jobs)
				 : xstrdup("is being verified");
	case PROMOTION_STATE(PAUSED):
		return describe_pause(w, p);
	default:
		return NULL;
	}
}

/* ---- waits ---- */

struct telling {
	struct world *w;
	delivery_wait_fn *add;
	void *arg;
};

static void tell(const struct telling *t, const struct release *r, const struct environment *env,
		 int64_t since_ms, const char *sentence)
{
	char name[RELEASE_NAME];
	cleanup(freep) char *subject =
		r ? xprintf("%s -> %s", release_name(r, name), env->row->name)
		  : xstrdup(env->row->name);
	Sluice__V1__Wait *wait = wait_new(subject, since_ms, "%s", sentence);

	if (r) {
		message_set_string(&wait->run_id, r->row->run_id);
		wait->run_number = r->row->run_number;
	}
	t->add(t->arg, wait);
}

static void tell_promotion(const struct telling *t, const struct promotion *p)
{
	cleanup(freep) char *sentence = promotion_waits_for(t->w, p);

	if (sentence)
		tell(t, p->release, p->environment,
		     p->row->started_ms ? p->row->started_ms : p->row->created_ms, sentence);
}

static char *describe_hold(const struct environment *env)
{
	const Sluice__V1__Hold *hold = env->row->hold;
	char at[CLOCK_TEXT];

	return xprintf("%s is held by %s since %s (%s); lift it: sluice env unhold %s",
		       env->row->name, hold->actor, clock_format(hold->since_ms, at), hold->reason,
		       env->row->name);
}

static void tell_auto(const struct telling *t, const struct environment *env)
{
	const struct checks checks = { .expect_live = "", .override = "" };
	const struct release *r =
		env->row->waiting[0] ? world_release(t->w, env->row->waiting, NULL) : NULL;
	cleanup(freep) char *sentence = NULL;

	if (!r)
		return;
	if (!env->row->spec->auto_newest)
		sentence =
			xprintf("nothing is promoted to %s by itself any more; promote it by hand",
				env->row->name);
	else if (env->row->hold)
		sentence = describe_hold(env);
	else
		sentence = why_not_yet(t->w, env, r, &checks);
	tell(t, r, env, env->row->hold ? env->row->hold->since_ms : r->row->created_ms, sentence);
}

/* `auto` will want what is being promoted to the environment before. */
static void tell_coming(const struct telling *t, const struct environment *env)
{
	const char *after = env->row->spec->after;
	const struct environment *before = after[0] ? world_environment(t->w, after, NULL) : NULL;
	const struct promotion *p = before ? before->promotion : NULL;
	cleanup(freep) char *sentence = NULL;

	if (!p || promotion_is_rollback(p) || !env->row->spec->auto_newest || env->row->hold ||
	    env->row->waiting[0])
		return;
	sentence = xprintf("waits for verification in %s", after);
	tell(t, p->release, env, p->row->created_ms, sentence);
}

/* NULL: nothing is wrong with it. */
static char *describe_host(struct world *w, const struct environment *env,
			   const Sluice__V1__EnvironmentHost *host)
{
	bool reachable = host_reachable(w, host);

	if (host->state != HOST_STATE(NEW))
		return xprintf("host '%s' does not run what is live yet: it is %s%s%s",
			       host->agent_name,
			       reachable ? host_state_name(host->state) : "unreachable",
			       host->text[0] ? ", " : "", host->text);
	if (reachable && !host->healthy && environment_deploy(env)->service[0])
		return xprintf("host '%s' runs what is live, but its last check failed",
			       host->agent_name);
	return NULL;
}

static void tell_hosts(const struct telling *t, const struct environment *env)
{
	if (!env->row->live[0] ||
	    (env->promotion && env->promotion->row->state == PROMOTION_STATE(ROLLING_OUT)))
		return;
	for (size_t i = 0; i < env->row->n_hosts; i++) {
		const Sluice__V1__EnvironmentHost *host = env->row->hosts[i];
		cleanup(freep) char *sentence = describe_host(t->w, env, host);

		if (sentence)
			tell(t, NULL, env, host->changed_ms, sentence);
	}
}

void environment_tell_waits(struct world *w, const struct environment *env, delivery_wait_fn *add,
			    void *arg)
{
	const struct telling t = { w, add, arg };
	const struct promotion *p;

	if (env->row->degraded) {
		cleanup(freep) char *sentence =
			xprintf("degraded, a person is needed: %s", env->row->degraded_reason);

		tell(&t, NULL, env, env->row->live_since_ms, sentence);
	}
	if (env->promotion)
		tell_promotion(&t, env->promotion);
	list_each(p, &env->waiting, queued)
		tell_promotion(&t, p);
	tell_auto(&t, env);
	tell_coming(&t, env);
	tell_hosts(&t, env);
}

void delivery_waits(struct world *w, delivery_wait_fn *add, void *arg)
{
	struct environment **all;
	size_t n = environments_in_order(w, &all);

	for (size_t i = 0; i < n; i++)
		environment_tell_waits(w, all[i], add, arg);
	free(all);
}
