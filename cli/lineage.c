/*
 * The reply is a list of artifacts, each with the digests of its inputs: the tree is made here.
 */
#include "cli/lineage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/stubs.h"

#define KIND(name) SLUICE__V1__ARTIFACT_KIND__##name

enum { DEPTH_MOST = 32 };

const Sluice__V1__LineageReply *lineage_ask(struct cli *cli, const char *artifact, bool down,
					    struct error *err)
{
	Sluice__V1__LineageRequest request = SLUICE__V1__LINEAGE_REQUEST__INIT;
	struct rpc_channel *ch = cli_channel(cli, err);

	request.artifact = (char *)artifact;
	request.down = down;
	return ch ? artifacts_lineage(ch, cli->arena, &request, err) : NULL;
}

const char *kind_word(Sluice__V1__ArtifactKind kind)
{
	static const char *const words[] = {
		[KIND(ANY)] = "any",   [KIND(DATA)] = "data",	  [KIND(MODEL)] = "model",
		[KIND(CODE)] = "code", [KIND(REPORT)] = "report", [KIND(SOURCE)] = "source",
	};

	return kind < ARRAY_SIZE(words) && words[kind] ? words[kind] : "any";
}

char *lineage_short(Sluice__V1__ArtifactKind kind, const char *digest, char ret[LINEAGE_SHORT])
{
	const char *hex = strncmp(digest, "sha256:", 7) == 0 ? digest + 7 : digest;

	snprintf(ret, LINEAGE_SHORT, "%c:%.4s", kind_word(kind)[0], hex);
	return ret;
}

struct drawing {
	const Sluice__V1__LineageReply *reply;
	const struct look *look;
	struct buf *out;
	bool *shown;
};

/* "f:3a91 train[seed=1]/model  2.1 MiB  run 318  epochs=20" */
static void put_artifact(const struct drawing *d, const Sluice__V1__Artifact *a)
{
	cleanup(buf_release) struct buf line = { 0 };
	char size[CLOCK_TEXT], digest[LINEAGE_SHORT];

	text_paint(&line, d->look, CYAN, lineage_short(a->kind, a->digest, digest));
	buf_putc(&line, ' ');
	if (*a->published)
		text_paintf(&line, d->look, BOLD, "%s v%u", a->published, a->version);
	else if (*a->job_name)
		text_paintf(&line, d->look, PLAIN, "%s/%s", a->job_name, a->name);
	else
		text_paint(&line, d->look, PLAIN, a->name);
	buf_printf(&line, "  %s, %s", kind_word(a->kind), size_format(a->size, size));
	if (a->run_number)
		buf_printf(&line, ", run %u", a->run_number);
	else if (a->actor && *a->actor->name)
		text_paintf(&line, d->look, PLAIN, ", from %s", a->actor->name);
	for (size_t i = 0; i < a->n_params; i++)
		text_paintf(&line, d->look, DIM, "%s%s=%s", i ? " " : "  ", a->params[i]->name,
			    a->params[i]->value);
	for (size_t i = 0; i < MIN(a->n_metrics, (size_t)4); i++)
		text_paintf(&line, d->look, GREEN, "%s%s %.4g", i ? " " : "  ", a->metrics[i]->name,
			    a->metrics[i]->value);
	buf_puts(d->out, buf_str(&line));
	buf_putc(d->out, '\n');
}

/* The node of an input: by its id, or, where that is not known, by its digest. */
static size_t find(const struct drawing *d, const Sluice__V1__Artifact *made, size_t input)
{
	const char *id = input < made->n_input_ids ? made->input_ids[input] : "";

	for (size_t i = 0; i < d->reply->n_nodes; i++) {
		const Sluice__V1__Artifact *a = d->reply->nodes[i]->artifact;

		if (*id ? strcmp(a->id, id) == 0 : strcmp(a->digest, made->inputs[input]) == 0)
			return i;
	}
	return d->reply->n_nodes;
}

static void put_inputs(const struct drawing *d, const Sluice__V1__Artifact *a, const char *indent,
		       int depth)
{
	for (size_t i = 0; i < a->n_inputs; i++) {
		bool last = i + 1 == a->n_inputs;
		cleanup(freep) char *deeper = xprintf("%s%s", indent, last ? "   " : "│  ");
		size_t at = find(d, a, i);

		buf_printf(d->out, "%s%s", indent, last ? "└─ " : "├─ ");
		if (at == d->reply->n_nodes) {
			text_paintf(d->out, d->look, DIM, "%.19s  (not kept any more)\n",
				    a->inputs[i]);
			continue;
		}
		if (d->shown[at]) {
			char digest[LINEAGE_SHORT];
			const Sluice__V1__Artifact *again = d->reply->nodes[at]->artifact;

			text_paintf(d->out, d->look, DIM, "%s %s, as above",
				    lineage_short(again->kind, again->digest, digest),
				    *again->published ? again->published : again->name);
			buf_putc(d->out, '\n');
			continue;
		}
		d->shown[at] = true;
		put_artifact(d, d->reply->nodes[at]->artifact);
		if (depth < DEPTH_MOST)
			put_inputs(d, d->reply->nodes[at]->artifact, deeper, depth + 1);
	}
}

void lineage_view(const Sluice__V1__LineageReply *reply, const char *indent,
		  const struct look *look, struct buf *out)
{
	struct drawing d = { reply, look, out, xcalloc(reply->n_nodes + 1, sizeof(bool)) };

	if (reply->n_nodes) {
		d.shown[0] = true;
		put_artifact(&d, reply->nodes[0]->artifact);
		put_inputs(&d, reply->nodes[0]->artifact, indent, 1);
	}
	if (reply->truncated)
		buf_printf(out, "%s(cut after %zu artifacts)\n", indent, reply->n_nodes);
	free(d.shown);
}
