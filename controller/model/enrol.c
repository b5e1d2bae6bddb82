/*
 * How an agent joins: a token made by a person is spent once, in the same decision
 * that records the agent and its certificate. The answer may be lost, so the request
 * that spent a token may come again while the token has not expired: it gets the same
 * agent, and its new certificate is recorded beside the old.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "controller/model/agents.h"
#include "controller/model/delivery.h"
#include "controller/model/place.h"
#include "controller/model/private.h"

#define STATE(name) SLUICE__V1__AGENT__STATE__##name

enum { RENEW_MOST = 5, RENEW_SPAN_MS = 3600 * 1000 };

/* ---- tokens ---- */

static int token_check(struct world *w, const Sluice__V1__CreateEnrolTokenRequest *r,
		       struct agent **ret_renews, struct error *err)
{
	*ret_renews = NULL;
	if (*r->agent && !(*ret_renews = world_agent(w, r->agent, err)))
		return -1;
	if (*r->name && !agent_name_valid(r->name))
		return error_id(err, "E0110", "'%s' cannot be the name of an agent", r->name);
	if (*r->name && world_agent(w, r->name, NULL))
		return error_set(err, ERR_EXISTS,
				 "there is an agent '%s'; renew it with `agents token --agent %s`",
				 r->name, r->name);
	if (*r->pool && !agent_name_valid(r->pool))
		return error_id(err, "E0110", "'%s' cannot be the name of a pool", r->pool);
	for (size_t i = 0; i < r->n_labels; i++)
		if (!agent_name_valid(r->labels[i]->name) || !agent_name_valid(r->labels[i]->value))
			return error_id(err, "E0110", "'%s=%s' cannot be a label",
					r->labels[i]->name, r->labels[i]->value);
	if (r->ttl_ms < 0 || r->ttl_ms > ENROL_TTL_MAX_MS)
		return error_set(err, ERR_INVALID, "a token is good for at most 7 days");
	return 0;
}

/* The first answer may never have been seen: its secret is replaced by the one that is shown now.
 */
static int token_again(struct world *w, const char *id, const char *hash,
		       Sluice__V1__CreateEnrolTokenReply *reply, struct error *err)
{
	struct enrol_token *t, *next;

	HASH_ITER(by_hash, w->enrol_tokens, t, next) {
		if (strcmp(t->row->id, id) != 0)
			continue;
		HASH_DELETE(by_hash, w->enrol_tokens, t);
		message_set_string(&t->row->hash, hash);
		HASH_ADD_KEYPTR(by_hash, w->enrol_tokens, t->row->hash, strlen(t->row->hash), t);
		world_touch(w, &t->entity);
		reply->expires_ms = t->row->expires_ms;
		return 0;
	}
	return error_set(err, ERR_CONFLICT, "the token of this request was used or has expired");
}

static struct enrol_token *token_add(struct world *w, const struct enrol_token_create *c,
				     const struct agent *renews)
{
	const Sluice__V1__CreateEnrolTokenRequest *r = c->request;
	Sluice__V1__EnrolTokenRow *row = message_new(&sluice__v1__enrol_token_row__descriptor);
	struct enrol_token *t;

	message_set_string(&row->id, world_id(w).text);
	message_set_string(&row->hash, c->hash);
	message_set_string(&row->name, r->name);
	message_set_string(&row->pool, r->pool);
	for (size_t i = 0; i < r->n_labels; i++)
		message_append(row, labels, variable_copy(r->labels[i]));
	row->expires_ms = w->now.wall_ms + (r->ttl_ms ? r->ttl_ms : ENROL_TTL_MS);
	message_set_string(&row->agent, renews ? renews->row->id : "");
	message_set_string(&row->created_by, c->caller->actor->name);
	t = entity_enrol_token_new(w, row);
	world_touch(w, &t->entity);
	return t;
}

int agents_token_create(struct world *w, struct now now, const void *req, void *reply,
			struct error *err)
{
	const struct enrol_token_create *c = req;
	cleanup(message_freep) Sluice__V1__CreateEnrolTokenReply *answer =
		message_new(&sluice__v1__create_enrol_token_reply__descriptor);
	Sluice__V1__CreateEnrolTokenReply **ret = reply;
	struct enrol_token *t;
	struct agent *renews;
	char id[ID_SIZE];
	int asked;

	world_at(w, now);
	asked = world_asked(w, c->request->request_id, "agents.token", id, err);
	if (asked < 0)
		return -1;
	if (asked) {
		if (token_again(w, id, c->hash, answer, err) < 0)
			return -1;
	} else {
		if (token_check(w, c->request, &renews, err) < 0)
			return -1;
		t = token_add(w, c, renews);
		answer->expires_ms = t->row->expires_ms;
		world_answered(w, c->request->request_id, "agents.token", t->row->id);
		world_event(w, SLUICE__V1__EVENT_KIND__EVENT_AGENT_TOKEN_CREATED, c->caller->actor,
			    "an enrolment token for %s%s",
			    *t->row->name ? t->row->name
			    : renews	  ? renews->row->name
					  : "a new agent",
			    renews ? ", which it renews" : "");
	}
	*ret = steal(answer);
	return 0;
}

