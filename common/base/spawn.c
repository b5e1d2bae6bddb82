/*
 * posix_spawn (glibc: clone with CLONE_VM|CLONE_VFORK) costs the same whatever
 * the parent's size, and runs nothing between clone and exec but the file actions listed
 * here. Descriptors asked for are first moved above those they shall become, so
 * that no dup2 overwrites a source; everything above them is closed.
 */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum { KEEP_MAX = 16, TAIL = 300 };

/* The child's descriptors in order: 0, 1, 2, then those to keep. */
struct wiring {
	int fds[3 + KEEP_MAX];	 /* what they come from; -1: /dev/null */
	bool ours[3 + KEEP_MAX]; /* a copy of ours, to be closed again */
	int count;
};

static void wiring_release(struct wiring *w)
{
	for (int i = 0; i < w->count; i++)
		if (w->ours[i])
			close(w->fds[i]);
}

static int wiring_init(struct wiring *w, const struct spawn *s, struct error *err)
{
	const int std[3] = { s->in, s->out, s->errout };
	int total = 3 + s->n_keep;

	for (int i = 0; i < total; i++) {
		int fd = i < 3 ? std[i] : s->keep[i - 3];
		bool move = fd >= 0 && fd < total;

		if (move && (fd = fcntl(fd, F_DUPFD_CLOEXEC, total)) < 0)
			return error_errno(err, "copying a descriptor for '%s'", s->argv[0]);
		w->fds[i] = fd;
		w->ours[i] = move;
		w->count++;
	}
	return 0;
}

static int add_actions(posix_spawn_file_actions_t *actions, const struct wiring *w, const char *dir)
{
	int r = dir ? posix_spawn_file_actions_addchdir_np(actions, dir) : 0;

	for (int i = 0; r == 0 && i < w->count; i++)
		r = w->fds[i] >= 0
			    ? posix_spawn_file_actions_adddup2(actions, w->fds[i], i)
			    : posix_spawn_file_actions_addopen(actions, i, "/dev/null", O_RDWR, 0);
	return r ? r : posix_spawn_file_actions_addclosefrom_np(actions, w->count);
}

static int set_attributes(posix_spawnattr_t *attr, bool new_session)
{
	short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	if (new_session)
		flags |= POSIX_SPAWN_SETSID;
	if ((r = posix_spawnattr_setsigmask(attr, &none)) ||
	    (r = posix_spawnattr_setsigdefault(attr, &all)))
		return r;
	return posix_spawnattr_setflags(attr, flags);
}

