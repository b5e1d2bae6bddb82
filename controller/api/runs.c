/*
 * Runs.
 */
#include "controller/model/runs.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "controller/api/metrics.h"
#include "controller/api/private.h"
#include "controller/model/waits.h"
#include "spec/spec.h"

enum { LONGEST_REST_US = 500000 };

/* The file is checked here again: nothing that a client did to it is trusted. */
static int expand(const Sluice__V1__SubmitRequest *request, struct arena *arena,
		  Sluice__V1__Pipeline **ret, struct error *err)
{
	cleanup(diagnostics_release) struct diagnostics d = { 0 };
	struct spec_override *overrides =
		arena_zalloc(arena, (request->n_params + 1) * sizeof *overrides);
	struct spec_source source = {
		.file = *request->file_name ? request->file_name : "sluice.yaml",
		.text = request->file,
		.len = strlen(request->file),
		.overrides = overrides,
		.n_overrides = request->n_params,
	};
	Sluice__V1__Pipeline *pipeline;

	for (size_t i = 0; i < request->n_params; i++)
		overrides[i] = (struct spec_override){ request->params[i]->name,
						       request->params[i]->value };
	if (spec_expand(&source, arena, &pipeline, &d) < 0)
		return diagnostics_fail(&d, err);
	*ret = message_copy(pipeline);
	return 0;
}

static int submit(struct rpc_call *call, const Sluice__V1__SubmitRequest *request,
		  Sluice__V1__SubmitReply *reply, struct error *err)
{
	cleanup(message_freep) Sluice__V1__Pipeline *pipeline = NULL;
	struct submit ask = { .caller = caller_of(call),
			      .request = request,
			      .pipeline = &pipeline };

	if (expand(request, rpc_arena(call), &pipeline, err) < 0)
		return -1;
	return api_answer(call, runs_submit, &ask, &reply->base, err);
}

/* ---- looking ---- */

static int by_index(const void *a, const void *b)
{
	const Sluice__V1__Job *x = *(Sluice__V1__Job *const *)a, *y = *(Sluice__V1__Job *const *)b;

	return x->index < y->index ? -1 : x->index > y->index;
}

static void add_verdict(struct store_reader *r, const Sluice__V1__Job *job, struct arena *a,
			Sluice__V1__RunDetail *ret)
{
	Sluice__V1__Verdict *v;
	ProtobufCMessage *m;

	if (!*job->verdict || reader_get(r, ROW_VERDICT, job->verdict, a, &m, NULL) <= 0)
		return;
	v = (Sluice__V1__Verdict *)m;
	for (size_t i = 0; i < v->n_expectations; i++) {
		char **grown = arena_alloc(a, (ret->n_verdicts + 1) * sizeof *grown);

		if (ret->n_verdicts)
			memcpy(grown, ret->verdicts, ret->n_verdicts * sizeof *grown);
		grown[ret->n_verdicts++] =
			arena_printf(a, "%s: %s", job->spec->name, v->expectations[i]->line);
		ret->verdicts = grown;
	}
}

/* A run that has ended, from its rows. */
static int closed_detail(struct store_reader *r, Sluice__V1__Run *run, struct arena *a,
			 Sluice__V1__RunDetail *ret, struct error *err)
{
	struct row_filter filter = {
		.parent = run->id, .limit = 1000, .oldest_first = true, .after = ""
	};
	struct row_page page;

	if (reader_list(r, ROW_JOB, &filter, a, &page, err) < 0)
		return -1;
	ret->run = run;
	ret->jobs = (Sluice__V1__Job **)page.messages;
	ret->n_jobs = page.count;
	qsort(ret->jobs, ret->n_jobs, sizeof *ret->jobs, by_index);
	for (size_t i = 0; i < ret->n_jobs; i++)
		add_verdict(r, ret->jobs[i], a, ret);
	return 0;
}

/* Open runs are the engine's, closed ones the store's; one that closes in between is found at the
 * second look. */
