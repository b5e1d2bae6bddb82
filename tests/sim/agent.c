/*
 * An agent's session: it registers with what it holds, renews on a thread of its own, and hears.
 * The process may crash at any time; its journal and its shims live on.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "controller/model/agents.h"
#include "sim.h"

/* ---- enrolment: before anything can go wrong ---- */

static Sluice__V1__HostFacts *facts(const struct host *h)
{
	Sluice__V1__HostFacts *f = message_new(&sluice__v1__host_facts__descriptor);

	message_set_string(&f->hostname, h->name);
	f->slots = h->slots;
	f->cpu_milli = 64000;
	f->memory = UINT64_C(1) << 37;
	f->disk_free = UINT64_C(1) << 40;
	return f;
}

static void make_token(struct sim *s, struct host *h, const char *label, const char *hash)
{
	cleanup(message_freep) Sluice__V1__CreateEnrolTokenRequest *r =
		message_new(&sluice__v1__create_enrol_token_request__descriptor);
	cleanup(message_freep) Sluice__V1__CreateEnrolTokenReply *reply = NULL;
	Sluice__V1__Variable *v = message_new(&sluice__v1__variable__descriptor);
	struct enrol_token_create c = { &sim_admin, r, hash };
	struct error err = { 0 };

	message_set_string(&v->name, "env");
	message_set_string(&v->value, label);
	message_append(r, labels, v);
	message_set_string(&r->name, h->name);
	if (controller_ask(s, agents_token_create, &c, &reply, &err) < 0)
		oracle_fail(s, "no token: %s", err.text);
}

void host_enrol(struct sim *s, struct host *h, const char *label)
{
	cleanup(message_freep) Sluice__V1__HostFacts *f = facts(h);
	struct enrolled check = { 0 }, enrolled = { 0 };
	struct error err = { 0 };
	char hash[80], serial[32], request[32];
	struct enrol e = { .token_hash = hash,
			   .request_id = request,
			   .host = f,
			   .version = "1",
			   .serial = serial,
			   .not_after_ms = INT64_MAX };

	snprintf(hash, sizeof hash, "%064d", h->index + 1);
	snprintf(serial, sizeof serial, "%016d", h->index + 1);
	snprintf(request, sizeof request, "enrol-%d", h->index);
	make_token(s, h, label, hash);
	if (controller_ask(s, agents_enrol_check, &e, &check, &err) < 0) {
		oracle_fail(s, "no enrolment: %s", err.text);
		return;
	}
	e.agent_id = check.agent_id;
	if (controller_ask(s, agents_enrol, &e, &enrolled, &err) < 0)
		oracle_fail(s, "no enrolment: %s", err.text);
	snprintf(h->id, sizeof h->id, "%s", enrolled.agent_id);
}

/* ---- the process ---- */

static void connect_again(struct sim *s, struct event *e);
static void renew(struct sim *s, struct event *e);
static void retry_reports(struct sim *s, struct event *e);

static void later(struct sim *s, struct host *h, int64_t ms,
		  void (*happen)(struct sim *, struct event *))
{
	sim_at(s, s->t + ms, happen, h)->life = h->life;
}

static bool alive(const struct host *h, const struct event *e)
{
	return h->up && h->life == e->life;
}

/* What the shims know and the journal does not yet. */
static void look_at_shims(struct sim *s, struct host *h)
{
	for (int i = 0; i < HELD_MAX; i++) {
		struct held *held = &h->held[i];
		struct process *p = held->fence ? host_process(h, held->fence) : NULL;

		held->accept_seq = 0;
		held->starting = held->log_acked = held->stopped = false;
		if (!held->fence || held->state != SLUICE__V1__HELD__STATE__STARTED)
			continue;
		if (p && p->recorded) {
			held->state = SLUICE__V1__HELD__STATE__EXITED;
			held->reason = p->reason;
		} else if (!p || !p->running) {
			held->state = SLUICE__V1__HELD__STATE__LOST;
		}
	}
}

void agent_boot(struct sim *s, struct host *h)
{
	h->up = h->powered = true;
	h->life++;
	h->session = NULL;
	h->registered = false;
	look_at_shims(s, h);
	sim_trace(s, "%s: the agent starts, boot %u", h->name, h->boot);
	later(s, h, sim_between(s, 0, 50), connect_again);
	later(s, h, sim_between(s, 1, 500), renew);
	later(s, h, sim_between(s, 100, 2000), retry_reports);
}

static void boot_again(struct sim *s, struct event *e)
{
	struct host *h = e->who;

	if (!h->up && h->life == e->life)
		agent_boot(s, h);
}

