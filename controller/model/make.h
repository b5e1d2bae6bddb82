/*
 * make.h - how a run comes into being: planned (may fail, changes nothing), then made
 */
#ifndef MODEL_MAKE_H
#define MODEL_MAKE_H

#include "controller/model/caller.h"
#include "controller/model/world.h"

/* Strings are borrowed. */
struct run_plan {
	const struct caller *caller;
	const char *source, *source_label, *file_name, *file;
	const char *retry_of; /* run id, or NULL */
	const char *note;     /* for the submitter, or NULL */
	int32_t priority;
	Sluice__V1__Job **jobs; /* owned */
	size_t n_jobs;
};

/* The rows of a pipeline's jobs, with the published inputs. */
int run_plan_jobs(struct world *w, const Sluice__V1__Pipeline *p, struct run_plan *plan,
		  struct error *err);
void run_plan_release(struct run_plan *plan);
/* *pipeline is taken; NULL: nothing was changed. */
struct run *run_make(struct world *w, struct run_plan *plan, Sluice__V1__Pipeline **pipeline,
		     struct error *err);
int runs_answer_again(struct world *w, const char *id, Sluice__V1__SubmitReply **ret,
		      struct error *err);

#endif