static int whole_detail(struct api *api, struct arena *a, const char *text,
			Sluice__V1__RunDetail *ret, struct error *err)
{
	cleanup(store_reader_givep) struct store_reader *r = store_reader_take(api->store, err);
	cleanup(message_freep) Sluice__V1__RunDetail *open = NULL;
	Sluice__V1__Run *run;

	if (!r)
		return -1;
	run = find_run(r, text, a, err);
	if (!run)
		return -1;
	if (run->state != SLUICE__V1__RUN_STATE__RUN_RUNNING)
		return closed_detail(r, run, a, ret, err);
	if (engine_read(api->engine, runs_detail, run->id, &open, err) == 0)
		return api_copy(a, open, &ret->base, err);
	if (err->code != ERR_NOT_FOUND)
		return -1;
	error_clear(err);
	run = find_run(r, run->id, a, err);
	return run ? closed_detail(r, run, a, ret, err) : -1;
}

static int detail(struct api *api, struct arena *a, const char *text, Sluice__V1__RunDetail *ret,
		  struct error *err)
{
	if (whole_detail(api, a, text, ret, err) < 0)
		return -1;
	if (ret->run->state == SLUICE__V1__RUN_STATE__RUN_RUNNING)
		metrics_show(api->metrics, ret, a);
	detail_shorten(ret, REPLY_BYTES);
	return 0;
}

static int get(struct rpc_call *call, const Sluice__V1__GetRunRequest *request,
	       Sluice__V1__RunDetail *reply, struct error *err)
{
	return detail(api_of(call), rpc_arena(call), request->run, reply, err);
}

/* A snapshot of a large run costs something: rest four times as long as it took, so that watching
 * never takes more than a fifth of one core, and small runs are shown at once. */
static void rest_after(int64_t began_us)
{
	int64_t us = MIN(4 * (clock_mono_us() - began_us), (int64_t)LONGEST_REST_US);
	struct timespec t = { 0, us * 1000 };

	nanosleep(&t, NULL);
}

static int watch(struct rpc_call *call, const Sluice__V1__GetRunRequest *request, struct error *err)
{
	cleanup(watch_end) struct watch w;
	const char *run = request->run;
	char id[ID_SIZE];

	watch_begin(&w, call);
	for (;;) {
		Sluice__V1__RunDetail now = SLUICE__V1__RUN_DETAIL__INIT;
		cleanup(arena_freep) struct arena *a = arena_new(0);
		int64_t began = clock_mono_us();

		if (detail(w.api, a, run, &now, err) < 0 || rpc_send(call, &now, err) < 0)
			return -1;
		if (now.run->state != SLUICE__V1__RUN_STATE__RUN_RUNNING)
			return 0;
		memccpy(id, now.run->id, 0,
			sizeof id); /* "" was the newest then, and stays that run */
		run = id;
		rest_after(began);
		if (!watch_wait(&w, id, "", err))
			return -1;
	}
}

static int list(struct rpc_call *call, const Sluice__V1__ListRunsRequest *request,
		Sluice__V1__ListRunsReply *reply, struct error *err)
{
	cleanup(store_reader_givep) struct store_reader *r =
		store_reader_take(api_of(call)->store, err);
	struct row_filter filter = { .key = *request->pipeline ? request->pipeline : NULL,
				     .state = (int)request->state,
				     .limit = page_size(request->page),
				     .max_bytes = REPLY_BYTES,
				     .after = page_token(request->page) };
	struct row_page page;

	if (!r || reader_list(r, ROW_RUN, &filter, rpc_arena(call), &page, err) < 0)
		return -1;
	reply->runs = (Sluice__V1__Run **)page.messages;
	reply->n_runs = page.count;
	reply->next = (char *)page.next;
	return 0;
}

/* ---- doing ---- */

/* The engine knows runs by number and id; "" is the newest. */
static char *resolve(struct rpc_call *call, const char *text, struct error *err)
{
	cleanup(store_reader_givep) struct store_reader *r =
		store_reader_take(api_of(call)->store, err);
	Sluice__V1__Run *run = r ? find_run(r, text, rpc_arena(call), err) : NULL;

	return run ? run->id : NULL;
}

static int cancel(struct rpc_call *call, const Sluice__V1__CancelRunRequest *request,
		  Sluice__V1__Run *reply, struct error *err)
{
	Sluice__V1__CancelRunRequest named = *request;
	struct run_cancellation ask = { .caller = caller_of(call), .request = &named };

	named.run = resolve(call, request->run, err);
	return named.run ? api_answer_urgent(call, runs_cancel, &ask, &reply->base, err) : -1;
}

