/*
 * docs/pipeline.md: a section for each top-level key, a row for each key. Generated, so
 * that the page and the checker cannot disagree.
 */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "spec/keys.h"
#include "spec/spec.h"

static void escaped(const char *s, struct buf *out)
{
	for (; *s; s++)
		buf_printf(out, *s == '|' ? "\\%c" : "%c", *s);
}

static void choices(const struct key *key, struct buf *out)
{
	const char *at = key->choices;
	char name[32];
	bool unbuilt;

	for (int i = 0; key_choice(&at, name, sizeof name, &unbuilt); i++)
		buf_printf(out, "%s`%s`%s", i ? ", " : "", name, unbuilt ? " (not yet)" : "");
}

static void type_of(const struct key *key, struct buf *out)
{
	switch (key->shape) {
	case KEY_SCALAR:
		if (key->type == SCALAR_CHOICE)
			choices(key, out);
		else
			buf_puts(out, scalar_type_name(key->type));
		return;
	case KEY_LIST:
		buf_printf(out, "list of %s", scalar_type_name(key->type));
		return;
	case KEY_SCALAR_LIST:
		buf_printf(out, "%s, or a list of them", scalar_type_name(key->type));
		return;
	case KEY_LIST_MAP:
		buf_puts(out, "list of maps");
		return;
	case KEY_NAMED:
		buf_puts(out, "map of names");
		return;
	case KEY_VALUES:
		buf_printf(out, "map of %s to %s", scalar_type_name(key->names),
			   scalar_type_name(key->type));
		return;
	case KEY_MAP:
		break;
	}
	if (key->type == SCALAR_CHOICE) {
		choices(key, out);
		buf_puts(out, ", or a map");
	} else if (key->type != SCALAR_NONE) {
		buf_printf(out, "%s, or a map", scalar_type_name(key->type));
	} else {
		buf_puts(out, "map");
	}
}

static void bound(const struct key *key, int64_t n, struct buf *out)
{
	char text[CLOCK_TEXT];

	if (key->type == SCALAR_DURATION)
		buf_puts(out, n ? duration_format(n, text) : "0s");
	else
		buf_printf(out, "%" PRId64, n);
}

static void row(const struct key *key, struct buf *out)
{
	buf_puts(out, "| `");
	buf_puts(out, key->path);
	buf_puts(out, "` | ");
	type_of(key, out);
	if (key->max && !key->unbuilt) {
		buf_puts(out, ", ");
		bound(key, key->min, out);
		buf_puts(out, " to ");
		bound(key, key->max, out);
	}
	if (key->most)
		buf_printf(out, ", at most %u", key->most);
	buf_puts(out, " | ");
	if (key->required)
		buf_puts(out, "required");
	else if (key->value)
		escaped(key->value, out);
	buf_printf(out, " | %s | ",
		   key->unbuilt ? "not yet: E0900"
		   : key->since ? key->since
				: "0.1");
	escaped(key->doc, out);
	if (key->example) {
		buf_puts(out, " Example: `");
		buf_puts(out, key->example);
		buf_puts(out, "`");
	}
	buf_puts(out, " |\n");
}

static const char head[] =
	"<!-- Generated from the table of keys in common/spec/keys.c: `sluice schema --markdown`. "
	"-->\n"
	"\n"
	"# The keys of sluice.yaml\n"
	"\n"
	"Every key there is, in the order in which a file is read. A `*` is a name that you give. "
	"A key that is marked *not yet* belongs to the language but is refused by this version "
	"(E0900): nothing is silently ignored. An unknown key is an error.\n"
	"\n"
	"Durations carry their unit (`250ms`, `90s`, `5m`, `1h30m`, `7d`), sizes are bytes or "
	"powers of 1024 (`512M`, `16G`), hosts are counted or a share (`2`, `50%`). A file has at "
	"most 256 KiB, depth 32, 20,000 nodes, 500 jobs after its matrices, and 256 instances of "
	"one matrix, 16 dimensions each; a map or list has at most 256 entries where "
	"nothing else is said. Tags, anchors, aliases, `<<`, duplicate keys and several documents "
	"are "
	"refused.\n";

void spec_reference_markdown(struct buf *out)
{
	const struct key *top = NULL;

	buf_puts(out, head);
	while ((top = keys_below(&keys_root, top))) {
		size_t len = strlen(top->path);

		buf_printf(out,
			   "\n## %s\n\n| key | type | default | since | what it says |\n"
			   "|---|---|---|---|---|\n",
			   top->path);
		for (const struct key *k = top; k < keys + keys_count; k++)
			if (!strncmp(k->path, top->path, len) &&
			    (!k->path[len] || k->path[len] == '.'))
				row(k, out);
	}
	spec_seen_markdown(out);
}
