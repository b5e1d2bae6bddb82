/*
 * A run's way to its shim: what the caller left out gets its default, the program its path, the
 * environment its mark; then one packet, to the shim that is there or to a new one.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/supervise_internal.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/spawn.h"

enum { MINUTE_MS = 60 * 1000 };

static const char *const contain_words[] = { "group", "userns", "pidns" };

/* The shim died while it had nothing to do: no run must meet it. */
static bool is_gone(const struct slot *slot)
{
	struct pollfd p = { .fd = slot->fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

int slot_start(struct slot *slot, struct error *err)
{
	const struct supervise *s = slot->supervise;
	const char *argv[] = {
		s->program, "slot", s->dir, slot->name, contain_words[s->contain->kind], NULL
	};
	const char *env[] = { NULL };
	struct child child;
	int fds[2];
	struct spawn spawn = { .argv = argv,
			       .env = env,
			       .in = -1,
			       .out = -1,
			       .errout = -1,
			       .keep = &fds[1],
			       .n_keep = 1,
			       .new_session = true };
	int r;

	if (slot->fd >= 0 && !slot->leaving && !is_gone(slot))
		return 0;
	if (slot->fd >= 0) {
		slot_disconnect(slot);
		while (slot->child > 0 && waitpid(slot->child, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (FAULT_POINT("slot.start") ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return error_errno(err, "making a socket for slot '%s'", slot->name);
	r = spawn_start(&spawn, &child, err);
	close(fds[1]);
	if (r < 0) {
		close(fds[0]);
		return error_wrap(err, "starting a shim for slot '%s'", slot->name);
	}
	close(child.pidfd); /* its hang-up tells us as well */
	lock_take(&slot->lock);
	slot->fd = fds[0];
	lock_drop(&slot->lock);
	slot->child = child.pid;
	slot->leaving = false;
	return 0;
}

static const char *environment_value(const char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (; env && *env; env++)
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

/* As a shell would find it. What is not found is left to exec to say so. */
static char *find_program(const struct supervise_spec *spec, const char *name)
{
	const char *path = environment_value(spec->env, "PATH");

	if (strchr(name, '/'))
		return xstrdup(name);
	for (path = path ? path : "/usr/local/bin:/usr/bin:/bin"; *path;) {
		size_t n = strcspn(path, ":");
		cleanup(freep) char *full = xprintf("%.*s/%s", (int)n, path, name);

		if (n && access(full, X_OK) == 0)
			return steal(full);
		path += n + (path[n] == ':');
	}
	return xprintf("/nonexistent/%s", name);
}

static void add_program(struct wire_out *out, const struct supervise_spec *spec)
{
	const char *shell[] = { "/bin/sh", "-ec", spec->command, NULL };
	const char *const *argv = spec->command ? shell : spec->argv;
	cleanup(freep) char *path = find_program(spec, argv[0]);

	wire_string(out, WIRE_EXEC, path);
	for (; *argv; argv++)
		wire_string(out, WIRE_ARG, *argv);
}

static void add_service(struct wire_out *out, const struct supervise *s,
			const struct supervise_spec *spec, const char *name)
{
	uint64_t end = 0;

	spool_service_end(s->spool, name, &end, NULL); /* none yet: it begins at 0 */
	wire_number(out, WIRE_LENGTH, end);
	wire_number(out, WIRE_LIMIT, SPOOL_SEGMENT_BYTES);
	wire_number(out, WIRE_RESTART_MAX, spec->restart_max);
	wire_number(out, WIRE_RESTART_WINDOW,
		    (uint64_t)(spec->restart_window_ms ? spec->restart_window_ms : 10 * MINUTE_MS));
	wire_number(out, WIRE_BACKOFF_MIN,
		    (uint64_t)(spec->backoff_min_ms ? spec->backoff_min_ms : 200));
	wire_number(out, WIRE_BACKOFF_MAX,
		    (uint64_t)(spec->backoff_max_ms ? spec->backoff_max_ms : MINUTE_MS / 2));
	wire_number(out, WIRE_HEALTHY, (uint64_t)(spec->healthy_ms ? spec->healthy_ms : MINUTE_MS));
}

static void add_limits(struct wire_out *out, const struct supervise_spec *spec)
{
	uint64_t flags = (spec->service ? WIRE_FLAG_SERVICE : 0) |
			 (spec->no_new_privs ? WIRE_FLAG_NO_NEW_PRIVS : 0);

	wire_number(out, WIRE_FLAGS, flags);
	wire_number(out, WIRE_UID, spec->uid);
	wire_number(out, WIRE_GID, spec->gid);
	wire_number(out, WIRE_DEADLINE_AT, (uint64_t)spec->deadline_boot_ms);
	wire_number(out, WIRE_BUDGET, (uint64_t)spec->kill_budget_ms);
	wire_number(out, WIRE_TIMEOUT, (uint64_t)spec->timeout_ms);
	wire_number(out, WIRE_GRACE, (uint64_t)(spec->grace_ms ? spec->grace_ms : 10000));
	wire_number(out, WIRE_FULL,
		    (uint64_t)(spec->disk_full_ms ? spec->disk_full_ms : MINUTE_MS));
}

static size_t pack(const struct slot *slot, const struct supervise_spec *spec, const char *name,
		   const char *cgroup, struct wire_out *out)
{
	cleanup(freep) char *mark = supervise_mark(slot->supervise, name);

	wire_number(out, WIRE_FENCE, spec->fence);
	wire_string(out, WIRE_NAME, name);
	add_program(out, spec);
	for (const char *const *env = spec->env; env && *env; env++)
		wire_string(out, WIRE_ENV, *env);
	wire_string(out, WIRE_ENV, mark);
	wire_string(out, WIRE_DIR, spec->dir ? spec->dir : "/");
	wire_string(out, WIRE_CGROUP, cgroup);
	add_limits(out, spec);
	if (spec->service)
		add_service(out, slot->supervise, spec, name);
	else
		wire_number(out, WIRE_LIMIT, spec->log_limit ? spec->log_limit : 1ull << 30);
	for (size_t i = 0; i < spec->n_masks; i++)
		wire_bytes(out, WIRE_MASK, spec->masks[i].data, spec->masks[i].len);
	return wire_end(out);
}

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

static int check(const struct slot *slot, const struct supervise_spec *spec, const char *name,
		 struct error *err)
{
	const int64_t times[] = { spec->deadline_boot_ms, spec->kill_budget_ms,
				  spec->timeout_ms,	  spec->grace_ms,
				  spec->disk_full_ms,	  spec->restart_window_ms,
				  spec->backoff_min_ms,	  spec->backoff_max_ms,
				  spec->healthy_ms };

	if (slot->busy)
		return error_set(err, ERR_CONFLICT, "slot '%s' still runs fence %llu", slot->name,
				 (unsigned long long)slot->fence);
	if (!spec->fence || !supervise_name_valid(name))
		return error_set(err, ERR_INVALID, "'%.60s' is no name for a run", name);
	if (!spec->command && !(spec->argv && spec->argv[0]))
		return error_set(err, ERR_INVALID, "run '%s' has no command", name);
	if (count(spec->argv) > WIRE_MAX_ARGS || count(spec->env) > WIRE_MAX_ARGS - 1)
		return error_set(err, ERR_INVALID,
				 "run '%s' has more than %d arguments or variables", name,
				 WIRE_MAX_ARGS - 1);
	if (spec->n_masks > WIRE_MAX_MASKS)
		return error_set(err, ERR_INVALID, "run '%s' has more than %d texts to mask", name,
				 WIRE_MAX_MASKS);
	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		if (times[i] < 0 || times[i] > INT64_MAX / 8)
			return error_set(err, ERR_INVALID, "run '%s' has a time out of range",
					 name);
	return 0;
}

/* The packet holds secrets: it is wiped as soon as it was sent. */
static int send_run(struct slot *slot, const struct supervise_spec *spec, const char *name,
		    const char *cgroup, struct error *err)
{
	struct wire_out out;
	unsigned char *data;
	size_t n;
	int r = 0;

	if (!slot->packet)
		slot->packet =
			xmalloc(WIRE_MAX_BYTES); /* kept: only its first pages are ever touched */
	data = slot->packet;
	wire_begin(&out, data, WIRE_MAX_BYTES, WIRE_RUN);
	n = pack(slot, spec, name, cgroup, &out);
	if (n == 0)
		r = error_set(err, ERR_INVALID,
			      "command, environment and secrets of run '%s' are more than %d bytes",
			      name, WIRE_MAX_BYTES);
	else if (send(slot->fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
		r = error_errno(err, "sending run '%s' to slot '%s'", name, slot->name);
	explicit_bzero(data, out.len);
	return r;
}

int slot_run(struct slot *slot, const struct supervise_spec *spec, struct error *err)
{
	cleanup(freep) char *number = xprintf("%llu", (unsigned long long)spec->fence);
	cleanup(freep) char *cgroup = NULL;
	const char *name = spec->name ? spec->name : number;

	if (check(slot, spec, name, err) < 0 || slot_start(slot, err) < 0)
		return -1;
	if (contain_cgroup_make(slot->supervise->contain, name, spec->memory_max, spec->pids_max,
				&cgroup, err) < 0)
		return -1;
	if (send_run(slot, spec, name, cgroup, err) < 0) {
		if (cgroup)
			rmdir(cgroup);
		return -1;
	}
	slot->busy = true;
	slot->fence = spec->fence;
	return 0;
}
