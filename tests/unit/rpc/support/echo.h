/*
 * echo.h - a server with a handler of each shape, its certificates and its clients
 *
 * Every handler does what Ping.who tells it; what the server's side saw is in `seen`.
 */
#ifndef RPCTEST_ECHO_H
#define RPCTEST_ECHO_H

#include "base/thread.h"
#include "certs.h"
#include "echo.pb-c.h"
#include "rpc/rpc.h"

typedef Rpctest__V1__Ping Ping;
typedef Rpctest__V1__Pong Pong;
typedef Rpctest__V1__Part Part;

#define AGENT_URI "spiffe://test/agent/7"

struct echo {
	char dir[64]; /* ca.pem, users.pem, users.key, agents.pem, agents.key */
	struct pair ca, agent;
	struct rpc_server *server;
	char users[32], agents[32]; /* addresses */
	struct rpc_caller_seen {
		char peer_uri[128], serial[64], bearer[64], method[64];
		enum rpc_listener_kind listener;
		unsigned access;
	} caller;	  /* of the last guarded call, under lock */
	struct lock lock; /* guards what follows */
	struct signal changed;
	int up_ended,
		down_ended; /* what the handler's last receive or send returned; 7: none yet */
	int opened, closed, received, identities, woken;
	enum error_code closed_why;
	struct rpc_call *session; /* the last one opened, a reference */
	int in_callback, overlaps;
	bool hold; /* Unary "hold" waits while it is set */
	int holding;
};

/* limits may be NULL. Started; aborts on failure. */
struct echo *echo_new(const struct rpc_limits *limits);
void echo_free(struct echo *e);
/* An endpoint of the users' (bearer "good") or the agents' listener (with a client certificate). */
struct rpc_endpoint echo_user(const struct echo *e);
struct rpc_endpoint echo_agent(const struct echo *e);
/* Waits until *value is at least n, at most 10 s. */
bool echo_wait(struct echo *e, const int *value, int n);
void echo_write(const struct echo *e, const char *name, const char *text, const char *more);
char *echo_path(const struct echo *e, const char *name);

RPC_STUB(echo_unary, rpctest__v1__echo, Unary, Ping, Pong)

#endif
