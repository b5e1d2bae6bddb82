#include <stdio.h>
#include <string.h>

#include "rollout_fixture.h"

/* ---- eligibility ---- */

Test(promotion, an_unverified_release_is_refused_and_an_override_needs_the_right)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, false);
	Sluice__V1__PromoteRequest request = sim_request("production", "r1", "o1");

	sim_release(s);
	cr_assert_neq(sim_promote(s, "production", 1), 0);
	cr_expect_str_eq(s->error.id, "E0404");
	cr_expect(strstr(s->error.text, "r1 was not verified in 'staging'"), "%s", s->error.text);
	request.override_reason = (char *)"hotfix, tested by hand";
	cr_assert_neq(sim_promote_with(s, &request, SLUICE__V1__ROLE__OPERATOR, NULL), 0);
	cr_expect_str_eq(s->error.id, "E0302");
	cr_assert_eq(sim_promote_with(s, &request, SLUICE__V1__ROLE__APPROVER, NULL), 0, "%s",
		     s->error.text);
	sim_settle(s);
	sim_expect_everywhere(s, "production", 1);
}

Test(promotion, a_release_verified_in_the_environment_before_may_go_on)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, true);

	sim_release(s);
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
	sim_settle(s);
	cr_expect_eq(sim_outcome(s, "staging"), PROMOTION_STATE(VERIFYING));
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_OK);
	cr_expect(environment_is_verified(sim_env(s, "staging"), sim_release_of(s, 1)->row->id));
	cr_assert_eq(sim_promote(s, "production", 1), 0, "%s", s->error.text);
	sim_settle(s);
	sim_verify(s, "production", SLUICE__V1__EXIT_REASON__EXIT_OK);
	sim_expect_everywhere(s, "production", 1);
	cr_expect_str_eq(sim_env(s, "production")->row->last_good, sim_release_of(s, 1)->row->id);
}

Test(promotion, a_release_being_verified_before_waits_and_says_so)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, true);

	sim_release(s);
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
	cr_assert_eq(sim_promote(s, "production", 1), 0, "%s", s->error.text);
	sim_settle(s);
	cr_expect(sim_waits_say(s, "r1 -> production", "waits for verification in staging"));
	cr_expect(sim_waits_say(s, "r1 -> staging", "verifies it: 0 of 1 steps done"));
	sim_restart(s);
	sim_settle(s);
	cr_expect(sim_waits_say(s, "r1 -> production", "waits for verification in staging"));
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_OK);
	sim_settle(s);
	sim_verify(s, "production", SLUICE__V1__EXIT_REASON__EXIT_OK);
	sim_expect_everywhere(s, "production", 1);
}

Test(promotion, one_that_waited_for_a_verification_that_failed_ends)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, true);

	sim_release(s);
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
	cr_assert_eq(sim_promote(s, "production", 1), 0);
	sim_settle(s);
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_CODE);
	sim_settle(s);
	cr_expect(environment_is_quarantined(sim_env(s, "production"),
					     sim_release_of(s, 1)->row->id));
	cr_expect_str_empty(sim_env(s, "production")->row->live);
	cr_expect_eq(sim_outcome(s, "production"), PROMOTION_STATE(FAILED));
}

Test(promotion, another_pipelines_release_is_refused)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, false);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *other = sim_spec("lab", "");

	sim_host_add(s, "host-l", "lab");
	sim_apply(s, "churn", &other, 1);
	sim_release(s);
	cr_assert_neq(sim_promote(s, "lab", 1), 0);
	cr_expect_str_eq(s->error.id, "E0408");
}

Test(promotion, a_plan_answers_every_check_and_changes_nothing)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, false);
	cleanup(message_freep) Sluice__V1__PromoteReply *reply = NULL;
	Sluice__V1__PromoteRequest request = sim_request("production", "r1", "p1");
	unsigned before = s->events[SLUICE__V1__EVENT_KIND__EVENT_PROMOTION_REQUESTED];

	sim_release(s);
	request.dry_run = true;
	cr_assert_eq(sim_promote_with(s, &request, SLUICE__V1__ROLE__VIEWER, &reply), 0);
	cr_assert_eq(reply->n_lines, 3);
	cr_expect_str_eq(reply->lines[0], "✔ not quarantined");
	cr_expect_str_eq(reply->lines[1], "✘ r1 was not verified in 'staging'");
	cr_expect_str_eq(reply->lines[2], "✔ 2 hosts");
	cr_expect_null(sim_env(s, "production")->promotion);
	cr_expect_eq(s->events[SLUICE__V1__EVENT_KIND__EVENT_PROMOTION_REQUESTED], before);
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
}

Test(promotion, without_hosts_it_waits_and_says_for_which)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec("staging", "");

	sim_apply_one(s, spec);
	sim_release(s);
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
	cr_expect(sim_waits_say(s, "r1 -> staging", "no enabled agent matches 'env=staging'"));
	sim_host_add(s, "host-s", "staging");
	sim_settle(s);
	sim_expect_everywhere(s, "staging", 1);
}

