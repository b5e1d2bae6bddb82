/*
 * away.h - what the log says of a controller that cannot be reached
 *
 * Pure. A controller may be away for days: the change is worth a line, then one after a minute, 5,
 * 15 and each hour; another reason is worth one, too, but not more often than each 10 s. A line
 * names the address, the reason, when the next try is and what goes on meanwhile.
 */
#ifndef AGENT_AWAY_H
#define AGENT_AWAY_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/error.h"

struct away {
	int64_t since_ms; /* boot clock; 0: it is there */
	int64_t said_ms;  /* the last line */
	unsigned lines;
	char reason[sizeof((struct error *)0)->text];
};

/* A session ended, or could not begin, because of `why`; the next try is in next_ms. False: that is
 * worth no line now. Times: boot clock. */
bool away_failed(struct away *a, const char *address, const struct error *why, int64_t next_ms,
		 int64_t now_ms, struct buf *ret);
/* It answers. How long it was away, ms; 0: it was not. */
int64_t away_over(struct away *a, int64_t now_ms);
/* "12 s", "5 min", "3 h" */
void away_duration(int64_t ms, struct buf *ret);

#endif
