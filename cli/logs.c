/*
 * logs: of one job, of those that failed, or of a whole run, as it happens.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/stream.h"
#include "cli/stubs.h"
#include "cli/verbs.h"
#include "proto/message.h"

#define STATE(name) SLUICE__V1__JOB_STATE__JOB_##name

enum { LOOK_MS = 500, PREFIX_MOST = 24, JOBS_MOST = 512 };

struct wish {
	struct cli *cli;
	const char *job; /* instance or base name; "" all */
	bool failed, live;
	uint32_t attempt, stream, tail;
	struct follow *follow;
	bool prefixes;
	int column;
	uint32_t shown[JOBS_MOST]; /* attempts of each job that are being shown */
};

static bool is_wanted(const struct wish *w, const Sluice__V1__Job *job)
{
	if (*w->job && strcmp(w->job, job->spec->name) != 0 &&
	    strcmp(w->job, job->spec->basename) != 0)
		return false;
	return !w->failed || job->state == STATE(FAILED);
}

/* "train[seed=1] | ", in the job's own colour; all bars beneath each other. */
static char *prefix_of(const struct wish *w, const char *name, size_t nth)
{
	static const enum paint paints[] = { CYAN, YELLOW, GREEN, BLUE, RED };
	struct look look = out_look();
	cleanup(buf_release) struct buf text = { 0 }, padded = { 0 };

	if (!w->prefixes)
		return xstrdup("");
	text_cut(&padded, name, PREFIX_MOST);
	text_pad(&padded, text_width(buf_str(&padded)), w->column);
	text_paint(&text, &look, paints[nth % ARRAY_SIZE(paints)], buf_str(&padded));
	buf_puts(&text, " | ");
	return buf_detach(&text);
}

static void measure(struct wish *w, const Sluice__V1__RunDetail *run)
{
	size_t n = 0;

	for (size_t i = 0; i < run->n_jobs; i++) {
		if (!is_wanted(w, run->jobs[i]))
			continue;
		n++;
		w->column =
			MAX(w->column, MIN(text_width(run->jobs[i]->spec->name), (int)PREFIX_MOST));
	}
	w->prefixes = n > 1;
}

static int no_such_job(const struct wish *w, const Sluice__V1__RunDetail *run, struct error *err)
{
	error_id(err, "E0204", "run %u has no job '%s'", run->run->number, w->job);
	return error_hint(err, "sluice runs show %u lists its jobs", run->run->number);
}

static bool has_wanted(const struct wish *w, const Sluice__V1__RunDetail *run)
{
	for (size_t i = 0; i < run->n_jobs; i++)
		if (is_wanted(w, run->jobs[i]))
			return true;
	return false;
}

static struct follow_log log_of(const struct wish *w, const Sluice__V1__Job *job, uint32_t attempt,
				const char *prefix)
{
	return (struct follow_log){ .run = job->run_id,
				    .job = job->spec->name,
				    .attempt = attempt,
				    .stream = w->stream,
				    .tail = w->tail,
				    .live = w->live,
				    .prefix = prefix };
}

/* What there is, job after job in the pipeline's order. */
static int read_all(struct wish *w, const Sluice__V1__RunDetail *run, struct error *err)
{
	bool any = false;

	for (size_t i = 0; i < run->n_jobs && !interrupted(); i++) {
		const Sluice__V1__Job *job = run->jobs[i];
		cleanup(freep) char *prefix = prefix_of(w, job->spec->name, i);
		struct follow_log log = log_of(w, job, w->attempt, prefix);

		if (!is_wanted(w, job) || (w->prefixes && !job->attempts))
			continue;
		any = true;
		if (follow_read(w->follow, &log, err) < 0)
			return -1;
	}
	if (!any && !interrupted())
		say(w->failed ? "No job of run %u failed." : "No job of run %u has started.",
		    run->run->number);
	return interrupted() ? STATUS_INTERRUPTED : STATUS_OK;
}

/* ---- live ---- */

/* Attempts that began since the last look; at the first one only the newest of each job. */
static void follow_new_attempts(struct wish *w, const Sluice__V1__RunDetail *run, bool first)
{
	for (size_t i = 0; i < MIN(run->n_jobs, (size_t)JOBS_MOST); i++) {
		const Sluice__V1__Job *job = run->jobs[i];

		if (!is_wanted(w, job))
			continue;
		if (first && job->attempts)
			w->shown[i] = job->attempts - 1;
		while (w->shown[i] < job->attempts) {
			cleanup(freep) char *prefix = prefix_of(w, job->spec->name, i);
			struct follow_log log = log_of(w, job, ++w->shown[i], prefix);

			follow_add(w->follow, &log);
		}
	}
}

static bool all_over(const struct wish *w, const Sluice__V1__RunDetail *run)
{
	for (size_t i = 0; i < run->n_jobs; i++)
		if (is_wanted(w, run->jobs[i]) && run->jobs[i]->state < STATE(SUCCEEDED))
			return false;
	return true;
}

