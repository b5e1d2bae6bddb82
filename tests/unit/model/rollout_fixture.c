#include "rollout_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- rows in memory ---- */

static void row_store(struct sim *s, const struct row *row)
{
	struct sim_row *at = NULL;

	for (size_t i = 0; i < s->n_rows && !at; i++)
		if (s->rows[i].kind == row->kind && !strcmp(s->rows[i].id, row->id))
			at = &s->rows[i];
	if (!at) {
		s->rows = xreallocarray(s->rows, s->n_rows + 1, sizeof *s->rows);
		at = &s->rows[s->n_rows++];
		*at = (struct sim_row){ .kind = row->kind };
		snprintf(at->id, sizeof at->id, "%s", row->id);
	}
	snprintf(at->parent, sizeof at->parent, "%s", row->parent);
	snprintf(at->key, sizeof at->key, "%s", row->key);
	at->number = row->number;
	at->open = row->open && !row->gone;
	free(at->body);
	at->body = xmemdup(row->body, row->len);
	at->len = row->len;
}

static int row_put(void *arg, const struct row *row, struct error *err)
{
	row_store(arg, row);
	return 0;
}

static int row_read(const struct sim_row *row, ProtobufCMessage **ret, struct error *err)
{
	*ret = message_unpack(row_descriptor(row->kind), NULL, row->body, row->len, err);
	return *ret ? 1 : -1;
}

static int source_get(void *arg, enum row_kind kind, const char *id, ProtobufCMessage **ret,
		      struct error *err)
{
	struct sim *s = arg;

	for (size_t i = 0; i < s->n_rows; i++)
		if (s->rows[i].kind == kind && !strcmp(s->rows[i].id, id))
			return row_read(&s->rows[i], ret, err);
	return 0;
}

static int source_find(void *arg, enum row_kind kind, const char *parent, const char *key,
		       ProtobufCMessage **ret, struct error *err)
{
	struct sim *s = arg;

	for (size_t i = s->n_rows; i > 0; i--) {
		const struct sim_row *row = &s->rows[i - 1];

		if (row->kind == kind && (!parent || !strcmp(row->parent, parent)) &&
		    !strcmp(row->key, key))
			return row_read(row, ret, err);
	}
	return 0;
}

static int source_by_number(void *arg, enum row_kind kind, uint64_t number, ProtobufCMessage **ret,
			    struct error *err)
{
	struct sim *s = arg;

	for (size_t i = 0; i < s->n_rows; i++)
		if (s->rows[i].kind == kind && s->rows[i].number == number)
			return row_read(&s->rows[i], ret, err);
	return 0;
}

/* ---- the controller ---- */

static bool row_wanted(const struct sim *s, const struct sim_row *row)
{
	enum row_kind parent = row_kept_open_by(row->kind);

	if (!parent)
		return row->open;
	for (size_t i = 0; i < s->n_rows; i++)
		if (s->rows[i].kind == parent && !strcmp(s->rows[i].id, row->parent))
			return s->rows[i].open;
	return false;
}

static void world_begin(struct sim *s)
{
	struct world_source source = { source_get, source_find, source_by_number, s };
	struct error err = { 0 };

	s->world = world_new(&source, s->seed += 7919);
	for (int kind = ROW_CONTROLLER; kind < ROW_KINDS; kind++)
		for (size_t i = 0; i < s->n_rows; i++) {
			ProtobufCMessage *message = NULL;

			if ((int)s->rows[i].kind != kind || !row_wanted(s, &s->rows[i]))
				continue;
			cr_assert_eq(row_read(&s->rows[i], &message, &err), 1, "%s", err.text);
			cr_assert_eq(world_load(s->world, kind, message, &err), 0, "%s", err.text);
		}
	cr_assert_eq(world_start(s->world, s->now, NULL, NULL, &err), 0, "%s", err.text);
	sim_commit(s);
}

static struct sim_host *host_by_session(struct sim *s, uint64_t session)
{
	for (size_t i = 0; i < s->n_hosts; i++)
		if (s->hosts[i].connected && session == i + 1)
			return &s->hosts[i];
	return NULL;
}

