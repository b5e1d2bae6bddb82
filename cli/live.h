/*
 * live.h - a part of the terminal that is drawn again in place
 *
 * Each drawing replaces the one before it: the cursor goes up, lines are overwritten, what is left
 * is cleared, all in one write, so nothing flickers. Lines are cut to the width, and to the height
 * of the terminal (the first lines stay). The cursor is hidden meanwhile and shown again at the
 * end, whatever ends the program. After a stop (Ctrl-Z, fg) the terminal holds other lines: drawing
 * begins below them; in the background nothing is drawn.
 */
#ifndef CLI_LIVE_H
#define CLI_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"

struct live {
	bool begun;
	int *widths; /* of the lines that stand there */
	size_t count;
	unsigned resumed; /* interrupt_resumed() at the last drawing */
};

/* text: lines that end in '\n'. */
void live_draw(struct live *l, const struct buf *text);
/* What stands there stays; the cursor is below it. */
void live_end(struct live *l);
/* What stands there is no longer ours: the next drawing begins where the cursor is. */
void live_forget(struct live *l);
/* The bytes that live_draw() writes, for a terminal of this size. */
void live_render(struct live *l, const char *text, int width, int rows, struct buf *out);

#endif
