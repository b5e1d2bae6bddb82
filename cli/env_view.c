/*
 * Environments. Releases are ids on the wire; their numbers come along in the detail.
 */
#include "cli/env_view.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/run_view.h"

enum { MOMENT_MS = 10000 };

#define HOST(name)  SLUICE__V1__ENVIRONMENT_HOST__STATE__##name
#define STATE(name) SLUICE__V1__PROMOTION__STATE__##name

char *release_label(uint32_t number, char *ret)
{
	snprintf(ret, RELEASE_LABEL, number ? "r%u" : "nothing", number);
	return ret;
}

const char *promotion_word(Sluice__V1__Promotion__State state)
{
	static const char *const words[] = {
		[STATE(WAITING)] = "waiting",	  [STATE(ROLLING_OUT)] = "rolling out",
		[STATE(VERIFYING)] = "verifying", [STATE(SUCCEEDED)] = "done",
		[STATE(FAILED)] = "failed",	  [STATE(ROLLED_BACK)] = "rolled back",
		[STATE(CANCELLED)] = "cancelled", [STATE(PAUSED)] = "paused",
	};

	return state < ARRAY_SIZE(words) && words[state] ? words[state] : "unknown";
}

enum paint promotion_paint(Sluice__V1__Promotion__State state)
{
	return state == STATE(SUCCEEDED)			       ? GREEN
	       : state == STATE(FAILED) || state == STATE(ROLLED_BACK) ? RED
	       : state == STATE(CANCELLED) || state == STATE(PAUSED)   ? YELLOW
								       : CYAN;
}

bool promotion_over(const Sluice__V1__Promotion *p)
{
	return p->state == STATE(SUCCEEDED) || p->state == STATE(FAILED) ||
	       p->state == STATE(ROLLED_BACK) || p->state == STATE(CANCELLED);
}

void check_view(const char *line, const struct look *look, struct buf *out)
{
	static const struct {
		const char *mark;
		enum paint paint;
	} marks[] = { { "✔", GREEN }, { "✖", RED }, { "◷", YELLOW }, { "◌", CYAN } };

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (strncmp(line, marks[i].mark, strlen(marks[i].mark)) == 0) {
			text_paint(out, look, marks[i].paint, marks[i].mark);
			text_put(out, line + strlen(marks[i].mark));
			return;
		}
	text_put(out, line);
}

static uint32_t number_of(const Sluice__V1__EnvironmentDetail *env, const char *release)
{
	if (env->live && strcmp(env->live->id, release) == 0)
		return env->live->number;
	for (size_t i = 0; i < env->n_releases; i++)
		if (strcmp(env->releases[i]->id, release) == 0)
			return env->releases[i]->number;
	return 0;
}

static void end_line(const struct look *look, const struct buf *line, struct buf *out)
{
	text_cut(out, buf_str(line), look->width);
	buf_putc(out, '\n');
}

/* ---- parts ---- */

static void put_head(const Sluice__V1__EnvironmentDetail *env, const struct look *look,
		     struct buf *out)
{
	cleanup(buf_release) struct buf line = { 0 };
	const Sluice__V1__Environment *e = env->environment;
	char label[RELEASE_LABEL], time[CLOCK_TEXT];

	text_paint(&line, look, BOLD, e->name);
	if (env->live)
		buf_printf(&line, "  %s live for %s", release_label(env->live->number, label),
			   elapsed(e->live_since_ms, 0, look->now_ms, time));
	else
		buf_puts(&line, "  nothing is live yet");
	if (e->spec && *e->spec->pipeline)
		text_paintf(&line, look, DIM, "  %s", e->spec->pipeline);
	end_line(look, &line, out);
}

static const char *host_mark(Sluice__V1__EnvironmentHost__State state, enum paint *paint)
{
	switch (state) {
	case HOST(NEW):
		return *paint = GREEN, "✔";
	case HOST(FAILED):
	case HOST(UNREACHABLE):
		return *paint = RED, "✖";
	case HOST(DIVERGED):
		return *paint = YELLOW, "✖";
	case HOST(PREPARING):
	case HOST(PREPARED):
	case HOST(ACTIVATING):
	case HOST(STOPPING):
		return *paint = CYAN, "◌";
	default:
		return *paint = DIM, "·";
	}
}

