/*
 * Releases.
 */
#include "controller/model/releases.h"

#include <string.h>

#include "controller/api/private.h"

enum {
	LISTED = 100,	     /* releases of one page */
	SCANNED = 5000,	     /* newest releases that are looked through for an artifact */
	METRICS_LISTED = 16, /* of each part in a page; one release alone has all */
};

/* Where it is live comes from the engine, its parts and verdicts from the store. */
static int detail(struct rpc_call *call, struct store_reader *r, Sluice__V1__Release *release,
		  Sluice__V1__ReleaseDetail *ret, struct error *err)
{
	cleanup(message_freep) Sluice__V1__ReleaseDetail *where = NULL;
	struct arena *a = rpc_arena(call);
	ProtobufCMessage *m;

	if (engine_read(api_of(call)->engine, releases_where, release->id, &where, err) < 0 ||
	    api_copy(a, where, &ret->base, err) < 0)
		return -1;
	ret->release = release;
	ret->parts = arena_zalloc(a, (release->n_parts + 1) * sizeof *ret->parts);
	for (size_t i = 0; i < release->n_parts; i++)
		if (reader_get(r, ROW_ARTIFACT, release->parts[i]->artifact_id, a, &m, err) > 0)
			ret->parts[ret->n_parts++] = (Sluice__V1__Artifact *)m;
	for (size_t i = 0; i < release->n_verdicts; i++) {
		Sluice__V1__Verdict *v;
		char **grown;

		if (reader_get(r, ROW_VERDICT, release->verdicts[i], a, &m, err) <= 0)
			continue;
		v = (Sluice__V1__Verdict *)m;
		grown = arena_alloc(a, (ret->n_verdicts + v->n_expectations + 1) * sizeof *grown);
		if (ret->n_verdicts)
			memcpy(grown, ret->verdicts, ret->n_verdicts * sizeof *grown);
		ret->verdicts = grown;
		for (size_t k = 0; k < v->n_expectations; k++)
			ret->verdicts[ret->n_verdicts++] =
				arena_printf(a, "%s: %s", v->job_name, v->expectations[k]->line);
	}
	return err->code ? -1 : 0;
}

static int get(struct rpc_call *call, const Sluice__V1__GetReleaseRequest *request,
	       Sluice__V1__ReleaseDetail *reply, struct error *err)
{
	cleanup(store_reader_givep) struct store_reader *r =
		store_reader_take(api_of(call)->store, err);
	Sluice__V1__Release *release =
		r ? find_release(r, request->release, rpc_arena(call), err) : NULL;

	return release ? detail(call, r, release, reply, err) : -1;
}

static int list(struct rpc_call *call, const Sluice__V1__ListReleasesRequest *request,
		Sluice__V1__ListReleasesReply *reply, struct error *err)
{
	cleanup(store_reader_givep) struct store_reader *r =
		store_reader_take(api_of(call)->store, err);
	struct row_filter filter = { .limit = MIN(page_size(request->page), (int)LISTED),
				     .max_bytes = REPLY_BYTES / 2,
				     .after = page_token(request->page) };
	struct arena *a = rpc_arena(call);
	struct row_page page;

	if (!r || reader_list(r, ROW_RELEASE, &filter, a, &page, err) < 0)
		return -1;
	reply->releases = arena_zalloc(a, (page.count + 1) * sizeof *reply->releases);
	for (size_t i = 0; i < page.count; i++) {
		Sluice__V1__Release *release = (Sluice__V1__Release *)page.messages[i];
		Sluice__V1__ReleaseDetail *d;

		if (*request->pipeline && strcmp(release->pipeline, request->pipeline) != 0)
			continue;
		d = arena_alloc(a, sizeof *d);
		sluice__v1__release_detail__init(d);
		if (detail(call, r, release, d, err) < 0)
			return -1;
		for (size_t k = 0; k < d->n_parts; k++)
			d->parts[k]->n_metrics =
				MIN(d->parts[k]->n_metrics, (size_t)METRICS_LISTED);
		reply->releases[reply->n_releases++] = d;
	}
	reply->next = (char *)page.next;
	return 0;
}

/* ---- what holds an artifact ---- */

static bool holds(const Sluice__V1__Release *release, const Sluice__V1__LineageReply *reply)
{
	for (size_t i = 0; i < release->n_parts; i++)
		for (size_t k = 0; k < reply->n_nodes; k++)
			if (strcmp(release->parts[i]->digest, reply->nodes[k]->artifact->digest) ==
			    0)
				return true;
	return false;
}

static int add_holder(struct rpc_call *call, const Sluice__V1__Release *release,
		      Sluice__V1__LineageReply *reply, struct error *err)
{
	cleanup(message_freep) Sluice__V1__ReleaseDetail *where = NULL;
	Sluice__V1__ReleaseDetail copy = SLUICE__V1__RELEASE_DETAIL__INIT;
	Sluice__V1__LineageRelease *made;

	if (engine_read(api_of(call)->engine, releases_where, release->id, &where, err) < 0 ||
	    api_copy(rpc_arena(call), where, &copy.base, err) < 0)
		return -1;
	made = arena_alloc(rpc_arena(call), sizeof *made);
	sluice__v1__lineage_release__init(made);
	made->id = release->id;
	made->number = release->number;
	made->pipeline = release->pipeline;
	made->created_ms = release->created_ms;
	made->live_in = copy.live_in;
	made->n_live_in = copy.n_live_in;
	made->verified_in = copy.verified_in;
	made->n_verified_in = copy.n_verified_in;
	made->quarantined = release->quarantined;
	made->n_quarantined = release->n_quarantined;
	reply->releases[reply->n_releases++] = made;
	return 0;
}

int releases_holding(struct rpc_call *call, struct store_reader *r, Sluice__V1__LineageReply *reply,
		     struct error *err)
{
	struct row_filter filter = { .limit = 1000, .after = "" };
	struct row_page page;

	reply->releases = arena_zalloc(rpc_arena(call), LISTED * sizeof *reply->releases);
	for (int seen = 0; seen < SCANNED; seen += filter.limit) {
		if (reader_list(r, ROW_RELEASE, &filter, rpc_arena(call), &page, err) < 0)
			return -1;
		for (size_t i = 0; i < page.count && reply->n_releases < LISTED; i++)
			if (holds((Sluice__V1__Release *)page.messages[i], reply) &&
			    add_holder(call, (Sluice__V1__Release *)page.messages[i], reply, err) <
				    0)
				return -1;
		filter.after = page.next;
		if (!*page.next || reply->n_releases == LISTED)
			break;
	}
	return 0;
}

const struct rpc_method releases_api[] = {
	RPC_UNARY(VIEWER, List, list, Sluice__V1__ListReleasesRequest,
		  Sluice__V1__ListReleasesReply),
	RPC_UNARY(VIEWER, Get, get, Sluice__V1__GetReleaseRequest, Sluice__V1__ReleaseDetail),
	RPC_END
};
