/*
 * Logs. Appending: what came in is written at once, so that followers see it, and acknowledged when
 * a sync has covered it; while one sync runs the next frames gather, so a busy stream pays few.
 * Reading: bytes from an offset, to the end of the attempt when following.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "controller/api/private.h"
#include "controller/model/agents.h"
#include "controller/model/environments.h"
#include "crypto/digest.h"
#include "sluice/v1/logs.pb-c.h"

enum {
	FRAME_MAX = 256 << 10,
	GATHER = 2 << 20, /* bytes written between two syncs */
	LOGS = 64,	  /* different logs between two syncs */
	KNOWN = 256,	  /* grants remembered by one stream */
	READ = 128 << 10,
};

/* ---- from agents ---- */

/* What this agent was found to be allowed to write. */
struct grant {
	uint64_t fence;
	char environment[129];
	char run_id[ID_SIZE];
};

struct touched {
	const struct grant *grant;
	uint32_t stream;
};

struct appending {
	struct rpc_call *call;
	struct api *api;
	const char *agent;
	struct grant known[KNOWN];
	size_t n_known;
	struct touched touched[LOGS];
	size_t n_touched, gathered;
};

static struct log_key key_of(const struct appending *s, const struct grant *g, uint32_t stream)
{
	return (struct log_key){ .run = g->run_id,
				 .fence = g->fence,
				 .stream = stream,
				 .environment = g->fence ? NULL : g->environment,
				 .agent = g->fence ? NULL : s->agent };
}

static int reply(struct appending *s, const Sluice__V1__AppendRequest *m, uint64_t end,
		 bool refused, struct error *err)
{
	Sluice__V1__AppendReply r = SLUICE__V1__APPEND_REPLY__INIT;

	r.fence = m->fence;
	r.environment = m->environment;
	r.stream = m->stream;
	r.durable_end = end;
	r.refused = refused;
	return rpc_post(s->call, &r, err);
}

/* One sync covers all of one log that was written before; then its agent may forget it. */
static int settle(struct appending *s, struct error *err)
{
	for (size_t i = 0; i < s->n_touched; i++) {
		const struct touched *t = &s->touched[i];
		struct log_key key = key_of(s, t->grant, t->stream);
		Sluice__V1__AppendRequest m = SLUICE__V1__APPEND_REQUEST__INIT;
		uint64_t durable;

		if (logbook_sync(s->api->logbook, &key, &durable, err) < 0)
			return -1;
		m.fence = t->grant->fence;
		m.environment = (char *)t->grant->environment;
		m.stream = t->stream;
		if (reply(s, &m, durable, false, err) < 0)
			return -1;
	}
	s->n_touched = s->gathered = 0;
	return 0;
}

/* What was granted while the attempt ran may be refused since it ended: asked again. */
static bool still_open(const struct appending *s, const struct grant *g, uint32_t stream)
{
	struct log_key key = key_of(s, g, stream);

	return logbook_is_open(s->api->logbook, &key);
}

/* NULL with ERR_DENIED: not this agent's, or no longer. */
static const struct grant *granted(struct appending *s, const Sluice__V1__AppendRequest *m,
				   struct error *err)
{
	struct agent_access ask = { .agent = s->agent,
				    .wish = AGENT_MAY_LOG,
				    .fence = m->fence,
				    .environment = m->environment };
	struct agent_grant answer;
	struct grant *g, *known = NULL;

	for (size_t i = 0; i < s->n_known; i++)
		if (s->known[i].fence == m->fence &&
		    (m->fence || strcmp(s->known[i].environment, m->environment) == 0)) {
			if (still_open(s, &s->known[i], m->stream))
				return &s->known[i];
			known = &s->known[i];
			break;
		}
	if (strlen(m->environment) >= sizeof g->environment)
		return error_set(err, ERR_DENIED, "no such environment"), NULL;
	if (agent_may(s->api, &ask, &answer, err) < 0)
		return NULL;
	if (known)
		return known;
	if (s->n_known == KNOWN) { /* whoever still writes asks again */
		if (settle(s, err) < 0)
			return NULL;
		s->n_known = 0;
	}
	g = &s->known[s->n_known++];
	g->fence = m->fence;
	snprintf(g->environment, sizeof g->environment, "%s", m->environment);
	memcpy(g->run_id, answer.run_id, sizeof g->run_id);
	return g;
}

