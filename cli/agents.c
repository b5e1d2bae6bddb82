/*
 * agents: the hosts that work.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/list.h"
#include "cli/out.h"
#include "cli/run_view.h"
#include "cli/secret.h"
#include "cli/stubs.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "spec/spec.h"

#define STATE(name) SLUICE__V1__AGENT__STATE__##name

static const struct paged agents_paged = { &sluice__v1__agents__descriptor, "List", "agents" };

static const char *state_word(const Sluice__V1__Agent *a, enum paint *paint)
{
	if (a->state == STATE(REVOKED))
		return *paint = RED, "revoked";
	if (!a->connected)
		return *paint = RED, "away";
	if (a->state == STATE(DRAINING))
		return *paint = YELLOW, "draining";
	return *paint = GREEN, "ready";
}

static void put_labels(Sluice__V1__Variable **labels, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s%s=%s", i ? " " : "", labels[i]->name, labels[i]->value);
}

static void add_agent(struct table *t, const Sluice__V1__AgentDetail *d)
{
	const Sluice__V1__Agent *a = d->agent;
	const Sluice__V1__HostFacts *h = a->host;
	cleanup(buf_release) struct buf labels = { 0 };
	char used[CLOCK_TEXT], all[CLOCK_TEXT];
	enum paint paint;
	const char *state = state_word(a, &paint);

	put_labels(a->labels, a->n_labels, &labels);
	table_cell(t, BOLD, a->name);
	table_cell(t, paint, state);
	table_cellf(t, PLAIN, "%u/%u", d->used_slots, h ? h->slots : 0);
	table_cellf(t, PLAIN, "%.3g/%.3g", d->used_cpu_milli / 1000.0,
		    h ? h->cpu_milli / 1000.0 : 0.0);
	table_cellf(t, PLAIN, "%s/%s", size_format(d->used_memory, used),
		    size_format(h ? h->memory : 0, all));
	table_cellf(t, PLAIN, "%zu/%zu", d->n_used_gpus, h ? h->n_gpus : 0);
	table_cell(t, DIM, buf_str(&labels));
}

static int ls(struct cli *cli, struct error *err)
{
	static const char *const headings[] = { "AGENT",   "STATE", ">SLOTS", ">CPUS",
						">MEMORY", ">GPUS", "LABELS", NULL };
	Sluice__V1__ListAgentsRequest request = SLUICE__V1__LIST_AGENTS_REQUEST__INIT;
	cleanup(table_freep) struct table *t = table_new(headings);
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();
	struct list list;

	if (list_ask(cli, &agents_paged, &request.base, &list, err) < 0)
		return -1;
	if (cli->json)
		return list_json(&agents_paged, &list), STATUS_OK;
	for (size_t i = 0; i < list.count; i++)
		add_agent(t, (const Sluice__V1__AgentDetail *)list.items[i]);
	table_render(t, &look, "No agents yet. `sluice agents token` says how a host joins.",
		     &text);
	out_buf(&text);
	return STATUS_OK;
}

/* ---- show ---- */

static void fact(struct buf *out, const struct look *look, const char *name, const char *value)
{
	if (!*value)
		return;
	text_paintf(out, look, DIM, "  %-12s ", name);
	text_put(out, value);
	buf_putc(out, '\n');
}

static void put_host(const Sluice__V1__HostFacts *h, const struct look *look, struct buf *out)
{
	cleanup(buf_release) struct buf line = { 0 };
	char memory[CLOCK_TEXT], disk[CLOCK_TEXT];

	buf_printf(&line, "%.3g CPUs, %s memory, %s disk free, %u slots", h->cpu_milli / 1000.0,
		   size_format(h->memory, memory), size_format(h->disk_free, disk), h->slots);
	fact(out, look, "host", h->hostname);
	fact(out, look, "has", buf_str(&line));
	for (size_t i = 0; i < h->n_gpus; i++) {
		cleanup(freep) char *gpu =
			xprintf("%u: %s, %s", h->gpus[i]->index, h->gpus[i]->name,
				size_format(h->gpus[i]->memory, memory));

		fact(out, look, "gpu", gpu);
	}
	fact(out, look, "containment", h->containment);
	fact(out, look, "system", h->os);
	fact(out, look, "address", h->address);
}

