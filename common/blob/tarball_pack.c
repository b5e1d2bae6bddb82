/*
 * Packing is a walk with a stack, one frame for each open directory, its names sorted. The caller's
 * buffer is filled in turn with header blocks, file contents (read straight into it) and padding;
 * nothing of a file is kept. A list of paths is sorted so that it walks as the directory would, and
 * gives the same bytes.
 *
 * Names are opened by openat2 without following any link, so a tree that is changed meanwhile
 * cannot lead outside of itself.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "blob/tar_header.h"
#include "blob/tarball.h"

enum { TRAILER = 2 * TAR_BLOCK, READ_AHEAD = 1 << 20 };

struct name {
	unsigned char type; /* DT_ of readdir */
	char text[];
};

/* A directory being walked. */
struct frame {
	int fd;
	struct arena *arena; /* holds the names */
	struct name **names;
	size_t n, at;
	size_t path_len; /* of the packer's path, without this directory's children */
};

struct tarball_packer {
	struct frame stack[TARBALL_MAX_DEPTH];
	int depth;    /* frames in use */
	int root;     /* of a list, else -1 */
	char **paths; /* a list, sorted; ours */
	size_t n_paths, at_path;
	bool skip_missing;
	struct buf path; /* of the entry at hand */
	struct buf head; /* its header blocks */
	size_t head_at;
	int fd; /* the file at hand, or -1 */
	struct stat st;
	uint64_t left; /* bytes of it */
	size_t zeros;  /* still to give */
	uint64_t entries;
	bool ended;
};

static int open_beneath(int dir, const char *name, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)flags | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, dir, name, &how, sizeof how);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(struct name *const *)a)->text, (*(struct name *const *)b)->text);
}

/* Byte order, but a slash is the least: as a walk goes through directories. */
static int compare_paths(const void *a, const void *b)
{
	const unsigned char *p = *(const unsigned char *const *)a;
	const unsigned char *q = *(const unsigned char *const *)b;

	while (*p && *p == *q)
		p++, q++;
	return (*p == '/' ? 1 : *p ? *p + 1 : 0) - (*q == '/' ? 1 : *q ? *q + 1 : 0);
}

static void frame_release(struct frame *f)
{
	arena_free(f->arena);
	free(f->names);
	closep(&f->fd);
}

static int read_names(struct frame *f, struct error *err)
{
	int fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 3);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	size_t cap = 0;

	if (!d) {
		error_errno(err, "opening it");
		closep(&fd);
		return -1;
	}
	while (errno = 0, (e = readdir(d))) {
		size_t len = strlen(e->d_name);
		struct name *n;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (f->n == TARBALL_MAX_ENTRIES) {
			closedir(d);
			return error_set(err, ERR_INVALID, "more than %d entries",
					 TARBALL_MAX_ENTRIES);
		}
		if (f->n == cap) {
			cap = cap ? cap * 2 : 64;
			f->names = xreallocarray(f->names, cap, sizeof *f->names);
		}
		n = arena_alloc(f->arena, sizeof *n + len + 1);
		n->type = e->d_type;
		memcpy(n->text, e->d_name, len + 1);
		f->names[f->n++] = n;
	}
	if (errno) {
		error_errno(err, "reading it");
		closedir(d);
		return -1;
	}
	closedir(d);
	if (f->n)
		qsort(f->names, f->n, sizeof *f->names, compare_names);
	return 0;
}

/* Goes down into the directory fd, which is taken over. */
static int push(struct tarball_packer *p, int fd, struct error *err)
{
	struct frame *f = &p->stack[p->depth];

	if (p->depth == TARBALL_MAX_DEPTH) {
		close(fd);
		return error_set(err, ERR_INVALID, "deeper than %d directories", TARBALL_MAX_DEPTH);
	}
	*f = (struct frame){ .fd = fd, .arena = arena_new(0), .path_len = p->path.len };
	p->depth++;
	return read_names(f, err);
}

/* Counts the entry and makes its header. */
static int begin_entry(struct tarball_packer *p, const struct tar_entry *e, struct error *err)
{
	if (strlen(e->path) > TARBALL_MAX_PATH)
		return error_set(err, ERR_INVALID, "its path has more than %d bytes",
				 TARBALL_MAX_PATH);
	if (++p->entries > TARBALL_MAX_ENTRIES)
		return error_set(err, ERR_INVALID, "more than %d entries", TARBALL_MAX_ENTRIES);
	tar_header_add(&p->head, e);
	return 0;
}

static int add_link(struct tarball_packer *p, int dir, const char *name, struct error *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir, name, target, sizeof target - 1);
	struct tar_entry e = { .type = TAR_SYMLINK, .path = buf_str(&p->path), .link = target };

	if (n < 0)
		return error_errno(err, "reading the link");
	target[n] = '\0';
	if (n > TARBALL_MAX_PATH || !tar_link_inside(e.path, target)) {
		error_set(err, ERR_INVALID, "the link leads to '%.200s', outside of the tree",
			  target);
		return error_hint(err, "put the file itself there, or link to it relatively");
	}
	return begin_entry(p, &e, err);
}

