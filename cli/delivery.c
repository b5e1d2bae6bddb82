/*
 * promote and rollback: ask, show the checks, look on.
 */
#include <string.h>

#include "cli/cli.h"
#include "cli/env_view.h"
#include "cli/lineage.h"
#include "cli/out.h"
#include "cli/stubs.h"
#include "cli/verbs.h"
#include "cli/watch.h"

static void put_lines(const Sluice__V1__PromoteReply *reply)
{
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();

	for (size_t i = 0; i < reply->n_lines; i++) {
		buf_puts(&text, "  ");
		check_view(reply->lines[i], &look, &text);
		buf_putc(&text, '\n');
	}
	out_buf(&text);
}

static void put_hold(const Sluice__V1__PromoteReply *reply, const char *environment)
{
	if (reply->hold)
		say("Hold on %s: nothing is promoted there automatically. Lift it: sluice env "
		    "unhold %s",
		    environment, environment);
}

/* Told to, or, unless told not to, because it is the default here; --json answers at once. */
static bool looks_on(const struct cli *cli, bool otherwise)
{
	if (flag_given(&cli->args, "watch") || flag_given(&cli->args, "timeout"))
		return true;
	return otherwise && !cli->json && !flag_given(&cli->args, "no-watch");
}

/* To the end, which is the exit code; or only that it has begun. */
static int go_on(struct cli *cli, const Sluice__V1__PromoteReply *reply, bool look,
		 struct error *err)
{
	const Sluice__V1__Promotion *p = reply->promotion;
	int status = STATUS_OK;

	if (!p)
		return STATUS_OK;
	if (look)
		status = watch_environment(cli, p->environment, p->id, err);
	if (!cli->json)
		put_hold(reply, p->environment);
	if (!look && !cli->json)
		say("Begun, not done: --watch looks on, with the outcome as exit code. To see it: "
		    "sluice env show %s --watch",
		    p->environment);
	return status;
}

/* ---- promote ---- */

/* "r57 fraud-scoring (model m:4c1e, code s:7be1, 9f31c2e) -> production, now r52" */
static void put_headline(struct cli *cli, const Sluice__V1__PromoteRequest *promote)
{
	Sluice__V1__GetReleaseRequest ask = SLUICE__V1__GET_RELEASE_REQUEST__INIT;
	Sluice__V1__GetEnvironmentRequest where = SLUICE__V1__GET_ENVIRONMENT_REQUEST__INIT;
	cleanup(buf_release) struct buf line = { 0 };
	const Sluice__V1__EnvironmentDetail *env;
	const Sluice__V1__ReleaseDetail *d;
	char label[RELEASE_LABEL];

	ask.release = promote->release;
	where.environment = promote->environment;
	d = releases_get(cli->channel, cli->arena, &ask, NULL);
	env = environments_get(cli->channel, cli->arena, &where, NULL);
	if (d) {
		buf_printf(&line, "r%u %s (", d->release->number, d->release->pipeline);
		for (size_t i = 0; i < d->release->n_parts; i++) {
			const Sluice__V1__ReleasePart *part = d->release->parts[i];
			char digest[LINEAGE_SHORT];

			buf_printf(&line, "%s %s, ", part->slot,
				   lineage_short(part->kind, part->digest, digest));
		}
		buf_printf(&line, "%s)", d->release->source_label);
	} else {
		buf_puts(&line, promote->release);
	}
	buf_printf(&line, " -> %s", promote->environment);
	if (env)
		buf_printf(&line, ", now %s",
			   release_label(env->live ? env->live->number : 0, label));
	out_printf("%s%s\n", buf_str(&line), promote->dry_run ? "  (a plan: nothing changes)" : "");
}

/* A plan that some check refuses is no success: a script must be able to tell. */
static int plan_status(const Sluice__V1__PromoteReply *reply)
{
	for (size_t i = 0; i < reply->n_lines; i++)
		if (strncmp(reply->lines[i], "✘", strlen("✘")) == 0)
			return STATUS_REJECTED;
	return STATUS_OK;
}