static void put_agent(const Sluice__V1__AgentDetail *d, const struct look *look, struct buf *out)
{
	const Sluice__V1__Agent *a = d->agent;
	cleanup(buf_release) struct buf labels = { 0 }, environments = { 0 };
	char time[CLOCK_TEXT];
	enum paint paint;
	const char *state = state_word(a, &paint);

	text_paint(out, look, BOLD, a->name);
	buf_puts(out, "  ");
	text_paint(out, look, paint, state);
	if (a->last_seen_ms)
		buf_printf(out, " for %s", elapsed(a->last_seen_ms, 0, look->now_ms, time));
	if (*a->state_reason) {
		buf_puts(out, ": ");
		text_put(out, a->state_reason);
	}
	buf_putc(out, '\n');
	put_labels(a->labels, a->n_labels, &labels);
	fact(out, look, "labels", buf_str(&labels));
	fact(out, look, "pool", a->pool);
	for (size_t i = 0; i < d->n_environments; i++)
		buf_printf(&environments, "%s%s", i ? " " : "", d->environments[i]);
	fact(out, look, "host of", buf_str(&environments));
	if (a->host)
		put_host(a->host, look, out);
	fact(out, look, "version", a->version);
	fact(out, look, "enrolled", clock_format(a->enrolled_ms, time));
	if (a->n_certificates)
		fact(out, look, "certificate",
		     clock_format(a->certificates[a->n_certificates - 1]->not_after_ms, time));
	for (size_t i = 0; i < d->n_attempts; i++) {
		const Sluice__V1__Attempt *at = d->attempts[i];

		buf_printf(out, "  ◌ run %u ", at->run_number);
		text_put(out, at->job_name);
		buf_printf(out, " attempt %u, %s\n", at->number,
			   elapsed(at->accepted_ms ? at->accepted_ms : at->offered_ms, 0,
				   look->now_ms, time));
	}
}

static int show(struct cli *cli, struct error *err)
{
	Sluice__V1__GetAgentRequest request = SLUICE__V1__GET_AGENT_REQUEST__INIT;
	struct rpc_channel *ch = cli_channel(cli, err);
	cleanup(buf_release) struct buf text = { 0 };
	const Sluice__V1__AgentDetail *d;
	struct look look = out_look();

	request.agent = (char *)word(&cli->args, 0);
	d = ch ? agents_get(ch, cli->arena, &request, err) : NULL;
	if (!d)
		return -1;
	if (cli->json)
		return out_json(&d->base), STATUS_OK;
	put_agent(d, &look, &text);
	out_buf(&text);
	return STATUS_OK;
}

/* ---- doing ---- */

typedef const Sluice__V1__Agent *action_fn(struct rpc_channel *ch, struct arena *arena,
					   const Sluice__V1__AgentActionRequest *request,
					   struct error *err);

static int act(struct cli *cli, action_fn *action, const char *done, struct error *err)
{
	Sluice__V1__AgentActionRequest request = SLUICE__V1__AGENT_ACTION_REQUEST__INIT;
	struct rpc_channel *ch = cli_channel(cli, err);
	const Sluice__V1__Agent *a;

	request.request_id = cli_request_id(cli);
	request.agent = (char *)word(&cli->args, 0);
	if (flag_given(&cli->args, "reason"))
		request.reason = (char *)flag_text(&cli->args, "reason");
	a = ch ? action(ch, cli->arena, &request, err) : NULL;
	if (!a)
		return -1;
	if (cli->json)
		out_json(&a->base);
	else
		out_printf("%s %s\n", a->name, done);
	return STATUS_OK;
}

static int drain(struct cli *cli, struct error *err)
{
	return act(cli, agents_drain, "takes no new work; what runs there ends in peace", err);
}

static int resume(struct cli *cli, struct error *err)
{
	return act(cli, agents_resume, "takes work again", err);
}

static int revoke_agent(struct cli *cli, struct error *err)
{
	return act(cli, agents_revoke, "is revoked: its certificates are void", err);
}

static int lost(struct cli *cli, struct error *err)
{
	return act(cli, agents_lost, "is taken for dead: what ran there may run elsewhere", err);
}

/* Reads NAME=VALUE words or flags into variables. */
static int read_label(struct cli *cli, const char *text, Sluice__V1__Variable **ret,
		      struct error *err)
{
	struct spec_override o;
	Sluice__V1__Variable *v;

	if (spec_override_parse(text, cli->arena, &o, err) < 0)
		return error_wrap(err, "a label");
	v = arena_alloc(cli->arena, sizeof *v);
	sluice__v1__variable__init(v);
	v->name = (char *)o.name;
	v->value = (char *)o.value;
	*ret = v;
	return 0;
}

