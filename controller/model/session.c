/*
 * What an agent says over its session, message by message as PROTOCOL.md's table
 * has it. A session is the agent's from its Register to the next one's; whatever comes
 * over another, or with a number that was used, closes that session, and the agent
 * registers again. Nothing an agent says is an error of the controller.
 */
#include <inttypes.h>
#include <string.h>

#include "controller/model/agents.h"
#include "controller/model/attempts.h"
#include "controller/model/delivery.h"
#include "controller/model/finish.h"
#include "controller/model/place.h"
#include "controller/model/presence.h"
#include "controller/model/private.h"
#include "controller/model/session.h"

#define STATE(name)   SLUICE__V1__ATTEMPT_STATE__ATTEMPT_##name
#define HELD(name)    SLUICE__V1__HELD__STATE__##name
#define VERDICT(name) SLUICE__V1__HELD_VERDICT__VERDICT__##name

static Sluice__V1__ControllerMessage *answer_new(Sluice__V1__ControllerMessage__BodyCase body)
{
	Sluice__V1__ControllerMessage *m = message_new(&sluice__v1__controller_message__descriptor);

	m->body_case = body;
	return m;
}

/* Stop for fences that are not this agent's, or no longer. */
static void stop_stale(struct world *w, struct agent *agent, const uint64_t *fences, size_t n)
{
	Sluice__V1__ControllerMessage *m;

	if (!n)
		return;
	m = answer_new(SLUICE__V1__CONTROLLER_MESSAGE__BODY_STOP);
	m->stop = message_new(&sluice__v1__stop__descriptor);
	m->stop->fences = xmemdup(fences, n * sizeof(*fences));
	m->stop->n_fences = n;
	message_set_string(&m->stop->reason, "it is not (or no longer) this agent's");
	m->stop->as = SLUICE__V1__EXIT_REASON__EXIT_CANCELLED;
	world_post(w, agent, m);
}

static struct attempt *own_attempt(struct world *w, const struct agent *agent, uint64_t fence)
{
	struct attempt *a = world_attempt(w, fence);

	return a && a->agent == agent && attempt_is_open(a) ? a : NULL;
}

/* ---- Register ---- */

static const Sluice__V1__Held *find_held(const Sluice__V1__Register *r, uint64_t fence)
{
	for (size_t i = 0; i < r->n_held; i++)
		if (r->held[i]->fence == fence)
			return r->held[i];
	return NULL;
}

static Sluice__V1__HeldVerdict *verdict_add(Sluice__V1__Registered *reply, uint64_t fence,
					    Sluice__V1__HeldVerdict__Verdict verdict,
					    int64_t lease_ms)
{
	Sluice__V1__HeldVerdict *v = message_new(&sluice__v1__held_verdict__descriptor);

	v->fence = fence;
	v->verdict = verdict;
	v->lease_ms = lease_ms;
	message_append(reply, held, v);
	return v;
}

/* Not open here: finished (its answer was lost), or never to go on. */
static int judge_closed(struct world *w, struct agent *agent, uint64_t fence,
			Sluice__V1__Registered *reply, struct error *err)
{
	cleanup(message_freep) Sluice__V1__Attempt *row = NULL;
	bool finished;

	if (attempt_closed(w, agent, fence, &row, err) < 0)
		return -1;
	finished = row && (row->state == STATE(SUCCEEDED) || row->state == STATE(FAILED) ||
			   row->state == STATE(CANCELLED));
	verdict_add(reply, fence, finished ? VERDICT(FINISH) : VERDICT(STOP), 0);
	return 0;
}

/*
 * What is held and open. What was only offered here is taken for accepted: the agent has it, may
 * take CONTINUE for the answer to its Accept, and nobody else may have it before its countdown
 * ended. EXITED: its result is on the agent's disk. STARTED on another boot, or LOST: dead.
 */
static void judge_open(struct world *w, struct attempt *a, const Sluice__V1__Held *held,
		       const Sluice__V1__Register *r, Sluice__V1__Registered *reply)
{
	bool offered = a->row->state == STATE(OFFERED);
	bool rebooted = !offered && strcmp(a->row->boot_id, r->boot_id) != 0;

	if (offered)
		attempt_accepted(w, a);
	if (held->state == HELD(LOST)) {
		verdict_add(reply, held->fence, VERDICT(STOP), 0);
		attempt_lost(w, a,
			     rebooted ? SLUICE__V1__EXIT_REASON__EXIT_HOST_LOST
				      : SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST,
			     rebooted ? "the host rebooted"
				      : "what watched over it died, and its job with it");
	} else if (rebooted && held->state != HELD(EXITED)) {
		verdict_add(reply, held->fence, VERDICT(STOP), 0);
		attempt_lost(w, a, SLUICE__V1__EXIT_REASON__EXIT_HOST_LOST, "the host rebooted");
	} else {
		verdict_add(reply, held->fence, VERDICT(CONTINUE), a->row->lease_ms);
		attempt_renewed(w, a);
	}
}

