#include "controller/model/gates.h"

#include <math.h>
#include <string.h>

#include "releases_fixture.h"

#define VERDICT(name) SLUICE__V1__VERDICT_STATE__##name

static struct sim *with_production(void)
{
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *staging = sim_spec("staging", "");
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *production =
		sim_spec("production", "staging");
	Sluice__V1__EnvironmentSpec *specs[] = { production, staging };
	struct sim *s = sim_new(5);

	sim_host_add(s, "host-s", "staging");
	sim_host_add(s, "host-p", "production");
	sim_apply(s, "fraud", specs, 2);
	return s;
}

/* r1 with this accuracy on this set, live in both environments. */
static void champion(struct sim *s, double accuracy, const char *set)
{
	struct made m = made_run(s, "sha256:m0de11", set);

	made_metric(m.evaluate, "accuracy", accuracy);
	made_metric(m.evaluate, "latency", 12);
	cr_assert_eq(made_finish(s, &m), VERDICT(PASS));
	cr_assert_eq(sim_promote(s, "staging", 1), 0, "%s", s->error.text);
	sim_settle(s);
	cr_assert_eq(sim_promote(s, "production", 1), 0, "%s", s->error.text);
	sim_settle(s);
	sim_expect_everywhere(s, "production", 1);
}

Test(gates, absolute_and_relative_expectations_are_printed_with_their_numbers)
{
	cleanup(sim_freep) struct sim *s = with_production();
	cleanup(message_freep) Sluice__V1__Verdict *v = NULL;
	struct made m;

	champion(s, 0.9603, "sha256:5e7");
	m = made_run(s, "sha256:m0de12", "sha256:5e7");
	made_metric(m.evaluate, "accuracy", 0.9611);
	made_gate(m.evaluate, "accuracy >= 0.95");
	made_gate(m.evaluate, "accuracy >= champion.accuracy - 0.002");
	cr_expect_eq(made_finish(s, &m), VERDICT(PASS));
	v = made_verdict(s, &m);
	cr_expect_str_eq(v->expectations[0]->line, "accuracy 0.9611 >= 0.95: pass");
	cr_expect_str_eq(v->expectations[1]->line,
			 "accuracy 0.9611 >= 0.9583 (champion r1 accuracy 0.9603 - 0.002): pass");
	cr_expect_str_eq(v->environment, "production");
	cr_expect_eq(v->champion_number, 1);
	cr_expect_str_eq(v->champion, sim_release_of(s, 1)->row->id);
	cr_expect_str_eq(v->champion_artifact, "sha256:m0de11");
	cr_expect_str_eq(v->candidate, "sha256:m0de12");
	cr_expect_str_eq(v->set, "sha256:5e7");
	cr_expect_float_eq(v->expectations[1]->right, 0.9583, 1e-9);
	cr_expect_eq(s->events[SLUICE__V1__EVENT_KIND__EVENT_GATE_DECIDED], 1);
	cr_expect_str_eq(sim_release_of(s, 2)->row->verdicts[0], v->id);
}

Test(gates, worse_than_the_champion_fails_and_says_by_what)
{
	cleanup(sim_freep) struct sim *s = with_production();
	cleanup(message_freep) Sluice__V1__Verdict *v = NULL;
	cleanup(freep) char *reason = NULL;
	struct made m;

	champion(s, 0.9603, "sha256:5e7");
	m = made_run(s, "sha256:m0de12", "sha256:5e7");
	made_metric(m.evaluate, "accuracy", 0.95);
	made_gate(m.evaluate, "accuracy >= champion.accuracy - 0.002");
	made_gate(m.evaluate, "accuracy >= 0.9");
	cr_expect_eq(made_finish(s, &m), VERDICT(FAIL));
	v = made_verdict(s, &m);
	reason = gates_reason(v);
	cr_expect_str_eq(reason,
			 "gate failed: accuracy 0.95 >= 0.9583 (champion r1 accuracy 0.9603 - "
			 "0.002): fail (1 of 2 expectations)");
}

