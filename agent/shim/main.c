/*
 * sluice-shim: one process per slot or service that owns what runs there
 *
 *	sluice-shim slot STATE_DIR SLOT group|userns|pidns	descriptor 3: the agent's first
 *connection
 *	sluice-shim probe group|userns|pidns			says what works, exits 0 if it does
 *
 * One thread, one poll. It takes its lock, makes its containment, opens its socket and
 * then runs what it is told, one thing after another (run.c). It outlives the agent as long as
 * something runs; idle and alone, or after SHIM_RUNS_MAX runs, it leaves.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/shim/run.h"
#include "agent/shim/text.h"
#include "agent/shim/tree.h"
#include "agent/shim/wire.h"

enum { SHIM_RUNS_MAX = 500, STOP_GRACE_MS = 10000, LOCK_TRIES = 3000, SMALL_BYTES = 1024 };
enum { FD_SIGNALS, FD_PEER, FD_LISTEN, FD_TIMER, FD_KEEPER, FD_PIPE, FDS };

static struct shim {
	struct tree tree;
	struct run run;
	struct pollfd fds[FDS];
	char slot[SHIM_NAME_MAX + 1];
	int64_t armed_at; /* when the timer fires, boot ms; 0: not set */
	bool quit;
	unsigned char packet[WIRE_MAX_BYTES]; /* the RUN message of what runs */
} shim;

/* ---- what we say ---- */

static void close_peer(void)
{
	if (shim.fds[FD_PEER].fd >= 0)
		close(shim.fds[FD_PEER].fd);
	shim.fds[FD_PEER].fd = -1;
}

/* A peer that does not take its messages is none; it finds all on the disk. One that went may have
 * left a message, so its end is heard in its turn. */
