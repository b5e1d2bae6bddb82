/*
 * The promises. The ledger is what really happened on the hosts, which neither side of the protocol
 * sees.
 *
 * P2 an attempt is started at most once. P3 two attempts of a job never run at the same time; more
 * strictly: whatever is said to be over is over at the host before that is committed, and what is
 * withdrawn never starts. P8 a terminal state never changes. At the end every run has ended,
 * nothing runs, and P6 every host of the environment serves what the controller decided.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "controller/model/environments.h"
#include "sim.h"

#define ATTEMPT(name) SLUICE__V1__ATTEMPT_STATE__ATTEMPT_##name
#define JOB(name)     SLUICE__V1__JOB_STATE__JOB_##name

void sim_say(struct sim *s, const char *fmt, ...)
{
	va_list args;

	printf("%9.3f  ", (double)s->t / 1000);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
}

void oracle_fail(struct sim *s, const char *fmt, ...)
{
	va_list args;

	if (s->failed)
		return;
	s->failed = true;
	va_start(args, fmt);
	vsnprintf(s->verdict, sizeof s->verdict, fmt, args);
	va_end(args);
	sim_trace(s, "BROKEN: %s", s->verdict);
}

struct ledger_entry *ledger(struct sim *s, uint64_t fence)
{
	struct ledger_entry *l;

	HASH_FIND(hh, s->ledger, &fence, sizeof fence, l);
	if (!l) {
		l = xcalloc(1, sizeof *l);
		l->fence = fence;
		HASH_ADD(hh, s->ledger, fence, sizeof l->fence, l);
	}
	return l;
}

static const struct stored *attempt_row(struct sim *s, uint64_t fence)
{
	char id[24];

	snprintf(id, sizeof id, "%" PRIu64, fence);
	return rows_of(s, ROW_ATTEMPT, id);
}

void oracle_start(struct sim *s, struct host *h, struct held *held)
{
	struct ledger_entry *l = ledger(s, held->fence), *other, *next;
	const struct stored *row = attempt_row(s, held->fence);

	s->starts++;
	sim_trace(s, "%s: the process of %" PRIu64 " starts", h->name, held->fence);
	if (++l->starts > 1)
		oracle_fail(s, "P2: attempt %" PRIu64 " was started twice", held->fence);
	if (!row || (row->state != ATTEMPT(RUNNING) && row->state != ATTEMPT(CANCELLING)))
		oracle_fail(s, "attempt %" PRIu64 " starts in state %d", held->fence,
			    row ? row->state : -1);
	for (other = s->ledger; other; other = next) {
		next = other->hh.next;
		if (other != l && other->running && strcmp(other->job_id, held->job_id) == 0)
			oracle_fail(s,
				    "P3: attempts %" PRIu64 " and %" PRIu64 " of a job run at once",
				    other->fence, held->fence);
	}
	l->running = true;
}

void oracle_end(struct sim *s, uint64_t fence, Sluice__V1__ExitReason reason)
{
	struct ledger_entry *l = ledger(s, fence);

	l->running = false;
	l->reason = reason;
	l->log_end = sim_random(s) % 100000;
}

static void check_attempt(struct sim *s, const struct stored *before, const struct row *row)
{
	cleanup(message_freep) Sluice__V1__Attempt *a =
		message_unpack(&sluice__v1__attempt__descriptor, NULL, row->body, row->len, NULL);
	struct ledger_entry *l = ledger(s, a->fence);

	if (before && before->state >= (int)ATTEMPT(SUCCEEDED) && before->state != row->state)
		oracle_fail(s, "P8: attempt %" PRIu64 " was in state %d and is now in %d", a->fence,
			    before->state, row->state);
	if (!before && a->state != ATTEMPT(OFFERED) && a->state != ATTEMPT(WITHDRAWN))
		oracle_fail(s, "attempt %" PRIu64 " begins in state %d", a->fence, a->state);
	if (a->state < ATTEMPT(SUCCEEDED))
		return;
	s->losses += a->state == ATTEMPT(LOST) && (!before || before->state != (int)a->state);
	if (l->running)
		oracle_fail(s, "P3: attempt %" PRIu64 " is said to be over (%d) and still runs",
			    a->fence, a->state);
	if (a->state == ATTEMPT(WITHDRAWN) && l->starts)
		oracle_fail(s, "attempt %" PRIu64 " was withdrawn after it had started", a->fence);
	if (a->state == ATTEMPT(SUCCEEDED) &&
	    (!l->starts || l->reason != SLUICE__V1__EXIT_REASON__EXIT_OK))
		oracle_fail(s, "attempt %" PRIu64 " succeeded but its process did not", a->fence);
	if (a->state == ATTEMPT(SUCCEEDED) && l->log_durable < l->log_end)
		oracle_fail(s, "attempt %" PRIu64 " succeeded before its log was durable",
			    a->fence);
}

static void check_job(struct sim *s, const struct stored *before, const struct row *row)
{
	cleanup(message_freep) Sluice__V1__Job *job =
		message_unpack(&sluice__v1__job__descriptor, NULL, row->body, row->len, NULL);

	if (before && before->state >= (int)JOB(SUCCEEDED) && before->state != row->state)
		oracle_fail(s, "P8: job %s was in state %d and is now in %d", job->id,
			    before->state, row->state);
	if (job->state == JOB(SUCCEEDED) &&
	    ledger(s, job->fence)->reason != SLUICE__V1__EXIT_REASON__EXIT_OK)
		oracle_fail(s, "job %s succeeded by attempt %" PRIu64 ", which did not", job->id,
			    job->fence);
}

void oracle_row(struct sim *s, const struct stored *before, const struct row *row)
{
	if (before && !before->version)
		before = NULL;
	reached_row(s, before, row);
	if (row->gone)
		return;
	if (row->kind == ROW_ATTEMPT)
		check_attempt(s, before, row);
	else if (row->kind == ROW_JOB)
		check_job(s, before, row);
	else if (row->kind == ROW_RUN && before && !before->open && before->state != row->state)
		oracle_fail(s, "P8: run %s was in state %d and is now in %d", row->id,
			    before->state, row->state);
}

/* ---- the end ---- */

