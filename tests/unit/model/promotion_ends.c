#include <stdio.h>
#include <string.h>

#include "controller/model/promotion_private.h"
#include "rollout_fixture.h"

/* What a person says is copied into rows and events; a megabyte of it would fill a row until the
 * store refuses it, and with it everything else that is decided. */
Test(promotion_ends, what_people_say_has_a_limit)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, false);
	Sluice__V1__PromoteRequest request = sim_request("staging", "r1", "much");
	char words[CALLER_TEXT_MAX + 2];

	memset(words, 'x', sizeof words);
	words[sizeof words - 1] = 0;
	sim_release(s);
	request.reason = words;
	cr_assert_neq(sim_promote_with(s, &request, SLUICE__V1__ROLE__OPERATOR, NULL), 0);
	cr_expect(strstr(s->error.text, "the reason has 1001 bytes; 1000 are the most"), "%s",
		  s->error.text);
	request.reason = (char *)"";
	request.override_reason = words;
	cr_assert_neq(sim_promote_with(s, &request, SLUICE__V1__ROLE__ADMIN, NULL), 0);
	words[CALLER_TEXT_MAX] = 0;
	cr_assert_eq(sim_promote_with(s, &request, SLUICE__V1__ROLE__ADMIN, NULL), 0, "%s",
		     s->error.text);
}

/* ---- verification ---- */

Test(promotion_ends, a_failed_verification_takes_it_back_and_quarantines_it_downstream)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(true, true);
	uint32_t r2;

	sim_run_succeeds(s, sim_release(s));
	sim_settle(s);
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_OK);
	sim_settle(s);
	sim_verify(s, "production", SLUICE__V1__EXIT_REASON__EXIT_OK);
	r2 = sim_release(s);
	sim_run_succeeds(s, r2);
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
	cr_expect(strstr(s->error.text, "r2 is quarantined in 'production' for "), "%s",
		  s->error.text);
	cr_expect(strstr(s->error.text, ", because of staging: verify step "), "%s", s->error.text);
	cr_expect(strstr(s->error.hint, "--override"), "%s", s->error.hint);
}

Test(promotion_ends, a_verification_that_could_not_run_pauses_for_a_person)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, true);
	Sluice__V1__PromoteRequest request = sim_request("staging", "r1", "accept");

	sim_release(s);
	cr_assert_eq(sim_promote(s, "staging", 1), 0);
	sim_settle(s);
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST);
	cr_expect_eq(sim_outcome(s, "staging"), PROMOTION_STATE(PAUSED));
	cr_expect(
		sim_waits_say(s, "r1 -> staging", "paused: verify step 'smoke': it did not work"));
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

Test(promotion_ends, a_pause_that_nobody_ends_counts_as_failed)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, true);

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

Test(promotion_ends, a_rollback_goes_to_what_was_good_before_and_sets_a_hold)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(true, false);

	for (int i = 0; i < 3; i++) {
		sim_run_succeeds(s, sim_release(s));
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
	cr_expect_str_eq(sim_env(s, "production")->row->hold->reason,
			 "rolled back: chargebacks up");
	cr_assert_neq(sim_promote(s, "production", 3), 0);
	cr_expect(strstr(s->error.text, ", by alice: rolled back: chargebacks up"), "%s",
		  s->error.text);
	cr_assert_neq(sim_promote(s, "prodution", 3), 0);
	cr_expect(strstr(s->error.hint, "did you mean `production`?"), "%s", s->error.hint);
	cr_assert_eq(sim_rollback(s, "production", ""), 0);
	sim_settle(s);
	sim_expect_everywhere(s, "production", 1);
	cr_assert_neq(sim_rollback(s, "production", ""), 0);
	cr_expect_str_eq(s->error.id, "E0409");
}

