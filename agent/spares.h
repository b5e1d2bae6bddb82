/*
 * spares.h - workspaces that were used and are as good as new
 *
 * Most small jobs leave nothing in their workspace. Making and removing five directories costs a
 * file system more than everything else the agent does for such a job (ext4: a third of it), so one
 * that is exactly as it was made is kept under another name and given to a later attempt by a
 * rename. Looked at are names, emptiness, owner, mode and extended attributes, so nothing of one
 * job reaches another; a process that outlived its job's containment could write there as it could
 * into any workspace of its user. A spare keeps its user, and who takes it runs as that one.
 *
 * They are forgotten with the process; the next start sweeps them. Any thread.
 */
#ifndef AGENT_SPARES_H
#define AGENT_SPARES_H

#include <stdbool.h>
#include <sys/types.h>
#include "base/error.h"
#include "base/mem.h"

struct owners;
struct spares;

/* In work_dir; what is inside belongs to one of `owners` (borrowed; NULL: to us). */
struct spares *spares_new(const char *work_dir, struct owners *owners);
void spares_free(struct spares *s);
DEFINE_CLEANUP(struct spares *, spares_free)
/* path becomes an empty workspace of spares_dirs, of that user; false: there is none. */
bool spares_take(struct spares *s, const char *path, uid_t *ret_uid);
/* Takes the workspace at path back; false: it is not as it was made, or there are enough. */
bool spares_keep(struct spares *s, const char *path);
/* Removes one, so that its user comes back; false: there is none. */
bool spares_drop(struct spares *s);

/* What a workspace without source and inputs consists of, NULL at the end; each has that mode. */
extern const struct spares_dir {
	const char *name;
	mode_t mode;
} spares_dirs[];

#endif
