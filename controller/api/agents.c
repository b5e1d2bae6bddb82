/*
 * Agents: joining, renewing, and what people do with them. Session is in sessions.c.
 */
#include "controller/api/private.h"

#include <stdio.h>
#include <string.h>

#include "controller/model/agents.h"
#include "crypto/keys.h"
#include "crypto/random.h"
#include "sluice/v1/agents.pb-c.h"

/* The certificate is made between two decisions: the first says for whom, the second records it and
 * spends the token, so that a certificate nobody recorded is worth nothing. */
static int enrol(struct rpc_call *call, const Sluice__V1__EnrolRequest *request,
		 Sluice__V1__EnrolReply *reply, struct error *err)
{
	struct api *api = api_of(call);
	struct digest hash = token_hash(request->token);
	char hex[DIGEST_HEX_SIZE];
	struct enrol ask = { .token_hash = digest_hex(&hash, hex),
			     .request_id = request->request_id,
			     .host = request->host,
			     .version = request->version };
	cleanup(buf_release) struct buf pem = { 0 };
	struct enrolled who, done;
	struct cert_info info;

	if (!request->host)
		return error_set(err, ERR_INVALID, "the request does not describe the host");
	if (engine_read(api->engine, agents_enrol_check, &ask, &who, err) < 0 ||
	    authority_issue_agent(api->authority, request->csr_pem, who.agent_id, &pem, &info,
				  err) < 0)
		return -1;
	ask.agent_id = who.agent_id;
	ask.serial = info.serial;
	ask.not_after_ms = info.not_after_ms;
	if (engine_ask(api->engine, agents_enrol, &ask, &done, err) < 0)
		return -1;
	reply->agent_id = arena_strdup(rpc_arena(call), done.agent_id);
	reply->name = arena_strdup(rpc_arena(call), done.name);
	reply->certificate_pem = arena_strdup(rpc_arena(call), buf_str(&pem));
	reply->ca_pem = (char *)authority_ca_pem(api->authority);
	reply->agents_address = arena_printf(rpc_arena(call), ":%d", api->agents_port);
	return 0;
}

static int renew(struct rpc_call *call, const Sluice__V1__RenewCertificateRequest *request,
		 Sluice__V1__EnrolReply *reply, struct error *err)
{
	struct api *api = api_of(call);
	const char *agent = identity_of(call)->agent;
	cleanup(buf_release) struct buf pem = { 0 };
	struct certificate_renewal ask = { .agent = agent };
	struct cert_info info;

	if (authority_issue_agent(api->authority, request->csr_pem, agent, &pem, &info, err) < 0)
		return -1;
	ask.serial = info.serial;
	ask.not_after_ms = info.not_after_ms;
	if (engine_ask(api->engine, agents_renew, &ask, NULL, err) < 0)
		return -1;
	reply->agent_id = (char *)agent;
	reply->certificate_pem = arena_strdup(rpc_arena(call), buf_str(&pem));
	reply->ca_pem = (char *)authority_ca_pem(api->authority);
	return 0;
}

static int list(struct rpc_call *call, const Sluice__V1__ListAgentsRequest *request,
		Sluice__V1__ListAgentsReply *reply, struct error *err)
{
	struct agents_page page = { .after = page_token(request->page),
				    .limit = (size_t)page_size(request->page) };

	return api_look(call, agents_list, &page, &reply->base, err);
}

static int get(struct rpc_call *call, const Sluice__V1__GetAgentRequest *request,
	       Sluice__V1__AgentDetail *reply, struct error *err)
{
	return api_look(call, agents_detail, request->agent, &reply->base, err);
}

static int act(struct rpc_call *call, decide_fn *decide,
	       const Sluice__V1__AgentActionRequest *request, Sluice__V1__Agent *reply,
	       struct error *err)
{
	struct agent_action ask = { .caller = caller_of(call), .request = request };

	return api_answer_urgent(call, decide, &ask, &reply->base, err);
}

