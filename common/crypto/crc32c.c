/*
 * CRC-32C by the CPU's crc32 instruction where x86 has it, else eight table look-ups for eight
 * bytes ("slicing by 8", Kounavis and Berry, Intel 2005). Both give the same.
 */
#include <endian.h>
#include <pthread.h>
#include <string.h>
#include "crypto/digest.h"
#include "crypto/private.h"

enum { POLYNOMIAL = 0x82f63b78 }; /* Castagnoli's, bits reversed */

static uint32_t table[8][256];

static void fill_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = c >> 1 ^ (c & 1 ? (uint32_t)POLYNOMIAL : 0);
		table[0][i] = c;
	}
	for (int k = 1; k < 8; k++)
		for (int i = 0; i < 256; i++)
			table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 255];
}

uint32_t crc32c_by_table(uint32_t seed, const void *data, size_t len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const uint8_t *p = data;
	uint32_t c = ~seed;

	pthread_once(&once, fill_table);
	for (; len >= 8; len -= 8, p += 8) {
		uint64_t v;

		memcpy(&v, p, 8);
		v = le64toh(v) ^ c;
		c = 0;
		for (int k = 0; k < 8; k++)
			c ^= table[7 - k][v >> (8 * k) & 255];
	}
	for (; len; len--, p++)
		c = c >> 8 ^ table[0][(c ^ *p) & 255];
	return ~c;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t seed, const void *data,
								 size_t len)
{
	const uint8_t *p = data;
	uint64_t c = (uint32_t)~seed;

	for (; len >= 8; len -= 8, p += 8) {
		uint64_t v;

		memcpy(&v, p, 8);
		c = __builtin_ia32_crc32di(c, v);
	}
	for (; len; len--, p++)
		c = __builtin_ia32_crc32qi((uint32_t)c, *p);
	return ~(uint32_t)c;
}

uint32_t crc32c(uint32_t seed, const void *data, size_t len)
{
	if (__builtin_cpu_supports("sse4.2"))
		return by_instruction(seed, data, len);
	return crc32c_by_table(seed, data, len);
}
#else
uint32_t crc32c(uint32_t seed, const void *data, size_t len)
{
	return crc32c_by_table(seed, data, len);
}
#endif