static void send_out(struct wire_out *out)
{
	size_t n = wire_end(out);

	if (shim.fds[FD_PEER].fd < 0)
		return;
	if (send(shim.fds[FD_PEER].fd, out->data, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
	    errno != EPIPE && errno != ECONNRESET)
		close_peer();
}

static bool leaving(void)
{
	const struct run *r = &shim.run;

	return r->phase == SHIM_IDLE && (shim.quit || shim.tree.broken || r->runs >= SHIM_RUNS_MAX);
}

static void say(enum wire_kind kind, enum wire_kind answer_to)
{
	unsigned char data[SMALL_BYTES], record[SHIM_RECORD_BYTES];
	const struct run *r = &shim.run;
	struct wire_out out;

	wire_begin(&out, data, sizeof data, kind);
	wire_number(&out, WIRE_FENCE,
		    r->phase == SHIM_IDLE && kind == WIRE_STATE ? 0 : r->request.fence);
	wire_number(&out, WIRE_LENGTH, r->output.length);
	if (kind != WIRE_GROWN)
		wire_number(&out, WIRE_RESTARTS, r->restarts);
	if (kind == WIRE_RESTARTED || kind == WIRE_EXITED) {
		shim_record_encode(&r->record, record);
		wire_bytes(&out, WIRE_RECORD, record, sizeof record);
		wire_number(&out, WIRE_UNWRITTEN, r->unwritten);
		wire_number(&out, WIRE_LEAVING, leaving());
	}
	if (kind == WIRE_STATE) {
		wire_number(&out, WIRE_PHASE, r->phase);
		wire_number(&out, WIRE_PID, (uint64_t)getpid());
		wire_number(&out, WIRE_JOB_PID,
			    r->phase == SHIM_RUNNING && !r->gone ? (uint64_t)r->pid : 0);
		wire_number(&out, WIRE_RUNS, r->runs);
		wire_number(&out, WIRE_DROPPED, r->output.dropped);
		wire_string(&out, WIRE_NAME, r->phase == SHIM_IDLE ? NULL : r->request.name);
	}
	if (answer_to)
		wire_number(&out, WIRE_KIND, answer_to);
	send_out(&out);
}

static void tell(enum wire_kind kind)
{
	say(kind, 0);
}

static void refuse(enum wire_kind kind, uint64_t fence, enum shim_step step, int errno_value)
{
	unsigned char data[256];
	struct wire_out out;

	wire_begin(&out, data, sizeof data, WIRE_REFUSED);
	wire_number(&out, WIRE_FENCE, fence);
	wire_number(&out, WIRE_KIND, kind);
	wire_number(&out, WIRE_STEP, step);
	wire_number(&out, WIRE_ERRNO, (uint64_t)errno_value);
	send_out(&out);
}

/* ---- what we hear ---- */

/* The numbers of the small messages. */
struct order {
	uint64_t fence, deadline, grace, reason, length;
};

static int order_parse(struct order *o, struct wire_in *in)
{
	struct wire_field f;
	int r;

	*o = (struct order){ 0 };
	while ((r = wire_next(in, &f)) > 0) {
		uint64_t *to = f.tag == WIRE_FENCE	   ? &o->fence
			       : f.tag == WIRE_DEADLINE_AT ? &o->deadline
			       : f.tag == WIRE_GRACE	   ? &o->grace
			       : f.tag == WIRE_REASON	   ? &o->reason
			       : f.tag == WIRE_LENGTH	   ? &o->length
							   : NULL;
		if (to && wire_field_number(&f, to) < 0)
			return -1;
	}
	if (o->deadline > INT64_MAX / 8 || o->grace > INT64_MAX / 8)
		return -1;
	return r;
}

static bool reason_ok(uint64_t reason)
{
	return reason == SHIM_CANCELLED || reason == SHIM_STOPPED || reason == SHIM_PREEMPTED;
}

static void obey(struct wire_in *in)
{
	struct run *r = &shim.run;
	struct order o;

	if (order_parse(&o, in) < 0 || (in->kind == WIRE_SIGNAL && !reason_ok(o.reason))) {
		refuse(in->kind, o.fence, STEP_MESSAGE, 0);
	} else if (in->kind == WIRE_STATUS) {
		say(WIRE_STATE, WIRE_STATUS);
	} else if (in->kind == WIRE_QUIT) {
		if (r->phase != SHIM_IDLE)
			refuse(in->kind, 0, STEP_BUSY, 0);
		shim.quit = r->phase == SHIM_IDLE;
	} else if (r->phase == SHIM_IDLE || o.fence != r->request.fence) {
		if (in->kind != WIRE_WATCH) /* that one may well cross with the end */
			refuse(in->kind, o.fence, STEP_FENCE, 0);
	} else if (in->kind == WIRE_DEADLINE) {
		run_deadline(r, (int64_t)o.deadline);
	} else if (in->kind == WIRE_SIGNAL) {
		run_signal(r, (enum shim_reason)o.reason, (int64_t)o.grace);
	} else if (in->kind == WIRE_WATCH) {
		r->watch = o.length;
		if (r->output.length > r->watch) {
			r->watch = UINT64_MAX;
			tell(WIRE_GROWN);
		}
	}
}

/* The fence of a RUN, for its refusal. */
static uint64_t fence_of(struct wire_in in)
{
	struct order o;

	return order_parse(&o, &in) < 0 ? 0 : o.fence;
}

static void begin(struct wire_in *in)
{
	struct wire_in copy = *in;
	enum shim_step step;
	int errno_value;

	if (!run_begin(&shim.run, in, &step, &errno_value))
		refuse(WIRE_RUN, fence_of(copy), step, errno_value);
}

static void hear(void)
{
	unsigned char small[SMALL_BYTES];
	bool idle = shim.run.phase == SHIM_IDLE;
	unsigned char *into = idle ? shim.packet : small;
	size_t room = idle ? sizeof shim.packet : sizeof small;
	ssize_t n = recv(shim.fds[FD_PEER].fd, into, room, MSG_DONTWAIT | MSG_TRUNC);
	struct wire_in in;

	if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNRESET))
		return; /* reset: it left without reading all; what it said before comes next */
	if (n <= 0) {
		close_peer();
		return;
	}
	if ((size_t)n > room) /* while something runs only a RUN is that long */
		refuse(WIRE_RUN, 0, idle ? STEP_MESSAGE : STEP_BUSY, 0);
	else if (wire_open(&in, into, (size_t)n) < 0)
		refuse(0, 0, STEP_MESSAGE, 0);
	else if (in.kind == WIRE_RUN && idle)
		begin(&in);
	else if (in.kind == WIRE_RUN)
		refuse(WIRE_RUN, fence_of(in), STEP_BUSY, 0);
	else if (in.kind < WIRE_STATE)
		obey(&in);
}

