#include "expanded.h"

Test(references, edges_that_lead_nowhere_are_told)
{
	static const struct mistake table[] = {
		{ JOB "    inputs: {d: b.data}\n", "E0111", 6, 17, "there is no job `b`" },
		{ JOB "  train: {run: x, outputs: {m: m}}\n  c: {run: x, inputs: {d: trian.m}}\n",
		  "E0111", 7, 27, "did you mean `train`?" },
		{ JOB "    outputs: {model: m}\n  c: {run: x, inputs: {d: a.modle}}\n", "E0111", 7,
		  29, "did you mean `model`?" },
		{ JOB "  c: {run: x, inputs: {d: \"a.model\"}}\n", "E0111", 6, 30,
		  "has no output `model`" },
		{ JOB "    inputs: {d: data}\n", "E0111", 6, 17, "no reference" },
		{ JOB "    inputs: {d: .x}\n", "E0111", 6, 17, "no reference" },
		{ JOB "    inputs: {d: a.b.c}\n", "E0111", 6, 17, "no reference" },
		{ JOB "    inputs: {d: a.*.*}\n", "E0111", 6, 17, "no reference" },
		{ JOB "    inputs: {d: a.*}\n", "E0111", 6, 17, "no reference" },
		{ JOB "    needs: [b]\n", "E0111", 6, 13, "there is no job `b`" },
		{ JOB "    needs: [a]\n", "E0112", 6, 13, "a -> a" },
		{ JOB "    needs: b\n  b: {run: x, needs: c}\n  c: {run: x, needs: a}\n", "E0112",
		  6, 12, "a -> c -> b -> a" },
		{ JOB
		  "    matrix: {s: [1, 2]}\n    outputs: {m: m}\n  c: {run: x, inputs: {d: a.m}}\n",
		  "E0111", 8, 27, "write `a.*.m`" },
		{ JOB "    outputs: {m: m}\n  c: {run: x, inputs: {d: a.*.m}}\n", "E0111", 7, 27,
		  "write `a.m`" },
		{ JOB "    inputs: {d: {version: 3}}\n", "E0105", 6, 14, "no `artifact`" },
		{ JOB "    inputs: {d: {artifact: n, version: 0}}\n", "E0106", 6, 40, "`latest`" },
		{ JOB "    inputs: {d: {artifact: n}, D: {artifact: n}}\n", "E0120", 6, 32,
		  "both $INPUT_D" },
		{ JOB "    inputs: {d: {artifact: n}}\n    outputs: {d: d}\n", "E0119", 7, 15,
		  "an input and an output" },
		{ JOB
		  "    matrix: {s: [1, 2]}\n    outputs: {m: m}\n  c:\n    run: x\n    inputs: {d: "
		  "a.*.m}\n    release: {parts: {m: d}}\n",
		  "E0119", 11, 26, "several artifacts" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		expect_mistake(&table[i]);
}

#define GATE(expectation)                                                                         \
	HEAD "environments: {prod-eu: {agents: [e=p], deploy: {run: x}}}\njobs:\n  a:\n    run: " \
	     "x\n"                                                                                \
	     "    inputs: {d: {artifact: d}}\n    outputs: {m: m}\n    metrics: m.json\n"         \
	     "    evaluates: {candidate: m, set: d}\n    gates: [" expectation "]\n"

Test(references, a_gate_names_only_what_can_have_a_value)
{
	static const struct mistake table[] = {
		{ GATE("auc"), "E0115", 11, 13, "compares nothing" },
		{ GATE("\"auc >\""), "E0113", 11, 19, "ends where" },
		{ GATE("auc >= \"x\""), "E0113", 11, 20, "means nothing" },
		{ GATE("1 > 0"), "E0113", 11, 13, "names nothing" },
		{ GATE("auc > champoin.auc"), "E0114", 11, 19, "did you mean `champion`?" },
		{ GATE("auc > prod_us.auc"), "E0114", 11, 19, "no environment" },
		{ JOB "    gates: [auc > 1]\n", "E0114", 6, 13, "has no `metrics`" },
		{ JOB "    metrics: m\n    gates: auc > champion.auc\n", "E0114", 7, 18,
		  "evaluates" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		expect_mistake(&table[i]);
}

Test(references, gates_over_metrics_champion_and_environments_are_kept_as_written)
{
	cleanup(expanded_release) struct expanded e =
		expand(GATE("auc > champion.auc - 0.01, auc >= prod_eu.auc"));

	cr_assert(e.pipeline, "%s", expanded_text(&e));
	cr_assert_eq(e.pipeline->jobs[0]->n_gates, 2);
	cr_expect_str_eq(e.pipeline->jobs[0]->gates[0], "auc > champion.auc - 0.01");
	cr_expect_str_eq(e.pipeline->jobs[0]->gates[1], "auc >= prod_eu.auc");
}
