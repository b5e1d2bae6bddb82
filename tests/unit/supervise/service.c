/*
 * A service has no end but an order: its shim starts it again, with or without an agent.
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

TestSuite(service, .init = set_up, .fini = tear_down, .timeout = 120);

static struct supervise_spec a_service(const char *command)
{
	struct supervise_spec spec = a_job(3, command);

	spec.name = "svc.production";
	spec.service = true;
	spec.backoff_min_ms = 20;
	return spec;
}

static struct slot_status status_of(void)
{
	struct error err = { 0 };

	cr_assert_eq(slot_ask_status(bench.slot, &err), 0, "%s", err.text);
	return await(bench.slot, SLOT_STATUS).status;
}

static struct shim_record stop(void)
{
	struct error err = { 0 };

	cr_assert_eq(slot_signal(bench.slot, 3, SHIM_STOPPED, 5000, &err), 0, "%s", err.text);
	return await(bench.slot, SLOT_EXITED).record;
}

Test(service, it_is_started_again_with_growing_pauses)
{
	struct supervise_spec spec = a_service("echo up; exit 3");
	int64_t began = clock_boot_ms();
	struct shim_record r;

	must_run(&bench, &spec);
	for (unsigned i = 1; i <= 5; i++) {
		struct slot_event event = await(bench.slot, SLOT_RESTARTED);

		cr_expect_eq(event.restarts, i);
		cr_expect_eq(event.record.exit_code, 3);
	}
	cr_expect_geq(clock_boot_ms() - began, 20 + 40 + 80 + 160);
	r = stop();
	cr_expect_eq(r.reason, SHIM_STOPPED);
	cr_expect_eq(r.restarts, 5);
}

Test(service, a_crash_loop_ends_with_a_record)
{
	struct supervise_spec spec = a_service("exit 9");
	struct shim_record r;

	spec.restart_max = 3;
	must_run(&bench, &spec);
	r = await(bench.slot, SLOT_EXITED).record;
	cr_expect_eq(r.reason, SHIM_CRASH_LOOP);
	cr_expect_eq(r.restarts, 3);
	cr_expect_eq(r.exit_code, 9);
	slot_close(bench.slot);
	bench.slot = NULL;
	cr_expect_eq(what_became(&bench, "svc.production").record.reason, SHIM_CRASH_LOOP);
}

Test(service, a_program_that_is_not_there_is_tried_again)
{
	cleanup(freep) char *program = path_join(bench.dir, "program");
	cleanup(freep) char *out = NULL;
	const char *argv[] = { program, NULL };
	struct supervise_spec spec = a_service(NULL);
	struct slot_event event;
	struct error err = { 0 };

	spec.argv = argv;
	must_run(&bench, &spec);
	event = await(bench.slot, SLOT_RESTARTED);
	cr_expect_eq(event.record.reason, SHIM_NOT_STARTED);
	cr_expect_eq(event.record.step, STEP_EXEC);
	cr_assert_eq(file_write_atomic(program, "#!/bin/sh\necho here\nexec sleep 600\n", 35, 0755,
				       &err),
		     0);
	cr_assert_eq(slot_watch(bench.slot, 3, 0, &err), 0);
	await(bench.slot, SLOT_GROWN);
	out = output_of(&bench, "svc.production", NULL);
	cr_expect_str_eq(out, "here\n");
	cr_expect_eq(status_of().phase, SHIM_RUNNING);
	cr_expect_eq(stop().signal, SIGTERM);
}

Test(service, it_is_kept_up_with_no_agent_and_found_again)
{
	struct supervise_spec spec = a_service("echo $$; exec sleep 600");
	struct slot_status before, after;
	struct error err = { 0 };

	must_run(&bench, &spec);
	cr_assert_eq(slot_watch(bench.slot, 3, 0, &err), 0);
	await(bench.slot, SLOT_GROWN);
	before = status_of();
	cr_assert_gt(before.job_pid, 0);
	bench_restart(&bench);
	kill(before.job_pid, SIGKILL);
	usleep(300000);
	bench.slot = slot_open(bench.supervise, "0", &err);
	cr_assert(bench.slot, "%s", err.text);
	after = *slot_status(bench.slot);
	cr_expect_str_eq(after.name, "svc.production");
	cr_expect_eq(after.fence, 3);
	cr_expect_eq(after.phase, SHIM_RUNNING);
	cr_expect_eq(after.restarts, 1);
	cr_expect_neq(after.job_pid, before.job_pid);
	cr_expect(process_lives(after.job_pid));
	stop();
	cr_expect(!process_lives(after.job_pid));
}

Test(service, it_can_be_stopped_between_two_starts)
{
	struct supervise_spec spec = a_service("exit 1");

	spec.backoff_min_ms = 30000;
	must_run(&bench, &spec);
	await(bench.slot, SLOT_RESTARTED);
	cr_expect_eq(status_of().phase, SHIM_BACKING_OFF);
	cr_expect_eq(stop().reason, SHIM_STOPPED);
}

Test(service, its_output_is_a_ring_with_growing_offsets)
{
	enum { LINE = 8, LINES = 1800000 }; /* 14.4 MB: segments 0 to 3 */
	struct supervise_spec spec = a_service("seq -f %07.0f 0 1799999; exec sleep 600");
	struct error err = { 0 };
	struct spool *spool;
	char line[LINE + 1] = "";
	cleanup(freep) char *done = xprintf("%s/spool/svc.production.done", bench.dir);
	uint64_t begin, length = 0;

	must_run(&bench, &spec);
	while (length < (uint64_t)LINE * LINES) {
		cr_assert_eq(slot_watch(bench.slot, 3, length, &err), 0);
		length = await(bench.slot, SLOT_GROWN).length;
	}
	cr_expect_eq(length, (uint64_t)LINE * LINES);
	spool = spool_open(supervise_spool_dir(bench.supervise), "svc.production", &err);
	cr_assert(spool, "%s", err.text);
	spool_set_length(spool, length);
	begin = spool_begin(spool);
	cr_expect_eq(begin, 2ull * SPOOL_SEGMENT_BYTES);
	cr_expect_eq(spool_read(spool, SPOOL_OUTPUT, 0, line, LINE, &err), -1);
	cr_expect_eq(err.code, ERR_NOT_FOUND);
	for (uint64_t at = begin; at < length; at += 80000) {
		char expected[32];

		cr_assert_eq(spool_read(spool, SPOOL_OUTPUT, at, line, LINE, &err), LINE, "%s",
			     err.text);
		snprintf(expected, sizeof expected, "%07llu\n", (unsigned long long)at / LINE);
		cr_assert_str_eq(line, expected);
	}
	spool_close(spool);
	stop();
	/* A new start of the same service goes on where the offsets were. */
	cr_assert_eq(unlink(done), 0);
	spec = a_service("echo again; exec sleep 600");
	must_run(&bench, &spec);
	cr_assert_eq(slot_watch(bench.slot, 3, length, &err), 0);
	cr_expect_eq(await(bench.slot, SLOT_GROWN).length, length + 6);
	stop();
	cr_assert_eq(supervise_release(bench.supervise, "svc.production", &err), 0);
	cr_expect_eq(spool_service_end(supervise_spool_dir(bench.supervise), "svc.production",
				       &begin, &err),
		     -1);
}
