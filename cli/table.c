/*
 * A table is a list of cells; what column one is in follows from its place.
 */
#include "cli/table.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

enum { GAP = 2, LEAST_LAST = 8, COLUMNS_MAX = 16 };

struct cell {
	char *text;
	enum paint paint;
};

struct table {
	const char *const *headings;
	size_t columns, count, room;
	struct cell *cells;
};

struct table *table_new(const char *const *headings)
{
	struct table *t = xcalloc(1, sizeof *t);

	t->headings = headings;
	while (headings[t->columns])
		t->columns++;
	assert(t->columns && t->columns <= COLUMNS_MAX);
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
}

void table_cell(struct table *t, enum paint paint, const char *text)
{
	struct buf clean = { 0 };

	text_put(&clean, text);
	if (t->count == t->room) {
		t->room = MAX(2 * t->room, (size_t)64);
		t->cells = xreallocarray(t->cells, t->room, sizeof *t->cells);
	}
	t->cells[t->count++] = (struct cell){ buf_detach(&clean), paint };
}

void table_cellf(struct table *t, enum paint paint, const char *fmt, ...)
{
	cleanup(freep) char *text = NULL;
	va_list args;

	va_start(args, fmt);
	text = xvprintf(fmt, args);
	va_end(args);
	table_cell(t, paint, text);
}

static bool to_the_right(const struct table *t, size_t column)
{
	return t->headings[column][0] == '>';
}

static const char *heading(const struct table *t, size_t column)
{
	return t->headings[column] + to_the_right(t, column);
}

static void measure(const struct table *t, const struct look *look, int *widths)
{
	size_t last = t->columns - 1;
	int before = 0, left;

	for (size_t c = 0; c < t->columns; c++)
		widths[c] = text_width(heading(t, c));
	for (size_t i = 0; i < t->count; i++)
		widths[i % t->columns] = MAX(widths[i % t->columns], text_width(t->cells[i].text));
	for (size_t c = 0; c < last; c++)
		before += widths[c] + GAP;
	left = look->width - before;
	if (look->width && widths[last] > left)
		widths[last] = MAX(left, LEAST_LAST);
}

static void put(const struct table *t, const struct look *look, size_t column, const int *widths,
		enum paint paint, const char *text, struct buf *out)
{
	cleanup(buf_release) struct buf cut = { 0 };
	bool last = column + 1 == t->columns, right = to_the_right(t, column);
	int width;

	text_cut(&cut, text, widths[column]);
	width = text_width(buf_str(&cut));
	if (right)
		text_pad(out, width, widths[column]);
	text_paint(out, look, paint, buf_str(&cut));
	if (!last)
		text_pad(out, right ? widths[column] : width, widths[column] + GAP);
}

/* The spaces before the end of a line are nobody's. */
static void end_line(struct buf *out)
{
	while (out->len && out->data[out->len - 1] == ' ')
		out->data[--out->len] = 0;
	buf_putc(out, '\n');
}

void table_render(const struct table *t, const struct look *look, const char *empty,
		  struct buf *out)
{
	int widths[COLUMNS_MAX];

	assert(t->count % t->columns == 0);
	if (!t->count) {
		buf_printf(out, "%s\n", empty);
		return;
	}
	measure(t, look, widths);
	for (size_t c = 0; c < t->columns; c++)
		put(t, look, c, widths, DIM, heading(t, c), out);
	end_line(out);
	for (size_t i = 0; i < t->count; i++) {
		const struct cell *cell = &t->cells[i];

		put(t, look, i % t->columns, widths, cell->paint, cell->text, out);
		if ((i + 1) % t->columns == 0)
			end_line(out);
	}
}
