/*
 * How runs end: each reason once, told by the record.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

TestSuite(end, .init = set_up, .fini = tear_down, .timeout = 120);

Test(end, exit_codes_and_output_are_recorded)
{
	struct supervise_spec spec = a_job(1, "echo out; echo err >&2; exit 3");
	struct shim_record r = run_to_end(&bench, &spec);
	cleanup(freep) char *out = output_of_fence(&bench, 1);
	char text[100];

	cr_expect_eq(r.reason, SHIM_EXITED);
	cr_expect_eq(r.exit_code, 3);
	cr_expect_eq(r.fence, 1);
	cr_expect_eq(r.length, 8);
	cr_expect(r.ended_ms >= r.started_ms && r.started_ms > 1600000000000);
	cr_expect(r.max_rss_bytes > 4096);
	cr_expect_str_eq(out, "out\nerr\n");
	spool_record_text(&r, text, sizeof text);
	cr_expect_str_eq(text, "exit code 3");
}

Test(end, a_slot_runs_one_attempt_after_another)
{
	for (uint64_t fence = 1; fence <= 20; fence++) {
		cleanup(freep) char *command = xprintf("echo %d; exit %d", (int)fence, (int)fence);
		struct supervise_spec spec = a_job(fence, command);
		struct shim_record r = run_to_end(&bench, &spec);

		cr_expect_eq(r.exit_code, (int)fence);
		cr_expect_eq(r.fence, fence);
	}
}

Test(end, a_signal_is_not_an_exit_code)
{
	struct supervise_spec spec = a_job(1, "kill -SEGV $$");
	struct shim_record r = run_to_end(&bench, &spec);

	cr_expect_eq(r.reason, SHIM_SIGNALLED);
	cr_expect_eq(r.signal, SIGSEGV);
	cr_expect_eq(r.exit_code, -1);
}

Test(end, the_job_gets_its_environment_directory_and_nothing_else)
{
	cleanup(freep) char *work = path_join(bench.dir, "work");
	struct supervise_spec spec =
		a_job(1, "pwd; echo $WHO; ls /proc/self/fd | wc -l; cat; umask");
	char expected[200];
	struct shim_record r;
	cleanup(freep) char *out = NULL;

	mkdir(work, 0755);
	spec.dir = work;
	r = run_to_end(&bench, &spec);
	out = output_of_fence(&bench, 1);
	snprintf(expected, sizeof expected, "%s\njob\n4\n0022\n", work); /* 0, 1, 2 and ls's own */
	cr_expect_eq(r.exit_code, 0);
	cr_expect_str_eq(out, expected);
}

Test(end, a_program_is_found_in_its_own_path)
{
	const char *argv[] = { "printf", "%s-%s", "a b", "", NULL };
	struct supervise_spec spec = a_job(1, NULL);
	struct shim_record r;
	cleanup(freep) char *out = NULL;

	spec.argv = argv;
	r = run_to_end(&bench, &spec);
	out = output_of_fence(&bench, 1);
	cr_expect_eq(r.exit_code, 0);
	cr_expect_str_eq(out, "a b-");
}

Test(end, a_missing_program_is_named_as_not_started)
{
	const char *argv[] = { "/no/such/program", NULL };
	struct supervise_spec spec = a_job(1, NULL);
	struct shim_record r;
	char text[100];

	spec.argv = argv;
	r = run_to_end(&bench, &spec);
	cr_expect_eq(r.reason, SHIM_NOT_STARTED);
	cr_expect_eq(r.step, STEP_EXEC);
	cr_expect_eq(r.errno_value, ENOENT);
	spool_record_text(&r, text, sizeof text);
	cr_expect_str_eq(text, "starting failed: executing the program: No such file or directory");
	spec = a_job(2, "true");
	spec.dir = "/no/such/directory";
	r = run_to_end(&bench, &spec);
	cr_expect_eq(r.step, STEP_DIR);
}

Test(end, an_attempt_is_never_started_twice)
{
	struct supervise_spec spec = a_job(5, "echo once");
	struct slot_event event;
	struct error err = { 0 };

	run_to_end(&bench, &spec);
	must_run(&bench, &spec);
	do
		cr_assert_eq(slot_wait(bench.slot, 10000, &event, &err), 1);
	while (event.kind == SLOT_STATUS);
	cr_expect_eq(event.kind, SLOT_REFUSED);
	cr_expect_eq(event.fence, 5);
	cr_expect_eq(event.why.code, ERR_INTERNAL, "%s", event.why.text);
	cr_expect(strstr(event.why.text, "File exists"), "%s", event.why.text);
}

