/*
 * Each log has a reader; a reader has a call, which the one who stops it cancels under the lock.
 */
#include "cli/follow.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/thread.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/text.h"

enum { PATIENCE_MS = 5 * 60 * 1000, FIRST_WAIT_MS = 250, LONGEST_WAIT_MS = 5000 };
enum { LINE_MOST = 1 << 20 }; /* a longer line is shown in pieces */

struct reader {
	struct list link;
	struct follow *all;
	char *run, *job, *environment, *agent, *host, *prefix;
	uint32_t attempt, stream, tail;
	bool live, started, done, begun;
	uint64_t offset;
	struct buf line; /* not ended yet */
	struct rpc_call *call;
	pthread_t thread;
	struct error err;
};

struct follow {
	struct rpc_channel *channel;
	bool json;
	struct lock lock; /* guards the rest, and each reader's call and done */
	struct signal changed;
	struct list readers;
	unsigned running;
	bool stop;
	struct lock writing; /* one line at a time */
};

/* ---- what was read ---- */

static void write_line(struct reader *r, uint32_t attempt, const char *text, size_t len)
{
	cleanup(buf_release) struct buf line = { 0 };
	LOCKED(&r->all->writing);

	buf_puts(&line, r->prefix);
	buf_add(&line, text, len);
	buf_putc(&line, '\n');
	out_buf(&line);
}

static void write_json(struct reader *r, const Sluice__V1__LogChunk *chunk, uint64_t at,
		       const char *text, size_t len)
{
	json_t *value = json_stringn(text, len), *object = json_object();
	LOCKED(&r->all->writing);

	if (!value) { /* not UTF-8 */
		cleanup(freep) char *whole = xstrndup(text, len);
		cleanup(buf_release) struct buf clean = { 0 };

		text_put(&clean, whole);
		value = json_string(buf_str(&clean));
	}
	if (*r->environment) {
		json_object_set_new(object, "environment", json_string(r->environment));
		json_object_set_new(object, "host", json_string(r->host));
	} else {
		json_object_set_new(object, "job", json_string(*chunk->job ? chunk->job : r->job));
		json_object_set_new(object, "attempt", json_integer(chunk->attempt));
	}
	json_object_set_new(object, "offset", json_integer((json_int_t)at));
	json_object_set_new(object, "text", value);
	out_json_value(object, true);
}

static void take_lines(struct reader *r, const Sluice__V1__LogChunk *chunk)
{
	char *end;

	buf_add(&r->line, chunk->data.data, chunk->data.len);
	while (r->line.len) {
		uint64_t at = chunk->offset + chunk->data.len - r->line.len;
		size_t len;

		end = memchr(r->line.data, '\n', r->line.len);
		if (!end && r->line.len < LINE_MOST && !chunk->end)
			return;
		len = end ? (size_t)(end - r->line.data) : r->line.len;
		if (r->all->json)
			write_json(r, chunk, at, r->line.data, len);
		else
			write_line(r, chunk->attempt, r->line.data, len);
		buf_consume(&r->line, len + (end != NULL));
	}
}

/* A service's log goes on behind what is not kept any more. */
static void tell_dropped(struct reader *r, const Sluice__V1__LogChunk *chunk)
{
	char text[CLOCK_TEXT];

	if (r->line.len && r->all->json) /* its rest is gone */
		write_json(r, chunk, r->offset - r->line.len, r->line.data, r->line.len);
	else if (r->line.len)
		write_line(r, chunk->attempt, r->line.data, r->line.len);
	buf_consume(&r->line, r->line.len);
	say("%s%s of this log are not kept: it goes on at byte %llu", r->prefix,
	    size_format(chunk->dropped, text), (unsigned long long)chunk->offset);
}

static void take(struct reader *r, const Sluice__V1__LogChunk *chunk)
{
	uint64_t end = chunk->offset + chunk->data.len;

	if (chunk->dropped)
		tell_dropped(r, chunk);
	if (r->all->json || *r->prefix) {
		take_lines(r, chunk);
	} else if (chunk->data.len) {
		LOCKED(&r->all->writing);
		out_write(chunk->data.data, chunk->data.len);
	}
	r->offset = end;
	r->begun = true;
}

/* ---- one log ---- */

static bool stopped(struct reader *r)
{
	LOCKED(&r->all->lock);
	return r->all->stop;
}

/* The call becomes one that can be cancelled, unless it is too late for that. */
static bool publish(struct reader *r, struct rpc_call *call)
{
	LOCKED(&r->all->lock);
	r->call = call;
	return !r->all->stop;
}

static int read_some(struct reader *r, struct error *err)
{
	Sluice__V1__ReadLogRequest request = SLUICE__V1__READ_LOG_REQUEST__INIT;
	struct rpc_call *call =
		rpc_open(r->all->channel, &sluice__v1__logs__descriptor, "Read", err);
	const Sluice__V1__LogChunk *chunk;
	struct error ignored = { 0 };
	bool ended = false;
	int n = -1;

	if (!call)
		return -1;
	request.run = r->run;
	request.job = r->job;
	request.environment = r->environment;
	request.agent = r->agent;
	request.attempt = r->attempt;
	request.stream = r->stream;
	request.offset = r->offset;
	request.tail = r->begun ? 0 : r->tail;
	request.follow = r->live;
	if (publish(r, call)) {
		if (rpc_send(call, &request, &ignored) == 0)
			rpc_done_sending(call, &ignored);
		while ((n = rpc_recv(call, &chunk, err)) > 0) {
			take(r, chunk);
			ended |= chunk->end;
		}
	}
	publish(r, NULL);
	rpc_close(call);
	if (n == 0 && r->live && !ended) /* the controller went away in good order */
		return error_set(err, ERR_UNAVAILABLE, "the log broke off");
	return n;
}

