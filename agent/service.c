/*
 * The service of an environment, kept alive by a shim that restarts it with back-off even while
 * this agent is away. When that gives up, or dies, we start it again.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/deploy_private.h"
#include "agent/slot_clear.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

enum {
	DEFAULT_GRACE_MS = 10000,
	CRASH_RESTARTS = 5, /* within the window: a crash loop */
	CRASH_WINDOW_MS = 60000,
};

/* ---- the service ---- */

static void watch(struct host *h, uint64_t length)
{
	struct error err = { 0 };

	if (slot_watch(h->service, h->service_fence, length, &err) < 0)
		log_debug("service of '%s': %s", h->name, err.text);
}

/* On ship's thread. */
static void drained(void *arg, uint64_t length)
{
	struct host *h = arg;
	LOCKED(&h->deploy->lock);

	if (h->service && h->running)
		watch(h, length);
}

static void set_slot(struct host *h, struct slot *slot)
{
	struct slot *old;

	lock_take(&h->deploy->lock);
	old = h->service;
	h->service = slot;
	lock_drop(&h->deploy->lock);
	slot_close(old);
}

static void log_open(struct host *h, uint64_t from)
{
	struct ship_events events = { .drained = drained, .arg = h };
	struct ship_what what = {
		.environment = h->name, .name = h->service_name, .from = from, .resumed = true
	};

	if (!h->log)
		h->log = ship_log_open(h->deploy->config.ship, &what, &events);
}

void service_adopt(struct host *h, struct slot *slot)
{
	const struct slot_status *status = slot_status(slot);

	set_slot(h, slot);
	h->running = status->phase != SHIM_IDLE;
	h->restarts = status->restarts;
	h->service_fence = status->fence;
	if (!h->running)
		return;
	log_open(h, 0);
	ship_log_grown(h->log, status->length);
	watch(h, status->length);
}

/* What a dead shim left must be dead before anything takes its place: two servers of one
 * environment would fight over its port and its data. */
static int service_settle(struct host *h, struct error *err)
{
	struct found found;

	if (!h->gone)
		return 0;
	set_slot(h, NULL);
	if (supervise_find(h->deploy->config.supervise, h->service_name, h->service_name, &found,
			   err) < 0)
		return -1;
	h->gone = false;
	return 0;
}

/* Connected to the shim of this service, which has nothing to do. */
static int service_slot(struct host *h, struct error *err)
{
	struct slot *slot;

	if (service_settle(h, err) < 0)
		return -1;
	if (h->service)
		return 0;
	slot = slot_open(h->deploy->config.supervise, h->service_name, err);
	if (!slot)
		return -1;
	if (slot_clear(slot, err) < 0) {
		slot_close(slot);
		return -1;
	}
	set_slot(h, slot);
	return 0;
}

int service_start(struct host *h, struct error *err)
{
	const Sluice__V1__DeploySpec *spec = h->state->live_deploy;
	const Sluice__V1__Release *release = h->state->live_release;
	Sluice__V1__JournalSlot *slot = host_slot(h, release, spec, err);
	const struct deploy_config *c = &h->deploy->config;
	cleanup(strings_release) struct strings env = { 0 };
	cleanup(freep) char *dir = service_dir(h, release);

	if (!slot || service_slot(h, err) < 0 || host_port(h, slot, spec, err) < 0)
		return -1;
	service_env(&env, h, release, spec, slot->port);
	{
		struct supervise_spec run = {
			.fence = h->state->phi,
			.name = h->service_name,
			.command = spec->service,
			.env = (const char *const *)env.at,
			.dir = dir,
			.uid = c->uid,
			.gid = c->gid,
			.no_new_privs = true,
			.grace_ms = spec->grace_ms ? spec->grace_ms : DEFAULT_GRACE_MS,
			.memory_max = spec->resources ? spec->resources->memory : 0,
			.service = true,
			.restart_max = CRASH_RESTARTS,
			.restart_window_ms = CRASH_WINDOW_MS,
		};

		if (slot_run(h->service, &run, err) < 0)
			return error_wrap(err, "starting the service of '%s'", h->name);
	}
	h->service_fence = h->state->phi;
	h->running = true;
	h->stopped = h->crashed = false;
	h->restarts = 0;
	h->ended[0] = '\0';
	log_open(h, 0);
	watch(h, 0);
	return 0;
}

