/*
 * A run in lines. Jobs are shown by their base name: `train 2/3` stands for three instances of
 * which two are done, and only those that are not are named. What waits for other jobs shares one
 * line; what waits or failed for the same reason shares one, too.
 */
#include "cli/run_view.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "sluice/v1/model.pb-c.h"

#define STATE(name) SLUICE__V1__JOB_STATE__JOB_##name

enum { NAME_MAX_COLUMNS = 28, NAMED = 3, METRICS_SHOWN = 4, VERDICTS_SHOWN = 6 };

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

/* ---- groups ---- */

struct group {
	const char *name;
	const Sluice__V1__Job *const *jobs; /* all of the run */
	size_t n_jobs, size;
	unsigned in[STATE(SKIPPED) + 1]; /* how many of it are in each state */
	int64_t started_ms, finished_ms; /* finished 0: not all are */
};

static bool is_in(const struct group *g, const Sluice__V1__Job *job)
{
	return strcmp(job->spec->basename, g->name) == 0;
}

/* The group of jobs[at], counted; false when an earlier job has shown it. */
static bool group_at(const Sluice__V1__RunDetail *run, size_t at, struct group *ret)
{
	bool all_over = true;

	*ret = (struct group){ .name = run->jobs[at]->spec->basename,
			       .jobs = (const Sluice__V1__Job *const *)run->jobs,
			       .n_jobs = run->n_jobs };
	for (size_t i = 0; i < run->n_jobs; i++) {
		const Sluice__V1__Job *job = run->jobs[i];

		if (!is_in(ret, job))
			continue;
		if (i < at)
			return false;
		ret->size++;
		ret->in[job->state <= STATE(SKIPPED) ? job->state : 0]++;
		if (job->started_ms && (!ret->started_ms || job->started_ms < ret->started_ms))
			ret->started_ms = job->started_ms;
		ret->finished_ms = MAX(ret->finished_ms, job->finished_ms);
		all_over &= job->state >= STATE(SUCCEEDED);
	}
	if (!all_over)
		ret->finished_ms = 0;
	return true;
}

/* What the group as a whole is doing. */
static Sluice__V1__JobState state_of(const struct group *g)
{
	static const Sluice__V1__JobState first_that_counts[] = {
		STATE(ACTIVE),	  STATE(FAILED),  STATE(QUEUED),  STATE(CANCELLED),
		STATE(SUCCEEDED), STATE(SKIPPED), STATE(BLOCKED),
	};

	if (g->in[STATE(BLOCKED)] && g->in[STATE(BLOCKED)] < g->size && !g->in[STATE(FAILED)] &&
	    !g->in[STATE(ACTIVE)])
		return STATE(QUEUED);
	for (size_t i = 0; i < ARRAY_SIZE(first_that_counts); i++)
		if (g->in[first_that_counts[i]])
			return first_that_counts[i];
	return STATE(BLOCKED);
}

/* "train", or within its group "seed=1,size=2". */
static char *short_name(const struct group *g, const Sluice__V1__Job *job)
{
	const char *open = strchr(job->spec->name, '[');

	if (g->size == 1 || !open)
		return xstrdup("");
	return xstrndup(open + 1, strlen(open + 1) - ends_with(open, "]"));
}

static void put_size(const struct group *g, struct buf *out)
{
	uint64_t bytes = 0;
	char text[CLOCK_TEXT];

	for (size_t i = 0; i < g->n_jobs; i++)
		for (size_t k = 0; is_in(g, g->jobs[i]) && k < g->jobs[i]->n_outputs; k++)
			bytes += g->jobs[i]->outputs[k]->size;
	if (bytes)
		buf_printf(out, "%s%s", out->len ? ", " : "", size_format(bytes, text));
}

static bool all_reused(const struct group *g)
{
	for (size_t i = 0; i < g->n_jobs; i++)
		if (is_in(g, g->jobs[i]) && !*g->jobs[i]->reused_from)
			return false;
	return true;
}

static void put_group_metrics(const struct group *g, struct buf *out)
{
	for (size_t i = 0; i < g->n_jobs && g->size == 1; i++)
		if (is_in(g, g->jobs[i]))
			put_metrics(g->jobs[i], METRICS_SHOWN, out);
}

