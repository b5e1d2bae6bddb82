/*
 * mem.h - memory that is always there, and scopes that clean up after themselves
 *
 * Out of memory ends the process: the state on disk is crash-safe, and no
 * program here has anything better to do. What a peer may choose the size of
 * is bounded before it is asked for.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
/* Aborts when count * size overflows. */
void *xreallocarray(void *p, size_t count, size_t size);
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t max) __attribute__((malloc, returns_nonnull));
void *xmemdup(const void *p, size_t size);
char *xprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), malloc, returns_nonnull));
char *xvprintf(const char *fmt, va_list args) __attribute__((format(printf, 1, 0)));

#define cleanup(fn) __attribute__((cleanup(fn)))
/* Hands a pointer over: the variable is NULL afterwards, so its cleanup does nothing. */
#define steal(p)                             \
	({                                   \
		__typeof__(p) stolen_ = (p); \
		(p) = NULL;                  \
		stolen_;                     \
	})
/* For declarations: `cleanup(freep) char *path = xprintf(...)`. */
void freep(void *p);  /* free(*(void **)p) */
void closep(int *fd); /* close(*fd) when it is >= 0 */
/* DEFINE_CLEANUP(struct blob *, blob_free) makes blob_freep(). */
#define DEFINE_CLEANUP(type, fn)          \
	static inline void fn##p(type *p) \
	{                                 \
		if (*p)                   \
			fn(*p);           \
	}

#define ARRAY_SIZE(a)	   (sizeof(a) / sizeof *(a))
#define BIT(n)		   (1u << (n))
/* Each argument is evaluated once; they may be nested. */
#define MIN(a, b)	   PICK_(a, <, b, __COUNTER__)
#define MAX(a, b)	   PICK_(a, >, b, __COUNTER__)
#define PICK_(a, op, b, n) PICK__(a, op, b, n)
#define PICK__(a, op, b, n)                     \
	({                                      \
		__typeof__(a) a_##n = (a);      \
		__typeof__(b) b_##n = (b);      \
		a_##n op b_##n ? a_##n : b_##n; \
	})
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
