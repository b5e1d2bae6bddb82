/*
 * Releases on this host's disk. A slot is made beside its place and renamed when it is whole, so a
 * slot that is there is complete; `current` is a link that changes by one rename. A slot has a port
 * of its own, for its service.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/deploy_private.h"
#include "agent/workspace.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "proto/message.h"

/* Beside a slot: its prepare hook has not succeeded yet. */
#define UNFINISHED ".unfinished"
/* What is not yet a slot, or no longer one. */
#define ASIDE	   ".new"

/* ---- slots and their ports ---- */

Sluice__V1__JournalSlot *host_find_slot(const struct host *h, const char *release)
{
	for (size_t i = 0; i < h->state->n_slots; i++)
		if (strcmp(h->state->slots[i]->release, release) == 0)
			return h->state->slots[i];
	return NULL;
}

static bool port_free(unsigned port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_ANY) }; /* as services do */
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	/* what only lingers in TIME_WAIT does not count */
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
	Sluice__V1__JournalSlot *slot = host_find_slot(h, release->id);
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

int host_port(struct host *h, Sluice__V1__JournalSlot *slot, const Sluice__V1__DeploySpec *spec,
	      struct error *err)
{
	uint32_t port;
	LOCKED(&h->deploy->lock);

	if (spec->port || (slot->port && port_free(slot->port)))
		return 0;
	if (choose_port_locked(h->deploy, &port, err) < 0)
		return -1;
	log_warn("environment '%s': port %u is taken by something else, using %u", h->name,
		 slot->port, port);
	slot->port = port;
	return 0;
}

/* ---- on disk ---- */

char *install_path(const struct host *h, const char *release)
{
	return xprintf("%s/slots/%s", h->dir, release);
}

bool install_present(const struct host *h, const char *release)
{
	cleanup(freep) char *path = install_path(h, release);
	cleanup(freep) char *unfinished = xprintf("%s" UNFINISHED, path);

	return *release && file_exists(path) && !file_exists(unfinished);
}

static int place_part(struct host *h, const Sluice__V1__ReleasePart *part, const char *dir,
		      struct error *err)
{
	cleanup(freep) char *path = path_join(dir, part->slot);
	struct download what = { .environment = h->name };
	struct transfer transfer = h->deploy->config.transfer;

	transfer.cancelled = host_interrupted;
	transfer.cancelled_arg = h;
	if (!name_valid(part->slot))
		return error_set(err, ERR_INVALID, "'%s' is no name for a part", part->slot);
	if (workspace_place(&transfer, h->deploy->config.cache, what,
			    &(struct placing){ part->digest, path, part->is_file }, err) < 0)
		return error_wrap(err, "part '%s'", part->slot);
	/* An unpacked tree is its owner's alone; the service may have another user. */
	if (!part->is_file && chmod(path, 0755) < 0)
		return error_errno(err, "opening '%s' to the service", path);
	return 0;
}

static int fill(struct host *h, const Sluice__V1__HostOrder *order, const char *dir,
		struct error *err)
{
	if (mkdir(dir, 0755) < 0)
		return error_errno(err, "creating '%s'", dir);
	for (size_t i = 0; i < order->release->n_parts; i++)
		if (place_part(h, order->release->parts[i], dir, err) < 0)
			return -1;
	return 0;
}

/* Beside its place. The cache is the only thing on the disk that can be done without. */
static int fill_aside(struct host *h, const Sluice__V1__HostOrder *order, const char *aside,
		      struct error *err)
{
	struct blob_stats stats;

	if (fill(h, order, aside, err) == 0)
		return 0;
	file_remove_tree(aside, NULL);
	if (err->code != ERR_EXHAUSTED || !strstr(err->text, strerror(ENOSPC)))
		return -1;
	log_warn("environment '%s': %s; emptying the cache", h->name, err->text);
	error_clear(err);
	if (blob_trim(h->deploy->config.cache, 0, &stats, err) < 0)
		return -1;
	if (fill(h, order, aside, err) == 0)
		return 0;
	file_remove_tree(aside, NULL);
	return -1;
}

