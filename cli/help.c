/*
 * Help for people: the overview, one verb, the page in docs/.
 */
#include "cli/help.h"

#include <string.h>

#include "base/file.h"
#include "cli/cli.h"
#include "cli/names.h"
#include "cli/out.h"
#include "cli/verbs.h"

enum { COLUMN = 34, FLAG_COLUMN = 28 };

static void put_padded(struct buf *out, const char *text, int column)
{
	int width = text_width(text);

	buf_puts(out, text);
	if (width + 1 >= column) {
		buf_putc(out, '\n');
		width = 0;
	}
	text_pad(out, width, column);
}

static void put_verb(const struct verb *v, struct buf *out)
{
	cleanup(freep) char *left =
		xprintf("  %s%s%s", v->name, *v->arguments ? " " : "", v->arguments);

	put_padded(out, left, COLUMN);
	buf_printf(out, "%s\n", v->summary);
}

static bool has_built(const struct family *f)
{
	for (const struct verb *v = f->verbs; v->name; v++)
		if (v->run)
			return true;
	return false;
}

void help_text(const struct family *families, struct buf *out)
{
	buf_puts(out, "usage: sluice VERB [ARGUMENT...]\n");
	for (const struct family *f = families; f->heading; f++) {
		if (!has_built(f))
			continue;
		buf_printf(out, "\n%s\n", f->heading);
		for (const struct verb *v = f->verbs; v->name; v++)
			put_verb(v, out);
	}
	buf_puts(out,
		 "\nsluice VERB --help tells more. Exit codes: 0 ok, 1 the work failed, 2 usage,\n"
		 "3 invalid file, 4 not found, 5 not allowed, 6 no controller, 7 timed out,\n"
		 "8 cancelled or rejected, 130 interrupted.\n");
}

static void flag_label(const struct flag *f, struct buf *out)
{
	if (f->letter)
		buf_printf(out, "-%c, ", f->letter);
	buf_printf(out, "--%s", f->name);
	if (f->value)
		buf_printf(out, " %s", f->value);
}

void help_verb_text(const struct verb *verb, struct buf *out)
{
	const struct flag *f;

	buf_printf(out, "usage: sluice %s%s%s [FLAG...]\n\n%s\n", verb->name,
		   *verb->arguments ? " " : "", verb->arguments, verb->summary);
	if (verb->about)
		buf_printf(out, "\n%s\n", verb->about);
	buf_puts(out, "\n");
	for (unsigned i = 0; (f = verb_flag(verb, i)); i++) {
		cleanup(buf_release) struct buf left = { 0 };

		buf_puts(&left, f->letter ? "  " : "      ");
		flag_label(f, &left);
		put_padded(out, buf_str(&left), FLAG_COLUMN);
		buf_printf(out, "%s\n", f->doc);
	}
}

void help_overview(bool to_stdout)
{
	cleanup(buf_release) struct buf text = { 0 };

	help_text(verb_families, &text);
	if (to_stdout)
		out_buf(&text);
	else
		file_write_all(2, text.data, text.len, NULL);
}

void help_verb(const struct verb *verb)
{
	cleanup(buf_release) struct buf text = { 0 };

	help_verb_text(verb, &text);
	out_buf(&text);
}

static bool belongs_to(const struct verb *v, const char *group)
{
	size_t len = strlen(group);

	return strncmp(v->name, group, len) == 0 && v->name[len] == ' ';
}

/* A verb, the verbs of a group, or, for `dev`, both. */
int help_about(int argc, char **argv, struct error *err)
{
	cleanup(buf_release) struct buf text = { 0 }, members = { 0 };
	const struct verb *verb;
	int used;

	for (const struct family *f = verb_families; argc == 1 && f->heading; f++)
		for (const struct verb *v = f->verbs; v->name; v++)
			if (v->run && belongs_to(v, argv[0]))
				put_verb(v, &members);
	verb = verb_find(verb_families, argc, argv, &used, err);
	if (verb && !verb->run) {
		error_id(err, "E0900", "`sluice %s` is not supported yet", verb->name);
		return -1;
	}
	if (!verb && !members.len)
		return -1;
	if (verb)
		help_verb_text(verb, &text);
	if (verb && members.len)
		buf_putc(&text, '\n');
	buf_add(&text, members.data, members.len);
	out_buf(&text);
	return STATUS_OK;
}

