/*
 * Goal 14: many idle agents. Each has a key, a certificate and a connection of its own, registers
 * and renews every ten seconds as an agent does; here a thread each plays them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/thread.h"
#include "crypto/cert.h"
#include "crypto/keys.h"
#include "load/client.h"
#include "load/goals.h"
#include "load/house.h"
#include "load/measure.h"

enum { AGENTS = 500, QUICK_AGENTS = 50, ENROLLERS = 8, RENEW_MS = 10000, SUBMITS = 300 };

RPC_STUB(agents_enrol, sluice__v1__agents, Enrol, Sluice__V1__EnrolRequest, Sluice__V1__EnrolReply)

struct player {
	const struct house *house;
	unsigned number;
	struct buf key;
	char *cert, *id;
	pthread_t thread;
	uint64_t renewed; /* acknowledged renewals; atomic */
};

struct playground {
	struct house *house;
	struct player *players;
	unsigned n, next; /* next: atomic */
	bool stop;	  /* atomic */
};

static struct playground ground;

/* ---- enrolment ---- */

static void host_facts(Sluice__V1__HostFacts *ret)
{
	sluice__v1__host_facts__init(ret);
	ret->hostname = (char *)"played";
	ret->slots = 8;
	ret->cpu_milli = 8000;
	ret->memory = 16ull << 30;
	ret->disk_free = 100ull << 30;
	ret->containment = (char *)"process-group";
	ret->os = (char *)"Debian GNU/Linux 12";
	ret->address = (char *)"127.0.0.1";
}

static void enrol(struct player *p, struct rpc_channel *ch)
{
	cleanup(freep) char *name = xprintf("played-%u", p->number);
	cleanup(freep) char *token = house_enrol_token(p->house, name);
	cleanup(buf_release) struct buf csr = { 0 };
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	Sluice__V1__EnrolRequest request = SLUICE__V1__ENROL_REQUEST__INIT;
	Sluice__V1__HostFacts facts;
	const Sluice__V1__EnrolReply *reply;
	struct id id = id_new();
	struct error err = { 0 };

	*strrchr(token, '.') = '\0'; /* the CA's hash is for those who do not know the CA */
	host_facts(&facts);
	if (key_generate(&p->key, &err) < 0 || cert_make_request(buf_str(&p->key), &csr, &err) < 0)
		die(&err, "a key for '%s'", name);
	request.token = token;
	request.csr_pem = csr.data;
	request.host = &facts;
	request.request_id = id.text;
	request.version = (char *)"bench";
	reply = agents_enrol(ch, arena, &request, &err);
	if (!reply)
		die(&err, "enrolling '%s'", name);
	p->cert = xstrdup(reply->certificate_pem);
	p->id = xstrdup(reply->agent_id);
}

static void *enroller(void *arg)
{
	struct rpc_endpoint endpoint = { .address = ground.house->address,
					 .ca_pem = ground.house->ca_pem,
					 .wait_ready_ms = 20000 };
	struct error err = { 0 };
	struct rpc_channel *ch = rpc_dial(&endpoint, &err);
	unsigned i;

	if (!ch)
		die(&err, "dialling");
	while ((i = __atomic_fetch_add(&ground.next, 1, __ATOMIC_RELAXED)) < ground.n)
		enrol(&ground.players[i], ch);
	rpc_hangup(ch);
	return arg;
}

static void enrol_all(void)
{
	pthread_t threads[ENROLLERS];

	for (unsigned i = 0; i < ground.n; i++)
		ground.players[i] = (struct player){ .house = ground.house, .number = i };
	for (size_t i = 0; i < ENROLLERS; i++)
		threads[i] = thread_start("enrol", 0, enroller, NULL);
	for (size_t i = 0; i < ENROLLERS; i++)
		thread_join(threads[i]);
}

/* ---- the session ---- */

static void say(struct rpc_call *call, Sluice__V1__AgentMessage *m, uint64_t *seq)
{
	Sluice__V1__AgentBatch batch = SLUICE__V1__AGENT_BATCH__INIT;
	struct error err = { 0 };

	batch.messages = &m;
	batch.n_messages = 1;
	m->seq = ++*seq;
	if (rpc_send(call, &batch, &err) < 0)
		die(&err, "a played agent's session");
}

static void hear(struct rpc_call *call, Sluice__V1__ControllerMessage__BodyCase what)
{
	const Sluice__V1__ControllerBatch *batch;
	struct error err = { 0 };

	while (rpc_recv(call, &batch, &err) > 0)
		for (size_t i = 0; i < batch->n_messages; i++)
			if (batch->messages[i]->body_case == what)
				return;
	die(&err, "a played agent's session ended");
}

