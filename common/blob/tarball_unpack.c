/*
 * Unpacking what a peer sent. libarchive only reads; every file, directory and link is made here,
 * relative to the descriptor of a fresh directory and by openat2, so that no name can lead through
 * a link or out, whatever came before it. libarchive's own extraction, with all of its SECURE
 * flags, makes outward links, devices and setuid files, and goes on after a refused entry.
 *
 * A name is made once: O_EXCL for files and links; a directory may be named once more only when it
 * exists because something beneath it came first. The stream is read to its end, so that the last
 * chunk is verified, too.
 */
#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <locale.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uthash.h>
#include "base/buf.h"
#include "base/file.h"
#include "blob/tar_header.h"
#include "blob/tarball.h"

#define TEMPORARY ".unpack-" /* a target's temporary name begins with it */

/* A directory that is there only because something lies beneath it. */
struct implied {
	UT_hash_handle hh;
	char path[];
};

struct unpacker {
	const struct tarball_target *target;
	tarball_pull *pull;
	void *pull_arg;
	struct error pull_error; /* of pull, as libarchive cannot carry it */
	bool pull_ended;
	struct archive *archive;
	int root;
	int parent; /* the directory of the last entry, open: most entries share it */
	struct buf parent_path;
	struct buf path; /* of the entry at hand, clean */
	struct implied *implied;
	uint64_t entries, bytes;
};

static int open_beneath(int dir, const char *name, uint64_t flags, mode_t mode)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC | O_NOFOLLOW,
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, dir, name, &how, sizeof how);
}

static la_ssize_t pull_bytes(struct archive *a, void *arg, const void **ret)
{
	struct unpacker *u = arg;
	size_t len = 0;
	int r = 1;

	while (r > 0 && len == 0)
		r = u->pull_ended ? 0 : u->pull(u->pull_arg, ret, &len, &u->pull_error);
	if (r < 0) {
		archive_set_error(a, EIO, "the stream broke");
		return ARCHIVE_FATAL;
	}
	u->pull_ended = r == 0;
	return r ? (la_ssize_t)len : 0;
}

/* What libarchive, or pull beneath it, complains about. */
static int archive_failed(struct unpacker *u, struct error *err)
{
	const char *text = archive_error_string(u->archive);

	if (u->pull_error.code) {
		if (err)
			*err = u->pull_error;
		return -1;
	}
	return error_set(err, ERR_CORRUPT, "reading the tar stream: %s",
			 text ? text : "it is damaged");
}

static int open_archive(struct unpacker *u, struct error *err)
{
	u->archive = archive_read_new();
	if (!u->archive)
		return error_set(err, ERR_INTERNAL, "making a tar reader");
	if (archive_read_support_format_tar(u->archive) != ARCHIVE_OK ||
	    archive_read_support_filter_gzip(u->archive) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(u->archive) != ARCHIVE_OK ||
	    archive_read_open(u->archive, u, NULL, pull_bytes, NULL) != ARCHIVE_OK)
		return archive_failed(u, err);
	return 0;
}

/* The name as components joined by single slashes, without "." ones. Leaves "" for the root itself.
 */
static int clean_path(struct unpacker *u, const char *name, struct error *err)
{
	int depth = 0;

	buf_clear(&u->path);
	if (!name || !*name)
		return error_set(err, ERR_INVALID, "an entry has no name");
	if (strlen(name) > TARBALL_MAX_PATH)
		return error_set(err, ERR_INVALID, "'%.80s...' has more than %d bytes", name,
				 TARBALL_MAX_PATH);
	if (*name == '/')
		return error_set(err, ERR_INVALID, "'%.300s' is an absolute path", name);
	while (*name) {
		size_t n = strcspn(name, "/");

		if (n == 2 && name[0] == '.' && name[1] == '.')
			return error_set(err, ERR_INVALID, "'%.300s' leads upwards", name);
		if (n > 1 || (n == 1 && name[0] != '.')) {
			if (++depth > TARBALL_MAX_DEPTH)
				return error_set(err, ERR_INVALID,
						 "'%.80s...' is deeper than %d directories",
						 buf_str(&u->path), TARBALL_MAX_DEPTH);
			if (u->path.len)
				buf_putc(&u->path, '/');
			buf_add(&u->path, name, n);
		}
		name += n;
		name += *name == '/';
	}
	return 0;
}

