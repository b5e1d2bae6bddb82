/*
 * Which meetings a schedule had, told from the rows as they are committed (or by whoever does
 * something), so that it is known what the schedules try. And what holds of promotions at every
 * commit: an end is an end, phi only grows, nothing is promoted by itself against a hold, and
 * nothing that is quarantined without a person who overrides it; where a rollback finds nothing
 * better than such a release, that is not called good.
 */
#include <string.h>

#include "controller/model/environments.h"
#include "controller/model/promotion.h"
#include "sim.h"

#define HOST(name) SLUICE__V1__ENVIRONMENT_HOST__STATE__##name

const char *meeting_name(enum meeting m)
{
	static const char *const names[MEETINGS] = {
		[MET_NEWER_WAITS] = "a newer one waits for its turn",
		[MET_WAITS_FOR_STAGING] = "one waits for its verification upstream",
		[MET_AUTO] = "the newest is promoted by itself",
		[MET_AUTO_HELD] = "a hold, and the newest waits",
		[MET_UNHELD] = "the hold is lifted, and it goes on",
		[MET_STALE] = "its champion is not live any more",
		[MET_POLICY_CHANGED] = "the policy changes during a promotion",
		[MET_RELABELLED] = "a host is relabelled during a rollout",
		[MET_DRAINED] = "a host is drained during a rollout",
		[MET_REVOKED] = "a host is revoked during a rollout",
		[MET_DISK_LOST] = "a host loses its disk during a rollout",
		[MET_SKIPPED] = "a host is skipped",
		[MET_CONVERGED] = "a skipped host converges",
		[MET_ROLLED_BACK_ROLLING] = "a person rolls back during a rollout",
		[MET_ROLLED_BACK_VERIFYING] = "a person rolls back during the verification",
		[MET_ROLLED_BACK_PAUSED] = "a person rolls back what is paused",
		[MET_ROLLED_BACK_ROLLBACK] = "a person sends a rollback elsewhere",
		[MET_FAILED_FIRST] = "the first release fails",
		[MET_DEGRADED] = "the way back fails",
		[MET_PAUSED] = "a promotion is paused",
		[MET_PAUSED_VERIFIED] = "and verified again",
		[MET_PAUSED_ACCEPTED] = "and accepted",
		[MET_VERIFY_LOST] = "a verify step is lost",
		[MET_VERIFY_CANCELLED] = "a verification is cancelled",
		[MET_RESTART_WAITING] = "the controller dies, a promotion waits",
		[MET_RESTART_ROLLING] = "the controller dies, one is rolled out",
		[MET_RESTART_VERIFYING] = "the controller dies, one is verified",
		[MET_RESTART_PAUSED] = "the controller dies, one is paused",
		[MET_RESTART_ROLLBACK] = "the controller dies, one is rolled back",
		[MET_CLOCK_JUMPED] = "the clock is set during a promotion",
		[MET_CANCEL_OFFERED] = "a run is cancelled with an offer out",
		[MET_CANCEL_RUNNING] = "a run is cancelled while it runs",
	};

	return names[m];
}

void reached(struct sim *s, enum meeting m)
{
	s->met[m]++;
}

void reached_restart(struct sim *s)
{
	static const enum meeting of_state[] = {
		[PROMOTION_STATE(WAITING)] = MET_RESTART_WAITING,
		[PROMOTION_STATE(ROLLING_OUT)] = MET_RESTART_ROLLING,
		[PROMOTION_STATE(VERIFYING)] = MET_RESTART_VERIFYING,
		[PROMOTION_STATE(PAUSED)] = MET_RESTART_PAUSED,
	};
	struct promotion *p, *next;

	HASH_ITER(by_id, s->world->promotions, p, next)
		if (p->row->state < PROMOTION_STATE(SUCCEEDED) ||
		    p->row->state == PROMOTION_STATE(PAUSED))
			reached(s, promotion_is_rollback(p) ? MET_RESTART_ROLLBACK
							    : of_state[p->row->state]);
}

/* ---- promotions ---- */

static bool is_over(int state)
{
	return state >= (int)PROMOTION_STATE(SUCCEEDED) && state != (int)PROMOTION_STATE(PAUSED);
}

/* Where nothing is good, what served serves again: the environment is degraded then. */
static bool goes_back(const Sluice__V1__Promotion *p)
{
	return p->cause == PROMOTION_CAUSE(ROLLBACK_PERSON) ||
	       p->cause == PROMOTION_CAUSE(ROLLBACK_FAILED);
}

