/*
 * The session. The thread that receives also connects; posting happens under the lock, so that
 * numbers and order agree. A message of a session that ended is lost: whoever needs it to arrive
 * derives it again from the journal at the next Register.
 */
#include "agent/session.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "agent/away.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "crypto/random.h"
#include "proto/message.h"

enum {
	OPEN_REQUESTS = 1024, /* whose answers may still come */
	FIRST_WAIT_MS = 250,
	LONGEST_WAIT_MS = 2000,
};

struct request {
	uint64_t seq;
	int64_t sent_boot_ms;
};

struct session {
	struct lock lock; /* guards all below */
	struct signal wake;
	struct rpc_channel *channel;
	char *address;
	struct session_events events;
	struct away away; /* the session's thread's */
	pthread_t thread;
	struct rpc_call *call;
	bool stopping, registered;
	struct error why; /* we ended the call because of that */
	uint64_t seq;
	struct request requests[OPEN_REQUESTS];
};

static bool is_request(const Sluice__V1__AgentMessage *m)
{
	return m->body_case == SLUICE__V1__AGENT_MESSAGE__BODY_REGISTER ||
	       m->body_case == SLUICE__V1__AGENT_MESSAGE__BODY_ACCEPT ||
	       m->body_case == SLUICE__V1__AGENT_MESSAGE__BODY_RENEW;
}

static int post_locked(struct session *s, Sluice__V1__AgentMessage **m, size_t n, struct error *err)
{
	Sluice__V1__AgentBatch batch = SLUICE__V1__AGENT_BATCH__INIT;

	batch.messages = m;
	batch.n_messages = n;
	for (size_t i = 0; i < n; i++) {
		m[i]->seq = ++s->seq;
		if (is_request(m[i]))
			s->requests[s->seq % OPEN_REQUESTS] =
				(struct request){ .seq = s->seq, .sent_boot_ms = clock_boot_ms() };
	}
	if (rpc_post(s->call, &batch, err) == 0)
		return 0;
	/* Nobody would say it again while this session lasts: it ends, and Register begins anew. */
	if (err && err->code != ERR_CANCELLED)
		s->why = *err;
	rpc_cancel(s->call);
	return -1;
}

int session_post_all(struct session *s, Sluice__V1__AgentMessage **m, size_t n, struct error *err)
{
	LOCKED(&s->lock);
	assert(n <= SESSION_BATCH);
	if (!s->call || !s->registered)
		return error_set(err, ERR_UNAVAILABLE, "not connected to the controller");
	return post_locked(s, m, n, err);
}

int session_post(struct session *s, Sluice__V1__AgentMessage *m, struct error *err)
{
	return session_post_all(s, &m, 1, err);
}

/* A reply counts once, for the request it names. */
static int64_t sent_at_locked(struct session *s, uint64_t seq)
{
	struct request *r = &s->requests[seq % OPEN_REQUESTS];
	int64_t at = r->sent_boot_ms;

	if (!seq || r->seq != seq)
		return -1;
	*r = (struct request){ 0 };
	return at;
}

static uint64_t answered_seq(const Sluice__V1__ControllerMessage *m)
{
	switch (m->body_case) {
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_REGISTERED:
		return m->registered->request_seq;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_ACCEPTED:
		return m->accepted->request_seq;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_RENEW_ACK:
		return m->renew_ack->request_seq;
	default:
		return 0;
	}
}

static void hear(struct session *s, const Sluice__V1__ControllerMessage *m)
{
	bool registered = m->body_case == SLUICE__V1__CONTROLLER_MESSAGE__BODY_REGISTERED;
	int64_t sent;

	lock_take(&s->lock);
	sent = sent_at_locked(s, answered_seq(m));
	if (registered) /* before the event, which makes other threads say things */
		s->registered = true;
	lock_drop(&s->lock);
	s->events.received(s->events.arg, m, sent);
	if (registered)
		s->events.connected(s->events.arg, away_over(&s->away, clock_boot_ms()));
}

