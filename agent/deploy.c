/*
 * Orders. Each environment has a thread that carries out the newest order, and between orders keeps
 * what the journal says true: a service that should be up is started again, its health is looked
 * at, changes are reported. A newer order interrupts an older one at its next wait.
 */
#include "agent/deploy.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/deploy_private.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "proto/message.h"

enum { RESTART_AFTER_MS = 1000, LOOK_EVERY_MS = 5000 };

/* ---- the state, and what is said of it ---- */

int host_journal(struct host *h, struct error *err)
{
	if (journal_host(h->deploy->config.journal, h->state, err) < 0 ||
	    journal_sync(h->deploy->config.journal, err) < 0)
		return -1;
	return 0;
}

static Sluice__V1__JournalSlot *find_slot(const struct host *h, const char *release)
{
	for (size_t i = 0; i < h->state->n_slots; i++)
		if (strcmp(h->state->slots[i]->release, release) == 0)
			return h->state->slots[i];
	return NULL;
}

/* Facts as they are now, into a report; with the lock held or on the host's thread. */
static void report_fill(const struct host *h, Sluice__V1__HostReport *r)
{
	const Sluice__V1__JournalSlot *live = find_slot(h, h->state->live);
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

static void post_report(struct host *h)
{
	Sluice__V1__AgentMessage m = SLUICE__V1__AGENT_MESSAGE__INIT;
	struct error err = { 0 };

	m.body_case = SLUICE__V1__AGENT_MESSAGE__BODY_HOST_REPORT;
	m.host_report = h->state->report;
	if (h->deploy->session && session_post(h->deploy->session, &m, &err) < 0)
		log_debug("environment '%s': not reported yet: %s", h->name, err.text);
}

/* Journalled first, so that it is repeated until it was heard. */
static void report(struct host *h, Sluice__V1__HostReport__State state, const char *text)
{
	struct error err = { 0 };
	LOCKED(&h->deploy->lock);

	if (!h->state->report)
		h->state->report = message_new(&sluice__v1__host_report__descriptor);
	h->state->report->state = state;
	if (h->state->order) {
		h->state->report->step = h->state->order->step;
		h->state->report->attempt = h->state->order->attempt;
	}
	message_set_string(&h->state->report->text, text);
	report_fill(h, h->state->report);
	h->state->acknowledged = state == SLUICE__V1__HOST_REPORT__STATE__WORKING;
	if (host_journal(h, &err) < 0)
		log_error("environment '%s': %s", h->name, err.text);
	post_report(h);
}

/* ---- ports ---- */

static bool port_free(unsigned port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	ok = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
	closep(&fd);
	return ok;
}

static bool port_taken_locked(struct deploy *d, unsigned port)
{
	struct host *h, *next;

	HASH_ITER(hh, d->hosts, h, next)
		for (size_t i = 0; i < h->state->n_slots; i++)
			if (h->state->slots[i]->port == port)
				return true;
	return false;
}

static int choose_port_locked(struct deploy *d, uint32_t *ret, struct error *err)
{
	for (unsigned p = d->config.first_port; p <= d->config.last_port; p++)
		if (!port_taken_locked(d, p) && port_free(p)) {
			*ret = p;
			return 0;
		}
	return error_set(err, ERR_EXHAUSTED, "no port of service_ports %u-%u is free",
			 d->config.first_port, d->config.last_port);
}

Sluice__V1__JournalSlot *host_slot(struct host *h, const Sluice__V1__Release *release,
				   const Sluice__V1__DeploySpec *spec, struct error *err)
{
	LOCKED(&h->deploy->lock);
	Sluice__V1__JournalSlot *slot = find_slot(h, release->id);
	uint32_t port = spec->port;

	if (slot) {
		if (spec->port)
			slot->port = spec->port;
		slot->used_ms = clock_wall_ms();
		return slot;
	}
	if (!port && choose_port_locked(h->deploy, &port, err) < 0)
		return NULL;
	slot = message_new(&sluice__v1__journal_slot__descriptor);
	message_set_string(&slot->release, release->id);
	slot->port = port;
	slot->used_ms = clock_wall_ms();
	message_append(h->state, slots, slot);
	return slot;
}

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

/* ---- carrying out ---- */

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

static int go_live(struct host *h, const Sluice__V1__HostOrder *order, struct error *err)
{
	const Sluice__V1__DeploySpec *old = h->state->live_deploy;

	if (*h->state->live && old && *old->drain &&
	    service_hook(h, "drain", old->drain, h->state->live_release, old, err) < 0)
		return -1;
	if (service_stop(h, old ? old->grace_ms : 0, err) < 0 ||
	    install_activate(h, order->release->id, err) < 0)
		return -1;
	set_live(h, order);
	h->state->up = *order->deploy->service != '\0';
	h->healthy = false;
	if (host_journal(h, err) < 0)
		return -1;
	if (*order->deploy->service)
		return service_start(h, err);
	return service_hook(h, "deploy.run", order->deploy->run, order->release, order->deploy,
			    err);
}

static int activate(struct host *h, const Sluice__V1__HostOrder *order, struct error *err)
{
	bool serves = *order->deploy->service != '\0';

	if (install_prepare(h, order, err) < 0) /* nothing to do where PREPARE was done */
		return -1;
	if (strcmp(h->state->live, order->release->id) != 0 || !serves || !h->running ||
	    !same_deploy(h->state->live_deploy, order->deploy)) {
		if (go_live(h, order, err) < 0)
			return -1;
		if (*order->deploy->activate &&
		    service_hook(h, "activate", order->deploy->activate, order->release,
				 order->deploy, err) < 0)
			return -1;
	}
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
	if (host_journal(h, err) < 0)
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
	return file_remove_tree(h->dir, err); /* the row stays: it holds phi */
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

static void obey(struct host *h)
{
	cleanup(buf_release) struct buf text = { 0 };
	struct error err = { 0 };

	if (carry_out(h, h->state->order, &err) == 0) {
		report(h, SLUICE__V1__HOST_REPORT__STATE__DONE, "");
		return;
	}
	if (host_interrupted(h))
		return; /* what replaces it will be reported; after a restart it is done again */
	log_warn("environment '%s': %s", h->name, err.text);
	buf_printf(&text, "%s%s%s", err.text, *err.hint ? "; " : "", err.hint);
	report(h, SLUICE__V1__HOST_REPORT__STATE__FAILED, buf_str(&text));
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
		post_report(h);
		return false;
	}
	report(h, SLUICE__V1__HOST_REPORT__STATE__WORKING, "");
	return true;
}

/* ---- between orders ---- */

/* Up is what was ordered: whatever ended it, it is started again. */
static void keep_up(struct host *h)
{
	struct error err = { 0 };

	if (!h->state->up || h->running || !h->state->live_release)
		return;
	if (service_start(h, &err) < 0)
		log_warn("environment '%s': %s", h->name, err.text);
}

static void look(struct host *h)
{
	struct error err = { 0 };
	bool healthy;

	if (!h->state->up || !h->running)
		healthy = false;
	else
		healthy = service_probe(h, &err) == 0;
	h->next_check_boot_ms = clock_boot_ms() + LOOK_EVERY_MS;
	if (healthy == h->healthy)
		return;
	h->healthy = healthy;
	log_info("service of '%s' is %s%s%s", h->name, healthy ? "healthy" : "not healthy",
		 *err.text ? ": " : "", err.text);
	if (h->state->report && h->state->report->state == SLUICE__V1__HOST_REPORT__STATE__DONE)
		report(h, SLUICE__V1__HOST_REPORT__STATE__DONE, err.text);
}

static void idle(struct host *h)
{
	int64_t now = clock_boot_ms(), wait = -1;
	struct error ignored = { 0 };

	if (h->state->up && !h->running)
		wait = h->crashed ? RESTART_AFTER_MS * 5 : 0;
	else if (h->state->up)
		wait = MAX(h->next_check_boot_ms - now, (int64_t)0);
	if (host_wait(h, wait, &ignored) < 0)
		return;
	keep_up(h);
	if (h->state->up && clock_boot_ms() >= h->next_check_boot_ms)
		look(h);
}

static bool stopping(struct host *h)
{
	LOCKED(&h->deploy->lock);
	return h->deploy->stopping;
}

static void *host_main(void *arg)
{
	struct host *h = arg;
	struct error err = { 0 };

	service_events(h);
	keep_up(h);
	if (h->state->order && h->state->report &&
	    h->state->report->state == SLUICE__V1__HOST_REPORT__STATE__WORKING)
		obey(h); /* what a restart interrupted */
	while (!stopping(h)) {
		if (take_order(h))
			obey(h);
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

/* It is as healthy as it was said to be last, until a probe says otherwise: a restart of the agent is no
 * illness of the service. */
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
	struct error err = { 0 };
	struct host *h;
	LOCKED(&d->lock);

	HASH_FIND_STR(d->hosts, ack->environment, h);
	if (!h || !h->state->report || ack->phi != h->state->report->phi ||
	    ack->step != h->state->report->step || ack->attempt != h->state->report->attempt ||
	    h->state->acknowledged ||
	    h->state->report->state == SLUICE__V1__HOST_REPORT__STATE__WORKING)
		return;
	h->state->acknowledged = true;
	if (journal_host(d->config.journal, h->state, &err) < 0)
		log_warn("environment '%s': %s", h->name, err.text);
}

void deploy_describe(struct deploy *d, Sluice__V1__Register *ret)
{
	struct host *h, *next;
	LOCKED(&d->lock);

	HASH_ITER(hh, d->hosts, h, next) {
		Sluice__V1__HostReport *r =
			h->state->report ? message_copy(h->state->report)
					 : message_new(&sluice__v1__host_report__descriptor);

		report_fill(h, r);
		message_append(ret, hosts, r);
	}
}

void deploy_connected(struct deploy *d)
{
	struct host *h, *next;
	LOCKED(&d->lock);

	HASH_ITER(hh, d->hosts, h, next)
		if (h->state->report && !h->state->acknowledged)
			post_report(h);
}
