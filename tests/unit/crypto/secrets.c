/*
 * hmac.c, random.c, keys.c: known answers (RFC 4231), and what a file that holds a key must be.
 */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "crypto/hmac.h"
#include "crypto/keys.h"
#include "crypto/random.h"

static char dir[] = "/tmp/sluice-secrets-XXXXXX";

static void setup(void)
{
	cr_assert(mkdtemp(dir));
}

static void teardown(void)
{
	file_remove_tree(dir, NULL);
}

Test(hmac, gives_the_answers_of_rfc_4231)
{
	uint8_t key[131], text[50];
	char hex[DIGEST_HEX_SIZE];
	struct digest d;

	memset(key, 0x0b, 20);
	d = hmac_sha256(key, 20, "Hi There", 8);
	cr_expect_str_eq(digest_hex(&d, hex),
			 "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	d = hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28);
	cr_expect_str_eq(digest_hex(&d, hex),
			 "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, 20);
	memset(text, 0xdd, 50);
	d = hmac_sha256(key, 20, text, 50);
	cr_expect_str_eq(digest_hex(&d, hex),
			 "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
	memset(key, 0xaa, 131);
	d = hmac_sha256(key, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54);
	cr_expect_str_eq(digest_hex(&d, hex),
			 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

Test(hmac, takes_an_empty_key_for_what_it_is)
{
	struct digest a = hmac_sha256("secret", 6, "x", 1), none = hmac_sha256(NULL, 0, "x", 1);
	struct digest empty = hmac_sha256("", 0, "x", 1);

	cr_expect(digest_equal(&none, &empty));
	cr_expect_not(digest_equal(&a, &none));
}

Test(secrets, are_equal_only_when_all_bytes_are)
{
	cr_expect(secret_equal("abc", "abc", 3));
	cr_expect(secret_equal(NULL, NULL, 0));
	cr_expect_not(secret_equal("abc", "abd", 3));
	cr_expect_not(secret_equal("abc", "xbc", 3));
	cr_expect(secret_equal_text("token", "token"));
	cr_expect_not(secret_equal_text("token", "token2"));
	cr_expect_not(secret_equal_text("token", ""));
}

Test(random, tokens_are_43_characters_of_base64url_and_all_different)
{
	char seen[200][RANDOM_TOKEN_SIZE];
	uint64_t first = random_u64();

	cr_expect(first != random_u64() || first != random_u64());
	for (int i = 0; i < 200; i++) {
		cr_assert_eq(random_token(seen[i]), seen[i]);
		cr_expect_eq(strlen(seen[i]), 43);
		for (const char *c = seen[i]; *c; c++)
			cr_expect(isalnum(*c) || *c == '-' || *c == '_', "'%c'", *c);
		for (int k = 0; k < i; k++)
			cr_expect_str_neq(seen[i], seen[k]);
	}
}

Test(token, is_stored_as_its_sha_256)
{
	char hex[DIGEST_HEX_SIZE];
	struct digest d = token_hash("abc");

	cr_expect_str_eq(digest_hex(&d, hex),
			 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

Test(keys, a_new_key_is_pem_and_never_the_same, .init = setup, .fini = teardown)
{
	cleanup(key_release) struct buf a = { 0 }, b = { 0 };
	struct error err = { 0 };

	cr_assert_eq(key_generate(&a, &err), 0, "%s", err.text);
	cr_assert_eq(key_generate(&b, &err), 0, "%s", err.text);
	cr_expect_eq(strncmp(buf_str(&a), "-----BEGIN PRIVATE KEY-----\n", 28), 0);
	cr_expect_str_neq(buf_str(&a), buf_str(&b));
	key_release(&b);
}

Test(keys, a_key_file_is_0600_and_never_replaced, .init = setup, .fini = teardown)
{
	cleanup(freep) char *path = path_join(dir, "key.pem");
	cleanup(key_release) struct buf key = { 0 }, again = { 0 };
	struct error err = { 0 };
	struct stat st;

	cr_assert_eq(key_generate_file(path, &err), 0, "%s", err.text);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0600);
	cr_assert_eq(key_read_file(path, &key, &err), 0, "%s", err.text);
	cr_expect_eq(key_generate_file(path, &err), -1);
	cr_expect_eq(err.code, ERR_EXISTS);
	cr_assert_eq(key_read_file(path, &again, &err), 0, "%s", err.text);
	cr_expect_str_eq(buf_str(&key), buf_str(&again));
	key_release(&again);
}

Test(keys, a_key_file_that_others_may_read_is_refused, .init = setup, .fini = teardown)
{
	cleanup(freep) char *path = path_join(dir, "key.pem");
	cleanup(key_release) struct buf key = { 0 };
	struct error err = { 0 };

	cr_assert_eq(key_generate_file(path, &err), 0, "%s", err.text);
	cr_assert_eq(chmod(path, 0644), 0);
	cr_expect_eq(key_read_file(path, &key, &err), -1);
	cr_expect_eq(err.code, ERR_DENIED);
	cr_expect_eq(key.len, 0);
}

Test(keys, nothing_is_left_where_a_key_cannot_be_written, .init = setup, .fini = teardown)
{
	cleanup(freep) char *path = path_join(dir, "absent/key.pem");
	struct error err = { 0 };

	cr_expect_eq(key_generate_file(path, &err), -1);
	cr_expect_eq(err.code, ERR_NOT_FOUND);
	cr_expect(strstr(err.text, "absent/key.pem"));
}