/* Many files, one sync: a slot that is there after a power cut must be whole. */
static int sync_file_system(const char *dir, struct error *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -1 : syncfs(fd);

	if (r < 0)
		error_errno(err, "syncing '%s'", dir);
	closep(&fd);
	return r;
}

/* A slot stops being one by a rename, before the first of its files goes: what a crash left half
 * removed must never be taken for a whole release. */
static int slot_remove(const struct host *h, const char *release, struct error *err)
{
	cleanup(freep) char *path = install_path(h, release);
	cleanup(freep) char *aside = xprintf("%s" ASIDE, path);
	cleanup(freep) char *unfinished = xprintf("%s" UNFINISHED, path);

	if (file_remove_tree(aside, err) < 0)
		return -1;
	if (file_exists(path) && file_rename(path, aside, err) < 0)
		return -1;
	if (FAULT_POINT("install.before-remove"))
		return error_set(err, ERR_INTERNAL, "fault");
	if (file_remove_tree(aside, err) < 0)
		return -1;
	if (unlink(unfinished) < 0 && errno != ENOENT)
		return error_errno(err, "removing '%s'", unfinished);
	return 0;
}

/* The hook runs where the slot will be, since what it makes may hold the path. A slot that is only
 * half prepared is told by the mark beside it. */
static int run_prepare(struct host *h, const Sluice__V1__HostOrder *order, const char *path,
		       const char *unfinished, struct error *err)
{
	const struct deploy_config *c = &h->deploy->config;

	if (workspace_give(path, c->uid, c->gid, err) < 0 ||
	    service_hook(h, "prepare", order->deploy->prepare, order->release, order->deploy, err) <
		    0 ||
	    sync_file_system(path, err) < 0) {
		slot_remove(h, order->release->id, NULL);
		return -1;
	}
	if (unlink(unfinished) < 0)
		return error_errno(err, "removing '%s'", unfinished);
	return 0;
}

int install_prepare(struct host *h, const Sluice__V1__HostOrder *order, struct error *err)
{
	cleanup(freep) char *path = install_path(h, order->release->id);
	cleanup(freep) char *aside = xprintf("%s" ASIDE, path);
	cleanup(freep) char *unfinished = xprintf("%s" UNFINISHED, path);
	cleanup(freep) char *slots = path_join(h->dir, "slots");
	cleanup(freep) char *tmp = path_join(h->dir, "tmp");
	const struct deploy_config *c = &h->deploy->config;
	bool prepare = *order->deploy->prepare != '\0';

	if (install_present(h, order->release->id))
		return 0;
	if (file_make_dirs(slots, 0755, err) < 0 || file_make_dirs(tmp, 0700, err) < 0 ||
	    slot_remove(h, order->release->id, err) < 0)
		return -1;
	if (c->uid && chown(tmp, c->uid, c->gid) < 0)
		return error_errno(err, "giving '%s' to the service's user", tmp);
	if (fill_aside(h, order, aside, err) < 0)
		return -1;
	if (FAULT_POINT("install.before-rename"))
		return error_set(err, ERR_INTERNAL, "fault");
	if (sync_file_system(aside, err) < 0 ||
	    (prepare && file_write_atomic(unfinished, "", 0, 0600, err) < 0) ||
	    file_rename(aside, path, err) < 0)
		return -1;
	return prepare ? run_prepare(h, order, path, unfinished, err) : 0;
}

int install_activate(struct host *h, const char *release, struct error *err)
{
	cleanup(freep) char *link = path_join(h->dir, "current");
	cleanup(freep) char *aside = path_join(h->dir, "current.new");
	cleanup(freep) char *target = path_join("slots", release);

	unlink(aside);
	if (symlink(target, aside) < 0)
		return error_errno(err, "creating '%s'", aside);
	if (FAULT_POINT("activate.before-rename"))
		return error_set(err, ERR_INTERNAL, "fault");
	return file_rename(aside, link, err);
}

