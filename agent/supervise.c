/*
 * What is on this host after a restart: locks say which shims live, the spool directory says
 * what the others left. A run is called lost only when nothing of it can run any more.
 */
#include "agent/supervise.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/supervise_internal.h"
#include "base/clock.h"
#include "base/file.h"

struct supervise *supervise_open(const char *state_dir, const char *shim,
				 const struct contain *contain, struct error *err)
{
	cleanup(supervise_closep) struct supervise *s = xcalloc(1, sizeof *s);

	s->dir = xstrdup(state_dir);
	s->shims = path_join(state_dir, "shims");
	s->spool = path_join(state_dir, "spool");
	s->program = xstrdup(shim);
	s->contain = contain;
	if (file_make_dirs(s->shims, 0700, err) < 0 || file_make_dirs(s->spool, 0700, err) < 0)
		return NULL;
	if (access(shim, X_OK) < 0)
		return error_errno(err, "looking for the shim '%s'", shim), NULL;
	return steal(s);
}

void supervise_close(struct supervise *s)
{
	if (!s)
		return;
	free(s->dir);
	free(s->shims);
	free(s->spool);
	free(s->program);
	free(s);
}

const char *supervise_spool_dir(const struct supervise *s)
{
	return s->spool;
}

int supervise_release(struct supervise *s, const char *name, struct error *err)
{
	return spool_release(s->spool, name, err);
}

char *supervise_mark(const struct supervise *s, const char *name)
{
	return xprintf("SLUICE_SHIM=%s/%s", s->dir, name);
}

char *supervise_cgroup(const struct supervise *s, const char *name)
{
	return s->contain->cgroup ? path_join(s->contain->cgroup, name) : NULL;
}

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n >= m && strcmp(name + n - m, end) == 0;
}

static const char *const suffixes[] = { ".done", ".done.tmp", ".words", ".metrics" };

bool supervise_name_valid(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (ends_with(name, suffixes[i]))
			return false;
	return name_valid(name) && !strstr(name, ".seg-");
}

/* ---- the dead ---- */

int tomb_read(const struct supervise *s, const char *slot, struct tomb *ret, struct error *err)
{
	cleanup(freep) char *path = xprintf("%s/%s.lock", s->shims, slot);
	cleanup(buf_release) struct buf text = { 0 };
	int shim = 0, keeper = 0;
	uint64_t start = 0;

	*ret = (struct tomb){ 0 };
	if (file_read(path, 256, &text, err) < 0)
		return -1;
	/* Empty: it died before it could start anything. */
	if (sscanf(buf_str(&text), "%d %d %" SCNu64, &shim, &keeper, &start) == 3)
		*ret = (struct tomb){ .shim = shim, .keeper = keeper, .keeper_start = start };
	return 0;
}

/* Field 22 of /proc/PID/stat, 0 if there is no such process. */
static uint64_t start_time(pid_t pid)
{
	cleanup(freep) char *path = xprintf("/proc/%d/stat", (int)pid);
	cleanup(buf_release) struct buf stat = { 0 };
	char *p;

	if (file_read(path, 4096, &stat, NULL) < 0)
		return 0;
	p = strrchr(buf_str(&stat), ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p + 1, NULL, 10) : 0;
}

/* The first process of a pid namespace is dead only after all others in it. */
static int await_keeper(const struct tomb *tomb, int timeout_ms, struct error *err)
{
	cleanup(closep) int fd = tomb->keeper > 0 ? pidfd_open(tomb->keeper, 0) : -1;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd < 0 || start_time(tomb->keeper) != tomb->keeper_start)
		return 0;
	if (poll(&p, 1, timeout_ms) == 1)
		return 0;
	return error_set(err, ERR_TIMEOUT,
			 "processes of a dead shim do not die (namespace of process %d)",
			 (int)tomb->keeper);
}

/* Until neither the shim of a slot nor anything it started is left. */
static int await_death(const struct supervise *s, const char *slot, struct error *err)
{
	int64_t until = clock_boot_ms() + DEATH_MS;
	struct tomb tomb;

	while (slot_alive(s, slot)) {
		if (clock_boot_ms() >= until)
			return error_set(err, ERR_TIMEOUT, "the shim of slot '%s' does not die",
					 slot);
		usleep(1000);
	}
	if (tomb_read(s, slot, &tomb, NULL) < 0)
		return 0; /* no lock file: there never was one */
	return await_keeper(&tomb, DEATH_MS, err);
}

/* The same for one run: its cgroup, and where there is no namespace its mark. */
static int bury_run(const struct supervise *s, const char *name, struct error *err)
{
	cleanup(freep) char *cgroup = supervise_cgroup(s, name);
	cleanup(freep) char *mark = supervise_mark(s, name);

	if (cgroup && contain_cgroup_remove(cgroup, DEATH_MS, err) < 0)
		return -1;
	return contain_kill_marked(mark, DEATH_MS, err);
}

/* ---- what became of a run ---- */