/* What the metrics are, and what becomes of one expectation without a champion. */
static const struct {
	const char *expectation;
	double accuracy; /* NaN: reported as such */
	Sluice__V1__VerdictState verdict;
	const char *line;
} alone[] = {
	{ "accuracy >= 0.95", 0.95, VERDICT(PASS), "accuracy 0.95 >= 0.95: pass" },
	{ "accuracy > 0.95", 0.95, VERDICT(FAIL), "accuracy 0.95 > 0.95: fail" },
	{ "accuracy >= 0.95", NAN, VERDICT(INCONCLUSIVE),
	  "accuracy >= 0.95: inconclusive (the job reported no 'accuracy')" },
	{ "auc >= 0.95", 0.99, VERDICT(INCONCLUSIVE),
	  "auc >= 0.95: inconclusive (the job reported no 'auc')" },
	{ "accuracy >= champion.accuracy", 0.99, VERDICT(INCONCLUSIVE),
	  "accuracy >= champion.accuracy: skipped (no champion yet)" },
	{ "accuracy >= staging.accuracy", 0.99, VERDICT(INCONCLUSIVE),
	  "accuracy >= staging.accuracy: skipped (no release in staging yet)" },
	{ "accuracy >= nowhere.accuracy", 0.99, VERDICT(ERROR),
	  "accuracy >= nowhere.accuracy: error (there is no environment 'nowhere')" },
};

Test(gates, no_data_and_no_champion_never_pass)
{
	for (size_t i = 0; i < ARRAY_SIZE(alone); i++) {
		cleanup(sim_freep) struct sim *s = with_production();
		cleanup(message_freep) Sluice__V1__Verdict *v = NULL;
		struct made m = made_run(s, "sha256:m0de11", "sha256:5e7");

		made_metric(m.evaluate, "accuracy", alone[i].accuracy);
		made_gate(m.evaluate, alone[i].expectation);
		cr_expect_eq(made_finish(s, &m), alone[i].verdict, "%s", alone[i].expectation);
		v = made_verdict(s, &m);
		cr_expect_str_eq(v->expectations[0]->line, alone[i].line);
	}
}

Test(gates, a_line_that_is_no_expectation_is_an_error)
{
	cleanup(sim_freep) struct sim *s = with_production();
	struct made m = made_run(s, "sha256:m0de11", "sha256:5e7");

	made_metric(m.evaluate, "accuracy", 1);
	made_gate(m.evaluate, "accuracy");
	cr_expect_eq(made_finish(s, &m), VERDICT(ERROR));
}

Test(gates, fail_wins_over_error_over_inconclusive_over_pass)
{
	static const char *const lines[] = { "accuracy >= 0.9", "auc >= 0.9",
					     "accuracy >= nowhere.accuracy", "accuracy >= 0.99" };
	static const Sluice__V1__VerdictState worst[] = { VERDICT(PASS), VERDICT(INCONCLUSIVE),
							  VERDICT(ERROR), VERDICT(FAIL) };

	for (size_t n = 0; n < ARRAY_SIZE(lines); n++) {
		cleanup(sim_freep) struct sim *s = with_production();
		struct made m = made_run(s, "sha256:m0de11", "sha256:5e7");

		made_metric(m.evaluate, "accuracy", 0.95);
		for (size_t i = 0; i <= n; i++)
			made_gate(m.evaluate, lines[i]);
		cr_expect_eq(made_finish(s, &m), worst[n]);
	}
}

Test(gates, without_a_champion_an_absolute_expectation_must_remain)
{
	cleanup(sim_freep) struct sim *s = with_production();
	struct made m = made_run(s, "sha256:m0de11", "sha256:5e7");

	made_metric(m.evaluate, "accuracy", 0.95);
	made_gate(m.evaluate, "accuracy >= champion.accuracy");
	made_gate(m.evaluate, "accuracy >= 0.9");
	cr_expect_eq(made_finish(s, &m), VERDICT(PASS));
}

