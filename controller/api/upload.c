/*
 * Uploads. A window of digests is answered by a bitmap of those that are missing; their parts
 * arrive in order, chunk after chunk, and go into the store as they come, so one chunk's writer is
 * all that is held. Nothing is visible before the commit: all chunks verified and synced, then the
 * row.
 */
#include <string.h>

#include "base/file.h"
#include "blob/manifest.h"
#include "controller/api/private.h"
#include "controller/model/agents.h"
#include "controller/model/artifacts.h"

enum {
	WINDOW = 256,
	PART_MAX = 256 << 10,
	ACK_EVERY = 1 << 20, /* bytes of parts between two words of progress */
};

struct uploading {
	struct rpc_call *call;
	struct api *api;
	Sluice__V1__UploadStart *start; /* a copy */
	struct digest digests[WINDOW];
	uint32_t sizes[WINDOW];
	uint8_t need[WINDOW / 8];
	size_t n;
	uint32_t chunk;		    /* whose parts come now */
	struct blob_writer *writer; /* of that chunk, or NULL */
	uint32_t written;
	uint64_t received, acknowledged;
};

static void uploading_release(struct uploading *u)
{
	message_free(u->start);
	blob_writer_free(u->writer);
}

static int send_progress(struct uploading *u, struct error *err)
{
	Sluice__V1__UploadReply reply = SLUICE__V1__UPLOAD_REPLY__INIT;

	reply.body_case = SLUICE__V1__UPLOAD_REPLY__BODY_RECEIVED;
	reply.received = u->acknowledged = u->received;
	return rpc_send(u->call, &reply, err);
}

/* ---- start: who, and what for ---- */

static int begin(struct uploading *u, const Sluice__V1__UploadStart *start, struct error *err)
{
	const struct identity *who = identity_of(u->call);

	if (u->start)
		return error_set(err, ERR_INVALID, "an upload begins once");
	if (!name_valid(start->name))
		return error_id(err, "E0110", "'%.130s' is not a name for an artifact",
				start->name);
	if (who->is_agent) {
		struct agent_access ask = { .agent = who->agent,
					    .wish = AGENT_MAY_UPLOAD,
					    .fence = start->fence,
					    .environment = "",
					    .digest = "" };
		struct agent_grant grant;

		if (agent_may(u->api, &ask, &grant, err) < 0)
			return -1;
	} else if (start->fence) {
		return error_set(err, ERR_INVALID, "only agents upload for an attempt");
	}
	u->start = message_copy(start);
	return 0;
}

/* ---- have: which are missing ---- */

static int have(struct uploading *u, const Sluice__V1__UploadHave *have, struct error *err)
{
	Sluice__V1__UploadReply reply = SLUICE__V1__UPLOAD_REPLY__INIT;

	if (u->writer)
		return error_set(err, ERR_INVALID, "a chunk was left half sent");
	if (have->n_digests != have->n_sizes || !have->n_digests || have->n_digests > WINDOW)
		return error_set(err, ERR_INVALID, "a window of %zu digests and %zu sizes",
				 have->n_digests, have->n_sizes);
	memset(u->need, 0, sizeof u->need);
	u->n = have->n_digests;
	for (size_t i = 0; i < u->n; i++) {
		if (digest_from_bytes(have->digests[i].data, have->digests[i].len, &u->digests[i],
				      err) < 0)
			return -1;
		u->sizes[i] = have->sizes[i];
		if (!u->sizes[i] || u->sizes[i] > BLOB_MAX_SIZE)
			return error_set(err, ERR_INVALID, "a chunk of %u bytes", u->sizes[i]);
		if (!blob_pin(u->api->blobs, &u->digests[i])) /* pins what is there */
			u->need[i / 8] |= (uint8_t)BIT(i % 8);
	}
	reply.body_case = SLUICE__V1__UPLOAD_REPLY__BODY_NEED;
	reply.need.data = u->need;
	reply.need.len = (u->n + 7) / 8;
	return rpc_send(u->call, &reply, err);
}

/* ---- parts ---- */

static int chunk_done(struct uploading *u, struct error *err)
{
	int r = blob_commit(u->writer, &u->digests[u->chunk], NULL, err);

	blob_writer_free(steal(u->writer));
	return r;
}

