/*
 * delivery.h - what the rest of the model tells and asks the delivering half
 *
 *	gates.h		is a job's result good enough?
 *	releases.h	what passed, bundled
 *	environments.h	policies, hosts, holds
 *	promotion.h	what may go where, one after another
 *	rollout.h	host by host: prepare, activate, check; and back
 *
 * These are the hooks between that half and the one that runs jobs. None fails for reasons of its
 * own but delivery_job_succeeded(), which may refuse a release that cannot be made.
 *
 * What delivery needs of the rest: world_release() takes "r57", "57", an id or a digest
 * ("sha256:..."), and finds closed releases through the source; world_fetch_child() with parent
 *NULL means any parent (newest row of that key); run_create_verify() of runs.h; wait_new() of
 *waits.h. The model links sluice_crypto for crypto/digest.h alone: a pure hash.
 */
#ifndef MODEL_DELIVERY_H
#define MODEL_DELIVERY_H

#include "controller/model/world.h"

/*
 * A job with gates ended well: its row has inputs, outputs and metrics, its state is still ACTIVE.
 * Evaluates every gate, records the verdict (ROW_VERDICT) and its event, sets row->verdict. Returns
 * the verdict's state: only PASS lets the job succeed; any other fails it (EXIT_GATE_FAILED), with
 * gates_reason() (gates.h) as the sentence. *ret (may be NULL) is a copy on the heap, the caller's.
 */
Sluice__V1__VerdictState gates_decide(struct world *w, struct job *job, Sluice__V1__Verdict **ret);

/*
 * A job is about to succeed: row as above, gates passed, state not yet SUCCEEDED. Also for each job
 * that a retry took over (reused_from), in the pipeline's order. Keeps what it measured, and makes
 * its release if it has one (run->row->release is set). -1 with nothing changed: its release cannot
 * be made; the job fails with that sentence (EXIT_INFRA).
 */
int delivery_job_succeeded(struct world *w, struct job *job, struct error *err);

/* The run reached a terminal state; its jobs are still in memory. Of a pipeline: its release may be
 * promoted by itself. Of a VERIFY run: its promotion goes on. */
void delivery_run_finished(struct world *w, struct run *run);

/* A HostReport of a connected agent; it is acknowledged in any case. -1: it names no environment
 * that has this host. */
int delivery_host_report(struct world *w, struct agent *a, const Sluice__V1__HostReport *r);

/* After agent->session is set and Registered was posted: what it has installed, then the orders
 * that are still open, again. */
void delivery_agent_connected(struct world *w, struct agent *a, const Sluice__V1__Register *r);
/* After agent->session became 0 and last_seen_ms was set. */
void delivery_agent_gone(struct world *w, struct agent *a);
/* Enrolled, labelled, drained, resumed or revoked: row as it is now. */
void delivery_agent_changed(struct world *w, struct agent *a);

/* After load, once runs and agents are linked: links promotions, releases and VERIFY runs, and goes
 * on with every rollout where it was. */
int delivery_start(struct world *w, struct error *err);

/* At submit: environments of the file that do not exist yet are created when `admin`; where the
 * file differs from the recorded policy, or names an environment that is not there, a note on the
 * run says so. */
int delivery_apply_new(struct world *w, const Sluice__V1__Pipeline *p,
		       const Sluice__V1__Actor *actor, bool admin, Sluice__V1__Run *run,
		       struct error *err);

/* What waits: calls `add` with each wait (on the heap, add's to keep), oldest first, environments
 * by name. Wait.run_id is the run that made the release. */
typedef void delivery_wait_fn(void *arg, Sluice__V1__Wait *wait);
void delivery_waits(struct world *w, delivery_wait_fn *add, void *arg);

/* ---- facts for placing VERIFY jobs and for answering agents ---- */

/* Is this agent one of the environment's hosts now? */
bool environment_has_host(const struct environment *env, const struct agent *agent);
/* Where the release is served now: "host:port" of each host that is NEW, by host name; an array on
 * the heap of heap strings (NULL when none). */
size_t environment_endpoints(const struct environment *env, char ***ret);
/* May this agent read the artifact: is it part of a release that the environment runs, falls back
 * to or is being given, and is the agent its host? */
bool environment_may_read(struct world *w, const struct environment *env, const struct agent *agent,
			  const char *digest);

#endif
