/*
 * The client's half. Nothing here is fast on purpose: it must only not be in the way, so waiting
 * is a look at the list of open runs, not a watch of thousands of jobs.
 */
#include "load/client.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "load/measure.h"

enum { JOBS_OF_RUN = 500, JOBS_OF_MATRIX = 250, WAIT_LIMIT_S = 600 };

RPC_STUB(runs_submit, sluice__v1__runs, Submit, Sluice__V1__SubmitRequest, Sluice__V1__SubmitReply)
RPC_STUB(runs_list, sluice__v1__runs, List, Sluice__V1__ListRunsRequest, Sluice__V1__ListRunsReply)
RPC_STUB(runs_cancel, sluice__v1__runs, Cancel, Sluice__V1__CancelRunRequest, Sluice__V1__Run)
RPC_STUB(agents_list, sluice__v1__agents, List, Sluice__V1__ListAgentsRequest,
	 Sluice__V1__ListAgentsReply)
RPC_STUB(agents_drain, sluice__v1__agents, Drain, Sluice__V1__AgentActionRequest, Sluice__V1__Agent)
RPC_STUB(agents_resume, sluice__v1__agents, Resume, Sluice__V1__AgentActionRequest,
	 Sluice__V1__Agent)

/* ---- files ---- */

static void add_job(struct buf *ret, const char *name, unsigned jobs, const char *command)
{
	buf_printf(ret, "  %s:\n", name);
	if (jobs > 1) {
		buf_puts(ret, "    matrix: {n: [");
		for (unsigned i = 0; i < jobs; i++)
			buf_printf(ret, "%s%u", i ? "," : "", i);
		buf_puts(ret, "]}\n");
	}
	buf_printf(ret, "    run: \"%s\"\n", command);
}

void client_pipeline(struct buf *ret, unsigned jobs, const char *command)
{
	unsigned first = MIN(jobs, (unsigned)JOBS_OF_MATRIX);

	buf_puts(ret, "version: 1\npipeline: bench\njobs:\n");
	add_job(ret, "a", first, command);
	if (jobs > first)
		add_job(ret, "b", jobs - first, command);
}

void client_pipeline_output(struct buf *ret, const char *command)
{
	client_pipeline(ret, 1, command);
	buf_puts(ret, "    outputs: {out: {path: out, kind: data}}\n");
}

/* ---- runs ---- */

struct id client_submit(struct rpc_channel *ch, const char *file, int priority)
{
	Sluice__V1__SubmitRequest request = SLUICE__V1__SUBMIT_REQUEST__INIT;
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	const Sluice__V1__SubmitReply *reply;
	struct id id = id_new();
	struct error err = { 0 };

	request.request_id = id.text;
	request.file_name = (char *)"bench.yaml";
	request.file = (char *)file;
	request.priority = priority;
	reply = runs_submit(ch, arena, &request, &err);
	if (!reply)
		die(&err, "submitting");
	snprintf(id.text, sizeof id.text, "%s", reply->run->id);
	return id;
}

unsigned client_submit_many(struct rpc_channel *ch, unsigned jobs, const char *command,
			    int priority)
{
	unsigned runs = 0;

	for (; jobs; runs++) {
		unsigned n = MIN(jobs, (unsigned)JOBS_OF_RUN);
		cleanup(buf_release) struct buf file = { 0 };

		client_pipeline(&file, n, command);
		client_submit(ch, buf_str(&file), priority);
		jobs -= n;
	}
	return runs;
}

static const Sluice__V1__ListRunsReply *list(struct rpc_channel *ch, struct arena *arena,
					     Sluice__V1__RunState state, unsigned size)
{
	Sluice__V1__ListRunsRequest request = SLUICE__V1__LIST_RUNS_REQUEST__INIT;
	Sluice__V1__PageRequest page = SLUICE__V1__PAGE_REQUEST__INIT;
	const Sluice__V1__ListRunsReply *reply;
	struct error err = { 0 };

	page.size = (int32_t)size;
	request.page = &page;
	request.state = state;
	reply = runs_list(ch, arena, &request, &err);
	if (!reply)
		die(&err, "listing runs");
	return reply;
}

void client_wait_open(struct rpc_channel *ch, unsigned left)
{
	double until = clock_s() + WAIT_LIMIT_S;

	while (clock_s() < until) {
		cleanup(arena_freep) struct arena *arena = arena_new(0);

		if (list(ch, arena, SLUICE__V1__RUN_STATE__RUN_RUNNING, left + 1)->n_runs <= left)
			return;
		pause_s(0.01);
	}
	die(NULL, "runs did not end within %d s", WAIT_LIMIT_S);
}