Test(promotion, a_host_that_cannot_hold_the_service_is_named_with_the_numbers)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec("staging", "");
	struct agent *agent = sim_agent(s, sim_host_add(s, "host-s", "staging"));

	spec->deploy->resources = message_new(&sluice__v1__resources__descriptor);
	spec->deploy->resources->cpu_milli = 4000;
	agent->row->host = message_new(&sluice__v1__host_facts__descriptor);
	agent->row->host->cpu_milli = 2000;
	sim_apply_one(s, spec);
	sim_release(s);
	cr_assert_neq(sim_promote(s, "staging", 1), 0);
	cr_expect_str_eq(s->error.id, "E0410");
	cr_expect(strstr(s->error.text, "host 'host-s': it needs 4 CPUs, it has 2"), "%s",
		  s->error.text);
	agent->row->host->cpu_milli = 4000;
	cr_assert_eq(sim_promote(s, "staging", 1), 0, "%s", s->error.text);
}

/* ---- compare and swap ---- */

Test(promotion, what_is_expected_to_be_live_must_be)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, false);
	Sluice__V1__PromoteRequest request = sim_request("staging", "r2", "c1");

	sim_release(s);
	sim_release(s);
	request.expect_live = (char *)"r1";
	cr_assert_neq(sim_promote_with(s, &request, SLUICE__V1__ROLE__OPERATOR, NULL), 0);
	cr_expect_eq(s->error.code, ERR_ABORTED);
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
	sim_settle(s);
	cr_assert_eq(sim_promote_with(s, &request, SLUICE__V1__ROLE__OPERATOR, NULL), 0, "%s",
		     s->error.text);
	sim_settle(s);
	sim_expect_everywhere(s, "staging", 2);
}

static void judge(struct sim *s, uint32_t release, const char *env, const char *champion,
		  bool skipped)
{
	Sluice__V1__Verdict *v = message_new(&sluice__v1__verdict__descriptor);
	Sluice__V1__ExpectationResult *e = message_new(&sluice__v1__expectation_result__descriptor);
	struct release *r = sim_release_of(s, release);

	s->world->now = s->now;
	message_set_string(&v->id, world_id(s->world).text);
	message_set_string(&v->environment, env);
	message_set_string(&v->champion, champion);
	message_set_string(&v->job_name, "evaluate");
	v->state = SLUICE__V1__VERDICT_STATE__PASS;
	e->state = skipped ? SLUICE__V1__VERDICT_STATE__VERDICT_SKIPPED
			   : SLUICE__V1__VERDICT_STATE__PASS;
	message_append(v, expectations, e);
	message_append(r->row, verdicts, xstrdup(v->id));
	world_touch(s->world, &r->entity);
	world_record(s->world, ROW_VERDICT, &v->base);
	sim_commit(s);
}

Test(promotion, a_verdict_against_what_is_no_longer_live_is_stale)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, false);
	char *first;

	for (int i = 0; i < 4; i++)
		sim_release(s);
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
	sim_settle(s);
	first = sim_release_of(s, 1)->row->id;
	judge(s, 2, "staging", first, false);
	judge(s, 3, "staging", first, false);
	judge(s, 4, "staging", "", true);
	cr_assert_eq(sim_promote(s, "staging", 2), 0, "%s", s->error.text);
	sim_settle(s);
	cr_assert_neq(sim_promote(s, "staging", 3), 0);
	cr_expect_eq(s->error.code, ERR_ABORTED);
	cr_expect(strstr(s->error.text, "live in 'staging' is r2 now"), "%s", s->error.text);
	cr_assert_neq(sim_promote(s, "staging", 4), 0, "measured when nothing was live");
}

Test(promotion, one_that_became_stale_while_it_waited_ends_without_work)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, false);
	char *first;

	for (int i = 0; i < 3; i++)
		sim_release(s);
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
	sim_settle(s);
	first = sim_release_of(s, 1)->row->id;
	judge(s, 2, "staging", first, false);
	judge(s, 3, "staging", first, false);
	cr_assert_eq(sim_promote(s, "staging", 2), 0);
	cr_assert_eq(sim_promote(s, "staging", 3), 0);
	sim_settle(s);
	sim_expect_everywhere(s, "staging", 2);
	cr_expect_eq(sim_outcome(s, "staging"), PROMOTION_STATE(FAILED));
}

/* ---- the line ---- */

Test(promotion, one_at_a_time_oldest_first)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, false);

	for (int i = 0; i < 3; i++)
		sim_release(s);
	cr_assert_eq(sim_promote(s, "staging", 2), 0);
	cr_assert_eq(sim_promote(s, "staging", 3), 0);
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
	cr_expect(sim_waits_say(s, "r3 -> staging", "waits for its turn: r2 is being rolled out"));
	cr_assert_neq(sim_promote(s, "staging", 3), 0);
	cr_expect_str_eq(s->error.id, "E0406");
	sim_restart(s);
	sim_settle(s);
	sim_expect_everywhere(s, "staging", 1);
	cr_expect_eq(sim_env(s, "staging")->row->n_verified, 3);
	cr_expect_str_eq(sim_env(s, "staging")->row->verified[1]->release,
			 sim_release_of(s, 3)->row->id);
}

