/*
 * Removing blobs: what nothing names and nobody touched, or, in a cache, what was not touched for
 * longest. A blob's age is looked at again and the file removed under the store's lock, under which
 * pins touch it, so that a blob that somebody was just told we have is not taken away.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "blob/store_private.h"

struct candidate {
	struct digest digest;
	int64_t touched_ms;
	uint64_t disk_bytes;
};

typedef int visit_fn(void *arg, const struct candidate *c, struct error *err);

static int64_t touched_ms(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
}

static int64_t now_ms(const struct blob_store *s)
{
	struct timespec now = blob_now(s);

	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int visit_directory(struct blob_store *s, DIR *d, const char *prefix, visit_fn *visit,
			   void *arg, struct error *err)
{
	struct dirent *e;

	while (errno = 0, (e = readdir(d))) {
		char hex[DIGEST_HEX_SIZE];
		struct candidate c;
		struct stat st;

		if ((size_t)snprintf(hex, sizeof hex, "%s%s", prefix, e->d_name) >= sizeof hex ||
		    digest_parse(hex, &c.digest, NULL) < 0)
			continue; /* not ours */
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				continue; /* found damaged meanwhile */
			return error_errno(err, "looking at '%s/%s/%s'", s->dir, prefix, e->d_name);
		}
		c.touched_ms = touched_ms(&st);
		c.disk_bytes = (uint64_t)st.st_size;
		if (visit(arg, &c, err) < 0)
			return -1;
	}
	return errno ? error_errno(err, "reading '%s/%s'", s->dir, prefix) : 0;
}

static int visit_all(struct blob_store *s, visit_fn *visit, void *arg, struct error *err)
{
	for (int i = 0; i < 256; i++) {
		char prefix[3];
		DIR *d;
		int fd, r;

		snprintf(prefix, sizeof prefix, "%02x", i);
		fd = openat(s->root, prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		d = fd < 0 ? NULL : fdopendir(fd);
		if (!d) {
			error_errno(err, "opening '%s/%s'", s->dir, prefix);
			closep(&fd);
			return -1;
		}
		r = visit_directory(s, d, prefix, visit, arg, err);
		closedir(d);
		if (r < 0)
			return -1;
	}
	return 0;
}

/* Removes the blob unless it was touched after `before`. 1: removed; 0: left; -1. */
static int remove_untouched(struct blob_store *s, const struct digest *digest, int64_t before_ms,
			    struct error *err)
{
	char name[BLOB_NAME_SIZE];
	struct stat st;

	blob_final_name(digest, name);
	LOCKED(&s->lock);
	if (fstatat(s->root, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : error_errno(err, "looking at '%s/%s'", s->dir, name);
	if (touched_ms(&st) > before_ms)
		return 0;
	if (unlinkat(s->root, name, 0) < 0)
		return error_errno(err, "removing '%s/%s'", s->dir, name);
	return 1;
}

struct collecting {
	struct blob_store *store;
	const struct blob_collection *how;
	int64_t before_ms;
	struct blob_stats stats;
};

static int collect_one(void *arg, const struct candidate *b, struct error *err)
{
	struct collecting *c = arg;
	int r = 0;

	if (b->touched_ms <= c->before_ms && !c->how->is_live(c->how->arg, &b->digest))
		r = remove_untouched(c->store, &b->digest, c->before_ms, err);
	if (r < 0)
		return -1;
	*(r ? &c->stats.removed : &c->stats.kept) += 1;
	*(r ? &c->stats.removed_bytes : &c->stats.kept_bytes) += b->disk_bytes;
	return 0;
}

/* Damaged blobs are kept for as long as unnamed ones, so that somebody may look at them. */
static void collect_bad(struct collecting *c)
{
	int fd = openat(c->store->root, "bad", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat st;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' && fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    touched_ms(&st) <= c->before_ms && unlinkat(fd, e->d_name, 0) == 0) {
			c->stats.removed++;
			c->stats.removed_bytes += (uint64_t)st.st_size;
		}
	if (d)
		closedir(d);
	else
		closep(&fd);
}

int blob_collect(struct blob_store *s, const struct blob_collection *how, struct blob_stats *ret,
		 struct error *err)
{
	struct collecting c = { .store = s, .how = how, .before_ms = now_ms(s) - how->min_age_ms };

	/* staged blobs whose writers are gone become ordinary ones, and old */
	if (blob_sync_all(s, err) < 0 || visit_all(s, collect_one, &c, err) < 0)
		return error_wrap(err, "collecting '%s'", s->dir);
	collect_bad(&c);
	if (ret)
		*ret = c.stats;
	return 0;
}

struct trimming {
	struct candidate *all;
	size_t n, cap;
	uint64_t bytes;
};

static int gather_one(void *arg, const struct candidate *b, struct error *err)
{
	struct trimming *t = arg;

	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 1024;
		t->all = xreallocarray(t->all, t->cap, sizeof *t->all);
	}
	t->all[t->n++] = *b;
	t->bytes += b->disk_bytes;
	return 0;
}

static int compare_age(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return (x->touched_ms > y->touched_ms) - (x->touched_ms < y->touched_ms);
}

int blob_trim(struct blob_store *s, uint64_t max_bytes, struct blob_stats *ret, struct error *err)
{
	struct trimming t = { 0 };
	struct blob_stats stats = { 0 };
	int r;

	r = blob_sync_all(s, err) < 0 ? -1 : visit_all(s, gather_one, &t, err);
	if (t.n)
		qsort(t.all, t.n, sizeof *t.all, compare_age);
	for (size_t i = 0; r >= 0 && i < t.n && t.bytes - stats.removed_bytes > max_bytes; i++) {
		r = remove_untouched(s, &t.all[i].digest, t.all[i].touched_ms, err);
		if (r > 0) {
			stats.removed++;
			stats.removed_bytes += t.all[i].disk_bytes;
		}
	}
	stats.kept = t.n - stats.removed;
	stats.kept_bytes = t.bytes - stats.removed_bytes;
	free(t.all);
	if (r < 0)
		return error_wrap(err, "trimming '%s'", s->dir);
	if (ret)
		*ret = stats;
	return 0;
}
