/*
 * Nothing of a run survives it, in any kind of containment, whoever dies first.
 */
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/spawn.h"
#include "fixture.h"

/* An escapee: its own session, its parents gone, all descriptors closed, TERM ignored. Its pid, as
 * the host sees it, is found by its unusual argument: inside a pid namespace $$ is another number.
 */
static const char escape[] = "python3 -c '\n"
			     "import os, signal, time\n"
			     "if os.fork(): os._exit(0)\n"
			     "os.setsid()\n"
			     "if os.fork(): os._exit(0)\n"
			     "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
			     "os.closerange(0, 100)\n"
			     "open(os.environ[\"WHERE\"] + \"/ready\", \"w\").write(\"1\\n\")\n"
			     "time.sleep(600)\n"
			     "'\n";

struct where {
	char text[128];
	const char *env[4];
};

static void set_where(struct where *w, struct bench *b, struct supervise_spec *spec)
{
	snprintf(w->text, sizeof w->text, "WHERE=%s", b->dir);
	w->env[0] = "PATH=/usr/bin:/bin";
	w->env[1] = w->text;
	w->env[2] = NULL;
	spec->env = w->env;
}

/* Processes whose environment names this bench, by the host's count; the shim has no environment.
 */
static int processes_of(struct bench *b)
{
	cleanup(freep) char *command =
		xprintf("grep -lsz '^WHERE=%s$' /proc/[0-9]*/environ 2>/dev/null | wc -l", b->dir);
	char text[32] = "";
	const char *argv[] = { "/bin/sh", "-c", command, NULL };
	struct spawn s = { .argv = argv, .in = -1 };
	cleanup(buf_release) struct buf out = { 0 };

	cr_assert_eq(spawn_run(&s, 10000, 100, &out, NULL), 0);
	snprintf(text, sizeof text, "%s", buf_str(&out));
	return (int)strtol(text, NULL, 10);
}

static const enum contain_kind kinds[] = { CONTAIN_PIDNS, CONTAIN_USERNS, CONTAIN_GROUP };

#define EACH_KIND(test)                                                                          \
	ParameterizedTestParameters(tree, test)                                                  \
	{                                                                                        \
		return cr_make_param_array(enum contain_kind, (void *)kinds, ARRAY_SIZE(kinds)); \
	}                                                                                        \
	ParameterizedTest(enum contain_kind *kind, tree, test, .timeout = 120)

EACH_KIND(an_escapee_dies_when_the_job_exits)
{
	struct bench b;
	struct where where;
	cleanup(freep) char *command =
		xprintf("%swhile ! [ -e $WHERE/ready ]; do sleep 0.01; done", escape);
	struct supervise_spec spec = a_job(1, command);

	bench_open(&b, *kind);
	set_where(&where, &b, &spec);
	cr_expect_eq(run_to_end(&b, &spec).reason, SHIM_EXITED);
	cr_expect_eq(processes_of(&b), 0);
	spec = a_job(2, "echo next");
	cr_expect_eq(run_to_end(&b, &spec).exit_code, 0);
	bench_close(&b);
}

EACH_KIND(a_killed_shim_takes_its_tree_along_and_the_run_is_lost)
{
	struct bench b;
	struct where where;
	cleanup(freep) char *command = xprintf("%sexec sleep 600", escape);
	struct supervise_spec spec = a_job(1, command);
	struct slot_event event;
	struct error err = { 0 };
	struct found f;

	bench_open(&b, *kind);
	set_where(&where, &b, &spec);
	must_run(&b, &spec);
	number_in(b.dir, "ready");
	cr_assert_eq(slot_ask_status(b.slot, &err), 0);
	event = await(b.slot, SLOT_STATUS);
	cr_assert_geq(processes_of(&b), 2);
	kill(event.status.shim_pid, SIGKILL);
	cr_assert_eq(slot_wait(b.slot, 10000, &event, &err), 1);
	cr_expect_eq(event.kind, SLOT_GONE);
	cr_expect_eq(event.fence, 1);
	f = what_became(&b, "1");
	cr_expect_eq(f.state, FOUND_LOST);
	cr_expect_eq(f.fence, 1);
	cr_expect_eq(processes_of(&b), 0, "the run is called lost while it lives");
	spec = a_job(2, "echo the slot starts another shim");
	cr_expect_eq(run_to_end(&b, &spec).exit_code, 0);
	bench_close(&b);
}

/* The first process of the namespace, as the lock file tells it. */
static pid_t keeper_of(struct bench *b)
{
	cleanup(freep) char *path = xprintf("%s/shims/%s.lock", b->dir, slot_name(b->slot));
	cleanup(buf_release) struct buf text = { 0 };
	struct error err = { 0 };
	int shim = 0, keeper = 0;

	cr_assert_eq(file_read(path, 256, &text, &err), 0, "%s", err.text);
	cr_assert_eq(sscanf(buf_str(&text), "%d %d", &shim, &keeper), 2);
	cr_assert_gt(keeper, 1);
	return (pid_t)keeper;
}

