/*
 * caller.h - on whose behalf a decision is asked for
 *
 * Filled by the API's guard from the token (or certificate) of the call; the messages are the
 * call's and outlive the decision. The guard has checked that the role suffices for the method;
 * a decision looks again only where what it finds asks for more (an override, an approval).
 */
#ifndef MODEL_CALLER_H
#define MODEL_CALLER_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "base/error.h"
#include "sluice/v1/common.pb-c.h"
#include "sluice/v1/tokens.pb-c.h"

struct caller {
	const Sluice__V1__Actor *actor;
	Sluice__V1__Role role;
	char *const *groups;
	size_t n_groups;
};

static inline bool caller_is_admin(const struct caller *c)
{
	return c->role == SLUICE__V1__ROLE__ADMIN;
}

enum {
	CALLER_TEXT_MAX = 1000
}; /* bytes of what a person says: it goes into many rows and events */

static inline int caller_text(const char *what, const char *text, struct error *err)
{
	size_t len = strlen(text);

	if (len <= CALLER_TEXT_MAX)
		return 0;
	return error_set(err, ERR_INVALID, "the %s has %zu bytes; %d are the most", what, len,
			 CALLER_TEXT_MAX);
}

#endif
