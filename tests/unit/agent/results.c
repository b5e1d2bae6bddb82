#include "agent/work.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

TestSuite(results, .init = begin, .fini = end, .timeout = 90);

Test(results, an_unanswered_finish_is_said_again_in_the_next_session)
{
	host_offer(&host, 1, "true");
	host_finished(&host, 1);
	stand_break_session(host.stand);
	host_finished(&host, 1);
	host_stop(&host);
	host_again(&host);
	host_finished(&host, 1);
	host_acknowledge(&host, 1);
	host_wait_forgotten(&host, 1);
}

/* A job that has 1,000 metrics with names of so many digits. */
static void assign_metrics(uint64_t fence, int digits)
{
	cleanup(freep) char *command =
		xprintf("awk 'BEGIN { for (i = 0; i < 1000; i++)"
			" printf \"%%s\\\"%%0%dd\\\": 1\", i ? \", \" : \"{\", i;"
			" print \"}\" }' > m.json",
			digits);
	Sluice__V1__Assignment a = SLUICE__V1__ASSIGNMENT__INIT;
	Sluice__V1__JobSpec spec = SLUICE__V1__JOB_SPEC__INIT;

	spec.run = command;
	spec.metrics = (char *)"m.json";
	a.fence = fence;
	a.lease_ms = 60000;
	a.spec = &spec;
	host_assign(&host, &a);
}

Test(results, results_said_at_once_are_no_more_than_the_controller_takes)
{
	enum { SESSION_BYTES = 256 << 10 };
	size_t at = 0, heard = 0;

	assign_metrics(1, 115);
	cr_expect_eq(host_finished(&host, 1)->n_metrics, 1000);
	assign_metrics(2, 128);
	cr_expect_eq(host_finished(&host, 2)->n_metrics, 1000);
	stand_break_session(host.stand);
	host_register(&host, &at);
	host_register(&host, &at);
	while (heard < 2) {
		const Sluice__V1__Finish *f =
			stand_hear(host.stand, &at, SLUICE__V1__AGENT_MESSAGE__BODY_FINISH)->finish;

		cr_expect_lt(protobuf_c_message_get_packed_size(&f->base), SESSION_BYTES);
		heard += f->n_attempts;
	}
}

static void tell_need(uint64_t fence, uint64_t durable, char *digest)
{
	Sluice__V1__ControllerMessage m = SLUICE__V1__CONTROLLER_MESSAGE__INIT;
	Sluice__V1__FinishAck body = SLUICE__V1__FINISH_ACK__INIT;
	Sluice__V1__FinishNeed need = SLUICE__V1__FINISH_NEED__INIT, *needs = &need;

	need.fence = fence;
	need.log_durable = &durable;
	need.n_log_durable = 1;
	need.digests = &digest;
	need.n_digests = digest != NULL;
	body.needs = &needs;
	body.n_needs = 1;
	m.body_case = SLUICE__V1__CONTROLLER_MESSAGE__BODY_FINISH_ACK;
	m.finish_ack = &body;
	stand_say(host.stand, &m);
}

Test(results, a_log_the_controller_lost_is_shipped_again)
{
	host_offer(&host, 1, "echo hello");
	host_finished(&host, 1);
	lock_take(&host.stand->lock);
	stand_log(host.stand, 1, "", 0)->bytes.len = 2;
	lock_drop(&host.stand->lock);
	tell_need(1, 2, NULL);
	host_finished(&host, 1);
	stand_wait_log(host.stand, 1, 0, "hello\n", 6);
	tell_need(1, 6, NULL); /* of a controller that has all: no reason to hang */
	host_finished(&host, 1);
}

/* A job whose output `model` is the file m. */
static void assign_output(uint64_t fence, const char *run)
{
	Sluice__V1__Assignment a = SLUICE__V1__ASSIGNMENT__INIT;
	Sluice__V1__JobSpec spec = SLUICE__V1__JOB_SPEC__INIT;
	Sluice__V1__OutputSpec output = SLUICE__V1__OUTPUT_SPEC__INIT, *outputs = &output;

	output.name = (char *)"model";
	output.path = (char *)"m";
	spec.run = (char *)run;
	spec.outputs = &outputs;
	spec.n_outputs = 1;
	a.fence = fence;
	a.lease_ms = 60000;
	a.spec = &spec;
	host_assign(&host, &a);
}

Test(results, an_output_the_controller_lost_is_uploaded_again)
{
	const Sluice__V1__FinishedAttempt *done;

	assign_output(1, "echo model >m");
	done = host_finished(&host, 1);
	cr_assert_eq(done->n_outputs, 1);
	cr_expect_eq(host.stand->uploads, 1);
	tell_need(1, 0, done->outputs[0]->digest);
	done = host_finished(&host, 1);
	cr_assert_eq(done->n_outputs, 1);
	cr_expect_eq(host.stand->uploads, 2);
}

Test(results, a_missing_output_is_no_success)
{
	const Sluice__V1__FinishedAttempt *done;

	assign_output(1, "true");
	done = host_finished(&host, 1);
	cr_expect_eq(done->exit->reason, EXIT(OUTPUT_MISSING));
	cr_expect(strstr(done->exit->text, "model"), "%s", done->exit->text);
	cr_expect_gt(done->log_end[1], 0, "the agent said nothing of it");
}

Test(results, stopping_while_outputs_travel_does_not_make_a_success_a_failure)
{
	cleanup(freep) char *record = xprintf("%s/spool/1.done", host.dir);

	host.stand->cut_uploads = 1; /* none gets through */
	assign_output(1, "echo model >m");
	host_wait_file(record, true);
	usleep(100000);
	host_stop(&host);
	host.stand->cut_uploads = 0;
	host_again(&host);
	cr_expect_eq(host_finished(&host, 1)->exit->reason, EXIT(OK));
}
