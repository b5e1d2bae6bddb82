#include "agent/work.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "host.h"

#define EXIT(name) SLUICE__V1__EXIT_REASON__EXIT_##name

static struct host_under_test host;

static void begin(void)
{
	host_start(&host, 2);
}

static void end(void)
{
	host_end(&host);
}

TestSuite(work, .init = begin, .fini = end, .timeout = 90);

static void wait_started(uint64_t fence)
{
	cleanup(freep) char *path = xprintf("%s/%" PRIu64 "/src/here", host.work_dir, fence);

	host_wait_file(path, true);
}

Test(work, an_offer_becomes_a_result_and_nothing_is_left)
{
	const Sluice__V1__FinishedAttempt *done;

	host_offer(&host, 5, "echo hello; exit 3");
	done = host_finished(&host, 5);
	cr_expect_eq(done->exit->reason, EXIT(CODE));
	cr_expect_eq(done->exit->code, 3);
	cr_expect_str_eq(done->run_id, "run");
	cr_assert_eq(done->n_log_end, 3);
	cr_expect_eq(done->log_end[0], 6);
	stand_wait_log(host.stand, 5, 0, "hello\n", 6);
	host_acknowledge(&host, 5);
	host_wait_forgotten(&host, 5);
}

Test(work, a_lower_fence_is_not_taken_and_a_bad_offer_is_declined)
{
	size_t at = 0;
	const Sluice__V1__AgentMessage *m;

	host_offer(&host, 5, "true");
	host_finished(&host, 5);
	host_offer(&host, 4, "echo no >\"$HOME/../../../ran\"");
	host_offer(&host, 6, NULL);
	m = stand_hear(host.stand, &at, SLUICE__V1__AGENT_MESSAGE__BODY_DECLINE);
	cr_expect_eq(m->decline->fence, 6);
	host_offer(&host, 7, "true");
	host_finished(&host, 7);
	at = 0;
	for (int i = 0; i < 2; i++) {
		m = stand_hear(host.stand, &at, SLUICE__V1__AGENT_MESSAGE__BODY_ACCEPT);
		cr_expect(m->accept->fences[0] == 5 || m->accept->fences[0] == 7);
	}
}

/* n of them, the first with this fence. */
static void offer_many(uint64_t fence, size_t n, Sluice__V1__JobSpec *spec)
{
	Sluice__V1__ControllerMessage m = SLUICE__V1__CONTROLLER_MESSAGE__INIT;
	Sluice__V1__Offer offer = SLUICE__V1__OFFER__INIT;
	cleanup(freep) Sluice__V1__Assignment *all = xcalloc(n, sizeof *all);
	cleanup(freep) Sluice__V1__Assignment **list = xcalloc(n, sizeof *list);

	for (size_t i = 0; i < n; i++) {
		sluice__v1__assignment__init(&all[i]);
		all[i].fence = fence + i;
		all[i].lease_ms = 60000;
		all[i].spec = spec;
		list[i] = &all[i];
	}
	offer.assignments = list;
	offer.n_assignments = n;
	m.body_case = SLUICE__V1__CONTROLLER_MESSAGE__BODY_OFFER;
	m.offer = &offer;
	stand_say(host.stand, &m);
}

static size_t hear_accepted(size_t *at, uint64_t *ret_last)
{
	const Sluice__V1__Accept *accept =
		stand_hear(host.stand, at, SLUICE__V1__AGENT_MESSAGE__BODY_ACCEPT)->accept;

	*ret_last = accept->fences[accept->n_fences - 1];
	return accept->n_fences;
}

Test(work, more_declines_than_a_batch_are_all_said)
{
	enum { N = 600 };
	size_t at = 0;

	offer_many(1, N, NULL);
	for (uint64_t fence = 1; fence <= N; fence++)
		cr_assert_eq(stand_hear(host.stand, &at, SLUICE__V1__AGENT_MESSAGE__BODY_DECLINE)
				     ->decline->fence,
			     fence);
}

#ifdef SLUICE_FAULTS
Test(work, a_journal_that_cannot_be_written_declines_all_and_forgets_no_decline)
{
	Sluice__V1__ControllerMessage m = SLUICE__V1__CONTROLLER_MESSAGE__INIT;
	Sluice__V1__Offer offer = SLUICE__V1__OFFER__INIT;
	Sluice__V1__JobSpec spec = SLUICE__V1__JOB_SPEC__INIT;
	Sluice__V1__Assignment all[2] = { SLUICE__V1__ASSIGNMENT__INIT,
					  SLUICE__V1__ASSIGNMENT__INIT };
	Sluice__V1__Assignment *list[] = { &all[0], &all[1] };
	size_t at = 0;

	spec.run = (char *)"true";
	all[0].fence = 1; /* without a spec */
	all[1].fence = 2;
	all[1].spec = &spec;
	offer.assignments = list;
	offer.n_assignments = 2;
	m.body_case = SLUICE__V1__CONTROLLER_MESSAGE__BODY_OFFER;
	m.offer = &offer;
	fault_load("journal.append=error@1");
	stand_say(host.stand, &m);
	for (uint64_t fence = 1; fence <= 2; fence++)
		cr_expect_eq(stand_hear(host.stand, &at, SLUICE__V1__AGENT_MESSAGE__BODY_DECLINE)
				     ->decline->fence,
			     fence);
	fault_load("");
}
#endif

