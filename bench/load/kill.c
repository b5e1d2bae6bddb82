/*
 * Goal 15: kill -9 of the controller under load. The jobs keep a ledger of their starts and print
 * what can be foretold, so that what ran twice and what was lost or doubled can be counted.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "crypto/random.h"
#include "load/client.h"
#include "load/goals.h"
#include "load/house.h"
#include "load/measure.h"

enum { JOBS = 300, QUICK_JOBS = 60, LINES = 200, KILLS = 5, OPEN = 10000, LIMIT_S = 30 };

static unsigned jobs(void)
{
	return quick ? QUICK_JOBS : JOBS;
}

/* Seconds from when it listens again until the agent is there; *ret_up: from its start to its first
 * answer. */
static double come_back(struct house *h, bool agent, double *ret_up)
{
	double began, listening;

	house_kill_controller(h);
	rpc_hangup(h->users);
	began = clock_s();
	house_start_controller(h);
	house_await_controller(h);
	listening = clock_s();
	h->users = house_dial(h); /* anew: gRPC's back-off is not what is measured */
	if (!client_answers(h->users))
		die(NULL, "the controller listens and does not answer; see '%s'", h->dir);
	*ret_up = clock_s() - began;
	while (agent && client_agents_connected(h->users) < 1) {
		if (clock_s() > listening + LIMIT_S)
			die(NULL, "the agent does not come back; see '%s'", h->dir);
		pause_s(0.005);
	}
	return clock_s() - listening;
}

/* ---- what became of them ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Starts beyond the first of each job, and jobs that never started. */
static unsigned ledger_faults(const char *path, unsigned n_jobs)
{
	cleanup(buf_release) struct buf text = { 0 };
	cleanup(freep) char **starts = xcalloc(2 * n_jobs + 2, sizeof *starts);
	struct error err = { 0 };
	unsigned n = 0, different = 0;
	char *save;

	if (file_read(path, 64 << 20, &text, &err) < 0)
		die(&err, "the ledger");
	for (char *line = text.len ? strtok_r(text.data, "\n", &save) : NULL;
	     line && n < 2 * n_jobs; line = strtok_r(NULL, "\n", &save))
		starts[n++] = line;
	qsort(starts, n, sizeof *starts, by_text);
	for (unsigned i = 0; i < n; i++)
		different += !i || strcmp(starts[i], starts[i - 1]) != 0;
	return n - different + (n_jobs - MIN(different, n_jobs));
}

/* Bytes that are not what the job printed. */
static uint64_t log_faults(struct house *h, unsigned run_number, const char *run, const char *job)
{
	cleanup(buf_release) struct buf is = { 0 }, should = { 0 };
	struct rpc_call *call = client_follow(h->users, run, job);
	const Sluice__V1__LogChunk *chunk;
	struct error err = { 0 };
	uint64_t wrong;
	int r;

	while ((r = rpc_recv(call, &chunk, &err)) > 0)
		buf_add(&is, chunk->data.data, chunk->data.len);
	if (r < 0)
		die(&err, "the log of '%s'", job);
	rpc_close(call);
	for (int i = 0; i < LINES; i++)
		buf_printf(&should, "%u/%s line %d\n", run_number, job, i);
	wrong = is.len > should.len ? is.len - should.len : should.len - is.len;
	for (size_t i = 0; i < MIN(is.len, should.len); i++)
		wrong += is.data[i] != should.data[i];
	return wrong;
}

static void say_faults(struct house *h, const char *run, const char *ledger)
{
	struct figure again = { "15", "jobs_run_again", "jobs", 0, 0, AT_MOST, 0 };
	struct figure bytes = { "15", "log_bytes_lost_or_doubled", "bytes", 0, 0, AT_MOST, 0 };
	uint64_t wrong = 0;

	for (unsigned i = 0; i < jobs(); i++) {
		cleanup(freep) char *job =
			xprintf("%s[n=%u]", i < 250 ? "a" : "b", i < 250 ? i : i - 250);

		wrong += log_faults(h, 1, run, job);
	}
	again.value = ledger_faults(ledger, jobs());
	bytes.value = (double)wrong;
	figure_say(&again);
	figure_say(&bytes);
}

/* ---- the whole ---- */

static void under_load(void)
{
	struct house *h = house_open(8);
	cleanup(freep) char *ledger = path_join(h->dir, "ledger");
	cleanup(freep) char *command =
		xprintf("%s seeded %d %s", getenv("BENCH_PRINT"), LINES, ledger);
	cleanup(buf_release) struct buf file = { 0 };
	cleanup(closep) int fd = open(ledger, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	struct series attach = { 0 };
	struct figure f = { "15", "agents_attached_after", "s", 0, 0, AT_MOST, 2 };
	struct id run;

	client_pipeline(&file, jobs(), command);
	run = client_submit(h->users, buf_str(&file), 0);
	for (unsigned i = 0; i < (quick ? 2 : KILLS); i++) {
		double up;

		pause_s(0.1 + (double)(random_u64() % 200) / 1e3);
		series_add(&attach, come_back(h, true, &up));
	}
	client_watch(h->users, run.text);
	f.value = series_part(&attach, 1);
	figure_say(&f);
	say_faults(h, run.text, ledger);
	series_release(&attach);
	house_close(h);
}

static void with_a_queue(void)
{
	struct house *h = house_open(1);
	struct figure f = { "15", "serving_after_with_10000_open_jobs", "s", 0, 0, AT_MOST, 2 };
	struct series ups = { 0 };

	client_drain(h->users, "worker", true);
	client_submit_many(h->users, quick ? OPEN / 10 : OPEN, "true", 0);
	for (unsigned i = 0; i < rounds(); i++) {
		double up;

		come_back(h, false, &up);
		series_add(&ups, up);
	}
	f.value = series_median(&ups);
	figure_say(&f);
	series_release(&ups);
	client_cancel_all(h->users);
	house_close(h);
}

void goal_kill(void)
{
	under_load();
	with_a_queue();
}
