/*
 * Watching: a handler sleeps until the feed has something that concerns what it shows.
 */
#include "controller/api/private.h"

#include "base/clock.h"

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

bool watch_wait(struct watch *w, const char *run_id, const char *environment, struct error *err)
{
	for (;;) {
		int left = access_left_ms(w->call);
		int64_t until = clock_mono_us() / 1000 + left;
		uint64_t last = left ? feed_wait(w->waiter, w->seen, left) : w->seen;
		uint64_t from = w->seen;

		if (rpc_cancelled(w->call))
			return error_set(err, ERR_CANCELLED, "the client left"), false;
		if (!left)
			return access_over(err), false;
		w->seen = last;
		if (last > from && feed_concerns(w->api->engine, from, last, run_id, environment))
			return true;
		/* woken for another reason: the engine stops */
		if (last == from && (left < 0 || clock_mono_us() / 1000 < until))
			return error_set(err, ERR_UNAVAILABLE, "the controller is stopping"), false;
	}
}