Test(gates, another_evaluation_set_is_inconclusive_and_names_both)
{
	cleanup(sim_freep) struct sim *s = with_production();
	cleanup(message_freep) Sluice__V1__Verdict *v = NULL;
	struct made m;

	champion(s, 0.5, "sha256:aaaaaaaaaaaa");
	m = made_run(s, "sha256:m0de12", "sha256:bbbbbbbbbbbb");
	made_metric(m.evaluate, "accuracy", 0.9);
	made_gate(m.evaluate, "accuracy >= champion.accuracy");
	cr_expect_eq(made_finish(s, &m), VERDICT(INCONCLUSIVE));
	v = made_verdict(s, &m);
	cr_expect_str_eq(v->expectations[0]->note,
			 "r1 was measured on the set sha256:aaaaaaaaaaaa, the candidate on "
			 "sha256:bbbbbbbbbbbb");
}

Test(gates, another_evaluator_is_inconclusive)
{
	cleanup(sim_freep) struct sim *s = with_production();
	cleanup(message_freep) Sluice__V1__Verdict *v = NULL;
	struct made m;

	champion(s, 0.5, "sha256:5e7");
	m = made_run(s, "sha256:m0de12", "sha256:5e7");
	message_set_string(&m.evaluate->row->spec->run, "python3 -m fraud.evaluate --kinder");
	made_metric(m.evaluate, "accuracy", 0.9);
	made_gate(m.evaluate, "accuracy >= champion.accuracy");
	cr_expect_eq(made_finish(s, &m), VERDICT(INCONCLUSIVE));
	v = made_verdict(s, &m);
	cr_expect(strstr(v->expectations[0]->note, "r1 was measured by the evaluator sha256:"),
		  "%s", v->expectations[0]->note);
}

Test(gates, a_value_the_champion_does_not_have_is_inconclusive)
{
	cleanup(sim_freep) struct sim *s = with_production();
	cleanup(message_freep) Sluice__V1__Verdict *v = NULL;
	struct made m;

	champion(s, 0.5, "sha256:5e7");
	m = made_run(s, "sha256:m0de12", "sha256:5e7");
	made_metric(m.evaluate, "accuracy", 0.9);
	made_gate(m.evaluate, "accuracy >= champion.recall");
	cr_expect_eq(made_finish(s, &m), VERDICT(INCONCLUSIVE));
	v = made_verdict(s, &m);
	cr_expect_str_eq(v->expectations[0]->note, "champion has no value 'recall'");
}

Test(gates, the_champion_is_what_is_live_in_the_last_environment)
{
	cleanup(sim_freep) struct sim *s = with_production();
	cleanup(message_freep) Sluice__V1__Verdict *v = NULL;
	struct made m;

	champion(s, 0.9, "sha256:5e7");
	m = made_run(s, "sha256:m0de12", "sha256:5e7");
	made_metric(m.evaluate, "accuracy", 0.95);
	cr_assert_eq(made_finish(s, &m), VERDICT(PASS));
	cr_assert_eq(sim_promote(s, "staging", 2), 0);
	sim_settle(s);
	m = made_run(s, "sha256:m0de13", "sha256:5e7");
	made_metric(m.evaluate, "accuracy", 0.92);
	made_gate(m.evaluate, "accuracy >= champion.accuracy");
	made_gate(m.evaluate, "accuracy >= staging.accuracy - 0.05");
	cr_expect_eq(made_finish(s, &m), VERDICT(PASS));
	v = made_verdict(s, &m);
	cr_expect_eq(v->champion_number, 1);
	cr_expect_str_eq(v->expectations[1]->line,
			 "accuracy 0.92 >= 0.9 (staging.accuracy 0.95 - 0.05): pass");
}