static void ended(struct host *h, bool crashed, const char *how)
{
	h->stopped = true;
	if (!h->running)
		return; /* only its idle shim left */
	if (crashed)
		h->next_start_boot_ms = clock_boot_ms() + RESTART_AFTER_MS;
	h->crashed = crashed;
	h->running = h->healthy = false;
	snprintf(h->ended, sizeof h->ended, "%s", how);
}

static void exited(struct host *h, const struct slot_event *event)
{
	char how[sizeof h->ended];

	if (!h->running)
		return;
	spool_record_text(&event->record, how, sizeof how);
	if (event->unwritten) { /* said again when it is, and only then over */
		log_error("the disk is full: the service of '%s' ended (%s), but that cannot be "
			  "kept yet",
			  h->name, how);
		return;
	}
	ended(h, event->record.reason != SHIM_STOPPED && event->record.reason != SHIM_CANCELLED,
	      how);
}

void service_events(struct host *h)
{
	struct slot_event event;
	struct error err = { 0 };
	int n = 0;

	while (h->service && (n = slot_next(h->service, &event, &err)) > 0) {
		switch (event.kind) {
		case SLOT_GROWN:
			if (h->log)
				ship_log_grown(h->log, event.length);
			break;
		case SLOT_RESTARTED:
			h->restarts = event.restarts;
			spool_record_text(&event.record, h->ended, sizeof h->ended);
			log_warn("service of '%s' ended (%s) and is started again", h->name,
				 h->ended);
			break;
		case SLOT_EXITED:
			exited(h, &event);
			break;
		case SLOT_REFUSED:
			if (event.run)
				ended(h, true, event.why.text);
			break;
		case SLOT_GONE:
			h->gone |= h->running;
			ended(h, true, "its supervisor is gone");
			break;
		default:
			break;
		}
	}
	if (n < 0) { /* what runs there is ended when the slot is opened again */
		log_error("service of '%s': %s", h->name, err.text);
		set_slot(h, NULL);
		ended(h, true, err.text);
	}
}

int service_stop(struct host *h, int64_t grace_ms, struct error *err)
{
	int64_t grace = grace_ms ? grace_ms : DEFAULT_GRACE_MS;
	int64_t until = clock_boot_ms() + grace + DEFAULT_GRACE_MS;

	if (!h->service || !h->running)
		return service_settle(h, err);
	h->stopped = false;
	if (slot_signal(h->service, h->service_fence, SHIM_STOPPED, grace, err) < 0)
		return error_wrap(err, "stopping the service of '%s'", h->name);
	while (!h->stopped && h->service) {
		struct pollfd p = { .fd = slot_fd(h->service), .events = POLLIN };
		int64_t left = until - clock_boot_ms();

		if (left <= 0)
			return error_set(err, ERR_TIMEOUT, "the service of '%s' does not end",
					 h->name);
		poll(&p, 1, (int)left);
		service_events(h);
	}
	h->running = h->crashed = false;
	return h->service ? service_settle(h, err) : service_slot(h, err);
}

/* The file is written by `sluice-agent services stop` and completed by us: "down" is there when the
 * service is not. */
void service_by_hand(struct host *h)
{
	const Sluice__V1__DeploySpec *spec = h->state->live_deploy;
	struct error err = { 0 };
	bool now = file_exists(h->by_hand_path);

	if (now != h->by_hand)
		log_info("service of '%s': %s by hand", h->name, now ? "stopped" : "started");
	h->by_hand = now;
	h->next_check_boot_ms = h->next_start_boot_ms = 0;
	if (now && (service_stop(h, spec ? spec->grace_ms : 0, &err) < 0 ||
		    host_by_hand(h, true, &err) < 0))
		log_warn("environment '%s': %s", h->name, err.text);
}

int host_by_hand(struct host *h, bool stopped, struct error *err)
{
	if (stopped)
		return file_write_atomic(h->by_hand_path, "down\n", 5, 0644, err);
	h->by_hand = false;
	if (unlink(h->by_hand_path) < 0 && errno != ENOENT)
		return error_errno(err, "removing '%s'", h->by_hand_path);
	return 0;
}

void service_release(struct host *h)
{
	ship_log_close(steal(h->log));
	set_slot(h, NULL);
}
