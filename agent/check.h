/*
 * check.h - one HTTP probe of a service on this host
 */
#ifndef AGENT_CHECK_H
#define AGENT_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include "base/error.h"

struct check {
	const char *host;
	unsigned port;
	const char *path;	      /* "/healthz" */
	int64_t timeout_ms;	      /* of all of it, the body, too */
	bool (*cancelled)(void *arg); /* asked about once a second; NULL: never */
	void *arg;
};

/* Healthy is 2xx, and the whole body came; a redirect is not followed, and not healthy. It waits as
 * long as the time-out says. ERR_UNAVAILABLE says what came instead, ERR_CANCELLED: no longer
 * wanted. */
int check_http(const struct check *check, struct error *err);

#endif
