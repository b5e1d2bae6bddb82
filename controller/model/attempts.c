/*
 * The life of an attempt on the controller's side: offered, running, ended or lost.
 * One timer serves it: while OFFERED the time an answer may take, then the lease's
 * countdown T_c, which is longer than what the agent allows itself by the time it needs to
 * kill, the drift between the clocks and our own lateness. So what is declared LOST here
 * has ended there.
 */
#include "controller/model/attempts.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "controller/model/agents.h"
#include "controller/model/delivery.h"
#include "controller/model/jobs.h"
#include "controller/model/place.h"
#include "controller/model/private.h"
#include "crypto/digest.h"

#define STATE(name) SLUICE__V1__ATTEMPT_STATE__ATTEMPT_##name

static const unsigned short next_states[] = {
	/* bit set: this may follow */
	[STATE(OFFERED)] = BIT(STATE(RUNNING)) | BIT(STATE(WITHDRAWN)),
	[STATE(RUNNING)] = BIT(STATE(CANCELLING)) | BIT(STATE(SUCCEEDED)) | BIT(STATE(FAILED)) |
			   BIT(STATE(LOST)),
	[STATE(CANCELLING)] = BIT(STATE(CANCELLED)),
	[STATE(SUCCEEDED)] = 0,
	[STATE(FAILED)] = 0,
	[STATE(CANCELLED)] = 0,
	[STATE(LOST)] = 0,
	[STATE(WITHDRAWN)] = 0,
};

static void set_state(struct world *w, struct attempt *a, Sluice__V1__AttemptState state)
{
	assert(next_states[a->row->state] & BIT(state));
	if (a->row->state == STATE(OFFERED))
		place_answered(w, a);
	a->row->state = state;
	world_touch(w, &a->entity);
}

bool attempt_is_open(const struct attempt *a)
{
	return a->row->state < STATE(SUCCEEDED);
}

size_t attempts_of(const struct agent *agent, uint64_t **ret)
{
	const struct attempt *a;
	size_t n = 0;

	list_each(a, &agent->attempts, of_agent)
		n++;
	*ret = xcalloc(n + 1, sizeof(**ret));
	n = 0;
	list_each(a, &agent->attempts, of_agent)
		(*ret)[n++] = a->row->fence;
	return n;
}

/* ---- the lease (PROTOCOL.md, Lease and fence) ---- */

int64_t lease_kill_budget(int64_t lease_ms)
{
	return MIN(INT64_C(15000), lease_ms / 4);
}

int64_t lease_drift(int64_t lease_ms)
{
	return lease_ms / 100 + MIN(INT64_C(5000), lease_ms / 10);
}

int64_t lease_renewal(int64_t lease_ms)
{
	return MIN(INT64_C(10000), lease_ms / 6);
}

int64_t lease_countdown(int64_t lease_ms)
{
	return lease_ms + lease_kill_budget(lease_ms) + lease_drift(lease_ms) + LEASE_TICK_MS;
}

static void countdown_ended(struct world *w, struct timer *t)
{
	struct attempt *a = container_of(t, struct attempt, lease);
	char time[CLOCK_TEXT];
	cleanup(freep) char *text = NULL;

	if (a->row->state == STATE(OFFERED)) {
		attempt_withdraw(w, a, "the agent did not answer the offer");
		return;
	}
	text = xprintf("no renewal for %s",
		       duration_format(w->now.boot_ms - a->renewed_boot_ms, time));
	attempt_lost(w, a, SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST, text);
}

static void suspect(struct world *w, struct timer *t)
{
	struct attempt *a = container_of(t, struct attempt, suspicion);

	a->row->suspect = true;
	world_touch(w, &a->entity);
}

static void count_down(struct world *w, struct attempt *a, int64_t ms)
{
	a->lease.fire = countdown_ended;
	a->renewed_boot_ms = w->now.boot_ms;
	timer_set_boot(&w->timers, &a->lease, w->now.boot_ms + ms);
}

void attempt_renewed(struct world *w, struct attempt *a)
{
	count_down(w, a, lease_countdown(a->row->lease_ms));
	a->suspicion.fire = suspect;
	timer_set_boot(&w->timers, &a->suspicion, w->now.boot_ms + SUSPECT_MS);
	if (!a->row->suspect)
		return;
	a->row->suspect = false;
	world_touch(w, &a->entity);
}

/* A controller that restarts cannot know when the last renewal was. */
void attempt_resume(struct world *w, struct attempt *a)
{
	place_hold(a->agent, a);
	if (a->row->state == STATE(OFFERED))
		count_down(w, a, OFFER_TIMEOUT_MS);
	else
		attempt_renewed(w, a);
}

