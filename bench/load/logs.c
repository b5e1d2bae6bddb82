/*
 * Goals of logs: how fast they are stored, what being watched costs the job, and how soon a line is
 * seen. The job is bench_print, which takes its own times and stamps its lines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "load/client.h"
#include "load/goals.h"
#include "load/house.h"
#include "load/measure.h"

enum { LINES = 1000000, QUICK_LINES = 100000, LINE = 100 };

static unsigned lines(void)
{
	return quick ? QUICK_LINES : LINES;
}

/* A run of one job that is `bench_print ARGS`. */
static struct id print_job(struct house *h, const char *args)
{
	cleanup(buf_release) struct buf file = { 0 };
	cleanup(freep) char *command = xprintf("%s %s", getenv("BENCH_PRINT"), args);

	client_pipeline(&file, 1, command);
	return client_submit(h->users, buf_str(&file), 0);
}

/* ---- 6 ---- */

static void log_rate(struct house *h, const char *name, const char *size, double limit)
{
	struct series rates = { 0 }, floors = { 0 };
	cleanup(freep) char *count = xprintf("%u", lines());
	cleanup(freep) char *args = xprintf("lines %u %s", lines(), size);

	for (unsigned i = 0; i <= rounds(); i++) {
		double floor[2], began;
		struct id run;

		floor_now(floor, "log", h->dir, count, size, NULL);
		began = clock_s();
		run = print_job(h, args);
		client_watch(h->users, run.text);
		if (i) { /* the first warms */
			series_add(&rates, lines() / (clock_s() - began));
			series_add(&floors, floor[0]);
		}
	}
	figure_rounds((struct figure){ "6", name, "lines/s", 0, 0, AT_LEAST, limit }, &rates,
		      &floors);
}

void goal_log_rate(void)
{
	struct house *h = house_open(2);

	log_rate(h, "log_64KiB_writes", "64000", 0.25);
	log_rate(h, "log_line_by_line", "100", 0.6);
	house_close(h);
}

/* ---- 7 ---- */

static uint64_t read_all(struct rpc_call *call)
{
	const Sluice__V1__LogChunk *chunk;
	struct error err = { 0 };
	uint64_t bytes = 0;
	int r;

	while ((r = rpc_recv(call, &chunk, &err)) > 0)
		bytes += chunk->data.len;
	if (r < 0)
		die(&err, "following a log");
	return bytes;
}

/* The seconds that bench_print took, by its own clock. */
static double took(const char *path)
{
	cleanup(buf_release) struct buf text = { 0 };
	struct error err = { 0 };

	if (file_read(path, 64, &text, &err) < 0)
		die(&err, "the job's time");
	unlink(path);
	return strtod(buf_str(&text), NULL);
}

void goal_printing(void)
{
	struct house *h = house_open(2);
	struct series watched = { 0 }, alone = { 0 };
	cleanup(freep) char *time_file = path_join(h->dir, "took");
	cleanup(freep) char *args = xprintf("lines %u 100 %s", lines(), time_file);
	cleanup(freep) char *into_file = xprintf("%s > out", args);

	for (unsigned i = 0; i < rounds(); i++) {
		struct id run = print_job(h, into_file);
		struct rpc_call *call;
		uint64_t bytes;

		client_watch(h->users, run.text);
		series_add(&alone, took(time_file));
		run = print_job(h, args);
		call = client_follow(h->users, run.text, "a");
		bytes = read_all(call);
		rpc_close(call);
		client_watch(h->users, run.text);
		if (bytes != (uint64_t)lines() * LINE)
			die(NULL, "followed %llu bytes of a log", (unsigned long long)bytes);
		series_add(&watched, took(time_file));
	}
	figure_rounds((struct figure){ "7", "printing_while_watched", "s", 0, 0, AT_MOST, 2 },
		      &watched, &alone);
	house_close(h);
}

/* ---- 8 ---- */

/* A line begins with the moment it was printed, in microseconds of the clock that we read, too. */
static double age_ms(const uint8_t *line, double now)
{
	char text[17];

	memcpy(text, line, 16);
	text[16] = '\0';
	return 1e3 * (now - strtod(text, NULL) / 1e6);
}

/* all: of every line; else of the first whole line of each chunk, which waited longest. */
static void ages(struct house *h, const char *args, bool all, struct series *ret)
{
	struct id run = print_job(h, args);
	struct rpc_call *call = client_follow(h->users, run.text, "a");
	const Sluice__V1__LogChunk *chunk;
	struct error err = { 0 };

	while (rpc_recv(call, &chunk, &err) > 0) {
		size_t at = (LINE - chunk->offset % LINE) % LINE;
		double now = clock_s();

		for (; at + LINE <= chunk->data.len; at += LINE) {
			series_add(ret, age_ms(chunk->data.data + at, now));
			if (!all)
				break;
		}
	}
	if (err.code)
		die(&err, "following a log");
	rpc_close(call);
	client_watch(h->users, run.text);
}

void goal_log_latency(void)
{
	struct house *h = house_open(2);
	struct series idle = { 0 }, busy = { 0 };
	struct figure f = { "8", "line_seen_p50", "ms", 0, 0, AT_MOST, 5 };

	for (unsigned i = 0; i < rounds(); i++) {
		ages(h, quick ? "stamps 50 10000" : "stamps 200 10000", true, &idle);
		ages(h, quick ? "flood 500" : "flood 2000", false, &busy);
	}
	f.value = series_part(&idle, 0.5);
	figure_say(&f);
	f = (struct figure){ "8", "line_seen_p99", "ms", series_part(&idle, 0.99), 0, AT_MOST, 20 };
	figure_say(&f);
	f = (struct figure){
		"8", "line_seen_p99_under_1M_lines", "ms", series_part(&busy, 0.99), 0, AT_MOST, 100
	};
	figure_say(&f);
	series_release(&idle);
	series_release(&busy);
	house_close(h);
}
