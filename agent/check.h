/*
 * check.h - one health probe over HTTP
 */
#ifndef AGENT_CHECK_H
#define AGENT_CHECK_H

#include <stdint.h>
#include "base/error.h"

/* 0 when http://HOST:PORT/PATH answers 2xx within timeout_ms; redirects are not followed. The error
 * says what came instead. Any thread. */
int check_http(const char *host, unsigned port, const char *path, int64_t timeout_ms,
	       struct error *err);

#endif