/* ---- enrolment ---- */

/* A copy of the token that this request may spend, or has spent. */
static Sluice__V1__EnrolTokenRow *good_token(struct world *w, const struct enrol *e,
					     struct error *err)
{
	cleanup(message_freep) ProtobufCMessage *message = NULL;
	Sluice__V1__EnrolTokenRow *row;
	int found = world_fetch_child(w, ROW_ENROL_TOKEN, NULL, e->token_hash, &message, err);

	if (found < 0)
		return NULL;
	row = (Sluice__V1__EnrolTokenRow *)message;
	if (!found)
		error_id(err, "E0304", "this enrolment token is unknown");
	else if (row->expires_ms <= w->now.wall_ms)
		error_id(err, "E0304", "this enrolment token has expired");
	else if (row->used_ms && (!*e->request_id || strcmp(row->request_id, e->request_id) != 0))
		error_id(err, "E0304", "this enrolment token was used before");
	else
		return (Sluice__V1__EnrolTokenRow *)steal(message);
	return NULL;
}

/* A revoked agent comes back with a token that was made after that and never used, not by asking
 * once more what it asked when it joined. */
static int check_returns(const struct agent *agent, const Sluice__V1__EnrolTokenRow *token,
			 struct error *err)
{
	if (!agent || agent->row->state != STATE(REVOKED) || !token->used_ms)
		return 0;
	return error_id(err, "E0303", "the agent '%s' was revoked", agent->row->name);
}

void enrol_tokens_end(struct world *w, const struct agent *agent)
{
	struct enrol_token *t, *next;

	HASH_ITER(by_hash, w->enrol_tokens, t, next) {
		if (strcmp(t->row->agent, agent->row->id) != 0)
			continue;
		t->row->expires_ms = MIN(t->row->expires_ms, w->now.wall_ms);
		world_touch(w, &t->entity);
	}
}

int agents_enrol_check(struct world *w, struct now now, const void *req, void *reply,
		       struct error *err)
{
	const struct enrol *e = req;
	cleanup(message_freep) Sluice__V1__EnrolTokenRow *row = NULL;
	struct enrolled *ret = reply;

	world_at(w, now);
	row = good_token(w, e, err);
	if (!row || check_returns(world_agent_by_id(w, row->agent), row, err) < 0)
		return -1;
	snprintf(ret->agent_id, sizeof(ret->agent_id), "%s",
		 *row->agent ? row->agent : world_id(w).text);
	return 0;
}

/* The wanted name, or it with -2, -3 ... when it is taken. */
static void unique_name(struct world *w, const char *wanted, char ret[AGENT_NAME_MAX + 1])
{
	if (!agent_name_valid(wanted))
		wanted = "agent";
	snprintf(ret, AGENT_NAME_MAX + 1, "%s", wanted);
	for (unsigned int n = 2; world_agent(w, ret, NULL); n++)
		snprintf(ret, AGENT_NAME_MAX + 1, "%.*s-%u", AGENT_NAME_MAX - 12, wanted, n);
}

static void certificate_add(struct world *w, struct agent *agent, const char *serial,
			    int64_t not_after_ms)
{
	Sluice__V1__Agent *row = agent->row;
	Sluice__V1__Certificate *c = message_new(&sluice__v1__certificate__descriptor);
	size_t kept = 0;

	for (size_t i = 0; i < row->n_certificates; i++) {
		if (row->certificates[i]->not_after_ms <= w->now.wall_ms ||
		    row->n_certificates - i >= AGENT_CERTIFICATES_MAX)
			message_free(row->certificates[i]);
		else
			row->certificates[kept++] = row->certificates[i];
	}
	row->n_certificates = kept;
	message_set_string(&c->serial, serial);
	c->not_after_ms = not_after_ms;
	message_append(row, certificates, c);
	world_touch(w, &agent->entity);
}

static struct agent *agent_make(struct world *w, const struct enrol *e,
				const Sluice__V1__EnrolTokenRow *token)
{
	Sluice__V1__Agent *row = message_new(&sluice__v1__agent__descriptor);
	char name[AGENT_NAME_MAX + 1];

	unique_name(w, *token->name ? token->name : e->host ? e->host->hostname : "", name);
	message_set_string(&row->id, e->agent_id);
	message_set_string(&row->name, name);
	message_set_string(&row->pool, token->pool);
	for (size_t i = 0; i < token->n_labels; i++)
		message_append(row, labels, variable_copy(token->labels[i]));
	row->state = STATE(ENABLED);
	row->enrolled_ms = w->now.wall_ms;
	return world_add_agent(w, row);
}

