/*
 * The format between agent and shim, and the masks: pure functions.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "agent/shim/mask.h"
#include "agent/shim/run.h"
#include "agent/shim/wire.h"
#include "base/mem.h"

Test(wire, the_checksum_is_crc32c)
{
	unsigned char zeros[32] = { 0 };

	cr_expect_eq(wire_crc32c("123456789", 9), 0xe3069283);	    /* the usual check value */
	cr_expect_eq(wire_crc32c(zeros, sizeof zeros), 0x8a9136aa); /* RFC 3720, B.4 */
}

Test(wire, a_message_reads_back_as_written)
{
	unsigned char data[256];
	struct wire_out out;
	struct wire_in in;
	struct wire_field f;
	uint64_t n;
	size_t len;

	wire_begin(&out, data, sizeof data, WIRE_SIGNAL);
	wire_number(&out, WIRE_FENCE, 1ull << 60);
	wire_string(&out, WIRE_NAME, "");
	wire_string(&out, WIRE_DIR, NULL);
	len = wire_end(&out);
	cr_assert_eq(wire_open(&in, data, len), 0);
	cr_expect_eq(in.kind, WIRE_SIGNAL);
	cr_assert_eq(wire_next(&in, &f), 1);
	cr_expect_eq(f.tag, WIRE_FENCE);
	cr_assert_eq(wire_field_number(&f, &n), 0);
	cr_expect_eq(n, 1ull << 60);
	cr_assert_eq(wire_next(&in, &f), 1);
	cr_expect_eq(f.len, 1);
	cr_expect_eq(wire_field_number(&f, &n), -1);
	cr_expect_eq(wire_next(&in, &f), 0);
}

Test(wire, a_cut_message_is_refused_at_every_length)
{
	unsigned char data[256];
	struct wire_out out;
	struct wire_in in;
	size_t len;

	wire_begin(&out, data, sizeof data, WIRE_WATCH);
	wire_number(&out, WIRE_FENCE, 1);
	wire_number(&out, WIRE_LENGTH, 2);
	len = wire_end(&out);
	for (size_t n = 0; n < len; n++)
		cr_expect_eq(wire_open(&in, data, n), -1);
	data[0] = 99;
	cr_expect_eq(wire_open(&in, data, len), -1, "a version from far ahead");
}

Test(wire, what_does_not_fit_is_said_at_the_end)
{
	unsigned char data[32];
	struct wire_out out;

	wire_begin(&out, data, sizeof data, WIRE_RUN);
	wire_bytes(&out, WIRE_ARG, "0123456789abcdefghijklmnopq", 27);
	cr_expect_eq(wire_end(&out), 0);
}

Test(wire, a_record_survives_and_any_flipped_bit_does_not)
{
	struct shim_record a = { .fence = 7,
				 .length = 1ull << 40,
				 .reason = SHIM_TIMEOUT,
				 .exit_code = -1,
				 .signal = 15,
				 .started_ms = 1,
				 .ended_ms = -5,
				 .restarts = 4000000000 };
	struct shim_record b;
	unsigned char bytes[SHIM_RECORD_BYTES];

	shim_record_encode(&a, bytes);
	cr_assert(shim_record_decode(bytes, &b));
	cr_expect_eq(memcmp(&a, &b, sizeof a), 0);
	for (size_t bit = 0; bit < SHIM_RECORD_BYTES * 8; bit++) {
		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
		cr_expect(!shim_record_decode(bytes, &b), "bit %zu", bit);
		bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
}

static struct request request;
static struct mask masks;

/* A good RUN message but for one field. */
static int parse_with(enum wire_tag tag, const void *bytes, size_t len)
{
	static unsigned char data[1024];
	struct wire_out out;
	struct wire_in in;

	wire_begin(&out, data, sizeof data, WIRE_RUN);
	wire_number(&out, WIRE_FENCE, 1);
	wire_string(&out, WIRE_NAME, "1");
	wire_string(&out, WIRE_EXEC, "/bin/true");
	wire_string(&out, WIRE_ARG, "true");
	if (tag)
		wire_bytes(&out, tag, bytes, len);
	cr_assert_eq(wire_open(&in, data, wire_end(&out)), 0);
	return request_parse(&request, &masks, &in);
}

Test(wire, a_run_request_is_checked_field_by_field)
{
	const uint64_t huge = UINT64_MAX, zero = 0;

	cr_expect_eq(parse_with(0, NULL, 0), 0);
	cr_expect_eq(parse_with(9999, "future", 6), 0, "unknown tags are skipped");
	cr_expect_eq(parse_with(WIRE_FENCE, &zero, 8), -1);
	cr_expect_eq(parse_with(WIRE_FENCE, "1", 1), -1);
	cr_expect_eq(parse_with(WIRE_NAME, "../../etc/passwd", 17), -1);
	cr_expect_eq(parse_with(WIRE_NAME, ".hidden", 8), -1);
	cr_expect_eq(parse_with(WIRE_ARG, "no end", 6), -1);
	cr_expect_eq(parse_with(WIRE_ARG, "a\0b", 4), -1);
	cr_expect_eq(parse_with(WIRE_ENV, "", 0), -1);
	cr_expect_eq(parse_with(WIRE_TIMEOUT, &huge, 8), -1, "a sum would overflow");
	cr_expect_eq(parse_with(WIRE_UID, &huge, 8), -1);
}

static size_t mask_all(const char *in, size_t step, char *out)
{
	unsigned char buffer[256];
	size_t held = 0, done = 0, n = strlen(in);

	mask_restart(&masks);
	for (size_t at = 0; at < n; at += step) {
		size_t take = n - at < step ? n - at : step, ready;

		memcpy(buffer + held, in + at, take);
		ready = mask_apply(&masks, buffer, held + take, at + take == n);
		memcpy(out + done, buffer, ready);
		done += ready;
		held = held + take - ready;
		memmove(buffer, buffer + ready, held);
	}
	out[done] = '\0';
	return held;
}

Test(mask, matches_are_found_however_the_bytes_are_cut)
{
	static const char *const cases[][2] = {
		{ "secret", "******" },
		{ "a secret b", "a ****** b" },
		{ "secresecret", "secre******" },
		{ "secretive abcdefgh",
		  "********* ********" }, /* overlapping: the longest, and both */
		{ "xxabcdex cdefgh", "xxabcdex ******" },
		{ "abcdef cdefgh secre", "****** ****** secre" },
		{ "aaaaaaaa", "aaaaaaaa" },
	};
	static const char *const patterns[] = { "secret", "secretive", "abcdef", "cdefgh" };

	mask_clear(&masks);
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		mask_add(&masks, patterns[i], strlen(patterns[i]));
	mask_add(&masks, "abc", 3); /* too short: left out */
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t step = 1; step <= 20; step++) {
			char out[256];

			cr_expect_eq(mask_all(cases[i][0], step, out), 0);
			cr_expect_str_eq(out, cases[i][1], "step %zu: '%s' became '%s'", step,
					 cases[i][0], out);
		}
}
