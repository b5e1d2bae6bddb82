/*
 * Environments: where they stand in the order, their hosts, and the steps that verify a
 * release there. How a release gets onto the hosts is in deploy.c.
 */
#include <stdlib.h>
#include <string.h>

#include "expr/expr.h"
#include "expr/graph.h"
#include "spec/build.h"
#include "base/suggest.h"

enum {
	SECOND = 1000,
	MINUTE = 60 * SECOND,
	ENVIRONMENTS_MAX = 64, /* as keys.c says */
	NAME_MAX_BYTES = 80,   /* a socket of the hosts' is called by it (agent/supervise.h) */
};

static Sluice__V1__JobSpec *build_step(struct build *b, const struct tree *t)
{
	Sluice__V1__JobSpec *spec = build_message(b, &sluice__v1__job_spec__descriptor);
	const struct tree *agents = tree_get(t, "agents");
	const struct tree *more = tree_get(tree_get(t, "resources"), "agents");

	spec->name = arena_strdup(b->arena, tree_name(t));
	spec->basename = spec->name;
	spec->run = read_text(b, t, "run");
	spec->env = read_env(b, NULL, tree_get(t, "env"), &spec->n_env);
	read_no_gpus(b, tree_get(t, "env"));
	spec->resources = read_resources(b, tree_get(t, "resources"));
	if (agents && more)
		diagnostics_error(b->d, "E0119", agents->key->at,
				  "`agents` is here and under `resources`");
	else if (agents)
		spec->resources->agents = read_labels(b, agents, &spec->resources->n_agents);
	spec->timeout_ms = read_number(t, "timeout", SCALAR_DURATION, 10 * MINUTE);
	spec->grace_ms = 10 * SECOND;
	spec->retry = build_message(b, &sluice__v1__retry__descriptor);
	spec->retry->max = 2;
	spec->retry->wait_ms = 10 * SECOND;
	spec->retry->causes = build_array(b, 2, sizeof *spec->retry->causes);
	spec->retry->causes[spec->retry->n_causes++] = SLUICE__V1__EXIT_REASON__EXIT_PREEMPTED;
	spec->retry->causes[spec->retry->n_causes++] = SLUICE__V1__EXIT_REASON__EXIT_INFRA;
	spec->on_lost = SLUICE__V1__ON_LOST__ON_LOST_RERUN;
	spec->lease_ms = 15 * MINUTE;
	spec->metrics = read_text(b, t, "metrics");
	build_gates(b, t, "expect", spec);
	return spec;
}

static void build_verify(struct build *b, const struct tree *t, Sluice__V1__EnvironmentSpec *env)
{
	const struct tree *steps = tree_get(t, "verify"), *step = NULL;
	size_t n = read_count(steps);

	env->verify = build_array(b, n, sizeof *env->verify);
	while ((step = read_next(steps, step)))
		if (step->kind == TREE_MAP)
			env->verify[env->n_verify++] = build_step(b, step);
}

static void check_after(struct build *b, const struct tree *t, const struct tree *environments)
{
	const struct tree *after = tree_get(t, "after"), *other;
	struct suggest s;
	struct diagnostic *item;

	if (!after)
		return;
	s = suggest_new(after->text);
	tree_each(other, environments)
	{
		if (!strcmp(tree_name(other), after->text))
			return;
		suggest_offer(&s, tree_name(other));
	}
	item = diagnostics_error(b->d, "E0111", after->at, "there is no environment `%s`",
				 after->text);
	if (s.best)
		diagnostic_label(item, "did you mean `%s`?", s.best);
}

/* As expr_scope_is() compares: `-` and `.` are `_`. */
static bool same_scope(const char *a, const char *c)
{
	for (; *a && *c; a++, c++)
		if (*a != *c && !(strchr("-._", *a) && strchr("-._", *c)))
			return false;
	return *a == *c;
}

/* Its hosts keep the output of its service in files of its name with an ending of their own. */
static bool ends_as_a_spool(const char *name)
{
	static const char *const endings[] = { ".done", ".done.tmp", ".words", ".metrics" };
	size_t n = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
		if (n >= strlen(endings[i]) && !strcmp(name + n - strlen(endings[i]), endings[i]))
			return true;
	return strstr(name, ".seg-") != NULL;
}

