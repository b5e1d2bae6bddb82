#include <stdio.h>
#include <string.h>

#include "rollout_fixture.h"

/* staging (host-s) -> production (host-p, host-q); both verify when asked for. */
static struct sim *two_stages(bool auto_newest, bool verify)
{
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *staging = sim_spec("staging", "");
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *production =
		sim_spec("production", "staging");
	Sluice__V1__EnvironmentSpec *specs[] = { production, staging };
	struct sim *s = sim_new(3);

	for (size_t i = 0; i < 2; i++) {
		Sluice__V1__JobSpec *step = message_new(&sluice__v1__job_spec__descriptor);

		specs[i]->auto_newest = auto_newest;
		message_set_string(&step->name, "smoke");
		message_set_string(&step->basename, "smoke");
		message_set_string(&step->run, "pytest tests/smoke");
		if (verify)
			message_append(specs[i], verify, step);
		else
			message_free(step);
	}
	sim_host_add(s, "host-s", "staging");
	sim_host_add(s, "host-p", "production");
	sim_host_add(s, "host-q", "production");
	sim_apply(s, "fraud", specs, 2);
	return s;
}

/* As if a run of the pipeline had succeeded with this release. */
static void run_succeeds(struct sim *s, uint32_t release)
{
	struct run run = { 0 };
	Sluice__V1__Run row = SLUICE__V1__RUN__INIT;

	row.kind = SLUICE__V1__RUN__KIND__PIPELINE;
	row.state = SLUICE__V1__RUN_STATE__RUN_SUCCEEDED;
	row.pipeline = (char *)"fraud";
	row.release = sim_release_of(s, release)->row->id;
	run.row = &row;
	s->world->now = s->now;
	delivery_run_finished(s->world, &run);
	sim_commit(s);
}

static Sluice__V1__PromoteRequest request_for(const char *env, const char *release, const char *id)
{
	Sluice__V1__PromoteRequest request = SLUICE__V1__PROMOTE_REQUEST__INIT;

	request.environment = (char *)env;
	request.release = (char *)release;
	request.request_id = (char *)id;
	return request;
}

static bool waits_say(struct sim *s, const char *subject, const char *sentence);

/* ---- eligibility ---- */

Test(promotion, an_unverified_release_is_refused_and_an_override_needs_the_right)
{
	cleanup(sim_freep) struct sim *s = two_stages(false, false);
	Sluice__V1__PromoteRequest request = request_for("production", "r1", "o1");

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
	cleanup(sim_freep) struct sim *s = two_stages(false, true);

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
	cleanup(sim_freep) struct sim *s = two_stages(false, true);

	sim_release(s);
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
	cr_assert_eq(sim_promote(s, "production", 1), 0, "%s", s->error.text);
	sim_settle(s);
	cr_expect(waits_say(s, "r1 -> production", "waits for verification in staging"));
	cr_expect(waits_say(s, "r1 -> staging", "verifies it: 0 of 1 steps done"));
	sim_restart(s);
	sim_settle(s);
	cr_expect(waits_say(s, "r1 -> production", "waits for verification in staging"));
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_OK);
	sim_settle(s);
	sim_verify(s, "production", SLUICE__V1__EXIT_REASON__EXIT_OK);
	sim_expect_everywhere(s, "production", 1);
}

Test(promotion, one_that_waited_for_a_verification_that_failed_ends)
{
	cleanup(sim_freep) struct sim *s = two_stages(false, true);

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
	cleanup(sim_freep) struct sim *s = two_stages(false, false);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *other = sim_spec("lab", "");

	sim_host_add(s, "host-l", "lab");
	sim_apply(s, "churn", &other, 1);
	sim_release(s);
	cr_assert_neq(sim_promote(s, "lab", 1), 0);
	cr_expect_str_eq(s->error.id, "E0408");
}