struct progress {
	run_progress *ask;
	void *arg;
};

/* Where it runs, and what it measured last. */
static void put_newest(const Sluice__V1__Job *job, struct buf *out)
{
	cleanup(buf_release) struct buf metrics = { 0 };

	put_metrics(job, METRICS_SHOWN, &metrics);
	buf_printf(out, "on %s%s%s", job->agent_name, metrics.len ? ": " : "", buf_str(&metrics));
}

static void put_active(const struct group *g, const Sluice__V1__Job *job, const struct progress *p,
		       struct buf *out)
{
	cleanup(freep) char *name = short_name(g, job);
	const char *said = p->ask ? p->ask(p->arg, job) : NULL;

	if (*name)
		buf_printf(out, "%s ", name);
	if (said)
		buf_puts(out, said);
	else if (job->state == STATE(ACTIVE) && *job->agent_name)
		put_newest(job, out);
	else
		buf_puts(out, job_state_word(job->state));
	if (job->attempts > 1)
		buf_printf(out, " (attempt %u)", job->attempts);
}

/* "seed=1 epoch 9 · seed=3 waiting"; behind the first few, only how many more. */
static void put_unfinished(const struct group *g, Sluice__V1__JobState state, unsigned named,
			   const struct progress *p, struct buf *out)
{
	unsigned shown = 0, left = g->in[state];

	for (size_t i = 0; i < g->n_jobs && shown < named; i++) {
		const Sluice__V1__Job *job = g->jobs[i];

		if (!is_in(g, job) || job->state != state)
			continue;
		if (out->len)
			buf_puts(out, " · ");
		put_active(g, job, p, out);
		shown++;
		left--;
	}
	if (left)
		buf_printf(out, "%s%u %s%s", out->len ? " · " : "", left, shown ? "more " : "",
			   job_state_word(state));
}

/* What is said behind the time: what became of it, or of an unfinished group, what each instance
 * that is not done is doing. */
static void put_details(const struct group *g, const struct progress *p, struct buf *out)
{
	Sluice__V1__JobState state = state_of(g);

	if (g->size > 1 && g->in[STATE(FAILED)])
		buf_printf(out, "%u failed", g->in[STATE(FAILED)]);
	if (state == STATE(SUCCEEDED) || state == STATE(FAILED)) {
		if (state == STATE(SUCCEEDED) && all_reused(g))
			buf_puts(out, "taken over");
		put_size(g, out);
		put_group_metrics(g, out);
	}
	put_unfinished(g, STATE(ACTIVE), NAMED, p, out);
	put_unfinished(g, STATE(QUEUED), g->in[STATE(QUEUED)] == 1, p, out);
}

/* ---- lines ---- */

static void end_line(const struct look *look, const struct buf *line, struct buf *out)
{
	size_t len = line->len;
	cleanup(freep) char *text = NULL;

	while (len && line->data[len - 1] == ' ')
		len--;
	text = xstrndup(buf_str(line), len);
	text_cut(out, text, look->width);
	buf_putc(out, '\n');
}

static void put_head(const Sluice__V1__Run *run, const struct look *look, struct buf *out)
{
	cleanup(buf_release) struct buf line = { 0 };
	char time[CLOCK_TEXT];

	text_paintf(&line, look, BOLD, "%s #%u", run->pipeline, run->number);
	buf_puts(&line, "  ");
	text_paint(&line, look, run_state_paint(run), run_state_word(run));
	buf_printf(&line, " %s%s", run->state == SLUICE__V1__RUN_STATE__RUN_RUNNING ? "" : "after ",
		   elapsed(run->created_ms, run->finished_ms, look->now_ms, time));
	if (*run->environment) {
		buf_puts(&line, "  verifies in ");
		text_put(&line, run->environment);
	}
	end_line(look, &line, out);
}

/* "train[seed=1]: auc 0.95 >= 0.9: pass" is train's. */
static bool is_verdict_of(const struct group *g, const char *line)
{
	size_t len = strlen(g->name);

	return strncmp(line, g->name, len) == 0 && (line[len] == ':' || line[len] == '[');
}

