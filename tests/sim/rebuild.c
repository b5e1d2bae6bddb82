/*
 * A world that is built again from the rows is the world that was: nothing is changed in memory
 * alone, and whatever is not a row (links, indexes, queues, countdowns, what is held of a host) is
 * found again.
 *
 * After every third commit each row in memory must be the stored one, byte for byte: a change
 * without world_touch() is a change that a crash undoes. Now and then a second world is loaded and
 * started at the same moment, and both are described in words and compared. What a start does
 * change, by design, is left out: the epoch, who is connected, and what follows from that.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "crypto/digest.h"
#include "sim.h"

enum { LOOK_EVERY = 3, REBUILD_EVERY = 40 }; /* commits */

/* ---- rows ---- */

/* What the graph of a run says, whatever its row says: counted again at every load. */
static uint32_t take_waiting(struct job *job, uint32_t instead)
{
	uint32_t was = job->row->waiting;

	job->row->waiting = instead;
	return was;
}

static void check_row(struct sim *s, enum row_kind kind, const ProtobufCMessage *message)
{
	cleanup(buf_release) struct buf packed = { 0 };
	char scratch[256];
	struct stored *r;
	struct row row;

	row_describe(kind, message, &row, scratch);
	message_pack_buf(message, &packed);
	r = rows_of(s, kind, row.id);
	if (!r || !r->version)
		oracle_fail(s, "row %d '%s' is in memory only", kind, row.id);
	else if (r->len != packed.len || memcmp(r->body, buf_str(&packed), packed.len) != 0)
		oracle_fail(s, "row %d '%s' was changed in memory only", kind, row.id);
}

static void check_job(struct sim *s, struct job *job)
{
	struct stored *r = rows_of(s, ROW_JOB, job->row->id);
	cleanup(message_freep) Sluice__V1__Job *row =
		r && r->version ? (Sluice__V1__Job *)stored_message(r) : NULL;
	uint32_t waiting = take_waiting(job, row ? row->waiting : 0);

	check_row(s, ROW_JOB, &job->row->base);
	take_waiting(job, waiting);
}

#define EACH(handle, head, kind)                                         \
	do {                                                             \
		__typeof__(head) e_, next_;                              \
		HASH_ITER(handle, head, e_, next_)                       \
			check_row(s, kind, (ProtobufCMessage *)e_->row); \
	} while (0)

static void check_rows(struct sim *s)
{
	struct world *w = s->world;
	struct job *job, *next;

	check_row(s, ROW_CONTROLLER, &w->counters->base);
	EACH(by_id, w->runs_by_id, ROW_RUN);
	EACH(by_fence, w->attempts, ROW_ATTEMPT);
	EACH(by_id, w->agents_by_id, ROW_AGENT);
	EACH(by_id, w->releases_by_id, ROW_RELEASE);
	EACH(by_name, w->environments, ROW_ENVIRONMENT);
	EACH(by_id, w->promotions, ROW_PROMOTION);
	EACH(by_hash, w->enrol_tokens, ROW_ENROL_TOKEN);
	EACH(by_hash, w->tokens_by_hash, ROW_TOKEN);
	EACH(by_name, w->published, ROW_PUBLISHED);
	HASH_ITER(by_id, w->jobs, job, next)
		check_job(s, job);
}

/* ---- a world in words ---- */

struct lines {
	char **at;
	size_t n;
};

__attribute__((format(printf, 2, 3))) static void line(struct lines *l, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	l->at = xreallocarray(l->at, l->n + 1, sizeof *l->at);
	l->at[l->n++] = xvprintf(fmt, args);
	va_end(args);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void lines_release(struct lines *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->at[i]);
	free(l->at);
}

/* Queued, or backing off: how much of that is left is told by two clocks. */
static bool in_line(const struct job *job)
{
	return job->queue || job->timer.place;
}

static void tell_runs(struct world *w, struct lines *l)
{
	struct run *run, *next;

	HASH_ITER(by_id, w->runs_by_id, run, next) {
		line(l, "run %u: state %d, %zu jobs, %u open, pipeline %d, promotion %s",
		     run->row->number, run->row->state, run->n_jobs, run->open_jobs,
		     run->pipeline != NULL, run->promotion ? run->promotion->row->id : "none");
		for (size_t i = 0; i < run->n_jobs; i++) {
			const struct job *job = run->jobs[i];

			line(l,
			     "run %u job %zu %s: state %d, waits for %u, %zu depend on it, "
			     "in line %d, attempt %" PRIu64,
			     run->row->number, i, job->row->spec->name, job->row->state,
			     job->row->state == SLUICE__V1__JOB_STATE__JOB_BLOCKED
				     ? job->row->waiting
				     : 0,
			     job->n_dependents, in_line(job),
			     job->attempt ? job->attempt->row->fence : 0);
		}
	}
	line(l, "%u jobs queued, %u active, %u known", w->jobs_queued, w->jobs_active,
	     HASH_CNT(by_id, w->jobs));
}

