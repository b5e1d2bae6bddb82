/*
 * What may stand in a place of the command line, for the shell's completion: `sluice completion
 * --names RELEASE`. The newest of what there are many of.
 */
#include "cli/names.h"

#include <string.h>

#include "cli/context.h"
#include "cli/out.h"
#include "cli/stubs.h"

enum { NEWEST = 50 };

static const struct {
	const char *kind, *words;
} fixed[] = {
	{ "ROLE", "viewer\noperator\napprover\nadmin\n" },
	{ "STATE", "running\nsucceeded\nfailed\ncancelled\n" },
	{ "KIND", "any\ndata\nmodel\ncode\nreport\nsource\n" },
	{ "FORMAT", "text\njson\nsarif\n" },
	{ "SHELL", "bash\nzsh\nfish\n" },
};

static int environments(struct cli *cli, struct buf *out, struct error *err)
{
	Sluice__V1__ListEnvironmentsRequest request = SLUICE__V1__LIST_ENVIRONMENTS_REQUEST__INIT;
	const Sluice__V1__ListEnvironmentsReply *reply =
		ask_complete(cli->channel, &sluice__v1__environments__descriptor, "List",
			     cli->arena, &request.base, err);

	for (size_t i = 0; reply && i < reply->n_environments; i++)
		buf_printf(out, "%s\n", reply->environments[i]->environment->name);
	return reply ? 0 : -1;
}

static int agents(struct cli *cli, struct buf *out, struct error *err)
{
	Sluice__V1__ListAgentsRequest request = SLUICE__V1__LIST_AGENTS_REQUEST__INIT;
	const Sluice__V1__ListAgentsReply *reply =
		agents_list(cli->channel, cli->arena, &request, err);

	for (size_t i = 0; reply && i < reply->n_agents; i++)
		buf_printf(out, "%s\n", reply->agents[i]->agent->name);
	return reply ? 0 : -1;
}

static int releases(struct cli *cli, struct buf *out, struct error *err)
{
	Sluice__V1__PageRequest page = SLUICE__V1__PAGE_REQUEST__INIT;
	Sluice__V1__ListReleasesRequest request = SLUICE__V1__LIST_RELEASES_REQUEST__INIT;
	const Sluice__V1__ListReleasesReply *reply;

	page.size = NEWEST;
	request.page = &page;
	reply = releases_list(cli->channel, cli->arena, &request, err);
	for (size_t i = 0; reply && i < reply->n_releases; i++)
		buf_printf(out, "r%u\n", reply->releases[i]->release->number);
	return reply ? 0 : -1;
}

static int runs(struct cli *cli, struct buf *out, struct error *err)
{
	Sluice__V1__PageRequest page = SLUICE__V1__PAGE_REQUEST__INIT;
	Sluice__V1__ListRunsRequest request = SLUICE__V1__LIST_RUNS_REQUEST__INIT;
	const Sluice__V1__ListRunsReply *reply;

	page.size = NEWEST;
	request.page = &page;
	reply = runs_list(cli->channel, cli->arena, &request, err);
	for (size_t i = 0; reply && i < reply->n_runs; i++)
		buf_printf(out, "%u\n", reply->runs[i]->number);
	return reply ? 0 : -1;
}

static int contexts(struct cli *cli, struct buf *out, struct error *err)
{
	cleanup(contexts_freep) struct contexts *all = contexts_load(err);

	for (size_t i = 0; all && i < all->count; i++)
		buf_printf(out, "%s\n", all->items[i].name);
	return all ? 0 : -1;
}

static const struct {
	const char *kind;
	bool asks; /* the controller */
	int (*list)(struct cli *cli, struct buf *out, struct error *err);
} listed[] = {
	{ "ENVIRONMENT", true, environments }, { "AGENT", true, agents },
	{ "RELEASE", true, releases },	       { "RUN", true, runs },
	{ "CONTEXT", false, contexts },
};

bool names_known(const char *kind, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		if (strlen(fixed[i].kind) == len && strncmp(fixed[i].kind, kind, len) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(listed); i++)
		if (strlen(listed[i].kind) == len && strncmp(listed[i].kind, kind, len) == 0)
			return true;
	return false;
}

int names_print(struct cli *cli, const char *kind, struct error *err)
{
	cleanup(buf_release) struct buf out = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		if (strcmp(fixed[i].kind, kind) == 0)
			buf_puts(&out, fixed[i].words);
	for (size_t i = 0; i < ARRAY_SIZE(listed); i++)
		if (strcmp(listed[i].kind, kind) == 0 &&
		    ((listed[i].asks && !cli_channel(cli, err)) ||
		     listed[i].list(cli, &out, err) < 0))
			return -1;
	if (!out.len && !names_known(kind, strlen(kind)))
		return error_set(err, ERR_INVALID, "there are no names of '%s'", kind);
	out_buf(&out);
	return STATUS_OK;
}
