/*
 * artifacts: what jobs made, found, shown, fetched; and what people bring.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/fetch.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/lineage.h"
#include "cli/list.h"
#include "cli/out.h"
#include "cli/run_view.h"
#include "cli/stubs.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "transfer/transfer.h"

enum { PATIENCE_MS = 60000 };

static const struct paged artifacts_paged = { &sluice__v1__artifacts__descriptor, "List",
					      "artifacts" };

static int read_kind(const char *text, Sluice__V1__ArtifactKind *ret, struct error *err)
{
	const ProtobufCEnumDescriptor *type = &sluice__v1__artifact_kind__descriptor;
	char name[ENUM_WORD];

	if (!text)
		return 0;
	for (unsigned i = 0; i < type->n_values; i++)
		if (type->values[i].value &&
		    strcmp(enum_word(type, type->values[i].value, name), text) == 0) {
			*ret = (Sluice__V1__ArtifactKind)type->values[i].value;
			return 0;
		}
	return error_set(err, ERR_INVALID,
			 "'--kind %s': any, data, model, code, report or source is expected", text);
}

static void add_artifact(struct table *t, const Sluice__V1__Artifact *a, int64_t now_ms)
{
	cleanup(buf_release) struct buf what = { 0 };
	char digest[LINEAGE_SHORT], size[CLOCK_TEXT], ago[AGE];

	for (size_t i = 0; i < MIN(a->n_metrics, (size_t)3); i++)
		buf_printf(&what, "%s%s %.4g", i ? " " : "", a->metrics[i]->name,
			   a->metrics[i]->value);
	table_cell(t, CYAN, lineage_short(a->kind, a->digest, digest));
	if (*a->published)
		table_cellf(t, BOLD, "%s@%u", a->published, a->version);
	else
		table_cell(t, PLAIN, a->name);
	table_cell(t, PLAIN, kind_word(a->kind));
	table_cell(t, a->collected ? DIM : PLAIN,
		   a->collected ? "gone" : size_format(a->size, size));
	table_cell(t, DIM, age(a->created_ms, now_ms, ago));
	if (a->run_number)
		table_cellf(t, PLAIN, "%u/%s/%s", a->run_number, a->job_name, a->name);
	else
		table_cellf(t, DIM, "from %s", a->actor ? a->actor->name : "a user");
	table_cell(t, DIM, buf_str(&what));
}

static int list(struct cli *cli, const char *query, struct error *err)
{
	static const char *const headings[] = { "DIGEST", "NAME", "KIND", ">SIZE",
						"MADE",	  "BY",	  "",	  NULL };
	Sluice__V1__ListArtifactsRequest request = SLUICE__V1__LIST_ARTIFACTS_REQUEST__INIT;
	cleanup(table_freep) struct table *t = table_new(headings);
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();
	struct list found;

	request.query = (char *)query;
	if (flag_given(&cli->args, "run"))
		request.run = (char *)flag_text(&cli->args, "run");
	if (flag_given(&cli->args, "name"))
		request.name = (char *)flag_text(&cli->args, "name");
	if (read_kind(flag_text(&cli->args, "kind"), &request.kind, err) < 0 ||
	    list_ask(cli, &artifacts_paged, &request.base, &found, err) < 0)
		return -1;
	if (cli->json)
		return list_json(&artifacts_paged, &found), STATUS_OK;
	for (size_t i = 0; i < found.count; i++)
		add_artifact(t, (const Sluice__V1__Artifact *)found.items[i], look.now_ms);
	table_render(t, &look, *query ? "Nothing matches." : "No artifacts yet.", &text);
	out_buf(&text);
	list_hint(&found);
	return STATUS_OK;
}

static int ls(struct cli *cli, struct error *err)
{
	return list(cli, "", err);
}

static int search(struct cli *cli, struct error *err)
{
	cleanup(buf_release) struct buf query = { 0 };

	for (unsigned i = 0; i < cli->args.n_words; i++)
		buf_printf(&query, "%s%s", i ? " " : "", word(&cli->args, i));
	return list(cli, buf_str(&query), err);
}

static const Sluice__V1__Artifact *get(struct cli *cli, struct error *err)
{
	Sluice__V1__GetArtifactRequest request = SLUICE__V1__GET_ARTIFACT_REQUEST__INIT;
	struct rpc_channel *ch = cli_channel(cli, err);

	request.artifact = (char *)word(&cli->args, 0);
	return ch ? artifacts_get(ch, cli->arena, &request, err) : NULL;
}

/* ---- show ---- */