/* Lines that name no job. */
static void put_other_verdicts(const Sluice__V1__RunDetail *run, const struct look *look,
			       struct buf *out)
{
	for (size_t i = 0; i < run->n_verdicts; i++) {
		cleanup(buf_release) struct buf line = { 0 };

		if (verdict_text(run, run->verdicts[i]) != run->verdicts[i])
			continue;
		buf_puts(&line, "  ");
		verdict_view(run->verdicts[i], look, &line);
		end_line(look, &line, out);
	}
}

/* ---- what is said beneath a line ---- */

struct remark {
	char *name; /* of the instance; "" where that is clear */
	const char *text;
	bool said;
};

struct remarks {
	struct remark *items;
	size_t n;
	bool loosely; /* numbers do not tell two apart */
};

static void remarks_release(struct remarks *all)
{
	for (size_t i = 0; i < all->n; i++)
		free(all->items[i].name);
	free(all->items);
}

static void remark(struct remarks *all, char *name, const char *text)
{
	all->items = xreallocarray(all->items, all->n + 1, sizeof *all->items);
	all->items[all->n++] = (struct remark){ name, text, false };
}

/* Instances of which the same is said share a line: "seed=1, seed=2 and 14 more: needs ...". */
static void put_remarks(struct remarks *all, const struct look *look, enum paint paint,
			struct buf *out)
{
	for (size_t i = 0; i < all->n; i++) {
		cleanup(buf_release) struct buf line = { 0 }, text = { 0 };
		const char *sentence = all->items[i].text;
		size_t same = 0;

		if (all->items[i].said)
			continue;
		for (size_t k = i; k < all->n; k++) {
			struct remark *other = &all->items[k];

			if (other->said || !(all->loosely ? sentences_alike(other->text, sentence)
							  : strcmp(other->text, sentence) == 0))
				continue;
			other->said = true;
			if (same++ < NAMED && *other->name)
				buf_printf(&text, "%s%s", text.len ? ", " : "", other->name);
		}
		if (same > NAMED)
			buf_printf(&text, " and %zu more", same - NAMED);
		buf_printf(&text, "%s%s", text.len ? ": " : "", sentence);
		buf_puts(&line, "      ");
		text_paint(&line, look, paint, buf_str(&text));
		end_line(look, &line, out);
	}
}

static void put_reasons(const struct group *g, const Sluice__V1__RunDetail *run,
			const struct look *look, struct buf *out)
{
	cleanup(remarks_release) struct remarks all = { 0 };
	cleanup(arena_freep) struct arena *a = arena_new(0);

	for (size_t i = 0; i < g->n_jobs; i++) {
		const Sluice__V1__Job *job = g->jobs[i];

		if (is_in(g, job) && job->state == STATE(FAILED) && *job->reason)
			remark(&all, short_name(g, job),
			       arena_strndup(a, job->reason, reason_length(run, job->reason)));
	}
	put_remarks(&all, look, RED, out);
}

static void put_waits(const struct group *g, const Sluice__V1__RunDetail *run,
		      const struct look *look, struct buf *out)
{
	cleanup(remarks_release) struct remarks all = { .loosely = true };
	size_t len = strlen(g->name);

	for (size_t i = 0; i < run->n_waits; i++) {
		const Sluice__V1__Wait *wait = run->waits[i];
		const char *rest = wait->subject + len;

		if (strncmp(wait->subject, g->name, len) != 0 || (*rest && *rest != '['))
			continue;
		remark(&all,
		       *rest ? xstrndup(rest + 1, strlen(rest + 1) - ends_with(rest, "]"))
			     : xstrdup(""),
		       wait->sentence);
	}
	put_remarks(&all, look, DIM, out);
}

/* Of a matrix with many lines those that passed are only counted. */
static void put_verdicts(const struct group *g, const Sluice__V1__RunDetail *run,
			 const struct look *look, struct buf *out)
{
	size_t n = 0, passed = 0;
	bool many;

	for (size_t i = 0; i < run->n_verdicts; i++)
		n += is_verdict_of(g, run->verdicts[i]);
	many = g->size > 1 && n > VERDICTS_SHOWN;
	for (size_t i = 0; i < run->n_verdicts; i++) {
		cleanup(buf_release) struct buf line = { 0 };

		if (!is_verdict_of(g, run->verdicts[i]))
			continue;
		if (many && ends_with(run->verdicts[i], ": pass")) {
			passed++;
			continue;
		}
		buf_puts(&line, "      ");
		verdict_view(g->size == 1 ? verdict_text(run, run->verdicts[i]) : run->verdicts[i],
			     look, &line);
		end_line(look, &line, out);
	}
	if (passed) {
		buf_puts(out, "      ");
		text_paint(out, look, GREEN, "✔ ");
		buf_printf(out, "%zu of %zu expectations pass\n", passed, n);
	}
}

