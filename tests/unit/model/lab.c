/*
 * The lab itself: rows in a table, decisions followed by commits, time.
 */
#include "lab.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static Sluice__V1__Actor admin = {
	.base = PROTOBUF_C_MESSAGE_INIT(&sluice__v1__actor__descriptor),
	.kind = SLUICE__V1__ACTOR__KIND__USER,
	.id = "u1",
	.name = "ada",
};
static Sluice__V1__Actor viewer = {
	.base = PROTOBUF_C_MESSAGE_INIT(&sluice__v1__actor__descriptor),
	.kind = SLUICE__V1__ACTOR__KIND__USER,
	.id = "u2",
	.name = "vic",
};
const struct caller lab_admin = { &admin, SLUICE__V1__ROLE__ADMIN, NULL, 0 };
const struct caller lab_viewer = { &viewer, SLUICE__V1__ROLE__VIEWER, NULL, 0 };

/* ---- the store ---- */

static struct lab_row *row_find(struct lab *l, enum row_kind kind, const char *id)
{
	cleanup(freep) char *key = xprintf("%d %s", (int)kind, id);
	struct lab_row *r;

	HASH_FIND_STR(l->rows, key, r);
	return r;
}

static void row_drop(struct lab *l, struct lab_row *r)
{
	HASH_DEL(l->rows, r);
	free(r->key);
	free(r->id);
	free(r->parent);
	free(r->column);
	free(r->body);
	free(r);
}

static int row_put(void *arg, const struct row *row, struct error *err)
{
	struct lab *l = arg;
	struct lab_row *r = row_find(l, row->kind, row->id);

	l->rows_written++;
	if (r)
		row_drop(l, r);
	if (row->gone)
		return 0;
	r = xcalloc(1, sizeof(*r));
	r->key = xprintf("%d %s", (int)row->kind, row->id);
	r->kind = row->kind;
	r->id = xstrdup(row->id);
	r->parent = xstrdup(row->parent);
	r->column = xstrdup(row->key);
	r->number = row->number;
	r->serial = ++l->serials;
	r->open = row->open;
	r->body = xmemdup(row->body, row->len + 1);
	r->len = row->len;
	HASH_ADD_KEYPTR(hh, l->rows, r->key, strlen(r->key), r);
	return 0;
}

static ProtobufCMessage *row_message(const struct lab_row *r)
{
	ProtobufCMessage *m =
		protobuf_c_message_unpack(row_descriptor(r->kind), NULL, r->len, r->body);

	cr_assert(m);
	return m;
}

static int source_get(void *arg, enum row_kind kind, const char *id, ProtobufCMessage **ret,
		      struct error *err)
{
	struct lab_row *r = row_find(arg, kind, id);

	if (r)
		*ret = row_message(r);
	return r != NULL;
}

static int source_find(void *arg, enum row_kind kind, const char *parent, const char *key,
		       ProtobufCMessage **ret, struct error *err)
{
	struct lab *l = arg;
	struct lab_row *r, *next, *newest = NULL;

	HASH_ITER(hh, l->rows, r, next)
		if (r->kind == kind && (!parent || strcmp(r->parent, parent) == 0) &&
		    strcmp(r->column, key) == 0 && (!newest || r->serial > newest->serial))
			newest = r;
	if (newest)
		*ret = row_message(newest);
	return newest != NULL;
}

static int source_by_number(void *arg, enum row_kind kind, uint64_t number, ProtobufCMessage **ret,
			    struct error *err)
{
	struct lab *l = arg;
	struct lab_row *r, *next;

	HASH_ITER(hh, l->rows, r, next)
		if (r->kind == kind && r->number == number) {
			*ret = row_message(r);
			return 1;
		}
	return 0;
}

/* ---- a commit ---- */

static void take_events(struct lab *l)
{
	Sluice__V1__Event *e;
	uint64_t seq = 0;

	while ((e = world_take_event(l->world))) {
		cr_assert(e->kind > 0 && e->kind < 128 && e->actor && *e->text);
		cr_assert(!seq || e->seq == seq + 1, "events have no gaps");
		seq = e->seq;
		l->events[e->kind]++;
		snprintf(l->last[e->kind], sizeof(l->last[0]), "%s", e->text);
		message_free(e);
	}
}

static struct lab_agent *by_session(struct lab *l, uint64_t session)
{
	for (size_t i = 0; i < l->n_agents; i++)
		if (l->agents[i]->session == session)
			return l->agents[i];
	return NULL;
}

