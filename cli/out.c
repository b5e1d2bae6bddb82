/*
 * Stdout is written in whole lines by write(2), never through stdio, so that threads that follow
 * logs and the live view cannot tear each other's lines apart.
 */
#include "cli/out.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/json.h"

static bool is_terminal(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && term && *term && strcmp(term, "dumb") != 0;
}

static struct look look_of(int fd)
{
	const char *no_colour = getenv("NO_COLOR");
	struct look look = { .now_ms = clock_wall_ms() };
	struct winsize size;

	if (!is_terminal(fd))
		return look;
	look.colour = !no_colour || !*no_colour;
	look.width = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
	return look;
}

bool out_live(void)
{
	return is_terminal(1);
}

struct look out_look(void)
{
	return look_of(1);
}

struct look out_error_look(void)
{
	return look_of(2);
}

int out_rows(void)
{
	struct winsize size;

	return ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_row ? size.ws_row : 24;
}

/* As any Unix tool in front of `head`. */
static void die_of_pipe(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	signal(SIGPIPE, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	raise(SIGPIPE);
	_exit(STATUS_FAILED);
}

void out_write(const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(1, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPIPE)
			die_of_pipe();
		if (n < 0) {
			say("sluice: writing the answer: %s", strerror(errno));
			_exit(STATUS_FAILED);
		}
		p += n;
		len -= (size_t)n;
	}
}

void out_buf(const struct buf *text)
{
	out_write(buf_str(text), text->len);
}

void out_printf(const char *fmt, ...)
{
	cleanup(buf_release) struct buf text = { 0 };
	va_list args;

	va_start(args, fmt);
	buf_vprintf(&text, fmt, args);
	va_end(args);
	out_buf(&text);
}

void out_json_value(json_t *value, bool line)
{
	cleanup(buf_release) struct buf text = { 0 };

	json_write(value, line, &text);
	json_decref(value);
	buf_putc(&text, '\n');
	out_buf(&text);
}

void out_json(const ProtobufCMessage *message)
{
	out_json_value(json_of(message), false);
}

void out_json_line(const ProtobufCMessage *message)
{
	out_json_value(json_of(message), true);
}
