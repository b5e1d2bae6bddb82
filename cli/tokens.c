/*
 * tokens: who may do what.
 */
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/list.h"
#include "cli/out.h"
#include "cli/run_view.h"
#include "cli/secret.h"
#include "cli/stubs.h"
#include "cli/table.h"
#include "cli/verbs.h"

static const struct paged tokens_paged = { &sluice__v1__tokens__descriptor, "List", "tokens" };

static int read_role(const char *text, Sluice__V1__Role *ret, struct error *err)
{
	const ProtobufCEnumDescriptor *type = &sluice__v1__role__descriptor;
	char name[ENUM_WORD];

	for (unsigned i = 0; text && i < type->n_values; i++)
		if (type->values[i].value &&
		    strcmp(enum_word(type, type->values[i].value, name), text) == 0) {
			*ret = (Sluice__V1__Role)type->values[i].value;
			return 0;
		}
	if (text)
		return error_set(err, ERR_INVALID,
				 "--role is viewer, operator, approver or admin, not '%s'", text);
	error_set(err, ERR_INVALID, "whose role? `sluice tokens create` needs --role ROLE");
	return error_hint(err, "viewer sees, operator runs and promotes, approver also overrides, "
			       "admin does all");
}

static int create(struct cli *cli, struct error *err)
{
	Sluice__V1__CreateTokenRequest request = SLUICE__V1__CREATE_TOKEN_REQUEST__INIT;
	const struct args *args = &cli->args;
	const char *ttl = flag_text(args, "ttl"), *group;
	const Sluice__V1__CreateTokenReply *reply;
	cleanup(secret_end) struct secret secret = { .fd = -1 };
	struct rpc_channel *ch;
	char time[CLOCK_TEXT];

	request.request_id = cli_request_id(cli);
	request.name = (char *)word(args, 0);
	request.groups = arena_alloc(cli->arena, ARGS_MAX * sizeof *request.groups);
	for (; (group = flag_each(args, "group", (unsigned)request.n_groups)); request.n_groups++)
		request.groups[request.n_groups] = (char *)group;
	if (read_role(flag_text(args, "role"), &request.role, err) < 0)
		return -1;
	if (ttl && strcmp(ttl, "never") == 0)
		request.ttl_ms = -1;
	else if (flag_duration(args, "ttl", &request.ttl_ms, err) < 0)
		return -1;
	ch = cli_channel(cli, err);
	if (!ch || secret_begin(cli, &secret, err) < 0)
		return -1;
	reply = tokens_create(ch, cli->arena, &request, err);
	if (!reply)
		return -1;
	if (cli->json && !secret.path)
		return out_json(&reply->base), STATUS_OK;
	if (secret_put(&secret, reply->secret, err) < 0)
		return -1;
	if (reply->token->expires_ms)
		say("Shown once. Good until %s.", clock_format(reply->token->expires_ms, time));
	else
		say("Shown once. It does not expire.");
	return STATUS_OK;
}

static void add_token(struct table *t, const Sluice__V1__Token *token, int64_t now_ms)
{
	cleanup(buf_release) struct buf groups = { 0 };
	char name[ENUM_WORD], time[CLOCK_TEXT], ago[AGE];
	bool expired = token->expires_ms && token->expires_ms <= now_ms;

	for (size_t i = 0; i < token->n_groups; i++)
		buf_printf(&groups, "%s%s", i ? " " : "", token->groups[i]);
	table_cell(t, BOLD, token->name);
	table_cell(t, PLAIN, enum_word(&sluice__v1__role__descriptor, (int)token->role, name));
	if (token->revoked || expired)
		table_cell(t, RED, token->revoked ? "revoked" : "expired");
	else if (token->expires_ms)
		table_cellf(t, PLAIN, "%s left", duration_format(token->expires_ms - now_ms, time));
	else
		table_cell(t, PLAIN, "for ever");
	table_cell(t, DIM, age(token->created_ms, now_ms, ago));
	table_cell(t, PLAIN, buf_str(&groups));
	table_cell(t, DIM, token->id);
}

static int ls(struct cli *cli, struct error *err)
{
	static const char *const headings[] = {
		"NAME", "ROLE", "GOOD", "MADE", "GROUPS", "ID", NULL
	};
	Sluice__V1__ListTokensRequest request = SLUICE__V1__LIST_TOKENS_REQUEST__INIT;
	cleanup(table_freep) struct table *t = table_new(headings);
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();
	struct list list;

	if (list_ask(cli, &tokens_paged, &request.base, &list, err) < 0)
		return -1;
	if (cli->json)
		return list_json(&tokens_paged, &list), STATUS_OK;
	for (size_t i = 0; i < list.count; i++)
		add_token(t, (const Sluice__V1__Token *)list.items[i], look.now_ms);
	table_render(t, &look, "No tokens.", &text);
	out_buf(&text);
	return STATUS_OK;
}

static int revoke_token(struct cli *cli, struct error *err)
{
	Sluice__V1__RevokeTokenRequest request = SLUICE__V1__REVOKE_TOKEN_REQUEST__INIT;
	struct rpc_channel *ch = cli_channel(cli, err);
	const Sluice__V1__Token *token;

	request.request_id = cli_request_id(cli);
	request.token = (char *)word(&cli->args, 0);
	token = ch ? tokens_revoke(ch, cli->arena, &request, err) : NULL;
	if (!token)
		return -1;
	if (cli->json)
		out_json(&token->base);
	else
		out_printf("%s is revoked: what was open under it has ended\n", token->name);
	return STATUS_OK;
}

static const struct flag create_flags[] = {
	{ 0, "role", "ROLE", "viewer, operator, approver or admin" },
	{ 0, "group", "GROUP", "a group that approvals may ask for; may be repeated" },
	{ 0, "ttl", "DURATION", "how long it is good: `30d`, or `never` (default 90d)" },
	SECRET_FLAG,
	{ 0 },
};

const struct verb token_verbs[] = {
	{ "tokens create", "NAME --role ROLE", "A token for a person or a program (role admin)",
	  "It is shown once: on stdout, or with -o in a file that only its owner can read, as "
	  "login "
	  "wants\nit:\n\n"
	  "  sluice tokens create ci --role operator -o ci.token",
	  create_flags, 1, 1, true, create },
	{ "tokens ls", "", "Tokens, without their secrets (role admin)", NULL, NULL, 0, 0, true,
	  ls },
	{ "tokens revoke", "NAME|ID", "It is void at once (role admin)", NULL, NULL, 1, 1, true,
	  revoke_token },
	{ 0 },
};
