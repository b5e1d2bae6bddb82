/*
 * Exit codes: by the error's number, or, where it has none, by its kind. One table, which the tests
 * hold against the catalogue: every number is in it.
 */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const struct {
	const char *first, *last; /* numbers, both included */
	enum exit_status status;
} by_number[] = {
	{ "E0101", "E0199", STATUS_BAD_FILE },
	{ "E0201", "E0203", STATUS_USAGE }, /* a run's parameters */
	{ "E0204", "E0205", STATUS_NOT_FOUND },
	{ "E0206", "E0207", STATUS_USAGE }, /* too large, not UTF-8 */
	{ "E0208", "E0208", STATUS_NOT_FOUND },
	{ "E0301", "E0306", STATUS_DENIED },
	{ "E0307", "E0307", STATUS_NO_CONTROLLER },
	{ "E0401", "E0410", STATUS_REJECTED },
	{ "E0411", "E0411", STATUS_FAILED },   /* the deployment itself */
	{ "E0501", "E0507", STATUS_FAILED },   /* how an attempt ended */
	{ "E0508", "E0508", STATUS_BAD_FILE }, /* an archive */
	{ "E0509", "E0510", STATUS_REJECTED }, /* superseded; no agent could ever take it */
	{ "E0601", "E0603", STATUS_FAILED },   /* the controller's disk; damage */
	{ "E0604", "E0606", STATUS_REJECTED }, /* newer schema, in use, busy */
	{ "E0900", "E0900", STATUS_USAGE },
};

int status_of_number(const char *id)
{
	for (size_t i = 0; i < ARRAY_SIZE(by_number); i++)
		if (strcmp(id, by_number[i].first) >= 0 && strcmp(id, by_number[i].last) <= 0)
			return (int)by_number[i].status;
	return -1;
}

enum exit_status status_of_error(const struct error *err)
{
	int status = status_of_number(err->id);

	if (status >= 0)
		return (enum exit_status)status;
	switch (err->code) {
	case ERR_INVALID:
	case ERR_UNIMPLEMENTED:
		return STATUS_USAGE;
	case ERR_NOT_FOUND:
		return STATUS_NOT_FOUND;
	case ERR_DENIED:
	case ERR_UNAUTHENTICATED:
		return STATUS_DENIED;
	case ERR_UNAVAILABLE:
		return STATUS_NO_CONTROLLER;
	case ERR_TIMEOUT:
		return STATUS_TIMED_OUT;
	case ERR_EXISTS: /* nothing is written over */
	case ERR_CANCELLED:
	case ERR_CONFLICT:
	case ERR_ABORTED:
		return STATUS_REJECTED;
	default:
		return STATUS_FAILED;
	}
}

const char *status_word(enum exit_status status)
{
	static const char *const words[] = {
		[STATUS_OK] = "ok",
		[STATUS_FAILED] = "the work failed",
		[STATUS_USAGE] = "usage",
		[STATUS_BAD_FILE] = "invalid file",
		[STATUS_NOT_FOUND] = "not found",
		[STATUS_DENIED] = "not allowed",
		[STATUS_NO_CONTROLLER] = "no controller",
		[STATUS_TIMED_OUT] = "timed out",
		[STATUS_REJECTED] = "cancelled or rejected",
	};

	return status < ARRAY_SIZE(words) ? words[status] : "interrupted";
}