static bool is_rolling_back(struct sim *s, const char *name)
{
	const struct environment *env = sim_env(s, name);

	return env->promotion && promotion_is_rollback(env->promotion);
}

/* Would this order leave too few hosts serving? */
static void check_order(struct sim *s, const struct sim_host *h)
{
	size_t down = 0, changing = 0;

	if (!s->max_unavailable || !h->serving || h->changing)
		return;
	for (size_t i = 0; i < s->n_hosts; i++) {
		const struct sim_host *other = &s->hosts[i];

		if (strcmp(other->label, h->label) || other == h)
			continue;
		down += (other->served && !other->serving) || other->changing || !other->connected;
		changing += other->changing;
	}
	if (is_rolling_back(s, h->label) && !changing)
		return;
	cr_assert_lt(down, s->max_unavailable, "%zu hosts are down, and '%s' is taken down, too",
		     down, h->name);
}

static void host_take(struct sim *s, struct sim_host *h, const Sluice__V1__HostOrder *order)
{
	bool again = order->phi == h->ordered_phi && order->attempt == h->ordered;

	h->ordered_phi = order->phi;
	h->ordered = order->attempt;
	if (order->step == SLUICE__V1__HOST_STEP__HOST_ACTIVATE ||
	    order->step == SLUICE__V1__HOST_STEP__HOST_DOWN) {
		if (order->step == SLUICE__V1__HOST_STEP__HOST_ACTIVATE && !again)
			check_order(s, h);
		h->changing = true;
	}
	cr_assert_lt(h->n_inbox, (size_t)SIM_INBOX);
	h->inbox[h->n_inbox++] = message_copy(order);
}

void sim_commit(struct sim *s)
{
	struct error err = { 0 };
	Sluice__V1__Event *event;
	struct effect *effect;

	s->commits++;
	cr_assert_eq(world_changes(s->world, row_put, s, &err), 0, "%s", err.text);
	while ((event = world_take_event(s->world))) {
		cr_assert_neq(event->text[0], 0);
		if (event->kind < ARRAY_SIZE(s->events))
			s->events[event->kind]++;
		snprintf(s->last_event, sizeof s->last_event, "%s", event->text);
		message_free(event);
	}
	while ((effect = world_take_effect(s->world))) {
		struct sim_host *h = host_by_session(s, effect->session);

		if (h && effect->kind == EFFECT_POST &&
		    effect->message->body_case == SLUICE__V1__CONTROLLER_MESSAGE__BODY_HOST_ORDER)
			host_take(s, h, effect->message->host_order);
		effect_free(effect);
	}
	world_committed(s->world);
}

struct sim *sim_new(uint64_t seed)
{
	struct sim *s = xcalloc(1, sizeof *s);

	s->seed = seed * 1000003 + 17;
	s->now = (struct now){ 1700000000000, 1000000 };
	world_begin(s);
	return s;
}

static void host_forget_messages(struct sim_host *h)
{
	for (size_t i = 0; i < h->n_inbox; i++)
		message_free(h->inbox[i]);
	h->n_inbox = 0;
}

void sim_free(struct sim *s)
{
	if (!s)
		return;
	world_free(s->world);
	for (size_t i = 0; i < s->n_hosts; i++) {
		host_forget_messages(&s->hosts[i]);
		message_free(s->hosts[i].report);
	}
	for (size_t i = 0; i < s->n_rows; i++)
		free(s->rows[i].body);
	free(s->rows);
	free(s);
}

void sim_freep(struct sim **s)
{
	sim_free(*s);
}

uint32_t sim_random(struct sim *s, uint32_t below)
{
	s->seed = s->seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(s->seed >> 33) % below;
}

void sim_restart(struct sim *s)
{
	bool was[SIM_HOSTS];

	s->restarts++;
	world_free(s->world);
	for (size_t i = 0; i < s->n_hosts; i++) {
		was[i] = s->hosts[i].connected;
		s->hosts[i].connected = false;
		host_forget_messages(&s->hosts[i]);
	}
	world_begin(s);
	for (size_t i = 0; i < s->n_hosts; i++)
		if (was[i])
			sim_connect(s, &s->hosts[i]);
}