static const char *host_word(Sluice__V1__EnvironmentHost__State state)
{
	static const char *const words[] = {
		[HOST(EMPTY)] = "empty",	   [HOST(OLD)] = "old",
		[HOST(PREPARING)] = "preparing",   [HOST(PREPARED)] = "prepared",
		[HOST(ACTIVATING)] = "activating", [HOST(NEW)] = "serving",
		[HOST(FAILED)] = "failed",	   [HOST(UNREACHABLE)] = "unreachable",
		[HOST(DIVERGED)] = "diverged",	   [HOST(STOPPING)] = "stopping",
	};

	return state < ARRAY_SIZE(words) && words[state] ? words[state] : "unknown";
}

static void put_hosts(const Sluice__V1__EnvironmentDetail *env, const struct look *look,
		      struct buf *out)
{
	const Sluice__V1__Environment *e = env->environment;
	int column = 8;

	if (!e->n_hosts)
		buf_puts(out, "  no hosts yet: agents whose labels match become hosts\n");
	for (size_t i = 0; i < e->n_hosts; i++)
		column = MAX(column, text_width(e->hosts[i]->agent_name));
	for (size_t i = 0; i < e->n_hosts; i++) {
		const Sluice__V1__EnvironmentHost *h = e->hosts[i];
		cleanup(buf_release) struct buf line = { 0 };
		char label[RELEASE_LABEL];
		enum paint paint;
		const char *mark = host_mark(h->state, &paint);

		buf_puts(&line, "  ");
		text_paint(&line, look, paint, mark);
		buf_putc(&line, ' ');
		text_put(&line, h->agent_name);
		text_pad(&line, text_width(h->agent_name), column + 2);
		buf_printf(&line, "%-8s %-11s",
			   *h->release ? release_label(number_of(env, h->release), label) : "-",
			   host_word(h->state));
		if (*h->endpoint)
			text_paintf(&line, look, DIM, "  %s", h->endpoint);
		if (*h->text) {
			buf_puts(&line, "  ");
			text_paint(&line, look, h->state == HOST(FAILED) ? RED : DIM, h->text);
		}
		end_line(look, &line, out);
	}
}

/* What a person may do about a verdict that was neither pass nor fail. */
static void put_decision(const Sluice__V1__Promotion *p, struct buf *out)
{
	buf_printf(out,
		   "you decide: sluice promote r%u --to %s verifies again, with --override REASON "
		   "accepts it; sluice rollback %s",
		   p->release_number, p->environment, p->environment);
}

static void put_promotion(const Sluice__V1__EnvironmentDetail *env, const struct look *look,
			  struct buf *out)
{
	const Sluice__V1__Promotion *p = env->promotion;
	cleanup(buf_release) struct buf line = { 0 };
	char from[RELEASE_LABEL], to[RELEASE_LABEL], time[CLOCK_TEXT], ago[AGE];

	if (!p)
		return;
	buf_printf(&line, "  %s -> %s  ", release_label(p->from_number, from),
		   release_label(p->release_number, to));
	text_paint(&line, look, promotion_paint(p->state), promotion_word(p->state));
	if (promotion_over(p) && p->finished_ms) {
		buf_printf(&line, " in %s",
			   elapsed(p->created_ms, p->finished_ms, look->now_ms, time));
		text_paintf(&line, look, DIM, ", %s", age(p->finished_ms, look->now_ms, ago));
	} else {
		buf_printf(&line, " %s", elapsed(p->created_ms, 0, look->now_ms, time));
	}
	end_line(look, &line, out);
	if (*p->outcome) {
		buf_clear(&line);
		buf_puts(&line, "    ");
		text_put(&line, p->outcome);
		end_line(look, &line, out);
	}
	if (p->state == STATE(PAUSED)) {
		buf_puts(out, "    ");
		put_decision(p, out);
		buf_putc(out, '\n');
	}
}

