/*
 * chunker.c: the cuts are fixed for ever, do not depend on how bytes arrive, and a change stays
 * local.
 */
#include "blob/chunker.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "crypto/digest.h"
#include "support.h"

enum { MAX_CUTS = 128 };

struct cuts {
	size_t n;
	size_t len[MAX_CUTS];
	struct digest digest[MAX_CUTS];
};

static void drain(struct chunker *c, struct cuts *cuts)
{
	const void *data;
	size_t len;

	while (chunker_next(c, &data, &len)) {
		cr_assert_lt(cuts->n, MAX_CUTS);
		cuts->len[cuts->n] = len;
		cuts->digest[cuts->n++] = digest_of(data, len);
	}
}

/* Cuts data that arrives in pieces of `step` bytes. */
static void cut(const char *data, size_t len, size_t step, struct cuts *cuts)
{
	cleanup(chunker_freep) struct chunker *c = chunker_new();

	cuts->n = 0;
	while (len) {
		size_t n = chunker_push(c, data, MIN(step, len));

		data += n;
		len -= n;
		drain(c, cuts);
	}
	chunker_finish(c);
	drain(c, cuts);
}

static char *noise(size_t len, uint64_t seed)
{
	char *data = xmalloc(len);

	fill_noise(data, len, seed);
	return data;
}

Test(chunker, cuts_these_bytes_at_these_places_for_ever)
{
	static const size_t golden[] = { 1485671, 1089782, 1083591, 1446686, 418557,
					 482709,  1072782, 1364095, 520012,  668280,
					 272515,  409627,  809156,  1335328, 124121 };
	/* by a program of its own, in another language, from the description in chunker.c */
	cleanup(freep) char *data = noise(12 << 20, 42);
	struct cuts cuts;

	cut(data, 12 << 20, 1 << 20, &cuts);
	for (size_t i = 0; i < MIN(cuts.n, ARRAY_SIZE(golden)); i++)
		cr_expect_eq(cuts.len[i], golden[i], "chunk %zu has %zu bytes", i, cuts.len[i]);
	cr_expect_eq(cuts.n, ARRAY_SIZE(golden));
}

Test(chunker, it_does_not_matter_how_bytes_arrive)
{
	static const size_t steps[] = { 4096 + 13, 65536, 1 << 20, 5 << 20, 16 << 20 };
	cleanup(freep) char *data = noise(16 << 20, 7);
	struct cuts whole, parts;

	cut(data, 16 << 20, 100000, &whole);
	cr_assert_gt(whole.n, 5);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		cut(data, 16 << 20, steps[i], &parts);
		cr_assert_eq(parts.n, whole.n);
		cr_expect_eq(memcmp(parts.digest, whole.digest, parts.n * sizeof *parts.digest), 0);
	}
}

Test(chunker, sizes_keep_their_limits_and_their_mean)
{
	cleanup(freep) char *data = noise(64 << 20, 11);
	struct cuts cuts;
	size_t sum = 0;

	cut(data, 64 << 20, 1 << 20, &cuts);
	for (size_t i = 0; i < cuts.n; i++) {
		cr_expect_leq(cuts.len[i], CHUNK_MAX);
		cr_expect(i == cuts.n - 1 || cuts.len[i] > CHUNK_MIN);
		sum += cuts.len[i];
	}
	cr_expect_eq(sum, 64 << 20);
	cr_expect_geq(cuts.n, 64 * 2 / 3, "%zu chunks", cuts.n);
	cr_expect_leq(cuts.n, 64 * 3 / 2, "%zu chunks", cuts.n);
}

Test(chunker, without_any_content_to_go_by_chunks_have_the_largest_size)
{
	cleanup(freep) char *zeros = xcalloc(1, 9 << 20);
	struct cuts cuts;

	cut(zeros, 9 << 20, 1 << 20, &cuts);
	cr_assert_eq(cuts.n, 3);
	cr_expect_eq(cuts.len[0], CHUNK_MAX);
	cr_expect_eq(cuts.len[1], CHUNK_MAX);
	cr_expect_eq(cuts.len[2], 1 << 20);
}

static size_t count_new(const struct cuts *was, const struct cuts *is)
{
	size_t fresh = 0;

	for (size_t i = 0; i < is->n; i++) {
		bool known = false;

		for (size_t k = 0; k < was->n && !known; k++)
			known = digest_equal(&is->digest[i], &was->digest[k]);
		fresh += !known;
	}
	return fresh;
}

Test(chunker, a_byte_changed_inserted_or_removed_changes_few_chunks)
{
	enum { LEN = 32 << 20 };
	cleanup(freep) char *data = noise(LEN + 1, 5);
	struct cuts was, is;

	cut(data, LEN, 1 << 20, &was);
	cr_assert_gt(was.n, 16);
	for (size_t at = 0; at < LEN; at += LEN / 5 + 12345) {
		data[at] ^= 1;
		cut(data, LEN, 1 << 20, &is);
		cr_expect_geq(count_new(&was, &is), 1);
		cr_expect_leq(count_new(&was, &is), 2, "%zu new", count_new(&was, &is));
		data[at] ^= 1;
	}
	memmove(data + LEN / 3 + 1, data + LEN / 3, LEN - LEN / 3);
	cut(data, LEN + 1, 1 << 20, &is);
	cr_expect_geq(count_new(&was, &is), 1);
	cr_expect_leq(count_new(&was, &is), 3, "%zu new", count_new(&was, &is));
}

Test(chunker, what_is_short_is_one_chunk_and_nothing_is_none)
{
	static const size_t sizes[] = { 1, 1000, CHUNK_MIN - 1, CHUNK_MIN };
	cleanup(freep) char *data = noise(CHUNK_MIN, 3);
	struct cuts cuts;

	cut(data, 0, 1, &cuts);
	cr_expect_eq(cuts.n, 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		cut(data, sizes[i], 1 << 20, &cuts);
		cr_expect_eq(cuts.n, 1);
		cr_expect_eq(cuts.len[0], sizes[i]);
	}
}

Test(chunker, can_begin_again)
{
	cleanup(chunker_freep) struct chunker *c = chunker_new();
	cleanup(freep) char *data = noise(3 << 20, 8);
	struct cuts fresh, again = { 0 };

	cut(data, 3 << 20, 3 << 20, &fresh);
	chunker_push(c, data + 1000, 2 << 20);
	chunker_finish(c);
	chunker_reset(c);
	cr_assert_eq(chunker_push(c, data, 3 << 20), 3 << 20);
	chunker_finish(c);
	drain(c, &again);
	cr_assert_eq(again.n, fresh.n);
	cr_expect_eq(memcmp(again.digest, fresh.digest, again.n * sizeof *again.digest), 0);
}
