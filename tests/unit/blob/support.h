/*
 * support.h - what the tests of common/blob share: a directory of their own, trees, hand-made tars
 */
#ifndef TEST_BLOB_SUPPORT_H
#define TEST_BLOB_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/error.h"
#include "blob/manifest.h"
#include "blob/source.h"
#include "blob/store.h"
#include "blob/tarball.h"

extern struct error err; /* of the test at hand */
extern char dir[];	 /* a fresh directory, after setup_dir() */

void setup_dir(void);
void teardown_dir(void);
/* dir/name; a few results stay valid at a time. */
const char *in_dir(const char *name);

void make_file(const char *path, const void *data, size_t len, mode_t mode);
void make_text(const char *path, const char *text);
void make_dir(const char *path);
/* The same pseudo-random bytes for the same seed. */
void fill_noise(void *data, size_t len, uint64_t seed);
char *read_text(const char *path); /* the caller frees it */
/* Every path beneath root with type, mode and content's or target's digest, sorted, a line each. */
void describe_tree(const char *root, struct buf *ret);
size_t count_files(const char *root); /* below root, no directories */

/* All of a packed stream. false with err. */
bool pack_all(const struct tarball_source *source, struct buf *ret);
/* One pull gives `step` bytes at most. */
struct feed {
	const char *data;
	size_t left, step;
	bool break_at_end;
};
int feed_pull(void *arg, const void **ret_data, size_t *ret_len, struct error *e);
/* Unpacks len bytes to dir/out in steps. */
int unpack_bytes(const void *data, size_t len, size_t step, uint64_t max_bytes);

/* A hand-made ustar entry; the checksum is right. */
struct tar_part {
	const char *name;
	char type; /* '0' file, '1' hard link, '2' symlink, '3' device, '5' directory, '6' FIFO */
	unsigned int mode;
	const char *link;
	const char *data;
	int64_t size; /* -1: of data */
};
void tar_part(struct buf *tar, struct tar_part part);
void tar_end(struct buf *tar);

#endif