Test(promotion_ends, only_the_request_that_set_a_hold_tells_of_it)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(true, false);
	cleanup(message_freep) Sluice__V1__PromoteReply *sets = NULL;
	cleanup(message_freep) Sluice__V1__PromoteReply *finds = NULL;
	Sluice__V1__PromoteRequest first = sim_request("staging", "r1", "h1");
	Sluice__V1__PromoteRequest second = sim_request("staging", "r2", "h2");

	for (int i = 0; i < 3; i++) {
		sim_run_succeeds(s, sim_release(s));
		sim_settle(s);
	}
	cr_assert_eq(sim_promote_with(s, &first, SLUICE__V1__ROLE__OPERATOR, &sets), 0);
	sim_settle(s);
	cr_assert_eq(sim_promote_with(s, &second, SLUICE__V1__ROLE__OPERATOR, &finds), 0);
	cr_expect_not_null(sets->hold);
	cr_expect_null(finds->hold);
}

Test(promotion_ends, a_rollback_to_a_named_release_takes_only_what_was_good_there)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(true, false);

	for (int i = 0; i < 3; i++) {
		sim_run_succeeds(s, sim_release(s));
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

Test(promotion_ends, a_rollback_ends_what_is_under_way)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, true);

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

Test(promotion_ends, a_first_rollout_that_is_rolled_back_is_stopped)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, true);

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

/* ---- what is quarantined ---- */

Test(promotion_ends, what_an_override_brought_back_and_was_verified_is_good_again)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, true);
	Sluice__V1__PromoteRequest request = sim_request("staging", "r2", "override");

	for (uint32_t r = 1; r <= 2; r++) {
		cr_assert_eq(sim_promote(s, "staging", sim_release(s)), 0, "%s", s->error.text);
		sim_settle(s);
		sim_verify(s, "staging",
			   r == 1 ? SLUICE__V1__EXIT_REASON__EXIT_OK
				  : SLUICE__V1__EXIT_REASON__EXIT_CODE);
		sim_settle(s);
	}
	cr_assert(release_is_quarantined(sim_release_of(s, 2), "staging"));
	request.override_reason = (char *)"the step was wrong, not the release";
	cr_assert_eq(sim_promote_with(s, &request, SLUICE__V1__ROLE__APPROVER, NULL), 0, "%s",
		     s->error.text);
	sim_settle(s);
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_OK);
	cr_expect(!release_is_quarantined(sim_release_of(s, 2), "staging"));
	cr_expect(
		!environment_is_quarantined(sim_env(s, "staging"), sim_release_of(s, 2)->row->id));
	cr_expect(release_is_quarantined(sim_release_of(s, 2), "production"),
		  "what comes after it decides for itself");
	/* The next one fails: r2 is where it goes back to. */
	cr_assert_eq(sim_promote(s, "staging", sim_release(s)), 0, "%s", s->error.text);
	sim_settle(s);
	sim_verify(s, "staging", SLUICE__V1__EXIT_REASON__EXIT_CODE);
	sim_settle(s);
	sim_expect_everywhere(s, "staging", 2);
	cr_expect(!sim_env(s, "staging")->row->degraded);
}

Test(promotion_ends, to_go_back_to_what_is_quarantined_for_want_of_a_better_degrades)
{
	cleanup(sim_freep) struct sim *s = sim_two_stages(false, false);
	Sluice__V1__PromoteRequest request = sim_request("production", "r2", "override");

	sim_release(s);
	sim_release(s);
	cr_assert_eq(sim_promote(s, "staging", 1), 0, "%s", s->error.text);
	sim_settle(s);
	cr_assert_eq(sim_promote(s, "production", 1), 0, "%s", s->error.text);
	sim_settle(s);
	release_quarantine(s->world, sim_env(s, "staging"), sim_release_of(s, 1), NULL,
			   "it is bad");
	sim_commit(s);
	s->hosts[2].fail_activate = 2;
	request.override_reason = (char *)"anything is better";
	cr_assert_eq(sim_promote_with(s, &request, SLUICE__V1__ROLE__ADMIN, NULL), 0, "%s",
		     s->error.text);
	sim_settle(s);
	sim_expect_everywhere(s, "production", 1);
	cr_expect(sim_env(s, "production")->row->degraded, "r1 is bad, too");
	cr_expect(strstr(sim_env(s, "production")->row->degraded_reason,
			 "r1 serves again, but it is quarantined here"));
}
