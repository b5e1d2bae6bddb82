/*
 * private.h - what the handlers share
 */
#ifndef API_PRIVATE_H
#define API_PRIVATE_H

#include "controller/api/api.h"
#include "controller/model/caller.h"
#include "proto/message.h"
#include "sluice/v1/artifacts.pb-c.h"
#include "sluice/v1/runs.pb-c.h"

/* ---- guard.c: who calls ---- */

/* Attached by the guard. */
struct identity {
	bool is_agent;
	char agent[ID_SIZE];	  /* of an agent */
	Sluice__V1__Token *token; /* of a user; owned */
	Sluice__V1__Actor actor;  /* borrows */
	struct caller caller;
};

rpc_guard guard;
/* agents_access, and a word to the audit log when it is denied. */
struct agent_access;
struct agent_grant;
int agent_may(struct api *api, const struct agent_access *wish, struct agent_grant *ret,
	      struct error *err);
static inline const struct identity *identity_of(const struct rpc_call *call)
{
	return rpc_identity(call);
}
static inline const struct caller *caller_of(const struct rpc_call *call)
{
	return &identity_of(call)->caller;
}
static inline struct api *api_of(const struct rpc_call *call)
{
	return rpc_self(call);
}

/* For how long this caller may go on listening, for a wait: -1 is for ever, 0 not any more. A
 * stream outlives the question that the guard asked when it began. */
int access_left_ms(const struct rpc_call *call);
int access_over(struct error *err); /* -1: that the token has expired */

/* ---- reply.c ---- */

/* Asks, and puts the heap message that came back into the call's reply. */
int api_answer(struct rpc_call *call, decide_fn *decide, const void *request,
	       ProtobufCMessage *reply, struct error *err);
int api_answer_urgent(struct rpc_call *call, decide_fn *decide, const void *request,
		      ProtobufCMessage *reply, struct error *err);
/* The same for a decision that only looks: the reserve never refuses it. */
int api_look(struct rpc_call *call, decide_fn *decide, const void *request, ProtobufCMessage *reply,
	     struct error *err);
/* A copy of a message into the reply, in an arena: the call's, or, where a call answers many times,
 * one of its own for each answer. */
int api_copy(struct arena *arena, const void *message, ProtobufCMessage *reply, struct error *err);
/* Clients take messages of 4 MiB; an answer that could be larger is ended or shortened here. */
enum { REPLY_BYTES = 2 << 20 };
/* Leaves out of its jobs what is long, the least missed first, until it has at most this size; says
 * so in `shortened`. The messages are an arena's. */
void detail_shorten(Sluice__V1__RunDetail *detail, size_t most);
/* Size and token of a page request: 1..1000, and "" for none. */
int page_size(const Sluice__V1__PageRequest *page);
const char *page_token(const Sluice__V1__PageRequest *page);

/* ---- find.c: stored things by what people write. All in the arena; -1 with ERR_NOT_FOUND ---- */

Sluice__V1__Run *find_run(struct store_reader *r, const char *text, struct arena *a,
			  struct error *err);
/* "" is the only one. */
Sluice__V1__Job *find_job(struct store_reader *r, const Sluice__V1__Run *run, const char *name,
			  struct arena *a, struct error *err);
/* 0 is the last. NULL without an error: it has none yet. */
Sluice__V1__Attempt *find_attempt(struct store_reader *r, const Sluice__V1__Job *job,
				  uint32_t number, struct arena *a, struct error *err);
/* Into reply: the newest releases that hold one of its nodes, and where they are. */
int releases_holding(struct rpc_call *call, struct store_reader *r, Sluice__V1__LineageReply *reply,
		     struct error *err);
Sluice__V1__Release *find_release(struct store_reader *r, const char *text, struct arena *a,
				  struct error *err);
Sluice__V1__Artifact *find_artifact(struct store_reader *r, const char *text, struct arena *a,
				    struct error *err);
Sluice__V1__Artifact *find_artifact_by_digest(struct store_reader *r, const char *digest,
					      struct arena *a, struct error *err);

/* ---- watch.c: waiting for what concerns one run or environment ---- */

struct watch {
	struct api *api;
	struct rpc_call *call;
	struct feed_waiter *waiter;
	uint64_t seen;
};
void watch_begin(struct watch *w, struct rpc_call *call);
void watch_end(struct watch *w); /* fits cleanup() */
/* Until something of this run or environment happened since the last call. false: the client left,
 * its token expired, or the controller stops. */
bool watch_wait(struct watch *w, const char *run_id, const char *environment, struct error *err);

/* ---- the services ---- */
extern const struct rpc_method agents_api[], runs_api[], logs_api[], artifacts_api[],
	releases_api[], environments_api[], tokens_api[], system_api[], events_api[];

/* Handlers that have a file of their own. */
int session_opened(struct rpc_call *call, void *self, struct error *err);
int session_received(struct rpc_call *call, const Sluice__V1__AgentBatch *batch, struct error *err);
void session_closed(struct rpc_call *call, const struct error *why);
int artifacts_upload(struct rpc_call *call, struct error *err);
int artifacts_download(struct rpc_call *call, const Sluice__V1__DownloadRequest *request,
		       struct error *err);
int artifacts_list(struct rpc_call *call, const Sluice__V1__ListArtifactsRequest *request,
		   Sluice__V1__ListArtifactsReply *reply, struct error *err);
int artifacts_lineage(struct rpc_call *call, const Sluice__V1__LineageRequest *request,
		      Sluice__V1__LineageReply *reply, struct error *err);

#endif
