/*
 * The child runs on a stack of its own in our memory, while we wait for its exec or its end
 * (CLONE_VFORK). It calls the kernel directly where glibc would do more than that, and
 * takes its rights away in this order: groups, gid, uid, then the death signal,
 * which a change of uid would clear.
 */
#include "agent/shim/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STACK_BYTES = 64 * 1024 };
static unsigned char stack[STACK_BYTES] __attribute__((aligned(16)));

/* Before exec, in shared memory: says what failed, then is gone. Not by _exit(), before which a
 * sanitizer would look at a stack that it does not know and speak into the job's output. */
static void give_up(struct launch *l, enum shim_step step)
{
	l->ret_step = step;
	l->ret_errno = errno;
	syscall(SYS_exit_group, 127);
}

static void default_signals(void)
{
	struct sigaction act = { .sa_handler = SIG_DFL };
	sigset_t none;

	sigaction(SIGPIPE, &act, NULL); /* the only one we ignore; handlers we have none */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void drop_rights(struct launch *l)
{
	if ((l->uid || l->gid) && syscall(SYS_setgroups, 0, NULL) < 0)
		give_up(l, STEP_GROUPS);
	if (l->gid && syscall(SYS_setresgid, l->gid, l->gid, l->gid) < 0)
		give_up(l, STEP_GID);
	if (l->uid && syscall(SYS_setresuid, l->uid, l->uid, l->uid) < 0)
		give_up(l, STEP_UID);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != l->parent)
		syscall(SYS_exit_group, 127); /* our shim died before the line above */
	if (l->no_new_privs)
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

__attribute__((no_sanitize("address", "thread", "undefined"))) static int child(void *arg)
{
	struct launch *l = arg;

	setsid();
	if (dup2(l->in, 0) < 0 || dup2(l->out, 1) < 0 || dup2(l->out, 2) < 0)
		give_up(l, STEP_PIPE);
	drop_rights(l);
	umask(022);
	if (chdir(l->dir) < 0)
		give_up(l, STEP_DIR);
	default_signals();
	execve(l->exec, l->argv, l->env);
	give_up(l, STEP_EXEC);
	return 127;
}

#if defined(__x86_64__) && !defined(SLUICE_PLAIN_CLONE)
/*
 * clone3, which alone can start a process inside a cgroup: to move it there
 * later waits for a grace period of the kernel. glibc 2.36 has no wrapper that changes the
 * stack, hence the instructions: the child calls child(arg) on the new stack and never returns.
 */
static pid_t start(struct launch *l)
{
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_VFORK,
		.exit_signal = SIGCHLD,
		.stack = (uintptr_t)stack,
		.stack_size = sizeof stack,
	};
	long r;

	if (l->cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)l->cgroup;
	}
	__asm__ volatile("syscall\n\t"
			 "testq %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xorl %%ebp, %%ebp\n\t"
			 "movq %[arg], %%rdi\n\t"
			 "callq *%[fn]\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(r)
			 : "0"((long)SYS_clone3), "D"(&args),
			   "S"(sizeof args), [arg] "r"(l), [fn] "r"(child)
			 : "rcx", "r11", "memory", "cc");
	if (r < 0) {
		errno = (int)-r;
		return -1;
	}
	return (pid_t)r;
}
#else
static int child_in_cgroup(void *arg)
{
	struct launch *l = arg;
	int fd = openat(l->cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "0", 1) != 1)
		give_up(l, STEP_CGROUP);
	return child(arg);
}

static pid_t start(struct launch *l)
{
	return clone(l->cgroup >= 0 ? child_in_cgroup : child, stack + sizeof stack,
		     CLONE_VM | CLONE_VFORK | SIGCHLD, l);
}
#endif

pid_t launch_start(struct launch *l)
{
	pid_t pid;

	*(volatile enum shim_step *)&l->ret_step = STEP_NONE;
	pid = start(l);
	if (pid < 0) {
		l->ret_step = STEP_CLONE;
		l->ret_errno = errno;
		return -1;
	}
	if (*(volatile enum shim_step *)&l->ret_step == STEP_NONE)
		return pid;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return -1;
}
