/*
 * Users' tokens.
 */
#include <stdio.h>
#include <string.h>

#include "lab.h"

static int create(struct lab *l, const struct caller *caller, const char *name,
		  Sluice__V1__Role role, int64_t ttl_ms, const char *hash)
{
	cleanup(message_freep) Sluice__V1__Token *reply = NULL;
	Sluice__V1__CreateTokenRequest r = SLUICE__V1__CREATE_TOKEN_REQUEST__INIT;
	int result;

	r.request_id = (char *)name;
	r.name = (char *)name;
	r.role = role;
	r.ttl_ms = ttl_ms;
	result = lab_ask(l, tokens_create, &(struct token_create){ caller, &r, hash }, &reply);
	if (result == 0)
		cr_expect_str_eq(reply->hash, "", "the hash is never shown");
	return result;
}

/* The name that this secret's hash belongs to, or the error's id. */
static const char *whose(struct lab *l, const char *hash)
{
	static char name[64];
	cleanup(message_freep) Sluice__V1__Token *t = NULL;

	snprintf(name, sizeof(name), "%s",
		 lab_ask(l, tokens_find, hash, &t) == 0 ? t->name : l->error.id);
	return name;
}

Test(tokens, the_first_admin_is_made_once)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	cleanup(message_freep) Sluice__V1__Token *first = NULL;
	Sluice__V1__Token *second = NULL;

	cr_assert_eq(lab_ask(l, tokens_init, &(struct token_init){ "admin", "h0" }, &first), 0);
	cr_expect_eq(first->role, SLUICE__V1__ROLE__ADMIN);
	cr_expect_eq(first->expires_ms, 0);
	lab_restart(l);
	cr_expect_eq(lab_ask(l, tokens_init, &(struct token_init){ "admin", "h1" }, &second), -1);
	cr_expect_eq(l->error.code, ERR_EXISTS);
	cr_expect_str_eq(whose(l, "h0"), "admin");
}

Test(tokens, a_secret_is_known_until_it_expires_or_is_revoked)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	cleanup(message_freep) Sluice__V1__Token *reply = NULL;
	cleanup(message_freep) Sluice__V1__Token *again = NULL;
	Sluice__V1__RevokeTokenRequest r = SLUICE__V1__REVOKE_TOKEN_REQUEST__INIT;

	cr_assert_eq(create(l, &lab_admin, "ci", SLUICE__V1__ROLE__OPERATOR, 1000, "h1"), 0);
	cr_assert_eq(create(l, &lab_admin, "eve", SLUICE__V1__ROLE__VIEWER, -1, "h2"), 0);
	cr_expect_str_eq(whose(l, "h1"), "ci");
	lab_advance(l, 999);
	cr_expect_str_eq(whose(l, "h1"), "ci");
	lab_advance(l, 1);
	cr_expect_str_eq(whose(l, "h1"), "E0301");
	cr_expect_str_eq(whose(l, "nonsense"), "E0301");
	r.request_id = "revoke-eve";
	r.token = "eve";
	for (int i = 0; i < 2; i++) {
		message_free(steal(reply));
		cr_assert_eq(
			lab_ask(l, tokens_revoke, &(struct token_revoke){ &lab_admin, &r }, &reply),
			0, "%s", l->error.text);
		cr_expect(reply->revoked);
		cr_expect_str_eq(whose(l, "h2"), "E0301");
		lab_restart(l);
	}
	r.request_id = "other";
	cr_expect_eq(lab_ask(l, tokens_revoke, &(struct token_revoke){ &lab_admin, &r }, &again),
		     -1);
	cr_expect_str_eq(l->error.id, "E0204");
}

Test(tokens, what_cannot_be_made)
{
	cleanup(lab_freep) struct lab *l = lab_new();

	create(l, &lab_admin, "taken", SLUICE__V1__ROLE__VIEWER, 0, "h1");
	cr_expect_eq(create(l, &lab_viewer, "x", SLUICE__V1__ROLE__OPERATOR, 0, "h"), -1);
	cr_expect_str_eq(l->error.id, "E0302");
	cr_expect_eq(create(l, &lab_admin, "", SLUICE__V1__ROLE__VIEWER, 0, "h"), -1);
	cr_expect_eq(create(l, &lab_admin, "y", 0, 0, "h"), -1);
	cr_expect_eq(create(l, &lab_admin, "z", 99, 0, "h"), -1);
	cr_expect_eq(HASH_CNT(by_id, l->world->tokens_by_id), 1);
}

Test(tokens, a_repeated_request_shows_a_new_secret_and_voids_the_old)
{
	cleanup(lab_freep) struct lab *l = lab_new();

	cr_assert_eq(create(l, &lab_admin, "ci", SLUICE__V1__ROLE__OPERATOR, 0, "h1"), 0);
	cr_assert_eq(create(l, &lab_admin, "ci", SLUICE__V1__ROLE__OPERATOR, 0, "h2"), 0);
	cr_expect_str_eq(whose(l, "h1"), "E0301");
	cr_expect_str_eq(whose(l, "h2"), "ci");
	cr_expect_eq(HASH_CNT(by_id, l->world->tokens_by_id), 1);
}

Test(tokens, they_are_listed_oldest_first)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	cleanup(message_freep) Sluice__V1__ListTokensReply *first = NULL;
	cleanup(message_freep) Sluice__V1__ListTokensReply *second = NULL;

	create(l, &lab_admin, "one", SLUICE__V1__ROLE__VIEWER, 0, "h1");
	lab_advance(l, 10);
	create(l, &lab_admin, "two", SLUICE__V1__ROLE__VIEWER, 0, "h2");
	lab_advance(l, 10);
	create(l, &lab_admin, "three", SLUICE__V1__ROLE__VIEWER, 0, "h3");
	cr_assert_eq(lab_ask(l, tokens_list, &(struct tokens_page){ "", 2 }, &first), 0);
	cr_assert_eq(first->n_tokens, 2);
	cr_expect_str_eq(first->tokens[0]->name, "one");
	cr_expect_str_neq(first->next, "");
	cr_assert_eq(lab_ask(l, tokens_list, &(struct tokens_page){ first->next, 2 }, &second), 0);
	cr_assert_eq(second->n_tokens, 1);
	cr_expect_str_eq(second->tokens[0]->name, "three");
	cr_expect_str_eq(second->next, "");
}

Test(tokens, the_last_admin_stays)
{
	cleanup(lab_freep) struct lab *l = lab_new();
	cleanup(message_freep) Sluice__V1__Token *reply = NULL;
	Sluice__V1__RevokeTokenRequest r = SLUICE__V1__REVOKE_TOKEN_REQUEST__INIT;
	struct token_revoke ask = { &lab_admin, &r };

	cr_assert_eq(create(l, &lab_admin, "one", SLUICE__V1__ROLE__ADMIN, 1000, "h1"), 0);
	cr_assert_eq(create(l, &lab_admin, "two", SLUICE__V1__ROLE__ADMIN, -1, "h2"), 0);
	lab_advance(l, 1000); /* an admin who is no more is no other admin */
	r.request_id = "r1";
	r.token = "two";
	cr_expect_eq(lab_ask(l, tokens_revoke, &ask, &reply), -1);
	cr_expect_eq(l->error.code, ERR_CONFLICT);
	cr_assert_eq(create(l, &lab_admin, "three", SLUICE__V1__ROLE__ADMIN, -1, "h3"), 0);
	cr_expect_eq(lab_ask(l, tokens_revoke, &ask, &reply), 0, "%s", l->error.text);
}
