/*
 * UUIDv7 (RFC 9562, 5.7): 48 bits of Unix milliseconds, then libuuid's random
 * bits, with version and variant put in their places.
 */
#include "base/id.h"

#include <string.h>
#include <uuid/uuid.h>

#include "base/clock.h"

struct id id_new(void)
{
	uint64_t ms = (uint64_t)clock_wall_ms();
	struct id id;
	uuid_t u;

	uuid_generate_random(u);
	for (int i = 0; i < 6; i++)
		u[i] = (unsigned char)(ms >> (40 - 8 * i));
	u[6] = (unsigned char)((u[6] & 0x0f) | 0x70);
	u[8] = (unsigned char)((u[8] & 0x3f) | 0x80);
	uuid_unparse_lower(u, id.text);
	return id;
}

bool id_valid(const char *text)
{
	static const char shape[] = "hhhhhhhh-hhhh-7hhh-vhhh-hhhhhhhhhhhh";

	if (strnlen(text, ID_SIZE) != ID_SIZE - 1)
		return false;
	for (int i = 0; shape[i]; i++) {
		const char *allowed = shape[i] == 'h'	? "0123456789abcdef"
				      : shape[i] == 'v' ? "89ab"
				      : shape[i] == '7' ? "7"
							: "-";

		if (!strchr(allowed, text[i]))
			return false;
	}
	return true;
}
