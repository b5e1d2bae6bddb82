/*
 * A rollout, from its first order to the moment when the release serves. Each call
 * of rollout_step() looks at the hosts of the plan as their rows say, ends what took
 * too long, and begins the steps that may begin now; then the environment's timer is
 * set to the next moment at which time alone changes something. What a rollout that
 * is complete or failed means is promotion.c's; hosts that are not where they belong
 * while no rollout runs are converge.c's.
 */
#include "controller/model/rollout.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "controller/model/converge.h"
#include "controller/model/environments.h"
#include "controller/model/hosts.h"
#include "proto/message.h"

/* The hosts of a plan in their order; those that left the environment are NULL. */
struct plan {
	struct world *w;
	struct environment *env;
	struct promotion *p;
	const Sluice__V1__DeploySpec *deploy;
	size_t n;
	Sluice__V1__EnvironmentHost *hosts[];
};

static const Sluice__V1__DeploySpec no_deploy = SLUICE__V1__DEPLOY_SPEC__INIT;

const Sluice__V1__DeploySpec *environment_deploy(const struct environment *env)
{
	const Sluice__V1__EnvironmentSpec *spec = environment_policy(env);

	return spec && spec->deploy ? spec->deploy : &no_deploy;
}

static int by_id(const void *a, const void *b)
{
	return strcmp((*(Sluice__V1__EnvironmentHost *const *)a)->agent_id,
		      (*(Sluice__V1__EnvironmentHost *const *)b)->agent_id);
}

static int find_id(const void *id, const void *host)
{
	return strcmp(id, (*(Sluice__V1__EnvironmentHost *const *)host)->agent_id);
}

static struct plan *plan_new(struct world *w, struct environment *env)
{
	struct promotion *p = env->promotion;
	struct plan *plan = xcalloc(1, sizeof *plan + p->row->n_plan * sizeof *plan->hosts);
	size_t n = env->row->n_hosts, size = sizeof(*env->row->hosts);
	cleanup(freep) Sluice__V1__EnvironmentHost **hosts = xcalloc(n + 1, size);

	for (size_t i = 0; i < n; i++)
		hosts[i] = env->row->hosts[i];
	qsort(hosts, n, size, by_id);
	plan->w = w;
	plan->env = env;
	plan->p = p;
	plan->deploy = environment_deploy(env);
	plan->n = p->row->n_plan;
	for (size_t i = 0; i < plan->n; i++) {
		Sluice__V1__EnvironmentHost **at =
			bsearch(p->row->plan[i], hosts, n, size, find_id);

		if (at && !environment_host_leaves(w, env, *at))
			plan->hosts[i] = *at;
	}
	return plan;
}

static bool is_over(const Sluice__V1__EnvironmentHost *host)
{
	return !host || host->state == HOST_STATE(NEW) || host->state == HOST_STATE(FAILED) ||
	       host->state == HOST_STATE(DIVERGED);
}

static size_t count(const struct plan *plan, Sluice__V1__EnvironmentHost__State state)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n; i++)
		n += plan->hosts[i] && plan->hosts[i]->state == state;
	return n;
}

static bool is_recreate(const struct plan *plan)
{
	return plan->deploy->strategy == SLUICE__V1__DEPLOY_SPEC__STRATEGY__RECREATE;
}

/* ---- shares ---- */

/* Percent rounds down, but never to nothing. */
static size_t share_of(const Sluice__V1__Share *share, size_t n)
{
	size_t hosts = 1;

	if (share && share->count)
		hosts = share->count;
	else if (share && share->percent)
		hosts = n * share->percent / 100;
	return MAX(hosts, 1u);
}

size_t rollout_max_unavailable(const struct environment *env, size_t n)
{
	return share_of(environment_deploy(env)->max_unavailable, n);
}

/* A host that was added and has nothing yet takes nothing away from anyone. */
static bool counts(const Sluice__V1__EnvironmentHost *host)
{
	return host->release[0] || host->unsure || host->state != HOST_STATE(EMPTY);
}

struct rollout_room rollout_room(struct world *w, const struct environment *env)
{
	struct rollout_room room = { 0 };

	for (size_t i = 0; i < env->row->n_hosts; i++) {
		const Sluice__V1__EnvironmentHost *h = env->row->hosts[i];

		if (!counts(h) || environment_host_leaves(w, env, h))
			continue;
		room.hosts++;
		room.down += !host_serves(w, h);
		room.changing +=
			h->state == HOST_STATE(ACTIVATING) || h->state == HOST_STATE(STOPPING);
	}
	room.max_down = rollout_max_unavailable(env, room.hosts);
	return room;
}

