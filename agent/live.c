/*
 * Following. The job may write a line a microsecond: after a look there is a pause in which nobody
 * listens, so that it costs at most a look each LIVE_EVERY_MS.
 */
#include "agent/live.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "agent/metrics.h"
#include "agent/tail.h"
#include "base/clock.h"
#include "base/log.h"

struct live {
	uint64_t fence;
	char *spool_dir, *path;
	struct metrics *metrics; /* NULL: the job has none */
	struct tail *tail;
	struct error no_tail; /* why there is none */
	struct spool *spool;
	struct buf had[SPOOL_STREAMS]; /* what an agent before us has said ... */
	size_t had_at[SPOOL_STREAMS];  /* ... and how much of it we came to ourselves */
	int64_t next_look_ms;	       /* boot clock */
	bool more;		       /* the last look did not reach the end, or there was none */
	bool full;		       /* stream 2 is as long as it may be */
	bool broken;		       /* the streams cannot be written */
	bool wrong;		       /* the file: what about it is said at the end */
};

struct live *live_new(const struct live_what *what)
{
	struct live *l = xcalloc(1, sizeof *l);
	struct error err = { 0 };
	int dir;

	l->fence = what->fence;
	l->spool_dir = xstrdup(what->spool_dir);
	l->path = xstrdup(what->metrics);
	if (!*what->metrics)
		return l;
	l->more = true;
	l->metrics = metrics_new(what->metrics);
	dir = workspace_open_dir(what->workspace, &l->no_tail);
	if (dir < 0)
		return l;
	l->tail = tail_new(dir, what->metrics);
	if (tail_watch(l->tail, &err) < 0)
		log_info("metrics of attempt %" PRIu64 " come when it ends: %s", l->fence,
			 err.text);
	return l;
}

void live_free(struct live *l)
{
	if (!l)
		return;
	for (int i = 0; i < SPOOL_STREAMS; i++)
		buf_release(&l->had[i]);
	metrics_free(l->metrics);
	tail_free(l->tail);
	spool_close(l->spool);
	free(l->spool_dir);
	free(l->path);
	free(l);
}

/* ---- the streams ---- */

static int read_had(struct live *l, enum spool_stream stream, struct error *err)
{
	uint64_t length = spool_length(l->spool, stream);
	struct buf *had = &l->had[stream];

	buf_reserve(had, length);
	while (had->len < length) {
		char bytes[16 << 10];
		ssize_t n = spool_read(l->spool, stream, had->len, bytes, sizeof bytes, err);

		if (n <= 0)
			return -1;
		buf_add(had, bytes, (size_t)n);
	}
	return 0;
}

static int open_streams(struct live *l, struct error *err)
{
	char name[24];

	if (l->spool)
		return 0;
	snprintf(name, sizeof name, "%" PRIu64, l->fence);
	l->spool = spool_open(l->spool_dir, name, err);
	if (!l->spool)
		return -1;
	return read_had(l, SPOOL_WORDS, err) < 0 || read_had(l, SPOOL_METRICS, err) < 0 ? -1 : 0;
}

/* What is there already was said before a restart, and is left out. Something else there means that
 * the file was written anew since: then all of it is new. */
static const char *not_had(struct live *l, enum spool_stream stream, const char *data, size_t *len)
{
	struct buf *had = &l->had[stream];
	size_t n = MIN(*len, had->len - l->had_at[stream]);
	bool same = memcmp(data, buf_str(had) + l->had_at[stream], n) == 0;

	l->had_at[stream] += n;
	if (!same || l->had_at[stream] == had->len) {
		buf_release(had);
		l->had_at[stream] = 0;
	}
	*len -= same ? n : 0;
	return same ? data + n : data;
}

static void add(struct live *l, enum spool_stream stream, const struct buf *data)
{
	struct error err = { 0 };
	const char *new;
	size_t len = data->len;

	if (!len || l->broken)
		return;
	if (open_streams(l, &err) == 0) {
		new = not_had(l, stream, data->data, &len);
		if (!len || spool_append(l->spool, stream, new, len, &err) == 0)
			return;
	}
	log_warn("attempt %" PRIu64 ": %s", l->fence, err.text);
	l->broken = true; /* a hole in it would be worse than its end */
}