Test(promotion, a_repeated_request_gets_the_same_promotion)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, false);
	cleanup(message_freep) Sluice__V1__PromoteReply *first = NULL;
	cleanup(message_freep) Sluice__V1__PromoteReply *second = NULL;
	Sluice__V1__PromoteRequest request = sim_request("staging", "r1", "same");

	sim_release(s);
	cr_assert_eq(sim_promote_with(s, &request, SLUICE__V1__ROLE__OPERATOR, &first), 0);
	sim_settle(s);
	cr_assert_eq(sim_promote_with(s, &request, SLUICE__V1__ROLE__OPERATOR, &second), 0);
	cr_expect_str_eq(first->promotion->id, second->promotion->id);
	cr_expect_eq(second->promotion->state, PROMOTION_STATE(SUCCEEDED));
	cr_expect_eq(sim_env(s, "staging")->row->promotions, 1);
}

/* ---- auto and holds ---- */

Test(promotion, auto_takes_the_newest_through_every_environment)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(true, true);

	sim_run_succeeds(s, sim_release(s));
	sim_settle(s);
	cr_expect(sim_waits_say(s, "r1 -> production", "waits for verification in staging"));
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_OK);
	sim_settle(s);
	sim_verify(s, "production", SLUICE__V1__EXIT_REASON__EXIT_OK);
	sim_expect_everywhere(s, "staging", 1);
	sim_expect_everywhere(s, "production", 1);
}

Test(promotion, auto_skips_what_a_newer_one_has_overtaken)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(true, false);

	sim_run_succeeds(s, sim_release(s));
	sim_run_succeeds(s, sim_release(s));
	sim_run_succeeds(s, sim_release(s));
	sim_settle(s);
	sim_expect_everywhere(s, "staging", 3);
	sim_expect_everywhere(s, "production", 3);
	cr_expect_eq(sim_env(s, "staging")->row->promotions, 2, "r1, then r3");
}

Test(promotion, a_hold_stops_auto_until_it_is_lifted)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(true, false);

	cr_assert_eq(sim_hold(s, "staging", true), 0);
	sim_run_succeeds(s, sim_release(s));
	sim_settle(s);
	cr_expect_str_empty(sim_env(s, "staging")->row->live);
	cr_expect(sim_waits_say(s, "r1 -> staging", "staging is held by alice since"));
	cr_expect(sim_waits_say(s, "r1 -> staging",
				"(quarter's end); lift it: sluice env unhold staging"));
	sim_restart(s);
	cr_assert_eq(sim_hold(s, "staging", false), 0);
	sim_settle(s);
	sim_expect_everywhere(s, "staging", 1);
	sim_expect_everywhere(s, "production", 1);
}

Test(promotion, promoting_an_older_one_by_hand_sets_a_hold)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(true, false);

	sim_run_succeeds(s, sim_release(s));
	sim_settle(s);
	sim_run_succeeds(s, sim_release(s));
	sim_settle(s);
	cr_assert_null(sim_env(s, "staging")->row->hold);
	cr_assert_eq(sim_promote(s, "staging", 1), 0, "%s", s->error.text);
	cr_assert_not_null(sim_env(s, "staging")->row->hold);
	cr_expect(strstr(sim_env(s, "staging")->row->hold->reason, "the newest is r2"));
	sim_settle(s);
	sim_expect_everywhere(s, "staging", 1);
	sim_run_succeeds(s, sim_release(s));
	sim_settle(s);
	sim_expect_everywhere(s, "staging", 1);
}

Test(promotion, what_was_promoted_by_hand_is_not_undone_by_something_older)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(true, false);
	Sluice__V1__PromoteRequest request = sim_request("production", "r2", "hand");

	sim_run_succeeds(s, sim_release(s)); /* on its way through staging */
	sim_release(s);
	request.override_reason = (char *)"a fix that cannot wait";
	cr_assert_eq(sim_promote_with(s, &request, SLUICE__V1__ROLE__ADMIN, NULL), 0, "%s",
		     s->error.text);
	sim_settle(s);
	sim_expect_everywhere(s, "staging", 1);
	sim_expect_everywhere(s, "production", 2);
	cr_expect_str_empty(sim_env(s, "production")->row->waiting);
}

Test(promotion, a_verdict_from_before_there_was_an_environment_is_stale_once_something_is_live)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, false);

	sim_release(s);
	sim_release(s);
	judge(s, 1, "", "", true);
	judge(s, 2, "", "", true);
	for (uint32_t r = 1; r <= 2; r++) {
		cr_assert_eq(sim_promote(s, "staging", r), 0, "%s", s->error.text);
		sim_settle(s);
	}
	cr_assert_eq(sim_promote(s, "production", 1), 0, "the first: %s", s->error.text);
	sim_settle(s);
	cr_assert_neq(sim_promote(s, "production", 2), 0, "nothing measured it against r1");
	cr_expect_eq(s->error.code, ERR_ABORTED);
}