static void put_rest(const Sluice__V1__EnvironmentDetail *env, const struct look *look,
		     struct buf *out)
{
	const Sluice__V1__Environment *e = env->environment;
	cleanup(buf_release) struct buf line = { 0 };
	char label[RELEASE_LABEL];

	for (size_t i = 0; i < env->n_verdicts; i++) {
		buf_clear(&line);
		buf_puts(&line, "  ");
		verdict_view(env->verdicts[i], look, &line);
		end_line(look, &line, out);
	}
	for (size_t i = 0; i < env->n_waits; i++) {
		buf_clear(&line);
		buf_puts(&line, "  ");
		text_paint(&line, look, YELLOW, "◷ ");
		text_put(&line, env->waits[i]->subject);
		buf_puts(&line, ": ");
		text_put(&line, env->waits[i]->sentence);
		end_line(look, &line, out);
	}
	if (e->hold) {
		buf_clear(&line);
		text_paintf(&line, look, YELLOW, "  on hold by %s", e->hold->actor);
		if (*e->hold->reason) {
			buf_puts(&line, ": ");
			text_put(&line, e->hold->reason);
		}
		end_line(look, &line, out);
		buf_printf(out, "  lift it: sluice env unhold %s\n", e->name);
	}
	if (e->degraded) {
		buf_clear(&line);
		text_paintf(&line, look, RED, "  degraded, a person is needed: %s",
			    e->degraded_reason);
		end_line(look, &line, out);
	}
	if (e->n_quarantined) {
		buf_clear(&line);
		buf_puts(&line, "  quarantined:");
		for (size_t i = 0; i < e->n_quarantined; i++)
			if (number_of(env, e->quarantined[i]))
				buf_printf(&line, " %s",
					   release_label(number_of(env, e->quarantined[i]), label));
			else
				buf_printf(&line, " %.8s", e->quarantined[i]);
		end_line(look, &line, out);
	}
}

void env_view(const Sluice__V1__EnvironmentDetail *env, const struct look *look, struct buf *out)
{
	put_head(env, look, out);
	put_promotion(env, look, out);
	put_hosts(env, look, out);
	put_rest(env, look, out);
}

/* ---- as a story ---- */

static void begin(const struct look *look, struct buf *out)
{
	char time[CLOCK_TEXT];

	text_paint(out, look, DIM, clock_format_time(look->now_ms, time));
	buf_puts(out, "  ");
}

static const Sluice__V1__EnvironmentHost *host_before(const Sluice__V1__EnvironmentDetail *env,
						      const char *agent)
{
	for (size_t i = 0; env && i < env->environment->n_hosts; i++)
		if (strcmp(env->environment->hosts[i]->agent_id, agent) == 0)
			return env->environment->hosts[i];
	return NULL;
}

/* On its way: what it will run says more than what it runs. */
static bool is_changing(const Sluice__V1__EnvironmentHost *h)
{
	return h->state == HOST(PREPARING) || h->state == HOST(PREPARED) ||
	       h->state == HOST(ACTIVATING);
}

static void tell_host(const Sluice__V1__EnvironmentDetail *before,
		      const Sluice__V1__EnvironmentDetail *now,
		      const Sluice__V1__EnvironmentHost *h, const struct look *look,
		      struct buf *out)
{
	const Sluice__V1__EnvironmentHost *was = host_before(before, h->agent_id);
	char label[RELEASE_LABEL];
	enum paint paint;
	const char *mark;

	if (was && was->state == h->state && strcmp(was->release, h->release) == 0)
		return;
	mark = host_mark(h->state, &paint);
	begin(look, out);
	text_paint(out, look, paint, mark);
	buf_putc(out, ' ');
	text_put(out, h->agent_name);
	buf_printf(out, " %s", host_word(h->state));
	if (is_changing(h) && now->promotion)
		buf_printf(out, " %s", release_label(now->promotion->release_number, label));
	else if (*h->release)
		buf_printf(out, " %s", release_label(number_of(now, h->release), label));
	if (*h->text) {
		buf_puts(out, ": ");
		text_put(out, h->text);
	}
	buf_putc(out, '\n');
}