#define EACH_NAMESPACE(test)                                                     \
	ParameterizedTestParameters(tree, test)                                  \
	{                                                                        \
		return cr_make_param_array(enum contain_kind, (void *)kinds, 2); \
	}                                                                        \
	ParameterizedTest(enum contain_kind *kind, tree, test, .timeout = 120)

EACH_NAMESPACE(a_killed_keeper_takes_its_tree_along_and_the_run_is_lost)
{
	struct bench b;
	struct where where;
	cleanup(freep) char *command = xprintf("%secho said; sleep 600; echo no", escape);
	struct supervise_spec spec = a_job(1, command);
	struct slot_event event;
	struct error err = { 0 };
	struct found f;

	bench_open(&b, *kind);
	set_where(&where, &b, &spec);
	must_run(&b, &spec);
	number_in(b.dir, "ready");
	cr_assert_eq(slot_watch(b.slot, 1, 0, &err), 0);
	await(b.slot, SLOT_GROWN);
	cr_assert_eq(kill(keeper_of(&b), SIGKILL), 0);
	cr_assert_eq(slot_wait(b.slot, 10000, &event, &err), 1);
	cr_expect_eq(event.kind, SLOT_GONE, "%d", event.kind);
	f = what_became(&b, "1");
	cr_expect_eq(f.state, FOUND_LOST);
	cr_expect_eq(f.length, 5, "what it said is there");
	cr_expect_eq(processes_of(&b), 0, "the run is called lost while it lives");
	spec = a_job(2, "echo the slot starts another shim");
	cr_expect_eq(run_to_end(&b, &spec).exit_code, 0);
	bench_close(&b);
}

/* It was to end anyway: why is known, whoever killed it. */
EACH_NAMESPACE(a_run_that_was_cancelled_is_not_lost_with_its_keeper)
{
	struct bench b;
	struct where where;
	struct supervise_spec spec =
		a_job(1, "trap '' TERM; echo 1 >$WHERE/ready; while :; do sleep 1; done");
	struct slot_event event;
	struct error err = { 0 };

	bench_open(&b, *kind);
	set_where(&where, &b, &spec);
	must_run(&b, &spec);
	number_in(b.dir, "ready");
	cr_assert_eq(slot_signal(b.slot, 1, SHIM_CANCELLED, 60000, &err), 0);
	cr_assert_eq(slot_ask_status(b.slot, &err), 0);
	await(b.slot, SLOT_STATUS); /* it heard */
	cr_assert_eq(kill(keeper_of(&b), SIGKILL), 0);
	event = await(b.slot, SLOT_EXITED);
	cr_expect_eq(event.record.reason, SHIM_CANCELLED);
	spec = a_job(2, "echo next");
	cr_expect_eq(run_to_end(&b, &spec).exit_code, 0);
	bench_close(&b);
}

EACH_NAMESPACE(an_idle_shim_leaves_with_its_keeper)
{
	struct bench b;
	struct supervise_spec spec = a_job(1, "echo one");

	bench_open(&b, *kind);
	cr_expect_eq(run_to_end(&b, &spec).exit_code, 0);
	cr_assert_eq(kill(keeper_of(&b), SIGKILL), 0);
	await(b.slot, SLOT_GONE);
	spec = a_job(2, "echo two");
	cr_expect_eq(run_to_end(&b, &spec).exit_code, 0);
	bench_close(&b);
}

EACH_KIND(the_deadline_kills_without_an_agent)
{
	struct bench b;
	struct where where;
	cleanup(freep) char *command = xprintf("trap 'echo term' TERM; %s"
					       "while :; do sleep 600 & wait $! || true; done",
					       escape);
	struct supervise_spec spec = a_job(1, command);
	int64_t began = clock_boot_ms();
	struct found f;

	bench_open(&b, *kind);
	set_where(&where, &b, &spec);
	spec.deadline_boot_ms = began + 2000;
	spec.kill_budget_ms = 1000;
	must_run(&b, &spec);
	number_in(b.dir, "ready");
	bench_restart(&b);
	while (file_exists("/proc/self") && processes_of(&b) > 0 && clock_boot_ms() < began + 5000)
		usleep(20000);
	cr_expect_geq(clock_boot_ms(), began + 1900);
	cr_expect_lt(clock_boot_ms(), began + 3000, "not empty within K of the deadline");
	f = what_became(&b, "1");
	cr_expect_eq(f.state, FOUND_DONE);
	cr_expect_eq(f.record.reason, SHIM_LEASE);
	cr_expect_eq(f.record.signal, SIGKILL);
	{
		cleanup(freep) char *out = output_of_fence(&b, 1);

		cr_expect(strstr(out, "term\n"), "no SIGTERM at deadline - K/2: '%s'", out);
	}
	bench_close(&b);
}