/* A held CANCELLING attempt goes on only to be stopped; the Stop may have been lost. */
static void stop_again(struct world *w, struct agent *agent)
{
	struct attempt *a;

	list_each(a, &agent->attempts, of_agent)
		if (a->row->state == STATE(CANCELLING))
			attempt_post_stop(w, agent, a->row->fence,
					  SLUICE__V1__EXIT_REASON__EXIT_CANCELLED,
					  a->job->run->row->reason, a->job->row->spec->grace_ms);
}

static void judge_missing(struct world *w, struct attempt *a, const Sluice__V1__Register *r)
{
	if (a->row->state == STATE(OFFERED))
		attempt_withdraw(w, a, "the agent does not hold it");
	else if (strcmp(a->row->boot_id, r->boot_id) != 0)
		attempt_lost(w, a, SLUICE__V1__EXIT_REASON__EXIT_HOST_LOST, "the host rebooted");
	else if (!r->journal_lost)
		attempt_lost(w, a, SLUICE__V1__EXIT_REASON__EXIT_AGENT_LOST,
			     "the agent does not hold it");
}

/* Reads history, and so may fail, before anything is changed. */
static int judge_history(struct world *w, struct agent *agent, const Sluice__V1__Register *r,
			 Sluice__V1__Registered *reply, struct error *err)
{
	for (size_t i = 0; i < r->n_held; i++)
		if (!own_attempt(w, agent, r->held[i]->fence) &&
		    judge_closed(w, agent, r->held[i]->fence, reply, err) < 0)
			return -1;
	return 0;
}

/* A fence that is named twice is judged once. */
static void judge_live(struct world *w, struct agent *agent, const Sluice__V1__Register *r,
		       Sluice__V1__Registered *reply)
{
	cleanup(freep) uint64_t *fences = NULL;
	size_t n = attempts_of(agent, &fences);

	for (size_t i = 0; i < n; i++) {
		struct attempt *a = own_attempt(w, agent, fences[i]);
		const Sluice__V1__Held *held = find_held(r, fences[i]);

		if (!a)
			continue;
		if (held)
			judge_open(w, a, held, r, reply);
		else
			judge_missing(w, a, r);
	}
}

static void take_host(struct world *w, struct agent *agent, const Sluice__V1__HostFacts *host)
{
	if (!host)
		return;
	message_free(agent->row->host);
	agent->row->host = message_copy(host);
	world_touch(w, &agent->entity);
}

static void connect(struct world *w, struct agent *agent, uint64_t session,
		    const Sluice__V1__Register *r)
{
	cleanup(freep) char *how = xprintf("connected, holding %zu attempts", r->n_held);

	if (agent->session)
		world_close_stale(w, agent->session, ERR_ABORTED, "a newer session took its place");
	agent->session = session;
	agent->leaving = false;
	agent->row->connected = true;
	agent->row->last_seen_ms = w->now.wall_ms;
	message_set_string(&agent->row->boot_id, r->boot_id);
	message_set_string(&agent->row->instance, r->instance);
	message_set_string(&agent->row->version, r->version);
	take_host(w, agent, r->host);
	world_touch(w, &agent->entity);
	presence_changed(w, agent, how);
}

static int on_register(struct world *w, struct agent *agent, const struct agent_message *m,
		       struct error *err)
{
	const Sluice__V1__Register *r = m->message->register_;
	cleanup(message_freep) Sluice__V1__ControllerMessage *answer =
		answer_new(SLUICE__V1__CONTROLLER_MESSAGE__BODY_REGISTERED);
	Sluice__V1__Registered *reply = message_new(&sluice__v1__registered__descriptor);

	answer->registered = reply;
	if (judge_history(w, agent, r, reply, err) < 0)
		return -1;
	connect(w, agent, m->session, r);
	judge_live(w, agent, r, reply);
	agent->last_seq = m->message->seq;
	message_set_string(&reply->agent_id, agent->row->id);
	message_set_string(&reply->name, agent->row->name);
	reply->request_seq = m->message->seq;
	world_post(w, agent, steal(answer));
	stop_again(w, agent);
	delivery_agent_connected(w, agent, r);
	place_agent(w, agent);
	return 0;
}

