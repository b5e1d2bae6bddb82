/*
 * The host of an environment: it obeys orders whose phi is not smaller than the last one's,
 * remembers what it did on disk, and says so until it is heard. What it serves it serves without a
 * controller.
 */
#include <stdio.h>
#include <string.h>

#include "sim.h"

static bool has_slot(const struct service *v, const char *release)
{
	for (size_t i = 0; i < v->n_slots; i++)
		if (strcmp(v->slots[i], release) == 0)
			return true;
	return false;
}

static struct service *service_of(struct host *h, const char *environment)
{
	for (int i = 0; i < STAGES; i++)
		if (strcmp(h->services[i].environment, environment) == 0)
			return &h->services[i];
	return NULL;
}

/* NULL: nothing is installed. */
static Sluice__V1__HostReport *state_of(const struct host *h, const struct service *v)
{
	Sluice__V1__HostReport *r;

	if (!v->step)
		return NULL;
	r = message_new(&sluice__v1__host_report__descriptor);
	message_set_string(&r->environment, v->environment);
	r->phi = v->phi;
	r->step = v->step;
	r->attempt = v->attempt;
	r->state = v->state;
	message_set_string(&r->text, v->text);
	message_set_string(&r->live, v->live);
	for (size_t i = 0; i < v->n_slots; i++)
		message_append(r, slots, xstrdup(v->slots[i]));
	message_set_string(&r->endpoint, v->healthy ? h->name : "");
	r->healthy = v->healthy;
	return r;
}

static void report(struct sim *s, struct host *h, const struct service *v)
{
	Sluice__V1__HostReport *r = h->registered ? state_of(h, v) : NULL;
	Sluice__V1__AgentMessage *m;

	if (!r)
		return;
	m = agent_message_new(h, SLUICE__V1__AGENT_MESSAGE__BODY_HOST_REPORT);
	m->host_report = r;
	agent_send(s, h, m);
}

void service_report(struct sim *s, struct host *h)
{
	for (int i = 0; i < STAGES; i++)
		report(s, h, &h->services[i]);
}

void services_describe(struct host *h, Sluice__V1__Register *r)
{
	for (int i = 0; i < STAGES; i++) {
		Sluice__V1__HostReport *state = state_of(h, &h->services[i]);

		if (state)
			message_append(r, hosts, state);
	}
}

/* After a reboot it is started again by the agent, at once here. */
void services_went_down(struct host *h)
{
	for (int i = 0; i < STAGES; i++) {
		struct service *v = &h->services[i];

		v->healthy = v->wanted_up && *v->live;
		if (v->state == SLUICE__V1__HOST_REPORT__STATE__WORKING)
			v->step = 0; /* half a step is none: the order comes again */
	}
}

void services_lose_disk(struct host *h)
{
	for (int i = 0; i < STAGES; i++)
		h->services[i] = (struct service){ .environment = h->services[i].environment };
}

struct work {
	Sluice__V1__HostStep step;
	uint64_t phi;
	uint32_t attempt;
	char release[ID_SIZE];
	bool fails;
};

static void fill_work(struct work *work, const Sluice__V1__HostOrder *o, bool fails)
{
	*work = (struct work){
		.step = o->step, .phi = o->phi, .attempt = o->attempt, .fails = fails
	};
	if (o->release)
		snprintf(work->release, sizeof work->release, "%s", o->release->id);
}

static void fail_step(struct service *v, const char *why)
{
	v->state = SLUICE__V1__HOST_REPORT__STATE__FAILED;
	snprintf(v->text, sizeof v->text, "%s", why);
}

static void unpack(struct service *v, const char *release)
{
	if (has_slot(v, release))
		return;
	if (v->n_slots == SERVICE_SLOTS)
		memmove(v->slots, v->slots + 1, --v->n_slots * sizeof(v->slots[0]));
	snprintf(v->slots[v->n_slots++], ID_SIZE, "%s", release);
}

static void activate(struct service *v, const struct work *work)
{
	unpack(v, work->release); /* nothing to do where PREPARE was done */
	snprintf(v->live, sizeof v->live, "%s", work->release);
	v->wanted_up = true;
	v->healthy = !work->fails;
	if (work->fails)
		fail_step(v, "it does not answer its check");
}

static void do_step(struct service *v, const struct work *work)
{
	v->state = SLUICE__V1__HOST_REPORT__STATE__DONE;
	v->text[0] = '\0';
	switch (work->step) {
	case SLUICE__V1__HOST_STEP__HOST_PREPARE:
		unpack(v, work->release);
		return;
	case SLUICE__V1__HOST_STEP__HOST_ACTIVATE:
		activate(v, work);
		return;
	case SLUICE__V1__HOST_STEP__HOST_DOWN:
		v->wanted_up = v->healthy = false;
		return;
	default:
		v->wanted_up = v->healthy = false;
		v->live[0] = '\0';
		v->n_slots = 0;
	}
}

static void step_done(struct sim *s, struct event *e)
{
	struct host *h = e->who;
	cleanup(message_freep) Sluice__V1__HostOrder *o = e->what;
	struct service *v = service_of(h, o->environment);
	struct work work;

	/* a reboot or a newer order came between */
	if (!h->powered || v->phi != o->phi || v->step != o->step || v->attempt != o->attempt ||
	    (v->state != SLUICE__V1__HOST_REPORT__STATE__WORKING &&
	     s->mutant != MUTANT_REPORT_AHEAD))
		return;
	fill_work(&work, o, e->number);
	do_step(v, &work);
	sim_trace(s, "%s: %s: step %d of phi %llu for %s: %s", h->name, v->environment, work.step,
		  (unsigned long long)work.phi, work.release, *v->text ? v->text : "done");
	report(s, h, v);
}

void service_order(struct sim *s, struct host *h, const Sluice__V1__HostOrder *o)
{
	struct service *v = service_of(h, o->environment);
	struct event *e;

	if (!v || o->phi < v->phi)
		return;
	if (v->phi == o->phi && v->step == o->step && v->attempt == o->attempt) {
		report(s, h, v);
		return;
	}
	v->phi = o->phi;
	v->step = o->step;
	v->attempt = o->attempt;
	v->state = s->mutant == MUTANT_REPORT_AHEAD ? SLUICE__V1__HOST_REPORT__STATE__DONE
						    : SLUICE__V1__HOST_REPORT__STATE__WORKING;
	v->text[0] = '\0';
	e = sim_at(s, s->t + sim_between(s, 1, 3000), step_done, h);
	e->what = message_copy(o);
	e->number =
		!s->calm && o->step == SLUICE__V1__HOST_STEP__HOST_ACTIVATE && sim_chance(s, 10);
}
