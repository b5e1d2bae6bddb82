/*
 * Gathering what is wrong. Texts that come from a file end up on terminals and in JSON, so
 * control characters and what is not UTF-8 (a name of a file, a sequence cut in two) are
 * shown as `?`.
 */
#include "spec/diagnostics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "spec/utf8.h"

/* Where what is past the limit is written: it is counted, not kept. */
static _Thread_local struct diagnostic scratch;

static void make_printable(char *s)
{
	for (size_t left = strlen(s), n; left; s += n, left -= n) {
		n = utf8_length(s, left);
		if (utf8_printable(s, n))
			continue;
		memset(s, '?', MAX(n, (size_t)1));
		n = MAX(n, (size_t)1);
	}
}

void diagnostics_init(struct diagnostics *d, const char *file, const char *text, size_t len)
{
	*d = (struct diagnostics){ .file = xstrdup(file), .len = len };
	make_printable(d->file);
	if (text)
		d->text = xstrndup(text, len);
}

void diagnostics_release(struct diagnostics *d)
{
	free(d->file);
	free(d->text);
	*d = (struct diagnostics){ 0 };
}

__attribute__((format(printf, 3, 0))) static void write_text(char *ret, size_t size,
							     const char *fmt, va_list args)
{
	int n = vsnprintf(ret, size, fmt, args);

	if (n >= (int)size)
		memcpy(ret + size - 4, "...", 4);
	make_printable(ret);
}

static struct diagnostic *add(struct diagnostics *d, bool warning, struct place at, const char *id)
{
	size_t *total = warning ? &d->warnings : &d->errors;
	struct diagnostic *item = &scratch;

	if (++*total <= DIAGNOSTICS_MAX)
		item = &d->items[d->count++];
	*item = (struct diagnostic){ 0 };
	item->warning = warning;
	item->place = at;
	if (item->place.len < 1)
		item->place.len = 1;
	snprintf(item->id, sizeof item->id, "%s", id);
	return item;
}

struct diagnostic *diagnostics_error(struct diagnostics *d, const char *id, struct place at,
				     const char *fmt, ...)
{
	struct diagnostic *item = add(d, false, at, id);
	va_list args;

	va_start(args, fmt);
	write_text(item->message, sizeof item->message, fmt, args);
	va_end(args);
	return item;
}

struct diagnostic *diagnostics_warn(struct diagnostics *d, const char *id, struct place at,
				    const char *fmt, ...)
{
	struct diagnostic *item = add(d, true, at, id);
	va_list args;

	va_start(args, fmt);
	write_text(item->message, sizeof item->message, fmt, args);
	va_end(args);
	return item;
}

void diagnostic_label(struct diagnostic *item, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	write_text(item->label, sizeof item->label, fmt, args);
	va_end(args);
}

void diagnostic_help(struct diagnostic *item, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	write_text(item->help, sizeof item->help, fmt, args);
	va_end(args);
}

void diagnostic_related(struct diagnostic *item, struct place at, const char *fmt, ...)
{
	va_list args;

	item->related = at;
	va_start(args, fmt);
	write_text(item->related_text, sizeof item->related_text, fmt, args);
	va_end(args);
}

bool diagnostics_full(const struct diagnostics *d)
{
	return d->errors >= DIAGNOSTICS_MAX;
}

static int by_place(const struct diagnostic *a, const struct diagnostic *b)
{
	if (a->place.line != b->place.line)
		return a->place.line < b->place.line ? -1 : 1;
	if (a->place.col != b->place.col)
		return a->place.col < b->place.col ? -1 : 1;
	return 0;
}

/* Insertion: few items, stable, and in order already as a rule. */
void diagnostics_sort(struct diagnostics *d)
{
	for (size_t i = 1; i < d->count; i++) {
		struct diagnostic item = d->items[i];
		size_t at = i;

		for (; at && by_place(&item, &d->items[at - 1]) < 0; at--)
			d->items[at] = d->items[at - 1];
		d->items[at] = item;
	}
}

const struct diagnostic *diagnostics_first(struct diagnostics *d)
{
	diagnostics_sort(d);
	for (size_t i = 0; i < d->count; i++)
		if (!d->items[i].warning)
			return &d->items[i];
	return NULL;
}

int diagnostics_fail(struct diagnostics *d, struct error *err)
{
	const struct diagnostic *item = diagnostics_first(d);
	char more[40] = "", place[40] = "";

	if (!item)
		return 0;
	if (d->errors > 1)
		snprintf(more, sizeof more, " (and %zu more)", d->errors - 1);
	if (item->place.line)
		snprintf(place, sizeof place, ":%d:%d", item->place.line, item->place.col);
	error_id(err, item->id, "%s%s: %s%s", d->file, place, item->message, more);
	if (*item->label || *item->help)
		error_hint(err, "%s", *item->label ? item->label : item->help);
	return error_place(err, d->file, item->place.line, item->place.col);
}
