/*
 * Garbage collection over a store, a world and blobs made from a seed: what something names stays,
 * whole; what nothing names goes, but for what was touched lately; and when anything about it
 * cannot be read, all of it stays.
 */
#include "controller/collect.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "blob/manifest.h"
#include "house.h"
#include "proto/message.h"
#include "sluice/v1/artifacts.pb-c.h"
#include "sluice/v1/environments.pb-c.h"
#include "sluice/v1/releases.pb-c.h"
#include "sluice/v1/runs.pb-c.h"
#include "sluice/v1/store.pb-c.h"

enum { SHARED = 12, NAMES = 3, VERSIONS = 8, LOOSE = 12, CHUNKS = 4 };

/* What names an artifact; each is live or not for a reason of its own. */
enum role {
	UNNAMED,
	VERSION, /* live among the newest five of its name */
	RECENT_RELEASE,
	QUARANTINED_RELEASE, /* recent, and given up */
	OLD_RELEASE,
	LIVE_RELEASE, /* old, but an environment runs it */
	RUN_SOURCE,
	JOB_INPUT,
	JOB_OUTPUT,
	JOB_REPORT,
	RELEASE_NOTES,
	RECENT_CANDIDATE, /* of a verdict that a recent release names */
	RECENT_CHAMPION,
	RECENT_SET,
	LIVE_CANDIDATE, /* of one that the live release names, an old one */
	OLD_CANDIDATE,	/* of one that an old release names */
	YOUNG,		/* unnamed, but touched within the day */
	ROLES
};

static const bool is_live[ROLES] = {
	[RECENT_RELEASE] = true,  [LIVE_RELEASE] = true, [RUN_SOURCE] = true,
	[JOB_INPUT] = true,	  [JOB_OUTPUT] = true,	 [JOB_REPORT] = true,
	[RELEASE_NOTES] = true,	  [YOUNG] = true,	 [RECENT_CANDIDATE] = true,
	[RECENT_CHAMPION] = true, [RECENT_SET] = true,	 [LIVE_CANDIDATE] = true,
};

struct thing {
	enum role role;
	bool live;
	char id[16], text[DIGEST_TEXT_SIZE];
	struct digest digest, chunks[CHUNKS];
};

struct scene {
	struct house *house;
	struct blob_store *blobs;
	char *blob_dir;
	uint64_t seed;
	struct thing things[NAMES * VERSIONS + ROLES + LOOSE];
	size_t n;
	uint32_t releases;
	struct error err;
};

static uint32_t draw(struct scene *s, uint32_t below)
{
	s->seed = s->seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(s->seed >> 33) % below;
}

static void put_blob(struct scene *s, const void *data, size_t len, struct digest *ret)
{
	*ret = digest_of(data, len);
	cr_assert_eq(blob_put(s->blobs, ret, data, len, &s->err), 0, "%s", s->err.text);
}

/* One chunk of its own and some that others have, too, all of them in the blob store. */
static struct thing *thing_add(struct scene *s, enum role role)
{
	struct thing *t = &s->things[s->n];
	cleanup(manifest_release) struct manifest m = { 0 };
	cleanup(buf_release) struct buf packed = { 0 };

	cr_assert_lt(s->n, ARRAY_SIZE(s->things));
	t->role = role;
	t->live = is_live[role];
	snprintf(t->id, sizeof t->id, "artifact-%zu", s->n++);
	for (size_t i = 0; i < CHUNKS; i++) {
		char text[64];
		int len = i == 0 ? snprintf(text, sizeof text, "of %s alone", t->id)
				 : snprintf(text, sizeof text, "shared %u", draw(s, SHARED));

		put_blob(s, text, (size_t)len, &t->chunks[i]);
		cr_assert_eq(manifest_add(&m, &t->chunks[i], (uint32_t)len, &s->err), 0);
	}
	manifest_pack(&m, &packed);
	put_blob(s, packed.data, packed.len, &t->digest);
	digest_format(&t->digest, t->text);
	return t;
}

static void put_artifact(struct scene *s, struct thing *t, const char *name, uint32_t version)
{
	Sluice__V1__Artifact a = SLUICE__V1__ARTIFACT__INIT;

	a.id = t->id;
	a.digest = t->text;
	a.published = (char *)name;
	a.version = version;
	a.created_ms = 1000 + (int64_t)(t - s->things);
	house_put(s->house, ROW_ARTIFACT, &a);
}

