/*
 * Events only note what happened (reaped, told to end, readable); run_step() then does whatever
 * has become due. So the order in which a deadline, an exit and a request arrive does not matter.
 */
#include "agent/shim/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/shim/text.h"

enum { FULL_RETRY_MS = 100, TREE_TICK_MS = 2 };

static int64_t clock_ms(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t boot_ms(void)
{
	return clock_ms(CLOCK_BOOTTIME);
}

int64_t wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

void run_init(struct run *r, struct tree *tree, void (*tell)(enum wire_kind kind))
{
	r->tree = tree;
	r->tell = tell;
	r->phase = SHIM_IDLE;
	r->cgroup = r->output.pipe = r->output.spool = -1;
	r->watch = UINT64_MAX;
}

static bool is_service(const struct run *r)
{
	return r->request.flags & WIRE_FLAG_SERVICE;
}

static void set_cause(struct run *r, enum shim_reason cause)
{
	if (r->cause == SHIM_NONE)
		r->cause = cause;
}

/* ---- starting ---- */

static void not_started(struct run *r, enum shim_step step, int errno_value)
{
	set_cause(r, SHIM_NOT_STARTED);
	r->record.step = step;
	r->record.errno_value = errno_value;
	r->gone = true;
}

static void forget_last(struct run *r)
{
	r->pid = 0;
	r->status = 0;
	r->gone = r->told_to_end = r->timed_out = r->judged = r->unwritten = false;
	r->cause = SHIM_NONE;
	r->kill_at = 0;
	r->flow = OUTPUT_IDLE;
	memset(&r->usage, 0, sizeof r->usage);
	r->record = (struct shim_record){ .fence = r->request.fence };
}

static void start_program(struct run *r)
{
	struct launch launch = {
		.exec = r->request.exec,
		.argv = r->request.argv,
		.env = r->request.env,
		.dir = r->request.dir,
		.uid = (uid_t)r->request.uid,
		.gid = (gid_t)r->request.gid,
		.no_new_privs = r->request.flags & WIRE_FLAG_NO_NEW_PRIVS,
		.in = r->null,
		.cgroup = r->cgroup,
		.parent = tree_parent(r->tree),
	};
	pid_t pid;

	forget_last(r);
	r->phase = SHIM_RUNNING;
	r->started_boot = boot_ms();
	r->started_wall = wall_ms();
	if (r->request.deadline && r->started_boot >= r->request.deadline) {
		set_cause(r, SHIM_LEASE); /* too late to begin */
		r->gone = true;
		return;
	}
	if (r->request.cgroup && r->cgroup < 0) {
		not_started(r, STEP_CGROUP, r->cgroup_error);
		return;
	}
	launch.out = output_pipe(&r->output);
	if (launch.out < 0) {
		not_started(r, STEP_PIPE, errno);
		return;
	}
	pid = launch_start(&launch);
	close(launch.out);
	if (pid < 0)
		not_started(r, launch.ret_step, launch.ret_errno);
	else
		r->pid = pid;
	r->runs++;
}

bool run_begin(struct run *r, struct wire_in *in, enum shim_step *ret_step, int *ret_errno)
{
	*ret_errno = 0;
	if (r->phase != SHIM_IDLE)
		return *ret_step = STEP_BUSY, false;
	if (request_parse(&r->request, &r->output.mask, in) < 0)
		return *ret_step = STEP_MESSAGE, false;
	r->output.name = r->request.name;
	r->output.service = is_service(r);
	r->output.limit = r->request.limit;
	r->output.length = r->request.length;
	if (output_open(&r->output) < 0) {
		*ret_errno = errno;
		return *ret_step = STEP_SPOOL, false;
	}
	r->cgroup = r->request.cgroup ? open(r->request.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
				      : -1;
	r->restarts = 0;
	r->backoff = r->request.backoff_min;
	memset(r->history, 0, sizeof r->history);
	r->watch = UINT64_MAX;
	r->full_since = r->retry_at = 0;
	r->oom_kills = 0;
	r->cgroup_error = errno;
	start_program(r);
	return true;
}

/* ---- ending ---- */

static void kill_all(struct run *r)
{
	if (r->phase != SHIM_RUNNING)
		return;
	r->phase = SHIM_ENDING;
	tree_kill(r->tree, r->gone ? 0 : r->pid, r->cgroup);
}

/* TERM to the whole group: a shell passes nothing on. SIGCONT, because a stopped job could not
 * obey. */
static void tell_to_end(struct run *r, enum shim_reason cause, int64_t kill_at)
{
	set_cause(r, cause);
	if (kill_at && (!r->kill_at || kill_at < r->kill_at))
		r->kill_at = kill_at;
	if (r->told_to_end)
		return;
	r->told_to_end = true;
	if (!r->gone) {
		kill(-r->pid, SIGTERM);
		kill(-r->pid, SIGCONT);
	}
}

void run_deadline(struct run *r, int64_t at)
{
	r->request.deadline = at;
}

void run_reaped(struct run *r, pid_t pid, int status, const struct rusage *usage)
{
	if (pid != r->pid || r->gone)
		return;
	r->gone = true;
	r->status = status;
	r->usage = *usage;
}

/* The events of a cgroup v2: "oom_kill N". */
static uint64_t oom_kills(const struct run *r)
{
	char events[512];
	const char *p;
	int fd = r->cgroup >= 0 ? openat(r->cgroup, "memory.events", O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, events, sizeof events - 1);
	close(fd);
	events[n > 0 ? n : 0] = '\0';
	p = strstr(events, "oom_kill ");
	return p ? text_parse(p + strlen("oom_kill ")) : 0;
}

/* Killed because the keeper was, which takes the whole namespace along (its end is known by now: it
 * lets go of its socket before the kernel kills the others). That is not how the job ended. */
static bool is_lost(const struct run *r)
{
	return r->tree->broken && WIFSIGNALED(r->status) && WTERMSIG(r->status) == SIGKILL;
}

/* The cause stays SHIM_NONE for a run that is lost. */
static void judge(struct run *r)
{
	uint64_t kills = oom_kills(r);
	bool failed = !WIFEXITED(r->status) || WEXITSTATUS(r->status) != 0;

	if (r->pid && kills > r->oom_kills && failed)
		set_cause(r, SHIM_OUT_OF_MEMORY);
	r->oom_kills = kills;
	if (r->pid && !is_lost(r))
		set_cause(r, WIFEXITED(r->status) ? SHIM_EXITED : SHIM_SIGNALLED);
}

static uint64_t micros(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static void fill_record(struct run *r)
{
	struct shim_record *rec = &r->record;

	rec->fence = r->request.fence;
	rec->length = r->output.length;
	rec->started_ms = r->started_wall;
	rec->ended_ms = wall_ms();
	rec->reason = r->cause;
	rec->exit_code = r->pid && WIFEXITED(r->status) ? WEXITSTATUS(r->status) : -1;
	rec->signal = r->pid && WIFSIGNALED(r->status) ? WTERMSIG(r->status) : 0;
	rec->restarts = r->restarts;
	rec->user_us = micros(r->usage.ru_utime);
	rec->system_us = micros(r->usage.ru_stime);
	rec->max_rss_bytes = (uint64_t)r->usage.ru_maxrss * 1024;
	rec->dropped = r->output.dropped;
	if (r->cause == SHIM_DISK_FULL)
		rec->errno_value = r->output.error;
}

static void seal(struct run *r)
{
	if (output_seal(&r->output, &r->record) < 0) {
		if (!r->unwritten) {
			r->unwritten = true;
			r->tell(WIRE_EXITED);
		}
		r->retry_at = boot_ms() + FULL_RETRY_MS;
		return;
	}
	r->unwritten = false;
	output_close(&r->output);
	if (r->cgroup >= 0) {
		close(r->cgroup);
		r->cgroup = -1;
		rmdir(r->request.cgroup); /* the agent sweeps up what would not go */
	}
	r->phase = SHIM_IDLE;
	r->tell(WIRE_EXITED);
}

/* So many restarts in the window that one more would be too many? */
static bool crash_loop(const struct run *r, int64_t now)
{
	uint32_t recent = 0;

	for (int i = 0; i < RUN_RESTART_HISTORY; i++)
		recent += r->history[i] && now - r->history[i] < r->request.restart_window;
	return r->request.restart_max && recent >= r->request.restart_max;
}

/* False: it ends for good. */
static bool restart_later(struct run *r)
{
	int64_t now = boot_ms();

	if (r->told_to_end)
		return false;
	if (crash_loop(r, now)) {
		r->cause = r->record.reason = SHIM_CRASH_LOOP;
		return false;
	}
	r->history[r->restarts++ % RUN_RESTART_HISTORY] = now;
	if (now - r->started_boot >= r->request.healthy)
		r->backoff = r->request.backoff_min;
	r->restart_at = now + r->backoff;
	r->backoff *= 2;
	if (r->backoff > r->request.backoff_max)
		r->backoff = r->request.backoff_max;
	r->record.restarts = r->restarts;
	output_close_pipe(&r->output);
	r->phase = SHIM_BACKING_OFF;
	r->tell(WIRE_RESTARTED);
	return true;
}

/* ---- output ---- */

static void tell_growth(struct run *r)
{
	if (r->output.length > r->watch) {
		r->watch = UINT64_MAX;
		r->tell(WIRE_GROWN);
	}
}

/* False: a full disk holds it up, and may still be waited for. */
static bool pump(struct run *r, bool final)
{
	r->flow = output_pump(&r->output, final);
	if (r->phase != SHIM_ENDING || is_service(r))
		tell_growth(r); /* an attempt's end says its length anyway */
	if (r->flow == OUTPUT_LIMIT)
		set_cause(r, SHIM_LOG_LIMIT);
	if (r->flow != OUTPUT_FULL) {
		r->full_since = r->retry_at = 0;
		return true;
	}
	if (!r->full_since)
		r->full_since = boot_ms();
	r->retry_at = boot_ms() + FULL_RETRY_MS;
	if (boot_ms() - r->full_since < r->request.full_wait)
		return false;
	set_cause(r, SHIM_DISK_FULL);
	return true;
}

/* No record, as if we had been killed, too; idle and with a broken tree the shim leaves at once.
 * Who finds a spool without record and without shim knows what that means. */
static void lose(struct run *r)
{
	output_close(&r->output);
	if (r->cgroup >= 0)
		close(r->cgroup);
	r->cgroup = -1;
	r->phase = SHIM_IDLE;
}

static void finish(struct run *r)
{
	if (!r->judged) {
		if (!pump(r, true))
			return;
		judge(r);
		if (r->cause == SHIM_NONE) {
			lose(r);
			return;
		}
		fill_record(r);
		if (is_service(r) && restart_later(r))
			return;
		r->judged = true;
	}
	seal(r);
}

/* ---- time ---- */

static void check_times(struct run *r, int64_t now)
{
	const struct request *q = &r->request;

	if (q->deadline && now >= q->deadline - q->budget / 2)
		tell_to_end(r, SHIM_LEASE, 0);
	if (q->timeout && !r->timed_out && now >= r->started_boot + q->timeout) {
		r->timed_out = true;
		tell_to_end(r, SHIM_TIMEOUT, r->started_boot + q->timeout + q->grace);
	}
	if ((q->deadline && now >= q->deadline) || (r->kill_at && now >= r->kill_at))
		kill_all(r);
}

void run_signal(struct run *r, enum shim_reason reason, int64_t grace_ms)
{
	if (r->phase == SHIM_BACKING_OFF) {
		r->cause = r->record.reason = reason;
		r->record.ended_ms = wall_ms();
		r->phase = SHIM_ENDING;
		r->judged = true; /* nothing is left to kill or to read */
		return;
	}
	if (r->phase == SHIM_RUNNING)
		tell_to_end(r, reason, boot_ms() + (grace_ms > 0 ? grace_ms : 0));
}

void run_step(struct run *r, bool ready)
{
	int64_t now = boot_ms();

	if (r->phase == SHIM_IDLE)
		return;
	if (r->phase == SHIM_BACKING_OFF) {
		if (now < r->restart_at)
			return;
		start_program(r);
	}
	if (r->phase == SHIM_RUNNING) {
		if ((ready || (r->flow == OUTPUT_FULL && now >= r->retry_at)) && pump(r, false) &&
		    (r->flow == OUTPUT_LIMIT || r->flow == OUTPUT_FULL))
			kill_all(r);
		check_times(r, now);
		/* Told to end, the rest of the group may take its time: as long as it holds the
		 * pipe. */
		if (r->gone && (!r->told_to_end || r->flow == OUTPUT_END))
			kill_all(r);
	}
	if (r->phase != SHIM_ENDING)
		return;
	if (r->tree->killing && !tree_empty(r->tree, r->cgroup, r->gone))
		return;
	if (now >= r->retry_at) /* 0 as long as the disk had room */
		finish(r);
}

static void sooner(int64_t *due, int64_t at)
{
	if (at && (!*due || at < *due))
		*due = at;
}

int64_t run_due(const struct run *r)
{
	const struct request *q = &r->request;
	int64_t due = 0;

	if (r->phase == SHIM_BACKING_OFF)
		return r->restart_at;
	if (r->phase == SHIM_RUNNING) {
		if (q->deadline)
			sooner(&due, r->told_to_end ? q->deadline : q->deadline - q->budget / 2);
		if (q->timeout && !r->timed_out)
			sooner(&due, r->started_boot + q->timeout);
		sooner(&due, r->kill_at);
	}
	if (r->phase == SHIM_RUNNING || r->phase == SHIM_ENDING)
		sooner(&due, r->retry_at);
	if (r->phase == SHIM_ENDING && tree_ticks(r->tree))
		sooner(&due, boot_ms() + TREE_TICK_MS);
	return due;
}
