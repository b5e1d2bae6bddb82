/*
 * The lab's agents: each says exactly what a test tells it to, in one session after
 * another.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "crypto/digest.h"
#include "lab.h"

struct agent *lab_agent_of(struct lab_agent *a)
{
	struct agent *agent = world_agent_by_id(a->lab->world, a->id);

	cr_assert(agent);
	return agent;
}

/* ---- joining ---- */

static void add_labels(Sluice__V1__CreateEnrolTokenRequest *r, const char *labels)
{
	cleanup(freep) char *list = xstrdup(labels);
	char *rest = NULL;

	for (char *label = strtok_r(list, ",", &rest); label; label = strtok_r(NULL, ",", &rest)) {
		Sluice__V1__Variable *v = message_new(&sluice__v1__variable__descriptor);
		char *value = strchr(label, '=');

		*value++ = '\0';
		message_set_string(&v->name, label);
		message_set_string(&v->value, value);
		message_append(r, labels, v);
	}
}

static void token(struct lab *l, const char *name, const char *labels, const char *hash)
{
	cleanup(message_freep) Sluice__V1__CreateEnrolTokenRequest *r =
		message_new(&sluice__v1__create_enrol_token_request__descriptor);
	cleanup(message_freep) Sluice__V1__CreateEnrolTokenReply *reply = NULL;
	char id[32];

	message_set_string(&r->request_id, lab_request(l, id));
	message_set_string(&r->name, name);
	add_labels(r, labels);
	cr_assert_eq(lab_ask(l, agents_token_create,
			     &(struct enrol_token_create){ &lab_admin, r, hash }, &reply),
		     0, "%s", l->error.text);
}

static void enrol(struct lab_agent *a, const char *hash)
{
	struct lab *l = a->lab;
	struct enrolled checked, enrolled;
	char request[32], serial[32];
	struct enrol e = {
		.token_hash = hash,
		.request_id = lab_request(l, request),
		.host = a->host,
		.version = "1",
		.serial = serial,
		.not_after_ms = l->now.wall_ms + INT64_C(30) * 24 * 3600 * 1000,
	};

	cr_assert_eq(lab_ask(l, agents_enrol_check, &e, &checked), 0);
	snprintf(serial, sizeof(serial), "%.16s", hash);
	e.agent_id = checked.agent_id;
	cr_assert_eq(lab_ask(l, agents_enrol, &e, &enrolled), 0, "%s", l->error.text);
	snprintf(a->id, sizeof(a->id), "%s", enrolled.agent_id);
	snprintf(a->name, sizeof(a->name), "%s", enrolled.name);
}

static Sluice__V1__HostFacts *host(const char *name, uint32_t slots)
{
	Sluice__V1__HostFacts *h = message_new(&sluice__v1__host_facts__descriptor);

	message_set_string(&h->hostname, name);
	h->slots = slots;
	h->cpu_milli = 32000;
	h->memory = GIB(128);
	h->disk_free = GIB(500);
	return h;
}

static struct lab_agent *make(struct lab *l, Sluice__V1__HostFacts *facts, const char *labels)
{
	struct lab_agent *a = xcalloc(1, sizeof(*a));
	char hash[80];

	cr_assert_lt(l->n_agents, LAB_AGENTS);
	a->lab = l;
	a->host = facts;
	snprintf(a->boot, sizeof(a->boot), "boot-1");
	digest_text(facts->hostname, hash);
	token(l, facts->hostname, labels, hash + 7);
	enrol(a, hash + 7);
	l->agents[l->n_agents++] = a;
	return a;
}

struct lab_agent *lab_agent_enrol(struct lab *l, const char *name, uint32_t slots,
				  const char *labels)
{
	return make(l, host(name, slots), labels);
}

struct lab_agent *lab_agent(struct lab *l, const char *name, uint32_t slots, const char *labels)
{
	struct lab_agent *a = lab_agent_enrol(l, name, slots, labels);

	agent_connect(a);
	return a;
}

