/*
 * The scanner looks at each byte once, only to find where an object ends; a whole one is then
 * cleaned of words that JSON does not have and given to jansson.
 */
#include "agent/metrics.h"

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "proto/message.h"

struct value {
	char *name;
	double value; /* NaN: none */
};

struct metrics {
	char *path;
	struct value *values;
	size_t n_values, next; /* next: where the name after the one found last is likely to be */
	char *noted[METRICS_NOTES_MAX];
	size_t n_noted;
	struct error error; /* why nothing more is taken */

	/* the scanner */
	struct buf object; /* what there is of one that is not whole */
	int line, begin;   /* where we are, and where that object began */
	int depth;
	bool string, escaped;
};

struct metrics *metrics_new(const char *path)
{
	struct metrics *m = xcalloc(1, sizeof *m);

	m->path = xstrdup(path);
	m->line = 1;
	return m;
}

static void forget_values(struct metrics *m)
{
	for (size_t i = 0; i < m->n_values; i++)
		free(m->values[i].name);
	free(m->values);
	m->values = NULL;
	m->n_values = m->next = 0;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	forget_values(m);
	for (size_t i = 0; i < m->n_noted; i++)
		free(m->noted[i]);
	buf_release(&m->object);
	free(m->path);
	free(m);
}

void metrics_again(struct metrics *m)
{
	forget_values(m);
	buf_clear(&m->object);
	error_clear(&m->error);
	m->line = 1;
	m->depth = 0;
	m->string = m->escaped = false;
}

/* ---- notes ---- */

/* Once for each `about`, and not without end. */
static void note(struct metrics *m, const char *about, const char *sentence, struct buf *notes)
{
	for (size_t i = 0; i < m->n_noted; i++)
		if (strcmp(m->noted[i], about) == 0)
			return;
	if (m->n_noted == METRICS_NOTES_MAX)
		return;
	m->noted[m->n_noted++] = xstrdup(about);
	buf_printf(notes, "metrics: %s\n", sentence);
	if (m->n_noted == METRICS_NOTES_MAX)
		buf_puts(notes, "metrics: more of this kind is not said\n");
}

/* ---- values ---- */

static int value_set(struct metrics *m, const char *name, double value, struct error *err)
{
	/* Objects have their names in one order, mostly. */
	for (size_t i = 0; i < m->n_values; i++) {
		size_t at = (m->next + i) % m->n_values;

		if (strcmp(m->values[at].name, name) == 0) {
			m->values[at].value = value;
			m->next = at + 1;
			return 0;
		}
	}
	if (m->n_values == METRICS_MAX)
		return error_set(err, ERR_EXHAUSTED, "metrics: more than %d of them in '%s'",
				 METRICS_MAX, m->path);
	m->values = xreallocarray(m->values, m->n_values + 1, sizeof *m->values);
	m->values[m->n_values++] = (struct value){ .name = xstrdup(name), .value = value };
	return 0;
}

void metrics_values(const struct metrics *m, Sluice__V1__FinishedAttempt *ret)
{
	for (size_t i = 0; i < m->n_values; i++) {
		Sluice__V1__Metric *metric;

		if (isnan(m->values[i].value))
			continue;
		metric = message_new(&sluice__v1__metric__descriptor);
		message_set_string(&metric->name, m->values[i].name);
		metric->value = m->values[i].value;
		message_append(ret, metrics, metric);
	}
}

/* ---- one object ---- */

/* The number of bytes of a word at `at` that stands for no number; 0: it is none. */
static size_t no_number(const char *at, const char *end)
{
	static const char *const words[] = { "NaN", "Infinity", "-Infinity" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t len = strlen(words[i]);

		if ((size_t)(end - at) > len && memcmp(at, words[i], len) == 0 &&
		    !isalnum((unsigned char)at[len]))
			return len;
	}
	return 0;
}

/* The member `name` is a word; from here on it has no value. */
static int take_word(struct metrics *m, const char *name, size_t name_len, const char *word,
		     struct buf *notes, struct error *err)
{
	cleanup(freep) char *key = xstrndup(name, name_len);
	cleanup(freep) char *sentence = NULL;

	if (!name_valid(key)) /* no metric anyway */
		return 0;
	sentence = xprintf("line %d of '%s': '%s' is %.*s; left out", m->begin, m->path, key,
			   (int)strspn(word, "-NaInfity"), word);
	note(m, key, sentence, notes);
	return value_set(m, key, NAN, err);
}

