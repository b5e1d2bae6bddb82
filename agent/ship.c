/*
 * The shipper, as the owners of logs see it. The lock guards the list of logs and their offsets; it
 * is never held over a read, a send or a callback: a log in use is marked busy instead, and closing
 * waits for that. What goes over the wire is in ship_stream.c.
 */
#include "agent/ship.h"

#include <assert.h>
#include <string.h>

#include "agent/ship_private.h"
#include "base/clock.h"

/* ---- what both halves ask ---- */

static bool log_complete(const struct ship_log *log)
{
	if (!log->ending)
		return false;
	for (int i = 0; i < SPOOL_STREAMS; i++)
		if (log->acked[i] < log->end[i] || (log->known[i] != KNOWN && log->end[i]))
			return false;
	return true;
}

void ship_busy_done_locked(struct ship_log *log)
{
	if (--log->busy == 0)
		signal_all(&log->ship->idle);
}

/* Tells the owner, once, that all is durable or refused. Called and returns with the lock held. */
void ship_tell_shipped_locked(struct ship_log *log)
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
	ship_busy_done_locked(log);
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
	s->sender = thread_start("ship", 256 << 10, ship_send_all, s);
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
	ship_tell_shipped_locked(log);
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
	ship_tell_shipped_locked(log);
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