struct lab_agent *lab_gpu_agent(struct lab *l, const char *name, uint32_t gpus, uint64_t memory,
				const char *labels)
{
	Sluice__V1__HostFacts *h = host(name, 8);
	struct lab_agent *a;

	for (uint32_t i = 0; i < gpus; i++) {
		Sluice__V1__Gpu *g = message_new(&sluice__v1__gpu__descriptor);

		g->index = i;
		g->memory = memory;
		message_append(h, gpus, g);
	}
	a = make(l, h, labels);
	agent_connect(a);
	return a;
}

/* ---- saying ---- */

static Sluice__V1__AgentMessage *message(Sluice__V1__AgentMessage__BodyCase body)
{
	Sluice__V1__AgentMessage *m = message_new(&sluice__v1__agent_message__descriptor);

	m->body_case = body;
	return m;
}

void agent_send(struct lab_agent *a, Sluice__V1__AgentMessage *m,
		const uint64_t (*durable)[LOG_STREAMS])
{
	struct agent_message req = { a->id, a->session, m, durable };

	if (!m->seq)
		m->seq = ++a->seq;
	cr_assert_eq(lab_ask(a->lab, agent_message, &req, NULL), 0, "%s", a->lab->error.text);
	message_free(m);
}

static Sluice__V1__AgentMessage *registration(struct lab_agent *a)
{
	Sluice__V1__AgentMessage *m = message(SLUICE__V1__AGENT_MESSAGE__BODY_REGISTER);

	m->register_ = message_new(&sluice__v1__register__descriptor);
	message_set_string(&m->register_->boot_id, a->boot);
	message_set_string(&m->register_->instance, "instance");
	m->register_->host = message_copy(a->host);
	return m;
}

static void open_session(struct lab_agent *a, Sluice__V1__AgentMessage *m)
{
	a->session = ++a->lab->sessions;
	a->seq = 0;
	a->closed = false;
	agent_send(a, m, NULL);
}

void agent_connect(struct lab_agent *a)
{
	open_session(a, registration(a));
}

void agent_register_holding(struct lab_agent *a, ...)
{
	Sluice__V1__AgentMessage *m = registration(a);
	va_list args;
	uint64_t fence;

	va_start(args, a);
	while ((fence = va_arg(args, uint64_t))) {
		Sluice__V1__Held *h = message_new(&sluice__v1__held__descriptor);

		h->fence = fence;
		h->state = (Sluice__V1__Held__State)va_arg(args, int);
		message_append(m->register_, held, h);
	}
	va_end(args);
	open_session(a, m);
}

void agent_register_lossy(struct lab_agent *a)
{
	Sluice__V1__AgentMessage *m = registration(a);

	m->register_->journal_lost = true;
	open_session(a, m);
}

void agent_drop(struct lab_agent *a)
{
	struct session_closed c = { a->id, a->session, "it was cut" };

	cr_assert_eq(lab_ask(a->lab, agent_session_closed, &c, NULL), 0);
	agent_forget(a);
	a->session = 0;
}

void agent_accept(struct lab_agent *a, uint64_t fence)
{
	Sluice__V1__AgentMessage *m = message(SLUICE__V1__AGENT_MESSAGE__BODY_ACCEPT);

	m->accept = message_new(&sluice__v1__accept__descriptor);
	message_append(m->accept, fences, fence);
	agent_send(a, m, NULL);
}

void agent_renew(struct lab_agent *a, uint64_t fence)
{
	Sluice__V1__AgentMessage *m = message(SLUICE__V1__AGENT_MESSAGE__BODY_RENEW);

	m->renew = message_new(&sluice__v1__renew__descriptor);
	message_append(m->renew, fences, fence);
	agent_send(a, m, NULL);
}

void agent_decline(struct lab_agent *a, uint64_t fence, const char *reason)
{
	Sluice__V1__AgentMessage *m = message(SLUICE__V1__AGENT_MESSAGE__BODY_DECLINE);

	m->decline = message_new(&sluice__v1__decline__descriptor);
	m->decline->fence = fence;
	message_set_string(&m->decline->reason, reason);
	agent_send(a, m, NULL);
}