static void tell_agents(struct world *w, struct lines *l)
{
	struct agent *agent, *next;
	const struct attempt *a;

	HASH_ITER(by_id, w->agents_by_id, agent, next) {
		line(l,
		     "%s: state %d, %u slots, %u cpu, %" PRIu64 " memory, gpus %" PRIx64
		     ", %u environments",
		     agent->row->name, agent->row->state, agent->used_slots, agent->used_cpu_milli,
		     agent->used_memory, agent->used_gpus, agent->n_environments);
		list_each(a, &agent->attempts, of_agent)
			line(l, "%s holds %" PRIu64 ": state %d, of %s, lease %d", agent->row->name,
			     a->row->fence, a->row->state, a->job->row->id, a->lease.place != 0);
	}
}

static const char *release_of(const struct release *r)
{
	return r ? r->row->id : "none";
}

static void tell_promotions(struct world *w, struct lines *l)
{
	struct promotion *p, *next;

	HASH_ITER(by_id, w->promotions, p, next)
		line(l, "%s %s: state %d, from %s to %s, verified by %u, in line %d",
		     p->environment->row->name, p->row->id, p->row->state, release_of(p->from),
		     release_of(p->release), p->verify ? p->verify->row->number : 0,
		     list_linked(&p->queued));
}

static void tell_environments(struct world *w, struct lines *l)
{
	struct environment *env, *next;
	struct release *r, *next_release;
	const struct promotion *p;
	size_t n;

	HASH_ITER(by_name, w->environments, env, next) {
		cleanup(buf_release) struct buf packed = { 0 };

		message_pack_buf(env->row, &packed);
		line(l, "%s: promotion %s, timer %d, row %08x", env->row->name,
		     env->promotion ? env->promotion->row->id : "none", env->timer.place != 0,
		     crc32c(0, buf_str(&packed), packed.len));
		n = 0;
		list_each(p, &env->waiting, queued)
			line(l, "%s waits %zu: %s", env->row->name, n++, p->row->id);
	}
	HASH_ITER(by_id, w->releases_by_id, r, next_release)
		if (r->uses)
			line(l, "r%u: %u uses", r->row->number, r->uses);
}

static void tell(struct world *w, struct lines *l)
{
	tell_runs(w, l);
	tell_agents(w, l);
	tell_promotions(w, l);
	tell_environments(w, l);
	line(l, "next fence %" PRIu64 ", run %u, release %u", w->counters->next_fence,
	     w->counters->next_run, w->counters->next_release);
	qsort(l->at, l->n, sizeof *l->at, by_text);
}

static void compare(struct sim *s, const struct lines *was, const struct lines *is)
{
	size_t i = 0, j = 0;

	while (i < was->n || j < is->n) {
		int order = i == was->n ? 1 : j == is->n ? -1 : strcmp(was->at[i], is->at[j]);

		if (order) {
			oracle_fail(s, "built again from its rows the world has '%s', not '%s'",
				    order > 0 ? is->at[j] : "", order < 0 ? was->at[i] : "");
			return;
		}
		i++;
		j++;
	}
}

static void rebuild(struct sim *s)
{
	struct world_source source = { rows_get, rows_find, rows_by_number, s };
	cleanup(lines_release) struct lines was = { 0 }, is = { 0 };
	struct world *w = world_new(&source, 1);
	struct now now = s->world->now;
	struct error err = { 0 };

	now.wall_ms = world_steady_ms(s->world); /* as if nobody had set the clock */
	if (rows_load(s, w, &err) < 0 || world_start(w, now, NULL, NULL, &err) < 0) {
		oracle_fail(s, "a world cannot be built again from its rows: %s", err.text);
	} else {
		tell(s->world, &was);
		tell(w, &is);
		compare(s, &was, &is);
	}
	world_free(w);
	s->rebuilt++;
}

void rebuild_check(struct sim *s)
{
	if (s->commits % LOOK_EVERY == 0)
		check_rows(s);
	if (s->commits % REBUILD_EVERY == 0)
		rebuild(s);
}
