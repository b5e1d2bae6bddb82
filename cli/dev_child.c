/*
 * One program under supervision. Each gets a session of its own, so that Ctrl-C in the terminal
 * reaches `sluice dev` alone, which then ends them in order.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/dev.h"

enum {
	FIRST_BACK_OFF_MS = 1000,
	LONGEST_BACK_OFF_MS = 30000,
	WELL_AFTER_MS = 60000, /* who ran that long begins anew with back-off */
	LOG_MOST = 16 << 20,
	TAIL_BYTES = 8192,
	TAIL_LINES = 8,
	ENV_MOST = 4096,
};

extern char **environ;

void dev_child_init(struct dev_child *c, const struct dev_plan *plan, const char *name)
{
	memset(c, 0, sizeof *c);
	c->name = name;
	c->log_path = dev_path(plan, "logs/%s.log", name);
	c->pid_path = dev_path(plan, "run/%s", name);
	c->back_off_ms = FIRST_BACK_OFF_MS;
}

void dev_child_clear_args(struct dev_child *c)
{
	for (size_t i = 0; i < DEV_ARGS; i++) {
		free(c->argv[i]);
		c->argv[i] = NULL;
	}
}

void dev_child_release(struct dev_child *c)
{
	dev_child_clear_args(c);
	free(c->log_path);
	free(c->pid_path);
	memset(c, 0, sizeof *c);
}

void dev_child_arg(struct dev_child *c, char *arg)
{
	size_t n = 0;

	while (c->argv[n])
		n++;
	c->argv[n] = arg;
}

/* ---- pid files ---- */

/* When the process began, in the kernel's ticks: with the pid it names one process for good. */
static uint64_t start_time(pid_t pid)
{
	char path[64], text[1024], *p;
	cleanup(closep) int fd = -1;
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n <= 0)
		return 0;
	text[n] = 0;
	p = strrchr(text, ')'); /* the name may hold anything */
	for (int i = 0; p && i < 20; i++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p + 1, NULL, 10) : 0;
}

static void write_pid(const struct dev_child *c)
{
	char text[64];

	snprintf(text, sizeof text, "%d %" PRIu64 "\n", (int)c->process.pid,
		 start_time(c->process.pid));
	file_write_atomic(c->pid_path, text, strlen(text), 0600, NULL);
}

void dev_child_end_orphan(struct dev_child *c, int number)
{
	cleanup(buf_release) struct buf text = { 0 };
	cleanup(closep) int fd = -1;
	uint64_t began;
	char *end;
	long pid;
	struct pollfd p;

	if (file_read(c->pid_path, 64, &text, NULL) < 0)
		return;
	pid = strtol(buf_str(&text), &end, 10);
	began = strtoull(end, NULL, 10);
	fd = pid > 1 ? pidfd_open((pid_t)pid, 0) : -1;
	/* asked after the pidfd holds it: if this is the one, that is, too */
	if (fd >= 0 && began && start_time((pid_t)pid) == began) {
		say("Ending the %s that an earlier `sluice dev` left (process %ld)", c->name, pid);
		pidfd_send_signal(fd, number, NULL, 0);
		p = (struct pollfd){ .fd = fd, .events = POLLIN };
		if (poll(&p, 1, 10000) == 0) {
			pidfd_send_signal(fd, SIGKILL, NULL, 0);
			poll(&p, 1, 5000);
		}
	}
	unlink(c->pid_path);
}

/* ---- starting ---- */

/* Ours, but for what gRPC put there for itself. */
static const char **child_environment(void)
{
	const char **env = xcalloc(ENV_MOST + 1, sizeof *env);
	size_t n = 0;

	for (size_t i = 0; environ[i] && n < ENV_MOST; i++)
		if (strncmp(environ[i], "GRPC_", 5) != 0 && strncmp(environ[i], "SLUICE_", 7) != 0)
			env[n++] = environ[i];
	return env;
}

static int open_log(const struct dev_child *c, struct error *err)
{
	struct stat st;
	int fd;

	if (stat(c->log_path, &st) == 0 && st.st_size > LOG_MOST) {
		cleanup(freep) char *old = xprintf("%s.1", c->log_path);

		if (file_rename(c->log_path, old, err) < 0)
			return -1;
	}
	fd = open(c->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return fd < 0 ? error_errno(err, "opening '%s'", c->log_path) : fd;
}

int dev_child_start(struct dev_child *c, struct error *err)
{
	cleanup(closep) int log = open_log(c, err);
	cleanup(freep) const char **env = child_environment();
	struct spawn s = { .argv = (const char *const *)c->argv,
			   .env = env,
			   .in = -1,
			   .out = log,
			   .errout = log,
			   .new_session = true };

	if (log < 0 || spawn_start(&s, &c->process, err) < 0)
		return -1;
	c->running = true;
	c->started_ms = clock_boot_ms();
	c->restart_ms = 0;
	write_pid(c);
	return 0;
}

/* ---- ending ---- */

void dev_child_say_tail(const struct dev_child *c)
{
	cleanup(closep) int fd = open(c->log_path, O_RDONLY | O_CLOEXEC);
	char text[TAIL_BYTES + 1];
	const char *from;
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	ssize_t n = size > 0 ? pread(fd, text, TAIL_BYTES, MAX(size - TAIL_BYTES, (off_t)0)) : 0;

	while (n > 0 && text[n - 1] == '\n')
		n--;
	if (n <= 0)
		return;
	text[n] = 0;
	from = text + n;
	for (int lines = 0; from > text; from--)
		if (from[-1] == '\n' && ++lines == TAIL_LINES)
			break;
	while (*from) {
		size_t len = strcspn(from, "\n");

		say("  %s | %.*s", c->name, (int)len, from);
		from += len + (from[len] == '\n');
	}
}

static void describe(int status, char ret[64])
{
	if (WIFSIGNALED(status))
		snprintf(ret, 64, "was killed by signal %d", WTERMSIG(status));
	else
		snprintf(ret, 64, "left with code %d", WEXITSTATUS(status));
}

static bool ended(struct dev_child *c, int timeout_ms, int *ret_status)
{
	if (!c->running || spawn_wait(&c->process, timeout_ms, ret_status, NULL) < 0)
		return false;
	c->running = false;
	unlink(c->pid_path);
	return true;
}

bool dev_child_reap(struct dev_child *c)
{
	char what[64], time[CLOCK_TEXT];
	int64_t now = clock_boot_ms();
	int status;

	if (!ended(c, 0, &status))
		return false;
	describe(status, what);
	if (now - c->started_ms > WELL_AFTER_MS)
		c->back_off_ms = FIRST_BACK_OFF_MS;
	c->restart_ms = now + c->back_off_ms;
	say("%s %s; its last words:", c->name, what);
	dev_child_say_tail(c);
	say("It starts again in %s.", duration_format(c->back_off_ms, time));
	c->back_off_ms = MIN(2 * c->back_off_ms, (int)LONGEST_BACK_OFF_MS);
	return true;
}

void dev_child_signal(struct dev_child *c, int number)
{
	c->restart_ms = 0;
	if (c->running)
		spawn_signal(&c->process, number, NULL);
}

void dev_child_stop(struct dev_child *c, int patience_ms)
{
	int status;

	c->restart_ms = 0;
	if (!c->running || ended(c, patience_ms, &status))
		return;
	say("%s does not end: it is killed", c->name);
	spawn_signal(&c->process, SIGKILL, NULL);
	ended(c, -1, &status);
}
