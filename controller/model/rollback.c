/*
 * The way back: by a failure, or by a person. A rollback is a promotion of an older
 * release under the next phi, so that no order of the one it takes back can still
 * have effect. The release to blame is quarantined here and in every environment
 * after this one; a hold keeps `auto` from trying again. When a rollback itself
 * fails, the environment is degraded: there is no rollback of a rollback.
 */
#include <stdarg.h>
#include <string.h>

#include "controller/model/environments.h"
#include "controller/model/gates.h"
#include "controller/model/hosts.h"
#include "controller/model/promotion_private.h"
#include "controller/model/releases.h"
#include "controller/model/rollout.h"
#include "controller/model/runs.h"
#include "proto/message.h"

void promotion_degrade(struct world *w, struct environment *env, const char *fmt, ...)
{
	cleanup(freep) char *text = NULL;
	Sluice__V1__Event *e;
	va_list args;

	va_start(args, fmt);
	text = xvprintf(fmt, args);
	va_end(args);
	env->row->degraded = true;
	message_set_string(&env->row->degraded_reason, text);
	world_touch(w, &env->entity);
	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_ENVIRONMENT_DEGRADED, NULL,
			"'%s' is degraded, a person is needed: %s", env->row->name, text);
	event_of_environment(e, env);
}

/* ---- quarantine ---- */

/* The newest reason counts. */
static void keep_reason(struct world *w, struct release *r, const struct environment *env,
			const Sluice__V1__Quarantine *why)
{
	Sluice__V1__Quarantine *q = release_quarantine_of(r, env->row->name);

	if (!q) {
		q = message_new(&sluice__v1__quarantine__descriptor);
		message_set_string(&q->environment, env->row->name);
		message_append(r->row, quarantines, q);
	}
	message_set_string(&q->reason, why->reason);
	message_set_string(&q->actor, why->actor);
	message_set_string(&q->origin, why->origin);
	q->since_ms = w->now.wall_ms;
}

static void quarantine_in(struct world *w, struct environment *env, struct release *r,
			  const Sluice__V1__Quarantine *why)
{
	if (!environment_is_quarantined(env, r->row->id)) {
		if (env->row->n_quarantined >= ENVIRONMENT_QUARANTINED) {
			free(env->row->quarantined[0]);
			env->row->n_quarantined--;
			memmove(env->row->quarantined, env->row->quarantined + 1,
				env->row->n_quarantined * sizeof(*env->row->quarantined));
		}
		message_append(env->row, quarantined, xstrdup(r->row->id));
	}
	if (!release_is_quarantined(r, env->row->name))
		message_append(r->row, quarantined, xstrdup(env->row->name));
	keep_reason(w, r, env, why);
	if (!strcmp(env->row->waiting, r->row->id))
		message_set_string(&env->row->waiting, "");
	environment_find_previous(w, env);
	world_touch(w, &env->entity);
	world_touch(w, &r->entity);
}

static void forget(char **list, size_t *n, const char *text)
{
	size_t kept = 0;

	for (size_t i = 0; i < *n; i++) {
		if (!strcmp(list[i], text))
			free(list[i]);
		else
			list[kept++] = list[i];
	}
	*n = kept;
}

static void forget_reason(Sluice__V1__Release *row, const char *environment)
{
	size_t kept = 0;

	for (size_t i = 0; i < row->n_quarantines; i++) {
		if (!strcmp(row->quarantines[i]->environment, environment))
			message_free(row->quarantines[i]);
		else
			row->quarantines[kept++] = row->quarantines[i];
	}
	row->n_quarantines = kept;
}

bool release_absolve(struct world *w, struct environment *env, struct release *r)
{
	if (!environment_is_quarantined(env, r->row->id) &&
	    !release_is_quarantined(r, env->row->name))
		return false;
	forget(env->row->quarantined, &env->row->n_quarantined, r->row->id);
	forget(r->row->quarantined, &r->row->n_quarantined, env->row->name);
	forget_reason(r->row, env->row->name);
	world_touch(w, &env->entity);
	world_touch(w, &r->entity);
	return true;
}

void release_quarantine(struct world *w, const struct environment *env, struct release *r,
			const Sluice__V1__Actor *actor, const char *why)
{
	Sluice__V1__Quarantine reason = SLUICE__V1__QUARANTINE__INIT;
	struct environment **all;
	size_t n = environments_in_order(w, &all);
	char name[RELEASE_NAME];
	Sluice__V1__Event *e;

	reason.reason = (char *)why;
	reason.origin = env->row->name;
	if (actor)
		reason.actor = actor->name;
	for (size_t i = 0; i < n; i++)
		if (environment_is_downstream(w, all[i], env))
			quarantine_in(w, all[i], r, &reason);
	free(all);
	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_RELEASE_QUARANTINED, actor,
			"%s is quarantined in '%s' and what comes after it: %s",
			release_name(r, name), env->row->name, why);
	event_of_environment(e, env);
	message_set_string(&e->release_id, r->row->id);
}