static bool has_spool(const struct supervise *s, const char *name, uint64_t *ret_length)
{
	cleanup(freep) char *path = path_join(s->spool, name);
	struct stat st;

	if (stat(path, &st) == 0) {
		*ret_length = (uint64_t)st.st_size;
		return true;
	}
	return spool_service_end(s->spool, name, ret_length, NULL) == 0;
}

static int look(const struct supervise *s, const char *name, struct found *ret, struct error *err)
{
	struct found f = { .state = FOUND_NOTHING };
	int r;

	snprintf(f.name, sizeof f.name, "%s", name);
	r = spool_record(s->spool, name, &f.record, err);
	if (r < 0)
		return -1;
	if (r > 0) {
		f.state = FOUND_DONE;
		f.fence = f.record.fence;
		f.length = f.record.length;
	} else if (has_spool(s, name, &f.length)) {
		char *end;

		if (bury_run(s, name, err) < 0)
			return -1;
		f.state = FOUND_LOST;
		f.fence = strtoull(name, &end, 10);
		if (*end)
			f.fence = 0;
	}
	*ret = f;
	return 0;
}

int supervise_find(struct supervise *s, const char *slot, const char *name, struct found *ret,
		   struct error *err)
{
	if (await_death(s, slot, err) < 0 || look(s, name, ret, err) < 0)
		return error_wrap(err, "finding out what became of '%s'", name);
	return 0;
}

/* ---- after a restart ---- */

struct names {
	char **name;
	size_t count;
};

static void names_release(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->name[i]);
	free(n->name);
}

static bool names_hold(const struct names *n, const char *name)
{
	for (size_t i = 0; i < n->count; i++)
		if (strcmp(n->name[i], name) == 0)
			return true;
	return false;
}

static void names_add(struct names *n, const char *name)
{
	n->name = xreallocarray(n->name, n->count + 1, sizeof *n->name);
	n->name[n->count++] = xstrdup(name);
}

static int list_dir(const char *dir, struct names *ret, struct error *err)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	if (!d)
		return error_errno(err, "reading '%s'", dir);
	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.')
			names_add(ret, entry->d_name);
	closedir(d);
	return 0;
}

/* A shim that holds its lock but does not speak: it and its run end here. */
static int kill_mute(struct supervise *s, const char *slot, struct error *err)
{
	struct tomb tomb;

	if (tomb_read(s, slot, &tomb, err) < 0)
		return -1;
	if (tomb.shim > 1 && slot_alive(s, slot))
		kill(tomb.shim, SIGKILL);
	return await_death(s, slot, err);
}

/* One lock file. A live run's name is added to `live`. */
static int attach_slot(struct supervise *s, const char *slot_name_, struct names *live,
		       supervise_visit_fn *visit, void *arg, struct error *err)
{
	struct error why = { 0 };
	cleanup(slot_closep) struct slot *slot = NULL;
	struct found f = { .state = FOUND_LIVE };

	if (!slot_alive(s, slot_name_))
		return await_death(s, slot_name_, err);
	slot = slot_open(s, slot_name_, &why);
	if (!slot && why.code != ERR_NOT_FOUND)
		return kill_mute(s, slot_name_, err);
	if (!slot || slot_fd(slot) < 0 || !slot_status(slot)->fence)
		return 0; /* idle: it leaves as soon as we let go */
	snprintf(f.name, sizeof f.name, "%s", slot_status(slot)->name);
	f.fence = slot_status(slot)->fence;
	f.length = slot_status(slot)->length;
	f.slot = steal(slot);
	names_add(live, f.name);
	visit(arg, &f);
	return 0;
}

static int attach_live(struct supervise *s, struct names *live, supervise_visit_fn *visit,
		       void *arg, struct error *err)
{
	cleanup(names_release) struct names files = { 0 };

	if (list_dir(s->shims, &files, err) < 0)
		return -1;
	for (size_t i = 0; i < files.count; i++) {
		char *name = files.name[i];

		if (!ends_with(name, ".lock"))
			continue;
		name[strlen(name) - strlen(".lock")] = '\0';
		if (attach_slot(s, name, live, visit, arg, err) < 0)
			return error_wrap(err, "attaching to slot '%s'", name);
	}
	return 0;
}

/* "17.done" -> "17". False: not a run's own file. */
static bool run_name(char *file)
{
	char *segment = strstr(file, ".seg-");

	if (segment)
		*segment = '\0';
	else if (ends_with(file, ".done"))
		file[strlen(file) - strlen(".done")] = '\0';
	return supervise_name_valid(file);
}

int supervise_attach(struct supervise *s, supervise_visit_fn *visit, void *arg, struct error *err)
{
	cleanup(names_release) struct names seen = { 0 }, files = { 0 };

	if (attach_live(s, &seen, visit, arg, err) < 0 || list_dir(s->spool, &files, err) < 0)
		return -1;
	for (size_t i = 0; i < files.count; i++) {
		char *name = files.name[i];
		struct found f;

		if (!run_name(name) || names_hold(&seen, name))
			continue;
		names_add(&seen, name);
		if (look(s, name, &f, err) < 0)
			return error_wrap(err, "looking at what '%s' left", name);
		if (f.state != FOUND_NOTHING)
			visit(arg, &f);
	}
	return 0;
}
