#include "expanded.h"

#define ENV  JOB "environments:\n  e:\n    agents: [env=e]\n" /* its keys from line 9 on */
#define TEN  "x123456789"
#define LONG TEN TEN TEN TEN TEN TEN TEN TEN "x" /* 81 */
#define RUN  ENV "    deploy: {run: x"

Test(environments, each_mistake_is_told)
{
	static const struct mistake table[] = {
		{ ENV, "E0105", 7, 3, "`e` has no `deploy`" },
		{ JOB "environments: {e: {deploy: {run: x}}}\n", "E0105", 6, 16, "no `agents`" },
		{ JOB "environments: {e: {agents: [], deploy: {run: x}}}\n", "E0105", 6, 28,
		  "no labels" },
		{ JOB "environments: {champion: {agents: [a=b], deploy: {run: x}}}\n", "E0110", 6,
		  16, "cannot be an environment" },
		{ JOB "environments: {prod.done: {agents: [a=b], deploy: {run: x}}}\n", "E0110", 6,
		  16, "does not end in .done" },
		{ JOB "environments: {a.seg-1: {agents: [a=b], deploy: {run: x}}}\n", "E0110", 6,
		  16, "no .seg- in it" },
		{ JOB
		  "environments:\n  a-b: {agents: [a=b], deploy: {run: x}}\n  a.b: {agents: [a=b], "
		  "deploy: {run: x}}\n",
		  "E0120", 8, 3, "told apart" },
		{ JOB "environments: {" LONG ": {agents: [a=b], deploy: {run: x}}}\n", "E0110", 6,
		  16, "at most 80" },
		{ ENV "    deploy: {}\n", "E0105", 9, 5, "no `service` and no `run`" },
		{ ENV "    deploy: {run: x, service: y}\n", "E0119", 9, 14, "exclude each other" },
		{ RUN ", grace: 1s}\n", "E0119", 9, 22, "exclude each other" },
		{ RUN ", check: {http: /h}}\n", "E0119", 9, 36, "which port?" },
		{ RUN ", port: 1, check: {http: h}}\n", "E0108", 9, 45, "begins with `/`" },
		{ RUN ", port: 1, check: {http: \"/a b\"}}\n", "E0108", 9, 45, "a blank" },
		{ RUN ", check: {run: y, http: /h}, port: 1}\n", "E0119", 9, 30,
		  "exclude each other" },
		{ RUN ", check: {run: y, healthy_for: 6m}}\n", "E0108", 9, 22,
		  "within `deadline`" },
		{ RUN ", check: {run: y, deadline: 1s}}\n", "E0108", 9, 48, "within `deadline`" },
		{ RUN ", port: 0}\n", "E0108", 9, 28, "from 1 to 65535" },
		{ RUN ", strategy: rollin}\n", "E0108", 9, 32, "did you mean `rolling`?" },
		{ RUN ", strategy: canary}\n", "E0900", 9, 32, "not supported yet" },
		{ RUN ", strategy: blue_green}\n", "E0900", 9, 32, "not supported yet" },
		{ RUN ", strategy: recreate, batch: 2}\n", "E0119", 9, 42, "means nothing" },
		{ RUN ", batch: 0}\n", "E0108", 9, 29, "at least 1" },
		{ RUN ", batch: 101%}\n", "E0108", 9, 29, "from 1% to 100%" },
		{ RUN ", batch: half}\n", "E0108", 9, 29, "a share such as" },
		{ RUN ", slots: 1}\n", "E0108", 9, 29, "from 2 to 100" },
		{ RUN ", unreachable: skip}\n", "E0108", 9, 35, "one of: fail" },
		{ RUN ", unreachable: {}}\n", "E0105", 9, 35, "neither skip nor wait" },
		{ RUN ", resources: {agents: [a=b]}}\n", "E0119", 9, 34, "are the hosts" },
		{ RUN "}\n    after: f\n", "E0111", 10, 12, "there is no environment `f`" },
		{ RUN "}\n    after: e\n", "E0112", 10, 12, "e -> e" },
		{ RUN "}\n    auto: yes\n", "E0108", 10, 11, "one of: off, newest" },
		{ RUN "}\n    shared: yes\n", "E0106", 10, 13, "write `true`" },
		{ RUN "}\n    verify: {s: {run: x, env: {CUDA_VISIBLE_DEVICES: 0}}}\n", "E0120", 10,
		  32, "the GPUs that it got" },
		{ RUN "}\n    verify: {s: {}}\n", "E0105", 10, 14, "`s` has no `run`" },
		{ RUN "}\n    verify: {s: {run: x, expect: [m > 1]}}\n", "E0114", 10, 35,
		  "has no `metrics`" },
		{ RUN "}\n    verify: {s: {run: x, every: 1m}}\n", "E0900", 10, 26,
		  "not supported" },
		{ RUN "}\n    verify: {s: {run: x, agents: [a=b], resources: {agents: [a=b]}}}\n",
		  "E0119", 10, 26, "under `resources`" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		expect_mistake(&table[i]);
}

Test(environments, the_defaults_are_those_of_the_semantics)
{
	cleanup(expanded_release) struct expanded e = expand(ENV "    deploy: {service: s}\n");
	const Sluice__V1__DeploySpec *d;

	cr_assert(e.pipeline, "%s", expanded_text(&e));
	cr_expect_str_eq(e.pipeline->environments[0]->pipeline, "p");
	cr_expect_not(e.pipeline->environments[0]->auto_newest);
	cr_expect_not(e.pipeline->environments[0]->shared);
	d = e.pipeline->environments[0]->deploy;
	cr_expect_eq(d->strategy, SLUICE__V1__DEPLOY_SPEC__STRATEGY__ROLLING);
	cr_expect_eq(d->batch->count, 1);
	cr_expect_eq(d->max_unavailable->count, 1);
	cr_expect_eq(d->max_failed, 0);
	cr_expect_eq(d->slots, 3);
	cr_expect_eq(d->progress_ms, 600000);
	cr_expect_eq(d->unreachable->wait_ms, 600000);
	cr_expect_eq(d->check->healthy_for_ms, 10000);
	cr_expect_eq(d->check->deadline_ms, 300000);
	cr_expect_eq(d->grace_ms, 10000);
}

Test(environments, max_unavailable_follows_the_batch_unless_said)
{
	cleanup(expanded_release) struct expanded e =
		expand(ENV "    deploy: {service: s, batch: 50%}\n");
	cleanup(expanded_release) struct expanded all =
		expand(ENV "    deploy: {service: s, strategy: recreate}\n");
	cleanup(expanded_release) struct expanded cut =
		expand(ENV "    deploy: {service: s, batch: 3, max_unavailable: 2}\n");

	cr_assert(e.pipeline && all.pipeline && cut.pipeline);
	cr_expect_eq(e.pipeline->environments[0]->deploy->max_unavailable->percent, 50);
	cr_expect_eq(all.pipeline->environments[0]->deploy->max_unavailable->percent, 100);
	cr_expect_eq(cut.d.warnings, 1);
}

Test(environments, a_file_of_environments_alone_is_whole_when_asked_for)
{
	static const char text[] = "version: 1\nenvironments:\n  staging:\n    agents: [env=s]\n"
				   "    deploy: {run: x, unreachable: {skip: 2, wait: 1m}}\n";
	cleanup(expanded_release) struct expanded e = expand_with(text, NULL, 0, SPEC_ENVIRONMENTS);
	cleanup(expanded_release) struct expanded refused = expand(text);
	cleanup(expanded_release) struct expanded nothing =
		expand_with("version: 1\n", NULL, 0, SPEC_ENVIRONMENTS);

	cr_assert(e.pipeline, "%s", expanded_text(&e));
	cr_expect_eq(e.pipeline->n_jobs, 0);
	cr_expect_eq(e.pipeline->n_environments, 1);
	cr_expect_str_eq(e.pipeline->name, "");
	cr_expect_eq(e.pipeline->environments[0]->deploy->unreachable->skip, 2);
	cr_expect_eq(e.pipeline->environments[0]->deploy->unreachable->wait_ms, 60000);
	cr_expect_eq(refused.d.errors, 2);
	cr_expect_eq(nothing.d.errors, 2);
}
