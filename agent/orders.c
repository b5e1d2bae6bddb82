/*
 * Carrying out orders, on the environment's own thread: what each step does, and what is journalled
 * and reported of it.
 */
#include <string.h>

#include "agent/deploy_private.h"
#include "base/file.h"
#include "base/log.h"
#include "blob/store.h"
#include "proto/message.h"

/* ---- the state, and what is said of it ---- */

/* Only the host's thread changes the state and writes it, so what is written is never older than
 * what was. The lock is not held over the disk: the session waits for it. */
int host_journal(struct host *h, struct error *err)
{
	struct journal *journal = h->deploy->config.journal;
	cleanup(message_freep) Sluice__V1__JournalHost *copy = NULL;

	lock_take(&h->deploy->lock);
	copy = message_copy(h->state);
	lock_drop(&h->deploy->lock);
	return journal_host(journal, copy, err) < 0 ? -1 : journal_sync(journal, err);
}

/* Facts as they are now, into a report; with the lock held or on the host's thread. */
void host_facts(const struct host *h, Sluice__V1__HostReport *r)
{
	const Sluice__V1__JournalSlot *live = host_find_slot(h, h->state->live);
	bool serves = h->state->live_deploy && *h->state->live_deploy->service;

	message_set_string(&r->environment, h->name);
	r->phi = h->state->phi;
	message_set_string(&r->live, h->state->live);
	for (size_t i = 0; i < r->n_slots; i++)
		free(r->slots[i]);
	r->n_slots = 0;
	for (size_t i = 0; i < h->state->n_slots; i++)
		if (install_present(h, h->state->slots[i]->release))
			message_append(r, slots, xstrdup(h->state->slots[i]->release));
	if (live && live->port && serves) {
		cleanup(freep) char *endpoint =
			xprintf("%s:%u", h->deploy->config.address, live->port);

		message_set_string(&r->endpoint, endpoint);
	} else {
		message_set_string(&r->endpoint, "");
	}
	r->healthy = h->healthy;
	r->restarts = h->restarts;
}

/* With the lock held or on the host's thread. */
void host_say(struct host *h)
{
	Sluice__V1__AgentMessage m = SLUICE__V1__AGENT_MESSAGE__INIT;
	struct error err = { 0 };

	m.body_case = SLUICE__V1__AGENT_MESSAGE__BODY_HOST_REPORT;
	m.host_report = h->state->report;
	if (h->deploy->session && session_post(h->deploy->session, &m, &err) < 0)
		log_debug("environment '%s': not reported yet: %s", h->name, err.text);
}

/* Journalled first, so that it is repeated until it was heard. */
void host_report(struct host *h, Sluice__V1__HostReport__State state, const char *text)
{
	struct error err = { 0 };

	lock_take(&h->deploy->lock);
	if (!h->state->report)
		h->state->report = message_new(&sluice__v1__host_report__descriptor);
	h->state->report->state = state;
	if (h->state->order) {
		h->state->report->step = h->state->order->step;
		h->state->report->attempt = h->state->order->attempt;
	}
	message_set_string(&h->state->report->text, text);
	host_facts(h, h->state->report);
	h->state->acknowledged = state == SLUICE__V1__HOST_REPORT__STATE__WORKING;
	h->acked = false;
	lock_drop(&h->deploy->lock);
	if (host_journal(h, &err) < 0)
		log_error("environment '%s': %s", h->name, err.text);
	LOCKED(&h->deploy->lock);
	host_say(h);
}

/* ---- carrying out ---- */

/* What an order changed. A full disk must not keep a good release from coming back: the cache can
 * be done without. After the old service is down, if possible: it may have filled the disk, and
 * would again. */
static int keep_state(struct host *h, struct error *err)
{
	struct blob_stats stats;
	struct error ignored = { 0 };

	if (host_journal(h, err) == 0)
		return 0;
	if (!err || err->code != ERR_EXHAUSTED)
		return -1;
	log_warn("environment '%s': %s; emptying the cache", h->name, err->text);
	if (blob_trim(h->deploy->config.cache, 0, &stats, &ignored) < 0)
		log_warn("environment '%s': %s", h->name, ignored.text);
	error_clear(err);
	return host_journal(h, err);
}

static void set_live(struct host *h, const Sluice__V1__HostOrder *order)
{
	LOCKED(&h->deploy->lock);
	message_set_string(&h->state->live, order->release->id);
	message_free(h->state->live_release);
	message_free(h->state->live_deploy);
	h->state->live_release = message_copy(order->release);
	h->state->live_deploy = message_copy(order->deploy);
}

static bool same_deploy(const Sluice__V1__DeploySpec *a, const Sluice__V1__DeploySpec *b)
{
	cleanup(buf_release) struct buf pa = { 0 }, pb = { 0 };

	message_pack_buf(a, &pa);
	message_pack_buf(b, &pb);
	return pa.len == pb.len && memcmp(pa.data, pb.data, pa.len) == 0;
}

