/*
 * The shipper. One thread sends: it takes the logs in turn, a frame each, so that a loud job does
 * not starve a quiet one. Another receives the acknowledgements of the open stream. The lock guards
 * the list of logs and their offsets; it is never held over a read, a send or a callback: a log in
 * use is marked busy instead, and closing waits for that.
 */
#include "agent/ship.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/thread.h"
#include "crypto/digest.h"
#include "sluice/v1/logs.pb-c.h"

enum {
	IDLE_CLOSE_MS = 10000,
	FIRST_WAIT_MS = 200,
	LONGEST_WAIT_MS = 5000,
	BUSY_FRAME = 16 << 10, /* bytes; who prints so many at once is busy */
	GOOD_FRAME = 64 << 10, /* so many are worth a frame: there is nothing to gather for */
	REST_MS = 3,	       /* what a busy log gathers for before it is looked at again */
};

/* Does `acked` say what the controller has? */
enum known { KNOWN, UNKNOWN, ASKED };

struct ship_log {
	struct ship *ship;
	struct list link;
	struct ship_events events;
	struct spool *spool; /* the sender's */
	char *name, *environment;
	uint64_t fence;
	uint64_t have[SPOOL_STREAMS], sent[SPOOL_STREAMS], acked[SPOOL_STREAMS];
	uint64_t end[SPOOL_STREAMS];
	enum known known[SPOOL_STREAMS];
	bool ending, told, watching;
	bool refused;		/* the controller wants none of it */
	bool unreadable;	/* the spool does not give what was announced */
	int64_t rests_until_ms; /* boot clock; 0: it does not. Then more is looked for */
	int busy;
};

struct ship {
	struct lock lock; /* guards all below */
	struct signal work, idle;
	struct list logs;
	struct rpc_channel *channel;
	char *spool_dir;
	pthread_t sender, receiver;
	struct rpc_call *call;	    /* the open stream; only the sender changes it */
	struct rpc_call *receiving; /* the same, the receiver's; set before it starts */
	bool broken, stopping;
};

/* ---- what there is to do ---- */

static bool log_complete(const struct ship_log *log)
{
	if (!log->ending)
		return false;
	for (int i = 0; i < SPOOL_STREAMS; i++)
		if (log->acked[i] < log->end[i] || (log->known[i] != KNOWN && log->end[i]))
			return false;
	return true;
}

/* The stream of this log that may send now, or -1. */
static int log_sendable(const struct ship_log *log)
{
	if (log->refused || log->unreadable)
		return -1;
	for (int i = 0; i < SPOOL_STREAMS; i++) {
		if (log->known[i] == UNKNOWN && log->have[i])
			return i;
		if (log->known[i] == KNOWN && log->sent[i] < log->have[i] &&
		    log->sent[i] - log->acked[i] < SHIP_WINDOW)
			return i;
	}
	return -1;
}

static bool log_unacked(const struct ship_log *log)
{
	for (int i = 0; i < SPOOL_STREAMS; i++)
		if (log->acked[i] < log->have[i] || log->known[i] == ASKED)
			return !log->refused && !log->unreadable;
	return false;
}

/* The next log that may send, moved to the end so that all get their turn. */
static struct ship_log *next_locked(struct ship *s, int *ret_stream)
{
	struct ship_log *log;

	list_each(log, &s->logs, link) {
		*ret_stream = log_sendable(log);
		if (*ret_stream >= 0) {
			list_remove(&log->link);
			list_append(&s->logs, &log->link);
			return log;
		}
	}
	return NULL;
}

static bool unacked_locked(struct ship *s)
{
	struct ship_log *log;

	list_each(log, &s->logs, link)
		if (log_unacked(log))
			return true;
	return false;
}

static void busy_done_locked(struct ship_log *log)
{
	if (--log->busy == 0)
		signal_all(&log->ship->idle);
}

