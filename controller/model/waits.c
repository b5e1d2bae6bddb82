/*
 * Waits, told by whoever decides: place() for queued jobs, the back-off for those that
 * were tried, the graph for those that are blocked, delivery for promotions.
 */
#include "controller/model/waits.h"

#include <stdarg.h>
#include <string.h>

#include "controller/model/delivery.h"
#include "controller/model/jobs.h"
#include "controller/model/place.h"
#include "controller/model/private.h"

#define STATE(name) SLUICE__V1__JOB_STATE__JOB_##name

Sluice__V1__Wait *wait_new(const char *subject, int64_t since_ms, const char *fmt, ...)
{
	Sluice__V1__Wait *wait = message_new(&sluice__v1__wait__descriptor);
	va_list args;

	message_set_string(&wait->subject, subject);
	wait->since_ms = since_ms;
	va_start(args, fmt);
	wait->sentence = xvprintf(fmt, args);
	va_end(args);
	return wait;
}

static Sluice__V1__Wait *wait_of(const struct job *job, int64_t since_ms, const char *sentence)
{
	Sluice__V1__Wait *wait = wait_new(job->row->spec->name, since_ms, "%s", sentence);

	message_set_string(&wait->run_id, job->row->run_id);
	wait->run_number = job->row->run_number;
	wait->priority = job->row->spec->priority;
	return wait;
}

static bool is_needed_open(const struct run *run, const char *name)
{
	for (size_t i = 0; i < run->n_jobs; i++)
		if (strcmp(run->jobs[i]->row->spec->name, name) == 0)
			return run->jobs[i]->row->state != STATE(SUCCEEDED);
	return false;
}

static void explain_blocked(const struct job *job, struct buf *out)
{
	enum { NAMED = 3 };
	const Sluice__V1__JobSpec *spec = job->row->spec;
	size_t open = 0;

	buf_puts(out, "waits for ");
	for (size_t i = 0; i < spec->n_needs; i++) {
		if (!is_needed_open(job->run, spec->needs[i]))
			continue;
		if (open++ < NAMED)
			buf_printf(out, "%s%s", open > 1 ? ", " : "", spec->needs[i]);
	}
	if (open > NAMED)
		buf_printf(out, " and %zu more", open - NAMED);
}

static void explain_back_off(struct world *w, const struct job *job, struct buf *out)
{
	const Sluice__V1__Exit *exit = job->row->exit;
	char time[CLOCK_TEXT], what[128];

	buf_printf(out, "retry in %s",
		   duration_format(MAX(INT64_C(0), job->timer.due_ms - w->now.boot_ms), time));
	if (exit)
		buf_printf(out, " after %s (attempt %u of %u)", exit_format(exit, what),
			   job->row->retries + 1, job_retry_limit(job, exit->reason) + 1);
}

Sluice__V1__Wait *wait_of_job(struct world *w, const struct job *job)
{
	cleanup(buf_release) struct buf why = { 0 };
	char time[CLOCK_TEXT];

	switch (job->row->state) {
	case STATE(BLOCKED):
		explain_blocked(job, &why);
		return wait_of(job, job->row->created_ms, buf_str(&why));
	case STATE(QUEUED):
		if (job->timer.place)
			explain_back_off(w, job, &why);
		else
			place_explain(w, job, &why);
		return wait_of(job, job->row->queued_ms, buf_str(&why));
	case STATE(ACTIVE):
		if (job->attempt->row->state != SLUICE__V1__ATTEMPT_STATE__ATTEMPT_OFFERED &&
		    !job->attempt->row->suspect)
			return NULL;
		if (job->attempt->row->suspect)
			buf_printf(&why, "nothing heard of %s for %s", job->row->agent_name,
				   duration_format(w->now.boot_ms - job->attempt->renewed_boot_ms,
						   time));
		else
			buf_printf(&why, "offered to %s, which has not answered yet",
				   job->row->agent_name);
		return wait_of(job, job->attempt->row->offered_ms, buf_str(&why));
	default:
		return NULL;
	}
}

/* Jobs of equal needs wait for the same: the sentence is made once for each queue. */
struct sentence {
	void *queue;
	char *text;
	UT_hash_handle hh;
};

static const char *sentence_of(struct world *w, struct sentence **all, const struct job *job)
{
	cleanup(buf_release) struct buf why = { 0 };
	struct sentence *s;

	HASH_FIND_PTR(*all, &job->queue, s);
	if (s)
		return s->text;
	place_explain(w, job, &why);
	s = xcalloc(1, sizeof(*s));
	s->queue = job->queue;
	s->text = buf_detach(&why);
	HASH_ADD_PTR(*all, queue, s);
	return s->text;
}

static void sentences_free(struct sentence *all)
{
	struct sentence *s, *next;

	HASH_ITER(hh, all, s, next) {
		HASH_DEL(all, s);
		free(s->text);
		free(s);
	}
}

static void add_wait(void *arg, Sluice__V1__Wait *wait)
{
	Sluice__V1__WaitList *list = arg;

	list->total++;
	if (list->n_waits < WAITS_MAX)
		message_append(list, waits, wait);
	else
		message_free(wait);
}

int waits_queue(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	Sluice__V1__WaitList *list = message_new(&sluice__v1__wait_list__descriptor);
	cleanup(freep) struct job **jobs = xcalloc(WAITS_MAX, sizeof(struct job *));
	struct sentence *sentences = NULL;
	Sluice__V1__WaitList **ret = reply;
	size_t total, n;

	world_at(w, now);
	n = place_queued(w, jobs, WAITS_MAX, &total);
	for (size_t i = 0; i < n; i++)
		message_append(list, waits,
			       wait_of(jobs[i], jobs[i]->row->queued_ms,
				       sentence_of(w, &sentences, jobs[i])));
	sentences_free(sentences);
	list->total = (uint32_t)total;
	delivery_waits(w, add_wait, list);
	*ret = list;
	return 0;
}

int waits_run(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	Sluice__V1__WaitList **ret = reply;
	struct run *run = world_run(w, req, err);

	world_at(w, now);
	if (!run)
		return -1;
	*ret = message_new(&sluice__v1__wait_list__descriptor);
	for (size_t i = 0; i < run->n_jobs; i++) {
		Sluice__V1__Wait *wait = wait_of_job(w, run->jobs[i]);

		if (wait)
			add_wait(*ret, wait);
	}
	return 0;
}
