/*
 * How agents join and what they may touch.
 */
#include <stdio.h>
#include <string.h>

#include "lab.h"

struct joining {
	struct lab *l;
	const char *hash;
	Sluice__V1__CreateEnrolTokenRequest request;
	Sluice__V1__HostFacts host;
};

static struct joining joining_new(void)
{
	struct joining j = { .l = lab_new(), .hash = "aa11" };

	j.request =
		(Sluice__V1__CreateEnrolTokenRequest)SLUICE__V1__CREATE_ENROL_TOKEN_REQUEST__INIT;
	j.host = (Sluice__V1__HostFacts)SLUICE__V1__HOST_FACTS__INIT;
	j.request.request_id = "t1";
	j.host.hostname = "worker";
	return j;
}

static int make_token(struct joining *j)
{
	cleanup(message_freep) Sluice__V1__CreateEnrolTokenReply *reply = NULL;

	return lab_ask(j->l, agents_token_create,
		       &(struct enrol_token_create){ &lab_admin, &j->request, j->hash }, &reply);
}

static int join(struct joining *j, const char *request_id, const char *serial, struct enrolled *ret)
{
	struct enrol e = {
		.token_hash = j->hash,
		.request_id = request_id,
		.host = &j->host,
		.version = "1",
		.serial = serial,
		.not_after_ms = j->l->now.wall_ms + 1000000,
	};
	struct enrolled checked;

	if (lab_ask(j->l, agents_enrol_check, &e, &checked) < 0)
		return -1;
	e.agent_id = checked.agent_id;
	return lab_ask(j->l, agents_enrol, &e, ret);
}

static int admit(struct lab *l, const char *id, const char *serial)
{
	return lab_ask(l, agents_admit, &(struct agent_identity){ id, serial }, NULL);
}

Test(agents, a_token_is_spent_once_and_the_agent_is_known_by_its_certificate)
{
	struct joining j = joining_new();
	struct enrolled e, other;

	cr_assert_eq(make_token(&j), 0);
	cr_assert_eq(join(&j, "e1", "s1", &e), 0, "%s", j.l->error.text);
	cr_expect_str_eq(e.name, "worker");
	cr_expect_eq(admit(j.l, e.agent_id, "s1"), 0);
	cr_expect_eq(admit(j.l, e.agent_id, "s2"), -1);
	cr_expect_str_eq(j.l->error.id, "E0303");
	cr_expect_eq(join(&j, "e2", "s3", &other), -1);
	cr_expect_str_eq(j.l->error.id, "E0304");
	cr_expect_str_eq(j.l->error.text, "this enrolment token was used before");
	lab_free(j.l);
}

Test(agents, the_request_that_spent_a_token_may_come_again)
{
	struct joining j = joining_new();
	struct enrolled first, second;

	make_token(&j);
	cr_assert_eq(join(&j, "e1", "s1", &first), 0);
	lab_restart(j.l);
	cr_assert_eq(join(&j, "e1", "s2", &second), 0, "%s", j.l->error.text);
	cr_expect_str_eq(first.agent_id, second.agent_id);
	cr_expect_eq(HASH_CNT(by_id, j.l->world->agents_by_id), 1);
	cr_expect_eq(admit(j.l, first.agent_id, "s1"), 0);
	cr_expect_eq(admit(j.l, first.agent_id, "s2"), 0);
	lab_free(j.l);
}

Test(agents, a_token_that_is_unknown_or_has_expired_is_refused)
{
	struct joining j = joining_new();
	struct enrolled e;

	cr_expect_eq(join(&j, "e1", "s1", &e), -1);
	cr_expect_str_eq(j.l->error.text, "this enrolment token is unknown");
	j.request.ttl_ms = 60 * 1000;
	make_token(&j);
	lab_advance(j.l, 60 * 1000);
	cr_expect_eq(join(&j, "e1", "s1", &e), -1);
	cr_expect_str_eq(j.l->error.text, "this enrolment token has expired");
	cr_expect_null(j.l->world->agents_by_id);
	lab_free(j.l);
}

