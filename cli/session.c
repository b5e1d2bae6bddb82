/*
 * This computer's side of things: login, contexts, version.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/cli.h"
#include "cli/context.h"
#include "cli/doctor.h"
#include "cli/json.h"
#include "cli/out.h"
#include "cli/stubs.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "base/suggest.h"

enum { TOKEN_LIMIT = 4096 };

/* ---- login ---- */

static char *read_token(const char *path, struct error *err)
{
	cleanup(buf_release) struct buf text = { 0 };

	if (strcmp(path, "-") == 0)
		path = "/dev/stdin";
	else if (file_check_private(path, err) < 0)
		return NULL;
	if (file_read(path, TOKEN_LIMIT, &text, err) < 0)
		return NULL;
	text.data[strcspn(text.data, " \t\r\n")] = 0;
	if (!*text.data)
		return error_set(err, ERR_INVALID, "'%s' holds no token", path), NULL;
	return buf_detach(&text);
}

static const Sluice__V1__Token *check(struct cli *cli, const struct context *c, struct error *err)
{
	Sluice__V1__Empty request = SLUICE__V1__EMPTY__INIT;
	struct rpc_endpoint endpoint = { .address = c->address,
					 .ca_pem = c->ca_pem,
					 .bearer = c->token,
					 .wait_ready_ms = 3000 };

	cli->channel = rpc_dial(&endpoint, err);
	return cli->channel ? tokens_who_am_i(cli->channel, cli->arena, &request, err) : NULL;
}

/* "host:7700": the port that people use, when none is given. */
static char *with_port(const char *address)
{
	const char *colon = strrchr(address, ':'), *bracket = strrchr(address, ']');

	return colon && colon > (bracket ? bracket : address - 1) ? xstrdup(address)
								  : xprintf("%s:7700", address);
}

static int login(struct cli *cli, struct error *err)
{
	const struct args *args = &cli->args;
	const char *sha = flag_text(args, "ca-sha256"), *file = flag_text(args, "token-file");
	const char *name = flag_text(args, "name");
	cleanup(context_release) struct context made = { 0 };
	cleanup(contexts_freep) struct contexts *all = NULL;
	const Sluice__V1__Token *me;
	char role[ENUM_WORD];

	if (!sha || !file) {
		error_set(err, ERR_INVALID, "login needs --ca-sha256 HASH and --token-file FILE");
		return error_hint(err, "sluice-controller init says both");
	}
	made.address = with_port(word(args, 0));
	made.name =
		name ? xstrdup(name)
		     : xstrndup(made.address, (size_t)(strrchr(made.address, ':') - made.address));
	made.token = read_token(file, err);
	if (!made.token || rpc_fetch_ca(made.address, sha, &made.ca_pem, err) < 0)
		return -1;
	me = check(cli, &made, err);
	if (!me)
		return -1;
	all = contexts_load(err);
	if (!all)
		return -1;
	contexts_put(all, &made);
	contexts_use(all, made.name);
	if (contexts_save(all, err) < 0)
		return -1;
	out_printf("Logged in to %s as %s (%s). The context `%s` is now the current one.\n",
		   made.address, me->name,
		   enum_word(&sluice__v1__role__descriptor, (int)me->role, role), made.name);
	return STATUS_OK;
}

/* ---- contexts ---- */

static int context_ls(struct cli *cli, struct error *err)
{
	static const char *const headings[] = { "", "CONTEXT", "ADDRESS", "", NULL };
	cleanup(contexts_freep) struct contexts *all = contexts_load(err);
	cleanup(table_freep) struct table *t = table_new(headings);
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();
	json_t *list;

	if (!all)
		return -1;
	list = json_array();
	for (size_t i = 0; i < all->count; i++) {
		const struct context *c = &all->items[i];
		bool current = all->current && strcmp(all->current, c->name) == 0;

		json_array_append_new(list, json_pack("{s:s, s:s, s:b}", "name", c->name, "address",
						      c->address, "current", current));
		table_cell(t, GREEN, current ? "*" : " ");
		table_cell(t, BOLD, c->name);
		table_cell(t, PLAIN, c->address);
		table_cell(t, DIM, *c->dev ? "sluice dev" : "");
	}
	if (cli->json) {
		out_json_value(json_pack("{s:o}", "contexts", list), false);
		return STATUS_OK;
	}
	json_decref(list);
	table_render(t, &look, "No contexts yet: sluice login or sluice dev makes one.", &text);
	out_buf(&text);
	return STATUS_OK;
}

