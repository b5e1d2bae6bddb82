/*
 * Errors are texts put together from the inside out. Everything here writes
 * into the fixed arrays of struct error; what does not fit is cut at a whole
 * UTF-8 character and ends in "...", because the text travels in a proto string.
 */
#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/errors.h"
#include "base/mem.h"

/* Makes room for "..." at the end of a text that was cut at size. */
static void mark_cut(char *text, size_t size)
{
	size_t end = size - 4;

	while (end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80)
		end--;
	memcpy(text + end, "...", 4);
}

static void ERROR_PRINTF(3, 0) put(char *text, size_t size, const char *fmt, va_list args)
{
	int len = vsnprintf(text, size, fmt, args);

	if (len >= 0 && (size_t)len >= size)
		mark_cut(text, size);
}

void error_clear(struct error *err)
{
	if (!err)
		return;
	err->code = ERR_NONE;
	err->id[0] = err->text[0] = err->hint[0] = err->file[0] = '\0';
	err->line = err->col = 0;
}

int error_setv(struct error *err, enum error_code code, const char *fmt, va_list args)
{
	char text[sizeof err->text];

	assert(code > ERR_NONE && code < ERR_CODES);
	if (!err)
		return -1;
	put(text, sizeof text, fmt, args); /* the arguments may quote err->text */
	error_clear(err);
	err->code = code;
	memcpy(err->text, text, strlen(text) + 1);
	return -1;
}

int error_set(struct error *err, enum error_code code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	error_setv(err, code, fmt, args);
	va_end(args);
	return -1;
}

int error_id(struct error *err, const char *id, const char *fmt, ...)
{
	const struct error_entry *entry = error_lookup(id);
	va_list args;

	assert(entry);
	va_start(args, fmt);
	error_setv(err, entry->code, fmt, args);
	va_end(args);
	if (!err)
		return -1;
	snprintf(err->id, sizeof err->id, "%s", entry->id);
	error_hint(err, "%s", entry->hint);
	return -1;
}

static enum error_code code_of_errno(int number)
{
	switch (number) {
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
		return ERR_EXHAUSTED;
	case ENOENT:
		return ERR_NOT_FOUND;
	case EACCES:
	case EPERM:
		return ERR_DENIED;
	default:
		return ERR_INTERNAL;
	}
}

int error_errno(struct error *err, const char *fmt, ...)
{
	int number = errno;
	char what[sizeof err->text], said[128];
	va_list args;

	if (!err)
		return -1;
	va_start(args, fmt);
	/* the system's reason is worth more than the end of a long name */
	put(what, sizeof what - sizeof said, fmt, args);
	va_end(args);
	error_set(err, code_of_errno(number), "%s: %s", what,
		  strerror_r(number, said, sizeof said));
	errno = number;
	return -1;
}

int error_wrap(struct error *err, const char *fmt, ...)
{
	char what[sizeof err->text / 2], text[sizeof err->text];
	va_list args;
	int len;

	if (!err)
		return -1;
	va_start(args, fmt);
	put(what, sizeof what, fmt, args);
	va_end(args);
	len = snprintf(text, sizeof text, "%s: %s", what, err->text);
	if (len >= 0 && (size_t)len >= sizeof text)
		mark_cut(text, sizeof text);
	memcpy(err->text, text, sizeof text);
	return -1;
}

int error_place(struct error *err, const char *file, int line, int col)
{
	size_t len = strlen(file), most = sizeof err->file - 1;
	const char *end = len > most ? file + len - most : file;

	if (!err)
		return -1;
	while (end > file && ((unsigned char)*end & 0xc0) == 0x80) /* not within a character */
		end++;
	snprintf(err->file, sizeof err->file, "%s", end);
	err->line = line;
	err->col = col;
	return -1;
}

int error_hint(struct error *err, const char *fmt, ...)
{
	char hint[sizeof err->hint];
	va_list args;

	if (!err)
		return -1;
	va_start(args, fmt);
	put(hint, sizeof hint, fmt, args);
	va_end(args);
	memcpy(err->hint, hint, strlen(hint) + 1);
	return -1;
}

const char *error_code_name(enum error_code code)
{
	static const char *const names[] = {
		[ERR_NONE] = "no error",
		[ERR_CANCELLED] = "cancelled",
		[ERR_INVALID] = "invalid",
		[ERR_TIMEOUT] = "timed out",
		[ERR_NOT_FOUND] = "not found",
		[ERR_EXISTS] = "exists already",
		[ERR_DENIED] = "not allowed",
		[ERR_UNAUTHENTICATED] = "not authenticated",
		[ERR_EXHAUSTED] = "limit reached",
		[ERR_CONFLICT] = "not possible now",
		[ERR_ABORTED] = "aborted",
		[ERR_UNAVAILABLE] = "unavailable",
		[ERR_UNIMPLEMENTED] = "not supported",
		[ERR_CORRUPT] = "corrupt",
		[ERR_INTERNAL] = "internal error",
	};

	_Static_assert(ARRAY_SIZE(names) == ERR_CODES, "every code has a name");
	return code < ERR_CODES ? names[code] : "unknown error";
}