Test(agents, a_repeated_token_request_shows_a_new_secret_and_voids_the_old)
{
	struct joining j = joining_new();
	struct enrolled e;

	make_token(&j);
	j.hash = "bb22";
	cr_assert_eq(make_token(&j), 0);
	j.hash = "aa11";
	cr_expect_eq(join(&j, "e1", "s1", &e), -1);
	j.hash = "bb22";
	cr_expect_eq(join(&j, "e1", "s1", &e), 0);
	cr_expect_eq(make_token(&j), -1, "a spent one cannot be shown again");
	lab_free(j.l);
}

Test(agents, names_are_unique_and_made_of_harmless_letters)
{
	struct joining j = joining_new();
	static const struct {
		const char *host, *name;
	} cases[] = {
		{ "worker", "worker" }, { "worker", "worker-2" }, { "worker", "worker-3" },
		{ "../etc", "agent" },	{ "-rf", "agent-2" },	  { "", "agent-3" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char request[16], hash[16];
		struct enrolled e;

		snprintf(request, sizeof(request), "r%zu", i);
		snprintf(hash, sizeof(hash), "hash%zu", i);
		j.request.request_id = request;
		j.host.hostname = (char *)cases[i].host;
		j.hash = hash;
		cr_assert_eq(make_token(&j), 0);
		cr_assert_eq(join(&j, request, hash, &e), 0);
		cr_expect_str_eq(e.name, cases[i].name);
	}
	lab_free(j.l);
}

Test(agents, a_token_for_an_agent_renews_it_and_keeps_its_id)
{
	struct joining j = joining_new();
	struct enrolled first, second;

	make_token(&j);
	join(&j, "e1", "s1", &first);
	j.request.request_id = "t2";
	j.request.agent = first.name;
	j.hash = "cc33";
	cr_assert_eq(make_token(&j), 0, "%s", j.l->error.text);
	cr_assert_eq(join(&j, "e2", "s2", &second), 0);
	cr_expect_str_eq(first.agent_id, second.agent_id);
	j.request.request_id = "t3";
	j.request.agent = "nobody";
	cr_expect_eq(make_token(&j), -1);
	cr_expect_str_eq(j.l->error.id, "E0204");
	lab_free(j.l);
}

Test(agents, certificates_are_renewed_end_and_are_revoked)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "w", 1, "");
	const char *serial = lab_agent_of(a)->row->certificates[0]->serial;
	cleanup(freep) char *first = xstrdup(serial);
	cleanup(message_freep) Sluice__V1__Agent *reply = NULL;
	Sluice__V1__AgentActionRequest r = SLUICE__V1__AGENT_ACTION_REQUEST__INIT;
	struct certificate_renewal renewal = { a->id, "new", 0 };

	renewal.not_after_ms = l->now.wall_ms + INT64_C(60) * 24 * 3600 * 1000;
	cr_expect_eq(admit(l, a->id, first), 0);
	cr_assert_eq(lab_ask(l, agents_renew, &renewal, NULL), 0);
	cr_expect_eq(admit(l, a->id, first), 0, "the old one stays good until it ends");
	cr_expect_eq(admit(l, a->id, "new"), 0);
	lab_advance(l, INT64_C(31) * 24 * 3600 * 1000);
	cr_expect_eq(admit(l, a->id, first), -1);
	r.agent = a->name;
	cr_assert_eq(lab_ask(l, agents_revoke, &(struct agent_action){ &lab_admin, &r }, &reply),
		     0);
	cr_expect_eq(admit(l, a->id, "new"), -1);
	cr_expect_eq(lab_ask(l, agents_renew, &renewal, NULL), -1);
	cr_expect_eq(lab_ask(l, agents_resume, &(struct agent_action){ &lab_admin, &r }, &reply),
		     -1);
	cr_expect_eq(l->error.code, ERR_CONFLICT);
}

