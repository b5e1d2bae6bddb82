/*
 * utf8.h - well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates; and what of it to show
 */
#ifndef SPEC_UTF8_H
#define SPEC_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The length of the sequence at s, of which `left` bytes may be read, or 0: not well-formed. */
static inline size_t utf8_length(const char *text, size_t left)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (!n || s[0] > 0xf4 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* Shown on a terminal it is a character, no command (C0, DEL, C1) and no change of direction. */
static inline bool utf8_printable(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;

	if (!len || s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0))
		return false;
	return !(s[0] == 0xe2 && ((s[1] == 0x80 && s[2] >= 0xaa && s[2] <= 0xae) ||
				  (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9)));
}

#endif
