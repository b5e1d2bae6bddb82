/*
 * house.h - a controller and an agent of our own, on loopback, in a directory on disk
 *
 * As an operator would start them: `init`, `run`, a token, `join`, `run`. house_close() stops both
 * in order and removes everything; should the bench be killed, so are they, by number. One at a
 * time; failures end the program.
 */
#ifndef LOAD_HOUSE_H
#define LOAD_HOUSE_H

#include <sys/types.h>
#include "base/spawn.h"
#include "rpc/rpc.h"

struct house {
	char *dir;     /* of this house; for scratch files, too */
	char *address; /* of the users' listener */
	char *agents_address;
	char *token, *ca_pem;
	struct child controller, agent; /* pid 0: not running */
	struct rpc_channel *users;
};

/* slots 0: no agent. The agent is connected when this returns. */
struct house *house_open(unsigned slots);
void house_close(struct house *h);
/* Another connection as the admin; hang it up. */
struct rpc_channel *house_dial(const struct house *h);
/* kill -9, and waited for. */
void house_kill_controller(struct house *h);
/* Again, on the same ports; does not wait until it listens. */
void house_start_controller(struct house *h);
/* Until its users' listener takes connections. */
void house_await_controller(const struct house *h);
/* A one-time token for an agent of that name, on the heap. */
char *house_enrol_token(const struct house *h, const char *name);
/* The first child of a process that is called so, or 0. */
pid_t house_child_of(pid_t parent, const char *name);

#endif
