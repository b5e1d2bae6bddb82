/*
 * Tokens, and what this controller is.
 */
#include "controller/model/tokens.h"

#include <string.h>

#include "base/file.h"
#include "controller/api/private.h"
#include "controller/model/agents.h"
#include "crypto/keys.h"
#include "crypto/random.h"

static int create(struct rpc_call *call, const Sluice__V1__CreateTokenRequest *request,
		  Sluice__V1__CreateTokenReply *reply, struct error *err)
{
	char secret[RANDOM_TOKEN_SIZE], hex[DIGEST_HEX_SIZE];
	struct token_create ask = { .caller = caller_of(call), .request = request, .hash = hex };
	Sluice__V1__Token *made = arena_alloc(rpc_arena(call), sizeof *made);
	struct digest hash;

	random_token(secret);
	hash = token_hash(secret);
	digest_hex(&hash, hex);
	sluice__v1__token__init(made);
	if (api_answer(call, tokens_create, &ask, &made->base, err) < 0)
		return -1;
	reply->token = made;
	reply->secret = arena_strdup(rpc_arena(call), secret);
	return 0;
}

static int list(struct rpc_call *call, const Sluice__V1__ListTokensRequest *request,
		Sluice__V1__ListTokensReply *reply, struct error *err)
{
	struct tokens_page page = { .after = page_token(request->page),
				    .limit = (size_t)page_size(request->page) };

	return api_look(call, tokens_list, &page, &reply->base, err);
}

static bool has_token(void *arg, const struct rpc_caller *caller)
{
	struct digest hash = token_hash(caller->bearer);
	char hex[DIGEST_HEX_SIZE];

	/* a Revoke of itself is answered */
	return *caller->bearer && strcmp(digest_hex(&hash, hex), arg) == 0 &&
	       strcmp(caller->method, "Revoke") != 0;
}

/* What is open under the token ends, too: the row, which is stored, knows its hash. */
static int revoke_token(struct rpc_call *call, const Sluice__V1__RevokeTokenRequest *request,
			Sluice__V1__Token *reply, struct error *err)
{
	struct token_revoke ask = { .caller = caller_of(call), .request = request };
	cleanup(store_reader_givep) struct store_reader *r = NULL;
	ProtobufCMessage *m;

	if (api_answer_urgent(call, tokens_revoke, &ask, &reply->base, err) < 0)
		return -1;
	r = store_reader_take(api_of(call)->store, err);
	if (!r || reader_get(r, ROW_TOKEN, reply->id, rpc_arena(call), &m, err) < 0)
		return -1;
	rpc_server_cut(api_of(call)->server, has_token, ((Sluice__V1__Token *)m)->hash);
	return 0;
}

static int who_am_i(struct rpc_call *call, const Sluice__V1__Empty *request,
		    Sluice__V1__Token *reply, struct error *err)
{
	if (api_copy(rpc_arena(call), identity_of(call)->token, &reply->base, err) < 0)
		return -1;
	reply->hash = "";
	return 0;
}

static int info(struct rpc_call *call, const Sluice__V1__Empty *request,
		Sluice__V1__SystemInfo *reply, struct error *err)
{
	struct api *api = api_of(call);

	if (api_look(call, system_info, NULL, &reply->base, err) < 0 ||
	    file_free_bytes(api->state_dir, &reply->disk_free, err) < 0)
		return -1;
	reply->version = SLUICE_VERSION;
	reply->started_ms = api->started_ms;
	reply->ca_sha256 = (char *)authority_ca_sha256(api->authority);
	return 0;
}

const struct rpc_method tokens_api[] = {
	RPC_UNARY(ADMIN, Create, create, Sluice__V1__CreateTokenRequest,
		  Sluice__V1__CreateTokenReply),
	RPC_UNARY(ADMIN, List, list, Sluice__V1__ListTokensRequest, Sluice__V1__ListTokensReply),
	RPC_UNARY(ADMIN, Revoke, revoke_token, Sluice__V1__RevokeTokenRequest, Sluice__V1__Token),
	RPC_UNARY(VIEWER, WhoAmI, who_am_i, Sluice__V1__Empty, Sluice__V1__Token), RPC_END
};

const struct rpc_method system_api[] = {
	RPC_UNARY(VIEWER, Info, info, Sluice__V1__Empty, Sluice__V1__SystemInfo), RPC_END
};
