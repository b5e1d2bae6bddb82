#include "agent/away.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS };
enum { OTHER_REASON_MS = 10 * SECOND_MS };

/* After how long the next line comes when nothing changes. */
static int64_t pause_ms(unsigned lines)
{
	static const int64_t pauses[] = { 0, MINUTE_MS, 4 * MINUTE_MS, 10 * MINUTE_MS,
					  45 * MINUTE_MS };

	return lines < ARRAY_SIZE(pauses) ? pauses[lines] : HOUR_MS;
}

void away_duration(int64_t ms, struct buf *ret)
{
	if (ms < 10 * SECOND_MS)
		buf_printf(ret, "%" PRId64 ".%" PRId64 " s", ms / SECOND_MS, ms % SECOND_MS / 100);
	else if (ms < 2 * MINUTE_MS)
		buf_printf(ret, "%" PRId64 " s", ms / SECOND_MS);
	else if (ms < 2 * HOUR_MS)
		buf_printf(ret, "%" PRId64 " min", ms / MINUTE_MS);
	else
		buf_printf(ret, "%" PRId64 " h", ms / HOUR_MS);
}

static bool worth_a_line(const struct away *a, const struct error *why, int64_t now_ms)
{
	int64_t silent = now_ms - a->said_ms;

	if (silent >= pause_ms(a->lines))
		return true;
	return strcmp(a->reason, why->text) != 0 && silent >= OTHER_REASON_MS;
}

bool away_failed(struct away *a, const char *address, const struct error *why, int64_t next_ms,
		 int64_t now_ms, struct buf *ret)
{
	if (!a->since_ms)
		*a = (struct away){ .since_ms = now_ms, .said_ms = now_ms };
	if (!worth_a_line(a, why, now_ms))
		return false;
	buf_puts(ret, "no session with the controller");
	if (!strstr(why->text, address))
		buf_printf(ret, " at %s", address);
	if (a->lines) {
		buf_puts(ret, " for ");
		away_duration(now_ms - a->since_ms, ret);
	}
	buf_printf(ret, ": %s", why->text);
	if (*why->hint)
		buf_printf(ret, " (%s)", why->hint);
	buf_puts(ret, "; the next try is in ");
	away_duration(next_ms, ret);
	buf_puts(ret, "; jobs go on until their leases end, services go on");
	a->lines++;
	a->said_ms = now_ms;
	snprintf(a->reason, sizeof a->reason, "%s", why->text);
	return true;
}

int64_t away_over(struct away *a, int64_t now_ms)
{
	int64_t since = a->since_ms;

	*a = (struct away){ 0 };
	return since ? now_ms - since : 0;
}
