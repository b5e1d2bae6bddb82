/*
 * buf.h - a growing string of bytes, always followed by a NUL
 *
 * `struct buf b = {0}` is empty and owns nothing. data is NULL or NUL-
 * terminated at data[len]; the NUL is not counted.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data;
	size_t len, cap;
};

void buf_release(struct buf *b); /* frees, and is empty again; fits cleanup() */
void buf_clear(struct buf *b);	 /* empty, the memory is kept */
void buf_reserve(struct buf *b, size_t more);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list args)
	__attribute__((format(printf, 2, 0)));
void buf_consume(struct buf *b, size_t n); /* drops the first n bytes */
char *buf_detach(struct buf *b);	   /* the caller frees it; "" rather than NULL */
const char *buf_str(const struct buf *b);  /* never NULL */

#endif
