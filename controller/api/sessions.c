/*
 * Agents' sessions. Each gets a handle that is never used again; a message becomes an
 * engine_tell(), in order, and what the engine wants said goes out by handle: what one turn says to
 * one agent in one batch. Nothing here waits.
 */
#include "controller/api/private.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "base/log.h"
#include "base/thread.h"
#include "controller/model/attempts.h"

enum {
	BATCH_MAX = 256 << 10,	/* bytes of a batch from an agent */
	BATCH_MESSAGES = 64,	/* and messages */
	POST_ENOUGH = 64 << 10, /* bytes of a batch to an agent; then another begins */
};

struct session {
	uint64_t handle;
	struct rpc_call *call; /* a reference */
	struct api *api;
	char agent[ID_SIZE];
	UT_hash_handle hh;
};

/* What is to be said to one session at the end of the turn. */
struct outbox {
	uint64_t handle;
	Sluice__V1__ControllerBatch batch; /* of messages that are ours */
	size_t size;
	UT_hash_handle hh;
};

struct sessions {
	struct lock lock; /* guards the table */
	struct session *table;
	uint64_t last;
	struct outbox *outboxes; /* the engine's thread alone */
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
	assert(!s->table && !s->outboxes);
	lock_release(&s->lock);
	free(s);
}

/* ---- from the agent to the engine ---- */

struct told {
	struct agent_message request;
	struct heard *heard;
	uint64_t (*durable)[LOG_STREAMS];
};

/* A batch, until the last of its messages was decided. */
struct heard {
	struct api *api;
	char agent[ID_SIZE];
	Sluice__V1__AgentBatch *batch;
	atomic_size_t left; /* a stopping engine lets go of some on another thread */
	struct told told[];
};

static struct rpc_call *call_of(struct sessions *all, uint64_t handle)
{
	struct session *s;
	LOCKED(&all->lock);

	HASH_FIND(hh, all->table, &handle, sizeof handle, s);
	return s ? rpc_ref(s->call) : NULL;
}

/* What could not be decided gets an answer, too: the session ends, and says why. */
static void refuse(const struct told *t, const struct error *err)
{
	struct rpc_call *call = call_of(t->heard->api->sessions, t->request.session);
	struct error why = *err;

	log_error("message of agent %s: %s", t->heard->agent, err->text);
	if (!call)
		return;
	error_wrap(&why, "the controller could not take message %llu of this session",
		   (unsigned long long)t->request.message->seq);
	rpc_finish(call, &why);
	rpc_unref(call);
}

static void told_done(void *arg, int result, const struct error *err)
{
	struct told *t = arg;
	struct heard *h = t->heard;

	if (result < 0)
		refuse(t, err);
	free(t->durable);
	if (--h->left)
		return;
	message_free(h->batch);
	free(h);
}

/* How much of each finished attempt's log is durable, as the decision must know: of the streams
 * that have anything. */
static void add_log_ends(struct api *api, struct told *t)
{
	const Sluice__V1__Finish *finish = t->request.message->finish;

	t->durable = xcalloc(finish->n_attempts + 1, sizeof *t->durable);
	for (size_t i = 0; i < finish->n_attempts; i++) {
		const Sluice__V1__FinishedAttempt *a = finish->attempts[i];

		for (uint32_t k = 0; k < MIN(a->n_log_end, (size_t)LOG_STREAMS); k++) {
			struct log_key key = { .run = a->run_id, .fence = a->fence, .stream = k };

			if (a->log_end[k] && id_valid(a->run_id))
				t->durable[i][k] = logbook_end(api->logbook, &key);
		}
	}
	t->request.log_durable = (const uint64_t(*)[LOG_STREAMS])t->durable;
}

static void tell(struct session *s, struct told *t)
{
	if (t->request.message->body_case == SLUICE__V1__AGENT_MESSAGE__BODY_FINISH)
		add_log_ends(s->api, t);
	engine_tell(s->api->engine, agent_message, &t->request, told_done, t);
}

int session_received(struct rpc_call *call, const Sluice__V1__AgentBatch *batch, struct error *err)
{
	struct session *s = rpc_session_get(call);
	size_t n = batch->n_messages;
	struct heard *h;

	if (n > BATCH_MESSAGES || sluice__v1__agent_batch__get_packed_size(batch) > BATCH_MAX)
		return error_set(err, ERR_EXHAUSTED,
				 "a batch of a session has at most %d messages and %d bytes",
				 BATCH_MESSAGES, BATCH_MAX);
	if (!n)
		return 0;
	h = xcalloc(1, sizeof *h + n * sizeof *h->told);
	h->api = s->api;
	memcpy(h->agent, s->agent, sizeof h->agent);
	h->batch = message_copy(batch);
	h->left = n;
	for (size_t i = 0; i < n; i++)
		h->told[i] = (struct told){ .heard = h,
					    .request = { .agent = h->agent,
							 .session = s->handle,
							 .message = h->batch->messages[i] } };
	for (size_t i = 0; i < n; i++) /* the last one may free it */
		tell(s, &h->told[i]);
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

static void send(struct sessions *all, struct outbox *o)
{
	struct rpc_call *call = call_of(all, o->handle);
	struct error err = { 0 };

	/* one that closed meanwhile: its next Register brings all of it up again */
	if (call && rpc_post(call, &o->batch, &err) < 0 && err.code == ERR_EXHAUSTED)
		rpc_finish(call, &err); /* it does not listen */
	if (call)
		rpc_unref(call);
	for (size_t i = 0; i < o->batch.n_messages; i++)
		message_free(o->batch.messages[i]);
	free(o->batch.messages);
	HASH_DEL(all->outboxes, o);
	free(o);
}

static struct outbox *outbox_of(struct sessions *all, uint64_t handle)
{
	struct outbox *o;

	HASH_FIND(hh, all->outboxes, &handle, sizeof handle, o);
	return o;
}

static void post(struct sessions *all, uint64_t handle, Sluice__V1__ControllerMessage *m)
{
	size_t size = sluice__v1__controller_message__get_packed_size(m);
	struct outbox *o = outbox_of(all, handle);

	if (o && o->size + size > POST_ENOUGH) {
		send(all, o);
		o = NULL;
	}
	if (!o) {
		o = xcalloc(1, sizeof *o);
		sluice__v1__controller_batch__init(&o->batch);
		o->handle = handle;
		HASH_ADD(hh, all->outboxes, handle, sizeof o->handle, o);
	}
	message_append(&o->batch, messages, m);
	o->size += size;
}

static void end_session(struct sessions *all, const struct effect *effect)
{
	struct outbox *o = outbox_of(all, effect->session);
	struct rpc_call *call;

	if (o)
		send(all, o);
	call = call_of(all, effect->session);
	if (!call)
		return;
	rpc_finish(call, &effect->error);
	rpc_unref(call);
}

void sessions_perform(void *arg, struct effect *effect)
{
	struct api *api = arg;

	switch (effect->kind) {
	case EFFECT_LOG_CLOSED:
		finish_log(api, effect);
		break;
	case EFFECT_CLOSE:
		end_session(api->sessions, effect);
		break;
	case EFFECT_POST:
		post(api->sessions, effect->session, steal(effect->message));
		break;
	}
}

void sessions_performed(void *arg)
{
	struct sessions *all = ((struct api *)arg)->sessions;
	struct outbox *o, *next;

	HASH_ITER(hh, all->outboxes, o, next)
		send(all, o);
}