static int label(struct cli *cli, struct error *err)
{
	Sluice__V1__LabelAgentRequest request = SLUICE__V1__LABEL_AGENT_REQUEST__INIT;
	const struct args *args = &cli->args;
	cleanup(buf_release) struct buf labels = { 0 };
	struct rpc_channel *ch;
	const Sluice__V1__Agent *a;

	request.request_id = cli_request_id(cli);
	request.agent = (char *)word(args, 0);
	request.set = arena_alloc(cli->arena, ARGS_MAX * sizeof *request.set);
	request.remove = arena_alloc(cli->arena, ARGS_MAX * sizeof *request.remove);
	for (unsigned i = 1; i < args->n_words; i++) {
		const char *w = word(args, i);

		if (*w && w[strlen(w) - 1] == '-' && !strchr(w, '=')) {
			request.remove[request.n_remove++] =
				arena_strndup(cli->arena, w, strlen(w) - 1);
			continue;
		}
		if (read_label(cli, w, &request.set[request.n_set], err) < 0)
			return -1;
		request.n_set++;
	}
	ch = cli_channel(cli, err);
	a = ch ? agents_label(ch, cli->arena, &request, err) : NULL;
	if (!a)
		return -1;
	if (cli->json)
		return out_json(&a->base), STATUS_OK;
	put_labels(a->labels, a->n_labels, &labels);
	out_printf("%s  %s\n", a->name, labels.len ? buf_str(&labels) : "no labels");
	return STATUS_OK;
}

static int token(struct cli *cli, struct error *err)
{
	Sluice__V1__CreateEnrolTokenRequest request = SLUICE__V1__CREATE_ENROL_TOKEN_REQUEST__INIT;
	const struct args *args = &cli->args;
	const Sluice__V1__CreateEnrolTokenReply *reply;
	cleanup(secret_end) struct secret secret = { .fd = -1 };
	struct rpc_channel *ch;
	char time[CLOCK_TEXT];
	const char *text;

	request.request_id = cli_request_id(cli);
	request.labels = arena_alloc(cli->arena, ARGS_MAX * sizeof *request.labels);
	for (; (text = flag_each(args, "label", (unsigned)request.n_labels)); request.n_labels++)
		if (read_label(cli, text, &request.labels[request.n_labels], err) < 0)
			return -1;
	if (flag_duration(args, "ttl", &request.ttl_ms, err) < 0)
		return -1;
	if (flag_given(args, "name"))
		request.name = (char *)flag_text(args, "name");
	if (flag_given(args, "pool"))
		request.pool = (char *)flag_text(args, "pool");
	if (flag_given(args, "renew"))
		request.agent = (char *)flag_text(args, "renew");
	ch = cli_channel(cli, err);
	if (!ch || secret_begin(cli, &secret, err) < 0)
		return -1;
	reply = agents_create_token(ch, cli->arena, &request, err);
	if (!reply)
		return -1;
	if (cli->json && !secret.path)
		return out_json(&reply->base), STATUS_OK;
	if (secret_put(&secret, reply->token, err) < 0)
		return -1;
	say("Good for one agent until %s. On that host:\n"
	    "  sluice-agent join %s --token-file %s%s && sluice-agent run",
	    clock_format(reply->expires_ms, time), cli->address ? cli->address : "CONTROLLER:7700",
	    secret.path ? secret.path : "FILE", *request.agent ? " --renew" : "");
	return STATUS_OK;
}

static const struct flag reason_flags[] = {
	{ 0, "reason", "TEXT", "recorded, and shown with the agent" },
	{ 0 },
};
static const struct flag token_flags[] = {
	{ 0, "name", "NAME", "the agent's name (default: its host's)" },
	{ 0, "pool", "POOL", "its pool" },
	{ 'l', "label", "NAME=VALUE", "a label; may be repeated. Selectors trust only these" },
	{ 0, "ttl", "DURATION", "how long the token is good (default 30m, at most 7d)" },
	{ 0, "renew", "AGENT", "a new certificate for this agent instead of a new agent" },
	SECRET_FLAG,
	{ 0 },
};
static const struct flag limit_flags[] = { LIST_FLAG, { 0 } };

const struct verb agent_verbs[] = {
	{ "agents ls", "", "Hosts, what they have and what of it is taken", NULL, limit_flags, 0, 0,
	  true, ls },
	{ "agents show", "AGENT", "One agent and what it runs", NULL, NULL, 1, 1, true, show },
	{ "agents drain", "AGENT", "It takes no new work", NULL, reason_flags, 1, 1, true, drain },
	{ "agents resume", "AGENT", "It takes work again", NULL, reason_flags, 1, 1, true, resume },
	{ "agents revoke", "AGENT", "Its certificates are void at once (role admin)", NULL,
	  reason_flags, 1, 1, true, revoke_agent },
	{ "agents lost", "AGENT", "You vouch that the host is dead: its work may start elsewhere",
	  NULL, reason_flags, 1, 1, true, lost },
	{ "agents label", "AGENT NAME=VALUE... NAME-...", "Set and remove labels (role admin)",
	  "  sluice agents label gpu-02 zone=a spot-", NULL, 2, ARGS_MAX, true, label },
	{ "agents token", "", "A one-time token with which a host joins (role admin)",
	  "It goes to stdout, or with -o into a file that only its owner can read, as join wants "
	  "it:\n\n"
	  "  sluice agents token --label env=staging -o staging-1.token\n"
	  "  sluice-agent join controller:7700 --token-file staging-1.token",
	  token_flags, 0, 0, true, token },
	{ 0 },
};
