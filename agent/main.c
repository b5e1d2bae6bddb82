/*
 * sluice-agent: one per host. `join` makes it known to a controller, `run` (the default) works.
 *
 * SIGTERM ends this process only: jobs and services go on under their shims and are found again at
 * the next start. With --stop-work (`sluice dev`) jobs are told to end, as preempted, and services
 * are stopped, to be started again by the next start. A renewed certificate is taken over in the
 * same way: the program executes itself anew.
 */
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/identity.h"
#include "agent/services.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "proto/message.h"
#include "spec/config.h"

enum {
	FIRST_LOOK_MS = 10 * 1000, /* an agent that never lives an hour must renew, too */
	LOOK_EVERY_MS = 3600 * 1000,
	LOOK_AGAIN_MS = 300 * 1000, /* after one that failed */
	EXIT_USAGE = 2,
};

static const struct config_key keys[] = {
	{ "state_dir", CONFIG_STRING, "/var/lib/sluice-agent",
	  "where identity, journal, spools and releases are kept", 0, 0 },
	{ "controller", CONFIG_STRING, NULL,
	  "host:port of the agents' listener; as learned at join", 0, 0 },
	{ "slots", CONFIG_INT, NULL, "attempts at a time (default: one for each CPU)", 1, 1024 },
	{ "cpus", CONFIG_INT, NULL, "CPUs that jobs may reserve (default: all)", 1, 4096 },
	{ "memory", CONFIG_SIZE, NULL, "memory that jobs may reserve (default: all)", 0, 0 },
	{ "gpus", CONFIG_INT, NULL, "pretend to have this many GPUs instead of asking NVML", 0,
	  64 },
	{ "gpu_memory", CONFIG_SIZE, "16G", "memory of each pretended GPU", 0, 0 },
	{ "address", CONFIG_STRING, NULL,
	  "host that service endpoints are announced with (default: the host's name)", 0, 0 },
	{ "service_ports", CONFIG_PORTS, "18000-18099", "ports that services are given", 0, 0 },
	{ "user", CONFIG_STRING, NULL,
	  "user that jobs and services run as (default: sluice-job, if there is one and we are "
	  "root)",
	  0, 0 },
	{ "job_uids", CONFIG_STRING, NULL,
	  "range of users that jobs run as, one for each attempt (default: what /etc/subuid gives "
	  "to sluice-jobs; else all run as `user`)",
	  0, 0 },
	{ "cache_size", CONFIG_SIZE, "20G", "bytes of artifacts kept in the cache", 0, 0 },
	{ "cgroup", CONFIG_STRING, NULL,
	  "delegated cgroup v2 directory (default: our own, if delegated; \"none\")", 0, 0 },
	{ "shim", CONFIG_STRING, NULL, "path of sluice-shim (default: beside this program)", 0, 0 },
	{ "stop_work", CONFIG_BOOL, "false",
	  "on SIGTERM also end jobs (as preempted, which uses up no retry) and stop services, "
	  "until "
	  "the next start",
	  0, 0 },
	{ "verbose", CONFIG_BOOL, "false", "log what is usually not worth a line", 0, 0 },
	{ NULL, CONFIG_STRING, NULL, NULL, 0, 0 },
};

static int usage(FILE *to, int code)
{
	cleanup(buf_release) struct buf text = { 0 };

	config_usage(keys, &text);
	fprintf(to,
		"usage: sluice-agent [run] [OPTION...]\n"
		"       sluice-agent join ADDRESS --token-file FILE [--renew] [OPTION...]\n"
		"       sluice-agent services [ls | stop ENVIRONMENT | start ENVIRONMENT]\n"
		"       sluice-agent version\n"
		"`join --help` and `services --help` say more. SIGTERM ends the agent only: jobs "
		"and\n"
		"services go on and are found again at the next start, unless --stop-work is "
		"given.\n\n"
		"  --config FILE   (default /etc/sluice/agent.yaml)\n%s",
		buf_str(&text));
	return code;
}

static const char join_help[] =
	"usage: sluice-agent join ADDRESS --token-file FILE [--renew] [OPTION...]\n\n"
	"Makes this host known to the controller whose users' listener is at ADDRESS (host:7700). "
	"The\n"
	"token is made there with `sluice agents token`; it holds the CA's hash, so nothing is "
	"trusted\n"
	"on first use, and can be used once. The key is made here and never leaves.\n\n"
	"  --token-file FILE                the token; for its owner only (0600)\n"
	"  --renew                          this host is known, but its certificate has expired: "
	"it keeps\n"
	"                                   its id; the token is of `sluice agents token --renew "
	"NAME`\n"
	"  --state-dir PATH                 where the identity is kept (default: "
	"/var/lib/sluice-agent)\n"
	"  --config FILE                    (default /etc/sluice/agent.yaml)\n\n"
	"Then `systemctl enable --now sluice-agent`. See docs/install.md.\n";

