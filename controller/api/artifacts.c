/*
 * Artifacts: one, many, where they came from. Their bytes are in upload.c and download.c.
 */
#include <ctype.h>
#include <string.h>

#include "controller/api/private.h"

enum {
	SCANNED = 20000,
	NODES = 1000,
	METRICS_SHOWN = 16, /* of a node of a lineage */
};

static int get(struct rpc_call *call, const Sluice__V1__GetArtifactRequest *request,
	       Sluice__V1__Artifact *reply, struct error *err)
{
	cleanup(store_reader_givep) struct store_reader *r =
		store_reader_take(api_of(call)->store, err);
	Sluice__V1__Artifact *found =
		r ? find_artifact(r, request->artifact, rpc_arena(call), err) : NULL;

	if (!found)
		return -1;
	*reply = *found;
	return 0;
}

/* ---- searching ---- */

static bool has_word(const char *text, const char *word, size_t len)
{
	for (; *text; text++)
		if (strncasecmp(text, word, len) == 0)
			return true;
	return false;
}

/* "accuracy>=0.9": 1 it holds, 0 it does not, -1 it is no comparison. */
static int compares(const Sluice__V1__Artifact *a, const char *word, size_t len)
{
	size_t name = strcspn(word, "<>=");
	const char *op = word + name;
	size_t op_len = strspn(op, "<>=");
	char *end;
	double bound;

	if (!name || name + op_len >= len || !op_len || op_len > 2)
		return -1;
	bound = strtod(op + op_len, &end);
	if (end != word + len)
		return -1;
	for (size_t i = 0; i < a->n_metrics; i++) {
		double v = a->metrics[i]->value;

		if (strlen(a->metrics[i]->name) != name ||
		    strncmp(a->metrics[i]->name, word, name) != 0)
			continue;
		if (*op == '>')
			return v > bound || (op_len == 2 && v == bound);
		if (*op == '<')
			return v < bound || (op_len == 2 && v == bound);
		return v == bound;
	}
	return 0;
}

static bool mentions(const Sluice__V1__Artifact *a, const char *word, size_t len)
{
	const char *texts[] = { a->name, a->job_name, a->pipeline, a->published, a->digest };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (has_word(texts[i], word, len))
			return true;
	for (size_t i = 0; i < a->n_params; i++)
		if (has_word(a->params[i]->name, word, len) ||
		    has_word(a->params[i]->value, word, len))
			return true;
	for (size_t i = 0; i < a->n_meta; i++)
		if (has_word(a->meta[i]->name, word, len) || has_word(a->meta[i]->value, word, len))
			return true;
	return false;
}

static bool matches(void *arg, const ProtobufCMessage *message)
{
	const Sluice__V1__Artifact *a = (const Sluice__V1__Artifact *)message;
	const Sluice__V1__ListArtifactsRequest *q = arg;
	const char *word = q->query;

	if (q->kind && a->kind != q->kind)
		return false;
	if (*q->name && strcmp(a->name, q->name) != 0 && strcmp(a->published, q->name) != 0)
		return false;
	for (;;) {
		size_t len;
		int r;

		word += strspn(word, " \t");
		len = strcspn(word, " \t");
		if (!len)
			return true;
		r = compares(a, word, len);
		if (r == 0 || (r < 0 && !mentions(a, word, len)))
			return false;
		word += len;
	}
}

int artifacts_list(struct rpc_call *call, const Sluice__V1__ListArtifactsRequest *request,
		   Sluice__V1__ListArtifactsReply *reply, struct error *err)
{
	cleanup(store_reader_givep) struct store_reader *r =
		store_reader_take(api_of(call)->store, err);
	struct row_filter filter = { .limit = page_size(request->page),
				     .max_bytes = REPLY_BYTES,
				     .after = page_token(request->page),
				     .match = matches,
				     .match_arg = (void *)request };
	struct arena *a = rpc_arena(call);
	Sluice__V1__Run *run = NULL;
	struct row_page page;

	if (!r || (*request->run && !(run = find_run(r, request->run, a, err))))
		return -1;
	filter.parent = run ? run->id : NULL;
	if (reader_list(r, ROW_ARTIFACT, &filter, a, &page, err) < 0)
		return -1;
	reply->artifacts = (Sluice__V1__Artifact **)page.messages;
	reply->n_artifacts = page.count;
	reply->next = (char *)page.next;
	return 0;
}

/* ---- lineage ---- */

struct walk {
	struct store_reader *reader;
	struct arena *arena;
	Sluice__V1__LineageReply *reply;
	size_t bytes; /* of the nodes */
};

static bool walk_knows(const struct walk *w, const char *id)
{
	for (size_t i = 0; i < w->reply->n_nodes; i++)
		if (strcmp(w->reply->nodes[i]->artifact->id, id) == 0)
			return true;
	return false;
}

