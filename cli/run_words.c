/*
 * Runs and jobs in words: states, times, what gates decided, why something failed.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/run_view.h"
#include "sluice/v1/model.pb-c.h"

#define STATE(name) SLUICE__V1__JOB_STATE__JOB_##name

const char *run_state_word(const Sluice__V1__Run *run)
{
	if (run->state == SLUICE__V1__RUN_STATE__RUN_RUNNING)
		return run->cancelling ? "being cancelled" : "running";
	return run->state == SLUICE__V1__RUN_STATE__RUN_SUCCEEDED ? "succeeded"
	       : run->state == SLUICE__V1__RUN_STATE__RUN_FAILED  ? "failed"
								  : "cancelled";
}

enum paint run_state_paint(const Sluice__V1__Run *run)
{
	return run->state == SLUICE__V1__RUN_STATE__RUN_SUCCEEDED   ? GREEN
	       : run->state == SLUICE__V1__RUN_STATE__RUN_FAILED    ? RED
	       : run->state == SLUICE__V1__RUN_STATE__RUN_CANCELLED ? YELLOW
								    : CYAN;
}

const char *job_state_word(Sluice__V1__JobState state)
{
	static const char *const words[] = {
		[STATE(BLOCKED)] = "blocked", [STATE(QUEUED)] = "waiting",
		[STATE(ACTIVE)] = "running",  [STATE(SUCCEEDED)] = "succeeded",
		[STATE(FAILED)] = "failed",   [STATE(CANCELLED)] = "cancelled",
		[STATE(SKIPPED)] = "skipped",
	};

	return state < ARRAY_SIZE(words) && words[state] ? words[state] : "unknown";
}

const char *job_mark(Sluice__V1__JobState state, enum paint *ret)
{
	static const struct {
		const char *mark;
		enum paint paint;
	} marks[] = {
		[STATE(BLOCKED)] = { "·", DIM }, [STATE(QUEUED)] = { "◷", YELLOW },
		[STATE(ACTIVE)] = { "◌", CYAN }, [STATE(SUCCEEDED)] = { "✔", GREEN },
		[STATE(FAILED)] = { "✖", RED },	 [STATE(CANCELLED)] = { "⊘", YELLOW },
		[STATE(SKIPPED)] = { "–", DIM },
	};

	if (state >= ARRAY_SIZE(marks) || !marks[state].mark)
		return *ret = PLAIN, "?";
	*ret = marks[state].paint;
	return marks[state].mark;
}

char *elapsed(int64_t from_ms, int64_t to_ms, int64_t now_ms, char *ret)
{
	int64_t ms = (to_ms ? to_ms : now_ms) - from_ms;

	if (!from_ms)
		return memcpy(ret, "", 1);
	if (!to_ms && ms < 1000) /* a second is fine enough while it grows */
		return memcpy(ret, "0s", 3);
	return duration_format(MAX(to_ms ? ms : ms / 1000 * 1000, INT64_C(0)), ret);
}

char *age(int64_t at_ms, int64_t now_ms, char ret[AGE])
{
	char time[CLOCK_TEXT];

	if (now_ms - at_ms < 1000)
		snprintf(ret, AGE, "just now");
	else
		snprintf(ret, AGE, "%s ago", elapsed(at_ms, 0, now_ms, time));
	return ret;
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

void verdict_view(const char *line, const struct look *look, struct buf *out)
{
	if (ends_with(line, ": pass"))
		text_paint(out, look, GREEN, "✔ ");
	else if (strstr(line, "skipped"))
		text_paint(out, look, DIM, "– ");
	else
		text_paint(out, look, RED, "✖ ");
	text_put(out, line);
}

const char *verdict_text(const Sluice__V1__RunDetail *run, const char *line)
{
	for (size_t i = 0; i < run->n_jobs; i++) {
		size_t len = strlen(run->jobs[i]->spec->name);

		if (strncmp(line, run->jobs[i]->spec->name, len) == 0 &&
		    strncmp(line + len, ": ", 2) == 0)
			return line + len + 2;
	}
	return line;
}

size_t reason_length(const Sluice__V1__RunDetail *run, const char *reason)
{
	for (size_t i = 0; i < run->n_verdicts; i++) {
		const char *text = verdict_text(run, run->verdicts[i]), *at = strstr(reason, text);

		if (*text && at && at - reason > 2 && strncmp(at - 2, ": ", 2) == 0)
			return (size_t)(at - 2 - reason);
	}
	return strlen(reason);
}

void put_metrics(const Sluice__V1__Job *job, size_t most, struct buf *out)
{
	for (size_t i = 0; i < MIN(job->n_metrics, most); i++)
		buf_printf(out, "%s%s %.6g", out->len ? ", " : "", job->metrics[i]->name,
			   job->metrics[i]->value);
	if (job->n_metrics > most)
		buf_printf(out, ", %zu more", job->n_metrics - most);
}

bool sentences_alike(const char *a, const char *b)
{
	static const char digits[] = "0123456789.";

	for (;; a++, b++) {
		a += strspn(a, digits);
		b += strspn(b, digits);
		if (*a != *b || !*a)
			return *a == *b;
	}
}

void put_shortened(const Sluice__V1__RunDetail *run, const struct look *look, struct buf *out)
{
	if (!run->shortened)
		return;
	text_paint(out, look, YELLOW,
		   "  The run says more than fits in an answer: some of it is not shown");
	buf_putc(out, '\n');
}
