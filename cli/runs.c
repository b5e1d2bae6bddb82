/*
 * runs: list, show, cancel, retry, why; and the queue of all that waits.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/list.h"
#include "cli/out.h"
#include "cli/run_jobs.h"
#include "cli/run_view.h"
#include "cli/stubs.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "cli/watch.h"
#include "base/suggest.h"

static const struct paged runs_paged = { &sluice__v1__runs__descriptor, "List", "runs" };

static int read_state(const char *text, Sluice__V1__RunState *ret, struct error *err)
{
	const ProtobufCEnumDescriptor *type = &sluice__v1__run_state__descriptor;
	char word[ENUM_WORD];

	if (!text)
		return 0;
	for (unsigned i = 0; i < type->n_values; i++)
		if (type->values[i].value &&
		    strcmp(enum_word(type, type->values[i].value, word), text) == 0) {
			*ret = (Sluice__V1__RunState)type->values[i].value;
			return 0;
		}
	return error_set(err, ERR_INVALID,
			 "'--state %s': running, succeeded, failed or cancelled is expected", text);
}

static void add_run(struct table *t, const Sluice__V1__Run *run, int64_t now_ms)
{
	char time[CLOCK_TEXT], ago[AGE];

	bool verifies = run->kind == SLUICE__V1__RUN__KIND__VERIFY;

	table_cellf(t, verifies ? DIM : BOLD, "%u", run->number);
	table_cellf(t, verifies ? DIM : PLAIN, "%s%s", run->pipeline, verifies ? " (verify)" : "");
	table_cell(t, run_state_paint(run), run_state_word(run));
	table_cellf(t, PLAIN, "%u/%u", run->jobs_done, run->jobs);
	table_cell(t, DIM, age(run->created_ms, now_ms, ago));
	table_cell(t, PLAIN, elapsed(run->created_ms, run->finished_ms, now_ms, time));
	table_cell(t, DIM, run->actor ? run->actor->name : "");
	if (*run->environment)
		table_cellf(t, DIM, "verifies in %s", run->environment);
	else
		table_cell(t, DIM,
			   run->state == SLUICE__V1__RUN_STATE__RUN_FAILED ? run->reason
									   : run->source_label);
}

static int ls(struct cli *cli, struct error *err)
{
	static const char *const headings[] = { ">RUN", "PIPELINE", "STATE", ">JOBS", "BEGAN",
						"TOOK", "BY",	    "",	     NULL };
	Sluice__V1__ListRunsRequest request = SLUICE__V1__LIST_RUNS_REQUEST__INIT;
	cleanup(table_freep) struct table *t = table_new(headings);
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();
	struct list list;

	if (flag_given(&cli->args, "pipeline"))
		request.pipeline = (char *)flag_text(&cli->args, "pipeline");
	if (read_state(flag_text(&cli->args, "state"), &request.state, err) < 0 ||
	    list_ask(cli, &runs_paged, &request.base, &list, err) < 0)
		return -1;
	if (cli->json)
		return list_json(&runs_paged, &list), STATUS_OK;
	for (size_t i = 0; i < list.count; i++)
		add_run(t, (const Sluice__V1__Run *)list.items[i], look.now_ms);
	table_render(t, &look, "No runs yet. `sluice submit .` begins one.", &text);
	out_buf(&text);
	list_hint(&list);
	return STATUS_OK;
}

/* ---- show ---- */

static void put_fact(struct buf *out, const struct look *look, const char *name, const char *value)
{
	if (!*value)
		return;
	text_paintf(out, look, DIM, "  %-11s ", name);
	text_put(out, value);
	buf_putc(out, '\n');
}

static void put_facts(const Sluice__V1__Run *run, const struct look *look, struct buf *out)
{
	cleanup(buf_release) struct buf params = { 0 };
	char time[CLOCK_TEXT];

	for (size_t i = 0; i < run->n_params; i++)
		buf_printf(&params, "%s%s=%s", i ? " " : "", run->params[i]->name,
			   run->params[i]->value);
	put_fact(out, look, "began", clock_format(run->created_ms, time));
	put_fact(out, look, "by", run->actor ? run->actor->name : "");
	put_fact(out, look, "source", run->source_label);
	put_fact(out, look, "parameters", buf_str(&params));
	for (size_t i = 0; i < run->n_notes; i++)
		put_fact(out, look, "note", run->notes[i]);
}

