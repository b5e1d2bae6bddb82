/*
 * Before anything runs: lint, schema, explain, init. None of it needs a controller.
 */
#include <stdlib.h>
#include <string.h>

#include "base/errors.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/file_arg.h"
#include "cli/out.h"
#include "cli/verbs.h"
#include "spec/spec.h"
#include "base/suggest.h"

enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_SARIF, FORMATS };

static int read_format(const struct args *args, enum format *ret, struct error *err)
{
	static const char *const names[] = { "text", "json", "sarif" };
	const char *given = flag_text(args, "format");

	*ret = FORMAT_TEXT;
	for (size_t i = 0; given && i < FORMATS; i++)
		if (strcmp(given, names[i]) == 0) {
			*ret = (enum format)i;
			return 0;
		}
	if (given)
		return error_set(err, ERR_INVALID, "'--format %s': text, json or sarif is expected",
				 given);
	return 0;
}

/* Findings are lint's answer: stdout, in all formats. */
static void show(struct diagnostics *d, enum format format)
{
	cleanup(buf_release) struct buf text = { 0 };

	if (format == FORMAT_JSON)
		diagnostics_json(d, &text);
	else if (format == FORMAT_SARIF)
		diagnostics_sarif(d, &text);
	else
		diagnostics_text(d, out_look().colour, &text);
	if (text.len && text.data[text.len - 1] != '\n')
		buf_putc(&text, '\n');
	out_buf(&text);
}

static int lint(struct cli *cli, struct error *err)
{
	cleanup(pipeline_file_release) struct pipeline_file file = { 0 };
	cleanup(diagnostics_release) struct diagnostics d = { 0 };
	struct spec_source source = { .flags = SPEC_LINT | SPEC_ENVIRONMENTS };
	Sluice__V1__Pipeline *pipeline;
	enum format format;
	int r;

	if (read_format(&cli->args, &format, err) < 0 ||
	    pipeline_file_read(word(&cli->args, 0), &file, err) < 0)
		return -1;
	source.file = file.shown;
	source.text = buf_str(&file.text);
	source.len = file.text.len;
	r = spec_expand(&source, cli->arena, &pipeline, &d);
	if (r < 0 || (flag_given(&cli->args, "strict") && d.warnings)) {
		show(&d, format);
		return STATUS_BAD_FILE;
	}
	if (flag_given(&cli->args, "expanded")) {
		cleanup(buf_release) struct buf text = { 0 };

		say_diagnostics(&d, false);
		spec_print(pipeline, &text);
		out_buf(&text);
		return STATUS_OK;
	}
	if (format != FORMAT_TEXT || d.warnings)
		show(&d, format);
	else if (pipeline->n_jobs)
		out_printf("%s: well. Pipeline `%s`, %zu job%s, %zu environment%s\n", file.shown,
			   pipeline->name, pipeline->n_jobs, pipeline->n_jobs == 1 ? "" : "s",
			   pipeline->n_environments, pipeline->n_environments == 1 ? "" : "s");
	else
		out_printf("%s: well. %zu environment%s\n", file.shown, pipeline->n_environments,
			   pipeline->n_environments == 1 ? "" : "s");
	return STATUS_OK;
}

static int schema(struct cli *cli, struct error *err)
{
	cleanup(buf_release) struct buf text = { 0 };

	if (flag_given(&cli->args, "markdown"))
		spec_reference_markdown(&text);
	else
		spec_json_schema(&text);
	out_buf(&text);
	return STATUS_OK;
}

/* ---- explain ---- */

static void explain_entry(const struct error_entry *e, struct buf *out)
{
	struct look look = out_look();

	text_paint(out, &look, BOLD, e->id);
	buf_printf(out, ": %s\n\n%s\n", e->title, e->explain);
	if (*e->hint)
		buf_printf(out, "\n  %s\n", e->hint);
	buf_printf(out, "\nsluice ends with exit code %d (%s).\n", status_of_number(e->id),
		   status_word((enum exit_status)status_of_number(e->id)));
}

/* "E0601", "e0601", "0601" and "601" are one. */
static const struct error_entry *find_error(const char *code)
{
	const char *digits = code + (*code == 'E' || *code == 'e');
	size_t len = strlen(digits);
	char id[6];

	if (!len || len > 4 || strspn(digits, "0123456789") != len)
		return NULL;
	snprintf(id, sizeof id, "E%04lu", strtoul(digits, NULL, 10));
	return error_lookup(id);
}