EACH_KIND(a_renewed_lease_lets_the_job_finish)
{
	struct bench b;
	struct supervise_spec spec = a_job(1, "sleep 1.2; echo fine");
	struct error err = { 0 };
	struct shim_record r;

	bench_open(&b, *kind);
	spec.deadline_boot_ms = clock_boot_ms() + 800;
	spec.kill_budget_ms = 200;
	must_run(&b, &spec);
	cr_assert_eq(slot_deadline(b.slot, 1, clock_boot_ms() + 60000, &err), 0, "%s", err.text);
	r = await(b.slot, SLOT_EXITED).record;
	cr_expect_eq(r.reason, SHIM_EXITED);
	cr_expect_eq(r.exit_code, 0);
	bench_close(&b);
}

EACH_KIND(orphans_are_reaped_while_the_job_runs)
{
	struct bench b;
	struct where where;
	struct supervise_spec spec = a_job(1, "for i in 1 2 3 4 5; do (true &) ; done; sleep 0.2; "
					      "echo 1 > $WHERE/ready; sleep 600");
	struct error err = { 0 };
	struct slot_event event;
	pid_t shim;

	bench_open(&b, *kind);
	set_where(&where, &b, &spec);
	must_run(&b, &spec);
	number_in(b.dir, "ready");
	slot_ask_status(b.slot, &err);
	event = await(b.slot, SLOT_STATUS);
	shim = event.status.shim_pid;
	{
		cleanup(freep) char *command =
			xprintf("ps -eo ppid=,pid=,stat= | awk -v s=%d '$1 == s {k[$2]} {p[$2] = "
				"$1; st[$2] = $3} "
				"END {for (x in p) if (st[x] ~ /^Z/ && (p[x] == s || p[x] in k)) "
				"n++; print n + 0}'",
				(int)shim);
		const char *argv[] = { "/bin/sh", "-c", command, NULL };
		struct spawn s = { .argv = argv, .in = -1 };
		cleanup(buf_release) struct buf out = { 0 };

		cr_assert_eq(spawn_run(&s, 10000, 100, &out, &err), 0, "%s", err.text);
		cr_expect_str_eq(buf_str(&out), "0\n");
	}
	slot_signal(b.slot, 1, SHIM_STOPPED, 0, &err);
	await(b.slot, SLOT_EXITED);
	bench_close(&b);
}

EACH_KIND(the_shim_leaks_no_descriptor)
{
	struct bench b;
	struct error err = { 0 };
	int before = 0;
	pid_t shim = 0;

	bench_open(&b, *kind);
	for (uint64_t fence = 1; fence <= 30; fence++) {
		struct supervise_spec spec =
			a_job(fence, fence % 3 ? "echo x" : "nonsense-program");

		run_to_end(&b, &spec);
		if (fence > 1)
			continue;
		slot_ask_status(b.slot, &err);
		shim = await(b.slot, SLOT_STATUS).status.shim_pid;
		before = open_descriptors(shim);
	}
	cr_expect_eq(open_descriptors(shim), before);
	bench_close(&b);
}

/* ---- cgroups ---- */

static const char *cgroup_root(void)
{
	static const char *const roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

	for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
		cleanup(freep) char *procs = path_join(roots[i], "cgroup.subtree_control");

		if (access(procs, W_OK) == 0)
			return roots[i];
	}
	return NULL;
}

EACH_KIND(a_cgroup_is_made_for_each_run_and_removed)
{
	struct bench b;
	char dir[128], jobs[160], own[200];
	struct where where;
	cleanup(freep) char *command = xprintf("cat /proc/self/cgroup; %sexec sleep 600", escape);
	struct supervise_spec spec = a_job(7, command);
	struct error err = { 0 };

	if (!cgroup_root())
		cr_skip_test("no cgroup v2 that we may write to");
	snprintf(dir, sizeof dir, "%s/sluice-test-%d", cgroup_root(), (int)getpid());
	cr_assert_eq(mkdir(dir, 0755), 0, "'%s': %s", dir, strerror(errno));
	snprintf(jobs, sizeof jobs, "%s/jobs", dir);
	snprintf(own, sizeof own, "%s/7", jobs);
	bench_open_in(&b, *kind, "/tmp", dir);
	cr_assert_str_eq(b.contain.cgroup, jobs, "%s", b.contain.reason);
	set_where(&where, &b, &spec);
	must_run(&b, &spec);
	number_in(b.dir, "ready");
	cr_expect(file_exists(own));
	cr_assert_eq(slot_signal(b.slot, 7, SHIM_CANCELLED, 0, &err), 0);
	cr_expect_eq(await(b.slot, SLOT_EXITED).record.reason, SHIM_CANCELLED);
	cr_expect_eq(processes_of(&b), 0);
	{
		cleanup(freep) char *out = output_of_fence(&b, 7);

		cr_expect(strstr(out, "/jobs/7\n"), "%s", out);
	}
	cr_expect(!file_exists(own));
	bench_close(&b);
	rmdir(jobs);
	cr_expect_eq(rmdir(dir), 0, "'%s': %s", dir, strerror(errno));
}
