/*
 * Why a job waits, in one sentence with its numbers: each agent is asked by the same
 * function that places, and the answer of those that come nearest is told. The
 * same words refuse at submit what could never be placed.
 */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "controller/model/place.h"
#include "controller/model/private.h"
#include "controller/model/queue.h"

/* ---- what is needed, in words ---- */

static void add_size(struct buf *out, uint64_t bytes)
{
	char text[CLOCK_TEXT];

	if (bytes && bytes % (UINT64_C(1) << 30) == 0)
		buf_printf(out, "%" PRIu64 "G", bytes >> 30);
	else
		buf_puts(out, size_format(bytes, text));
}

static void add_cpus(struct buf *out, uint32_t milli)
{
	if (milli % 1000 == 0)
		buf_printf(out, "%u", milli / 1000);
	else
		buf_printf(out, "%.3g", milli / 1000.0);
}

/* " in zone=a", " with env=staging gpu=a100", " among the hosts of staging", or nothing. */
static void add_where(struct buf *out, const struct needs *n)
{
	const Sluice__V1__Resources *r = n->resources;

	if (n->environment) {
		buf_printf(out, " among the hosts of %s", n->environment);
		return;
	}
	if (!r->n_agents)
		return;
	buf_puts(out, strcmp(r->agents[0]->name, "zone") == 0 ? " in " : " with ");
	labels_format(r->agents, r->n_agents, out);
}

/* What is short, as the reason says: "4 GPUs of >= 40G", "32 CPUs", "256G of memory". */
static void add_wanted(struct buf *out, const Sluice__V1__Resources *r, enum misfit m)
{
	switch (m) {
	case MISFIT_GPUS_EVER:
	case MISFIT_GPUS:
		buf_printf(out, "%u GPU%s", r->gpu, r->gpu == 1 ? "" : "s");
		if (!r->gpu_memory)
			break;
		buf_puts(out, " of >= ");
		add_size(out, r->gpu_memory);
		break;
	case MISFIT_CPU_EVER:
	case MISFIT_CPU:
		add_cpus(out, r->cpu_milli);
		buf_printf(out, " CPU%s", r->cpu_milli == 1000 ? "" : "s");
		break;
	case MISFIT_MEMORY_EVER:
	case MISFIT_MEMORY:
		add_size(out, r->memory);
		buf_puts(out, " of memory");
		break;
	case MISFIT_DISK:
		add_size(out, r->disk);
		buf_puts(out, " of disk");
		break;
	default:
		buf_puts(out, "a free slot");
	}
}

/* How much of that a host has when `used` is in use. */
static uint64_t have(const struct agent *agent, const Sluice__V1__Resources *r,
		     const struct room *used, enum misfit m)
{
	const Sluice__V1__HostFacts *host = agent->row->host;

	if (!host)
		return 0;
	switch (m) {
	case MISFIT_GPUS_EVER:
	case MISFIT_GPUS:
		return (uint64_t)__builtin_popcountll(gpus_of_size(agent, r->gpu_memory) &
						      ~used->gpus);
	case MISFIT_CPU_EVER:
	case MISFIT_CPU:
		return host->cpu_milli - MIN(host->cpu_milli, used->cpu_milli);
	case MISFIT_MEMORY_EVER:
	case MISFIT_MEMORY:
		return host->memory - MIN(host->memory, used->memory);
	case MISFIT_DISK:
		return host->disk_free;
	default:
		return host->slots - MIN(host->slots, used->slots);
	}
}

static void add_have(struct buf *out, uint64_t amount, enum misfit m)
{
	if (m == MISFIT_CPU || m == MISFIT_CPU_EVER)
		add_cpus(out, (uint32_t)amount);
	else if (m == MISFIT_MEMORY || m == MISFIT_MEMORY_EVER || m == MISFIT_DISK)
		add_size(out, amount);
	else
		buf_printf(out, "%" PRIu64, amount);
}

/* ---- who was asked, and what they said ---- */

struct survey {
	uint32_t agents, matching, able, draining, disconnected;
	bool reserved;		     /* matching ones that environments keep for themselves */
	const struct agent *largest; /* of those that never can: has most of what is short */
	enum misfit short_of;
	uint64_t most;
	const struct agent *nearest; /* of those that could: fits after the fewest ends */
	enum misfit nearest_misfit;
	uint32_t ends;
	uint32_t ends_run;	       /* the run whose end is the last of these */
	const struct agent *absent[3]; /* the first of those draining or not connected */
	struct room after;
	const struct agent *fits;
};

static void survey_never(struct survey *s, const struct needs *n, const struct agent *agent,
			 enum misfit m)
{
	static const struct room idle;
	uint64_t amount;

