/*
 * The keeper is made by unshare and one clone per shim, so that a pid namespace
 * costs nothing per attempt but a question at its end. It ignores SIGCHLD,
 * so the kernel reaps the orphans of the namespace for it.
 */
#include "agent/shim/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/shim/text.h"

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* We stay who we are in there: files keep their owners, and exec drops the new rights. */
static int enter_user_namespace(void)
{
	char uid[64] = "", gid[64] = "";

	text_number(uid, sizeof uid, geteuid());
	text_add(uid, sizeof uid, " ");
	text_number(uid, sizeof uid, geteuid());
	text_add(uid, sizeof uid, " 1");
	text_number(gid, sizeof gid, getegid());
	text_add(gid, sizeof gid, " ");
	text_number(gid, sizeof gid, getegid());
	text_add(gid, sizeof gid, " 1");
	if (unshare(CLONE_NEWUSER) < 0 || write_file("/proc/self/uid_map", uid) < 0 ||
	    write_file("/proc/self/setgroups", "deny") < 0 ||
	    write_file("/proc/self/gid_map", gid) < 0)
		return -1;
	return 0;
}

static void pause_ms(int ms)
{
	struct timespec t = { .tv_nsec = ms * 1000000L };

	nanosleep(&t, NULL);
}

/* The namespace is empty when nobody but us can be signalled. A zombie that the shim
 * has yet to reap counts, so this waits for it. */
static void kill_namespace(void)
{
	while (kill(-1, SIGKILL) == 0) {
		while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR)
			;
		if (kill(-1, 0) < 0)
			return;
		pause_ms(1);
	}
}

/* The first process of the namespace. */
__attribute__((noreturn)) static void keep(int fd)
{
	char byte = 0;
	bool own_proc;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "sluice-keeper");
	signal(SIGCHLD, SIG_IGN);
	if (dup2(fd, 0) < 0 || close_range(1, ~0U, 0) < 0)
		_exit(1);
	if (read(0, &byte, 1) != 1)
		_exit(0);
	/* Later mounts of the host still come in; ours do not go out. */
	own_proc = mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) == 0 &&
		   mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0;
	byte = own_proc ? 'P' : 'p';
	do {
		if (write(0, &byte, 1) != 1)
			break;
		if (read(0, &byte, 1) != 1)
			break;
		kill_namespace();
	} while (1);
	_exit(0); /* the shim is gone, and with us all that is here */
}

/* Field 22 of /proc/PID/stat; the name in field 2 may hold anything but ends at the last ')'. */
static uint64_t start_time(pid_t pid)
{
	char path[64] = "/proc/", stat[1024];
	char *p;
	int fd;
	ssize_t n;

	text_number(path, sizeof path, (uint64_t)pid);
	text_add(path, sizeof path, "/stat");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, stat, sizeof stat - 1);
	close(fd);
	stat[n > 0 ? n : 0] = '\0';
	p = strrchr(stat, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p ? text_parse(p + 1) : 0;
}

static int open_namespace(struct tree *t)
{
	int fds[2];
	char byte = 'g';
	long pid;

	if (t->kind == TREE_USERNS && enter_user_namespace() < 0)
		return -1;
	if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -1;
	pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		keep(fds[1]);
	close(fds[1]);
	if (pid < 0)
		return close(fds[0]), -1;
	t->keeper = (pid_t)pid;
	t->keeper_start = start_time(t->keeper); /* before it hides the host's /proc from us */
	t->keeper_fd = fds[0];
	if (send(t->keeper_fd, &byte, 1, MSG_NOSIGNAL) != 1 || read(t->keeper_fd, &byte, 1) != 1) {
		errno = EIO;
		return -1;
	}
	t->own_proc = byte == 'P';
	return fcntl(t->keeper_fd, F_SETFL, O_NONBLOCK);
}

int tree_open(struct tree *t, enum tree_kind kind)
{
	*t = (struct tree){ .kind = kind, .keeper_fd = -1 };
	if (kind != TREE_GROUP)
		return open_namespace(t);
	return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

pid_t tree_parent(const struct tree *t)
{
	return t->kind == TREE_GROUP ? getpid() : 0;
}

static void kill_cgroup(int cgroup)
{
	int fd = cgroup >= 0 ? openat(cgroup, "cgroup.kill", O_WRONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	while (write(fd, "1", 1) < 0 && errno == EINTR)
		;
	close(fd);
}

/* Every child of ours is of the run: orphans come to the subreaper. */
static void kill_children(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (!proc)
		return;
	while ((entry = readdir(proc))) {
		pid_t pid = (pid_t)text_parse(entry->d_name);

		if (pid > 1 && text_parent_of(pid) == getpid())
			kill(pid, SIGKILL);
	}
	closedir(proc);
}

/* True when there was no child left, alive or dead. */
static bool no_children(void)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) > 0 || (pid < 0 && errno == EINTR))
		;
	return pid < 0;
}

void tree_kill(struct tree *t, pid_t group, int cgroup)
{
	char byte = 'k';

	if (t->killing)
		return;
	t->killing = true;
	if (cgroup >= 0)
		kill_cgroup(cgroup);
	if (t->kind != TREE_GROUP && send(t->keeper_fd, &byte, 1, MSG_NOSIGNAL) != 1)
		t->broken = true;
	if (t->kind == TREE_GROUP && group > 0)
		kill(-group, SIGKILL);
}

/* "populated 0" in cgroup.events; a cgroup that cannot be read does not hold us up. */
static bool cgroup_empty(int cgroup)
{
	char events[256];
	int fd = cgroup >= 0 ? openat(cgroup, "cgroup.events", O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n;

	if (fd < 0)
		return true;
	n = read(fd, events, sizeof events - 1);
	close(fd);
	events[n > 0 ? n : 0] = '\0';
	return !strstr(events, "populated 1");
}

bool tree_empty(struct tree *t, int cgroup, bool main_gone)
{
	char byte;
	ssize_t n;

	if (!t->killing || !main_gone)
		return false;
	if (t->kind == TREE_GROUP) {
		if (!no_children()) {
			kill_children();
			return false;
		}
		if (!cgroup_empty(cgroup))
			return false;
	} else if (!t->broken) {
		n = read(t->keeper_fd, &byte, 1);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return false;
		t->broken = n != 1;
	}
	t->killing = false;
	return true;
}

bool tree_ticks(const struct tree *t)
{
	return t->killing && t->kind == TREE_GROUP;
}