/* ---- where to ---- */

static struct release *good(struct world *w, const struct environment *env, const char *id,
			    const struct release *bad)
{
	struct release *r =
		id[0] && !environment_is_quarantined(env, id) ? world_release(w, id, NULL) : NULL;

	return r && r != bad && release_present(w, r, NULL) == 0 ? r : NULL;
}

/* What was verified here last and is still good; without one, at least what serves now. */
struct release *rollback_target(struct world *w, const struct environment *env,
				const struct release *bad)
{
	struct release *r = good(w, env, env->row->last_good, bad);

	for (size_t i = env->row->n_verified; !r && i > 0; i--)
		r = good(w, env, env->row->verified[i - 1]->release, bad);
	if (!r && env->row->live[0]) {
		r = world_release(w, env->row->live, NULL);
		r = r == bad ? NULL : r;
	}
	return r;
}

char *rolled_back_text(const char *why)
{
	return xprintf("rolled back%s%s", why[0] ? ": " : "", why);
}

struct promotion *rollback_begin(struct world *w, struct environment *env, struct release *target,
				 struct promotion *failed, const Sluice__V1__Actor *actor,
				 const char *reason)
{
	struct promotion *q = promotion_create(
		w, env, target,
		actor ? PROMOTION_CAUSE(ROLLBACK_PERSON) : PROMOTION_CAUSE(ROLLBACK_FAILED), actor);
	cleanup(freep) char *held = actor ? rolled_back_text(reason) : xstrdup(reason);
	char name[RELEASE_NAME];

	message_set_string(&q->row->reason, reason);
	environment_set_hold(w, env, actor, held);
	promotion_requested(w, q);
	if (failed) {
		promotion_set_from(w, q, failed->release);
		message_set_string(&q->row->rolls_back, failed->row->id);
		message_set_string(&failed->row->rolled_back_by, q->row->id);
		promotion_end(w, failed, PROMOTION_STATE(ROLLED_BACK), "%s%s%s%s; back to %s",
			      actor ? "by " : "", actor ? actor->name : "",
			      actor && reason[0] ? ": " : "", reason, release_name(target, name));
	}
	rollout_begin(w, q);
	if (failed && failed->verify)
		run_cancel(w, failed->verify, NULL, "the promotion is rolled back");
	return q;
}

/* ---- by a failure ---- */

/* Was any host ordered to run it? */
static bool changed_hosts(const struct promotion *p)
{
	for (size_t i = 0; i < p->row->n_plan; i++) {
		const Sluice__V1__EnvironmentHost *host =
			environment_host(p->environment, p->row->plan[i]);

		if (host && (host->unsure || (host->state == HOST_STATE(NEW) &&
					      !strcmp(host->release, p->row->release))))
			return p->row->batch > 0;
	}
	return false;
}

/* The first release of an environment: before it there was nothing, so nothing is what it ends
 * with. */
static void back_to_nothing(struct world *w, struct promotion *p, const char *reason)
{
	struct environment *env = p->environment;

	environment_set_release(w, &env->row->live, "");
	environment_set_release(w, &env->row->last_good, "");
	env->row->live_since_ms = 0;
	rollout_next_phi(w, env);
	environment_set_hold(w, env, NULL, reason);
	promotion_degrade(w, env, "%s, and there is nothing to fall back to", reason);
	promotion_end(w, p, PROMOTION_STATE(FAILED),
		      "%s; there is nothing to fall back to, its hosts "
		      "are stopped",
		      reason);
	rollout_end(w, env);
}

/* Where its hosts belong is decided all the same: those that come back are brought there. */
static void rollback_failed(struct world *w, struct promotion *p, const char *reason)
{
	struct environment *env = p->environment;

	environment_set_release(w, &env->row->live, p->row->release);
	env->row->live_since_ms = w->now.wall_ms;
	promotion_degrade(w, env, "the rollback failed: %s", reason);
	promotion_end(w, p, PROMOTION_STATE(FAILED), "%s", reason);
	rollout_end(w, env);
}

void promotion_failed(struct world *w, struct promotion *p, bool quarantine, const char *fmt, ...)
{
	struct environment *env = p->environment;
	cleanup(freep) char *reason = NULL;
	struct release *target;
	va_list args;

	va_start(args, fmt);
	reason = xvprintf(fmt, args);
	va_end(args);
	if (promotion_is_rollback(p)) {
		rollback_failed(w, p, reason);
		return;
	}
	if (p->row->state == PROMOTION_STATE(ROLLING_OUT) &&
	    (p->from == p->release || !changed_hosts(p))) {
		promotion_end(w, p, PROMOTION_STATE(FAILED), "%s; %s", reason,
			      p->from == p->release ? "the other hosts run it as before"
						    : "no host was changed");
		rollout_end(w, env);
		return;
	}
	if (quarantine)
		release_quarantine(w, env, p->release, NULL, reason);
	target = rollback_target(w, env, p->release);
	if (target)
		rollback_begin(w, env, target, p, NULL, reason);
	else
		back_to_nothing(w, p, reason);
}