/* Opens a call and says Register, so that nothing can be posted before it. */
static int begin(struct session *s, struct error *err)
{
	Sluice__V1__AgentMessage m = SLUICE__V1__AGENT_MESSAGE__INIT, *all = &m;
	cleanup(message_freep) Sluice__V1__Register *body =
		message_new(&sluice__v1__register__descriptor);

	s->events.describe(s->events.arg, body); /* takes locks of its own: ours is not held */
	LOCKED(&s->lock);
	s->call = rpc_open(s->channel, &sluice__v1__agents__descriptor, "Session", err);
	if (!s->call)
		return -1;
	s->seq = 0;
	error_clear(&s->why);
	memset(s->requests, 0, sizeof s->requests);
	m.body_case = SLUICE__V1__AGENT_MESSAGE__BODY_REGISTER;
	m.register_ = body;
	return post_locked(s, &all, 1, err);
}

static void end(struct session *s)
{
	struct rpc_call *call;

	lock_take(&s->lock);
	call = steal(s->call);
	s->registered = false;
	lock_drop(&s->lock);
	rpc_close(call);
}

static int converse(struct session *s, struct error *err)
{
	const Sluice__V1__ControllerBatch *batch;
	struct error status = { 0 };
	int r;

	if (begin(s, err) < 0) {
		/* A call that failed takes no messages: how it failed is the reason. */
		if (s->call && rpc_recv(s->call, &batch, &status) < 0 &&
		    status.code != ERR_CANCELLED)
			*err = status;
		return -1;
	}
	while ((r = rpc_recv(s->call, &batch, err)) > 0)
		for (size_t i = 0; i < batch->n_messages; i++)
			hear(s, batch->messages[i]);
	LOCKED(&s->lock);
	if (r == 0)
		error_set(err, ERR_UNAVAILABLE, "the controller ended the session");
	else if (s->why.code && err->code == ERR_CANCELLED)
		*err = s->why;
	return -1;
}

/* Half to one and a half times as long, so that a thousand agents do not come back at once. */
static int64_t jitter(int64_t ms)
{
	uint32_t r;

	random_bytes(&r, sizeof r);
	return ms / 2 + (int64_t)(r % (uint32_t)ms);
}

static void say_away(struct session *s, const struct error *why, int64_t next_ms)
{
	cleanup(buf_release) struct buf line = { 0 };

	if (away_failed(&s->away, s->address, why, next_ms, clock_boot_ms(), &line))
		log_warn("%s", buf_str(&line));
}

static void *session_main(void *arg)
{
	struct session *s = arg;
	int64_t wait = FIRST_WAIT_MS, next;

	lock_take(&s->lock);
	while (!s->stopping) {
		struct error err = { 0 };

		lock_drop(&s->lock);
		converse(s, &err);
		lock_take(&s->lock);
		if (s->registered)
			wait = FIRST_WAIT_MS;
		lock_drop(&s->lock);
		end(s);
		lock_take(&s->lock);
		if (s->stopping)
			break;
		next = jitter(wait);
		say_away(s, &err, next);
		signal_wait_ms(&s->wake, &s->lock, next);
		wait = MIN(2 * wait, (int64_t)LONGEST_WAIT_MS);
	}
	lock_drop(&s->lock);
	return NULL;
}

struct session *session_start(struct rpc_channel *channel, const char *address,
			      const struct session_events *events)
{
	struct session *s = xcalloc(1, sizeof *s);

	lock_init(&s->lock);
	signal_init(&s->wake);
	s->channel = channel;
	s->address = xstrdup(address);
	s->events = *events;
	s->thread = thread_start("session", 256 << 10, session_main, s);
	return s;
}

void session_goodbye(struct session *s, const char *reason)
{
	Sluice__V1__AgentMessage m = SLUICE__V1__AGENT_MESSAGE__INIT;
	Sluice__V1__Goodbye body = SLUICE__V1__GOODBYE__INIT;
	struct timespec moment = { 0, 100 * 1000000L };
	struct error ignored = { 0 };

	body.reason = (char *)reason;
	m.body_case = SLUICE__V1__AGENT_MESSAGE__BODY_GOODBYE;
	m.goodbye = &body;
	if (session_post(s, &m, &ignored) == 0)
		nanosleep(&moment, NULL);
}

void session_stop(struct session *s)
{
	if (!s)
		return;
	lock_take(&s->lock);
	s->stopping = true;
	if (s->call)
		rpc_cancel(s->call);
	signal_all(&s->wake);
	lock_drop(&s->lock);
	thread_join(s->thread);
	signal_release(&s->wake);
	lock_release(&s->lock);
	free(s->address);
	free(s);
}