static void fact(struct buf *out, const struct look *look, const char *name, const char *value)
{
	if (!*value)
		return;
	text_paintf(out, look, DIM, "  %-12s ", name);
	text_put(out, value);
	buf_putc(out, '\n');
}

static void put_lists(const Sluice__V1__Artifact *a, const struct look *look, struct buf *out)
{
	cleanup(buf_release) struct buf params = { 0 };

	for (size_t i = 0; i < a->n_params; i++)
		buf_printf(&params, "%s%s=%s", i ? " " : "", a->params[i]->name,
			   a->params[i]->value);
	fact(out, look, "parameters", buf_str(&params));
	for (size_t i = 0; i < a->n_metrics; i++) {
		cleanup(freep) char *metric =
			xprintf("%s %.6g", a->metrics[i]->name, a->metrics[i]->value);

		fact(out, look, i ? "" : "metrics", metric);
	}
	for (size_t i = 0; i < a->n_meta; i++) {
		cleanup(freep) char *meta = xprintf("%s %s", a->meta[i]->name, a->meta[i]->value);

		fact(out, look, i ? "" : "meta", meta);
	}
	for (size_t i = 0; i < a->n_inputs; i++)
		fact(out, look, i ? "" : "made from", a->inputs[i]);
}

static int show(struct cli *cli, struct error *err)
{
	const Sluice__V1__Artifact *a = get(cli, err);
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();
	char size[CLOCK_TEXT], time[CLOCK_TEXT], ago[AGE];

	if (!a)
		return -1;
	if (cli->json)
		return out_json(&a->base), STATUS_OK;
	text_paint(&text, &look, BOLD, a->name);
	buf_printf(&text, "  %s, %s, %s%s\n", kind_word(a->kind), size_format(a->size, size),
		   age(a->created_ms, look.now_ms, ago),
		   a->collected ? "; its bytes are gone" : "");
	fact(&text, &look, "digest", a->digest);
	if (*a->published) {
		cleanup(freep) char *name = xprintf("%s@%u", a->published, a->version);

		fact(&text, &look, "published", name);
	}
	if (a->run_number) {
		cleanup(freep) char *by =
			xprintf("%u/%s (%s)", a->run_number, a->job_name, a->pipeline);

		fact(&text, &look, "made by", by);
	} else if (a->actor) {
		fact(&text, &look, "from", a->actor->name);
	}
	if (a->data_until_ms)
		fact(&text, &look, "data until", clock_format(a->data_until_ms, time));
	put_lists(a, &look, &text);
	out_buf(&text);
	return STATUS_OK;
}

/* ---- bytes ---- */

static int get_bytes(struct cli *cli, struct error *err)
{
	const Sluice__V1__Artifact *a = get(cli, err);
	const char *path = flag_text(&cli->args, "output");
	char size[CLOCK_TEXT], came[CLOCK_TEXT];
	uint64_t received = 0;

	if (!a)
		return -1;
	if (!path)
		path = a->name;
	if (fetch_artifact(cli, a, path, &received, err) < 0) {
		if (interrupted())
			return say("What has come is kept: the same command goes on with it."),
			       STATUS_INTERRUPTED;
		if (err->code == ERR_EXISTS && !*err->hint)
			error_hint(err, "-o PATH puts it elsewhere");
		return -1;
	}
	out_printf("%s\n", path);
	say("%s, %s received", size_format(a->size, size), size_format(received, came));
	return STATUS_OK;
}

