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

static const struct environment *production(struct sim *s)
{
	return s->environment && s->world ? world_environment(s->world, "production", NULL) : NULL;
}

bool oracle_all_is_over(struct sim *s)
{
	const struct environment *env = production(s);

	if (!s->world || HASH_CNT(by_id, s->world->runs_by_id) ||
	    HASH_CNT(by_fence, s->world->attempts))
		return false;
	for (int i = 0; i < s->n_hosts; i++) {
		const struct host *h = &s->hosts[i];

		if (!host_is_quiet(h))
			return false;
		if (env && h->delivers && *env->row->live && !env->row->degraded &&
		    (strcmp(h->service.live, env->row->live) != 0 || !h->service.healthy))
			return false;
	}
	return !env || !env->promotion ||
	       env->promotion->row->state == SLUICE__V1__PROMOTION__STATE__PAUSED;
}

static void describe_rest(struct sim *s)
{
	const struct environment *env = production(s);
	struct run *run, *next;

	HASH_ITER(by_id, s->world->runs_by_id, run, next)
		for (size_t i = 0; i < run->n_jobs; i++)
			oracle_fail(s, "run %u never ends: job %s is in state %d, fence %" PRIu64,
				    run->row->number, run->jobs[i]->row->spec->name,
				    run->jobs[i]->row->state, run->jobs[i]->row->fence);
	for (int i = 0; i < s->n_hosts; i++) {
		if (!host_is_quiet(&s->hosts[i]))
			oracle_fail(s, "%s never comes to rest", s->hosts[i].name);
		if (env && s->hosts[i].delivers &&
		    (strcmp(s->hosts[i].service.live, env->row->live) != 0 ||
		     !s->hosts[i].service.healthy))
			oracle_fail(s,
				    "P6: %s runs '%s' (healthy %d), the environment says '%s', %s",
				    s->hosts[i].name, s->hosts[i].service.live,
				    s->hosts[i].service.healthy, env->row->live,
				    env->promotion ? "and a promotion is under way" : "at rest");
	}
	if (env && env->promotion)
		oracle_fail(s, "promotion %u never ends, it is in state %d",
			    env->promotion->row->number, env->promotion->row->state);
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
