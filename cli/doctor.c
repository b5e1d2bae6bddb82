/*
 * The doctor looks at what a person would look at, in this order: this computer's context, the way
 * to the controller, the controller, its hosts. What depends on a failed check is not tried.
 */
#include "cli/doctor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/context.h"
#include "cli/json.h"
#include "cli/out.h"
#include "cli/stubs.h"

enum { SKEW_WARN_MS = 5000, SKEW_FAIL_MS = 60000 };
static const uint64_t disk_warn = UINT64_C(5) << 30, disk_fail = UINT64_C(512) << 20;

enum verdict { WELL, WARN, FAIL };

struct doctor {
	struct cli *cli;
	struct look look;
	json_t *checks;
	int worst;
};

static void tell(struct doctor *d, enum verdict verdict, const char *what, const char *next,
		 const char *fmt, ...) __attribute__((format(printf, 5, 6)));
static void tell(struct doctor *d, enum verdict verdict, const char *what, const char *next,
		 const char *fmt, ...)
{
	static const char *const words[] = { "ok", "warn", "fail" };
	static const enum paint paints[] = { GREEN, YELLOW, RED };
	cleanup(buf_release) struct buf line = { 0 };
	cleanup(freep) char *text = NULL;
	va_list args;

	va_start(args, fmt);
	text = xvprintf(fmt, args);
	va_end(args);
	d->worst = MAX(d->worst, (int)verdict);
	if (d->cli->json) {
		json_array_append_new(d->checks, json_pack("{s:s, s:s, s:s, s:s}", "check", what,
							   "result", words[verdict], "text", text,
							   "next", verdict == WELL ? "" : next));
		return;
	}
	text_paintf(&line, &d->look, paints[verdict], "%-5s", words[verdict]);
	buf_printf(&line, " %-12s ", what);
	text_put(&line, text);
	if (verdict != WELL && *next) {
		buf_puts(&line, "\n                   ");
		text_paint(&line, &d->look, DIM, next);
	}
	out_printf("%s\n", buf_str(&line));
}

static bool check_context(struct doctor *d)
{
	cleanup(context_release) struct context c = { 0 };
	struct error err = { 0 };

	if (context_resolve(flag_text(&d->cli->args, "context"), &c, &err) < 0)
		return tell(d, FAIL, "context", err.hint, "%s", err.text), false;
	tell(d, WELL, "context", "", "%s, controller at %s", c.name, c.address);
	return true;
}

/* NULL: not reached. *ret_skew_ms: the controller's clock less ours, half the way taken off. */
static const Sluice__V1__SystemInfo *check_controller(struct doctor *d, int64_t *ret_skew_ms)
{
	Sluice__V1__Empty request = SLUICE__V1__EMPTY__INIT;
	const Sluice__V1__SystemInfo *info;
	struct error err = { 0 };
	struct rpc_channel *ch = cli_channel(d->cli, &err);
	int64_t before = 0, took_us;
	char time[CLOCK_TEXT];

	/* the first call connects; the second is measured */
	if (ch && system_info(ch, d->cli->arena, &request, &err)) {
		before = clock_wall_ms();
		took_us = clock_mono_us();
	}
	info = before ? system_info(ch, d->cli->arena, &request, &err) : NULL;
	if (!info) {
		if (err.code == ERR_UNAVAILABLE && d->cli->dev)
			error_hint(&err, "start it with: sluice dev --dir %s", d->cli->dev);
		tell(d, FAIL, "controller", err.hint, "%s", err.text);
		return NULL;
	}
	took_us = clock_mono_us() - took_us;
	*ret_skew_ms = info->now_ms - (before + took_us / 2000);
	tell(d, WELL, "controller", "", "answers in %.1fms over TLS 1.3, up for %s",
	     (double)took_us / 1000, duration_format(info->now_ms - info->started_ms, time));
	return info;
}

static void check_identity(struct doctor *d)
{
	Sluice__V1__Empty request = SLUICE__V1__EMPTY__INIT;
	struct error err = { 0 };
	const Sluice__V1__Token *me =
		tokens_who_am_i(d->cli->channel, d->cli->arena, &request, &err);
	char role[ENUM_WORD], time[CLOCK_TEXT];
	int64_t left;

	if (!me)
		return tell(d, FAIL, "token", err.hint, "%s", err.text);
	left = me->expires_ms - d->look.now_ms;
	enum_word(&sluice__v1__role__descriptor, (int)me->role, role);
	if (me->expires_ms && left < 7 * INT64_C(86400000))
		tell(d, WARN, "token", "ask an admin for a new one: sluice tokens create",
		     "%s (%s), good for %s only", me->name, role,
		     duration_format(MAX(left, INT64_C(0)), time));
	else
		tell(d, WELL, "token", "", "%s (%s)", me->name, role);
}

