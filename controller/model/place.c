/*
 * One step of placing. Queues are taken by the order of their first jobs. One that
 * was tried everywhere before is tried only on the agents that changed since; a
 * fresh one on all that are connected. So nothing is proportional to the jobs that
 * wait. What fits is said here and nowhere else: explain.c asks the same functions.
 */
#include "controller/model/place.h"

#include <assert.h>
#include <string.h>

#include "controller/model/attempts.h"
#include "controller/model/delivery.h"
#include "controller/model/private.h"
#include "controller/model/queue.h"

enum {
	OFFER_BYTES_MAX = 128 * 1024, /* of one message; then another begins */
	FITTING_ENOUGH = 64,	      /* agents to choose from */
};

/* ---- what fits ---- */

uint64_t gpus_of_size(const struct agent *agent, uint64_t memory)
{
	const Sluice__V1__HostFacts *host = agent->row->host;
	uint64_t mask = 0;

	for (size_t i = 0; host && i < host->n_gpus; i++)
		if (host->gpus[i]->index < 64 && host->gpus[i]->memory >= memory)
			mask |= UINT64_C(1) << host->gpus[i]->index;
	return mask;
}

struct room agent_used(const struct agent *agent)
{
	return (struct room){ agent->used_slots, agent->used_cpu_milli, agent->used_memory,
			      agent->used_gpus };
}

/* Only where what is to be verified runs: a host that failed, fell behind or joined just now would
 * tell of something else. */
static bool is_host_for(struct world *w, const char *environment, const struct agent *agent)
{
	struct environment *env = world_environment(w, environment, NULL);

	if (!env || !environment_has_host(env, agent))
		return false;
	for (size_t i = 0; i < env->row->n_hosts; i++) {
		const Sluice__V1__EnvironmentHost *h = env->row->hosts[i];

		if (strcmp(h->agent_id, agent->row->id) == 0)
			return h->state == SLUICE__V1__ENVIRONMENT_HOST__STATE__NEW;
	}
	return false;
}

/* May it, and could it if nothing else ran there? */
enum misfit fit_idle(struct world *w, const struct needs *needs, const struct agent *agent)
{
	const Sluice__V1__Resources *r = needs->resources;
	const Sluice__V1__HostFacts *host = agent->row->host;

	if (needs->environment) {
		if (!is_host_for(w, needs->environment, agent))
			return MISFIT_LABELS;
	} else {
		if (!agent_matches(agent, r->agents, r->n_agents))
			return MISFIT_LABELS;
		if (agent->n_environments)
			return MISFIT_ENVIRONMENT;
	}
	if (r->cpu_milli > (host ? host->cpu_milli : 0))
		return MISFIT_CPU_EVER;
	if (r->memory > (host ? host->memory : 0))
		return MISFIT_MEMORY_EVER;
	if ((int)r->gpu > __builtin_popcountll(gpus_of_size(agent, r->gpu_memory)))
		return MISFIT_GPUS_EVER;
	return FITS;
}

/* The lowest `count` bits of a mask that has them. */
static uint64_t lowest(uint64_t mask, uint32_t count)
{
	uint64_t taken = 0;

	while (count--) {
		taken |= mask & -mask;
		mask &= mask - 1;
	}
	return taken;
}

/* Of the GPUs that are large enough the smallest are taken, so that large ones stay for those who
 * need them. */
static uint64_t choose_gpus(const struct agent *agent, uint64_t room, uint32_t count)
{
	const Sluice__V1__HostFacts *host = agent->row->host;
	uint64_t taken = 0;

	while (count && room) {
		uint64_t smallest = UINT64_MAX, same = 0;
		uint32_t n;

		for (size_t i = 0; i < host->n_gpus; i++)
			if (host->gpus[i]->index < 64 && room >> host->gpus[i]->index & 1)
				smallest = MIN(smallest, host->gpus[i]->memory);
		same = room & ~gpus_of_size(agent, smallest + 1);
		n = MIN(count, (uint32_t)__builtin_popcountll(same));
		taken |= lowest(same, n);
		room &= ~same;
		count -= n;
	}
	return taken;
}

