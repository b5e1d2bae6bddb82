#include "controller/model/releases.h"

#include <string.h>

#include "releases_fixture.h"
#include "sluice/v1/artifacts.pb-c.h"

Test(releases, the_same_parts_are_the_same_release)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	struct made a = made_run(s, "sha256:m0de11", "sha256:5e7");
	struct made b = made_run(s, "sha256:m0de11", "sha256:5e8");
	struct made c = made_run(s, "sha256:m0de12", "sha256:5e7");

	made_metric(a.evaluate, "accuracy", 0.9);
	made_metric(b.evaluate, "accuracy", 0.8);
	cr_assert_eq(made_finish(s, &a), SLUICE__V1__VERDICT_STATE__PASS);
	cr_assert_eq(made_finish(s, &b), SLUICE__V1__VERDICT_STATE__PASS);
	cr_assert_eq(made_finish(s, &c), SLUICE__V1__VERDICT_STATE__PASS);
	cr_expect_str_eq(a.run->row->release, b.run->row->release);
	cr_expect_str_neq(a.run->row->release, c.run->row->release);
	cr_expect_eq(sim_release_of(s, 2)->row->n_parts, 2);
	cr_expect_eq(sim_release_of(s, 1)->row->n_evaluations, 2, "what was measured is added");
	cr_expect_eq(s->events[SLUICE__V1__EVENT_KIND__EVENT_RELEASE_CREATED], 2);
	cr_expect_eq(s->world->counters->next_release, 3);
}

Test(releases, parts_are_sorted_and_make_the_digest)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	struct made m = made_run(s, "sha256:m0de11", "sha256:5e7");
	const Sluice__V1__Release *r;

	cr_assert_eq(made_finish(s, &m), SLUICE__V1__VERDICT_STATE__PASS);
	r = sim_release_of(s, 1)->row;
	cr_expect_str_eq(r->parts[0]->slot, "code");
	cr_expect_str_eq(r->parts[0]->digest, "sha256:50u4ce");
	cr_expect_str_eq(r->parts[1]->slot, "model");
	/* printf 'code SOURCE sha256:50u4ce\nmodel MODEL sha256:m0de11\n' | sha256sum */
	cr_expect_str_eq(r->digest,
			 "sha256:"
			 "c51ca22de1d35c530f13fca5d3916027706b3ad433f2cb46edf028e30f3e52c8");
}

Test(releases, what_is_measured_after_it_was_made_is_added)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	struct made m = made_run(s, "sha256:m0de11", "sha256:5e7");
	struct error err = { 0 };

	cr_assert_eq(delivery_job_succeeded(s->world, m.package, &err), 0, "%s", err.text);
	m.package->row->state = SLUICE__V1__JOB_STATE__JOB_SUCCEEDED;
	cr_expect_eq(sim_release_of(s, 1)->row->n_evaluations, 0);
	made_metric(m.evaluate, "accuracy", 0.9);
	cr_assert_eq(delivery_job_succeeded(s->world, m.evaluate, &err), 0, "%s", err.text);
	cr_assert_eq(sim_release_of(s, 1)->row->n_evaluations, 1);
	cr_expect_str_eq(sim_release_of(s, 1)->row->evaluations[0]->job, "evaluate");
	sim_commit(s);
}

Test(releases, a_part_that_is_several_artifacts_is_refused)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	struct made m = made_run(s, "sha256:m0de11", "sha256:5e7");
	Sluice__V1__ResolvedArtifact *a = message_new(&sluice__v1__resolved_artifact__descriptor);
	struct error err = { 0 };

	message_append(m.package->row->inputs[0], artifacts, a);
	cr_assert_eq(delivery_job_succeeded(s->world, m.package, &err), -1);
	cr_expect(strstr(err.text, "part 'model' of the release is the input 'model', which has 2"),
		  "%s", err.text);
	cr_expect_str_empty(m.run->row->release);
	cr_expect_eq(s->world->counters->next_release, 1);
	sim_commit(s);
}

Test(releases, a_part_that_the_job_does_not_have_is_refused)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	struct made m = made_run(s, "sha256:m0de11", "sha256:5e7");
	struct error err = { 0 };

	message_set_string(&m.package->row->spec->release->parts[0]->input, "modle");
	cr_assert_eq(delivery_job_succeeded(s->world, m.package, &err), -1);
	cr_expect(strstr(err.text, "'modle', which job 'package' neither reads nor made"), "%s",
		  err.text);
	sim_commit(s);
}

