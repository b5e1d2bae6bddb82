/*
 * What comes over a session: Register with what is held, stale messages, and how agents leave.
 */
#include <string.h>

#include "controller/model/presence.h"
#include "scene.h"

Test(session, after_a_restart_of_the_controller_every_countdown_is_full)
{
	struct scene s = scene_running();

	lab_advance(s.l, T_C - 1);
	lab_restart(s.l);
	lab_advance(s.l, T_C - 1);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	lab_advance(s.l, 1);
	expect_attempt(s.l, s.fence, ATTEMPT(LOST));
	scene_end(&s);
}

Test(session, a_controller_that_restarts_disturbs_no_job)
{
	struct scene s = scene_running();

	lab_restart(s.l);
	agent_register_holding(s.a, s.fence, HELD(STARTED), UINT64_C(0));
	cr_expect_eq(agent_verdict(s.a, s.fence), VERDICT(CONTINUE));
	agent_succeed(s.a, s.fence);
	expect_run(s.l, s.run, RUN(SUCCEEDED), "");
	scene_end(&s);
}

static Sluice__V1__AgentMessage *said(Sluice__V1__AgentMessage__BodyCase body, const void *what)
{
	Sluice__V1__AgentMessage *m = message_new(&sluice__v1__agent_message__descriptor);

	m->body_case = body;
	m->renew = (Sluice__V1__Renew *)what;
	return m;
}

Test(session, a_message_that_names_more_than_any_agent_has_ends_the_session)
{
	struct scene s = scene_running();
	Sluice__V1__Renew *renew = message_new(&sluice__v1__renew__descriptor);

	for (size_t i = 0; i < 8192; i++)
		message_append(renew, fences, s.fence + i);
	agent_send(s.a, said(SLUICE__V1__AGENT_MESSAGE__BODY_RENEW, message_copy(renew)), NULL);
	cr_expect_not(s.a->closed);
	message_append(renew, fences, s.fence);
	agent_send(s.a, said(SLUICE__V1__AGENT_MESSAGE__BODY_RENEW, renew), NULL);
	cr_expect(s.a->closed);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	scene_end(&s);
}

Test(session, a_report_of_a_host_holds_ids)
{
	static const char *const ids[] = { "", "012345678901234567890123456789012345",
					   "0123456789012345678901234567890123456" };

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		struct scene s = scene_running();
		Sluice__V1__HostReport *r = message_new(&sluice__v1__host_report__descriptor);

		message_set_string(&r->live, ids[i]);
		agent_send(s.a, said(SLUICE__V1__AGENT_MESSAGE__BODY_HOST_REPORT, r), NULL);
		cr_expect_eq(s.a->closed, strlen(ids[i]) >= ID_SIZE, "case %zu", i);
		scene_end(&s);
	}
}

Test(session, a_lost_session_does_not_end_the_lease)
{
	struct scene s = scene_running();

	agent_drop(s.a);
	lab_advance(s.l, T_C - 1);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	agent_register_holding(s.a, s.fence, HELD(STARTED), UINT64_C(0));
	cr_expect_eq(agent_verdict(s.a, s.fence), VERDICT(CONTINUE));
	lab_advance(s.l, T_C - 1);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	scene_end(&s);
}

Test(session, what_is_not_held_any_more_is_dead_at_once)
{
	struct scene s = scene_running();

	agent_drop(s.a);
	agent_connect(s.a);
	expect_attempt(s.l, s.fence, ATTEMPT(LOST));
	cr_expect_eq(lab_job(s.l, s.run, "job")->row->state, JOB(ACTIVE), "and starts again");
	cr_expect_gt(agent_offered(s.a), s.fence);
	scene_end(&s);
}

Test(session, what_a_lost_journal_does_not_hold_may_still_run)
{
	struct scene s = scene_running();

	agent_drop(s.a);
	agent_register_lossy(s.a);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	cr_expect_eq(agent_offered(s.a), 0, "its slot is not free");
	lab_advance(s.l, T_C);
	expect_attempt(s.l, s.fence, ATTEMPT(LOST));
	scene_end(&s);
}

