/*
 * Rows that are not entities, made in the transaction in progress, and the way
 * to any row: what is open in memory first, then what is pending here, then the
 * source. A row recorded twice is written once, as it was last.
 */
#include <assert.h>
#include <string.h>

#include "controller/model/private.h"

struct record {
	struct list link;
	enum row_kind kind;
	ProtobufCMessage *message;
	bool gone; /* the row must be deleted */
	char *id_key, *child_key;
	UT_hash_handle by_id, by_child;
};

/* Keys hold the kind and a separator that ids cannot. */
static char *id_key(enum row_kind kind, const char *id)
{
	return xprintf("%d\n%s", (int)kind, id);
}

static char *child_key(enum row_kind kind, const char *parent, const char *key)
{
	return xprintf("%d\n%s\n%s", (int)kind, parent, key);
}

static struct record *find_by_id(struct world *w, enum row_kind kind, const char *id)
{
	cleanup(freep) char *key = id_key(kind, id);
	struct record *all = w->pending_by_id, *r;

	HASH_FIND(by_id, all, key, strlen(key), r);
	return r;
}

static struct record *find_child(struct world *w, enum row_kind kind, const char *parent,
				 const char *key)
{
	cleanup(freep) char *full = child_key(kind, parent, key);
	struct record *all = w->pending_by_child, *r;

	HASH_FIND(by_child, all, full, strlen(full), r);
	return r;
}

/* The newest record of this kind and key, whatever its parent. */
static struct record *find_key(struct world *w, enum row_kind kind, const char *key)
{
	struct record *r, *found = NULL;

	list_each(r, &w->pending, link) {
		char scratch[256];
		struct row row;

		if (r->kind != kind)
			continue;
		row_describe(kind, r->message, &row, scratch);
		if (strcmp(row.key, key) == 0)
			found = r;
	}
	return found;
}

static void index_child(struct world *w, struct record *r, const struct row *row)
{
	struct record *all = w->pending_by_child, *before;

	r->child_key = child_key(r->kind, row->parent, row->key);
	HASH_FIND(by_child, all, r->child_key, strlen(r->child_key), before);
	if (before) {
		HASH_DELETE(by_child, all, before);
		free(steal(before->child_key));
	}
	HASH_ADD_KEYPTR(by_child, all, r->child_key, strlen(r->child_key), r);
	w->pending_by_child = all;
}

static void unindex_child(struct world *w, struct record *r)
{
	struct record *all = w->pending_by_child;

	if (!r->child_key)
		return;
	HASH_DELETE(by_child, all, r);
	w->pending_by_child = all;
	free(steal(r->child_key));
}

void world_record(struct world *w, enum row_kind kind, ProtobufCMessage *message)
{
	struct record *r, *all;
	char scratch[256];
	struct row row;

	assert(message->descriptor == row_descriptor(kind));
	row_describe(kind, message, &row, scratch);
	r = find_by_id(w, kind, row.id);
	if (r) {
		unindex_child(w, r);
		message_free(r->message);
		r->message = message;
		r->gone = false;
	} else {
		r = xcalloc(1, sizeof(*r));
		r->kind = kind;
		r->message = message;
		r->id_key = id_key(kind, row.id);
		all = w->pending_by_id;
		HASH_ADD_KEYPTR(by_id, all, r->id_key, strlen(r->id_key), r);
		w->pending_by_id = all;
		list_append(&w->pending, &r->link);
	}
	index_child(w, r, &row);
}

void world_forget(struct world *w, enum row_kind kind, ProtobufCMessage *message)
{
	char scratch[256];
	struct row row;

	world_record(w, kind, message);
	row_describe(kind, message, &row, scratch);
	find_by_id(w, kind, row.id)->gone = true;
}

void records_release(struct world *w)
{
	struct record *by_id = w->pending_by_id, *by_child = w->pending_by_child;
	struct record *r, *next;

	HASH_CLEAR(by_id, by_id);
	HASH_CLEAR(by_child, by_child);
	w->pending_by_id = w->pending_by_child = NULL;
	list_each_safe(r, next, &w->pending, link) {
		list_remove(&r->link);
		message_free(r->message);
		free(r->id_key);
		free(r->child_key);
		free(r);
	}
}

static int put_row(struct world *w, enum row_kind kind, ProtobufCMessage *message, bool gone,
		   int (*put)(void *arg, const struct row *row, struct error *err), void *arg,
		   struct error *err)
{
	char scratch[256];
	struct row row;