/* The token's row: in memory while unused, else it is written again from the copy. */
static void token_spend(struct world *w, const struct enrol *e, const struct agent *agent)
{
	struct enrol_token *t;

	HASH_FIND(by_hash, w->enrol_tokens, e->token_hash, strlen(e->token_hash), t);
	if (!t || t->row->used_ms)
		return;
	t->row->used_ms = w->now.wall_ms;
	message_set_string(&t->row->agent, agent->row->id);
	message_set_string(&t->row->request_id, e->request_id);
	world_touch(w, &t->entity);
}

static void agent_take_facts(struct agent *agent, const struct enrol *e)
{
	if (e->host) {
		message_free(agent->row->host);
		agent->row->host = message_copy(e->host);
	}
	message_set_string(&agent->row->version, e->version);
}

int agents_enrol(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct enrol *e = req;
	cleanup(message_freep) Sluice__V1__EnrolTokenRow *token = NULL;
	struct enrolled *ret = reply;
	struct agent *agent;
	bool renewed;

	world_at(w, now);
	token = good_token(w, e, err);
	if (!token)
		return -1;
	if (*token->agent && strcmp(token->agent, e->agent_id) != 0)
		return error_id(err, "E0304", "the certificate was made for another agent");
	agent = world_agent_by_id(w, e->agent_id);
	if (check_returns(agent, token, err) < 0)
		return -1;
	renewed = agent != NULL;
	if (*token->agent && !agent)
		return error_id(err, "E0204", "there is no agent '%s'", token->agent);
	if (!agent)
		agent = agent_make(w, e, token);
	agent_take_facts(agent, e);
	if (renewed && agent->row->state == STATE(REVOKED)) {
		agent->row->state = STATE(ENABLED);
		message_set_string(&agent->row->state_reason, "");
	}
	certificate_add(w, agent, e->serial, e->not_after_ms);
	token_spend(w, e, agent);
	event_of_agent(world_event(w, SLUICE__V1__EVENT_KIND__EVENT_AGENT_ENROLLED, NULL,
				   "%s %s with the token of %s", agent->row->name,
				   renewed ? "was enrolled again" : "was enrolled",
				   *token->created_by ? token->created_by : "an admin"),
		       agent);
	agent_changed(w, agent);
	snprintf(ret->agent_id, sizeof(ret->agent_id), "%s", agent->row->id);
	snprintf(ret->name, sizeof(ret->name), "%s", agent->row->name);
	return 0;
}

/* An answer may be lost, even some; but each renewal is an event for good. */
static bool renews_too_often(const Sluice__V1__Agent *row, int64_t not_after_ms)
{
	size_t fresh = 0;

	for (size_t i = 0; i < row->n_certificates; i++)
		fresh += not_after_ms - row->certificates[i]->not_after_ms < RENEW_SPAN_MS;
	return fresh >= RENEW_MOST;
}

int agents_renew(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct certificate_renewal *r = req;
	struct agent *agent = world_agent(w, r->agent, err);
	Sluice__V1__Actor actor;

	world_at(w, now);
	if (!agent)
		return -1;
	if (agent->row->state == STATE(REVOKED))
		return error_id(err, "E0303", "the agent '%s' was revoked", agent->row->name);
	if (renews_too_often(agent->row, r->not_after_ms))
		return error_set(err, ERR_EXHAUSTED,
				 "the certificate of '%s' was renewed %d times within an hour",
				 agent->row->name, RENEW_MOST);
	certificate_add(w, agent, r->serial, r->not_after_ms);
	actor = agent_actor(agent);
	event_of_agent(world_event(w, SLUICE__V1__EVENT_KIND__EVENT_AGENT_RENEWED, &actor,
				   "%s has a new certificate", agent->row->name),
		       agent);
	return 0;
}

int agents_admit(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct agent_identity *id = req;
	const struct agent *agent = world_agent_by_id(w, id->agent);

	if (!agent)
		return error_id(err, "E0303", "there is no agent '%s'", id->agent);
	if (agent->row->state == STATE(REVOKED))
		return error_id(err, "E0303", "the agent '%s' was revoked", agent->row->name);
	for (size_t i = 0; i < agent->row->n_certificates; i++)
		if (strcmp(agent->row->certificates[i]->serial, id->serial) == 0 &&
		    agent->row->certificates[i]->not_after_ms > now.wall_ms)
			return 0;
	return error_id(err, "E0303", "the certificate '%s' is not one of agent '%s'", id->serial,
			agent->row->name);
}
