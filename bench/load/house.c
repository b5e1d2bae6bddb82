/*
 * The programs under load. Their directory is under $BENCH_DIR, which bench/run makes on a disk.
 */
#include "load/house.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/id.h"
#include "load/client.h"
#include "load/measure.h"

enum { START_MS = 20000, STOP_MS = 30000, LOOK_MS = 5, RUN_LIMIT_MS = 60000 };

static volatile sig_atomic_t alive[2]; /* the controller's and the agent's number */

static void killed(int number)
{
	for (int i = 0; i < 2; i++)
		if (alive[i] > 0)
			kill(alive[i], SIGKILL);
	_exit(128 + number);
}

static void kill_leftovers(void)
{
	for (int i = 0; i < 2; i++)
		if (alive[i] > 0)
			kill(alive[i], SIGKILL);
}

static void watch_over(void)
{
	static bool done;
	struct sigaction act = { .sa_handler = killed };
	sigset_t set;

	if (done)
		return;
	done = true;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	atexit(kill_leftovers);
}

static char *program(const char *name)
{
	const char *bin = getenv("BENCH_BIN");

	if (!bin)
		die(NULL, "BENCH_BIN does not name the programs' directory: start bench/run");
	return path_join(bin, name);
}

static struct child start(const struct house *h, const char *const *argv, const char *log)
{
	cleanup(freep) char *path = path_join(h->dir, log);
	cleanup(closep) int fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
	struct spawn spawn = { .argv = argv, .in = -1, .out = fd, .errout = fd };
	struct error err = { 0 };
	struct child child;

	if (fd < 0 || spawn_start(&spawn, &child, &err) < 0)
		die(&err, "starting '%s'", argv[0]);
	return child;
}

static void run_to_end(const char *const *argv)
{
	struct spawn spawn = { .argv = argv, .in = -1, .out = -1, .errout = -1 };
	cleanup(buf_release) struct buf out = { 0 };
	struct error err = { 0 };

	if (spawn_run(&spawn, RUN_LIMIT_MS, 65536, &out, &err) < 0)
		die(&err, "'%s %s'", argv[0], argv[1]);
}

static void stop(struct child *c, int number, int slot)
{
	struct error err = { 0 };
	int status;

	if (!c->pid)
		return;
	if (spawn_signal(c, number, &err) < 0 || spawn_wait(c, STOP_MS, &status, &err) < 0)
		die(&err, "stopping process %d", c->pid);
	alive[slot] = 0;
	c->pid = 0;
}

/* ---- the controller ---- */

static char *read_text(const char *dir, const char *name, struct error *err)
{
	cleanup(freep) char *path = path_join(dir, name);
	struct buf text = { 0 };

	return file_read(path, 1 << 16, &text, err) < 0 ? NULL : buf_detach(&text);
}

void house_start_controller(struct house *h)
{
	cleanup(freep) char *binary = program("sluice-controller");
	cleanup(freep) char *state = path_join(h->dir, "controller");
	const char *argv[] = { binary,
			       "run",
			       "--state-dir",
			       state,
			       "--listen-users",
			       h->address ? h->address : "127.0.0.1:0",
			       "--listen-agents",
			       h->agents_address ? h->agents_address : "127.0.0.1:0",
			       NULL };

	h->controller = start(h, argv, "controller.log");
	alive[0] = h->controller.pid;
}

void house_kill_controller(struct house *h)
{
	stop(&h->controller, SIGKILL, 0);
}

static void learn_addresses(struct house *h)
{
	cleanup(freep) char *state = path_join(h->dir, "controller");
	cleanup(freep) char *text = NULL;
	double until = clock_s() + START_MS / 1e3;
	char users[128], agents[128];
	struct error err = { 0 };

	while (!(text = read_text(state, "address", &err)) && clock_s() < until)
		pause_s(LOOK_MS / 1e3);
	if (!text || sscanf(text, "%127s %127s", users, agents) != 2)
		die(NULL, "the controller in '%s' says no addresses", state);
	h->address = xstrdup(users);
	h->agents_address = xstrdup(agents);
}

static void learn_secrets(struct house *h)
{
	cleanup(freep) char *state = path_join(h->dir, "controller");
	struct error err = { 0 };

	h->ca_pem = read_text(state, "ca/ca.pem", &err);
	h->token = read_text(state, "admin.token", &err);
	if (!h->ca_pem || !h->token)
		die(&err, "the controller's secrets");
	h->token[strcspn(h->token, "\r\n")] = '\0';
}

static bool listens(const char *address)
{
	const char *colon = strrchr(address, ':');
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons((uint16_t)atoi(colon ? colon + 1 : "0")) };
	cleanup(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0;
}