/* Tells the owner, once, that all is durable or refused. Called and returns with the lock held. */
static void tell_shipped_locked(struct ship_log *log)
{
	bool refused = log->refused || log->unreadable;

	if (log->told || !log->ending || !(refused || log_complete(log)))
		return;
	log->told = true;
	log->busy++;
	lock_drop(&log->ship->lock);
	if (log->events.shipped)
		log->events.shipped(log->events.arg, refused);
	lock_take(&log->ship->lock);
	busy_done_locked(log);
}

/* ---- the receiver: acknowledgements of one stream ---- */

static struct ship_log *find_locked(struct ship *s, const Sluice__V1__AppendReply *reply)
{
	struct ship_log *log;

	list_each(log, &s->logs, link)
		if (reply->fence ? log->fence == reply->fence
				 : !log->fence && strcmp(log->environment, reply->environment) == 0)
			return log;
	return NULL;
}

static void acknowledged(struct ship *s, const Sluice__V1__AppendReply *reply)
{
	LOCKED(&s->lock);
	struct ship_log *log = find_locked(s, reply);
	uint32_t i = reply->stream;

	if (!log || i >= SPOOL_STREAMS)
		return;
	if (reply->refused) {
		log->refused = true;
	} else if (log->known[i] != KNOWN) {
		log->known[i] = KNOWN;
		log->acked[i] = log->sent[i] = reply->durable_end;
	} else if (reply->durable_end > log->acked[i]) {
		log->acked[i] = reply->durable_end;
		log->sent[i] = MAX(log->sent[i], reply->durable_end);
	} else if (reply->durable_end < log->acked[i]) {
		/* A gap: it lost what it had acknowledged. Once: the answers to the other frames on
		 * their way say the same, and an end that only does not move is no gap, because a
		 * stream begins with what was acknowledged and keeps its order. */
		log->acked[i] = log->sent[i] = reply->durable_end;
	}
	tell_shipped_locked(log);
	signal_all(&s->work);
}

static void *receive(void *arg)
{
	struct ship *s = arg;
	struct rpc_call *call = s->receiving;
	const Sluice__V1__AppendReply *reply;
	struct error err = { 0 };

	while (rpc_recv(call, &reply, &err) > 0)
		acknowledged(s, reply);
	LOCKED(&s->lock);
	if (err.code && !s->stopping)
		log_debug("shipping logs: %s", err.text);
	s->broken = true;
	signal_all(&s->work);
	return NULL;
}

/* ---- the sender ---- */

static void stream_close(struct ship *s, bool orderly)
{
	struct error ignored = { 0 };
	struct rpc_call *call = s->call;
	struct ship_log *log;

	if (!call)
		return;
	if (orderly)
		rpc_done_sending(call, &ignored);
	else
		rpc_cancel(call);
	thread_join(s->receiver);
	lock_take(&s->lock);
	s->call = NULL; /* from now on ship_stop() cannot cancel it */
	s->broken = false;
	list_each(log, &s->logs, link) {
		memcpy(log->sent, log->acked, sizeof log->sent);
		for (int i = 0; i < SPOOL_STREAMS; i++)
			if (log->known[i] == ASKED)
				log->known[i] = UNKNOWN;
		if (!log->fence) /* its order may have come before the controller knew */
			log->refused = false;
	}
	lock_drop(&s->lock);
	rpc_close(call);
}

static int stream_open(struct ship *s, struct error *err)
{
	struct rpc_call *call;

	if (s->call)
		return 0;
	call = rpc_open(s->channel, &sluice__v1__logs__descriptor, "Append", err);
	if (!call)
		return -1;
	s->receiving = call;
	s->receiver = thread_start("ship-ack", 128 << 10, receive, s);
	LOCKED(&s->lock);
	s->call = call;
	if (s->stopping)
		rpc_cancel(call);
	return 0;
}