static int part(struct uploading *u, const Sluice__V1__UploadRequest *m,
		const struct rpc_bytes *data, struct error *err)
{
	if (m->chunk >= u->n || !(u->need[m->chunk / 8] & BIT(m->chunk % 8)) ||
	    data->len > PART_MAX)
		return error_set(err, ERR_INVALID, "a part of chunk %u, which was not needed",
				 m->chunk);
	if (!u->writer) {
		u->writer = blob_writer_new(u->api->blobs, err);
		u->chunk = m->chunk;
		u->written = 0;
		if (!u->writer)
			return -1;
	}
	if (m->chunk != u->chunk || m->offset != u->written ||
	    data->len > u->sizes[u->chunk] - u->written)
		return error_set(err, ERR_INVALID, "parts out of order: chunk %u, offset %u",
				 m->chunk, m->offset);
	if (blob_writev(u->writer, data->parts, data->n_parts, err) < 0)
		return -1;
	u->written += (uint32_t)data->len;
	u->received += data->len;
	if (u->written == u->sizes[u->chunk] && chunk_done(u, err) < 0)
		return -1;
	return u->received - u->acknowledged >= ACK_EVERY ? send_progress(u, err) : 0;
}

/* ---- commit ---- */

/* The manifest, from the message or, when it was too large for one, from the store. */
static int read_manifest(struct uploading *u, const Sluice__V1__UploadCommit *commit,
			 struct buf *packed, struct manifest *m, struct error *err)
{
	struct digest named;

	if (commit->manifest.len)
		buf_add(packed, commit->manifest.data, commit->manifest.len);
	else if (digest_parse(commit->digest, &named, err) < 0 ||
		 blob_read(u->api->blobs, &named, MANIFEST_MAX_BYTES, packed, err) < 0)
		return -1;
	return manifest_parse(packed->data, packed->len, m, err);
}

/* Every chunk must be there, and is synced; those that another upload removed meanwhile are not. */
static int make_durable(struct uploading *u, const struct buf *packed, const struct manifest *m,
			struct digest *ret, struct error *err)
{
	cleanup(freep) struct digest *all = xcalloc(m->n_chunks + 1, sizeof *all);

	*ret = manifest_digest(m);
	for (size_t i = 0; i < m->n_chunks; i++)
		all[i] = m->chunks[i].digest;
	all[m->n_chunks] = *ret;
	if (blob_put(u->api->blobs, ret, packed->data, packed->len, err) < 0)
		return -1;
	return blob_sync(u->api->blobs, all, m->n_chunks + 1, err);
}

static int commit(struct uploading *u, const Sluice__V1__UploadCommit *commit, struct error *err)
{
	const struct identity *who = identity_of(u->call);
	cleanup(message_freep) Sluice__V1__Artifact *artifact = NULL;
	cleanup(buf_release) struct buf packed = { 0 };
	cleanup(manifest_release) struct manifest m = { 0 };
	Sluice__V1__UploadReply reply = SLUICE__V1__UPLOAD_REPLY__INIT;
	struct artifact_commit ask = { .agent = who->is_agent ? who->agent : NULL,
				       .caller = who->is_agent ? NULL : &who->caller,
				       .start = u->start,
				       .commit = commit };
	struct digest digest;
	char text[DIGEST_TEXT_SIZE];

	if (u->writer)
		return error_set(err, ERR_INVALID, "a chunk was left half sent");
	if (read_manifest(u, commit, &packed, &m, err) < 0)
		return -1;
	if (make_durable(u, &packed, &m, &digest, err) < 0) {
		if (err->code == ERR_NOT_FOUND) /* a chunk is gone since it was asked for */
			err->code = ERR_ABORTED;
		return -1;
	}
	ask.digest = digest_format(&digest, text);
	ask.size = m.size;
	if (engine_ask_urgent(u->api->engine, artifacts_commit, &ask, &artifact, err) < 0)
		return -1;
	reply.body_case = SLUICE__V1__UPLOAD_REPLY__BODY_COMMITTED;
	reply.committed = artifact;
	return rpc_send(u->call, &reply, err);
}

int artifacts_upload(struct rpc_call *call, struct error *err)
{
	cleanup(uploading_release) struct uploading u = { .call = call, .api = api_of(call) };
	const Sluice__V1__UploadRequest *m;
	struct rpc_bytes data;
	int r;

	while ((r = rpc_recv_tail(call, &m, 15, &data, err)) > 0) {
		if (!m->start && !u.start)
			return error_set(err, ERR_INVALID, "an upload begins with `start`");
		if (m->start)
			r = begin(&u, m->start, err);
		else if (m->have)
			r = have(&u, m->have, err);
		else if (m->commit)
			return commit(&u, m->commit, err);
		else
			r = part(&u, m, &data, err);
		if (r < 0)
			return -1;
	}
	return r < 0 ? -1 : error_set(err, ERR_ABORTED, "the upload ended without a commit");
}