static void check_name(struct build *b, const struct tree *t)
{
	const struct tree *environments = tree_get(b->root, "environments"), *other;
	struct diagnostic *item;

	if (strlen(tree_name(t)) > NAME_MAX_BYTES)
		diagnostics_error(b->d, "E0110", t->key->at,
				  "an environment's name has at most %d characters",
				  NAME_MAX_BYTES);
	if (ends_as_a_spool(tree_name(t)))
		diagnostics_error(b->d, "E0110", t->key->at,
				  "an environment's name does not end in .done, .words or .metrics "
				  "and has no .seg- in it: files on its hosts do");
	if (!strcmp(tree_name(t), "champion")) {
		item = diagnostics_error(b->d, "E0110", t->key->at,
					 "`champion` cannot be an environment");
		diagnostic_label(item, "in a gate it is the live release");
	}
	for (other = environments->first; other && other != t; other = other->next) {
		if (!same_scope(tree_name(t), tree_name(other)))
			continue;
		item = diagnostics_error(b->d, "E0120", t->key->at,
					 "`%s` and `%s` cannot be told apart in a gate",
					 tree_name(other), tree_name(t));
		diagnostic_related(item, other->key->at, "`%s` is here", tree_name(other));
		return;
	}
}

static Sluice__V1__EnvironmentSpec *build_environment(struct build *b, const struct tree *t)
{
	Sluice__V1__EnvironmentSpec *env =
		build_message(b, &sluice__v1__environment_spec__descriptor);
	const struct tree *automatic = tree_get(t, "auto"), *agents = tree_get(t, "agents");
	struct diagnostic *item;

	env->name = arena_strdup(b->arena, tree_name(t));
	env->pipeline = b->pipeline->name;
	env->after = read_text(b, t, "after");
	env->auto_newest = automatic && !strcmp(automatic->text, "newest");
	env->shared = read_number(t, "shared", SCALAR_BOOL, 0);
	env->agents = read_labels(b, agents, &env->n_agents);
	if (agents && !agents->count) {
		item = diagnostics_error(b->d, "E0105", agents->at, "`agents` has no labels");
		diagnostic_help(item, "agents: [env=%s]", env->name);
	}
	check_name(b, t);
	build_deploy(b, tree_get(t, "deploy"), env);
	build_verify(b, t, env);
	return env;
}

static void check_cycles(struct build *b, const struct tree **list, size_t n)
{
	cleanup(graph_freep) struct graph *g = graph_new(n);
	size_t order[ENVIRONMENTS_MAX], path[ENVIRONMENTS_MAX], len;
	cleanup(buf_release) struct buf text = { 0 };

	for (size_t i = 0; i < n; i++) {
		const struct tree *after = tree_get(list[i], "after");

		for (size_t j = 0; after && j < n; j++)
			if (!strcmp(tree_name(list[j]), after->text))
				graph_edge(g, j, i);
	}
	if (graph_sort(g, order) == 0)
		return;
	len = graph_cycle(g, path);
	for (size_t i = 0; i < len; i++)
		buf_printf(&text, "%s -> ", tree_name(list[path[i]]));
	diagnostics_error(b->d, "E0112", tree_get(list[path[0]], "after")->at,
			  "environments come after each other in a circle: %s%s", buf_str(&text),
			  tree_name(list[path[0]]));
}

void build_environments(struct build *b)
{
	const struct tree *environments = tree_get(b->root, "environments"), *t = NULL;
	size_t n = read_count(environments), count = 0;
	const struct tree **list = build_array(b, n, sizeof *list);

	b->pipeline->environments = build_array(b, n, sizeof *b->pipeline->environments);
	while ((t = read_next(environments, t))) {
		if (t->kind != TREE_MAP)
			continue;
		list[count++] = t;
		check_after(b, t, environments);
		b->pipeline->environments[b->pipeline->n_environments++] = build_environment(b, t);
	}
	check_cycles(b, list, count);
}
