/*
 * sluice dev: controller and agents on this computer, in one directory, until Ctrl-C.
 *
 * --detach starts this program again in the background and waits until it says, over a pipe, that
 * everything is connected, or why not.
 */
#include "cli/dev.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/context.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "cli/verbs.h"

enum { STOP_MS = 120000, READY_FD = 3 };

static const char ready_variable[] = "SLUICE_DEV_READY";
static const char default_agents[] = "worker,staging,production";

/* ---- one at a time ---- */

static long running_pid(const char *lock_path)
{
	cleanup(buf_release) struct buf text = { 0 };

	if (!file_locked(lock_path) || file_read(lock_path, 64, &text, NULL) < 0)
		return 0;
	return strtol(buf_str(&text), NULL, 10);
}

static int take_lock(struct dev *d, struct error *err)
{
	cleanup(freep) char *path = dev_path(&d->plan, "lock");
	char text[24];

	if (file_make_dirs(d->plan.dir, 0700, err) < 0)
		return -1;
	if (file_lock(path, &d->lock, err) < 0) {
		if (err->code != ERR_CONFLICT)
			return -1;
		error_id(err, "E0605", "sluice dev runs in '%s' already (process %ld)", d->plan.dir,
			 running_pid(path));
		return error_hint(
			err, "sluice dev stop --dir %s ends it; --dir with another makes another",
			d->plan.dir);
	}
	snprintf(text, sizeof text, "%d\n", (int)getpid());
	if (ftruncate(d->lock, 0) < 0 || pwrite(d->lock, text, strlen(text), 0) < 0)
		return error_errno(err, "writing '%s'", path);
	return 0;
}

/* ---- the context ---- */

/* `dev`, unless that is the name of a dev in another directory: then `dev-2`, `dev-3`, ... */
static void name_context(const struct contexts *all, struct dev *d)
{
	const struct context *there;
	unsigned n = 1;

	do {
		if (n > 1)
			snprintf(d->context, sizeof d->context, "dev-%u", n);
		else
			snprintf(d->context, sizeof d->context, "dev");
		there = contexts_find(all, d->context);
		n++;
	} while (there && strcmp(there->dev, d->plan.dir) != 0);
}

/* *ret_current: is it the current one now? */
static int write_context(struct dev *d, bool *ret_current, char **ret_other, struct error *err)
{
	cleanup(freep) char *ca_path = dev_path(&d->plan, "controller/ca/ca.pem");
	cleanup(freep) char *token_path = dev_path(&d->plan, "controller/admin.token");
	cleanup(buf_release) struct buf ca = { 0 }, token = { 0 };
	cleanup(contexts_freep) struct contexts *all = contexts_load(err);
	struct context made = { .address = d->users, .dev = d->plan.dir };
	const struct context *current;

	if (!all || file_read(ca_path, 1 << 20, &ca, err) < 0 ||
	    file_read(token_path, 4096, &token, err) < 0)
		return -1;
	name_context(all, d);
	made.name = d->context;
	made.ca_pem = (char *)buf_str(&ca);
	made.token = (char *)buf_str(&token);
	contexts_put(all, &made);
	current = contexts_find(all, all->current);
	*ret_current = !current || *current->dev;
	if (*ret_current)
		contexts_use(all, made.name);
	else
		*ret_other = xstrdup(all->current);
	return contexts_save(all, err);
}

/* ---- what is said ---- */

static void tell(const struct dev *d, bool is_current, const char *other, struct buf *out)
{
	struct look look = out_look();
	char memory[CLOCK_TEXT];

	buf_printf(out, "All of sluice on this computer, in %s\n\n", d->plan.dir);
	text_paintf(out, &look, BOLD, "  %-12s", "controller");
	buf_printf(out, " %s\n", d->users);
	for (unsigned i = 0; i < d->plan.n_agents; i++) {
		const struct dev_agent *a = &d->plan.agents[i];

		text_paintf(out, &look, BOLD, "  %-12s", a->name);
		buf_printf(out, " %u CPU%s, %s, %s, services on %u-%u\n", a->cpus,
			   a->cpus == 1 ? "" : "s", size_format(a->memory, memory), a->label,
			   a->first_port, a->last_port);
	}
	buf_printf(out, "\nLogs are in %s/logs. Jobs and services run as you, with your rights.\n",
		   d->plan.dir);
	if (is_current)
		buf_printf(
			out,
			"The context `%s` is the current one: `sluice` talks to this controller.\n",
			d->context);
	else
		buf_printf(
			out,
			"The context is `%s`; the current one stays `%s`: sluice context use %s\n",
			d->context, other, d->context);
	buf_puts(out, "Next: `sluice init` writes a first pipeline, `sluice submit . --watch` runs "
		      "it.\n");
}