static void go_down(struct sim *s, struct host *h, int64_t off_ms)
{
	h->up = h->registered = false;
	h->life++;
	if (h->session)
		net_cut(s, h->session, sim_chance(s, 50));
	h->session = NULL;
	later(s, h, off_ms, boot_again);
}

void agent_crash(struct sim *s, struct host *h)
{
	if (!h->up)
		return;
	s->crashes++;
	sim_trace(s, "%s: the agent crashes", h->name);
	go_down(s, h, sim_chance(s, 80) ? sim_between(s, 10, 3000) : sim_between(s, 3000, 60000));
}

void host_reboot(struct sim *s, struct host *h, int64_t off_ms)
{
	if (!h->powered)
		return;
	s->reboots++;
	sim_trace(s, "%s: the power goes", h->name);
	processes_end(s, h);
	services_went_down(h);
	h->powered = false;
	h->boot++;
	h->journal_lost = false; /* whatever ran is certainly dead */
	h->clock = clock_new(s);
	go_down(s, h, off_ms);
}

void agent_lose_journal(struct sim *s, struct host *h)
{
	if (!h->powered)
		return;
	sim_trace(s, "%s: the journal is lost", h->name);
	memset(h->held, 0, sizeof h->held);
	h->max_fence = 0;
	h->journal_lost = true;
	agent_crash(s, h);
}

/* ---- sending ---- */

Sluice__V1__AgentMessage *agent_message_new(struct host *h, Sluice__V1__AgentMessage__BodyCase body)
{
	Sluice__V1__AgentMessage *m = message_new(&sluice__v1__agent_message__descriptor);

	m->body_case = body;
	m->seq = ++h->seq;
	return m;
}

void agent_send(struct sim *s, struct host *h, Sluice__V1__AgentMessage *message)
{
	if (h->session)
		net_up(s, h->session, message, 0, 0);
	else
		message_free(message);
}

static void send_register(struct sim *s, struct host *h)
{
	Sluice__V1__AgentMessage *m =
		agent_message_new(h, SLUICE__V1__AGENT_MESSAGE__BODY_REGISTER);
	Sluice__V1__Register *r = message_new(&sluice__v1__register__descriptor);
	char text[32];

	m->register_ = r;
	snprintf(text, sizeof text, "boot-%u", h->boot);
	message_set_string(&r->boot_id, text);
	snprintf(text, sizeof text, "%" PRIu64, h->life);
	message_set_string(&r->instance, text);
	r->host = facts(h);
	r->journal_lost = h->journal_lost && s->mutant != MUTANT_FORGETFUL_JOURNAL;
	services_describe(h, r);
	for (int i = 0; i < HELD_MAX; i++) {
		Sluice__V1__Held *held;

		if (!h->held[i].fence)
			continue;
		held = message_new(&sluice__v1__held__descriptor);
		held->fence = h->held[i].fence;
		held->state = h->held[i].state;
		message_append(r, held, held);
	}
	h->register_seq = m->seq;
	h->register_sent = clock_read(s, &h->clock);
	agent_send(s, h, m);
}

static void connect_again(struct sim *s, struct event *e)
{
	struct host *h = e->who;

	if (!alive(h, e) || h->session)
		return;
	h->session = net_connect(s, h);
	h->seq = 0;
	h->renew_seq = 0;
	for (int i = 0; i < HELD_MAX; i++)
		h->held[i].accept_seq = 0;
	if (!s->world)
		net_cut(s, h->session, true);
	send_register(s, h);
}

void agent_session_gone(struct sim *s, struct host *h, struct session *session)
{
	if (h->session != session)
		return;
	h->session = NULL;
	h->registered = false;
	if (h->up)
		later(s, h, sim_between(s, 5, 2000), connect_again);
}

static void renew(struct sim *s, struct event *e)
{
	struct host *h = e->who;
	Sluice__V1__AgentMessage *m;

	if (!alive(h, e))
		return;
	later(s, h, MAX(INT64_C(1), lease_renewal(s->lease_ms) - sim_between(s, 0, 20)), renew);
	if (!h->registered)
		return;
	m = agent_message_new(h, SLUICE__V1__AGENT_MESSAGE__BODY_RENEW);
	m->renew = message_new(&sluice__v1__renew__descriptor);
	for (int i = 0; i < HELD_MAX; i++)
		if (h->held[i].fence && (h->held[i].state == SLUICE__V1__HELD__STATE__STARTED ||
					 h->held[i].state == SLUICE__V1__HELD__STATE__EXITED))
			message_append(m->renew, fences, h->held[i].fence);
	h->renew_seq = m->seq;
	h->renew_sent = clock_read(s, &h->clock);
	agent_send(s, h, m);
}