void live_say(struct live *l, const char *sentence)
{
	cleanup(buf_release) struct buf line = { 0 };

	buf_printf(&line, "%s\n", sentence);
	add(l, SPOOL_WORDS, &line);
}

static void add_lines(struct live *l, const struct buf *lines)
{
	uint64_t length = l->spool ? spool_length(l->spool, SPOOL_METRICS) : 0;

	if (l->full)
		return;
	if (length + lines->len <= LIVE_STREAM_MAX || l->had[SPOOL_METRICS].len) {
		add(l, SPOOL_METRICS, lines);
		return;
	}
	l->full = true;
	live_say(l, "metrics: there are more than 16 MiB of them; from here on only the newest "
		    "values count");
}

void live_ends(struct live *l, uint64_t ret[SPOOL_STREAMS])
{
	struct error ignored = { 0 };

	if (!l->spool && (!l->metrics || open_streams(l, &ignored) < 0))
		return;
	ret[SPOOL_WORDS] = spool_length(l->spool, SPOOL_WORDS);
	ret[SPOOL_METRICS] = spool_length(l->spool, SPOOL_METRICS);
}

/* ---- the file ---- */

/* Up to `most` bytes of what is new. -1: no more of it can be taken. */
static int take(struct live *l, size_t most, struct error *err)
{
	cleanup(buf_release) struct buf lines = { 0 }, notes = { 0 };
	cleanup(freep) char *bytes = xmalloc(64 << 10);
	size_t taken = 0;
	int r = 0;

	l->more = false;
	while (r == 0 && taken < most) {
		bool anew;
		ssize_t n = tail_read(l->tail, bytes, 64 << 10, &anew, err);

		if (n >= 0 && anew)
			metrics_again(l->metrics);
		if (n <= 0) {
			r = n < 0 ? -1 : 0;
			break;
		}
		taken += (size_t)n;
		r = metrics_feed(l->metrics, bytes, (size_t)n, &lines, &notes, err);
		l->more = taken >= most;
		if (lines.len > LIVE_LOOK_BYTES) {
			add_lines(l, &lines);
			buf_clear(&lines);
		}
	}
	add_lines(l, &lines);
	add(l, SPOOL_WORDS, &notes);
	return r;
}

int live_fd(const struct live *l, int *ret_wait_ms)
{
	int64_t left;

	*ret_wait_ms = -1;
	if (!l || !l->tail || l->wrong || tail_fd(l->tail) < 0)
		return -1;
	left = l->next_look_ms - clock_boot_ms();
	if (left <= 0 && !l->more)
		return tail_fd(l->tail);
	*ret_wait_ms = (int)MAX(left, (int64_t)0);
	return -1;
}

bool live_look(struct live *l)
{
	uint64_t before[SPOOL_STREAMS] = { 0 }, after[SPOOL_STREAMS] = { 0 };
	struct pollfd p = { .fd = -1, .events = POLLIN };
	struct error err = { 0 };
	int wait_ms;

	p.fd = live_fd(l, &wait_ms);
	if (p.fd < 0 ? wait_ms != 0 : poll(&p, 1, 0) <= 0)
		return false;
	live_ends(l, before);
	if (take(l, LIVE_LOOK_BYTES, &err) < 0) {
		log_debug("attempt %" PRIu64 ": %s", l->fence, err.text);
		l->wrong = true; /* it may be another file by the end */
	}
	l->next_look_ms = clock_boot_ms() + LIVE_EVERY_MS;
	live_ends(l, after);
	return memcmp(before, after, sizeof before) != 0;
}

int live_finish(struct live *l, Sluice__V1__FinishedAttempt *ret, struct error *err)
{
	if (!l->metrics)
		return 0;
	if (!l->tail)
		return *err = l->no_tail, error_wrap(err, "metrics");
	if (take(l, LIVE_FILE_MAX, err) < 0 || metrics_end(l->metrics, err) < 0)
		return -1;
	if (l->more)
		return error_set(err, ERR_EXHAUSTED, "metrics: '%s' has more than %d MiB", l->path,
				 LIVE_FILE_MAX >> 20);
	metrics_values(l->metrics, ret);
	return 0;
}