int64_t client_last_end(struct rpc_channel *ch, unsigned n, int priority)
{
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	const Sluice__V1__ListRunsReply *reply =
		list(ch, arena, SLUICE__V1__RUN_STATE__RUN_STATE_UNSPECIFIED, 1000);
	int64_t last = 0;

	for (size_t i = 0; i < reply->n_runs && n; i++) {
		const Sluice__V1__Run *run = reply->runs[i];

		if (run->priority != priority)
			continue;
		if (run->state != SLUICE__V1__RUN_STATE__RUN_SUCCEEDED)
			die(NULL, "run %u did not succeed: %s", run->number, run->reason);
		last = MAX(last, run->finished_ms);
		n--;
	}
	return last;
}

void client_cancel_all(struct rpc_channel *ch)
{
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	const Sluice__V1__ListRunsReply *open =
		list(ch, arena, SLUICE__V1__RUN_STATE__RUN_RUNNING, 1000);

	for (size_t i = 0; i < open->n_runs; i++) {
		Sluice__V1__CancelRunRequest request = SLUICE__V1__CANCEL_RUN_REQUEST__INIT;
		struct id id = id_new();
		struct error err = { 0 };

		request.request_id = id.text;
		request.run = open->runs[i]->id;
		request.reason = (char *)"measured enough";
		if (!runs_cancel(ch, arena, &request, &err))
			die(&err, "cancelling");
	}
	client_wait_open(ch, 0);
}

void client_watch(struct rpc_channel *ch, const char *run)
{
	struct error err = { 0 };
	cleanup(rpc_closep) struct rpc_call *call =
		rpc_open(ch, &sluice__v1__runs__descriptor, "Watch", &err);
	Sluice__V1__GetRunRequest request = SLUICE__V1__GET_RUN_REQUEST__INIT;
	Sluice__V1__RunState state = SLUICE__V1__RUN_STATE__RUN_RUNNING;
	const Sluice__V1__RunDetail *now;

	request.run = (char *)run;
	if (!call || rpc_send(call, &request, &err) < 0 || rpc_done_sending(call, &err) < 0)
		die(&err, "watching a run");
	while (rpc_recv(call, &now, &err) > 0) {
		state = now->run->state;
		if (state == SLUICE__V1__RUN_STATE__RUN_FAILED)
			die(NULL, "run %u failed: %s", now->run->number,
			    now->n_jobs ? now->jobs[0]->reason : "");
	}
	if (state != SLUICE__V1__RUN_STATE__RUN_SUCCEEDED)
		die(&err, "the run did not succeed");
}

/* ---- agents ---- */

static const Sluice__V1__ListAgentsReply *list_agents(struct rpc_channel *ch, struct arena *arena)
{
	Sluice__V1__ListAgentsRequest request = SLUICE__V1__LIST_AGENTS_REQUEST__INIT;
	Sluice__V1__PageRequest page = SLUICE__V1__PAGE_REQUEST__INIT;
	struct error ignored = { 0 };

	page.size = 1000;
	request.page = &page;
	return agents_list(ch, arena, &request, &ignored);
}

bool client_answers(struct rpc_channel *ch)
{
	cleanup(arena_freep) struct arena *arena = arena_new(0);

	return list_agents(ch, arena) != NULL;
}

unsigned client_agents_connected(struct rpc_channel *ch)
{
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	const Sluice__V1__ListAgentsReply *reply = list_agents(ch, arena);
	unsigned n = 0;

	for (size_t i = 0; reply && i < reply->n_agents; i++)
		n += reply->agents[i]->agent->connected;
	return n;
}

void client_drain(struct rpc_channel *ch, const char *agent, bool drain)
{
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	Sluice__V1__AgentActionRequest request = SLUICE__V1__AGENT_ACTION_REQUEST__INIT;
	struct id id = id_new();
	struct error err = { 0 };

	request.request_id = id.text;
	request.agent = (char *)agent;
	request.reason = (char *)"measuring";
	if (!(drain ? agents_drain(ch, arena, &request, &err)
		    : agents_resume(ch, arena, &request, &err)))
		die(&err, "draining agent '%s'", agent);
}

/* ---- logs ---- */

struct rpc_call *client_follow(struct rpc_channel *ch, const char *run, const char *job)
{
	Sluice__V1__ReadLogRequest request = SLUICE__V1__READ_LOG_REQUEST__INIT;
	struct error err = { 0 };
	struct rpc_call *call = rpc_open(ch, &sluice__v1__logs__descriptor, "Read", &err);

	request.run = (char *)run;
	request.job = (char *)job;
	request.follow = true;
	if (!call || rpc_send(call, &request, &err) < 0 || rpc_done_sending(call, &err) < 0)
		die(&err, "following a log");
	return call;
}
