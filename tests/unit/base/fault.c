#include "base/fault.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

Test(fault, a_place_without_a_fault_does_nothing)
{
	unsetenv("SLUICE_FAULTS");
	cr_expect(!FAULT_POINT("commit.before-sync"));
}

#ifdef SLUICE_FAULTS

/* Which of ten passings fail, as bits. */
static unsigned int passings(const char *spec)
{
	unsigned int bits = 0;

	fault_load(spec);
	for (unsigned int i = 0; i < 10; i++)
		bits |= (unsigned int)FAULT_POINT("a.place") << i;
	return bits;
}

Test(fault, an_error_strikes_where_it_is_told)
{
	cr_expect_eq(passings("a.place=error"), 0x3ff);
	cr_expect_eq(passings("a.place=error@3"), 0x004);
	cr_expect_eq(passings("a.place=error@3+"), 0x3fc);
	cr_expect_eq(passings("b.place=error,a.place=error@1,a.place=error@10"), 0x201);
	cr_expect_eq(passings("another=error"), 0);
	cr_expect_eq(passings(""), 0);
}

Test(fault, a_draw_is_decided_by_its_seed)
{
	unsigned int bits = passings("a.place=error%3:42");

	cr_expect_eq(passings("a.place=error%3:42"), bits);
	cr_expect(bits != 0 && bits != 0x3ff, "%x", bits);
	cr_expect_neq(passings("a.place=error%3:43"), bits);
	cr_expect_eq(passings("a.place=error%1:7"), 0x3ff);
}

Test(fault, the_environment_is_read_at_the_first_passing)
{
	setenv("SLUICE_FAULTS", "a.place=error@2", 1);
	cr_expect(!FAULT_POINT("a.place"));
	cr_expect(FAULT_POINT("a.place"));
	cr_expect(!FAULT_POINT("a.place"));
}

Test(fault, a_kill_is_a_kill, .signal = SIGKILL)
{
	fault_load("a.place=kill@2");
	cr_assert(!FAULT_POINT("a.place"));
	FAULT_POINT("a.place");
}

static int scratch(char path[32])
{
	int fd;

	snprintf(path, 32, "/tmp/fault.XXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	return fd;
}

Test(fault, a_short_write_leaves_half_and_a_full_disk)
{
	char path[32];
	int fd = scratch(path);

	fault_load("a.place=short@2");
	cr_expect(!FAULT_SHORT("a.place", fd, "12345678", 8));
	cr_expect_eq(lseek(fd, 0, SEEK_END), 0, "the write itself is its caller's");
	errno = 0;
	cr_expect(FAULT_SHORT("a.place", fd, "12345678", 8));
	cr_expect_eq(errno, ENOSPC);
	cr_expect_eq(lseek(fd, 0, SEEK_END), 4);
	cr_expect(!FAULT_SHORT("a.place", fd, "12345678", 8));
	fault_load("a.place=error");
	cr_expect(FAULT_SHORT("a.place", fd, "12345678", 8));
	cr_expect_eq(lseek(fd, 0, SEEK_END), 4, "an error is none by half");
	cr_expect_eq(passings("a.place=short@3"), 0x004);
	close(fd);
	unlink(path);
}

Test(fault, a_kill_in_a_write_tears_it)
{
	char path[32];
	int fd = scratch(path), status;
	pid_t pid = fork();

	if (pid == 0) {
		fault_load("a.place=kill");
		FAULT_SHORT("a.place", fd, "12345678", 8);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	cr_expect_eq(lseek(fd, 0, SEEK_END), 4);
	close(fd);
	unlink(path);
}

Test(fault, a_delay_takes_its_time_and_does_not_fail)
{
	int64_t before = clock_mono_us();

	fault_load("a.place=delay:60@1");
	cr_expect(!FAULT_POINT("a.place"));
	cr_expect_geq(clock_mono_us() - before, 60000);
	before = clock_mono_us();
	cr_expect(!FAULT_POINT("a.place"));
	cr_expect_lt(clock_mono_us() - before, 60000);
}

Test(fault, a_misspelt_action_ends_the_program, .signal = SIGABRT)
{
	fault_load("a.place=eror");
}

Test(fault, a_name_without_an_action_ends_the_program, .signal = SIGABRT)
{
	fault_load("a.place");
}

Test(fault, something_after_the_action_ends_the_program, .signal = SIGABRT)
{
	fault_load("a.place=error@3x");
}

#endif
