/*
 * The hooks: what happens in the rest of the model, and whom in delivery it concerns.
 */
#include "controller/model/delivery.h"

#include <string.h>

#include "controller/model/converge.h"
#include "controller/model/environments.h"
#include "controller/model/gates.h"
#include "controller/model/hosts.h"
#include "controller/model/promotion_private.h"
#include "controller/model/releases.h"
#include "controller/model/rollout.h"
#include "proto/message.h"

/* ---- of jobs and runs ---- */

/* Jobs that end after the release was made still tell something of it. */
static void add_to_release(struct world *w, struct job *job, struct release *r)
{
	Sluice__V1__Evaluation *e = gates_evaluation(w, job);

	if (e)
		release_add_evaluation(w, r, e);
	if (!job->row->verdict[0] || job->run->row->kind == SLUICE__V1__RUN__KIND__VERIFY)
		return;
	for (size_t i = 0; i < r->row->n_verdicts; i++)
		if (!strcmp(r->row->verdicts[i], job->row->verdict))
			return;
	message_append(r->row, verdicts, xstrdup(job->row->verdict));
	world_touch(w, &r->entity);
}

int delivery_job_succeeded(struct world *w, struct job *job, struct error *err)
{
	const struct run *run = job->run;
	struct release *r = NULL;

	if (run->row->kind == SLUICE__V1__RUN__KIND__VERIFY) {
		if (run->promotion)
			add_to_release(w, job, run->promotion->release);
		return 0;
	}
	if (job->row->spec->release)
		return release_make(w, job, err);
	if (run->row->release[0])
		r = world_release(w, run->row->release, NULL);
	if (r)
		add_to_release(w, job, r);
	return 0;
}

static void release_passed(struct world *w, const struct run *run)
{
	struct release *r = world_release(w, run->row->release, NULL);
	struct environment **all;
	size_t n = environments_in_order(w, &all);

	for (size_t i = 0; r && i < n; i++)
		if (!all[i]->row->spec->after[0] &&
		    !strcmp(all[i]->row->spec->pipeline, run->row->pipeline))
			promotions_offer(w, all[i], r);
	free(all);
}

void delivery_run_finished(struct world *w, struct run *run)
{
	struct promotion *p = run->promotion;

	if (run->row->kind == SLUICE__V1__RUN__KIND__VERIFY) {
		if (!p)
			return;
		promotion_verified(w, p, run);
		rollout_step(w, p->environment);
	} else if (run->row->state == SLUICE__V1__RUN_STATE__RUN_SUCCEEDED &&
		   run->row->release[0]) {
		release_passed(w, run);
	}
}

/* ---- of agents ---- */

static void acknowledge(struct world *w, struct agent *a, const Sluice__V1__HostReport *r)
{
	Sluice__V1__ControllerMessage *m = message_new(&sluice__v1__controller_message__descriptor);
	Sluice__V1__HostAck *ack = message_new(&sluice__v1__host_ack__descriptor);

	message_set_string(&ack->environment, r->environment);
	ack->phi = r->phi;
	ack->step = r->step;
	ack->attempt = r->attempt;
	m->ctl_epoch = w->counters->ctl_epoch;
	m->body_case = SLUICE__V1__CONTROLLER_MESSAGE__BODY_HOST_ACK;
	m->host_ack = ack;
	world_post(w, a, m);
}

int delivery_host_report(struct world *w, struct agent *a, const Sluice__V1__HostReport *r)
{
	struct environment *env = world_environment(w, r->environment, NULL);
	Sluice__V1__EnvironmentHost *host = env ? environment_host(env, a->row->id) : NULL;

	acknowledge(w, a, r);
	if (!host)
		return -1;
	if (host_take_report(w, env, host, r))
		rollout_step(w, env);
	return 0;
}

static const Sluice__V1__HostReport *report_of(const Sluice__V1__Register *r, const char *name)
{
	for (size_t i = 0; i < r->n_hosts; i++)
		if (!strcmp(r->hosts[i]->environment, name))
			return r->hosts[i];
	return NULL;
}

static void host_connected(struct world *w, struct environment *env,
			   Sluice__V1__EnvironmentHost *host, const Sluice__V1__HostReport *report)
{
	uint32_t attempt = host->attempt;

	host_take_installed(w, env, host, report);
	if (!env->promotion || env->promotion->row->state != PROMOTION_STATE(ROLLING_OUT))
		converge_retry(w, env, host);
	if (host->attempt == attempt)
		host_send_order(w, env, host);
	rollout_step(w, env);
}

