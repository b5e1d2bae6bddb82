/*
 * A run as a story: what is different between two looks at it, a line each. Several changes may
 * have happened between the looks; only what is now is told.
 */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/run_view.h"

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

static void tell_job(const Sluice__V1__Job *before, const Sluice__V1__Job *now,
		     const struct look *look, struct buf *out)
{
	char time[CLOCK_TEXT];
	enum paint paint;
	const char *mark = job_mark(now->state, &paint);

	if (before && before->state == now->state && before->attempts == now->attempts)
		return;
	if (now->state == STATE(BLOCKED) || (!before && now->state == STATE(QUEUED)))
		return;
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
	if (now->state != STATE(SUCCEEDED) && now->state > STATE(ACTIVE) && *now->reason) {
		buf_puts(out, ": ");
		text_put(out, now->reason);
	}
	buf_putc(out, '\n');
}

/* Equal but for numbers: "retry in 3s" is no news after "retry in 4s". */
static bool alike(const char *a, const char *b)
{
	static const char digits[] = "0123456789.";

	for (;; a++, b++) {
		a += strspn(a, digits);
		b += strspn(b, digits);
		if (*a != *b || !*a)
			return *a == *b;
	}
}

static bool same_wait(const Sluice__V1__RunDetail *run, const Sluice__V1__Wait *wait)
{
	for (size_t i = 0; run && i < run->n_waits; i++)
		if (strcmp(run->waits[i]->subject, wait->subject) == 0 &&
		    alike(run->waits[i]->sentence, wait->sentence))
			return true;
	return false;
}

/* That a job waits for another is the pipeline's nature; what waits for an agent is worth a line.
 */
static bool is_news(const Sluice__V1__RunDetail *run, const Sluice__V1__Wait *wait)
{
	for (size_t i = 0; i < run->n_jobs; i++)
		if (strcmp(run->jobs[i]->spec->name, wait->subject) == 0)
			return run->jobs[i]->state == STATE(QUEUED);
	return true;
}

/* The job's name may stand before it, or not. */
static bool same_verdict(const Sluice__V1__RunDetail *run, const char *line)
{
	for (size_t i = 0; run && i < run->n_verdicts; i++)
		if (strcmp(run->verdicts[i], line) == 0 ||
		    strcmp(verdict_text(run, run->verdicts[i]), verdict_text(run, line)) == 0)
			return true;
	return false;
}

static void tell_end(const Sluice__V1__Run *run, const struct look *look, struct buf *out)
{
	char time[CLOCK_TEXT];

	begin(look, out);
	text_put(out, run->pipeline);
	buf_printf(out, " #%u ", run->number);
	text_paint(out, look, run_state_paint(run), run_state_word(run));
	buf_printf(out, " after %s",
		   elapsed(run->created_ms, run->finished_ms, look->now_ms, time));
	if (*run->reason) {
		buf_puts(out, ": ");
		text_put(out, run->reason);
	}
	buf_putc(out, '\n');
}

void run_changes(const Sluice__V1__RunDetail *before, const Sluice__V1__RunDetail *now,
		 const struct look *look, struct buf *out)
{
	for (size_t i = 0; i < now->n_jobs; i++)
		tell_job(find_job(before, i, now->jobs[i]->id), now->jobs[i], look, out);
	for (size_t i = 0; i < now->n_waits; i++) {
		if (!is_news(now, now->waits[i]) || same_wait(before, now->waits[i]))
			continue;
		begin(look, out);
		buf_puts(out, "◷ ");
		text_put(out, now->waits[i]->subject);
		buf_puts(out, " waits: ");
		text_put(out, now->waits[i]->sentence);
		buf_putc(out, '\n');
	}
	for (size_t i = 0; i < now->n_verdicts; i++) {
		if (same_verdict(before, now->verdicts[i]))
			continue;
		begin(look, out);
		verdict_view(now->verdicts[i], look, out);
		buf_putc(out, '\n');
	}
	if (now->run->state != SLUICE__V1__RUN_STATE__RUN_RUNNING &&
	    (!before || before->run->state == SLUICE__V1__RUN_STATE__RUN_RUNNING))
		tell_end(now->run, look, out);
}
