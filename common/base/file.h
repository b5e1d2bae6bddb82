/*
 * file.h - files that are there whole or not at all
 *
 * All descriptors are close-on-exec. "Atomic" means: a temporary name in the
 * same directory, written, synced, renamed, the directory synced; on failure
 * nothing is left.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/error.h"

int file_read(const char *path, size_t limit, struct buf *ret,
	      struct error *err); /* ERR_EXHAUSTED above the limit */
int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode,
		      struct error *err);
int file_rename(const char *from, const char *to, struct error *err); /* and syncs to's directory */
int file_sync_dir(const char *dir, struct error *err);
int file_make_dirs(const char *path, mode_t mode, struct error *err); /* as mkdir -p */
int file_remove_tree(const char *path, struct error *err); /* follows no link; absent is well */
/* What file_write_atomic left in a directory when it was killed. Only for those who are alone
 * there: by a lock that is held. What cannot be removed stays; absent is well. */
void file_remove_temps(const char *dir);
bool file_exists(const char *path);
int file_write_all(int fd, const void *data, size_t len,
		   struct error *err); /* EINTR and short writes */
int file_pwrite_all(int fd, const void *data, size_t len, off_t at, struct error *err);
ssize_t file_read_some(int fd, void *data, size_t len, struct error *err); /* EINTR; 0 at the end */
/* An OFD write lock on path (made if absent) for the life of the descriptor. Held by
 * another process: ERR_CONFLICT. */
int file_lock(const char *path, int *ret_fd, struct error *err);
bool file_locked(const char *path); /* does a process hold a lock on it? */
/* ERR_DENIED when others than the owner may read path. */
int file_check_private(const char *path, struct error *err);
/* What is free on path's file system, for the reserve and disk-full checks. */
int file_free_bytes(const char *path, uint64_t *ret, struct error *err);
/* dir + "/" + name, on the heap. */
char *path_join(const char *dir, const char *name);
/* A name from a peer: [A-Za-z0-9._-]{1,128}, not beginning with '-' or '.'. */
bool name_valid(const char *name);

#endif
