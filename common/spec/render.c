/*
 * Diagnostics for people, in the shape that rustc made known: the sentence, the place,
 * the line with a caret, what might help. And for programs: JSON, and SARIF 2.1.0
 * (OASIS, "Static Analysis Results Interchange Format").
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "base/mem.h"
#include "spec/diagnostics.h"
#include "spec/utf8.h"

enum { SHOWN = 120 }; /* characters of a line */

struct paint {
	const char *error, *warning, *gutter, *bold, *off;
};

static const struct paint plain = { "", "", "", "", "" };
static const struct paint colours = { "\033[1;31m", "\033[1;33m", "\033[1;34m", "\033[1m",
				      "\033[0m" };

/* The line, or NULL when the text is not known or has no such line. */
static const char *find_line(const struct diagnostics *d, int line, size_t *ret_len)
{
	const char *s = d->text, *end, *stop;

	if (!s || line < 1)
		return NULL;
	end = s + strnlen(s, d->len);
	if (end - s >= 3 && !memcmp(s, "\xef\xbb\xbf", 3))
		s += 3;
	for (int i = 1; i < line; i++) {
		s = memchr(s, '\n', (size_t)(end - s));
		if (!s)
			return NULL;
		s++;
	}
	stop = memchr(s, '\n', (size_t)(end - s));
	if (!stop)
		stop = end;
	if (stop > s && stop[-1] == '\r')
		stop--;
	*ret_len = (size_t)(stop - s);
	return s;
}

static const char *skip_characters(const char *s, const char *end, int n)
{
	while (s < end && n-- > 0)
		for (s++; s < end && (*s & 0xc0) == 0x80;)
			s++;
	return s;
}

/* The part of the line around `at`, one column a character; returns where its first column is. */
static int print_line(const char *line, size_t len, struct place at, struct buf *out)
{
	int from = at.col > SHOWN - 20 ? at.col - SHOWN / 2 : 1;
	const char *s = skip_characters(line, line + len, from - 1);
	const char *stop = skip_characters(s, line + len, SHOWN);

	if (from > 1)
		buf_puts(out, "...");
	for (size_t n; s < stop; s += MAX(n, (size_t)1)) {
		n = utf8_length(s, (size_t)(stop - s));
		if (utf8_printable(s, n))
			buf_add(out, s, n);
		else
			buf_putc(out, *s == '\t' ? ' ' : '?');
	}
	if (stop < line + len)
		buf_puts(out, "...");
	return from > 1 ? from - 3 : 1;
}

static void repeat(struct buf *out, char c, int n)
{
	while (n-- > 0)
		buf_putc(out, c);
}

static void print_place(const struct diagnostics *d, struct place at, const char *label,
			const struct paint *p, struct buf *out)
{
	char number[16];
	size_t len;
	const char *line = find_line(d, at.line, &len);
	int width = snprintf(number, sizeof number, "%d", at.line), first;

	if (!at.line) {
		buf_printf(out, "  %s-->%s %s\n", p->gutter, p->off, d->file);
		return;
	}
	repeat(out, ' ', width);
	buf_printf(out, "%s-->%s %s:%d:%d\n", p->gutter, p->off, d->file, at.line, at.col);
	if (!line)
		return;
	repeat(out, ' ', width);
	buf_printf(out, " %s|%s\n%s%s |%s ", p->gutter, p->off, p->gutter, number, p->off);
	first = print_line(line, len, at, out);
	buf_putc(out, '\n');
	repeat(out, ' ', width);
	buf_printf(out, " %s|%s ", p->gutter, p->off);
	repeat(out, ' ', at.col - first);
	buf_puts(out, p->error);
	repeat(out, '^', MIN(at.len, SHOWN / 2));
	buf_printf(out, "%s%s%s\n", *label ? " " : "", label, p->off);
}

static void print_item(const struct diagnostics *d, const struct diagnostic *item,
		       const struct paint *p, struct buf *out)
{
	int width = snprintf(NULL, 0, "%d", item->place.line);

	buf_printf(out, "%s%s[%s]%s%s: %s%s\n", item->warning ? p->warning : p->error,
		   item->warning ? "warning" : "error", item->id, p->off, p->bold, item->message,
		   p->off);
	print_place(d, item->place, item->label, p, out);
	if (!item->place.line && *item->label)
		buf_printf(out, "   %s=%s %s\n", p->gutter, p->off, item->label);
	if (*item->help) {
		repeat(out, ' ', width + 1);
		buf_printf(out, "%s=%s help: %s\n", p->gutter, p->off, item->help);
	}
	if (item->related.line) {
		repeat(out, ' ', width + 1);
		buf_printf(out, "%s=%s note: %s (line %d)\n", p->gutter, p->off, item->related_text,
			   item->related.line);
	}
}