	row_describe(kind, message, &row, scratch);
	row.gone = gone;
	buf_clear(&w->packed);
	if (!gone)
		message_pack_buf(message, &w->packed);
	row.body = (const uint8_t *)buf_str(&w->packed);
	row.len = w->packed.len;
	return put(arg, &row, err);
}

int world_changes(struct world *w, int (*put)(void *arg, const struct row *row, struct error *err),
		  void *arg, struct error *err)
{
	struct entity *e;
	struct record *r;

	list_each(e, &w->touched, touched)
		if (put_row(w, e->kind, e->message, e->gone, put, arg, err) < 0)
			return -1;
	list_each(r, &w->pending, link)
		if (put_row(w, r->kind, r->message, r->gone, put, arg, err) < 0)
			return -1;
	return 0;
}

#define FIND(handle, head, text)                                     \
	({                                                           \
		__typeof__(head) found_;                             \
		HASH_FIND(handle, head, text, strlen(text), found_); \
		found_ ? &found_->entity : NULL;                     \
	})

static struct entity *open_by_id(struct world *w, enum row_kind kind, const char *id)
{
	switch (kind) {
	case ROW_CONTROLLER:
		return &w->controller;
	case ROW_TOKEN:
		return FIND(by_id, w->tokens_by_id, id);
	case ROW_AGENT:
		return FIND(by_id, w->agents_by_id, id);
	case ROW_PUBLISHED:
		return FIND(by_name, w->published, id);
	case ROW_RELEASE:
		return FIND(by_id, w->releases_by_id, id);
	case ROW_PROMOTION:
		return FIND(by_id, w->promotions, id);
	case ROW_RUN:
		return FIND(by_id, w->runs_by_id, id);
	case ROW_JOB:
		return FIND(by_id, w->jobs, id);
	case ROW_ATTEMPT: {
		struct attempt *a = world_attempt(w, strtoull(id, NULL, 10));

		return a ? &a->entity : NULL;
	}
	default:
		return NULL;
	}
}

static struct entity *open_job(struct world *w, const char *run_id, const char *name)
{
	struct run *run;

	HASH_FIND(by_id, w->runs_by_id, run_id, strlen(run_id), run);
	for (size_t i = 0; run && i < run->n_jobs; i++)
		if (strcmp(run->jobs[i]->row->spec->name, name) == 0)
			return &run->jobs[i]->entity;
	return NULL;
}

static struct entity *open_release(struct world *w, const char *run_id, const char *digest)
{
	struct release *r, *next;

	HASH_ITER(by_id, w->releases_by_id, r, next)
		if (strcmp(r->row->digest, digest) == 0 &&
		    (!run_id || strcmp(r->row->run_id, run_id) == 0))
			return &r->entity;
	return NULL;
}

static struct entity *open_child(struct world *w, enum row_kind kind, const char *parent,
				 const char *key)
{
	switch (kind) {
	case ROW_TOKEN:
		return FIND(by_hash, w->tokens_by_hash, key);
	case ROW_ENROL_TOKEN:
		return FIND(by_hash, w->enrol_tokens, key);
	case ROW_AGENT:
		return FIND(by_name, w->agents_by_name, key);
	case ROW_ENVIRONMENT:
		return FIND(by_name, w->environments, key);
	case ROW_RELEASE:
		return open_release(w, parent, key);
	case ROW_JOB:
		return parent ? open_job(w, parent, key) : NULL;
	default:
		return NULL;
	}
}

int world_fetch(struct world *w, enum row_kind kind, const char *id, ProtobufCMessage **ret,
		struct error *err)
{
	struct entity *e = open_by_id(w, kind, id);
	struct record *r = e ? NULL : find_by_id(w, kind, id);

	if (e && e->gone)
		return 0;
	if (r && r->gone)
		return 0;
	if (e || r) {
		*ret = message_copy(e ? e->message : r->message);
		return 1;
	}
	return w->source.get ? w->source.get(w->source.arg, kind, id, ret, err) : 0;
}

int world_fetch_child(struct world *w, enum row_kind kind, const char *parent, const char *key,
		      ProtobufCMessage **ret, struct error *err)
{
	struct entity *e = open_child(w, kind, parent, key);
	struct record *r = NULL;

	if (!e)
		r = parent ? find_child(w, kind, parent, key) : find_key(w, kind, key);
	if (r && r->gone)
		return 0;
	if (e || r) {
		*ret = message_copy(e ? e->message : r->message);
		return 1;
	}
	return w->source.find ? w->source.find(w->source.arg, kind, parent, key, ret, err) : 0;
}