void agent_goodbye(struct lab_agent *a)
{
	Sluice__V1__AgentMessage *m = message(SLUICE__V1__AGENT_MESSAGE__BODY_GOODBYE);

	m->goodbye = message_new(&sluice__v1__goodbye__descriptor);
	agent_send(a, m, NULL);
}

Sluice__V1__FinishedAttempt *finished(uint64_t fence, Sluice__V1__ExitReason reason, int32_t code)
{
	Sluice__V1__FinishedAttempt *f = message_new(&sluice__v1__finished_attempt__descriptor);

	f->fence = fence;
	f->exit = message_new(&sluice__v1__exit__descriptor);
	f->exit->reason = reason;
	f->exit->code = code;
	return f;
}

void agent_finish_with(struct lab_agent *a, Sluice__V1__FinishedAttempt *f, uint64_t log_durable)
{
	Sluice__V1__AgentMessage *m = message(SLUICE__V1__AGENT_MESSAGE__BODY_FINISH);
	struct attempt *attempt = world_attempt(a->lab->world, f->fence);
	const uint64_t durable[1][LOG_STREAMS] = { { log_durable, log_durable, log_durable } };
	Sluice__V1__ControllerMessage *old;

	while ((old = agent_take(a,
				 BODY(FINISH_ACK)))) /* of an earlier one, that nobody looked at */
		message_free(old);
	if (attempt && !*f->run_id)
		message_set_string(&f->run_id, attempt->row->run_id);
	m->finish = message_new(&sluice__v1__finish__descriptor);
	message_append(m->finish, attempts, f);
	agent_send(a, m, durable);
}

void agent_finish(struct lab_agent *a, uint64_t fence, Sluice__V1__ExitReason reason, int32_t code)
{
	agent_finish_with(a, finished(fence, reason, code), 0);
}

const char *digest_text(const char *text, char ret[80])
{
	struct digest d = digest_of(text, strlen(text));

	return digest_format(&d, ret);
}

int agent_upload(struct lab_agent *a, uint64_t fence, const char *name, const char *text)
{
	cleanup(message_freep) Sluice__V1__Artifact *reply = NULL;
	Sluice__V1__UploadStart start = SLUICE__V1__UPLOAD_START__INIT;
	Sluice__V1__UploadCommit done = SLUICE__V1__UPLOAD_COMMIT__INIT;
	char digest[80];
	struct artifact_commit c = {
		.agent = a->id,
		.start = &start,
		.commit = &done,
		.digest = digest_text(text, digest),
		.size = strlen(text),
	};

	start.fence = fence;
	start.name = (char *)name;
	return lab_ask(a->lab, artifacts_commit, &c, &reply);
}

/* ---- hearing ---- */

Sluice__V1__ControllerMessage *agent_take(struct lab_agent *a,
					  Sluice__V1__ControllerMessage__BodyCase body)
{
	for (size_t i = 0; i < a->n_inbox; i++) {
		Sluice__V1__ControllerMessage *m = a->inbox[i];

		if (m->body_case != body)
			continue;
		cr_assert_eq(m->ctl_epoch, a->lab->world->counters->ctl_epoch);
		memmove(a->inbox + i, a->inbox + i + 1, (--a->n_inbox - i) * sizeof(*a->inbox));
		return m;
	}
	return NULL;
}

void agent_forget(struct lab_agent *a)
{
	while (a->n_inbox)
		message_free(a->inbox[--a->n_inbox]);
}

/* The first assignment that is left; a message that is empty is dropped. */
static Sluice__V1__Assignment *take_assignment(struct lab_agent *a)
{
	for (size_t i = 0; i < a->n_inbox; i++) {
		Sluice__V1__Offer *o = a->inbox[i]->offer;
		Sluice__V1__Assignment *first;

		if (a->inbox[i]->body_case != BODY(OFFER) || !o->n_assignments)
			continue;
		first = o->assignments[0];
		memmove(o->assignments, o->assignments + 1,
			--o->n_assignments * sizeof(*o->assignments));
		return first;
	}
	return NULL;
}