void house_await_controller(const struct house *h)
{
	double until = clock_s() + START_MS / 1e3;

	while (!listens(h->address)) {
		if (clock_s() > until)
			die(NULL, "the controller does not come back; see '%s'", h->dir);
		pause_s(0.002);
	}
}

struct rpc_channel *house_dial(const struct house *h)
{
	struct rpc_endpoint endpoint = { .address = h->address,
					 .ca_pem = h->ca_pem,
					 .bearer = h->token,
					 .wait_ready_ms = START_MS };
	struct error err = { 0 };
	struct rpc_channel *ch = rpc_dial(&endpoint, &err);

	if (!ch)
		die(&err, "dialling '%s'", h->address);
	return ch;
}

/* ---- the agent ---- */

char *house_enrol_token(const struct house *h, const char *name)
{
	Sluice__V1__CreateEnrolTokenRequest request = SLUICE__V1__CREATE_ENROL_TOKEN_REQUEST__INIT;
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	const Sluice__V1__CreateEnrolTokenReply *reply;
	struct id id = id_new();
	struct error err = { 0 };

	request.request_id = id.text;
	request.name = (char *)name;
	reply = create_enrol_token(h->users, arena, &request, &err);
	if (!reply)
		die(&err, "a token for agent '%s'", name);
	return xstrdup(reply->token);
}

static void join(struct house *h, const char *binary, const char *state)
{
	cleanup(freep) char *file = path_join(h->dir, "enrol.token");
	cleanup(freep) char *token = house_enrol_token(h, "worker");
	const char *argv[] = { binary, "join",	      h->address, "--token-file",
			       file,   "--state-dir", state,	  NULL };
	struct error err = { 0 };

	if (file_write_atomic(file, token, strlen(token), 0600, &err) < 0)
		die(&err, "the token's file");
	run_to_end(argv);
}

static void start_agent(struct house *h, unsigned slots)
{
	cleanup(freep) char *binary = program("sluice-agent");
	cleanup(freep) char *state = path_join(h->dir, "agent");
	cleanup(freep) char *number = xprintf("%u", slots);
	const char *argv[] = { binary,	  "run",  "--state-dir", state,
			       "--slots", number, "--stop-work", NULL };
	double until = clock_s() + START_MS / 1e3;

	join(h, binary, state);
	h->agent = start(h, argv, "agent.log");
	alive[1] = h->agent.pid;
	while (client_agents_connected(h->users) < 1 && clock_s() < until)
		pause_s(LOOK_MS / 1e3);
	if (client_agents_connected(h->users) < 1)
		die(NULL, "the agent does not connect; see '%s/agent.log'", h->dir);
}

pid_t house_child_of(pid_t parent, const char *name)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	pid_t found = 0;

	while (!found && proc && (e = readdir(proc))) {
		char path[300], is[64] = "";
		pid_t pid, of;
		FILE *f;

		if (!isdigit((unsigned char)*e->d_name))
			continue;
		snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
		f = fopen(path, "re");
		if (f && fscanf(f, "%d (%63[^)]) %*c %d", &pid, is, &of) == 3 && of == parent &&
		    strncmp(is, name, strlen(name)) == 0)
			found = pid;
		if (f)
			fclose(f);
	}
	if (proc)
		closedir(proc);
	return found;
}

/* ---- the whole ---- */

struct house *house_open(unsigned slots)
{
	struct house *h = xcalloc(1, sizeof *h);
	cleanup(freep) char *binary = program("sluice-controller");
	cleanup(freep) char *state = NULL;
	const char *place = getenv("BENCH_DIR");
	struct error err = { 0 };

	watch_over();
	h->dir = xprintf("%s/house.XXXXXX", place ? place : "/var/tmp");
	if (!mkdtemp(h->dir))
		die(NULL, "no directory '%s' can be made", h->dir);
	state = path_join(h->dir, "controller");
	if (file_make_dirs(state, 0700, &err) < 0)
		die(&err, "the state directory");
	run_to_end((const char *[]){ binary, "init", "--state-dir", state, NULL });
	house_start_controller(h);
	learn_addresses(h);
	learn_secrets(h);
	h->users = house_dial(h);
	if (slots)
		start_agent(h, slots);
	return h;
}

void house_close(struct house *h)
{
	struct error err = { 0 };

	rpc_hangup(h->users);
	stop(&h->agent, SIGTERM, 1);
	stop(&h->controller, SIGTERM, 0);
	if (!getenv("BENCH_KEEP") && file_remove_tree(h->dir, &err) < 0)
		die(&err, "removing '%s'", h->dir);
	free(h->dir);
	free(h->address);
	free(h->agents_address);
	free(h->token);
	free(h->ca_pem);
	free(h);
}