static const char services_help[] =
	"usage: sluice-agent services [ls | stop ENVIRONMENT | start ENVIRONMENT] [OPTION...]\n\n"
	"The services of this host, for whoever stands before it; no controller is needed.\n\n"
	"  ls                               a line each: environment, live release, state "
	"(supervised,\n"
	"                                   down, or stopped by hand); the default\n"
	"  stop ENVIRONMENT                 ends the service and keeps it down, also over restarts "
	"of the\n"
	"                                   agent and the host, until `start` or until the "
	"controller\n"
	"                                   activates a release here\n"
	"  start ENVIRONMENT                takes that back\n"
	"  --state-dir PATH                 the agent's (default: /var/lib/sluice-agent)\n"
	"  --config FILE                    (default /etc/sluice/agent.yaml)\n\n"
	"The controller sees a stopped service as not healthy and says so. See "
	"docs/operations.md.\n";

static int fail(const struct error *err)
{
	fprintf(stderr, "sluice-agent: %s\n", err->text);
	if (*err->hint)
		fprintf(stderr, "  %s\n", err->hint);
	return 1;
}

static int verb_usage(const char *verb)
{
	if (strcmp(verb, "join") == 0)
		return fputs(join_help, stdout), 0;
	if (strcmp(verb, "services") == 0)
		return fputs(services_help, stdout), 0;
	return usage(stdout, 0);
}

/* Takes `--name value` or `--name=value` out of the arguments; NULL when it is not there. */
static const char *take_flag(int *argc, char **argv, const char *name)
{
	size_t len = strlen(name);

	for (int i = 1; i < *argc; i++) {
		bool joined = strncmp(argv[i], name, len) == 0 && argv[i][len] == '=';
		bool apart = strcmp(argv[i], name) == 0 && i + 1 < *argc;
		const char *value = joined ? argv[i] + len + 1 : apart ? argv[i + 1] : NULL;
		int used = joined ? 1 : 2;

		if (!value)
			continue;
		memmove(argv + i, argv + i + used, (size_t)(*argc - i - used + 1) * sizeof *argv);
		*argc -= used;
		return value;
	}
	return NULL;
}

static bool take_switch(int *argc, char **argv, const char *name)
{
	for (int i = 1; i < *argc; i++)
		if (strcmp(argv[i], name) == 0) {
			memmove(argv + i, argv + i + 1, (size_t)(*argc - i) * sizeof *argv);
			--*argc;
			return true;
		}
	return false;
}

/* For `services`, which tells us by a signal that something was stopped by hand. */
static int write_pid(int lock, struct error *err)
{
	char text[32];
	int n = snprintf(text, sizeof text, "%d\n", (int)getpid());

	if (ftruncate(lock, 0) < 0)
		return error_errno(err, "writing the lock file");
	return file_pwrite_all(lock, text, (size_t)n, 0, err);
}

