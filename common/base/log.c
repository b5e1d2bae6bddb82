/*
 * One write(2) a line, so that lines of several threads and processes do not
 * mix. Under systemd the line begins with the level as sd-daemon(3) has it, and
 * the journal adds the time. Control characters become spaces: a peer's name in
 * an error cannot forge a second line.
 */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum { LINE = 2048 };

static _Atomic enum log_level lowest = LOG_LEVEL_INFO;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool under_systemd;

/* JOURNAL_STREAM is "device:inode" of what stderr was at the start; it is inherited by those
 * whose stderr goes elsewhere. */
static void look_for_systemd(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char ours[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return;
	snprintf(ours, sizeof ours, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	under_systemd = strcmp(stream, ours) == 0;
}

static int put_head(char *line, enum log_level level)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };
	static const int syslog_levels[] = { 7, 6, 4, 3 };
	char time[CLOCK_TEXT];

	if (under_systemd)
		return snprintf(line, LINE, "<%d>", syslog_levels[level]);
	return snprintf(line, LINE, "%s %-5s ", clock_format(clock_wall_ms(), time), names[level]);
}

void log_set_level(enum log_level level)
{
	lowest = level;
}

void log_at(enum log_level level, const char *fmt, ...)
{
	int errno_before = errno;
	char line[LINE];
	va_list args;
	int head, len;

	if (level < lowest)
		return;
	pthread_once(&once, look_for_systemd);
	head = put_head(line, level);
	va_start(args, fmt);
	len = vsnprintf(line + head, (size_t)(LINE - head), fmt, args);
	va_end(args);
	len = len < 0 ? head : MIN(head + len, LINE - 1);
	for (int i = head; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = ' ';
	line[len++] = '\n';
	while (write(STDERR_FILENO, line, (size_t)len) < 0 && errno == EINTR)
		;
	errno = errno_before;
}
