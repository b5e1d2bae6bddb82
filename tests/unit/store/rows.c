#include "helpers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include "controller/store/private.h"

Test(rows, what_was_committed_is_there_after_reopening)
{
	struct fixture *f = setup();
	ProtobufCMessage *m = NULL;

	begin(f);
	put_run(f, 7, SLUICE__V1__RUN_STATE__RUN_RUNNING, "fraud");
	commit(f);
	reopen(f);
	cr_assert_eq(store_get(f->store, ROW_RUN, "run-000007", &m, &f->err), 1);
	cr_expect_eq(((Sluice__V1__Run *)m)->number, 7);
	cr_expect_str_eq(((Sluice__V1__Run *)m)->pipeline, "fraud");
	message_free(m);
	cr_expect_eq(store_get(f->store, ROW_RUN, "run-000008", &m, &f->err), 0);
	teardown(f);
}

Test(rows, what_was_rolled_back_is_not_there)
{
	struct fixture *f = setup();
	ProtobufCMessage *m = NULL;

	begin(f);
	put_run(f, 7, SLUICE__V1__RUN_STATE__RUN_RUNNING, "fraud");
	append_event(f, 1);
	store_rollback(f->store);
	cr_expect_eq(store_get(f->store, ROW_RUN, "run-000007", &m, &f->err), 0);
	cr_expect_eq(store_last_event(f->store, NULL), 0);
	begin(f);
	append_event(f, 1); /* its number and chain are free again */
	commit(f);
	cr_expect_eq(store_last_event(f->store, NULL), 1);
	teardown(f);
}

Test(rows, a_put_replaces_every_column)
{
	struct fixture *f = setup();
	ProtobufCMessage *m = NULL;
	Sluice__V1__Artifact a = SLUICE__V1__ARTIFACT__INIT;

	a.id = (char *)"a1";
	a.run_id = (char *)"run";
	a.digest = (char *)"sha256:01";
	begin(f);
	cr_assert_eq(put_message(f->store, ROW_ARTIFACT, &a, &f->err), 0);
	a.version = 3;
	a.run_id = (char *)"other";
	cr_assert_eq(put_message(f->store, ROW_ARTIFACT, &a, &f->err), 0);
	commit(f);
	cr_assert_eq(store_find(f->store, ROW_ARTIFACT, "other", "sha256:01", &m, &f->err), 1);
	cr_expect_eq(((Sluice__V1__Artifact *)m)->version, 3);
	message_free(m);
	cr_expect_eq(store_find(f->store, ROW_ARTIFACT, "run", "sha256:01", &m, &f->err), 0);
	teardown(f);
}

Test(rows, a_row_that_is_gone_is_deleted)
{
	struct fixture *f = setup();
	struct row row = {
		.kind = ROW_RUN, .id = "run-000001", .parent = "", .key = "", .gone = true
	};
	ProtobufCMessage *m = NULL;

	begin(f);
	put_run(f, 1, SLUICE__V1__RUN_STATE__RUN_RUNNING, "p");
	cr_assert_eq(store_put(f->store, &row, &f->err), 0);
	commit(f);
	cr_expect_eq(store_get(f->store, ROW_RUN, "run-000001", &m, &f->err), 0);
	teardown(f);
}

Test(rows, the_newest_of_a_parent_and_key_is_found)
{
	struct fixture *f = setup();
	Sluice__V1__Promotion p = SLUICE__V1__PROMOTION__INIT;
	ProtobufCMessage *m = NULL;

	p.environment = (char *)"production";
	p.release = (char *)"r1";
	begin(f);
	for (uint32_t i = 1; i <= 3; i++) {
		char id[8];

		snprintf(id, sizeof id, "p%u", i);
		p.id = id;
		p.number = i;
		p.created_ms = 100 * (i == 2 ? 9 : i);
		cr_assert_eq(put_message(f->store, ROW_PROMOTION, &p, &f->err), 0);
	}
	commit(f);
	cr_assert_eq(store_find(f->store, ROW_PROMOTION, "production", "r1", &m, &f->err), 1);
	cr_expect_str_eq(((Sluice__V1__Promotion *)m)->id, "p2");
	message_free(m);
	cr_assert_eq(store_find(f->store, ROW_PROMOTION, NULL, "r1", &m, &f->err), 1);
	cr_expect_str_eq(((Sluice__V1__Promotion *)m)->id, "p2");
	message_free(m);
	cr_expect_eq(store_find(f->store, ROW_PROMOTION, "staging", "r1", &m, &f->err), 0);
	teardown(f);
}

struct seen {
	int count;
	uint64_t numbers[16];
};

static int note_run(void *arg, ProtobufCMessage *m, struct error *err)
{
	struct seen *seen = arg;

	seen->numbers[seen->count++] = ((Sluice__V1__Run *)m)->number;
	message_free(m);
	return 0;
}

static int note_job(void *arg, ProtobufCMessage *m, struct error *err)
{
	struct seen *seen = arg;

	seen->numbers[seen->count++] = ((Sluice__V1__Job *)m)->index;
	message_free(m);
	return 0;
}

