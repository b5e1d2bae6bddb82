/*
 * releases_fixture.h - runs whose jobs are there and did what the test says
 *
 * A run of the pipeline "fraud" has two jobs: `evaluate` reads a model and an evaluation set and
 * reports metrics; `package` makes a release of the model.
 */
#ifndef TEST_RELEASES_FIXTURE_H
#define TEST_RELEASES_FIXTURE_H

#include "rollout_fixture.h"

struct made {
	struct run *run;
	struct job *evaluate, *package;
};

struct made made_run(struct sim *s, const char *model, const char *set);
void made_metric(struct job *job, const char *name, double value);
void made_gate(struct job *job, const char *expectation);
/* Decides the gates of `evaluate`; on PASS both jobs succeed. */
Sluice__V1__VerdictState made_finish(struct sim *s, struct made *m);
/* The verdict of the last decision; message_free() it. */
Sluice__V1__Verdict *made_verdict(struct sim *s, const struct made *m);
void made_input(struct job *job, const char *name, const char *digest, const char *artifact_id);
/* An artifact's row in the store. */
void made_artifact(struct sim *s, const char *id, const char *digest, const char *published,
		   uint32_t version, const char *const *inputs, size_t n_inputs);

#endif
