/*
 * Expectations, checked when the file is loaded: each parses, and each name in it can mean
 * something. A bare name is one of the job's own metrics, `champion` the release live in
 * the last environment, any other scope an environment of this file.
 */
#include <string.h>

#include "expr/expr.h"
#include "spec/build.h"
#include "base/suggest.h"

struct gate {
	const struct tree *tree;  /* the expectation */
	const struct tree *owner; /* the job or verify step */
	bool job;
};

static void check_scope(struct build *b, const struct gate *g, const struct expr_ref *ref)
{
	const struct tree *environments = tree_get(b->root, "environments"), *t;
	struct place at = tree_place(g->tree, ref->place.at, strlen(ref->scope));
	struct suggest s = suggest_new(ref->scope);
	struct diagnostic *item;

	tree_each(t, environments)
	{
		if (expr_scope_is(ref->scope, tree_name(t)))
			return;
		if (!diagnostics_full(b->d))
			suggest_offer(&s, tree_name(t));
	}
	suggest_offer(&s, "champion");
	item = diagnostics_error(b->d, "E0114", at, "`%s` is no environment", ref->scope);
	if (s.best)
		diagnostic_label(item, "did you mean `%s`?", s.best);
	else
		diagnostic_help(item, "a scope is `champion` or an environment of this file");
}

/* What is live elsewhere is measured with the same yardstick: (artifact, set, evaluator). */
static void check_yardstick(struct build *b, const struct gate *g, const struct expr_ref *ref)
{
	struct place at = tree_place(g->tree, ref->place.at, ref->place.len);
	struct diagnostic *item;

	if (!g->job || tree_has(g->owner, "evaluates"))
		return;
	item = diagnostics_error(b->d, "E0114", at, "`%s.%s` needs to know what `%s` evaluates",
				 ref->scope, ref->name, tree_name(g->owner));
	diagnostic_label(item, "values of two releases are compared on the same set only");
	diagnostic_help(item, "evaluates: {candidate: model, set: dataset}");
}

static void check_ref(struct build *b, const struct gate *g, const struct expr_ref *ref)
{
	struct diagnostic *item;

	if (*ref->scope) {
		if (strcmp(ref->scope, "champion") != 0)
			check_scope(b, g, ref);
		check_yardstick(b, g, ref);
		return;
	}
	if (tree_has(g->owner, "metrics"))
		return;
	item = diagnostics_error(b->d, "E0114", tree_place(g->tree, ref->place.at, ref->place.len),
				 "`%s` is a metric, but `%s` has no `metrics`", ref->name,
				 tree_name(g->owner));
	diagnostic_help(item, "metrics: out/metrics.json");
}

static void check_gate(struct build *b, const struct gate *g)
{
	struct expr_place place = { 0 };
	struct error err = { 0 };
	cleanup(expr_freep) struct expr *e = expr_parse_expectation(g->tree->text, &place, &err);
	const struct expr_ref *refs;
	struct diagnostic *item;
	size_t n;

	if (!e) {
		const char *id = strstr(err.text, "compares nothing") ? "E0115" : "E0113";

		item = diagnostics_error(b->d, id, tree_place(g->tree, place.at, place.len), "%s",
					 err.text);
		diagnostic_label(item, "%s", err.hint);
		diagnostic_help(item,
				"an expectation is one line like `auc >= champion.auc - 0.002`");
		return;
	}
	n = expr_refs(e, &refs);
	for (size_t i = 0; i < n; i++)
		check_ref(b, g, &refs[i]);
	if (!n) {
		item = diagnostics_error(b->d, "E0113", g->tree->at,
					 "the expectation names nothing that is measured");
		diagnostic_help(item, "name a metric of this job");
	}
}

void build_gates(struct build *b, const struct tree *t, const char *key, Sluice__V1__JobSpec *spec)
{
	const struct tree **items;
	size_t n = read_list(b, tree_get(t, key), &items);

	spec->gates = build_array(b, n, sizeof *spec->gates);
	for (size_t i = 0; i < n; i++) {
		struct gate g = { items[i], t, !strcmp(key, "gates") };

		check_gate(b, &g);
		spec->gates[spec->n_gates++] = arena_strdup(b->arena, items[i]->text);
	}
}
