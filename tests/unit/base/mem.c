#include "base/mem.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

Test(mem, a_copy_is_cut_at_its_maximum_and_ends_in_nul)
{
	cleanup(freep) char *all = xstrndup("train", 64);
	cleanup(freep) char *some = xstrndup("train", 3);
	cleanup(freep) char *none = xstrndup("train", 0);

	cr_expect_str_eq(all, "train");
	cr_expect_str_eq(some, "tra");
	cr_expect_str_eq(none, "");
}

Test(mem, nothing_asked_for_is_still_a_pointer)
{
	cleanup(freep) void *a = xmalloc(0);
	cleanup(freep) void *b = xcalloc(0, 8);
	cleanup(freep) void *c = xmemdup("", 0);

	cr_expect(a && b && c);
}

Test(mem, a_product_that_overflows_ends_the_process, .signal = SIGABRT)
{
	volatile size_t count = SIZE_MAX / 2;

	xreallocarray(NULL, count, 3);
}

Test(mem, a_stolen_pointer_is_left_alone_by_its_cleanup)
{
	char *kept;

	{
		cleanup(freep) char *mine = xprintf("%s-%d", "seed", 7);

		kept = steal(mine);
		cr_expect_null(mine);
	}
	cr_expect_str_eq(kept, "seed-7");
	free(kept);
}

Test(mem, a_scope_closes_its_descriptor)
{
	int number;

	{
		cleanup(closep) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		cr_assert_geq(fd, 0);
		number = fd;
	}
	cr_expect_eq(fcntl(number, F_GETFD), -1);
}

Test(mem, min_and_max_evaluate_once_and_nest)
{
	int calls = 0;

	cr_expect_eq(MIN(++calls, 10), 1);
	cr_expect_eq(calls, 1);
	cr_expect_eq(MAX(MIN(7, 3), MIN(2, 9)), 3);
}

struct outer {
	int before;
	int inner;
};

Test(mem, a_container_is_found_from_its_member)
{
	struct outer o = { 1, 2 };

	cr_expect_eq(container_of(&o.inner, struct outer, inner), &o);
}