static void touch(struct appending *s, const struct grant *g, uint32_t stream)
{
	for (size_t i = 0; i < s->n_touched; i++)
		if (s->touched[i].grant == g && s->touched[i].stream == stream)
			return;
	s->touched[s->n_touched++] = (struct touched){ g, stream };
}

/* A service's oldest output is gone at its agent: its log goes on where there is some. */
static int close_gap(struct appending *s, const Sluice__V1__AppendRequest *m,
		     const struct log_key *key, struct error *err)
{
	if (!m->oldest || m->fence || m->offset <= logbook_end(s->api->logbook, key))
		return 0;
	return logbook_skip(s->api->logbook, key, m->offset, err);
}

static int append(struct appending *s, const Sluice__V1__AppendRequest *m, const struct grant *g,
		  struct error *err)
{
	struct log_key key = key_of(s, g, m->stream);
	uint64_t end = 0;

	if (close_gap(s, m, &key, err) == 0 &&
	    logbook_append(s->api->logbook, &key, m->offset, m->data.data, m->data.len, &end,
			   err) == 0) {
		touch(s, g, m->stream);
		s->gathered += m->data.len;
		return 0;
	}
	if (err->code == ERR_CONFLICT) { /* a gap: again from here */
		error_clear(err);
		return reply(s, m, end, false, err);
	}
	if (err->code == ERR_EXHAUSTED && strcmp(err->id, "E0503") == 0) {
		error_clear(err);
		return reply(s, m, 0, true, err);
	}
	return -1;
}

static int take(struct appending *s, const Sluice__V1__AppendRequest *m, struct error *err)
{
	const struct grant *g;

	if (m->data.len > FRAME_MAX || m->stream > 2 || (!m->fence && m->stream))
		return error_set(err, ERR_INVALID, "a frame of %zu bytes of stream %u", m->data.len,
				 m->stream);
	if (crc32c(0, m->data.data, m->data.len) != m->crc32c)
		return error_set(err, ERR_CORRUPT, "a frame is not what its checksum says");
	g = granted(s, m, err);
	if (g)
		return append(s, m, g, err);
	if (err->code != ERR_DENIED && err->code != ERR_CONFLICT && err->code != ERR_NOT_FOUND)
		return -1;
	error_clear(err);
	return reply(s, m, 0, true, err);
}

static int append_all(struct rpc_call *call, struct error *err)
{
	cleanup(freep) struct appending *s = xcalloc(1, sizeof *s);
	const Sluice__V1__AppendRequest *m;
	int r;

	s->call = call;
	s->api = api_of(call);
	s->agent = identity_of(call)->agent;
	for (;;) {
		/* Wait only when nothing is owed; else take what is there, then settle. */
		r = s->n_touched ? rpc_recv_within(call, &m, 0, err) : rpc_recv(call, &m, err);
		if (r < 0 && s->n_touched && err->code == ERR_TIMEOUT) {
			error_clear(err);
			if (settle(s, err) < 0)
				return -1;
			continue;
		}
		if (r <= 0)
			break;
		if (take(s, m, err) < 0)
			return -1;
		if ((s->gathered >= GATHER || s->n_touched == LOGS) && settle(s, err) < 0)
			return -1;
	}
	return r < 0 ? -1 : settle(s, err);
}

/* ---- to people ---- */

struct reading {
	struct rpc_call *call;
	struct api *api;
	struct log_reader *reader;
	uint64_t offset, dropped;
	uint32_t attempt;
	const char *job;
};

static bool is_terminal(const Sluice__V1__Attempt *a)
{
	return a->state != SLUICE__V1__ATTEMPT_STATE__ATTEMPT_OFFERED &&
	       a->state != SLUICE__V1__ATTEMPT_STATE__ATTEMPT_RUNNING &&
	       a->state != SLUICE__V1__ATTEMPT_STATE__ATTEMPT_CANCELLING;
}

