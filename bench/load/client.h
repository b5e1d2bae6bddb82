/*
 * client.h - what a user does, in one call each; failures end the program
 */
#ifndef LOAD_CLIENT_H
#define LOAD_CLIENT_H

#include "base/buf.h"
#include "base/id.h"
#include "rpc/rpc.h"
#include "sluice/v1/agents.pb-c.h"
#include "sluice/v1/events.pb-c.h"
#include "sluice/v1/logs.pb-c.h"
#include "sluice/v1/runs.pb-c.h"

RPC_STUB(create_enrol_token, sluice__v1__agents, CreateToken, Sluice__V1__CreateEnrolTokenRequest,
	 Sluice__V1__CreateEnrolTokenReply)

/* A pipeline of `jobs` independent jobs that run `command`; its text is appended. At most 500. */
void client_pipeline(struct buf *ret, unsigned jobs, const char *command);
/* The same with one job, whose output `out` is the file of that name. */
void client_pipeline_output(struct buf *ret, const char *command);

struct id client_submit(struct rpc_channel *ch, const char *file, int priority);
/* As many of `jobs` jobs as it takes, 500 in each; how many runs. */
unsigned client_submit_many(struct rpc_channel *ch, unsigned jobs, const char *command,
			    int priority);
/* Waits until at most `left` runs are open; looks 100 times a second. */
void client_wait_open(struct rpc_channel *ch, unsigned left);
/* When the last of the `n` newest runs of that priority ended (wall clock, ms); all must have
 * succeeded. */
int64_t client_last_end(struct rpc_channel *ch, unsigned n, int priority);
void client_cancel_all(struct rpc_channel *ch);
/* Follows one run to its end, which must be success. */
void client_watch(struct rpc_channel *ch, const char *run);

bool client_answers(struct rpc_channel *ch);
unsigned client_agents_connected(struct rpc_channel *ch); /* 0 also while nobody answers */
void client_drain(struct rpc_channel *ch, const char *agent, bool drain);

/* The output of a job, followed: chunks come until the end. */
struct rpc_call *client_follow(struct rpc_channel *ch, const char *run, const char *job);

#endif
