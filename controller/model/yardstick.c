/*
 * What a job measured, with what, on what; and what another release has to say about
 * the same. Values compare only when set and evaluator are equal.
 */
#include "controller/model/yardstick.h"

#include <string.h>

#include "base/buf.h"
#include "controller/model/environments.h"
#include "controller/model/gates.h"
#include "crypto/digest.h"
#include "expr/expr.h"
#include "proto/message.h"

/* ---- what a job measured ---- */

void gate_set_digest(char **field, const struct buf *text)
{
	struct digest digest = digest_of(buf_str(text), text->len);
	char hex[DIGEST_TEXT_SIZE];

	message_set_string(field, digest_format(&digest, hex));
}

/* One artifact is its digest; several are the digest of their list. */
static void set_artifacts(char **field, const Sluice__V1__ResolvedInput *input)
{
	cleanup(buf_release) struct buf list = { 0 };

	if (input->n_artifacts == 1) {
		message_set_string(field, input->artifacts[0]->digest);
		return;
	}
	for (size_t i = 0; i < input->n_artifacts; i++)
		buf_printf(&list, "%s %s\n", input->artifacts[i]->key, input->artifacts[i]->digest);
	gate_set_digest(field, &list);
}

static void set_subject(char **field, const struct job *job, const char *name)
{
	for (size_t i = 0; i < job->row->n_inputs; i++)
		if (!strcmp(job->row->inputs[i]->name, name)) {
			set_artifacts(field, job->row->inputs[i]);
			return;
		}
	for (size_t i = 0; i < job->row->n_outputs; i++)
		if (!strcmp(job->row->outputs[i]->name, name))
			message_set_string(field, job->row->outputs[i]->digest);
}

bool gate_is_verify(const struct job *job)
{
	return job->run->row->kind == SLUICE__V1__RUN__KIND__VERIFY;
}

/* A step is known by its environment, too: the same command elsewhere measures other hosts. */
static char *yardstick_name(const struct job *job)
{
	if (gate_is_verify(job))
		return xprintf("%s/%s", job->run->row->environment, job->row->spec->basename);
	return xstrdup(job->row->spec->name);
}

/* Without metrics: candidate, set and evaluator alone. */
static Sluice__V1__Evaluation *describe(const struct job *job)
{
	Sluice__V1__Evaluation *e = message_new(&sluice__v1__evaluation__descriptor);
	const Sluice__V1__JobSpec *spec = job->row->spec;
	cleanup(buf_release) struct buf command = { 0 };
	cleanup(freep) char *name = yardstick_name(job);

	message_set_string(&e->job, name);
	if (gate_is_verify(job))
		buf_printf(&command, "%s\n", name);
	buf_puts(&command, spec->run);
	gate_set_digest(&e->evaluator, &command);
	if (spec->evaluates) {
		set_subject(&e->artifact, job, spec->evaluates->candidate);
		if (spec->evaluates->set[0])
			set_subject(&e->set, job, spec->evaluates->set);
		message_set_string(&e->set_name, spec->evaluates->set);
	}
	if (gate_is_verify(job) && job->run->promotion)
		message_set_string(&e->artifact, job->run->promotion->release->row->digest);
	return e;
}

Sluice__V1__Evaluation *gates_evaluation(struct world *w, const struct job *job)
{
	Sluice__V1__Evaluation *e;

	if (!job->row->n_metrics)
		return NULL;
	e = describe(job);
	for (size_t i = 0; i < job->row->n_metrics; i++)
		message_append(e, metrics, message_copy(job->row->metrics[i]));
	return e;
}

/* ---- the other side ---- */

void gate_init(struct gate *g, struct world *w, const struct job *job)
{
	*g = (struct gate){ .w = w, .job = job, .candidate = describe(job) };
	g->guarded = gate_is_verify(job) ? world_environment(w, job->run->row->environment, NULL)
					 : gates_guarded(w, job->run->row->pipeline);
}

void gate_release(struct gate *g)
{
	message_free(g->candidate);
	for (size_t i = 0; i < g->n_rivals; i++) {
		free(g->rivals[i].scope);
		free(g->rivals[i].note);
	}
}

static bool same_yardstick(const struct gate *g, const Sluice__V1__Evaluation *e)
{
	return !strcmp(e->set, g->candidate->set) && !strcmp(e->evaluator, g->candidate->evaluator);
}

static void compare_yardsticks(const struct gate *g, struct rival *rival)
{
	const Sluice__V1__Release *row = rival->release->row;
	const Sluice__V1__Evaluation *other = NULL;

	for (size_t i = row->n_evaluations; i > 0; i--) {
		const Sluice__V1__Evaluation *e = row->evaluations[i - 1];

		if (same_yardstick(g, e)) {
			rival->evaluation = e;
			rival->state = RIVAL_KNOWN;
			return;
		}
		if (!other && !strcmp(e->job, g->candidate->job))
			other = e;
	}
	rival->state = RIVAL_DIFFERENT;
	if (!other)
		rival->note = xprintf("r%u carries no value of '%s' for the set %.19s", row->number,
				      g->candidate->job,
				      g->candidate->set[0] ? g->candidate->set : "(none)");
	else if (strcmp(other->set, g->candidate->set))
		rival->note = xprintf("r%u was measured on the set %.19s, the candidate on %.19s",
				      row->number, other->set[0] ? other->set : "(none)",
				      g->candidate->set[0] ? g->candidate->set : "(none)");
	else
		rival->note =
			xprintf("r%u was measured by the evaluator %.19s, the candidate by %.19s",
				row->number, other->evaluator, g->candidate->evaluator);
}

static struct environment *environment_of_scope(struct world *w, const char *scope)
{
	struct environment *env, *tmp;

	HASH_ITER(by_name, w->environments, env, tmp)
		if (expr_scope_is(scope, env->row->name))
			return env;
	return NULL;
}

/* A verify step's champion is what was last good: what is live already is the candidate. */
static const char *champion_of(const struct gate *g)
{
	if (!g->guarded)
		return "";
	return gate_is_verify(g->job) ? g->guarded->row->last_good : g->guarded->row->live;
}

const struct rival *gate_rival(struct gate *g, const char *scope)
{
	struct environment *env = g->guarded;
	struct rival *rival;
	const char *id;

	for (size_t i = 0; i < g->n_rivals; i++)
		if (!strcmp(g->rivals[i].scope, scope))
			return &g->rivals[i];
	if (g->n_rivals == RIVALS)
		return NULL;
	rival = &g->rivals[g->n_rivals++];
	*rival = (struct rival){ .scope = xstrdup(scope), .state = RIVAL_ABSENT };
	id = champion_of(g);
	if (strcmp(scope, "champion")) {
		env = environment_of_scope(g->w, scope);
		id = env ? env->row->live : "";
		if (!env)
			rival->state = RIVAL_UNKNOWN;
	}
	rival->release = id[0] ? world_release(g->w, id, NULL) : NULL;
	if (rival->release)
		compare_yardsticks(g, rival);
	return rival;
}