/* The newest agent is the agent. Others than our owner and root are turned away. */
static void welcome(void)
{
	int fd = accept4(shim.fds[FD_LISTEN].fd, NULL, NULL, SOCK_CLOEXEC);
	struct ucred peer;
	socklen_t n = sizeof peer;

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 ||
	    (peer.uid != geteuid() && peer.uid != 0)) {
		close(fd);
		return;
	}
	close_peer();
	shim.fds[FD_PEER].fd = fd;
	shim.run.watch = UINT64_MAX;
	tell(WIRE_STATE);
	if (shim.run.unwritten)
		tell(WIRE_EXITED);
}

static void take_signals(void)
{
	struct signalfd_siginfo info[2]; /* one each, pending twice is pending once */
	ssize_t n = read(shim.fds[FD_SIGNALS].fd, info, sizeof info);
	struct rusage usage;
	int status;
	pid_t pid;

	for (ssize_t i = 0; (i + 1) * (ssize_t)sizeof *info <= n; i++)
		if (info[i].ssi_signo == SIGTERM) /* the host goes down */
			run_signal(&shim.run, SHIM_STOPPED, STOP_GRACE_MS);
	while ((pid = wait4(-1, &status, WNOHANG | __WALL, &usage)) > 0)
		run_reaped(&shim.run, pid, status, &usage);
}

/* ---- the loop ---- */

static void arm_timer(void)
{
	struct itimerspec at = { 0 };
	int64_t due = run_due(&shim.run);

	/* One that fires too early is cheaper than one set for each run. */
	if (due == 0 || (shim.armed_at && shim.armed_at <= due))
		return;
	at.it_value.tv_sec = due / 1000;
	at.it_value.tv_nsec = due % 1000 * 1000000;
	timerfd_settime(shim.fds[FD_TIMER].fd, TFD_TIMER_ABSTIME, &at, NULL);
	shim.armed_at = due;
}

static void take_timer(void)
{
	uint64_t times;

	if (read(shim.fds[FD_TIMER].fd, &times, sizeof times) > 0)
		shim.armed_at = 0;
}

/* Waits; true when the pipe's turn has come. */
static bool wait_for_something(void)
{
	static const struct timespec pace = { .tv_nsec = OUTPUT_PACE_US * 1000 };
	struct run *r = &shim.run;
	bool paced = r->phase == SHIM_RUNNING && r->flow == OUTPUT_BUSY;
	int n;

	shim.fds[FD_PIPE].fd =
		r->phase == SHIM_RUNNING && r->flow == OUTPUT_IDLE ? r->output.pipe : -1;
	shim.fds[FD_PIPE].revents = 0;
	n = ppoll(shim.fds, FDS, paced ? &pace : NULL, NULL);
	if (n < 0)
		for (int i = 0; i < FDS; i++)
			shim.fds[i].revents = 0;
	return n == 0 || shim.fds[FD_PIPE].revents;
}

static void serve(void)
{
	while (shim.run.phase != SHIM_IDLE || (shim.fds[FD_PEER].fd >= 0 && !leaving())) {
		bool ready;

		arm_timer();
		ready = wait_for_something();
		if (shim.fds[FD_TIMER].revents)
			take_timer();
		if (shim.fds[FD_SIGNALS].revents)
			take_signals();
		if (shim.fds[FD_KEEPER].revents && !shim.tree.killing) {
			shim.tree.broken = true; /* it never speaks unasked: it died */
			shim.fds[FD_KEEPER].fd = -1;
			if (shim.run.phase == SHIM_IDLE)
				return; /* a run that waits to be heard is for our successor */
		}
		if (shim.fds[FD_PEER].revents)
			hear();
		if (shim.fds[FD_LISTEN].revents)
			welcome();
		run_step(&shim.run, ready);
		if (shim.tree.broken)
			shim.fds[FD_KEEPER].fd = -1;
	}
}

/* ---- beginnings and ends ---- */

static void slot_path(char *path, size_t size, const char *suffix)
{
	path[0] = '\0';
	text_add(path, size, "shims/");
	text_add(path, size, shim.slot);
	text_add(path, size, suffix);
}

