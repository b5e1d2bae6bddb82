/*
 * releases: what was made, where it is, and what exactly it was made of.
 */
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/env_view.h"
#include "cli/json.h"
#include "cli/lineage.h"
#include "cli/list.h"
#include "cli/out.h"
#include "cli/run_view.h"
#include "cli/stubs.h"
#include "cli/table.h"
#include "cli/verbs.h"

static const struct paged releases_paged = { &sluice__v1__releases__descriptor, "List",
					     "releases" };

static void join(char **items, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s%s", i ? ", " : "", items[i]);
}

static void add_release(struct table *t, const Sluice__V1__ReleaseDetail *d, int64_t now_ms)
{
	cleanup(buf_release) struct buf live = { 0 }, verified = { 0 }, parts = { 0 };
	const Sluice__V1__Release *r = d->release;
	char ago[AGE], digest[LINEAGE_SHORT];

	join(d->live_in, d->n_live_in, &live);
	join(d->verified_in, d->n_verified_in, &verified);
	for (size_t i = 0; i < r->n_parts; i++)
		buf_printf(&parts, "%s%s %s", i ? ", " : "", r->parts[i]->slot,
			   lineage_short(r->parts[i]->kind, r->parts[i]->digest, digest));
	table_cellf(t, BOLD, "r%u", r->number);
	table_cell(t, PLAIN, r->pipeline);
	table_cellf(t, PLAIN, "%u", r->run_number);
	table_cell(t, DIM, age(r->created_ms, now_ms, ago));
	table_cell(t, GREEN, live.len ? buf_str(&live) : "-");
	table_cell(t, PLAIN, verified.len ? buf_str(&verified) : "-");
	table_cellf(t, r->n_quarantined ? RED : DIM, "%s%s",
		    r->n_quarantined ? "quarantined; " : "", buf_str(&parts));
}

static int ls(struct cli *cli, struct error *err)
{
	static const char *const headings[] = { "RELEASE", "PIPELINE", ">RUN",	"MADE",
						"LIVE IN", "VERIFIED", "PARTS", NULL };
	Sluice__V1__ListReleasesRequest request = SLUICE__V1__LIST_RELEASES_REQUEST__INIT;
	cleanup(table_freep) struct table *t = table_new(headings);
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();
	struct list list;

	if (flag_given(&cli->args, "pipeline"))
		request.pipeline = (char *)flag_text(&cli->args, "pipeline");
	if (list_ask(cli, &releases_paged, &request.base, &list, err) < 0)
		return -1;
	if (cli->json)
		return list_json(&releases_paged, &list), STATUS_OK;
	for (size_t i = 0; i < list.count; i++)
		add_release(t, (const Sluice__V1__ReleaseDetail *)list.items[i], look.now_ms);
	table_render(t, &look, "No releases yet. A job with `release:` makes one.", &text);
	out_buf(&text);
	list_hint(&list);
	return STATUS_OK;
}

