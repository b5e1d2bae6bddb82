/*
 * Services by hand.
 */
#include "agent/services.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/slot_clear.h"
#include "agent/supervise.h"
#include "base/clock.h"
#include "base/file.h"

enum { STOP_WAIT_MS = 60000 };

struct by_hand {
	const struct config *config;
	const char *state_dir, *environment;
	char *dir, *stopped, *lock; /* paths */
};

static void by_hand_release(struct by_hand *b)
{
	free(b->dir);
	free(b->stopped);
	free(b->lock);
}

static int by_hand_init(struct by_hand *b, const struct config *config, const char *environment,
			struct error *err)
{
	cleanup(freep) char *envs = NULL;

	b->config = config;
	b->state_dir = config_string(config, "state_dir");
	b->environment = environment;
	b->lock = path_join(b->state_dir, "lock");
	envs = path_join(b->state_dir, "env");
	b->dir = path_join(envs, environment);
	b->stopped = path_join(b->dir, "stopped");
	if (name_valid(environment) && file_exists(b->dir))
		return 0;
	error_set(err, ERR_NOT_FOUND, "this host has no environment '%s'", environment);
	return error_hint(err, "sluice-agent services ls");
}

/* Tells the running agent; 0 when there is none. */
static int tell_agent(const struct by_hand *b, struct error *err)
{
	cleanup(buf_release) struct buf text = { 0 };
	long pid;

	if (!file_locked(b->lock))
		return 0;
	if (file_read(b->lock, 64, &text, err) < 0)
		return -1;
	pid = strtol(buf_str(&text), NULL, 10);
	if (pid <= 1)
		return error_set(err, ERR_UNAVAILABLE, "the agent is only starting; try again");
	if (kill((pid_t)pid, SIGUSR1) < 0)
		return error_errno(err, "telling the agent (process %ld)", pid);
	return 1;
}

static int wait_until_down(const struct by_hand *b, struct error *err)
{
	const struct timespec nap = { 0, 20 * 1000000L };
	int64_t until = clock_boot_ms() + STOP_WAIT_MS;

	while (clock_boot_ms() < until) {
		cleanup(buf_release) struct buf text = { 0 };

		if (file_read(b->stopped, 64, &text, err) < 0)
			return -1; /* an order to activate came in between */
		if (strcmp(buf_str(&text), "down\n") == 0)
			return 0;
		nanosleep(&nap, NULL);
	}
	return error_set(err, ERR_TIMEOUT, "the service of '%s' does not end", b->environment);
}

/* Without an agent: its place is taken for so long. */
static int stop_directly(const struct by_hand *b, struct error *err)
{
	cleanup(freep) char *name = xprintf("service-%s", b->environment);
	cleanup(freep) char *shim = agent_shim_path(b->config, err);
	cleanup(supervise_closep) struct supervise *supervise = NULL;
	cleanup(slot_closep) struct slot *slot = NULL;
	cleanup(closep) int lock = -1;
	const struct contain nothing = { 0 };

	if (!shim || file_lock(b->lock, &lock, err) < 0)
		return -1;
	supervise = supervise_open(b->state_dir, shim, &nothing, err);
	slot = supervise ? slot_open(supervise, name, err) : NULL;
	if (!slot || slot_clear(slot, err) < 0)
		return -1;
	return file_write_atomic(b->stopped, "down\n", 5, 0644, err);
}

static int stop(const struct by_hand *b, struct error *err)
{
	int told;

	if (file_write_atomic(b->stopped, "stop\n", 5, 0644, err) < 0)
		return -1;
	told = tell_agent(b, err);
	if (told < 0 || (told ? wait_until_down(b, err) : stop_directly(b, err)) < 0)
		return -1;
	printf("the service of '%s' is down, until `services start` or an order to activate\n",
	       b->environment);
	return 0;
}

static int start(const struct by_hand *b, struct error *err)
{
	int told;

	if (unlink(b->stopped) < 0 && errno != ENOENT)
		return error_errno(err, "removing '%s'", b->stopped);
	told = tell_agent(b, err);
	if (told < 0)
		return -1;
	printf("the service of '%s' is started%s\n", b->environment,
	       told ? "" : " when the agent is");
	return 0;
}

static void show(const struct by_hand *b)
{
	cleanup(freep) char *current = path_join(b->dir, "current");
	cleanup(freep) char *shim =
		xprintf("%s/shims/service-%s.lock", b->state_dir, b->environment);
	char release[256] = "-";
	ssize_t n = readlink(current, release, sizeof release - 1);

	release[n > 0 ? n : 1] = '\0';
	printf("%s\t%s\t%s\n", b->environment,
	       n > 0 && strrchr(release, '/') ? strrchr(release, '/') + 1 : "-",
	       file_exists(b->stopped) ? "stopped by hand"
	       : file_locked(shim)     ? "supervised"
				       : "down");
}

static int list(const struct config *config, struct error *err)
{
	cleanup(freep) char *envs = path_join(config_string(config, "state_dir"), "env");
	DIR *d = opendir(envs);
	struct dirent *e;

	if (!d)
		return error_errno(err, "reading '%s'", envs);
	while ((e = readdir(d))) {
		cleanup(by_hand_release) struct by_hand b = { 0 };

		if (name_valid(e->d_name) && by_hand_init(&b, config, e->d_name, err) == 0)
			show(&b);
	}
	closedir(d);
	return 0;
}

int services_command(const struct config *config, int n_args, char **args, struct error *err)
{
	cleanup(by_hand_release) struct by_hand b = { 0 };

	if (n_args == 0 || (n_args == 1 && strcmp(args[0], "ls") == 0))
		return list(config, err);
	if (n_args != 2 || (strcmp(args[0], "stop") != 0 && strcmp(args[0], "start") != 0))
		return error_set(
			err, ERR_INVALID,
			"services ls, services stop ENVIRONMENT or services start ENVIRONMENT");
	if (by_hand_init(&b, config, args[1], err) < 0)
		return -1;
	return strcmp(args[0], "stop") == 0 ? stop(&b, err) : start(&b, err);
}
