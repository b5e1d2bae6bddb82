/*
 * place.h - what starts where
 *
 * Queued jobs that need the same (resources, labels, environment of a verify step) wait in one
 * queue, by priority and then age. A step looks at the first of each queue only, and only where
 * something changed: O(needs + agents), however many jobs wait.
 *
 * An agent takes a job when it is connected and enabled, carries the labels, has a free slot,
 * CPU, memory and GPUs (whole ones, by index), and no environment that is not `shared` matched it
 * (unless the job verifies that environment). Of several the emptiest takes it; GPUs go where the
 * fewest are left over. Agents that declined a job are passed over for a while. An agent that has
 * not answered offers of 1 MiB gets no more before it has: a session holds 4 MiB of what its peer
 * does not read, and ends beyond that.
 */
#ifndef MODEL_PLACE_H
#define MODEL_PLACE_H

#include "base/buf.h"
#include "controller/model/world.h"

enum {
	PASS_OVER_MS = 60 * 1000,
	OFFERED_BYTES_MAX = 1 << 20, /* of offers to one agent that wait for its answer */
};

void queue_add(struct world *w, struct job *job); /* QUEUED and no back-off */
void queue_remove(struct world *w, struct job *job);
void queues_release(struct world *w);
/* This agent may hold more than before, or other jobs: connected, a slot or memory came free,
 * labels, n_environments, services changed. place() looks at it again. */
void place_agent(struct world *w, struct agent *agent);
/* Its offer was answered, or will never be: OFFERED ends. */
void place_answered(struct world *w, struct attempt *a);
/* Jobs with this job's needs pass this agent over for a while. */
void place_declined(struct world *w, struct job *job, struct agent *agent, const char *reason);
/* What an open attempt holds of its agent; and gives back. */
void place_hold(struct agent *agent, const struct attempt *a);
void place_release(struct world *w, struct agent *agent, const struct attempt *a);

/* Could any enabled agent, idle, hold these jobs? No agent at all: 0 and *ret_nobody. E0510 with
 * the numbers otherwise. */
int place_possible(struct world *w, const Sluice__V1__Pipeline *p, bool *ret_nobody,
		   struct error *err);
/* Why a queued job has not started: "needs 4 GPUs of >= 40G in zone=a; gpu-02 has 2 free, 4 after
 * #311". */
void place_explain(struct world *w, const struct job *job, struct buf *out);

/* The queued jobs in the order in which they would start, at most max; *ret_total is all of them.
 */
size_t place_queued(struct world *w, struct job **ret, size_t max, size_t *ret_total);

#endif