bool rollout_may_change(struct world *w, const struct rollout_room *room,
			const Sluice__V1__EnvironmentHost *host, bool one_at_least)
{
	return !host_serves(w, host) || room->down < room->max_down ||
	       (one_at_least && !room->changing);
}

void rollout_activate(struct world *w, struct environment *env, struct rollout_room *room,
		      Sluice__V1__EnvironmentHost *host)
{
	room->down += host_serves(w, host);
	room->changing++;
	host_begin(w, env, host, HOST_STATE(ACTIVATING));
}

/* Plan indexes below this may be activated now. */
static size_t window(const struct plan *plan)
{
	if (is_recreate(plan) || promotion_is_rollback(plan->p))
		return plan->n;
	return MIN((size_t)plan->p->row->batch * share_of(plan->deploy->batch, plan->n), plan->n);
}

/* ---- what took too long ---- */

static int64_t unreachable_wait(const struct plan *plan)
{
	const Sluice__V1__Unreachable *u = plan->deploy->unreachable;

	if (u && (u->fail || u->skip || u->wait_ms))
		return u->wait_ms;
	return ROLLOUT_UNREACHABLE_MS;
}

static int64_t unreachable_due(const struct plan *plan, const Sluice__V1__EnvironmentHost *host)
{
	const struct agent *agent = host_agent(plan->w, host);
	int64_t since = MAX(plan->p->begun_ms, agent ? agent->gone_ms : 0);

	return MAX(since + unreachable_wait(plan),
		   plan->env->resumed_ms + ROLLOUT_RESTART_GRACE_MS);
}

static void event_of_host(struct plan *plan, const Sluice__V1__EnvironmentHost *host,
			  Sluice__V1__EventKind kind, const char *what)
{
	Sluice__V1__Event *e =
		world_event(plan->w, kind, NULL, "%s: host '%s' %s: %s", plan->env->row->name,
			    host->agent_name, what, host->text);

	event_of_promotion(e, plan->p);
	message_set_string(&e->agent_id, host->agent_id);
}

static void give_up_unreachable(struct plan *plan, Sluice__V1__EnvironmentHost *host)
{
	const Sluice__V1__Unreachable *u = plan->deploy->unreachable;
	bool skip = promotion_is_rollback(plan->p) ||
		    (u && !u->fail && count(plan, HOST_STATE(DIVERGED)) < u->skip);
	char text[CLOCK_TEXT + 64], took[CLOCK_TEXT];

	snprintf(text, sizeof text, "unreachable for %s",
		 duration_format(unreachable_wait(plan), took));
	host_set(plan->w, plan->env, host, skip ? HOST_STATE(DIVERGED) : HOST_STATE(FAILED), text);
	if (skip)
		event_of_host(plan, host, SLUICE__V1__EVENT_KIND__EVENT_HOST_DIVERGED,
			      "is skipped, and converges when it is back");
	else
		event_of_host(plan, host, SLUICE__V1__EVENT_KIND__EVENT_HOST_FAILED, "failed");
}

static void end_unreachable(struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		Sluice__V1__EnvironmentHost *host = plan->hosts[i];

		if (!is_over(host) && !host_reachable(plan->w, host) &&
		    unreachable_due(plan, host) <= world_steady_ms(plan->w))
			give_up_unreachable(plan, host);
	}
}

/* A pause between batches is not a lack of progress. */
static int64_t progress_due(const struct plan *plan)
{
	const Sluice__V1__Promotion *p = plan->p->row;
	int64_t limit = plan->deploy->progress_ms ? plan->deploy->progress_ms : ROLLOUT_PROGRESS_MS;
	int64_t paused = p->batch_done_ms ? p->batch_done_ms + plan->deploy->pause_ms : 0;

	return MAX(MAX(p->progress_ms, plan->env->resumed_ms), paused) + limit;
}

/* A rollback never ends before each host was tried: those that hang are failed, those that wait for
 * them get their turn. */