static int cat(struct cli *cli, struct error *err)
{
	const Sluice__V1__Artifact *a = get(cli, err);

	if (!a || fetch_to_stdout(cli, a, word(&cli->args, 1), err) < 0)
		return interrupted() ? STATUS_INTERRUPTED : -1;
	return STATUS_OK;
}

static bool was_interrupted(void *arg)
{
	return interrupted();
}

static int read_meta(struct cli *cli, struct upload *what, struct error *err)
{
	const char *text;

	what->meta = arena_alloc(cli->arena, ARGS_MAX * sizeof *what->meta);
	for (; (text = flag_each(&cli->args, "meta", (unsigned)what->n_meta)); what->n_meta++) {
		const char *equals = strchr(text, '=');
		Sluice__V1__Variable *v = arena_alloc(cli->arena, sizeof *v);

		if (!equals || equals == text)
			return error_set(err, ERR_INVALID, "'--meta %s': NAME=VALUE is expected",
					 text);
		sluice__v1__variable__init(v);
		v->name = arena_strndup(cli->arena, text, (size_t)(equals - text));
		v->value = (char *)equals + 1;
		what->meta[what->n_meta] = v;
	}
	return 0;
}

static int put(struct cli *cli, struct error *err)
{
	const char *path = word(&cli->args, 0), *slash = strrchr(path, '/');
	struct transfer t = { .patience_ms = PATIENCE_MS, .cancelled = was_interrupted };
	struct upload what = { .kind = SLUICE__V1__ARTIFACT_KIND__ANY };
	struct upload_stats stats = { 0 };
	const Sluice__V1__Artifact *a;
	char size[CLOCK_TEXT], sent[CLOCK_TEXT];
	struct stat st;

	if (stat(path, &st) < 0)
		return error_errno(err, "'%s'", path);
	if (read_kind(flag_text(&cli->args, "kind"), &what.kind, err) < 0 ||
	    read_meta(cli, &what, err) < 0)
		return -1;
	what.name = flag_text(&cli->args, "name");
	if (!what.name)
		what.name = slash && slash[1] ? slash + 1 : path;
	if (!name_valid(what.name)) {
		error_set(err, ERR_INVALID, "'%s' is not a valid name for an artifact", what.name);
		return error_hint(err, "choose one with --name NAME");
	}
	what.is_file = S_ISREG(st.st_mode);
	what.content.media = MANIFEST_TAR;
	what.content.tree.path = path;
	t.channel = cli_channel(cli, err);
	if (!t.channel)
		return -1;
	interrupt_begin(NULL, NULL);
	a = transfer_upload(&t, &what, cli->arena, &stats, err);
	interrupt_end();
	if (!a)
		return interrupted() ? STATUS_INTERRUPTED : -1;
	if (cli->json)
		return out_json(&a->base), STATUS_OK;
	out_printf("%s\n", a->digest);
	say("%s, %s sent", size_format(stats.size, size), size_format(stats.sent, sent));
	return STATUS_OK;
}

static void join(char **items, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s%s", i ? ", " : "", items[i]);
}

/* Where it went: the releases that hold it, or what was made from it. */
static void put_releases(const Sluice__V1__LineageReply *reply, const struct look *look,
			 struct buf *out)
{
	static const char *const headings[] = { "RELEASE",  "PIPELINE",	   "MADE", "LIVE IN",
						"VERIFIED", "QUARANTINED", NULL };
	cleanup(table_freep) struct table *t = table_new(headings);
	char ago[AGE];

