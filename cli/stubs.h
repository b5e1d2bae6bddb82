/*
 * stubs.h - a line per unary rpc that the command line uses
 */
#ifndef CLI_STUBS_H
#define CLI_STUBS_H

#include "cli/complete.h"
#include "rpc/rpc.h"
#include "sluice/v1/agents.pb-c.h"
#include "sluice/v1/artifacts.pb-c.h"
#include "sluice/v1/environments.pb-c.h"
#include "sluice/v1/releases.pb-c.h"
#include "sluice/v1/runs.pb-c.h"
#include "sluice/v1/tokens.pb-c.h"

/* As RPC_STUB (rpc.h), with an answer that is complete. */
#define STUB(stub, service, M, Request, Reply)                                                   \
	static inline const Reply *stub(struct rpc_channel *ch, struct arena *arena,             \
					const Request *request, struct error *err)               \
	{                                                                                        \
		return ask_complete(ch, &service##__descriptor, #M, arena, &request->base, err); \
	}

/* clang-format off: one row an rpc */
STUB(runs_submit, sluice__v1__runs, Submit, Sluice__V1__SubmitRequest, Sluice__V1__SubmitReply)
STUB(runs_get, sluice__v1__runs, Get, Sluice__V1__GetRunRequest, Sluice__V1__RunDetail)
STUB(runs_list, sluice__v1__runs, List, Sluice__V1__ListRunsRequest, Sluice__V1__ListRunsReply)
STUB(runs_cancel, sluice__v1__runs, Cancel, Sluice__V1__CancelRunRequest, Sluice__V1__Run)
STUB(runs_retry, sluice__v1__runs, Retry, Sluice__V1__RetryRunRequest, Sluice__V1__SubmitReply)
STUB(runs_why, sluice__v1__runs, Why, Sluice__V1__GetRunRequest, Sluice__V1__WaitList)
STUB(runs_queue, sluice__v1__runs, Queue, Sluice__V1__QueueRequest, Sluice__V1__WaitList)

STUB(releases_list, sluice__v1__releases, List, Sluice__V1__ListReleasesRequest,
     Sluice__V1__ListReleasesReply)
STUB(releases_get, sluice__v1__releases, Get, Sluice__V1__GetReleaseRequest,
     Sluice__V1__ReleaseDetail)

STUB(artifacts_get, sluice__v1__artifacts, Get, Sluice__V1__GetArtifactRequest,
     Sluice__V1__Artifact)
STUB(artifacts_list, sluice__v1__artifacts, List, Sluice__V1__ListArtifactsRequest,
     Sluice__V1__ListArtifactsReply)
STUB(artifacts_lineage, sluice__v1__artifacts, Lineage, Sluice__V1__LineageRequest,
     Sluice__V1__LineageReply)

STUB(environments_get, sluice__v1__environments, Get, Sluice__V1__GetEnvironmentRequest,
     Sluice__V1__EnvironmentDetail)
STUB(environments_apply, sluice__v1__environments, Apply, Sluice__V1__ApplyRequest,
     Sluice__V1__ApplyReply)
STUB(environments_promote, sluice__v1__environments, Promote, Sluice__V1__PromoteRequest,
     Sluice__V1__PromoteReply)
STUB(environments_rollback, sluice__v1__environments, Rollback, Sluice__V1__RollbackRequest,
     Sluice__V1__PromoteReply)
STUB(environments_hold, sluice__v1__environments, Hold, Sluice__V1__HoldRequest,
     Sluice__V1__Environment)
STUB(environments_unhold, sluice__v1__environments, Unhold, Sluice__V1__HoldRequest,
     Sluice__V1__Environment)
STUB(environments_history, sluice__v1__environments, History, Sluice__V1__HistoryRequest,
     Sluice__V1__HistoryReply)

STUB(agents_list, sluice__v1__agents, List, Sluice__V1__ListAgentsRequest,
     Sluice__V1__ListAgentsReply)
STUB(agents_get, sluice__v1__agents, Get, Sluice__V1__GetAgentRequest, Sluice__V1__AgentDetail)
STUB(agents_drain, sluice__v1__agents, Drain, Sluice__V1__AgentActionRequest, Sluice__V1__Agent)
STUB(agents_resume, sluice__v1__agents, Resume, Sluice__V1__AgentActionRequest, Sluice__V1__Agent)
STUB(agents_revoke, sluice__v1__agents, Revoke, Sluice__V1__AgentActionRequest, Sluice__V1__Agent)
STUB(agents_lost, sluice__v1__agents, Lost, Sluice__V1__AgentActionRequest, Sluice__V1__Agent)
STUB(agents_label, sluice__v1__agents, Label, Sluice__V1__LabelAgentRequest, Sluice__V1__Agent)
STUB(agents_create_token, sluice__v1__agents, CreateToken, Sluice__V1__CreateEnrolTokenRequest,
     Sluice__V1__CreateEnrolTokenReply)

STUB(tokens_create, sluice__v1__tokens, Create, Sluice__V1__CreateTokenRequest,
     Sluice__V1__CreateTokenReply)
STUB(tokens_list, sluice__v1__tokens, List, Sluice__V1__ListTokensRequest,
     Sluice__V1__ListTokensReply)
STUB(tokens_revoke, sluice__v1__tokens, Revoke, Sluice__V1__RevokeTokenRequest, Sluice__V1__Token)
STUB(tokens_who_am_i, sluice__v1__tokens, WhoAmI, Sluice__V1__Empty, Sluice__V1__Token)
STUB(system_info, sluice__v1__system, Info, Sluice__V1__Empty, Sluice__V1__SystemInfo)
/* clang-format on */

#endif
