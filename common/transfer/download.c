/*
 * Downloading into a chunk store. The manifest comes first, unless it is there; then, in as few
 * calls as messages allow, the chunks that are not. A chunk is put together in memory, verified by
 * the store, and kept, so that a download that broke goes on where it was.
 */
#include "transfer/transfer.h"

#include <string.h>

#include "base/buf.h"
#include "base/fault.h"
#include "blob/chunker.h"
#include "blob/manifest.h"
#include "transfer/retry.h"

enum { CALL_CHUNKS = 8192 }; /* indexes in one request */

struct downloading {
	const struct transfer *transfer;
	const struct download *what;
	struct blob_store *cache;
	uint64_t received;
};

static struct rpc_call *ask(struct downloading *d, bool manifest_only, uint32_t *chunks,
			    size_t n_chunks, struct error *err)
{
	Sluice__V1__DownloadRequest request = SLUICE__V1__DOWNLOAD_REQUEST__INIT;
	struct rpc_call *call =
		rpc_open(d->transfer->channel, &sluice__v1__artifacts__descriptor, "Download", err);
	struct error ignored = { 0 };
	char text[DIGEST_TEXT_SIZE];

	if (!call)
		return NULL;
	request.digest = digest_format(&d->what->artifact, text);
	request.fence = d->what->fence;
	if (d->what->environment)
		request.environment = (char *)d->what->environment;
	request.manifest_only = manifest_only;
	request.chunks = chunks;
	request.n_chunks = n_chunks;
	/* when sending fails the status, which is received, says why */
	if (rpc_send(call, &request, &ignored) == 0)
		rpc_done_sending(call, &ignored);
	return call;
}

static int fetch_manifest(struct downloading *d, struct buf *ret, struct error *err)
{
	cleanup(rpc_closep) struct rpc_call *call = ask(d, true, NULL, 0, err);
	const Sluice__V1__DownloadReply *reply;
	int r;

	if (!call)
		return -1;
	while ((r = rpc_recv(call, &reply, err)) > 0) {
		if (ret->len + reply->manifest.len > MANIFEST_MAX_BYTES)
			return error_set(err, ERR_EXHAUSTED, "a manifest above %d bytes",
					 MANIFEST_MAX_BYTES);
		buf_add(ret, reply->manifest.data, reply->manifest.len);
		d->received += reply->manifest.len;
	}
	if (r < 0)
		return -1;
	return blob_put(d->cache, &d->what->artifact, ret->data, ret->len, err);
}

/* One part into the chunk that is being put together; a whole chunk goes into the store. */
static int take(struct downloading *d, const struct manifest *m,
		const Sluice__V1__DownloadReply *part, const struct rpc_bytes *data,
		struct buf *chunk, struct error *err)
{
	if (part->chunk >= m->n_chunks || part->offset != chunk->len ||
	    chunk->len + data->len > m->chunks[part->chunk].size)
		return error_set(err, ERR_INVALID, "a part that does not fit: chunk %u, offset %u",
				 part->chunk, part->offset);
	for (unsigned i = 0; i < data->n_parts; i++)
		buf_add(chunk, data->parts[i].iov_base, data->parts[i].iov_len);
	d->received += data->len;
	if (chunk->len < m->chunks[part->chunk].size)
		return 0;
	if (blob_put(d->cache, &m->chunks[part->chunk].digest, chunk->data, chunk->len, err) < 0)
		return -1;
	buf_clear(chunk);
	return 0;
}

static int fetch_chunks(struct downloading *d, const struct manifest *m, uint32_t *indexes,
			size_t n, struct error *err)
{
	cleanup(rpc_closep) struct rpc_call *call = ask(d, false, indexes, n, err);
	cleanup(buf_release) struct buf chunk = { 0 };
	const Sluice__V1__DownloadReply *reply;
	struct rpc_bytes data;
	int r;

	if (!call)
		return -1;
	buf_reserve(&chunk, CHUNK_MAX);
	while ((r = rpc_recv_tail(call, &reply, 15, &data, err)) > 0) {
		const struct transfer *t = d->transfer;

		if (t->cancelled && t->cancelled(t->cancelled_arg))
			return error_set(err, ERR_CANCELLED, "the download was cancelled");
		if (FAULT_POINT("download.part"))
			return error_set(err, ERR_UNAVAILABLE, "fault");
		if (take(d, m, reply, &data, &chunk, err) < 0)
			return -1;
	}
	if (r == 0 && chunk.len)
		return error_set(err, ERR_ABORTED, "the download ended within a chunk");
	return r;
}

/* Chunks to ask for in one call. */
struct wanted {
	uint32_t indexes[CALL_CHUNKS];
	size_t n;
	uint32_t seen[4 * CALL_CHUNKS]; /* by digest: an index + 1, or 0 */
};

/* Zeros, say, are the same chunk many times over: it is asked for once. */
static void want(struct wanted *w, const struct manifest *m, size_t index)
{
	const struct digest *digest = &m->chunks[index].digest;
	size_t at;

	memcpy(&at, digest->bytes, sizeof at);
	for (;; at++) {
		uint32_t *slot = &w->seen[at % ARRAY_SIZE(w->seen)];

		if (!*slot) {
			*slot = (uint32_t)index + 1;
			w->indexes[w->n++] = (uint32_t)index;
			return;
		}
		if (digest_equal(&m->chunks[*slot - 1].digest, digest))
			return;
	}
}

static int fetch_missing(struct downloading *d, const struct manifest *m, struct error *err)
{
	cleanup(freep) struct wanted *w = xcalloc(1, sizeof *w);

	for (size_t i = 0; i < m->n_chunks; i++) {
		if (!blob_pin(d->cache, &m->chunks[i].digest))
			want(w, m, i);
		if (w->n && (w->n == CALL_CHUNKS || i + 1 == m->n_chunks)) {
			if (fetch_chunks(d, m, w->indexes, w->n, err) < 0)
				return -1;
			memset(w, 0, sizeof *w);
		}
	}
	return 0;
}

static int fetch_once(void *arg, uint64_t *ret_progress, struct error *err)
{
	struct downloading *d = arg;
	cleanup(manifest_release) struct manifest m = { 0 };
	cleanup(buf_release) struct buf packed = { 0 };
	uint64_t before = d->received;
	int r;

	if (!blob_pin(d->cache, &d->what->artifact) ||
	    ((r = blob_read(d->cache, &d->what->artifact, MANIFEST_MAX_BYTES, &packed, err)) < 0 &&
	     err->code == ERR_CORRUPT)) /* it is put aside, and comes again */
		r = fetch_manifest(d, &packed, err);
	if (r == 0)
		r = manifest_parse(packed.data, packed.len, &m, err);
	if (r == 0)
		r = fetch_missing(d, &m, err);
	*ret_progress = d->received - before;
	return r;
}

int transfer_fetch(const struct transfer *t, const struct download *what, struct blob_store *cache,
		   uint64_t *ret_received, struct error *err)
{
	struct downloading d = { .transfer = t, .what = what, .cache = cache };
	char text[DIGEST_TEXT_SIZE];

	if (transfer_retry(t, fetch_once, &d, err) < 0)
		return error_wrap(err, "downloading %s", digest_format(&what->artifact, text));
	if (ret_received)
		*ret_received = d.received;
	return 0;
}
