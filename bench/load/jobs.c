/*
 * Goals of small jobs: how many a second, how long one takes, how many can be submitted, and
 * whether a long queue slows anything.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "load/client.h"
#include "load/goals.h"
#include "load/house.h"
#include "load/measure.h"

enum { SLOTS = 8, JOBS = 2000, QUICK_JOBS = 500, QUEUED = 10000, CLIENTS = 64, PRIORITY = 10 };

static unsigned jobs(void)
{
	return quick ? QUICK_JOBS : JOBS;
}

/* ---- 1 ---- */

/* All are queued before the agent may take the first. Jobs a second, from then until the last
 * result was durable. */
static double rate_of(struct house *h, unsigned behind)
{
	unsigned n, waiting;
	int64_t began, ended;

	client_drain(h->users, "worker", true);
	n = client_submit_many(h->users, jobs(), "true", PRIORITY);
	waiting = behind ? client_submit_many(h->users, behind, "true", 0) : 0;
	pause_s(0.2);
	began = clock_wall_ms();
	client_drain(h->users, "worker", false);
	client_wait_open(h->users, waiting);
	client_drain(h->users, "worker", true);
	if (waiting)
		client_cancel_all(h->users);
	ended = client_last_end(h->users, n, PRIORITY);
	client_drain(h->users, "worker", false);
	return jobs() / ((double)(ended - began) / 1e3);
}

static double spawn_floor(void)
{
	cleanup(freep) char *count = xprintf("%u", jobs());
	double floor[2];

	floor_now(floor, "spawn", count, "8", NULL);
	return floor[0];
}

static void say_cpu(const char *name, struct series *ms)
{
	struct figure f = { "1", name, "ms/job", series_median(ms), 0, NO_BOUND, 0 };

	figure_say(&f);
	series_release(ms);
}

void goal_throughput(void)
{
	struct house *h = house_open(SLOTS);
	struct series rates = { 0 }, floors = { 0 }, controller = { 0 }, agent = { 0 };

	rate_of(h, 0); /* shims are started, pages are there */
	for (unsigned i = 0; i < rounds(); i++) {
		double c = usage_of(h->controller.pid).cpu_s, a = usage_of(h->agent.pid).cpu_s;

		series_add(&floors, spawn_floor());
		series_add(&rates, rate_of(h, 0));
		c = usage_of(h->controller.pid).cpu_s - c;
		a = usage_of(h->agent.pid).cpu_s - a;
		series_add(&controller, 1e3 * c / jobs());
		series_add(&agent, 1e3 * a / jobs());
	}
	figure_rounds((struct figure){ "1", "noop_jobs", "jobs/s", 0, 0, AT_LEAST, 0.4 }, &rates,
		      &floors);
	say_cpu("controller_cpu", &controller);
	say_cpu("agent_cpu", &agent);
	house_close(h);
}

/* ---- 3 ---- */

static struct rpc_call *events_open(struct rpc_channel *ch)
{
	Sluice__V1__WatchEventsRequest request = SLUICE__V1__WATCH_EVENTS_REQUEST__INIT;
	struct error err = { 0 };
	struct rpc_call *call = rpc_open(ch, &sluice__v1__events__descriptor, "Watch", &err);

	request.from_now = true;
	request.follow = true;
	if (!call || rpc_send(call, &request, &err) < 0 || rpc_done_sending(call, &err) < 0)
		die(&err, "watching events");
	return call;
}

static void await_end(struct rpc_call *events, const char *run)
{
	const Sluice__V1__EventBatch *batch;
	struct error err = { 0 };

	while (rpc_recv(events, &batch, &err) > 0)
		for (size_t i = 0; i < batch->n_events; i++)
			if (batch->events[i]->kind == SLUICE__V1__EVENT_KIND__EVENT_RUN_FINISHED &&
			    strcmp(batch->events[i]->run_id, run) == 0)
				return;
	die(&err, "the feed of events ended");
}

