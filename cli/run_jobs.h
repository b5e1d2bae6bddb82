/*
 * run_jobs.h - the jobs of a run, a line each, and one of them with all that is known of it
 */
#ifndef CLI_RUN_JOBS_H
#define CLI_RUN_JOBS_H

#include "cli/run_view.h"

/* Is it this instance, or one of the matrix of this name? "" names all. */
bool job_is_named(const Sluice__V1__Job *job, const char *name);
/* A table: state, attempts, agent, time, and metrics or the reason. */
void run_jobs_view(const Sluice__V1__RunDetail *run, const char *name, const struct look *look,
		   struct buf *out);
void run_job_view(const Sluice__V1__RunDetail *run, const Sluice__V1__Job *job,
		  const struct look *look, struct buf *out);

#endif
