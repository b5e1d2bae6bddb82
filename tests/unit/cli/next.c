#include "cli/next.h"

#include <criterion/criterion.h>

#include "base/mem.h"

static Sluice__V1__Release release;
static Sluice__V1__ReleaseDetail detail;
static Sluice__V1__Environment environments[2];
static Sluice__V1__EnvironmentSpec specs[2];
static Sluice__V1__EnvironmentDetail details[2];
static const Sluice__V1__EnvironmentDetail *const all[] = { &details[0], &details[1] };

static void setup(void)
{
	static const char *const names[] = { "staging", "production" };

	sluice__v1__release__init(&release);
	sluice__v1__release_detail__init(&detail);
	release.number = 2;
	release.pipeline = (char *)"digits";
	detail.release = &release;
	for (int i = 0; i < 2; i++) {
		sluice__v1__environment__init(&environments[i]);
		sluice__v1__environment_spec__init(&specs[i]);
		sluice__v1__environment_detail__init(&details[i]);
		environments[i].name = (char *)names[i];
		specs[i].pipeline = (char *)"digits";
		environments[i].spec = &specs[i];
		details[i].environment = &environments[i];
	}
}

TestSuite(next, .init = setup);

static void says(const char *expect)
{
	cleanup(buf_release) struct buf out = { 0 };

	next_step(&detail, all, 2, &out);
	cr_expect_str_eq(buf_str(&out), expect);
}

Test(next, the_first_environment_is_named)
{
	says("Made release r2. Promote it: sluice promote r2 --to staging\n");
}

Test(next, what_takes_it_by_itself_is_said_and_the_one_after_it_named)
{
	char *verified[] = { (char *)"staging" };
	Sluice__V1__Hold hold = SLUICE__V1__HOLD__INIT;

	specs[0].auto_newest = true;
	says("Made release r2: staging takes it by itself. Then promote it: sluice promote r2 --to "
	     "production\n");
	detail.verified_in = verified;
	detail.n_verified_in = 1;
	says("Made release r2. Promote it: sluice promote r2 --to production\n");
	detail.n_verified_in = 0;
	environments[0].hold = &hold;
	says("Made release r2. Promote it: sluice promote r2 --to staging\n");
}

Test(next, a_pipeline_without_environments_is_told_how_it_gets_one)
{
	release.pipeline = (char *)"other";
	says("Made release r2. `other` has no environment yet: `environments:` in its file says "
	     "where "
	     "releases go\n");
}

Test(next, what_was_made_before_and_rolled_back_is_not_recommended)
{
	char *bad[] = { (char *)"staging" };

	release.quarantined = bad;
	release.n_quarantined = 1;
	says("Made release r2 as before: it is quarantined in staging\n");
}
