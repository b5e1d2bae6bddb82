/*
 * Events: the audit log. Each one carries the hash of the one before, so that what is changed,
 * dropped or put in between afterwards does not fit any more; the controller's row carries the hash
 * of the last, so that a cut end does not fit either.
 */
#include "controller/store/private.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "proto/message.h"
#include "sluice/v1/store.pb-c.h"

enum { EVENTS_MAX = 1000 };

/* Of the event as it is packed without its hash. */
static struct digest pack(Sluice__V1__Event *event, struct buf *ret)
{
	message_set_bytes(&event->hash, NULL, 0);
	message_pack_buf(event, ret);
	return digest_of(ret->data, ret->len);
}

int event_write(struct connection *c, const struct record_item *event, struct error *err)
{
	if (!c->event_append)
		c->event_append = db_prepare(c->db,
					     "INSERT INTO events (seq, time_ms, kind, hash, body)"
					     " VALUES ($1, $2, $3, $4, $5)",
					     err);
	if (!c->event_append)
		return -1;
	db_bind_int(c->event_append, 1, (int64_t)event->row.number);
	db_bind_int(c->event_append, 2, event->row.time_ms);
	db_bind_int(c->event_append, 3, event->row.state);
	db_bind_bytes(c->event_append, 4, event->hash, DIGEST_SIZE);
	db_bind_bytes(c->event_append, 5, event->row.body, event->row.len);
	if (db_step(c->event_append, err) < 0)
		return error_wrap(err, "event %" PRIu64, event->row.number);
	return 0;
}

void store_append_event(struct store *s, Sluice__V1__Event *event)
{
	cleanup(buf_release) struct buf body = { 0 };
	struct digest hash;

	assert(event->seq > s->pending_event);
	message_set_bytes(&event->prev_hash, s->pending_hash.bytes,
			  s->pending_event ? DIGEST_SIZE : 0);
	hash = pack(event, &body);
	message_set_bytes(&event->hash, hash.bytes, DIGEST_SIZE);
	record_event(&s->record, &(struct record_item){
					 .row = { .number = event->seq,
						  .time_ms = event->time_ms,
						  .state = (int)event->kind,
						  .body = (const uint8_t *)body.data,
						  .len = body.len },
					 .hash = hash.bytes,
				 });
	s->pending_hash = hash;
	s->pending_event = event->seq;
}

static int damaged(int64_t seq, const char *how, struct error *err)
{
	return error_id(err, "E0602", "event %" PRId64 " %s", seq, how);
}

/* The event of the current row (seq, hash, body), checked against its hash. */
static Sluice__V1__Event *event_of(struct db_statement *st, struct arena *a, struct error *err)
{
	size_t hash_len, len;
	const void *hash = db_bytes(st, 1, &hash_len);
	const void *body = db_bytes(st, 2, &len);
	struct digest is = digest_of(body, len);
	Sluice__V1__Event *event;

	if (hash_len != DIGEST_SIZE || memcmp(hash, is.bytes, DIGEST_SIZE) != 0)
		return damaged(db_int(st, 0), "does not have the hash it was stored under", err),
		       NULL;
	event = message_unpack(&sluice__v1__event__descriptor, a, body, len, err);
	if (!event)
		return NULL;
	if (event->seq != (uint64_t)db_int(st, 0))
		return damaged(db_int(st, 0), "was stored under another number", err), NULL;
	event->hash.data = arena_alloc(a, DIGEST_SIZE);
	if (!event->hash.data)
		return error_set(err, ERR_EXHAUSTED, "no memory for an event"), NULL;
	memcpy(event->hash.data, is.bytes, DIGEST_SIZE);
	event->hash.len = DIGEST_SIZE;
	return event;
}

int events_load_last(struct store *s, struct error *err)
{
	cleanup(arena_freep) struct arena *a = arena_new(0);
	struct db_statement *st;
	Sluice__V1__Event *last = NULL;
	int r;

	st = db_prepare(s->writer.db,
			"SELECT seq, hash, body FROM events ORDER BY seq DESC LIMIT 1", err);
	if (!st)
		return -1;
	r = db_step(st, err);
	if (r > 0) {
		last = event_of(st, a, err);
		r = last ? 0 : -1;
	}
	db_finish(st);
	if (last) {
		s->last_event = s->pending_event = last->seq;
		memcpy(s->last_hash.bytes, last->hash.data, DIGEST_SIZE);
		s->pending_hash = s->last_hash;
	}
	return r;
}

