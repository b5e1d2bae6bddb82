/*
 * workspace.h - the directory and the environment that one attempt runs in
 *
 * work/<fence>/: `src` is the source tree and the working directory (empty without a source),
 * `in/NAME` the inputs (no `in` without any), `release/PART` the parts of the release that a verify
 * job checks, `home` and `tmp`. Nothing of a user's is ever interpolated into the shell text: all
 * of it arrives as variables (docs/pipeline.md, "What a job sees").
 */
#ifndef AGENT_WORKSPACE_H
#define AGENT_WORKSPACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/error.h"
#include "base/mem.h"
#include "blob/store.h"
#include "sluice/v1/agents.pb-c.h"
#include "transfer/transfer.h"

struct owners;
struct spares;

struct workspace {
	char *root; /* work/<fence> */
	char *dir;  /* where the command runs */
	char **env; /* "K=V", NULL-terminated */
	size_t n_env;
	uid_t uid; /* as whom it runs, 0: the agent's own; only workspace_new() knows */
	gid_t gid;
};

struct workspace_from {
	const char *work_dir; /* the agent's work/ */
	struct blob_store *cache;
	struct transfer transfer;
	struct spares *spares; /* NULL: none are kept */
	struct owners *owners; /* NULL: all is the agent's own */
};

/* Makes the directory, fetches and unpacks what the assignment names. On failure nothing is left.
 */
struct workspace *workspace_new(const struct workspace_from *from, const Sluice__V1__Assignment *a,
				struct error *err);
/* The one that a crash left: nothing is fetched again. */
struct workspace *workspace_reopen(const struct workspace_from *from,
				   const Sluice__V1__Assignment *a);
/* Its `dir` as a descriptor (O_PATH), by which a job that puts a link in its place leads nobody
 * astray: ERR_INVALID. */
int workspace_open_dir(const struct workspace *ws, struct error *err);
void workspace_free(struct workspace *ws); /* leaves the directory */
DEFINE_CLEANUP(struct workspace *, workspace_free)
/* The workspace at `path` is not needed any more: it is kept as a spare or removed. */
int workspace_discard(const struct workspace_from *from, const char *path, struct error *err);

/* A tree becomes a user's; uid 0: stays whose it is. Links are given, not followed. */
int workspace_give(const char *root, uid_t uid, gid_t gid, struct error *err);
/* An artifact and where it goes: `path` becomes the file or directory that was packed. */
struct placing {
	const char *digest, *path;
	bool is_file;
};

/* Fetches it into the cache, unless it is there, and unpacks it. What is found damaged there, or
 * was collected meanwhile, is fetched once more. what: as whom it is asked for; its artifact is set
 * here. On failure nothing is left at the path. */
int workspace_place(const struct transfer *t, struct blob_store *cache, struct download what,
		    const struct placing *p, struct error *err);

#endif
