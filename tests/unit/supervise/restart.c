/*
 * The agent goes and comes back: what ran goes on, and no byte of it is missing.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "fixture.h"

static struct bench bench;

static void set_up(void)
{
	bench_open(&bench, geteuid() == 0 ? CONTAIN_PIDNS : CONTAIN_USERNS);
}

static void tear_down(void)
{
	bench_close(&bench);
}

TestSuite(restart, .init = set_up, .fini = tear_down, .timeout = 120);

struct seen {
	int count;
	struct found last;
};

static void keep_found(void *arg, struct found *found)
{
	struct seen *seen = arg;

	seen->count++;
	seen->last = *found;
}

static struct seen attach(void)
{
	struct seen seen = { 0 };
	struct error err = { 0 };

	cr_assert_eq(supervise_attach(bench.supervise, keep_found, &seen, &err), 0, "%s", err.text);
	bench.slot = seen.last.state == FOUND_LIVE ? seen.last.slot : NULL;
	return seen;
}

/* Reads on from *at into all, until the run has exited. */
static struct shim_record follow(struct spool *spool, uint64_t fence, struct buf *all)
{
	struct error err = { 0 };

	for (;;) {
		char chunk[4096];
		struct slot_event event;
		ssize_t n;

		while ((n = spool_read(spool, SPOOL_OUTPUT, all->len, chunk, sizeof chunk, &err)) >
		       0)
			buf_add(all, chunk, (size_t)n);
		cr_assert_eq(n, 0, "%s", err.text);
		cr_assert_eq(slot_watch(bench.slot, fence, all->len, &err), 0, "%s", err.text);
		cr_assert_eq(slot_wait(bench.slot, 20000, &event, &err), 1, "%s", err.text);
		if (event.kind == SLOT_GROWN || event.kind == SLOT_EXITED)
			spool_set_length(spool, event.length);
		if (event.kind == SLOT_GROWN)
			continue;
		cr_assert_eq(event.kind, SLOT_EXITED);
		while ((n = spool_read(spool, SPOOL_OUTPUT, all->len, chunk, sizeof chunk, &err)) >
		       0)
			buf_add(all, chunk, (size_t)n);
		return event.record;
	}
}

Test(restart, a_job_goes_on_and_no_byte_is_lost)
{
	struct supervise_spec spec = a_job(9, "i=0; while [ $i -lt 300 ]; do echo line $i; "
					      "i=$((i+1)); sleep 0.002; done; exit 4");
	cleanup(buf_release) struct buf all = { 0 };
	struct error err = { 0 };
	struct seen seen;
	struct spool *spool;
	const char *p;

	must_run(&bench, &spec);
	cr_assert_eq(slot_watch(bench.slot, 9, 100, &err), 0);
	await(bench.slot, SLOT_GROWN);
	bench_restart(&bench);
	usleep(100000);
	seen = attach();
	cr_expect_eq(seen.count, 1);
	cr_expect_eq(seen.last.state, FOUND_LIVE);
	cr_expect_eq(seen.last.fence, 9);
	cr_expect_str_eq(seen.last.name, "9");
	cr_expect_gt(seen.last.length, 100);
	spool = spool_open(supervise_spool_dir(bench.supervise), "9", &err);
	cr_assert(spool, "%s", err.text);
	spool_set_length(spool, seen.last.length);
	cr_expect_eq(follow(spool, 9, &all).exit_code, 4);
	spool_close(spool);
	p = buf_str(&all);
	for (int i = 0; i < 300; i++) {
		char line[32];

		snprintf(line, sizeof line, "line %d\n", i);
		cr_assert_eq(strncmp(p, line, strlen(line)), 0, "line %d is damaged", i);
		p += strlen(line);
	}
	cr_expect_eq(*p, '\0');
}

Test(restart, a_run_that_ended_meanwhile_is_done_with_its_record)
{
	struct supervise_spec spec = a_job(10, "sleep 0.3; echo late; exit 6");
	struct seen seen;
	cleanup(freep) char *out = NULL;

	must_run(&bench, &spec);
	bench_restart(&bench);
	usleep(600000);
	seen = attach();
	cr_expect_eq(seen.count, 1);
	cr_expect_eq(seen.last.state, FOUND_DONE);
	cr_expect_eq(seen.last.record.exit_code, 6);
	cr_expect_eq(seen.last.length, 5);
	out = output_of_fence(&bench, 10);
	cr_expect_str_eq(out, "late\n");
}