static int send_chunk(struct reading *r, const void *data, size_t len, bool end, struct error *err)
{
	Sluice__V1__LogChunk chunk = SLUICE__V1__LOG_CHUNK__INIT;

	chunk.offset = r->offset;
	chunk.data.data = (uint8_t *)data;
	chunk.data.len = len;
	chunk.end = end;
	chunk.attempt = r->attempt;
	chunk.job = (char *)r->job;
	chunk.dropped = r->dropped;
	r->dropped = 0;
	return rpc_send(r->call, &chunk, err);
}

static void wake_reader(void *arg)
{
	log_reader_wake(arg);
}

/* Over what is not kept; the next chunk says so. */
static int seek(struct reading *r, struct error *err)
{
	uint64_t at = r->offset;

	if (log_reader_seek(r->reader, &at, err) < 0)
		return -1;
	r->dropped += at - r->offset;
	r->offset = at;
	return 0;
}

static int send_log(struct reading *r, bool follow, struct error *err)
{
	cleanup(freep) char *data = xmalloc(READ);
	bool ended = false;

	while (!rpc_cancelled(r->call)) {
		int64_t n = -1;

		if (seek(r, err) == 0)
			n = log_reader_read(r->reader, r->offset, data, READ, &ended, err);
		if (n < 0 && err->code == ERR_NOT_FOUND) {
			error_clear(err);
			continue;
		}
		if (n < 0)
			return -1;
		if (n > 0) {
			if (send_chunk(r, data, (size_t)n, false, err) < 0)
				return -1;
			r->offset += (uint64_t)n;
		} else if (ended || !follow) {
			return send_chunk(r, NULL, 0, ended, err);
		} else {
			int left = access_left_ms(r->call);

			if (!left)
				return access_over(err);
			log_reader_wait(r->reader, r->offset, left);
		}
	}
	return error_set(err, ERR_CANCELLED, "the reader left");
}

/* Where the log ends, if its attempt has ended. Looked up while the reader is open: an end that
 * comes after this look finds the reader, and wakes it. */
static int note_end(struct reading *r, const struct log_key *key, struct error *err)
{
	cleanup(store_reader_givep) struct store_reader *store =
		store_reader_take(r->api->store, err);
	const Sluice__V1__Attempt *a;
	ProtobufCMessage *m;
	uint64_t end;
	char id[24];
	int found;

	snprintf(id, sizeof id, "%" PRIu64, key->fence);
	found = store ? reader_get(store, ROW_ATTEMPT, id, rpc_arena(r->call), &m, err) : -1;
	a = found > 0 ? (Sluice__V1__Attempt *)m : NULL;
	if (!a || !is_terminal(a))
		return found < 0 ? -1 : 0;
	end = key->stream < a->n_log_end ? a->log_end[key->stream] : 0;
	logbook_finish(r->api->logbook, key, end);
	if (logbook_end(r->api->logbook, key) >= end)
		return 0;
	error_id(err, "E0204", "the log of attempt %u of '%s' is not kept any more", a->number,
		 a->job_name);
	return error_hint(err, "the controller's `log_retention` says for how long logs are kept");
}

static int read_key(struct reading *r, const struct log_key *key,
		    const Sluice__V1__ReadLogRequest *request, struct error *err)
{
	int result = -1;

	r->reader = log_reader_open(r->api->logbook, key, err);
	if (!r->reader)
		return -1;
	if (*key->run && note_end(r, key, err) < 0) {
		log_reader_close(r->reader);
		return -1;
	}
	if (request->follow)
		log_reader_live(r->reader);
	rpc_on_cancel(r->call, wake_reader, r->reader);
	r->offset = request->offset;
	if (!request->tail || log_reader_tail(r->reader, request->tail, &r->offset, err) == 0)
		result = send_log(r, request->follow, err);
	rpc_on_cancel(r->call, NULL, NULL);
	log_reader_close(r->reader);
	return result;
}