/* 0 to VERSIONS of them; the newest five are kept. */
static void add_versions(struct scene *s, const char *name)
{
	Sluice__V1__PublishedRow row = SLUICE__V1__PUBLISHED_ROW__INIT;
	uint32_t count = draw(s, VERSIONS + 1);

	for (uint32_t v = 1; v <= count; v++) {
		struct thing *t = thing_add(s, VERSION);

		t->live = v + 5 > count;
		put_artifact(s, t, name, v);
		row.artifact_id = t->id;
		row.digest = t->text;
	}
	row.name = (char *)name;
	row.version = count;
	if (count)
		house_put(s->house, ROW_PUBLISHED, &row);
}

static void put_environment(struct scene *s, const char *release)
{
	Sluice__V1__EnvironmentSpec spec = SLUICE__V1__ENVIRONMENT_SPEC__INIT;
	Sluice__V1__Environment env = SLUICE__V1__ENVIRONMENT__INIT;

	env.id = (char *)"environment-1";
	env.name = spec.name = (char *)"production";
	env.spec = &spec;
	env.live = (char *)release;
	house_put(s->house, ROW_ENVIRONMENT, &env);
}

static void put_release(struct scene *s, struct thing *t)
{
	const int64_t day_ms = 24 * 3600 * 1000;
	Sluice__V1__ReleasePart part = SLUICE__V1__RELEASE_PART__INIT, *parts[] = { &part };
	Sluice__V1__Release r = SLUICE__V1__RELEASE__INIT;
	char id[32], *quarantined[] = { (char *)"production" }, *verdict = NULL;
	bool old = t->role == OLD_RELEASE || t->role == LIVE_RELEASE;

	snprintf(id, sizeof id, "release-%u", ++s->releases);
	r.id = id;
	r.number = s->releases;
	r.digest = t->text;
	r.created_ms = clock_wall_ms() - (old ? 31 : 29) * day_ms;
	if (t->role == RELEASE_NOTES) {
		r.notes = t->text;
	} else {
		part.slot = (char *)"model";
		part.digest = t->text;
		r.parts = parts;
		r.n_parts = 1;
	}
	if (t->role == QUARANTINED_RELEASE) {
		r.quarantined = quarantined;
		r.n_quarantined = 1;
	}
	if (t->role == RECENT_RELEASE)
		verdict = (char *)"verdict-recent";
	else if (t->role == LIVE_RELEASE)
		verdict = (char *)"verdict-live";
	else if (t->role == OLD_RELEASE)
		verdict = (char *)"verdict-old";
	r.verdicts = &verdict;
	r.n_verdicts = verdict != NULL;
	house_put(s->house, ROW_RELEASE, &r);
	if (t->role == LIVE_RELEASE)
		put_environment(s, id);
}

static void put_job(struct scene *s, const struct thing *of[ROLES])
{
	Sluice__V1__ResolvedArtifact in = SLUICE__V1__RESOLVED_ARTIFACT__INIT, *ins[] = { &in };
	Sluice__V1__ResolvedInput input = SLUICE__V1__RESOLVED_INPUT__INIT, *inputs[] = { &input };
	Sluice__V1__ProducedOutput out = SLUICE__V1__PRODUCED_OUTPUT__INIT, *outs[] = { &out };
	Sluice__V1__Resources needs = SLUICE__V1__RESOURCES__INIT;
	Sluice__V1__JobSpec spec = SLUICE__V1__JOB_SPEC__INIT;
	Sluice__V1__Job job = SLUICE__V1__JOB__INIT;

	in.digest = (char *)of[JOB_INPUT]->text;
	input.name = (char *)"data";
	input.artifacts = ins;
	input.n_artifacts = 1;
	out.name = (char *)"model";
	out.digest = (char *)of[JOB_OUTPUT]->text;
	spec.name = spec.basename = (char *)"train";
	spec.resources = &needs;
	job.id = (char *)"job-1";
	job.run_id = (char *)"run-1";
	job.run_number = 1;
	job.spec = &spec;
	job.state = SLUICE__V1__JOB_STATE__JOB_QUEUED;
	job.inputs = inputs;
	job.outputs = outs;
	job.n_inputs = job.n_outputs = 1;
	job.report = (char *)of[JOB_REPORT]->text;
	house_put(s->house, ROW_JOB, &job);
}

/* An open run: what it reads and has made is named by nothing else. */
static void put_run(struct scene *s, const struct thing *of[ROLES])
{
	Sluice__V1__Pipeline pipeline = SLUICE__V1__PIPELINE__INIT;
	Sluice__V1__RunSpecRow row = SLUICE__V1__RUN_SPEC_ROW__INIT;
	Sluice__V1__Run run = SLUICE__V1__RUN__INIT;

	run.id = row.run_id = (char *)"run-1";
	run.number = 1;
	run.kind = SLUICE__V1__RUN__KIND__PIPELINE;
	run.state = SLUICE__V1__RUN_STATE__RUN_RUNNING;
	run.source = (char *)of[RUN_SOURCE]->text;
	run.jobs = 1;
	row.pipeline = &pipeline;
	house_put(s->house, ROW_RUN, &run);
	house_put(s->house, ROW_RUN_SPEC, &row);
	put_job(s, of);
}

