#include "agent/away.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"

enum { MINUTE = 60000 };

static const struct error refused = { .text = "cannot reach the controller at ctl:7701: refused",
				      .hint = "is it running?" };
static const struct error ended = { .text = "the controller ended the session" };

Test(away, the_first_line_says_what_where_when_and_what_goes_on)
{
	cleanup(buf_release) struct buf line = { 0 };
	struct away a = { 0 };

	cr_assert(away_failed(&a, "ctl:7701", &ended, 400, 5000, &line));
	cr_expect_str_eq(buf_str(&line),
			 "no session with the controller at ctl:7701: the controller ended the "
			 "session; the next try is in 0.4 s; jobs go on until their leases end, "
			 "services go on");
}

Test(away, an_address_is_not_said_twice)
{
	cleanup(buf_release) struct buf line = { 0 };
	struct away a = { 0 };

	cr_assert(away_failed(&a, "ctl:7701", &refused, 2000, 5000, &line));
	cr_expect(strstr(buf_str(&line),
			 "no session with the controller: cannot reach the controller "
			 "at ctl:7701: refused (is it running?); the next try"),
		  "%s", buf_str(&line));
}

/* A try each 2 s for a day. */
Test(away, lines_come_at_growing_intervals)
{
	static const int64_t minutes[] = { 0, 1, 5, 15, 60, 120, 180 };
	struct away a = { 0 };
	size_t n = 0;

	for (int64_t now = 1; now < 24 * 60 * MINUTE; now += 2000) {
		cleanup(buf_release) struct buf line = { 0 };

		if (!away_failed(&a, "ctl:7701", &refused, 2000, now, &line))
			continue;
		if (n < sizeof minutes / sizeof *minutes)
			cr_expect(now >= minutes[n] * MINUTE && now < minutes[n] * MINUTE + 4000,
				  "line %zu came after %ld ms", n, (long)now);
		if (n == 2)
			cr_expect(strstr(buf_str(&line), "the controller for 5 min: "), "%s",
				  buf_str(&line));
		n++;
	}
	cr_expect(n >= 26 && n <= 28, "%zu lines in a day", n);
	cr_expect_eq(away_over(&a, 24 * 60 * MINUTE + 1), 24 * 60 * MINUTE);
	cr_expect_eq(away_over(&a, 24 * 60 * MINUTE + 2), 0);
}

Test(away, another_reason_is_said_but_not_each_time)
{
	struct away a = { 0 };
	unsigned n = 0;

	for (int64_t now = 1; now < MINUTE - 1000; now += 500) {
		cleanup(buf_release) struct buf line = { 0 };

		n += away_failed(&a, "ctl:7701", now / 500 % 2 ? &refused : &ended, 500, now,
				 &line);
	}
	cr_expect(n > 1 && n <= 6, "%u", n);
}

Test(away, after_a_session_it_begins_anew)
{
	cleanup(buf_release) struct buf line = { 0 };
	struct away a = { 0 };

	cr_assert(away_failed(&a, "x", &ended, 1, 1000, &line));
	cr_expect_not(away_failed(&a, "x", &ended, 1, 1500, &line));
	cr_expect_eq(away_over(&a, 2000), 1000);
	cr_expect(away_failed(&a, "x", &ended, 1, 2500, &line));
}
