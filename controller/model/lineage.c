/*
 * From each part up through the inputs of what made it, breadth first, no artifact
 * twice and no more than RELEASE_ANCESTORS of them. Two artifacts are versions of one
 * thing when they are published under one name, or were made by the same job of the
 * same pipeline under the same output's name.
 */
#include "controller/model/lineage.h"

#include <string.h>

#include "controller/model/releases.h"
#include "proto/message.h"
#include "sluice/v1/artifacts.pb-c.h"

struct ancestor {
	char *identity;
	char *digest;
};

struct ancestors {
	struct ancestor *at;
	size_t n;
	int64_t data_until_ms; /* 0: none says */
};

static void ancestors_release(struct ancestors *a)
{
	for (size_t i = 0; i < a->n; i++) {
		free(a->at[i].identity);
		free(a->at[i].digest);
	}
	free(a->at);
}

static bool seen(const struct ancestors *a, const char *digest)
{
	for (size_t i = 0; i < a->n; i++)
		if (!strcmp(a->at[i].digest, digest))
			return true;
	return false;
}

static void add(struct ancestors *a, const char *digest)
{
	if (!digest[0] || a->n >= RELEASE_ANCESTORS || seen(a, digest))
		return;
	a->at = xreallocarray(a->at, a->n + 1, sizeof *a->at);
	a->at[a->n++] = (struct ancestor){ xstrdup(""), xstrdup(digest) };
}

static void look_up(struct world *w, struct ancestors *a, size_t i)
{
	cleanup(message_freep) ProtobufCMessage *message = NULL;
	const Sluice__V1__Artifact *row;

	if (world_fetch_child(w, ROW_ARTIFACT, NULL, a->at[i].digest, &message, NULL) != 1)
		return;
	row = (const Sluice__V1__Artifact *)message;
	free(a->at[i].identity);
	if (row->published[0])
		a->at[i].identity = xstrdup(row->published);
	else if (!row->job_name[0]) /* put by a user: of nothing a version */
		a->at[i].identity = xstrdup("");
	else
		a->at[i].identity = xprintf("%s/%s.%s", row->pipeline, row->job_name, row->name);
	if (row->data_until_ms && (!a->data_until_ms || row->data_until_ms < a->data_until_ms))
		a->data_until_ms = row->data_until_ms;
	for (size_t j = 0; j < row->n_inputs; j++)
		add(a, row->inputs[j]);
}

static void walk(struct world *w, const char *digest, struct ancestors *a)
{
	add(a, digest);
	for (size_t i = 0; i < a->n; i++)
		look_up(w, a, i);
}

static bool has(const struct ancestors *a, const char *identity, const char *digest)
{
	for (size_t i = 0; i < a->n; i++)
		if (!strcmp(a->at[i].identity, identity) &&
		    (!digest || !strcmp(a->at[i].digest, digest)))
			return true;
	return false;
}

static const char *version_of(const struct ancestors *a, const char *identity)
{
	for (size_t i = 0; i < a->n; i++)
		if (!strcmp(a->at[i].identity, identity))
			return a->at[i].digest;
	return "";
}

static int compare(const struct ancestors *a, const struct ancestors *b, const char *slot_a,
		   const char *slot_b, struct error *err)
{
	for (size_t i = 0; i < a->n; i++) {
		const char *identity = a->at[i].identity;

		if (!identity[0] || !has(b, identity, NULL) || has(b, identity, a->at[i].digest))
			continue;
		return error_set(
			err, ERR_INVALID,
			"parts '%s' and '%s' of the release come from different versions of "
			"'%s': %.15s and %.15s",
			slot_a, slot_b, identity, a->at[i].digest, version_of(b, identity));
	}
	return 0;
}

int lineage_check_parts(struct world *w, const Sluice__V1__Release *row, struct error *err)
{
	struct ancestors *parts = xcalloc(row->n_parts, sizeof *parts);
	int r = 0;

	for (size_t i = 0; i < row->n_parts; i++)
		walk(w, row->parts[i]->digest, &parts[i]);
	for (size_t i = 0; r == 0 && i < row->n_parts; i++)
		for (size_t j = 0; r == 0 && j < row->n_parts; j++)
			if (i != j)
				r = compare(&parts[i], &parts[j], row->parts[i]->slot,
					    row->parts[j]->slot, err);
	for (size_t i = 0; i < row->n_parts; i++)
		ancestors_release(&parts[i]);
	free(parts);
	return r;
}

int64_t lineage_data_until(struct world *w, const Sluice__V1__Release *row)
{
	struct ancestors all = { 0 };
	int64_t until;

	for (size_t i = 0; i < row->n_parts; i++)
		add(&all, row->parts[i]->digest);
	for (size_t i = 0; i < all.n; i++)
		look_up(w, &all, i);
	until = all.data_until_ms;
	ancestors_release(&all);
	return until;
}
