#include "expanded.h"

Test(check, each_mistake_is_told_with_its_number_place_and_a_hint)
{
	static const struct mistake table[] = {
		{ "pipeline: p\njobs: {a: {run: x}}\n", "E0105", 1, 1,
		  "the file has no `version`" },
		{ "version: 1\njobs: {a: {run: x}}\n", "E0105", 1, 1,
		  "the file has no `pipeline`" },
		{ HEAD, "E0105", 1, 1, "the file has no `jobs`" },
		{ "", "E0105", 1, 1, "the file is empty" },
		{ "# nothing\n", "E0105", 1, 1, "the file is empty" },
		{ HEAD "jobs: {}\n", "E0105", 3, 7, "`jobs` is empty" },
		{ HEAD "jobs:\n", "E0106", 3, 6, "wants a map, not nothing" },
		{ HEAD "jobs: [a]\n", "E0106", 3, 7, "wants a map, not a list" },
		{ HEAD "jobs: {a: x}\n", "E0106", 3, 11, "`a` wants a map, not a text" },
		{ HEAD "jobs: {a: {}}\n", "E0105", 3, 8, "`a` has no `run`" },
		{ HEAD "jobs: {a: {run: }}\n", "E0106", 3, 17,
		  "`run` wants a shell text, not nothing" },
		{ HEAD "jobs: {a: {run: ''}}\n", "E0108", 3, 17, "`run` is empty" },
		{ HEAD "jobs: {a: {run: [x]}}\n", "E0106", 3, 17, "not a list" },
		{ HEAD "jobs: {.a: {run: x}}\n", "E0110", 3, 8, "a name is" },
		{ HEAD "jobs: {a.b: {run: x}}\n", "E0110", 3, 8,
		  "separates a job from its output" },
		{ HEAD "jobs: {a b: {run: x}}\n", "E0110", 3, 8, "a name is" },
		{ "version: 2\npipeline: p\njobs: {a: {run: x}}\n", "E0109", 1, 10, "version: 1" },
		{ "version: one\npipeline: p\njobs: {a: {run: x}}\n", "E0106", 1, 10,
		  "a whole number" },
		{ "version: 1\npipeline: -p\njobs: {a: {run: x}}\n", "E0110", 2, 11, "a name is" },
		{ HEAD "job: {}\njobs: {a: {run: x}}\n", "E0107", 3, 1, "did you mean `jobs`?" },
		{ HEAD "zzzzzz: {}\njobs: {a: {run: x}}\n", "E0107", 3, 1, "unknown key `zzzzzz`" },
		{ JOB "    retires: 3\n", "E0107", 6, 5, "retry: {max: 3, causes: [agent_lost]}" },
		{ JOB "    timeout: 5\n", "E0117", 6, 14, "has no unit" },
		{ JOB "    timeout: 0s\n", "E0108", 6, 14, "must be from" },
		{ JOB "    timeout: 31d\n", "E0108", 6, 14, "must be from" },
		{ JOB "    lease: 1s\n", "E0108", 6, 12, "must be from 2s to 1d" },
		{ JOB "    lease: 25h\n", "E0108", 6, 12, "must be from 2s to 1d" },
		{ JOB "    priority: 1.5\n", "E0106", 6, 15, "a whole number" },
		{ JOB "    priority: 1000\n", "E0108", 6, 15, "from -100 to 100" },
		{ JOB "    priority: 99999999999999999999\n", "E0106", 6, 15, "too large" },
		{ JOB "    on_lost: rerum\n", "E0108", 6, 14, "did you mean `rerun`?" },
		{ JOB "    on_lost: maybe\n", "E0108", 6, 14, "one of: rerun, fail" },
		{ JOB "    retry: {max: -1}\n", "E0108", 6, 18, "from 0 to 100" },
		{ JOB "    retry: {causes: [wrong]}\n", "E0108", 6, 22, "exit:N" },
		{ JOB "    retry: {causes: [exit:0]}\n", "E0108", 6, 22, "from 1 to 255" },
		{ JOB "    retry: {causes: preempted}\n", "E0106", 6, 21, "wants a list" },
		{ JOB "    retry: 3\n", "E0106", 6, 12, "wants a map" },
		{ JOB "    retry: {causes: [agent_lost]}\n    on_lost: fail\n", "E0119", 7, 14,
		  "contradict" },
		{ JOB "    metrics: /tmp/m\n", "E0108", 6, 14, "absolute" },
		{ JOB "    metrics: a/../../m\n", "E0108", 6, 14, "leads out" },
		{ JOB "    metrics: ..\n", "E0108", 6, 14, "leads out" },
		{ JOB "    outputs: {o: .}\n", "E0108", 6, 18, "workspace itself" },
		{ JOB "    outputs: {o: ./}\n", "E0108", 6, 18, "workspace itself" },
		{ JOB "    outputs: {o: {kind: data}}\n", "E0105", 6, 15, "`o` has no `path`" },
		{ JOB "    outputs: {o: {path: o, kind: dat}}\n", "E0108", 6, 34, "`data`" },
		{ JOB "    outputs: {source: o}\n", "E0110", 6, 15, "the run's source tree" },
		{ JOB "    outputs: {a-b: o, a_b: o}\n", "E0120", 6, 23, "both $OUTPUT_A_B" },
		{ JOB "    env: {A-B: 1}\n", "E0110", 6, 11, "letters, digits and _" },
		{ JOB "    env: {PARAM_X: 1}\n", "E0120", 6, 11, "set by sluice itself" },
		{ JOB "    env: {CUDA_VISIBLE_DEVICES: 1}\n", "E0120", 6, 11,
		  "the GPUs that it got" },
		{ JOB "    env: {SLUICE_RUN: 1}\n", "E0120", 6, 11, "set by sluice itself" },
		{ JOB "    env: {A: [1]}\n", "E0106", 6, 14, "not a list" },
		{ JOB "defaults: {env: {INPUT_X: 1}}\n", "E0120", 6, 18, "set by sluice itself" },
		{ JOB "    resources: {cpu: many}\n", "E0108", 6, 22, "a number of CPUs" },
		{ JOB "    resources: {cpu: 0}\n", "E0108", 6, 22, "0.001" },
		{ JOB "    resources: {memory: lots}\n", "E0117", 6, 25, "a size such as" },
		{ JOB "    resources: {gpu_memory: 4G}\n", "E0119", 6, 17, "without `gpu`" },
		{ JOB "    resources: {agents: [zone]}\n", "E0106", 6, 26, "a label such as" },
		{ JOB "    resources: {agents: [z=a, z=b]}\n", "E0119", 6, 31,
		  "no agent has both" },
		{ JOB "    release: {parts: {}}\n", "E0105", 6, 22, "no parts" },
		{ JOB "    release: {parts: {model: modle}}\n    outputs: {model: m}\n", "E0111", 6,
		  30, "did you mean `model`?" },
		{ JOB "    release: {parts: {m: source}}\n    matrix: {s: [1]}\n", "E0119", 6, 5,
		  "one release" },
		{ JOB
		  "    release: {parts: {m: source}}\n  b:\n    run: x\n    release: {parts: {m: "
		  "source}}\n",
		  "E0119", 9, 5, "a second job" },
		{ JOB "    outputs: {o: {path: o, publish: n}}\n  b:\n    run: x\n    outputs: {o: "
		      "{path: "
		      "o, publish: n}}\n",
		  "E0119", 9, 37, "two outputs" },
		{ JOB "    evaluates: {candidate: m}\n    outputs: {m: m}\n", "E0105", 6, 5,
		  "no `metrics`" },
		{ JOB "    evaluates: {candidate: n}\n    outputs: {m: m}\n    metrics: m.json\n",
		  "E0111", 6, 28, "no input or output `n`" },
		{ JOB "    evaluates: {candidate: m, set: m}\n    outputs: {m: m}\n    metrics: "
		      "m.json\n",
		  "E0111", 6, 36, "no input `m`" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		expect_mistake(&table[i]);
}

Test(check, a_file_with_ten_mistakes_gives_ten_errors_in_the_order_of_the_file)
{
	static const struct {
		const char *id;
		int line;
	} want[] = { { "E0107", 3 },  { "E0106", 5 },  { "E0117", 7 },	{ "E0107", 8 },
		     { "E0111", 9 },  { "E0108", 10 }, { "E0115", 11 }, { "E0900", 12 },
		     { "E0111", 15 }, { "E0108", 16 } };
	cleanup(expanded_release) struct expanded e =
		expand("version: 1\n"
		       "pipeline: ten\n"
		       "parms: {}\n"
		       "params:\n"
		       "  n: {type: int, min: few, default: 3}\n"
		       "jobs:\n"
		       "  a: {run: x, timeout: 5, metrics: m.json,\n"
		       "      retires: 3,\n"
		       "      inputs: {d: b.data},\n"
		       "      on_lost: never,\n"
		       "      gates: [auc],\n"
		       "      image: py}\n"
		       "environments:\n"
		       "  e:\n"
		       "    after: f\n"
		       "    auto: always\n"
		       "    agents: [env=e]\n"
		       "    deploy: {run: x}\n");

	cr_assert_eq(e.d.errors, ARRAY_SIZE(want), "%s", expanded_text(&e));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		cr_expect_str_eq(e.d.items[i].id, want[i].id, "%zu: %s", i, e.d.items[i].message);
		cr_expect_eq(e.d.items[i].place.line, want[i].line, "%zu: %s", i,
			     e.d.items[i].message);
	}
}

Test(check, of_many_errors_twenty_are_shown_and_all_are_counted)
{
	struct buf text = { 0 };

	buf_puts(&text, JOB);
	for (int i = 0; i < 50; i++)
		buf_printf(&text, "    wrong%d: 1\n", i);
	{
		cleanup(expanded_release) struct expanded e = expand(buf_str(&text));

		cr_expect_eq(e.d.errors, 50);
		cr_expect_eq(e.d.count, DIAGNOSTICS_MAX);
		cr_expect(strstr(expanded_text(&e), "50 errors, the first 20 shown"));
	}
	buf_release(&text);
}

Test(check, what_was_reported_is_not_reported_again_by_those_who_need_it)
{
	/* `outputs` and `metrics` are there but wrong: who refers to them is not to blame */
	static const struct mistake table[] = {
		{ JOB "    outputs: [x]\n  b: {run: x, inputs: {i: a.x}}\n", "E0106", 6, 14,
		  "a map" },
		{ JOB "    metrics: /m\n    gates: [auc > 1]\n", "E0108", 6, 14, "absolute" },
		{ HEAD "jobs:\n  a: x\n  b: {run: x, needs: a}\n", "E0106", 4, 6, "a map" },
		{ JOB "    matrix: 3\n    outputs: {o: o}\n  b: {run: x, inputs: {i: a.*.o}}\n",
		  "E0106", 6, 13, "a map" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		expect_mistake(&table[i]);
}

Test(check, settings_that_surprise_are_warnings)
{
	static const struct {
		const char *text, *says;
	} table[] = {
		{ JOB "    lease: 2s\n", "with a lease under 1m" },
		{ JOB "defaults: {lease: 30s}\n", "with a lease under 1m" },
		{ JOB "    matrix: {s: [1, 2]}\n    outputs: {o: {path: o, publish: n}}\n",
		  "each instance" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		cleanup(expanded_release) struct expanded e = expand(table[i].text);

		cr_assert(e.pipeline, "%s", expanded_text(&e));
		cr_assert_eq(e.d.warnings, 1);
		cr_expect(e.d.items[0].warning && strstr(e.d.items[0].message, table[i].says));
		cr_expect_str_eq(e.d.items[0].id, "E0121");
	}
}
