/*
 * Users' tokens: made, revoked, listed, and looked up by the hash of their secret.
 */
#include "controller/model/tokens.h"

#include <string.h>

#include "base/suggest.h"
#include "controller/model/agents.h"
#include "controller/model/private.h"

enum { NAME_MAX_LENGTH = 128, GROUPS_MAX = 64, DAY_MS = 24 * 3600 * 1000 };

static const char *role_name(Sluice__V1__Role role)
{
	static const char *const names[] = { "nobody", "viewer", "operator", "approver", "admin" };

	return (size_t)role < ARRAY_SIZE(names) ? names[role] : "nobody";
}

static struct token *find_by_id(struct world *w, const char *id)
{
	struct token *t;

	HASH_FIND(by_id, w->tokens_by_id, id, strlen(id), t);
	return t;
}

static struct token *find_by_name(struct world *w, const char *name)
{
	struct token *t, *next;

	HASH_ITER(by_id, w->tokens_by_id, t, next)
		if (!t->row->revoked && strcmp(t->row->name, name) == 0)
			return t;
	return NULL;
}

static Sluice__V1__Token *copy_without_hash(const Sluice__V1__Token *row)
{
	Sluice__V1__Token *copy = message_copy(row);

	message_set_string(&copy->hash, "");
	return copy;
}

static bool is_over(const Sluice__V1__Token *row, struct now now)
{
	return row->revoked || (row->expires_ms && row->expires_ms <= now.wall_ms);
}

static int check(struct world *w, const struct token_create *c, struct error *err)
{
	const Sluice__V1__CreateTokenRequest *r = c->request;
	const struct token *same;

	if (!*r->name || strlen(r->name) > NAME_MAX_LENGTH)
		return error_set(err, ERR_INVALID, "a token has a name of 1 to %d bytes",
				 NAME_MAX_LENGTH);
	if (r->role < SLUICE__V1__ROLE__VIEWER || r->role > SLUICE__V1__ROLE__ADMIN)
		return error_set(err, ERR_INVALID,
				 "a token's role is viewer, operator, approver or admin");
	if (r->role > c->caller->role)
		return error_id(err, "E0302", "a %s cannot make a token for a %s",
				role_name(c->caller->role), role_name(r->role));
	if (r->n_groups > GROUPS_MAX)
		return error_set(err, ERR_INVALID, "a token has at most %d groups", GROUPS_MAX);
	same = find_by_name(w, r->name);
	if (same && !is_over(same->row, w->now))
		return error_set(err, ERR_EXISTS, "there is a token named '%s'", r->name);
	return 0;
}

static struct token *add(struct world *w, const char *name, Sluice__V1__Role role, const char *hash,
			 int64_t ttl_ms, const char *by)
{
	Sluice__V1__Token *row = message_new(&sluice__v1__token__descriptor);
	struct token *t;

	message_set_string(&row->id, world_id(w).text);
	message_set_string(&row->name, name);
	row->role = role;
	row->created_ms = w->now.wall_ms;
	if (ttl_ms == 0)
		ttl_ms = (int64_t)TOKEN_TTL_DAYS * DAY_MS;
	row->expires_ms = ttl_ms < 0 ? 0 : w->now.wall_ms + ttl_ms;
	message_set_string(&row->hash, hash);
	message_set_string(&row->created_by, by);
	t = entity_token_new(w, row);
	world_touch(w, &t->entity);
	return t;
}

static void rehash(struct world *w, struct token *t, const char *hash)
{
	HASH_DELETE(by_hash, w->tokens_by_hash, t);
	message_set_string(&t->row->hash, hash);
	HASH_ADD_KEYPTR(by_hash, w->tokens_by_hash, t->row->hash, strlen(t->row->hash), t);
	world_touch(w, &t->entity);
}

static struct token *create(struct world *w, const struct token_create *c)
{
	const Sluice__V1__CreateTokenRequest *r = c->request;
	struct token *t = add(w, r->name, r->role, c->hash, r->ttl_ms, c->caller->actor->name);

	for (size_t i = 0; i < r->n_groups; i++)
		message_append(t->row, groups, xstrdup(r->groups[i]));
	world_event(w, SLUICE__V1__EVENT_KIND__EVENT_TOKEN_CREATED, c->caller->actor,
		    "a token for '%s', %s", r->name, role_name(r->role));
	world_answered(w, r->request_id, "tokens.create", t->row->id);
	return t;
}

int tokens_create(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct token_create *c = req;
	Sluice__V1__Token **ret = reply;
	struct token *t;
	char id[ID_SIZE];
	int asked;

	world_at(w, now);
	asked = world_asked(w, c->request->request_id, "tokens.create", id, err);
	if (asked < 0 || (!asked && check(w, c, err) < 0))
		return -1;
	if (asked) {
		t = find_by_id(w, id);
		if (!t)
			return error_set(err, ERR_CONFLICT,
					 "the token of this request was revoked since");
		rehash(w, t, c->hash);
	} else {
		t = create(w, c);
	}
	*ret = copy_without_hash(t->row);
	return 0;
}

