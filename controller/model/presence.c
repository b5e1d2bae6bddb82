/*
 * Coming and going, told at most once a minute each.
 */
#include "controller/model/presence.h"

#include "base/mem.h"
#include "controller/model/agents.h"
#include "controller/model/attempts.h"
#include "controller/model/private.h"

static void tell(struct world *w, struct agent *agent, const char *how)
{
	Sluice__V1__Actor actor = agent_actor(agent);
	Sluice__V1__EventKind kind = agent->row->connected
					     ? SLUICE__V1__EVENT_KIND__EVENT_AGENT_CONNECTED
					     : SLUICE__V1__EVENT_KIND__EVENT_AGENT_DISCONNECTED;
	Sluice__V1__Event *e;

	if (agent->untold)
		e = world_event(w, kind, &actor,
				"%s %s; it changed %u times since that was told last",
				agent->row->name, how, agent->untold);
	else
		e = world_event(w, kind, &actor, "%s %s", agent->row->name, how);
	event_of_agent(e, agent);
	agent->untold = 0;
	agent->told_until_ms[agent->row->connected] = w->now.boot_ms + PRESENCE_MS;
	timer_clear(&w->timers, &agent->telling);
}

static void tell_now(struct world *w, struct timer *t)
{
	struct agent *agent = container_of(t, struct agent, telling);

	tell(w, agent, agent->row->connected ? "is connected" : "is not connected");
}

void presence_changed(struct world *w, struct agent *agent, const char *how)
{
	int64_t until = agent->told_until_ms[agent->row->connected];

	if (w->now.boot_ms >= until) {
		tell(w, agent, how);
		return;
	}
	agent->untold++;
	agent->telling.fire = tell_now;
	timer_set_boot(&w->timers, &agent->telling, until);
}