static void put_group(const struct group *g, const Sluice__V1__RunDetail *run, int column,
		      const struct look *look, const struct progress *p, struct buf *out)
{
	cleanup(buf_release) struct buf line = { 0 }, details = { 0 };
	char time[CLOCK_TEXT];
	enum paint paint;
	const char *mark = job_mark(state_of(g), &paint);
	int width;

	buf_puts(&line, "  ");
	text_paint(&line, look, paint, mark);
	buf_putc(&line, ' ');
	text_put(&line, g->name);
	if (g->size > 1)
		buf_printf(&line, " %u/%zu", g->in[STATE(SUCCEEDED)], g->size);
	text_pad(&line, text_width(buf_str(&line)) - 4, column);
	elapsed(g->started_ms, g->finished_ms, look->now_ms, time);
	width = text_width(buf_str(&line));
	buf_printf(&line, "  %s", time);
	put_details(g, p, &details);
	if (details.len) {
		text_pad(&line, text_width(buf_str(&line)) - width, 10);
		text_paint(&line, look, state_of(g) == STATE(SUCCEEDED) ? DIM : PLAIN,
			   buf_str(&details));
	}
	end_line(look, &line, out);
	put_reasons(g, run, look, out);
	put_waits(g, run, look, out);
	put_verdicts(g, run, look, out);
}

static int name_column(const Sluice__V1__RunDetail *run)
{
	int widest = 8;

	for (size_t i = 0; i < run->n_jobs; i++) {
		struct group g;

		if (group_at(run, i, &g)) /* blocked ones, too: the column stays where it is */
			widest = MAX(widest, text_width(g.name) + (g.size > 1 ? 6 : 0));
	}
	return MIN(widest, NAME_MAX_COLUMNS);
}

static void put_blocked(const Sluice__V1__RunDetail *run, const struct look *look, struct buf *out)
{
	cleanup(buf_release) struct buf line = { 0 }, names = { 0 };

	for (size_t i = 0; i < run->n_jobs; i++) {
		struct group g;

		if (group_at(run, i, &g) && state_of(&g) == STATE(BLOCKED))
			buf_printf(&names, " · %s", g.name);
	}
	if (!names.len)
		return;
	buf_puts(&line, "  ");
	text_paint(&line, look, DIM, buf_str(&names) + 1);
	end_line(look, &line, out);
}

/* "evaluate failed: gate failed" when evaluate's own line has just said so. */
static bool is_said_of_a_job(const Sluice__V1__RunDetail *run, const char *reason)
{
	for (size_t i = 0; i < run->n_jobs; i++) {
		const Sluice__V1__Job *job = run->jobs[i];

		if (job->state == STATE(FAILED) && *job->reason && strstr(reason, job->reason))
			return true;
	}
	return false;
}

void run_view(const Sluice__V1__RunDetail *run, const struct look *look, run_progress *progress,
	      void *arg, struct buf *out)
{
	const struct progress p = { progress, arg };
	int column = name_column(run);

	put_head(run->run, look, out);
	for (size_t i = 0; i < run->n_jobs; i++) {
		struct group g;

		if (group_at(run, i, &g) && state_of(&g) != STATE(BLOCKED))
			put_group(&g, run, column, look, &p, out);
	}
	put_blocked(run, look, out);
	put_other_verdicts(run, look, out);
	put_shortened(run, look, out);
	if (run->run->state != SLUICE__V1__RUN_STATE__RUN_RUNNING && *run->run->reason &&
	    !is_said_of_a_job(run, run->run->reason)) {
		cleanup(buf_release) struct buf line = { 0 };

		buf_puts(&line, "  ");
		text_put(&line, run->run->reason);
		end_line(look, &line, out);
	}
}
