/*
 * Jobs as written: each key from the job itself, else from `defaults`, else what the
 * table says of it. Maps merge key by key, lists and values replace.
 */
#include <string.h>

#include "spec/build.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };

/* Whichever map has the key: the job's, else the defaults'. */
static const struct tree *owner(const struct tree *job, const struct tree *defaults,
				const char *key)
{
	return tree_get(job, key) ? job : defaults;
}

static void add_cause(Sluice__V1__Retry *r, const struct scalar *cause)
{
	if (cause->reason == SLUICE__V1__EXIT_REASON__EXIT_CODE) {
		for (size_t i = 0; i < r->n_exit_codes; i++)
			if (r->exit_codes[i] == cause->exit_code)
				return;
		r->exit_codes[r->n_exit_codes++] = cause->exit_code;
		return;
	}
	for (size_t i = 0; i < r->n_causes; i++)
		if ((int)r->causes[i] == cause->reason)
			return;
	r->causes[r->n_causes++] = (Sluice__V1__ExitReason)cause->reason;
}

static Sluice__V1__Retry *read_retry(struct build *b, const struct tree *job,
				     const struct tree *defaults)
{
	Sluice__V1__Retry *r = build_message(b, &sluice__v1__retry__descriptor);
	const struct tree *mine = tree_get(job, "retry"), *base = tree_get(defaults, "retry");
	const struct tree *causes = tree_get(owner(mine, base, "causes"), "causes");
	const struct tree **items;
	size_t n = read_list(b, causes, &items);
	struct scalar cause;

	r->max = (int32_t)read_number(owner(mine, base, "max"), "max", SCALAR_INT, 2);
	r->wait_ms = read_number(owner(mine, base, "wait"), "wait", SCALAR_DURATION, 10 * SECOND);
	r->causes = build_array(b, n + 2, sizeof *r->causes);
	r->exit_codes = build_array(b, n, sizeof *r->exit_codes);
	for (size_t i = 0; i < n; i++)
		if (scalar_parse(SCALAR_CAUSE, items[i]->text, &cause, NULL) == 0)
			add_cause(r, &cause);
	if (!causes) {
		r->causes[r->n_causes++] = SLUICE__V1__EXIT_REASON__EXIT_PREEMPTED;
		r->causes[r->n_causes++] = SLUICE__V1__EXIT_REASON__EXIT_INFRA;
	}
	return r;
}

/* `agent_lost` among the causes is another way to say `on_lost: rerun`: both must agree. */
static void read_on_lost(struct build *b, const struct tree *job, const struct tree *defaults,
			 Sluice__V1__JobSpec *spec)
{
	const struct tree *t = tree_get(owner(job, defaults, "on_lost"), "on_lost");
	struct diagnostic *item;

	spec->on_lost = SLUICE__V1__ON_LOST__ON_LOST_RERUN;
	if (t && !strcmp(t->text, "fail"))
		spec->on_lost = SLUICE__V1__ON_LOST__ON_LOST_FAIL;
	if (spec->on_lost != SLUICE__V1__ON_LOST__ON_LOST_FAIL)
		return;
	for (size_t i = 0; i < spec->retry->n_causes; i++) {
		if (spec->retry->causes[i] != SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST)
			continue;
		item = diagnostics_error(b->d, "E0119", t->at,
					 "`on_lost: fail` and the cause `agent_lost` contradict "
					 "each other");
		diagnostic_help(item, "on_lost: rerun");
	}
}

static void warn_short_lease(struct build *b, const struct tree *map)
{
	struct scalar lease;
	struct diagnostic *item;

	if (!read_scalar(map, "lease", SCALAR_DURATION, &lease) || lease.number >= MINUTE)
		return;
	item = diagnostics_warn(b->d, "E0121", tree_get(map, "lease")->at,
				"with a lease under 1m a short network outage loses the job");
	diagnostic_help(item, "lease: 15m");
}

static void build_job(struct build *b, struct job *job, const struct tree *defaults)
{
	const struct tree *t = job->tree;
	Sluice__V1__JobSpec *spec = job->spec;

	spec->basename = arena_strdup(b->arena, job->name);
	spec->run = read_text(b, t, "run");
	spec->env = read_env(b, tree_get(defaults, "env"), tree_get(t, "env"), &spec->n_env);
	read_no_gpus(b, tree_get(t, "env"));
	spec->resources = read_resources(b, tree_get(t, "resources"));
	spec->timeout_ms =
		read_number(owner(t, defaults, "timeout"), "timeout", SCALAR_DURATION, 60 * MINUTE);
	spec->grace_ms =
		read_number(owner(t, defaults, "grace"), "grace", SCALAR_DURATION, 10 * SECOND);
	spec->retry = read_retry(b, t, defaults);
	read_on_lost(b, t, defaults, spec);
	spec->lease_ms =
		read_number(owner(t, defaults, "lease"), "lease", SCALAR_DURATION, 15 * MINUTE);
	warn_short_lease(b, t);
	spec->priority =
		(int32_t)read_number(owner(t, defaults, "priority"), "priority", SCALAR_INT, 0);
	spec->metrics = read_text(b, t, "metrics");
	spec->report = read_text(b, t, "report");
	build_outputs(b, job);
	build_matrix(b, job);
}

void build_jobs(struct build *b)
{
	const struct tree *jobs = tree_get(b->root, "jobs"), *t = NULL;
	const struct tree *defaults = tree_get(b->root, "defaults");
	size_t n = read_count(jobs), ignored;

	b->jobs = build_array(b, n, sizeof *b->jobs);
	read_env(b, NULL, tree_get(defaults, "env"), &ignored); /* for the names in it */
	read_no_gpus(b, tree_get(defaults, "env"));
	warn_short_lease(b, defaults);
	while ((t = read_next(jobs, t))) {
		struct job *job = &b->jobs[b->n_jobs];

		if (t->kind != TREE_MAP)
			continue;
		b->n_jobs++;
		job->tree = t;
		job->name = tree_name(t);
		job->spec = build_message(b, &sluice__v1__job_spec__descriptor);
		build_job(b, job, defaults);
	}
}
