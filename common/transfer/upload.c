/*
 * Uploading. A window of chunks is read, cut and hashed, its digests are sent, the answer says
 * which are missing, those follow as parts. The controller counts what it has taken, and at most
 * TRANSFER_WINDOW bytes are ahead of that. While parts travel the next window is read.
 */
#include "transfer/transfer.h"

#include <string.h>

#include "base/buf.h"
#include "base/fault.h"
#include "transfer/retry.h"

enum {
	WINDOW_CHUNKS = 64,
	INLINE_MANIFEST = 512 << 10,
};

/* A chunk's bytes, kept until gRPC has sent the last part of them. */
struct held {
	struct digest digest;
	size_t len;
	int uses; /* atomic */
	unsigned char data[];
};

struct window {
	struct held *chunks[WINDOW_CHUNKS];
	size_t n, bytes;
};

struct uploading {
	const struct transfer *transfer;
	const struct upload *what;
	struct rpc_call *call;
	uint64_t sent, taken;
	struct upload_stats stats;
	const Sluice__V1__Artifact *committed;
	struct arena *arena;
};

static void held_drop(void *arg)
{
	struct held *h = arg;

	if (__atomic_sub_fetch(&h->uses, 1, __ATOMIC_ACQ_REL) == 0)
		free(h);
}

static void window_clear(struct window *w)
{
	for (size_t i = 0; i < w->n; i++)
		held_drop(w->chunks[i]);
	w->n = w->bytes = 0;
}

static void window_add(struct window *w, const struct digest *digest, const void *data, size_t len)
{
	struct held *h = xmalloc(sizeof *h + len);

	h->digest = *digest;
	h->len = len;
	h->uses = 1;
	memcpy(h->data, data, len);
	w->chunks[w->n++] = h;
	w->bytes += len;
}

/* 1: there are chunks; 0: the source has ended. */
static int window_fill(struct window *w, struct source *source, struct error *err)
{
	struct source_chunk chunk;
	int r = 1;

	while (w->n < WINDOW_CHUNKS && w->bytes < TRANSFER_WINDOW / 2 &&
	       (r = source_next(source, &chunk, err)) > 0)
		window_add(w, &chunk.digest, chunk.data, chunk.len);
	return r < 0 ? -1 : w->n > 0;
}

/* It outlives the call. */
static int take_committed(struct uploading *u, const Sluice__V1__Artifact *artifact,
			  struct error *err)
{
	cleanup(buf_release) struct buf copy = { 0 };

	buf_reserve(&copy, sluice__v1__artifact__get_packed_size(artifact));
	copy.len = sluice__v1__artifact__pack(artifact, (uint8_t *)copy.data);
	u->committed = message_unpack(&sluice__v1__artifact__descriptor, u->arena, copy.data,
				      copy.len, err);
	return u->committed ? 0 : -1;
}

/* Takes one reply. *ret_need is set when it was one: it lives until the next. */
static int hear(struct uploading *u, const ProtobufCBinaryData **ret_need, struct error *err)
{
	const Sluice__V1__UploadReply *reply;
	int r = rpc_recv(u->call, &reply, err);

	if (r < 0)
		return -1;
	if (r == 0)
		return error_set(err, ERR_ABORTED, "the controller ended the upload early");
	switch (reply->body_case) {
	case SLUICE__V1__UPLOAD_REPLY__BODY_NEED:
		if (ret_need)
			*ret_need = &reply->need;
		return 0;
	case SLUICE__V1__UPLOAD_REPLY__BODY_RECEIVED:
		u->taken = reply->received;
		return 0;
	case SLUICE__V1__UPLOAD_REPLY__BODY_COMMITTED:
		return take_committed(u, reply->committed, err);
	default:
		return error_set(err, ERR_INVALID, "an upload reply of an unknown kind");
	}
}

static int send_chunk(struct uploading *u, uint32_t index, struct held *h, struct error *err)
{
	for (size_t at = 0; at < h->len; at += TRANSFER_PART) {
		Sluice__V1__UploadRequest part = SLUICE__V1__UPLOAD_REQUEST__INIT;
		struct rpc_tail tail = { .field = 15,
					 .data = h->data + at,
					 .len = MIN(h->len - at, (size_t)TRANSFER_PART),
					 .release = held_drop,
					 .arg = h };

		if (u->transfer->cancelled && u->transfer->cancelled(u->transfer->cancelled_arg))
			return error_set(err, ERR_CANCELLED, "the upload was cancelled");
		while (u->sent - u->taken > TRANSFER_WINDOW)
			if (hear(u, NULL, err) < 0)
				return -1;
		part.chunk = index;
		part.offset = (uint32_t)at;
		__atomic_add_fetch(&h->uses, 1, __ATOMIC_RELAXED);
		if (FAULT_POINT("upload.part"))
			return error_set(err, ERR_UNAVAILABLE, "fault");
		if (rpc_send_tail(u->call, &part, &tail, err) < 0)
			return -1;
		u->sent += tail.len;
	}
	u->stats.chunks_sent++;
	u->stats.sent += h->len;
	return 0;
}

