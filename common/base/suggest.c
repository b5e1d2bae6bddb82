/*
 * Optimal string alignment distance (Damerau 1964), letter case ignored, on three
 * rolling rows. Near enough is a third of the longer word (retires, retry); longer words than
 * LENGTH_MAX are nobody's typo.
 */
#include "base/suggest.h"

#include <ctype.h>
#include <string.h>

#include "base/mem.h"

enum { LENGTH_MAX = 48 };

struct suggest suggest_new(const char *wanted)
{
	return (struct suggest){ wanted, NULL, (size_t)-1 };
}

static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
	size_t rows[3][LENGTH_MAX + 1];

	for (size_t j = 0; j <= m; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= m; j++) {
			int x = tolower((unsigned char)a[i - 1]);
			int y = tolower((unsigned char)b[j - 1]);

			now[j] = MIN(MIN(last[j], now[j - 1]) + 1, last[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
			    y == tolower((unsigned char)a[i - 2]))
				now[j] = MIN(now[j], before[j - 2] + 1);
		}
	}
	return rows[n % 3][m];
}

void suggest_offer(struct suggest *s, const char *candidate)
{
	size_t n = strlen(s->wanted), m = strlen(candidate), far;

	if (n > LENGTH_MAX || m > LENGTH_MAX)
		return;
	far = distance(s->wanted, n, candidate, m);
	if (far <= (MAX(n, m) + 2) / 3 && far < s->distance && far < MAX(n, m)) {
		s->best = candidate;
		s->distance = far;
	}
}