static int no_such_job(const Sluice__V1__RunDetail *run, const char *name, struct error *err)
{
	struct suggest near = suggest_new(name);

	for (size_t i = 0; i < run->n_jobs; i++) {
		suggest_offer(&near, run->jobs[i]->spec->basename);
		suggest_offer(&near, run->jobs[i]->spec->name);
	}
	error_id(err, "E0204", "run %u has no job '%s'", run->run->number, name);
	return near.best
		       ? error_hint(err, "did you mean `%s`?", near.best)
		       : error_hint(err, "sluice runs show %u --jobs lists them", run->run->number);
}

static int put_jobs(const Sluice__V1__RunDetail *run, const char *name, struct buf *out,
		    struct error *err)
{
	const Sluice__V1__Job *only = NULL;
	struct look look = out_look();
	size_t n = 0;

	for (size_t i = 0; i < run->n_jobs; i++)
		if (job_is_named(run->jobs[i], name)) {
			only = run->jobs[i];
			n++;
		}
	if (!n)
		return no_such_job(run, name, err);
	if (n == 1 && *name)
		run_job_view(run, only, &look, out);
	else
		run_jobs_view(run, name, &look, out);
	return 0;
}

static void put_run(const Sluice__V1__RunDetail *run, struct buf *out)
{
	struct look look = out_look();

	run_view(run, &look, NULL, NULL, out);
	put_facts(run->run, &look, out);
}

static int show(struct cli *cli, struct error *err)
{
	Sluice__V1__GetRunRequest request = SLUICE__V1__GET_RUN_REQUEST__INIT;
	cleanup(buf_release) struct buf text = { 0 };
	struct rpc_channel *ch = cli_channel(cli, err);
	const char *job = word(&cli->args, 1);
	const Sluice__V1__RunDetail *run;

	request.run = (char *)word(&cli->args, 0);
	run = ch ? runs_get(ch, cli->arena, &request, err) : NULL;
	if (!run)
		return -1;
	if (cli->json)
		return out_json(&run->base), STATUS_OK;
	if (!*job && !flag_given(&cli->args, "jobs"))
		put_run(run, &text);
	else if (put_jobs(run, job, &text, err) < 0)
		return -1;
	out_buf(&text);
	return STATUS_OK;
}

/* ---- doing ---- */

static int cancel(struct cli *cli, struct error *err)
{
	Sluice__V1__CancelRunRequest request = SLUICE__V1__CANCEL_RUN_REQUEST__INIT;
	struct rpc_channel *ch = cli_channel(cli, err);
	const Sluice__V1__Run *run;

	request.request_id = cli_request_id(cli);
	request.run = (char *)word(&cli->args, 0);
	if (flag_given(&cli->args, "reason"))
		request.reason = (char *)flag_text(&cli->args, "reason");
	run = ch ? runs_cancel(ch, cli->arena, &request, err) : NULL;
	if (!run)
		return -1;
	if (cli->json)
		return out_json(&run->base), STATUS_OK;
	if (run->state == SLUICE__V1__RUN_STATE__RUN_RUNNING)
		out_printf("run %u is being cancelled: its jobs are told to end\n", run->number);
	else
		out_printf("run %u %s\n", run->number, run_state_word(run));
	return STATUS_OK;
}

static int retry(struct cli *cli, struct error *err)
{
	Sluice__V1__RetryRunRequest request = SLUICE__V1__RETRY_RUN_REQUEST__INIT;
	struct rpc_channel *ch = cli_channel(cli, err);
	const Sluice__V1__SubmitReply *reply;
	int64_t until_ms;

	request.request_id = cli_request_id(cli);
	request.run = (char *)word(&cli->args, 0);
	if (watch_until(&cli->args, &until_ms, err) < 0)
		return -1;
	reply = ch ? runs_retry(ch, cli->arena, &request, err) : NULL;
	if (!reply)
		return -1;
	for (size_t i = 0; i < reply->n_notes; i++)
		say("note: %s", reply->notes[i]);
	if (cli->json)
		out_json(&reply->base);
	else
		out_printf("run %u\n", reply->run->number);
	if (!flag_given(&cli->args, "watch") && !flag_given(&cli->args, "timeout"))
		return STATUS_OK;
	return watch_run(cli, reply->run->id, err);
}

/* ---- why ---- */

static void show_waits(const Sluice__V1__WaitList *list, bool with_run, const char *empty)
{
	static const char *const with[] = { ">RUN", "WHAT", "SINCE", "WHY", NULL };
	cleanup(table_freep) struct table *t = table_new(with_run ? with : with + 1);
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();
	char time[CLOCK_TEXT];

	for (size_t i = 0; i < list->n_waits; i++) {
		const Sluice__V1__Wait *w = list->waits[i];

		if (with_run && w->run_number)
			table_cellf(t, BOLD, "%u", w->run_number);
		else if (with_run)
			table_cell(t, PLAIN, "");
		table_cell(t, PLAIN, w->subject);
		table_cell(t, DIM, elapsed(w->since_ms, 0, look.now_ms, time));
		table_cell(t, PLAIN, w->sentence);
	}
	look.width = 0; /* the sentence is the answer: never cut */
	table_render(t, &look, empty, &text);
	if (list->total > list->n_waits)
		buf_printf(&text, "... and %zu more\n", list->total - list->n_waits);
	out_buf(&text);
}