void delivery_agent_connected(struct world *w, struct agent *a, const Sluice__V1__Register *r)
{
	struct environment *env, *tmp;

	HASH_ITER(by_name, w->environments, env, tmp) {
		Sluice__V1__EnvironmentHost *host = environment_host(env, a->row->id);
		const Sluice__V1__HostReport *report = report_of(r, env->row->name);

		if (host)
			host_connected(w, env, host, report);
		else if (report)
			host_order_removal(w, env, a);
	}
}

void delivery_agent_gone(struct world *w, struct agent *a)
{
	struct environment *env, *tmp;

	a->gone_ms = world_steady_ms(w);
	HASH_ITER(by_name, w->environments, env, tmp)
		if (environment_has_host(env, a))
			rollout_step(w, env);
}

void delivery_agent_changed(struct world *w, struct agent *a)
{
	struct environment *env, *tmp;

	HASH_ITER(by_name, w->environments, env, tmp) {
		Sluice__V1__EnvironmentHost *host = environment_host(env, a->row->id);

		if (!host && !environment_join_host(w, env, a))
			continue;
		/* It was told to let go and belongs here again: stopped, it begins anew. */
		if (host && host->state == HOST_STATE(STOPPING) &&
		    !environment_host_leaves(w, env, host))
			host_begin(w, env, host, HOST_STATE(STOPPING));
		rollout_step(w, env);
	}
}

/* ---- after load ---- */

static int link_release(struct world *w, const char *id, const char *what, struct release **ret,
			struct error *err)
{
	struct release *r;

	if (!id[0])
		return 0;
	r = world_release(w, id, err);
	if (!r)
		return error_wrap(err, "loading %s", what);
	world_release_ref(r);
	if (ret)
		*ret = r;
	return 0;
}

static int link_environment(struct world *w, struct environment *env, struct error *err)
{
	const Sluice__V1__Environment *row = env->row;

	env->resumed_ms = world_steady_ms(w);
	environment_claim_hosts(w, env, 1);
	if (!row->spec)
		return error_id(err, "E0603", "environment '%s' has no policy", row->name);
	if (link_release(w, row->live, row->name, NULL, err) < 0 ||
	    link_release(w, row->last_good, row->name, NULL, err) < 0)
		return -1;
	return link_release(w, row->previous_good, row->name, NULL, err);
}

/* In the order in which they were asked for. */
static void enqueue(struct environment *env, struct promotion *p)
{
	struct promotion *at;

	list_each(at, &env->waiting, queued)
		if (at->row->number > p->row->number) {
			list_insert_before(&at->queued, &p->queued);
			return;
		}
	list_append(&env->waiting, &p->queued);
}

/* Whatever the clock said then: it was not after now, or its end would be put off. */
static void resume_clock(struct world *w, struct promotion *p)
{
	int64_t now = world_steady_ms(w);
	int64_t *const at[] = { &p->row->progress_ms, &p->row->batch_done_ms, &p->row->paused_ms };

	p->begun_ms = MIN(p->row->started_ms, now);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		if (*at[i] <= now)
			continue;
		*at[i] = now;
		world_touch(w, &p->entity);
	}
}

static int link_promotion(struct world *w, struct promotion *p, struct error *err)
{
	struct environment *env = p->environment;

	if (link_release(w, p->row->release, env->row->name, &p->release, err) < 0 ||
	    link_release(w, p->row->from, env->row->name, &p->from, err) < 0)
		return -1;
	if (p->row->state == PROMOTION_STATE(WAITING)) {
		enqueue(env, p);
		return 0;
	}
	if (env->promotion || strcmp(env->row->promotion, p->row->id))
		return error_id(err, "E0603", "environment '%s' has two promotions under way",
				env->row->name);
	env->promotion = p;
	resume_clock(w, p);
	if (p->row->state == PROMOTION_STATE(VERIFYING)) {
		p->verify = world_run(w, p->row->verify_run, err);
		if (!p->verify)
			return error_wrap(err, "loading %s", env->row->name);
		p->verify->promotion = p;
	}
	return 0;
}

int delivery_start(struct world *w, struct error *err)
{
	struct environment *env, *env_tmp;
	struct promotion *p, *tmp;

	HASH_ITER(by_name, w->environments, env, env_tmp)
		if (link_environment(w, env, err) < 0)
			return -1;
	HASH_ITER(by_id, w->promotions, p, tmp)
		if (link_promotion(w, p, err) < 0)
			return -1;
	HASH_ITER(by_name, w->environments, env, env_tmp) {
		environment_refresh_hosts(w, env);
		rollout_step(w, env);
	}
	return 0;
}
