/*
 * Reading a blob: all of it, then its hash, then the caller. Whatever is wrong with the file - its
 * header, its length, its compression, its hash - is damage: it is moved to bad/, so that the store
 * no longer says it has the blob, and an upload mends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <zstd.h>
#include "base/fault.h"
#include "base/file.h"
#include "blob/store_private.h"

/* A blob that is open. */
struct found {
	int fd;
	char name[BLOB_NAME_SIZE];
	uint64_t disk_size; /* without the header */
	struct blob_header header;
};

static int read_all(int fd, char *data, size_t len, struct error *err)
{
	while (len) {
		ssize_t n = file_read_some(fd, data, len, err);

		if (n < 0)
			return -1;
		if (n == 0)
			return error_set(err, ERR_CORRUPT, "it ends too early");
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_header(struct found *f, struct error *err)
{
	uint8_t header[BLOB_HEADER_SIZE];
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return error_errno(err, "looking at it");
	if (read_all(f->fd, (char *)header, sizeof header, err) < 0)
		return -1;
	f->disk_size = (uint64_t)st.st_size - BLOB_HEADER_SIZE;
	if (blob_header_parse(header, &f->header) < 0 ||
	    (f->header.encoding == BLOB_RAW ? f->disk_size != f->header.size
					    : f->disk_size > ZSTD_compressBound(BLOB_MAX_SIZE)))
		return error_set(err, ERR_CORRUPT, "its header is damaged");
	return 0;
}

/* ret has room for the plain bytes. */
static int read_body(struct found *f, char *ret, struct error *err)
{
	cleanup(buf_release) struct buf packed = { 0 };
	size_t n;

	if (f->header.encoding == BLOB_RAW)
		return read_all(f->fd, ret, f->header.size, err);
	buf_reserve(&packed, f->disk_size + 1);
	if (read_all(f->fd, packed.data, f->disk_size, err) < 0)
		return -1;
	n = ZSTD_decompress(ret, f->header.size, packed.data, f->disk_size);
	if (ZSTD_isError(n) || n != f->header.size)
		return error_set(err, ERR_CORRUPT, "its compression is damaged");
	return 0;
}

static int read_verified(struct found *f, const struct digest *digest, size_t limit,
			 struct buf *ret, struct error *err)
{
	struct digest actual;

	if (read_header(f, err) < 0)
		return -1;
	if (f->header.size > limit)
		return error_set(err, ERR_EXHAUSTED, "it has %u bytes, at most %zu are wanted",
				 f->header.size, limit);
	buf_reserve(ret, f->header.size + 1);
	if (read_body(f, ret->data + ret->len, err) < 0)
		return -1;
	actual = digest_of(ret->data + ret->len, f->header.size);
	if (!digest_equal(&actual, digest) || FAULT_POINT("blob.read"))
		return error_set(err, ERR_CORRUPT, "its bytes are not what they were");
	ret->len += f->header.size;
	ret->data[ret->len] = '\0';
	return 0;
}

static int not_found(struct blob_store *s, const struct digest *digest, struct error *err)
{
	char hex[DIGEST_HEX_SIZE], bad[BLOB_NAME_SIZE];

	blob_bad_name(digest, bad);
	if (s->has_bad && faccessat(s->root, bad, F_OK, 0) == 0) {
		error_set(err, ERR_CORRUPT, "the blob '%s' was found damaged",
			  digest_hex(digest, hex));
		return error_hint(
			err, "upload the artifact again; what is damaged is kept in '%.180s/bad'",
			s->dir);
	}
	return error_set(err, ERR_NOT_FOUND, "there is no blob '%s'", digest_hex(digest, hex));
}

int blob_read(struct blob_store *s, const struct digest *digest, size_t limit, struct buf *ret,
	      struct error *err)
{
	struct found f = { 0 };
	struct error why = { 0 };
	char hex[DIGEST_HEX_SIZE];
	int r;

	f.fd = blob_open_file(s, digest, f.name);
	if (f.fd < 0 && errno == ENOENT)
		return not_found(s, digest, err);
	if (f.fd < 0)
		return error_errno(err, "opening the blob '%s'", digest_hex(digest, hex));
	r = read_verified(&f, digest, limit, ret, &why);
	if (r < 0 && why.code == ERR_CORRUPT)
		blob_condemn(s, digest, f.name, f.fd);
	close(f.fd);
	if (r == 0)
		return 0;
	if (ret->data)
		ret->data[ret->len] = '\0';
	if (err)
		*err = why;
	return error_wrap(err, "reading the blob '%s'", digest_hex(digest, hex));
}