static int explain(struct cli *cli, struct error *err)
{
	cleanup(buf_release) struct buf text = { 0 };
	const char *code = word(&cli->args, 0);
	const struct error_entry *e;

	if (flag_given(&cli->args, "markdown")) {
		error_reference_markdown(&text);
		out_buf(&text);
		return STATUS_OK;
	}
	if (!*code) {
		for (size_t i = 0; i < error_catalogue_count; i++)
			buf_printf(&text, "%s  %s\n", error_catalogue[i].id,
				   error_catalogue[i].title);
		out_buf(&text);
		return STATUS_OK;
	}
	e = find_error(code);
	if (!e) {
		error_id(err, "E0204", "there is no error '%s'", code);
		return error_hint(err, "sluice explain lists them all: E0107, or 107 for short");
	}
	explain_entry(e, &text);
	out_buf(&text);
	return STATUS_OK;
}

/* ---- init ---- */

static const char starter[] =
	"# A first pipeline: sluice submit . --watch\n"
	"version: 1\n"
	"pipeline: first\n"
	"\n"
	"params:\n"
	"  name: {type: string, default: world}     # sluice submit . -p name=you\n"
	"\n"
	"jobs:\n"
	"  data:\n"
	"    run: |\n"
	"      mkdir -p out\n"
	"      seq 1 100 > out/numbers.txt\n"
	"    outputs:\n"
	"      numbers: {path: out/numbers.txt, kind: data}\n"
	"\n"
	"  train:\n"
	"    inputs: {numbers: data.numbers}        # an input is also the edge of the graph\n"
	"    run: |\n"
	"      echo \"hello, $PARAM_NAME\"\n"
	"      mkdir -p out\n"
	"      sort -rn \"$INPUT_NUMBERS\" | head -n 1 > out/model.txt\n"
	"      echo \"{\\\"largest\\\": $(cat out/model.txt)}\" > out/metrics.json\n"
	"    metrics: out/metrics.json              # one JSON object\n"
	"    outputs:\n"
	"      model: {path: out/model.txt, kind: model}\n"
	"    gates:\n"
	"      - largest >= 100                     # printed with its numbers\n"
	"\n"
	"  package:\n"
	"    inputs: {model: train.model}\n"
	"    run: echo \"a release of the model and the code that made it\"\n"
	"    release: {parts: {model: model, code: source}}\n";

static int init(struct cli *cli, struct error *err)
{
	const char *dir = *word(&cli->args, 0) ? word(&cli->args, 0) : ".";
	cleanup(freep) char *path = path_join(dir, "sluice.yaml");
	const char *shown = strcmp(dir, ".") == 0 ? "sluice.yaml" : path;

	if (file_exists(path)) {
		error_set(err, ERR_EXISTS, "'%s' is there already", shown);
		return error_hint(err, "sluice lint checks it");
	}
	if (file_write_atomic(path, starter, strlen(starter), 0644, err) < 0)
		return -1;
	out_printf("Wrote %s\n", shown);
	say("Next: sluice lint %s, then sluice dev in another terminal, then sluice submit %s "
	    "--watch",
	    dir, dir);
	return STATUS_OK;
}

static const struct flag lint_flags[] = {
	{ 0, "expanded", NULL, "print the pipeline with matrices expanded and every default" },
	{ 0, "format", "FORMAT", "text (the default), json or sarif" },
	{ 0, "strict", NULL, "warnings are errors" },
	{ 0 },
};
static const struct flag page_flags[] = {
	{ 0, "markdown", NULL, "the reference page instead" },
	{ 0 },
};

const struct verb author_verbs[] = {
	{ "init", "[DIR]", "Write a small first sluice.yaml", NULL, NULL, 0, 1, false, init },
	{ "lint", "[FILE|DIR]", "Check a pipeline file; all errors at once, with their places",
	  NULL, lint_flags, 0, 1, false, lint },
	{ "schema", "", "The JSON Schema of sluice.yaml, for editors",
	  "  sluice schema > sluice.schema.json\n"
	  "  # yaml-language-server: $schema=./sluice.schema.json",
	  page_flags, 0, 0, false, schema },
	{ "explain", "[CODE]", "What an error number means and what to do",
	  "  sluice explain E0107\n  sluice explain 107", page_flags, 0, 1, false, explain },
	{ 0 },
};