Test(agents, a_certificate_is_not_renewed_without_end)
{
	struct joining j = joining_new();
	struct certificate_renewal renewal = { .serial = "s2" };
	struct enrolled e;
	int done = 0;

	make_token(&j);
	cr_assert_eq(join(&j, "e1", "s1", &e), 0);
	renewal.agent = e.agent_id;
	renewal.not_after_ms = j.l->now.wall_ms + INT64_C(30) * 24 * 3600 * 1000;
	for (int i = 0; i < 100; i++)
		done += lab_ask(j.l, agents_renew, &renewal, NULL) == 0;
	cr_expect_eq(done, 5);
	cr_expect_eq(j.l->error.code, ERR_EXHAUSTED);
	renewal.not_after_ms += 3600 * 1000;
	cr_expect_eq(lab_ask(j.l, agents_renew, &renewal, NULL), 0, "an hour later");
	lab_free(j.l);
}

static int revoke(struct lab *l, const char *agent)
{
	Sluice__V1__AgentActionRequest r = SLUICE__V1__AGENT_ACTION_REQUEST__INIT;
	cleanup(message_freep) Sluice__V1__Agent *answer = NULL;

	r.agent = (char *)agent;
	return lab_ask(l, agents_revoke, &(struct agent_action){ &lab_admin, &r }, &answer);
}

Test(agents, who_was_revoked_does_not_come_back_with_the_token_it_joined_by)
{
	struct joining j = joining_new();
	struct enrolled first, again;

	make_token(&j);
	cr_assert_eq(join(&j, "e1", "s1", &first), 0);
	cr_assert_eq(revoke(j.l, first.agent_id), 0);
	cr_expect_eq(join(&j, "e1", "s2", &again), -1);
	cr_expect_str_eq(j.l->error.id, "E0303");
	cr_expect_eq(admit(j.l, first.agent_id, "s2"), -1);
	lab_restart(j.l);
	cr_expect_eq(join(&j, "e1", "s3", &again), -1);
	lab_free(j.l);
}

Test(agents, a_token_made_before_a_revocation_ends_with_it_and_a_later_one_is_good)
{
	struct joining j = joining_new();
	struct enrolled first, again;

	make_token(&j);
	cr_assert_eq(join(&j, "e1", "s1", &first), 0);
	j.request.agent = "worker";
	j.request.request_id = "t2";
	j.hash = "bb22";
	cr_assert_eq(make_token(&j), 0, "%s", j.l->error.text);
	cr_assert_eq(revoke(j.l, first.agent_id), 0);
	cr_expect_eq(join(&j, "e2", "s2", &again), -1);
	cr_expect_str_eq(j.l->error.id, "E0304");
	j.request.request_id = "t3";
	j.hash = "cc33";
	cr_assert_eq(make_token(&j), 0, "%s", j.l->error.text);
	cr_assert_eq(join(&j, "e3", "s3", &again), 0, "%s", j.l->error.text);
	cr_expect_str_eq(again.agent_id, first.agent_id);
	cr_expect_eq(admit(j.l, first.agent_id, "s3"), 0);
	cr_expect_eq(admit(j.l, first.agent_id, "s1"), -1, "what was revoked stays so");
	lab_free(j.l);
}

