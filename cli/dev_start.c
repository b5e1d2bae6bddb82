/*
 * Up: what a killed one left ends, controller, agents that are not known yet join, all connect.
 * Down: agents first, so that they can tell the controller how their work ended.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/dev.h"
#include "cli/interrupt.h"
#include "cli/stubs.h"

enum {
	USERS_PORT = 7700,
	INIT_MS = 60000,
	JOIN_MS = 30000,
	LISTEN_MS = 30000,
	CONNECT_MS = 30000,
	LOOK_MS = 50,
	AGENT_STOP_MS = 60000,
	CONTROLLER_STOP_MS = 15000,
	TOKEN_TTL_MS = 600000,
};

/* ---- ports ---- */

static bool is_free(unsigned port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	cleanup(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	return bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
}

static unsigned port_of(const char *address)
{
	const char *colon = strrchr(address, ':');

	return colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
}

/* Two lines, host:port each. */
static bool read_addresses(const char *path, char *users, char *agents, size_t size)
{
	cleanup(buf_release) struct buf text = { 0 };
	const char *p;
	size_t len;

	if (file_read(path, 256, &text, NULL) < 0)
		return false;
	p = buf_str(&text);
	len = strcspn(p, "\n");
	snprintf(users, size, "%.*s", (int)len, p);
	p += len + (p[len] == '\n');
	snprintf(agents, size, "%.*s", (int)strcspn(p, "\n"), p);
	return port_of(users) && port_of(agents);
}

/* As before, else the usual ones, else any. */
static void choose_ports(struct dev *d)
{
	cleanup(freep) char *path = dev_path(&d->plan, "ports");
	unsigned users = 0, agents = 0;

	if (read_addresses(path, d->users, d->agents_address, sizeof d->users)) {
		users = port_of(d->users);
		agents = port_of(d->agents_address);
	}
	if (!users || !is_free(users) || !is_free(agents)) {
		users = USERS_PORT;
		agents = USERS_PORT + 1;
		if (!is_free(users) || !is_free(agents))
			users = agents = 0;
	}
	snprintf(d->users, sizeof d->users, "127.0.0.1:%u", users);
	snprintf(d->agents_address, sizeof d->agents_address, "127.0.0.1:%u", agents);
}

/* ---- the controller ---- */

static int run_program(struct dev *d, const char *const *argv, int timeout_ms, struct error *err)
{
	struct spawn s = { .argv = argv, .in = -1, .new_session = true };
	cleanup(buf_release) struct buf said = { 0 };

	return spawn_run(&s, timeout_ms, 4096, &said, err);
}

static void controller_args(struct dev *d)
{
	struct dev_child *c = &d->controller;

	dev_child_clear_args(c);
	dev_child_arg(c, xstrdup(d->plan.bin_controller));
	dev_child_arg(c, xstrdup("run"));
	dev_child_arg(c, xprintf("--state-dir=%s/controller", d->plan.dir));
	dev_child_arg(c, xprintf("--listen-users=%s", d->users));
	dev_child_arg(c, xprintf("--listen-agents=%s", d->agents_address));
	dev_child_arg(c, xstrdup("--names=localhost,127.0.0.1"));
}

static int start_controller(struct dev *d, struct error *err)
{
	cleanup(freep) char *state = xprintf("--state-dir=%s/controller", d->plan.dir);
	cleanup(freep) char *address = dev_path(&d->plan, "controller/address");
	cleanup(freep) char *ports = dev_path(&d->plan, "ports");
	const char *init[] = { d->plan.bin_controller, "init", state, NULL };
	int64_t end = clock_boot_ms() + LISTEN_MS;

	if (run_program(d, init, INIT_MS, err) < 0)
		return error_wrap(err, "preparing the controller");
	choose_ports(d);
	controller_args(d);
	unlink(address);
	if (dev_child_start(&d->controller, err) < 0)
		return -1;
	while (!read_addresses(address, d->users, d->agents_address, sizeof d->users)) {
		int status;

		if (interrupt_sleep(LOOK_MS))
			return error_set(err, ERR_CANCELLED, "interrupted");
		if (spawn_wait(&d->controller.process, 0, &status, NULL) == 0) {
			d->controller.running = false;
			dev_child_say_tail(&d->controller);
			return error_set(err, ERR_INTERNAL, "the controller does not start");
		}
		if (clock_boot_ms() > end)
			return error_set(
				err, ERR_TIMEOUT,
				"the controller does not listen after 30s; its log is '%s'",
				d->controller.log_path);
	}
	/* a restart comes back to the same ports */
	controller_args(d);
	{
		cleanup(freep) char *text = xprintf("%s\n%s\n", d->users, d->agents_address);

		return file_write_atomic(ports, text, strlen(text), 0600, err);
	}
}

static int dial(struct dev *d, struct error *err)
{
	cleanup(freep) char *ca_path = dev_path(&d->plan, "controller/ca/ca.pem");
	cleanup(freep) char *token_path = dev_path(&d->plan, "controller/admin.token");
	cleanup(buf_release) struct buf ca = { 0 }, token = { 0 };
	struct rpc_endpoint endpoint = { .address = d->users, .wait_ready_ms = 10000 };
	Sluice__V1__Empty request = SLUICE__V1__EMPTY__INIT;

	if (file_read(ca_path, 1 << 20, &ca, err) < 0 ||
	    file_read(token_path, 4096, &token, err) < 0)
		return -1;
	endpoint.ca_pem = buf_str(&ca);
	endpoint.bearer = buf_str(&token);
	d->cli->channel = rpc_dial(&endpoint, err);
	if (!d->cli->channel || !system_info(d->cli->channel, d->cli->arena, &request, err))
		return -1;
	return 0;
}

/* ---- agents ---- */

static void agent_args(struct dev *d, unsigned i, struct dev_child *c)
{
	const struct dev_agent *a = &d->plan.agents[i];

	dev_child_arg(c, xprintf("--state-dir=%s/agents/%s", d->plan.dir, a->name));
	dev_child_arg(c, xprintf("--cpus=%u", a->cpus));
	dev_child_arg(c, xprintf("--slots=%u", a->slots));
	dev_child_arg(c, xprintf("--memory=%llu", (unsigned long long)a->memory));
	dev_child_arg(c, xstrdup("--address=127.0.0.1"));
	dev_child_arg(c, xprintf("--service-ports=%u-%u", a->first_port, a->last_port));
}

static const Sluice__V1__CreateEnrolTokenReply *make_token(struct dev *d, const struct dev_agent *a,
							   bool renew, struct error *err)
{
	Sluice__V1__CreateEnrolTokenRequest request = SLUICE__V1__CREATE_ENROL_TOKEN_REQUEST__INIT;
	Sluice__V1__Variable label = SLUICE__V1__VARIABLE__INIT, *labels[] = { &label };
	cleanup(freep) char *text = xstrdup(a->label);
	char *equals = strchr(text, '=');

	*equals = 0;
	label.name = text;
	label.value = equals + 1;
	request.request_id = cli_request_id(d->cli);
	request.ttl_ms = TOKEN_TTL_MS;
	if (renew) {
		request.agent = a->name;
	} else {
		request.name = a->name;
		request.labels = labels;
		request.n_labels = 1;
	}
	return agents_create_token(d->cli->channel, d->cli->arena, &request, err);
}

/* Known to the controller, but its own side was lost: it gets a new certificate and keeps its id.
 */
static bool is_known(struct dev *d, const struct dev_agent *a)
{
	Sluice__V1__GetAgentRequest request = SLUICE__V1__GET_AGENT_REQUEST__INIT;

	request.agent = a->name;
	return agents_get(d->cli->channel, d->cli->arena, &request, NULL) != NULL;
}

static int join(struct dev *d, unsigned i, struct error *err)
{
	const struct dev_agent *a = &d->plan.agents[i];
	cleanup(freep) char *done = dev_path(&d->plan, "agents/%s/id/agent.json", a->name);
	cleanup(freep) char *file = dev_path(&d->plan, "agents/%s.token", a->name);
	const Sluice__V1__CreateEnrolTokenReply *reply;
	struct dev_child how = { 0 };
	bool known;
	int r;

	if (file_exists(done))
		return 0;
	known = is_known(d, a);
	reply = make_token(d, a, known, err);
	if (!reply || file_write_atomic(file, reply->token, strlen(reply->token), 0600, err) < 0)
		return -1;
	dev_child_arg(&how, xstrdup(d->plan.bin_agent));
	dev_child_arg(&how, xstrdup("join"));
	dev_child_arg(&how, xstrdup(d->users));
	dev_child_arg(&how, xstrdup("--token-file"));
	dev_child_arg(&how, xstrdup(file));
	if (known)
		dev_child_arg(&how, xstrdup("--renew"));
	agent_args(d, i, &how);
	r = run_program(d, (const char *const *)how.argv, JOIN_MS, err);
	dev_child_clear_args(&how);
	unlink(file);
	return r < 0 ? error_wrap(err, "the agent '%s' joins", a->name) : 0;
}

static int start_agent(struct dev *d, unsigned i, struct error *err)
{
	struct dev_child *c = &d->agents[i];

	if (join(d, i, err) < 0)
		return -1;
	dev_child_clear_args(c);
	dev_child_arg(c, xstrdup(d->plan.bin_agent));
	dev_child_arg(c, xstrdup("run"));
	agent_args(d, i, c);
	dev_child_arg(c, xprintf("--controller=%s", d->agents_address));
	dev_child_arg(c, xstrdup("--stop-work"));
	return dev_child_start(c, err);
}

static bool is_connected(struct dev *d, const char *name)
{
	Sluice__V1__GetAgentRequest request = SLUICE__V1__GET_AGENT_REQUEST__INIT;
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	const Sluice__V1__AgentDetail *a;

	request.agent = (char *)name;
	a = agents_get(d->cli->channel, arena, &request, NULL);
	return a && a->agent->connected;
}

static int wait_connected(struct dev *d, struct error *err)
{
	int64_t end = clock_boot_ms() + CONNECT_MS;

	for (unsigned i = 0; i < d->plan.n_agents; i++) {
		struct dev_child *c = &d->agents[i];

		while (!is_connected(d, c->name)) {
			int status;

			if (interrupt_sleep(LOOK_MS))
				return error_set(err, ERR_CANCELLED, "interrupted");
			if (spawn_wait(&c->process, 0, &status, NULL) == 0) {
				c->running = false;
				dev_child_say_tail(c);
				return error_set(err, ERR_INTERNAL, "the agent '%s' does not start",
						 c->name);
			}
			if (clock_boot_ms() < end)
				continue;
			dev_child_say_tail(c);
			return error_set(err, ERR_TIMEOUT,
					 "the agent '%s' does not connect; its log is '%s'",
					 c->name, c->log_path);
		}
	}
	return 0;
}

/* ---- all ---- */

static int make_directories(struct dev *d, struct error *err)
{
	static const char *const names[] = { "logs", "run", "agents" };

	if (file_make_dirs(d->plan.dir, 0700, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup(freep) char *path = path_join(d->plan.dir, names[i]);

		if (file_make_dirs(path, 0700, err) < 0)
			return -1;
	}
	return 0;
}

int dev_start(struct dev *d, struct error *err)
{
	if (make_directories(d, err) < 0)
		return -1;
	dev_child_init(&d->controller, &d->plan, "controller");
	for (unsigned i = 0; i < d->plan.n_agents; i++)
		dev_child_init(&d->agents[i], &d->plan, d->plan.agents[i].name);
	/* Killed, an agent leaves its jobs and services to their shims, and finds them again. */
	for (unsigned i = 0; i < d->plan.n_agents; i++)
		dev_child_end_orphan(&d->agents[i], SIGKILL);
	dev_child_end_orphan(&d->controller, SIGTERM);
	if (start_controller(d, err) < 0 || dial(d, err) < 0)
		return -1;
	for (unsigned i = 0; i < d->plan.n_agents; i++)
		if (start_agent(d, i, err) < 0)
			return -1;
	return wait_connected(d, err);
}

void dev_stop_all(struct dev *d)
{
	for (unsigned i = 0; i < d->plan.n_agents; i++)
		dev_child_signal(&d->agents[i], SIGTERM);
	for (unsigned i = 0; i < d->plan.n_agents; i++)
		dev_child_stop(&d->agents[i], AGENT_STOP_MS);
	dev_child_signal(&d->controller, SIGTERM);
	dev_child_stop(&d->controller, CONTROLLER_STOP_MS);
	for (unsigned i = 0; i < d->plan.n_agents; i++)
		dev_child_release(&d->agents[i]);
	dev_child_release(&d->controller);
}