	if (m == MISFIT_ENVIRONMENT) {
		s->reserved = true;
		return;
	}
	/* the last thing that is short tells most: who lacks only GPUs comes nearer than who lacks
	 * CPUs */
	amount = have(agent, n->resources, &idle, m);
	if (s->largest && (m < s->short_of || (m == s->short_of && amount <= s->most)))
		return;
	s->largest = agent;
	s->short_of = m;
	s->most = amount;
}

static void leave(struct room *used, const struct attempt *a)
{
	struct needs n = needs_of_job(a->job);

	used->slots--;
	used->cpu_milli -= n.resources->cpu_milli;
	used->memory -= n.resources->memory;
	for (size_t i = 0; i < a->row->n_gpus; i++)
		if (a->row->gpus[i] < 64)
			used->gpus &= ~(UINT64_C(1) << a->row->gpus[i]);
}

/* Attempts end oldest first, as far as anyone can tell. */
static void survey_busy(struct survey *s, const struct needs *n, const struct agent *agent,
			enum misfit m)
{
	struct room used = agent_used(agent);
	uint32_t ends = 0, run = 0;
	const struct attempt *a;
	uint64_t gpus;

	list_each(a, &agent->attempts, of_agent) {
		if (fit_room(n, agent, &used, &gpus) == FITS)
			break;
		leave(&used, a);
		run = a->row->run_number;
		ends++;
	}
	if (s->nearest && ends >= s->ends)
		return;
	s->nearest = agent;
	s->nearest_misfit = m;
	s->ends = ends;
	s->ends_run = run;
	s->after = used;
}

static void survey(struct world *w, const struct needs *n, const struct queue *q, struct survey *s)
{
	struct agent *agent, *next;

	HASH_ITER(by_name, w->agents_by_name, agent, next) {
		enum misfit m;
		uint64_t gpus;

		if (agent->row->state == SLUICE__V1__AGENT__STATE__REVOKED)
			continue;
		s->agents++;
		m = q ? fit(w, q, agent, &gpus) : fit_idle(w, n, agent);
		s->matching += m != MISFIT_LABELS;
		s->able += m == FITS || m >= MISFIT_DRAINING;
		if ((m == MISFIT_DRAINING || m == MISFIT_DISCONNECTED) &&
		    s->draining + s->disconnected < ARRAY_SIZE(s->absent))
			s->absent[s->draining + s->disconnected] = agent;
		s->draining += m == MISFIT_DRAINING;
		s->disconnected += m == MISFIT_DISCONNECTED;
		if (m == FITS)
			s->fits = agent;
		else if (m >= MISFIT_PASSED_OVER)
			survey_busy(s, n, agent, m);
		else if (m != MISFIT_LABELS && m < MISFIT_DRAINING)
			survey_never(s, n, agent, m);
	}
}

/* ---- sentences ---- */

/* Nobody could, however long it waited. */
static void say_never(const struct survey *s, const struct needs *n, struct buf *out)
{
	if (!s->matching && n->environment) {
		buf_printf(out, "the environment %s has no host that can take it", n->environment);
	} else if (!s->matching) {
		buf_puts(out, "no agent carries ");
		labels_format(n->resources->agents, n->resources->n_agents, out);
	} else if (s->largest) {
		buf_puts(out, "needs ");
		add_wanted(out, n->resources, s->short_of);
		buf_puts(out, "; no agent");
		add_where(out, n);
		buf_puts(out, " has more than ");
		add_have(out, s->most, s->short_of);
		buf_printf(out, " (%s)", s->largest->row->name);
	} else {
		buf_puts(out, "every agent");
		add_where(out, n);
		buf_puts(out, " is the host of an environment, which takes no other jobs");
	}
}

/* "gpu-02 is draining (ada: new disks)", "gpu-03 is not connected". */
static void add_absent(const struct agent *agent, struct buf *out)
{
	bool draining = agent->row->state == SLUICE__V1__AGENT__STATE__DRAINING;

	buf_printf(out, "%s is %s", agent->row->name, draining ? "draining" : "not connected");
	if (draining && agent->row->state_reason[0])
		buf_printf(out, " (%s)", agent->row->state_reason);
}

static void add_all_absent(const struct survey *s, struct buf *out)
{
	uint32_t n = s->draining + s->disconnected;

	for (uint32_t i = 0; i < MIN(n, (uint32_t)ARRAY_SIZE(s->absent)); i++) {
		if (i)
			buf_puts(out, ", ");
		add_absent(s->absent[i], out);
	}
	if (n > ARRAY_SIZE(s->absent))
		buf_printf(out, " and %u more", n - (uint32_t)ARRAY_SIZE(s->absent));
}