/* The object with `null` for each word that JSON does not have. */
static int clean(struct metrics *m, struct buf *ret, struct buf *notes, struct error *err)
{
	const char *at = m->object.data, *end = at + m->object.len, *from = at;
	const char *string = at, *string_end = at; /* the last one: a member's name, mostly */
	int depth = 0;

	while (at < end) {
		size_t len;

		if (*at == '"') {
			string = ++at;
			while (at < end && *at != '"')
				at += 1 + (*at == '\\');
			string_end = at;
		} else if (*at == '{' || *at == '[') {
			depth++;
		} else if (*at == '}' || *at == ']') {
			depth--;
		} else if ((len = no_number(at, end))) {
			if (depth == 1 &&
			    take_word(m, string, (size_t)(string_end - string), at, notes, err) < 0)
				return -1;
			buf_add(ret, from, (size_t)(at - from));
			buf_puts(ret, "null");
			at += len;
			from = at;
			continue;
		}
		at++;
	}
	buf_add(ret, from, (size_t)(end - from));
	return 0;
}

static int take_members(struct metrics *m, json_t *object, struct error *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value)
	{
		if (json_is_number(value) && name_valid(name) &&
		    value_set(m, name, json_number_value(value), err) < 0)
			return -1;
	}
	return 0;
}

static void add_line(struct metrics *m, json_t *object, struct buf *lines, struct buf *notes)
{
	char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
	size_t len = text ? strlen(text) : 0;

	if (len && len < METRICS_LINE_MAX) {
		buf_add(lines, text, len);
		buf_putc(lines, '\n');
	} else if (len) {
		cleanup(freep) char *sentence =
			xprintf("the object in line %d of '%s' has %zu bytes, %d at most: its "
				"values count, but it is left out of the stream",
				m->begin, m->path, len, METRICS_LINE_MAX - 1);

		note(m, "", sentence, notes);
	}
	free(text);
}

/* m->object is whole. */
static int take_object(struct metrics *m, struct buf *lines, struct buf *notes, struct error *err)
{
	cleanup(buf_release) struct buf text = { 0 };
	json_error_t where = { .line = 1 };
	json_t *object;
	int r;

	if (clean(m, &text, notes, err) < 0)
		return -1;
	object = json_loadb(buf_str(&text), text.len, 0, &where);
	if (!object)
		return error_set(err, ERR_INVALID,
				 "metrics: line %d of '%s' is not a JSON object: %s",
				 m->begin + where.line - 1, m->path, where.text);
	r = take_members(m, object, err);
	if (r == 0)
		add_line(m, object, lines, notes);
	json_decref(object);
	buf_clear(&m->object);
	return r;
}

/* ---- the bytes ---- */

enum step { BETWEEN, INSIDE, WHOLE, WRONG };

static enum step step(struct metrics *m, char c)
{
	if (m->string) {
		if (c == '\n')
			return WRONG; /* a quote is missing: else the rest would be one string */
		m->string = m->escaped || c != '"';
		m->escaped = !m->escaped && c == '\\';
		return INSIDE;
	}
	if (m->depth == 0) {
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
			return BETWEEN;
		m->begin = m->line;
		m->depth = 1;
		return c == '{' ? INSIDE : WRONG;
	}
	m->string = c == '"';
	m->depth += c == '{' || c == '[';
	m->depth -= c == '}' || c == ']';
	return m->depth ? INSIDE : WHOLE;
}

static int not_an_object(const struct metrics *m, struct error *err)
{
	return error_set(err, ERR_INVALID, "metrics: line %d of '%s' is not a JSON object", m->line,
			 m->path);
}

static int feed(struct metrics *m, const char *at, size_t len, struct buf *lines, struct buf *notes,
		struct error *err)
{
	for (const char *end = at + len; at < end; at++) {
		switch (step(m, *at)) {
		case BETWEEN:
			break;
		case INSIDE:
			buf_putc(&m->object, *at);
			break;
		case WHOLE:
			buf_putc(&m->object, *at);
			if (take_object(m, lines, notes, err) < 0)
				return -1;
			break;
		case WRONG:
			return not_an_object(m, err);
		}
		if (m->object.len > METRICS_OBJECT_MAX)
			return error_set(err, ERR_EXHAUSTED,
					 "metrics: the object in line %d of '%s' has more than %d "
					 "bytes",
					 m->begin, m->path, METRICS_OBJECT_MAX);
		m->line += *at == '\n';
	}
	return 0;
}

int metrics_feed(struct metrics *m, const void *data, size_t len, struct buf *lines,
		 struct buf *notes, struct error *err)
{
	if (!m->error.code && feed(m, data, len, lines, notes, &m->error) == 0)
		return 0;
	*err = m->error;
	return -1;
}

int metrics_end(struct metrics *m, struct error *err)
{
	if (!m->error.code && m->depth)
		error_set(&m->error, ERR_INVALID,
			  "metrics: line %d of '%s' is not a JSON object: it does not end",
			  m->begin, m->path);
	if (!m->error.code)
		return 0;
	*err = m->error;
	return -1;
}
