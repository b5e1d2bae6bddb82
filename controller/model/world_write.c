/*
 * What leaves the world: events, effects, and the end of a transaction. Nothing
 * here is sent or stored; the engine takes it after (effects) or before (rows,
 * events) the commit.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "controller/model/agents.h"
#include "controller/model/private.h"

struct pending_event {
	struct list link;
	Sluice__V1__Event *event;
};

const Sluice__V1__Actor actor_controller = {
	.base = PROTOBUF_C_MESSAGE_INIT(&sluice__v1__actor__descriptor),
	.kind = SLUICE__V1__ACTOR__KIND__CONTROLLER,
	.id = (char *)protobuf_c_empty_string,
	.name = "controller",
};

Sluice__V1__Actor *actor_copy(const Sluice__V1__Actor *actor)
{
	Sluice__V1__Actor *copy = message_new(&sluice__v1__actor__descriptor);

	if (!actor)
		actor = &actor_controller;
	copy->kind = actor->kind;
	message_set_string(&copy->id, actor->id);
	message_set_string(&copy->name, actor->name);
	return copy;
}

void world_touch(struct world *w, struct entity *e)
{
	if (!list_linked(&e->touched))
		list_append(&w->touched, &e->touched);
}

bool world_changed(const struct world *w)
{
	return !list_empty(&w->touched) || !list_empty(&w->pending) || !list_empty(&w->events);
}

Sluice__V1__Event *world_event(struct world *w, Sluice__V1__EventKind kind,
			       const Sluice__V1__Actor *actor, const char *fmt, ...)
{
	struct pending_event *p = xcalloc(1, sizeof(*p));
	Sluice__V1__Event *e = message_new(&sluice__v1__event__descriptor);
	va_list args;

	va_start(args, fmt);
	e->text = xvprintf(fmt, args);
	va_end(args);
	e->seq = w->counters->next_event++;
	e->time_ms = w->now.wall_ms;
	e->kind = kind;
	e->actor = actor_copy(actor);
	world_touch(w, &w->controller);
	p->event = e;
	list_append(&w->events, &p->link);
	return e;
}

void event_of_run(Sluice__V1__Event *e, const struct run *run)
{
	message_set_string(&e->run_id, run->row->id);
	message_set_string(&e->environment, run->row->environment);
	message_set_string(&e->promotion_id, run->row->promotion);
}

void event_of_job(Sluice__V1__Event *e, const struct job *job)
{
	event_of_run(e, job->run);
	message_set_string(&e->job_id, job->row->id);
}

void event_of_agent(Sluice__V1__Event *e, const struct agent *agent)
{
	message_set_string(&e->agent_id, agent->row->id);
}

void event_of_environment(Sluice__V1__Event *e, const struct environment *env)
{
	message_set_string(&e->environment, env->row->name);
}

void event_of_promotion(Sluice__V1__Event *e, const struct promotion *p)
{
	message_set_string(&e->environment, p->row->environment);
	message_set_string(&e->promotion_id, p->row->id);
	message_set_string(&e->release_id, p->row->release);
}

Sluice__V1__Event *world_take_event(struct world *w)
{
	struct pending_event *p = list_first(&w->events, struct pending_event, link);
	Sluice__V1__Event *e;

	if (!p)
		return NULL;
	list_remove(&p->link);
	e = p->event;
	free(p);
	return e;
}

void effect_add(struct world *w, struct effect *e)
{
	list_append(&w->effects, &e->link);
}

struct effect *world_take_effect(struct world *w)
{
	struct effect *e = list_first(&w->effects, struct effect, link);

	if (e)
		list_remove(&e->link);
	return e;
}

void effect_free(struct effect *e)
{
	if (!e)
		return;
	message_free(e->message);
	free(e);
}

void world_post(struct world *w, struct agent *agent, Sluice__V1__ControllerMessage *message)
{
	struct effect *e;

	if (!agent->session) {
		message_free(message);
		return;
	}
	message->ctl_epoch = w->counters->ctl_epoch;
	e = xcalloc(1, sizeof(*e));
	e->kind = EFFECT_POST;
	e->session = agent->session;
	e->message = message;
	effect_add(w, e);
}

void world_close_stale(struct world *w, uint64_t session, enum error_code code, const char *reason)
{
	struct effect *e = xcalloc(1, sizeof(*e));

	e->kind = EFFECT_CLOSE;
	e->session = session;
	error_set(&e->error, code, "%s", reason);
	effect_add(w, e);
}

void world_close_session(struct world *w, struct agent *agent, enum error_code code,
			 const char *reason)
{
	if (agent->session)
		world_close_stale(w, agent->session, code, reason);
}

void world_log_closed(struct world *w, const struct attempt *a)
{
	struct effect *e = xcalloc(1, sizeof(*e));

	e->kind = EFFECT_LOG_CLOSED;
	e->fence = a->row->fence;
	snprintf(e->run_id, sizeof(e->run_id), "%s", a->row->run_id);
	for (size_t i = 0; i < MIN(a->row->n_log_end, ARRAY_SIZE(e->log_end)); i++)
		e->log_end[i] = a->row->log_end[i];
	effect_add(w, e);
}

/* Attempts go before the runs whose jobs they know, promotions before their VERIFY runs. */
static void free_closed(struct world *w, struct list *closed)
{
	static const enum row_kind order[] = { ROW_ATTEMPT,   ROW_PROMOTION,   ROW_RUN,
					       ROW_TOKEN,     ROW_ENROL_TOKEN, ROW_AGENT,
					       ROW_PUBLISHED, ROW_ENVIRONMENT };
	struct entity *e, *next;

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		list_each_safe(e, next, closed, touched)
			if (e->kind == order[i])
				entity_free(w, e);
	assert(list_empty(closed));
}

void world_committed(struct world *w)
{
	struct list closed = LIST_INIT(closed);
	struct entity *e, *next;

	list_each_safe(e, next, &w->touched, touched) {
		list_remove(&e->touched);
		if (entity_is_closed(e))
			list_append(&closed, &e->touched);
	}
	free_closed(w, &closed);
	records_release(w);
	world_drop_idle(w);
}
