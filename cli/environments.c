/*
 * env: what is live where, and the policies.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/env_view.h"
#include "cli/file_arg.h"
#include "cli/follow.h"
#include "cli/interrupt.h"
#include "cli/list.h"
#include "cli/out.h"
#include "cli/run_view.h"
#include "cli/stubs.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "cli/watch.h"
#include "spec/spec.h"

static const Sluice__V1__EnvironmentDetail *get(struct cli *cli, const char *name,
						struct error *err)
{
	Sluice__V1__GetEnvironmentRequest request = SLUICE__V1__GET_ENVIRONMENT_REQUEST__INIT;
	struct rpc_channel *ch = cli_channel(cli, err);

	request.environment = (char *)name;
	return ch ? environments_get(ch, cli->arena, &request, err) : NULL;
}

/* ---- looking ---- */

static unsigned serving(const Sluice__V1__Environment *e)
{
	unsigned n = 0;

	for (size_t i = 0; i < e->n_hosts; i++)
		n += *e->live && strcmp(e->hosts[i]->release, e->live) == 0 &&
		     e->hosts[i]->state != SLUICE__V1__ENVIRONMENT_HOST__STATE__UNREACHABLE;
	return n;
}

static void add_environment(struct table *t, const Sluice__V1__EnvironmentDetail *d, int64_t now_ms)
{
	const Sluice__V1__Environment *e = d->environment;
	const Sluice__V1__Promotion *p = d->promotion;
	char label[RELEASE_LABEL], time[CLOCK_TEXT];

	table_cell(t, BOLD, e->name);
	table_cell(t, d->live ? GREEN : DIM, d->live ? release_label(d->live->number, label) : "-");
	table_cell(t, PLAIN, elapsed(e->live_since_ms, 0, now_ms, time));
	table_cellf(t, PLAIN, "%u/%zu", serving(e), e->n_hosts);
	if (e->degraded)
		table_cellf(t, RED, "degraded: %s", e->degraded_reason);
	else if (p && !promotion_over(p))
		table_cellf(t, promotion_paint(p->state), "%s %s", promotion_word(p->state),
			    release_label(p->release_number, label));
	else if (e->hold)
		table_cellf(t, YELLOW, "on hold by %s: %s", e->hold->actor, e->hold->reason);
	else
		table_cell(t, DIM,
			   e->spec && e->spec->auto_newest ? "takes the newest by itself" : "");
}

static const struct paged environments_paged = { &sluice__v1__environments__descriptor, "List",
						 "environments" };

static int ls(struct cli *cli, struct error *err)
{
	static const char *const headings[] = { "ENVIRONMENT", "LIVE", "FOR", ">HOSTS", "", NULL };
	Sluice__V1__ListEnvironmentsRequest request = SLUICE__V1__LIST_ENVIRONMENTS_REQUEST__INIT;
	cleanup(table_freep) struct table *t = table_new(headings);
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();
	struct list list;

	if (list_ask(cli, &environments_paged, &request.base, &list, err) < 0)
		return -1;
	if (cli->json)
		return list_json(&environments_paged, &list), STATUS_OK;
	for (size_t i = 0; i < list.count; i++)
		add_environment(t, (const Sluice__V1__EnvironmentDetail *)list.items[i],
				look.now_ms);
	table_render(
		t, &look,
		"No environments yet. `sluice env apply FILE` records those of a file; so does an "
		"admin's first submit.",
		&text);
	out_buf(&text);
	return STATUS_OK;
}

static int show(struct cli *cli, struct error *err)
{
	const char *name = word(&cli->args, 0);
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();
	const Sluice__V1__EnvironmentDetail *env;

	if (flag_given(&cli->args, "watch") || flag_given(&cli->args, "timeout"))
		return watch_environment(cli, name, "", err);
	env = get(cli, name, err);
	if (!env)
		return -1;
	if (cli->json)
		return out_json(&env->base), STATUS_OK;
	env_view(env, &look, &text);
	out_buf(&text);
	return STATUS_OK;
}

static const struct paged history_paged = { &sluice__v1__environments__descriptor, "History",
					    "promotions" };

