/*
 * text.h - text as a terminal shows it: columns, colours, cutting to a width
 *
 * A `struct look` says how something is to be drawn; renderers write into a buffer by it, so that a
 * test can read what a terminal would show. Text from elsewhere goes through text_put(), which lets
 * no control character reach the terminal.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"

struct look {
	bool colour;
	int width;	/* columns; 0: as many as it takes */
	int64_t now_ms; /* for ages */
};

enum paint { PLAIN, BOLD, DIM, RED, GREEN, YELLOW, BLUE, CYAN };

/* Columns that UTF-8 text takes: 0 for what combines and for colours, 2 for wide ones. */
int text_width(const char *text);
/* Appends text with control characters replaced; lines are joined by spaces. */
void text_put(struct buf *out, const char *text);
/* The same in a colour. */
void text_paint(struct buf *out, const struct look *look, enum paint paint, const char *text);
void text_paintf(struct buf *out, const struct look *look, enum paint paint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Appends at most width columns of text (colours are kept and ended), the last of them `…` when
 * something was cut. width 0: all of it. */
void text_cut(struct buf *out, const char *text, int width);
/* Spaces up to a width. */
void text_pad(struct buf *out, int from, int to);

#endif
