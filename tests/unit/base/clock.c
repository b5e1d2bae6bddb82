#include "base/clock.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

Test(clock, boot_time_does_not_go_back)
{
	int64_t before = clock_boot_ms();
	int64_t us = clock_mono_us();

	for (int i = 0; i < 1000; i++) {
		struct now now = clock_now();

		cr_assert_geq(now.boot_ms, before);
		cr_assert_gt(now.wall_ms, 1700000000000);
		before = now.boot_ms;
	}
	cr_expect_geq(clock_mono_us(), us);
}

Test(clock, times_are_written_in_utc)
{
	char text[CLOCK_TEXT];

	cr_expect_str_eq(clock_format(0, text), "1970-01-01T00:00:00Z");
	cr_expect_str_eq(clock_format(1795446245678, text), "2026-11-23T15:04:05Z");
	cr_expect_str_eq(clock_format_time(1795446245678, text), "15:04:05");
	cr_expect_str_eq(clock_format(-1, text), "1969-12-31T23:59:59Z");
	cr_expect_lt(strlen(clock_format(INT64_MAX, text)), CLOCK_TEXT);
	cr_expect_lt(strlen(clock_format(INT64_MIN, text)), CLOCK_TEXT);
}

Test(clock, durations_are_shown_in_two_units_at_most)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
		{ 0, "0ms" },
		{ 340, "340ms" },
		{ 999, "999ms" },
		{ 1000, "1s" },
		{ 6200, "6.2s" },
		{ 59999, "59.9s" },
		{ 60000, "1m" },
		{ 130000, "2m10s" },
		{ 842000, "14m02s" },
		{ 3600000, "1h" },
		{ 3900000, "1h05m" },
		{ 86399999, "23h59m" },
		{ 97200000, "1d03h" },
		{ 9 * 86400000ll + 3600000, "9d" },
		{ -1500, "-1.5s" },
		{ INT64_MAX, "106751991167d" },
		{ INT64_MIN, "-106751991167d" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[CLOCK_TEXT];

		cr_expect_str_eq(duration_format(rows[i].ms, text), rows[i].text, "%s not %s", text,
				 rows[i].text);
	}
}

Test(clock, durations_are_read_with_their_units)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{ "250ms", 250 },
		{ "90s", 90000 },
		{ "5m", 300000 },
		{ "2h", 7200000 },
		{ "7d", 604800000 },
		{ "1h30m", 5400000 },
		{ "1d2h3m4s5ms", 93784005 },
		{ "0s", 0 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err = { 0 };
		int64_t ms = -1;

		cr_expect_eq(duration_parse(rows[i].text, &ms, &err), 0, "%s", err.text);
		cr_expect_eq(ms, rows[i].ms, "%s is %lld", rows[i].text, (long long)ms);
	}
}

Test(clock, what_is_no_duration_is_refused_with_advice)
{
	static const char *const rows[] = {
		"",
		"s",
		"5x",
		"-5s",
		"5 s",
		"1m1h",
		"5s5s",
		"1.5h",
		"5s ",
		"5S",
		"5mss",
		"99999999999999999999s",
		"9223372036854775807d",
		"5\xc3\xbc",
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err = { 0 };
		int64_t ms = 77;

		cr_expect_eq(duration_parse(rows[i], &ms, &err), -1, "'%s'", rows[i]);
		cr_expect_eq(ms, 77, "an output is untouched on failure");
		cr_expect_eq(err.code, ERR_INVALID);
		cr_expect(strstr(err.hint, "90s"), "%s", err.hint);
	}
}

Test(clock, a_bare_number_is_told_to_take_a_unit)
{
	struct error err = { 0 };
	int64_t ms;

	cr_expect_eq(duration_parse("90", &ms, &err), -1);
	cr_expect_str_eq(err.text, "'90' has no unit");
	cr_expect(strstr(err.hint, "90s for seconds"), "%s", err.hint);
}

Test(clock, sizes_are_powers_of_1024)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} rows[] = {
		{ "512", 512 },
		{ "512B", 512 },
		{ "0", 0 },
		{ "1K", 1024 },
		{ "16G", 17179869184 },
		{ "40GiB", 42949672960 },
		{ "1.5M", 1572864 },
		{ "0.5K", 512 },
		{ "1T", 1099511627776 },
		{ "15E", 17293822569102704640u },
		{ "18446744073709551615", UINT64_MAX },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err = { 0 };
		uint64_t bytes = 1;

		cr_expect_eq(size_parse(rows[i].text, &bytes, &err), 0, "%s", err.text);
		cr_expect_eq(bytes, rows[i].bytes, "%s is %llu", rows[i].text,
			     (unsigned long long)bytes);
	}
}

Test(clock, what_is_no_size_is_refused)
{
	static const char *const rows[] = {
		"",
		"G",
		"1.5",
		"1.5B",
		"-1",
		"16GB",
		"16g",
		"16 G",
		"1..5M",
		"1.M",
		"16E",
		"20E",
		"18446744073709551616",
		"1.0000000001M",
		"1Gi",
		"1GiBs",
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err = { 0 };
		uint64_t bytes = 77;

		cr_expect_eq(size_parse(rows[i], &bytes, &err), -1, "'%s'", rows[i]);
		cr_expect_eq(bytes, 77);
		cr_expect(strstr(err.hint, "40GiB"), "%s", err.hint);
	}
}

Test(clock, sizes_are_shown_with_one_digit)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1 KiB" },
		{ 1258291, "1.1 MiB" },
		{ 1258292, "1.2 MiB" },
		{ 1048575, "1023.9 KiB" },
		{ 17179869184, "16 GiB" },
		{ UINT64_MAX, "15.9 EiB" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[CLOCK_TEXT];

		cr_expect_str_eq(size_format(rows[i].bytes, text), rows[i].text, "%s not %s", text,
				 rows[i].text);
	}
}