/* ---- docs/cli.md ---- */

static void verb_markdown(const struct verb *v, struct buf *out)
{
	const struct flag *f;

	buf_printf(out, "\n### sluice %s%s%s\n\n%s.\n", v->name, *v->arguments ? " " : "",
		   v->arguments, v->summary);
	if (v->about)
		buf_printf(out, "\n```\n%s\n```\n", v->about);
	if (!v->flags && !v->json)
		return;
	buf_puts(out, "\n| flag | |\n|---|---|\n");
	for (unsigned i = 0; (f = verb_flag(v, i)); i++) {
		if (strcmp(f->name, "help") == 0 || strcmp(f->name, "context") == 0)
			continue;
		buf_puts(out, "| `");
		flag_label(f, out);
		buf_printf(out, "` | %s |\n", f->doc);
	}
}

void help_markdown(const struct family *families, struct buf *out)
{
	buf_puts(out,
		 "# The command line\n\n"
		 "<!-- made by `sluice help --markdown` from the table of verbs; a test holds it "
		 "equal -->\n\n"
		 "stdout carries the answer, stderr the talk. A terminal gets a live view, a pipe "
		 "one line an\n"
		 "event; `--json` answers in JSON with the names of the schema, and an error is "
		 "then an\n"
		 "object on stderr. Every verb takes `--context NAME` (which controller) and "
		 "`--help`.\n"
		 "`NO_COLOR` turns colours off.\n\n"
		 "Exit codes: 0 ok, 1 the work failed, 2 usage, 3 invalid file, 4 not found, 5 not "
		 "allowed,\n"
		 "6 no controller, 7 timed out, 8 cancelled or rejected, 130 interrupted. Ctrl-C "
		 "stops\n"
		 "watching, never the work.\n\n"
		 "Which controller: `--context`, else `SLUICE_ADDRESS` with `SLUICE_TOKEN` and "
		 "`SLUICE_CA`\n"
		 "(a file), else `SLUICE_CONTEXT`, else the current one of `sluice context ls`.\n");
	for (const struct family *f = families; f->heading; f++) {
		bool first = true;

		buf_printf(out, "\n## %s\n", f->heading);
		for (const struct verb *v = f->verbs; v->name; v++) {
			if (v->run)
				verb_markdown(v, out);
			else
				buf_printf(out, "%s`%s`",
					   first ? "\nRefused by name (E0900): " : ", ", v->name);
			first = false;
		}
		if (!has_built(f))
			buf_puts(out, ".\n");
	}
}

/* ---- the verbs ---- */

static int help(struct cli *cli, struct error *err)
{
	cleanup(buf_release) struct buf text = { 0 };

	if (flag_given(&cli->args, "markdown")) {
		help_markdown(verb_families, &text);
		out_buf(&text);
		return STATUS_OK;
	}
	if (cli->args.n_words)
		return help_about((int)cli->args.n_words, (char **)cli->args.words, err);
	help_overview(true);
	return STATUS_OK;
}

static int completion(struct cli *cli, struct error *err)
{
	cleanup(buf_release) struct buf text = { 0 };
	const char *shell = word(&cli->args, 0);

	if (flag_given(&cli->args, "names"))
		return names_print(cli, flag_text(&cli->args, "names"), err);
	if (!help_completion(verb_families, shell, &text)) {
		error_set(err, ERR_INVALID, "there is no completion for '%s'", shell);
		return error_hint(err, "one of: bash, zsh, fish");
	}
	out_buf(&text);
	return STATUS_OK;
}

static const struct flag help_flags[] = {
	{ 0, "markdown", NULL, "the reference page: all verbs" },
	{ 0 },
};

static const struct flag completion_flags[] = {
	{ 0, "names", "WHAT",
	  "the words for ENVIRONMENT, RELEASE, AGENT ... of a usage, one a line" },
	{ 0 },
};

const struct verb help_verbs[] = {
	{ "help", "[VERB]", "What there is, or all about one verb", NULL, help_flags, 0, 2, false,
	  help },
	{ "completion", "SHELL", "Completion for bash, zsh or fish",
	  "  bash:  source <(sluice completion bash)\n"
	  "  zsh:   source <(sluice completion zsh)\n"
	  "  fish:  sluice completion fish | source",
	  completion_flags, 0, 1, false, completion },
	{ 0 },
};
