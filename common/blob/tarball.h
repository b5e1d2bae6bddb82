/*
 * tarball.h - trees to deterministic tar streams, and back without trust
 *
 * Packing: the same names, contents, x bits and link targets give the same bytes, whatever the
 * owner, the times or the order of the directory. Entries are sorted by byte order within each
 * directory, a directory before what it holds; uid, gid and mtime are 0, modes 0644 or 0755; ustar,
 * with a pax header only for a name, link or size that ustar cannot hold. A single file becomes one
 * entry with its base name. Files, directories and symlinks whose target stays inside the tree are
 * packed; anything else is an error that names it. A file that changes its size meanwhile is an
 * error.
 *
 * Unpacking is what PROTOCOL.md "Unpacking" says: a stream of tar, tar.gz or tar.zst from a peer is
 * written beneath a fresh 0700 directory; only files (0644 or 0755, by the owner's x bit),
 * directories (0755) and symlinks staying inside; the first bad entry refuses the whole and removes
 * everything; what is good becomes visible by one rename at the end.
 * A foreign pax header's name in decomposed UTF-8 arrives composed (libarchive); ours are left as
 * they are.
 *
 * Each object belongs to one thread at a time.
 */
#ifndef BLOB_TARBALL_H
#define BLOB_TARBALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/error.h"
#include "base/mem.h"

enum {
	TARBALL_MAX_ENTRIES = 1000000,
	TARBALL_MAX_PATH = 1024, /* bytes of an entry's name, and of a link's target */
	TARBALL_MAX_DEPTH = 64,	 /* components of a name */
};

/* What to pack. paths NULL: all of path, a file or a directory. Otherwise path is a directory and
 * paths names n_paths files or symlinks relative to it (a source tree; any order, each once); the
 * directories on the way are packed, too. Borrowed until tarball_pack_open() returns. */
struct tarball_source {
	const char *path;
	const char *const *paths;
	size_t n_paths;
	bool skip_missing; /* a listed path that is not there is left out (git lists deleted files)
			    */
};

struct tarball_packer;

struct tarball_packer *tarball_pack_open(const struct tarball_source *source, struct error *err);
/* The next bytes of the stream, as read(2): fills data to len except at the end; 0 after the end.
 * Reads file contents straight into data: give it a large buffer. */
ssize_t tarball_pack_read(struct tarball_packer *p, void *data, size_t len, struct error *err);
uint64_t tarball_pack_entries(const struct tarball_packer *p); /* so far */
void tarball_pack_close(struct tarball_packer *p);
DEFINE_CLEANUP(struct tarball_packer *, tarball_pack_close)

/* Gives the next bytes of a stream, valid until the next call: 1; 0 at its end; -1 with *err. */
typedef int tarball_pull(void *arg, const void **ret_data, size_t *ret_len, struct error *err);

struct tarball_target {
	const char *path;   /* becomes a directory; must not exist (ERR_EXISTS); its parent must */
	uint64_t max_bytes; /* of all files together; the declared size */
	bool durable;	    /* synced before it becomes visible */
};

/* ERR_INVALID: a bad entry, named. ERR_EXHAUSTED: a limit, or the disk. ERR_CORRUPT: not a tar
 * stream, or a cut one. Errors of pull pass through. On failure nothing is left. */
int tarball_unpack(const struct tarball_target *target, tarball_pull *pull, void *arg,
		   struct error *err);
/* Removes what unpackings that a crash cut short left beside their targets in dir. */
int tarball_clean(const char *dir, struct error *err);

#endif
