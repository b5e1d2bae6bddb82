/*
 * host.h - an agent of parts, connected to a stand-in for the controller
 */
#ifndef TESTS_AGENT_HOST_H
#define TESTS_AGENT_HOST_H

#include "agent/deploy.h"
#include "agent/work.h"
#include "stand.h"

struct host_under_test {
	struct stand *stand;
	char *dir, *work_dir, *env_dir;
	struct contain contain;
	unsigned slots;
	struct journal *journal;
	struct supervise *supervise;
	struct blob_store *cache;
	struct ship *ship;
	struct work *work;
	struct deploy *deploy;
	struct session *session;
	size_t heard; /* where host_hear() goes on */
};

void host_start(struct host_under_test *h, unsigned slots);
/* As a SIGTERM: what runs goes on. Then host_again(). */
void host_stop(struct host_under_test *h);
void host_again(struct host_under_test *h);
/* Ends what runs, too, and removes everything. */
void host_end(struct host_under_test *h);

/* Kills the shims whose names begin so, as the kernel would; there must be one. */
void host_kill_shim(struct host_under_test *h, const char *prefix);
/* The path of a file of its state, on the heap. */
char *host_path(const struct host_under_test *h, const char *name);
/* Waits until it is there (or not). */
void host_wait_file(const char *path, bool there);

/* An offer of one job; the message is borrowed. NULL: without a spec. */
void host_offer(struct host_under_test *h, uint64_t fence, const char *command);
void host_assign(struct host_under_test *h, Sluice__V1__Assignment *a);
void host_tell_stop(struct host_under_test *h, uint64_t fence);
/* The next Register at or after message *at, which moves behind it. */
const Sluice__V1__Register *host_register(struct host_under_test *h, size_t *at);
/* The next Finish that names the fence. */
const Sluice__V1__FinishedAttempt *host_finished(struct host_under_test *h, uint64_t fence);
void host_acknowledge(struct host_under_test *h, uint64_t fence);
/* Until nothing is left of it: spool, workspace, journal row at the next start. */
void host_wait_forgotten(struct host_under_test *h, uint64_t fence);

#endif