/* From before Submit until the event that the run has ended, which follows the commit. */
void goal_latency(void)
{
	struct house *h = house_open(SLOTS);
	struct rpc_call *events = events_open(h->users);
	cleanup(buf_release) struct buf file = { 0 };
	struct series p50 = { 0 }, p99 = { 0 }, floor50 = { 0 }, floor99 = { 0 };
	unsigned samples = quick ? 20 : 200;

	client_pipeline(&file, 1, "true");
	pause_s(0.3);
	for (unsigned round = 0; round <= rounds(); round++) {
		struct series ms = { 0 };
		double floor[2];

		floor_now(floor, "path", h->dir, quick ? "50" : "300", NULL);
		for (unsigned i = 0; i < samples; i++) {
			double began = clock_s();
			struct id run = client_submit(h->users, buf_str(&file), 0);

			await_end(events, run.text);
			series_add(&ms, 1e3 * (clock_s() - began));
			pause_s(0.005);
		}
		if (round) { /* the first warms */
			series_add(&p50, series_part(&ms, 0.5));
			series_add(&p99, series_part(&ms, 0.99));
			series_add(&floor50, floor[0]);
			series_add(&floor99, floor[1]);
		}
		series_release(&ms);
	}
	figure_rounds((struct figure){ "3", "noop_job_p50", "ms", 0, 0, AT_MOST, 4 }, &p50,
		      &floor50);
	figure_rounds((struct figure){ "3", "noop_job_p99", "ms", 0, 0, AT_MOST, 6 }, &p99,
		      &floor99);
	rpc_close(events);
	house_close(h);
}

/* ---- 4 ---- */

struct submitting {
	const struct house *house;
	const char *file;
	double until;
	unsigned done;
};

static void *submit_until(void *arg)
{
	struct submitting *s = arg;
	struct rpc_channel *ch = house_dial(s->house);

	for (; clock_s() < s->until; s->done++)
		client_submit(ch, s->file, 0);
	rpc_hangup(ch);
	return NULL;
}

static double submit_rate(const struct house *h, unsigned clients)
{
	static struct submitting s[CLIENTS];
	pthread_t threads[CLIENTS];
	cleanup(buf_release) struct buf file = { 0 };
	double seconds = quick ? 0.5 : 2, began;
	unsigned done = 0;

	client_pipeline(&file, 1, "true");
	began = clock_s();
	for (unsigned i = 0; i < clients; i++) {
		s[i] = (struct submitting){ h, buf_str(&file), began + seconds, 0 };
		threads[i] = thread_start("submit", 0, submit_until, &s[i]);
	}
	for (unsigned i = 0; i < clients; i++) {
		thread_join(threads[i]);
		done += s[i].done;
	}
	return done / (clock_s() - began);
}

void goal_submissions(void)
{
	static const unsigned clients[] = { 1, CLIENTS };
	static const char *const names[] = { "submissions_1", "submissions_64" };
	static const double limits[] = { 0.2, 1 };

	for (size_t k = 0; k < 2; k++) {
		struct series rates = { 0 }, floors = { 0 };
		struct figure f = { "4", names[k], "runs/s", 0, 0, AT_LEAST, limits[k] };

		for (unsigned i = 0; i < rounds(); i++) {
			struct house *h = house_open(0);
			double floor[2];

			floor_now(floor, "commits", h->dir, quick ? "0.3" : "1", NULL);
			series_add(&floors, floor[0]);
			series_add(&rates, submit_rate(h, clients[k]));
			house_close(h);
		}
		figure_rounds(f, &rates, &floors);
	}
}

/* ---- 5 ---- */

/* The same jobs with nothing behind them are the floor. */
void goal_queued(void)
{
	struct house *h = house_open(SLOTS);
	struct series full = { 0 }, empty = { 0 };

	rate_of(h, 0);
	for (unsigned i = 0; i < rounds(); i++) {
		series_add(&empty, rate_of(h, 0));
		series_add(&full, rate_of(h, quick ? QUEUED / 10 : QUEUED));
	}
	figure_rounds(
		(struct figure){ "5", "noop_jobs_10000_queued", "jobs/s", 0, 0, AT_LEAST, 0.8 },
		&full, &empty);
	house_close(h);
}