/* true: waited, try again. */
static bool be_patient(struct reader *r, int64_t *lost_ms, int *wait_ms, const struct error *err)
{
	int64_t now = clock_boot_ms();

	if (err->code != ERR_UNAVAILABLE || (!r->begun && !r->live))
		return false;
	if (!*lost_ms) {
		*lost_ms = now;
		*wait_ms = FIRST_WAIT_MS;
	}
	if (now - *lost_ms > PATIENCE_MS)
		return false;
	LOCKED(&r->all->lock);
	if (!r->all->stop)
		signal_wait_ms(&r->all->changed, &r->all->lock, *wait_ms);
	*wait_ms = MIN(2 * *wait_ms, (int)LONGEST_WAIT_MS);
	return true;
}

static int read_log(struct reader *r, struct error *err)
{
	int64_t lost_ms = 0;
	int wait_ms = 0;

	while (!stopped(r)) {
		uint64_t before = r->offset;

		if (read_some(r, err) == 0)
			return 0;
		if (stopped(r))
			break;
		if (r->offset != before)
			lost_ms = 0;
		if (!be_patient(r, &lost_ms, &wait_ms, err))
			return -1;
		error_clear(err);
	}
	error_clear(err);
	return 0;
}

/* ---- many ---- */

static char *copy(const char *text)
{
	return xstrdup(text ? text : "");
}

static struct reader *reader_new(struct follow *f, const struct follow_log *log)
{
	struct reader *r = xcalloc(1, sizeof *r);

	list_init(&r->link);
	r->all = f;
	r->run = copy(log->run);
	r->job = copy(log->job);
	r->environment = copy(log->environment);
	r->agent = copy(log->agent);
	r->host = copy(log->host);
	r->prefix = copy(log->prefix);
	r->attempt = log->attempt;
	r->stream = log->stream;
	r->tail = log->tail;
	r->live = log->live;
	return r;
}

static void reader_free(struct reader *r)
{
	free(r->run);
	free(r->job);
	free(r->environment);
	free(r->agent);
	free(r->host);
	free(r->prefix);
	buf_release(&r->line);
	free(r);
}

static void *run_reader(void *arg)
{
	struct reader *r = arg;

	read_log(r, &r->err);
	LOCKED(&r->all->lock);
	r->done = true;
	r->all->running--;
	signal_all(&r->all->changed);
	return NULL;
}

static void wake(void *arg)
{
	struct follow *f = arg;
	struct reader *r;
	LOCKED(&f->lock);

	f->stop = true;
	list_each(r, &f->readers, link)
		if (r->call)
			rpc_cancel(r->call);
	signal_all(&f->changed);
}

struct follow *follow_new(struct rpc_channel *channel, bool json)
{
	struct follow *f = xcalloc(1, sizeof *f);

	f->channel = channel;
	f->json = json;
	lock_init(&f->lock);
	lock_init(&f->writing);
	signal_init(&f->changed);
	list_init(&f->readers);
	return f;
}

int follow_read(struct follow *f, const struct follow_log *log, struct error *err)
{
	struct reader *r = reader_new(f, log);
	int result;

	lock_take(&f->lock);
	list_append(&f->readers, &r->link);
	lock_drop(&f->lock);
	interrupt_begin(wake, f);
	result = read_log(r, err);
	interrupt_end();
	lock_take(&f->lock);
	list_remove(&r->link);
	lock_drop(&f->lock);
	reader_free(r);
	return result;
}

void follow_add(struct follow *f, const struct follow_log *log)
{
	struct reader *r = reader_new(f, log);

	lock_take(&f->lock);
	list_append(&f->readers, &r->link);
	lock_drop(&f->lock);
	follow_look(f);
}

bool follow_look(struct follow *f)
{
	struct reader *r;
	bool left = false;
	LOCKED(&f->lock);

	list_each(r, &f->readers, link) {
		if (!r->started && f->running < FOLLOW_MOST && !f->stop) {
			r->started = true;
			f->running++;
			r->thread = thread_start("log", 0, run_reader, r);
		}
		left |= !r->done;
	}
	return left && !f->stop;
}

int follow_wait(struct follow *f, struct error *err)
{
	struct reader *r;

	interrupt_begin(wake, f);
	while (follow_look(f)) {
		LOCKED(&f->lock);
		signal_wait_ms(&f->changed, &f->lock, 200);
	}
	interrupt_end();
	LOCKED(&f->lock);
	list_each(r, &f->readers, link)
		if (r->done && r->err.code) {
			*err = r->err;
			return -1;
		}
	return 0;
}

void follow_free(struct follow *f)
{
	struct reader *r, *next;

	if (!f)
		return;
	wake(f);
	list_each_safe(r, next, &f->readers, link) {
		if (r->started)
			thread_join(r->thread);
		list_remove(&r->link);
		reader_free(r);
	}
	signal_release(&f->changed);
	lock_release(&f->writing);
	lock_release(&f->lock);
	free(f);
}
