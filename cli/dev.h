/*
 * dev.h - what the parts of `sluice dev` share
 *
 *	dev.c		the verbs: foreground, --detach, stop
 *	dev_plan.c	which programs with which arguments: pure but for looking at the machine
 *	dev_child.c	one supervised program: log, pid file, restart with back-off
 *	dev_start.c	bringing everything up in order
 *
 * A state directory holds `lock` (held while it runs, with the pid), `controller/`, `agents/NAME/`,
 * `logs/`, `run/NAME` (pid and start time of each program, so that the next start finds what a
 * kill -9 left behind) and `ports` (so that it comes back where it was).
 */
#ifndef CLI_DEV_H
#define CLI_DEV_H

#include <stdbool.h>
#include <stdint.h>
#include "base/spawn.h"
#include "cli/cli.h"

enum { DEV_AGENTS = 16, DEV_ARGS = 32 };

/* ---- dev_plan.c ---- */

struct dev_agent {
	char *name;
	char label[160]; /* "role=worker" or "env=NAME" */
	unsigned cpus, slots;
	uint64_t memory;
	unsigned first_port, last_port;
};

struct dev_plan {
	char *dir;
	char *bin_controller, *bin_agent;
	struct dev_agent agents[DEV_AGENTS];
	unsigned n_agents;
};

struct machine {
	unsigned cpus;
	uint64_t memory;
};

/* names: "worker,staging,production". Divides the machine: those named worker... share all CPUs and
 * three quarters of the memory, the others an eighth of the CPUs each and the rest. */
int dev_plan_agents(struct dev_plan *plan, const char *names, const struct machine *machine,
		    struct error *err);
/* dir: --dir or NULL. Finds the programs beside ours, then in PATH. */
int dev_plan_make(struct dev_plan *plan, const char *dir, const char *names, struct error *err);
void dev_plan_release(struct dev_plan *plan); /* fits cleanup() */
char *dev_path(const struct dev_plan *plan, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* D/lock's path for a directory: for `dev stop`. */
char *dev_directory(const char *dir, struct error *err);

/* ---- dev_child.c ---- */

struct dev_child {
	const char *name; /* borrowed */
	char *argv[DEV_ARGS];
	char *log_path, *pid_path;
	struct child process;
	bool running;
	int64_t started_ms, restart_ms; /* boot clock; restart 0: not wanted */
	int back_off_ms;
};

void dev_child_init(struct dev_child *c, const struct dev_plan *plan, const char *name);
void dev_child_release(struct dev_child *c);
void dev_child_arg(struct dev_child *c, char *arg); /* takes it */
void dev_child_clear_args(struct dev_child *c);
int dev_child_start(struct dev_child *c, struct error *err);
/* Its process has ended? Then says so, with the end of its log, and when it starts again. */
bool dev_child_reap(struct dev_child *c);
/* The same without a word: it was told to end. */
void dev_child_stop(struct dev_child *c, int patience_ms);
void dev_child_signal(struct dev_child *c, int number);
/* Ends what an earlier `sluice dev` that was killed left running under this name. */
void dev_child_end_orphan(struct dev_child *c, int number);
/* The last lines of its log. */
void dev_child_say_tail(const struct dev_child *c);

/* ---- dev_start.c ---- */

struct dev {
	struct cli *cli;
	struct dev_plan plan;
	int lock;
	char users[64], agents_address[64]; /* host:port */
	struct dev_child controller, agents[DEV_AGENTS];
	int wake;	  /* an eventfd: Ctrl-C */
	char context[32]; /* its name */
};

/* All of it, until every agent is connected. -1 also when interrupted. */
int dev_start(struct dev *d, struct error *err);
void dev_stop_all(struct dev *d);

#endif
