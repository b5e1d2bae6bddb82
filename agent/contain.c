/*
 * The trial runs the shim itself, so that what was tried is what will be used. A cgroup is used
 * only where it was given to us: systemd marks what it delegates with an attribute.
 */
#include "agent/contain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"

enum { PROBE_MS = 10000, SMALL_FILE = 64 * 1024, ENVIRON_BYTES = 1 << 20 };

static const char *const kind_words[] = { "group", "userns", "pidns" };

const char *contain_kind_name(enum contain_kind kind)
{
	static const char *const names[] = { "process group", "pid namespace in a user namespace",
					     "pid namespace" };

	return names[kind];
}

void contain_release(struct contain *c)
{
	free(c->cgroup);
	*c = (struct contain){ 0 };
}

static int write_text(const char *dir, const char *name, const char *text, struct error *err)
{
	cleanup(freep) char *path = path_join(dir, name);
	cleanup(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return error_errno(err, "opening '%s'", path);
	if (write(fd, text, strlen(text)) < 0)
		return error_errno(err, "writing '%s' to '%s'", text, path);
	return 0;
}

static bool has_file(const char *dir, const char *name)
{
	cleanup(freep) char *path = path_join(dir, name);

	return file_exists(path);
}

/* ---- cgroups ---- */

/* Where cgroup v2 is mounted: field 5 of the line whose type, after " - ", is cgroup2. */
static char *cgroup_mount(void)
{
	cleanup(buf_release) struct buf mounts = { 0 };
	char *line, *rest = NULL;

	if (file_read("/proc/self/mountinfo", 1 << 20, &mounts, NULL) < 0)
		return NULL;
	for (line = strtok_r(mounts.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *field = line, *end;

		if (!strstr(line, " - cgroup2 "))
			continue;
		for (int i = 1; i < 5 && field; i++)
			field = strchr(field + 1, ' ');
		end = field ? strchr(field + 1, ' ') : NULL;
		if (end)
			return xstrndup(field + 1, (size_t)(end - field - 1));
	}
	return NULL;
}

/* Our own cgroup's directory, if it was delegated to us. */
static char *delegated_cgroup(void)
{
	cleanup(buf_release) struct buf own = { 0 };
	cleanup(freep) char *mount = cgroup_mount();
	cleanup(freep) char *dir = NULL;
	char *path, mark[8];

	if (!mount || file_read("/proc/self/cgroup", SMALL_FILE, &own, NULL) < 0)
		return NULL;
	path = strstr(own.data, "0::/");
	if (!path)
		return NULL;
	path += strlen("0::");
	dir = xprintf("%s%.*s", mount, (int)strcspn(path, "\n"), path);
	if (getxattr(dir, "user.delegate", mark, sizeof mark) < 1 &&
	    getxattr(dir, "trusted.delegate", mark, sizeof mark) < 1)
		return NULL;
	return mark[0] == '1' ? steal(dir) : NULL;
}

/* A cgroup with children in it may hold no process itself once it shares out controllers. */
static int move_to_child(const char *dir, struct error *err)
{
	cleanup(freep) char *child = path_join(dir, "agent");

	if (mkdir(child, 0755) < 0 && errno != EEXIST)
		return error_errno(err, "creating '%s'", child);
	return write_text(child, "cgroup.procs", "0", err);
}

static void share_out(const char *dir)
{
	write_text(dir, "cgroup.subtree_control", "+memory", NULL);
	write_text(dir, "cgroup.subtree_control", "+pids", NULL);
}

static int use_cgroup(struct contain *c, const char *dir, struct error *err)
{
	cleanup(freep) char *jobs = path_join(dir, "jobs");
	cleanup(freep) char *trial = path_join(jobs, "probe");

	share_out(dir);
	if (mkdir(jobs, 0755) < 0 && errno != EEXIST)
		return error_errno(err, "creating '%s'", jobs);
	share_out(jobs);
	if (mkdir(trial, 0755) < 0 && errno != EEXIST)
		return error_errno(err, "creating '%s'", trial);
	c->memory = has_file(trial, "memory.max");
	c->pids = has_file(trial, "pids.max");
	if (has_file(trial, "cgroup.kill"))
		c->cgroup = steal(jobs);
	rmdir(trial);
	return c->cgroup ? 0
			 : error_set(err, ERR_UNIMPLEMENTED,
				     "this kernel's cgroups have no 'cgroup.kill'");
}

static void probe_cgroup(struct contain *c, const char *hint, struct error *ret_why)
{
	cleanup(freep) char *own = hint ? NULL : delegated_cgroup();

	if (hint ? !*hint : !own) {
		error_set(ret_why, ERR_NOT_FOUND, "none was delegated to the agent");
		return;
	}
	if (own && move_to_child(own, ret_why) < 0)
		return;
	use_cgroup(c, hint ? hint : own, ret_why);
}

/* ---- namespaces ---- */

static int try_kind(const char *shim, enum contain_kind kind, bool *ret_own_proc, struct error *err)
{
	const char *argv[] = { shim, "probe", kind_words[kind], NULL };
	struct spawn s = { .argv = argv, .in = -1, .new_session = true };
	cleanup(buf_release) struct buf out = { 0 };

	if (spawn_run(&s, PROBE_MS, SMALL_FILE, &out, err) < 0)
		return -1;
	*ret_own_proc = strcmp(buf_str(&out), "own-proc\n") == 0;
	return 0;
}

static void describe(struct contain *c, const struct error *no_cgroup)
{
	const char *weak =
		c->kind == CONTAIN_GROUP
			? "; a job that hides from its environment's mark may outlive a killed shim"
		: c->own_proc ? ""
			      : "; the host's /proc is seen inside";

	if (c->cgroup)
		snprintf(c->reason, sizeof c->reason, "%s and cgroup v2%s%s",
			 contain_kind_name(c->kind),
			 c->memory ? " with memory limits" : " without memory limits", weak);
	else
		snprintf(c->reason, sizeof c->reason, "%s, no cgroup v2 (%.100s)%s",
			 contain_kind_name(c->kind), no_cgroup->text, weak);
}

int contain_probe(const char *shim, const char *cgroup, enum contain_kind at_most,
		  struct contain *ret, struct error *err)
{
	struct contain c = { .kind = at_most };
	struct error no_cgroup = { 0 };

	if (c.kind == CONTAIN_PIDNS && geteuid() != 0)
		c.kind = CONTAIN_USERNS;
	while (try_kind(shim, c.kind, &c.own_proc, err) < 0) {
		if (c.kind == CONTAIN_GROUP)
			return error_wrap(err, "trying what contains a job");
		c.kind--;
	}
	if (err)
		error_clear(err);
	probe_cgroup(&c, cgroup, &no_cgroup);
	describe(&c, &no_cgroup);
	*ret = c;
	return 0;
}

/* ---- a run's cgroup ---- */

static int bound(const char *dir, const char *name, uint64_t max, struct error *err)
{
	char text[32];

	if (!max)
		return 0;
	snprintf(text, sizeof text, "%llu", (unsigned long long)max);
	return write_text(dir, name, text, err);
}

int contain_cgroup_make(const struct contain *c, const char *name, uint64_t memory_max,
			uint64_t pids_max, char **ret, struct error *err)
{
	cleanup(freep) char *dir = c->cgroup ? path_join(c->cgroup, name) : NULL;

	if (dir) {
		if (mkdir(dir, 0755) < 0 && errno != EEXIST)
			return error_errno(err, "creating '%s'", dir);
		if (c->memory && (bound(dir, "memory.max", memory_max, err) < 0 ||
				  write_text(dir, "memory.oom.group", "1", err) < 0))
			return -1;
		if (c->pids && bound(dir, "pids.max", pids_max, err) < 0)
			return -1;
	}
	*ret = steal(dir);
	return 0;
}

int contain_cgroup_remove(const char *dir, int timeout_ms, struct error *err)
{
	int64_t until = clock_boot_ms() + timeout_ms;

	write_text(dir, "cgroup.kill", "1", NULL);
	while (rmdir(dir) < 0 && errno != ENOENT) {
		if (errno != EBUSY)
			return error_errno(err, "removing '%s'", dir);
		if (clock_boot_ms() >= until)
			return error_set(err, ERR_TIMEOUT, "processes in '%s' do not die", dir);
		usleep(2000);
	}
	return 0;
}

/* ---- without namespaces and cgroups ---- */

static bool marked(const char *pid, const char *mark)
{
	cleanup(freep) char *path = xprintf("/proc/%s/environ", pid);
	cleanup(buf_release) struct buf env = { 0 };
	size_t n = strlen(mark) + 1;

	if (file_read(path, ENVIRON_BYTES, &env, NULL) < 0)
		return false;
	for (size_t at = 0; at + n <= env.len; at += strlen(env.data + at) + 1)
		if (memcmp(env.data + at, mark, n) == 0)
			return true;
	return false;
}

/* How many were found. */
static int kill_marked_once(const char *mark)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int found = 0;

	if (!proc)
		return 0;
	while ((entry = readdir(proc))) {
		long pid = strtol(entry->d_name, NULL, 10);

		if (pid > 1 && pid != getpid() && marked(entry->d_name, mark)) {
			kill((pid_t)pid, SIGKILL);
			found++;
		}
	}
	closedir(proc);
	return found;
}

int contain_kill_marked(const char *mark, int timeout_ms, struct error *err)
{
	int64_t until = clock_boot_ms() + timeout_ms;

	while (kill_marked_once(mark) > 0) {
		if (clock_boot_ms() >= until)
			return error_set(err, ERR_TIMEOUT, "processes marked '%s' do not die",
					 mark);
		usleep(2000);
	}
	return 0;
}
