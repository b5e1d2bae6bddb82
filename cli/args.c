/*
 * Reading the command line. A verb has one word or two ("runs cancel"); what follows belongs to it.
 */
#include "cli/args.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/suggest.h"

static const struct flag common_flags[] = {
	{ 0, "context", "NAME", "talk to this context's controller instead of the current one's" },
	{ 'h', "help", NULL, "say what this does" },
	{ 0, NULL, NULL, NULL },
};
static const struct flag json_flag = { 0, "json", NULL, "answer in JSON" };

const struct flag *verb_flag(const struct verb *verb, unsigned n)
{
	const struct flag *f = verb->flags;

	for (; f && f->name; f++)
		if (n-- == 0)
			return f;
	if (verb->json && n-- == 0)
		return &json_flag;
	return n < ARRAY_SIZE(common_flags) - 1 ? &common_flags[n] : NULL;
}

/* ---- verbs ---- */

static size_t first_word(const char *name)
{
	return strcspn(name, " ");
}

/* How many words of argv are this verb's name; 0: it is another. */
static int matches(const struct verb *verb, int argc, char **argv)
{
	size_t first = first_word(verb->name);
	const char *second = verb->name[first] ? verb->name + first + 1 : NULL;

	if (argc < 1 || strlen(argv[0]) != first || memcmp(argv[0], verb->name, first) != 0)
		return 0;
	if (!second)
		return 1;
	return argc > 1 && strcmp(argv[1], second) == 0 ? 2 : 0;
}

static bool in_group(const struct verb *verb, const char *group)
{
	size_t first = first_word(verb->name);

	return verb->name[first] && strlen(group) == first && memcmp(group, verb->name, first) == 0;
}

/* The group is right and the word after it is not, or missing. */
static void no_such_member(const struct family *families, const char *group, const char *wanted,
			   struct error *err)
{
	struct suggest near = suggest_new(wanted ? wanted : "");
	char all[160] = "";
	size_t len = 0;

	for (const struct family *f = families; f->heading; f++)
		for (const struct verb *v = f->verbs; v->name; v++) {
			const char *member = v->name + first_word(v->name) + 1;

			if (!in_group(v, group) || !v->run)
				continue;
			suggest_offer(&near, member);
			len += (size_t)snprintf(all + len, sizeof all - len, "%s%s",
						len ? ", " : "", member);
			len = MIN(len, sizeof all - 1);
		}
	if (wanted)
		error_set(err, ERR_INVALID, "`sluice %s` has no verb '%s'", group, wanted);
	else
		error_set(err, ERR_INVALID, "`sluice %s` needs a verb", group);
	if (wanted && near.best)
		error_hint(err, "did you mean `sluice %s %s`?", group, near.best);
	else
		error_hint(err, "one of: %s", all);
}

static void no_such_verb(const struct family *families, const char *wanted, struct error *err)
{
	struct suggest near = suggest_new(wanted);

	for (const struct family *f = families; f->heading; f++)
		for (const struct verb *v = f->verbs; v->name; v++) {
			char name[32];

			snprintf(name, sizeof name, "%.*s", (int)first_word(v->name), v->name);
			suggest_offer(&near, name);
			if (near.best == name)
				near.best = v->name;
		}
	error_set(err, ERR_INVALID, "there is no verb '%s'", wanted);
	if (near.best)
		error_hint(err, "did you mean `sluice %.*s`?", (int)first_word(near.best),
			   near.best);
	else
		error_hint(err, "sluice help lists them");
}

const struct verb *verb_find(const struct family *families, int argc, char **argv, int *ret_used,
			     struct error *err)
{
	const struct verb *found = NULL;
	bool group = false;
	int used = 0;

	assert(argc > 0);
	for (const struct family *f = families; f->heading; f++)
		for (const struct verb *v = f->verbs; v->name; v++) {
			int n = matches(v, argc, argv);

			group |= in_group(v, argv[0]);
			if (n > used) {
				found = v;
				used = n;
			}
		}
	if (found) {
		*ret_used = used;
		return found;
	}
	if (group)
		no_such_member(families, argv[0], argc > 1 && argv[1][0] != '-' ? argv[1] : NULL,
			       err);
	else
		no_such_verb(families, argv[0], err);
	return NULL;
}

/* ---- flags ---- */

static const struct flag *flag_by_letter(const struct verb *verb, char letter)
{
	const struct flag *f;

	for (unsigned i = 0; (f = verb_flag(verb, i)); i++)
		if (f->letter == letter)
			return f;
	return NULL;
}

static const struct flag *flag_by_name(const struct verb *verb, const char *name, size_t len)
{
	const struct flag *f;

	for (unsigned i = 0; (f = verb_flag(verb, i)); i++)
		if (strlen(f->name) == len && memcmp(f->name, name, len) == 0)
			return f;
	return NULL;
}

