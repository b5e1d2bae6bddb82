/*
 * digest.c, crc32c.c: known answers (FIPS 180-4, RFC 3720 B.4) and the forms of a digest's name.
 */
#include "crypto/digest.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "crypto/private.h"

#define ABC   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

Test(digest, is_sha_256)
{
	static const struct {
		const char *data, *hex;
	} cases[] = {
		{ "", EMPTY },
		{ "abc", ABC },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct digest d = digest_of(cases[i].data, strlen(cases[i].data));
		char hex[DIGEST_HEX_SIZE];

		cr_expect_str_eq(digest_hex(&d, hex), cases[i].hex);
	}
}

Test(digest, in_parts_is_that_of_the_whole_and_a_context_can_begin_again)
{
	cleanup(digest_release) struct digest_ctx c = { 0 };
	struct digest whole = digest_of("abc", 3), parts, again;

	digest_begin(&c);
	digest_update(&c, "a", 1);
	digest_update(&c, "", 0);
	digest_update(&c, "bc", 2);
	digest_finish(&c, &parts);
	cr_expect(digest_equal(&whole, &parts));
	digest_begin(&c);
	digest_update(&c, "half", 4);
	digest_begin(&c); /* what was there is forgotten */
	digest_update(&c, "abc", 3);
	digest_finish(&c, &again);
	cr_expect(digest_equal(&whole, &again));
	digest_release(&c);
	cr_expect_null(c.state);
}

Test(digest, has_three_written_forms)
{
	struct digest d = digest_of("abc", 3);
	char text[DIGEST_TEXT_SIZE], brief[DIGEST_SHORT_SIZE];

	cr_expect_str_eq(digest_format(&d, text), "sha256:" ABC);
	cr_expect_str_eq(digest_short(&d, 'm', brief), "m:ba78");
}

Test(digest, parses_what_it_writes_and_nothing_else)
{
	static const char *const bad[] = {
		"",
		"sha256:",
		"sha1:" ABC,
		ABC "0",
		"sha256:" ABC " ",
		"Ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ag",
		"sha256:sha256:" ABC,
	};
	struct digest wanted = digest_of("abc", 3), d = { 0 };
	struct error err = { 0 };

	cr_assert_eq(digest_parse(ABC, &d, &err), 0, "%s", err.text);
	cr_expect(digest_equal(&d, &wanted));
	d = (struct digest){ 0 };
	cr_assert_eq(digest_parse("sha256:" ABC, &d, &err), 0, "%s", err.text);
	cr_expect(digest_equal(&d, &wanted));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct digest untouched = { { 7 } };

		cr_expect_eq(digest_parse(bad[i], &untouched, &err), -1, "'%s'", bad[i]);
		cr_expect_eq(err.code, ERR_INVALID);
		cr_expect_eq(untouched.bytes[0], 7);
	}
}

Test(digest, comes_from_exactly_32_bytes)
{
	struct digest d = digest_of("abc", 3), back;
	struct error err = { 0 };

	cr_expect_eq(digest_from_bytes(d.bytes, 32, &back, &err), 0);
	cr_expect(digest_equal(&d, &back));
	cr_expect_eq(digest_from_bytes(d.bytes, 31, &back, &err), -1);
	cr_expect_eq(digest_from_bytes(NULL, 0, &back, &err), -1);
}

Test(digest, orders_as_its_bytes)
{
	struct digest low = { { 1 } }, high = { { 2 } }, zero = { { 0 } };

	cr_expect_lt(digest_compare(&low, &high), 0);
	cr_expect_gt(digest_compare(&high, &low), 0);
	cr_expect_eq(digest_compare(&low, &low), 0);
	cr_expect(digest_is_zero(&zero));
	cr_expect_not(digest_is_zero(&low));
}

Test(crc32c, gives_the_answers_of_rfc_3720)
{
	uint8_t zeros[32] = { 0 }, ones[32], up[32], down[32];

	memset(ones, 0xff, sizeof ones);
	for (int i = 0; i < 32; i++) {
		up[i] = (uint8_t)i;
		down[i] = (uint8_t)(31 - i);
	}
	cr_expect_eq(crc32c(0, "123456789", 9), 0xe3069283);
	cr_expect_eq(crc32c(0, zeros, 32), 0x8a9136aa);
	cr_expect_eq(crc32c(0, ones, 32), 0x62a8ab43);
	cr_expect_eq(crc32c(0, up, 32), 0x46dd794e);
	cr_expect_eq(crc32c(0, down, 32), 0x113fdb5c);
	cr_expect_eq(crc32c(0, "", 0), 0);
}

Test(crc32c, is_the_same_by_table_by_instruction_and_in_parts)
{
	uint8_t data[300];

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 167 + 13);
	for (size_t from = 0; from < 9; from++)
		for (size_t to = from; to <= sizeof data; to++) {
			uint32_t whole = crc32c(0, data + from, to - from);
			size_t half = (to - from) / 3;
			uint32_t first = crc32c(0, data + from, half);

			cr_assert_eq(crc32c_by_table(0, data + from, to - from), whole);
			cr_assert_eq(crc32c(first, data + from + half, to - from - half), whole);
		}
}
