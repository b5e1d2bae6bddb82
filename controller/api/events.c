/*
 * The feed of events, from any point on, live.
 */
#include <string.h>

#include "controller/api/private.h"

enum { BATCH = 500 };

static bool wanted(const Sluice__V1__WatchEventsRequest *request, const Sluice__V1__Event *e)
{
	return (!*request->run || strcmp(request->run, e->run_id) == 0) &&
	       (!*request->environment || strcmp(request->environment, e->environment) == 0);
}

/* Sends what there is after *seen; moves it on. */
static int send_some(struct rpc_call *call, const Sluice__V1__WatchEventsRequest *request,
		     uint64_t *seen, size_t *ret_read, struct error *err)
{
	cleanup(store_reader_givep) struct store_reader *r =
		store_reader_take(api_of(call)->store, err);
	cleanup(arena_freep) struct arena *a = arena_new(0);
	Sluice__V1__EventBatch batch = SLUICE__V1__EVENT_BATCH__INIT;
	Sluice__V1__Event **events;
	size_t n, kept = 0;

	if (!r || reader_events(r, *seen, BATCH, a, &events, &n, err) < 0)
		return -1;
	*ret_read = n;
	if (n)
		*seen = events[n - 1]->seq;
	for (size_t i = 0; i < n; i++)
		if (wanted(request, events[i]))
			events[kept++] = events[i];
	batch.events = events;
	batch.n_events = kept;
	store_reader_give(steal(r)); /* a client that does not read must not hold it */
	return kept ? rpc_send(call, &batch, err) : 0;
}

static int watch(struct rpc_call *call, const Sluice__V1__WatchEventsRequest *request,
		 struct error *err)
{
	cleanup(watch_end) struct watch w;
	Sluice__V1__WatchEventsRequest by_id = *request;
	uint64_t seen;
	size_t n;

	watch_begin(&w, call);
	seen = request->from_now ? w.seen : request->after_seq;
	if (*request->run) {
		cleanup(store_reader_givep) struct store_reader *r =
			store_reader_take(api_of(call)->store, err);
		Sluice__V1__Run *run = r ? find_run(r, request->run, rpc_arena(call), err) : NULL;

		if (!run)
			return -1;
		by_id.run = run->id;
	}
	for (;;) {
		do {
			if (send_some(call, &by_id, &seen, &n, err) < 0)
				return -1;
		} while (n == BATCH);
		if (!request->follow)
			return 0;
		w.seen = seen;
		if (!watch_wait(&w, by_id.run, request->environment, err))
			return -1;
	}
}

const struct rpc_method events_api[] = { RPC_SERVER_STREAM(VIEWER, Watch, watch,
							   Sluice__V1__WatchEventsRequest,
							   Sluice__V1__EventBatch),
					 RPC_END };