static void add_promotion(struct table *t, const Sluice__V1__Promotion *p, int64_t now_ms)
{
	char from[RELEASE_LABEL], to[RELEASE_LABEL], time[CLOCK_TEXT];

	table_cellf(t, PLAIN, "%u", p->number);
	table_cell(t, DIM, clock_format(p->created_ms, time));
	table_cellf(t, BOLD, "%s -> %s", release_label(p->from_number, from),
		    release_label(p->release_number, to));
	table_cell(t, promotion_paint(p->state), promotion_word(p->state));
	table_cell(t, PLAIN, elapsed(p->created_ms, p->finished_ms, now_ms, time));
	table_cell(t, PLAIN, p->actor ? p->actor->name : "");
	table_cellf(t, DIM, "%s%s%s", p->reason, *p->reason && *p->outcome ? "; " : "", p->outcome);
}

static int history(struct cli *cli, struct error *err)
{
	static const char *const headings[] = { ">#",	"WHEN", "WHAT", "STATE",
						"TOOK", "BY",	"",	NULL };
	Sluice__V1__HistoryRequest request = SLUICE__V1__HISTORY_REQUEST__INIT;
	cleanup(table_freep) struct table *t = table_new(headings);
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();
	struct list list;

	request.environment = (char *)word(&cli->args, 0);
	if (list_ask(cli, &history_paged, &request.base, &list, err) < 0)
		return -1;
	if (cli->json)
		return list_json(&history_paged, &list), STATUS_OK;
	for (size_t i = 0; i < list.count; i++)
		add_promotion(t, (const Sluice__V1__Promotion *)list.items[i], look.now_ms);
	table_render(t, &look, "Nothing was promoted here yet.", &text);
	out_buf(&text);
	list_hint(&list);
	return STATUS_OK;
}

/* ---- apply ---- */

static void put_change(const Sluice__V1__PolicyChange *c, bool plan, const struct look *look,
		       struct buf *out)
{
	text_paint(out, look, BOLD, c->environment);
	if (c->created)
		buf_printf(out, "  %s, policy %u\n", plan ? "would be created" : "created",
			   c->policy);
	else if (!c->n_lines)
		buf_printf(out, "  unchanged, policy %u\n", c->policy);
	else
		buf_printf(out, "  %s, policy %u\n", plan ? "would change" : "changed", c->policy);
	for (size_t i = 0; i < c->n_lines; i++) {
		buf_puts(out, "  ");
		text_put(out, c->lines[i]);
		buf_putc(out, '\n');
	}
}

static int apply(struct cli *cli, struct error *err)
{
	Sluice__V1__ApplyRequest request = SLUICE__V1__APPLY_REQUEST__INIT;
	cleanup(pipeline_file_release) struct pipeline_file file = { 0 };
	cleanup(diagnostics_release) struct diagnostics d = { 0 };
	cleanup(buf_release) struct buf text = { 0 };
	struct spec_source source = { .flags = SPEC_ENVIRONMENTS | SPEC_LINT };
	const Sluice__V1__ApplyReply *reply;
	Sluice__V1__Pipeline *pipeline;
	struct look look = out_look();
	struct rpc_channel *ch;

	if (pipeline_file_read(word(&cli->args, 0), &file, err) < 0)
		return -1;
	source.file = file.shown;
	source.text = buf_str(&file.text);
	source.len = file.text.len;
	if (spec_expand(&source, cli->arena, &pipeline, &d) < 0) {
		say_diagnostics(&d, cli->json);
		return STATUS_BAD_FILE;
	}
	say_diagnostics(&d, cli->json);
	request.request_id = cli_request_id(cli);
	request.file_name = file.shown;
	request.file = (char *)buf_str(&file.text);
	request.dry_run = flag_given(&cli->args, "dry-run");
	ch = cli_channel(cli, err);
	reply = ch ? environments_apply(ch, cli->arena, &request, err) : NULL;
	if (!reply)
		return -1;
	if (cli->json)
		return out_json(&reply->base), STATUS_OK;
	for (size_t i = 0; i < reply->n_changes; i++)
		put_change(reply->changes[i], request.dry_run, &look, &text);
	if (!reply->n_changes)
		buf_puts(&text, "The file has no environments.\n");
	out_buf(&text);
	return STATUS_OK;
}

/* ---- logs of services ---- */

