/*
 * work.h - the attempts of this host, from Offer to the last acknowledgement
 *
 * An attempt passes ACCEPTED (journalled; Accept is sent when a slot is free), READY (Accepted: the
 * lease runs), RUNNING (STARTED is journalled, a shim has it), SHIPPING (it ended; output and
 * artifacts go to the controller), FINISHING (Finish sent) and is forgotten. Three kinds of
 * threads: `control` takes offers, journals all that waits with one write and posts; one `runner`
 * for each slot prepares, runs and collects; `heartbeat` renews, whatever the others do.
 */
#ifndef AGENT_WORK_H
#define AGENT_WORK_H

#include <stdint.h>
#include "agent/journal.h"
#include "agent/session.h"
#include "agent/ship.h"
#include "agent/supervise.h"
#include "agent/workspace.h"

struct work;

struct work_config {
	struct journal *journal;
	struct supervise *supervise;
	struct ship *ship;
	struct workspace_from workspace;
	unsigned slots;
	const char *boot_id;
};

/* Takes the journal's attempts in; nothing runs before work_start(). */
struct work *work_new(const struct work_config *config);
/* What supervise_attach() found of an attempt: takes the slot. False: it is not one of ours, and
 * nobody needs it. */
bool work_found(struct work *w, struct found *found);
/* The session must have been started by then or be started right after: posts before are dropped
 * and made up for by Register. */
void work_start(struct work *w, struct session *session);
/* Threads end; what runs goes on under its shim. With `stop` it is told to end first, as preempted,
 * and waited for up to stop_ms. */
void work_stop(struct work *w, bool stop, int64_t stop_ms);
void work_free(struct work *w);
/* Workspaces that no attempt is known for go, on a thread. Once, before work_start(). */
void work_sweep(struct work *w);

/* For the session's events; none of them waits. */
void work_describe(struct work *w, Sluice__V1__Register *ret);
void work_registered(struct work *w, const Sluice__V1__Registered *m, int64_t sent_boot_ms);
void work_offered(struct work *w, const Sluice__V1__Offer *m, uint64_t epoch);
void work_accepted(struct work *w, const Sluice__V1__Accepted *m, int64_t sent_boot_ms);
void work_renewed(struct work *w, const Sluice__V1__RenewAck *m, int64_t sent_boot_ms);
void work_told_to_stop(struct work *w, const Sluice__V1__Stop *m);
void work_acknowledged(struct work *w, const Sluice__V1__FinishAck *m);

#endif