Test(agents, labels_are_set_by_people_and_checked)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	Sluice__V1__LabelAgentRequest r = SLUICE__V1__LABEL_AGENT_REQUEST__INIT;
	Sluice__V1__Variable v = SLUICE__V1__VARIABLE__INIT, *set[] = { &v };
	struct agent_label label = { &lab_admin, &r };
	static const char *const bad[][2] = { { "agent", "x" }, { "pool", "x" }, { "a b", "x" },
					      { "a", "" },	{ "", "x" },	 { "a", "$(x)" } };
	char *drop[] = { "zone" };

	lab_agent_enrol(l, "w", 1, "zone=a");
	r.agent = "w";
	r.n_set = 1;
	r.set = set;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		Sluice__V1__Agent *reply = NULL;

		v.name = (char *)bad[i][0];
		v.value = (char *)bad[i][1];
		cr_expect_eq(lab_ask(l, agents_label, &label, &reply), -1, "%s=%s", v.name,
			     v.value);
	}
	v.name = "env";
	v.value = "prod";
	r.n_remove = 1;
	r.remove = drop;
	cleanup(message_freep) Sluice__V1__Agent *reply = NULL;
	cr_assert_eq(lab_ask(l, agents_label, &label, &reply), 0);
	cr_assert_eq(reply->n_labels, 1);
	cr_expect_str_eq(reply->labels[0]->name, "env");
}

/* ---- what an agent may touch ---- */

static enum error_code access_code(struct lab_agent *a, enum agent_wish wish, uint64_t fence,
				   const char *digest)
{
	struct agent_access q = { a->id, wish, fence, "", digest };
	struct agent_grant grant;

	return lab_ask(a->lab, agents_access, &q, &grant) == 0 ? ERR_NONE : a->lab->error.code;
}

Test(agents, an_agent_touches_only_what_is_leased_to_it)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	struct lab_agent *b = lab_agent_enrol(l, "b", 1, "");
	Sluice__V1__Pipeline *p = pipeline("p");
	char input[80], other[80];
	uint64_t first, second;

	add_output(add_job_to(p, "data", NULL), "set", "");
	add_input(add_job_to(p, "train", "data"), "set", "data", "set");
	lab_submit(l, p);
	first = agent_offered(a);
	cr_expect_eq(access_code(a, AGENT_MAY_LOG, first, ""), ERR_DENIED, "only offered");
	agent_accept(a, first);
	cr_expect_eq(access_code(a, AGENT_MAY_LOG, first, ""), ERR_NONE);
	cr_expect_eq(access_code(a, AGENT_MAY_UPLOAD, first, ""), ERR_NONE);
	cr_expect_eq(access_code(b, AGENT_MAY_LOG, first, ""), ERR_DENIED);
	cr_expect_eq(access_code(b, AGENT_MAY_UPLOAD, first, ""), ERR_DENIED);
	cr_assert(agent_was_accepted(a, first));
	agent_succeed(a, first);
	cr_expect_eq(access_code(a, AGENT_MAY_UPLOAD, first, ""), ERR_DENIED, "it is over");
	cr_expect_eq(access_code(a, AGENT_MAY_LOG, first, ""), ERR_DENIED);
	second = agent_start(a);
	digest_text("data/set/1", input);
	digest_text("something else", other);
	cr_expect_eq(access_code(a, AGENT_MAY_DOWNLOAD, second, input), ERR_NONE);
	cr_expect_eq(access_code(a, AGENT_MAY_DOWNLOAD, second, other), ERR_DENIED);
	cr_expect_eq(access_code(a, AGENT_MAY_DOWNLOAD, first, input), ERR_DENIED);
	cr_expect_eq(access_code(b, AGENT_MAY_DOWNLOAD, second, input), ERR_DENIED);
	cr_expect_eq(access_code(a, AGENT_MAY_DOWNLOAD, 0, input), ERR_DENIED, "of no environment");
}

static unsigned denials_told(struct lab *l, const char *agent, const char *token,
			     const char *method)
{
	struct access_denial d = { agent, token, method, "it is not yours" };
	unsigned *told = &l->events[SLUICE__V1__EVENT_KIND__EVENT_ACCESS_DENIED], before = *told;

	cr_assert_eq(lab_ask(l, access_denied, &d, NULL), 0);
	return *told - before;
}

