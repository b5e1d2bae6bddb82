/*
 * submit: the file is checked here, with its places; only a good one, and its source, leave this
 * computer.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/file_arg.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/source_tree.h"
#include "cli/stubs.h"
#include "cli/verbs.h"
#include "cli/watch.h"
#include "proto/message.h"
#include "spec/spec.h"
#include "transfer/transfer.h"

enum { UPLOAD_PATIENCE_MS = 60000 };

struct submission {
	struct cli *cli;
	struct pipeline_file file;
	Sluice__V1__SubmitRequest request;
	char *uploaded; /* what is said of the source, or NULL */
};

static int read_params(struct submission *s, struct spec_override *overrides, size_t *ret_n,
		       struct error *err)
{
	const struct args *args = &s->cli->args;
	struct arena *a = s->cli->arena;
	const char *text;
	size_t n = 0;

	s->request.params = arena_alloc(a, ARGS_MAX * sizeof *s->request.params);
	for (; (text = flag_each(args, "param", (unsigned)n)); n++) {
		Sluice__V1__Variable *v = arena_alloc(a, sizeof *v);

		if (spec_override_parse(text, a, &overrides[n], err) < 0)
			return -1;
		sluice__v1__variable__init(v);
		v->name = (char *)overrides[n].name;
		v->value = (char *)overrides[n].value;
		s->request.params[n] = v;
	}
	*ret_n = s->request.n_params = n;
	return 0;
}

/* STATUS_OK, or STATUS_BAD_FILE once everything that is wrong was said. */
static int check(struct submission *s, struct error *err)
{
	cleanup(diagnostics_release) struct diagnostics d = { 0 };
	struct spec_override overrides[ARGS_MAX];
	struct spec_source source = { .file = s->file.shown,
				      .text = buf_str(&s->file.text),
				      .len = s->file.text.len,
				      .overrides = overrides };
	Sluice__V1__Pipeline *pipeline;

	if (read_params(s, overrides, &source.n_overrides, err) < 0)
		return -1;
	if (spec_expand(&source, s->cli->arena, &pipeline, &d) == 0) {
		say_diagnostics(&d, s->cli->json);
		return STATUS_OK;
	}
	say_diagnostics(&d, s->cli->json);
	/* a wrong parameter is the command line's mistake, not the file's */
	return strncmp(diagnostics_first(&d)->id, "E02", 3) == 0 ? STATUS_USAGE : STATUS_BAD_FILE;
}

static bool was_interrupted(void *arg)
{
	return interrupted();
}

/* "Uploaded 1.2 MiB of 18 MiB (212 files, 41 changed), base 9f31c2e + local changes" */
static char *describe_upload(const struct source_tree *tree, const struct upload_stats *stats)
{
	cleanup(buf_release) struct buf out = { 0 };
	char sent[CLOCK_TEXT], all[CLOCK_TEXT];

	size_format(stats->sent, sent);
	size_format(stats->size, all);
	if (!stats->sent)
		buf_printf(&out, "Nothing new of %s to upload", all);
	else if (stats->sent < stats->size)
		buf_printf(&out, "Uploaded %s of %s", sent, all);
	else
		buf_printf(&out, "Uploaded %s", all);
	buf_printf(&out, " (%zu file%s", tree->count, tree->count == 1 ? "" : "s");
	if (tree->changed)
		buf_printf(&out, ", %zu changed", tree->changed);
	buf_printf(&out, "), %s%s", tree->is_git ? "base " : "", tree->label);
	return buf_detach(&out);
}

