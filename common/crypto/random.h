/*
 * random.h - bytes that nobody can guess (the kernel's generator)
 *
 * Any thread. Cannot fail: a kernel that gives no random bytes ends the process.
 */
#ifndef CRYPTO_RANDOM_H
#define CRYPTO_RANDOM_H

#include <stddef.h>
#include <stdint.h>

enum {
	RANDOM_TOKEN_SIZE = 44
}; /* 256 bits as base64url without padding (43 characters), and the NUL */

void random_bytes(void *ret, size_t len);
uint64_t random_u64(void);
/* A new secret for a bearer or enrolment token: [A-Za-z0-9_-]{43}. Returns out. */
char *random_token(char out[RANDOM_TOKEN_SIZE]);

#endif
