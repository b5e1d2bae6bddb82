/*
 * What must not be collected, as far as memory knows: everything that something
 * open names, and the latest of what is published.
 */
#include <string.h>

#include "controller/model/artifacts.h"
#include "controller/model/inputs.h"
#include "controller/model/private.h"

static void keep(const struct artifact_roots *roots, const char *digest)
{
	if (*digest)
		roots->keep(roots->arg, digest);
}

static void keep_input(void *arg, const Sluice__V1__ResolvedArtifact *a)
{
	keep(arg, a->digest);
}

static void keep_run(struct artifact_roots *roots, const struct run *run)
{
	keep(roots, run->row->source);
	for (size_t i = 0; i < run->n_jobs; i++) {
		const Sluice__V1__Job *row = run->jobs[i]->row;

		inputs_each(row, keep_input, roots);
		for (size_t n = 0; n < row->n_outputs; n++)
			keep(roots, row->outputs[n]->digest);
		keep(roots, row->report);
	}
}

/* What it judged, and by what. */
static int keep_verdict(struct world *w, const struct artifact_roots *roots, const char *id,
			struct error *err)
{
	cleanup(message_freep) ProtobufCMessage *message = NULL;
	const Sluice__V1__Verdict *v;
	int found = world_fetch(w, ROW_VERDICT, id, &message, err);

	if (found <= 0)
		return found;
	v = (const Sluice__V1__Verdict *)message;
	keep(roots, v->candidate);
	keep(roots, v->champion_artifact);
	keep(roots, v->set);
	return 0;
}

static int keep_release(struct world *w, const struct artifact_roots *roots,
			const Sluice__V1__Release *row, struct error *err)
{
	for (size_t i = 0; i < row->n_parts; i++)
		keep(roots, row->parts[i]->digest);
	for (size_t i = 0; i < row->n_evaluations; i++) {
		keep(roots, row->evaluations[i]->artifact);
		keep(roots, row->evaluations[i]->set);
	}
	keep(roots, row->notes);
	for (size_t i = 0; i < row->n_verdicts; i++)
		if (keep_verdict(w, roots, row->verdicts[i], err) < 0)
			return -1;
	return 0;
}

/* One that is named but not in memory is read, and stays only until the next commit. */
static int keep_named(struct world *w, const struct artifact_roots *roots, const char *id,
		      struct error *err)
{
	struct error why = { 0 };
	struct release *r = *id ? world_release(w, id, &why) : NULL;

	if (r)
		return keep_release(w, roots, r->row, err);
	if (*id && why.code != ERR_NOT_FOUND)
		return error_set(err, why.code, "%s", why.text);
	return 0;
}

static int keep_promotion(struct world *w, const struct artifact_roots *roots,
			  const Sluice__V1__Promotion *row, struct error *err)
{
	if (keep_named(w, roots, row->release, err) < 0 || keep_named(w, roots, row->from, err) < 0)
		return -1;
	for (size_t i = 0; i < row->n_verdicts; i++)
		if (keep_verdict(w, roots, row->verdicts[i], err) < 0)
			return -1;
	return 0;
}

static int keep_environment(struct world *w, const struct artifact_roots *roots,
			    const Sluice__V1__Environment *env, struct error *err)
{
	if (keep_named(w, roots, env->live, err) < 0 ||
	    keep_named(w, roots, env->last_good, err) < 0 ||
	    keep_named(w, roots, env->previous_good, err) < 0 ||
	    keep_named(w, roots, env->waiting, err) < 0)
		return -1;
	for (size_t i = 0; i < env->n_hosts; i++) {
		const Sluice__V1__EnvironmentHost *host = env->hosts[i];

		if (keep_named(w, roots, host->release, err) < 0)
			return -1;
		for (size_t n = 0; n < host->n_slots; n++)
			if (keep_named(w, roots, host->slots[n], err) < 0)
				return -1;
	}
	return 0;
}

int artifacts_roots(struct world *w, struct now now, const void *req, void *reply,
		    struct error *err)
{
	struct artifact_roots *roots = reply;
	struct environment *env, *next_env;
	struct promotion *p, *next_p;
	struct published *name, *next_name;
	struct run *run, *next_run;

	world_at(w, now);
	HASH_ITER(by_id, w->runs_by_id, run, next_run)
		keep_run(roots, run);
	HASH_ITER(by_name, w->environments, env, next_env)
		if (keep_environment(w, roots, env->row, err) < 0)
			return -1;
	HASH_ITER(by_id, w->promotions, p, next_p)
		if (keep_promotion(w, roots, p->row, err) < 0)
			return -1;
	HASH_ITER(by_name, w->published, name, next_name)
		keep(roots, name->row->digest);
	return 0;
}
