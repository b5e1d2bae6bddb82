/*
 * The shipper's stream. One thread sends: it takes the logs in turn, a frame each, so that a loud
 * job does not starve a quiet one. Another receives the acknowledgements of the open stream.
 */
#include <string.h>

#include "agent/ship_private.h"
#include "base/clock.h"
#include "base/log.h"
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

/* ---- what there is to do ---- */

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
	ship_tell_shipped_locked(log);
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
	ship_busy_done_locked(log);
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
	ship_tell_shipped_locked(log);
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
	ship_busy_done_locked(log);
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
		ship_busy_done_locked(log);
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
	ship_busy_done_locked(log);
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

void *ship_send_all(void *arg)
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
