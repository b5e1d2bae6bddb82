#include "stand.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "crypto/cert.h"
#include "crypto/digest.h"
#include "proto/message.h"
#include "stand_private.h"

/* ---- logs ---- */

struct stand_log *stand_log(struct stand *s, uint64_t fence, const char *environment,
			    uint32_t stream)
{
	for (size_t i = 0; i < s->n_logs; i++)
		if (s->logs[i].fence == fence && s->logs[i].stream == stream &&
		    strcmp(s->logs[i].environment, environment) == 0)
			return &s->logs[i];
	return NULL;
}

static struct stand_log *log_of(struct stand *s, const Sluice__V1__AppendRequest *m)
{
	struct stand_log *log = stand_log(s, m->fence, m->environment, m->stream);

	if (log)
		return log;
	assert(s->n_logs < STAND_LOGS);
	log = &s->logs[s->n_logs++];
	log->fence = m->fence;
	log->stream = m->stream;
	snprintf(log->environment, sizeof log->environment, "%s", m->environment);
	return log;
}

/* As the controller does: an overlap is dropped, a gap refused. */
static void take_frame(struct stand *s, const Sluice__V1__AppendRequest *m,
		       Sluice__V1__AppendReply *reply)
{
	struct stand_log *log = log_of(s, m);
	uint64_t end = log->bytes.len;

	assert(m->data.len <= 256 << 10);
	assert(m->crc32c == crc32c(0, m->data.data, m->data.len));
	log->frames += m->data.len > 0;
	log->received += m->data.len;
	if (m->oldest && m->offset > end) { /* the controller fills with a note */
		while (log->bytes.len < m->offset)
			buf_putc(&log->bytes, ' ');
		end = m->offset;
	}
	if (m->offset > end)
		log->gaps += m->data.len > 0; /* without bytes it only asks */
	else if (m->offset + m->data.len > end)
		buf_add(&log->bytes, m->data.data + (end - m->offset),
			m->data.len - (end - m->offset));
	reply->fence = m->fence;
	reply->environment = m->environment;
	reply->stream = m->stream;
	reply->durable_end = log->bytes.len;
	reply->refused = log->refused;
	signal_all(&s->changed);
}

bool stand_cut(unsigned *messages, unsigned every)
{
	return every && ++*messages % every == 0;
}

static int append(struct rpc_call *call, struct error *err)
{
	struct stand *s = rpc_self(call);
	const Sluice__V1__AppendRequest *m;
	int r;

	lock_take(&s->lock);
	s->appends++;
	lock_drop(&s->lock);
	while ((r = rpc_recv(call, &m, err)) > 0) {
		Sluice__V1__AppendReply reply = SLUICE__V1__APPEND_REPLY__INIT;
		bool cut, hold;

		lock_take(&s->lock);
		take_frame(s, m, &reply);
		cut = stand_cut(&s->log_messages, s->cut_logs);
		hold = s->hold_acks;
		lock_drop(&s->lock);
		if (cut)
			return error_set(err, ERR_UNAVAILABLE, "cut");
		if (!hold && rpc_post(call, &reply, err) < 0)
			return -1;
	}
	return r;
}

static const struct rpc_method logs_api[] = {
	RPC_BIDI(AGENT, Append, append, Sluice__V1__AppendRequest, Sluice__V1__AppendReply), RPC_END
};

/* ---- the session ---- */

static int opened(struct rpc_call *call, void *self, struct error *err)
{
	struct stand *s = self;

	rpc_session_set(call, s);
	LOCKED(&s->lock);
	if (s->session)
		rpc_unref(s->session);
	s->session = rpc_ref(call);
	s->registered = false;
	s->sessions++;
	signal_all(&s->changed);
	return 0;
}

static void post(struct rpc_call *call, Sluice__V1__ControllerMessage *m)
{
	Sluice__V1__ControllerBatch batch = SLUICE__V1__CONTROLLER_BATCH__INIT;
	struct error err = { 0 }; /* it may just have broken: as the network does */

	batch.messages = &m;
	batch.n_messages = 1;
	rpc_post(call, &batch, &err);
}

static void registered(struct stand *s, struct rpc_call *call, const Sluice__V1__AgentMessage *m)
{
	cleanup(message_freep) Sluice__V1__ControllerMessage *answer =
		message_new(&sluice__v1__controller_message__descriptor);

	answer->ctl_epoch = 1;
	answer->body_case = SLUICE__V1__CONTROLLER_MESSAGE__BODY_REGISTERED;
	answer->registered = message_new(&sluice__v1__registered__descriptor);
	answer->registered->request_seq = m->seq;
	for (size_t i = 0; i < m->register_->n_held; i++) {
		Sluice__V1__HeldVerdict *v = message_new(&sluice__v1__held_verdict__descriptor);

		v->fence = m->register_->held[i]->fence;
		v->verdict = s->verdict ? s->verdict : SLUICE__V1__HELD_VERDICT__VERDICT__CONTINUE;
		message_append(answer->registered, held, v);
	}
	post(call, answer);
	s->registered = true;
}