/* ---- supervising ---- */

static void wake(void *arg)
{
	const struct dev *d = arg;
	uint64_t one = 1;

	if (write(d->wake, &one, sizeof one) < 0)
		return; /* it is full: woken already */
}

static void restart(struct dev_child *c)
{
	struct error err = { 0 };

	if (dev_child_start(c, &err) == 0)
		return;
	say_error(&err);
	c->restart_ms = clock_boot_ms() + c->back_off_ms;
}

/* Waits for an end, a Ctrl-C, or the time to start one again. */
static void wait_for_something(struct dev *d, struct dev_child **all, unsigned n)
{
	struct pollfd polls[DEV_AGENTS + 2] = { { .fd = d->wake, .events = POLLIN } };
	int64_t now = clock_boot_ms(), next = now + 3600000;

	for (unsigned i = 0; i < n; i++) {
		polls[i + 1] = (struct pollfd){ .fd = all[i]->running ? all[i]->process.pidfd : -1,
						.events = POLLIN };
		if (!all[i]->running && all[i]->restart_ms)
			next = MIN(next, all[i]->restart_ms);
	}
	poll(polls, n + 1, (int)MAX(next - now, INT64_C(0)));
}

static void supervise(struct dev *d)
{
	struct dev_child *all[DEV_AGENTS + 1];
	unsigned n = 0;

	all[n++] = &d->controller;
	for (unsigned i = 0; i < d->plan.n_agents; i++)
		all[n++] = &d->agents[i];
	while (!interrupted()) {
		wait_for_something(d, all, n);
		for (unsigned i = 0; i < n && !interrupted(); i++) {
			dev_child_reap(all[i]);
			if (!all[i]->running && all[i]->restart_ms &&
			    all[i]->restart_ms <= clock_boot_ms())
				restart(all[i]);
		}
	}
}

/* ---- foreground ---- */

/* The one who waits for us in --detach gets the first byte: all is well; or else the words. */
static void tell_parent(int fd, const struct error *err, const struct buf *text)
{
	cleanup(buf_release) struct buf message = { 0 };

	if (fd < 0)
		return;
	buf_putc(&message, err ? 'E' : 'R');
	buf_puts(&message, err ? err->text : buf_str(text));
	file_write_all(fd, message.data, message.len, NULL);
	close(fd);
}

static int run_foreground(struct dev *d, int ready, struct error *err)
{
	cleanup(buf_release) struct buf text = { 0 };
	cleanup(freep) char *other = NULL;
	bool current = false;
	int r;

	d->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	interrupt_begin(wake, d);
	r = dev_start(d, err);
	if (r == 0)
		r = write_context(d, &current, &other, err);
	if (r == 0) {
		tell(d, current, other, &text);
		tell_parent(ready, NULL, &text);
		if (ready < 0) {
			out_buf(&text);
			say("\nCtrl-C stops everything; the next start goes on where it was.");
		}
		supervise(d);
		say("Stopping: jobs are told to end, services stop and come back with the next "
		    "start.");
	} else {
		tell_parent(ready, err, NULL);
	}
	dev_stop_all(d);
	interrupt_end();
	closep(&d->wake);
	return r < 0 && interrupted() ? STATUS_INTERRUPTED : r < 0 ? -1 : STATUS_OK;
}

/* ---- background ---- */