static int no_such_context(const struct contexts *all, const char *name, struct error *err)
{
	struct suggest near = suggest_new(name);

	for (size_t i = 0; i < all->count; i++)
		suggest_offer(&near, all->items[i].name);
	error_id(err, "E0204", "there is no context '%s'", name);
	return near.best ? error_hint(err, "did you mean `%s`?", near.best)
			 : error_hint(err, "sluice context ls shows what there is");
}

static int context_use(struct cli *cli, struct error *err)
{
	cleanup(contexts_freep) struct contexts *all = contexts_load(err);
	const char *name = word(&cli->args, 0);
	const struct context *c = all ? contexts_find(all, name) : NULL;

	if (!all)
		return -1;
	if (!c)
		return no_such_context(all, name, err);
	contexts_use(all, name);
	if (contexts_save(all, err) < 0)
		return -1;
	out_printf("%s (%s) is now the current context\n", c->name, c->address);
	return STATUS_OK;
}

static int context_rm(struct cli *cli, struct error *err)
{
	cleanup(contexts_freep) struct contexts *all = contexts_load(err);
	const char *name = word(&cli->args, 0);

	if (!all)
		return -1;
	if (!contexts_remove(all, name))
		return no_such_context(all, name, err);
	if (contexts_save(all, err) < 0)
		return -1;
	out_printf("The context `%s` is forgotten\n", name);
	return STATUS_OK;
}

/* ---- version ---- */

static int version(struct cli *cli, struct error *err)
{
	if (cli->json)
		out_json_value(json_pack("{s:s}", "version", SLUICE_VERSION), false);
	else
		out_printf("sluice %s\n", SLUICE_VERSION);
	return STATUS_OK;
}

static int whoami(struct cli *cli, struct error *err)
{
	Sluice__V1__Empty request = SLUICE__V1__EMPTY__INIT;
	struct rpc_channel *ch = cli_channel(cli, err);
	const Sluice__V1__Token *me = ch ? tokens_who_am_i(ch, cli->arena, &request, err) : NULL;
	char role[ENUM_WORD];

	if (!me)
		return -1;
	if (cli->json)
		return out_json(&me->base), STATUS_OK;
	out_printf("%s (%s)\n", me->name,
		   enum_word(&sluice__v1__role__descriptor, (int)me->role, role));
	return STATUS_OK;
}

static const struct flag login_flags[] = {
	{ 0, "ca-sha256", "HASH",
	  "the SHA-256 of the controller's CA; without it nobody is trusted" },
	{ 0, "token-file", "FILE",
	  "a file with your token, for your eyes only (0600); `-` is stdin" },
	{ 0, "name", "CONTEXT", "what to call it here (default: the host)" },
	{ 0 },
};

const struct verb session_verbs[] = {
	{ "login", "ADDRESS --ca-sha256 HASH --token-file FILE",
	  "Know a controller and talk to it from now on",
	  "  sluice login sluice.example.org:7700 --ca-sha256 9f31... --token-file token",
	  login_flags, 1, 1, false, login },
	{ "whoami", "", "Whose token this is, and its role", NULL, NULL, 0, 0, true, whoami },
	{ "context ls", "", "The controllers known here", NULL, NULL, 0, 0, true, context_ls },
	{ "context use", "CONTEXT", "Talk to this one from now on", NULL, NULL, 1, 1, false,
	  context_use },
	{ "context rm", "CONTEXT", "Forget one, and its token", NULL, NULL, 1, 1, false,
	  context_rm },
	{ "doctor", "", "Is everything in order? If not, what to do", NULL, NULL, 0, 0, true,
	  doctor },
	{ "version", "", "The version of this program", NULL, NULL, 0, 0, true, version },
	{ 0 },
};