Test(end, a_job_is_dropped_to_its_user_with_no_groups)
{
	struct supervise_spec spec = a_job(1, "id -u; id -g; id -G");
	cleanup(freep) char *out = NULL;

	if (geteuid() != 0)
		cr_skip_test("only root can change the user");
	spec.uid = 65534;
	spec.gid = 65534;
	cr_expect_eq(run_to_end(&bench, &spec).exit_code, 0);
	out = output_of_fence(&bench, 1);
	cr_expect_str_eq(out, "65534\n65534\n65534\n");
}

Test(end, a_timeout_terminates_then_kills_a_job_that_ignores_it)
{
	struct supervise_spec spec =
		a_job(1, "trap '' TERM; echo up; while :; do sleep 0.05; done");
	int64_t before = clock_boot_ms();
	struct shim_record r;
	cleanup(freep) char *out = NULL;

	spec.timeout_ms = 300;
	spec.grace_ms = 300;
	r = run_to_end(&bench, &spec);
	out = output_of_fence(&bench, 1);
	cr_expect_eq(r.reason, SHIM_TIMEOUT);
	cr_expect_eq(r.signal, SIGKILL);
	cr_expect_geq(clock_boot_ms() - before, 600);
	cr_expect_str_eq(out, "up\n");
}

Test(end, a_job_may_checkpoint_after_term_although_its_shell_dies)
{
	struct supervise_spec spec = a_job(1, "sh -c 'trap \"sleep 0.2; echo saved; exit 0\" TERM; "
					      "echo up; while :; do sleep 0.02; done' 2>&-; true");
	struct shim_record r;
	cleanup(freep) char *out = NULL;
	struct error err = { 0 };

	must_run(&bench, &spec);
	cr_assert_eq(slot_watch(bench.slot, 1, 0, &err), 0);
	await(bench.slot, SLOT_GROWN);
	cr_assert_eq(slot_signal(bench.slot, 1, SHIM_CANCELLED, 10000, &err), 0, "%s", err.text);
	r = await(bench.slot, SLOT_EXITED).record;
	out = output_of_fence(&bench, 1);
	cr_expect_eq(r.reason, SHIM_CANCELLED);
	cr_expect_str_eq(out, "up\nsaved\n");
	cr_expect_lt(r.ended_ms - r.started_ms, 9000);
}

Test(end, reasons_of_a_stop_are_kept_apart)
{
	static const enum shim_reason reasons[] = { SHIM_CANCELLED, SHIM_STOPPED, SHIM_PREEMPTED };
	struct error err = { 0 };

	for (uint64_t i = 0; i < 3; i++) {
		struct supervise_spec spec = a_job(i + 1, "exec sleep 60");
		struct shim_record r;

		must_run(&bench, &spec);
		cr_assert_eq(slot_signal(bench.slot, i + 1, reasons[i], 5000, &err), 0);
		r = await(bench.slot, SLOT_EXITED).record;
		cr_expect_eq(r.reason, reasons[i]);
		cr_expect_eq(r.signal, SIGTERM);
	}
}

Test(end, the_log_limit_ends_a_job_and_cuts_at_the_byte)
{
	struct supervise_spec spec = a_job(1, "exec yes 123456789");
	struct shim_record r;
	size_t len;
	cleanup(freep) char *out = NULL;

	spec.log_limit = 1000003;
	r = run_to_end(&bench, &spec);
	out = output_of(&bench, "1", &len);
	cr_expect_eq(r.reason, SHIM_LOG_LIMIT);
	cr_expect_eq(len, 1000003);
	cr_expect_eq(r.length, 1000003);
}

Test(end, too_much_for_one_message_is_refused_before_anything_starts)
{
	cleanup(freep) char *big = xmalloc(WIRE_MAX_BYTES + 1);
	cleanup(freep) char *spool = xprintf("%s/spool/1", bench.dir);
	struct supervise_spec spec;
	struct error err = { 0 };

	memset(big, ' ', WIRE_MAX_BYTES);
	big[WIRE_MAX_BYTES] = '\0';
	spec = a_job(1, big);
	cr_expect_eq(slot_run(bench.slot, &spec, &err), -1);
	cr_expect_eq(err.code, ERR_INVALID);
	cr_expect(!file_exists(spool));
	spec = a_job(1, "true");
	cr_expect_eq(run_to_end(&bench, &spec).exit_code, 0);
}
