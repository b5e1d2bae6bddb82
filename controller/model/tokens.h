/*
 * tokens.h - users' tokens. The secret is made and hashed by the handler; only the hash is known
 * here.
 *
 * See runs.h for what all decisions have in common.
 */
#ifndef MODEL_TOKENS_H
#define MODEL_TOKENS_H

#include "controller/model/caller.h"
#include "controller/model/world.h"

enum { TOKEN_TTL_DAYS = 90 };

/* A role above the caller's own is refused (E0302). A repeated request puts the new hash in the
 * place of the old one, as only the new secret can be shown again. Names of live tokens are unique.
 */
struct token_create {
	const struct caller *caller;
	const Sluice__V1__CreateTokenRequest *request;
	const char *hash; /* hex SHA-256 of the secret */
};
decide_fn tokens_create; /* reply: Sluice__V1__Token **, its hash empty */

/* `sluice-controller init`: an ADMIN that never expires. ERR_EXISTS once there is any token. */
struct token_init {
	const char *name;
	const char *hash;
};
decide_fn tokens_init; /* reply: Sluice__V1__Token ** */

struct token_revoke {
	const struct caller *caller;
	const Sluice__V1__RevokeTokenRequest *request;
};
decide_fn tokens_revoke; /* reply: Sluice__V1__Token ** */

struct tokens_page {
	const char *after; /* the id that the last page ended with, or "" */
	size_t limit;	   /* 1..1000 */
};
decide_fn tokens_list; /* oldest first; reply: Sluice__V1__ListTokensReply **; next is an id */

/* The guard's question: whose is this secret? E0301 when it is unknown, revoked or expired. */
decide_fn tokens_find; /* req: const char *hash; reply: Sluice__V1__Token ** */

#endif
