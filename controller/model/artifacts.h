/*
 * artifacts.h - artifacts: committed, published, traced, kept
 *
 * Rows of artifacts are history: the world records them and keeps only the latest version of each
 * published name. See runs.h for what all decisions have in common.
 */
#ifndef MODEL_ARTIFACTS_H
#define MODEL_ARTIFACTS_H

#include "controller/model/caller.h"
#include "controller/model/world.h"

/*
 * After every chunk was verified and synced. By an agent (`agent`, fence) or by a user (`caller`,
 * fence 0). The fence is checked again here: an attempt that ended during the upload commits
 * nothing (E0509). The same (fence, name, digest) twice gives the row of the first time. Of a user,
 * (run "", digest, name).
 */
struct artifact_commit {
	const char *agent;	     /* id; NULL for a user */
	const struct caller *caller; /* NULL for an agent */
	const Sluice__V1__UploadStart *start;
	const Sluice__V1__UploadCommit
		*commit;    /* meta, data_until_ms, produced_at_ms; the manifest is not read */
	const char *digest; /* "sha256:..." of the manifest */
	uint64_t size;
};
decide_fn artifacts_commit; /* reply: Sluice__V1__Artifact ** */

/* The bytes of these are gone: their rows say so. Ids of artifacts. */
struct artifacts_collected {
	char *const *ids;
	size_t n;
};
decide_fn artifacts_mark_collected; /* reply: unused */

/*
 * Digests that must stay, as far as the world knows: source, inputs and outputs of open runs; parts
 * and notes of releases that environments run, fall back to, have in slots or were ordered; the
 * latest version of each published name. From the store come: releases of the last 30 days, the
 * newest 5 versions of a name, artifacts of kept verdicts. As a decision: reply is a struct
 * artifact_roots *.
 */
struct artifact_roots {
	void (*keep)(void *arg, const char *digest); /* called on the engine's thread */
	void *arg;
};
decide_fn artifacts_roots; /* req: unused */

/* ---- for the rest of the model ---- */

/* 1 and the row committed under this fence as `name` with this digest (a heap copy), 0, -1. */
int artifact_of_fence(struct world *w, const struct attempt *a, const char *name,
		      const char *digest, Sluice__V1__Artifact **ret, struct error *err);
/* The job's gates passed: its outputs with `publish` get the next version of their name. */
void artifacts_publish(struct world *w, struct job *job);
/* Metrics and inputs of the job into the rows of its outputs. */
void artifacts_complete(struct world *w, struct job *job);
/* A published input: the version, or the latest (0). E0208 names what exists. *ret is owned by the
 * caller. */
int artifact_resolve(struct world *w, const char *name, uint32_t version,
		     Sluice__V1__ResolvedArtifact **ret, struct error *err);

#endif