static void put_verdict(struct scene *s, const char *id, const struct thing *candidate,
			const struct thing *champion, const struct thing *set)
{
	Sluice__V1__Verdict v = SLUICE__V1__VERDICT__INIT;

	v.id = (char *)id;
	v.candidate = (char *)candidate->text;
	if (champion)
		v.champion_artifact = (char *)champion->text;
	if (set)
		v.set = (char *)set->text;
	house_put(s->house, ROW_VERDICT, &v);
}

static const char *path_of(const struct scene *s, const struct digest *d)
{
	static char path[200];
	char hex[DIGEST_HEX_SIZE];

	digest_hex(d, hex);
	snprintf(path, sizeof path, "%s/%.2s/%s", s->blob_dir, hex, hex + 2);
	return path;
}

static void set_age(const struct scene *s, const struct digest *d, int hours)
{
	struct timespec times[2];

	times[0].tv_sec = clock_wall_ms() / 1000 - hours * 3600;
	times[0].tv_nsec = 0;
	times[1] = times[0];
	cr_assert_eq(utimensat(AT_FDCWD, path_of(s, d), times, 0), 0);
}

static void set_ages(struct scene *s)
{
	for (int young = 0; young < 2; young++)
		for (size_t i = 0; i < s->n; i++) {
			const struct thing *t = &s->things[i];

			if ((t->role == YOUNG) != young)
				continue;
			set_age(s, &t->digest, young ? 23 : 25);
			for (size_t c = 0; c < CHUNKS; c++)
				set_age(s, &t->chunks[c], young ? 23 : 25);
		}
}

static struct scene *scene_new(uint64_t seed)
{
	static const char *const names[NAMES] = { "features", "model", "transactions" };
	struct scene *s = xcalloc(1, sizeof *s);
	const struct thing *of[ROLES] = { 0 };

	s->seed = seed;
	s->house = house_new();
	s->blob_dir = path_join(s->house->dir, "blobs");
	s->blobs = blob_store_open(s->blob_dir, &s->err);
	cr_assert(s->blobs, "%s", s->err.text);
	for (size_t i = 0; i < NAMES; i++)
		add_versions(s, names[i]);
	for (enum role role = UNNAMED; role < ROLES; role++) {
		struct thing *t = role == VERSION ? NULL : thing_add(s, role);

		of[role] = t;
		if (!t)
			continue;
		put_artifact(s, t, "", 0);
		if ((role >= RECENT_RELEASE && role <= LIVE_RELEASE) || role == RELEASE_NOTES)
			put_release(s, t);
	}
	for (size_t i = draw(s, LOOSE); i > 0; i--)
		put_artifact(s, thing_add(s, UNNAMED), "", 0);
	put_run(s, of);
	put_verdict(s, "verdict-recent", of[RECENT_CANDIDATE], of[RECENT_CHAMPION], of[RECENT_SET]);
	put_verdict(s, "verdict-live", of[LIVE_CANDIDATE], NULL, NULL);
	put_verdict(s, "verdict-old", of[OLD_CANDIDATE], NULL, NULL);
	cr_assert_eq(blob_sync_all(s->blobs, &s->err), 0, "%s", s->err.text);
	set_ages(s);
	return s;
}

static void scene_free(struct scene *s)
{
	blob_store_close(s->blobs);
	free(s->blob_dir);
	house_free(s->house);
	free(s);
}

static int collect(struct scene *s, struct blob_stats *ret)
{
	if (!s->house->engine)
		house_start(s->house);
	return collect_artifacts(s->house->engine, s->house->store, s->blobs, ret, &s->err);
}

static void check_whole(struct scene *s, const struct thing *t)
{
	cleanup(buf_release) struct buf bytes = { 0 };

	cr_expect_eq(blob_read(s->blobs, &t->digest, 4096, &bytes, &s->err), 0,
		     "the manifest of %s, role %d: %s", t->id, (int)t->role, s->err.text);
	for (size_t i = 0; i < CHUNKS; i++)
		cr_expect_eq(blob_read(s->blobs, &t->chunks[i], 4096, &bytes, &s->err), 0,
			     "chunk %zu of %s, role %d: %s", i, t->id, (int)t->role, s->err.text);
}

static bool needed(const struct scene *s, const struct digest *chunk)
{
	for (size_t i = 0; i < s->n; i++)
		for (size_t c = 0; s->things[i].live && c < CHUNKS; c++)
			if (digest_equal(&s->things[i].chunks[c], chunk))
				return true;
	return false;
}

