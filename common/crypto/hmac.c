/*
 * HMAC-SHA-256 and its companions, by OpenSSL.
 */
#include "crypto/hmac.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

struct digest hmac_sha256(const void *key, size_t key_len, const void *data, size_t len)
{
	struct digest ret;
	unsigned int n = 0;

	assert(key_len <= INT32_MAX);
	/* OpenSSL takes a NULL key for "the one of last time" */
	HMAC(EVP_sha256(), key ? key : "", (int)key_len, data, len, ret.bytes, &n);
	assert(n == DIGEST_SIZE);
	return ret;
}

bool secret_equal(const void *a, const void *b, size_t len)
{
	return len == 0 || CRYPTO_memcmp(a, b, len) == 0;
}

bool secret_equal_text(const char *a, const char *b)
{
	size_t len = strlen(a);

	return len == strlen(b) && secret_equal(a, b, len);
}

void secret_clear(void *p, size_t len)
{
	OPENSSL_cleanse(p, len);
}
