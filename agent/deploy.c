/*
 * Orders. Each environment has a thread that carries out the newest order, and between orders keeps
 * what the journal says true: a service that should be up is started again, its health is looked
 * at, changes are reported. A newer order interrupts an older one at its next wait.
 */
#include "agent/deploy.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/deploy_private.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "proto/message.h"

enum { LOOK_EVERY_MS = 5000 };

/* ---- waiting ---- */

/* With the lock held: does the pending order replace what is being done? */
static bool supersedes(const struct host *h)
{
	const Sluice__V1__HostOrder *p = h->pending, *o = h->state->order;

	return p &&
	       (!o || p->phi > h->state->phi || p->step != o->step || p->attempt != o->attempt);
}

bool host_interrupted(void *arg)
{
	struct host *h = arg;
	LOCKED(&h->deploy->lock);

	return h->deploy->stopping || supersedes(h);
}

int host_wait(struct host *h, int64_t ms, struct error *err)
{
	struct pollfd p[2] = { { .fd = h->wake, .events = POLLIN },
			       { .fd = h->service ? slot_fd(h->service) : -1, .events = POLLIN } };

	if (poll(p, 2, (int)MIN(ms, (int64_t)INT32_MAX)) > 0) {
		uint64_t ignored;

		if (p[0].revents && read(h->wake, &ignored, sizeof ignored) < 0)
			log_debug("eventfd: already read");
		service_events(h);
	}
	if (host_interrupted(h))
		return error_set(err, ERR_CANCELLED, "a newer order came, or the agent stops");
	return 0;
}

/* That the last report was heard is only a note: nothing depends on its being durable. */
static void note_ack(struct host *h)
{
	cleanup(message_freep) Sluice__V1__JournalHost *copy = NULL;
	struct error err = { 0 };

	lock_take(&h->deploy->lock);
	if (h->acked) {
		h->acked = false;
		h->state->acknowledged = true;
		copy = message_copy(h->state);
	}
	lock_drop(&h->deploy->lock);
	if (copy && journal_host(h->deploy->config.journal, copy, &err) < 0)
		log_warn("environment '%s': %s", h->name, err.text);
}

/* Takes the pending order as the current one; false when there is none to take. */
static bool take_order(struct host *h)
{
	bool repeated;

	lock_take(&h->deploy->lock);
	if (!h->pending) {
		lock_drop(&h->deploy->lock);
		return false;
	}
	repeated = !supersedes(h);
	if (!repeated) {
		message_free(h->state->order);
		h->state->order = steal(h->pending);
		h->state->phi = h->state->order->phi;
	} else {
		message_free(steal(h->pending));
	}
	lock_drop(&h->deploy->lock);
	if (repeated) {
		host_say(h);
		return false;
	}
	host_report(h, SLUICE__V1__HOST_REPORT__STATE__WORKING, "");
	return true;
}

/* ---- between orders ---- */

static bool wants_start(const struct host *h)
{
	return h->state->up && !h->running && !h->by_hand && h->state->live_release;
}

/* Up is what was ordered: whatever ended it, it is started again, but not without a pause. */
static void keep_up(struct host *h)
{
	struct error err = { 0 };

	if (!wants_start(h) || clock_boot_ms() < h->next_start_boot_ms)
		return;
	h->next_start_boot_ms = clock_boot_ms() + RESTART_AFTER_MS;
	if (service_start(h, &err) < 0)
		log_warn("environment '%s': %s", h->name, err.text);
	h->next_check_boot_ms = 0;
}