static int follow_run(struct wish *w, const char *run, struct error *err)
{
	Sluice__V1__GetRunRequest request = SLUICE__V1__GET_RUN_REQUEST__INIT;
	cleanup(stream_close) struct stream stream = {
		.channel = cli_channel(w->cli, err),
		.service = &sluice__v1__runs__descriptor,
		.method = "Watch",
		.request = &request.base,
	};
	const Sluice__V1__RunDetail *seen = NULL;
	bool first = true, over = false;

	request.run = (char *)run;
	while (!over) {
		switch (stream_next(&stream, (const void **)&seen, sizeof *seen, LOOK_MS, err)) {
		case STREAM_MESSAGE:
			follow_new_attempts(w, seen, first);
			first = false;
			over = all_over(w, seen);
			break;
		case STREAM_TICK:
			follow_look(w->follow);
			break;
		case STREAM_INTERRUPTED:
			return STATUS_INTERRUPTED;
		case STREAM_END:
			over = true;
			break;
		case STREAM_ERROR:
			return -1;
		}
	}
	stream_close(&stream);
	if (follow_wait(w->follow, err) < 0)
		return -1;
	return interrupted() ? STATUS_INTERRUPTED : STATUS_OK;
}

/* One attempt that was named: no need to look at the run. */
static int follow_attempt(struct wish *w, const char *run, struct error *err)
{
	struct follow_log log = { .run = run,
				  .job = w->job,
				  .attempt = w->attempt,
				  .stream = w->stream,
				  .tail = w->tail,
				  .live = true };

	if (follow_read(w->follow, &log, err) < 0)
		return -1;
	return interrupted() ? STATUS_INTERRUPTED : STATUS_OK;
}

/* ---- the verb ---- */

static int read_wish(struct cli *cli, struct wish *w, struct error *err)
{
	int64_t attempt = 0, tail = 0;

	w->cli = cli;
	w->job = word(&cli->args, 1);
	w->failed = flag_given(&cli->args, "failed");
	w->live = flag_given(&cli->args, "follow");
	if (flag_number(&cli->args, "attempt", 1, 1000000, &attempt, err) < 0 ||
	    flag_number(&cli->args, "tail", 1, 100000, &tail, err) < 0)
		return -1;
	if (flag_given(&cli->args, "metrics") && flag_given(&cli->args, "agent"))
		return error_set(err, ERR_INVALID, "--metrics and --agent exclude each other");
	if (attempt && !*w->job)
		return error_set(err, ERR_INVALID, "--attempt needs a JOB");
	if (w->failed && w->live)
		return error_set(err, ERR_INVALID, "--failed and --follow exclude each other");
	w->attempt = (uint32_t)attempt;
	w->tail = (uint32_t)tail;
	w->stream = flag_given(&cli->args, "metrics") ? LOG_METRICS
		    : flag_given(&cli->args, "agent") ? LOG_AGENT
						      : LOG_OUTPUT;
	return 0;
}

static int logs(struct cli *cli, struct error *err)
{
	Sluice__V1__GetRunRequest request = SLUICE__V1__GET_RUN_REQUEST__INIT;
	const Sluice__V1__RunDetail *run;
	struct rpc_channel *ch;
	struct wish w = { 0 };
	int status;

	if (read_wish(cli, &w, err) < 0 || !(ch = cli_channel(cli, err)))
		return -1;
	request.run = (char *)word(&cli->args, 0);
	run = runs_get(ch, cli->arena, &request, err);
	if (!run)
		return -1;
	if (*w.job && !w.failed && !has_wanted(&w, run))
		return no_such_job(&w, run, err);
	measure(&w, run);
	w.follow = follow_new(ch, cli->json);
	if (!w.live)
		status = read_all(&w, run, err);
	else if (w.attempt)
		status = follow_attempt(&w, run->run->id, err);
	else
		status = follow_run(&w, run->run->id, err);
	follow_free(w.follow);
	if (status == STATUS_INTERRUPTED && run->run->state == SLUICE__V1__RUN_STATE__RUN_RUNNING)
		say("Detached: run %u goes on. Cancel it: sluice runs cancel %u", run->run->number,
		    run->run->number);
	return status;
}

static const struct flag logs_flags[] = {
	{ 'f', "follow", NULL, "go on as it is written, to the end" },
	{ 0, "attempt", "N", "this attempt of the job instead of its last" },
	{ 0, "failed", NULL, "only jobs that failed" },
	{ 0, "tail", "N", "begin N lines before the end" },
	{ 0, "metrics", NULL, "the metrics that the job wrote instead of its output" },
	{ 0, "agent", NULL, "what the agent said of the job instead of its output" },
	{ 0 },
};

const struct verb log_verbs[] = {
	{ "logs", "[RUN [JOB]]", "What jobs wrote",
	  "Without RUN: the newest run. Without JOB: all of its jobs, each line with its job's "
	  "name. JOB\n"
	  "may be one instance, `train[seed=1]`, or all of them, `train`. With -f a lost "
	  "connection is\n"
	  "made again and nothing is missing or shown twice.\n\n"
	  "  sluice logs 318 train -f",
	  logs_flags, 0, 2, true, logs },
	{ 0 },
};
