/*
 * The directory of the store, staging and syncing. What a writer has verified is staged: a file in
 * tmp/ and an entry in a table in memory. blob_sync() makes staged files durable first and gives
 * them their final names after, so that a final name never stands for bytes that a power cut could
 * take away. For more than a few, one syncfs() before the renames and one after cost less than an
 * fsync for each file: early writeback (store_write.c) has moved the bytes by then, what is left is
 * one commit of the journal.
 */
#include "blob/store.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "blob/store_private.h"

enum { FEW = 3 }; /* blobs that are synced one by one */

void blob_final_name(const struct digest *d, char ret[BLOB_NAME_SIZE])
{
	char hex[DIGEST_HEX_SIZE];

	digest_hex(d, hex);
	snprintf(ret, BLOB_NAME_SIZE, "%.2s/%s", hex, hex + 2);
}

void blob_bad_name(const struct digest *d, char ret[BLOB_NAME_SIZE])
{
	char hex[DIGEST_HEX_SIZE];

	snprintf(ret, BLOB_NAME_SIZE, "bad/%s", digest_hex(d, hex));
}

void blob_temporary_name(struct blob_store *s, char ret[BLOB_NAME_SIZE])
{
	snprintf(ret, BLOB_NAME_SIZE, "tmp/%llu",
		 (unsigned long long)atomic_fetch_add(&s->next_temporary, 1));
}

struct timespec blob_now(const struct blob_store *s)
{
	int64_t ms = s->wall_offset_ms + clock_boot_ms();

	return (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
}

/* Removes all files in the store's directory name, unless `only_look`. How many there were, -1 on
 * failure. */
static int empty_directory(struct blob_store *s, const char *name, bool only_look,
			   struct error *err)
{
	int fd = openat(s->root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int n = 0;

	if (!d) {
		error_errno(err, "opening '%s/%s'", s->dir, name);
		closep(&fd);
		return -1;
	}
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		n++;
		if (!only_look && unlinkat(fd, e->d_name, 0) < 0) {
			error_errno(err, "removing '%s/%s/%s'", s->dir, name, e->d_name);
			n = -1;
			break;
		}
	}
	closedir(d);
	return n;
}

static int make_directories(struct blob_store *s, struct error *err)
{
	bool made = false;

	for (int i = -2; i < 256; i++) {
		char name[8];

		if (i < 0)
			snprintf(name, sizeof name, "%s", i == -1 ? "tmp" : "bad");
		else
			snprintf(name, sizeof name, "%02x", i);
		if (mkdirat(s->root, name, 0700) == 0)
			made = true;
		else if (errno != EEXIST)
			return error_errno(err, "making '%s/%s'", s->dir, name);
	}
	if (made && fsync(s->root) < 0)
		return error_errno(err, "syncing '%s'", s->dir);
	return 0;
}

struct blob_store *blob_store_open(const char *dir, struct error *err)
{
	cleanup(blob_store_closep) struct blob_store *s = xcalloc(1, sizeof *s);
	struct now now = clock_now();
	int bad;

	s->dir = xstrdup(dir);
	s->wall_offset_ms = now.wall_ms - now.boot_ms;
	lock_init(&s->lock);
	signal_init(&s->settled);
	s->root = -1;
	if (file_make_dirs(dir, 0700, err) < 0)
		return NULL;
	s->root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0)
		return error_errno(err, "opening '%s'", dir), NULL;
	if (make_directories(s, err) < 0 || empty_directory(s, "tmp", false, err) < 0 ||
	    (bad = empty_directory(s, "bad", true, err)) < 0)
		return NULL;
	s->has_bad = bad > 0;
	return steal(s);
}

void blob_store_close(struct blob_store *s)
{
	struct staged *e, *next;

	if (!s)
		return;
	HASH_ITER(hh, s->staged, e, next) {
		assert(!e->syncing);
		unlinkat(s->root, e->name, 0);
		HASH_DEL(s->staged, e);
		free(e);
	}
	codecs_free(s);
	signal_release(&s->settled);
	lock_release(&s->lock);
	closep(&s->root);
	free(s->dir);
	free(s);
}

