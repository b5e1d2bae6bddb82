#include "base/arena.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

Test(arena, all_it_gives_is_aligned_and_apart)
{
	cleanup(arena_freep) struct arena *a = arena_new(0);
	unsigned char *before = NULL;

	for (size_t size = 0; size < 3000; size += 7) {
		unsigned char *p = arena_alloc(a, size);

		cr_assert_eq((uintptr_t)p % 16, 0);
		cr_assert_neq(p, before);
		memset(p, 0xa5, size);
		before = p;
	}
}

Test(arena, the_cap_refuses_and_what_fits_is_still_given)
{
	cleanup(arena_freep) struct arena *a = arena_new(1024);

	cr_assert(arena_alloc(a, 1000));
	cr_expect_null(arena_alloc(a, 100));
	cr_expect(arena_alloc(a, 16));
	cr_expect_null(arena_alloc(a, 1));
	cr_expect_eq(arena_used(a), 1024);
}

Test(arena, a_cap_holds_against_sizes_that_overflow)
{
	cleanup(arena_freep) struct arena *a = arena_new(1 << 20);

	cr_expect_null(arena_alloc(a, SIZE_MAX));
	cr_expect_null(arena_alloc(a, SIZE_MAX - 15));
	cr_expect_null(arena_zalloc(a, SIZE_MAX / 2));
	cr_expect(arena_strdup(a, ""));
}

Test(arena, a_reset_arena_has_its_whole_cap_again)
{
	cleanup(arena_freep) struct arena *a = arena_new(64 * 1024);

	for (int round = 0; round < 3; round++) {
		char *p;

		for (int i = 0; i < 64; i++) {
			p = arena_alloc(a, 1024);
			cr_assert(p);
			memset(p, round, 1024);
		}
		cr_expect_null(arena_alloc(a, 1));
		arena_reset(a);
		cr_expect_eq(arena_used(a), 0);
	}
}

Test(arena, something_larger_than_a_block_is_whole)
{
	cleanup(arena_freep) struct arena *a = arena_new(0);
	char *small = arena_strdup(a, "before");
	char *large = arena_zalloc(a, 8 << 20);

	large[(8 << 20) - 1] = 'x';
	cr_expect_eq(large[0], 0);
	cr_expect_str_eq(small, "before");
	cr_expect_str_eq(arena_printf(a, "%s %d", "after", 1), "after 1");
}

Test(arena, text_is_copied_to_its_maximum)
{
	cleanup(arena_freep) struct arena *a = arena_new(0);

	cr_expect_str_eq(arena_strndup(a, "abcdef", 3), "abc");
	cr_expect_str_eq(arena_strndup(a, "ab", 3), "ab");
}
