/*
 * getrandom(2) alone: no state in the process that a copy of it could repeat.
 */
#include "crypto/random.h"

#include <assert.h>
#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

void random_bytes(void *ret, size_t len)
{
	char *p = ret;

	while (len) {
		ssize_t n = getrandom(p, len, 0);

		assert(n > 0 || errno == EINTR);
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
}

uint64_t random_u64(void)
{
	uint64_t v;

	random_bytes(&v, sizeof v);
	return v;
}

char *random_token(char out[RANDOM_TOKEN_SIZE])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8_t bytes[33] = { 0 }; /* 32, and one of zeros to fill the last group */
	int n = 0;

	random_bytes(bytes, 32);
	for (int i = 0; i < 33; i += 3) {
		uint32_t v = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];

		for (int shift = 18; shift >= 0 && n < RANDOM_TOKEN_SIZE - 1; shift -= 6)
			out[n++] = digits[v >> shift & 63];
	}
	out[n] = '\0';
	return out;
}