static void fail_hanging(struct plan *plan)
{
	plan->p->row->progress_ms = world_steady_ms(plan->w);
	world_touch(plan->w, &plan->p->entity);
	for (size_t i = 0; i < plan->n; i++) {
		Sluice__V1__EnvironmentHost *host = plan->hosts[i];

		if (!host || !host_is_busy(host))
			continue;
		host_set(plan->w, plan->env, host,
			 host_reachable(plan->w, host) ? HOST_STATE(FAILED) : HOST_STATE(DIVERGED),
			 "did not turn NEW in time");
		event_of_host(plan, host, SLUICE__V1__EVENT_KIND__EVENT_HOST_FAILED, "failed");
	}
}

/* ---- the steps ---- */

/* The first that failed to run the release, which then is to blame, or else the first that failed.
 */
static const Sluice__V1__EnvironmentHost *first_failed(const struct plan *plan, bool *ret_activated)
{
	const Sluice__V1__EnvironmentHost *first = NULL;

	*ret_activated = false;
	for (size_t i = 0; i < plan->n; i++) {
		const Sluice__V1__EnvironmentHost *host = plan->hosts[i];

		if (!host || host->state != HOST_STATE(FAILED))
			continue;
		if (!first)
			first = host;
		if (host_check_failed(host) && !*ret_activated) {
			first = host;
			*ret_activated = true;
		}
	}
	return first;
}

/* True: the promotion has ended here. */
static bool fail_if_due(struct plan *plan)
{
	struct promotion *p = plan->p;
	size_t failed = count(plan, HOST_STATE(FAILED));
	const Sluice__V1__EnvironmentHost *host;
	char took[CLOCK_TEXT];
	bool activated;

	if (promotion_is_rollback(p)) {
		if (progress_due(plan) <= world_steady_ms(plan->w))
			fail_hanging(plan);
		return false;
	}
	host = first_failed(plan, &activated);
	if (failed > plan->deploy->max_failed) {
		promotion_failed(plan->w, p, activated,
				 "host '%s': %s (%zu failed, %" PRIu32 " tolerated)",
				 host->agent_name, host->text, failed, plan->deploy->max_failed);
		return true;
	}
	if (progress_due(plan) <= world_steady_ms(plan->w)) {
		cleanup(freep) char *state = rollout_describe(plan->w, plan->env);

		promotion_failed(
			plan->w, p, false, "no progress for %s: %s",
			duration_format(world_steady_ms(plan->w) - p->row->progress_ms, took),
			state);
		return true;
	}
	return false;
}

static void next_stage(struct plan *plan, uint32_t batch)
{
	plan->p->row->batch = batch;
	plan->p->row->batch_done_ms = 0;
	plan->p->row->progress_ms = world_steady_ms(plan->w);
	world_touch(plan->w, &plan->p->entity);
}

/* What the host runs changes only from here on. */
static void decide(struct plan *plan)
{
	next_stage(plan, 1);
}

static void stop_all(struct plan *plan)
{
	bool stopped = true;

	for (size_t i = 0; i < plan->n; i++) {
		Sluice__V1__EnvironmentHost *host = plan->hosts[i];

		if (is_over(host) || host->state == HOST_STATE(EMPTY))
			continue;
		if (host->state == HOST_STATE(PREPARED)) {
			if (host->release[0] || host->unsure)
				host_begin(plan->w, plan->env, host, HOST_STATE(STOPPING));
			else
				host_set(plan->w, plan->env, host, HOST_STATE(EMPTY), "");
		}
		stopped = stopped && host->state == HOST_STATE(EMPTY);
	}
	if (stopped)
		next_stage(plan, 2);
}

/* One that was skipped may be back when the others have been stopped already. */
static bool ready(const struct plan *plan, const Sluice__V1__EnvironmentHost *host)
{
	return host->state == HOST_STATE(PREPARED) ||
	       (is_recreate(plan) && host->state == HOST_STATE(EMPTY));
}

static void activate(struct plan *plan)
{
	struct rollout_room room = rollout_room(plan->w, plan->env);
	bool rollback = promotion_is_rollback(plan->p);
	size_t end = window(plan);

	for (size_t i = 0; i < end; i++) {
		Sluice__V1__EnvironmentHost *host = plan->hosts[i];

		if (is_over(host) || !ready(plan, host) || !host_reachable(plan->w, host))
			continue;
		if (is_recreate(plan) || rollout_may_change(plan->w, &room, host, rollback))
			rollout_activate(plan->w, plan->env, &room, host);
	}
}

static bool over_below(const struct plan *plan, size_t end)
{
	for (size_t i = 0; i < end; i++)
		if (!is_over(plan->hosts[i]))
			return false;
	return true;
}

