/*
 * tail.h - what a job appends to one of its files, as it comes
 *
 * The file is named by a path beneath a directory; it may not be there yet, nor the folders on its
 * way. The kernel tells of changes (inotify), nothing is asked again and again. It is the job's:
 * links are not followed out of the directory, and a file that is cut, replaced or rewritten is
 * read from its beginning again. One thread.
 */
#ifndef AGENT_TAIL_H
#define AGENT_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "base/error.h"
#include "base/mem.h"

struct tail;

struct tail *tail_new(int dir, const char *path); /* a descriptor, which it takes */
void tail_free(struct tail *t);
DEFINE_CLEANUP(struct tail *, tail_free)
/* From now on tail_fd() tells of changes after what tail_read() has seen. Fails where the host has
 * no more watches to give; then reading works all the same. */
int tail_watch(struct tail *t, struct error *err);
/* Readable: something happened, tail_read() may give more; -1: it is not watched. */
int tail_fd(const struct tail *t);
/*
 * The next bytes; 0: there are no more now, or there is no such file. Takes what tail_fd() told.
 * *ret_anew (also with 0): what was read before is void, the file began anew. ERR_INVALID: it is no
 * regular file, or leads out of the directory.
 */
ssize_t tail_read(struct tail *t, void *data, size_t len, bool *ret_anew, struct error *err);

#endif
