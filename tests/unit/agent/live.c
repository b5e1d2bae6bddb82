/*
 * A job's metrics on their way to the controller while it runs, and across restarts of the agent.
 */
#include "agent/live.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "host.h"

static struct host_under_test host;

static void begin(void)
{
	host_start(&host, 2);
}

static void end(void)
{
	host_end(&host);
}

TestSuite(live, .init = begin, .fini = end, .timeout = 90);

/* A job with metrics in out/m.jsonl; SLUICE's words stay free for the shell. */
static void offer(uint64_t fence, const char *command)
{
	Sluice__V1__Assignment a = SLUICE__V1__ASSIGNMENT__INIT;
	Sluice__V1__JobSpec spec = SLUICE__V1__JOB_SPEC__INIT;

	spec.name = (char *)"job";
	spec.run = (char *)command;
	spec.metrics = (char *)"out/m.jsonl";
	a.fence = fence;
	a.lease_ms = 60000;
	a.run_id = (char *)"run";
	a.spec = &spec;
	host_assign(&host, &a);
}

static void shipped(uint64_t fence, uint32_t stream, const char *text)
{
	stand_wait_log(host.stand, fence, stream, text, strlen(text));
}

/* What the job waits for. */
static void let_go(uint64_t fence, const char *name)
{
	cleanup(freep) char *path = xprintf("%s/%" PRIu64 "/src/%s", host.work_dir, fence, name);
	struct error err = { 0 };

	cr_assert_eq(file_write_atomic(path, "", 0, 0644, &err), 0, "%s", err.text);
}

static double value_of(const Sluice__V1__FinishedAttempt *done, const char *name)
{
	for (size_t i = 0; i < done->n_metrics; i++)
		if (strcmp(done->metrics[i]->name, name) == 0)
			return done->metrics[i]->value;
	return NAN;
}

#define WAIT(name) "while ! [ -e " name " ]; do sleep 0.01; done; "

Test(live, metrics_come_while_the_job_runs)
{
	const char *all = "{\"loss\":2,\"step\":1}\n{\"loss\":null,\"step\":2}\n{\"step\":3}\n";
	const Sluice__V1__FinishedAttempt *done;

	offer(5,
	      "mkdir out; echo '{\"loss\": 2, \"step\": 1}' >out/m.jsonl; " WAIT(
		      "more") "echo '{\"loss\": NaN, \"step\": 2}' >>out/m.jsonl; " WAIT("end") "ec"
												"ho"
												" '"
												"{"
												"\""
												"st"
												"ep"
												"\""
												": "
												"3}"
												"' "
												">>"
												"ou"
												"t/"
												"m."
												"js"
												"on"
												"l");
	shipped(5, SPOOL_METRICS, "{\"loss\":2,\"step\":1}\n");
	let_go(5, "more");
	shipped(5, SPOOL_METRICS, "{\"loss\":2,\"step\":1}\n{\"loss\":null,\"step\":2}\n");
	shipped(5, SPOOL_WORDS, "metrics: line 2 of 'out/m.jsonl': 'loss' is NaN; left out\n");
	let_go(5, "end");
	done = host_finished(&host, 5);
	cr_expect_eq(done->exit->reason, SLUICE__V1__EXIT_REASON__EXIT_OK, "%s", done->exit->text);
	shipped(5, SPOOL_METRICS, all);
	cr_expect_eq(done->log_end[SPOOL_METRICS], strlen(all));
	cr_expect_eq(done->n_metrics, 1);
	cr_expect_eq(value_of(done, "step"), 3);
	host_acknowledge(&host, 5);
	host_wait_forgotten(&host, 5);
}

