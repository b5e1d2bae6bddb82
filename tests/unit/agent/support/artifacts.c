/*
 * The other half of an upload and a download, as plain as it can be.
 */
#include <assert.h>
#include <string.h>

#include "blob/manifest.h"
#include "proto/message.h"
#include "stand_private.h"

enum { HAVE_MAX = 256 };

struct taking {
	struct stand *stand;
	struct rpc_call *call;
	struct digest digests[HAVE_MAX];
	uint32_t sizes[HAVE_MAX];
	struct buf parts[HAVE_MAX];
	size_t n;
	uint64_t received;
	char name[256];
};

static void taking_release(struct taking *t)
{
	for (size_t i = 0; i < HAVE_MAX; i++)
		buf_release(&t->parts[i]);
}

static int take_have(struct taking *t, const Sluice__V1__UploadHave *have, struct error *err)
{
	Sluice__V1__UploadReply reply = SLUICE__V1__UPLOAD_REPLY__INIT;
	uint8_t bits[HAVE_MAX / 8] = { 0 };

	assert(have->n_digests == have->n_sizes && have->n_digests <= HAVE_MAX);
	t->n = have->n_digests;
	for (size_t i = 0; i < t->n; i++) {
		assert(have->digests[i].len == DIGEST_SIZE);
		memcpy(t->digests[i].bytes, have->digests[i].data, DIGEST_SIZE);
		t->sizes[i] = have->sizes[i];
		buf_clear(&t->parts[i]);
		if (!blob_pin(t->stand->store, &t->digests[i]))
			bits[i / 8] |= (uint8_t)BIT(i % 8);
	}
	reply.body_case = SLUICE__V1__UPLOAD_REPLY__BODY_NEED;
	reply.need.data = bits;
	reply.need.len = (t->n + 7) / 8;
	return rpc_send(t->call, &reply, err);
}

static int take_part(struct taking *t, const Sluice__V1__UploadRequest *m, struct error *err)
{
	Sluice__V1__UploadReply reply = SLUICE__V1__UPLOAD_REPLY__INIT;
	struct buf *part = &t->parts[m->chunk];

	assert(m->chunk < t->n && m->offset == part->len && m->data.len <= 256 << 10);
	buf_add(part, m->data.data, m->data.len);
	t->received += m->data.len;
	lock_take(&t->stand->lock);
	t->stand->uploaded += m->data.len;
	lock_drop(&t->stand->lock);
	if (part->len == t->sizes[m->chunk] &&
	    blob_put(t->stand->store, &t->digests[m->chunk], part->data, part->len, err) < 0)
		return -1;
	reply.body_case = SLUICE__V1__UPLOAD_REPLY__BODY_RECEIVED;
	reply.received = t->received;
	return rpc_send(t->call, &reply, err);
}

static int take_commit(struct taking *t, const Sluice__V1__UploadCommit *commit, struct error *err)
{
	Sluice__V1__UploadReply reply = SLUICE__V1__UPLOAD_REPLY__INIT;
	Sluice__V1__Artifact artifact = SLUICE__V1__ARTIFACT__INIT;
	cleanup(manifest_release) struct manifest m = { 0 };
	cleanup(buf_release) struct buf packed = { 0 };
	struct digest digest;

	if (digest_parse(commit->digest, &digest, err) < 0)
		return -1;
	if (commit->manifest.len) {
		if (blob_put(t->stand->store, &digest, commit->manifest.data, commit->manifest.len,
			     err) < 0)
			return -1;
	}
	if (blob_read(t->stand->store, &digest, MANIFEST_MAX_BYTES, &packed, err) < 0 ||
	    manifest_parse(packed.data, packed.len, &m, err) < 0)
		return -1;
	for (size_t i = 0; i < m.n_chunks; i++)
		if (!blob_has(t->stand->store, &m.chunks[i].digest))
			return error_set(err, ERR_CONFLICT, "chunk %zu is missing", i);
	artifact.id = (char *)"artifact";
	artifact.digest = commit->digest;
	artifact.name = t->name;
	artifact.size = m.size;
	artifact.meta = commit->meta;
	artifact.n_meta = commit->n_meta;
	reply.body_case = SLUICE__V1__UPLOAD_REPLY__BODY_COMMITTED;
	reply.committed = &artifact;
	return rpc_send(t->call, &reply, err);
}