/* What was not answered is said again. */
static void retry_reports(struct sim *s, struct event *e)
{
	struct host *h = e->who;

	if (!alive(h, e))
		return;
	later(s, h, sim_between(s, 500, 3000), retry_reports);
	if (!h->registered)
		return;
	for (int i = 0; i < HELD_MAX; i++) {
		struct held *held = &h->held[i];

		if (held->fence && held->state == SLUICE__V1__HELD__STATE__EXITED)
			attempt_report(s, h, held);
		else if (held->fence && held->state == SLUICE__V1__HELD__STATE__ACCEPTED &&
			 !held->starting)
			attempt_send_accept(s, h, held);
	}
	service_report(s, h);
}

/* ---- hearing ---- */

static void on_registered(struct sim *s, struct host *h, const Sluice__V1__Registered *r)
{
	if (r->request_seq != h->register_seq)
		return;
	h->registered = true;
	for (size_t i = 0; i < r->n_held; i++) {
		const Sluice__V1__HeldVerdict *v = r->held[i];
		struct held *held = attempt_held(h, v->fence);

		if (!held)
			continue;
		if (v->verdict != SLUICE__V1__HELD_VERDICT__VERDICT__CONTINUE)
			attempt_stopped(s, h, v->fence, SLUICE__V1__EXIT_REASON__EXIT_CANCELLED, 0);
		else if (held->state == SLUICE__V1__HELD__STATE__ACCEPTED)
			attempt_start(s, h, held, h->register_sent);
		else
			attempt_extend(s, h, v->fence, h->register_sent);
		held = attempt_held(h, v->fence);
		if (held && v->verdict == SLUICE__V1__HELD_VERDICT__VERDICT__FINISH)
			attempt_forget(s, h, held);
	}
	service_report(s, h);
}

static void on_accepted(struct sim *s, struct host *h, const Sluice__V1__Accepted *accepted)
{
	for (size_t i = 0; i < accepted->n_fences; i++) {
		struct held *held = attempt_held(h, accepted->fences[i]);

		if (!held || held->state != SLUICE__V1__HELD__STATE__ACCEPTED || !held->accept_seq)
			continue;
		if (held->accept_seq == accepted->request_seq || s->mutant == MUTANT_ANY_SEQ)
			attempt_start(s, h, held, held->accept_sent);
	}
}

static void on_renewed(struct sim *s, struct host *h, const Sluice__V1__RenewAck *ack)
{
	if (ack->request_seq != h->renew_seq && s->mutant != MUTANT_ANY_SEQ)
		return;
	for (size_t i = 0; i < ack->n_fences; i++)
		attempt_extend(s, h, ack->fences[i], h->renew_sent);
}

static void on_finish_ack(struct sim *s, struct host *h, const Sluice__V1__FinishAck *ack)
{
	for (size_t i = 0; i < ack->n_fences; i++) {
		struct held *held = attempt_held(h, ack->fences[i]);

		if (held && held->state == SLUICE__V1__HELD__STATE__EXITED)
			attempt_forget(s, h, held);
	}
	for (size_t i = 0; i < ack->n_needs; i++) {
		struct held *held = attempt_held(h, ack->needs[i]->fence);

		if (held)
			held->log_acked = false;
	}
}

void agent_hear(struct sim *s, struct host *h, const Sluice__V1__ControllerMessage *m)
{
	if (m->ctl_epoch < h->max_epoch)
		return;
	h->max_epoch = m->ctl_epoch;
	switch (m->body_case) {
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_REGISTERED:
		on_registered(s, h, m->registered);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_OFFER:
		for (size_t i = 0; i < m->offer->n_assignments; i++)
			attempt_offer_heard(s, h, m->offer->assignments[i], m->ctl_epoch);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_ACCEPTED:
		on_accepted(s, h, m->accepted);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_RENEW_ACK:
		on_renewed(s, h, m->renew_ack);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_STOP:
		for (size_t i = 0; i < m->stop->n_fences; i++)
			attempt_stopped(s, h, m->stop->fences[i], m->stop->as, m->stop->grace_ms);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_FINISH_ACK:
		on_finish_ack(s, h, m->finish_ack);
		break;
	case SLUICE__V1__CONTROLLER_MESSAGE__BODY_HOST_ORDER:
		service_order(s, h, m->host_order);
		break;
	default:
		break;
	}
}

void agent_log_acked(struct sim *s, struct host *h, uint64_t fence)
{
	struct held *held = attempt_held(h, fence);

	if (!held || held->state != SLUICE__V1__HELD__STATE__EXITED || held->log_acked)
		return;
	held->log_acked = true;
	attempt_report(s, h, held);
}
