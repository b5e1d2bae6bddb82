/*
 * One host of an environment. A step is begun by giving it a state and the next
 * attempt number; phi, step and attempt then are the order, and nothing else of it
 * is stored. A report that carries the same three answers it. One that carries the
 * last attempt tells what the host runs; an older one tells nothing, for it may have
 * been on its way since before the host changed.
 *
 * `unsure` is set with every order that changes what the host runs and cleared only
 * when it answers that it runs what it was told: until then a rollback cannot take
 * it for untouched, nor anyone for serving.
 */
#include "controller/model/hosts.h"

#include <assert.h>
#include <string.h>

#include "controller/model/environments.h"
#include "controller/model/place.h"
#include "proto/message.h"

static const char *const state_names[] = {
	[HOST_STATE(STATE_UNSPECIFIED)] = "unknown",
	[HOST_STATE(EMPTY)] = "empty",
	[HOST_STATE(OLD)] = "OLD",
	[HOST_STATE(PREPARING)] = "preparing",
	[HOST_STATE(PREPARED)] = "prepared",
	[HOST_STATE(ACTIVATING)] = "being checked",
	[HOST_STATE(NEW)] = "NEW",
	[HOST_STATE(FAILED)] = "failed",
	[HOST_STATE(UNREACHABLE)] = "unreachable",
	[HOST_STATE(DIVERGED)] = "diverged",
	[HOST_STATE(STOPPING)] = "stopping",
};

static const char activation_failed[] = "activating failed";
static const char stopping_failed[] = "stopping failed";

bool host_check_failed(const Sluice__V1__EnvironmentHost *host)
{
	return host->state == HOST_STATE(FAILED) &&
	       !strncmp(host->text, activation_failed, sizeof activation_failed - 1);
}

bool host_stop_failed(const Sluice__V1__EnvironmentHost *host)
{
	return host->state == HOST_STATE(FAILED) &&
	       !strncmp(host->text, stopping_failed, sizeof stopping_failed - 1);
}

const char *host_state_name(Sluice__V1__EnvironmentHost__State state)
{
	return (size_t)state < ARRAY_SIZE(state_names) ? state_names[state] : "unknown";
}

const Sluice__V1__EnvironmentSpec *environment_policy(const struct environment *env)
{
	if (env->promotion && env->promotion->row->spec)
		return env->promotion->row->spec;
	return env->row->spec;
}

struct agent *host_agent(struct world *w, const Sluice__V1__EnvironmentHost *host)
{
	return world_agent_by_id(w, host->agent_id);
}

bool host_reachable(struct world *w, const Sluice__V1__EnvironmentHost *host)
{
	const struct agent *agent = host_agent(w, host);

	return agent && agent->session;
}

bool host_serves(struct world *w, const Sluice__V1__EnvironmentHost *host)
{
	return !host->unsure && host->release[0] && host->healthy && host_reachable(w, host);
}

bool host_has_slot(const Sluice__V1__EnvironmentHost *host, const char *release_id)
{
	for (size_t i = 0; i < host->n_slots; i++)
		if (!strcmp(host->slots[i], release_id))
			return true;
	return false;
}

bool host_is_busy(const Sluice__V1__EnvironmentHost *host)
{
	return host->state == HOST_STATE(PREPARING) || host->state == HOST_STATE(ACTIVATING) ||
	       host->state == HOST_STATE(STOPPING);
}

Sluice__V1__EnvironmentHost__State host_at_rest(const struct environment *env,
						const Sluice__V1__EnvironmentHost *host)
{
	if (!host->unsure && host->release[0] && !strcmp(host->release, env->row->live))
		return HOST_STATE(NEW);
	if (!host->unsure && !host->release[0])
		return HOST_STATE(EMPTY);
	return HOST_STATE(DIVERGED);
}

/* ---- orders ---- */

static struct release *target_of(struct world *w, const struct environment *env)
{
	const struct promotion *p = env->promotion;

	if (p && p->row->state == PROMOTION_STATE(ROLLING_OUT))
		return p->release;
	return env->row->live[0] ? world_release(w, env->row->live, NULL) : NULL;
}

static Sluice__V1__HostStep step_of(struct world *w, const struct environment *env,
				    const Sluice__V1__EnvironmentHost *host)
{
	if (host->state == HOST_STATE(PREPARING))
		return SLUICE__V1__HOST_STEP__HOST_PREPARE;
	if (host->state == HOST_STATE(ACTIVATING))
		return SLUICE__V1__HOST_STEP__HOST_ACTIVATE;
	if (host->state != HOST_STATE(STOPPING))
		return SLUICE__V1__HOST_STEP__HOST_STEP_UNSPECIFIED;
	return environment_host_leaves(w, env, host) ? SLUICE__V1__HOST_STEP__HOST_REMOVE
						     : SLUICE__V1__HOST_STEP__HOST_DOWN;
}

/* Once each, in no particular order. */
static void keep_slot(Sluice__V1__HostOrder *order, const char *id)
{
	if (!id[0])
		return;
	for (size_t i = 0; i < order->n_keep; i++)
		if (!strcmp(order->keep[i], id))
			return;
	message_append(order, keep, xstrdup(id));
}

