/*
 * bench_server CERT KEY: a gRPC server over TLS that serves health and nothing of ours, until
 * SIGTERM. What it uses is the floor of the idle figures.
 */
#include <signal.h>
#include <stdio.h>

#include "base/thread.h"
#include "rpc/rpc.h"

int main(int argc, char **argv)
{
	struct rpc_listener listener = { .address = "127.0.0.1:0", .kind = RPC_USERS };
	struct rpc_server *server;
	struct error err = { 0 };
	sigset_t set;
	int number;

	if (argc != 3)
		return 2;
	thread_block_signals();
	rpc_init();
	listener.cert = argv[1];
	listener.key = argv[2];
	server = rpc_server_new(&listener, 1, NULL, &err);
	if (!server || rpc_server_start(server, &err) < 0) {
		fprintf(stderr, "bench_server: %s\n", err.text);
		return 1;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigwait(&set, &number);
	rpc_server_stop(server, 0);
	rpc_server_free(server);
	return 0;
}