static int upload(struct submission *s, struct error *err)
{
	cleanup(source_tree_release) struct source_tree tree = { 0 };
	struct transfer transfer = { .channel = cli_channel(s->cli, err),
				     .patience_ms = UPLOAD_PATIENCE_MS,
				     .cancelled = was_interrupted };
	struct upload what = { .name = "source", .kind = SLUICE__V1__ARTIFACT_KIND__SOURCE };
	struct upload_stats stats = { 0 };
	const Sluice__V1__Artifact *made;

	if (!transfer.channel || source_tree_list(s->file.directory, &tree, err) < 0)
		return -1;
	if (tree.tokens)
		say("Left out '%s'%s: it holds a token, and every viewer reads the source of a run",
		    tree.token, tree.tokens > 1 ? " and others" : "");
	what.content.media = MANIFEST_TAR;
	what.content.tree = (struct tarball_source){
		.path = tree.directory,
		.paths = (const char *const *)tree.paths,
		.n_paths = tree.count,
		.skip_missing = true,
	};
	interrupt_begin(NULL, NULL);
	made = transfer_upload(&transfer, &what, s->cli->arena, &stats, err);
	interrupt_end();
	if (!made && interrupted())
		return say("Nothing was submitted."), STATUS_INTERRUPTED;
	if (!made)
		return -1;
	s->request.source = made->digest;
	s->request.source_label = arena_strdup(s->cli->arena, tree.label);
	s->uploaded = describe_upload(&tree, &stats);
	return STATUS_OK;
}

static void answer(struct submission *s, const Sluice__V1__SubmitReply *reply)
{
	cleanup(freep) char *run = xprintf("run %u", reply->run->number);

	for (size_t i = 0; i < reply->n_notes; i++)
		say("note: %s", reply->notes[i]);
	if (s->cli->json)
		out_json(&reply->base);
	else if (s->uploaded)
		out_printf("%s      %s\n", s->uploaded, run);
	else
		out_printf("%s\n", run);
}

static int send_request(struct submission *s, struct error *err)
{
	const Sluice__V1__SubmitReply *reply;
	struct rpc_channel *ch = cli_channel(s->cli, err);
	char *id;

	if (!ch)
		return -1;
	s->request.request_id = cli_request_id(s->cli);
	s->request.file_name = s->file.shown;
	s->request.file = (char *)buf_str(&s->file.text);
	reply = runs_submit(ch, s->cli->arena, &s->request, err);
	if (!reply)
		return -1;
	answer(s, reply);
	if (!flag_given(&s->cli->args, "watch") && !flag_given(&s->cli->args, "timeout"))
		return STATUS_OK;
	id = reply->run->id;
	return watch_run(s->cli, id, err);
}

static int submit(struct cli *cli, struct error *err)
{
	struct submission s = { .cli = cli, .request = SLUICE__V1__SUBMIT_REQUEST__INIT };
	int64_t priority = 0, until_ms;
	int status = -1;

	if (watch_until(&cli->args, &until_ms, err) == 0 &&
	    flag_number(&cli->args, "priority", -1000, 1000, &priority, err) == 0 &&
	    pipeline_file_read(word(&cli->args, 0), &s.file, err) == 0)
		status = check(&s, err);
	s.request.priority = (int32_t)priority;
	if (status == STATUS_OK && s.file.directory && !flag_given(&cli->args, "no-source"))
		status = upload(&s, err);
	if (status == STATUS_OK)
		status = send_request(&s, err);
	pipeline_file_release(&s.file);
	free(s.uploaded);
	return status;
}

static int watch(struct cli *cli, struct error *err)
{
	return watch_run(cli, word(&cli->args, 0), err);
}

static const struct flag submit_flags[] = {
	{ 'p', "param", "NAME=VALUE", "a parameter of the pipeline; may be repeated" },
	{ 'w', "watch", NULL, "look on until it has ended; its outcome is the exit code" },
	TIMEOUT_FLAG,
	{ 0, "priority", "N", "added to the priority of each job; higher starts first" },
	{ 0, "no-source", NULL, "send the file only, not the directory's files" },
	{ 0 },
};

static const struct flag watch_flags[] = { TIMEOUT_FLAG, { 0 } };

const struct verb submit_verbs[] = {
	{ "submit", "[DIR|FILE]", "Run a pipeline",
	  "A directory (the default: this one) is sent as the run's source tree: within git what "
	  "git\n"
	  "tracks or would track, else everything; less what .sluiceignore names. A file is sent "
	  "alone.\n"
	  "It is checked first, and nothing is sent if anything is wrong with it.\n\n"
	  "  sluice submit . -p epochs=20 --watch",
	  submit_flags, 0, 1, true, submit },
	{ "watch", "[RUN]", "Look on until a run has ended; its outcome is the exit code",
	  "Without RUN: the newest. Ctrl-C stops looking, not the run.", watch_flags, 0, 1, true,
	  watch },
	{ 0 },
};
