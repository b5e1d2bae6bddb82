/*
 * Agents as people see them: drained, resumed, revoked, given up for lost, labelled,
 * listed.
 */
#include "controller/model/agents.h"

#include <assert.h>
#include <string.h>

#include "controller/model/attempts.h"
#include "controller/model/delivery.h"
#include "controller/model/place.h"
#include "controller/model/private.h"
#include "controller/model/session.h"

#define STATE(name) SLUICE__V1__AGENT__STATE__##name

enum { LABELS_MAX = 64 };

bool agent_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= AGENT_NAME_MAX && *name != '-' && *name != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
		       len;
}

bool agent_usable(const struct agent *agent)
{
	return agent->session && !agent->leaving && agent->row->state == STATE(ENABLED);
}

Sluice__V1__Actor agent_actor(const struct agent *agent)
{
	Sluice__V1__Actor actor = SLUICE__V1__ACTOR__INIT;

	actor.kind = SLUICE__V1__ACTOR__KIND__AGENT;
	actor.id = agent->row->id;
	actor.name = agent->row->name;
	return actor;
}

void agent_changed(struct world *w, struct agent *agent)
{
	world_touch(w, &agent->entity);
	delivery_agent_changed(w, agent);
	place_agent(w, agent);
}

/* 1: answered before, *ret is the agent now; 0: new, *ret is the agent to change; -1. */
static int begin(struct world *w, const Sluice__V1__AgentActionRequest *r, const char *method,
		 struct agent **ret, struct error *err)
{
	char id[ID_SIZE];
	int asked = world_asked(w, r->request_id, method, id, err);

	if (asked < 0 || caller_text("reason", r->reason, err) < 0)
		return -1;
	*ret = world_agent(w, asked ? id : r->agent, err);
	return *ret ? asked : -1;
}

static void end(struct world *w, const Sluice__V1__AgentActionRequest *r, const char *method,
		struct agent *agent, void *reply)
{
	Sluice__V1__Agent **ret = reply;

	world_answered(w, r->request_id, method, agent->row->id);
	*ret = message_copy(agent->row);
}

static void set_state(struct world *w, struct agent *agent, Sluice__V1__Agent__State state,
		      const struct agent_action *a)
{
	cleanup(freep) char *why = xprintf("%s%s%s", a->caller->actor->name,
					   *a->request->reason ? ": " : "", a->request->reason);

	agent->row->state = state;
	message_set_string(&agent->row->state_reason, state == STATE(ENABLED) ? "" : why);
}

static void event(struct world *w, Sluice__V1__EventKind kind, const struct agent_action *a,
		  const struct agent *agent, const char *what)
{
	Sluice__V1__Event *e =
		world_event(w, kind, a->caller->actor, "%s %s%s%s", agent->row->name, what,
			    *a->request->reason ? ": " : "", a->request->reason);

	event_of_agent(e, agent);
}

int agents_drain(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct agent_action *a = req;
	struct agent *agent;
	int asked;

	world_at(w, now);
	asked = begin(w, a->request, "agents.drain", &agent, err);
	if (asked < 0)
		return -1;
	if (!asked && agent->row->state == STATE(REVOKED))
		return error_set(err, ERR_CONFLICT, "the agent '%s' is revoked", agent->row->name);
	if (!asked && agent->row->state != STATE(DRAINING)) {
		set_state(w, agent, STATE(DRAINING), a);
		event(w, SLUICE__V1__EVENT_KIND__EVENT_AGENT_DRAINED, a, agent,
		      "takes no new work");
		agent_changed(w, agent);
	}
	end(w, a->request, "agents.drain", agent, reply);
	return 0;
}

int agents_resume(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct agent_action *a = req;
	struct agent *agent;
	int asked;

	world_at(w, now);
	asked = begin(w, a->request, "agents.resume", &agent, err);
	if (asked < 0)
		return -1;
	if (!asked && agent->row->state == STATE(REVOKED))
		return error_set(err, ERR_CONFLICT,
				 "the agent '%s' is revoked; enrol it again with a new token",
				 agent->row->name);
	if (!asked && agent->row->state == STATE(DRAINING)) {
		set_state(w, agent, STATE(ENABLED), a);
		event(w, SLUICE__V1__EVENT_KIND__EVENT_AGENT_RESUMED, a, agent, "takes work again");
		agent_changed(w, agent);
	}
	end(w, a->request, "agents.resume", agent, reply);
	return 0;
}

