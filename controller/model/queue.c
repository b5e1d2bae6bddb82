/*
 * A heap for each set of needs. Empty ones are kept to the end of the step, because
 * an offer that comes back goes into the same queue, with the agents it was passed
 * over by.
 */
#include "controller/model/queue.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "controller/model/place.h"
#include "controller/model/private.h"

struct queues *queues_of(struct world *w)
{
	struct queues *qs = w->queues;

	if (!qs) {
		qs = w->queues = xcalloc(1, sizeof(*qs));
		list_init(&qs->filled);
		list_init(&qs->empty);
	}
	return qs;
}

/* A verify step runs on its environment's hosts, unless it says by `agents:` where it runs. */
struct needs needs_of_job(const struct job *job)
{
	static const Sluice__V1__Resources nothing = SLUICE__V1__RESOURCES__INIT;
	const Sluice__V1__Resources *r = job->row->spec->resources;
	const char *env = job->run->row->environment;

	return (struct needs){
		.resources = r ? r : &nothing,
		.environment = *env && !(r && r->n_agents) ? env : NULL,
	};
}

struct needs needs_of_queue(const struct queue *q)
{
	return (struct needs){ .resources = q->resources, .environment = q->environment };
}

static void key_of(const struct needs *n, struct buf *ret)
{
	const Sluice__V1__Resources *r = n->resources;

	buf_printf(ret, "%u %" PRIu64 " %u %" PRIu64 " %" PRIu64 "\n%s\n", r->cpu_milli, r->memory,
		   r->gpu, r->gpu_memory, r->disk, n->environment ? n->environment : "");
	for (size_t i = 0; i < r->n_agents; i++)
		buf_printf(ret, "%s\n%s\n", r->agents[i]->name, r->agents[i]->value);
}

static struct queue *queue_of(struct world *w, const struct needs *needs)
{
	struct queues *qs = queues_of(w);
	cleanup(buf_release) struct buf key = { 0 };
	struct queue *q;

	key_of(needs, &key);
	HASH_FIND(by_key, qs->by_key, buf_str(&key), key.len, q);
	if (q)
		return q;
	q = xcalloc(1, sizeof(*q));
	q->resources = message_copy(needs->resources);
	q->environment = needs->environment ? xstrdup(needs->environment) : NULL;
	q->key = buf_detach(&key);
	list_init(&q->passed);
	list_append(&qs->empty, &q->link);
	HASH_ADD_KEYPTR(by_key, qs->by_key, q->key, strlen(q->key), q);
	return q;
}

bool job_before(const struct job *a, const struct job *b)
{
	if (a->row->spec->priority != b->row->spec->priority)
		return a->row->spec->priority > b->row->spec->priority;
	if (a->row->run_number != b->row->run_number)
		return a->row->run_number < b->row->run_number;
	return a->row->index < b->row->index;
}

static void put(struct queue *q, size_t place, struct job *job)
{
	q->at[place - 1] = job;
	job->queue_place = place;
}

static void sift_up(struct queue *q, struct job *job)
{
	size_t place = job->queue_place;

	while (place > 1 && job_before(job, q->at[place / 2 - 1])) {
		put(q, place, q->at[place / 2 - 1]);
		place /= 2;
	}
	put(q, place, job);
}

static void sift_down(struct queue *q, struct job *job)
{
	size_t place = job->queue_place;

	for (;;) {
		size_t child = place * 2;

		if (child > q->n)
			break;
		if (child < q->n && job_before(q->at[child], q->at[child - 1]))
			child++;
		if (!job_before(q->at[child - 1], job))
			break;
		put(q, place, q->at[child - 1]);
		place = child;
	}
	put(q, place, job);
}