/* What is sent to a session that is gone is lost, as on a wire. */
static void perform(struct lab *l, struct effect *e)
{
	struct lab_agent *a = e->kind == EFFECT_LOG_CLOSED ? NULL : by_session(l, e->session);

	if (e->kind == EFFECT_LOG_CLOSED)
		l->logs_closed++;
	if (a && e->kind == EFFECT_POST) {
		cr_assert_lt(a->n_inbox, LAB_MESSAGES);
		a->inbox[a->n_inbox++] = steal(e->message);
	} else if (a && e->kind == EFFECT_CLOSE) {
		a->closed = true;
		a->closed_code = e->error.code;
	}
	effect_free(e);
}

static void commit(struct lab *l)
{
	struct effect *e;

	world_place(l->world, l->now);
	l->rows_written = 0;
	if (world_changed(l->world)) {
		cr_assert_eq(world_changes(l->world, row_put, l, &l->error), 0);
		take_events(l);
		world_committed(l->world);
	}
	cr_assert(!world_changed(l->world));
	while ((e = world_take_effect(l->world)))
		perform(l, e);
}

int lab_ask(struct lab *l, decide_fn *decide, const void *req, void *reply)
{
	int r;

	error_clear(&l->error);
	r = decide(l->world, l->now, req, reply, &l->error);
	if (r < 0) {
		cr_assert(l->error.code != ERR_NONE && *l->error.text);
		cr_assert(!world_changed(l->world), "a decision that fails changes nothing: %s",
			  l->error.text);
	}
	commit(l);
	return r;
}

static void load(struct lab *l)
{
	struct world_source source = { source_get, source_find, source_by_number, l };

	l->world = world_new(&source, ++l->seed);
	for (int kind = 1; kind < ROW_KINDS; kind++) {
		struct lab_row *r, *next;

		HASH_ITER(hh, l->rows, r, next) {
			enum row_kind by = row_kept_open_by((enum row_kind)kind);
			struct lab_row *owner = by ? row_find(l, by, r->parent) : NULL;

			if (r->kind != (enum row_kind)kind || !(r->open || (owner && owner->open)))
				continue;
			cr_assert_eq(world_load(l->world, r->kind, row_message(r), &l->error), 0,
				     "%s", l->error.text);
		}
	}
	cr_assert_eq(world_start(l->world, l->now, "lab", NULL, &l->error), 0, "%s", l->error.text);
	commit(l);
}

struct lab *lab_new(void)
{
	struct lab *l = xcalloc(1, sizeof(*l));

	l->now = (struct now){ .wall_ms = 1800000000000, .boot_ms = 5000 };
	load(l);
	return l;
}

static void agent_free(struct lab_agent *a)
{
	agent_forget(a);
	message_free(a->host);
	free(a);
}

void lab_free(struct lab *l)
{
	struct lab_row *r, *next;

	world_free(l->world);
	HASH_ITER(hh, l->rows, r, next)
		row_drop(l, r);
	for (size_t i = 0; i < l->n_agents; i++)
		agent_free(l->agents[i]);
	free(l);
}

void lab_freep(struct lab **l)
{
	if (*l)
		lab_free(*l);
}

void lab_advance(struct lab *l, int64_t ms)
{
	int64_t until = l->now.boot_ms + ms;

	for (;;) {
		struct now due = world_due(l->world);
		int64_t wall = due.wall_ms == INT64_MAX ? INT64_MAX : due.wall_ms - l->now.wall_ms;
		int64_t boot = due.boot_ms == INT64_MAX ? INT64_MAX : due.boot_ms - l->now.boot_ms;
		int64_t step = MAX(INT64_C(0), MIN(MIN(wall, boot), until - l->now.boot_ms));
		bool last = MIN(wall, boot) > until - l->now.boot_ms;

		l->now.wall_ms += step;
		l->now.boot_ms += step;
		cr_assert_eq(world_tick(l->world, l->now, NULL, NULL, &l->error), 0);
		commit(l);
		if (last)
			return;
	}
}

/* Nothing that was not committed survives, and nobody is connected. */
void lab_restart(struct lab *l)
{
	world_free(l->world);
	for (size_t i = 0; i < l->n_agents; i++) {
		agent_forget(l->agents[i]);
		l->agents[i]->session = 0;
	}
	load(l);
}

const char *lab_request(struct lab *l, char ret[32])
{
	snprintf(ret, 32, "request-%" PRIu64, ++l->requests);
	return ret;
}

/* ---- runs ---- */

uint32_t lab_submit(struct lab *l, Sluice__V1__Pipeline *p)
{
	cleanup(message_freep) Sluice__V1__SubmitReply *reply = NULL;
	Sluice__V1__SubmitRequest request = SLUICE__V1__SUBMIT_REQUEST__INIT;
	cleanup(message_freep) Sluice__V1__Pipeline *mine = p;
	char id[32];

	request.request_id = (char *)lab_request(l, id);
	if (lab_ask(l, runs_submit, &(struct submit){ &lab_admin, &request, &mine }, &reply) < 0)
		return 0;
	cr_assert_null(mine);
	return reply->run->number;
}