Test(work, an_offer_without_a_free_slot_waits_and_goes_with_its_session)
{
	Sluice__V1__JobSpec spec = SLUICE__V1__JOB_SPEC__INIT;
	size_t at = 0, accepted = 0;
	uint64_t last = 0;

	host.stand->mute = true; /* nothing runs */
	spec.run = (char *)"true";
	offer_many(1, 600, &spec);
	while (accepted < host.slots)
		accepted += hear_accepted(&at, &last);
	cr_expect_eq(last, host.slots); /* in the order of their fences */
	host.stand->verdict = SLUICE__V1__HELD_VERDICT__VERDICT__STOP;
	stand_break_session(host.stand);
	at = 0;
	cr_expect_eq(host_register(&host, &at)->n_held, 0);
	cr_expect_eq(host_register(&host, &at)->n_held, host.slots); /* no more were accepted */
	host.stand->mute = false;
	host_offer(&host, 1000, "true"); /* and the slots are free again */
	cr_expect_eq(host_finished(&host, 1000)->exit->reason, EXIT(OK));
}

Test(work, the_next_offer_is_accepted_when_a_job_has_ended)
{
	cleanup(freep) char *first = host_path(&host, "first");
	cleanup(freep) char *command = xprintf("until [ -e %s ]; do sleep 0.02; done", first);
	size_t at = 0, ended = 0, accepted = 0;
	uint64_t last = 0;

	host_offer(&host, 1, command);
	host_offer(&host, 2, command);
	while (accepted < 2)
		accepted += hear_accepted(&at, &last);
	host_offer(&host, 3, "true");
	host_offer(&host, 4, "true");
	usleep(100000);		  /* they wait by then */
	host_tell_stop(&host, 3); /* withdrawn: nothing is said of it */
	cr_assert_eq(file_write_atomic(first, "", 0, 0600, NULL), 0);
	cr_expect_eq(hear_accepted(&at, &last), 1);
	cr_expect_eq(last, 4);
	stand_hear(host.stand, &ended, SLUICE__V1__AGENT_MESSAGE__BODY_FINISH);
	cr_expect_lt(ended, at);
	cr_expect_eq(host_finished(&host, 4)->exit->reason, EXIT(OK));
}

Test(work, nothing_runs_before_it_is_accepted)
{
	cleanup(freep) char *ran = host_path(&host, "ran");
	cleanup(freep) char *command = xprintf("touch %s", ran);
	const Sluice__V1__FinishedAttempt *done;
	size_t at = 0;

	host.stand->mute = true;
	host_offer(&host, 1, command);
	stand_hear(host.stand, &at, SLUICE__V1__AGENT_MESSAGE__BODY_ACCEPT);
	host_tell_stop(&host, 1);
	done = host_finished(&host, 1);
	cr_expect_eq(done->exit->reason, EXIT(CANCELLED));
	cr_expect_not(file_exists(ran));
	host_tell_stop(&host, 1); /* stale */
	host_wait_forgotten(&host, 1);
}

Test(work, continue_is_as_good_as_accepted)
{
	size_t at = 0;

	host.stand->mute = true;
	host_offer(&host, 1, "true");
	stand_hear(host.stand, &at, SLUICE__V1__AGENT_MESSAGE__BODY_ACCEPT);
	stand_break_session(host.stand);
	cr_expect_eq(host_finished(&host, 1)->exit->reason, EXIT(OK));
}

Test(work, a_stop_ends_what_runs)
{
	const Sluice__V1__FinishedAttempt *done;

	host_offer(&host, 1, "echo before; touch here; sleep 60");
	wait_started(1);
	host_tell_stop(&host, 1);
	done = host_finished(&host, 1);
	cr_expect_eq(done->exit->reason, EXIT(CANCELLED));
	stand_wait_log(host.stand, 1, 0, "before\n", 7);
}

