/*
 * What shims cost, each figure beside its floor of the same run:
 *	spawn: attempts of `/bin/sh -ec true` through 8 slots, to posix_spawn with a pipe from 8
 *threads line: a printed line until the agent knows of it print: a job that prints 1,000,000 lines
 *one by one, to the same job writing into a file memory: resident bytes of an idle shim and its
 *keeper bench_shim [DIR]: the state directory's place, default /tmp.
 */
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/supervise.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/thread.h"

enum { SLOTS = 8, JOBS = 3000, ROUNDS = 5, LINES = 1000, PRINT_RUNS = 5 };

static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
static struct supervise *supervise;
static struct slot *slots[SLOTS];
static uint64_t next_fence = 1;
static int left;

static void die(const char *what, const struct error *err)
{
	fprintf(stderr, "bench_shim: %s: %s\n", what, err ? err->text : "");
	exit(1);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double percentile(double *v, int n, int p)
{
	qsort(v, (size_t)n, sizeof *v, by_value);
	return v[(n - 1) * p / 100];
}

/* ---- spawn ---- */

static void *spawn_floor(void *arg)
{
	char *argv[] = { (char *)"/bin/sh", (char *)"-ec", (char *)"true", NULL };

	while (__atomic_sub_fetch(&left, 1, __ATOMIC_RELAXED) >= 0) {
		posix_spawn_file_actions_t actions;
		char bytes[4096];
		int fds[2], status;
		pid_t pid;

		if (pipe2(fds, O_CLOEXEC) < 0)
			die("pipe", NULL);
		posix_spawn_file_actions_init(&actions);
		posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
		posix_spawn_file_actions_adddup2(&actions, fds[1], 2);
		if (posix_spawn(&pid, argv[0], &actions, NULL, argv, (char *const *)env))
			die("spawn", NULL);
		close(fds[1]);
		while (read(fds[0], bytes, sizeof bytes) > 0)
			;
		close(fds[0]);
		posix_spawn_file_actions_destroy(&actions);
		waitpid(pid, &status, 0);
	}
	return NULL;
}

static double rate_of_floor(int jobs)
{
	int64_t began = clock_mono_us();
	pthread_t threads[SLOTS];

	left = jobs;
	for (int i = 0; i < SLOTS; i++)
		threads[i] = thread_start("floor", 0, spawn_floor, NULL);
	for (int i = 0; i < SLOTS; i++)
		thread_join(threads[i]);
	return jobs * 1e6 / (double)(clock_mono_us() - began);
}

static void start_one(struct slot *slot, const char *command)
{
	struct supervise_spec spec = { .fence = next_fence++, .command = command, .env = env };
	struct error err = { 0 };

	if (slot_run(slot, &spec, &err) < 0)
		die("starting", &err);
}

static void release(uint64_t fence)
{
	char name[32];

	snprintf(name, sizeof name, "%llu", (unsigned long long)fence);
	supervise_release(supervise, name, NULL);
}

/* All slots in one thread; a slot gets its next attempt before the last one is released. */
static double rate_of_shims(int jobs)
{
	int64_t began = clock_mono_us();
	int sent = 0, done = 0;

	for (; sent < SLOTS; sent++)
		start_one(slots[sent], "true");
	while (done < jobs) {
		struct pollfd fds[SLOTS];
		struct slot_event event;
		struct error err = { 0 };

		for (int i = 0; i < SLOTS; i++)
			fds[i] = (struct pollfd){ .fd = slot_fd(slots[i]), .events = POLLIN };
		poll(fds, SLOTS, -1);
		for (int i = 0; i < SLOTS; i++) {
			if (!fds[i].revents || slot_next(slots[i], &event, &err) != 1 ||
			    event.kind != SLOT_EXITED)
				continue;
			if (event.record.exit_code != 0)
				die("a job failed", NULL);
			done++;
			if (sent++ < jobs)
				start_one(slots[i], "true");
			release(event.fence);
		}
	}
	return jobs * 1e6 / (double)(clock_mono_us() - began);
}

static void bench_spawn(void)
{
	double ours[ROUNDS], bare[ROUNDS], ratio[ROUNDS];

	rate_of_shims(100);
	for (int i = 0; i < ROUNDS; i++) {
		bare[i] = rate_of_floor(JOBS);
		ours[i] = rate_of_shims(JOBS);
		ratio[i] = ours[i] / bare[i];
	}
	printf("shim.spawn %.0f jobs/s %.2f (floor %.0f)\n", percentile(ours, ROUNDS, 50),
	       percentile(ratio, ROUNDS, 50), percentile(bare, ROUNDS, 50));
}

/* ---- a line ---- */

static struct slot_event await(struct slot *slot, enum slot_event_kind kind)
{
	struct slot_event event;
	struct error err = { 0 };

	do
		if (slot_wait(slot, 60000, &event, &err) != 1)
			die("waiting", &err);
	while (event.kind != kind);
	return event;
}

static void bench_line(void)
{
	static double us[LINES];
	uint64_t fence = next_fence, at = 0;
	char name[32], line[24];
	struct spool *spool;
	struct error err = { 0 };

	/* Each line is the moment it was printed, on the clock that we read, too. */
	start_one(slots[0], "exec python3 -c 'import os, time\n"
			    "for i in range(1000):\n"
			    "  time.sleep(0.002)\n"
			    "  os.write(1, b\"%016d\\n\" % "
			    "(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000))'");
	snprintf(name, sizeof name, "%llu", (unsigned long long)fence);
	for (int i = 0; i < LINES; i++) {
		struct slot_event event;

		if (slot_watch(slots[0], fence, at, &err) < 0)
			die("watching", &err);
		event = await(slots[0], SLOT_GROWN);
		us[i] = (double)clock_mono_us();
		spool = spool_open(supervise_spool_dir(supervise), name, &err);
		if (!spool)
			die("opening", &err);
		spool_set_length(spool, event.length);
		if (spool_read(spool, SPOOL_OUTPUT, at, line, 17, &err) != 17)
			die("reading", &err);
		us[i] -= strtod(line, NULL);
		at += 17;
		spool_close(spool);
	}
	await(slots[0], SLOT_EXITED);
	release(fence);
	printf("shim.line p50 %.0f us p99 %.0f us\n", percentile(us, LINES, 50),
	       percentile(us, LINES, 99));
}

/* ---- printing ---- */

static const char print_program[] =
	"#include <unistd.h>\n#include <string.h>\nint main(void) { char l[100]; memset(l, 'x', "
	"99); l[99] = '\\n';"
	" for (int i = 0; i < 1000000; i++) if (write(1, l, 100) != 100) return 1; return 0; }\n";

static double seconds_of(const char *command)
{
	uint64_t fence = next_fence;
	int64_t began = clock_mono_us();
	double seconds;

	start_one(slots[0], command);
	if (await(slots[0], SLOT_EXITED).record.exit_code != 0)
		die("the printer failed", NULL);
	seconds = (double)(clock_mono_us() - began) / 1e6;
	release(fence);
	return seconds;
}

static void bench_print(const char *dir)
{
	double piped[PRINT_RUNS], filed[PRINT_RUNS], ratio[PRINT_RUNS];
	char source[128], build[400], to_file[300], to_us[200];
	struct error err = { 0 };

	snprintf(source, sizeof source, "%s/print.c", dir);
	snprintf(build, sizeof build, "cc -O2 -o %s/print %s", dir, source);
	snprintf(to_us, sizeof to_us, "exec %s/print", dir);
	snprintf(to_file, sizeof to_file, "rm -f %s/out; exec %s/print > %s/out", dir, dir, dir);
	if (file_write_atomic(source, print_program, strlen(print_program), 0600, &err) < 0)
		die("writing", &err);
	seconds_of(build);
	for (int i = 0; i < PRINT_RUNS; i++) {
		filed[i] = seconds_of(to_file);
		piped[i] = seconds_of(to_us);
		ratio[i] = piped[i] / filed[i];
	}
	printf("shim.print %.3f s %.2f (into a file %.3f s)\n", percentile(piped, PRINT_RUNS, 50),
	       percentile(ratio, PRINT_RUNS, 50), percentile(filed, PRINT_RUNS, 50));
}

/* ---- memory ---- */

static void bench_memory(void)
{
	struct error err = { 0 };
	char command[300];

	slot_ask_status(slots[1], &err);
	snprintf(command, sizeof command,
		 "for p in %d $(cat /proc/%d/task/*/children); do "
		 "echo shim.memory $(sed -n 's/^Name:\\t//p; s/^VmRSS:\\t *//p; s/^RssAnon:\\t "
		 "*//p' /proc/$p/status); "
		 "done",
		 (int)await(slots[1], SLOT_STATUS).status.shim_pid,
		 (int)slot_status(slots[1])->shim_pid);
	fflush(stdout);
	char *argv[] = { (char *)"/bin/sh", (char *)"-c", command, NULL };
	pid_t pid;

	if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) == 0)
		waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	cleanup(freep) char *dir = xprintf("%s/bench-shim-XXXXXX", argc > 1 ? argv[1] : "/tmp");
	struct contain contain;
	struct error err = { 0 };
	char slot_name_[8];

	if (!mkdtemp(dir) || contain_probe(SHIM_PROGRAM, "", CONTAIN_PIDNS, &contain, &err) < 0)
		die("preparing", &err);
	supervise = supervise_open(dir, SHIM_PROGRAM, &contain, &err);
	for (int i = 0; supervise && i < SLOTS; i++) {
		snprintf(slot_name_, sizeof slot_name_, "%d", i);
		slots[i] = slot_open(supervise, slot_name_, &err);
	}
	if (!supervise || !slots[SLOTS - 1])
		die("opening", &err);
	printf("containment: %s\n", contain.reason);
	bench_spawn();
	bench_line();
	bench_print(dir);
	bench_memory();
	for (int i = 0; i < SLOTS; i++)
		slot_close(slots[i]);
	supervise_close(supervise);
	contain_release(&contain);
	return file_remove_tree(dir, &err) < 0;
}