static int make_from(struct sim *s, const char *model, const char *features, struct error *err)
{
	struct made m = made_run(s, model, "sha256:5e7");
	Sluice__V1__ReleasePartSpec *part = message_new(&sluice__v1__release_part_spec__descriptor);
	int r;

	made_input(m.package, "features", features, "");
	message_set_string(&part->slot, "features");
	message_set_string(&part->input, "features");
	message_append(m.package->row->spec->release, parts, part);
	r = delivery_job_succeeded(s->world, m.package, err);
	sim_commit(s);
	return r;
}

Test(releases, parts_of_different_versions_of_one_ancestor_are_refused)
{
	static const char *const old[] = { "sha256:transactions1" };
	static const char *const new[] = { "sha256:transactions2" };
	cleanup(sim_freep) struct sim *s = sim_new(1);
	struct error err = { 0 };

	made_artifact(s, "a1", "sha256:transactions1", "transactions", 1, NULL, 0);
	made_artifact(s, "a2", "sha256:transactions2", "transactions", 2, NULL, 0);
	made_artifact(s, "a3", "sha256:m0de11", "model", 1, old, 1);
	made_artifact(s, "a4", "sha256:features1", "features", 1, old, 1);
	made_artifact(s, "a5", "sha256:features2", "features", 2, new, 1);
	cr_expect_eq(make_from(s, "sha256:m0de11", "sha256:features1", &err), 0, "%s", err.text);
	cr_assert_eq(make_from(s, "sha256:m0de11", "sha256:features2", &err), -1);
	cr_expect(strstr(err.text, "come from different versions of 'transactions'"), "%s",
		  err.text);
	cr_expect(strstr(err.text, "'features' and 'model'"), "%s", err.text);
}

Test(releases, one_whose_bytes_are_gone_is_not_promoted)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec("staging", "");
	ProtobufCMessage *message = NULL;
	struct made m = made_run(s, "sha256:m0de11", "sha256:5e7");

	sim_host_add(s, "host-s", "staging");
	sim_apply_one(s, spec);
	made_artifact(s, "a1", "sha256:m0de11", "", 0, NULL, 0);
	message_set_string(&m.package->row->inputs[0]->artifacts[0]->artifact_id, "a1");
	cr_assert_eq(made_finish(s, &m), SLUICE__V1__VERDICT_STATE__PASS);
	cr_assert_eq(world_fetch(s->world, ROW_ARTIFACT, "a1", &message, NULL), 1);
	((Sluice__V1__Artifact *)message)->collected = true;
	world_record(s->world, ROW_ARTIFACT, message);
	sim_commit(s);
	cr_assert_neq(sim_promote(s, "staging", 1), 0);
	cr_expect(strstr(s->error.text, "part 'model' of r1 was collected"), "%s", s->error.text);
}

Test(releases, where_it_is_live_and_was_verified)
{
	cleanup(sim_freep) struct sim *s = sim_new(1);
	cleanup(message_freep) Sluice__V1__EnvironmentSpec *spec = sim_spec("staging", "");
	cleanup(message_freep) Sluice__V1__ReleaseDetail *d1 = NULL;
	cleanup(message_freep) Sluice__V1__ReleaseDetail *d2 = NULL;
	struct error err = { 0 };

	sim_host_add(s, "host-s", "staging");
	sim_apply_one(s, spec);
	for (uint32_t i = 1; i <= 2; i++) {
		cr_assert_eq(sim_promote(s, "staging", sim_release(s)), 0);
		sim_settle(s);
	}
	cr_assert_eq(releases_where(s->world, s->now, "r1", &d1, &err), 0, "%s", err.text);
	cr_assert_eq(releases_where(s->world, s->now, "r2", &d2, &err), 0, "%s", err.text);
	cr_expect_eq(d1->n_live_in, 0);
	cr_expect_eq(d1->n_verified_in, 1);
	cr_assert_eq(d2->n_live_in, 1);
	cr_expect_str_eq(d2->live_in[0], "staging");
}