	if (!reply->n_releases)
		return;
	for (size_t i = 0; i < reply->n_releases; i++) {
		const Sluice__V1__LineageRelease *r = reply->releases[i];
		cleanup(buf_release) struct buf live = { 0 }, verified = { 0 }, bad = { 0 };

		join(r->live_in, r->n_live_in, &live);
		join(r->verified_in, r->n_verified_in, &verified);
		join(r->quarantined, r->n_quarantined, &bad);
		table_cellf(t, BOLD, "r%u", r->number);
		table_cell(t, PLAIN, r->pipeline);
		table_cell(t, DIM, age(r->created_ms, look->now_ms, ago));
		table_cell(t, GREEN, live.len ? buf_str(&live) : "-");
		table_cell(t, PLAIN, verified.len ? buf_str(&verified) : "-");
		table_cell(t, RED, buf_str(&bad));
	}
	buf_putc(out, '\n');
	table_render(t, look, "", out);
}

static int lineage(struct cli *cli, struct error *err)
{
	bool down = flag_given(&cli->args, "down");
	const Sluice__V1__LineageReply *reply = lineage_ask(cli, word(&cli->args, 0), down, err);
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();

	if (!reply)
		return -1;
	if (cli->json)
		return out_json(&reply->base), STATUS_OK;
	if (!down) {
		lineage_view(reply, "", &look, &text);
	} else {
		static const char *const headings[] = { "DIGEST", "NAME", "KIND", ">SIZE",
							"MADE",	  "BY",	  "",	  NULL };
		cleanup(table_freep) struct table *t = table_new(headings);

		for (size_t i = 1; i < reply->n_nodes; i++)
			add_artifact(t, reply->nodes[i]->artifact, look.now_ms);
		table_render(t, &look,
			     reply->n_releases ? "No artifact was made from it."
					       : "Nothing was made from it.",
			     &text);
		put_releases(reply, &look, &text);
	}
	out_buf(&text);
	return STATUS_OK;
}

#define KIND_FLAG                                                             \
	{                                                                     \
		0, "kind", "KIND", "any, data, model, code, report or source" \
	}

static const struct flag ls_flags[] = {
	{ 0, "run", "RUN", "only those of this run" },
	{ 0, "name", "NAME", "only outputs or published artifacts of this name" },
	KIND_FLAG,
	LIST_FLAG,
	{ 0 },
};
static const struct flag get_flags[] = {
	{ 'o', "output", "PATH", "where to (default: its name, here)" },
	{ 0 },
};
static const struct flag put_flags[] = {
	{ 0, "name", "NAME", "its name (default: the file's)" },
	KIND_FLAG,
	{ 0, "meta", "NAME=VALUE", "kept with it; may be repeated" },
	{ 0 },
};
static const struct flag lineage_flags[] = {
	{ 0, "down", NULL, "what was made from it instead, and where that is live" },
	{ 0 },
};

#define NAMES                                                                                  \
	"ARTIFACT is a digest, a short one (`m:4c1e`), RUN/JOB/OUTPUT, or NAME@VERSION of a\n" \
	"published one (`transactions@12`, `transactions@latest`)."

const struct verb artifact_verbs[] = {
	{ "artifacts ls", "", "What jobs made and people brought, the newest first", NULL, ls_flags,
	  0, 0, true, ls },
	{ "artifacts search", "WORD...", "Those in which all words occur, or metrics compare",
	  "  sluice artifacts search train 'accuracy>=0.9' --kind model", ls_flags, 1, ARGS_MAX,
	  true, search },
	{ "artifacts show", "ARTIFACT", "One artifact", NAMES, NULL, 1, 1, true, show },
	{ "artifacts get", "ARTIFACT", "Fetch it: a directory or a file", NAMES, get_flags, 1, 1,
	  false, get_bytes },
	{ "artifacts cat", "ARTIFACT [PATH]", "Write a file of it to stdout", NAMES, NULL, 1, 2,
	  false, cat },
	{ "artifacts put", "FILE|DIR", "Bring data or a model of your own", NULL, put_flags, 1, 1,
	  true, put },
	{ "artifacts lineage", "ARTIFACT", "What it was made from", NAMES, lineage_flags, 1, 1,
	  true, lineage },
	{ 0 },
};