static int read_all(int fd, struct buf *ret)
{
	ssize_t n;

	do {
		buf_reserve(ret, 4096);
		n = file_read_some(fd, ret->data + ret->len, 4096, NULL);
		ret->len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	ret->data[ret->len] = 0;
	return n < 0 ? -1 : 0;
}

static int run_background(struct dev *d, const char *agents, struct error *err)
{
	char self[PATH_MAX] = "";
	ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
	const char *argv[] = {
		len > 0 ? self : "sluice", "dev", "--dir", d->plan.dir, "--agents", agents, NULL
	};
	cleanup(freep) char *log_path = dev_path(&d->plan, "logs/dev.log");
	cleanup(freep) char *logs = dev_path(&d->plan, "logs");
	cleanup(buf_release) struct buf said = { 0 };
	cleanup(closep) int in = -1, out = -1, log = -1;
	struct spawn s = { .argv = argv, .dir = "/", .in = -1, .n_keep = 1, .new_session = true };
	struct child child;
	int ends[2];

	closep(&d->lock); /* the other one takes it */
	d->lock = -1;
	if (file_make_dirs(logs, 0700, err) < 0)
		return -1;
	log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log < 0 || pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, "opening '%s'", log_path);
	in = ends[0];
	out = ends[1];
	s.out = s.errout = log;
	s.keep = &out;
	setenv(ready_variable, "1", 1);
	if (spawn_start(&s, &child, err) < 0)
		return -1;
	unsetenv(ready_variable);
	close(out);
	out = -1;
	read_all(in, &said);
	if (said.len && *said.data == 'R') {
		out_printf("%s", said.data + 1);
		say("\n`sluice dev stop --dir %s` stops it.", d->plan.dir);
		return STATUS_OK;
	}
	if (said.len)
		error_set(err, ERR_INTERNAL, "%s", said.data + 1);
	else
		error_set(err, ERR_INTERNAL, "sluice dev ended before it was ready");
	return error_hint(err, "its log is %s", log_path);
}

/* ---- the verbs ---- */

static int dev(struct cli *cli, struct error *err)
{
	struct dev d = { .cli = cli, .lock = -1, .wake = -1 };
	const char *agents = flag_text(&cli->args, "agents");
	int ready = getenv(ready_variable) ? READY_FD : -1, r = -1;

	if (ready >= 0) {
		unsetenv(ready_variable);
		fcntl(ready, F_SETFD, FD_CLOEXEC);
	}
	if (!agents)
		agents = default_agents;
	if (dev_plan_make(&d.plan, flag_text(&cli->args, "dir"), agents, err) == 0 &&
	    take_lock(&d, err) == 0)
		r = flag_given(&cli->args, "detach") ? run_background(&d, agents, err)
						     : run_foreground(&d, ready, err);
	else
		tell_parent(ready, err, NULL);
	closep(&d.lock);
	dev_plan_release(&d.plan);
	return r;
}

static int dev_stop(struct cli *cli, struct error *err)
{
	cleanup(freep) char *dir = dev_directory(flag_text(&cli->args, "dir"), err);
	cleanup(freep) char *path = dir ? path_join(dir, "lock") : NULL;
	cleanup(closep) int fd = -1;
	struct pollfd p;
	long pid;

	if (!dir)
		return -1;
	pid = running_pid(path);
	fd = pid > 1 ? pidfd_open((pid_t)pid, 0) : -1;
	if (fd < 0 || running_pid(path) != pid) {
		say("Nothing runs in %s.", dir);
		return STATUS_OK;
	}
	if (pidfd_send_signal(fd, SIGTERM, NULL, 0) < 0)
		return error_errno(err, "stopping process %ld", pid);
	p = (struct pollfd){ .fd = fd, .events = POLLIN };
	if (poll(&p, 1, STOP_MS) == 0)
		return error_set(err, ERR_TIMEOUT, "process %ld does not end", pid);
	out_printf("Stopped. `sluice dev` goes on where it was.\n");
	return STATUS_OK;
}

static const struct flag dev_flags[] = {
	{ 0, "dir", "DIR", "where its state is (default: ~/.local/state/sluice/dev)" },
	{ 0, "agents", "NAMES", "worker,staging,production unless said otherwise" },
	{ 'd', "detach", NULL, "in the background; returns when every agent is connected" },
	{ 0 },
};
static const struct flag stop_flags[] = {
	{ 0, "dir", "DIR", "where its state is" },
	{ 0 },
};

const struct verb dev_verbs[] = {
	{ "dev", "", "Controller and agents here, without root or configuration",
	  "Agents named worker... run jobs; each other name is the host of the environment of that "
	  "name\n"
	  "(label env=NAME). Ctrl-C stops everything in order: jobs end as preempted, services "
	  "come back\n"
	  "with the next start, runs and releases are kept.\n\n"
	  "  sluice dev\n"
	  "  sluice dev --detach && sluice submit examples/digits --watch",
	  dev_flags, 0, 0, false, dev },
	{ "dev stop", "", "Stop the one in the background", NULL, stop_flags, 0, 0, false,
	  dev_stop },
	{ 0 },
};