/* The attempt asked for; waits for the first one when following. */
static Sluice__V1__Attempt *find(struct reading *r, const Sluice__V1__ReadLogRequest *request,
				 struct error *err)
{
	cleanup(watch_end) struct watch w;
	struct arena *a = rpc_arena(r->call); /* little, and only until the attempt is there */

	watch_begin(&w, r->call);
	for (;;) {
		cleanup(store_reader_givep) struct store_reader *store =
			store_reader_take(r->api->store, err);
		Sluice__V1__Run *run = store ? find_run(store, request->run, a, err) : NULL;
		Sluice__V1__Job *job = run ? find_job(store, run, request->job, a, err) : NULL;
		Sluice__V1__Attempt *attempt =
			job ? find_attempt(store, job, request->attempt, a, err) : NULL;
		bool may_come = job && !attempt && !err->code &&
				job->state <= SLUICE__V1__JOB_STATE__JOB_ACTIVE;

		if (attempt || err->code) {
			r->job = job ? job->spec->name : "";
			return attempt;
		}
		if (!may_come)
			return NULL; /* it never had one: an empty log */
		if (!request->follow) {
			error_set(err, ERR_CONFLICT, "job '%s' of run %u has not started",
				  job->spec->name, run->number);
			error_hint(err,
				   "-f waits for it; sluice runs why %u says what it waits for",
				   run->number);
			return NULL;
		}
		store_reader_give(steal(store));
		if (!watch_wait(&w, run->id, "", err))
			return NULL;
	}
}

static int read_attempt(struct reading *r, const Sluice__V1__ReadLogRequest *request,
			struct error *err)
{
	Sluice__V1__Attempt *attempt = find(r, request, err);
	struct log_key key;

	if (!attempt)
		return err->code ? -1 : send_chunk(r, NULL, 0, true, err);
	r->attempt = attempt->number;
	key = (struct log_key){ .run = attempt->run_id,
				.fence = attempt->fence,
				.stream = request->stream };
	return read_key(r, &key, request, err);
}

static int read_service(struct reading *r, const Sluice__V1__ReadLogRequest *request,
			struct error *err)
{
	cleanup(message_freep) Sluice__V1__EnvironmentDetail *env = NULL;
	const Sluice__V1__EnvironmentHost *found = NULL;
	struct log_key key = { .run = "", .environment = request->environment };

	if (engine_read(r->api->engine, environments_get, request->environment, &env, err) < 0)
		return -1;
	for (size_t i = 0; i < env->environment->n_hosts; i++) {
		const Sluice__V1__EnvironmentHost *h = env->environment->hosts[i];

		if (*request->agent && strcmp(h->agent_name, request->agent) != 0 &&
		    strcmp(h->agent_id, request->agent) != 0)
			continue;
		if (found && !*request->agent)
			return error_set(err, ERR_INVALID, "'%s' has several hosts: name one",
					 request->environment),
			       error_hint(err, "sluice env show %s lists them",
					  request->environment);
		found = h;
	}
	if (!found)
		return error_id(err, "E0204", "'%s' has no host '%s'", request->environment,
				request->agent);
	key.agent = arena_strdup(rpc_arena(r->call), found->agent_id);
	r->job = arena_strdup(rpc_arena(r->call), found->agent_name);
	return read_key(r, &key, request, err);
}

static int read_log(struct rpc_call *call, const Sluice__V1__ReadLogRequest *request,
		    struct error *err)
{
	struct reading r = { .call = call, .api = api_of(call), .job = "" };

	if (request->stream > 2)
		return error_set(err, ERR_INVALID, "there is no stream %u", request->stream);
	return *request->environment ? read_service(&r, request, err)
				     : read_attempt(&r, request, err);
}

const struct rpc_method logs_api[] = {
	RPC_BIDI(AGENT, Append, append_all, Sluice__V1__AppendRequest, Sluice__V1__AppendReply),
	RPC_SERVER_STREAM(VIEWER, Read, read_log, Sluice__V1__ReadLogRequest, Sluice__V1__LogChunk),
	RPC_END
};