Test(restart, a_shim_that_died_meanwhile_leaves_a_lost_run)
{
	struct supervise_spec spec = a_job(11, "echo begun; exec sleep 600");
	struct error err = { 0 };
	struct seen seen;
	pid_t shim;

	must_run(&bench, &spec);
	cr_assert_eq(slot_watch(bench.slot, 11, 0, &err), 0);
	await(bench.slot, SLOT_GROWN);
	slot_ask_status(bench.slot, &err);
	shim = await(bench.slot, SLOT_STATUS).status.shim_pid;
	bench_restart(&bench);
	kill(shim, SIGKILL);
	process_ends(shim);
	seen = attach();
	cr_expect_eq(seen.count, 1);
	cr_expect_eq(seen.last.state, FOUND_LOST);
	cr_expect_eq(seen.last.fence, 11);
	cr_expect_eq(seen.last.length, 6);
}

Test(restart, a_stopped_shim_is_killed_and_its_run_lost, .timeout = 60)
{
	struct supervise_spec spec = a_job(12, "exec sleep 600");
	struct error err = { 0 };
	struct seen seen;
	pid_t shim, job;

	must_run(&bench, &spec);
	slot_ask_status(bench.slot, &err);
	{
		struct slot_event event = await(bench.slot, SLOT_STATUS);

		shim = event.status.shim_pid;
		job = event.status.job_pid;
	}
	bench_restart(&bench);
	kill(shim, SIGSTOP);
	seen = attach();
	cr_expect_eq(seen.last.state, FOUND_LOST);
	cr_expect(!process_lives(job));
}

Test(restart, a_record_without_its_rename_still_counts)
{
	struct supervise_spec spec = a_job(13, "echo x; exit 2");
	cleanup(freep) char *done = xprintf("%s/spool/13.done", bench.dir);
	cleanup(freep) char *live = xprintf("%s/spool/13", bench.dir);
	struct error err = { 0 };

	run_to_end(&bench, &spec);
	bench_restart(&bench);
	cr_assert_eq(rename(done, live), 0);
	cr_expect_eq(attach().last.record.exit_code, 2);
	cr_expect(file_exists(done));
	cr_assert_eq(supervise_release(bench.supervise, "13", &err), 0, "%s", err.text);
	cr_expect(!file_exists(done));
	cr_expect_eq(attach().count, 0);
}

Test(restart, the_agents_streams_are_kept_beside_the_output)
{
	struct supervise_spec spec = a_job(14, "echo x");
	struct error err = { 0 };
	struct spool *spool;
	char text[32];
	cleanup(freep) char *words = xprintf("%s/spool/14.words", bench.dir);

	run_to_end(&bench, &spec);
	spool = spool_open(supervise_spool_dir(bench.supervise), "14", &err);
	cr_assert_eq(spool_append(spool, SPOOL_WORDS, "hello ", 6, &err), 0, "%s", err.text);
	cr_assert_eq(spool_append(spool, SPOOL_WORDS, "agent\n", 6, &err), 0, "%s", err.text);
	cr_expect_eq(spool_sync(&spool, 1, supervise_spool_dir(bench.supervise), &err), 0);
	spool_close(spool);
	spool = spool_open(supervise_spool_dir(bench.supervise), "14", &err);
	cr_expect_eq(spool_length(spool, SPOOL_WORDS), 12);
	cr_expect_eq(spool_read(spool, SPOOL_WORDS, 6, text, sizeof text, &err), 6);
	cr_expect_eq(memcmp(text, "agent\n", 6), 0);
	cr_expect_eq(spool_length(spool, SPOOL_METRICS), 0);
	cr_expect_eq(spool_length(spool, SPOOL_OUTPUT), 2);
	spool_close(spool);
	cr_assert_eq(supervise_release(bench.supervise, "14", &err), 0);
	cr_expect(!file_exists(words));
}

Test(restart, a_damaged_record_is_an_error_and_not_a_result)
{
	struct supervise_spec spec = a_job(15, "echo x");
	cleanup(freep) char *done = xprintf("%s/spool/15.done", bench.dir);
	struct shim_record record;
	struct error err = { 0 };
	FILE *f;

	run_to_end(&bench, &spec);
	f = fopen(done, "r+");
	fseek(f, -20, SEEK_END);
	fputc('!', f);
	fclose(f);
	cr_expect_eq(spool_record(supervise_spool_dir(bench.supervise), "15", &record, &err), -1);
	cr_expect_eq(err.code, ERR_CORRUPT);
}
