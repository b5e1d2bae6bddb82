/*
 * Watching: a handler sleeps until the feed has something that concerns what it shows.
 */
#include "controller/api/private.h"

static void wake(void *arg)
{
	feed_wake(arg);
}

void watch_begin(struct watch *w, struct rpc_call *call)
{
	w->api = api_of(call);
	w->call = call;
	w->waiter = feed_waiter_new(w->api->engine);
	w->seen = engine_last_event(w->api->engine);
	rpc_on_cancel(call, wake, w->waiter);
}

void watch_end(struct watch *w)
{
	rpc_on_cancel(w->call, NULL, NULL);
	feed_waiter_free(w->waiter);
}

bool watch_wait(struct watch *w, const char *run_id, const char *environment)
{
	for (;;) {
		uint64_t last = feed_wait(w->waiter, w->seen, -1);
		uint64_t from = w->seen;

		if (rpc_cancelled(w->call))
			return false;
		w->seen = last;
		if (last > from && feed_concerns(w->api->engine, from, last, run_id, environment))
			return true;
		if (last == from) /* woken for another reason: the engine stops */
			return false;
	}
}