uint64_t store_last_event(const struct store *s, const uint8_t **ret_hash)
{
	if (ret_hash)
		*ret_hash = s->last_event ? s->last_hash.bytes : NULL;
	return s->last_event;
}

static struct db_statement *list(struct store_reader *r, uint64_t after, int limit,
				 struct error *err)
{
	struct connection *c = &r->connection;

	if (!c->event_list)
		c->event_list = db_prepare(c->db,
					   "SELECT seq, hash, body FROM events WHERE seq > $1"
					   " ORDER BY seq LIMIT $2",
					   err);
	if (!c->event_list)
		return NULL;
	/* a number beyond what a column holds is after every event */
	db_bind_int(c->event_list, 1, after > INT64_MAX ? INT64_MAX : (int64_t)after);
	db_bind_int(c->event_list, 2, limit);
	return c->event_list;
}

int reader_events(struct store_reader *r, uint64_t after, int limit, struct arena *a,
		  Sluice__V1__Event ***ret, size_t *ret_count, struct error *err)
{
	struct db_statement *st;
	Sluice__V1__Event **events;
	size_t count = 0;
	int n;

	if (limit < 1 || limit > EVENTS_MAX)
		return error_set(err, ERR_INVALID, "%d events at once; 1 to %d are possible", limit,
				 EVENTS_MAX);
	if (store_settle(r->store, false, err) < 0)
		return -1;
	st = list(r, after, limit, err);
	events = arena_alloc(a, (size_t)limit * sizeof(struct Sluice__V1__Event *));
	if (!st)
		return -1;
	if (!events)
		return error_set(err, ERR_EXHAUSTED, "no memory for %d events", limit);
	while ((n = db_step(st, err)) > 0) {
		events[count] = event_of(st, a, err);
		if (!events[count++]) {
			db_reset(st);
			return -1;
		}
	}
	if (n < 0)
		return -1;
	*ret = events;
	*ret_count = count;
	return 0;
}

/* The chain so far, as it is verified. */
struct chain {
	uint64_t count, last;
	uint8_t hash[DIGEST_SIZE];
};

static int follow(struct chain *c, const Sluice__V1__Event *event, struct error *err)
{
	size_t want = c->count ? DIGEST_SIZE : 0;

	if (event->prev_hash.len != want ||
	    (want && memcmp(event->prev_hash.data, c->hash, want) != 0))
		return damaged((int64_t)event->seq,
			       "does not follow the event that stands before it", err);
	c->count++;
	c->last = event->seq;
	memcpy(c->hash, event->hash.data, DIGEST_SIZE);
	return 0;
}

/* The controller's row was written in the same transaction as the last event. */
static int check_end(struct store_reader *r, const struct chain *c, struct arena *a,
		     struct error *err)
{
	ProtobufCMessage *m = NULL;
	const Sluice__V1__ControllerRow *row;
	int found = reader_get(r, ROW_CONTROLLER, "controller", a, &m, err);

	if (found <= 0)
		return found;
	row = (const Sluice__V1__ControllerRow *)m;
	if (row->last_event_hash.len == DIGEST_SIZE &&
	    (!c->count || memcmp(row->last_event_hash.data, c->hash, DIGEST_SIZE) != 0))
		return damaged((int64_t)c->last, "is not the last that was written", err);
	return 0;
}

int reader_verify_events(struct store_reader *r, uint64_t *ret_count, struct error *err)
{
	cleanup(arena_freep) struct arena *a = arena_new(0);
	struct chain chain = { 0 };
	Sluice__V1__Event **events;
	size_t n;

	/* one snapshot for all, or the end would be another by the time it is compared */
	if (store_settle(r->store, false, err) < 0 || db_exec(r->connection.db, "BEGIN", err) < 0)
		return -1;
	do {
		arena_reset(a);
		if (reader_events(r, chain.last, EVENTS_MAX, a, &events, &n, err) < 0)
			goto failed;
		for (size_t i = 0; i < n; i++)
			if (follow(&chain, events[i], err) < 0)
				goto failed;
	} while (n == EVENTS_MAX);
	if (check_end(r, &chain, a, err) < 0)
		goto failed;
	db_rollback(r->connection.db);
	*ret_count = chain.count;
	return 0;
failed:
	db_rollback(r->connection.db);
	return -1;
}
