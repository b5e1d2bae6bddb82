/*
 * The gear hash. h = (h << 1) + gear[byte], so each byte leaves h after 64 more, and the top
 * bits, which the masks test, depend on the most bytes. A cut needs 21 zero bits below the mean and
 * 18 above: sizes gather around the mean (FastCDC's "normalised chunking"). Bytes lie in one buffer
 * of twice the largest chunk; what is left of a chunk is moved to the front when room runs out,
 * about one byte in ten.
 *
 * gear[i] is the i-th number of splitmix64 (Steele, Lea, Flood, OOPSLA 2014) from the seed "sluice"
 * in ASCII. Neither the table nor a mask nor a limit may ever change: it would end deduplication
 * against everything stored.
 */
#include "blob/chunker.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

enum {
	BUFFER_SIZE = 2 * CHUNK_MAX,
};

/* A hash below this has 21 or 18 zero bits at its top. */
#define STRICT_LIMIT (1ull << (64 - 21))
#define LOOSE_LIMIT  (1ull << (64 - 18))

struct chunker {
	uint8_t *buffer;
	size_t begin;	/* of the chunk being looked for */
	size_t end;	/* of the bytes that are there */
	size_t scanned; /* bytes of the chunk that the hash has seen or skipped */
	uint64_t hash;
	bool finished;
};

static uint64_t gear[256];

static void fill_gear(void)
{
	uint64_t state = 0x736c75696365; /* "sluice" */

	for (int i = 0; i < 256; i++) {
		uint64_t z = state += 0x9e3779b97f4a7c15;

		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
		z = (z ^ z >> 27) * 0x94d049bb133111eb;
		gear[i] = z ^ z >> 31;
	}
}

struct chunker *chunker_new(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct chunker *c = xcalloc(1, sizeof *c);

	pthread_once(&once, fill_gear);
	c->buffer = xmalloc(BUFFER_SIZE);
	return c;
}

void chunker_free(struct chunker *c)
{
	if (!c)
		return;
	free(c->buffer);
	free(c);
}

void chunker_reset(struct chunker *c)
{
	c->begin = c->end = c->scanned = 0;
	c->hash = 0;
	c->finished = false;
}

void *chunker_room(struct chunker *c, size_t *ret_room)
{
	if (c->begin == c->end || BUFFER_SIZE - c->end < CHUNK_MIN) {
		memmove(c->buffer, c->buffer + c->begin, c->end - c->begin);
		c->end -= c->begin;
		c->begin = 0;
	}
	*ret_room = BUFFER_SIZE - c->end;
	return c->buffer + c->end;
}

void chunker_added(struct chunker *c, size_t len)
{
	assert(len <= BUFFER_SIZE - c->end && !c->finished);
	c->end += len;
}

size_t chunker_push(struct chunker *c, const void *data, size_t len)
{
	size_t room;
	void *at = chunker_room(c, &room);
	size_t n = MIN(len, room);

	memcpy(at, data, n);
	chunker_added(c, n);
	return n;
}

void chunker_finish(struct chunker *c)
{
	c->finished = true;
}

/* Rolls over p[i..end) until the hash is below `limit`; where that is, just behind its last byte,
 * or end. Eight bytes a turn: this loop and SHA-256 are what an upload costs. */
static size_t roll(const uint8_t *p, size_t i, size_t end, uint64_t *hash, uint64_t limit)
{
	uint64_t h = *hash;

#define STEP(k)                          \
	h = (h << 1) + gear[p[i + (k)]]; \
	if (h < limit) {                 \
		i += (k);                \
		goto cut;                \
	}
	for (; end - i >= 8; i += 8) {
		STEP(0)
		STEP(1)
		STEP(2)
		STEP(3)
		STEP(4)
		STEP(5)
		STEP(6)
		STEP(7)
	}
	for (; i < end; i++) {
		STEP(0)
	}
#undef STEP
	*hash = h;
	return end;
cut:
	*hash = h;
	return i + 1;
}

/* Goes on looking in the len bytes at p: the chunk's length, or 0 if it does not end there. */
static size_t find_cut(struct chunker *c, const uint8_t *p, size_t len)
{
	size_t limit = MIN(len, (size_t)CHUNK_MAX), mean = MIN(limit, (size_t)CHUNK_MEAN);
	size_t i = MAX(c->scanned, (size_t)CHUNK_MIN);

	if (i < mean) {
		i = roll(p, i, mean, &c->hash, STRICT_LIMIT);
		if (c->hash < STRICT_LIMIT)
			return i;
	}
	if (i >= CHUNK_MEAN && i < limit) {
		i = roll(p, i, limit, &c->hash, LOOSE_LIMIT);
		if (c->hash < LOOSE_LIMIT)
			return i;
	}
	c->scanned = i;
	return limit == CHUNK_MAX ? limit : 0;
}

bool chunker_next(struct chunker *c, const void **ret_data, size_t *ret_len)
{
	const uint8_t *p = c->buffer + c->begin;
	size_t have = c->end - c->begin, len = 0;

	if (have > CHUNK_MIN)
		len = find_cut(c, p, have);
	if (!len && c->finished)
		len = have;
	if (!len)
		return false;
	c->begin += len;
	c->scanned = 0;
	c->hash = 0;
	*ret_data = p;
	*ret_len = len;
	return true;
}
