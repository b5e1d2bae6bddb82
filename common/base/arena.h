/*
 * arena.h - memory that is freed all at once
 *
 * For what lives exactly as long as something else: a call's messages, a
 * parsed file. Blocks grow from 4 KiB; nothing is freed singly. One thread at
 * a time. A cap (bytes asked for, each rounded up to 16; 0: none) makes arena_alloc() return NULL
 * past it, which is how hostile protobuf is refused; without a cap it never is NULL.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>
#include "base/mem.h"

struct arena;

struct arena *arena_new(size_t cap);
void arena_free(struct arena *a);
void arena_reset(struct arena *a);		 /* all is gone, the first block is kept */
void *arena_alloc(struct arena *a, size_t size); /* aligned to 16, not cleared */
void *arena_zalloc(struct arena *a, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t max);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t arena_used(const struct arena *a);
DEFINE_CLEANUP(struct arena *, arena_free)

#endif
