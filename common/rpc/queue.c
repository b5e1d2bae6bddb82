/*
 * One completion queue and the threads that wait on it. A tag is a verb: the
 * loop calls tag->done and knows nothing else. The deadline of the wait is the
 * soonest timer; the bell (an empty batch on a call that goes nowhere) wakes a
 * thread when a sooner one was set.
 */
#include <assert.h>

#include "base/clock.h"
#include "rpc/internal.h"

static int64_t mono_ms(void)
{
	return clock_mono_us() / 1000;
}

gpr_timespec rpc_in_ms(int64_t ms)
{
	if (ms < 0 || ms > INT32_MAX)
		return gpr_inf_future(GPR_CLOCK_MONOTONIC);
	return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
}

static int64_t until_next_timer(struct rpc_queue *q)
{
	LOCKED(&q->lock);
	struct rpc_timer *first = list_first(&q->timers, struct rpc_timer, link);

	return first ? MAX(first->due_ms - mono_ms(), 0) : -1;
}

static struct rpc_timer *take_due(struct rpc_queue *q)
{
	LOCKED(&q->lock);
	struct rpc_timer *first = list_first(&q->timers, struct rpc_timer, link);

	if (!first || first->due_ms > mono_ms())
		return NULL;
	list_remove(&first->link);
	return first;
}

static void *io_main(void *arg)
{
	struct rpc_queue *q = arg;
	struct rpc_timer *timer;
	struct rpc_tag *tag;
	grpc_event ev;

	for (;;) {
		ev = grpc_completion_queue_next(q->cq, rpc_in_ms(until_next_timer(q)), NULL);
		if (ev.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
		while ((timer = take_due(q)))
			timer->fire(timer);
		if (ev.type == GRPC_QUEUE_TIMEOUT)
			continue;
		tag = ev.tag;
		tsan_acquire(tag);
		tag->done(tag, ev.success);
	}
}

static void rung(struct rpc_tag *tag, bool ok)
{
}

void queue_set_timer(struct rpc_queue *q, struct rpc_timer *timer, int64_t in_ms)
{
	struct list *at;
	bool first;

	lock_take(&q->lock);
	if (list_linked(&timer->link)) {
		lock_drop(&q->lock);
		return;
	}
	timer->due_ms = mono_ms() + in_ms;
	for (at = q->timers.next; at != &q->timers; at = at->next)
		if (list_entry(at, struct rpc_timer, link)->due_ms > timer->due_ms)
			break;
	list_insert_before(at, &timer->link);
	first = q->timers.next == &timer->link;
	lock_drop(&q->lock);
	if (first) {
		tsan_release(&q->rung);
		grpc_call_start_batch(q->bell, NULL, 0, &q->rung, NULL);
	}
}

void queue_start(struct rpc_queue *q, unsigned io_threads)
{
	assert(io_threads <= RPC_MAX_IO_THREADS);
	lock_init(&q->lock);
	list_init(&q->timers);
	q->rung.done = rung;
	q->cq = grpc_completion_queue_create_for_next(NULL);
	q->tower = grpc_lame_client_channel_create("bell", GRPC_STATUS_UNIMPLEMENTED, "no peer");
	q->bell = grpc_channel_create_call(q->tower, NULL, GRPC_PROPAGATE_DEFAULTS, q->cq,
					   grpc_slice_from_static_string("/bell"), NULL,
					   gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
	while (q->n_io < io_threads)
		q->io[q->n_io++] = thread_start("rpc-io", 0, io_main, q);
}

void queue_stop(struct rpc_queue *q)
{
	grpc_call_unref(q->bell);
	grpc_channel_destroy(q->tower);
	grpc_completion_queue_shutdown(q->cq);
	while (q->n_io > 0)
		thread_join(q->io[--q->n_io]);
	grpc_completion_queue_destroy(q->cq);
	lock_release(&q->lock);
}