Test(live, an_agent_that_comes_back_says_nothing_twice)
{
	const char *all = "{\"step\":1}\n{\"x\":null}\n{\"step\":2}\n";
	const Sluice__V1__FinishedAttempt *done;

	offer(5, "mkdir out; echo '{\"step\": 1} {\"x\": NaN}' >out/m.jsonl; " WAIT(
			 "more") "echo '{\"step\": 2}' >>out/m.jsonl; " WAIT("end") "true");
	shipped(5, SPOOL_METRICS, "{\"step\":1}\n{\"x\":null}\n");
	host_stop(&host);
	host_again(&host);
	let_go(5, "more");
	shipped(5, SPOOL_METRICS, all);
	host_stop(&host);
	let_go(5, "end");
	usleep(100000); /* it ends while nobody looks */
	host_again(&host);
	done = host_finished(&host, 5);
	shipped(5, SPOOL_METRICS, all);
	shipped(5, SPOOL_WORDS, "metrics: line 1 of 'out/m.jsonl': 'x' is NaN; left out\n");
	cr_expect_eq(done->log_end[SPOOL_METRICS], strlen(all));
	cr_expect_eq(value_of(done, "step"), 2);
}

Test(live, a_file_that_is_written_anew_each_time_is_a_line_each_time)
{
	const Sluice__V1__FinishedAttempt *done;

	offer(5, "mkdir out; echo '{\"acc\": 1}' >out/m.jsonl; " WAIT(
			 "more") "echo '{\"acc\": 2}' "
				 ">out/new; mv out/new "
				 "out/m.jsonl; " WAIT("end") "true");
	shipped(5, SPOOL_METRICS, "{\"acc\":1}\n");
	let_go(5, "more");
	shipped(5, SPOOL_METRICS, "{\"acc\":1}\n{\"acc\":2}\n");
	let_go(5, "end");
	done = host_finished(&host, 5);
	cr_expect_eq(value_of(done, "acc"), 2);
}

Test(live, what_a_lost_job_said_stays)
{
	const Sluice__V1__FinishedAttempt *done;

	offer(5, "mkdir out; echo '{\"step\": 1}' >out/m.jsonl; sleep 600");
	shipped(5, SPOOL_METRICS, "{\"step\":1}\n");
	host_kill_shim(&host, "slot-");
	done = host_finished(&host, 5);
	cr_expect_eq(done->exit->reason, SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST);
	cr_expect_eq(done->log_end[SPOOL_METRICS], 11);
}

Test(live, damage_is_the_jobs_failure_at_its_end_only)
{
	const Sluice__V1__FinishedAttempt *done;

	offer(5, "mkdir out; echo '{\"step\": 1}' >out/m.jsonl; echo no json >>out/m.jsonl; "
		 "echo said; " WAIT("end") "true");
	shipped(5, SPOOL_OUTPUT, "said\n");
	shipped(5, SPOOL_METRICS, "{\"step\":1}\n");
	let_go(5, "end");
	done = host_finished(&host, 5);
	cr_expect_eq(done->exit->reason, SLUICE__V1__EXIT_REASON__EXIT_OUTPUT_MISSING);
	cr_expect(strstr(done->exit->text, "line 2 of 'out/m.jsonl'"), "%s", done->exit->text);
	shipped(5, SPOOL_WORDS, "metrics: line 2 of 'out/m.jsonl' is not a JSON object\n");
}

/* 200,000 lines as fast as a shell's child can: few frames, all bytes. */
Test(live, a_job_that_floods_costs_few_looks)
{
	const Sluice__V1__FinishedAttempt *done;
	struct stand_log *log;

	offer(5, "mkdir out; seq -f '{\"step\": %.0f}' 200000 >out/m.jsonl");
	done = host_finished(&host, 5);
	cr_expect_eq(value_of(done, "step"), 200000);
	LOCKED(&host.stand->lock);
	log = stand_log(host.stand, 5, "", SPOOL_METRICS);
	cr_assert(log);
	cr_expect_eq(log->bytes.len, done->log_end[SPOOL_METRICS]);
	cr_expect_eq(log->received, log->bytes.len, "each byte once");
	cr_expect_lt(log->frames, 200, "%u", log->frames);
}
