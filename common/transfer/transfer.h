/*
 * transfer.h - artifacts over the wire: the client's half of Artifacts.Upload and Download
 *
 * For agents and the CLI. Content is cut and hashed while it is read, only chunks that the
 * controller does not have are sent, and a transfer that broke is begun again and finds what had
 * arrived (PROTOCOL.md, Have/Need/Part/Commit). Memory is bounded: about two windows of
 * TRANSFER_WINDOW bytes, whatever the size. Downloads go through a chunk store, so what is there is
 * not fetched again; each chunk is verified before it is kept.
 *
 * Each call may block for as long as the transfer takes. ERR_UNAVAILABLE and ERR_ABORTED are tried
 * again with back-off until patience_ms have passed without progress. `cancelled` (may be NULL) is
 * asked between parts. Any thread; nothing is kept between calls.
 */
#ifndef TRANSFER_TRANSFER_H
#define TRANSFER_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/error.h"
#include "blob/source.h"
#include "blob/store.h"
#include "crypto/digest.h"
#include "rpc/rpc.h"
#include "sluice/v1/artifacts.pb-c.h"

enum {
	TRANSFER_WINDOW = 8 << 20, /* bytes sent and not yet taken */
	TRANSFER_PART = 256 << 10,
};

struct transfer {
	struct rpc_channel *channel;
	int64_t patience_ms; /* 0: give up at the first failure */
	bool (*cancelled)(void *arg);
	void *cancelled_arg;
};

struct upload {
	struct source_spec content;
	const char *name;
	Sluice__V1__ArtifactKind kind;
	bool is_file;		     /* a tree of one file */
	uint64_t fence;		     /* agents; 0 for users */
	Sluice__V1__Variable **meta; /* borrowed */
	size_t n_meta;
	int64_t data_until_ms, produced_at_ms;
};

struct upload_stats {
	uint64_t size, sent; /* bytes of content; of parts */
	uint32_t chunks, chunks_sent;
};

/* The committed artifact, in the arena. ret_stats may be NULL. */
const Sluice__V1__Artifact *transfer_upload(const struct transfer *t, const struct upload *what,
					    struct arena *arena, struct upload_stats *ret_stats,
					    struct error *err);

struct download {
	struct digest artifact;
	uint64_t fence;		 /* agents: the attempt whose input it is */
	const char *environment; /* agents: whose release it is part of; NULL otherwise */
};

/* Makes manifest and chunks be in `cache`; *ret_received is what came over the wire. */
int transfer_fetch(const struct transfer *t, const struct download *what, struct blob_store *cache,
		   uint64_t *ret_received, struct error *err);

#endif