static void print_count(size_t n, const char *what, const char *join, struct buf *out)
{
	if (n)
		buf_printf(out, "%s%zu %s%s", join, n, what, n == 1 ? "" : "s");
}

void diagnostics_text(struct diagnostics *d, bool colour, struct buf *out)
{
	const struct paint *p = colour ? &colours : &plain;
	size_t shown = d->count, all = d->errors + d->warnings;

	diagnostics_sort(d);
	for (size_t i = 0; i < d->count; i++) {
		print_item(d, &d->items[i], p, out);
		buf_putc(out, '\n');
	}
	if (!all)
		return;
	print_count(d->errors, "error", "", out);
	print_count(d->warnings, "warning", d->errors ? ", " : "", out);
	if (shown < all)
		buf_printf(out, ", the first %zu shown", shown);
	buf_putc(out, '\n');
}

static void dump(json_t *json, size_t flags, struct buf *out)
{
	char *text = json_dumps(json, flags);

	json_decref(json);
	if (!text)
		abort(); /* all texts are valid UTF-8: the loader saw to it */
	buf_puts(out, text);
	buf_putc(out, '\n');
	free(text);
}

static json_t *json_related(const struct diagnostic *item)
{
	if (!item->related.line)
		return json_null();
	return json_pack("{s:i, s:i, s:s}", "line", item->related.line, "col", item->related.col,
			 "message", item->related_text);
}

void diagnostics_json(struct diagnostics *d, struct buf *out)
{
	json_t *list = json_array();

	diagnostics_sort(d);
	for (size_t i = 0; i < d->count; i++) {
		const struct diagnostic *item = &d->items[i];

		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:i, s:i, s:i, s:s, s:s, s:s, s:o}",
						"severity", item->warning ? "warning" : "error",
						"code", item->id, "line", item->place.line, "col",
						item->place.col, "length", item->place.len,
						"message", item->message, "label", item->label,
						"help", item->help, "related", json_related(item)));
	}
	dump(json_pack("{s:s, s:I, s:I, s:o}", "file", d->file, "errors", (json_int_t)d->errors,
		       "warnings", (json_int_t)d->warnings, "diagnostics", list),
	     JSON_COMPACT, out);
}

static json_t *sarif_place(const char *file, struct place at)
{
	json_t *region = json_pack("{s:i, s:i, s:i}", "startLine", MAX(at.line, 1), "startColumn",
				   MAX(at.col, 1), "endColumn", MAX(at.col, 1) + MAX(at.len, 1));

	return json_pack("{s:{s:{s:s}, s:o}}", "physicalLocation", "artifactLocation", "uri", file,
			 "region", region);
}

static void sarif_rule(json_t *rules, const char *id)
{
	const struct error_entry *entry = error_lookup(id);
	size_t i;
	json_t *rule;

	json_array_foreach(
		rules, i,
		rule) if (!strcmp(json_string_value(json_object_get(rule, "id")), id)) return;
	json_array_append_new(rules,
			      json_pack("{s:s, s:{s:s}, s:{s:s}}", "id", id, "shortDescription",
					"text", entry ? entry->title : id, "fullDescription",
					"text", entry ? entry->explain : id));
}

static json_t *sarif_result(const struct diagnostics *d, const struct diagnostic *item)
{
	const char *tail = *item->label ? item->label : item->help;
	char *text = xprintf("%s%s%s", item->message, *tail ? ": " : "", tail);
	json_t *result = json_pack("{s:s, s:s, s:{s:s}, s:[o]}", "ruleId", item->id, "level",
				   item->warning ? "warning" : "error", "message", "text", text,
				   "locations", sarif_place(d->file, item->place));

	free(text);
	if (item->related.line) {
		json_t *related = sarif_place(d->file, item->related);

		json_object_set_new(related, "message",
				    json_pack("{s:s}", "text", item->related_text));
		json_object_set_new(result, "relatedLocations", json_pack("[o]", related));
	}
	return result;
}

void diagnostics_sarif(struct diagnostics *d, struct buf *out)
{
	json_t *results = json_array(), *rules = json_array();

	diagnostics_sort(d);
	for (size_t i = 0; i < d->count; i++) {
		sarif_rule(rules, d->items[i].id);
		json_array_append_new(results, sarif_result(d, &d->items[i]));
	}
	dump(json_pack("{s:s, s:s, s:[{s:{s:{s:s, s:s, s:o}}, s:s, s:o}]}", "$schema",
		       "https://json.schemastore.org/sarif-2.1.0.json", "version", "2.1.0", "runs",
		       "tool", "driver", "name", "sluice", "version", SLUICE_VERSION, "rules",
		       rules, "columnKind", "unicodeCodePoints", "results", results),
	     JSON_INDENT(2), out);
}