void promotion_give_up(struct world *w, struct promotion *p)
{
	cleanup(freep) char *why = xstrdup(p->row->outcome);
	char took[CLOCK_TEXT];

	promotion_failed(w, p, true, "nobody decided for %s: %s",
			 duration_format(PROMOTION_GIVE_UP_MS, took), why);
}

/* ---- its verification ---- */

/* A step that ran and said no is a FAIL; one that could not run is an ERROR. */
static Sluice__V1__VerdictState step_verdict(struct world *w, const struct job *job)
{
	cleanup(message_freep) ProtobufCMessage *verdict = NULL;

	switch (job->row->state) {
	case SLUICE__V1__JOB_STATE__JOB_SUCCEEDED:
		return SLUICE__V1__VERDICT_STATE__PASS;
	case SLUICE__V1__JOB_STATE__JOB_FAILED:
		break;
	case SLUICE__V1__JOB_STATE__JOB_SKIPPED:
		return SLUICE__V1__VERDICT_STATE__VERDICT_SKIPPED;
	default:
		return SLUICE__V1__VERDICT_STATE__ABORTED;
	}
	switch (job->row->exit ? job->row->exit->reason : 0) {
	case SLUICE__V1__EXIT_REASON__EXIT_GATE_FAILED:
		if (world_fetch(w, ROW_VERDICT, job->row->verdict, &verdict, NULL) != 1)
			return SLUICE__V1__VERDICT_STATE__ERROR;
		return ((const Sluice__V1__Verdict *)verdict)->state;
	case SLUICE__V1__EXIT_REASON__EXIT_CODE:
	case SLUICE__V1__EXIT_REASON__EXIT_SIGNAL:
	case SLUICE__V1__EXIT_REASON__EXIT_TIMEOUT:
	case SLUICE__V1__EXIT_REASON__EXIT_OUTPUT_MISSING:
		return SLUICE__V1__VERDICT_STATE__FAIL;
	default:
		return SLUICE__V1__VERDICT_STATE__ERROR;
	}
}

static int weight(Sluice__V1__VerdictState state)
{
	switch (state) {
	case SLUICE__V1__VERDICT_STATE__FAIL:
		return 4;
	case SLUICE__V1__VERDICT_STATE__ABORTED:
		return 3;
	case SLUICE__V1__VERDICT_STATE__ERROR:
		return 2;
	case SLUICE__V1__VERDICT_STATE__INCONCLUSIVE:
		return 1;
	default:
		return 0;
	}
}

static void pause_promotion(struct world *w, struct promotion *p, const char *reason)
{
	char took[CLOCK_TEXT];

	p->row->state = PROMOTION_STATE(PAUSED);
	p->row->paused_ms = world_steady_ms(w);
	message_set_string(&p->row->outcome, reason);
	world_touch(w, &p->entity);
	event_of_promotion(
		world_event(w, SLUICE__V1__EVENT_KIND__EVENT_PROMOTION_VERIFYING, NULL,
			    "r%u -> %s is paused: %s; promote it again or roll back within "
			    "%s",
			    p->row->release_number, p->row->environment, reason,
			    duration_format(PROMOTION_GIVE_UP_MS, took)),
		p);
}

void promotion_verified(struct world *w, struct promotion *p, struct run *run)
{
	Sluice__V1__VerdictState worst = SLUICE__V1__VERDICT_STATE__PASS;
	cleanup(freep) char *reason = NULL;

	if (p->verify != run || p->row->state != PROMOTION_STATE(VERIFYING))
		return;
	p->verify = NULL;
	run->promotion = NULL;
	if (run->row->state == SLUICE__V1__RUN_STATE__RUN_CANCELLED) {
		worst = SLUICE__V1__VERDICT_STATE__ABORTED;
		reason = xprintf("run %u was cancelled", run->row->number);
	}
	for (size_t i = 0; i < run->n_jobs; i++) {
		const struct job *job = run->jobs[i];
		Sluice__V1__VerdictState state = step_verdict(w, job);

		if (job->row->verdict[0])
			message_append(p->row, verdicts, xstrdup(job->row->verdict));
		if (weight(state) <= weight(worst))
			continue;
		worst = state;
		free(reason);
		reason =
			xprintf("verify step '%s': %s", job->row->spec->name,
				job->row->reason[0] ? job->row->reason : verdict_state_name(state));
	}
	world_touch(w, &p->entity);
	if (worst == SLUICE__V1__VERDICT_STATE__PASS)
		promotion_succeeded(w, p);
	else if (worst == SLUICE__V1__VERDICT_STATE__FAIL)
		promotion_failed(w, p, true, "%s", reason);
	else
		pause_promotion(w, p, reason);
}
