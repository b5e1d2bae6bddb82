/*
 * owners.h - the users that attempts run as: one each, from a range
 *
 * A workspace belongs to a user that no other workspace of this host has, and its attempt runs as
 * that user: what one job writes or runs no other can read, signal or trace. The directory is what
 * remembers it. A user is taken for a new workspace and comes back when that is gone; a spare
 * workspace keeps its own. They come back in a ring, as late as can be. Without a range all
 * attempts share one user. Any thread.
 */
#ifndef AGENT_OWNERS_H
#define AGENT_OWNERS_H

#include <stdbool.h>
#include <sys/types.h>
#include "base/error.h"
#include "base/mem.h"

enum { OWNERS_MAX = 4096 };
/* Of /etc/subuid, where deploy/install reserves the range. There is no user of that name. */
#define OWNERS_RESERVED "sluice-jobs"

struct owners;

struct owners_spec {
	const char *work_dir; /* the workspaces in it keep their users */
	const char *range;    /* "70000-70999"; NULL: all share `uid` */
	uid_t uid;	      /* 0: the agent's own */
	gid_t gid;	      /* of all: what is shared with jobs is shared with this group */
	unsigned slots;	      /* the range must be enough for so many attempts at a time */
};

/* What /etc/subuid reserves for OWNERS_RESERVED, as a range on the heap; NULL: nothing. */
char *owners_reserved(void);
/* Refuses a range that is too small, or of which anybody else has a part, by /etc/passwd (or what
 * else names users) or by /etc/subuid. */
struct owners *owners_new(const struct owners_spec *spec, struct error *err);
void owners_free(struct owners *o);
DEFINE_CLEANUP(struct owners *, owners_free)

/* ERR_EXHAUSTED: all have a workspace. NULL for o: the agent's own user. */
int owners_take(struct owners *o, uid_t *ret_uid, struct error *err);
/* Its workspace is gone. Not of the range: nothing happens. */
void owners_return(struct owners *o, uid_t uid);
/* May a workspace of ours belong to uid? */
bool owners_has(const struct owners *o, uid_t uid);
gid_t owners_gid(const struct owners *o); /* 0: the agent's own */

#endif