static void do_register(struct player *p, struct rpc_call *call, uint64_t *seq)
{
	Sluice__V1__AgentMessage m = SLUICE__V1__AGENT_MESSAGE__INIT;
	Sluice__V1__Register body = SLUICE__V1__REGISTER__INIT;
	Sluice__V1__HostFacts facts;
	struct id boot = id_new(), instance = id_new();

	host_facts(&facts);
	body.boot_id = boot.text;
	body.instance = instance.text;
	body.host = &facts;
	body.version = (char *)"bench";
	m.body_case = SLUICE__V1__AGENT_MESSAGE__BODY_REGISTER;
	m.register_ = &body;
	say(call, &m, seq);
	hear(call, SLUICE__V1__CONTROLLER_MESSAGE__BODY_REGISTERED);
	__atomic_add_fetch(&p->renewed, 1, __ATOMIC_RELAXED);
}

static void renew(struct player *p, struct rpc_call *call, uint64_t *seq)
{
	Sluice__V1__AgentMessage m = SLUICE__V1__AGENT_MESSAGE__INIT;
	Sluice__V1__Renew body = SLUICE__V1__RENEW__INIT;

	m.body_case = SLUICE__V1__AGENT_MESSAGE__BODY_RENEW;
	m.renew = &body;
	say(call, &m, seq);
	hear(call, SLUICE__V1__CONTROLLER_MESSAGE__BODY_RENEW_ACK);
	__atomic_add_fetch(&p->renewed, 1, __ATOMIC_RELAXED);
}

static void *play(void *arg)
{
	struct player *p = arg;
	struct rpc_endpoint endpoint = { .address = p->house->agents_address,
					 .ca_pem = p->house->ca_pem,
					 .cert_pem = p->cert,
					 .key_pem = buf_str(&p->key),
					 .wait_ready_ms = 30000 };
	struct error err = { 0 };
	struct rpc_channel *ch = rpc_dial(&endpoint, &err);
	struct rpc_call *call =
		ch ? rpc_open(ch, &sluice__v1__agents__descriptor, "Session", &err) : NULL;
	int64_t next = clock_boot_ms() + RENEW_MS * (int64_t)(p->number % 100) / 100;
	uint64_t seq = 0;

	if (!call)
		die(&err, "a played agent's session");
	do_register(p, call, &seq);
	while (!__atomic_load_n(&ground.stop, __ATOMIC_RELAXED)) {
		pause_s(0.2);
		if (clock_boot_ms() < next)
			continue;
		renew(p, call, &seq);
		next += RENEW_MS;
	}
	rpc_close(call);
	rpc_hangup(ch);
	return NULL;
}

static void connect_all(void)
{
	for (unsigned i = 0; i < ground.n; i++)
		ground.players[i].thread =
			thread_start("agent", 128 << 10, play, &ground.players[i]);
	for (unsigned i = 0; i < ground.n; i++)
		while (!__atomic_load_n(&ground.players[i].renewed, __ATOMIC_RELAXED))
			pause_s(0.01);
}

/* ---- the figures ---- */

static void say_submit(struct rpc_channel *ch)
{
	cleanup(buf_release) struct buf file = { 0 };
	struct series ms = { 0 };
	struct figure f = { "14", "submit_p99", "ms", 0, 0, AT_MOST, 50 };

	/* Each is placed and offered to one of them, who says nothing. */
	client_pipeline(&file, 1, "true");
	for (int i = 0; i < SUBMITS; i++) {
		double began = clock_s();

		client_submit(ch, buf_str(&file), 0);
		series_add(&ms, 1e3 * (clock_s() - began));
		pause_s(0.01);
	}
	f.value = series_part(&ms, 0.99);
	figure_say(&f);
	series_release(&ms);
}

static void stop_all(void)
{
	__atomic_store_n(&ground.stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < ground.n; i++) {
		struct player *p = &ground.players[i];

		thread_join(p->thread);
		key_release(&p->key);
		free(p->cert);
		free(p->id);
	}
	free(ground.players);
}

void goal_agents(void)
{
	struct figure f = { "14", "per_idle_agent", "KiB", 0, 0, AT_MOST, 160 };
	double before, enrolled, connected;
	struct usage busy;

	ground = (struct playground){ .house = house_open(0), .n = quick ? QUICK_AGENTS : AGENTS };
	ground.players = xcalloc(ground.n, sizeof *ground.players);
	pause_s(1);
	before = usage_of(ground.house->controller.pid).rss;
	enrol_all();
	enrolled = usage_of(ground.house->controller.pid).rss;
	connect_all();
	pause_s(1 + RENEW_MS / 1e3); /* each has renewed once */
	connected = usage_of(ground.house->controller.pid).rss;
	f.value = 1024 * (connected - before) / ground.n;
	figure_say(&f);
	f = (struct figure){ "14", "per_connection", "KiB", 0, 0, NO_BOUND, 0 };
	f.value = 1024 * (connected - enrolled) / ground.n;
	figure_say(&f);
	busy = usage_of(ground.house->controller.pid);
	pause_s(RENEW_MS / 1e3);
	f = (struct figure){ "14", "renewing_cpu", "ms/s", 0, 0, NO_BOUND, 0 };
	f.value = 1e3 * (usage_of(ground.house->controller.pid).cpu_s - busy.cpu_s) /
		  (RENEW_MS / 1e3);
	figure_say(&f);
	say_submit(ground.house->users);
	stop_all();
	house_close(ground.house);
}