Test(rows, only_open_rows_are_loaded_in_the_order_of_their_numbers)
{
	struct fixture *f = setup();
	struct seen seen = { 0 };

	begin(f);
	put_run(f, 9, SLUICE__V1__RUN_STATE__RUN_RUNNING, "p");
	put_run(f, 3, SLUICE__V1__RUN_STATE__RUN_RUNNING, "p");
	put_run(f, 5, SLUICE__V1__RUN_STATE__RUN_RUNNING, "p");
	put_run(f, 5, SLUICE__V1__RUN_STATE__RUN_SUCCEEDED, "p");
	commit(f);
	cr_assert_eq(store_load(f->store, ROW_RUN, note_run, &seen, &f->err), 0);
	cr_assert_eq(seen.count, 2);
	cr_expect_eq(seen.numbers[0], 3);
	cr_expect_eq(seen.numbers[1], 9);
	teardown(f);
}

static void put_job(struct fixture *f, const char *run, uint32_t index, int state)
{
	Sluice__V1__JobSpec spec = SLUICE__V1__JOB_SPEC__INIT;
	Sluice__V1__Job job = SLUICE__V1__JOB__INIT;
	char id[64];

	snprintf(id, sizeof id, "%s-job-%u", run, index);
	job.id = id;
	job.run_id = (char *)run;
	job.index = index;
	job.spec = &spec;
	job.state = (Sluice__V1__JobState)state;
	cr_assert_eq(put_message(f->store, ROW_JOB, &job, &f->err), 0, "%s", f->err.text);
}

Test(rows, the_jobs_of_an_open_run_are_loaded_closed_or_not)
{
	struct fixture *f = setup();
	struct seen seen = { 0 };

	begin(f);
	put_run(f, 1, SLUICE__V1__RUN_STATE__RUN_RUNNING, "p");
	put_run(f, 2, SLUICE__V1__RUN_STATE__RUN_FAILED, "p");
	put_job(f, "run-000001", 1, SLUICE__V1__JOB_STATE__JOB_BLOCKED);
	put_job(f, "run-000001", 0, SLUICE__V1__JOB_STATE__JOB_SUCCEEDED);
	put_job(f, "run-000002", 7, SLUICE__V1__JOB_STATE__JOB_FAILED);
	commit(f);
	cr_assert_eq(store_load(f->store, ROW_JOB, note_job, &seen, &f->err), 0);
	cr_assert_eq(seen.count, 2);
	cr_expect_eq(seen.numbers[0], 0);
	cr_expect_eq(seen.numbers[1], 1);
	teardown(f);
}

/* Changes one byte of the file in the place where `what` stands. */
static void damage(const char *path, const char *what)
{
	cleanup(buf_release) struct buf b = { 0 };
	struct error err = { 0 };
	char *at;
	int fd;

	cr_assert_eq(file_read(path, 64 << 20, &b, &err), 0, "%s", err.text);
	at = memmem(b.data, b.len, what, strlen(what));
	cr_assert(at, "'%s' is not in the file", what);
	fd = open(path, O_WRONLY);
	cr_assert_eq(pwrite(fd, "X", 1, at - b.data), 1);
	close(fd);
}

Test(rows, a_row_damaged_on_the_disk_is_refused_by_name)
{
	struct fixture *f = setup();
	ProtobufCMessage *m = NULL;
	struct seen seen = { 0 };

	begin(f);
	put_run(f, 1, SLUICE__V1__RUN_STATE__RUN_RUNNING, "a-pipeline-of-note");
	commit(f);
	store_close(f->store);
	damage(f->path, "a-pipeline-of-note");
	f->store = store_open(f->path, &f->err);
	cr_assert(f->store, "%s", f->err.text);
	cr_assert_eq(store_get(f->store, ROW_RUN, "run-000001", &m, &f->err), -1);
	cr_expect_str_eq(f->err.id, "E0602");
	cr_expect(strstr(f->err.text, "run-000001"), "%s", f->err.text);
	cr_expect_eq(store_load(f->store, ROW_RUN, note_run, &seen, &f->err), -1);
	teardown(f);
}

Test(rows, a_row_larger_than_the_limit_is_refused)
{
	struct fixture *f = setup();
	struct row row = { .kind = ROW_RUN, .id = "big", .parent = "", .key = "" };
	uint8_t *body = xcalloc(1, ROW_BODY_MAX + 1);

	row.body = body;
	row.len = ROW_BODY_MAX + 1;
	begin(f);
	cr_expect_eq(store_put(f->store, &row, &f->err), -1);
	cr_expect_eq(f->err.code, ERR_EXHAUSTED);
	store_rollback(f->store);
	free(body);
	teardown(f);
}

Test(rows, the_file_is_its_owners_alone)
{
	struct fixture *f = setup();
	struct stat st;

	cr_assert_eq(stat(f->path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600);
	store_close(f->store);
	cr_assert_eq(chmod(f->path, 0644), 0);
	f->store = store_open(f->path, &f->err);
	cr_expect_null(f->store);
	cr_expect_eq(f->err.code, ERR_DENIED);
	teardown(f);
}
