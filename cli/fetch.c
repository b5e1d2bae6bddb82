/*
 * Fetching: into a chunk store, then out of it. A tree of one file is unpacked beside the target
 * and its file renamed, so that the target is there whole or not at all.
 */
#include "cli/fetch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "blob/manifest.h"
#include "blob/reader.h"
#include "blob/store.h"
#include "cli/interrupt.h"
#include "cli/out.h"
#include "transfer/transfer.h"

static const uint64_t cache_most = UINT64_C(2) << 30;

enum { PATIENCE_MS = 60000 };

/* Where chunks go. */
struct cache {
	struct blob_store *store;
	char *temporary; /* a directory to be removed, or NULL */
	int lock;
};

static char *cache_dir(void)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (xdg && *xdg == '/')
		return xprintf("%s/sluice/chunks", xdg);
	return home && *home ? xprintf("%s/.cache/sluice/chunks", home) : NULL;
}

static int open_shared(struct cache *c, struct error *err)
{
	cleanup(freep) char *dir = cache_dir();
	cleanup(freep) char *lock = dir ? xprintf("%s.lock", dir) : NULL;

	if (!dir || file_make_dirs(dir, 0700, err) < 0 || file_lock(lock, &c->lock, err) < 0)
		return -1;
	c->store = blob_store_open(dir, err);
	return c->store ? 0 : -1;
}

static int cache_open(struct cache *c, const char *beside, struct error *err)
{
	struct error why = { 0 };

	*c = (struct cache){ .lock = -1 };
	if (open_shared(c, &why) == 0)
		return 0;
	closep(&c->lock);
	c->lock = -1;
	c->temporary = xprintf("%s.sluice-chunks-%d", beside, (int)getpid());
	c->store = blob_store_open(c->temporary, err);
	return c->store ? 0 : -1;
}

static void cache_close(struct cache *c)
{
	struct blob_stats stats;

	if (c->store && !c->temporary)
		blob_trim(c->store, cache_most, &stats, NULL);
	blob_store_close(c->store);
	if (c->temporary)
		file_remove_tree(c->temporary, NULL);
	free(c->temporary);
	closep(&c->lock);
}

static bool was_interrupted(void *arg)
{
	return interrupted();
}

static int fetch(struct cli *cli, const Sluice__V1__Artifact *a, struct cache *c,
		 struct digest *ret_digest, uint64_t *ret_received, struct error *err)
{
	struct transfer t = { .channel = cli_channel(cli, err),
			      .patience_ms = PATIENCE_MS,
			      .cancelled = was_interrupted };
	struct download what = { 0 };
	int r;

	if (!t.channel || digest_parse(a->digest, &what.artifact, err) < 0)
		return -1;
	interrupt_begin(NULL, NULL);
	r = transfer_fetch(&t, &what, c->store, ret_received, err);
	interrupt_end();
	*ret_digest = what.artifact;
	return r;
}

/* The one file of a tree of one file, however it is named. */
static char *only_file(const char *dir, struct error *err)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	char *found = NULL;

	if (!d)
		return error_errno(err, "opening '%s'", dir), NULL;
	while ((entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
			free(found);
			found = path_join(dir, entry->d_name);
		}
	closedir(d);
	if (!found)
		error_set(err, ERR_CORRUPT, "the artifact is empty");
	return found;
}

static int copy_out(struct blob_store *store, const struct digest *digest, int fd,
		    struct error *err)
{
	cleanup(blob_reader_closep) struct blob_reader *r = blob_reader_open(store, digest, err);
	const void *data;
	size_t len;
	int n;

	if (!r)
		return -1;
	while ((n = blob_reader_next(r, &data, &len, err)) > 0) {
		if (fd == 1)
			out_write(data, len);
		else if (file_write_all(fd, data, len, err) < 0)
			return -1;
	}
	return n;
}

/* 1: raw bytes; 0: a tree; -1. */
static int is_raw(struct blob_store *store, const struct digest *digest, struct error *err)
{
	cleanup(blob_reader_closep) struct blob_reader *r = blob_reader_open(store, digest, err);

	return r ? blob_reader_manifest(r)->media == MANIFEST_RAW : -1;
}

