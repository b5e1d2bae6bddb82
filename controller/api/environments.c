/*
 * Environments, promotion, rollback.
 */
#include "controller/model/environments.h"

#include <string.h>

#include "controller/api/private.h"
#include "controller/model/promotion.h"
#include "spec/spec.h"

static int list(struct rpc_call *call, const Sluice__V1__ListEnvironmentsRequest *request,
		Sluice__V1__ListEnvironmentsReply *reply, struct error *err)
{
	struct environments_page page = { .after = page_token(request->page),
					  .limit = (size_t)page_size(request->page) };

	return api_look(call, environments_list, &page, &reply->base, err);
}

static int get(struct rpc_call *call, const Sluice__V1__GetEnvironmentRequest *request,
	       Sluice__V1__EnvironmentDetail *reply, struct error *err)
{
	return api_look(call, environments_get, request->environment, &reply->base, err);
}

static int apply(struct rpc_call *call, const Sluice__V1__ApplyRequest *request,
		 Sluice__V1__ApplyReply *reply, struct error *err)
{
	cleanup(diagnostics_release) struct diagnostics d = { 0 };
	struct spec_source source = {
		.file = *request->file_name ? request->file_name : "sluice.yaml",
		.text = request->file,
		.len = strlen(request->file),
		.flags = SPEC_ENVIRONMENTS,
	};
	struct environment_apply ask = { .caller = caller_of(call), .request = request };
	Sluice__V1__Pipeline *pipeline;

	if (spec_expand(&source, rpc_arena(call), &pipeline, &d) < 0)
		return diagnostics_fail(&d, err);
	ask.pipeline = pipeline;
	return api_answer(call, environments_apply, &ask, &reply->base, err);
}

static int promote(struct rpc_call *call, const Sluice__V1__PromoteRequest *request,
		   Sluice__V1__PromoteReply *reply, struct error *err)
{
	struct promote ask = { .caller = caller_of(call), .request = request };

	return api_answer(call, promotions_promote, &ask, &reply->base, err);
}

static int rollback(struct rpc_call *call, const Sluice__V1__RollbackRequest *request,
		    Sluice__V1__PromoteReply *reply, struct error *err)
{
	struct rollback ask = { .caller = caller_of(call), .request = request };

	return api_answer_urgent(call, promotions_rollback, &ask, &reply->base, err);
}

static int hold(struct rpc_call *call, const Sluice__V1__HoldRequest *request,
		Sluice__V1__Environment *reply, struct error *err)
{
	struct environment_hold ask = { .caller = caller_of(call), .request = request };

	return api_answer(call, environments_hold, &ask, &reply->base, err);
}

static int unhold(struct rpc_call *call, const Sluice__V1__HoldRequest *request,
		  Sluice__V1__Environment *reply, struct error *err)
{
	struct environment_hold ask = { .caller = caller_of(call), .request = request };

	return api_answer(call, environments_unhold, &ask, &reply->base, err);
}

static int history(struct rpc_call *call, const Sluice__V1__HistoryRequest *request,
		   Sluice__V1__HistoryReply *reply, struct error *err)
{
	cleanup(store_reader_givep) struct store_reader *r =
		store_reader_take(api_of(call)->store, err);
	cleanup(message_freep) Sluice__V1__EnvironmentDetail *there = NULL;
	struct row_filter filter = { .parent = request->environment,
				     .limit = page_size(request->page),
				     .max_bytes = REPLY_BYTES,
				     .after = page_token(request->page) };
	struct row_page page;

	if (!r ||
	    engine_read(api_of(call)->engine, environments_get, request->environment, &there, err) <
		    0 ||
	    reader_list(r, ROW_PROMOTION, &filter, rpc_arena(call), &page, err) < 0)
		return -1;
	reply->promotions = (Sluice__V1__Promotion **)page.messages;
	reply->n_promotions = page.count;
	reply->next = (char *)page.next;
	return 0;
}

static bool is_over(const Sluice__V1__Promotion *p)
{
	return p->state == PROMOTION_STATE(SUCCEEDED) || p->state == PROMOTION_STATE(FAILED) ||
	       p->state == PROMOTION_STATE(ROLLED_BACK) || p->state == PROMOTION_STATE(CANCELLED);
}

/* With a promotion named, the detail shows that one, and ends with it. */
static int show_promotion(struct api *api, struct arena *a, const char *id,
			  Sluice__V1__EnvironmentDetail *now, struct error *err)
{
	cleanup(store_reader_givep) struct store_reader *r = NULL;
	ProtobufCMessage *m;
	int found;

	if (now->promotion && strcmp(now->promotion->id, id) == 0)
		return 0;
	r = store_reader_take(api->store, err);
	found = r ? reader_get(r, ROW_PROMOTION, id, a, &m, err) : -1;
	if (found == 0)
		return error_id(err, "E0204", "there is no promotion '%s'", id);
	if (found > 0) {
		now->promotion = (Sluice__V1__Promotion *)m;
		now->n_verdicts = 0; /* they were of another one */
	}
	return found < 0 ? -1 : 0;
}

static int watch(struct rpc_call *call, const Sluice__V1__WatchEnvironmentRequest *request,
		 struct error *err)
{
	cleanup(watch_end) struct watch w;

	watch_begin(&w, call);
	for (;;) {
		Sluice__V1__EnvironmentDetail now = SLUICE__V1__ENVIRONMENT_DETAIL__INIT;
		cleanup(arena_freep) struct arena *a = arena_new(0);
		cleanup(message_freep) void *message = NULL;

		if (engine_read(w.api->engine, environments_get, request->environment, &message,
				err) < 0 ||
		    api_copy(a, message, &now.base, err) < 0 ||
		    (*request->promotion &&
		     show_promotion(w.api, a, request->promotion, &now, err) < 0) ||
		    rpc_send(call, &now, err) < 0)
			return -1;
		if (*request->promotion && is_over(now.promotion))
			return 0;
		if (!watch_wait(&w, "", request->environment, err))
			return -1;
	}
}

const struct rpc_method environments_api[] = {
	RPC_UNARY(VIEWER, List, list, Sluice__V1__ListEnvironmentsRequest,
		  Sluice__V1__ListEnvironmentsReply),
	RPC_UNARY(VIEWER, Get, get, Sluice__V1__GetEnvironmentRequest,
		  Sluice__V1__EnvironmentDetail),
	RPC_UNARY(ADMIN, Apply, apply, Sluice__V1__ApplyRequest, Sluice__V1__ApplyReply),
	RPC_UNARY(OPERATOR, Promote, promote, Sluice__V1__PromoteRequest, Sluice__V1__PromoteReply),
	RPC_UNARY(OPERATOR, Rollback, rollback, Sluice__V1__RollbackRequest,
		  Sluice__V1__PromoteReply),
	RPC_UNARY(OPERATOR, Hold, hold, Sluice__V1__HoldRequest, Sluice__V1__Environment),
	RPC_UNARY(OPERATOR, Unhold, unhold, Sluice__V1__HoldRequest, Sluice__V1__Environment),
	RPC_UNARY(VIEWER, History, history, Sluice__V1__HistoryRequest, Sluice__V1__HistoryReply),
	RPC_SERVER_STREAM(VIEWER, Watch, watch, Sluice__V1__WatchEnvironmentRequest,
			  Sluice__V1__EnvironmentDetail),
	RPC_END
};
