/*
 * The jobs of a run one by one: what the view of the run puts together.
 */
#include "cli/run_jobs.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/table.h"
#include "sluice/v1/model.pb-c.h"

#define STATE(name) SLUICE__V1__JOB_STATE__JOB_##name

bool job_is_named(const Sluice__V1__Job *job, const char *name)
{
	return !*name || strcmp(name, job->spec->name) == 0 ||
	       strcmp(name, job->spec->basename) == 0;
}

static const Sluice__V1__Wait *wait_of(const Sluice__V1__RunDetail *run, const Sluice__V1__Job *job)
{
	for (size_t i = 0; i < run->n_waits; i++)
		if (strcmp(run->waits[i]->subject, job->spec->name) == 0)
			return run->waits[i];
	return NULL;
}

/* Why it is not done, or else what it measured. */
static void put_remark(const Sluice__V1__RunDetail *run, const Sluice__V1__Job *job,
		       struct buf *out)
{
	const Sluice__V1__Wait *wait = wait_of(run, job);

	if (wait)
		buf_puts(out, wait->sentence);
	else if (job->state > STATE(ACTIVE) && job->state != STATE(SUCCEEDED))
		buf_puts(out, job->reason);
	else if (*job->reused_from)
		buf_puts(out, "taken over");
	put_metrics(job, job->n_metrics, out);
}

void run_jobs_view(const Sluice__V1__RunDetail *run, const char *name, const struct look *look,
		   struct buf *out)
{
	static const char *const headings[] = { "JOB",	 "STATE", ">ATTEMPTS", "AGENT",
						">TOOK", "",	  NULL };
	cleanup(table_freep) struct table *t = table_new(headings);

	for (size_t i = 0; i < run->n_jobs; i++) {
		const Sluice__V1__Job *job = run->jobs[i];
		cleanup(buf_release) struct buf remark = { 0 };
		char time[CLOCK_TEXT];
		enum paint paint;

		if (!job_is_named(job, name))
			continue;
		job_mark(job->state, &paint);
		put_remark(run, job, &remark);
		table_cell(t, PLAIN, job->spec->name);
		table_cell(t, paint, job_state_word(job->state));
		table_cellf(t, PLAIN, "%u", job->attempts);
		table_cell(t, PLAIN, *job->agent_name ? job->agent_name : "-");
		table_cell(t, PLAIN,
			   elapsed(job->started_ms, job->finished_ms, look->now_ms, time));
		table_cell(t, DIM, buf_str(&remark));
	}
	table_render(t, look, "No such job.", out);
	put_shortened(run, look, out);
}

/* ---- one of them ---- */

static void fact(struct buf *out, const struct look *look, const char *name, const char *value)
{
	if (!*value)
		return;
	text_paintf(out, look, DIM, "  %-10s ", name);
	text_put(out, value);
	buf_putc(out, '\n');
}

static void put_head(const Sluice__V1__RunDetail *run, const Sluice__V1__Job *job,
		     const struct look *look, struct buf *out)
{
	char time[CLOCK_TEXT];
	enum paint paint;
	const char *mark = job_mark(job->state, &paint);

	text_paint(out, look, paint, mark);
	buf_putc(out, ' ');
	text_paint(out, look, BOLD, job->spec->name);
	buf_printf(out, " of %s #%u  ", run->run->pipeline, run->run->number);
	text_paint(out, look, paint, job_state_word(job->state));
	elapsed(job->started_ms, job->finished_ms, look->now_ms, time);
	if (*time)
		buf_printf(out, "%s %s", job->finished_ms ? " after" : "", time);
	buf_putc(out, '\n');
}

static void put_attempt(const Sluice__V1__Job *job, const struct look *look, struct buf *out)
{
	cleanup(freep) char *tried =
		job->attempts > 1
			? xprintf("%u, %u of them counted as retries", job->attempts, job->retries)
			: xprintf("%u", job->attempts);
	char time[CLOCK_TEXT], size[CLOCK_TEXT];

	fact(out, look, "attempts", tried);
	fact(out, look, "agent", job->agent_name);
	if (job->started_ms)
		fact(out, look, "began", clock_format(job->started_ms, time));
	if (job->log_size)
		fact(out, look, "log", size_format(job->log_size, size));
}

static void put_things(const Sluice__V1__Job *job, const struct look *look, struct buf *out)
{
	char size[CLOCK_TEXT];

	for (size_t i = 0; i < job->n_inputs; i++)
		for (size_t k = 0; k < job->inputs[i]->n_artifacts; k++) {
			const Sluice__V1__ResolvedArtifact *a = job->inputs[i]->artifacts[k];
			cleanup(freep) char *text = xprintf("%s%s%s  %.19s", job->inputs[i]->name,
							    *a->key ? " " : "", a->key, a->digest);

			fact(out, look, i + k ? "" : "inputs", text);
		}
	for (size_t i = 0; i < job->n_outputs; i++) {
		cleanup(freep) char *text =
			xprintf("%s  %.19s  %s", job->outputs[i]->name, job->outputs[i]->digest,
				size_format(job->outputs[i]->size, size));

		fact(out, look, i ? "" : "outputs", text);
	}
	for (size_t i = 0; i < job->n_metrics; i++) {
		cleanup(freep) char *text =
			xprintf("%s %.6g", job->metrics[i]->name, job->metrics[i]->value);

		fact(out, look, i ? "" : "metrics", text);
	}
}

void run_job_view(const Sluice__V1__RunDetail *run, const Sluice__V1__Job *job,
		  const struct look *look, struct buf *out)
{
	const Sluice__V1__Wait *wait = wait_of(run, job);
	cleanup(freep) char *reason = xstrndup(job->reason, reason_length(run, job->reason));

	put_head(run, job, look, out);
	fact(out, look, "waits", wait ? wait->sentence : "");
	if (job->state > STATE(ACTIVE) && job->state != STATE(SUCCEEDED))
		fact(out, look, "why", reason);
	fact(out, look, "reused", *job->reused_from ? "taken over from the run before" : "");
	put_attempt(job, look, out);
	put_things(job, look, out);
	for (size_t i = 0; i < run->n_verdicts; i++) {
		const char *text = verdict_text(run, run->verdicts[i]);
		size_t len = strlen(job->spec->name);

		if ((size_t)(text - run->verdicts[i]) != len + 2 ||
		    strncmp(run->verdicts[i], job->spec->name, len) != 0)
			continue;
		buf_puts(out, "  ");
		verdict_view(text, look, out);
		buf_putc(out, '\n');
	}
	put_shortened(run, look, out);
}