static void accepted(struct rpc_call *call, const Sluice__V1__AgentMessage *m)
{
	Sluice__V1__ControllerMessage answer = SLUICE__V1__CONTROLLER_MESSAGE__INIT;
	Sluice__V1__Accepted body = SLUICE__V1__ACCEPTED__INIT;

	answer.ctl_epoch = 1;
	answer.body_case = SLUICE__V1__CONTROLLER_MESSAGE__BODY_ACCEPTED;
	answer.accepted = &body;
	body.request_seq = m->seq;
	body.fences = m->accept->fences;
	body.n_fences = m->accept->n_fences;
	post(call, &answer);
}

static void renewed(struct rpc_call *call, const Sluice__V1__AgentMessage *m)
{
	Sluice__V1__ControllerMessage answer = SLUICE__V1__CONTROLLER_MESSAGE__INIT;
	Sluice__V1__RenewAck body = SLUICE__V1__RENEW_ACK__INIT;

	answer.ctl_epoch = 1;
	answer.body_case = SLUICE__V1__CONTROLLER_MESSAGE__BODY_RENEW_ACK;
	answer.renew_ack = &body;
	body.request_seq = m->seq;
	body.fences = m->renew->fences;
	body.n_fences = m->renew->n_fences;
	post(call, &answer);
}

static void hear_locked(struct stand *s, struct rpc_call *call, const Sluice__V1__AgentMessage *m)
{
	assert(s->n_heard < STAND_MESSAGES);
	s->heard[s->n_heard++] = message_copy(m);
	if (m->body_case == SLUICE__V1__AGENT_MESSAGE__BODY_REGISTER)
		registered(s, call, m);
	if (m->body_case == SLUICE__V1__AGENT_MESSAGE__BODY_ACCEPT && !s->mute)
		accepted(call, m);
	if (m->body_case == SLUICE__V1__AGENT_MESSAGE__BODY_RENEW && !s->no_renewals)
		renewed(call, m);
}

static int received(struct rpc_call *call, const Sluice__V1__AgentBatch *batch, struct error *err)
{
	struct stand *s = rpc_session_get(call);
	LOCKED(&s->lock);

	for (size_t i = 0; i < batch->n_messages; i++)
		hear_locked(s, call, batch->messages[i]);
	signal_all(&s->changed);
	return 0;
}

static void closed(struct rpc_call *call, const struct error *why)
{
	struct stand *s = rpc_session_get(call);
	LOCKED(&s->lock);

	if (s->session == call) {
		rpc_unref(s->session);
		s->session = NULL;
	}
	signal_all(&s->changed);
}

static int renew(struct rpc_call *call, const Sluice__V1__RenewCertificateRequest *request,
		 Sluice__V1__EnrolReply *reply, struct error *err)
{
	struct stand *s = rpc_self(call);
	struct cert_authority ca = { .cert_pem = s->renew_by->cert, .key_pem = s->renew_by->key };
	struct cert_client what = { .csr_pem = request->csr_pem,
				    .common_name = "renewed",
				    .uri = "spiffe://test/agent/renewed",
				    .days = 30 };
	cleanup(buf_release) struct buf pem = { 0 };

	if (cert_issue_client(&ca, &what, &pem, err) < 0)
		return -1;
	reply->certificate_pem =
		arena_strdup(rpc_arena(call), s->renew_other_key ? s->agent.cert : buf_str(&pem));
	reply->ca_pem = s->renew_by->cert;
	return 0;
}

static const struct rpc_method agents_api[] = {
	RPC_UNARY(AGENT, RenewCertificate, renew, Sluice__V1__RenewCertificateRequest,
		  Sluice__V1__EnrolReply),
	RPC_SESSION(AGENT, Session, opened, received, closed, Sluice__V1__AgentBatch,
		    Sluice__V1__ControllerBatch),
	RPC_END
};

/* ---- what tests do ---- */

void stand_wait_locked(struct stand *s, bool (*is)(struct stand *s, void *arg), void *arg,
		       const char *what)
{
	int64_t until = clock_boot_ms() + PATIENCE_MS;

	while (!is(s, arg)) {
		int64_t left = until - clock_boot_ms();

		if (left <= 0) {
			fprintf(stderr, "waited in vain for %s\n", what);
			abort();
		}
		signal_wait_ms(&s->changed, &s->lock, left);
	}
}

struct wanted_log {
	uint64_t fence;
	uint32_t stream;
	const void *data;
	size_t len;
};

static bool log_is(struct stand *s, void *arg)
{
	const struct wanted_log *w = arg;
	struct stand_log *log = stand_log(s, w->fence, "", w->stream);

	return log && log->bytes.len == w->len && memcmp(log->bytes.data, w->data, w->len) == 0;
}

void stand_wait_log(struct stand *s, uint64_t fence, uint32_t stream, const void *data, size_t len)
{
	struct wanted_log w = { fence, stream, data, len };
	LOCKED(&s->lock);

	stand_wait_locked(s, log_is, &w, "a log");
}

struct wanted_message {
	size_t at;
	Sluice__V1__AgentMessage__BodyCase kind;
};