Test(promotion, a_plan_answers_every_check_and_changes_nothing)
{
	cleanup(sim_freep) struct sim *s = two_stages(false, false);
	cleanup(message_freep) Sluice__V1__PromoteReply *reply = NULL;
	Sluice__V1__PromoteRequest request = request_for("production", "r1", "p1");
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
	cr_expect(waits_say(s, "r1 -> staging", "no enabled agent matches 'env=staging'"));
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
	cleanup(sim_freep) struct sim *s = two_stages(false, false);
	Sluice__V1__PromoteRequest request = request_for("staging", "r2", "c1");

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
	cleanup(sim_freep) struct sim *s = two_stages(false, false);
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
	cleanup(sim_freep) struct sim *s = two_stages(false, false);
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
	cleanup(sim_freep) struct sim *s = two_stages(false, false);

	for (int i = 0; i < 3; i++)
		sim_release(s);
	cr_assert_eq(sim_promote(s, "staging", 2), 0);
	cr_assert_eq(sim_promote(s, "staging", 3), 0);
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
	cr_expect(waits_say(s, "r3 -> staging", "waits for its turn: r2 is being rolled out"));
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
	cleanup(sim_freep) struct sim *s = two_stages(false, false);
	cleanup(message_freep) Sluice__V1__PromoteReply *first = NULL;
	cleanup(message_freep) Sluice__V1__PromoteReply *second = NULL;
	Sluice__V1__PromoteRequest request = request_for("staging", "r1", "same");

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
	cleanup(sim_freep) struct sim *s = two_stages(true, true);

	run_succeeds(s, sim_release(s));
	sim_settle(s);
	cr_expect(waits_say(s, "r1 -> production", "waits for verification in staging"));
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_OK);
	sim_settle(s);
	sim_verify(s, "production", SLUICE__V1__EXIT_REASON__EXIT_OK);
	sim_expect_everywhere(s, "staging", 1);
	sim_expect_everywhere(s, "production", 1);
}

Test(promotion, auto_skips_what_a_newer_one_has_overtaken)
{
	cleanup(sim_freep) struct sim *s = two_stages(true, false);

	run_succeeds(s, sim_release(s));
	run_succeeds(s, sim_release(s));
	run_succeeds(s, sim_release(s));
	sim_settle(s);
	sim_expect_everywhere(s, "staging", 3);
	sim_expect_everywhere(s, "production", 3);
	cr_expect_eq(sim_env(s, "staging")->row->promotions, 2, "r1, then r3");
}

Test(promotion, a_hold_stops_auto_until_it_is_lifted)
{
	cleanup(sim_freep) struct sim *s = two_stages(true, false);

	cr_assert_eq(sim_hold(s, "staging", true), 0);
	run_succeeds(s, sim_release(s));
	sim_settle(s);
	cr_expect_str_empty(sim_env(s, "staging")->row->live);
	cr_expect(waits_say(s, "r1 -> staging", "staging is held by alice since"));
	cr_expect(waits_say(s, "r1 -> staging",
			    "(quarter's end); lift it: sluice env unhold staging"));
	sim_restart(s);
	cr_assert_eq(sim_hold(s, "staging", false), 0);
	sim_settle(s);
	sim_expect_everywhere(s, "staging", 1);
	sim_expect_everywhere(s, "production", 1);
}

Test(promotion, promoting_an_older_one_by_hand_sets_a_hold)
{
	cleanup(sim_freep) struct sim *s = two_stages(true, false);

	run_succeeds(s, sim_release(s));
	sim_settle(s);
	run_succeeds(s, sim_release(s));
	sim_settle(s);
	cr_assert_null(sim_env(s, "staging")->row->hold);
	cr_assert_eq(sim_promote(s, "staging", 1), 0, "%s", s->error.text);
	cr_assert_not_null(sim_env(s, "staging")->row->hold);
	cr_expect(strstr(sim_env(s, "staging")->row->hold->reason, "the newest is r2"));
	sim_settle(s);
	sim_expect_everywhere(s, "staging", 1);
	run_succeeds(s, sim_release(s));
	sim_settle(s);
	sim_expect_everywhere(s, "staging", 1);
}

/* ---- verification ---- */

