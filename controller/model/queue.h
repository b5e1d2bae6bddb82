/*
 * queue.h - jobs that could start, by what they need
 *
 * Shared by queue.c, place.c and explain.c only. Jobs with equal needs wait in one heap, ordered by
 * priority (higher first), run and place in the run. If the first cannot start, none can.
 */
#ifndef MODEL_QUEUE_H
#define MODEL_QUEUE_H

#include "controller/model/world.h"

struct needs {
	const Sluice__V1__Resources *resources; /* never NULL */
	const char *environment;		/* whose hosts alone may run it, or NULL */
};

struct queue {
	char *key;
	UT_hash_handle by_key;
	struct list link; /* in queues.filled or queues.empty */
	struct job **at;
	size_t n, cap;
	Sluice__V1__Resources *resources; /* owned, as jobs come and go */
	char *environment;		  /* owned */
	bool fresh;			  /* no agent was asked yet: all are */
	struct list passed;		  /* struct pass_over */
};

struct pass_over {
	struct list link;
	struct queue *queue;
	struct agent *agent;
	struct timer timer;
	char *reason;
};

struct queues {
	struct queue *by_key;
	struct list filled, empty;
	size_t n_filled;
};

struct queues *queues_of(struct world *w);
struct needs needs_of_job(const struct job *job);
struct needs needs_of_queue(const struct queue *q);
/* Does a start before b, both first of their queues? */
bool job_before(const struct job *a, const struct job *b);
void queues_drop_empty(struct world *w);
struct pass_over *queue_passes(const struct queue *q, const struct agent *agent);
/* The first jobs of a heap in order, at most max. */
size_t queue_first(const struct queue *q, struct job **ret, size_t max);

/* Why an agent cannot hold a job, nearest to impossible first. */
enum misfit {
	FITS,
	MISFIT_LABELS,
	MISFIT_ENVIRONMENT, /* it is the host of an environment that takes no other jobs */
	MISFIT_CPU_EVER,
	MISFIT_MEMORY_EVER,
	MISFIT_GPUS_EVER, /* not even idle */
	MISFIT_DRAINING,
	MISFIT_DISCONNECTED,
	MISFIT_PASSED_OVER,
	MISFIT_OFFERS, /* it has not answered what it was offered */
	MISFIT_DISK,
	MISFIT_SLOTS,
	MISFIT_CPU,
	MISFIT_MEMORY,
	MISFIT_GPUS,
};

/* place.c: the one place that says what fits. */
struct room {
	uint32_t slots, cpu_milli;
	uint64_t memory, gpus; /* used */
};
struct room agent_used(const struct agent *agent);
enum misfit fit_idle(struct world *w, const struct needs *needs, const struct agent *agent);
enum misfit fit_room(const struct needs *needs, const struct agent *agent, const struct room *used,
		     uint64_t *ret_gpus);
enum misfit fit(struct world *w, const struct queue *q, const struct agent *agent,
		uint64_t *ret_gpus);
/* Bits of the GPUs that have at least this much memory. */
uint64_t gpus_of_size(const struct agent *agent, uint64_t memory);

#endif