/* With so much in use on a host that could hold it: is there room? */
enum misfit fit_room(const struct needs *needs, const struct agent *agent, const struct room *used,
		     uint64_t *ret_gpus)
{
	const Sluice__V1__Resources *r = needs->resources;
	const Sluice__V1__HostFacts *host = agent->row->host;
	uint64_t gpus;

	if (used->slots >= (host ? host->slots : 0))
		return MISFIT_SLOTS;
	if (r->cpu_milli && used->cpu_milli + r->cpu_milli > host->cpu_milli)
		return MISFIT_CPU;
	if (r->memory && used->memory + r->memory > host->memory)
		return MISFIT_MEMORY;
	if (r->disk > host->disk_free)
		return MISFIT_DISK;
	gpus = r->gpu ? gpus_of_size(agent, r->gpu_memory) & ~used->gpus : 0;
	if ((int)r->gpu > __builtin_popcountll(gpus))
		return MISFIT_GPUS;
	*ret_gpus = r->gpu ? choose_gpus(agent, gpus, r->gpu) : 0;
	return FITS;
}

enum misfit fit(struct world *w, const struct queue *q, const struct agent *agent,
		uint64_t *ret_gpus)
{
	struct needs needs = needs_of_queue(q);
	struct room used = agent_used(agent);
	enum misfit m = fit_idle(w, &needs, agent);

	if (m != FITS)
		return m;
	if (agent->row->state != SLUICE__V1__AGENT__STATE__ENABLED)
		return MISFIT_DRAINING;
	if (!agent->session || agent->leaving)
		return MISFIT_DISCONNECTED;
	if (queue_passes(q, agent))
		return MISFIT_PASSED_OVER;
	if (agent->unanswered >= OFFERED_BYTES_MAX)
		return MISFIT_OFFERS;
	return fit_room(&needs, agent, &used, ret_gpus);
}

/* ---- what is held ---- */

static uint64_t gpu_mask(const Sluice__V1__Attempt *row)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < row->n_gpus; i++)
		if (row->gpus[i] < 64)
			mask |= UINT64_C(1) << row->gpus[i];
	return mask;
}

void place_hold(struct agent *agent, const struct attempt *a)
{
	struct needs needs = needs_of_job(a->job);

	agent->used_slots++;
	agent->used_cpu_milli += needs.resources->cpu_milli;
	agent->used_memory += needs.resources->memory;
	agent->used_gpus |= gpu_mask(a->row);
}

void place_release(struct world *w, struct agent *agent, const struct attempt *a)
{
	struct needs needs = needs_of_job(a->job);

	assert(agent->used_slots > 0);
	agent->used_slots--;
	agent->used_cpu_milli -= needs.resources->cpu_milli;
	agent->used_memory -= needs.resources->memory;
	agent->used_gpus &= ~gpu_mask(a->row);
	place_agent(w, agent);
}

void place_agent(struct world *w, struct agent *agent)
{
	if (!list_linked(&agent->changed))
		list_append(&w->changed, &agent->changed);
	w->place_wanted = true;
}

void place_answered(struct world *w, struct attempt *a)
{
	bool full = a->agent->unanswered >= OFFERED_BYTES_MAX;

	a->agent->unanswered -= a->offer_bytes;
	a->offer_bytes = 0;
	if (full && a->agent->unanswered < OFFERED_BYTES_MAX)
		place_agent(w, a->agent);
}

/* ---- one step ---- */

struct step {
	struct queue **order; /* a heap by the queues' first jobs */
	size_t n;
	struct agent **changed, **all; /* all: made when the first fresh queue comes */
	size_t n_changed, n_all;
	struct agent **offered; /* those with an offer to send */
	size_t n_offered;
};

static bool queue_before(const struct queue *a, const struct queue *b)
{
	return job_before(a->at[0], b->at[0]);
}

static void step_sift_down(struct step *s, size_t place)
{
	for (size_t child; (child = place * 2 + 1) < s->n; place = child) {
		struct queue *q = s->order[place];

		if (child + 1 < s->n && queue_before(s->order[child + 1], s->order[child]))
			child++;
		if (!queue_before(s->order[child], q))
			return;
		s->order[place] = s->order[child];
		s->order[child] = q;
	}
}

static void step_begin(struct world *w, struct step *s)
{
	struct queues *qs = queues_of(w);
	struct agent *agent, *next;
	struct queue *q;
	size_t changed = 0;

	s->order = xcalloc(qs->n_filled + 1, sizeof(struct queue *));
	list_each(q, &qs->filled, link)
		s->order[s->n++] = q;
	for (size_t i = s->n / 2; i-- > 0;)
		step_sift_down(s, i);
	list_each(agent, &w->changed, changed)
		changed++;
	s->changed = xcalloc(changed + 1, sizeof(struct agent *));
	list_each_safe(agent, next, &w->changed, changed) {
		s->changed[s->n_changed++] = agent;
		list_remove(&agent->changed);
	}
	s->offered = xcalloc(HASH_CNT(by_id, w->agents_by_id) + 1, sizeof(struct agent *));
}