/* Our predecessor may still be on its way out. */
static int take_lock(int *ret_fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct timespec pause = { .tv_nsec = 1000000 };
	char path[SHIM_NAME_MAX + 32];
	int fd;

	slot_path(path, sizeof path, ".lock");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	for (int i = 0; fcntl(fd, F_OFD_SETLK, &lock) < 0; i++) {
		if ((errno != EAGAIN && errno != EACCES) || i == LOCK_TRIES) {
			close(fd);
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	*ret_fd = fd;
	return 0;
}

/* "SHIM KEEPER START\n": whom to wait for when we are dead. The lock says whether it is true. */
static int write_lock(int fd)
{
	char text[96] = "";

	text_number(text, sizeof text, (uint64_t)getpid());
	text_add(text, sizeof text, " ");
	text_number(text, sizeof text, (uint64_t)shim.tree.keeper);
	text_add(text, sizeof text, " ");
	text_number(text, sizeof text, shim.tree.keeper_start);
	text_add(text, sizeof text, "\n");
	if (ftruncate(fd, 0) < 0)
		return -1;
	return pwrite(fd, text, strlen(text), 0) == (ssize_t)strlen(text) ? 0 : -1;
}

static int open_socket(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	slot_path(addr.sun_path, sizeof addr.sun_path, ".sock");
	unlink(addr.sun_path); /* of a predecessor that was killed: we hold the lock */
	if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(fd, 8) < 0)
		return close(fd), -1;
	shim.fds[FD_LISTEN].fd = fd;
	return 0;
}

static int open_events(void)
{
	sigset_t taken;

	sigfillset(&taken);
	sigprocmask(SIG_SETMASK, &taken, NULL);
	sigemptyset(&taken);
	sigaddset(&taken, SIGCHLD);
	sigaddset(&taken, SIGTERM);
	shim.fds[FD_SIGNALS].fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
	shim.fds[FD_TIMER].fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	shim.run.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	return shim.fds[FD_SIGNALS].fd < 0 || shim.fds[FD_TIMER].fd < 0 || shim.run.null < 0 ? -1
											     : 0;
}

static bool parse_kind(const char *word, enum tree_kind *ret)
{
	static const char *const words[] = { "group", "userns", "pidns" };

	for (int i = 0; i < 3; i++)
		if (strcmp(word, words[i]) == 0) {
			*ret = (enum tree_kind)i;
			return true;
		}
	return false;
}

static int run_slot(const char *dir, const char *slot, enum tree_kind kind)
{
	enum shim_step step = STEP_LOCK;
	char path[SHIM_NAME_MAX + 32];
	int lock;

	for (int i = 0; i < FDS; i++)
		shim.fds[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	shim.fds[FD_PEER].fd = 3;
	fcntl(3, F_SETFD, FD_CLOEXEC);
	umask(077);
	prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0); /* the pause between two reads is 200 us */
	text_add(shim.slot, sizeof shim.slot, slot);
	run_init(&shim.run, &shim.tree, tell);
	if (chdir(dir) == 0 && take_lock(&lock) == 0) {
		step = STEP_NAMESPACE;
		if (open_events() == 0 && tree_open(&shim.tree, kind) == 0) {
			step = STEP_SOCKET;
			if (write_lock(lock) == 0 && open_socket() == 0)
				step = STEP_NONE;
		}
	}
	if (step != STEP_NONE) {
		refuse(0, 0, step, errno);
		return 1;
	}
	shim.fds[FD_KEEPER].fd = shim.tree.keeper_fd;
	tell(WIRE_STATE);
	serve();
	slot_path(path, sizeof path, ".sock");
	unlink(path);
	return 0;
}

static int probe(enum tree_kind kind)
{
	const char *answer;

	if (tree_open(&shim.tree, kind) < 0)
		return 1;
	answer = shim.tree.own_proc ? "own-proc\n" : "host-proc\n";
	return write(1, answer, strlen(answer)) < 0;
}

int main(int argc, char **argv)
{
	enum tree_kind kind;
	int status = 2;

	if (argc == 3 && strcmp(argv[1], "probe") == 0 && parse_kind(argv[2], &kind))
		status = probe(kind);
	else if (argc == 5 && strcmp(argv[1], "slot") == 0 && strlen(argv[3]) <= 96 &&
		 parse_kind(argv[4], &kind))
		status = run_slot(argv[2], argv[3], kind);
	_exit(status); /* a leak checker's helper would be born in the namespace and wait for ever
			*/
}
