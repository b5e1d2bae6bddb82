/*
 * The growing string. It doubles, so adding byte by byte stays linear, and there
 * is always room for the NUL that follows the bytes.
 */
#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { SMALLEST = 64 };

void buf_release(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

void buf_reserve(struct buf *b, size_t more)
{
	size_t need, cap;

	assert(more < SIZE_MAX / 2 - b->len);
	need = b->len + more + 1;
	if (need <= b->cap)
		return;
	cap = MAX(b->cap * 2, (size_t)SMALLEST);
	b->cap = MAX(cap, need);
	b->data = xrealloc(b->data, b->cap);
	b->data[b->len] = '\0';
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	buf_reserve(b, n);
	if (n)
		memcpy(b->data + b->len, p, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void buf_puts(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	buf_vprintf(b, fmt, args);
	va_end(args);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list args)
{
	va_list again;
	int len;

	va_copy(again, args);
	buf_reserve(b, 1);
	len = vsnprintf(b->data + b->len, b->cap - b->len, fmt, args);
	assert(len >= 0);
	if ((size_t)len >= b->cap - b->len) {
		buf_reserve(b, (size_t)len);
		vsnprintf(b->data + b->len, b->cap - b->len, fmt, again);
	}
	va_end(again);
	b->len += (size_t)len;
}

void buf_consume(struct buf *b, size_t n)
{
	assert(n <= b->len);
	if (!n)
		return;
	b->len -= n;
	memmove(b->data, b->data + n, b->len);
	b->data[b->len] = '\0';
}

char *buf_detach(struct buf *b)
{
	char *data = b->data ? b->data : xstrdup("");

	*b = (struct buf){ 0 };
	return data;
}

const char *buf_str(const struct buf *b)
{
	return b->data ? b->data : "";
}