/* ---- hosts ---- */

struct agent *sim_agent(struct sim *s, const struct sim_host *h)
{
	return world_agent_by_id(s->world, h->id);
}

static void fill_report(const struct sim_host *h, Sluice__V1__HostReport *r)
{
	for (size_t i = 0; i < r->n_slots; i++)
		free(r->slots[i]);
	free(r->slots);
	r->slots = NULL;
	r->n_slots = 0;
	r->phi = h->phi;
	message_set_string(&r->live, h->live);
	r->healthy = h->serving;
	message_set_string(&r->endpoint, h->serving ? h->name : "");
	for (size_t i = 0; i < h->n_slots; i++)
		message_append(r, slots, xstrdup(h->slots[i]));
}

void sim_connect(struct sim *s, struct sim_host *h)
{
	Sluice__V1__Register *r = message_new(&sluice__v1__register__descriptor);
	struct agent *agent = sim_agent(s, h);

	if (h->report) {
		fill_report(h, h->report);
		message_append(r, hosts, message_copy(h->report));
		h->unsent = false;
	}
	h->connected = true;
	agent->session = (uint64_t)(h - s->hosts) + 1;
	agent->row->connected = true;
	agent->row->last_seen_ms = s->now.wall_ms;
	world_touch(s->world, &agent->entity);
	s->world->now = s->now;
	delivery_agent_connected(s->world, agent, r);
	message_free(r);
	sim_commit(s);
}

void sim_disconnect(struct sim *s, struct sim_host *h)
{
	struct agent *agent = sim_agent(s, h);

	h->connected = false;
	host_forget_messages(h);
	agent->session = 0;
	agent->row->connected = false;
	agent->row->last_seen_ms = s->now.wall_ms;
	world_touch(s->world, &agent->entity);
	s->world->now = s->now;
	delivery_agent_gone(s->world, agent);
	sim_commit(s);
}

struct sim_host *sim_host_add(struct sim *s, const char *name, const char *label)
{
	struct sim_host *h = &s->hosts[s->n_hosts++];
	Sluice__V1__Agent *row = message_new(&sluice__v1__agent__descriptor);
	Sluice__V1__Variable *v = message_new(&sluice__v1__variable__descriptor);
	struct agent *agent;

	cr_assert_leq(s->n_hosts, (size_t)SIM_HOSTS);
	h->sim = s;
	snprintf(h->id, sizeof h->id, "agent-%s", name);
	snprintf(h->name, sizeof h->name, "%s", name);
	snprintf(h->label, sizeof h->label, "%s", label);
	message_set_string(&row->id, h->id);
	message_set_string(&row->name, name);
	row->state = SLUICE__V1__AGENT__STATE__ENABLED;
	row->enrolled_ms = s->now.wall_ms;
	message_set_string(&v->name, "env");
	message_set_string(&v->value, label);
	message_append(row, labels, v);
	s->world->now = s->now;
	agent = world_add_agent(s->world, row);
	delivery_agent_changed(s->world, agent);
	sim_commit(s);
	sim_connect(s, h);
	return h;
}

static bool has_slot(const struct sim_host *h, const char *id)
{
	for (size_t i = 0; i < h->n_slots; i++)
		if (!strcmp(h->slots[i], id))
			return true;
	return false;
}

static const char *host_prepare(struct sim_host *h, const Sluice__V1__Release *r)
{
	h->prepares++;
	if (h->fail_prepare == r->number)
		return "no space left on device";
	if (!has_slot(h, r->id)) {
		cr_assert_lt(h->n_slots, (size_t)SIM_SLOTS);
		snprintf(h->slots[h->n_slots++], ID_SIZE, "%s", r->id);
	}
	return NULL;
}