static int retry(struct rpc_call *call, const Sluice__V1__RetryRunRequest *request,
		 Sluice__V1__SubmitReply *reply, struct error *err)
{
	Sluice__V1__RetryRunRequest named = *request;
	struct run_retry ask = { .caller = caller_of(call), .request = &named };

	named.run = resolve(call, request->run, err);
	return named.run ? api_answer(call, runs_retry, &ask, &reply->base, err) : -1;
}

static bool is_bad(const char *verdict)
{
	static const char pass[] = ": pass";
	size_t len = strlen(verdict);

	return !strstr(verdict, "skipped") &&
	       (len < strlen(pass) || strcmp(verdict + len - strlen(pass), pass) != 0);
}

/* Its expectations that did not pass; or else what is said of its end. */
static void add_causes_of(struct arena *a, const Sluice__V1__RunDetail *d,
			  const Sluice__V1__Job *job, Sluice__V1__WaitList *reply)
{
	size_t before = reply->n_causes, len = strlen(job->spec->name);

	for (size_t i = 0; i < d->n_verdicts; i++)
		if (strncmp(d->verdicts[i], job->spec->name, len) == 0 &&
		    strncmp(d->verdicts[i] + len, ": ", 2) == 0 && is_bad(d->verdicts[i]))
			reply->causes[reply->n_causes++] = d->verdicts[i];
	if (reply->n_causes == before)
		reply->causes[reply->n_causes++] =
			arena_printf(a, "%s: %s", job->spec->name, job->reason);
}

/* What became of it: the jobs that failed and the expectations that did not pass. */
static int add_causes(struct api *api, struct arena *a, const char *id, Sluice__V1__WaitList *reply,
		      struct error *err)
{
	Sluice__V1__RunDetail d = SLUICE__V1__RUN_DETAIL__INIT;

	if (detail(api, a, id, &d, err) < 0)
		return -1;
	reply->state = d.run->state;
	reply->reason = d.run->reason;
	reply->causes = arena_alloc(a, (d.n_jobs + d.n_verdicts + 1) * sizeof *reply->causes);
	for (size_t i = 0; i < d.n_jobs; i++)
		if (d.jobs[i]->state == SLUICE__V1__JOB_STATE__JOB_FAILED)
			add_causes_of(a, &d, d.jobs[i], reply);
	return 0;
}

static int why(struct rpc_call *call, const Sluice__V1__GetRunRequest *request,
	       Sluice__V1__WaitList *reply, struct error *err)
{
	const char *id = resolve(call, request->run, err);

	if (!id)
		return -1;
	if (api_look(call, waits_run, id, &reply->base, err) < 0) {
		if (err->code != ERR_NOT_FOUND)
			return -1;
		error_clear(err); /* it has ended: nothing waits */
	}
	return add_causes(api_of(call), rpc_arena(call), id, reply, err);
}

static int queue(struct rpc_call *call, const Sluice__V1__QueueRequest *request,
		 Sluice__V1__WaitList *reply, struct error *err)
{
	return api_look(call, waits_queue, NULL, &reply->base, err);
}

const struct rpc_method runs_api[] = {
	RPC_UNARY(OPERATOR, Submit, submit, Sluice__V1__SubmitRequest, Sluice__V1__SubmitReply),
	RPC_UNARY(VIEWER, Get, get, Sluice__V1__GetRunRequest, Sluice__V1__RunDetail),
	RPC_UNARY(VIEWER, List, list, Sluice__V1__ListRunsRequest, Sluice__V1__ListRunsReply),
	RPC_UNARY(OPERATOR, Cancel, cancel, Sluice__V1__CancelRunRequest, Sluice__V1__Run),
	RPC_UNARY(OPERATOR, Retry, retry, Sluice__V1__RetryRunRequest, Sluice__V1__SubmitReply),
	RPC_SERVER_STREAM(VIEWER, Watch, watch, Sluice__V1__GetRunRequest, Sluice__V1__RunDetail),
	RPC_UNARY(VIEWER, Why, why, Sluice__V1__GetRunRequest, Sluice__V1__WaitList),
	RPC_UNARY(VIEWER, Queue, queue, Sluice__V1__QueueRequest, Sluice__V1__WaitList),
	RPC_END
};
