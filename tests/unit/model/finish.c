/*
 * The end of an attempt: Finish, and what being cancelled makes of it.
 */
#include <string.h>

#include "scene.h"

Test(finish, an_older_fence_finishes_nothing_and_is_stopped)
{
	struct scene s = scene_running();
	uint64_t newer;

	lab_advance(s.l, T_C); /* LOST; the agent is still connected, and gets it again */
	newer = agent_start(s.a);
	cr_assert_gt(newer, s.fence);
	agent_finish(s.a, s.fence, EXIT(OK), 0);
	cr_expect_not(agent_was_acked(s.a, s.fence));
	cr_expect(agent_was_stopped(s.a, s.fence));
	expect_attempt(s.l, s.fence, ATTEMPT(LOST));
	expect_attempt(s.l, newer, ATTEMPT(RUNNING));
	expect_job(s.l, s.run, "job", JOB(ACTIVE), NULL);
	scene_end(&s);
}

Test(finish, a_finish_repeated_gets_the_same_answer_for_ever)
{
	struct scene s = scene_running();

	agent_succeed(s.a, s.fence);
	agent_finish(s.a, s.fence, EXIT(CODE), 1);
	cr_expect(agent_was_acked(s.a, s.fence));
	expect_attempt(s.l, s.fence, ATTEMPT(SUCCEEDED));
	lab_restart(s.l);
	agent_connect(s.a);
	agent_finish(s.a, s.fence, EXIT(OK), 0);
	cr_expect(agent_was_acked(s.a, s.fence));
	cr_expect_eq(s.l->events[SLUICE__V1__EVENT_KIND__EVENT_ATTEMPT_FINISHED], 1);
	scene_end(&s);
}

Test(finish, what_an_agent_says_of_an_end_is_kept_in_short)
{
	struct scene s = scene_running();
	Sluice__V1__FinishedAttempt *f = message_new(&sluice__v1__finished_attempt__descriptor);
	cleanup(message_freep) Sluice__V1__Job *job = NULL;
	char text[5000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text + 999, "\xc3\xa4", 2); /* across the cut */
	f->fence = s.fence;
	f->exit = message_new(&sluice__v1__exit__descriptor);
	f->exit->reason = EXIT(INFRA);
	message_set_string(&f->exit->text, text);
	for (int i = 0; i < 2; i++) {
		Sluice__V1__Metric *m = message_new(&sluice__v1__metric__descriptor);

		message_set_string(&m->name, i ? text : "accuracy");
		message_append(f, metrics, m);
	}
	agent_finish_with(s.a, f, 0);
	cr_expect(agent_was_acked(s.a, s.fence));
	job = lab_job_row(s.l, s.run, "job");
	cr_expect_eq(strlen(job->exit->text), 999, "%zu", strlen(job->exit->text));
	cr_expect_eq(job->n_metrics, 1);
	scene_end(&s);
}

Test(finish, a_finish_before_accepted_is_stopped)
{
	struct scene s = scene_offered();

	agent_finish(s.a, s.fence, EXIT(OK), 0);
	cr_expect_not(agent_was_acked(s.a, s.fence));
	cr_expect(agent_was_stopped(s.a, s.fence));
	expect_attempt(s.l, s.fence, ATTEMPT(OFFERED));
	scene_end(&s);
}

Test(finish, a_finish_counts_only_when_the_log_is_durable_to_its_end)
{
	struct scene s = scene_running();
	cleanup(message_freep) Sluice__V1__ControllerMessage *m = NULL;
	Sluice__V1__FinishedAttempt *f = finished(s.fence, EXIT(OK), 0);
	uint64_t end = 100;

	message_append(f, log_end, end);
	agent_finish_with(s.a, f, 99);
	m = agent_take(s.a, BODY(FINISH_ACK));
	cr_assert(m);
	cr_expect_eq(m->finish_ack->n_fences, 0);
	cr_assert_eq(m->finish_ack->n_needs, 1);
	cr_expect_eq(m->finish_ack->needs[0]->log_durable[0], 99);
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	f = finished(s.fence, EXIT(OK), 0);
	message_append(f, log_end, end);
	agent_finish_with(s.a, f, 100);
	cr_expect(agent_was_acked(s.a, s.fence));
	expect_attempt(s.l, s.fence, ATTEMPT(SUCCEEDED));
	cr_expect_eq(s.l->logs_closed, 1);
	scene_end(&s);
}