/* ---- the rest ---- */

static void on_accept(struct world *w, struct agent *agent, const Sluice__V1__Accept *accept,
		      uint64_t seq)
{
	Sluice__V1__ControllerMessage *m =
		answer_new(SLUICE__V1__CONTROLLER_MESSAGE__BODY_ACCEPTED);
	cleanup(freep) uint64_t *stale = xcalloc(accept->n_fences + 1, sizeof(*stale));
	size_t n_stale = 0;

	m->accepted = message_new(&sluice__v1__accepted__descriptor);
	m->accepted->request_seq = seq;
	for (size_t i = 0; i < accept->n_fences; i++) {
		struct attempt *a = own_attempt(w, agent, accept->fences[i]);

		if (a && a->row->state != STATE(CANCELLING)) {
			attempt_accepted(w, a);
			message_append(m->accepted, fences, a->row->fence);
		} else {
			stale[n_stale++] = accept->fences[i];
		}
	}
	world_post(w, agent, m);
	stop_stale(w, agent, stale, n_stale);
}

/* An attempt that is being stopped is not renewed: its lease ends if the Stop was lost. */
static void on_renew(struct world *w, struct agent *agent, const Sluice__V1__Renew *renew,
		     uint64_t seq)
{
	Sluice__V1__ControllerMessage *m =
		answer_new(SLUICE__V1__CONTROLLER_MESSAGE__BODY_RENEW_ACK);
	cleanup(freep) uint64_t *stale = xcalloc(renew->n_fences + 1, sizeof(*stale));
	size_t n_stale = 0;

	m->renew_ack = message_new(&sluice__v1__renew_ack__descriptor);
	m->renew_ack->request_seq = seq;
	for (size_t i = 0; i < renew->n_fences; i++) {
		struct attempt *a = own_attempt(w, agent, renew->fences[i]);

		if (a && a->row->state == STATE(RUNNING)) {
			attempt_renewed(w, a);
			message_append(m->renew_ack, fences, a->row->fence);
		} else if (a && a->row->state == STATE(CANCELLING)) {
			attempt_post_stop(w, agent, a->row->fence,
					  SLUICE__V1__EXIT_REASON__EXIT_CANCELLED,
					  a->job->run->row->reason, a->job->row->spec->grace_ms);
		} else {
			stale[n_stale++] = renew->fences[i];
		}
	}
	world_post(w, agent, m);
	stop_stale(w, agent, stale, n_stale);
}

static void on_decline(struct world *w, struct agent *agent, const Sluice__V1__Decline *decline)
{
	struct attempt *a = own_attempt(w, agent, decline->fence);
	cleanup(freep) char *why = NULL;
	struct job *job;

	if (!a || a->row->state != STATE(OFFERED))
		return;
	job = a->job;
	why = xprintf("%.200s", *decline->reason ? decline->reason : "declined");
	place_declined(w, job, agent, why);
	attempt_withdraw(w, a, why);
}

static void withdraw_offers(struct world *w, struct agent *agent, const char *reason)
{
	cleanup(freep) uint64_t *fences = NULL;
	size_t n = attempts_of(agent, &fences);

	for (size_t i = 0; i < n; i++) {
		struct attempt *a = own_attempt(w, agent, fences[i]);

		if (a && a->row->state == STATE(OFFERED))
			attempt_withdraw(w, a, reason);
	}
}

static void on_goodbye(struct world *w, struct agent *agent)
{
	agent->leaving = true;
	withdraw_offers(w, agent, "the agent leaves");
}

static int dispatch(struct world *w, struct agent *agent, const struct agent_message *m,
		    struct error *err)
{
	const Sluice__V1__AgentMessage *message = m->message;

	switch (message->body_case) {
	case SLUICE__V1__AGENT_MESSAGE__BODY_ACCEPT:
		on_accept(w, agent, message->accept, message->seq);
		return 0;
	case SLUICE__V1__AGENT_MESSAGE__BODY_RENEW:
		on_renew(w, agent, message->renew, message->seq);
		return 0;
	case SLUICE__V1__AGENT_MESSAGE__BODY_FINISH:
		return finish_message(w, agent, m, err);
	case SLUICE__V1__AGENT_MESSAGE__BODY_HOST_REPORT:
		delivery_host_report(w, agent, message->host_report);
		return 0;
	case SLUICE__V1__AGENT_MESSAGE__BODY_DECLINE:
		on_decline(w, agent, message->decline);
		return 0;
	case SLUICE__V1__AGENT_MESSAGE__BODY_FACTS:
		take_host(w, agent, message->facts);
		place_agent(w, agent);
		return 0;
	case SLUICE__V1__AGENT_MESSAGE__BODY_GOODBYE:
		on_goodbye(w, agent);
		return 0;
	default:
		world_close_session(w, agent, ERR_INVALID,
				    "a message of no kind that is known here");
		return 0;
	}
}

