/*
 * A run as a story: what is different between two looks at it, a line each. Several changes may
 * have happened between the looks; only what is now is told.
 */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/run_view.h"

enum { METRICS_SHOWN = 4, NAMED = 3, MOMENT_MS = 10000 };

#define STATE(name) SLUICE__V1__JOB_STATE__JOB_##name

static const Sluice__V1__Job *find_job(const Sluice__V1__RunDetail *run, size_t at, const char *id)
{
	/* jobs keep their places */
	return run && at < run->n_jobs && strcmp(run->jobs[at]->id, id) == 0 ? run->jobs[at] : NULL;
}

static void begin(const struct look *look, struct buf *out)
{
	char time[CLOCK_TEXT];

	text_paint(out, look, DIM, clock_format_time(look->now_ms, time));
	buf_puts(out, "  ");
}

/* "evaluate failed: gate failed"; the gate's own lines follow. */
static void put_reason(const Sluice__V1__RunDetail *run, const char *reason, struct buf *out)
{
	cleanup(freep) char *text = xstrndup(reason, reason_length(run, reason));

	if (!*text)
		return;
	buf_puts(out, ": ");
	text_put(out, text);
}

static void tell_job(const Sluice__V1__Job *before, const Sluice__V1__Job *now,
		     const Sluice__V1__RunDetail *run, const struct look *look, struct buf *out)
{
	char time[CLOCK_TEXT];
	enum paint paint;
	const char *mark = job_mark(now->state, &paint);

	if (before && before->state == now->state && before->attempts == now->attempts)
		return;
	if (now->state == STATE(BLOCKED) || now->state == STATE(QUEUED))
		return; /* what it waits for is told instead */
	begin(look, out);
	text_paint(out, look, paint, mark);
	buf_putc(out, ' ');
	text_put(out, now->spec->name);
	buf_printf(out, " %s", job_state_word(now->state));
	if (now->state == STATE(ACTIVE) && *now->agent_name) {
		buf_puts(out, " on ");
		text_put(out, now->agent_name);
	}
	if (now->state >= STATE(SUCCEEDED) && now->started_ms)
		buf_printf(out, " after %s",
			   elapsed(now->started_ms, now->finished_ms, look->now_ms, time));
	if (now->attempts > 1 && now->state == STATE(ACTIVE))
		buf_printf(out, " (attempt %u)", now->attempts);
	if (*now->reused_from)
		buf_puts(out, ", taken over");
	if (now->state == STATE(SUCCEEDED) && now->n_metrics) {
		cleanup(buf_release) struct buf metrics = { 0 };

		put_metrics(now, METRICS_SHOWN, &metrics);
		buf_puts(out, ": ");
		text_put(out, buf_str(&metrics));
	}
	if (now->state != STATE(SUCCEEDED) && now->state > STATE(ACTIVE))
		put_reason(run, now->reason, out);
	buf_putc(out, '\n');
}

static bool same_wait(const Sluice__V1__RunDetail *run, const Sluice__V1__Wait *wait)
{
	for (size_t i = 0; run && i < run->n_waits; i++)
		if (strcmp(run->waits[i]->subject, wait->subject) == 0 &&
		    sentences_alike(run->waits[i]->sentence, wait->sentence))
			return true;
	return false;
}

/* That a job waits for another is the pipeline's nature, and that it was offered to an agent passes
 * in a moment; what waits for an agent, or for one that is silent, is worth a line. */
static bool is_news(const Sluice__V1__RunDetail *run, const Sluice__V1__Wait *wait, int64_t now_ms)
{
	for (size_t i = 0; i < run->n_jobs; i++)
		if (strcmp(run->jobs[i]->spec->name, wait->subject) == 0)
			return run->jobs[i]->state == STATE(QUEUED) ||
			       (run->jobs[i]->state == STATE(ACTIVE) &&
				now_ms - wait->since_ms > MOMENT_MS);
	return true;
}

static bool same_verdict(const Sluice__V1__RunDetail *run, const char *line)
{
	for (size_t i = 0; run && i < run->n_verdicts; i++)
		if (strcmp(run->verdicts[i], line) == 0)
			return true;
	return false;
}

/* Those that began to wait for the same share a line: "train[seed=1], train[seed=2] and 12 more
 * wait: needs a free slot". */
static void tell_waits(const Sluice__V1__RunDetail *before, const Sluice__V1__RunDetail *now,
		       const struct look *look, struct buf *out)
{
	cleanup(freep) bool *told = xcalloc(now->n_waits + 1, sizeof *told);

	for (size_t i = 0; i < now->n_waits; i++)
		told[i] = !is_news(now, now->waits[i], look->now_ms) ||
			  same_wait(before, now->waits[i]);
	for (size_t i = 0; i < now->n_waits; i++) {
		size_t n = 0;

		if (told[i])
			continue;
		begin(look, out);
		buf_puts(out, "◷");
		for (size_t k = i; k < now->n_waits; k++) {
			if (told[k] ||
			    !sentences_alike(now->waits[k]->sentence, now->waits[i]->sentence))
				continue;
			told[k] = true;
			if (n++ >= NAMED)
				continue;
			buf_puts(out, n > 1 ? ", " : " ");
			text_put(out, now->waits[k]->subject);
		}
		if (n > NAMED)
			buf_printf(out, " and %zu more", n - NAMED);
		buf_puts(out, n > 1 ? " wait: " : " waits: ");
		text_put(out, now->waits[i]->sentence);
		buf_putc(out, '\n');
	}
}

/* Of this job; of none, those that name no job. */
static void tell_verdicts(const Sluice__V1__RunDetail *before, const Sluice__V1__RunDetail *now,
			  const Sluice__V1__Job *job, const struct look *look, struct buf *out)
{
	for (size_t i = 0; i < now->n_verdicts; i++) {
		const char *line = now->verdicts[i], *text = verdict_text(now, line);
		size_t len = (size_t)(text - line);

		if (job ? !len || len != strlen(job->spec->name) + 2 ||
				    strncmp(line, job->spec->name, len - 2) != 0
			: len != 0)
			continue;
		if (same_verdict(before, line))
			continue;
		begin(look, out);
		verdict_view(line, look, out);
		buf_putc(out, '\n');
	}
}

static void tell_end(const Sluice__V1__RunDetail *detail, const struct look *look, struct buf *out)
{
	const Sluice__V1__Run *run = detail->run;
	char time[CLOCK_TEXT];

	begin(look, out);
	text_put(out, run->pipeline);
	buf_printf(out, " #%u ", run->number);
	text_paint(out, look, run_state_paint(run), run_state_word(run));
	buf_printf(out, " after %s",
		   elapsed(run->created_ms, run->finished_ms, look->now_ms, time));
	put_reason(detail, run->reason, out);
	buf_putc(out, '\n');
}

void run_changes(const Sluice__V1__RunDetail *before, const Sluice__V1__RunDetail *now,
		 const struct look *look, struct buf *out)
{
	for (size_t i = 0; i < now->n_jobs; i++) {
		const Sluice__V1__Job *job = now->jobs[i];

		tell_job(find_job(before, i, job->id), job, now, look, out);
		tell_verdicts(before, now, job, look, out);
	}
	tell_verdicts(before, now, NULL, look, out);
	tell_waits(before, now, look, out);
	if (now->run->state != SLUICE__V1__RUN_STATE__RUN_RUNNING &&
	    (!before || before->run->state == SLUICE__V1__RUN_STATE__RUN_RUNNING))
		tell_end(now, look, out);
}