static void say_absent(const struct survey *s, const struct needs *n, struct buf *out)
{
	add_all_absent(s, out);
	buf_puts(out, s->able == 1 ? ", and no other agent" : ", and no other agents");
	add_where(out, n);
	buf_puts(out, " can take it");
}

static void say_busy(struct world *w, const struct survey *s, const struct needs *n,
		     const struct queue *q, struct buf *out)
{
	struct room used = agent_used(s->nearest);
	const struct pass_over *p = queue_passes(q, s->nearest);
	enum misfit m = s->nearest_misfit;
	char time[CLOCK_TEXT];

	if (m == MISFIT_PASSED_OVER && p) {
		buf_printf(
			out, "%s declined it: %s; it is asked again in %s", s->nearest->row->name,
			p->reason,
			duration_format(MAX(INT64_C(0), p->timer.due_ms - w->now.boot_ms), time));
		return;
	}
	if (m == MISFIT_OFFERS) {
		buf_printf(out, "%s has not answered its last offers yet", s->nearest->row->name);
		return;
	}
	buf_puts(out, "needs ");
	add_wanted(out, n->resources, m);
	add_where(out, n);
	buf_printf(out, "; %s has ", s->nearest->row->name);
	add_have(out, have(s->nearest, n->resources, &used, m), m);
	buf_puts(out, m == MISFIT_DISK ? "" : " free");
	if (s->ends && m != MISFIT_DISK) {
		buf_puts(out, ", ");
		add_have(out, have(s->nearest, n->resources, &s->after, m), m);
		buf_printf(out, " after #%u", s->ends_run);
	}
	if (!s->draining && !s->disconnected)
		return;
	buf_puts(out, "; ");
	add_all_absent(s, out);
}

static void say(struct world *w, const struct survey *s, const struct needs *n,
		const struct queue *q, struct buf *out)
{
	if (!s->agents)
		buf_puts(out, "no agent is enrolled yet");
	else if (s->fits)
		buf_printf(out, "%s takes it next", s->fits->row->name);
	else if (s->nearest)
		say_busy(w, s, n, q, out);
	else if (s->able)
		say_absent(s, n, out);
	else
		say_never(s, n, out);
}

void place_explain(struct world *w, const struct job *job, struct buf *out)
{
	const struct queue *q = job->queue;
	struct survey s = { 0 };
	struct needs n;

	if (!q)
		return;
	n = needs_of_queue(q);
	survey(w, &n, q, &s);
	say(w, &s, &n, q, out);
}

/* ---- at submit ---- */

static bool same_needs(const Sluice__V1__Resources *a, const Sluice__V1__Resources *b)
{
	cleanup(buf_release) struct buf x = { 0 }, y = { 0 };

	message_pack_buf(a, &x);
	message_pack_buf(b, &y);
	return x.len == y.len && memcmp(buf_str(&x), buf_str(&y), x.len) == 0;
}

int place_possible(struct world *w, const Sluice__V1__Pipeline *p, bool *ret_nobody,
		   struct error *err)
{
	const Sluice__V1__Resources *before = NULL;

	*ret_nobody = false;
	for (size_t i = 0; i < p->n_jobs; i++) {
		struct needs n = { .resources = p->jobs[i]->resources };
		cleanup(buf_release) struct buf why = { 0 };
		struct survey s = { 0 };

		if (!n.resources || (before && same_needs(before, n.resources)))
			continue;
		before = n.resources;
		survey(w, &n, NULL, &s);
		*ret_nobody = !s.agents;
		if (!s.agents || s.able)
			continue;
		say_never(&s, &n, &why);
		return error_id(err, "E0510", "job '%s' cannot be placed: %s", p->jobs[i]->name,
				buf_str(&why));
	}
	if (!before)
		*ret_nobody = !w->agents_by_id;
	return 0;
}

/* ---- the queue as a whole ---- */

static int by_order(const void *a, const void *b)
{
	const struct job *x = *(struct job *const *)a, *y = *(struct job *const *)b;

	return job_before(x, y) ? -1 : job_before(y, x);
}

size_t place_queued(struct world *w, struct job **ret, size_t max, size_t *ret_total)
{
	cleanup(freep) struct job **all = NULL;
	struct queue *q;
	size_t n = 0, total = 0;

	list_each(q, &queues_of(w)->filled, link) {
		all = xreallocarray(all, n + MIN(q->n, max) + 1, sizeof(struct job *));
		n += queue_first(q, all + n, max);
		total += q->n;
	}
	if (n)
		qsort(all, n, sizeof(struct job *), by_order);
	n = MIN(n, max);
	if (n)
		memcpy(ret, all, n * sizeof(struct job *));
	*ret_total = total;
	return n;
}
