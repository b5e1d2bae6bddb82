/*
 * One pass: a bitmap of first pairs finds the few places worth comparing. A byte is
 * blanked only when the pass has moved beyond it, so overlapping secrets are all found.
 */
#include "agent/shim/mask.h"

#include <string.h>

static unsigned pair(const unsigned char *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

void mask_clear(struct mask *m)
{
	if (m->count)
		memset(m->pairs, 0, sizeof m->pairs);
	m->count = 0;
	m->carry = 0;
}

void mask_add(struct mask *m, const void *pattern, size_t len)
{
	unsigned first;

	if (len < WIRE_MIN_MASK || len > WIRE_MAX_MASK || m->count == WIRE_MAX_MASKS)
		return;
	first = pair(pattern);
	m->pairs[first / 8] |= (unsigned char)(1 << first % 8);
	m->pattern[m->count] = pattern;
	m->len[m->count++] = len;
}

void mask_restart(struct mask *m)
{
	m->carry = 0;
}

/* The longest match at p, 0 if none; *ret_partial: the bytes end inside a possible one. */
static size_t match(const struct mask *m, const unsigned char *p, size_t left, bool *ret_partial)
{
	size_t longest = 0;

	*ret_partial = false;
	if (left >= 2 && !(m->pairs[pair(p) / 8] & 1 << pair(p) % 8))
		return 0;
	for (size_t i = 0; i < m->count; i++) {
		size_t n = m->len[i] < left ? m->len[i] : left;

		if (memcmp(p, m->pattern[i], n) != 0)
			continue;
		if (n < m->len[i])
			*ret_partial = true;
		else if (n > longest)
			longest = n;
	}
	return longest;
}

size_t mask_apply(struct mask *m, unsigned char *data, size_t len, bool final)
{
	size_t until = m->carry; /* data[i..until) is to be blanked */

	for (size_t i = 0; i < len; i++) {
		bool partial;
		size_t n = match(m, data + i, len - i, &partial);

		if (partial && !final) {
			m->carry = until > i ? until - i : 0;
			return i;
		}
		if (n && i + n > until)
			until = i + n;
		if (i < until)
			data[i] = '*';
	}
	m->carry = until > len ? until - len : 0;
	return len;
}
