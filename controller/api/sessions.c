/*
 * Agents' sessions. Each gets a handle that is never used again; a message becomes an
 * engine_tell(), in order, and what the engine wants said goes out by handle. Nothing here waits.
 */
#include "controller/api/private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "base/log.h"
#include "base/thread.h"
#include "controller/model/attempts.h"

enum { MESSAGE_MAX = 256 << 10 };

struct session {
	uint64_t handle;
	struct rpc_call *call; /* a reference */
	struct api *api;
	char agent[ID_SIZE];
	UT_hash_handle hh;
};

struct sessions {
	struct lock lock; /* guards the table */
	struct session *table;
	uint64_t last;
};

struct sessions *sessions_new(void)
{
	struct sessions *s = xcalloc(1, sizeof *s);

	lock_init(&s->lock);
	return s;
}

void sessions_free(struct sessions *s)
{
	if (!s)
		return;
	assert(!s->table);
	lock_release(&s->lock);
	free(s);
}

/* ---- from the agent to the engine ---- */

struct told {
	struct agent_message request;
	char agent[ID_SIZE];
	Sluice__V1__AgentMessage *message;
	uint64_t (*durable)[LOG_STREAMS];
};

static void told_done(void *arg, int result, const struct error *err)
{
	struct told *t = arg;

	if (result < 0)
		log_error("message of agent %s: %s", t->agent, err->text);
	message_free(t->message);
	free(t->durable);
	free(t);
}

/* How much of each finished attempt's log is durable, as the decision must know. */
static void add_log_ends(struct api *api, struct told *t)
{
	const Sluice__V1__Finish *finish = t->message->finish;

	t->durable = xcalloc(finish->n_attempts + 1, sizeof *t->durable);
	for (size_t i = 0; i < finish->n_attempts; i++) {
		const Sluice__V1__FinishedAttempt *a = finish->attempts[i];

		for (uint32_t k = 0; k < LOG_STREAMS && id_valid(a->run_id); k++) {
			struct log_key key = { .run = a->run_id, .fence = a->fence, .stream = k };

			t->durable[i][k] = logbook_end(api->logbook, &key);
		}
	}
	t->request.log_durable = (const uint64_t(*)[LOG_STREAMS])t->durable;
}

int session_received(struct rpc_call *call, const Sluice__V1__AgentMessage *m, struct error *err)
{
	struct session *s = rpc_session_get(call);
	struct told *t;

	if (sluice__v1__agent_message__get_packed_size(m) > MESSAGE_MAX)
		return error_set(err, ERR_EXHAUSTED, "a message of a session has at most %d bytes",
				 MESSAGE_MAX);
	t = xcalloc(1, sizeof *t);
	memcpy(t->agent, s->agent, sizeof t->agent);
	t->message = message_copy(m);
	t->request.agent = t->agent;
	t->request.session = s->handle;
	t->request.message = t->message;
	if (m->body_case == SLUICE__V1__AGENT_MESSAGE__BODY_FINISH)
		add_log_ends(s->api, t);
	engine_tell(s->api->engine, agent_message, &t->request, told_done, t);
	return 0;
}

int session_opened(struct rpc_call *call, void *self, struct error *err)
{
	struct api *api = self;
	struct sessions *all = api->sessions;
	struct session *s = xcalloc(1, sizeof *s);

	s->api = api;
	s->call = rpc_ref(call);
	memcpy(s->agent, identity_of(call)->agent, sizeof s->agent);
	rpc_session_set(call, s);
	LOCKED(&all->lock);
	s->handle = ++all->last;
	HASH_ADD(hh, all->table, handle, sizeof s->handle, s);
	return 0;
}

struct closing {
	struct session_closed request;
	char agent[ID_SIZE];
	char reason[sizeof((struct error *)0)->text];
};

static void closing_done(void *arg, int result, const struct error *err)
{
	if (result < 0)
		log_error("a session's end: %s", err->text);
	free(arg);
}

void session_closed(struct rpc_call *call, const struct error *why)
{
	struct session *s = rpc_session_get(call);
	struct sessions *all = s->api->sessions;
	struct closing *c = xcalloc(1, sizeof *c);

	memcpy(c->agent, s->agent, sizeof c->agent);
	snprintf(c->reason, sizeof c->reason, "%s", why->code ? why->text : "it ended the session");
	c->request = (struct session_closed){ .agent = c->agent,
					      .session = s->handle,
					      .reason = c->reason };
	lock_take(&all->lock);
	HASH_DEL(all->table, s);
	lock_drop(&all->lock);
	engine_tell(s->api->engine, agent_session_closed, &c->request, closing_done, c);
	rpc_unref(s->call);
	free(s);
}

/* ---- from the engine to the agent ---- */

/* Readers of its log stop where it ends. */
static void finish_log(struct api *api, const struct effect *effect)
{
	for (uint32_t k = 0; k < LOG_STREAMS; k++) {
		struct log_key key = { .run = effect->run_id, .fence = effect->fence, .stream = k };

		logbook_finish(api->logbook, &key, effect->log_end[k]);
	}
}

static struct rpc_call *call_of(struct sessions *all, uint64_t handle)
{
	struct session *s;
	LOCKED(&all->lock);

	HASH_FIND(hh, all->table, &handle, sizeof handle, s);
	return s ? rpc_ref(s->call) : NULL;
}

void sessions_perform(void *arg, struct effect *effect)
{
	struct api *api = arg;
	struct rpc_call *call;
	struct error err = { 0 };

	if (effect->kind == EFFECT_LOG_CLOSED) {
		finish_log(api, effect);
		return;
	}
	call = call_of(api->sessions, effect->session);
	if (!call)
		return; /* it closed meanwhile: its next Register brings all of it up again */
	if (effect->kind == EFFECT_CLOSE)
		rpc_finish(call, &effect->error);
	else if (rpc_post(call, effect->message, &err) < 0 && err.code == ERR_EXHAUSTED)
		rpc_finish(call, &err); /* it does not listen */
	rpc_unref(call);
}
