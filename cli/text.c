/*
 * Widths come from a short table of ranges, not from the locale: the same program shows the same
 * lines everywhere. Bytes that are not UTF-8 count as one column each and are shown as `?`.
 */
#include "cli/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

struct range {
	uint32_t first, last;
};

/* Unicode 15: what combines with the character before (the blocks, not each assignment). */
static const struct range combining[] = {
	{ 0x0300, 0x036f }, { 0x0483, 0x0489 }, { 0x0591, 0x05bd }, { 0x0610, 0x061a },
	{ 0x064b, 0x065f }, { 0x1ab0, 0x1aff }, { 0x1dc0, 0x1dff }, { 0x200b, 0x200f },
	{ 0x202a, 0x202e }, { 0x2060, 0x2064 }, { 0x20d0, 0x20ff }, { 0xfe00, 0xfe0f },
	{ 0xfe20, 0xfe2f }, { 0xfeff, 0xfeff },
};
/* East Asian Width W and F. */
static const struct range wide[] = {
	{ 0x1100, 0x115f },   { 0x231a, 0x231b },   { 0x23e9, 0x23ec },	  { 0x2e80, 0x303e },
	{ 0x3041, 0x33ff },   { 0x3400, 0x4dbf },   { 0x4e00, 0x9fff },	  { 0xa000, 0xa4cf },
	{ 0xac00, 0xd7a3 },   { 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },	  { 0xff00, 0xff60 },
	{ 0xffe0, 0xffe6 },   { 0x1f300, 0x1f64f }, { 0x1f680, 0x1f6ff }, { 0x1f900, 0x1f9ff },
	{ 0x20000, 0x3fffd },
};

static bool in(const struct range *table, size_t n, uint32_t c)
{
	for (size_t i = 0; i < n; i++)
		if (c >= table[i].first && c <= table[i].last)
			return true;
	return false;
}

static int width_of(uint32_t c)
{
	if (c < 0x300)
		return 1;
	if (in(combining, ARRAY_SIZE(combining), c))
		return 0;
	return in(wide, ARRAY_SIZE(wide), c) ? 2 : 1;
}

/* One character: its bytes, at least 1; 0xfffd for what is none. */
static size_t decode(const char *s, uint32_t *ret)
{
	const unsigned char *p = (const unsigned char *)s;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	uint32_t c = n == 1 ? p[0] : p[0] & (0xff >> (n + 1));

	*ret = 0xfffd;
	if (p[0] >= 0xf8 || (p[0] >= 0x80 && p[0] < 0xc0))
		return 1;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 1;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 1;
	*ret = c;
	return n;
}

/* The length of a colour sequence (ESC [ ... m) at s, or 0. */
static size_t colour_at(const char *s)
{
	size_t n;

	if (s[0] != '\033' || s[1] != '[')
		return 0;
	n = 2 + strspn(s + 2, "0123456789;");
	return s[n] == 'm' ? n + 1 : 0;
}

int text_width(const char *text)
{
	int width = 0;

	while (*text) {
		size_t colour = colour_at(text);
		uint32_t c;

		if (colour) {
			text += colour;
			continue;
		}
		text += decode(text, &c);
		width += width_of(c);
	}
	return width;
}

void text_put(struct buf *out, const char *text)
{
	while (*text) {
		uint32_t c;
		size_t n = decode(text, &c);

		if (c == '\n' || c == '\t')
			buf_putc(out, ' ');
		else if (c < 0x20 || (c >= 0x7f && c < 0xa0))
			buf_putc(out, '?');
		else if (c == 0xfffd && n == 1)
			buf_putc(out, '?');
		else
			buf_add(out, text, n);
		text += n;
	}
}

static const char *const codes[] = {
	[PLAIN] = "",	      [BOLD] = "\033[1m",    [DIM] = "\033[2m",	  [RED] = "\033[31m",
	[GREEN] = "\033[32m", [YELLOW] = "\033[33m", [BLUE] = "\033[34m", [CYAN] = "\033[36m",
};

void text_paint(struct buf *out, const struct look *look, enum paint paint, const char *text)
{
	bool colour = look->colour && paint != PLAIN && *text;

	if (colour)
		buf_puts(out, codes[paint]);
	text_put(out, text);
	if (colour)
		buf_puts(out, "\033[0m");
}

void text_paintf(struct buf *out, const struct look *look, enum paint paint, const char *fmt, ...)
{
	cleanup(freep) char *text = NULL;
	va_list args;

	va_start(args, fmt);
	text = xvprintf(fmt, args);
	va_end(args);
	text_paint(out, look, paint, text);
}

void text_cut(struct buf *out, const char *text, int width)
{
	bool coloured = false;
	int used = 0;

	if (width <= 0 || text_width(text) <= width) {
		buf_puts(out, text);
		return;
	}
	while (*text) {
		size_t n = colour_at(text);
		uint32_t c;

		if (n) {
			coloured = true;
		} else {
			n = decode(text, &c);
			if (used + width_of(c) > width - 1)
				break;
			used += width_of(c);
		}
		buf_add(out, text, n);
		text += n;
	}
	buf_puts(out, "…");
	if (coloured)
		buf_puts(out, "\033[0m");
}

void text_pad(struct buf *out, int from, int to)
{
	for (; from < to; from++)
		buf_putc(out, ' ');
}
