/*
 * clock.h - the two clocks; durations, sizes and numbers as people write them
 *
 * Wall time is Unix milliseconds, UTC: it is stored, shown, and may jump. Boot
 * time is CLOCK_BOOTTIME milliseconds: it only moves forward, also while the
 * host sleeps, means nothing on another host or after a reboot, and is never stored.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

struct now {
	int64_t wall_ms;
	int64_t boot_ms;
};

struct now clock_now(void);
int64_t clock_wall_ms(void);
int64_t clock_boot_ms(void);
int64_t clock_mono_us(void); /* for measuring */

enum { CLOCK_TEXT = 32 };
/* "2026-11-23T15:04:05Z" and "15:04:05"; ret has CLOCK_TEXT bytes and is returned. */
char *clock_format(int64_t wall_ms, char *ret);
char *clock_format_time(int64_t wall_ms, char *ret);
/* "1h05m", "2m10s", "6.2s", "340ms", "9d": two units at most. */
char *duration_format(int64_t ms, char *ret);
/* "90s" "5m" "2h" "7d" "250ms" "1h30m". A bare number is an error that says so. */
int duration_parse(const char *text, int64_t *ret_ms, struct error *err);
/* "512", "16G", "40GiB", "1.5M": bytes, powers of 1024. */
int size_parse(const char *text, uint64_t *ret_bytes, struct error *err);
char *size_format(uint64_t bytes, char *ret); /* "1.2 MiB" */
/* "0.825603", not "0.82560300000000004": the fewest digits that read back as this number. */
char *number_format(double value, char *ret);

#endif
