/*
 * Writing a blob: a temporary file, hashed as it grows, its writeback begun as soon as it is whole,
 * and its header last, when the size is known. Whether to compress is asked of the first bytes that
 * come: zstd at its fastest must save a fifth of them, so that what is compressed already, and most
 * weights, stay raw.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zstd.h>
#include "base/fault.h"
#include "base/file.h"
#include "blob/store_private.h"

enum {
	PROBE_MIN = 1 << 10,  /* fewer bytes are never compressed */
	PROBE_MAX = 32 << 10, /* more are not asked */
	LEVEL = 1,
	OUT_SIZE = 256 << 10,
	EARLY = 64 << 10, /* smaller blobs wait for their sync */
	MAX_FREE_CODECS = 4,
};

static const char magic[4] = "SLB1";

struct codec {
	ZSTD_CCtx *cctx;
	struct codec *next;
	uint8_t out[OUT_SIZE];
};

struct blob_writer {
	struct blob_store *store;
	int fd;
	char name[BLOB_NAME_SIZE]; /* "" once it is staged */
	struct digest_ctx hash;
	uint64_t size;
	struct codec *codec; /* NULL: raw */
};

struct codec *codec_take(struct blob_store *s)
{
	struct codec *c;

	lock_take(&s->lock);
	c = s->codecs;
	if (c)
		s->codecs = c->next;
	lock_drop(&s->lock);
	if (c)
		return c;
	c = xmalloc(sizeof *c);
	c->cctx = ZSTD_createCCtx();
	assert(c->cctx);
	ZSTD_CCtx_setParameter(c->cctx, ZSTD_c_compressionLevel, LEVEL);
	return c;
}

static void codec_free(struct codec *c)
{
	ZSTD_freeCCtx(c->cctx);
	free(c);
}

void codec_give(struct blob_store *s, struct codec *c)
{
	int n = 0;

	ZSTD_CCtx_reset(c->cctx, ZSTD_reset_session_only);
	lock_take(&s->lock);
	for (struct codec *f = s->codecs; f; f = f->next)
		n++;
	if (n < MAX_FREE_CODECS) {
		c->next = s->codecs;
		s->codecs = c;
		c = NULL;
	}
	lock_drop(&s->lock);
	if (c)
		codec_free(c);
}

void codecs_free(struct blob_store *s)
{
	while (s->codecs) {
		struct codec *c = s->codecs;

		s->codecs = c->next;
		codec_free(c);
	}
}

/* Magic, encoding and three zeros, size, CRC-32C of these twelve bytes. */
void blob_header_pack(const struct blob_header *h, uint8_t ret[BLOB_HEADER_SIZE])
{
	uint32_t size = htole32(h->size), crc;

	memset(ret, 0, BLOB_HEADER_SIZE);
	memcpy(ret, magic, sizeof magic);
	ret[4] = (uint8_t)h->encoding;
	memcpy(ret + 8, &size, sizeof size);
	crc = htole32(crc32c(0, ret, 12));
	memcpy(ret + 12, &crc, sizeof crc);
}

int blob_header_parse(const uint8_t data[BLOB_HEADER_SIZE], struct blob_header *ret)
{
	uint32_t size, crc;

	memcpy(&size, data + 8, sizeof size);
	memcpy(&crc, data + 12, sizeof crc);
	if (memcmp(data, magic, sizeof magic) != 0 || le32toh(crc) != crc32c(0, data, 12) ||
	    data[4] > BLOB_ZSTD || le32toh(size) > BLOB_MAX_SIZE)
		return -1;
	*ret = (struct blob_header){ .encoding = data[4], .size = le32toh(size) };
	return 0;
}

struct blob_writer *blob_writer_new(struct blob_store *s, struct error *err)
{
	cleanup(blob_writer_freep) struct blob_writer *w = xcalloc(1, sizeof *w);
	char name[BLOB_NAME_SIZE];

	w->store = s;
	blob_temporary_name(s, name);
	w->fd = openat(s->root, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (w->fd < 0)
		return error_errno(err, "creating '%s/%s'", s->dir, name), NULL;
	memcpy(w->name, name, sizeof name);
	if (lseek(w->fd, BLOB_HEADER_SIZE, SEEK_SET) < 0)
		return error_errno(err, "seeking in '%s/%s'", s->dir, name), NULL;
	digest_begin(&w->hash);
	return steal(w);
}

void blob_writer_free(struct blob_writer *w)
{
	if (!w)
		return;
	if (w->name[0])
		unlinkat(w->store->root, w->name, 0);
	if (w->codec)
		codec_give(w->store, w->codec);
	digest_release(&w->hash);
	closep(&w->fd);
	free(w);
}

static bool compression_pays(struct codec *c, const void *data, size_t len)
{
	size_t probe = MIN(len, (size_t)PROBE_MAX), n;

	if (len < PROBE_MIN)
		return false;
	n = ZSTD_compress2(c->cctx, c->out, sizeof c->out, data, probe);
	ZSTD_CCtx_reset(c->cctx, ZSTD_reset_session_only);
	return !ZSTD_isError(n) && n < probe - probe / 5;
}

/* One call for many pieces: a file system pays for each, and again for each page that a piece ends
 * or begins within. */
static int write_some(int fd, const struct iovec *parts, size_t n, size_t *ret)
{
	ssize_t r;

	do
		r = writev(fd, parts, (int)MIN(n, (size_t)IOV_MAX));
	while (r < 0 && errno == EINTR);
	*ret = r < 0 ? 0 : (size_t)r;
	return r < 0 ? -1 : 0;
}

static int write_parts(struct blob_writer *w, const struct iovec *parts, size_t n,
		       struct error *err)
{
	size_t wrote, skip = 0;
	int r = 0;

