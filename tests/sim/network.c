/*
 * Sessions: two ordered streams each. A message takes its time; none overtakes another. When a
 * session breaks, what is under way is lost, and each end hears of it when it does: until then it
 * believes in it.
 */
#include "sim.h"

struct session *net_session(struct sim *s, uint64_t id)
{
	struct session *session = s->sessions;

	while (session && session->id != id)
		session = session->next;
	return session;
}

struct session *net_connect(struct sim *s, struct host *h)
{
	struct session *session = xcalloc(1, sizeof *session);

	session->id = ++s->session_ids;
	session->host = h;
	session->life = s->life;
	session->next = s->sessions;
	s->sessions = session;
	return session;
}

static int64_t latency(struct sim *s)
{
	if (s->t < s->slow_until)
		return sim_between(s, 100, 6000);
	return sim_chance(s, 95) ? sim_between(s, 0, 3) : sim_between(s, 3, 800);
}

static void arrive_up(struct sim *s, struct event *e)
{
	struct session *session = e->who;
	cleanup(message_freep) Sluice__V1__AgentMessage *message = e->what;

	if (session->cut || !s->world || session->life != s->life)
		return;
	if (message)
		controller_hear(s, session, message);
	else
		controller_log(s, session, e->fence, (uint64_t)e->number);
}

static void arrive_down(struct sim *s, struct event *e)
{
	struct session *session = e->who;
	cleanup(message_freep) Sluice__V1__ControllerMessage *message = e->what;
	struct host *h = session->host;

	if (session->cut || h->session != session)
		return;
	if (message)
		agent_hear(s, h, message);
	else
		agent_log_acked(s, h, e->fence);
}

void net_up(struct sim *s, struct session *session, Sluice__V1__AgentMessage *message,
	    uint64_t fence, int64_t number)
{
	struct event *e;

	session->up_last = MAX(session->up_last, s->t + latency(s));
	e = sim_at(s, session->up_last, arrive_up, session);
	e->what = message;
	e->fence = fence;
	e->number = number;
}

void net_down(struct sim *s, struct session *session, Sluice__V1__ControllerMessage *message,
	      uint64_t fence, int64_t number)
{
	struct event *e;

	session->down_last = MAX(session->down_last, s->t + latency(s));
	e = sim_at(s, session->down_last, arrive_down, session);
	e->what = message;
	e->fence = fence;
	e->number = number;
}

static void agent_hears_of_it(struct sim *s, struct event *e)
{
	struct session *session = e->who;

	agent_session_gone(s, session->host, session);
}

static void controller_hears_of_it(struct sim *s, struct event *e)
{
	if (s->world && s->life == e->life)
		controller_lost_session(s, e->who);
}

void net_cut(struct sim *s, struct session *session, bool soon)
{
	int64_t longest = soon ? 20 : 15000;

	if (session->cut)
		return;
	session->cut = true;
	sim_at(s, s->t + sim_between(s, 0, longest), agent_hears_of_it, session);
	sim_at(s, s->t + sim_between(s, 0, longest), controller_hears_of_it, session)->life =
		s->life;
}

static void cut_now(struct sim *s, struct event *e)
{
	net_cut(s, e->who, true);
}

void net_orphan(struct sim *s)
{
	for (struct session *session = s->sessions; session; session = session->next)
		if (!session->cut)
			sim_at(s, s->t + sim_between(s, 0, 6), cut_now, session);
}

void net_release(struct sim *s)
{
	while (s->sessions) {
		struct session *session = s->sessions;

		s->sessions = session->next;
		free(session);
	}
}