Test(promotion, a_failed_verification_takes_it_back_and_quarantines_it_downstream)
{
	cleanup(sim_freep) struct sim *s = two_stages(true, true);
	uint32_t r2;

	run_succeeds(s, sim_release(s));
	sim_settle(s);
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_OK);
	sim_settle(s);
	sim_verify(s, "production", SLUICE__V1__EXIT_REASON__EXIT_OK);
	r2 = sim_release(s);
	run_succeeds(s, r2);
	sim_settle(s);
	cr_expect_str_eq(sim_env(s, "staging")->row->live, sim_release_of(s, r2)->row->id,
			 "live changes before it is verified");
	cr_expect_str_eq(sim_env(s, "staging")->row->last_good, sim_release_of(s, 1)->row->id);
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_CODE);
	sim_settle(s);
	sim_expect_everywhere(s, "staging", 1);
	cr_expect(release_is_quarantined(sim_release_of(s, r2), "staging"));
	cr_expect(release_is_quarantined(sim_release_of(s, r2), "production"));
	cr_expect_not_null(sim_env(s, "staging")->row->hold);
	cr_assert_neq(sim_promote(s, "production", r2), 0);
	cr_expect_str_eq(s->error.id, "E0403");
}

Test(promotion, a_verification_that_could_not_run_pauses_for_a_person)
{
	cleanup(sim_freep) struct sim *s = two_stages(false, true);
	Sluice__V1__PromoteRequest request = request_for("staging", "r1", "accept");

	sim_release(s);
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
	sim_settle(s);
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST);
	cr_expect_eq(sim_outcome(s, "staging"), PROMOTION_STATE(PAUSED));
	cr_expect(waits_say(s, "r1 -> staging", "paused: verify step 'smoke': it did not work"));
	sim_restart(s);
	/* Again by hand: verified again. */
	cr_assert_eq(sim_promote(s, "staging", 1), 0, "%s", s->error.text);
	cr_expect_eq(sim_outcome(s, "staging"), PROMOTION_STATE(VERIFYING));
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_INFRA);
	/* Or accepted, by who may. */
	request.override_reason = (char *)"checked by hand";
	cr_assert_neq(sim_promote_with(s, &request, SLUICE__V1__ROLE__OPERATOR, NULL), 0);
	cr_assert_eq(sim_promote_with(s, &request, SLUICE__V1__ROLE__ADMIN, NULL), 0);
	sim_expect_everywhere(s, "staging", 1);
	cr_expect(environment_is_verified(sim_env(s, "staging"), sim_release_of(s, 1)->row->id));
}

Test(promotion, a_pause_that_nobody_ends_counts_as_failed)
{
	cleanup(sim_freep) struct sim *s = two_stages(false, true);

	sim_release(s);
	sim_release(s);
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
	sim_settle(s);
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_OK);
	cr_assert_eq(sim_promote(s, "staging", 2), 0);
	sim_settle(s);
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST);
	sim_advance(s, PROMOTION_GIVE_UP_MS / 2);
	sim_restart(s);
	sim_advance(s, PROMOTION_GIVE_UP_MS / 2 - 1);
	cr_expect_eq(sim_outcome(s, "staging"), PROMOTION_STATE(PAUSED));
	sim_advance(s, 1);
	sim_expect_everywhere(s, "staging", 1);
}

/* ---- rollback by a person ---- */

Test(promotion, a_rollback_goes_to_what_was_good_before_and_sets_a_hold)
{
	cleanup(sim_freep) struct sim *s = two_stages(true, false);

	for (int i = 0; i < 3; i++) {
		run_succeeds(s, sim_release(s));
		sim_settle(s);
	}
	cr_assert_eq(sim_rollback(s, "production", ""), 0, "%s", s->error.text);
	sim_settle(s);
	sim_expect_everywhere(s, "production", 2);
	sim_expect_everywhere(s, "staging", 3);
	cr_expect_not_null(sim_env(s, "production")->row->hold);
	cr_expect_str_eq(sim_env(s, "production")->row->hold->actor, "alice");
	cr_expect(release_is_quarantined(sim_release_of(s, 3), "production"));
	cr_expect(!release_is_quarantined(sim_release_of(s, 3), "staging"));
	cr_assert_eq(sim_rollback(s, "production", ""), 0);
	sim_settle(s);
	sim_expect_everywhere(s, "production", 1);
	cr_assert_neq(sim_rollback(s, "production", ""), 0);
	cr_expect_str_eq(s->error.id, "E0409");
}