static bool message_came(struct stand *s, void *arg)
{
	struct wanted_message *w = arg;

	for (; w->at < s->n_heard; w->at++)
		if (s->heard[w->at]->body_case == w->kind)
			return true;
	return false;
}

const Sluice__V1__AgentMessage *stand_hear(struct stand *s, size_t *at,
					   Sluice__V1__AgentMessage__BodyCase kind)
{
	struct wanted_message w = { *at, kind };
	char what[64];
	LOCKED(&s->lock);

	snprintf(what, sizeof what, "message %d", (int)kind);
	stand_wait_locked(s, message_came, &w, what);
	*at = w.at + 1;
	return s->heard[w.at];
}

static bool is_connected(struct stand *s, void *arg)
{
	return s->session && s->registered;
}

void stand_say(struct stand *s, Sluice__V1__ControllerMessage *m)
{
	LOCKED(&s->lock);

	stand_wait_locked(s, is_connected, NULL, "a session");
	if (!m->ctl_epoch)
		m->ctl_epoch = 1;
	post(s->session, m);
}

void stand_break_session(struct stand *s)
{
	LOCKED(&s->lock);

	stand_wait_locked(s, is_connected, NULL, "a session");
	rpc_cancel(s->session);
}

/* ---- the whole ---- */

char *stand_path(const struct stand *s, const char *name)
{
	return path_join(s->dir, name);
}

static int guard(void *self, const struct rpc_caller *caller, unsigned access,
		 struct rpc_identity *ret, struct error *err)
{
	return access & AGENT ? 0 : error_set(err, ERR_DENIED, "agents only");
}

static void write_file(const struct stand *s, const char *name, const char *a, const char *b)
{
	cleanup(freep) char *path = stand_path(s, name);
	cleanup(freep) char *text = xprintf("%s%s", a, b);
	struct error err = { 0 };
	int r = file_write_atomic(path, text, strlen(text), 0600, &err);

	assert(r == 0);
}

static void listen_and_dial(struct stand *s)
{
	cleanup(freep) char *cert = stand_path(s, "s.pem"), *key = stand_path(s, "s.key");
	cleanup(freep) char *ca = stand_path(s, "ca.pem"), *address = NULL;
	struct rpc_listener listener = { "127.0.0.1:0", RPC_AGENTS, cert, key, ca };
	struct rpc_limits limits = { .max_peer_calls = 256 };
	struct rpc_endpoint to = { .ca_pem = s->ca.cert,
				   .cert_pem = s->agent.cert,
				   .key_pem = s->agent.key };
	struct error err = { 0 };
	int r;

	s->server = rpc_server_new(&listener, 1, &limits, &err);
	assert(s->server);
	rpc_server_guard(s->server, guard, s);
	rpc_server_add(s->server, &sluice__v1__agents__descriptor, agents_api, s);
	rpc_server_add(s->server, &sluice__v1__logs__descriptor, logs_api, s);
	rpc_server_add(s->server, &sluice__v1__artifacts__descriptor, stand_artifacts_api, s);
	r = rpc_server_start(s->server, &err);
	assert(r == 0);
	address = xprintf("127.0.0.1:%d", rpc_server_port(s->server, 0));
	to.address = address;
	s->channel = rpc_dial(&to, &err);
	assert(s->channel);
}

struct stand *stand_new(void)
{
	struct stand *s = xcalloc(1, sizeof *s);
	struct leaf server = { .names = "DNS:localhost,IP:127.0.0.1",
			       .usage = "serverAuth",
			       .days = 1 };
	struct leaf agent = { .names = "URI:spiffe://test/agent/7",
			      .usage = "clientAuth",
			      .days = 1 };
	cleanup(freep) char *blobs = NULL;
	struct pair leaf;
	struct error err = { 0 };

	snprintf(s->dir, sizeof s->dir, "/tmp/stand-XXXXXX");
	if (!mkdtemp(s->dir))
		abort();
	lock_init(&s->lock);
	signal_init(&s->changed);
	s->ca = certs_ca("stand");
	s->agent = certs_leaf(&s->ca, &agent);
	leaf = certs_leaf(&s->ca, &server);
	write_file(s, "ca.pem", s->ca.cert, "");
	write_file(s, "s.pem", leaf.cert, s->ca.cert);
	write_file(s, "s.key", leaf.key, "");
	pair_release(&leaf);
	blobs = stand_path(s, "blobs");
	s->store = blob_store_open(blobs, &err);
	assert(s->store);
	listen_and_dial(s);
	return s;
}

void stand_free(struct stand *s)
{
	struct error err = { 0 };
	int r;

	rpc_hangup(s->channel);
	rpc_server_stop(s->server, 0);
	rpc_server_free(s->server);
	assert(!s->session);
	blob_store_close(s->store);
	for (size_t i = 0; i < s->n_logs; i++)
		buf_release(&s->logs[i].bytes);
	for (size_t i = 0; i < s->n_heard; i++)
		message_free(s->heard[i]);
	pair_release(&s->ca);
	pair_release(&s->agent);
	r = file_remove_tree(s->dir, &err);
	assert(r == 0);
	signal_release(&s->changed);
	lock_release(&s->lock);
	free(s);
}