static void drop_certificates(Sluice__V1__Agent *row)
{
	for (size_t i = 0; i < row->n_certificates; i++)
		message_free(row->certificates[i]);
	free(steal(row->certificates));
	row->n_certificates = 0;
}

int agents_revoke(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct agent_action *a = req;
	struct agent *agent;
	int asked;

	world_at(w, now);
	asked = begin(w, a->request, "agents.revoke", &agent, err);
	if (asked < 0)
		return -1;
	if (!asked && agent->row->state != STATE(REVOKED)) {
		set_state(w, agent, STATE(REVOKED), a);
		drop_certificates(agent->row);
		enrol_tokens_end(w, agent);
		event(w, SLUICE__V1__EVENT_KIND__EVENT_AGENT_REVOKED, a, agent, "is revoked");
		world_close_session(w, agent, ERR_UNAUTHENTICATED, "this agent was revoked");
		agent_disconnect(w, agent, "it was revoked");
		agent_changed(w, agent);
	}
	end(w, a->request, "agents.revoke", agent, reply);
	return 0;
}

static void lose_all(struct world *w, struct agent *agent, const char *why)
{
	cleanup(freep) uint64_t *fences = NULL;
	size_t n = attempts_of(agent, &fences);

	for (size_t i = 0; i < n; i++) {
		struct attempt *a = world_attempt(w, fences[i]);

		if (!a || !attempt_is_open(a))
			continue;
		if (a->row->state == SLUICE__V1__ATTEMPT_STATE__ATTEMPT_OFFERED)
			attempt_withdraw(w, a, why);
		else
			attempt_lost(w, a, SLUICE__V1__EXIT_REASON__EXIT_HOST_LOST, why);
	}
}

int agents_lost(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct agent_action *a = req;
	cleanup(freep) char *why = NULL;
	struct agent *agent;
	int asked;

	world_at(w, now);
	asked = begin(w, a->request, "agents.lost", &agent, err);
	if (asked < 0)
		return -1;
	if (!asked && agent->session)
		return error_set(err, ERR_CONFLICT,
				 "the agent '%s' is connected, so its host is not dead",
				 agent->row->name);
	if (!asked) {
		why = xprintf("%s vouched that the host is dead", a->caller->actor->name);
		event(w, SLUICE__V1__EVENT_KIND__EVENT_AGENT_VOUCHED_LOST, a, agent,
		      "is dead, as a person vouches");
		lose_all(w, agent, why);
	}
	end(w, a->request, "agents.lost", agent, reply);
	return 0;
}

/* ---- labels ---- */

static void label_remove(Sluice__V1__Agent *row, const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < row->n_labels; i++) {
		if (strcmp(row->labels[i]->name, name) == 0)
			message_free(row->labels[i]);
		else
			row->labels[kept++] = row->labels[i];
	}
	row->n_labels = kept;
}

static int label_check(const struct agent *agent, const Sluice__V1__LabelAgentRequest *r,
		       struct error *err)
{
	if (agent->row->n_labels + r->n_set > LABELS_MAX)
		return error_set(err, ERR_INVALID, "an agent has at most %d labels", LABELS_MAX);
	for (size_t i = 0; i < r->n_set; i++) {
		const Sluice__V1__Variable *v = r->set[i];

		if (!agent_name_valid(v->name) || strcmp(v->name, "agent") == 0 ||
		    strcmp(v->name, "pool") == 0)
			return error_id(err, "E0110", "'%s' cannot be the name of a label",
					v->name);
		if (!agent_name_valid(v->value))
			return error_id(err, "E0110", "'%s' cannot be the value of label '%s'",
					v->value, v->name);
	}
	return 0;
}

