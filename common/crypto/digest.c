/*
 * SHA-256 through OpenSSL's EVP, which picks the CPU's own instructions. The algorithm is fetched
 * once: an implicit fetch for each small blob costs more than hashing it.
 */
#include "crypto/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

static EVP_MD *sha256;

static void fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	assert(sha256);
}

void digest_begin(struct digest_ctx *c)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int ok;

	pthread_once(&once, fetch);
	if (!c->state)
		c->state = EVP_MD_CTX_new();
	assert(c->state);
	ok = EVP_DigestInit_ex2(c->state, sha256, NULL);
	assert(ok == 1);
}

void digest_update(struct digest_ctx *c, const void *data, size_t len)
{
	int ok = EVP_DigestUpdate(c->state, data, len);

	assert(ok == 1);
}

void digest_finish(struct digest_ctx *c, struct digest *ret)
{
	int ok = EVP_DigestFinal_ex(c->state, ret->bytes, NULL);

	assert(ok == 1);
}

void digest_release(struct digest_ctx *c)
{
	EVP_MD_CTX_free(c->state);
	c->state = NULL;
}

struct digest digest_of(const void *data, size_t len)
{
	struct digest_ctx c = { 0 };
	struct digest ret;

	digest_begin(&c);
	digest_update(&c, data, len);
	digest_finish(&c, &ret);
	digest_release(&c);
	return ret;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

bool digest_is_zero(const struct digest *d)
{
	static const struct digest zero;

	return digest_equal(d, &zero);
}

int digest_compare(const struct digest *a, const struct digest *b)
{
	return memcmp(a, b, sizeof *a);
}

static char *to_hex(const uint8_t *bytes, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * n] = '\0';
	return out;
}

char *digest_hex(const struct digest *d, char out[DIGEST_HEX_SIZE])
{
	return to_hex(d->bytes, DIGEST_SIZE, out);
}

char *digest_format(const struct digest *d, char out[DIGEST_TEXT_SIZE])
{
	memcpy(out, "sha256:", 7);
	to_hex(d->bytes, DIGEST_SIZE, out + 7);
	return out;
}

char *digest_short(const struct digest *d, char kind, char out[DIGEST_SHORT_SIZE])
{
	out[0] = kind;
	out[1] = ':';
	to_hex(d->bytes, 2, out + 2);
	return out;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int digest_parse(const char *text, struct digest *ret, struct error *err)
{
	const char *hex = strncmp(text, "sha256:", 7) == 0 ? text + 7 : text;
	struct digest d;

	for (int i = 0; i < DIGEST_SIZE; i++) {
		int high = nibble(hex[2 * i]);
		int low = high < 0 ? -1 : nibble(hex[2 * i + 1]);

		if (low < 0)
			goto bad;
		d.bytes[i] = (uint8_t)(high << 4 | low);
	}
	if (hex[2 * DIGEST_SIZE])
		goto bad;
	*ret = d;
	return 0;
bad:
	return error_set(err, ERR_INVALID,
			 "'%.80s' is no digest: 64 hex digits (0-9a-f) are expected, "
			 "'sha256:' may stand before them",
			 text);
}

int digest_from_bytes(const void *data, size_t len, struct digest *ret, struct error *err)
{
	if (len != DIGEST_SIZE)
		return error_set(err, ERR_INVALID, "a digest has %d bytes, this one has %zu",
				 DIGEST_SIZE, len);
	memcpy(ret->bytes, data, DIGEST_SIZE);
	return 0;
}