Test(session, what_ran_on_another_boot_is_dead_even_when_the_journal_was_lost)
{
	struct scene s = scene_running();
	cleanup(message_freep) Sluice__V1__Attempt *row = NULL;

	agent_drop(s.a);
	strcpy(s.a->boot, "boot-2");
	agent_register_lossy(s.a);
	row = lab_attempt_row(s.l, s.fence);
	cr_expect_eq(row->state, ATTEMPT(LOST));
	cr_expect_eq(row->exit->reason, EXIT(HOST_LOST));
	scene_end(&s);
}

struct held_case {
	int held;
	bool rebooted;
	Sluice__V1__HeldVerdict__Verdict verdict;
	Sluice__V1__AttemptState state;
};

Test(session, what_is_held_is_continued_or_stopped_by_what_it_proves)
{
	static const struct held_case cases[] = {
		{ HELD(ACCEPTED), false, VERDICT(CONTINUE), ATTEMPT(RUNNING) },
		{ HELD(STARTED), false, VERDICT(CONTINUE), ATTEMPT(RUNNING) },
		{ HELD(EXITED), false, VERDICT(CONTINUE), ATTEMPT(RUNNING) },
		{ HELD(LOST), false, VERDICT(STOP), ATTEMPT(LOST) },
		{ HELD(ACCEPTED), true, VERDICT(STOP), ATTEMPT(LOST) },
		{ HELD(STARTED), true, VERDICT(STOP), ATTEMPT(LOST) },
		{ HELD(EXITED), true, VERDICT(CONTINUE), ATTEMPT(RUNNING) },
		{ HELD(LOST), true, VERDICT(STOP), ATTEMPT(LOST) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scene s = scene_running();

		agent_drop(s.a);
		if (cases[i].rebooted)
			strcpy(s.a->boot, "boot-2");
		agent_register_holding(s.a, s.fence, cases[i].held, UINT64_C(0));
		cr_expect_eq(agent_verdict(s.a, s.fence), cases[i].verdict, "case %zu", i);
		expect_attempt(s.l, s.fence, cases[i].state);
		scene_end(&s);
	}
}

Test(session, an_offer_that_was_journalled_before_a_restart_goes_on)
{
	struct scene s = scene_offered();

	lab_restart(s.l);
	agent_register_holding(s.a, s.fence, HELD(ACCEPTED), UINT64_C(0));
	cr_expect_eq(agent_verdict(s.a, s.fence), VERDICT(CONTINUE));
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	agent_accept(s.a, s.fence);
	cr_expect(agent_was_accepted(s.a, s.fence));
	scene_end(&s);
}

Test(session, what_was_only_offered_here_and_is_held_is_the_agents)
{
	static const struct held_case cases[] = {
		{ HELD(ACCEPTED), true, VERDICT(CONTINUE), ATTEMPT(RUNNING) },
		{ HELD(STARTED), false, VERDICT(CONTINUE), ATTEMPT(RUNNING) },
		{ HELD(EXITED), false, VERDICT(CONTINUE), ATTEMPT(RUNNING) },
		{ HELD(LOST), false, VERDICT(STOP), ATTEMPT(LOST) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scene s = scene_offered();

		lab_restart(s.l);
		if (cases[i].rebooted)
			strcpy(s.a->boot, "boot-2");
		agent_register_holding(s.a, s.fence, cases[i].held, UINT64_C(0));
		cr_expect_eq(agent_verdict(s.a, s.fence), cases[i].verdict, "case %zu", i);
		expect_attempt(s.l, s.fence, cases[i].state);
		if (cases[i].verdict == VERDICT(CONTINUE)) { /* under the boot that it runs in */
			agent_drop(s.a);
			agent_register_holding(s.a, s.fence, HELD(STARTED), UINT64_C(0));
			cr_expect_eq(agent_verdict(s.a, s.fence), VERDICT(CONTINUE), "case %zu", i);
		}
		scene_end(&s);
	}
}

Test(session, an_offer_that_is_not_held_after_a_restart_is_not_sent_again)
{
	struct scene s = scene_offered();

	lab_restart(s.l);
	agent_connect(s.a);
	expect_attempt(s.l, s.fence, ATTEMPT(WITHDRAWN));
	cr_expect_gt(agent_offered(s.a), s.fence);
	scene_end(&s);
}

Test(session, a_fence_that_was_finished_is_to_be_forgotten_and_an_unknown_one_stopped)
{
	struct scene s = scene_running();

	agent_succeed(s.a, s.fence);
	agent_drop(s.a);
	agent_register_holding(s.a, s.fence, HELD(EXITED), UINT64_C(0));
	cr_expect_eq(agent_verdict(s.a, s.fence), VERDICT(FINISH));
	agent_drop(s.a);
	agent_register_holding(s.a, UINT64_C(4711), HELD(STARTED), UINT64_C(0));
	cr_expect_eq(agent_verdict(s.a, 4711), VERDICT(STOP));
	agent_connect(s.b);
	agent_drop(s.b);
	agent_register_holding(s.b, s.fence, HELD(EXITED), UINT64_C(0));
	cr_expect_eq(agent_verdict(s.b, s.fence), VERDICT(STOP), "another agent's");
	scene_end(&s);
}

Test(session, a_message_of_a_stale_session_is_refused_and_changes_nothing)
{
	struct scene s = scene_offered();
	struct lab_agent old = *s.a;

	agent_register_holding(s.a, s.fence, HELD(ACCEPTED), UINT64_C(0)); /* a new session */
	agent_forget(s.a);
	old.n_inbox = 0;
	agent_finish(&old, s.fence, EXIT(OK), 0);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	cr_expect_eq(s.a->n_inbox, 0, "and is not answered");
	cr_expect_not(s.a->closed, "the new session lives");
	agent_renew(s.a, s.fence);
	cr_expect(agent_was_renewed(s.a, s.fence));
	scene_end(&s);
}

Test(session, a_number_that_was_used_closes_the_session)
{
	struct scene s = scene_running();

	s.a->seq--; /* the next message repeats a number */
	agent_renew(s.a, s.fence);
	cr_expect(s.a->closed);
	cr_expect_not(agent_was_renewed(s.a, s.fence));
	scene_end(&s);
}

Test(session, register_comes_once_in_a_session_and_first)
{
	struct scene s = scene_offered();
	Sluice__V1__AgentMessage *again = message_new(&sluice__v1__agent_message__descriptor);

	again->body_case = SLUICE__V1__AGENT_MESSAGE__BODY_REGISTER;
	again->register_ = message_new(&sluice__v1__register__descriptor);
	agent_send(s.a, again, NULL);
	cr_expect(s.a->closed);
	s.b->session = ++s.l->sessions;
	agent_renew(s.b, s.fence);
	cr_expect(s.b->closed);
	scene_end(&s);
}

Test(session, an_agent_that_declines_is_passed_over_for_a_while)
{
	struct scene s = scene_offered();
	char why[512];

	agent_decline(s.a, s.fence, "no scratch disk");
	expect_attempt(s.l, s.fence, ATTEMPT(WITHDRAWN));
	cr_expect_eq(agent_offered(s.a), 0);
	cr_expect_str_eq(lab_why(s.l, s.run, "job", why),
			 "a declined it: no scratch disk; it is asked again in 1m");
	lab_advance(s.l, 60 * 1000 - 1);
	cr_expect_eq(agent_offered(s.a), 0);
	lab_advance(s.l, 1);
	cr_expect_gt(agent_offered(s.a), s.fence);
	scene_end(&s);
}

Test(session, an_agent_that_leaves_gets_no_more_and_its_preempted_job_goes_on_elsewhere)
{
	struct scene s = scene_running();

	agent_connect(s.b);
	agent_goodbye(s.a);
	agent_finish(s.a, s.fence, EXIT(PREEMPTED), 0);
	cr_expect(agent_was_acked(s.a, s.fence));
	expect_attempt(s.l, s.fence, ATTEMPT(FAILED));
	cr_expect_eq(agent_offered(s.a), 0);
	cr_expect_eq(lab_job(s.l, s.run, "job")->row->retries, 0, "which uses up no retry");
	agent_succeed(s.b, agent_start(s.b));
	expect_run(s.l, s.run, RUN(SUCCEEDED), "");
	scene_end(&s);
}

Test(session, a_person_can_vouch_that_a_host_is_dead_but_not_while_it_speaks)
{
	struct scene s = scene_running();
	cleanup(message_freep) Sluice__V1__Agent *reply = NULL;
	Sluice__V1__AgentActionRequest r = SLUICE__V1__AGENT_ACTION_REQUEST__INIT;
	struct agent_action action = { &lab_admin, &r };

	r.agent = s.a->name;
	cr_expect_eq(lab_ask(s.l, agents_lost, &action, &reply), -1);
	cr_expect_eq(s.l->error.code, ERR_CONFLICT);
	agent_drop(s.a);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	cr_expect_eq(lab_ask(s.l, agents_lost, &action, &reply), 0);
	expect_attempt(s.l, s.fence, ATTEMPT(LOST));
	cr_expect_eq(lab_job(s.l, s.run, "job")->row->state, JOB(QUEUED));
	scene_end(&s);
}

Test(session, an_unknown_agent_or_a_revoked_one_is_sent_away)
{
	struct scene s = scene_running();
	cleanup(message_freep) Sluice__V1__Agent *reply = NULL;
	Sluice__V1__AgentActionRequest r = SLUICE__V1__AGENT_ACTION_REQUEST__INIT;

	r.agent = s.a->name;
	cr_expect_eq(lab_ask(s.l, agents_revoke, &(struct agent_action){ &lab_admin, &r }, &reply),
		     0);
	cr_expect(s.a->closed);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING)); /* it ends by its lease */
	agent_connect(s.a);
	cr_expect(s.a->closed);
	cr_expect_eq(s.a->closed_code, ERR_ABORTED);
	cr_expect_eq(lab_agent_of(s.a)->session, 0);
	lab_advance(s.l, T_C);
	expect_attempt(s.l, s.fence, ATTEMPT(LOST));
	scene_end(&s);
}

