/*
 * Goals of memory: the peaks of goals 6 and 9, and what it all uses when nothing happens.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/client.h"
#include "load/goals.h"
#include "load/house.h"
#include "load/measure.h"

enum { OUTPUT_MIB = 1024, QUICK_MIB = 128, LINES = 1000000, SETTLE_S = 3, IDLE_S = 10 };

static void run_job(struct house *h, const char *args, bool output)
{
	cleanup(buf_release) struct buf file = { 0 };
	cleanup(freep) char *command = xprintf("%s %s", getenv("BENCH_PRINT"), args);
	struct id run;

	if (output)
		client_pipeline_output(&file, command);
	else
		client_pipeline(&file, 1, command);
	run = client_submit(h->users, buf_str(&file), 0);
	client_watch(h->users, run.text);
}

/* ---- 12 ---- */

static void say_peak(const char *name, double peak, double idle)
{
	struct figure f = { "12", name, "MiB_above_idle", peak - idle, 0, AT_MOST, 64 };

	figure_say(&f);
}

static void peak_of(struct house *h, const char *args, bool output, const char *const names[2])
{
	struct usage controller = usage_of(h->controller.pid), agent = usage_of(h->agent.pid);

	usage_reset_peak(h->controller.pid);
	usage_reset_peak(h->agent.pid);
	run_job(h, args, output);
	say_peak(names[0], usage_of(h->controller.pid).peak, controller.rss);
	say_peak(names[1], usage_of(h->agent.pid).peak, agent.rss);
}

void goal_peak(void)
{
	static const char *const of_log[] = { "controller_peak_1M_lines", "agent_peak_1M_lines" };
	static const char *const of_upload[] = { "controller_peak_1GiB_output",
						 "agent_peak_1GiB_output" };
	cleanup(freep) char *lines = xprintf("lines %d 64000", LINES);
	cleanup(freep) char *bytes = xprintf("bytes %d out", quick ? QUICK_MIB : OUTPUT_MIB);
	struct house *h = house_open(2);

	pause_s(1);
	peak_of(h, lines, false, of_log);
	house_close(h);
	h = house_open(2); /* from idle again: what malloc kept would hide the second peak */
	pause_s(1);
	peak_of(h, bytes, true, of_upload);
	house_close(h);
}

/* ---- 13 ---- */

/* A server of the same gRPC, with TLS and health and nothing else. */
static double bare_rss(const struct house *h)
{
	cleanup(freep) char *cert = xprintf("%s/controller/ca/server.pem", h->dir);
	cleanup(freep) char *key = xprintf("%s/controller/ca/server.key", h->dir);
	const char *argv[] = { getenv("BENCH_SERVER"), cert, key, NULL };
	struct spawn spawn = { .argv = argv, .in = -1, .out = -1, .errout = -1 };
	struct child child;
	struct error err = { 0 };
	double rss;
	int status;

	if (!argv[0] || spawn_start(&spawn, &child, &err) < 0)
		die(&err, "starting the bare server");
	pause_s(1);
	rss = usage_of(child.pid).rss;
	if (spawn_signal(&child, 15, &err) < 0 || spawn_wait(&child, 5000, &status, &err) < 0)
		die(&err, "stopping the bare server");
	return rss;
}

static void say_idle(const char *name, double rss, double floor, double limit)
{
	struct figure f = { "13", name, "MiB", rss, floor, AT_MOST, limit };

	figure_say(&f);
}

static void say_idle_cpu(const char *name, double used)
{
	struct figure f = { "13", name, "ms/s", 1e3 * used / IDLE_S, 0, AT_MOST, 1 };

	figure_say(&f);
}

void goal_idle(void)
{
	struct house *h = house_open(2);
	double floor = bare_rss(h);
	struct usage controller, agent, shim = { 0 };
	pid_t shim_pid;

	run_job(h, "lines 10 100", false); /* so that there is a shim */
	pause_s(SETTLE_S);
	controller = usage_of(h->controller.pid);
	agent = usage_of(h->agent.pid);
	shim_pid = house_child_of(h->agent.pid, "sluice-shim");
	if (shim_pid)
		shim = usage_of(shim_pid);
	else
		die(NULL, "the idle agent has no shim");
	say_idle("controller_rss", controller.rss, floor, 2);
	say_idle("agent_rss", agent.rss, floor, 1.5);
	say_idle("shim_rss", shim.rss, 0, 1);
	say_idle("shim_own", shim.anon, 0, 1);
	pause_s(IDLE_S);
	say_idle_cpu("controller_cpu", usage_of(h->controller.pid).cpu_s - controller.cpu_s);
	say_idle_cpu("agent_cpu", usage_of(h->agent.pid).cpu_s - agent.cpu_s);
	say_idle_cpu("shim_cpu", usage_of(shim_pid).cpu_s - shim.cpu_s);
	house_close(h);
}
