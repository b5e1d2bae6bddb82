/*
 * Downloads: manifest, then chunks, each hashed again before any of it is sent. A digest is not a
 * capability: an agent gets what its attempt reads or its environment runs, a user what a viewer
 * may see.
 */
#include <string.h>

#include "blob/manifest.h"
#include "controller/api/private.h"
#include "controller/model/agents.h"

enum { PART = 256 << 10, CHUNK_LIMIT = 8 << 20 };

static int may_read(struct rpc_call *call, const Sluice__V1__DownloadRequest *request,
		    struct error *err)
{
	const struct identity *who = identity_of(call);
	struct agent_access ask = { .agent = who->agent,
				    .wish = AGENT_MAY_DOWNLOAD,
				    .fence = request->fence,
				    .environment = request->environment,
				    .digest = request->digest };
	struct agent_grant grant;

	if (!who->is_agent)
		return 0;
	return agent_may(api_of(call), &ask, &grant, err);
}

static int send_manifest(struct rpc_call *call, const struct buf *packed, struct error *err)
{
	for (size_t at = 0; at < packed->len; at += PART) {
		Sluice__V1__DownloadReply reply = SLUICE__V1__DOWNLOAD_REPLY__INIT;

		reply.manifest.data = (uint8_t *)packed->data + at;
		reply.manifest.len = MIN(packed->len - at, (size_t)PART);
		reply.manifest_size = at ? 0 : (uint32_t)packed->len;
		if (rpc_send(call, &reply, err) < 0)
			return -1;
	}
	return 0;
}

/* A chunk's bytes, until gRPC has sent the last part. */
struct held {
	struct buf bytes;
	int uses; /* atomic */
};

static void held_drop(void *arg)
{
	struct held *h = arg;

	if (__atomic_sub_fetch(&h->uses, 1, __ATOMIC_ACQ_REL))
		return;
	buf_release(&h->bytes);
	free(h);
}

static int send_parts(struct rpc_call *call, uint32_t chunk, struct held *h, struct error *err)
{
	for (size_t at = 0; at < h->bytes.len; at += PART) {
		Sluice__V1__DownloadReply reply = SLUICE__V1__DOWNLOAD_REPLY__INIT;
		struct rpc_tail tail = { .field = 15,
					 .data = h->bytes.data + at,
					 .len = MIN(h->bytes.len - at, (size_t)PART),
					 .release = held_drop,
					 .arg = h };

		reply.chunk = chunk;
		reply.offset = (uint32_t)at;
		__atomic_add_fetch(&h->uses, 1, __ATOMIC_RELAXED);
		if (rpc_send_tail(call, &reply, &tail, err) < 0)
			return -1;
	}
	return 0;
}

static int send_chunk(struct rpc_call *call, const struct manifest *m, uint32_t chunk,
		      struct error *err)
{
	struct held *h = xcalloc(1, sizeof *h);
	int r;

	h->uses = 1;
	r = blob_read(api_of(call)->blobs, &m->chunks[chunk].digest, CHUNK_LIMIT, &h->bytes, err);
	if (r == 0)
		r = send_parts(call, chunk, h, err);
	held_drop(h);
	return r;
}

int artifacts_download(struct rpc_call *call, const Sluice__V1__DownloadRequest *request,
		       struct error *err)
{
	struct api *api = api_of(call);
	cleanup(buf_release) struct buf packed = { 0 };
	cleanup(manifest_release) struct manifest m = { 0 };
	struct digest digest;

	if (digest_parse(request->digest, &digest, err) < 0 || may_read(call, request, err) < 0)
		return -1;
	if (blob_read(api->blobs, &digest, MANIFEST_MAX_BYTES, &packed, err) < 0)
		return -1;
	/* Not every blob is a manifest: this is where a digest of something else ends. */
	if (manifest_parse(packed.data, packed.len, &m, err) < 0)
		return error_id(err, "E0204", "'%s' is no artifact", request->digest);
	if (!request->n_chunks && send_manifest(call, &packed, err) < 0)
		return -1;
	if (request->manifest_only)
		return 0;
	for (size_t i = 0; i < (request->n_chunks ? request->n_chunks : m.n_chunks); i++) {
		uint32_t chunk = request->n_chunks ? request->chunks[i] : (uint32_t)i;

		if (chunk >= m.n_chunks)
			return error_set(err, ERR_INVALID, "chunk %u of %zu", chunk, m.n_chunks);
		if (send_chunk(call, &m, chunk, err) < 0)
			return -1;
	}
	return 0;
}
