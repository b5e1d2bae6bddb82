#include "base/spawn.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

#define SHELL(text) ((const char *const[]){ "/bin/sh", "-c", text, NULL })

/* What a shell line says, run as `s` says but for its arguments. */
static void expect_output(struct spawn s, const char *line, const char *expected)
{
	cleanup(buf_release) struct buf out = { 0 };
	struct error err = { 0 };

	s.argv = SHELL(line);
	s.in = -1;
	cr_assert_eq(spawn_run(&s, 10000, 65536, &out, &err), 0, "%s", err.text);
	cr_expect_str_eq(buf_str(&out), expected);
}

Test(spawn, both_outputs_are_gathered_in_order)
{
	expect_output((struct spawn){ 0 }, "echo one; echo two >&2; echo three",
		      "one\ntwo\nthree\n");
}

Test(spawn, a_program_is_found_in_the_path)
{
	cleanup(buf_release) struct buf out = { 0 };
	struct error err = { 0 };
	struct spawn s = { .argv = (const char *const[]){ "printf", "%s", "hello", NULL },
			   .in = -1 };

	cr_assert_eq(spawn_run(&s, 10000, 100, &out, &err), 0, "%s", err.text);
	cr_expect_str_eq(buf_str(&out), "hello");
}

Test(spawn, directory_and_environment_are_those_given)
{
	static const char *const env[] = { "ONLY=this", NULL };

	expect_output((struct spawn){ .dir = "/usr/lib", .env = env },
		      "pwd; echo $ONLY; echo ${HOME-none}", "/usr/lib\nthis\nnone\n");
}

Test(spawn, signals_are_at_their_defaults_and_unblocked)
{
	thread_block_signals();
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	/* 32 and 33 are glibc's own: posix_spawn ignores them, and the new program sets them up */
	expect_output((struct spawn){ 0 }, "grep -E '^Sig(Blk|Ign)' /proc/self/status",
		      "SigBlk:\t0000000000000000\nSigIgn:\t0000000180000000\n");
}

Test(spawn, no_descriptor_is_inherited_but_those_asked_for)
{
	int leaked = open("/dev/zero", O_RDONLY); /* not close-on-exec */
	int kept = open("/dev/full", O_RDONLY | O_CLOEXEC);

	cr_assert(leaked > 2 && kept > 2);
	expect_output((struct spawn){ .keep = &kept, .n_keep = 1 },
		      "for i in 0 3 4 5 6 7 8 9; do readlink /proc/self/fd/$i; done; true",
		      "/dev/null\n/dev/full\n");
	close(leaked);
	close(kept);
}

/* Two whose numbers are each what the other one becomes. */
Test(spawn, descriptors_that_cross_do_not_overwrite_each_other)
{
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	int full = open("/dev/full", O_RDONLY | O_CLOEXEC);
	int keep[16];
	char line[128];

	cr_assert(zero > 2 && full > 2 && zero < 19 && full < 19);
	for (int i = 0; i < 16; i++)
		keep[i] = -1;
	keep[zero - 3] = full;
	keep[full - 3] = zero;
	snprintf(line, sizeof line, "readlink /proc/self/fd/%d /proc/self/fd/%d", zero, full);
	expect_output((struct spawn){ .keep = keep, .n_keep = 16 }, line, "/dev/full\n/dev/zero\n");
}

Test(spawn, a_program_that_is_not_there_is_named)
{
	struct spawn s = { .argv = (const char *const[]){ "/nowhere/git", NULL },
			   .in = -1,
			   .out = -1,
			   .errout = -1 };
	struct child child;
	struct error err = { 0 };

	cr_expect_eq(spawn_start(&s, &child, &err), -1);
	cr_expect_eq(err.code, ERR_NOT_FOUND);
	cr_expect_str_eq(err.text, "starting '/nowhere/git': No such file or directory");
	s.argv = SHELL("true");
	s.dir = "/nowhere";
	cr_expect_eq(spawn_start(&s, &child, &err), -1);
	cr_expect(strstr(err.text, "in '/nowhere'"), "%s", err.text);
}

Test(spawn, a_failure_says_the_end_of_what_was_said)
{
	cleanup(buf_release) struct buf out = { 0 };
	struct error err = { 0 };
	struct spawn s = {
		.argv = SHELL(
			"yes noise | head -n 5000; echo 'fatal: no repository' >&2; exit 128"),
		.in = -1
	};

	cr_expect_eq(spawn_run(&s, 10000, 10, &out, &err), -1);
	cr_expect(strstr(err.text, "'/bin/sh' exited with 128: "), "%s", err.text);
	cr_expect_str_eq(err.text + strlen(err.text) - 20, "fatal: no repository");
	cr_expect_null(strchr(err.text, '\n'));
	cr_expect_null(out.data, "an output is untouched on failure");
	s.argv = SHELL("kill -TERM $$");
	cr_expect_eq(spawn_run(&s, 10000, 10, &out, &err), -1);
	cr_expect_str_eq(err.text,
			 "'/bin/sh' was killed by signal 15 (Terminated): it said nothing");
}

Test(spawn, output_past_the_limit_is_dropped_and_the_program_ends)
{
	cleanup(buf_release) struct buf out = { 0 };
	struct error err = { 0 };
	struct spawn s = { .argv = SHELL("yes | head -c 1000000"), .in = -1 };

	cr_assert_eq(spawn_run(&s, 10000, 1000, &out, &err), 0, "%s", err.text);
	cr_expect_eq(out.len, 1000);
}

Test(spawn, a_time_out_kills_the_whole_session)
{
	cleanup(buf_release) struct buf out = { 0 };
	struct error err = { 0 };
	struct spawn s = { .argv = SHELL("echo working; sleep 600 & wait"),
			   .in = -1,
			   .new_session = true };
	int64_t before = clock_mono_us();

	cr_expect_eq(spawn_run(&s, 300, 1000, &out, &err), -1);
	cr_expect_eq(err.code, ERR_TIMEOUT);
	cr_expect_str_eq(err.text, "'/bin/sh' did not end within 300 ms: working");
	cr_expect_lt(clock_mono_us() - before, 5000000);
}

Test(spawn, a_grandchild_that_holds_the_pipe_does_not_hold_us)
{
	cleanup(buf_release) struct buf out = { 0 };
	struct error err = { 0 };
	struct spawn s = { .argv = SHELL("sleep 20 & echo $!"), .in = -1 };
	int64_t before = clock_mono_us();

	cr_assert_eq(spawn_run(&s, 10000, 1000, &out, &err), 0, "%s", err.text);
	cr_expect_lt(clock_mono_us() - before, 5000000);
	cr_expect_eq(kill((pid_t)strtol(buf_str(&out), NULL, 10), SIGKILL), 0);
}

Test(spawn, a_child_is_waited_for_by_its_pidfd)
{
	struct spawn s = { .argv = SHELL("sleep 600"), .in = -1, .out = -1, .errout = -1 };
	struct child child;
	struct error err = { 0 };
	int status = 0;

	cr_assert_eq(spawn_start(&s, &child, &err), 0, "%s", err.text);
	cr_expect_eq(spawn_wait(&child, 50, &status, &err), -1);
	cr_expect_eq(err.code, ERR_TIMEOUT);
	cr_expect_eq(spawn_signal(&child, SIGTERM, &err), 0, "%s", err.text);
	cr_expect_eq(spawn_wait(&child, -1, &status, &err), 0, "%s", err.text);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	cr_expect_eq(child.pidfd, -1);
}