static int drain(struct rpc_call *call, const Sluice__V1__AgentActionRequest *request,
		 Sluice__V1__Agent *reply, struct error *err)
{
	return act(call, agents_drain, request, reply, err);
}

static int resume(struct rpc_call *call, const Sluice__V1__AgentActionRequest *request,
		  Sluice__V1__Agent *reply, struct error *err)
{
	return act(call, agents_resume, request, reply, err);
}

static int lost(struct rpc_call *call, const Sluice__V1__AgentActionRequest *request,
		Sluice__V1__Agent *reply, struct error *err)
{
	return act(call, agents_lost, request, reply, err);
}

static bool is_agent(void *arg, const struct rpc_caller *caller)
{
	size_t all = strlen(caller->peer_uri), id = strlen(arg);

	return all > id && strcmp(caller->peer_uri + all - id, arg) == 0;
}

/* New calls are refused from the decision on; those that are open end here. */
static int revoke_agent(struct rpc_call *call, const Sluice__V1__AgentActionRequest *request,
			Sluice__V1__Agent *reply, struct error *err)
{
	if (act(call, agents_revoke, request, reply, err) < 0)
		return -1;
	rpc_server_cut(api_of(call)->server, is_agent, reply->id);
	return 0;
}

static int label(struct rpc_call *call, const Sluice__V1__LabelAgentRequest *request,
		 Sluice__V1__Agent *reply, struct error *err)
{
	struct agent_label ask = { .caller = caller_of(call), .request = request };

	return api_answer(call, agents_label, &ask, &reply->base, err);
}

static int create_token(struct rpc_call *call, const Sluice__V1__CreateEnrolTokenRequest *request,
			Sluice__V1__CreateEnrolTokenReply *reply, struct error *err)
{
	char secret[RANDOM_TOKEN_SIZE], hex[DIGEST_HEX_SIZE];
	struct digest hash;
	struct enrol_token_create ask = { .caller = caller_of(call),
					  .request = request,
					  .hash = hex };

	random_token(secret);
	hash = token_hash(secret);
	digest_hex(&hash, hex);
	if (api_answer(call, agents_token_create, &ask, &reply->base, err) < 0)
		return -1;
	reply->token = arena_printf(rpc_arena(call), "%s.%s", secret,
				    authority_ca_sha256(api_of(call)->authority));
	return 0;
}

const struct rpc_method agents_api[] = {
	RPC_UNARY(ENROL, Enrol, enrol, Sluice__V1__EnrolRequest, Sluice__V1__EnrolReply),
	RPC_UNARY(AGENT, RenewCertificate, renew, Sluice__V1__RenewCertificateRequest,
		  Sluice__V1__EnrolReply),
	RPC_SESSION(AGENT, Session, session_opened, session_received, session_closed,
		    Sluice__V1__AgentBatch, Sluice__V1__ControllerBatch),
	RPC_UNARY(VIEWER, List, list, Sluice__V1__ListAgentsRequest, Sluice__V1__ListAgentsReply),
	RPC_UNARY(VIEWER, Get, get, Sluice__V1__GetAgentRequest, Sluice__V1__AgentDetail),
	RPC_UNARY(OPERATOR, Drain, drain, Sluice__V1__AgentActionRequest, Sluice__V1__Agent),
	RPC_UNARY(OPERATOR, Resume, resume, Sluice__V1__AgentActionRequest, Sluice__V1__Agent),
	RPC_UNARY(ADMIN, Revoke, revoke_agent, Sluice__V1__AgentActionRequest, Sluice__V1__Agent),
	RPC_UNARY(OPERATOR, Lost, lost, Sluice__V1__AgentActionRequest, Sluice__V1__Agent),
	RPC_UNARY(ADMIN, Label, label, Sluice__V1__LabelAgentRequest, Sluice__V1__Agent),
	RPC_UNARY(ADMIN, CreateToken, create_token, Sluice__V1__CreateEnrolTokenRequest,
		  Sluice__V1__CreateEnrolTokenReply),
	RPC_END
};