Test(work, a_stop_after_the_end_does_not_swallow_the_result)
{
	cleanup(freep) char *done = xprintf("%s/spool/1.done", host.dir);
	size_t at = 0;

	host.stand->hold_acks = true;
	host_offer(&host, 1, "echo x");
	host_wait_file(done, true);
	stand_wait_log(host.stand, 1, 0, "x\n", 2);
	host_tell_stop(&host, 1);
	host_offer(&host, 2, "true"); /* behind it in the session */
	host_finished(&host, 2);
	lock_take(&host.stand->lock);
	host.stand->hold_acks = false;
	host.stand->cut_logs = 1; /* the stream begins again, and is acknowledged now */
	lock_drop(&host.stand->lock);
	host_stop(&host);
	lock_take(&host.stand->lock);
	host.stand->cut_logs = 0;
	lock_drop(&host.stand->lock);
	host_again(&host);
	host.heard = at;
	cr_expect_eq(host_finished(&host, 1)->exit->reason, EXIT(OK));
}

Test(work, what_runs_goes_on_without_an_agent)
{
	const Sluice__V1__Register *r;
	size_t at = 0;

	host_offer(&host, 1, "touch here; while [ ! -e go ]; do sleep 0.01; done; echo done");
	wait_started(1);
	host_stop(&host);
	host_again(&host);
	host_register(&host, &at);
	r = host_register(&host, &at);
	cr_assert_eq(r->n_held, 1);
	cr_expect_eq(r->held[0]->state, SLUICE__V1__HELD__STATE__STARTED);
	{
		cleanup(freep) char *go = xprintf("%s/1/src/go", host.work_dir);
		struct error err = { 0 };

		cr_assert_eq(file_write_atomic(go, "", 0, 0644, &err), 0);
	}
	cr_expect_eq(host_finished(&host, 1)->exit->reason, EXIT(OK));
	stand_wait_log(host.stand, 1, 0, "done\n", 5);
}

/* A job of days must not send its log of days again, each time the agent is started anew. */
Test(work, an_agent_that_comes_back_sends_only_what_is_missing)
{
	cleanup(freep) char *go = xprintf("%s/1/src/go", host.work_dir);
	struct stand_log *log;
	struct error err = { 0 };

	host_offer(&host, 1,
		   "seq 100000; touch here; while [ ! -e go ]; do sleep 0.01; done; echo end");
	wait_started(1);
	for (size_t n = 0; n < 588895; usleep(2000)) { /* what seq printed */
		LOCKED(&host.stand->lock);
		log = stand_log(host.stand, 1, "", 0);
		n = log ? log->bytes.len : 0;
	}
	usleep(100000); /* acknowledged */
	host_stop(&host);
	host_again(&host);
	cr_assert_eq(file_write_atomic(go, "", 0, 0644, &err), 0);
	cr_expect_eq(host_finished(&host, 1)->log_end[0], 588895 + 4);
	LOCKED(&host.stand->lock);
	log = stand_log(host.stand, 1, "", 0);
	cr_expect_eq(log->bytes.len, 588895 + 4);
	cr_expect_lt(log->received, 588895 + 4 + 1000, "%llu bytes were sent",
		     (unsigned long long)log->received);
}

Test(work, output_that_was_not_shipped_yet_survives_a_restart)
{
	cleanup(freep) char *done = xprintf("%s/spool/1.done", host.dir);

	host.stand->cut_logs = 1; /* nothing is acknowledged */
	host_offer(&host, 1, "echo precious");
	host_wait_file(done, true);
	usleep(200000); /* EXITED is journalled by then */
	host_stop(&host);
	lock_take(&host.stand->lock);
	host.stand->cut_logs = 0;
	if (stand_log(host.stand, 1, "", 0))
		stand_log(host.stand, 1, "", 0)->bytes.len = 0;
	lock_drop(&host.stand->lock);
	host_again(&host);
	cr_expect_eq(host_finished(&host, 1)->exit->reason, EXIT(OK));
	stand_wait_log(host.stand, 1, 0, "precious\n", 9);
}

Test(work, what_ended_without_an_agent_is_collected)
{
	cleanup(freep) char *done = xprintf("%s/spool/1.done", host.dir);

	host_offer(&host, 1, "touch here; sleep 0.3; echo end; exit 4");
	wait_started(1);
	host_stop(&host);
	host_wait_file(done, true);
	host_again(&host);
	cr_expect_eq(host_finished(&host, 1)->exit->code, 4);
	stand_wait_log(host.stand, 1, 0, "end\n", 4);
}

Test(work, a_dead_shim_is_told_at_once_and_its_output_kept)
{
	const Sluice__V1__FinishedAttempt *done;

	host_offer(&host, 1, "echo said; touch here; sleep 60");
	wait_started(1);
	stand_wait_log(host.stand, 1, 0, "said\n", 5);
	host_kill_shim(&host, "slot-");
	done = host_finished(&host, 1);
	cr_expect_eq(done->exit->reason, EXIT(AGENT_LOST));
	cr_expect_eq(done->log_end[0], 5);
	host_offer(&host, 2, "true"); /* the slot is usable */
	cr_expect_eq(host_finished(&host, 2)->exit->reason, EXIT(OK));
}