/* ---- offered ---- */

static void spec_digest(const Sluice__V1__JobSpec *spec, char ret[DIGEST_TEXT_SIZE])
{
	cleanup(buf_release) struct buf packed = { 0 };
	struct digest d;

	message_pack_buf(spec, &packed);
	d = digest_of(buf_str(&packed), packed.len);
	digest_format(&d, ret);
}

static Sluice__V1__Attempt *row_new(struct world *w, const struct job *job,
				    const struct agent *agent, uint64_t gpus)
{
	Sluice__V1__Attempt *row = message_new(&sluice__v1__attempt__descriptor);
	const Sluice__V1__JobSpec *spec = job->row->spec;
	char text[DIGEST_TEXT_SIZE];

	row->fence = w->counters->next_fence++;
	message_set_string(&row->id, fence_format(row->fence, text));
	message_set_string(&row->job_id, job->row->id);
	message_set_string(&row->run_id, job->row->run_id);
	row->run_number = job->row->run_number;
	message_set_string(&row->job_name, spec->name);
	row->number = job->row->attempts + 1;
	message_set_string(&row->agent_id, agent->row->id);
	message_set_string(&row->agent_name, agent->row->name);
	row->state = STATE(OFFERED);
	row->offered_ms = w->now.wall_ms;
	row->lease_ms = spec->lease_ms > 0 ? spec->lease_ms : LEASE_DEFAULT_MS;
	spec_digest(spec, text);
	message_set_string(&row->spec_digest, text);
	for (uint32_t i = 0; i < 64; i++)
		if (gpus >> i & 1)
			message_append(row, gpus, i);
	return row;
}

struct attempt *attempt_offer(struct world *w, struct job *job, struct agent *agent, uint64_t gpus)
{
	struct attempt *a = world_add_attempt(w, job, agent, row_new(w, job, agent, gpus));
	Sluice__V1__Event *e;

	world_touch(w, &w->controller);
	job_offered(w, job, a);
	place_hold(agent, a);
	count_down(w, a, OFFER_TIMEOUT_MS);
	agent->row->max_fence = a->row->fence;
	world_touch(w, &agent->entity);
	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_ATTEMPT_OFFERED, NULL,
			"attempt %u of %s of run %u offered to %s", a->row->number,
			a->row->job_name, a->row->run_number, agent->row->name);
	event_of_job(e, job);
	event_of_agent(e, agent);
	return a;
}

/* What a verify step is given beyond its spec. */
static void add_release(const struct attempt *a, Sluice__V1__Assignment *s)
{
	const struct promotion *p = a->job->run->promotion;

	message_set_string(&s->environment, a->job->run->row->environment);
	if (!p)
		return;
	s->release = message_copy(p->release->row);
	s->n_endpoints = environment_endpoints(p->environment, &s->endpoints);
}

Sluice__V1__Assignment *attempt_assignment(struct world *w, const struct attempt *a)
{
	Sluice__V1__Assignment *s = message_new(&sluice__v1__assignment__descriptor);
	const struct run *run = a->job->run;

	s->fence = a->row->fence;
	message_set_string(&s->job_id, a->row->job_id);
	message_set_string(&s->run_id, a->row->run_id);
	s->run_number = a->row->run_number;
	s->attempt = a->row->number;
	s->spec = message_copy(a->job->row->spec);
	for (size_t i = 0; i < a->job->row->n_inputs; i++)
		message_append(s, inputs, message_copy(a->job->row->inputs[i]));
	message_set_string(&s->source, run->row->source);
	for (size_t i = 0; i < run->row->n_params; i++)
		message_append(s, params, message_copy(run->row->params[i]));
	s->lease_ms = a->row->lease_ms;
	for (size_t i = 0; i < a->row->n_gpus; i++)
		message_append(s, gpus, a->row->gpus[i]);
	message_set_string(&s->pipeline, run->row->pipeline);
	if (*run->row->environment)
		add_release(a, s);
	return s;
}

void attempt_accepted(struct world *w, struct attempt *a)
{
	Sluice__V1__Event *e;

	if (a->row->state == STATE(OFFERED)) {
		set_state(w, a, STATE(RUNNING));
		a->row->accepted_ms = w->now.wall_ms;
		message_set_string(&a->row->boot_id, a->agent->row->boot_id);
		if (!a->job->row->started_ms)
			a->job->row->started_ms = w->now.wall_ms;
		world_touch(w, &a->job->entity);
		e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_ATTEMPT_STARTED, NULL,
				"attempt %u of %s of run %u runs on %s", a->row->number,
				a->row->job_name, a->row->run_number, a->agent->row->name);
		event_of_job(e, a->job);
		event_of_agent(e, a->agent);
	}
	attempt_renewed(w, a);
}

