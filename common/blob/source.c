/*
 * One pass over what becomes an artifact: tar stream, file or memory flows straight into the
 * chunker's buffer, and each chunk is hashed where it lies.
 */
#include "blob/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "blob/chunker.h"

enum { READ_SIZE = 1 << 20 };

struct source {
	struct chunker *chunker;
	struct tarball_packer *packer; /* of a tree */
	int fd;			       /* of a raw file */
	char *name;		       /* its path */
	const char *data;	       /* of raw bytes: what is left */
	size_t left;
	bool read; /* all of it */
	struct digest_ctx hash;
	struct manifest manifest;
};

struct source *source_open(const struct source_spec *spec, struct error *err)
{
	cleanup(source_closep) struct source *s = xcalloc(1, sizeof *s);

	s->fd = -1;
	s->manifest.media = spec->media;
	s->chunker = chunker_new();
	if (spec->media == MANIFEST_TAR) {
		s->packer = tarball_pack_open(&spec->tree, err);
		return s->packer ? steal(s) : NULL;
	}
	if (!spec->tree.path) {
		s->data = spec->len ? spec->data : "";
		s->left = spec->len;
		return steal(s);
	}
	s->name = xstrdup(spec->tree.path);
	s->fd = open(s->name, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0)
		return error_errno(err, "opening '%s'", s->name), NULL;
	posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return steal(s);
}

void source_close(struct source *s)
{
	if (!s)
		return;
	chunker_free(s->chunker);
	tarball_pack_close(s->packer);
	closep(&s->fd);
	free(s->name);
	digest_release(&s->hash);
	manifest_release(&s->manifest);
	free(s);
}

/* Some more bytes for the chunker; 0 at the end. */
static ssize_t read_more(struct source *s, struct error *err)
{
	size_t room;
	char *at = chunker_room(s->chunker, &room);
	ssize_t n;

	room = MIN(room, (size_t)READ_SIZE);
	if (s->packer) {
		n = tarball_pack_read(s->packer, at, room, err);
	} else if (s->fd >= 0) {
		n = file_read_some(s->fd, at, room, err);
		if (n < 0)
			error_wrap(err, "reading '%s'", s->name);
	} else {
		n = (ssize_t)MIN(room, s->left);
		memcpy(at, s->data, (size_t)n);
		s->data += n;
		s->left -= (size_t)n;
	}
	if (n > 0)
		chunker_added(s->chunker, (size_t)n);
	return n;
}

int source_next(struct source *s, struct source_chunk *ret, struct error *err)
{
	struct source_chunk c = { .offset = s->manifest.size };

	while (!chunker_next(s->chunker, &c.data, &c.len)) {
		ssize_t n = s->read ? 0 : read_more(s, err);

		if (n < 0)
			return -1;
		if (n == 0 && s->read)
			return 0;
		if (n == 0) {
			s->read = true;
			chunker_finish(s->chunker);
		}
	}
	digest_begin(&s->hash);
	digest_update(&s->hash, c.data, c.len);
	digest_finish(&s->hash, &c.digest);
	if (manifest_add(&s->manifest, &c.digest, (uint32_t)c.len, err) < 0)
		return -1;
	*ret = c;
	return 1;
}

const struct manifest *source_manifest(const struct source *s)
{
	return &s->manifest;
}

/* Puts all chunks, so many before each sync that a crash costs little. */
static int store_chunks(struct source *s, struct blob_store *store, struct error *err)
{
	enum { GROUP = 64 };
	struct digest group[GROUP];
	struct source_chunk c;
	size_t n = 0;
	int r;

	while ((r = source_next(s, &c, err)) > 0) {
		if (blob_put(store, &c.digest, c.data, c.len, err) < 0)
			return -1;
		group[n++] = c.digest;
		if (n == GROUP) {
			if (blob_sync(store, group, n, err) < 0)
				return -1;
			n = 0;
		}
	}
	return r < 0 ? -1 : blob_sync(store, group, n, err);
}

int source_store(const struct source_spec *spec, struct blob_store *store,
		 struct digest *ret_artifact, struct error *err)
{
	cleanup(source_closep) struct source *s = source_open(spec, err);
	cleanup(buf_release) struct buf packed = { 0 };
	struct digest artifact;

	if (!s || store_chunks(s, store, err) < 0)
		return -1;
	manifest_pack(&s->manifest, &packed);
	artifact = digest_of(packed.data, packed.len);
	if (blob_put(store, &artifact, packed.data, packed.len, err) < 0 ||
	    blob_sync(store, &artifact, 1, err) < 0)
		return -1;
	*ret_artifact = artifact;
	return 0;
}