static bool is_revoked(struct sim *s, const struct host *h)
{
	const struct agent *agent = world_agent_by_id(s->world, h->id);

	return agent && agent->row->state == SLUICE__V1__AGENT__STATE__REVOKED;
}

/* P6. Who is no host has nothing; a degraded environment is a person's. NULL: all is right. */
static const char *wrong_at(struct sim *s, const struct host *h, const struct service *v)
{
	const struct environment *env = world_environment(s->world, v->environment, NULL);
	const Sluice__V1__EnvironmentHost *row = env ? environment_host(env, h->id) : NULL;

	if (row && env->row->degraded && *env->row->live)
		return NULL;
	if (!row)
		return *v->live ? "is no host and runs something still" : NULL;
	if (environment_host_leaves(s->world, env, row))
		return "does not leave";
	if (!*env->row->live)
		return v->healthy ? "serves what was taken back" : NULL;
	if (strcmp(v->live, env->row->live) != 0)
		return "does not run what is live";
	return v->healthy ? NULL : "does not serve";
}

static const char *wrong_host(struct sim *s, const struct host *h, const char **ret_environment)
{
	const char *wrong = NULL;

	for (int i = 0; !wrong && i < STAGES; i++) {
		*ret_environment = h->services[i].environment;
		wrong = wrong_at(s, h, &h->services[i]);
	}
	return wrong;
}

static bool promotions_are_over(struct sim *s)
{
	struct environment *env, *next;

	HASH_ITER(by_name, s->world->environments, env, next)
		if (env->promotion &&
		    env->promotion->row->state != SLUICE__V1__PROMOTION__STATE__PAUSED)
			return false;
	return true;
}

bool oracle_all_is_over(struct sim *s)
{
	const char *environment;

	if (!s->world || HASH_CNT(by_id, s->world->runs_by_id) ||
	    HASH_CNT(by_fence, s->world->attempts) || !promotions_are_over(s))
		return false;
	for (int i = 0; i < s->n_hosts; i++) {
		const struct host *h = &s->hosts[i];

		if (!is_revoked(s, h) && (!host_is_quiet(h) || wrong_host(s, h, &environment)))
			return false;
	}
	return true;
}

static void describe_host(struct sim *s, const struct host *h)
{
	const char *environment, *wrong = wrong_host(s, h, &environment);

	if (!host_is_quiet(h))
		oracle_fail(s, "%s never comes to rest", h->name);
	if (wrong)
		oracle_fail(s, "P6: %s %s: %s", environment, h->name, wrong);
}

static void describe_rest(struct sim *s)
{
	struct environment *env, *next_env;
	struct run *run, *next;

	HASH_ITER(by_id, s->world->runs_by_id, run, next)
		for (size_t i = 0; i < run->n_jobs; i++)
			oracle_fail(s, "run %u never ends: job %s is in state %d, fence %" PRIu64,
				    run->row->number, run->jobs[i]->row->spec->name,
				    run->jobs[i]->row->state, run->jobs[i]->row->fence);
	HASH_ITER(by_name, s->world->environments, env, next_env)
		if (env->promotion)
			oracle_fail(s, "promotion %u of %s never ends, it is in state %d",
				    env->promotion->row->number, env->row->name,
				    env->promotion->row->state);
	for (int i = 0; i < s->n_hosts; i++)
		if (!is_revoked(s, &s->hosts[i]))
			describe_host(s, &s->hosts[i]);
	oracle_fail(s, "something is left");
}

void oracle_end_of_time(struct sim *s)
{
	if (s->failed || oracle_all_is_over(s))
		return;
	if (!s->world)
		oracle_fail(s, "the controller did not come back");
	else
		describe_rest(s);
}