static const char *host_activate(struct sim_host *h, const Sluice__V1__Release *r)
{
	h->activations++;
	h->serving = false;
	if (!has_slot(h, r->id))
		return "the release is not unpacked here";
	snprintf(h->live, sizeof h->live, "%s", r->id);
	if (h->fail_activate == r->number)
		return "GET /healthz: 503 for 30s";
	if (h->fail_any) {
		h->fail_any--;
		return "the port is taken";
	}
	h->serving = h->served = true;
	return NULL;
}

static const char *host_do(struct sim_host *h, const Sluice__V1__HostOrder *o)
{
	switch (o->step) {
	case SLUICE__V1__HOST_STEP__HOST_PREPARE:
		return host_prepare(h, o->release);
	case SLUICE__V1__HOST_STEP__HOST_ACTIVATE:
		return host_activate(h, o->release);
	case SLUICE__V1__HOST_STEP__HOST_DOWN:
		h->stops++;
		h->serving = false;
		return NULL;
	case SLUICE__V1__HOST_STEP__HOST_REMOVE:
		h->removals++;
		h->serving = h->served = false;
		h->live[0] = 0;
		h->n_slots = 0;
		return NULL;
	default:
		cr_assert(false, "an order without a step");
		return NULL;
	}
}

static bool same_order(const Sluice__V1__HostReport *r, const Sluice__V1__HostOrder *o)
{
	return r && r->phi == o->phi && r->step == o->step && r->attempt == o->attempt;
}

static void host_obey(struct sim_host *h, const Sluice__V1__HostOrder *o)
{
	const char *why;

	if (o->phi < h->phi) {
		h->refused++;
		return;
	}
	h->unsent = true;
	if (same_order(h->report, o))
		return;
	message_free(h->report);
	h->report = message_new(&sluice__v1__host_report__descriptor);
	snprintf(h->environment, sizeof h->environment, "%s", o->environment);
	h->phi = o->phi;
	why = host_do(h, o);
	message_set_string(&h->report->environment, o->environment);
	h->report->step = o->step;
	h->report->attempt = o->attempt;
	h->report->state =
		why ? SLUICE__V1__HOST_REPORT__STATE__FAILED : SLUICE__V1__HOST_REPORT__STATE__DONE;
	message_set_string(&h->report->text, why ? why : "");
	fill_report(h, h->report);
	if (o->step == SLUICE__V1__HOST_STEP__HOST_ACTIVATE ||
	    o->step == SLUICE__V1__HOST_STEP__HOST_DOWN)
		h->changing = false;
}

/* Everything that waits for this host: an order to obey, or its report to be heard. */
bool sim_deliver_to(struct sim *s, struct sim_host *h)
{
	if (!h->connected)
		return false;
	if (h->unsent) {
		h->unsent = false;
		s->world->now = s->now;
		delivery_host_report(s->world, sim_agent(s, h), h->report);
		sim_commit(s);
		return true;
	}
	if (h->n_inbox) {
		Sluice__V1__HostOrder *o = h->inbox[0];

		h->n_inbox--;
		memmove(h->inbox, h->inbox + 1, h->n_inbox * sizeof *h->inbox);
		host_obey(h, o);
		message_free(o);
		return true;
	}
	return false;
}

bool sim_deliver(struct sim *s)
{
	for (size_t i = 0; i < s->n_hosts; i++)
		if (sim_deliver_to(s, &s->hosts[i]))
			return true;
	return false;
}

void sim_settle(struct sim *s)
{
	for (unsigned n = 0; sim_deliver(s); n++)
		cr_assert_lt(n, 10000u, "it never comes to rest: %s", s->last_event);
}

void sim_tick(struct sim *s, int64_t ms)
{
	struct error err = { 0 };

	s->now.wall_ms += ms;
	s->now.boot_ms += ms;
	cr_assert_eq(world_tick(s->world, s->now, NULL, NULL, &err), 0, "%s", err.text);
	sim_commit(s);
}

void sim_advance(struct sim *s, int64_t ms)
{
	sim_settle(s);
	sim_tick(s, ms);
	sim_settle(s);
}
