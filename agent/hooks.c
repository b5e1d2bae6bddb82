/*
 * What is run on behalf of an environment beside its service: hooks, one after another under a shim
 * of their own, and the probes that say whether it is healthy; and the environment they all see.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/check.h"
#include "agent/deploy_private.h"
#include "agent/slot_clear.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

enum {
	HOOK_GRACE_MS = 10000,
	HOOK_TIMEOUT_MS = 10 * 60000,
	CHECK_TIMEOUT_MS = 5000,
	TAIL = 400, /* bytes of a hook's output that a failure quotes */
};

/* ---- the environment of what runs ---- */

void strings_release(struct strings *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->at[i]);
	free(e->at);
}

static void add(struct strings *e, const char *name, const char *value)
{
	e->at = xreallocarray(e->at, e->n + 2, sizeof *e->at);
	e->at[e->n++] = xprintf("%s=%s", name, value);
	e->at[e->n] = NULL;
}

void service_env(struct strings *e, const struct host *h, const Sluice__V1__Release *release,
		 const Sluice__V1__DeploySpec *spec, unsigned port)
{
	static const char *const passed[] = { "PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH" };
	cleanup(freep) char *number = xprintf("r%u", release->number);
	cleanup(freep) char *dir = install_path(h, release->id);
	cleanup(freep) char *tmp = path_join(h->dir, "tmp");
	cleanup(freep) char *port_text = xprintf("%u", port);

	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		if (getenv(passed[i]))
			add(e, passed[i], getenv(passed[i]));
	if (!getenv("PATH"))
		add(e, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	add(e, "HOME", tmp);
	add(e, "TMPDIR", tmp);
	add(e, "SLUICE", "true");
	add(e, "SLUICE_ENVIRONMENT", h->name);
	add(e, "SLUICE_RELEASE", number);
	add(e, "SLUICE_RELEASE_DIR", dir);
	if (port)
		add(e, "SLUICE_PORT", port_text);
	for (size_t i = 0; i < spec->n_env; i++)
		add(e, spec->env[i]->name, spec->env[i]->value);
}

/* Services and hooks start in part `code`, where there is one. */
char *service_dir(const struct host *h, const Sluice__V1__Release *release)
{
	cleanup(freep) char *dir = install_path(h, release->id);

	for (size_t i = 0; i < release->n_parts; i++)
		if (strcmp(release->parts[i]->slot, "code") == 0 && !release->parts[i]->is_file)
			return path_join(dir, "code");
	return steal(dir);
}

/* ---- hooks ---- */

/* The last lines of what it said, in one line, for the report. */
static void quote_tail(struct host *h, const char *name, const struct shim_record *record,
		       struct error *err)
{
	const char *dir = supervise_spool_dir(h->deploy->config.supervise);
	char text[TAIL + 1];
	struct error ignored = { 0 };
	struct spool *spool = spool_open(dir, name, &ignored);
	uint64_t from = record->length > TAIL ? record->length - TAIL : 0;
	ssize_t n = 0;

	if (spool) {
		spool_set_length(spool, record->length);
		n = spool_read(spool, SPOOL_OUTPUT, from, text, TAIL, &ignored);
	}
	spool_close(spool);
	if (n <= 0)
		return;
	while (n > 0 && (unsigned char)text[n - 1] <= ' ')
		n--;
	text[n] = '\0';
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = ' ';
	error_hint(err, "it said: %.200s", n > 200 ? text + n - 200 : text);
}

static int hook_result(struct host *h, const char *what, const char *name,
		       const struct shim_record *record, struct error *err)
{
	char text[256];

	if (record->reason == SHIM_EXITED && record->exit_code == 0)
		return 0;
	spool_record_text(record, text, sizeof text);
	error_set(err, ERR_ABORTED, "%s: %s", what, text);
	quote_tail(h, name, record, err);
	return -1;
}

/* Follows the hook; a newer order ends it. */
static int hook_wait(struct host *h, struct slot *slot, struct shim_record *ret, struct error *err)
{
	struct slot_event event;
	bool told = false;
	uint64_t ignored;

	for (;;) {
		struct pollfd p[2] = { { .fd = slot_fd(slot), .events = POLLIN },
				       { .fd = told ? -1 : h->wake, .events = POLLIN } };
		int n = slot_next(slot, &event, err);

		if (n < 0)
			return -1;
		if (n > 0 && event.kind == SLOT_EXITED && !event.unwritten) {
			*ret = event.record;
			return 0;
		}
		if (n > 0 && event.kind == SLOT_REFUSED && event.run)
			return *err = event.why, -1;
		if (n > 0 && event.kind == SLOT_GONE)
			return error_set(err, ERR_ABORTED, "its supervisor died");
		if (n > 0)
			continue;
		if (!told && host_interrupted(h)) {
			told = true;
			if (slot_signal(slot, h->state->phi, SHIM_CANCELLED, HOOK_GRACE_MS, err) <
			    0)
				return -1;
			continue;
		}
		/* Whoever woke us is looked at between orders, too, if it is not that we end. */
		if (poll(p, 2, -1) > 0 && p[1].revents &&
		    read(h->wake, &ignored, sizeof ignored) < 0)
			log_debug("eventfd: already read");
	}
}

static int64_t or_default(int64_t value, int64_t otherwise)
{
	return value > 0 ? value : otherwise;
}

static int64_t hook_timeout(const char *what, const Sluice__V1__DeploySpec *spec)
{
	if (strcmp(what, "check") == 0)
		return or_default(spec->check->timeout_ms, CHECK_TIMEOUT_MS);
	return or_default(spec->timeout_ms, HOOK_TIMEOUT_MS);
}

int service_hook(struct host *h, const char *what, const char *command,
		 const Sluice__V1__Release *release, const Sluice__V1__DeploySpec *spec,
		 struct error *err)
{
	const struct deploy_config *c = &h->deploy->config;
	const Sluice__V1__JournalSlot *place = host_slot(h, release, spec, err);
	cleanup(freep) char *name = xprintf("hook-%s", h->name);
	cleanup(slot_closep) struct slot *slot = NULL;
	cleanup(strings_release) struct strings env = { 0 };
	cleanup(freep) char *dir = service_dir(h, release);
	struct shim_record record;
	int r;

	if (!place)
		return -1;
	slot = slot_open(c->supervise, name, err); /* one of before may still run there */
	if (!slot || slot_clear(slot, err) < 0 || supervise_release(c->supervise, name, err) < 0)
		return -1;
	service_env(&env, h, release, spec, place->port);
	{
		struct supervise_spec run = {
			.fence = h->state->phi,
			.name = name,
			.command = command,
			.env = (const char *const *)env.at,
			.dir = dir,
			.uid = c->uid,
			.gid = c->gid,
			.no_new_privs = true,
			.timeout_ms = hook_timeout(what, spec),
			.grace_ms = HOOK_GRACE_MS,
		};

		if (slot_run(slot, &run, err) < 0 || hook_wait(h, slot, &record, err) < 0)
			return error_wrap(err, "%s", what);
	}
	r = hook_result(h, what, name, &record, err);
	supervise_release(c->supervise, name, NULL);
	return r;
}

/* ---- health ---- */

int service_probe(struct host *h, struct error *err)
{
	const Sluice__V1__DeploySpec *spec = h->state->live_deploy;
	const Sluice__V1__CheckSpec *check = spec->check;
	const Sluice__V1__JournalSlot *slot;

	if (*spec->service && h->crashed)
		return error_set(err, ERR_ABORTED, "the service ended: %s", h->ended);
	if (check && *check->http) {
		struct check probe = { .host = "127.0.0.1",
				       .path = check->http,
				       .timeout_ms =
					       or_default(check->timeout_ms, CHECK_TIMEOUT_MS),
				       .cancelled = host_interrupted,
				       .arg = h };

		slot = host_slot(h, h->state->live_release, spec, err);
		if (!slot)
			return -1;
		probe.port = slot->port;
		return check_http(&probe, err);
	}
	if (check && *check->run)
		return service_hook(h, "check", check->run, h->state->live_release, spec, err);
	if (*spec->service && !h->running)
		return error_set(err, ERR_UNAVAILABLE, "the service does not run");
	return 0;
}

/* A restart in between, or one failed probe, and the time of health begins anew. */
int service_check(struct host *h, struct error *err)
{
	const Sluice__V1__CheckSpec *check = h->state->live_deploy->check;
	int64_t every = check ? or_default(check->every_ms, 1000) : 1000;
	int64_t healthy_for = check ? or_default(check->healthy_for_ms, 10000)
			      : *h->state->live_deploy->service ? 10000
								: 0;
	int64_t begin = clock_boot_ms(), since = -1;
	int64_t deadline = begin + (check ? or_default(check->deadline_ms, 300000) : 300000);
	uint32_t restarts = h->restarts;
	char last[sizeof((struct error *)0)->text] = "";

	for (;;) {
		struct error why = { 0 };
		int64_t now;
		int r = service_probe(h, &why);

		now = clock_boot_ms();
		if (r < 0 && why.code == ERR_ABORTED && h->crashed) {
			*err = why;
			return -1;
		}
		if (r < 0 || restarts != h->restarts) {
			since = -1;
			restarts = h->restarts;
			snprintf(last, sizeof last, "%s", r < 0 ? why.text : h->ended);
		} else if (since < 0) {
			since = now;
		}
		if (since >= 0 && now - since >= healthy_for)
			return 0;
		if (now >= deadline)
			return error_set(err, ERR_TIMEOUT,
					 "not healthy for %" PRId64 " ms within %" PRId64 " ms: %s",
					 healthy_for, deadline - begin,
					 *last ? last : "not long enough");
		/* soon at first: most services need less than a second */
		if (host_wait(
			    h,
			    MIN(now - begin < 3000 ? 100 : every,
				since >= 0 ? MAX(healthy_for - (now - since), (int64_t)1) : every),
			    err) < 0)
			return -1;
	}
}
