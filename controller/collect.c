/*
 * Mark and sweep. The marks are digests of artifacts, then of their chunks. Whatever is uploaded or
 * named meanwhile was touched within the last day, so the sweep does not see it.
 */
#include "controller/collect.h"

#include <string.h>
#include <uthash.h>

#include "base/clock.h"
#include "blob/manifest.h"
#include "controller/model/artifacts.h"
#include "controller/model/requests.h"
#include "crypto/digest.h"

enum { PAGE = 1000, REQUESTS = 500, KEPT_VERSIONS = 5 };
static const int64_t kept_release_ms = 30LL * 24 * 3600 * 1000;

struct mark {
	struct digest digest;
	UT_hash_handle hh;
};

struct marks {
	struct mark *artifacts, *chunks;
	bool failed;
};

static bool marked(struct mark *set, const struct digest *d)
{
	struct mark *m;

	HASH_FIND(hh, set, d, sizeof *d, m);
	return m != NULL;
}

static void mark(struct mark **set, const struct digest *d)
{
	struct mark *m;

	if (marked(*set, d))
		return;
	m = xcalloc(1, sizeof *m);
	m->digest = *d;
	HASH_ADD(hh, *set, digest, sizeof m->digest, m);
}

static void marks_release(struct marks *all)
{
	struct mark *m, *next;

	HASH_ITER(hh, all->artifacts, m, next) {
		HASH_DEL(all->artifacts, m);
		free(m);
	}
	HASH_ITER(hh, all->chunks, m, next) {
		HASH_DEL(all->chunks, m);
		free(m);
	}
}

static void keep(void *arg, const char *digest)
{
	struct marks *all = arg;
	struct digest d;

	if (!*digest)
		return;
	if (digest_parse(digest, &d, NULL) < 0)
		all->failed = true; /* a row that cannot be read must not cost an artifact */
	else
		mark(&all->artifacts, &d);
}

/* ---- what the store adds ---- */

/* What was judged, and by what: whoever doubts a verdict can measure again. */
static int keep_verdict(struct marks *all, struct store_reader *r, const char *id,
			struct error *err)
{
	cleanup(arena_freep) struct arena *a = arena_new(0);
	const Sluice__V1__Verdict *v;
	ProtobufCMessage *m;
	int found = reader_get(r, ROW_VERDICT, id, a, &m, err);

	if (found <= 0)
		return found;
	v = (const Sluice__V1__Verdict *)m;
	keep(all, v->candidate);
	keep(all, v->champion_artifact);
	keep(all, v->set);
	return 0;
}

static int keep_release(struct marks *all, struct store_reader *r, const Sluice__V1__Release *row,
			struct error *err)
{
	for (size_t i = 0; i < row->n_parts; i++)
		keep(all, row->parts[i]->digest);
	keep(all, row->notes);
	for (size_t i = 0; i < row->n_evaluations; i++) { /* the yardstick of later gates */
		keep(all, row->evaluations[i]->artifact);
		keep(all, row->evaluations[i]->set);
	}
	for (size_t i = 0; i < row->n_verdicts; i++)
		if (keep_verdict(all, r, row->verdicts[i], err) < 0)
			return -1;
	return 0;
}

static int keep_releases(struct marks *all, struct store_reader *r, struct error *err)
{
	int64_t since = clock_wall_ms() - kept_release_ms;
	struct row_filter filter = { .limit = PAGE };
	cleanup(freep) char *after = xstrdup("");
	bool more = true;

	while (more) {
		cleanup(arena_freep) struct arena *a = arena_new(0);
		struct row_page page;

		filter.after = after;
		if (reader_list(r, ROW_RELEASE, &filter, a, &page, err) < 0)
			return -1;
		for (size_t i = 0; i < page.count; i++) {
			const Sluice__V1__Release *row = (Sluice__V1__Release *)page.messages[i];

			if (row->created_ms >= since && !row->n_quarantined &&
			    keep_release(all, r, row, err) < 0)
				return -1;
		}
		more = *page.next &&
		       ((Sluice__V1__Release *)page.messages[page.count - 1])->created_ms >= since;
		free(after);
		after = xstrdup(page.next); /* the page's own dies with the arena */
	}
	return 0;
}

struct counted {
	char *name;
	unsigned n;
	UT_hash_handle hh;
};

/* Newest first, so the first KEPT_VERSIONS of a name are the newest ones. */
static void keep_version(struct marks *all, struct counted **names, const Sluice__V1__Artifact *a)
{
	struct counted *c;

	if (!*a->published)
		return;
	HASH_FIND_STR(*names, a->published, c);
	if (!c) {
		c = xcalloc(1, sizeof *c);
		c->name = xstrdup(a->published);
		HASH_ADD_KEYPTR(hh, *names, c->name, strlen(c->name), c);
	}
	if (c->n++ < KEPT_VERSIONS)
		keep(all, a->digest);
}

