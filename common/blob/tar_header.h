/*
 * tar_header.h - ustar and pax headers (POSIX.1-2017, "pax Interchange Format"), and the rule for
 * links
 *
 * For tarball_pack.c and tarball_unpack.c only.
 */
#ifndef BLOB_TAR_HEADER_H
#define BLOB_TAR_HEADER_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"

enum { TAR_BLOCK = 512 };

enum tar_type {
	TAR_FILE = '0',
	TAR_SYMLINK = '2',
	TAR_DIRECTORY = '5',
	TAR_PAX = 'x',
};

struct tar_entry {
	enum tar_type type;
	const char *path; /* a directory's without the slash at its end */
	const char *link; /* a symlink's target, else NULL */
	uint64_t size;	  /* of a file */
	bool executable;
};

/* Appends the entry's header blocks: a pax one before the ustar one only where that cannot say it.
 */
void tar_header_add(struct buf *b, const struct tar_entry *e);

/* Hands a descriptor over, as steal() does a pointer. */
static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

/* Does the target of the symlink at path lead to somewhere beneath the root of the tree, or is it
 * the root? ".." may only stand at the beginning: behind the name of another link it would be
 * counted from where that one leads, which a text cannot know. */
bool tar_link_inside(const char *path, const char *target);

#endif