static void step_end(struct step *s)
{
	free(s->order);
	free(s->changed);
	free(s->all);
	free(s->offered);
}

static void list_all(struct world *w, struct step *s)
{
	struct agent *agent, *next;

	if (s->all)
		return;
	s->all = xcalloc(HASH_CNT(by_id, w->agents_by_id) + 1, sizeof(struct agent *));
	HASH_ITER(by_id, w->agents_by_id, agent, next)
		if (agent->session && agent->row->host &&
		    agent->used_slots < agent->row->host->slots)
			s->all[s->n_all++] = agent;
}

/* Higher is better: GPUs where the fewest are left over; other work where no GPUs are, and where
 * most slots are free. */
static int64_t score(const struct agent *agent, const Sluice__V1__Resources *r)
{
	uint32_t slots = agent->row->host->slots;
	int64_t room = (int64_t)(slots - agent->used_slots) * 1000 / slots;
	uint64_t left = gpus_of_size(agent, 0) & ~agent->used_gpus;

	if (r->gpu)
		return room - 10000 * (int64_t)__builtin_popcountll(left);
	return room - (left ? 10000 : 0);
}

static struct agent *best_agent(struct world *w, struct step *s, const struct queue *q,
				uint64_t *ret_gpus)
{
	struct agent **from = s->changed, *best = NULL;
	size_t n = s->n_changed, fitting = 0;
	int64_t best_score = INT64_MIN;

	if (q->fresh) {
		list_all(w, s);
		from = s->all;
		n = s->n_all;
	}
	/* beginning somewhere else each time, as there may be more that fit than are looked at */
	for (size_t i = 0; i < n && fitting < FITTING_ENOUGH; i++) {
		struct agent *agent = from[(w->counters->next_fence + i) % n];
		uint64_t gpus;
		int64_t points;

		if (fit(w, q, agent, &gpus) != FITS)
			continue;
		fitting++;
		points = score(agent, q->resources);
		if (points <= best_score)
			continue;
		best_score = points;
		best = agent;
		*ret_gpus = gpus;
	}
	return best;
}

static void send_offer(struct world *w, struct agent *agent)
{
	Sluice__V1__ControllerMessage *m = message_new(&sluice__v1__controller_message__descriptor);

	m->body_case = SLUICE__V1__CONTROLLER_MESSAGE__BODY_OFFER;
	m->offer = steal(agent->offer);
	agent->offer_size = 0;
	world_post(w, agent, m);
}

static void add_offer(struct world *w, struct step *s, struct agent *agent, struct attempt *a)
{
	Sluice__V1__Assignment *assignment = attempt_assignment(w, a);
	size_t size = protobuf_c_message_get_packed_size(&assignment->base);

	if (agent->offer && agent->offer_size + size > OFFER_BYTES_MAX)
		send_offer(w, agent);
	else if (!agent->offer)
		s->offered[s->n_offered++] = agent;
	if (!agent->offer)
		agent->offer = message_new(&sluice__v1__offer__descriptor);
	message_append(agent->offer, assignments, assignment);
	agent->offer_size += size;
	agent->unanswered += size;
	a->offer_bytes = size;
}

/* Either starts the first of the best queue, or that queue has had its turn. */
static void step_once(struct world *w, struct step *s)
{
	struct queue *q = s->order[0];
	uint64_t gpus = 0;
	struct agent *agent = best_agent(w, s, q, &gpus);

	if (agent)
		add_offer(w, s, agent, attempt_offer(w, q->at[0], agent, gpus));
	else
		q->fresh = false;
	if (!agent || !q->n)
		s->order[0] = s->order[--s->n];
	step_sift_down(s, 0);
}

/* Somebody set place_wanted without saying what changed: then everything may have. */
static void look_everywhere(struct world *w)
{
	struct queue *q;

	if (!list_empty(&w->changed))
		return;
	list_each(q, &queues_of(w)->filled, link)
		if (q->fresh)
			return;
	list_each(q, &queues_of(w)->filled, link)
		q->fresh = true;
}

void world_place(struct world *w, struct now now)
{
	struct step s = { 0 };

	world_at(w, now);
	queues_drop_empty(w);
	if (!w->place_wanted)
		return;
	look_everywhere(w);
	step_begin(w, &s);
	while (s.n)
		step_once(w, &s);
	for (size_t i = 0; i < s.n_offered; i++)
		if (s.offered[i]->offer)
			send_offer(w, s.offered[i]);
	step_end(&s);
	w->place_wanted = false;
}