/* Takes fd over. */
static int add_open(struct tarball_packer *p, int fd, struct error *err)
{
	struct tar_entry e = { .path = buf_str(&p->path) };
	int r = -1;

	if (fstat(fd, &p->st) < 0) {
		error_errno(err, "looking at it");
	} else if (S_ISREG(p->st.st_mode)) {
		e.type = TAR_FILE;
		e.size = (uint64_t)p->st.st_size;
		e.executable = p->st.st_mode & S_IXUSR;
		if (e.size > READ_AHEAD)
			posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
		r = begin_entry(p, &e, err);
		p->left = e.size;
		p->fd = steal_fd(&fd);
	} else if (S_ISDIR(p->st.st_mode)) {
		e.type = TAR_DIRECTORY;
		r = begin_entry(p, &e, err);
		if (r == 0)
			r = push(p, steal_fd(&fd), err);
	} else {
		error_set(err, ERR_INVALID, "neither a file, a directory nor a link");
	}
	closep(&fd);
	return r;
}

/* The entry called p->path, which is name in dir. 1: packed; 0: there is none; -1. */
static int add_entry(struct tarball_packer *p, int dir, const char *name, unsigned char type,
		     struct error *err)
{
	int fd = -1, r;

	if (type == DT_LNK)
		return add_link(p, dir, name, err) < 0 ? -1 : 1;
	/* opening a device may do something; a FIFO or socket is no entry either */
	if (type != DT_UNKNOWN && type != DT_REG && type != DT_DIR)
		return error_set(err, ERR_INVALID, "neither a file, a directory nor a link");
	fd = open_beneath(dir, name, O_RDONLY | O_NONBLOCK);
	if (fd >= 0)
		return add_open(p, fd, err) < 0 ? -1 : 1;
	if (errno == ENOENT)
		return 0;
	if (errno != ELOOP)
		return error_errno(err, "opening it");
	fd = open_beneath(dir, name, O_PATH);
	if (fd < 0)
		return error_errno(err, "opening it");
	r = add_link(p, fd, "", err);
	close(fd);
	return r < 0 ? -1 : 1;
}

/* The next of the directories being walked. 1: an entry; 0: the end; -1. */
static int next_of_tree(struct tarball_packer *p, struct error *err)
{
	while (p->depth) {
		struct frame *f = &p->stack[p->depth - 1];
		const struct name *n;
		int r;

		if (f->at == f->n) {
			frame_release(f);
			p->depth--;
			continue;
		}
		n = f->names[f->at++];
		p->path.len = f->path_len;
		if (f->path_len)
			buf_putc(&p->path, '/');
		buf_puts(&p->path, n->text);
		r = add_entry(p, f->fd, n->text, n->type, err);
		if (r == 0)
			return error_set(err, ERR_ABORTED, "it vanished meanwhile");
		return r;
	}
	return 0;
}

/* The directories on the way to path that prev did not have, too. */
static int add_parents(struct tarball_packer *p, const char *prev, const char *path,
		       struct error *err)
{
	size_t same = 0;

	while (path[same] && path[same] == prev[same])
		same++;
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		cleanup(freep) char *dir = NULL;
		struct tar_entry e = { .type = TAR_DIRECTORY };

		if ((size_t)(slash - path) < same)
			continue;
		e.path = dir = xstrndup(path, (size_t)(slash - path));
		if (begin_entry(p, &e, err) < 0)
			return -1;
	}
	return 0;
}