static int negotiate(struct uploading *u, struct window *w, struct error *err)
{
	Sluice__V1__UploadRequest request = SLUICE__V1__UPLOAD_REQUEST__INIT;
	Sluice__V1__UploadHave have = SLUICE__V1__UPLOAD_HAVE__INIT;
	const ProtobufCBinaryData *need = NULL;
	ProtobufCBinaryData digests[WINDOW_CHUNKS];
	uint32_t sizes[WINDOW_CHUNKS];
	uint8_t bits[WINDOW_CHUNKS / 8] = { 0 };

	for (size_t i = 0; i < w->n; i++) {
		digests[i].data = w->chunks[i]->digest.bytes;
		digests[i].len = DIGEST_SIZE;
		sizes[i] = (uint32_t)w->chunks[i]->len;
	}
	have.digests = digests;
	have.sizes = sizes;
	have.n_digests = have.n_sizes = w->n;
	request.have = &have;
	if (rpc_send(u->call, &request, err) < 0)
		return -1;
	while (!need)
		if (hear(u, &need, err) < 0)
			return -1;
	if (need->len != (w->n + 7) / 8)
		return error_set(err, ERR_INVALID, "a bitmap of %zu bytes for %zu chunks",
				 need->len, w->n);
	memcpy(bits, need->data, need->len);
	for (size_t i = 0; i < w->n; i++)
		if (bits[i / 8] & BIT(i % 8) && send_chunk(u, (uint32_t)i, w->chunks[i], err) < 0)
			return -1;
	u->stats.chunks += (uint32_t)w->n;
	return 0;
}

static int commit(struct uploading *u, const struct manifest *m, struct error *err)
{
	Sluice__V1__UploadRequest request = SLUICE__V1__UPLOAD_REQUEST__INIT;
	Sluice__V1__UploadCommit body = SLUICE__V1__UPLOAD_COMMIT__INIT;
	cleanup(buf_release) struct buf packed = { 0 };
	struct digest digest = manifest_digest(m);
	char text[DIGEST_TEXT_SIZE];

	manifest_pack(m, &packed);
	u->stats.size = m->size;
	if (packed.len > INLINE_MANIFEST) {
		struct window w = { 0 };
		int r;

		window_add(&w, &digest, packed.data, packed.len);
		r = negotiate(u, &w, err);
		window_clear(&w);
		if (r < 0)
			return -1;
	} else {
		body.manifest.data = (uint8_t *)packed.data;
		body.manifest.len = packed.len;
	}
	body.digest = digest_format(&digest, text);
	body.meta = u->what->meta;
	body.n_meta = u->what->n_meta;
	body.data_until_ms = u->what->data_until_ms;
	body.produced_at_ms = u->what->produced_at_ms;
	request.commit = &body;
	if (rpc_send(u->call, &request, err) < 0)
		return -1;
	if (FAULT_POINT("upload.commit-sent"))
		return error_set(err, ERR_CANCELLED, "fault");
	while (!u->committed)
		if (hear(u, NULL, err) < 0)
			return -1;
	return 0;
}

static int converse(struct uploading *u, struct error *err)
{
	Sluice__V1__UploadRequest request = SLUICE__V1__UPLOAD_REQUEST__INIT;
	Sluice__V1__UploadStart start = SLUICE__V1__UPLOAD_START__INIT;
	cleanup(source_closep) struct source *source = source_open(&u->what->content, err);
	struct window w = { 0 };
	int r;

	if (!source)
		return -1;
	start.fence = u->what->fence;
	start.name = (char *)u->what->name;
	start.kind = u->what->kind;
	start.is_file = u->what->is_file;
	request.start = &start;
	if (rpc_send(u->call, &request, err) < 0)
		return -1;
	while ((r = window_fill(&w, source, err)) > 0 && (r = negotiate(u, &w, err)) == 0)
		window_clear(&w);
	window_clear(&w);
	if (r < 0)
		return -1;
	return commit(u, source_manifest(source), err);
}

/* A send that failed says only that the call is over: its status says why. It may be over because
 * the controller had all it wanted, and answered, before our send came back. */
static int status_of(struct uploading *u, struct error *err)
{
	const Sluice__V1__UploadReply *reply;
	struct error status = { 0 };
	int r;

	if (err->code != ERR_CANCELLED)
		return -1;
	while ((r = rpc_recv(u->call, &reply, &status)) > 0)
		if (reply->body_case == SLUICE__V1__UPLOAD_REPLY__BODY_COMMITTED)
			return take_committed(u, reply->committed, err);
	if (r < 0 && status.code)
		*err = status;
	return -1;
}

static int upload_once(void *arg, uint64_t *ret_progress, struct error *err)
{
	struct uploading *u = arg;
	int r;

	u->sent = u->taken = 0;
	u->committed = NULL;
	u->stats.chunks = 0;
	u->call = rpc_open(u->transfer->channel, &sluice__v1__artifacts__descriptor, "Upload", err);
	if (!u->call)
		return -1;
	r = converse(u, err);
	if (r < 0 &&
	    !(u->transfer->cancelled && u->transfer->cancelled(u->transfer->cancelled_arg)))
		r = status_of(u, err);
	rpc_close(u->call);
	*ret_progress = u->taken;
	return r;
}

const Sluice__V1__Artifact *transfer_upload(const struct transfer *t, const struct upload *what,
					    struct arena *arena, struct upload_stats *ret_stats,
					    struct error *err)
{
	struct uploading u = { .transfer = t, .what = what, .arena = arena };

	if (transfer_retry(t, upload_once, &u, err) < 0)
		return error_wrap(err, "uploading '%s'", what->name), NULL;
	if (ret_stats)
		*ret_stats = u.stats;
	return u.committed;
}