Test(finish, a_log_of_another_run_proves_nothing)
{
	struct scene s = scene_running();
	Sluice__V1__FinishedAttempt *f = finished(s.fence, EXIT(OK), 0);
	uint64_t end = 100;

	message_append(f, log_end, end);
	message_set_string(&f->run_id, "another");
	agent_finish_with(s.a, f, 1000);
	cr_expect_not(agent_was_acked(s.a, s.fence));
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	scene_end(&s);
}

Test(finish, a_finish_from_another_agent_is_stopped)
{
	struct scene s = scene_running();

	agent_connect(s.b);
	agent_finish(s.b, s.fence, EXIT(OK), 0);
	cr_expect(agent_was_stopped(s.b, s.fence));
	expect_attempt(s.l, s.fence, ATTEMPT(RUNNING));
	scene_end(&s);
}

Test(finish, an_attempt_being_cancelled_ends_cancelled_whatever_comes)
{
	static const Sluice__V1__ExitReason ends[] = { EXIT(OK), EXIT(CODE), EXIT(CANCELLED) };

	for (size_t i = 0; i <= ARRAY_SIZE(ends); i++) {
		struct scene s = scene_running();

		cr_assert_eq(lab_cancel(s.l, s.run), 0);
		cr_expect(agent_was_stopped(s.a, s.fence));
		expect_attempt(s.l, s.fence, ATTEMPT(CANCELLING));
		if (i < ARRAY_SIZE(ends))
			agent_finish(s.a, s.fence, ends[i], 1);
		else
			lab_advance(s.l, T_C); /* lost */
		expect_attempt(s.l, s.fence, ATTEMPT(CANCELLED));
		expect_job(s.l, s.run, "job", JOB(CANCELLED), NULL);
		expect_run(s.l, s.run, RUN(CANCELLED), NULL);
		scene_end(&s);
	}
}

Test(finish, an_attempt_being_cancelled_is_not_renewed_but_stopped_again)
{
	struct scene s = scene_running();

	lab_cancel(s.l, s.run);
	agent_forget(s.a);
	lab_advance(s.l, 20000);
	agent_renew(s.a, s.fence);
	cr_expect_not(agent_was_renewed(s.a, s.fence));
	cr_expect(agent_was_stopped(s.a, s.fence));
	lab_advance(s.l, T_C - 20000);
	expect_attempt(s.l, s.fence, ATTEMPT(CANCELLED));
	scene_end(&s);
}

Test(finish, an_attempt_being_cancelled_is_not_accepted_again)
{
	struct scene s = scene_running();

	lab_cancel(s.l, s.run);
	agent_forget(s.a);
	agent_accept(s.a, s.fence); /* it did not hear Accepted */
	cr_expect_not(agent_was_accepted(s.a, s.fence));
	cr_expect(agent_was_stopped(s.a, s.fence));
	expect_attempt(s.l, s.fence, ATTEMPT(CANCELLING));
	scene_end(&s);
}

Test(finish, a_stop_that_was_lost_is_repeated_at_register)
{
	struct scene s = scene_running();

	lab_cancel(s.l, s.run);
	agent_drop(s.a); /* the Stop with it */
	agent_register_holding(s.a, s.fence, HELD(STARTED), UINT64_C(0));
	cr_expect_eq(agent_verdict(s.a, s.fence), VERDICT(CONTINUE));
	cr_expect(agent_was_stopped(s.a, s.fence));
	agent_finish(s.a, s.fence, EXIT(CANCELLED), 0);
	cr_expect(agent_was_acked(s.a, s.fence));
	expect_run(s.l, s.run, RUN(CANCELLED), NULL);
	scene_end(&s);
}

Test(finish, cancelling_an_offer_withdraws_it_at_once)
{
	struct scene s = scene_offered();

	lab_cancel(s.l, s.run);
	expect_attempt(s.l, s.fence, ATTEMPT(WITHDRAWN));
	expect_run(s.l, s.run, RUN(CANCELLED), NULL);
	agent_accept(s.a, s.fence);
	cr_expect_not(agent_was_accepted(s.a, s.fence));
	cr_expect(agent_was_stopped(s.a, s.fence));
	scene_end(&s);
}