static struct staged *find_staged_locked(struct blob_store *s, const struct digest *d)
{
	struct staged *e;

	HASH_FIND(hh, s->staged, d, sizeof *d, e);
	return e;
}

static bool in_place(struct blob_store *s, const struct digest *d)
{
	char name[BLOB_NAME_SIZE];

	blob_final_name(d, name);
	return faccessat(s->root, name, F_OK, 0) == 0;
}

bool blob_has(struct blob_store *s, const struct digest *digest)
{
	if (in_place(s, digest))
		return true;
	LOCKED(&s->lock);
	return find_staged_locked(s, digest) || in_place(s, digest);
}

/* Under the lock, so that no collection has looked at its age and is about to remove it. */
static bool pin_locked(struct blob_store *s, const struct digest *d)
{
	struct timespec now = blob_now(s), times[2] = { now, now };
	char name[BLOB_NAME_SIZE];

	blob_final_name(d, name);
	return find_staged_locked(s, d) || utimensat(s->root, name, times, 0) == 0;
}

bool blob_pin(struct blob_store *s, const struct digest *digest)
{
	LOCKED(&s->lock);
	return pin_locked(s, digest);
}

int blob_stage(struct blob_store *s, const struct digest *d, const char *temporary,
	       struct error *err)
{
	struct staged *e;

	LOCKED(&s->lock);
	if (pin_locked(s, d)) {
		if (unlinkat(s->root, temporary, 0) < 0)
			return error_errno(err, "removing '%s/%s'", s->dir, temporary);
		return 0;
	}
	e = xcalloc(1, sizeof *e);
	e->digest = *d;
	snprintf(e->name, sizeof e->name, "%s", temporary);
	HASH_ADD(hh, s->staged, digest, sizeof e->digest, e);
	return 0;
}

int blob_open_file(struct blob_store *s, const struct digest *d, char ret_name[BLOB_NAME_SIZE])
{
	struct staged *e;
	int fd;

	blob_final_name(d, ret_name);
	fd = openat(s->root, ret_name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 || errno != ENOENT)
		return fd;
	LOCKED(&s->lock); /* a sync may give it its final name just now */
	e = find_staged_locked(s, d);
	if (e)
		snprintf(ret_name, BLOB_NAME_SIZE, "%s", e->name);
	fd = openat(s->root, ret_name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 || !e)
		return fd;
	blob_final_name(d, ret_name);
	return openat(s->root, ret_name, O_RDONLY | O_CLOEXEC);
}