static void walk_add(struct walk *w, Sluice__V1__Artifact *artifact, uint32_t depth)
{
	Sluice__V1__LineageNode *node;

	if (walk_knows(w, artifact->id))
		return;
	artifact->n_metrics = MIN(artifact->n_metrics, (size_t)METRICS_SHOWN);
	w->bytes += protobuf_c_message_get_packed_size(&artifact->base);
	if (w->reply->n_nodes == NODES || (w->reply->n_nodes && w->bytes > REPLY_BYTES)) {
		w->reply->truncated = true;
		return;
	}
	node = arena_alloc(w->arena, sizeof *node);
	sluice__v1__lineage_node__init(node);
	node->artifact = artifact;
	node->depth = depth;
	w->reply->nodes[w->reply->n_nodes++] = node;
}

/* The very artifact that was read: equal bytes may have been made more than once, from other
 * things. */
static Sluice__V1__Artifact *input_of(struct walk *w, const Sluice__V1__Artifact *made, size_t i,
				      struct error *err)
{
	ProtobufCMessage *m = NULL;
	int found =
		i < made->n_input_ids && *made->input_ids[i]
			? reader_get(w->reader, ROW_ARTIFACT, made->input_ids[i], w->arena, &m, err)
			: 0;

	if (found)
		return found > 0 ? (Sluice__V1__Artifact *)m : NULL;
	return find_artifact_by_digest(w->reader, made->inputs[i], w->arena, err);
}

static int walk_up(struct walk *w, const Sluice__V1__LineageNode *from, struct error *err)
{
	for (size_t i = 0; i < from->artifact->n_inputs; i++) {
		Sluice__V1__Artifact *input = input_of(w, from->artifact, i, err);

		if (!input && err->code != ERR_NOT_FOUND)
			return -1;
		error_clear(err);
		if (input)
			walk_add(w, input, from->depth + 1);
	}
	return 0;
}

static bool reads(const Sluice__V1__Artifact *a, const char *digest)
{
	for (size_t i = 0; i < a->n_inputs; i++)
		if (strcmp(a->inputs[i], digest) == 0)
			return true;
	return false;
}

/* No index leads down: the newest SCANNED rows are read once, and all that descends is found among
 * them. */
static int walk_down(struct walk *w, struct error *err)
{
	struct row_filter filter = { .limit = 1000, .after = "" };
	struct row_page pages[SCANNED / 1000];
	size_t n_pages = 0;

	for (; n_pages < ARRAY_SIZE(pages); n_pages++) {
		if (reader_list(w->reader, ROW_ARTIFACT, &filter, w->arena, &pages[n_pages], err) <
		    0)
			return -1;
		filter.after = pages[n_pages].next;
		if (!*filter.after) {
			n_pages++;
			break;
		}
	}
	w->reply->truncated = n_pages == ARRAY_SIZE(pages) && *filter.after;
	for (size_t at = 0; at < w->reply->n_nodes; at++)
		for (size_t p = 0; p < n_pages; p++)
			for (size_t i = 0; i < pages[p].count; i++) {
				Sluice__V1__Artifact *a =
					(Sluice__V1__Artifact *)pages[p].messages[i];

				if (reads(a, w->reply->nodes[at]->artifact->digest))
					walk_add(w, a, w->reply->nodes[at]->depth + 1);
			}
	return 0;
}

int artifacts_lineage(struct rpc_call *call, const Sluice__V1__LineageRequest *request,
		      Sluice__V1__LineageReply *reply, struct error *err)
{
	cleanup(store_reader_givep) struct store_reader *r =
		store_reader_take(api_of(call)->store, err);
	struct walk w = { .reader = r, .arena = rpc_arena(call), .reply = reply };
	Sluice__V1__Artifact *first =
		r ? find_artifact(r, request->artifact, rpc_arena(call), err) : NULL;

	if (!first)
		return -1;
	reply->nodes = arena_alloc(w.arena, NODES * sizeof *reply->nodes);
	walk_add(&w, first, 0);
	if (request->down)
		return walk_down(&w, err) < 0 ? -1 : releases_holding(call, r, reply, err);
	for (size_t at = 0; at < reply->n_nodes; at++)
		if (walk_up(&w, reply->nodes[at], err) < 0)
			return -1;
	return 0;
}

const struct rpc_method artifacts_api[] = {
	RPC_BIDI(AGENT | OPERATOR, Upload, artifacts_upload, Sluice__V1__UploadRequest,
		 Sluice__V1__UploadReply),
	RPC_SERVER_STREAM(AGENT | VIEWER, Download, artifacts_download, Sluice__V1__DownloadRequest,
			  Sluice__V1__DownloadReply),
	RPC_UNARY(VIEWER, Get, get, Sluice__V1__GetArtifactRequest, Sluice__V1__Artifact),
	RPC_UNARY(VIEWER, List, artifacts_list, Sluice__V1__ListArtifactsRequest,
		  Sluice__V1__ListArtifactsReply),
	RPC_UNARY(VIEWER, Lineage, artifacts_lineage, Sluice__V1__LineageRequest,
		  Sluice__V1__LineageReply),
	RPC_END
};