/* What is not healthy may well be unable to drain; that must not keep its successor out. */
static int drain(struct host *h, const Sluice__V1__DeploySpec *old, struct error *err)
{
	struct error why = { 0 };

	if (service_hook(h, "drain", old->drain, h->state->live_release, old, &why) == 0)
		return 0;
	if (h->healthy || host_interrupted(h))
		return *err = why, -1;
	log_warn("environment '%s': what is replaced was not healthy, so it goes undrained: %s",
		 h->name, why.text);
	return 0;
}

static int go_live(struct host *h, const Sluice__V1__HostOrder *order, struct error *err)
{
	const Sluice__V1__DeploySpec *old = h->state->live_deploy;

	if (*h->state->live && old && *old->drain && drain(h, old, err) < 0)
		return -1;
	if (service_stop(h, old ? old->grace_ms : 0, err) < 0 || host_by_hand(h, false, err) < 0 ||
	    install_activate(h, order->release->id, err) < 0)
		return -1;
	set_live(h, order);
	h->state->up = *order->deploy->service != '\0';
	h->healthy = false;
	if (keep_state(h, err) < 0)
		return -1;
	if (*order->deploy->service)
		return service_start(h, err);
	return service_hook(h, "deploy.run", order->deploy->run, order->release, order->deploy,
			    err);
}

static int activate(struct host *h, const Sluice__V1__HostOrder *order, struct error *err)
{
	bool serves = *order->deploy->service != '\0';
	bool fresh = h->resumed; /* how far it was carried out before is not known */

	if (install_prepare(h, order, err) < 0) /* nothing to do where PREPARE was done */
		return -1;
	if (strcmp(h->state->live, order->release->id) != 0 || !serves || !h->running ||
	    !same_deploy(h->state->live_deploy, order->deploy)) {
		if (go_live(h, order, err) < 0)
			return -1;
		fresh = true;
	} else if (!install_is_current(h, order->release->id) &&
		   install_activate(h, order->release->id, err) < 0) {
		return -1;
	}
	if (fresh && *order->deploy->activate &&
	    service_hook(h, "activate", order->deploy->activate, order->release, order->deploy,
			 err) < 0)
		return -1;
	if (service_check(h, err) < 0)
		return -1;
	h->healthy = true;
	install_prune(h, order);
	return 0;
}

static int down(struct host *h, const Sluice__V1__HostOrder *order, struct error *err)
{
	h->state->up = false;
	h->healthy = false;
	if (keep_state(h, err) < 0)
		return -1;
	return service_stop(h, order->deploy ? order->deploy->grace_ms : 0, err);
}

static int remove_all(struct host *h, const Sluice__V1__HostOrder *order, struct error *err)
{
	if (down(h, order, err) < 0)
		return -1;
	lock_take(&h->deploy->lock);
	message_set_string(&h->state->live, "");
	message_free(steal(h->state->live_release));
	message_free(steal(h->state->live_deploy));
	while (h->state->n_slots)
		message_free(h->state->slots[--h->state->n_slots]);
	lock_drop(&h->deploy->lock);
	return install_remove_all(h, err); /* the row stays: it holds phi */
}

static int carry_out(struct host *h, const Sluice__V1__HostOrder *order, struct error *err)
{
	bool needs_release = order->step == SLUICE__V1__HOST_STEP__HOST_PREPARE ||
			     order->step == SLUICE__V1__HOST_STEP__HOST_ACTIVATE;

	if (needs_release && (!order->release || !order->deploy || !name_valid(order->release->id)))
		return error_set(err, ERR_INVALID, "an order without a release");
	switch (order->step) {
	case SLUICE__V1__HOST_STEP__HOST_PREPARE:
		if (!host_slot(h, order->release, order->deploy, err))
			return -1;
		return install_prepare(h, order, err);
	case SLUICE__V1__HOST_STEP__HOST_ACTIVATE:
		return activate(h, order, err);
	case SLUICE__V1__HOST_STEP__HOST_DOWN:
		return down(h, order, err);
	case SLUICE__V1__HOST_STEP__HOST_REMOVE:
		return remove_all(h, order, err);
	default:
		return error_set(err, ERR_UNIMPLEMENTED, "an order of an unknown kind");
	}
}

void host_obey(struct host *h)
{
	cleanup(buf_release) struct buf text = { 0 };
	struct error err = { 0 };

	if (carry_out(h, h->state->order, &err) == 0) {
		host_report(h, SLUICE__V1__HOST_REPORT__STATE__DONE, "");
		return;
	}
	if (host_interrupted(h))
		return; /* what replaces it will be reported; after a restart it is done again */
	log_warn("environment '%s': %s", h->name, err.text);
	buf_printf(&text, "%s%s%s", err.text, *err.hint ? "; " : "", err.hint);
	host_report(h, SLUICE__V1__HOST_REPORT__STATE__FAILED, buf_str(&text));
}