static void look(struct host *h)
{
	struct error err = { 0 };
	bool healthy = false;

	if (h->by_hand)
		error_set(&err, ERR_UNAVAILABLE, "the service was stopped on the host, by hand");
	else if (h->state->up && h->running)
		healthy = service_probe(h, &err) == 0;
	h->next_check_boot_ms = clock_boot_ms() + LOOK_EVERY_MS;
	if (healthy == h->healthy)
		return;
	h->healthy = healthy;
	log_info("service of '%s' is %s%s%s", h->name, healthy ? "healthy" : "not healthy",
		 *err.text ? ": " : "", err.text);
	if (h->state->report && h->state->report->state == SLUICE__V1__HOST_REPORT__STATE__DONE)
		host_report(h, SLUICE__V1__HOST_REPORT__STATE__DONE, err.text);
}

static void idle(struct host *h)
{
	int64_t now = clock_boot_ms(), until = INT64_MAX;
	struct error ignored = { 0 };

	if (wants_start(h))
		until = h->next_start_boot_ms;
	if (h->state->up)
		until = MIN(until, h->next_check_boot_ms);
	if (host_wait(h, until == INT64_MAX ? -1 : MAX(until - now, (int64_t)0), &ignored) < 0)
		return;
	if (atomic_exchange(&h->look, false))
		service_by_hand(h);
	keep_up(h);
	if (h->state->up && clock_boot_ms() >= h->next_check_boot_ms)
		look(h);
}

static bool stopping(struct host *h)
{
	LOCKED(&h->deploy->lock);
	return h->deploy->stopping;
}

/* The link changes just before the state: after a crash between the two the state counts. */
static void settle(struct host *h)
{
	struct error err = { 0 };

	if (*h->state->live && install_present(h, h->state->live) &&
	    !install_is_current(h, h->state->live) && install_activate(h, h->state->live, &err) < 0)
		log_warn("environment '%s': %s", h->name, err.text);
}

static void *host_main(void *arg)
{
	struct host *h = arg;
	struct error err = { 0 };

	service_events(h);
	service_by_hand(h);
	settle(h);
	keep_up(h);
	install_sweep(h);
	h->resumed = true;
	if (h->state->order && h->state->report &&
	    h->state->report->state == SLUICE__V1__HOST_REPORT__STATE__WORKING)
		host_obey(h); /* what a restart interrupted */
	h->resumed = false;
	while (!stopping(h)) {
		note_ack(h);
		if (take_order(h))
			host_obey(h);
		else
			idle(h);
	}
	if (h->deploy->stop_services && service_stop(h, 0, &err) < 0)
		log_warn("environment '%s': %s", h->name, err.text);
	return NULL;
}

/* ---- for main and the session ---- */

static struct host *host_add(struct deploy *d, const char *name, Sluice__V1__JournalHost *state)
{
	struct host *h = xcalloc(1, sizeof *h);

	h->deploy = d;
	h->name = xstrdup(name);
	h->dir = path_join(d->config.env_dir, name);
	h->service_name = xprintf("service-%s", name);
	h->by_hand_path = path_join(h->dir, "stopped");
	h->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h->state = state;
	HASH_ADD_KEYPTR(hh, d->hosts, h->name, strlen(h->name), h);
	return h;
}

static void host_wake(struct host *h)
{
	uint64_t one = 1;

	if (write(h->wake, &one, sizeof one) < 0)
		log_debug("eventfd: full already");
}

/* It is as healthy as it was said to be last, until a probe says otherwise: a restart of the agent
 * is no illness of the service. */
static void take_in(void *arg, Sluice__V1__JournalHost *state)
{
	struct deploy *d = arg;
	cleanup(freep) char *name = xstrdup(state->environment);

	if (name_valid(name))
		host_add(d, name, state)->healthy = state->report && state->report->healthy;
	else
		message_free(state);
}

struct deploy *deploy_new(const struct deploy_config *config)
{
	struct deploy *d = xcalloc(1, sizeof *d);

	lock_init(&d->lock);
	d->config = *config;
	journal_hosts(config->journal, take_in, d);
	return d;
}

bool deploy_found(struct deploy *d, struct found *found)
{
	struct host *h, *next;

	HASH_ITER(hh, d->hosts, h, next) {
		if (strcmp(h->service_name, found->name) != 0)
			continue;
		if (found->state == FOUND_LIVE)
			service_adopt(h, steal(found->slot));
		return true;
	}
	return false;
}

