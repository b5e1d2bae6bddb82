#include "cli/complete.h"

#include <criterion/criterion.h>
#include <string.h>

#include "sluice/v1/environments.pb-c.h"
#include "sluice/v1/runs.pb-c.h"

Test(complete, what_a_view_takes_for_granted_is_missed_by_name_at_any_depth)
{
	Sluice__V1__RunDetail detail = SLUICE__V1__RUN_DETAIL__INIT;
	Sluice__V1__Run run = SLUICE__V1__RUN__INIT;
	Sluice__V1__Job job = SLUICE__V1__JOB__INIT, *jobs[] = { &job };
	Sluice__V1__JobSpec spec = SLUICE__V1__JOB_SPEC__INIT;
	struct error err = { 0 };

	cr_expect_eq(message_complete(&detail.base, &err), -1);
	cr_expect(strstr(err.text, "RunDetail without `run`"), "%s", err.text);
	detail.run = &run;
	cr_expect_eq(message_complete(&detail.base, &err), 0);
	detail.jobs = jobs;
	detail.n_jobs = 1;
	cr_expect_eq(message_complete(&detail.base, &err), -1);
	cr_expect(strstr(err.text, "Job without `spec`"), "%s", err.text);
	job.spec = &spec;
	cr_expect_eq(message_complete(&detail.base, &err), 0);
}

Test(complete, what_may_be_absent_is_not_missed)
{
	Sluice__V1__EnvironmentDetail detail = SLUICE__V1__ENVIRONMENT_DETAIL__INIT;
	Sluice__V1__Environment env = SLUICE__V1__ENVIRONMENT__INIT;

	detail.environment = &env;
	cr_expect_eq(message_complete(&detail.base, NULL), 0);
}