bool install_is_current(const struct host *h, const char *release)
{
	cleanup(freep) char *link = path_join(h->dir, "current");
	cleanup(freep) char *target = path_join("slots", release);
	char now[256];
	ssize_t n = readlink(link, now, sizeof now);

	return n == (ssize_t)strlen(target) && memcmp(now, target, (size_t)n) == 0;
}

static bool is_kept(const Sluice__V1__HostOrder *order, const char *release)
{
	if (order->release && strcmp(order->release->id, release) == 0)
		return true;
	for (size_t i = 0; i < order->n_keep; i++)
		if (strcmp(order->keep[i], release) == 0)
			return true;
	return false;
}

/* The place in the state of the slot that was used longest ago and may go; -1: none. */
static ssize_t oldest(const struct host *h, const Sluice__V1__HostOrder *order)
{
	ssize_t found = -1;

	for (size_t i = 0; i < h->state->n_slots; i++) {
		const Sluice__V1__JournalSlot *s = h->state->slots[i];

		if (strcmp(s->release, h->state->live) != 0 && !is_kept(order, s->release) &&
		    (found < 0 || s->used_ms < h->state->slots[found]->used_ms))
			found = (ssize_t)i;
	}
	return found;
}

void install_prune(struct host *h, const Sluice__V1__HostOrder *order)
{
	size_t keep = order->deploy && order->deploy->slots ? order->deploy->slots : 3;
	ssize_t at;

	while (h->state->n_slots > keep && (at = oldest(h, order)) >= 0) {
		Sluice__V1__JournalSlot *slot = h->state->slots[at];
		struct error err = { 0 };

		if (slot_remove(h, slot->release, &err) < 0) {
			log_warn("environment '%s': %s", h->name, err.text);
			return;
		}
		lock_take(&h->deploy->lock);
		memmove(h->state->slots + at, h->state->slots + at + 1,
			(h->state->n_slots - (size_t)at - 1) * sizeof *h->state->slots);
		h->state->n_slots--;
		lock_drop(&h->deploy->lock);
		message_free(slot);
	}
}

/* ---- after a restart ---- */

/* May this entry of slots/ stay? */
static bool is_known(const struct host *h, const char *entry)
{
	const Sluice__V1__HostOrder *order = h->state->order;
	size_t n = strlen(entry), m = strlen(UNFINISHED);
	cleanup(freep) char *release =
		xstrndup(entry, n > m && strcmp(entry + n - m, UNFINISHED) == 0 ? n - m : n);

	return host_find_slot(h, release) || strcmp(release, h->state->live) == 0 ||
	       (order && order->release && strcmp(release, order->release->id) == 0);
}

static void sweep(const struct host *h, const char *dir, const char *entry)
{
	cleanup(freep) char *path = path_join(dir, entry);
	struct error err = { 0 };

	log_info("environment '%s': removing '%s', which no release needs", h->name, path);
	if (file_remove_tree(path, &err) < 0)
		log_warn("environment '%s': %s", h->name, err.text);
}

void install_sweep(const struct host *h)
{
	cleanup(freep) char *slots = path_join(h->dir, "slots");
	cleanup(freep) char *removed = path_join(h->dir, "slots" ASIDE);
	DIR *d = opendir(slots);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' && !is_known(h, e->d_name))
			sweep(h, slots, e->d_name);
	if (d)
		closedir(d);
	if (file_exists(removed))
		sweep(h, h->dir, "slots" ASIDE);
}

int install_remove_all(const struct host *h, struct error *err)
{
	cleanup(freep) char *slots = path_join(h->dir, "slots");
	cleanup(freep) char *aside = path_join(h->dir, "slots" ASIDE);

	if (file_remove_tree(aside, err) < 0)
		return -1;
	if (file_exists(slots) && file_rename(slots, aside, err) < 0)
		return -1;
	if (FAULT_POINT("install.before-remove"))
		return error_set(err, ERR_INTERNAL, "fault");
	return file_remove_tree(h->dir, err);
}
