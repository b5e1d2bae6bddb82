/*
 * run_view.h - a run as people see it: rendered into a buffer, or told line by line
 */
#ifndef CLI_RUN_VIEW_H
#define CLI_RUN_VIEW_H

#include "base/buf.h"
#include "cli/text.h"
#include "sluice/v1/runs.pb-c.h"

/* What an active job last reported of itself ("epoch 9/20 loss 0.213"), or NULL. */
typedef const char *run_progress(void *arg, const Sluice__V1__Job *job);

/* The head, a line a job (instances of a matrix share one), why things wait, what gates decided. */
void run_view(const Sluice__V1__RunDetail *run, const struct look *look, run_progress *progress,
	      void *arg, struct buf *out);
/* What changed since `before` (NULL: nothing was known), a line an event. */
void run_changes(const Sluice__V1__RunDetail *before, const Sluice__V1__RunDetail *now,
		 const struct look *look, struct buf *out);

/* "succeeded"; its mark (✔ ✖ ◌ ·) and colour. */
const char *run_state_word(const Sluice__V1__Run *run);
enum paint run_state_paint(const Sluice__V1__Run *run);
const char *job_state_word(Sluice__V1__JobState state);
const char *job_mark(Sluice__V1__JobState state, enum paint *ret);
/* ": pass" at its end is ✔, "skipped" –, anything else ✖. */
void verdict_view(const char *line, const struct look *look, struct buf *out);
/* "2m10s" between two times (to 0: until now); "" when it has not begun. ret has CLOCK_TEXT bytes.
 */
char *elapsed(int64_t from_ms, int64_t to_ms, int64_t now_ms, char *ret);
/* "5m ago", "just now". */
enum { AGE = 40 };
char *age(int64_t at_ms, int64_t now_ms, char ret[AGE]);
/* A verdict's line without the name of its job. */
const char *verdict_text(const Sluice__V1__RunDetail *run, const char *line);
/* How much of a reason the lines of the run's gates do not say already: "gate failed" of "gate
 * failed: auc 0.9 >= 0.95: fail (1 of 2 expectations)". */
size_t reason_length(const Sluice__V1__RunDetail *run, const char *reason);
/* "auc 0.953, loss 0.21, 3 more", after a comma when something is there already. */
void put_metrics(const Sluice__V1__Job *job, size_t most, struct buf *out);
/* A line, when the controller had to leave something out. */
void put_shortened(const Sluice__V1__RunDetail *run, const struct look *look, struct buf *out);
/* Equal but for numbers: "retry in 3s" is no news after "retry in 4s". */
bool sentences_alike(const char *a, const char *b);

#endif
