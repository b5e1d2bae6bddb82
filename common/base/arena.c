/*
 * A chain of blocks, the newest first; each is twice the one before it, up to
 * 1 MiB, or as large as the one thing that needs it. What is asked for is
 * rounded up to 16 bytes and counted against the cap before memory is taken, so
 * a cap bounds the heap, too (to within twice the cap and a block).
 */
#include "base/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { ALIGN = 16, FIRST_BLOCK = 4096, LARGEST_BLOCK = 1 << 20 };

struct block {
	struct block *next;
	size_t size; /* of data */
	size_t used;
	alignas(ALIGN) unsigned char data[];
};

struct arena {
	struct block *newest, *first;
	size_t cap; /* 0: none */
	size_t used;
};

static struct block *block_new(size_t size, struct block *next)
{
	struct block *b;

	assert(size < SIZE_MAX - sizeof *b);
	b = xmalloc(sizeof *b + size);
	b->next = next;
	b->size = size;
	b->used = 0;
	return b;
}

struct arena *arena_new(size_t cap)
{
	struct arena *a = xcalloc(1, sizeof *a);

	a->cap = cap;
	a->newest = a->first = block_new(FIRST_BLOCK - sizeof(struct block), NULL);
	return a;
}

static void drop_all_but_first(struct arena *a)
{
	while (a->newest != a->first) {
		struct block *b = a->newest;

		a->newest = b->next;
		free(b);
	}
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	drop_all_but_first(a);
	free(a->first);
	free(a);
}

void arena_reset(struct arena *a)
{
	drop_all_but_first(a);
	a->first->used = 0;
	a->used = 0;
}

static void add_block(struct arena *a, size_t need)
{
	size_t size = MIN(a->newest->size * 2, (size_t)LARGEST_BLOCK);

	a->newest = block_new(MAX(size, need), a->newest);
}

void *arena_alloc(struct arena *a, size_t size)
{
	size_t need = (size ? size + ALIGN - 1 : ALIGN) & ~(size_t)(ALIGN - 1);
	void *p;

	if (need < size || (a->cap && need > a->cap - a->used)) {
		assert(a->cap); /* an overflow without a cap is a bug of ours */
		return NULL;
	}
	if (need > a->newest->size - a->newest->used)
		add_block(a, need);
	p = a->newest->data + a->newest->used;
	a->newest->used += need;
	a->used += need;
	return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
	void *p = arena_alloc(a, size);

	return p ? memset(p, 0, size) : NULL;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, SIZE_MAX);
}

char *arena_strndup(struct arena *a, const char *s, size_t max)
{
	size_t len = strnlen(s, max);
	char *copy = arena_alloc(a, len + 1);

	if (!copy)
		return NULL;
	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	assert(len >= 0);
	text = arena_alloc(a, (size_t)len + 1);
	if (!text)
		return NULL;
	va_start(args, fmt);
	vsnprintf(text, (size_t)len + 1, fmt, args);
	va_end(args);
	return text;
}

size_t arena_used(const struct arena *a)
{
	return a->used;
}
