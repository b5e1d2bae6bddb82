/*
 * What people write, and what it finds in a small store.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "controller/api/private.h"
#include "crypto/digest.h"
#include "house.h"
#include "sluice/v1/releases.pb-c.h"
#include "sluice/v1/store.pb-c.h"

#define RUN_ID	   "0190a5b2-7c1e-7abc-8def-000000000001"
#define RELEASE_ID "0190a5b2-7c1e-7abc-8def-000000000057"

static struct house *house;
static struct store_reader *reader;
static struct error err;

static char *digest_text(const char *of)
{
	struct digest d = digest_of(of, strlen(of));
	char *text = arena_alloc(house->arena, DIGEST_TEXT_SIZE);

	return digest_format(&d, text);
}

static void put_run(const char *id, uint32_t number)
{
	Sluice__V1__Run run = SLUICE__V1__RUN__INIT;

	run.id = (char *)id;
	run.number = number;
	run.created_ms = number;
	run.state = SLUICE__V1__RUN_STATE__RUN_SUCCEEDED;
	house_put(house, ROW_RUN, &run);
}

/* With an output, "out", that is the artifact of this id, and a report. */
static void put_job(const char *id, const char *name, const char *artifact, const char *report)
{
	Sluice__V1__ProducedOutput out = SLUICE__V1__PRODUCED_OUTPUT__INIT, *outs[] = { &out };
	Sluice__V1__JobSpec spec = SLUICE__V1__JOB_SPEC__INIT;
	Sluice__V1__Job job = SLUICE__V1__JOB__INIT;

	out.name = (char *)"out";
	out.artifact_id = (char *)artifact;
	spec.name = (char *)name;
	job.id = (char *)id;
	job.run_id = (char *)RUN_ID;
	job.run_number = 318;
	job.spec = &spec;
	job.outputs = outs;
	job.n_outputs = 1;
	job.report = (char *)report;
	job.state = SLUICE__V1__JOB_STATE__JOB_SUCCEEDED;
	house_put(house, ROW_JOB, &job);
}

static void put_attempt(uint64_t fence, uint32_t number)
{
	Sluice__V1__Attempt a = SLUICE__V1__ATTEMPT__INIT;

	a.id = (char *)"";
	a.fence = fence;
	a.number = number;
	a.offered_ms = (int64_t)fence;
	a.job_id = (char *)"job-1";
	a.state = SLUICE__V1__ATTEMPT_STATE__ATTEMPT_FAILED;
	house_put(house, ROW_ATTEMPT, &a);
}

static void put_artifact(const char *id, const char *published, uint32_t version)
{
	Sluice__V1__Artifact a = SLUICE__V1__ARTIFACT__INIT;

	a.id = (char *)id;
	a.digest = digest_text(id);
	a.published = (char *)published;
	a.version = version;
	a.created_ms = 1000 + version;
	house_put(house, ROW_ARTIFACT, &a);
}

static void put_rest(void)
{
	Sluice__V1__PublishedRow name = SLUICE__V1__PUBLISHED_ROW__INIT;
	Sluice__V1__Release r = SLUICE__V1__RELEASE__INIT;

	name.name = (char *)"transactions";
	name.version = 12;
	name.artifact_id = (char *)"artifact-12";
	name.digest = digest_text("artifact-12");
	house_put(house, ROW_PUBLISHED, &name);
	r.id = (char *)RELEASE_ID;
	r.number = 57;
	r.digest = digest_text("release");
	house_put(house, ROW_RELEASE, &r);
}

static void begin(void)
{
	house = house_new();
	put_run(RUN_ID, 318);
	put_run("0190a5b2-7c1e-7abc-8def-000000000002", 319);
	put_artifact("artifact-11", "transactions", 11);
	put_artifact("artifact-12", "transactions", 12);
	put_artifact("artifact-a", "", 0);
	put_artifact("artifact-b", "", 0);
	put_artifact("artifact-r", "", 0);
	put_job("job-1", "train[seed=1]", "artifact-a", digest_text("artifact-r"));
	put_job("job-2", "evaluate/best", "artifact-b", "");
	put_attempt(7, 1);
	put_attempt(9, 2);
	put_rest();
	reader = house_reader(house);
	error_clear(&err);
}

static void end(void)
{
	house_free(house);
}

TestSuite(find, .init = begin, .fini = end, .timeout = 60);

Test(find, a_run_by_number_id_or_as_the_newest)
{
	static const struct {
		const char *text;
		uint32_t number;
	} table[] = {
		{ "318", 318 }, { "#318", 318 }, { RUN_ID, 318 }, { "319", 319 }, { "", 319 }
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const Sluice__V1__Run *run = find_run(reader, table[i].text, house->arena, &err);

		cr_assert(run, "'%s': %s", table[i].text, err.text);
		cr_expect_eq(run->number, table[i].number, "'%s'", table[i].text);
	}
}

Test(find, what_names_no_run_is_said_so)
{
	static const char *const bad[] = {
		"1",	"0",	"-318",	   "+318",   "##318",
		"r318", " 318", "318 ",	   "318abc", "99999999999999999999999",
		"#",	"%",	"' or 1=1"
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		error_clear(&err);
		cr_expect_null(find_run(reader, bad[i], house->arena, &err), "'%s'", bad[i]);
		cr_expect_str_eq(err.id, "E0204", "'%s': %s", bad[i], err.text);
		cr_expect(strstr(err.text, bad[i]), "'%s': %s", bad[i], err.text);
		cr_expect(*err.hint);
	}
}