uint32_t lab_submit_one(struct lab *l)
{
	Sluice__V1__Pipeline *p = pipeline("one");

	add_job_to(p, "job", NULL);
	return lab_submit(l, p);
}

struct run *lab_run(struct lab *l, uint32_t number)
{
	char text[16];
	struct run *run;

	snprintf(text, sizeof(text), "%u", number);
	run = world_run(l->world, text, &l->error);
	cr_assert(run, "%s", l->error.text);
	return run;
}

struct job *lab_job(struct lab *l, uint32_t run, const char *name)
{
	struct run *r = lab_run(l, run);

	for (size_t i = 0; i < r->n_jobs; i++)
		if (strcmp(r->jobs[i]->row->spec->name, name) == 0)
			return r->jobs[i];
	cr_assert_fail("run %u has no job '%s'", run, name);
	return NULL;
}

Sluice__V1__Run *lab_run_row(struct lab *l, uint32_t number)
{
	ProtobufCMessage *m;

	return source_by_number(l, ROW_RUN, number, &m, NULL) ? (Sluice__V1__Run *)m : NULL;
}

Sluice__V1__Job *lab_job_row(struct lab *l, uint32_t run, const char *name)
{
	cleanup(message_freep) Sluice__V1__Run *row = lab_run_row(l, run);
	ProtobufCMessage *m;

	cr_assert(row);
	return source_find(l, ROW_JOB, row->id, name, &m, NULL) ? (Sluice__V1__Job *)m : NULL;
}

Sluice__V1__Attempt *lab_attempt_row(struct lab *l, uint64_t fence)
{
	ProtobufCMessage *m;
	char id[24];

	snprintf(id, sizeof(id), "%" PRIu64, fence);
	return source_get(l, ROW_ATTEMPT, id, &m, NULL) ? (Sluice__V1__Attempt *)m : NULL;
}

void expect_run(struct lab *l, uint32_t number, Sluice__V1__RunState state, const char *reason)
{
	cleanup(message_freep) Sluice__V1__Run *row = lab_run_row(l, number);

	cr_assert(row);
	cr_expect_eq(row->state, state, "run %u is in state %d: %s", number, row->state,
		     row->reason);
	if (reason)
		cr_expect_str_eq(row->reason, reason);
}

void expect_job(struct lab *l, uint32_t run, const char *name, Sluice__V1__JobState state,
		const char *reason)
{
	cleanup(message_freep) Sluice__V1__Job *row = lab_job_row(l, run, name);

	cr_assert(row, "run %u has no job '%s'", run, name);
	cr_expect_eq(row->state, state, "%s is %s: %s", name, job_state_name(row->state),
		     row->reason);
	if (reason)
		cr_expect_str_eq(row->reason, reason);
}

void expect_attempt(struct lab *l, uint64_t fence, Sluice__V1__AttemptState state)
{
	cleanup(message_freep) Sluice__V1__Attempt *row = lab_attempt_row(l, fence);

	cr_assert(row, "there is no attempt %" PRIu64, fence);
	cr_expect_eq(row->state, state, "attempt %" PRIu64 " is %s", fence,
		     attempt_state_name(row->state));
}

int lab_cancel(struct lab *l, uint32_t run)
{
	cleanup(message_freep) Sluice__V1__Run *reply = NULL;
	Sluice__V1__CancelRunRequest request = SLUICE__V1__CANCEL_RUN_REQUEST__INIT;
	char id[32], text[16];

	snprintf(text, sizeof(text), "%u", run);
	request.request_id = (char *)lab_request(l, id);
	request.run = text;
	return lab_ask(l, runs_cancel, &(struct run_cancellation){ &lab_admin, &request }, &reply);
}

uint32_t lab_retry(struct lab *l, uint32_t run)
{
	cleanup(message_freep) Sluice__V1__SubmitReply *reply = NULL;
	Sluice__V1__RetryRunRequest request = SLUICE__V1__RETRY_RUN_REQUEST__INIT;
	char id[32], text[16];

	snprintf(text, sizeof(text), "%u", run);
	request.request_id = (char *)lab_request(l, id);
	request.run = text;
	if (lab_ask(l, runs_retry, &(struct run_retry){ &lab_admin, &request }, &reply) < 0)
		return 0;
	return reply->run->number;
}

const char *lab_why(struct lab *l, uint32_t run, const char *job, char ret[512])
{
	cleanup(message_freep) Sluice__V1__WaitList *list = NULL;
	char text[16];

	snprintf(text, sizeof(text), "%u", run);
	cr_assert_eq(lab_ask(l, waits_run, text, &list), 0);
	*ret = '\0';
	for (size_t i = 0; i < list->n_waits; i++)
		if (strcmp(list->waits[i]->subject, job) == 0)
			snprintf(ret, 512, "%s", list->waits[i]->sentence);
	return ret;
}