static void tell_promotion(const Sluice__V1__EnvironmentDetail *before,
			   const Sluice__V1__EnvironmentDetail *now, const struct look *look,
			   struct buf *out)
{
	const Sluice__V1__Promotion *p = now->promotion, *was = before ? before->promotion : NULL;
	char from[RELEASE_LABEL], to[RELEASE_LABEL], time[CLOCK_TEXT];

	if (!p || (was && strcmp(was->id, p->id) == 0 && was->state == p->state))
		return;
	begin(look, out);
	text_put(out, now->environment->name);
	buf_printf(out, ": %s -> %s ", release_label(p->from_number, from),
		   release_label(p->release_number, to));
	text_paint(out, look, promotion_paint(p->state), promotion_word(p->state));
	if (promotion_over(p))
		buf_printf(out, " after %s",
			   elapsed(p->created_ms, p->finished_ms, look->now_ms, time));
	if (*p->outcome && p->state != STATE(SUCCEEDED)) {
		buf_puts(out, ": ");
		text_put(out, p->outcome);
	}
	if (p->state == STATE(PAUSED)) {
		buf_puts(out, "; ");
		put_decision(p, out);
	}
	buf_putc(out, '\n');
}

static bool had_verdict(const Sluice__V1__EnvironmentDetail *env, const char *line)
{
	for (size_t i = 0; env && i < env->n_verdicts; i++)
		if (strcmp(env->verdicts[i], line) == 0)
			return true;
	return false;
}

static bool had_wait(const Sluice__V1__EnvironmentDetail *env, const Sluice__V1__Wait *wait)
{
	for (size_t i = 0; env && i < env->n_waits; i++)
		if (strcmp(env->waits[i]->subject, wait->subject) == 0 &&
		    sentences_alike(env->waits[i]->sentence, wait->sentence))
			return true;
	return false;
}

/* How far a rollout is, its hosts tell; that it stays there is worth a line. */
static bool is_news(const Sluice__V1__EnvironmentDetail *env, const Sluice__V1__Wait *wait,
		    int64_t now_ms)
{
	const Sluice__V1__Promotion *p = env->promotion;
	bool moves = p && (p->state == STATE(ROLLING_OUT) || p->state == STATE(VERIFYING));

	return !moves || now_ms - wait->since_ms > MOMENT_MS;
}

static void tell_waits(const Sluice__V1__EnvironmentDetail *before,
		       const Sluice__V1__EnvironmentDetail *now, const struct look *look,
		       struct buf *out)
{
	for (size_t i = 0; i < now->n_waits; i++) {
		const Sluice__V1__Wait *wait = now->waits[i];

		if (!is_news(now, wait, look->now_ms) || had_wait(before, wait))
			continue;
		begin(look, out);
		text_paint(out, look, YELLOW, "◷ ");
		text_put(out, wait->subject);
		buf_puts(out, ": ");
		text_put(out, wait->sentence);
		buf_putc(out, '\n');
	}
}

void env_changes(const Sluice__V1__EnvironmentDetail *before,
		 const Sluice__V1__EnvironmentDetail *now, const struct look *look, struct buf *out)
{
	for (size_t i = 0; i < now->environment->n_hosts; i++)
		tell_host(before, now, now->environment->hosts[i], look, out);
	for (size_t i = 0; i < now->n_verdicts; i++) {
		if (had_verdict(before, now->verdicts[i]))
			continue;
		begin(look, out);
		verdict_view(now->verdicts[i], look, out);
		buf_putc(out, '\n');
	}
	tell_promotion(before, now, look, out);
	tell_waits(before, now, look, out);
	if (now->environment->hold && (!before || !before->environment->hold)) {
		begin(look, out);
		buf_puts(out, "on hold by ");
		text_put(out, now->environment->hold->actor);
		buf_puts(out, ": ");
		text_put(out, now->environment->hold->reason);
		buf_putc(out, '\n');
	}
}
