/*
 * waits.h - one sentence for each thing that waits, from the code that decides
 */
#ifndef MODEL_WAITS_H
#define MODEL_WAITS_H

#include "controller/model/world.h"

enum { WAITS_MAX = 1000 };

decide_fn waits_run; /* req: const char *run, open (see runs_detail); reply: Sluice__V1__WaitList **
		      */
/* Jobs that are queued, in the order in which they would start, then promotions; at most 1000,
 * `total` counts all. req: unused. */
decide_fn waits_queue; /* reply: Sluice__V1__WaitList ** */

/* ---- for the rest of the model ---- */

/* Why this job has not ended yet; NULL for one that runs or has ended. */
Sluice__V1__Wait *wait_of_job(struct world *w, const struct job *job);
/* For delivery_waits(): a wait with this sentence, on the heap. */
Sluice__V1__Wait *wait_new(const char *subject, int64_t since_ms, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