/* ---- ended ---- */

/* Terminal: nothing of it is left but its row, until that is written. */
static void close_attempt(struct world *w, struct attempt *a, Sluice__V1__AttemptState state)
{
	set_state(w, a, state);
	a->row->suspect = false;
	a->row->finished_ms = w->now.wall_ms;
	timer_clear(&w->timers, &a->lease);
	timer_clear(&w->timers, &a->suspicion);
	list_remove(&a->of_agent);
	place_release(w, a->agent, a);
	a->job->attempt = NULL;
	world_log_closed(w, a);
}

void attempt_withdraw(struct world *w, struct attempt *a, const char *reason)
{
	Sluice__V1__Event *e;

	close_attempt(w, a, STATE(WITHDRAWN));
	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_ATTEMPT_WITHDRAWN, NULL,
			"the offer of attempt %u of %s of run %u to %s was withdrawn: %s",
			a->row->number, a->row->job_name, a->row->run_number, a->agent->row->name,
			reason);
	event_of_job(e, a->job);
	event_of_agent(e, a->agent);
	job_offer_ended(w, a->job);
}

void attempt_lost(struct world *w, struct attempt *a, Sluice__V1__ExitReason reason,
		  const char *text)
{
	bool cancelling = a->row->state == STATE(CANCELLING);
	Sluice__V1__Event *e;

	assert(a->row->state == STATE(RUNNING) || cancelling);
	close_attempt(w, a, cancelling ? STATE(CANCELLED) : STATE(LOST));
	a->row->exit = message_new(&sluice__v1__exit__descriptor);
	a->row->exit->reason = reason;
	a->row->exit->ended_ms = w->now.wall_ms;
	message_set_string(&a->row->exit->text, text);
	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_ATTEMPT_LOST, NULL,
			"attempt %u of %s of run %u was lost on %s: %s", a->row->number,
			a->row->job_name, a->row->run_number, a->agent->row->name, text);
	event_of_job(e, a->job);
	event_of_agent(e, a->agent);
	job_attempt_ended(w, a->job, a->row->exit);
}

static Sluice__V1__AttemptState state_after(const struct attempt *a, const Sluice__V1__Exit *exit)
{
	if (a->row->state == STATE(CANCELLING))
		return STATE(CANCELLED);
	return exit->reason == SLUICE__V1__EXIT_REASON__EXIT_OK ? STATE(SUCCEEDED) : STATE(FAILED);
}

void attempt_finished(struct world *w, struct attempt *a, const Sluice__V1__Exit *exit)
{
	bool good = exit->reason == SLUICE__V1__EXIT_REASON__EXIT_OK;
	char what[128];
	Sluice__V1__Event *e;

	a->row->exit = message_copy(exit);
	close_attempt(w, a, state_after(a, exit));
	e = world_event(w, SLUICE__V1__EVENT_KIND__EVENT_ATTEMPT_FINISHED, NULL,
			"attempt %u of %s of run %u on %s: %s%s%s", a->row->number,
			a->row->job_name, a->row->run_number, a->agent->row->name,
			attempt_state_name(a->row->state), good ? "" : ", ",
			good ? "" : exit_format(exit, what));
	event_of_job(e, a->job);
	event_of_agent(e, a->agent);
	job_attempt_ended(w, a->job, a->row->exit);
}

/* ---- stopped ---- */

void attempt_post_stop(struct world *w, struct agent *agent, uint64_t fence,
		       Sluice__V1__ExitReason as, const char *reason, int64_t grace_ms)
{
	Sluice__V1__ControllerMessage *m = message_new(&sluice__v1__controller_message__descriptor);

	m->body_case = SLUICE__V1__CONTROLLER_MESSAGE__BODY_STOP;
	m->stop = message_new(&sluice__v1__stop__descriptor);
	message_append(m->stop, fences, fence);
	message_set_string(&m->stop->reason, reason);
	m->stop->grace_ms = grace_ms;
	m->stop->as = as;
	world_post(w, agent, m);
}

void attempt_stop(struct world *w, struct attempt *a, Sluice__V1__ExitReason as, const char *reason)
{
	struct agent *agent = a->agent;
	uint64_t fence = a->row->fence;

	if (a->row->state == STATE(CANCELLING))
		return;
	if (a->row->state == STATE(OFFERED)) { /* nothing runs before Accepted */
		attempt_withdraw(w, a, reason);
		attempt_post_stop(w, agent, fence, as, reason, 0);
		return;
	}
	set_state(w, a, STATE(CANCELLING));
	attempt_post_stop(w, agent, fence, as, reason, a->job->row->spec->grace_ms);
}
