/*
 * The store: a table in memory, with the indexes that a world_source asks by. Every row that is put
 * passes the oracle, which sees what was there before.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim.h"

static char *id_key(enum row_kind kind, const char *id)
{
	return xprintf("%d\n%s", (int)kind, id);
}

struct stored *rows_of(struct sim *s, enum row_kind kind, const char *id)
{
	cleanup(freep) char *key = id_key(kind, id);
	struct stored *r;

	HASH_FIND(by_id, s->table.by_id, key, strlen(key), r);
	return r;
}

ProtobufCMessage *stored_message(const struct stored *r)
{
	return message_unpack(row_descriptor(r->kind), NULL, r->body, r->len, NULL);
}

/* The newest row takes the key; an older one is found no more by it, as nobody asks for those. */
#define INDEX(handle, head, keyptr)                                       \
	do {                                                              \
		struct stored *old_;                                      \
		HASH_FIND(handle, head, keyptr, strlen(keyptr), old_);    \
		if (old_)                                                 \
			HASH_DELETE(handle, head, old_);                  \
		HASH_ADD_KEYPTR(handle, head, keyptr, strlen(keyptr), r); \
	} while (0)

static struct stored *add(struct sim *s, const struct row *row)
{
	struct table *t = &s->table;
	struct stored *r = xcalloc(1, sizeof *r);

	r->kind = row->kind;
	r->id = id_key(row->kind, row->id);
	r->child = xprintf("%d\n%s\n%s", (int)row->kind, row->parent, row->key);
	r->key = xprintf("%d\n%s", (int)row->kind, row->key);
	r->parent_id = xstrdup(row->parent);
	snprintf(r->number, sizeof r->number, "%d\n%" PRIu64, (int)row->kind, row->number);
	HASH_ADD_KEYPTR(by_id, t->by_id, r->id, strlen(r->id), r);
	INDEX(by_child, t->by_child, r->child);
	INDEX(by_key, t->by_key, r->key);
	INDEX(by_number, t->by_number, r->number);
	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 64;
		t->all = xreallocarray(t->all, t->cap, sizeof(struct stored *));
	}
	t->all[t->n++] = r;
	return r;
}

int rows_put(struct sim *s, const struct row *row)
{
	struct stored *r = rows_of(s, row->kind, row->id);

	oracle_row(s, r, row);
	if (row->gone) {
		if (r)
			r->len = 0, r->open = false, r->version = 0;
		return 0;
	}
	if (!r)
		r = add(s, row);
	r->open = row->open;
	r->state = row->state;
	r->version++;
	free(r->body);
	r->body = xmemdup(row->body, row->len + 1);
	r->len = row->len;
	return 0;
}

void rows_release(struct sim *s)
{
	struct table *t = &s->table;

	HASH_CLEAR(by_id, t->by_id);
	HASH_CLEAR(by_child, t->by_child);
	HASH_CLEAR(by_key, t->by_key);
	HASH_CLEAR(by_number, t->by_number);
	for (size_t i = 0; i < t->n; i++) {
		free(t->all[i]->id);
		free(t->all[i]->child);
		free(t->all[i]->key);
		free(t->all[i]->parent_id);
		free(t->all[i]->body);
		free(t->all[i]);
	}
	free(t->all);
}

static int found(const struct stored *r, ProtobufCMessage **ret)
{
	if (!r || !r->version)
		return 0;
	*ret = stored_message(r);
	return 1;
}

int rows_get(void *sim, enum row_kind kind, const char *id, ProtobufCMessage **ret,
	     struct error *err)
{
	return found(rows_of(sim, kind, id), ret);
}

int rows_find(void *sim, enum row_kind kind, const char *parent, const char *key,
	      ProtobufCMessage **ret, struct error *err)
{
	struct sim *s = sim;
	cleanup(freep) char *text = parent ? xprintf("%d\n%s\n%s", (int)kind, parent, key)
					   : xprintf("%d\n%s", (int)kind, key);
	struct stored *r;

	if (parent)
		HASH_FIND(by_child, s->table.by_child, text, strlen(text), r);
	else
		HASH_FIND(by_key, s->table.by_key, text, strlen(text), r);
	return found(r, ret);
}

int rows_by_number(void *sim, enum row_kind kind, uint64_t number, ProtobufCMessage **ret,
		   struct error *err)
{
	struct sim *s = sim;
	cleanup(freep) char *text = xprintf("%d\n%" PRIu64, (int)kind, number);
	struct stored *r;

	HASH_FIND(by_number, s->table.by_number, text, strlen(text), r);
	return found(r, ret);
}

static bool is_wanted(struct sim *s, const struct stored *r)
{
	enum row_kind parent = row_kept_open_by(r->kind);
	const struct stored *p = parent ? rows_of(s, parent, r->parent_id) : NULL;

	return r->version && (parent ? p && p->open : r->open);
}

int rows_load(struct sim *s, struct world *w, struct error *err)
{
	for (int kind = ROW_CONTROLLER; kind < ROW_KINDS; kind++)
		for (size_t i = 0; i < s->table.n; i++) {
			const struct stored *r = s->table.all[i];

			if ((int)r->kind == kind && is_wanted(s, r) &&
			    world_load(w, r->kind, stored_message(r), err) < 0)
				return -1;
		}
	return 0;
}