static int take_upload(struct taking *t, struct error *err)
{
	const Sluice__V1__UploadRequest *m;
	bool cut;
	int r;

	while ((r = rpc_recv(t->call, &m, err)) > 0) {
		lock_take(&t->stand->lock);
		cut = stand_cut(&t->stand->upload_messages, t->stand->cut_uploads);
		lock_drop(&t->stand->lock);
		if (cut)
			return error_set(err, ERR_UNAVAILABLE, "cut");
		if (m->start)
			memcpy(t->name, m->start->name, strlen(m->start->name) + 1);
		if (m->have && take_have(t, m->have, err) < 0)
			return -1;
		if (m->data.len && take_part(t, m, err) < 0)
			return -1;
		if (m->commit)
			return take_commit(t, m->commit, err);
	}
	return r;
}

static int upload(struct rpc_call *call, struct error *err)
{
	struct stand *s = rpc_self(call);
	struct taking *t = xcalloc(1, sizeof *t);
	bool refuse;
	int r;

	t->stand = s;
	t->call = call;
	lock_take(&s->lock);
	s->uploads++;
	refuse = s->refuse_uploads;
	lock_drop(&s->lock);
	r = refuse ? error_set(err, ERR_DENIED, "not yours") : take_upload(t, err);
	taking_release(t);
	free(t);
	return r;
}

static int give(struct stand *s, struct rpc_call *call, Sluice__V1__DownloadReply *reply,
		struct error *err)
{
	bool cut;

	lock_take(&s->lock);
	cut = stand_cut(&s->download_messages, s->cut_downloads);
	s->downloaded += reply->data.len;
	if (s->flip_downloads && reply->data.len)
		reply->data.data[0] ^= 1;
	lock_drop(&s->lock);
	if (cut)
		return error_set(err, ERR_UNAVAILABLE, "cut");
	return rpc_send(call, reply, err);
}

static int give_manifest(struct stand *s, struct rpc_call *call, const struct buf *packed,
			 struct error *err)
{
	for (size_t at = 0; at < packed->len; at += 256 << 10) {
		Sluice__V1__DownloadReply reply = SLUICE__V1__DOWNLOAD_REPLY__INIT;

		reply.manifest.data = (uint8_t *)packed->data + at;
		reply.manifest.len = MIN(packed->len - at, (size_t)(256 << 10));
		if (give(s, call, &reply, err) < 0)
			return -1;
	}
	return 0;
}

static int give_chunk(struct stand *s, struct rpc_call *call, const struct manifest *m,
		      uint32_t index, struct error *err)
{
	cleanup(buf_release) struct buf chunk = { 0 };

	assert(index < m->n_chunks);
	if (blob_read(s->store, &m->chunks[index].digest, BLOB_MAX_SIZE, &chunk, err) < 0)
		return -1;
	for (size_t at = 0; at < chunk.len; at += 200 << 10) {
		Sluice__V1__DownloadReply reply = SLUICE__V1__DOWNLOAD_REPLY__INIT;

		reply.chunk = index;
		reply.offset = (uint32_t)at;
		reply.data.data = (uint8_t *)chunk.data + at;
		reply.data.len = MIN(chunk.len - at, (size_t)(200 << 10));
		if (give(s, call, &reply, err) < 0)
			return -1;
	}
	return 0;
}

static int download(struct rpc_call *call, const Sluice__V1__DownloadRequest *request,
		    struct error *err)
{
	struct stand *s = rpc_self(call);
	cleanup(manifest_release) struct manifest m = { 0 };
	cleanup(buf_release) struct buf packed = { 0 };
	struct digest digest;

	lock_take(&s->lock);
	s->downloads++;
	lock_drop(&s->lock);
	if (digest_parse(request->digest, &digest, err) < 0 ||
	    blob_read(s->store, &digest, MANIFEST_MAX_BYTES, &packed, err) < 0 ||
	    manifest_parse(packed.data, packed.len, &m, err) < 0)
		return -1;
	if (request->manifest_only)
		return give_manifest(s, call, &packed, err);
	for (size_t i = 0; i < request->n_chunks; i++)
		if (give_chunk(s, call, &m, request->chunks[i], err) < 0)
			return -1;
	return 0;
}

const struct rpc_method stand_artifacts_api[] = {
	RPC_BIDI(AGENT, Upload, upload, Sluice__V1__UploadRequest, Sluice__V1__UploadReply),
	RPC_SERVER_STREAM(AGENT, Download, download, Sluice__V1__DownloadRequest,
			  Sluice__V1__DownloadReply),
	RPC_END
};