int tokens_init(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct token_init *init = req;
	Sluice__V1__Token **ret = reply;
	struct token *t;

	world_at(w, now);
	if (w->tokens_by_id)
		return error_set(err, ERR_EXISTS, "this controller has an admin already");
	t = add(w, init->name, SLUICE__V1__ROLE__ADMIN, init->hash, -1, "init");
	world_event(w, SLUICE__V1__EVENT_KIND__EVENT_TOKEN_CREATED, NULL,
		    "the first admin's token, '%s'", init->name);
	*ret = copy_without_hash(t->row);
	return 0;
}

/* The answer to a repeat comes from the store: a revoked token leaves memory. */
static int revoked_before(struct world *w, const char *id, Sluice__V1__Token **ret,
			  struct error *err)
{
	cleanup(message_freep) ProtobufCMessage *row = NULL;
	int found = world_fetch(w, ROW_TOKEN, id, &row, err);

	if (found == 0)
		return error_id(err, "E0204", "there is no token '%s'", id);
	if (found < 0)
		return -1;
	*ret = copy_without_hash((Sluice__V1__Token *)row);
	return 0;
}

/* Is there another token of an admin that is good now? */
static bool another_admin(const struct world *w, const struct token *but)
{
	struct token *t, *next;

	HASH_ITER(by_id, w->tokens_by_id, t, next)
		if (t != but && t->row->role == SLUICE__V1__ROLE__ADMIN && !t->row->revoked &&
		    (!t->row->expires_ms || t->row->expires_ms > w->now.wall_ms))
			return true;
	return false;
}

static int no_token(const struct world *w, const char *name, struct error *err)
{
	struct suggest near = suggest_new(name);
	struct token *t, *next;

	HASH_ITER(by_id, w->tokens_by_id, t, next)
		if (!t->row->revoked)
			suggest_offer(&near, t->row->name);
	error_id(err, "E0204", "there is no token '%s'", name);
	return near.best
		       ? error_hint(err, "did you mean `%s`? sluice tokens ls shows what there is",
				    near.best)
		       : error_hint(err, "sluice tokens ls shows what there is");
}

int tokens_revoke(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct token_revoke *r = req;
	Sluice__V1__Token **ret = reply;
	struct token *t;
	char id[ID_SIZE];
	int asked;

	world_at(w, now);
	asked = world_asked(w, r->request->request_id, "tokens.revoke", id, err);
	if (asked < 0)
		return -1;
	if (asked)
		return revoked_before(w, id, ret, err);
	t = find_by_id(w, r->request->token);
	if (!t)
		t = find_by_name(w, r->request->token);
	if (!t || t->row->revoked)
		return no_token(w, r->request->token, err);
	if (t->row->role == SLUICE__V1__ROLE__ADMIN && !another_admin(w, t)) {
		error_set(err, ERR_CONFLICT, "'%s' is the last admin: nobody could make another",
			  t->row->name);
		return error_hint(
			err, "sluice tokens create NAME --role admin, and log in with it first");
	}
	t->row->revoked = true;
	world_touch(w, &t->entity);
	world_event(w, SLUICE__V1__EVENT_KIND__EVENT_TOKEN_REVOKED, r->caller->actor,
		    "the token of '%s' is revoked", t->row->name);
	world_answered(w, r->request->request_id, "tokens.revoke", t->row->id);
	*ret = copy_without_hash(t->row);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct token *x = *(struct token *const *)a, *y = *(struct token *const *)b;

	return strcmp(x->row->id, y->row->id);
}

int tokens_list(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const struct tokens_page *page = req;
	Sluice__V1__ListTokensReply *list = message_new(&sluice__v1__list_tokens_reply__descriptor);
	cleanup(freep) struct token **all =
		xcalloc(HASH_CNT(by_id, w->tokens_by_id) + 1, sizeof(struct token *));
	Sluice__V1__ListTokensReply **ret = reply;
	struct token *t, *next;
	size_t n = 0;

	HASH_ITER(by_id, w->tokens_by_id, t, next)
		if (!t->row->revoked && strcmp(t->row->id, page->after ? page->after : "") > 0)
			all[n++] = t;
	qsort(all, n, sizeof(*all), by_id);
	for (size_t i = 0; i < n && i < page->limit; i++)
		message_append(list, tokens, copy_without_hash(all[i]->row));
	if (n > page->limit && page->limit)
		message_set_string(&list->next, all[page->limit - 1]->row->id);
	*ret = list;
	return 0;
}

int tokens_find(struct world *w, struct now now, const void *req, void *reply, struct error *err)
{
	const char *hash = req;
	Sluice__V1__Token **ret = reply;
	struct token *t;

	HASH_FIND(by_hash, w->tokens_by_hash, hash, strlen(hash), t);
	if (!t || t->row->revoked)
		return error_id(err, "E0301", "this token is unknown or was revoked");
	if (is_over(t->row, now))
		return error_id(err, "E0301", "the token '%s' has expired", t->row->name);
	*ret = copy_without_hash(t->row);
	return 0;
}