/* What is sent next: bytes of one log that were announced. */
struct frame {
	struct ship_log *log;
	int stream;
	uint64_t at, have;
	size_t len;
	void *data;
	bool oldest; /* nothing before it is left */
};

/* Up to SHIP_FRAME bytes from f->at on, which moves where those were rotated away. */
static int frame_read(struct frame *f, struct error *err)
{
	struct ship_log *log = f->log;
	enum spool_stream stream = (enum spool_stream)f->stream;
	bool rotates = !log->fence && stream == SPOOL_OUTPUT;
	size_t want = MIN(f->have - f->at, (uint64_t)SHIP_FRAME);
	ssize_t n;

	if (!log->spool && !(log->spool = spool_open(log->ship->spool_dir, log->name, err)))
		return -1;
	if (stream == SPOOL_OUTPUT)
		spool_set_length(log->spool, f->have);
	f->data = xmalloc(want);
	n = spool_read(log->spool, stream, f->at, f->data, want, err);
	/* While we look the shim may rotate on, but not without end. */
	for (int i = 0; i < 3 && n < 0 && err->code == ERR_NOT_FOUND && rotates; i++) {
		f->at = MAX(f->at, spool_begin(log->spool));
		f->oldest = true;
		error_clear(err);
		n = spool_read(log->spool, SPOOL_OUTPUT, f->at, f->data, want, err);
	}
	if (n == 0)
		return error_set(err, ERR_CORRUPT, "the spool '%s' ends before %llu", log->name,
				 (unsigned long long)f->have);
	if (n < 0)
		return -1;
	f->len = (size_t)n;
	f->oldest |= rotates && f->at == spool_begin(log->spool);
	return 0;
}

/* f->data goes over to the call. */
static int frame_send(struct ship *s, struct frame *f, struct error *err)
{
	Sluice__V1__AppendRequest request = SLUICE__V1__APPEND_REQUEST__INIT;
	struct rpc_tail tail = { .field = 15, .len = f->len, .release = free };

	request.fence = f->log->fence;
	request.environment = f->log->environment;
	request.stream = (uint32_t)f->stream;
	request.offset = f->at;
	request.oldest = f->oldest;
	request.crc32c = crc32c(0, f->data, f->len);
	tail.data = tail.arg = steal(f->data);
	return rpc_send_tail(s->call, &request, &tail, err);
}

/* How much of this stream does the controller have? Any answer to any frame says it. Called and
 * returns with the lock held, which is away meanwhile. */
static int ask_locked(struct ship *s, struct ship_log *log, int stream, struct error *err)
{
	Sluice__V1__AppendRequest request = SLUICE__V1__APPEND_REQUEST__INIT;
	int r;

	request.fence = log->fence;
	request.environment = log->environment;
	request.stream = (uint32_t)stream;
	request.offset = log->have[stream];
	log->known[stream] = ASKED; /* before the answer can come */
	log->busy++;
	lock_drop(&s->lock);
	r = stream_open(s, err);
	if (r == 0)
		r = rpc_send(s->call, &request, err);
	lock_take(&s->lock);
	busy_done_locked(log);
	if (r < 0)
		log->known[stream] = UNKNOWN;
	return r;
}

/* A spool that does not give its bytes is no reason to keep those of others: this log has come to
 * its end, and its owner says so. */
static void give_up_locked(struct ship_log *log, const struct error *why)
{
	log_error("the output '%s' cannot be shipped: %s", log->name, why->text);
	log->unreadable = true;
	tell_shipped_locked(log);
}

/* All that was announced is sent: its owner may look for more. Called and returns with the lock
 * held, which is away meanwhile. */
static void tell_drained_locked(struct ship_log *log)
{
	uint64_t at = log->sent[SPOOL_OUTPUT];

	log->rests_until_ms = 0;
	log->busy++;
	lock_drop(&log->ship->lock);
	if (log->events.drained)
		log->events.drained(log->events.arg, at);
	lock_take(&log->ship->lock);
	busy_done_locked(log);
}