Test(agents, what_is_refused_is_audited_once_a_minute_for_each_caller_and_method)
{
	struct joining j = joining_new();
	struct enrolled e;

	make_token(&j);
	cr_assert_eq(join(&j, "e1", "s1", &e), 0);
	cr_expect_eq(denials_told(j.l, e.agent_id, NULL, "Upload"), 1);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(denials_told(j.l, e.agent_id, NULL, "Upload"), 0);
	cr_expect_eq(denials_told(j.l, e.agent_id, NULL, "Append"), 1, "another method");
	cr_expect_eq(denials_told(j.l, "stranger", NULL, "Append"), 0, "nobody knows who that is");
	cr_expect_eq(denials_told(j.l, NULL, "stranger", "Append"), 0);
	lab_advance(j.l, 60 * 1000);
	cr_expect_eq(denials_told(j.l, e.agent_id, NULL, "Upload"), 1);
	cr_expect_eq(j.l->world->denied, 103);
	lab_free(j.l);
}

Test(agents, one_who_is_refused_everywhere_does_not_fill_the_audit_log)
{
	struct joining j = joining_new();
	struct enrolled e;
	unsigned told = 0;

	make_token(&j);
	cr_assert_eq(join(&j, "e1", "s1", &e), 0);
	for (int i = 0; i < 1000; i++) {
		char method[24];

		snprintf(method, sizeof(method), "Method%d", i);
		told += denials_told(j.l, e.agent_id, NULL, method);
	}
	cr_expect_eq(told, DENIED_METHODS);
	lab_free(j.l);
}

Test(agents, the_log_of_a_lost_attempt_is_taken_for_seven_days)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	struct lab_agent *a = lab_agent(l, "a", 1, "");
	struct lab_agent *b = lab_agent_enrol(l, "b", 1, "");
	uint64_t fence;

	lab_submit_one(l);
	fence = agent_start(a);
	agent_drop(a);
	agent_connect(a); /* holds it no more: LOST */
	cr_expect_eq(access_code(a, AGENT_MAY_LOG, fence, ""), ERR_NONE);
	cr_expect_eq(access_code(a, AGENT_MAY_UPLOAD, fence, ""), ERR_DENIED);
	cr_expect_eq(access_code(b, AGENT_MAY_LOG, fence, ""), ERR_DENIED);
	l->now.wall_ms += LOST_LOG_MS;
	cr_expect_eq(access_code(a, AGENT_MAY_LOG, fence, ""), ERR_NONE);
	l->now.wall_ms += 1;
	cr_expect_eq(access_code(a, AGENT_MAY_LOG, fence, ""), ERR_DENIED);
}

Test(agents, they_are_listed_by_name_a_page_at_a_time)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	static const char *const names[] = { "c", "a", "e", "b", "d" };
	cleanup(buf_release) struct buf seen = { 0 };
	char after[64] = "";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		lab_agent_enrol(l, names[i], 1, "");
	do {
		cleanup(message_freep) Sluice__V1__ListAgentsReply *reply = NULL;

		cr_assert_eq(lab_ask(l, agents_list, &(struct agents_page){ after, 2 }, &reply), 0);
		for (size_t i = 0; i < reply->n_agents; i++)
			buf_puts(&seen, reply->agents[i]->agent->name);
		snprintf(after, sizeof(after), "%s", reply->next);
	} while (*after);
	cr_expect_str_eq(buf_str(&seen), "abcde");
}

Test(agents, the_system_is_counted)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	cleanup(message_freep) Sluice__V1__SystemInfo *info = NULL;

	lab_agent(l, "a", 1, "");
	lab_agent_enrol(l, "b", 1, "");
	for (int i = 0; i < 3; i++)
		lab_submit_one(l);
	cr_assert_eq(lab_ask(l, system_info, NULL, &info), 0);
	cr_expect_eq(info->agents, 2);
	cr_expect_eq(info->agents_connected, 1);
	cr_expect_eq(info->runs_open, 3);
	cr_expect_eq(info->jobs_queued, 2);
	cr_expect_eq(info->jobs_running, 1);
}