/* ---- what is too much ---- */

/* No agent has more slots than 1024, nor as many attempts again whose ends are on their way; each
 * that is named may cost a read. */
enum { NAMED_MAX = 8192 };

/* Ids of ours: they are kept in a row, and told to others. */
static bool report_is_sane(const Sluice__V1__HostReport *r)
{
	bool sane = strlen(r->live) < ID_SIZE;

	for (size_t i = 0; sane && i < r->n_slots; i++)
		sane = strlen(r->slots[i]) < ID_SIZE;
	return sane;
}

static bool register_is_sane(const Sluice__V1__Register *r)
{
	bool sane = r->n_held <= NAMED_MAX && r->n_hosts <= NAMED_MAX;

	for (size_t i = 0; sane && i < r->n_hosts; i++)
		sane = report_is_sane(r->hosts[i]);
	return sane;
}

static bool is_sane(const Sluice__V1__AgentMessage *m)
{
	switch (m->body_case) {
	case SLUICE__V1__AGENT_MESSAGE__BODY_REGISTER:
		return register_is_sane(m->register_);
	case SLUICE__V1__AGENT_MESSAGE__BODY_ACCEPT:
		return m->accept->n_fences <= NAMED_MAX;
	case SLUICE__V1__AGENT_MESSAGE__BODY_RENEW:
		return m->renew->n_fences <= NAMED_MAX;
	case SLUICE__V1__AGENT_MESSAGE__BODY_FINISH:
		return m->finish->n_attempts <= NAMED_MAX;
	case SLUICE__V1__AGENT_MESSAGE__BODY_HOST_REPORT:
		return report_is_sane(m->host_report);
	default:
		return true;
	}
}

static const char *refusal(const struct agent *agent, const struct agent_message *m)
{
	bool registers = m->message->body_case == SLUICE__V1__AGENT_MESSAGE__BODY_REGISTER;

	if (!agent || agent->row->state == SLUICE__V1__AGENT__STATE__REVOKED)
		return "this agent is not enrolled, or was revoked";
	if (!is_sane(m->message))
		return "a message that names more than an agent can have";
	if (registers)
		return agent->session == m->session ? "Register comes once in a session" : NULL;
	if (agent->session != m->session)
		return "this session is not the agent's: register first";
	if (m->message->seq <= agent->last_seq)
		return "a message with a number that was used: register again";
	return NULL;
}

int agent_message(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct agent_message *m = req;
	struct agent *agent = world_agent_by_id(w, m->agent);
	const char *why = refusal(agent, m);

	world_at(w, now);
	if (why) {
		world_close_stale(w, m->session, agent ? ERR_ABORTED : ERR_UNAUTHENTICATED, why);
		return 0;
	}
	if (m->message->body_case == SLUICE__V1__AGENT_MESSAGE__BODY_REGISTER)
		return on_register(w, agent, m, err);
	if (dispatch(w, agent, m, err) < 0)
		return -1;
	agent->last_seq = m->message->seq;
	return 0;
}

void agent_disconnect(struct world *w, struct agent *agent, const char *reason)
{
	cleanup(freep) char *how = xprintf("disconnected: %s", reason);

	if (!agent->session)
		return;
	agent->session = 0;
	agent->leaving = false;
	agent->row->connected = false;
	agent->row->last_seen_ms = w->now.wall_ms;
	world_touch(w, &agent->entity);
	presence_changed(w, agent, how);
	withdraw_offers(w, agent, "the agent's session ended");
	delivery_agent_gone(w, agent);
}

int agent_session_closed(struct world *w, struct now now, const void *req, void *reply,
			 struct error *err)
{
	const struct session_closed *c = req;
	struct agent *agent = world_agent_by_id(w, c->agent);

	world_at(w, now);
	if (agent && agent->session == c->session)
		agent_disconnect(w, agent, c->reason ? c->reason : "its stream ended");
	return 0;
}