static void check_versions(struct doctor *d, const Sluice__V1__SystemInfo *info)
{
	if (strcmp(info->version, SLUICE_VERSION) == 0)
		tell(d, WELL, "version", "", "%s, here and there", SLUICE_VERSION);
	else
		tell(d, WARN, "version", "install the controller's version of sluice here",
		     "%s here, %s there", SLUICE_VERSION, info->version);
}

static void check_clock(struct doctor *d, int64_t skew_ms)
{
	int64_t off = skew_ms < 0 ? -skew_ms : skew_ms;
	char time[CLOCK_TEXT];

	duration_format(off, time);
	if (off < SKEW_WARN_MS)
		tell(d, WELL, "clocks", "", "%s apart", time);
	else
		tell(d, off < SKEW_FAIL_MS ? WARN : FAIL, "clocks",
		     "set both by NTP: timedatectl set-ntp true", "the controller's is %s %s", time,
		     skew_ms > 0 ? "ahead" : "behind");
}

static void check_disk(struct doctor *d, const Sluice__V1__SystemInfo *info)
{
	static const char next[] = "free space under the controller's state directory (E0601)";
	char size[CLOCK_TEXT];

	size_format(info->disk_free, size);
	tell(d,
	     info->disk_free < disk_fail   ? FAIL
	     : info->disk_free < disk_warn ? WARN
					   : WELL,
	     "disk", next, "%s free at the controller", size);
}

static void check_agents(struct doctor *d)
{
	Sluice__V1__PageRequest page = SLUICE__V1__PAGE_REQUEST__INIT;
	Sluice__V1__ListAgentsRequest request = SLUICE__V1__LIST_AGENTS_REQUEST__INIT;
	const Sluice__V1__ListAgentsReply *reply;
	cleanup(buf_release) struct buf away = { 0 }, old = { 0 };
	struct error err = { 0 };
	size_t alive = 0, n = 0;

	page.size = 1000;
	request.page = &page;
	reply = agents_list(d->cli->channel, d->cli->arena, &request, &err);
	if (!reply)
		return tell(d, FAIL, "agents", err.hint, "%s", err.text);
	for (size_t i = 0; i < reply->n_agents; i++) {
		const Sluice__V1__Agent *a = reply->agents[i]->agent;

		if (a->state == SLUICE__V1__AGENT__STATE__REVOKED)
			continue;
		n++;
		alive += a->connected;
		if (!a->connected)
			buf_printf(&away, " %s", a->name);
		if (*a->version && strcmp(a->version, SLUICE_VERSION) != 0)
			buf_printf(&old, " %s (%s)", a->name, a->version);
	}
	if (!n)
		tell(d, WARN, "agents", "sluice agents token says how a host joins",
		     "none: jobs have nowhere to run");
	else if (alive < n)
		tell(d, alive ? WARN : FAIL, "agents",
		     "look at sluice-agent's log on those hosts: journalctl -u sluice-agent",
		     "%zu of %zu connected; away:%s", alive, n, buf_str(&away));
	else
		tell(d, WELL, "agents", "", "%zu of %zu connected", alive, n);
	if (old.len)
		tell(d, WARN, "versions", "install the controller's version there",
		     "agents of another version:%s", buf_str(&old));
}

int doctor(struct cli *cli, struct error *err)
{
	struct doctor d = { .cli = cli, .look = out_look(), .checks = json_array() };
	const Sluice__V1__SystemInfo *info;
	int64_t skew_ms = 0;

	if (check_context(&d) && (info = check_controller(&d, &skew_ms))) {
		check_identity(&d);
		check_versions(&d, info);
		check_clock(&d, skew_ms);
		check_disk(&d, info);
		check_agents(&d);
	}
	if (cli->json)
		out_json_value(json_pack("{s:o}", "checks", d.checks), false);
	else
		json_decref(d.checks);
	return d.worst == FAIL ? STATUS_FAILED : STATUS_OK;
}