/* How it ended, or what of it has failed so far; where a job's own words are. */
static void put_causes(const Sluice__V1__RunDetail *run, const Sluice__V1__WaitList *list)
{
	const Sluice__V1__Run *r = run->run;
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();

	if (r->state != SLUICE__V1__RUN_STATE__RUN_RUNNING) {
		cleanup(freep) char *reason = xstrndup(r->reason, reason_length(run, r->reason));

		buf_printf(&text, "Run %u %s%s%s\n", r->number, run_state_word(r),
			   *reason ? ": " : "", reason);
	}
	for (size_t i = 0; i < list->n_causes; i++) {
		buf_puts(&text, "  ");
		verdict_view(list->causes[i], &look, &text);
		buf_putc(&text, '\n');
	}
	out_buf(&text);
	if (list->n_causes)
		say("What they wrote: sluice logs %u --failed", r->number);
}

static int why(struct cli *cli, struct error *err)
{
	Sluice__V1__GetRunRequest request = SLUICE__V1__GET_RUN_REQUEST__INIT;
	struct rpc_channel *ch = cli_channel(cli, err);
	const Sluice__V1__WaitList *list;
	const Sluice__V1__RunDetail *run;

	request.run = (char *)word(&cli->args, 0);
	list = ch ? runs_why(ch, cli->arena, &request, err) : NULL;
	if (!list)
		return -1;
	if (cli->json)
		return out_json(&list->base), STATUS_OK;
	run = runs_get(ch, cli->arena, &request, err);
	if (!run)
		return -1;
	if (list->n_waits)
		show_waits(list, false, "");
	else if (run->run->state == SLUICE__V1__RUN_STATE__RUN_RUNNING)
		out_printf("Nothing of run %u waits: its jobs are running.\n", run->run->number);
	put_causes(run, list);
	return STATUS_OK;
}

static int queue(struct cli *cli, struct error *err)
{
	Sluice__V1__QueueRequest request = SLUICE__V1__QUEUE_REQUEST__INIT;
	struct rpc_channel *ch = cli_channel(cli, err);
	const Sluice__V1__WaitList *list = ch ? runs_queue(ch, cli->arena, &request, err) : NULL;

	if (!list)
		return -1;
	if (cli->json)
		out_json(&list->base);
	else
		show_waits(list, true, "Nothing waits.");
	return STATUS_OK;
}

static const struct flag ls_flags[] = {
	{ 0, "pipeline", "NAME", "only runs of this pipeline" },
	{ 0, "state", "STATE", "running, succeeded, failed or cancelled" },
	LIST_FLAG,
	{ 0 },
};
static const struct flag show_flags[] = {
	{ 0, "jobs", NULL, "each job on a line of its own, instances of a matrix, too" },
	{ 0 },
};
static const struct flag cancel_flags[] = {
	{ 0, "reason", "TEXT", "kept with the run" },
	{ 0 },
};
static const struct flag retry_flags[] = {
	{ 'w', "watch", NULL, "look on until it has ended; its outcome is the exit code" },
	TIMEOUT_FLAG,
	{ 0 },
};

const struct verb run_verbs[] = {
	{ "runs ls", "", "Runs, the newest first", NULL, ls_flags, 0, 0, true, ls },
	{ "runs show", "[RUN [JOB]]", "One run: its jobs, what waits, what gates decided",
	  "JOB may be one instance, `train[seed=1]`, with all that is known of it; or all of "
	  "them,\n"
	  "`train`, a line each with its state, attempts, agent and metrics.",
	  show_flags, 0, 2, true, show },
	{ "runs cancel", "RUN", "End a run; its jobs are told to stop", NULL, cancel_flags, 1, 1,
	  true, cancel },
	{ "runs retry", "RUN", "The same again as a new run; what succeeded is taken over", NULL,
	  retry_flags, 1, 1, true, retry },
	{ "runs why", "[RUN]", "What a run waits for, or why it failed, with the numbers", NULL,
	  NULL, 0, 1, true, why },
	{ "queue", "", "All that waits, the oldest first", NULL, NULL, 0, 0, true, queue },
	{ 0 },
};