Test(work, what_died_without_an_agent_is_lost_and_never_run_again)
{
	cleanup(freep) char *ran = host_path(&host, "ran");
	cleanup(freep) char *command = xprintf("echo x >>%s; echo said; touch here; sleep 60", ran);
	cleanup(buf_release) struct buf text = { 0 };
	const Sluice__V1__Register *r;
	struct error err = { 0 };
	size_t at = 0;

	host_offer(&host, 1, command);
	wait_started(1);
	stand_wait_log(host.stand, 1, 0, "said\n", 5);
	host_stop(&host);
	lock_take(&host.stand->lock);
	stand_log(host.stand, 1, "", 0)->bytes.len = 0; /* as if none had come */
	lock_drop(&host.stand->lock);
	host_kill_shim(&host, "slot-");
	lock_take(&host.stand->lock);
	host.stand->verdict = SLUICE__V1__HELD_VERDICT__VERDICT__STOP;
	lock_drop(&host.stand->lock);
	host_again(&host);
	host_register(&host, &at);
	r = host_register(&host, &at);
	cr_assert_eq(r->n_held, 1);
	cr_expect_eq(r->held[0]->state, SLUICE__V1__HELD__STATE__LOST);
	stand_wait_log(host.stand, 1, 0, "said\n", 5); /* though nobody wants a result */
	host_wait_forgotten(&host, 1);
	cr_assert_eq(file_read(ran, 100, &text, &err), 0);
	cr_expect_str_eq(buf_str(&text), "x\n");
}

Test(work, started_without_a_shim_and_a_record_is_lost)
{
	cleanup(freep) char *ran = host_path(&host, "ran");
	cleanup(freep) char *command = xprintf("touch %s", ran);
	const Sluice__V1__Register *r;
	struct error err = { 0 };
	size_t at = 0;

	host.stand->mute = true;
	host_offer(&host, 1, command);
	stand_hear(host.stand, &at, SLUICE__V1__AGENT_MESSAGE__BODY_ACCEPT);
	cr_assert_eq(journal_started(host.journal, 1, "slot-0", &err), 0); /* and then we died */
	host_stop(&host);
	host_again(&host);
	at = 0;
	host_register(&host, &at);
	r = host_register(&host, &at);
	cr_assert_eq(r->n_held, 1);
	cr_expect_eq(r->held[0]->state, SLUICE__V1__HELD__STATE__LOST);
	host_offer(&host, 2, "true");
	stand_hear(host.stand, &at, SLUICE__V1__AGENT_MESSAGE__BODY_ACCEPT);
	cr_expect_not(file_exists(ran));
}

Test(work, a_lease_that_is_not_renewed_ends_the_job)
{
	Sluice__V1__Assignment a = SLUICE__V1__ASSIGNMENT__INIT;
	Sluice__V1__JobSpec spec = SLUICE__V1__JOB_SPEC__INIT;
	int64_t before = clock_boot_ms();

	host.stand->no_renewals = true;
	spec.run = (char *)"trap '' TERM; sleep 60";
	a.fence = 1;
	a.lease_ms = 2000;
	a.spec = &spec;
	host_assign(&host, &a);
	cr_expect_eq(host_finished(&host, 1)->exit->reason, EXIT(AGENT_LOST));
	cr_expect_leq(clock_boot_ms() - before, 2000 + 500);
}

Test(work, renewals_keep_it_alive_past_its_lease)
{
	Sluice__V1__Assignment a = SLUICE__V1__ASSIGNMENT__INIT;
	Sluice__V1__JobSpec spec = SLUICE__V1__JOB_SPEC__INIT;

	spec.run = (char *)"sleep 4";
	a.fence = 1;
	a.lease_ms = 2000;
	a.spec = &spec;
	host_assign(&host, &a);
	cr_expect_eq(host_finished(&host, 1)->exit->reason, EXIT(OK));
}

Test(work, fewer_slots_after_a_restart_lose_nothing)
{
	host_offer(&host, 1, "touch here; sleep 0.5");
	host_offer(&host, 2, "touch here; sleep 0.5");
	wait_started(1);
	wait_started(2);
	host_stop(&host);
	host.slots = 1;
	host_again(&host);
	for (uint64_t fence = 1; fence <= 2; fence++) {
		host.heard = 0;
		cr_expect_eq(host_finished(&host, fence)->exit->reason, EXIT(OK));
	}
}