static int logs(struct cli *cli, struct error *err)
{
	const Sluice__V1__EnvironmentDetail *env = get(cli, word(&cli->args, 0), err);
	const char *host = flag_text(&cli->args, "host");
	bool live = flag_given(&cli->args, "follow"), several;
	struct follow *f;
	int64_t tail = 0;
	size_t found = 0;
	int r = 0, column = 0;

	if (!env || flag_number(&cli->args, "tail", 1, 100000, &tail, err) < 0)
		return -1;
	several = flag_given(&cli->args, "prefix") || (!host && env->environment->n_hosts > 1);
	for (size_t i = 0; i < env->environment->n_hosts; i++)
		column = MAX(column, (int)strlen(env->environment->hosts[i]->agent_name));
	f = follow_new(cli->channel, cli->json);
	for (size_t i = 0; r == 0 && i < env->environment->n_hosts && !interrupted(); i++) {
		const Sluice__V1__EnvironmentHost *h = env->environment->hosts[i];
		cleanup(freep) char *prefix =
			several ? xprintf("%-*s | ", column, h->agent_name) : xstrdup("");
		struct follow_log log = { .environment = env->environment->name,
					  .agent = h->agent_id,
					  .host = h->agent_name,
					  .tail = (uint32_t)tail,
					  .live = live,
					  .prefix = prefix };

		if (host && strcmp(host, h->agent_name) != 0 && strcmp(host, h->agent_id) != 0)
			continue;
		found++;
		if (live)
			follow_add(f, &log);
		else
			r = follow_read(f, &log, err);
	}
	if (!found && !interrupted()) {
		r = host ? error_id(err, "E0204", "'%s' has no host '%s'", env->environment->name,
				    host)
			 : error_id(err, "E0204", "'%s' has no hosts yet", env->environment->name);
		error_hint(err, "sluice env show %s lists them", env->environment->name);
	}
	if (r == 0 && live)
		r = follow_wait(f, err);
	follow_free(f);
	return r < 0 ? -1 : interrupted() ? STATUS_INTERRUPTED : STATUS_OK;
}

/* ---- holds ---- */

static int set_hold(struct cli *cli, bool on, struct error *err)
{
	Sluice__V1__HoldRequest request = SLUICE__V1__HOLD_REQUEST__INIT;
	struct rpc_channel *ch = cli_channel(cli, err);
	const Sluice__V1__Environment *env;

	request.request_id = cli_request_id(cli);
	request.environment = (char *)word(&cli->args, 0);
	if (flag_given(&cli->args, "reason"))
		request.reason = (char *)flag_text(&cli->args, "reason");
	env = !ch  ? NULL
	      : on ? environments_hold(ch, cli->arena, &request, err)
		   : environments_unhold(ch, cli->arena, &request, err);
	if (!env)
		return -1;
	if (cli->json)
		out_json(&env->base);
	else if (on)
		out_printf(
			"%s is on hold: nothing is promoted there automatically. Lift it: sluice "
			"env unhold %s\n",
			env->name, env->name);
	else
		out_printf("%s is not on hold any more\n", env->name);
	return STATUS_OK;
}

static int hold(struct cli *cli, struct error *err)
{
	return set_hold(cli, true, err);
}

static int unhold(struct cli *cli, struct error *err)
{
	return set_hold(cli, false, err);
}

static const struct flag show_flags[] = {
	{ 'w', "watch", NULL, "look on" },
	TIMEOUT_FLAG,
	{ 0 },
};
static const struct flag apply_flags[] = {
	{ 0, "dry-run", NULL, "only say what would change" },
	{ 0 },
};
static const struct flag logs_flags[] = {
	{ 0, "host", "AGENT", "only this host" },
	{ 'f', "follow", NULL, "go on as it is written" },
	{ 0, "tail", "N", "begin N lines before the end" },
	{ 0, "prefix", NULL, "each line with its host (the default when there are several)" },
	{ 0 },
};
static const struct flag reason_flags[] = {
	{ 0, "reason", "TEXT", "recorded" },
	{ 0 },
};
static const struct flag limit_flags[] = { LIST_FLAG, { 0 } };

const struct verb environment_verbs[] = {
	{ "env ls", "", "Environments and what is live in them", NULL, NULL, 0, 0, true, ls },
	{ "env show", "ENVIRONMENT", "One environment: release, promotion, hosts, gates, hold",
	  NULL, show_flags, 1, 1, true, show },
	{ "env apply", "[FILE|DIR]", "Record the policies of a file (role admin)", NULL,
	  apply_flags, 0, 1, true, apply },
	{ "env logs", "ENVIRONMENT", "What the services wrote", NULL, logs_flags, 1, 1, true,
	  logs },
	{ "env history", "ENVIRONMENT", "Promotions and rollbacks, the newest first", NULL,
	  limit_flags, 1, 1, true, history },
	{ "env hold", "ENVIRONMENT", "Nothing is promoted there automatically from now on", NULL,
	  reason_flags, 1, 1, true, hold },
	{ "env unhold", "ENVIRONMENT", "Lift a hold", NULL, reason_flags, 1, 1, true, unhold },
	{ 0 },
};