	if (n && FAULT_SHORT("blob.write", w->fd, parts->iov_base, parts->iov_len))
		r = -1;
	while (r == 0 && n) {
		struct iovec first = { (char *)parts->iov_base + skip, parts->iov_len - skip };

		/* after a short write, the rest of the piece that it ended in comes alone */
		r = skip ? write_some(w->fd, &first, 1, &wrote)
			 : write_some(w->fd, parts, n, &wrote);
		for (wrote += skip, skip = 0; n && wrote >= parts->iov_len; parts++, n--)
			wrote -= parts->iov_len;
		skip = wrote;
	}
	return r < 0 ? error_errno(err, "writing '%s/%s'", w->store->dir, w->name) : 0;
}

static int write_out(struct blob_writer *w, const void *data, size_t len, struct error *err)
{
	const struct iovec part = { (void *)data, len };

	return write_parts(w, &part, 1, err);
}

/* Compresses data, and with ZSTD_e_end all that the compressor still holds. */
static int compress_out(struct blob_writer *w, const void *data, size_t len, ZSTD_EndDirective end,
			struct error *err)
{
	ZSTD_inBuffer in = { data, len, 0 };
	size_t left;

	do {
		ZSTD_outBuffer out = { w->codec->out, OUT_SIZE, 0 };

		left = ZSTD_compressStream2(w->codec->cctx, &out, &in, end);
		if (ZSTD_isError(left))
			return error_set(err, ERR_INTERNAL, "compressing: %s",
					 ZSTD_getErrorName(left));
		if (out.pos && write_out(w, out.dst, out.pos, err) < 0)
			return -1;
	} while (end == ZSTD_e_end ? left != 0 : in.pos < in.size);
	return 0;
}

/* Asks the first piece that is long enough. */
static void choose_codec(struct blob_writer *w, const struct iovec *parts, size_t n)
{
	struct codec *c;

	while (n && parts->iov_len < PROBE_MIN)
		parts++, n--;
	if (w->size || !n)
		return;
	c = codec_take(w->store);
	if (compression_pays(c, parts->iov_base, parts->iov_len))
		w->codec = c;
	else
		codec_give(w->store, c);
}

int blob_writev(struct blob_writer *w, const struct iovec *parts, size_t n, struct error *err)
{
	size_t len = 0;

	assert(w->name[0]);
	for (size_t i = 0; i < n; i++)
		len += parts[i].iov_len;
	if (len > BLOB_MAX_SIZE - w->size)
		return error_set(err, ERR_EXHAUSTED, "a blob has at most %d bytes", BLOB_MAX_SIZE);
	if (len == 0)
		return 0;
	choose_codec(w, parts, n);
	w->size += len;
	for (size_t i = 0; i < n; i++) {
		digest_update(&w->hash, parts[i].iov_base, parts[i].iov_len);
		if (w->codec &&
		    compress_out(w, parts[i].iov_base, parts[i].iov_len, ZSTD_e_continue, err) < 0)
			return -1;
	}
	return w->codec ? 0 : write_parts(w, parts, n, err);
}

int blob_write(struct blob_writer *w, const void *data, size_t len, struct error *err)
{
	const struct iovec part = { (void *)data, len };

	return blob_writev(w, &part, 1, err);
}

/* Ends the file: what the compressor holds, the header, the time that collections go by. */
static int end_file(struct blob_writer *w, struct error *err)
{
	struct blob_header h = { .encoding = w->codec ? BLOB_ZSTD : BLOB_RAW,
				 .size = (uint32_t)w->size };
	struct timespec now = blob_now(w->store), times[2] = { now, now };
	uint8_t header[BLOB_HEADER_SIZE];

	if (w->codec && compress_out(w, NULL, 0, ZSTD_e_end, err) < 0)
		return -1;
	blob_header_pack(&h, header);
	if (file_pwrite_all(w->fd, header, sizeof header, 0, err) < 0)
		return error_wrap(err, "writing '%s/%s'", w->store->dir, w->name);
	if (futimens(w->fd, times) < 0)
		return error_errno(err, "setting the time of '%s/%s'", w->store->dir, w->name);
	if (w->size >= EARLY)
		sync_file_range(w->fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* only a head start */
	return 0;
}

int blob_commit(struct blob_writer *w, const struct digest *expect, struct digest *ret_digest,
		struct error *err)
{
	char wanted[DIGEST_HEX_SIZE], got[DIGEST_HEX_SIZE];
	struct digest digest;

	assert(w->name[0]);
	digest_finish(&w->hash, &digest);
	if (expect && !digest_equal(expect, &digest))
		return error_set(err, ERR_CORRUPT, "the bytes are '%s', not '%s'",
				 digest_hex(&digest, got), digest_hex(expect, wanted));
	if (end_file(w, err) < 0 || blob_stage(w->store, &digest, w->name, err) < 0)
		return -1;
	w->name[0] = '\0';
	if (ret_digest)
		*ret_digest = digest;
	return 0;
}

int blob_put(struct blob_store *s, const struct digest *digest, const void *data, size_t len,
	     struct error *err)
{
	cleanup(blob_writer_freep) struct blob_writer *w = NULL;
	char wanted[DIGEST_HEX_SIZE], got[DIGEST_HEX_SIZE];

	if (blob_pin(s, digest)) {
		struct digest actual = digest_of(data, len);

		if (digest_equal(&actual, digest))
			return 0;
		return error_set(err, ERR_CORRUPT, "the bytes are '%s', not '%s'",
				 digest_hex(&actual, got), digest_hex(digest, wanted));
	}
	w = blob_writer_new(s, err);
	if (!w || blob_write(w, data, len, err) < 0)
		return -1;
	return blob_commit(w, digest, NULL, err);
}
