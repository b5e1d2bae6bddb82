/*
 * hmac.h - HMAC-SHA-256 (RFC 2104), and comparing what must not leak through time
 */
#ifndef CRYPTO_HMAC_H
#define CRYPTO_HMAC_H

#include <stdbool.h>
#include <stddef.h>
#include "crypto/digest.h"

/* The MAC of data under key. Any thread; the inputs may have any length, also 0. */
struct digest hmac_sha256(const void *key, size_t key_len, const void *data, size_t len);
/* Are the len bytes equal? Takes the same time wherever they differ. */
bool secret_equal(const void *a, const void *b, size_t len);
/* The same for two strings; only their lengths may leak. */
bool secret_equal_text(const char *a, const char *b);
/* Clears memory that held a secret; is not optimised away. */
void secret_clear(void *p, size_t len);

#endif