static void post_order(struct world *w, struct agent *agent, Sluice__V1__HostOrder *order)
{
	Sluice__V1__ControllerMessage *m = message_new(&sluice__v1__controller_message__descriptor);

	m->ctl_epoch = w->counters->ctl_epoch;
	m->body_case = SLUICE__V1__CONTROLLER_MESSAGE__BODY_HOST_ORDER;
	m->host_order = order;
	world_post(w, agent, m);
}

void host_send_order(struct world *w, struct environment *env,
		     const Sluice__V1__EnvironmentHost *host)
{
	Sluice__V1__HostStep step = step_of(w, env, host);
	struct agent *agent = host_agent(w, host);
	const struct release *target = target_of(w, env);
	Sluice__V1__HostOrder *order;

	if (!step || !agent || !agent->session)
		return;
	order = message_new(&sluice__v1__host_order__descriptor);
	message_set_string(&order->environment, env->row->name);
	order->phi = env->row->phi;
	order->step = step;
	order->attempt = host->attempt;
	if (target && step != SLUICE__V1__HOST_STEP__HOST_REMOVE) {
		order->release = message_copy(target->row);
		keep_slot(order, target->row->id);
	}
	if (environment_policy(env)->deploy)
		order->deploy = message_copy(environment_policy(env)->deploy);
	keep_slot(order, env->row->live);
	keep_slot(order, env->row->last_good);
	keep_slot(order, env->row->previous_good);
	post_order(w, agent, order);
}

void host_order_removal(struct world *w, struct environment *env, struct agent *agent)
{
	Sluice__V1__HostOrder *order = message_new(&sluice__v1__host_order__descriptor);

	message_set_string(&order->environment, env->row->name);
	order->phi = env->row->phi;
	order->step = SLUICE__V1__HOST_STEP__HOST_REMOVE;
	post_order(w, agent, order);
}

void host_set(struct world *w, struct environment *env, Sluice__V1__EnvironmentHost *host,
	      Sluice__V1__EnvironmentHost__State state, const char *text)
{
	if (host->state == state && !strcmp(host->text, text))
		return;
	if (host->state != state) {
		struct agent *agent = host_agent(w, host);

		host->changed_ms = w->now.wall_ms;
		if (agent) /* a verify step may wait for this host */
			place_agent(w, agent);
	}
	host->state = state;
	message_set_string(&host->text, text);
	world_touch(w, &env->entity);
}

void host_begin(struct world *w, struct environment *env, Sluice__V1__EnvironmentHost *host,
		Sluice__V1__EnvironmentHost__State step)
{
	assert(step == HOST_STATE(PREPARING) || step == HOST_STATE(ACTIVATING) ||
	       step == HOST_STATE(STOPPING));
	host_set(w, env, host, step, "");
	host->attempt++;
	if (step != HOST_STATE(PREPARING))
		host->unsure = true;
	world_touch(w, &env->entity);
	host_send_order(w, env, host);
}

/* ---- reports ---- */

static bool set_text(char **field, const char *value)
{
	if (!strcmp(*field, value))
		return false;
	message_set_string(field, value);
	return true;
}

static bool set_slots(Sluice__V1__EnvironmentHost *host, char *const *slots, size_t n)
{
	bool same = host->n_slots == n;

	for (size_t i = 0; same && i < n; i++)
		same = !strcmp(host->slots[i], slots[i]);
	if (same)
		return false;
	for (size_t i = 0; i < host->n_slots; i++)
		message_set_string(&host->slots[i], "");
	free(host->slots);
	host->slots = NULL;
	host->n_slots = 0;
	for (size_t i = 0; i < n; i++)
		message_append(host, slots, xstrdup(slots[i]));
	return true;
}

/* It goes into the environment of verify jobs, one of a list: what cannot be an address is none. */
static const char *endpoint_of(const Sluice__V1__HostReport *r)
{
	enum { ENDPOINT_MAX = 300 };
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.:_[]%-";
	size_t len = strlen(r->endpoint);

	return len <= ENDPOINT_MAX && strspn(r->endpoint, letters) == len ? r->endpoint : "";
}

/* What the host says of itself, whatever it answers. NULL: it has nothing of this environment. */
static bool take_facts(Sluice__V1__EnvironmentHost *host, const Sluice__V1__HostReport *r)
{
	bool healthy = r && r->healthy;
	uint64_t phi = r ? MAX(r->phi, host->phi) : host->phi;
	size_t n = r ? MIN(r->n_slots, (size_t)HOST_SLOTS) : 0;
	bool changed = set_slots(host, n ? r->slots + (r->n_slots - n) : NULL, n);

	changed |= set_text(&host->release, r ? r->live : "");
	changed |= set_text(&host->endpoint, r ? endpoint_of(r) : "");
	changed |= host->healthy != healthy || host->phi != phi;
	host->healthy = healthy;
	host->phi = phi;
	return changed;
}

