/*
 * digest.h - SHA-256 names of bytes, and CRC-32C of frames
 *
 * A digest names a chunk, a manifest, an artifact, a certificate. Written in full it is
 * "sha256:" and 64 lower-case hex digits; people see the short form "m:4c1e", a letter for the kind
 * and the first four digits. Digests are public: digest_equal() takes no care of timing (hmac.h
 * does).
 *
 * A struct digest_ctx belongs to one thread at a time; `struct digest_ctx c = {0}` is empty and
 * owns nothing. Hashing cannot fail: OpenSSL without SHA-256 or without memory ends the process.
 */
#ifndef CRYPTO_DIGEST_H
#define CRYPTO_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"

enum {
	DIGEST_SIZE = 32,
	DIGEST_HEX_SIZE = 65,  /* 64 digits and the NUL */
	DIGEST_TEXT_SIZE = 72, /* "sha256:", 64 digits and the NUL */
	DIGEST_SHORT_SIZE = 7, /* "m:4c1e" and the NUL */
};

struct digest {
	uint8_t bytes[DIGEST_SIZE];
};

struct digest_ctx {
	void *state; /* OpenSSL's */
};

void digest_begin(struct digest_ctx *c); /* begins, or begins again */
void digest_update(struct digest_ctx *c, const void *data, size_t len);
void digest_finish(struct digest_ctx *c, struct digest *ret); /* digest_begin() may follow */
void digest_release(struct digest_ctx *c); /* frees, and is empty again; fits cleanup() */

struct digest digest_of(const void *data, size_t len);
bool digest_equal(const struct digest *a, const struct digest *b);
bool digest_is_zero(const struct digest *d);			    /* no digest at all */
int digest_compare(const struct digest *a, const struct digest *b); /* as memcmp */

/* All return out. */
char *digest_hex(const struct digest *d, char out[DIGEST_HEX_SIZE]);
char *digest_format(const struct digest *d, char out[DIGEST_TEXT_SIZE]); /* "sha256:hex" */
char *digest_short(const struct digest *d, char kind, char out[DIGEST_SHORT_SIZE]);
/* "sha256:hex" or the bare 64 hex digits, lower case only. ERR_INVALID otherwise. */
int digest_parse(const char *text, struct digest *ret, struct error *err);
/* Exactly 32 bytes, as they come in a message. ERR_INVALID otherwise. */
int digest_from_bytes(const void *data, size_t len, struct digest *ret, struct error *err);

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4); crc32c(crc32c(0, a), b) is that of a and b joined,
 * the first seed is 0. Uses the CPU's instruction where there is one. */
uint32_t crc32c(uint32_t seed, const void *data, size_t len);

#endif