static void made(struct sim *s, const Sluice__V1__Promotion *p)
{
	const struct environment *env = world_environment(s->world, p->environment, NULL);

	if (p->cause == PROMOTION_CAUSE(AUTO)) {
		reached(s, MET_AUTO);
		if (env->row->hold && !is_over((int)p->state))
			oracle_fail(s, "r%u is promoted to %s by itself against a hold",
				    p->release_number, p->environment);
	}
	if (!p->override && !is_over((int)p->state) && !goes_back(p) &&
	    environment_is_quarantined(env, p->release))
		oracle_fail(s, "r%u is quarantined in %s and promoted there", p->release_number,
			    p->environment);
	if (p->state == PROMOTION_STATE(WAITING))
		reached(s, env->promotion ? MET_NEWER_WAITS : MET_WAITS_FOR_STAGING);
}

static void changed(struct sim *s, int before, const Sluice__V1__Promotion *p)
{
	const struct environment *env = world_environment(s->world, p->environment, NULL);

	if (goes_back(p) && p->state == PROMOTION_STATE(SUCCEEDED) &&
	    environment_is_quarantined(env, p->release))
		oracle_fail(s, "r%u is quarantined in %s and said to be good", p->release_number,
			    p->environment);
	if (is_over(before) && before != (int)p->state)
		oracle_fail(s, "P8: promotion %u of %s was in state %d and is now in %d", p->number,
			    p->environment, before, p->state);
	if (p->state == PROMOTION_STATE(PAUSED))
		reached(s, MET_PAUSED);
	if (before == (int)PROMOTION_STATE(PAUSED) && p->state == PROMOTION_STATE(VERIFYING))
		reached(s, MET_PAUSED_VERIFIED);
	if (before == (int)PROMOTION_STATE(PAUSED) && p->state == PROMOTION_STATE(SUCCEEDED))
		reached(s, MET_PAUSED_ACCEPTED);
	if (p->state == PROMOTION_STATE(FAILED) && strstr(p->outcome, "nothing to fall back to"))
		reached(s, MET_FAILED_FIRST);
}

static void promotion_row(struct sim *s, const struct stored *before, const struct row *row)
{
	cleanup(message_freep) Sluice__V1__Promotion *p =
		message_unpack(&sluice__v1__promotion__descriptor, NULL, row->body, row->len, NULL);

	if (before)
		changed(s, before->state, p);
	else
		made(s, p);
}

/* ---- environments ---- */

static bool is_diverged(const Sluice__V1__Environment *env, const char *agent_id,
			Sluice__V1__EnvironmentHost__State state)
{
	for (size_t i = 0; i < env->n_hosts; i++)
		if (env->hosts[i]->state == state &&
		    (!agent_id || strcmp(env->hosts[i]->agent_id, agent_id) == 0))
			return true;
	return false;
}

static void environment_row(struct sim *s, const struct stored *before, const struct row *row)
{
	cleanup(message_freep) Sluice__V1__Environment *is = message_unpack(
		&sluice__v1__environment__descriptor, NULL, row->body, row->len, NULL);
	cleanup(message_freep) Sluice__V1__Environment *was =
		before ? (Sluice__V1__Environment *)stored_message(before) : NULL;

	if (is->degraded && *is->live)
		reached(s, MET_DEGRADED);
	if (is->hold && *is->waiting)
		reached(s, MET_AUTO_HELD);
	if (is_diverged(is, NULL, HOST(DIVERGED)))
		reached(s, MET_SKIPPED);
	if (!was)
		return;
	if (is->phi < was->phi)
		oracle_fail(s, "phi of %s was %llu and is %llu", is->name,
			    (unsigned long long)was->phi, (unsigned long long)is->phi);
	if (is->policy != was->policy && *is->promotion)
		reached(s, MET_POLICY_CHANGED);
	for (size_t i = 0; i < was->n_hosts; i++)
		if (was->hosts[i]->state == HOST(DIVERGED) &&
		    is_diverged(is, was->hosts[i]->agent_id, HOST(PREPARING)))
			reached(s, MET_CONVERGED);
}

static void attempt_row(struct sim *s, const struct row *row)
{
	cleanup(message_freep) Sluice__V1__Attempt *a = NULL;
	const struct run *run;

	if (row->state != (int)SLUICE__V1__ATTEMPT_STATE__ATTEMPT_LOST)
		return;
	a = message_unpack(&sluice__v1__attempt__descriptor, NULL, row->body, row->len, NULL);
	run = world_run(s->world, a->run_id, NULL);
	if (run && run->row->kind == SLUICE__V1__RUN__KIND__VERIFY)
		reached(s, MET_VERIFY_LOST);
}

void reached_row(struct sim *s, const struct stored *before, const struct row *row)
{
	if (row->gone)
		return;
	if (row->kind == ROW_PROMOTION)
		promotion_row(s, before, row);
	else if (row->kind == ROW_ENVIRONMENT)
		environment_row(s, before, row);
	else if (row->kind == ROW_ATTEMPT)
		attempt_row(s, row);
}