static int keep_versions(struct marks *all, struct store_reader *r, struct error *err)
{
	struct row_filter filter = { .limit = PAGE };
	struct counted *names = NULL, *c, *next;
	cleanup(freep) char *after = xstrdup("");
	int result;

	do {
		cleanup(arena_freep) struct arena *a = arena_new(0);
		struct row_page page;

		filter.after = after;
		result = reader_list(r, ROW_ARTIFACT, &filter, a, &page, err);
		if (result < 0)
			break;
		for (size_t i = 0; i < page.count; i++)
			keep_version(all, &names, (Sluice__V1__Artifact *)page.messages[i]);
		free(after);
		after = xstrdup(page.next);
	} while (*after);
	HASH_ITER(hh, names, c, next) {
		HASH_DEL(names, c);
		free(c->name);
		free(c);
	}
	return result;
}

/* ---- artifacts to chunks, and the sweep ---- */

static int mark_chunks(struct marks *all, struct blob_store *blobs, const struct digest *artifact,
		       struct error *err)
{
	cleanup(buf_release) struct buf packed = { 0 };
	cleanup(manifest_release) struct manifest m = { 0 };

	mark(&all->chunks, artifact);
	if (blob_read(blobs, artifact, MANIFEST_MAX_BYTES, &packed, err) < 0) {
		if (err->code != ERR_NOT_FOUND)
			return -1;
		error_clear(err); /* gone before: nothing of it is left to keep */
		return 0;
	}
	if (manifest_parse(packed.data, packed.len, &m, err) < 0)
		return -1;
	for (size_t i = 0; i < m.n_chunks; i++)
		mark(&all->chunks, &m.chunks[i].digest);
	return 0;
}

static bool is_live(void *arg, const struct digest *digest)
{
	return marked(((struct marks *)arg)->chunks, digest);
}

int collect_artifacts(struct engine *engine, struct store *store, struct blob_store *blobs,
		      struct blob_stats *ret, struct error *err)
{
	cleanup(marks_release) struct marks all = { 0 };
	cleanup(store_reader_givep) struct store_reader *r = store_reader_take(store, err);
	struct artifact_roots roots = { .keep = keep, .arg = &all };
	struct blob_collection how = { .is_live = is_live, .arg = &all, .min_age_ms = BLOB_PIN_MS };
	struct mark *m, *next;

	if (!r || keep_releases(&all, r, err) < 0 || keep_versions(&all, r, err) < 0)
		return -1;
	/* Last, so that what ended or was promoted while the store was read is seen in its new
	 * place. */
	if (engine_read(engine, artifacts_roots, NULL, &roots, err) < 0)
		return -1;
	if (all.failed)
		return error_id(err, "E0602", "a digest in the database is damaged");
	HASH_ITER(hh, all.artifacts, m, next)
		if (mark_chunks(&all, blobs, &m->digest, err) < 0)
			return -1;
	return blob_collect(blobs, &how, ret, err);
}

/* ---- answered requests ---- */

/* A page of the oldest. *after becomes where the next begins, or NULL behind the last old one. */
static int expire_page(struct engine *engine, struct store *store, char **after, uint64_t *removed,
		       struct error *err)
{
	cleanup(store_reader_givep) struct store_reader *r = store_reader_take(store, err);
	cleanup(arena_freep) struct arena *a = arena_new(0);
	struct row_filter filter = { .limit = REQUESTS, .oldest_first = true, .after = *after };
	int64_t before = clock_wall_ms() - REQUEST_AGE_MS;
	struct request_expiry ask = { 0 };
	struct row_page page;
	size_t n;

	if (!r || reader_list(r, ROW_REQUEST, &filter, a, &page, err) < 0)
		return -1;
	ask.rows = (Sluice__V1__RequestRow *const *)page.messages;
	while (ask.n < page.count && ask.rows[ask.n]->at_ms < before)
		ask.n++;
	free(steal(*after));
	if (ask.n == page.count && *page.next)
		*after = xstrdup(page.next);
	if (!ask.n)
		return 0;
	if (engine_ask(engine, requests_expire, &ask, &n, err) < 0)
		return -1;
	*removed += n;
	return 0;
}

int collect_requests(struct engine *engine, struct store *store, uint64_t *ret_removed,
		     struct error *err)
{
	cleanup(freep) char *after = xstrdup("");

	*ret_removed = 0;
	while (after)
		if (expire_page(engine, store, &after, ret_removed, err) < 0)
			return -1;
	return 0;
}