/* The log that rests for the shortest while, or NULL. */
static struct ship_log *resting_locked(struct ship *s)
{
	struct ship_log *log, *first = NULL;

	list_each(log, &s->logs, link)
		if (log->rests_until_ms && (!first || log->rests_until_ms < first->rests_until_ms))
			first = log;
	return first;
}

static void wake_rested_locked(struct ship *s)
{
	struct ship_log *log = resting_locked(s);

	if (log && log->rests_until_ms <= clock_boot_ms())
		tell_drained_locked(log);
}

/* One frame of one log, then, when all that was announced of it is sent, a word to its owner: at
 * once after few bytes, or as many as are worth a frame; in between a little later, so that a busy
 * job makes few large frames instead of many small ones. */
static int ship_one(struct ship *s, struct ship_log *log, int stream, struct error *err)
{
	struct frame f = {
		.log = log, .stream = stream, .at = log->sent[stream], .have = log->have[stream]
	};
	uint64_t begin = f.at;
	bool drained, moved;
	int r;

	log->busy++;
	lock_drop(&s->lock);
	r = frame_read(&f, err);
	lock_take(&s->lock);
	if (r < 0) {
		free(f.data);
		give_up_locked(log, err);
		busy_done_locked(log);
		return 0;
	}
	lock_drop(&s->lock);
	r = stream_open(s, err);
	lock_take(&s->lock);
	moved = log->sent[stream] != begin; /* by an answer, meanwhile: go on from there */
	if (r == 0 && !moved) {
		log->sent[stream] = f.at + f.len; /* before the answer can come */
		lock_drop(&s->lock);
		r = frame_send(s, &f, err);
		lock_take(&s->lock);
	}
	free(f.data);
	drained = r == 0 && stream == SPOOL_OUTPUT && log->sent[0] >= log->have[0] && log->watching;
	if (drained) {
		log->watching = false;
		if (f.len < BUSY_FRAME || f.len >= GOOD_FRAME)
			tell_drained_locked(log);
		else
			log->rests_until_ms = clock_boot_ms() + REST_MS;
	}
	busy_done_locked(log);
	return r;
}

/* Waits for work; false when it is time to end the stream or to stop. */
static bool wait_locked(struct ship *s)
{
	struct ship_log *resting = resting_locked(s);

	if (resting) {
		signal_wait_ms(&s->work, &s->lock,
			       MAX(resting->rests_until_ms - clock_boot_ms(), (int64_t)0));
		return true;
	}
	if (s->call && !unacked_locked(s))
		return signal_wait_ms(&s->work, &s->lock, IDLE_CLOSE_MS);
	signal_wait(&s->work, &s->lock);
	return true;
}

static void *send_all(void *arg)
{
	struct ship *s = arg;
	int64_t back_off = FIRST_WAIT_MS;

	lock_take(&s->lock);
	while (!s->stopping) {
		struct error err = { 0 };
		struct ship_log *log;
		int stream;
		bool orderly = false, end = s->broken;

		if (!end) {
			wake_rested_locked(s);
			log = next_locked(s, &stream);
			if (log && log->known[stream] == UNKNOWN)
				end = ask_locked(s, log, stream, &err) < 0;
			else if (log)
				end = ship_one(s, log, stream, &err) < 0;
			else if (!wait_locked(s) && !unacked_locked(s))
				end = orderly = true;
			if (log && !end)
				back_off = FIRST_WAIT_MS;
		}
		if (!end)
			continue;
		lock_drop(&s->lock);
		stream_close(s, orderly);
		lock_take(&s->lock);
		if (!orderly && !s->stopping) {
			signal_wait_ms(&s->work, &s->lock, back_off);
			back_off = MIN(2 * back_off, (int64_t)LONGEST_WAIT_MS);
		}
	}
	lock_drop(&s->lock);
	stream_close(s, false);
	return NULL;
}

/* ---- for the owners of logs ---- */