static int unknown_flag(const struct verb *verb, const char *given, struct error *err)
{
	size_t dashes = given[1] == '-' ? 2 : 1;
	char name[64];
	struct suggest near;
	const struct flag *f;

	snprintf(name, sizeof name, "%.*s", (int)MIN(strcspn(given + dashes, "="), sizeof name - 1),
		 given + dashes);
	near = suggest_new(name);
	for (unsigned i = 0; (f = verb_flag(verb, i)); i++)
		suggest_offer(&near, f->name);
	error_set(err, ERR_INVALID, "`sluice %s` has no flag '%.*s%s'", verb->name, (int)dashes,
		  given, name);
	if (near.best)
		error_hint(err, "did you mean `--%s`?", near.best);
	else
		error_hint(err, "sluice %s --help lists them", verb->name);
	return -1;
}

static int give(struct args *a, const struct flag *f, const char *value, struct error *err)
{
	if (a->n_given == ARGS_MAX)
		return error_set(err, ERR_INVALID, "more than %d flags", ARGS_MAX);
	a->given[a->n_given++] = (struct given){ f->name, value };
	return 0;
}

/* The flag at argv[*at]; *at moves over its value. */
static int take_flag(struct args *a, int argc, char **argv, int *at, struct error *err)
{
	const char *text = argv[*at];
	bool is_long = text[1] == '-';
	const char *equals = is_long ? strchr(text, '=') : NULL;
	const struct flag *f =
		is_long ? flag_by_name(a->verb, text + 2,
				       equals ? (size_t)(equals - text - 2) : strlen(text + 2))
			: flag_by_letter(a->verb, text[1]);
	const char *value = equals ? equals + 1 : !is_long && text[2] ? text + 2 : NULL;

	if (!f)
		return unknown_flag(a->verb, text, err);
	if (!f->value && value)
		return error_set(err, ERR_INVALID, "the flag '--%s' takes no value", f->name);
	if (f->value && !value) {
		if (*at + 1 >= argc) {
			error_set(err, ERR_INVALID, "the flag '--%s' needs a value", f->name);
			return error_hint(err, "--%s %s: %s", f->name, f->value, f->doc);
		}
		value = argv[++*at];
	}
	return give(a, f, value ? value : "", err);
}

static int check_count(const struct args *a, struct error *err)
{
	const struct verb *v = a->verb;

	/* asked for help, nobody minds what else is there */
	if (flag_given(a, "help"))
		return 0;
	if (a->n_words < v->min)
		error_set(err, ERR_INVALID, "`sluice %s` needs %s", v->name, v->arguments);
	else if (a->n_words > v->max)
		error_set(err, ERR_INVALID, "`sluice %s` does not take '%s'", v->name,
			  a->words[v->max]);
	else
		return 0;
	return error_hint(err, "usage: sluice %s %s", v->name, v->arguments);
}

int args_parse(const struct verb *verb, int argc, char **argv, struct args *ret, struct error *err)
{
	bool flags_over = false;

	memset(ret, 0, sizeof *ret);
	ret->verb = verb;
	for (int i = 0; i < argc; i++) {
		if (!flags_over && strcmp(argv[i], "--") == 0) {
			flags_over = true;
		} else if (!flags_over && argv[i][0] == '-' && argv[i][1]) {
			if (take_flag(ret, argc, argv, &i, err) < 0)
				return -1;
		} else if (ret->n_words == ARGS_MAX) {
			return error_set(err, ERR_INVALID, "more than %d arguments", ARGS_MAX);
		} else {
			ret->words[ret->n_words++] = argv[i];
		}
	}
	return check_count(ret, err);
}

/* ---- asking ---- */

const char *flag_each(const struct args *args, const char *name, unsigned n)
{
	assert(flag_by_name(args->verb, name, strlen(name)));
	for (unsigned i = 0; i < args->n_given; i++)
		if (strcmp(args->given[i].name, name) == 0 && n-- == 0)
			return args->given[i].value;
	return NULL;
}

const char *flag_text(const struct args *args, const char *name)
{
	const char *last = NULL, *value;

	for (unsigned i = 0; (value = flag_each(args, name, i)); i++)
		last = value;
	return last;
}

bool flag_given(const struct args *args, const char *name)
{
	return flag_text(args, name) != NULL;
}

int flag_number(const struct args *args, const char *name, int64_t min, int64_t max, int64_t *ret,
		struct error *err)
{
	const char *text = flag_text(args, name);
	char *end;
	long long n;

	if (!text)
		return 0;
	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno || end == text || *end || n < min || n > max)
		return error_set(err, ERR_INVALID,
				 "'--%s %s': a number from %" PRId64 " to %" PRId64 " is expected",
				 name, text, min, max);
	*ret = n;
	return 0;
}

int flag_duration(const struct args *args, const char *name, int64_t *ret_ms, struct error *err)
{
	const char *text = flag_text(args, name);

	if (!text)
		return 0;
	if (duration_parse(text, ret_ms, err) < 0)
		return error_wrap(err, "'--%s'", name);
	return 0;
}

const char *word(const struct args *args, unsigned n)
{
	return n < args->n_words ? args->words[n] : "";
}