__attribute__((format(printf, 5, 6))) static void tell(struct world *w, struct environment *env,
						       const Sluice__V1__EnvironmentHost *host,
						       Sluice__V1__EventKind kind, const char *fmt,
						       ...)
{
	cleanup(freep) char *text = NULL;
	Sluice__V1__Event *e;
	va_list args;

	va_start(args, fmt);
	text = xvprintf(fmt, args);
	va_end(args);
	e = world_event(w, kind, NULL, "%s: host '%s' %s", env->row->name, host->agent_name, text);
	if (env->promotion)
		event_of_promotion(e, env->promotion);
	else
		event_of_environment(e, env);
	message_set_string(&e->agent_id, host->agent_id);
}

static void failed(struct world *w, struct environment *env, Sluice__V1__EnvironmentHost *host,
		   const char *text)
{
	char reason[HOST_TEXT];
	const char *what = host->state == HOST_STATE(PREPARING)	   ? "preparing failed"
			   : host->state == HOST_STATE(ACTIVATING) ? activation_failed
								   : stopping_failed;

	snprintf(reason, sizeof reason, "%s: %.900s", what, text[0] ? text : "it did not say why");
	host_set(w, env, host, HOST_STATE(FAILED), reason);
	tell(w, env, host, SLUICE__V1__EVENT_KIND__EVENT_HOST_FAILED, "failed: %s", reason);
}

static void progress(struct world *w, struct environment *env)
{
	struct promotion *p = env->promotion;

	if (!p || p->row->state != PROMOTION_STATE(ROLLING_OUT))
		return;
	p->row->progress_ms = world_steady_ms(w);
	world_touch(w, &p->entity);
}

static void done(struct world *w, struct environment *env, Sluice__V1__EnvironmentHost *host)
{
	const struct release *target = target_of(w, env);
	char name[RELEASE_NAME];

	if (host->state == HOST_STATE(STOPPING)) {
		message_set_string(&host->release, "");
		if (environment_host_leaves(w, env, host)) {
			set_slots(host, NULL, 0);
			host->unsure = false;
		}
		host_set(w, env, host, HOST_STATE(EMPTY), "");
		return;
	}
	if (!target) {
		failed(w, env, host, "there is no release for it any more");
		return;
	}
	if (host->state == HOST_STATE(PREPARING)) {
		if (!host_has_slot(host, target->row->id))
			message_append(host, slots, xstrdup(target->row->id));
		host_set(w, env, host, HOST_STATE(PREPARED), "");
		progress(w, env);
		tell(w, env, host, SLUICE__V1__EVENT_KIND__EVENT_HOST_PREPARED, "has %s unpacked",
		     release_name(target, name));
		return;
	}
	if (strcmp(host->release, target->row->id)) {
		failed(w, env, host, "it reports success but runs another release");
		return;
	}
	host->unsure = false;
	host->healthy = true;
	host_set(w, env, host, HOST_STATE(NEW), "");
	progress(w, env);
	tell(w, env, host, SLUICE__V1__EVENT_KIND__EVENT_HOST_ACTIVATED, "runs %s and is healthy",
	     release_name(target, name));
}

static bool answers(struct world *w, const struct environment *env,
		    const Sluice__V1__EnvironmentHost *host, const Sluice__V1__HostReport *r)
{
	return host_is_busy(host) && r->phi == env->row->phi && r->attempt == host->attempt &&
	       r->step == step_of(w, env, host);
}

bool host_take_report(struct world *w, struct environment *env, Sluice__V1__EnvironmentHost *host,
		      const Sluice__V1__HostReport *r)
{
	bool changed = false;

	if (r->attempt == host->attempt)
		changed = take_facts(host, r);
	if (answers(w, env, host, r) && r->state != SLUICE__V1__HOST_REPORT__STATE__WORKING) {
		changed = true;
		if (r->state == SLUICE__V1__HOST_REPORT__STATE__DONE)
			done(w, env, host);
		else if (r->state == SLUICE__V1__HOST_REPORT__STATE__FAILED)
			failed(w, env, host, r->text);
	}
	if (changed)
		world_touch(w, &env->entity);
	return changed;
}

void host_take_installed(struct world *w, struct environment *env,
			 Sluice__V1__EnvironmentHost *host, const Sluice__V1__HostReport *r)
{
	const struct release *target = target_of(w, env);

	if (r && answers(w, env, host, r))
		host_take_report(w, env, host, r);
	else if (take_facts(host, r))
		world_touch(w, &env->entity);
	/* Its disk was emptied, or it is another one: what was done there is to be done again. */
	if (host->state == HOST_STATE(PREPARED) && target && !host_has_slot(host, target->row->id))
		host_begin(w, env, host, HOST_STATE(PREPARING));
	else if (host->state == HOST_STATE(NEW) && target && strcmp(host->release, target->row->id))
		host_set(w, env, host, HOST_STATE(DIVERGED), "it lost what it ran");
	else if (host->state == HOST_STATE(OLD) && !host->release[0])
		host_set(w, env, host, HOST_STATE(EMPTY), "it lost what it ran");
}
