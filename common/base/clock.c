/*
 * The clocks, and how people read and write times, durations and sizes. All of
 * it is integer arithmetic: what is printed is cut, not rounded, so a duration
 * never shows a second that has not passed.
 */
#include "base/clock.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

static int64_t read_us(clockid_t clock)
{
	struct timespec t;
	int r = clock_gettime(clock, &t);

	assert(r == 0);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct now clock_now(void)
{
	return (struct now){ .wall_ms = clock_wall_ms(), .boot_ms = clock_boot_ms() };
}

int64_t clock_wall_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_boot_ms(void)
{
	return read_us(CLOCK_BOOTTIME) / 1000;
}

int64_t clock_mono_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

static struct tm utc(int64_t wall_ms)
{
	time_t seconds = wall_ms / 1000 - (wall_ms % 1000 < 0);
	struct tm parts;
	struct tm *ok = gmtime_r(&seconds, &parts);

	assert(ok); /* 64 bits of milliseconds fit the years of struct tm */
	return parts;
}

char *clock_format(int64_t wall_ms, char *ret)
{
	struct tm parts = utc(wall_ms);
	size_t len = strftime(ret, CLOCK_TEXT, "%Y-%m-%dT%H:%M:%SZ", &parts);

	assert(len);
	return ret;
}

char *clock_format_time(int64_t wall_ms, char *ret)
{
	struct tm parts = utc(wall_ms);
	size_t len = strftime(ret, CLOCK_TEXT, "%H:%M:%S", &parts);

	assert(len);
	return ret;
}

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

/* "2m10s": a first unit and, unless it is 0, two digits of the next. */
static void put_two(char *ret, const char *sign, uint64_t ms, uint64_t unit, const char *suffixes)
{
	uint64_t next = unit == DAY ? HOUR : unit == HOUR ? MINUTE : SECOND;
	unsigned int rest = (unsigned int)(ms % unit / next) % 100;

	if (rest)
		snprintf(ret, CLOCK_TEXT, "%s%" PRIu64 "%c%02u%c", sign, ms / unit, suffixes[0],
			 rest, suffixes[1]);
	else
		snprintf(ret, CLOCK_TEXT, "%s%" PRIu64 "%c", sign, ms / unit, suffixes[0]);
}

char *duration_format(int64_t ms, char *ret)
{
	const char *sign = ms < 0 ? "-" : "";
	uint64_t t = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;

	if (t < SECOND)
		snprintf(ret, CLOCK_TEXT, "%s%" PRIu64 "ms", sign, t);
	else if (t < MINUTE && t % SECOND / 100)
		snprintf(ret, CLOCK_TEXT, "%s%" PRIu64 ".%" PRIu64 "s", sign, t / SECOND,
			 t % SECOND / 100);
	else if (t < MINUTE)
		snprintf(ret, CLOCK_TEXT, "%s%" PRIu64 "s", sign, t / SECOND);
	else if (t < HOUR)
		put_two(ret, sign, t, MINUTE, "ms");
	else if (t < DAY)
		put_two(ret, sign, t, HOUR, "hm");
	else if (t < 7 * (uint64_t)DAY)
		put_two(ret, sign, t, DAY, "dh");
	else
		snprintf(ret, CLOCK_TEXT, "%s%" PRIu64 "d", sign, t / DAY);
	return ret;
}

/* The digits at *at as a number; -1 when there are none or too many. */
static int take_number(const char **at, uint64_t *ret)
{
	const char *p = *at;
	uint64_t n = 0;

	if (!isdigit((unsigned char)*p))
		return -1;
	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return -1;
	*at = p;
	*ret = n;
	return 0;
}

/* Largest first: the parts of a duration are written in this order. */
static const struct duration_unit {
	char name[3];
	int64_t ms;
} duration_units[] = {
	{ "d", DAY }, { "h", HOUR }, { "m", MINUTE }, { "s", SECOND }, { "ms", 1 },
};

/* The unit at *at, which must be smaller than the one before it. */
static int take_unit(const char **at, size_t *before, int64_t *ret_ms)
{
	size_t len = 0;

	while (isalpha((unsigned char)(*at)[len]))
		len++;
	for (size_t i = *before; i < ARRAY_SIZE(duration_units); i++) {
		const struct duration_unit *u = &duration_units[i];

		if (strlen(u->name) != len || strncmp(u->name, *at, len) != 0)
			continue;
		*at += len;
		*before = i + 1;
		*ret_ms = u->ms;
		return 0;
	}
	return -1;
}

int duration_parse(const char *text, int64_t *ret_ms, struct error *err)
{
	const char *at = text;
	size_t before = 0;
	int64_t total = 0;

	if (*text && text[strspn(text, "0123456789")] == '\0') {
		error_set(err, ERR_INVALID, "'%s' has no unit", text);
		return error_hint(err, "write %.16ss for seconds; the units are ms, s, m, h, d",
				  text);
	}
	do {
		uint64_t n;
		int64_t unit, part;

		if (take_number(&at, &n) < 0 || take_unit(&at, &before, &unit) < 0 ||
		    __builtin_mul_overflow(n, unit, &part) ||
		    __builtin_add_overflow(total, part, &total)) {
			error_set(err, ERR_INVALID, "'%s' is not a duration", text);
			return error_hint(err, "write it like 250ms, 90s, 5m, 1h30m or 7d");
		}
	} while (*at);
	*ret_ms = total;
	return 0;
}

static const char size_prefixes[] = "KMGTPE";

/* "", "B", "K" or "KiB" at p (and nothing after it) as a power of two; -1 when it is none of these.
 * KB is refused: half of those who write it mean 1000. */
static int size_shift(const char *p)
{
	const char *prefix;

	if (!*p || strcmp(p, "B") == 0)
		return 0;
	prefix = strchr(size_prefixes, *p);
	if (!prefix || (p[1] && strcmp(p + 1, "iB") != 0))
		return -1;
	return 10 * ((int)(prefix - size_prefixes) + 1);
}

int size_parse(const char *text, uint64_t *ret_bytes, struct error *err)
{
	const char *at = text;
	unsigned __int128 total;
	uint64_t whole, fraction = 0, scale = 1;
	int shift;

	if (take_number(&at, &whole) < 0)
		goto bad;
	if (*at == '.') {
		const char *digits = ++at;

		if (take_number(&at, &fraction) < 0 || at - digits > 9)
			goto bad;
		for (ptrdiff_t i = 0; i < at - digits; i++)
			scale *= 10;
	}
	shift = size_shift(at);
	if (shift < 0 || (shift == 0 && scale > 1))
		goto bad;
	total = ((unsigned __int128)whole << shift) +
		((unsigned __int128)fraction << shift) / scale;
	if (total > UINT64_MAX)
		goto bad;
	*ret_bytes = (uint64_t)total;
	return 0;
bad:
	error_set(err, ERR_INVALID, "'%s' is not a size", text);
	return error_hint(err, "write it like 512, 64K, 1.5M, 16G or 40GiB (powers of 1024)");
}

char *size_format(uint64_t bytes, char *ret)
{
	unsigned int unit = 0;
	uint64_t tenths;

	if (bytes < 1024) {
		snprintf(ret, CLOCK_TEXT, "%" PRIu64 " B", bytes);
		return ret;
	}
	while (unit < 5 && bytes >> (10 * (unit + 2)))
		unit++;
	tenths = (uint64_t)(((unsigned __int128)bytes * 10) >> (10 * (unit + 1)));
	if (tenths % 10)
		snprintf(ret, CLOCK_TEXT, "%" PRIu64 ".%" PRIu64 " %ciB", tenths / 10, tenths % 10,
			 size_prefixes[unit]);
	else
		snprintf(ret, CLOCK_TEXT, "%" PRIu64 " %ciB", tenths / 10, size_prefixes[unit]);
	return ret;
}

char *number_format(double value, char *ret)
{
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(ret, CLOCK_TEXT, "%.*g", digits, value);
		if (strtod(ret, NULL) == value)
			break;
	}
	return ret;
}