static int promote(struct cli *cli, struct error *err)
{
	Sluice__V1__PromoteRequest request = SLUICE__V1__PROMOTE_REQUEST__INIT;
	const struct args *args = &cli->args;
	const char *environment = flag_text(args, "to");
	bool plan = flag_given(args, "plan");
	const Sluice__V1__PromoteReply *reply;
	struct rpc_channel *ch;
	int64_t until_ms;

	if (watch_until(args, &until_ms, err) < 0)
		return -1;
	if (!environment) {
		error_set(err, ERR_INVALID, "where to? `sluice promote` needs --to ENVIRONMENT");
		return error_hint(err, "sluice env ls lists them");
	}
	request.request_id = cli_request_id(cli);
	request.release = (char *)word(args, 0);
	request.environment = (char *)environment;
	request.dry_run = plan;
	if (flag_given(args, "expect-live"))
		request.expect_live = (char *)flag_text(args, "expect-live");
	if (flag_given(args, "override"))
		request.override_reason = (char *)flag_text(args, "override");
	if (flag_given(args, "reason"))
		request.reason = (char *)flag_text(args, "reason");
	ch = cli_channel(cli, err);
	reply = ch ? environments_promote(ch, cli->arena, &request, err) : NULL;
	if (!reply)
		return -1;
	if (cli->json && (plan || !looks_on(cli, false)))
		return out_json(&reply->base), plan ? plan_status(reply) : STATUS_OK;
	if (!cli->json) {
		put_headline(cli, &request);
		put_lines(reply);
	}
	return plan ? plan_status(reply) : go_on(cli, reply, looks_on(cli, out_live()), err);
}

/* ---- rollback ---- */

static int rollback(struct cli *cli, struct error *err)
{
	Sluice__V1__RollbackRequest request = SLUICE__V1__ROLLBACK_REQUEST__INIT;
	const struct args *args = &cli->args;
	const char *environment = word(args, 0);
	struct rpc_channel *ch = cli_channel(cli, err);
	const Sluice__V1__PromoteReply *reply;
	int64_t until_ms;

	if (!ch || watch_until(args, &until_ms, err) < 0)
		return -1;
	request.request_id = cli_request_id(cli);
	request.environment = (char *)environment;
	if (flag_given(args, "to"))
		request.to = (char *)flag_text(args, "to");
	if (flag_given(args, "reason"))
		request.reason = (char *)flag_text(args, "reason");
	reply = environments_rollback(ch, cli->arena, &request, err);
	if (!reply)
		return -1;
	if (cli->json && !looks_on(cli, false))
		return out_json(&reply->base), STATUS_OK;
	if (!looks_on(cli, true)) /* else the watching says it */
		put_lines(reply);
	return go_on(cli, reply, looks_on(cli, true), err);
}

static const struct flag promote_flags[] = {
	{ 0, "to", "ENVIRONMENT", "where" },
	{ 0, "plan", NULL, "only say what would be checked and done" },
	{ 0, "override", "REASON", "go past a check that says no (role approver); recorded" },
	{ 0, "expect-live", "RELEASE", "only if this release is live there when it starts" },
	{ 0, "reason", "TEXT", "recorded with the promotion" },
	{ 'w', "watch", NULL,
	  "look on until it has ended, with its outcome as exit code (the default on a terminal)" },
	{ 0, "no-watch", NULL, "do not look on: the exit code says only that it has begun" },
	TIMEOUT_FLAG,
	{ 0 },
};
static const struct flag rollback_flags[] = {
	{ 0, "to", "RELEASE", "this one instead of the last good one" },
	{ 0, "reason", "TEXT", "recorded with the rollback and the hold" },
	{ 'w', "watch", NULL,
	  "look on until it has ended, with its outcome as exit code (the default)" },
	{ 0, "no-watch", NULL, "do not look on: the exit code says only that it has begun" },
	TIMEOUT_FLAG,
	{ 0 },
};

const struct verb delivery_verbs[] = {
	{ "promote", "RELEASE --to ENVIRONMENT", "Make a release live in an environment",
	  "It may take long: hosts, verification, its turn. A terminal looks on; a script says "
	  "--watch,\n"
	  "or gets an exit code that says only that it has begun.\n\n"
	  "  sluice promote r57 --to production --plan\n"
	  "  sluice promote r57 --to production --watch --timeout 30m",
	  promote_flags, 1, 1, true, promote },
	{ "rollback", "ENVIRONMENT", "Go back to what was good; never waits for anything",
	  "It takes seconds, so it is looked on to its end; the exit code is its outcome. With "
	  "--json\n"
	  "it answers at once.\n\n"
	  "  sluice rollback production --reason \"chargebacks up\"",
	  rollback_flags, 1, 1, true, rollback },
	{ 0 },
};