static int prepare_state_dir(const char *dir, int *ret_lock, struct error *err)
{
	static const char *const private_dirs[] = { "id", "cache" };
	static const char *const open_dirs[] = { "work", "env" };
	cleanup(freep) char *lock = path_join(dir, "lock");

	/* The job's user must be able to pass through to its own workspace, and see nothing else.
	 */
	if (file_make_dirs(dir, 0711, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(private_dirs); i++) {
		cleanup(freep) char *path = path_join(dir, private_dirs[i]);

		if (file_make_dirs(path, 0700, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(open_dirs); i++) {
		cleanup(freep) char *path = path_join(dir, open_dirs[i]);

		if (file_make_dirs(path, 0711, err) < 0)
			return -1;
	}
	if (file_lock(lock, ret_lock, err) < 0)
		return error_id(err, "E0605", "another sluice-agent uses '%s'", dir);
	file_remove_temps(dir);
	for (size_t i = 0; i < ARRAY_SIZE(private_dirs); i++) {
		cleanup(freep) char *path = path_join(dir, private_dirs[i]);

		file_remove_temps(path);
	}
	return write_pid(*ret_lock, err);
}

static int join(struct config *config, const char *state_dir, int argc, char **argv,
		struct error *err)
{
	const char *token_file = take_flag(&argc, argv, "--token-file");
	bool renew = take_switch(&argc, argv, "--renew");
	cleanup(buf_release) struct buf token = { 0 };
	cleanup(freep) char *dir = path_join(state_dir, "id");
	cleanup(message_freep) Sluice__V1__HostFacts *host = NULL;
	cleanup(identity_freep) struct identity *made = NULL;
	struct identity_join how = { .dir = dir, .renew = renew };

	if (argc != 3 || !token_file)
		return error_set(err, ERR_INVALID, "join needs an ADDRESS and --token-file FILE");
	if (strcmp(token_file, "-") == 0)
		token_file = "/dev/stdin";
	else if (file_check_private(token_file, err) < 0)
		return -1;
	if (file_read(token_file, 4096, &token, err) < 0)
		return -1;
	host = facts_measure(config, state_dir, NULL, err);
	if (!host)
		return -1;
	how.address = argv[2];
	how.token = buf_str(&token);
	how.host = host;
	if (identity_join(&how, err) < 0 || !(made = identity_load(dir, err)))
		return -1;
	printf("joined as '%s' (%s), controller at %s\n", made->name, made->id, made->controller);
	return 0;
}

/* What is due now and then: renewal, trimming the cache. 1: start anew; 0: *ret_next_ms is when to
 * look again. */
static int look(struct agent *agent, int64_t *ret_next_ms)
{
	struct error err = { 0 };
	int r = agent_look(agent, &err);

	if (r > 0)
		log_info("the certificate was renewed");
	if (r < 0)
		log_warn("%s", err.text);
	*ret_next_ms = clock_boot_ms() + (r < 0 ? LOOK_AGAIN_MS : LOOK_EVERY_MS);
	return r > 0;
}

/* Waits for a signal, and looks in between. 1: start anew. */
static int wait_for_end(struct agent *agent)
{
	int64_t next_ms = clock_boot_ms() + FIRST_LOOK_MS;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	for (;;) {
		int64_t left = MAX(next_ms - clock_boot_ms(), (int64_t)0);
		struct timespec wait = { left / 1000, left % 1000 * 1000000 };
		int number = sigtimedwait(&set, NULL, &wait);

		if (number == SIGHUP)
			return 1;
		if (number == SIGUSR1)
			agent_services(agent);
		else if (number > 0)
			return 0;
		else if (errno == EAGAIN && look(agent, &next_ms))
			return 1;
	}
}

static int work(struct config *config, char **argv, struct error *err)
{
	struct agent *agent = agent_start(config, err);
	int again;

	if (!agent)
		return -1;
	again = wait_for_end(agent);
	agent_stop(agent, config_bool(config, "stop_work") && !again);
	if (again) {
		execv("/proc/self/exe", argv);
		return error_errno(err, "starting anew");
	}
	return 0;
}

int main(int argc, char **argv)
{
	/* --flags are taken out of argv; what is executed anew has all of them */
	cleanup(freep) char **original = xmemdup(argv, ((size_t)argc + 1) * sizeof *argv);
	const char *path = take_flag(&argc, argv, "--config");
	cleanup(config_freep) struct config *config = config_new(keys);
	struct diagnostics d = { 0 };
	struct error err = { 0 };
	const char *verb;
	int lock = -1, r;

	thread_block_signals();
	umask(022); /* the job's user passes through our directories; what is secret says so */
	if (config_load(config, path ? path : "/etc/sluice/agent.yaml", path != NULL, &d) < 0) {
		cleanup(buf_release) struct buf text = { 0 };

		diagnostics_text(&d, isatty(2), &text);
		fputs(buf_str(&text), stderr);
		return 3;
	}
	diagnostics_release(&d);
	if (config_flags(config, &argc, argv, &err) < 0)
		return fail(&err), EXIT_USAGE;
	verb = argc > 1 ? argv[1] : "run";
	if (strcmp(verb, "--help") == 0 || strcmp(verb, "help") == 0)
		return usage(stdout, 0);
	if (take_switch(&argc, argv, "--help") || take_switch(&argc, argv, "-h"))
		return verb_usage(verb);
	if (strcmp(verb, "version") == 0 || strcmp(verb, "--version") == 0)
		return printf("sluice-agent %s\n", SLUICE_VERSION), 0;
	if (strcmp(verb, "services") == 0)
		return services_command(config, argc - 2, argv + 2, &err) < 0 ? fail(&err) : 0;
	if (strcmp(verb, "run") != 0 && strcmp(verb, "join") != 0)
		return usage(stderr, EXIT_USAGE);
	if (config_bool(config, "verbose"))
		log_set_level(LOG_LEVEL_DEBUG);
	if (prepare_state_dir(config_string(config, "state_dir"), &lock, &err) < 0)
		return fail(&err);
	r = strcmp(verb, "join") == 0
		    ? join(config, config_string(config, "state_dir"), argc, argv, &err)
		    : work(config, original, &err);
	return r < 0 ? fail(&err) : 0;
}