int agents_label(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct agent_label *l = req;
	const Sluice__V1__LabelAgentRequest *r = l->request;
	cleanup(buf_release) struct buf labels = { 0 };
	Sluice__V1__Agent **ret = reply;
	struct agent *agent;
	char id[ID_SIZE];
	int asked;

	world_at(w, now);
	asked = world_asked(w, r->request_id, "agents.label", id, err);
	if (asked < 0 || !(agent = world_agent(w, asked ? id : r->agent, err)) ||
	    (!asked && label_check(agent, r, err) < 0))
		return -1;
	if (!asked) {
		for (size_t i = 0; i < r->n_remove; i++)
			label_remove(agent->row, r->remove[i]);
		for (size_t i = 0; i < r->n_set; i++) {
			label_remove(agent->row, r->set[i]->name);
			message_append(agent->row, labels, variable_copy(r->set[i]));
		}
		labels_format(agent->row->labels, agent->row->n_labels, &labels);
		event_of_agent(world_event(w, SLUICE__V1__EVENT_KIND__EVENT_AGENT_LABELLED,
					   l->caller->actor, "%s is labelled %s", agent->row->name,
					   labels.len ? buf_str(&labels) : "with nothing"),
			       agent);
		agent_changed(w, agent);
		world_answered(w, r->request_id, "agents.label", agent->row->id);
	}
	*ret = message_copy(agent->row);
	return 0;
}

/* ---- looked at ---- */

static Sluice__V1__AgentDetail *detail(struct world *w, const struct agent *agent)
{
	Sluice__V1__AgentDetail *d = message_new(&sluice__v1__agent_detail__descriptor);
	struct environment *env, *next;
	const struct attempt *a;

	d->agent = message_copy(agent->row);
	d->used_slots = agent->used_slots;
	d->used_cpu_milli = agent->used_cpu_milli;
	d->used_memory = agent->used_memory;
	for (uint32_t i = 0; i < 64; i++)
		if (agent->used_gpus >> i & 1)
			message_append(d, used_gpus, i);
	list_each(a, &agent->attempts, of_agent)
		message_append(d, attempts, message_copy(a->row));
	HASH_ITER(by_name, w->environments, env, next)
		if (environment_has_host(env, agent))
			message_append(d, environments, xstrdup(env->row->name));
	return d;
}

int agents_detail(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	struct agent *agent = world_agent(w, req, err);
	Sluice__V1__AgentDetail **ret = reply;

	if (!agent)
		return -1;
	*ret = detail(w, agent);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct agent *x = *(struct agent *const *)a, *y = *(struct agent *const *)b;

	return strcmp(x->row->name, y->row->name);
}

int agents_list(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct agents_page *page = req;
	Sluice__V1__ListAgentsReply *list = message_new(&sluice__v1__list_agents_reply__descriptor);
	cleanup(freep) struct agent **all =
		xcalloc(HASH_CNT(by_id, w->agents_by_id) + 1, sizeof(struct agent *));
	Sluice__V1__ListAgentsReply **ret = reply;
	struct agent *agent, *next;
	size_t n = 0, bytes = 0;

	HASH_ITER(by_id, w->agents_by_id, agent, next)
		if (strcmp(agent->row->name, page->after ? page->after : "") > 0)
			all[n++] = agent;
	qsort(all, n, sizeof(*all), by_name);
	while (list->n_agents < MIN(n, page->limit) && bytes < LIST_BYTES) {
		Sluice__V1__AgentDetail *d = detail(w, all[list->n_agents]);

		bytes += protobuf_c_message_get_packed_size(&d->base);
		message_append(list, agents, d);
	}
	if (n > list->n_agents && list->n_agents)
		message_set_string(&list->next, all[list->n_agents - 1]->row->name);
	*ret = list;
	return 0;
}

int system_info(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	Sluice__V1__SystemInfo *info = message_new(&sluice__v1__system_info__descriptor);
	Sluice__V1__SystemInfo **ret = reply;
	struct agent *agent, *next;

	message_set_string(&info->cluster, w->counters->cluster);
	info->ctl_epoch = w->counters->ctl_epoch;
	info->now_ms = now.wall_ms;
	HASH_ITER(by_id, w->agents_by_id, agent, next) {
		info->agents += agent->row->state != STATE(REVOKED);
		info->agents_connected += agent->session != 0;
	}
	info->runs_open = HASH_CNT(by_id, w->runs_by_id);
	info->jobs_queued = w->jobs_queued;
	info->jobs_running = w->jobs_active;
	info->denied = w->denied;
	*ret = info;
	return 0;
}
