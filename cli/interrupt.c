/*
 * The thread that takes signals lives as long as the program; it holds nothing that wants freeing.
 */
#include "cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "cli/cli.h"

static struct {
	struct lock lock; /* guards all of it */
	struct signal changed;
	bool scope, hit;
	void (*wake)(void *);
	void *arg;
	void (*on_exit)(void);
	unsigned resumed;
} state = { .lock = LOCK_INIT };

static void leave(void)
{
	if (state.on_exit)
		state.on_exit();
	_exit(STATUS_INTERRUPTED);
}

static void hit(void)
{
	LOCKED(&state.lock);
	if (!state.scope || state.hit)
		leave();
	state.hit = true;
	if (state.wake)
		state.wake(state.arg);
	signal_all(&state.changed);
}

/* The next drawing, after the stop, puts the terminal to its use again. */
static void stop(void)
{
	LOCKED(&state.lock);
	if (state.on_exit)
		state.on_exit();
	kill(getpid(), SIGSTOP);
}

static void go_on(void)
{
	LOCKED(&state.lock);
	state.resumed++;
}

static void *take_signals(void *arg)
{
	sigset_t set;
	int number;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTSTP);
	sigaddset(&set, SIGCONT);
	while (sigwait(&set, &number) == 0) {
		if (number == SIGTSTP)
			stop();
		else if (number == SIGCONT)
			go_on();
		else
			hit();
	}
	return arg;
}

/* A terminal that is another's stops us, and Ctrl-\ does what it always does. */
static void let_through(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTTIN);
	sigaddset(&set, SIGTTOU);
	sigaddset(&set, SIGQUIT);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void interrupt_start(void)
{
	thread_block_signals();
	signal_init(&state.changed);
	pthread_detach(thread_start("signals", 0, take_signals, NULL));
	let_through();
}

void interrupt_begin(void (*wake)(void *arg), void *arg)
{
	LOCKED(&state.lock);
	state.scope = true;
	state.wake = wake;
	state.arg = arg;
	if (state.hit && wake) /* it came between two scopes of one piece of work */
		wake(arg);
}

void interrupt_end(void)
{
	LOCKED(&state.lock);
	state.scope = false;
	state.wake = NULL;
}

bool interrupted(void)
{
	LOCKED(&state.lock);
	return state.hit;
}

bool interrupt_sleep(int ms)
{
	int64_t end = clock_boot_ms() + ms, left;

	LOCKED(&state.lock);
	while (!state.hit && (left = end - clock_boot_ms()) > 0)
		signal_wait_ms(&state.changed, &state.lock, left);
	return state.hit;
}

unsigned interrupt_resumed(void)
{
	LOCKED(&state.lock);
	return state.resumed;
}

void interrupt_on_exit(void (*fn)(void))
{
	LOCKED(&state.lock);
	state.on_exit = fn;
}