uint64_t agent_offered(struct lab_agent *a)
{
	cleanup(message_freep) Sluice__V1__Assignment *first = take_assignment(a);

	return first ? first->fence : 0;
}

static bool has(const uint64_t *fences, size_t n, uint64_t fence)
{
	for (size_t i = 0; i < n; i++)
		if (fences[i] == fence)
			return true;
	return false;
}

bool agent_was_stopped(struct lab_agent *a, uint64_t fence)
{
	Sluice__V1__ControllerMessage *m;
	bool found = false;

	while (!found && (m = agent_take(a, BODY(STOP)))) {
		found = has(m->stop->fences, m->stop->n_fences, fence);
		message_free(m);
	}
	return found;
}

bool agent_was_accepted(struct lab_agent *a, uint64_t fence)
{
	cleanup(message_freep) Sluice__V1__ControllerMessage *m = agent_take(a, BODY(ACCEPTED));

	if (m)
		cr_expect_eq(m->accepted->request_seq, a->seq);
	return m && has(m->accepted->fences, m->accepted->n_fences, fence);
}

bool agent_was_acked(struct lab_agent *a, uint64_t fence)
{
	cleanup(message_freep) Sluice__V1__ControllerMessage *m = agent_take(a, BODY(FINISH_ACK));

	if (m)
		cr_expect_eq(m->finish_ack->request_seq, a->seq);
	return m && has(m->finish_ack->fences, m->finish_ack->n_fences, fence);
}

bool agent_was_renewed(struct lab_agent *a, uint64_t fence)
{
	cleanup(message_freep) Sluice__V1__ControllerMessage *m = agent_take(a, BODY(RENEW_ACK));

	if (m)
		cr_expect_eq(m->renew_ack->request_seq, a->seq);
	return m && has(m->renew_ack->fences, m->renew_ack->n_fences, fence);
}

Sluice__V1__HeldVerdict__Verdict agent_verdict(struct lab_agent *a, uint64_t fence)
{
	cleanup(message_freep) Sluice__V1__ControllerMessage *m = agent_take(a, BODY(REGISTERED));

	cr_assert(m);
	for (size_t i = 0; i < m->registered->n_held; i++)
		if (m->registered->held[i]->fence == fence)
			return m->registered->held[i]->verdict;
	return 0;
}

/* ---- working ---- */

uint64_t agent_start(struct lab_agent *a)
{
	uint64_t fence = agent_offered(a);

	cr_assert(fence, "%s was offered nothing", a->name);
	agent_accept(a, fence);
	cr_assert(agent_was_accepted(a, fence));
	return fence;
}

void agent_succeed(struct lab_agent *a, uint64_t fence)
{
	struct attempt *attempt = world_attempt(a->lab->world, fence);
	Sluice__V1__FinishedAttempt *f = finished(fence, EXIT(OK), 0);

	cr_assert(attempt);
	for (size_t i = 0; i < attempt->job->row->spec->n_outputs; i++) {
		const char *name = attempt->job->row->spec->outputs[i]->name;
		Sluice__V1__ProducedOutput *out =
			message_new(&sluice__v1__produced_output__descriptor);
		cleanup(freep) char *text =
			xprintf("%s/%s/%u", attempt->row->job_name, name, attempt->row->run_number);
		char digest[80];

		cr_assert_eq(agent_upload(a, fence, name, text), 0, "%s", a->lab->error.text);
		message_set_string(&out->name, name);
		message_set_string(&out->digest, digest_text(text, digest));
		message_append(f, outputs, out);
	}
	agent_finish_with(a, f, 0);
	cr_assert(agent_was_acked(a, fence));
}

void lab_work(struct lab *l)
{
	bool busy = true;

	while (busy) {
		busy = false;
		for (size_t i = 0; i < l->n_agents; i++) {
			uint64_t fence = agent_offered(l->agents[i]);

			if (!fence)
				continue;
			busy = true;
			agent_accept(l->agents[i], fence);
			if (agent_was_accepted(l->agents[i], fence))
				agent_succeed(l->agents[i], fence);
		}
	}
}