/* An errno, as posix_spawn returns it. */
static int spawn(const struct spawn *s, const struct wiring *w, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int r = posix_spawn_file_actions_init(&actions);

	if (r)
		return r;
	r = posix_spawnattr_init(&attr);
	if (r == 0) {
		if ((r = add_actions(&actions, w, s->dir)) == 0 &&
		    (r = set_attributes(&attr, s->new_session)) == 0)
			r = posix_spawnp(ret_pid, s->argv[0], &actions, &attr,
					 (char *const *)s->argv,
					 s->env ? (char *const *)s->env : environ);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

static int reap(pid_t pid, int *ret_status)
{
	pid_t r;

	do
		r = waitpid(pid, ret_status, 0);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -1 : 0;
}

int spawn_start(const struct spawn *s, struct child *ret, struct error *err)
{
	cleanup(wiring_release) struct wiring wiring = { .count = 0 };
	struct child child;
	int r, status;

	if (s->n_keep < 0 || s->n_keep > KEEP_MAX)
		return error_set(err, ERR_INTERNAL, "starting '%s': too many descriptors",
				 s->argv[0]);
	if (wiring_init(&wiring, s, err) < 0)
		return -1;
	r = spawn(s, &wiring, &child.pid);
	if (r) {
		errno = r;
		return s->dir ? error_errno(err, "starting '%s' in '%s'", s->argv[0], s->dir)
			      : error_errno(err, "starting '%s'", s->argv[0]);
	}
	child.pidfd = pidfd_open(child.pid, 0);
	if (child.pidfd < 0) {
		error_errno(err, "watching '%s'", s->argv[0]);
		kill(child.pid, SIGKILL); /* not reaped yet, so the number is still its own */
		reap(child.pid, &status);
		return -1;
	}
	*ret = child;
	return 0;
}

/* What is left of a time-out, as poll wants it. */
static int remaining(int64_t deadline_us)
{
	int64_t left;

	if (deadline_us < 0)
		return -1;
	left = deadline_us - clock_mono_us();
	return left > 0 ? (int)((left + 999) / 1000) : 0;
}

static int64_t deadline_after(int timeout_ms)
{
	return timeout_ms < 0 ? -1 : clock_mono_us() + (int64_t)timeout_ms * 1000;
}

int spawn_wait(struct child *c, int timeout_ms, int *ret_status, struct error *err)
{
	struct pollfd end = { .fd = c->pidfd, .events = POLLIN };
	int64_t deadline = deadline_after(timeout_ms);
	int r, status;

	do
		r = poll(&end, 1, remaining(deadline));
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return error_errno(err, "waiting for process %d", (int)c->pid);
	if (r == 0)
		return error_set(err, ERR_TIMEOUT, "process %d still runs after %d ms", (int)c->pid,
				 timeout_ms);
	if (reap(c->pid, &status) < 0)
		return error_errno(err, "reaping process %d", (int)c->pid);
	close(c->pidfd);
	*c = (struct child){ .pid = -1, .pidfd = -1 };
	*ret_status = status;
	return 0;
}

int spawn_signal(const struct child *c, int number, struct error *err)
{
	if (pidfd_send_signal(c->pidfd, number, NULL, 0) < 0 && errno != ESRCH)
		return error_errno(err, "sending signal %d to process %d", number, (int)c->pid);
	return 0;
}

/* What a program said: its first `limit` bytes, and its last words for the error. */
struct gathered {
	struct buf out;
	struct buf tail;
	size_t limit;
	bool ended;
};

static void gathered_release(struct gathered *g)
{
	buf_release(&g->out);
	buf_release(&g->tail);
}

/* Reads what is there without waiting. */
static void gather(struct gathered *g, int fd)
{
	char chunk[4096];
	ssize_t n;

	while (!g->ended) {
		n = read(fd, chunk, sizeof chunk);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			g->ended = true;
			return;
		}
		buf_add(&g->out, chunk, MIN((size_t)n, g->limit - g->out.len));
		buf_add(&g->tail, chunk, (size_t)n);
		if (g->tail.len > TAIL)
			buf_consume(&g->tail, g->tail.len - TAIL);
	}
}

/* The tail as the end of a sentence: whole lines where possible, no control characters. */
static const char *last_words(struct gathered *g)
{
	char *text, *end, *line;

	if (!g->tail.len)
		return "it said nothing";
	text = g->tail.data;
	end = text + g->tail.len;
	while (end > text && (unsigned char)end[-1] <= ' ')
		*--end = '\0';
	line = end - text > TAIL - 8 ? strchr(text, '\n') : NULL;
	if (line)
		text = line + 1;
	while (((unsigned char)*text & 0xc0) == 0x80)
		text++; /* the rest of a character that was cut */
	for (char *p = text; p < end; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	return *text ? text : "it said nothing";
}

/* To the end of the program or of the time. Its end counts, not that of its pipe: a
 * grandchild may keep that one open for ever. */
static int watch(struct child *child, int fd, int timeout_ms, struct gathered *g, int *ret_status)
{
	int64_t deadline = deadline_after(timeout_ms);

	for (;;) {
		struct pollfd fds[2] = { { .fd = child->pidfd, .events = POLLIN },
					 { .fd = g->ended ? -1 : fd, .events = POLLIN } };
		int r = poll(fds, 2, remaining(deadline));

		if (r < 0 && errno != EINTR)
			return -1;
		if (r == 0)
			return 0;
		if (r < 0)
			continue;
		gather(g, fd);
		if (fds[0].revents)
			return spawn_wait(child, -1, ret_status, NULL) < 0 ? -1 : 1;
	}
}

static void put_down(const struct spawn *s, struct child *child)
{
	int status;

	if (s->new_session)
		kill(-child->pid, SIGKILL);
	spawn_signal(child, SIGKILL, NULL);
	spawn_wait(child, -1, &status, NULL);
}

static int judge(const struct spawn *s, int status, struct gathered *g, struct error *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status))
		return error_set(err, ERR_INTERNAL, "'%s' exited with %d: %s", s->argv[0],
				 WEXITSTATUS(status), last_words(g));
	return error_set(err, ERR_INTERNAL, "'%s' was killed by signal %d (%s): %s", s->argv[0],
			 WTERMSIG(status), strsignal(WTERMSIG(status)), last_words(g));
}

int spawn_run(const struct spawn *s, int timeout_ms, size_t limit, struct buf *ret_out,
	      struct error *err)
{
	cleanup(gathered_release) struct gathered g = { .limit = limit };
	cleanup(closep) int from = -1;
	struct spawn piped = *s;
	struct child child;
	int pipes[2], r, status = 0;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return error_errno(err, "making a pipe for '%s'", s->argv[0]);
	from = pipes[0];
	fcntl(from, F_SETFL, O_NONBLOCK);
	piped.out = piped.errout = pipes[1];
	r = spawn_start(&piped, &child, err);
	close(pipes[1]);
	if (r < 0)
		return -1;
	r = watch(&child, from, timeout_ms, &g, &status);
	if (r < 0)
		error_errno(err, "waiting for '%s'", s->argv[0]);
	if (r == 0)
		error_set(err, ERR_TIMEOUT, "'%s' did not end within %d ms: %s", s->argv[0],
			  timeout_ms, last_words(&g));
	if (r <= 0) {
		put_down(s, &child);
		return -1;
	}
	gather(&g, from);
	if (judge(s, status, &g, err) < 0)
		return -1;
	buf_release(ret_out);
	*ret_out = g.out;
	g.out = (struct buf){ 0 };
	return 0;
}
