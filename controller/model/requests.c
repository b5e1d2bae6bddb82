/*
 * Requests that were answered, so that one which is repeated changes nothing, and what we remember
 * in the same way of our own doing. A day later the former are forgotten, in steps.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/model/attempts.h"
#include "controller/model/private.h"
#include "controller/model/requests.h"

static int request_check(const char *request_id, struct error *err)
{
	size_t len = strlen(request_id);

	if (len > REQUEST_ID_MAX || strspn(request_id, "abcdefghijklmnopqrstuvwxyz"
						       "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
						       "0123456789._-") != len)
		return error_set(
			err, ERR_INVALID,
			"request_id has letters, digits, '.', '_' and '-' only, at most %d",
			REQUEST_ID_MAX);
	return 0;
}

/* A request without an id is always new. Our own keys hold a ':', which no request's id can. */
int world_asked(struct world *w, const char *request_id, const char *method,
		char ret_subject[ID_SIZE], struct error *err)
{
	cleanup(message_freep) ProtobufCMessage *message = NULL;
	const Sluice__V1__RequestRow *row;
	int found;

	if (!*request_id)
		return 0;
	if (request_check(request_id, err) < 0)
		return -1;
	found = world_fetch(w, ROW_REQUEST, request_id, &message, err);
	if (found <= 0)
		return found;
	row = (const Sluice__V1__RequestRow *)message;
	if (strcmp(row->method, method) != 0)
		return error_set(err, ERR_INVALID,
				 "request_id '%s' was used for another request, %s", request_id,
				 row->method);
	snprintf(ret_subject, ID_SIZE, "%s", row->subject);
	return 1;
}

static void answered(struct world *w, const char *request_id, const char *method,
		     const char *subject, int64_t at_ms)
{
	Sluice__V1__RequestRow *row = message_new(&sluice__v1__request_row__descriptor);
	message_set_string(&row->id, request_id);
	message_set_string(&row->method, method);
	message_set_string(&row->subject, subject);
	row->at_ms = at_ms;
	world_record(w, ROW_REQUEST, &row->base);
}

void world_answered(struct world *w, const char *request_id, const char *method,
		    const char *subject)
{
	if (*request_id)
		answered(w, request_id, method, subject, w->now.wall_ms);
}

void world_noted(struct world *w, const char *key, const char *what, const char *subject)
{
	answered(w, key, what, subject, REQUEST_KEPT_MS);
}

/* ---- expiry ---- */

/* What an attempt has committed must be known until it is over. */
static bool is_needed(struct world *w, const char *id)
{
	struct attempt *a = NULL;

	if (strncmp(id, "artifact:", 9) == 0)
		a = world_attempt(w, strtoull(id + 9, NULL, 10));
	return a && attempt_is_open(a);
}

int requests_expire(struct world *w, struct now now, const void *req, void *reply,
		    struct error *err)
{
	const struct request_expiry *e = req;
	size_t *removed = reply;

	world_at(w, now);
	*removed = 0;
	for (size_t i = 0; i < e->n; i++) {
		const Sluice__V1__RequestRow *row = e->rows[i];

		if (row->at_ms >= now.wall_ms - REQUEST_AGE_MS || is_needed(w, row->id))
			continue;
		world_forget(w, ROW_REQUEST, message_copy(row));
		++*removed;
	}
	return 0;
}