/* The batch is done: after `pause` the next begins. */
static bool next_batch(struct plan *plan)
{
	struct promotion *p = plan->p;

	if (!p->row->batch_done_ms) {
		p->row->batch_done_ms = world_steady_ms(plan->w);
		world_touch(plan->w, &p->entity);
	}
	if (p->row->batch_done_ms + plan->deploy->pause_ms > world_steady_ms(plan->w))
		return false;
	next_stage(plan, p->row->batch + 1);
	return true;
}

static void complete(struct plan *plan)
{
	if (count(plan, HOST_STATE(NEW)))
		promotion_rolled_out(plan->w, plan->p);
	else
		promotion_failed(plan->w, plan->p, false, "no host is left that could run it");
}

/* Skipped ones that are back, and those that turned out to run something else, are begun anew. */
static void begin_anew(struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		Sluice__V1__EnvironmentHost *host = plan->hosts[i];

		if (!host || !host_reachable(plan->w, host))
			continue;
		if (host->state == HOST_STATE(DIVERGED) ||
		    (host->state == HOST_STATE(EMPTY) && !is_recreate(plan)))
			host_begin(plan->w, plan->env, host, HOST_STATE(PREPARING));
	}
}

/* All that can be done now, from the first stage that is not over. */
static void step(struct world *w, struct environment *env)
{
	cleanup(freep) struct plan *plan = plan_new(w, env);

	begin_anew(plan);
	end_unreachable(plan);
	if (fail_if_due(plan))
		return;
	if (over_below(plan, plan->n)) {
		complete(plan);
		return;
	}
	if (!plan->p->row->batch && !count(plan, HOST_STATE(PREPARING)))
		decide(plan);
	if (is_recreate(plan) && plan->p->row->batch == 1)
		stop_all(plan);
	if (!plan->p->row->batch || (is_recreate(plan) && plan->p->row->batch == 1))
		return;
	do
		activate(plan);
	while (!is_recreate(plan) && over_below(plan, window(plan)) && next_batch(plan));
}

/* ---- time ---- */

static int64_t next_due(struct plan *plan)
{
	const struct promotion *p = plan->p;
	int64_t due = progress_due(plan);

	if (p->row->batch_done_ms && over_below(plan, window(plan)))
		due = MIN(due, p->row->batch_done_ms + plan->deploy->pause_ms);
	for (size_t i = 0; i < plan->n; i++)
		if (!is_over(plan->hosts[i]) && !host_reachable(plan->w, plan->hosts[i]))
			due = MIN(due, unreachable_due(plan, plan->hosts[i]));
	return due;
}

static bool is_in(const struct promotion *p, Sluice__V1__Promotion__State state)
{
	return p && p->row->state == state;
}

static void fire(struct world *w, struct timer *t)
{
	rollout_step(w, container_of(t, struct environment, timer));
}

static void set_timer(struct world *w, struct environment *env)
{
	const struct promotion *p = env->promotion;
	int64_t due = 0;

	timer_clear(&w->timers, &env->timer);
	env->timer.fire = fire;
	if (is_in(p, PROMOTION_STATE(ROLLING_OUT))) {
		cleanup(freep) struct plan *plan = plan_new(w, env);

		due = next_due(plan);
	} else if (is_in(p, PROMOTION_STATE(PAUSED))) {
		due = p->row->paused_ms + PROMOTION_GIVE_UP_MS;
	}
	if (due)
		timer_set_boot(&w->timers, &env->timer, due - w->wall_zero);
}

/* Each turn ends a promotion, moves one on or starts one, so there are few. */
void rollout_step(struct world *w, struct environment *env)
{
	struct promotion *p;
	Sluice__V1__Promotion__State state;

	environment_drop_left(w, env);
	do {
		p = env->promotion;
		state = p ? p->row->state : PROMOTION_STATE(STATE_UNSPECIFIED);
		if (is_in(p, PROMOTION_STATE(ROLLING_OUT)))
			step(w, env);
		else if (is_in(p, PROMOTION_STATE(PAUSED)) &&
			 p->row->paused_ms + PROMOTION_GIVE_UP_MS <= world_steady_ms(w))
			promotion_give_up(w, p);
		if (!env->promotion)
			promotions_next(w, env);
	} while (env->promotion != p || (p && p->row->state != state));
	if (!is_in(env->promotion, PROMOTION_STATE(ROLLING_OUT)))
		converge(w, env);
	set_timer(w, env);
}