/* ---- who comes and goes ---- */

#define EVENT(name) SLUICE__V1__EVENT_KIND__EVENT_AGENT_##name

Test(session, an_agent_that_flaps_does_not_fill_the_audit_log)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "w", 1, "");
	unsigned before;

	cr_expect_eq(l->events[EVENT(CONNECTED)], 1);
	cr_expect_str_eq(l->last[EVENT(CONNECTED)], "w connected, holding 0 attempts");
	for (int i = 0; i < 100; i++) { /* for 20 s */
		agent_drop(a);
		lab_advance(l, 100);
		agent_connect(a);
		lab_advance(l, 100);
	}
	cr_expect_eq(l->events[EVENT(CONNECTED)], 1);
	cr_expect_eq(l->events[EVENT(DISCONNECTED)], 1, "the first one is told at once");
	lab_advance(l, PRESENCE_MS);
	cr_expect_eq(l->events[EVENT(CONNECTED)], 2);
	cr_expect_str_eq(l->last[EVENT(CONNECTED)],
			 "w is connected; it changed 199 times since that was told last");
	lab_advance(l, 10 * PRESENCE_MS);
	cr_expect_eq(l->events[EVENT(CONNECTED)], 2, "nothing changed");
	agent_drop(a);
	cr_expect_eq(l->events[EVENT(DISCONNECTED)], 2,
		     "after a minute each is told at once again");
	before = l->events[EVENT(CONNECTED)] + l->events[EVENT(DISCONNECTED)];
	for (int i = 0; i < 3600; i++) { /* for an hour, and it ends gone */
		agent_connect(a);
		lab_advance(l, 500);
		agent_drop(a);
		lab_advance(l, 500);
	}
	cr_expect_leq(l->events[EVENT(CONNECTED)] + l->events[EVENT(DISCONNECTED)] - before, 121);
	lab_advance(l, PRESENCE_MS);
	cr_expect_eq(strncmp(l->last[EVENT(DISCONNECTED)], "w is not connected; it changed ", 31),
		     0, "%s", l->last[EVENT(DISCONNECTED)]);
}

Test(session, what_an_agent_is_in_the_end_is_told)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "w", 1, "");

	agent_drop(a);
	agent_connect(a);
	agent_drop(a);
	cr_expect_eq(l->events[EVENT(CONNECTED)], 1);
	cr_expect_eq(l->events[EVENT(DISCONNECTED)], 1);
	lab_advance(l, PRESENCE_MS);
	cr_expect_eq(l->events[EVENT(DISCONNECTED)], 2);
}