struct ship *ship_start(struct rpc_channel *channel, const char *spool_dir)
{
	struct ship *s = xcalloc(1, sizeof *s);

	lock_init(&s->lock);
	signal_init(&s->work);
	signal_init(&s->idle);
	list_init(&s->logs);
	s->channel = channel;
	s->spool_dir = xstrdup(spool_dir);
	s->sender = thread_start("ship", 256 << 10, send_all, s);
	return s;
}

void ship_stop(struct ship *s)
{
	if (!s)
		return;
	lock_take(&s->lock);
	s->stopping = true;
	if (s->call)
		rpc_cancel(s->call);
	signal_all(&s->work);
	lock_drop(&s->lock);
	thread_join(s->sender);
	assert(list_empty(&s->logs));
	signal_release(&s->idle);
	signal_release(&s->work);
	lock_release(&s->lock);
	free(s->spool_dir);
	free(s);
}

struct ship_log *ship_log_open(struct ship *s, const struct ship_what *what,
			       const struct ship_events *events)
{
	struct ship_log *log = xcalloc(1, sizeof *log);

	log->ship = s;
	log->events = *events;
	log->name = xstrdup(what->name);
	log->environment = xstrdup(what->environment ? what->environment : "");
	log->fence = what->fence;
	log->have[0] = log->sent[0] = log->acked[0] = what->from;
	log->watching = true;
	for (int i = 0; i < SPOOL_STREAMS; i++)
		log->known[i] = what->resumed ? UNKNOWN : KNOWN;
	LOCKED(&s->lock);
	list_append(&s->logs, &log->link);
	return log;
}

void ship_log_grown(struct ship_log *log, uint64_t length)
{
	LOCKED(&log->ship->lock);
	log->have[0] = MAX(log->have[0], length);
	log->watching = true;
	/* Nothing new, as when a service begins again behind what is shipped: its owner watches on.
	 */
	log->rests_until_ms = log->sent[0] >= log->have[0] ? clock_boot_ms() : 0;
	if (!log->fence) /* a service has no end at which to say it: look again */
		log->unreadable = false;
	signal_all(&log->ship->work);
}

void ship_log_added(struct ship_log *log, const uint64_t length[SPOOL_STREAMS])
{
	LOCKED(&log->ship->lock);
	for (int i = SPOOL_WORDS; i < SPOOL_STREAMS; i++)
		log->have[i] = MAX(log->have[i], length[i]);
	signal_all(&log->ship->work);
}

void ship_log_end(struct ship_log *log, const uint64_t end[SPOOL_STREAMS])
{
	LOCKED(&log->ship->lock);
	memcpy(log->end, end, sizeof log->end);
	for (int i = 0; i < SPOOL_STREAMS; i++)
		log->have[i] = MAX(log->have[i], end[i]);
	log->ending = true;
	log->rests_until_ms = 0;
	log->told = false;
	tell_shipped_locked(log);
	signal_all(&log->ship->work);
}

void ship_log_rewind(struct ship_log *log, const uint64_t durable[SPOOL_STREAMS])
{
	LOCKED(&log->ship->lock);
	for (int i = 0; i < SPOOL_STREAMS; i++) {
		bool known = log->known[i] == KNOWN;

		log->acked[i] = log->sent[i] = known ? MIN(log->acked[i], durable[i]) : durable[i];
		log->known[i] = KNOWN;
	}
	log->told = log->refused = log->unreadable = false;
	tell_shipped_locked(log);
	signal_all(&log->ship->work);
}

void ship_log_close(struct ship_log *log)
{
	if (!log)
		return;
	struct ship *s = log->ship;

	lock_take(&s->lock);
	while (log->busy)
		signal_wait(&s->idle, &s->lock);
	list_remove(&log->link);
	lock_drop(&s->lock);
	spool_close(log->spool);
	free(log->name);
	free(log->environment);
	free(log);
}