void queue_add(struct world *w, struct job *job)
{
	struct queues *qs = queues_of(w);
	struct needs needs = needs_of_job(job);
	struct queue *q = queue_of(w, &needs);

	assert(!job->queue);
	if (q->n == q->cap) {
		q->cap = q->cap ? q->cap * 2 : 4;
		q->at = xreallocarray(q->at, q->cap, sizeof(struct job *));
	}
	if (q->n == 0) {
		list_remove(&q->link);
		list_append(&qs->filled, &q->link);
		qs->n_filled++;
		q->fresh = true;
		w->place_wanted = true;
	}
	job->queue = q;
	put(q, ++q->n, job);
	sift_up(q, job);
}

void queue_remove(struct world *w, struct job *job)
{
	struct queue *q = job->queue;
	size_t place = job->queue_place;
	struct job *last;

	if (!q)
		return;
	assert(q->at[place - 1] == job);
	last = q->at[--q->n];
	job->queue = NULL;
	job->queue_place = 0;
	if (last != job) {
		put(q, place, last);
		sift_up(q, last);
		sift_down(q, last);
	}
	if (q->n)
		return;
	list_remove(&q->link);
	list_append(&queues_of(w)->empty, &q->link);
	queues_of(w)->n_filled--;
}

static void pass_over_free(struct world *w, struct pass_over *p)
{
	timer_clear(&w->timers, &p->timer);
	list_remove(&p->link);
	free(p->reason);
	free(p);
}

static void queue_free(struct world *w, struct queue *q)
{
	struct queues *qs = w->queues;
	struct pass_over *p, *next;

	list_each_safe(p, next, &q->passed, link)
		pass_over_free(w, p);
	list_remove(&q->link);
	HASH_DELETE(by_key, qs->by_key, q);
	message_free(q->resources);
	free(q->environment);
	free(q->key);
	free(q->at);
	free(q);
}

void queues_drop_empty(struct world *w)
{
	struct queue *q, *next;

	list_each_safe(q, next, &queues_of(w)->empty, link)
		if (list_empty(&q->passed))
			queue_free(w, q);
}

void queues_release(struct world *w)
{
	struct queues *qs = w->queues;
	struct queue *q, *next;

	if (!qs)
		return;
	HASH_ITER(by_key, qs->by_key, q, next)
		queue_free(w, q);
	free(qs);
	w->queues = NULL;
}

struct pass_over *queue_passes(const struct queue *q, const struct agent *agent)
{
	struct pass_over *p;

	list_each(p, &q->passed, link)
		if (p->agent == agent)
			return p;
	return NULL;
}

static void pass_over_ended(struct world *w, struct timer *t)
{
	struct pass_over *p = container_of(t, struct pass_over, timer);

	place_agent(w, p->agent);
	pass_over_free(w, p);
}

void place_declined(struct world *w, struct job *job, struct agent *agent, const char *reason)
{
	struct needs needs = needs_of_job(job);
	struct queue *q = queue_of(w, &needs);
	struct pass_over *p = queue_passes(q, agent);

	if (!p) {
		p = xcalloc(1, sizeof(*p));
		p->queue = q;
		p->agent = agent;
		p->timer.fire = pass_over_ended;
		list_append(&q->passed, &p->link);
	}
	free(p->reason);
	p->reason = xstrdup(reason);
	timer_set_boot(&w->timers, &p->timer, w->now.boot_ms + PASS_OVER_MS);
}

/* A heap read in order: whoever is next is a child of someone already taken. */
size_t queue_first(const struct queue *q, struct job **ret, size_t max)
{
	size_t n = 0, candidates = 0, cap = MIN(q->n, max * 2 + 2);
	cleanup(freep) size_t *heads = xcalloc(cap + 1, sizeof(*heads));

	if (q->n)
		heads[candidates++] = 1;
	while (n < max && candidates) {
		size_t best = 0, place;

		for (size_t i = 1; i < candidates; i++)
			if (job_before(q->at[heads[i] - 1], q->at[heads[best] - 1]))
				best = i;
		place = heads[best];
		ret[n++] = q->at[place - 1];
		heads[best] = heads[--candidates];
		for (size_t child = place * 2; child <= place * 2 + 1 && child <= q->n; child++)
			if (candidates < cap)
				heads[candidates++] = child;
	}
	return n;
}