Test(promotion, only_the_request_that_set_a_hold_tells_of_it)
{
	cleanup(sim_freep) struct sim *s = two_stages(true, false);
	cleanup(message_freep) Sluice__V1__PromoteReply *sets = NULL;
	cleanup(message_freep) Sluice__V1__PromoteReply *finds = NULL;
	Sluice__V1__PromoteRequest first = request_for("staging", "r1", "h1");
	Sluice__V1__PromoteRequest second = request_for("staging", "r2", "h2");

	for (int i = 0; i < 3; i++) {
		run_succeeds(s, sim_release(s));
		sim_settle(s);
	}
	cr_assert_eq(sim_promote_with(s, &first, SLUICE__V1__ROLE__OPERATOR, &sets), 0);
	sim_settle(s);
	cr_assert_eq(sim_promote_with(s, &second, SLUICE__V1__ROLE__OPERATOR, &finds), 0);
	cr_expect_not_null(sets->hold);
	cr_expect_null(finds->hold);
}

Test(promotion, a_rollback_to_a_named_release_takes_only_what_was_good_there)
{
	cleanup(sim_freep) struct sim *s = two_stages(true, false);

	for (int i = 0; i < 3; i++) {
		run_succeeds(s, sim_release(s));
		sim_settle(s);
	}
	sim_release(s);
	cr_assert_neq(sim_rollback(s, "production", "r4"), 0);
	cr_expect_str_eq(s->error.id, "E0409");
	cr_assert_neq(sim_rollback(s, "production", "r3"), 0, "it is live");
	cr_assert_eq(sim_rollback(s, "production", "r1"), 0, "%s", s->error.text);
	sim_settle(s);
	sim_expect_everywhere(s, "production", 1);
}

Test(promotion, a_rollback_ends_what_is_under_way)
{
	cleanup(sim_freep) struct sim *s = two_stages(false, true);

	sim_release(s);
	sim_release(s);
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
	sim_settle(s);
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_OK);
	cr_assert_eq(sim_promote(s, "staging", 2), 0);
	sim_settle(s);
	cr_assert_eq(sim_outcome(s, "staging"), PROMOTION_STATE(VERIFYING));
	cr_assert_eq(sim_rollback(s, "staging", ""), 0, "%s", s->error.text);
	sim_settle(s);
	sim_expect_everywhere(s, "staging", 1);
	cr_expect_eq(HASH_CNT(by_id, s->world->runs_by_id), 0, "its VERIFY run goes on");
	sim_restart(s);
	sim_expect_everywhere(s, "staging", 1);
}

Test(promotion, a_first_rollout_that_is_rolled_back_is_stopped)
{
	cleanup(sim_freep) struct sim *s = two_stages(false, true);

	sim_release(s);
	cr_assert_neq(sim_rollback(s, "staging", ""), 0);
	cr_expect_str_eq(s->error.id, "E0409");
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
	sim_settle(s);
	cr_assert_eq(sim_rollback(s, "staging", ""), 0, "%s", s->error.text);
	sim_settle(s);
	cr_expect_str_empty(sim_env(s, "staging")->row->live);
	cr_expect(!s->hosts[0].serving);
	sim_restart(s);
	sim_settle(s);
	cr_expect_null(sim_env(s, "staging")->promotion);
}

/* ---- what waits ---- */

struct looked_for {
	const char *subject, *sentence;
	bool found;
};

static void look(void *arg, Sluice__V1__Wait *wait)
{
	struct looked_for *l = arg;

	l->found |= !strcmp(wait->subject, l->subject) && strstr(wait->sentence, l->sentence);
	message_free(wait);
}

static bool waits_say(struct sim *s, const char *subject, const char *sentence)
{
	struct looked_for l = { subject, sentence, false };

	delivery_waits(s->world, look, &l);
	return l.found;
}