static int count_entry(struct unpacker *u, struct error *err)
{
	if (++u->entries > TARBALL_MAX_ENTRIES)
		return error_set(err, ERR_EXHAUSTED, "more than %d entries", TARBALL_MAX_ENTRIES);
	return 0;
}

static int make_directory(int dir, const char *name)
{
	if (mkdirat(dir, name, 0755) < 0)
		return -1;
	/* whatever the umask says */
	return fchmodat(dir, name, 0755, 0);
}

static void note_implied(struct unpacker *u, const char *path)
{
	size_t len = strlen(path);
	struct implied *d = xmalloc(sizeof *d + len + 1);

	memcpy(d->path, path, len + 1);
	HASH_ADD_STR(u->implied, path, d);
}

/* One step down from the directory dir to path[from..to): opened, made if it is not there. */
static int step_down(struct unpacker *u, int dir, const char *path, const char *name,
		     struct error *err)
{
	int fd = open_beneath(dir, name, O_PATH | O_DIRECTORY, 0);

	if (fd >= 0)
		return fd;
	if (errno != ENOENT)
		return error_set(err, ERR_INVALID,
				 "'%.300s' is no directory, but an entry is in it", path);
	if (count_entry(u, err) < 0)
		return -1;
	if (make_directory(dir, name) < 0)
		return error_errno(err, "making the directory '%.300s'", path);
	note_implied(u, path);
	fd = open_beneath(dir, name, O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		return error_errno(err, "opening the directory '%.300s'", path);
	return fd;
}

/* Opens the directory path step by step, making what is not there. path is as before afterwards. */
static int make_parents(struct unpacker *u, char *path, struct error *err)
{
	int dir = fcntl(u->root, F_DUPFD_CLOEXEC, 3);
	char *name = path;

	if (dir < 0)
		return error_errno(err, "opening '%s'", u->target->path);
	while (dir >= 0 && *name) {
		char *end = strchrnul(name, '/');
		bool last = !*end;
		int next;

		*end = '\0';
		next = step_down(u, dir, path, name, err);
		close(dir);
		dir = next;
		if (!last)
			*end++ = '/';
		name = end;
	}
	return dir;
}

/* u->parent becomes the directory whose path is the first len bytes of the entry's. */
static int enter_parent(struct unpacker *u, size_t len, struct error *err)
{
	cleanup(freep) char *path = xstrndup(buf_str(&u->path), len);
	int fd;

	if (u->parent >= 0 && u->parent_path.len == len &&
	    strcmp(buf_str(&u->parent_path), path) == 0)
		return 0;
	fd = open_beneath(u->root, len ? path : ".", O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		fd = make_parents(u, path, err);
	if (fd < 0)
		return -1;
	if (u->parent >= 0)
		close(u->parent);
	u->parent = fd;
	buf_clear(&u->parent_path);
	buf_add(&u->parent_path, path, len);
	return 0;
}

static int write_file(struct unpacker *u, const char *name, struct archive_entry *e,
		      struct error *err)
{
	mode_t mode = archive_entry_perm(e) & 0100 ? 0755 : 0644;
	uint64_t size = (uint64_t)archive_entry_size(e);
	cleanup(closep) int fd = -1;
	const void *data;
	size_t len;
	la_int64_t at, end = 0;
	int r;

	if (!archive_entry_size_is_set(e) || archive_entry_size(e) < 0)
		return error_set(err, ERR_INVALID, "'%.300s' has no size", buf_str(&u->path));
	if (size > u->target->max_bytes - u->bytes)
		return error_set(err, ERR_EXHAUSTED, "'%.300s' goes past the %llu bytes declared",
				 buf_str(&u->path), (unsigned long long)u->target->max_bytes);
	u->bytes += size;
	fd = open_beneath(u->parent, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0 && errno == EEXIST)
		return error_set(err, ERR_INVALID, "'%.300s' comes twice", buf_str(&u->path));
	if (fd < 0)
		return error_errno(err, "creating '%.300s'", buf_str(&u->path));
	while ((r = archive_read_data_block(u->archive, &data, &len, &at)) == ARCHIVE_OK) {
		if (at < end || len > size || (uint64_t)at > size - len)
			return error_set(err, ERR_INVALID, "'%.300s' has bytes outside of its size",
					 buf_str(&u->path));
		if (file_pwrite_all(fd, data, len, at, err) < 0)
			return error_wrap(err, "writing '%.300s'", buf_str(&u->path));
		end = at + (la_int64_t)len;
	}
	if (r != ARCHIVE_EOF)
		return archive_failed(u, err);
	if ((uint64_t)end != size && ftruncate(fd, (off_t)size) < 0) /* ends in a hole */
		return error_errno(err, "growing '%.300s'", buf_str(&u->path));
	if (fchmod(fd, mode) < 0)
		return error_errno(err, "setting the mode of '%.300s'", buf_str(&u->path));
	return 0;
}

static int add_directory(struct unpacker *u, const char *name, struct error *err)
{
	struct implied *d;

	if (make_directory(u->parent, name) == 0)
		return 0;
	if (errno != EEXIST)
		return error_errno(err, "making the directory '%.300s'", buf_str(&u->path));
	HASH_FIND_STR(u->implied, buf_str(&u->path), d);
	if (!d)
		return error_set(err, ERR_INVALID, "'%.300s' comes twice", buf_str(&u->path));
	HASH_DEL(u->implied, d);
	free(d);
	return 0;
}

static int add_link(struct unpacker *u, const char *name, struct archive_entry *e,
		    struct error *err)
{
	const char *to = archive_entry_symlink(e);

	if (!to || strlen(to) > TARBALL_MAX_PATH || !tar_link_inside(buf_str(&u->path), to))
		return error_set(err, ERR_INVALID, "the link '%.200s' leads to '%.200s', outside",
				 buf_str(&u->path), to ? to : "");
	if (symlinkat(to, u->parent, name) == 0)
		return 0;
	if (errno == EEXIST)
		return error_set(err, ERR_INVALID, "'%.300s' comes twice", buf_str(&u->path));
	return error_errno(err, "making the link '%.300s'", buf_str(&u->path));
}

static int add_entry(struct unpacker *u, struct archive_entry *e, struct error *err)
{
	mode_t type = archive_entry_filetype(e);
	const char *slash, *name;

	if (count_entry(u, err) < 0 || clean_path(u, archive_entry_pathname(e), err) < 0)
		return -1;
	if (archive_entry_hardlink(e))
		return error_set(err, ERR_INVALID, "'%.300s' is a hard link", buf_str(&u->path));
	if (type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK)
		return error_set(err, ERR_INVALID, "'%.300s' is neither file, directory nor link",
				 buf_str(&u->path));
	if (archive_entry_perm(e) & (S_ISUID | S_ISGID))
		return error_set(err, ERR_INVALID, "'%.300s' is setuid or setgid",
				 buf_str(&u->path));
	if (!u->path.len) {
		if (type == AE_IFDIR)
			return 0; /* "./", the root itself */
		return error_set(err, ERR_INVALID, "an entry has no name");
	}
	slash = strrchr(u->path.data, '/');
	name = slash ? slash + 1 : u->path.data;
	if (enter_parent(u, slash ? (size_t)(slash - u->path.data) : 0, err) < 0)
		return -1;
	if (type == AE_IFDIR)
		return add_directory(u, name, err);
	return type == AE_IFLNK ? add_link(u, name, e, err) : write_file(u, name, e, err);
}

static int add_all(struct unpacker *u, struct error *err)
{
	struct archive_entry *e;
	const void *rest;
	int r;

	if (open_archive(u, err) < 0)
		return -1;
	while ((r = archive_read_next_header(u->archive, &e)) == ARCHIVE_OK)
		if (add_entry(u, e, err) < 0)
			return -1;
	if (r != ARCHIVE_EOF)
		return archive_failed(u, err);
	/* libarchive takes the end of the bytes for the end of the tree, too: it must have eaten a
	 * block of zeros */
	if (archive_filter_bytes(u->archive, 0) - archive_read_header_position(u->archive) <
	    TAR_BLOCK)
		return error_set(err, ERR_CORRUPT,
				 "the tar stream is cut: it has no mark at its end");
	while ((r = (int)pull_bytes(u->archive, u, &rest)) > 0)
		;
	return r < 0 ? archive_failed(u, err) : 0;
}

/* For libarchive names are text: in the "C" locale it refuses UTF-8 ones in pax headers. */
static int add_all_in_utf8(struct unpacker *u, struct error *err)
{
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL), was;
	int r;

	if (!utf8)
		return add_all(u, err);
	was = uselocale(utf8);
	r = add_all(u, err);
	uselocale(was);
	freelocale(utf8);
	return r;
}

static void unpacker_release(struct unpacker *u)
{
	struct implied *d, *next;

	HASH_ITER(hh, u->implied, d, next) {
		HASH_DEL(u->implied, d);
		free(d);
	}
	archive_read_free(u->archive);
	buf_release(&u->path);
	buf_release(&u->parent_path);
	closep(&u->parent);
	closep(&u->root);
}

/* What is whole takes its name, never that of something else. */
static int publish(const struct tarball_target *t, const char *temporary, const char *dir, int root,
		   struct error *err)
{
	if (t->durable && syncfs(root) < 0)
		return error_errno(err, "syncing '%s'", temporary);
	if (renameat2(AT_FDCWD, temporary, AT_FDCWD, t->path, RENAME_NOREPLACE) < 0) {
		if (errno == EEXIST)
			return error_set(err, ERR_EXISTS, "'%s' is already there", t->path);
		return error_errno(err, "renaming '%s' to '%s'", temporary, t->path);
	}
	if (t->durable && file_sync_dir(dir, err) < 0) {
		file_remove_tree(t->path, NULL);
		return -1;
	}
	return 0;
}

int tarball_unpack(const struct tarball_target *target, tarball_pull *pull, void *arg,
		   struct error *err)
{
	struct unpacker u = {
		.target = target, .pull = pull, .pull_arg = arg, .root = -1, .parent = -1
	};
	const char *slash = strrchr(target->path, '/');
	cleanup(freep) char *dir =
		slash ? xstrndup(target->path, MAX((size_t)(slash - target->path), (size_t)1))
		      : xstrdup(".");
	cleanup(freep) char *temporary = xprintf("%s/" TEMPORARY "XXXXXX", dir);
	int r = -1;

	if (file_exists(target->path))
		return error_set(err, ERR_EXISTS, "'%s' is already there", target->path);
	if (!mkdtemp(temporary))
		return error_errno(err, "making a directory in '%s'", dir);
	u.root = open(temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (u.root < 0)
		error_errno(err, "opening '%s'", temporary);
	else if (add_all_in_utf8(&u, err) == 0)
		r = publish(target, temporary, dir, u.root, err);
	unpacker_release(&u);
	if (r == 0)
		return 0;
	file_remove_tree(temporary, NULL); /* gone after the rename: harmless */
	return error_wrap(err, "unpacking to '%s'", target->path);
}

int tarball_clean(const char *dir, struct error *err)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int r = 0;

	if (!d)
		return errno == ENOENT ? 0 : error_errno(err, "opening '%s'", dir);
	while (r == 0 && (e = readdir(d)))
		if (strncmp(e->d_name, TEMPORARY, strlen(TEMPORARY)) == 0) {
			cleanup(freep) char *path = path_join(dir, e->d_name);

			r = file_remove_tree(path, err);
		}
	closedir(d);
	return r;
}
