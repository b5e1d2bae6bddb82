/*
 * One gauge for each attempt that is looked at: how far its lines were read, and the newest number
 * of each name. Whoever reads takes the gauge out of the table and puts it back, so that no lock is
 * held over the disk; another who comes meanwhile reads with a gauge of his own, and the one that
 * came further stays.
 */
#include "controller/api/metrics.h"

#include <jansson.h>
#include <math.h>
#include <string.h>
#include <uthash.h>

#include "base/file.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/thread.h"

enum {
	STREAM = 2,
	NAMES = 1000,
	LINE = 64 << 10,
	PIECE = 256 << 10, /* read at a time; more than a line */
	GAUGES = 256,
};

struct value {
	UT_hash_handle hh;
	double number;
	char name[];
};

struct gauge {
	UT_hash_handle hh; /* by fence */
	struct list used;  /* in metrics.used, longest ago first */
	uint64_t fence;
	uint64_t at; /* the first byte that was not taken */
	bool cut;    /* it is not the first of a line */
	struct value *values;
};

struct metrics {
	struct logbook *book;
	struct lock lock; /* guards what follows */
	struct gauge *gauges;
	struct list used;
};

static void gauge_free(struct gauge *g)
{
	struct value *v, *next;

	HASH_ITER(hh, g->values, v, next) {
		HASH_DEL(g->values, v);
		free(v);
	}
	free(g);
}

struct metrics *metrics_new(struct logbook *b)
{
	struct metrics *m = xcalloc(1, sizeof *m);

	m->book = b;
	lock_init(&m->lock);
	list_init(&m->used);
	return m;
}

static void take_out_locked(struct metrics *m, struct gauge *g)
{
	lock_assert_held(&m->lock);
	HASH_DEL(m->gauges, g);
	list_remove(&g->used);
}

void metrics_free(struct metrics *m)
{
	struct gauge *g, *next;

	if (!m)
		return;
	lock_take(&m->lock);
	HASH_ITER(hh, m->gauges, g, next) {
		take_out_locked(m, g);
		gauge_free(g);
	}
	lock_drop(&m->lock);
	lock_release(&m->lock);
	free(m);
}

/* ---- lines ---- */

static void set_value(struct gauge *g, const char *name, double number)
{
	struct value *v;

	HASH_FIND_STR(g->values, name, v);
	if (!v && HASH_COUNT(g->values) == NAMES)
		return;
	if (!v) {
		v = xcalloc(1, sizeof *v + strlen(name) + 1);
		memcpy(v->name, name, strlen(name) + 1);
		HASH_ADD_STR(g->values, name, v);
	}
	v->number = number;
}

/* The newest is no number: an older one must not pass for it. */
static void drop_value(struct gauge *g, const char *name)
{
	struct value *v;

	HASH_FIND_STR(g->values, name, v);
	if (!v)
		return;
	HASH_DEL(g->values, v);
	free(v);
}

static void take_line(struct gauge *g, const char *line, size_t len)
{
	json_t *object = len <= LINE ? json_loadb(line, len, 0, NULL) : NULL, *value;
	const char *name;

	json_object_foreach(object, name, value)
	{
		if (json_is_number(value) && isfinite(json_number_value(value)) && name_valid(name))
			set_value(g, name, json_number_value(value));
		else if (json_is_null(value))
			drop_value(g, name);
	}
	json_decref(object);
}

/* The whole lines of a piece. A line that does not end within one is passed over. */
static void take_piece(struct gauge *g, const char *piece, size_t len)
{
	const char *at = piece, *end = piece + len, *newline;

	while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
		if (!g->cut)
			take_line(g, at, (size_t)(newline - at));
		g->cut = false;
		at = newline + 1;
	}
	if (at == piece && len == PIECE) {
		g->cut = true;
		at = end;
	}
	g->at += (uint64_t)(at - piece);
}

static void catch_up(struct metrics *m, struct gauge *g, const struct log_key *key, uint64_t end)
{
	cleanup(log_reader_closep) struct log_reader *reader = log_reader_open(m->book, key, NULL);
	cleanup(freep) char *piece = xmalloc(PIECE);
	uint64_t before;
	bool ended;
	int64_t n;

	if (end - g->at > PIECE) { /* the newest are enough */
		g->at = end - PIECE;
		g->cut = true;
	}
	while (reader && g->at < end) {
		before = g->at;
		n = log_reader_read(reader, g->at, piece, PIECE, &ended, NULL);
		if (n > 0)
			take_piece(g, piece, (size_t)n);
		if (g->at == before)
			break;
	}
}

/* ---- gauges ---- */

static struct gauge *take_gauge(struct metrics *m, uint64_t fence)
{
	struct gauge *g;

	lock_take(&m->lock);
	HASH_FIND(hh, m->gauges, &fence, sizeof fence, g);
	if (g)
		take_out_locked(m, g);
	lock_drop(&m->lock);
	if (!g)
		g = xcalloc(1, sizeof *g);
	g->fence = fence;
	return g;
}

static void give_gauge(struct metrics *m, struct gauge *g)
{
	struct gauge *there, *spare = NULL;

	lock_take(&m->lock);
	HASH_FIND(hh, m->gauges, &g->fence, sizeof g->fence, there);
	if (there && there->at >= g->at) {
		spare = g;
	} else {
		spare = there;
		if (there)
			take_out_locked(m, there);
		else if (HASH_COUNT(m->gauges) == GAUGES)
			take_out_locked(m, spare = list_first(&m->used, struct gauge, used));
		HASH_ADD(hh, m->gauges, fence, sizeof g->fence, g);
		list_append(&m->used, &g->used);
	}
	lock_drop(&m->lock);
	if (spare)
		gauge_free(spare);
}

static void copy_values(const struct gauge *g, Sluice__V1__Job *job, struct arena *a)
{
	Sluice__V1__Metric **list = arena_alloc(a, (HASH_COUNT(g->values) + 1) * sizeof *list);
	struct value *v, *next;

	job->n_metrics = 0;
	job->metrics = list;
	HASH_ITER(hh, g->values, v, next) {
		Sluice__V1__Metric *metric = list ? arena_alloc(a, sizeof *metric) : NULL;

		if (!metric)
			return;
		sluice__v1__metric__init(metric);
		metric->name = arena_strdup(a, v->name);
		if (!metric->name)
			return;
		metric->value = v->number;
		job->metrics[job->n_metrics++] = metric;
	}
}

static void show(struct metrics *m, Sluice__V1__Job *job, struct arena *a)
{
	struct log_key key = { .run = job->run_id, .fence = job->fence, .stream = STREAM };
	uint64_t end = logbook_end(m->book, &key);
	struct gauge *g;

	job->n_metrics = 0; /* an earlier attempt's */
	if (!end)
		return;
	g = take_gauge(m, job->fence);
	if (g->at < end)
		catch_up(m, g, &key, end);
	copy_values(g, job, a);
	give_gauge(m, g);
}

void metrics_show(struct metrics *m, Sluice__V1__RunDetail *detail, struct arena *a)
{
	for (size_t i = 0; i < detail->n_jobs; i++) {
		Sluice__V1__Job *job = detail->jobs[i];

		if (job->state == SLUICE__V1__JOB_STATE__JOB_ACTIVE && job->fence && job->spec &&
		    *job->spec->metrics)
			show(m, job, a);
	}
}
