/*
 * requests.h - answered requests: for how long, and their end
 *
 * A request_id is remembered for REQUEST_AGE_MS; repeated later, it is a new request. Whoever
 * removes the old ones lists them oldest first (controller/collect.c), so that a step costs what it
 * removes, not what there is.
 */
#ifndef MODEL_REQUESTS_H
#define MODEL_REQUESTS_H

#include "controller/model/world.h"

#define REQUEST_AGE_MS	((int64_t)24 * 3600 * 1000)
#define REQUEST_KEPT_MS INT64_C(253402300799000) /* at_ms of those kept for ever: the year 9999 */

struct request_expiry {
	Sluice__V1__RequestRow *const *rows;
	size_t n; /* some hundred */
};
/* Removes those that are too old and that no open attempt needs. reply: size_t *, how many. */
decide_fn requests_expire;

#endif