static int place_raw(struct blob_store *store, const struct digest *digest, const char *path,
		     struct error *err)
{
	cleanup(freep) char *aside = xprintf("%s.sluice-%d", path, (int)getpid());
	cleanup(closep) int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return error_errno(err, "writing '%s'", aside);
	if (copy_out(store, digest, fd, err) < 0 || file_rename(aside, path, err) < 0) {
		unlink(aside);
		return -1;
	}
	return 0;
}

static int place_file(struct blob_store *store, const struct digest *digest, const char *path,
		      struct error *err)
{
	cleanup(freep) char *aside = xprintf("%s.sluice-%d", path, (int)getpid());
	cleanup(freep) char *inside = NULL;
	int r;

	if (blob_unpack(store, digest, aside, false, err) < 0)
		return -1;
	inside = only_file(aside, err);
	r = inside ? file_rename(inside, path, err) : -1;
	file_remove_tree(aside, NULL);
	return r;
}

static int place(struct blob_store *store, const Sluice__V1__Artifact *a,
		 const struct digest *digest, const char *path, struct error *err)
{
	switch (is_raw(store, digest, err)) {
	case 1:
		return place_raw(store, digest, path, err);
	case 0:
		return a->is_file ? place_file(store, digest, path, err)
				  : blob_unpack(store, digest, path, false, err);
	default:
		return -1;
	}
}

int fetch_artifact(struct cli *cli, const Sluice__V1__Artifact *a, const char *path,
		   uint64_t *ret_received, struct error *err)
{
	struct digest digest;
	struct cache cache;
	int r = -1;

	if (file_exists(path))
		return error_set(err, ERR_EXISTS, "'%s' is there already", path);
	if (cache_open(&cache, path, err) == 0 &&
	    fetch(cli, a, &cache, &digest, ret_received, err) == 0)
		r = place(cache.store, a, &digest, path, err);
	cache_close(&cache);
	return r;
}

/* ---- to stdout ---- */

static int cat_file(const char *path, struct error *err)
{
	cleanup(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	cleanup(freep) char *data = xmalloc(1 << 20);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, "opening it");
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_INVALID, "it is not a file");
	while ((n = file_read_some(fd, data, 1 << 20, err)) > 0)
		out_write(data, (size_t)n);
	return n < 0 ? -1 : 0;
}

static bool stays_inside(const char *path)
{
	for (const char *p = path; *p; p += strcspn(p, "/"), p += strspn(p, "/"))
		if (strcspn(p, "/") == 2 && strncmp(p, "..", 2) == 0)
			return false;
	return *path && *path != '/';
}

static int cat_tree(struct blob_store *store, const Sluice__V1__Artifact *a,
		    const struct digest *digest, const char *inside, struct error *err)
{
	const char *tmp = getenv("TMPDIR");
	cleanup(freep) char *dir = xprintf("%s/sluice-cat-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	cleanup(freep) char *tree = NULL, *path = NULL;
	int r = -1;

	if (!*inside && !a->is_file)
		return error_set(err, ERR_INVALID, "'%s' is a tree: name a file in it", a->name),
		       error_hint(err, "sluice artifacts get %s fetches all of it", a->digest);
	if (*inside && !stays_inside(inside))
		return error_set(err, ERR_INVALID, "'%s' is not a path in the tree", inside);
	if (!mkdtemp(dir))
		return error_errno(err, "making '%s'", dir);
	tree = path_join(dir, "tree");
	if (blob_unpack(store, digest, tree, false, err) == 0) {
		path = *inside ? path_join(tree, inside) : only_file(tree, err);
		if (path && *inside && !file_exists(path))
			error_id(err, "E0204", "'%s' has no file '%s'", a->name, inside);
		else if (path)
			r = cat_file(path, err);
	}
	file_remove_tree(dir, NULL);
	return r;
}

int fetch_to_stdout(struct cli *cli, const Sluice__V1__Artifact *a, const char *inside,
		    struct error *err)
{
	const char *tmp = getenv("TMPDIR");
	cleanup(freep) char *beside = path_join(tmp && *tmp ? tmp : "/tmp", "sluice");
	struct digest digest;
	struct cache cache;
	int r = -1;

	if (cache_open(&cache, beside, err) == 0 &&
	    fetch(cli, a, &cache, &digest, NULL, err) == 0) {
		r = is_raw(cache.store, &digest, err);
		if (r == 1)
			r = copy_out(cache.store, &digest, 1, err);
		else if (r == 0)
			r = cat_tree(cache.store, a, &digest, inside, err);
	}
	cache_close(&cache);
	return r;
}