static int next_of_list(struct tarball_packer *p, struct error *err)
{
	while (p->at_path < p->n_paths) {
		const char *path = p->paths[p->at_path];
		cleanup(freep) char *prev = xstrdup(buf_str(&p->path));
		struct stat st;
		int r;

		p->at_path++;
		if (p->skip_missing && fstatat(p->root, path, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
		    errno == ENOENT)
			continue;
		buf_clear(&p->path);
		buf_puts(&p->path, path);
		if (add_parents(p, prev, path, err) < 0)
			return -1;
		r = add_entry(p, p->root, path, DT_UNKNOWN, err);
		if (r == 0)
			return error_set(err, ERR_NOT_FOUND, "there is no such file");
		if (r > 0 && p->depth)
			return error_set(err, ERR_INVALID, "a directory; only files are listed");
		return r;
	}
	return 0;
}

static int next_entry(struct tarball_packer *p, struct error *err)
{
	int r;

	if (p->ended)
		return 0;
	r = p->root >= 0 ? next_of_list(p, err) : next_of_tree(p, err);
	if (r < 0)
		return error_wrap(err, "packing '%.300s'", buf_str(&p->path));
	if (r == 0) {
		p->ended = true;
		p->zeros = TRAILER;
		r = 1;
	}
	return r;
}

/* The file at hand was read to its end: is it still what the header says? */
static int end_file(struct tarball_packer *p, struct error *err)
{
	struct stat now;

	if (fstat(p->fd, &now) < 0)
		return error_errno(err, "looking at '%s'", buf_str(&p->path));
	close(steal_fd(&p->fd));
	if (now.st_size != p->st.st_size || now.st_mtim.tv_sec != p->st.st_mtim.tv_sec ||
	    now.st_mtim.tv_nsec != p->st.st_mtim.tv_nsec)
		return error_set(err, ERR_ABORTED, "packing '%.300s': it was changed meanwhile",
				 buf_str(&p->path));
	p->zeros = -(size_t)p->st.st_size % TAR_BLOCK;
	return 0;
}

/* Some bytes of what is at hand: how many, 0 when there is nothing at hand. */
static ssize_t fill(struct tarball_packer *p, char *data, size_t len, struct error *err)
{
	size_t n;

	if (p->head_at < p->head.len) {
		n = MIN(len, p->head.len - p->head_at);
		memcpy(data, p->head.data + p->head_at, n);
		p->head_at += n;
		if (p->head_at == p->head.len) {
			buf_clear(&p->head);
			p->head_at = 0;
		}
		return (ssize_t)n;
	}
	if (p->left) {
		ssize_t got = file_read_some(p->fd, data, MIN((uint64_t)len, p->left), err);

		if (got < 0)
			return error_wrap(err, "packing '%.300s'", buf_str(&p->path));
		if (got == 0)
			return error_set(err, ERR_ABORTED, "packing '%.300s': it was cut meanwhile",
					 buf_str(&p->path));
		p->left -= (uint64_t)got;
		return got;
	}
	if (p->fd >= 0 && end_file(p, err) < 0)
		return -1;
	n = MIN(len, p->zeros);
	memset(data, 0, n);
	p->zeros -= n;
	return (ssize_t)n;
}

ssize_t tarball_pack_read(struct tarball_packer *p, void *data, size_t len, struct error *err)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = fill(p, (char *)data + done, len - done, err);

		if (n < 0)
			return -1;
		done += (size_t)n;
		if (n == 0) {
			int r = next_entry(p, err);

			if (r < 0)
				return -1;
			if (r == 0)
				break;
		}
	}
	return (ssize_t)done;
}

uint64_t tarball_pack_entries(const struct tarball_packer *p)
{
	return p->entries;
}

static bool path_valid(const char *path)
{
	for (const char *s = path;; s++) {
		size_t n = strcspn(s, "/");

		if (n == 0 || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		s += n;
		if (!*s)
			return true;
	}
}

static int open_list(struct tarball_packer *p, const struct tarball_source *source, int fd,
		     struct error *err)
{
	p->root = fd;
	p->skip_missing = source->skip_missing;
	if (source->n_paths > TARBALL_MAX_ENTRIES)
		return error_set(err, ERR_INVALID, "more than %d entries", TARBALL_MAX_ENTRIES);
	p->paths = xcalloc(source->n_paths + 1, sizeof *p->paths);
	for (size_t i = 0; i < source->n_paths; i++) {
		if (!path_valid(source->paths[i]))
			return error_set(err, ERR_INVALID, "'%.300s' is no path beneath the tree",
					 source->paths[i]);
		p->paths[p->n_paths++] = xstrdup(source->paths[i]);
	}
	qsort(p->paths, p->n_paths, sizeof *p->paths, compare_paths);
	for (size_t i = 1; i < p->n_paths; i++)
		if (strcmp(p->paths[i - 1], p->paths[i]) == 0)
			return error_set(err, ERR_INVALID, "'%.300s' is listed twice", p->paths[i]);
	return 0;
}

static int open_root(struct tarball_packer *p, const struct tarball_source *source,
		     struct error *err)
{
	cleanup(closep) int fd = open(source->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	const char *slash = strrchr(source->path, '/');
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, "opening it");
	if (source->paths)
		return open_list(p, source, steal_fd(&fd), err);
	if (S_ISDIR(st.st_mode))
		return push(p, steal_fd(&fd), err);
	buf_puts(&p->path, slash ? slash + 1 : source->path);
	return add_open(p, steal_fd(&fd), err);
}

struct tarball_packer *tarball_pack_open(const struct tarball_source *source, struct error *err)
{
	cleanup(tarball_pack_closep) struct tarball_packer *p = xcalloc(1, sizeof *p);

	p->fd = p->root = -1;
	if (open_root(p, source, err) < 0)
		return error_wrap(err, "packing '%.300s'", source->path), NULL;
	return steal(p);
}

void tarball_pack_close(struct tarball_packer *p)
{
	if (!p)
		return;
	while (p->depth)
		frame_release(&p->stack[--p->depth]);
	for (size_t i = 0; i < p->n_paths; i++)
		free(p->paths[i]);
	free(p->paths);
	buf_release(&p->path);
	buf_release(&p->head);
	closep(&p->fd);
	closep(&p->root);
	free(p);
}
