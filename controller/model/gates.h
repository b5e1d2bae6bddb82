/*
 * gates.h - is what a job made good enough? (SEMANTICS.md, Gates)
 *
 * A gate is a job's list of expectations over its metrics, over champion.X and over
 * <environment>.X. The champion is the release that is live in the environment the gate guards: the
 * last one, by `after`, of those that take this pipeline's releases; for a verify step the release
 * that was last verified in its environment.
 *
 * Same yardstick: a value of another release counts only if it was measured with the same
 * evaluation set by the same evaluator, as the Evaluations kept on that release say; else the
 * expectation is INCONCLUSIVE and names both.
 *
 *	candidate	digest of the artifact judged (several: of the list of their digests);
 *			of a verify step the release's
 *	set		digest of the evaluation set, or ""
 *	evaluator	SHA-256 of the job's command; of a verify step, of "environment/step" and it
 *	gate		SHA-256 of the expectations, one a line
 *
 * A verdict of a pipeline's job that PASSed or FAILed has as its id the SHA-256 of these, the
 * champion and the run's source (the evaluator's code): where the same comes again, it is reused.
 *Everything else gets an id of its own, and so does a job that says not what it evaluates.
 */
#ifndef MODEL_GATES_H
#define MODEL_GATES_H

#include "controller/model/world.h"

/* The environment that a pipeline's gates guard; NULL: none takes its releases yet. */
struct environment *gates_guarded(struct world *w, const char *pipeline);
/* What a job measured and on what, on the heap; NULL when it has no metrics. */
Sluice__V1__Evaluation *gates_evaluation(struct world *w, const struct job *job);
/* "gate failed: accuracy 0.9 >= 0.95: fail (1 of 3 expectations)"; on the heap. */
char *gates_reason(const Sluice__V1__Verdict *v);
/* Was it measured against another release than the one that is live there now? `guarded`: the
 * environment is the one that gates guard now; then what they measured before it was there, with
 * nothing or something else for a champion, is stale, too, once something is live. */
bool verdict_is_stale(const Sluice__V1__Verdict *v, const struct environment *env, bool guarded);
const char *verdict_state_name(Sluice__V1__VerdictState state); /* "pass" */

#endif
