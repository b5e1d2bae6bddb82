/*
 * Every request that changes something may come twice: the answer of the first time was lost, or
 * the controller died before it was sent. The second time, whatever became of things meanwhile, it
 * says of the same thing what it is now, and changes nothing.
 */
#include <stdio.h>

#include "controller/model/agents.h"
#include "controller/model/runs.h"
#include "lab.h"

#include "rollout_fixture.h"

static unsigned all_events(const unsigned *events, size_t n)
{
	unsigned all = 0;

	for (size_t i = 0; i < n; i++)
		all += events[i];
	return all;
}

/* ---- of environments ---- */

static Sluice__V1__Actor bob = { PROTOBUF_C_MESSAGE_INIT(&sluice__v1__actor__descriptor),
				 SLUICE__V1__ACTOR__KIND__USER, (char *)"u2", (char *)"bob" };
static const struct caller caller = { .actor = &bob, .role = SLUICE__V1__ROLE__ADMIN };

/* The second time under a new controller. */
static void ask_twice(struct sim *s, decide_fn *decide, const void *req)
{
	unsigned before = 0;

	for (int i = 0; i < 2; i++) {
		ProtobufCMessage *reply = NULL;
		struct error err = { 0 };

		cr_assert_eq(decide(s->world, s->now, req, &reply, &err), 0, "%s", err.text);
		sim_commit(s);
		cr_expect_not_null(reply);
		message_free(reply);
		if (i == 0) {
			sim_settle(s);
			sim_restart(s);
			sim_settle(s);
			before = all_events(s->events, ARRAY_SIZE(s->events));
		}
	}
	sim_settle(s);
	cr_expect_eq(all_events(s->events, ARRAY_SIZE(s->events)), before, "the last: %s",
		     s->last_event);
}

Test(repeated, a_rollback_a_hold_its_end_and_an_apply_happen_once)
{
	cleanup(sim_freep) struct sim *s = sim_serving(2, NULL);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec("production", "");
	Sluice__V1__RollbackRequest back = SLUICE__V1__ROLLBACK_REQUEST__INIT;
	Sluice__V1__HoldRequest hold = SLUICE__V1__HOLD_REQUEST__INIT;
	Sluice__V1__ApplyRequest apply = SLUICE__V1__APPLY_REQUEST__INIT;
	Sluice__V1__Pipeline p = SLUICE__V1__PIPELINE__INIT;

	back.environment = hold.environment = (char *)"production";
	cr_assert_eq(sim_promote(s, "production", sim_release(s)), 0);
	sim_settle(s);
	back.request_id = (char *)"back";
	ask_twice(s, promotions_rollback, &(struct rollback){ &caller, &back });
	sim_expect_everywhere(s, "production", 1);
	hold.request_id = (char *)"unhold";
	ask_twice(s, environments_unhold, &(struct environment_hold){ &caller, &hold });
	cr_expect_null(sim_env(s, "production")->row->hold);
	hold.request_id = (char *)"hold";
	ask_twice(s, environments_hold, &(struct environment_hold){ &caller, &hold });
	hold.request_id = (char *)"hold-again"; /* without a reason the first one stays */
	ask_twice(s, environments_hold, &(struct environment_hold){ &caller, &hold });
	cr_expect_str_eq(sim_env(s, "production")->row->hold->reason, "by hand");
	hold.request_id = (char *)"hold-better";
	hold.reason = (char *)"freeze";
	ask_twice(s, environments_hold, &(struct environment_hold){ &caller, &hold });
	cr_expect_str_eq(sim_env(s, "production")->row->hold->reason, "freeze");
	p.name = (char *)"fraud";
	p.environments = &spec;
	p.n_environments = 1;
	spec->deploy->pause_ms = 5000;
	apply.request_id = (char *)"apply";
	ask_twice(s, environments_apply, &(struct environment_apply){ &caller, &apply, &p });
	cr_expect_eq(sim_env(s, "production")->row->policy, 2);
}

/* ---- of agents and runs ---- */

static void twice(struct lab *l, decide_fn *decide, const void *req)
{
	for (int i = 0; i < 2; i++) {
		cleanup(message_freep) ProtobufCMessage *reply = NULL;
		unsigned before = all_events(l->events, ARRAY_SIZE(l->events));

		cr_assert_eq(lab_ask(l, decide, req, &reply), 0, "%s", l->error.text);
		cr_expect_not_null(reply);
		if (i == 1)
			cr_expect_eq(all_events(l->events, ARRAY_SIZE(l->events)), before);
	}
}

Test(repeated, what_people_do_with_an_agent_happens_once)
{
	static decide_fn *const actions[] = { agents_drain, agents_resume, agents_revoke };
	static const char *const ids[] = { "drain", "resume", "revoke" };
	cleanup(lab_freep) struct lab *l = lab_new();
	Sluice__V1__AgentActionRequest request = SLUICE__V1__AGENT_ACTION_REQUEST__INIT;
	Sluice__V1__LabelAgentRequest label = SLUICE__V1__LABEL_AGENT_REQUEST__INIT;
	Sluice__V1__Variable v = SLUICE__V1__VARIABLE__INIT, *set[] = { &v };
	struct lab_agent *a = lab_agent(l, "a", 1, "");

	v.name = (char *)"zone";
	v.value = (char *)"north";
	label.request_id = (char *)"label";
	label.agent = request.agent = a->name;
	label.set = set;
	label.n_set = 1;
	twice(l, agents_label, &(struct agent_label){ &lab_admin, &label });
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		request.request_id = (char *)ids[i];
		twice(l, actions[i], &(struct agent_action){ &lab_admin, &request });
	}
}

Test(repeated, a_cancelled_run_is_retried_once)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	Sluice__V1__CancelRunRequest cancel = SLUICE__V1__CANCEL_RUN_REQUEST__INIT;
	Sluice__V1__RetryRunRequest retry = SLUICE__V1__RETRY_RUN_REQUEST__INIT;
	uint32_t run = lab_submit_one(l);
	char number[16];

	snprintf(number, sizeof number, "%u", run);
	cancel.request_id = (char *)"cancel";
	retry.request_id = (char *)"retry";
	cancel.run = retry.run = number;
	twice(l, runs_cancel, &(struct run_cancellation){ &lab_admin, &cancel });
	twice(l, runs_retry, &(struct run_retry){ &lab_admin, &retry });
	cr_expect_eq(l->world->counters->next_run, run + 2);
}
