#include "base/log.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where stderr goes in these tests. */
static FILE *captured;

static void capture(void)
{
	captured = tmpfile();
	cr_assert(captured);
	dup2(fileno(captured), STDERR_FILENO);
}

static const char *said(void)
{
	static char text[16384];
	ssize_t n = pread(fileno(captured), text, sizeof text - 1, 0);

	cr_assert_geq(n, 0);
	text[n] = '\0';
	return text;
}

Test(log, a_line_has_time_level_and_text, .init = capture)
{
	unsetenv("JOURNAL_STREAM");
	log_warn("agent '%s' was lost", "gpu-02");
	cr_expect_eq(strlen(said()),
		     strlen("2026-11-23T15:04:05Z warn  agent 'gpu-02' was lost\n"));
	cr_expect(strstr(said(), "Z warn  agent 'gpu-02' was lost\n"), "%s", said());
}

Test(log, what_is_below_the_level_is_not_said, .init = capture)
{
	log_debug("quiet");
	log_set_level(LOG_LEVEL_ERROR);
	log_warn("quiet, too");
	cr_expect_str_eq(said(), "");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("loud");
	cr_expect(strstr(said(), "debug loud\n"), "%s", said());
}

Test(log, a_text_cannot_forge_a_second_line, .init = capture)
{
	log_error("job 'x\n2026-11-23T15:04:05Z info  all is well\033[2J'");
	cr_expect_eq(strchr(said(), '\n'), strrchr(said(), '\n'), "%s", said());
	cr_expect_null(strchr(said(), '\033'));
}

Test(log, a_long_text_is_cut_and_still_a_line, .init = capture)
{
	char text[6000];

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	log_info("%s", text);
	cr_expect_lt(strlen(said()), 2100);
	cr_expect_eq(said()[strlen(said()) - 1], '\n');
}

Test(log, systemd_gets_the_level_and_no_time, .init = capture)
{
	char stream[64];
	struct stat st;

	fstat(STDERR_FILENO, &st);
	snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_error("disk full");
	cr_expect_str_eq(said(), "<3>disk full\n");
}

Test(log, a_stderr_that_is_not_the_journal_gets_the_time, .init = capture)
{
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_info("started");
	cr_expect(strstr(said(), "Z info  started\n"), "%s", said());
}