Test(gates, equal_digests_get_the_same_verdict_unless_it_was_undecided)
{
	cleanup(sim_freep) struct sim *s = with_production();
	struct made a = made_run(s, "sha256:m0de11", "sha256:5e7");
	struct made b = made_run(s, "sha256:m0de11", "sha256:5e7");
	struct made c = made_run(s, "sha256:m0de19", "sha256:5e7");
	struct made d = made_run(s, "sha256:m0de19", "sha256:5e7");

	made_metric(a.evaluate, "accuracy", 0.95);
	made_gate(a.evaluate, "accuracy >= 0.9");
	cr_expect_eq(made_finish(s, &a), VERDICT(PASS));
	made_metric(b.evaluate, "accuracy", 0.95);
	made_gate(b.evaluate, "accuracy >= 0.9");
	cr_expect_eq(made_finish(s, &b), VERDICT(PASS));
	cr_expect_str_eq(a.evaluate->row->verdict, b.evaluate->row->verdict);
	made_gate(c.evaluate, "accuracy >= 0.9");
	cr_expect_eq(made_finish(s, &c), VERDICT(INCONCLUSIVE));
	made_metric(d.evaluate, "accuracy", 0.95);
	made_gate(d.evaluate, "accuracy >= 0.9");
	cr_expect_eq(made_finish(s, &d), VERDICT(PASS));
	cr_expect_str_neq(c.evaluate->row->verdict, d.evaluate->row->verdict);
}

/* Whoever mends the code that measures gets a new verdict, though the command is the same. */
Test(gates, other_code_behind_the_same_command_is_judged_anew)
{
	cleanup(sim_freep) struct sim *s = with_production();
	struct made a = made_run(s, "sha256:m0de11", "sha256:5e7");
	struct made b = made_run(s, "sha256:m0de11", "sha256:5e7");

	message_set_string(&a.evaluate->run->row->source, "sha256:c0de1");
	made_metric(a.evaluate, "accuracy", 0.09); /* it divided by the wrong number */
	made_gate(a.evaluate, "accuracy >= 0.9");
	cr_expect_eq(made_finish(s, &a), VERDICT(FAIL));
	message_set_string(&b.evaluate->run->row->source, "sha256:c0de2");
	made_metric(b.evaluate, "accuracy", 0.95);
	made_gate(b.evaluate, "accuracy >= 0.9");
	cr_expect_eq(made_finish(s, &b), VERDICT(PASS));
	cr_expect_str_neq(a.evaluate->row->verdict, b.evaluate->row->verdict);
}

/* ---- verify steps ---- */

static struct sim *verifying(void)
{
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec("staging", "");
	Sluice__V1__JobSpec *step = message_new(&sluice__v1__job_spec__descriptor);
	struct sim *s = sim_new(5);

	message_set_string(&step->name, "load");
	message_set_string(&step->basename, "load");
	message_set_string(&step->run, "wrk");
	message_append(step, gates, xstrdup("p99 <= 100"));
	message_append(step, gates, xstrdup("p99 <= champion.p99 * 1.1"));
	message_append(spec, verify, step);
	sim_host_add(s, "host-s", "staging");
	sim_apply_one(s, spec);
	return s;
}

static void promote_and_measure(struct sim *s, double p99, Sluice__V1__VerdictState expected,
				const char *line)
{
	cleanup(message_freep) Sluice__V1__Verdict *v = NULL;
	struct job *job;

	cr_assert_eq(sim_promote(s, "staging", sim_release(s)), 0, "%s", s->error.text);
	sim_settle(s);
	job = sim_env(s, "staging")->promotion->verify->jobs[0];
	made_metric(job, "p99", p99);
	cr_expect_eq(gates_decide(s->world, job, &v), expected);
	cr_expect_str_eq(v->expectations[1]->line, line);
	sim_verify(s, "staging",
		   expected == VERDICT(PASS) ? SLUICE__V1__EXIT_REASON__EXIT_OK
					     : SLUICE__V1__EXIT_REASON__EXIT_GATE_FAILED);
	sim_settle(s);
}

Test(gates, a_verify_step_is_compared_with_the_release_last_verified_there)
{
	cleanup(sim_freep) struct sim *s = verifying();

	promote_and_measure(s, 50, VERDICT(PASS),
			    "p99 <= champion.p99 * 1.1: skipped (no champion yet)");
	promote_and_measure(s, 54, VERDICT(PASS), "p99 54 <= 55 (champion r1 p99 50 * 1.1): pass");
	promote_and_measure(s, 60, VERDICT(FAIL),
			    "p99 60 <= 59.4 (champion r2 p99 54 * 1.1): fail");
	sim_expect_everywhere(s, "staging", 2);
}