static const Sluice__V1__ReleaseDetail *get(struct cli *cli, struct error *err)
{
	Sluice__V1__GetReleaseRequest request = SLUICE__V1__GET_RELEASE_REQUEST__INIT;
	struct rpc_channel *ch = cli_channel(cli, err);

	request.release = (char *)word(&cli->args, 0);
	return ch ? releases_get(ch, cli->arena, &request, err) : NULL;
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

static void put_head(const Sluice__V1__Release *r, const struct look *look, struct buf *out)
{
	char ago[AGE];

	text_paintf(out, look, BOLD, "r%u", r->number);
	buf_printf(out, "  %s, run %u, %s\n", r->pipeline, r->run_number,
		   age(r->created_ms, look->now_ms, ago));
}

/* "production (rolled back: chargebacks up; admin, 2m10s ago)" */
static void put_quarantines(const Sluice__V1__Release *r, const struct look *look, struct buf *out)
{
	char ago[AGE];

	for (size_t i = 0; i < r->n_quarantined; i++) {
		buf_printf(out, "%s%s", i ? ", " : "", r->quarantined[i]);
		for (size_t k = 0; k < r->n_quarantines; k++) {
			const Sluice__V1__Quarantine *q = r->quarantines[k];

			if (strcmp(q->environment, r->quarantined[i]) == 0)
				buf_printf(out, " (%s; %s%s%s)", q->reason, q->actor,
					   *q->actor ? ", " : "",
					   age(q->since_ms, look->now_ms, ago));
		}
	}
}

static void put_facts(const Sluice__V1__ReleaseDetail *d, const struct look *look, struct buf *out)
{
	cleanup(buf_release) struct buf live = { 0 }, verified = { 0 }, bad = { 0 }, params = { 0 };
	const Sluice__V1__Release *r = d->release;
	char time[CLOCK_TEXT];

	join(d->live_in, d->n_live_in, &live);
	join(d->verified_in, d->n_verified_in, &verified);
	put_quarantines(r, look, &bad);
	for (size_t i = 0; i < r->n_params; i++)
		buf_printf(&params, "%s%s=%s", i ? " " : "", r->params[i]->name,
			   r->params[i]->value);
	fact(out, look, "live in", buf_str(&live));
	fact(out, look, "verified in", buf_str(&verified));
	fact(out, look, "quarantined", buf_str(&bad));
	fact(out, look, "source", r->source_label);
	fact(out, look, "parameters", buf_str(&params));
	fact(out, look, "by", r->actor ? r->actor->name : "");
	if (r->data_until_ms)
		fact(out, look, "data until", clock_format(r->data_until_ms, time));
	fact(out, look, "digest", r->digest);
}

static int show(struct cli *cli, struct error *err)
{
	const Sluice__V1__ReleaseDetail *d = get(cli, err);
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();
	char size[CLOCK_TEXT];

	if (!d)
		return -1;
	if (cli->json)
		return out_json(&d->base), STATUS_OK;
	put_head(d->release, &look, &text);
	put_facts(d, &look, &text);
	for (size_t i = 0; i < d->release->n_parts; i++) {
		const Sluice__V1__ReleasePart *part = d->release->parts[i];
		const Sluice__V1__Artifact *a = NULL;

		for (size_t k = 0; k < d->n_parts; k++)
			if (strcmp(d->parts[k]->id, part->artifact_id) == 0)
				a = d->parts[k];
		text_paintf(&text, &look, DIM, "  %-12s ", "part");
		buf_printf(&text, "%-10s %s", part->slot, part->digest);
		if (a)
			buf_printf(&text, "  %s", size_format(a->size, size));
		buf_putc(&text, '\n');
	}
	for (size_t i = 0; i < d->n_verdicts; i++) {
		buf_puts(&text, "  ");
		verdict_view(d->verdicts[i], &look, &text);
		buf_putc(&text, '\n');
	}
	out_buf(&text);
	return STATUS_OK;
}

/* ---- lineage ---- */

static int lineage(struct cli *cli, struct error *err)
{
	const Sluice__V1__ReleaseDetail *d = get(cli, err);
	cleanup(buf_release) struct buf text = { 0 };
	struct look look = out_look();
	json_t *parts = json_object();

	if (!d)
		return json_decref(parts), -1;
	put_head(d->release, &look, &text);
	for (size_t i = 0; i < d->release->n_parts; i++) {
		const Sluice__V1__ReleasePart *part = d->release->parts[i];
		const Sluice__V1__LineageReply *reply = lineage_ask(
			cli, *part->artifact_id ? part->artifact_id : part->digest, false, err);

		if (!reply) {
			json_decref(parts);
			return -1;
		}
		if (cli->json) {
			json_object_set_new(parts, part->slot, json_of(&reply->base));
			continue;
		}
		buf_puts(&text, i + 1 < d->release->n_parts ? "├─ " : "└─ ");
		text_paint(&text, &look, BOLD, part->slot);
		buf_puts(&text, "  ");
		lineage_view(reply, i + 1 < d->release->n_parts ? "│  " : "   ", &look, &text);
	}
	if (cli->json) {
		json_t *root = json_object();

		json_object_set_new(root, "release", json_of(&d->release->base));
		json_object_set_new(root, "parts", parts);
		out_json_value(root, false);
		return STATUS_OK;
	}
	json_decref(parts);
	out_buf(&text);
	return STATUS_OK;
}

static const struct flag ls_flags[] = {
	{ 0, "pipeline", "NAME", "only releases of this pipeline" },
	LIST_FLAG,
	{ 0 },
};

const struct verb release_verbs[] = {
	{ "releases ls", "", "Releases, the newest first", NULL, ls_flags, 0, 0, true, ls },
	{ "releases show", "RELEASE", "One release: parts, gates, where it is", NULL, NULL, 1, 1,
	  true, show },
	{ "releases lineage", "RELEASE", "The exact data, code and parameters that made it",
	  "From each part up to what it was made from:\n\n  sluice releases lineage r57", NULL, 1,
	  1, true, lineage },
	{ 0 },
};