void blob_condemn(struct blob_store *s, const struct digest *d, const char *name, int fd)
{
	char bad[BLOB_NAME_SIZE];
	struct stat ours, there;
	struct staged *e;

	blob_bad_name(d, bad);
	LOCKED(&s->lock);
	/* another reader may have moved it already, and a writer put a good one there */
	if (fstat(fd, &ours) < 0 || fstatat(s->root, name, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
	    ours.st_ino != there.st_ino)
		return;
	e = find_staged_locked(s, d);
	if (e && e->syncing)
		return; /* its sync goes on; the next read finds it again */
	if (renameat(s->root, name, s->root, bad) == 0)
		s->has_bad = true;
	if (e) {
		HASH_DEL(s->staged, e);
		free(e);
	}
}

/* Synced one by one: file, name, directory. */
static int sync_few(struct blob_store *s, struct staged **blobs, size_t n, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		cleanup(closep) int fd = openat(s->root, blobs[i]->name, O_RDONLY | O_CLOEXEC);
		cleanup(closep) int dir = -1;
		char name[BLOB_NAME_SIZE], dir_name[3];

		blob_final_name(&blobs[i]->digest, name);
		snprintf(dir_name, sizeof dir_name, "%.2s", name);
		if (fd < 0 || FAULT_POINT("blob.sync") || fdatasync(fd) < 0)
			return error_errno(err, "syncing '%s/%s'", s->dir, blobs[i]->name);
		if (renameat(s->root, blobs[i]->name, s->root, name) < 0)
			return error_errno(err, "placing '%s/%s'", s->dir, name);
		dir = openat(s->root, dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (FAULT_POINT("blob.placed") || dir < 0 || fsync(dir) < 0)
			return error_errno(err, "syncing '%s/%s'", s->dir, dir_name);
	}
	return 0;
}

static int sync_many(struct blob_store *s, struct staged **blobs, size_t n, struct error *err)
{
	if (FAULT_POINT("blob.sync") || syncfs(s->root) < 0)
		return error_errno(err, "syncing '%s'", s->dir);
	for (size_t i = 0; i < n; i++) {
		char name[BLOB_NAME_SIZE];

		blob_final_name(&blobs[i]->digest, name);
		if (renameat(s->root, blobs[i]->name, s->root, name) < 0)
			return error_errno(err, "placing '%s/%s'", s->dir, name);
	}
	if (FAULT_POINT("blob.placed") || syncfs(s->root) < 0)
		return error_errno(err, "syncing '%s'", s->dir);
	return 0;
}

/* A blob that is good again is no longer bad. */
static void forgive(struct blob_store *s, const struct digest *d)
{
	char name[BLOB_NAME_SIZE];

	if (!s->has_bad)
		return;
	blob_bad_name(d, name);
	unlinkat(s->root, name, 0);
}

/* The blobs are marked as syncing and ours. What could not be synced is removed: the kernel reports
 * a failed write-back once and would call the next sync a success. Whoever counted on it hears
 * ERR_NOT_FOUND. */
static int sync_ours(struct blob_store *s, struct staged **blobs, size_t n, struct error *err)
{
	int r = n <= FEW ? sync_few(s, blobs, n, err) : sync_many(s, blobs, n, err);

	LOCKED(&s->lock);
	for (size_t i = 0; i < n; i++) {
		struct staged *e = blobs[i];

		if (r == 0) {
			forgive(s, &e->digest);
		} else {
			char name[BLOB_NAME_SIZE];

			blob_final_name(&e->digest, name);
			unlinkat(s->root, e->name, 0);
			unlinkat(s->root, name, 0);
		}
		HASH_DEL(s->staged, e);
		free(e);
	}
	signal_all(&s->settled);
	return r;
}

/* Marks those that are staged and nobody syncs; *ret_others: somebody syncs one of them. */
static size_t claim_locked(struct blob_store *s, const struct digest *digests, size_t n,
			   struct staged **ret, bool *ret_others)
{
	size_t found = 0;

	*ret_others = false;
	for (size_t i = 0; i < n; i++) {
		struct staged *e = find_staged_locked(s, &digests[i]);

		if (!e)
			continue;
		if (e->syncing) {
			*ret_others = true; /* or listed twice */
			continue;
		}
		e->syncing = true;
		ret[found++] = e;
	}
	return found;
}

int blob_sync(struct blob_store *s, const struct digest *digests, size_t n, struct error *err)
{
	cleanup(freep) struct staged **ours = xcalloc(n + 1, sizeof *ours);

	for (bool others = true; others;) {
		size_t found;

		lock_take(&s->lock);
		found = claim_locked(s, digests, n, ours, &others);
		if (!found && others)
			signal_wait(&s->settled, &s->lock);
		lock_drop(&s->lock);
		if (!found)
			continue;
		if (sync_ours(s, ours, found, err) < 0)
			return -1;
		others = true; /* look again, as others may have been at work */
	}
	for (size_t i = 0; i < n; i++) {
		char hex[DIGEST_HEX_SIZE];

		if (!in_place(s, &digests[i]))
			return error_set(err, ERR_NOT_FOUND, "there is no blob '%s'",
					 digest_hex(&digests[i], hex));
	}
	return 0;
}

int blob_sync_all(struct blob_store *s, struct error *err)
{
	cleanup(freep) struct digest *all = NULL;
	struct staged *e, *next;
	size_t n = 0;

	lock_take(&s->lock);
	all = xcalloc(HASH_COUNT(s->staged) + 1, sizeof *all);
	HASH_ITER(hh, s->staged, e, next)
		all[n++] = e->digest;
	lock_drop(&s->lock);
	return blob_sync(s, all, n, err);
}
