/*
 * What the core says when there is no answer, said for people: one sentence
 * with the address, and what to look at next. The core's own words name the
 * reason of a refused or lost connection; why a handshake failed they do not,
 * so one more is tried to see (tls_fetch.c).
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "rpc/internal.h"

static bool says(const char *details, const char *words)
{
	return strcasestr(details, words) != NULL;
}

static void unreachable(const struct rpc_channel *ch, const char *why, struct error *err)
{
	bool sluice = strcmp(ch->what, "the controller") == 0;

	error_id(err, "E0307", "cannot reach %s at %s: %s", ch->what, ch->address, why);
	if (sluice)
		error_hint(err, "is sluice-controller running there?");
}

static void unknown_host(const struct rpc_channel *ch, struct error *err)
{
	error_id(err, "E0307", "cannot reach %s at %s: no such host", ch->what, ch->address);
	error_hint(err, "check the spelling of the address, and the host's name service");
}

static void explain_unavailable(const struct rpc_channel *ch, const char *details,
				struct error *err)
{
	static const char *const reasons[] = { "Connection refused", "No route to host",
					       "Network is unreachable", "Connection timed out",
					       "Host is down" };
	struct error probed = { 0 };
	char why[64];

	for (unsigned i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (!says(details, reasons[i]))
			continue;
		snprintf(why, sizeof why, "%s", reasons[i]);
		why[0] |= 0x20; /* lower case */
		unreachable(ch, why, err);
		return;
	}
	if (says(details, "DNS resolution failed") || says(details, "name resolution")) {
		unknown_host(ch, err);
		return;
	}
	if (tls_probe(ch, &probed) < 0) {
		if (err)
			*err = probed;
		return;
	}
	if (says(details, "failed to connect") || says(details, "handshake"))
		unreachable(ch, "the connection could not be made", err);
	else
		unreachable(ch, "the connection was lost", err);
}

void words_for(const struct rpc_channel *ch, grpc_status_code status, const char *details,
	       int timeout_ms, struct error *err)
{
	char duration[CLOCK_TEXT];

	switch (status) {
	case GRPC_STATUS_UNAVAILABLE:
		explain_unavailable(ch, details, err);
		break;
	case GRPC_STATUS_DEADLINE_EXCEEDED:
		error_set(err, ERR_TIMEOUT, "%s at %s did not answer within %s", ch->what,
			  ch->address, duration_format(timeout_ms, duration));
		break;
	case GRPC_STATUS_CANCELLED:
		error_set(err, ERR_CANCELLED, "the call was cancelled");
		break;
	case GRPC_STATUS_RESOURCE_EXHAUSTED:
		if (says(details, "message larger than max"))
			error_id(err, "E0206",
				 "the message is too large (bytes sent, bytes allowed: %s)",
				 strrchr(details, '(') ? strrchr(details, '(') : "?");
		break;
	case GRPC_STATUS_UNIMPLEMENTED:
		error_set(err, ERR_UNIMPLEMENTED, "%s at %s does not know this request", ch->what,
			  ch->address);
		error_hint(err, "is it an older version?");
		break;
	default: /* the server's own words */
		break;
	}
}