Test(find, a_job_by_its_name_within_the_run)
{
	const Sluice__V1__Run *run = find_run(reader, "318", house->arena, &err);
	const Sluice__V1__Run *empty = find_run(reader, "319", house->arena, &err);
	const Sluice__V1__Job *job;

	cr_assert(run && empty);
	job = find_job(reader, run, "train[seed=1]", house->arena, &err);
	cr_assert(job, "%s", err.text);
	cr_expect_str_eq(job->id, "job-1");
	cr_expect_null(find_job(reader, run, "", house->arena, &err));
	cr_expect_eq(err.code, ERR_INVALID, "it has two: %s", err.text);
	error_clear(&err);
	cr_expect_null(find_job(reader, run, "train", house->arena, &err));
	cr_expect_str_eq(err.id, "E0204");
	error_clear(&err);
	cr_expect_null(find_job(reader, empty, "train[seed=1]", house->arena, &err));
	cr_expect_str_eq(err.id, "E0204");
}

Test(find, an_attempt_by_number_or_the_last)
{
	const Sluice__V1__Run *run = find_run(reader, "318", house->arena, &err);
	const Sluice__V1__Job *job = find_job(reader, run, "train[seed=1]", house->arena, &err);
	const Sluice__V1__Job *other = find_job(reader, run, "evaluate/best", house->arena, &err);
	const Sluice__V1__Attempt *a;

	cr_assert(job && other);
	a = find_attempt(reader, job, 0, house->arena, &err);
	cr_assert(a, "%s", err.text);
	cr_expect_eq(a->fence, 9);
	a = find_attempt(reader, job, 1, house->arena, &err);
	cr_assert(a, "%s", err.text);
	cr_expect_eq(a->fence, 7);
	cr_expect_null(find_attempt(reader, other, 0, house->arena, &err));
	cr_expect_eq(err.code, ERR_NONE, "it has none yet, which is no error");
	cr_expect_null(find_attempt(reader, job, 3, house->arena, &err));
	cr_expect_str_eq(err.id, "E0204");
}

Test(find, a_release_by_number_id_or_digest)
{
	const char *const texts[] = { "57", "r57", RELEASE_ID, digest_text("release") };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const Sluice__V1__Release *r = find_release(reader, texts[i], house->arena, &err);

		cr_assert(r, "'%s': %s", texts[i], err.text);
		cr_expect_str_eq(r->id, RELEASE_ID, "'%s'", texts[i]);
	}
}

Test(find, what_names_no_release_is_said_so)
{
	const char *const bad[] = { "",	       "r",    "r0",
				    "#57",     "R57",  "r58",
				    "sha256:", "rr57", digest_text("artifact-a") };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		error_clear(&err);
		cr_expect_null(find_release(reader, bad[i], house->arena, &err), "'%s'", bad[i]);
		cr_expect_str_eq(err.id, "E0204", "'%s': %s", bad[i], err.text);
	}
}

Test(find, an_artifact_by_each_of_its_names)
{
	struct digest d = digest_of("artifact-a", strlen("artifact-a"));
	char brief[DIGEST_SHORT_SIZE];
	const struct {
		const char *text, *id;
	} table[] = {
		{ "artifact-a", "artifact-a" },
		{ digest_text("artifact-a"), "artifact-a" },
		{ digest_short(&d, 'm', brief), "artifact-a" },
		{ "transactions@12", "artifact-12" },
		{ "transactions@v12", "artifact-12" },
		{ "transactions@11", "artifact-11" },
		{ "transactions@latest", "artifact-12" },
		{ "318/train[seed=1]/out", "artifact-a" },
		{ "#318/evaluate/best/out", "artifact-b" },
		{ RUN_ID "/train[seed=1]/out", "artifact-a" },
		{ "318/train[seed=1]/report", "artifact-r" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const Sluice__V1__Artifact *a =
			find_artifact(reader, table[i].text, house->arena, &err);

		cr_assert(a, "'%s': %s", table[i].text, err.text);
		cr_expect_str_eq(a->id, table[i].id, "'%s'", table[i].text);
	}
}

Test(find, what_names_no_artifact_is_said_so)
{
	const char *const bad[] = { "",
				    "artifact",
				    "m:",
				    "m:abc",
				    "m:zzzz",
				    "@12",
				    "transactions@",
				    "transactions@10",
				    "transactions@12x",
				    "nothing@1",
				    "nothing@latest",
				    "318/train[seed=1]/nothing",
				    "318/nothing/out",
				    "317/train[seed=1]/out",
				    "318/evaluate/best/report",
				    digest_text("release") };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		error_clear(&err);
		cr_expect_null(find_artifact(reader, bad[i], house->arena, &err), "'%s'", bad[i]);
		cr_expect_str_eq(err.id, "E0204", "'%s': %s", bad[i], err.text);
	}
	error_clear(&err);
	cr_expect_null(find_artifact(reader, "318/out", house->arena, &err));
	cr_expect_eq(err.code, ERR_INVALID);
	cr_expect(strstr(err.text, "RUN/JOB/OUTPUT"), "%s", err.text);
}
