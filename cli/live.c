/*
 * How far up to go is counted in rows of the terminal as wide as it is now: a line drawn before the
 * window was made narrower takes several.
 */
#include "cli/live.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/interrupt.h"
#include "cli/out.h"

/* Synchronised update (terminals that do not know it ignore it); cursor off. */
static const char begin_frame[] = "\033[?2026h\033[?25l";
static const char end_frame[] = "\033[?2026l";
static const char show_cursor[] = "\033[?25h";

static void restore(void)
{
	file_write_all(1, show_cursor, sizeof show_cursor - 1, NULL);
}

static int rows_of(int line_width, int width)
{
	return line_width > width ? (line_width + width - 1) / width : 1;
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void put_line(struct live *l, const char *line, size_t len, int width, struct buf *out)
{
	cleanup(freep) char *whole = xstrndup(line, len);
	cleanup(buf_release) struct buf cut = { 0 };

	/* the last column stays free: writing it may wrap */
	text_cut(&cut, whole, width - 1);
	buf_puts(out, buf_str(&cut));
	buf_puts(out, "\033[K\r\n");
	l->widths[l->count++] = text_width(buf_str(&cut));
}

void live_render(struct live *l, const char *text, int width, int rows, struct buf *out)
{
	size_t lines = count_lines(text), room = (size_t)MAX(rows - 1, 2);
	size_t shown = lines > room ? room - 1 : lines;
	int up = 0;

	buf_puts(out, begin_frame);
	for (size_t i = 0; i < l->count; i++)
		up += rows_of(l->widths[i], width);
	if (up)
		buf_printf(out, "\r\033[%dA", up);
	l->widths = xreallocarray(l->widths, shown + 1, sizeof *l->widths);
	l->count = 0;
	for (size_t i = 0; i < shown; i++) {
		size_t len = strcspn(text, "\n");

		put_line(l, text, len, width, out);
		text += len + 1;
	}
	if (shown < lines) {
		cleanup(freep) char *more = xprintf("  … %zu more lines", lines - shown);

		put_line(l, more, strlen(more), width, out);
	}
	buf_puts(out, "\033[J");
	buf_puts(out, end_frame);
}

void live_forget(struct live *l)
{
	l->count = 0;
}

/* Another job has the terminal. */
static bool in_background(void)
{
	pid_t owner = tcgetpgrp(1);

	return owner >= 0 && owner != getpgrp();
}

void live_draw(struct live *l, const struct buf *text)
{
	cleanup(buf_release) struct buf out = { 0 };
	unsigned resumed = interrupt_resumed();

	if (resumed != l->resumed || in_background())
		live_forget(l);
	l->resumed = resumed;
	if (in_background())
		return;
	if (!l->begun) {
		interrupt_on_exit(restore);
		l->begun = true;
	}
	live_render(l, buf_str(text), MAX(out_look().width, 20), out_rows(), &out);
	out_buf(&out);
}

void live_end(struct live *l)
{
	if (l->begun)
		restore();
	interrupt_on_exit(NULL);
	free(l->widths);
	*l = (struct live){ 0 };
}