static void host_run(struct host *h)
{
	h->thread = thread_start("environment", 512 << 10, host_main, h);
}

void deploy_start(struct deploy *d, struct session *session)
{
	struct host *h, *next;
	LOCKED(&d->lock);

	d->session = session;
	d->started = true;
	HASH_ITER(hh, d->hosts, h, next)
		host_run(h);
}

void deploy_stop(struct deploy *d, bool stop_services)
{
	struct host *h, *next;

	if (!d->started)
		return;
	lock_take(&d->lock);
	d->stopping = true;
	d->stop_services = stop_services;
	HASH_ITER(hh, d->hosts, h, next)
		host_wake(h);
	lock_drop(&d->lock);
	HASH_ITER(hh, d->hosts, h, next)
		thread_join(h->thread);
	HASH_ITER(hh, d->hosts, h, next)
		service_release(h);
	d->started = false;
}

void deploy_free(struct deploy *d)
{
	struct host *h, *next;

	if (!d)
		return;
	HASH_ITER(hh, d->hosts, h, next) {
		HASH_DEL(d->hosts, h);
		service_release(h);
		message_free(h->pending);
		message_free(h->state);
		closep(&h->wake);
		free(h->name);
		free(h->dir);
		free(h->service_name);
		free(h->by_hand_path);
		free(h);
	}
	lock_release(&d->lock);
	free(d);
}

void deploy_ordered(struct deploy *d, const Sluice__V1__HostOrder *order)
{
	struct host *h;
	LOCKED(&d->lock);

	if (d->stopping || !name_valid(order->environment))
		return;
	HASH_FIND_STR(d->hosts, order->environment, h);
	if (!h) {
		Sluice__V1__JournalHost *state = message_new(&sluice__v1__journal_host__descriptor);

		message_set_string(&state->environment, order->environment);
		h = host_add(d, order->environment, state);
		host_run(h);
	}
	if (order->phi < h->state->phi || (h->pending && order->phi < h->pending->phi)) {
		log_warn("environment '%s': order %" PRIu64 " refused, %" PRIu64 " is newer",
			 h->name, order->phi, h->state->phi);
		return;
	}
	message_free(h->pending);
	h->pending = message_copy(order);
	host_wake(h);
}

void deploy_acknowledged(struct deploy *d, const Sluice__V1__HostAck *ack)
{
	const Sluice__V1__HostReport *r;
	struct host *h;
	LOCKED(&d->lock);

	HASH_FIND_STR(d->hosts, ack->environment, h);
	r = h ? h->state->report : NULL;
	if (!r || h->state->acknowledged || ack->phi != r->phi || ack->step != r->step ||
	    ack->attempt != r->attempt || r->state == SLUICE__V1__HOST_REPORT__STATE__WORKING)
		return;
	h->acked = true;
	host_wake(h);
}

void deploy_look(struct deploy *d)
{
	struct host *h, *next;
	LOCKED(&d->lock);

	HASH_ITER(hh, d->hosts, h, next) {
		h->look = true;
		host_wake(h);
	}
}

void deploy_describe(struct deploy *d, Sluice__V1__Register *ret)
{
	struct host *h, *next;
	LOCKED(&d->lock);

	HASH_ITER(hh, d->hosts, h, next) {
		Sluice__V1__HostReport *r =
			h->state->report ? message_copy(h->state->report)
					 : message_new(&sluice__v1__host_report__descriptor);

		host_facts(h, r);
		message_append(ret, hosts, r);
	}
}

void deploy_connected(struct deploy *d)
{
	struct host *h, *next;
	LOCKED(&d->lock);

	HASH_ITER(hh, d->hosts, h, next)
		if (h->state->report && !h->state->acknowledged && !h->acked)
			host_say(h);
}