static void check_gone(struct scene *s, const struct thing *t)
{
	cr_expect_not(blob_has(s->blobs, &t->digest), "the manifest of %s, role %d", t->id,
		      (int)t->role);
	for (size_t i = 0; i < CHUNKS; i++)
		cr_expect_eq(blob_has(s->blobs, &t->chunks[i]), needed(s, &t->chunks[i]),
			     "chunk %zu of %s, role %d", i, t->id, (int)t->role);
}

Test(collect, what_is_named_stays_whole_and_the_rest_goes, .timeout = 120)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct scene *s = scene_new(seed);
		struct blob_stats stats = { 0 }, again = { 0 };

		cr_assert_eq(collect(s, &stats), 0, "seed %d: %s", (int)seed, s->err.text);
		cr_expect_geq(stats.removed, 6, "three unnamed roles: manifests and own chunks");
		for (size_t i = 0; i < s->n; i++)
			(s->things[i].live ? check_whole : check_gone)(s, &s->things[i]);
		cr_assert_eq(collect(s, &again), 0, "%s", s->err.text);
		cr_expect_eq(again.removed, 0);
		cr_expect_eq(again.kept, stats.kept);
		scene_free(s);
	}
}

static void check_nothing_removed(struct scene *s)
{
	for (size_t i = 0; i < s->n; i++) {
		cr_expect(blob_has(s->blobs, &s->things[i].digest));
		for (size_t c = 0; c < CHUNKS; c++)
			cr_expect(blob_has(s->blobs, &s->things[i].chunks[c]));
	}
}

Test(collect, a_digest_that_cannot_be_read_costs_nothing, .timeout = 60)
{
	struct scene *s = scene_new(1);
	struct blob_stats stats = { 0 };
	Sluice__V1__Artifact a = SLUICE__V1__ARTIFACT__INIT;

	a.id = (char *)"damaged";
	a.digest = (char *)"sha256:not a digest";
	a.published = (char *)"features";
	a.version = 99;
	a.created_ms = 100000;
	house_put(s->house, ROW_ARTIFACT, &a);
	cr_expect_eq(collect(s, &stats), -1);
	cr_expect_str_eq(s->err.id, "E0602", "%s", s->err.text);
	check_nothing_removed(s);
	scene_free(s);
}

/* Its chunks are not known then, so none may go. */
Test(collect, a_manifest_that_is_no_manifest_costs_nothing, .timeout = 60)
{
	struct scene *s = scene_new(2);
	struct blob_stats stats = { 0 };
	Sluice__V1__Artifact a = SLUICE__V1__ARTIFACT__INIT;
	char text[DIGEST_TEXT_SIZE];
	struct digest d;

	put_blob(s, "no manifest", 11, &d);
	a.id = (char *)"strange";
	a.digest = digest_format(&d, text);
	a.published = (char *)"strange";
	a.version = 1;
	house_put(s->house, ROW_ARTIFACT, &a);
	cr_expect_eq(collect(s, &stats), -1);
	cr_expect_eq(s->err.code, ERR_INVALID, "%s", s->err.text);
	check_nothing_removed(s);
	scene_free(s);
}

Test(collect, an_artifact_that_is_gone_is_in_nobodys_way, .timeout = 60)
{
	struct scene *s = scene_new(3);
	struct blob_stats stats = { 0 };

	for (size_t i = 0; i < s->n; i++)
		if (s->things[i].role == RECENT_RELEASE) {
			cr_assert_eq(unlink(path_of(s, &s->things[i].digest)), 0);
			s->things[i].live = false;
		}
	cr_assert_eq(collect(s, &stats), 0, "%s", s->err.text);
	for (size_t i = 0; i < s->n; i++)
		(s->things[i].live ? check_whole : check_gone)(s, &s->things[i]);
	scene_free(s);
}

/* Whoever was told that it is there may name it for a day. */
Test(collect, what_was_pinned_stays_though_nothing_names_it, .timeout = 60)
{
	struct scene *s = scene_new(4);
	struct blob_stats stats = { 0 };
	const struct thing *pinned = NULL;

	for (size_t i = 0; i < s->n; i++)
		if (s->things[i].role == UNNAMED)
			pinned = &s->things[i];
	cr_assert(pinned);
	cr_assert(blob_pin(s->blobs, &pinned->digest));
	for (size_t i = 0; i < CHUNKS; i++)
		cr_assert(blob_pin(s->blobs, &pinned->chunks[i]));
	cr_assert_eq(collect(s, &stats), 0, "%s", s->err.text);
	check_whole(s, pinned);
	scene_free(s);
}
