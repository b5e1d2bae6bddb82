#include "helpers.h"

static void expect_text(struct fixture *f, const struct log_key *k, const char *want)
{
	struct log_reader *r = log_reader_open(f->book, k, &f->err);
	char got[256] = "";
	bool ended;
	int64_t n;

	cr_assert(r, "%s", f->err.text);
	n = log_reader_read(r, 0, got, sizeof got - 1, &ended, &f->err);
	cr_assert_geq(n, 0, "%s", f->err.text);
	cr_expect_str_eq(got, want);
	log_reader_close(r);
}

Test(append, bytes_appear_once_and_in_order)
{
	struct fixture *f = setup();

	append(f, &key, 0, "one ");
	append(f, &key, 4, "two ");
	append(f, &key, 0, "one two three"); /* said again, with more */
	append(f, &key, 4, "two ");
	sync_log(f, &key, 13);
	expect_text(f, &key, "one two three");
	cr_expect_eq(logbook_end(f->book, &key), 13);
	teardown(f);
}

Test(append, a_gap_is_refused_with_the_durable_end)
{
	struct fixture *f = setup();
	uint64_t end = 99;

	append(f, &key, 0, "durable");
	sync_log(f, &key, 7);
	append(f, &key, 7, " not yet");
	cr_assert_eq(logbook_append(f->book, &key, 16, "x", 1, &end, &f->err), -1);
	cr_expect_eq(f->err.code, ERR_CONFLICT);
	cr_expect_eq(end, 7);
	sync_log(f, &key, 15);
	teardown(f);
}

Test(append, streams_attempts_and_services_have_logs_of_their_own)
{
	struct fixture *f = setup();
	struct log_key words = key, other = key;
	struct log_key service = { .run = "", .environment = "production", .agent = "agent-1" };
	char *path = xprintf("%s/env/production/agent-1.log", f->dir);

	words.stream = 1;
	other.fence = 8;
	append(f, &key, 0, "output");
	append(f, &words, 0, "words");
	append(f, &other, 0, "other");
	append(f, &service, 0, "service");
	sync_log(f, &service, 7);
	sync_log(f, &words, 5);
	expect_text(f, &words, "words");
	expect_text(f, &other, "other");
	expect_text(f, &service, "service");
	cr_expect(file_exists(path));
	free(path);
	teardown(f);
}

Test(append, names_that_could_leave_the_directory_are_refused)
{
	struct fixture *f = setup();
	const struct log_key bad[] = {
		{ .run = "../etc", .fence = 1 },
		{ .run = "env", .fence = 1 },
		{ .run = "a/b", .fence = 1 },
		{ .run = ".", .fence = 1 },
		{ .run = "", .environment = "..", .agent = "a" },
		{ .run = "", .environment = "production", .agent = "a/../../b" },
		{ .run = "", .environment = "production" },
		{ .run = "", .environment = NULL, .agent = "a" },
	};
	uint64_t end;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_expect_eq(logbook_append(f->book, &bad[i], 0, "x", 1, &end, &f->err), -1, "%zu",
			     i);
		cr_expect_eq(f->err.code, ERR_INVALID);
		cr_expect_null(log_reader_open(f->book, &bad[i], &f->err));
		cr_expect_eq(logbook_end(f->book, &bad[i]), 0);
	}
	teardown(f);
}

/* A log that is read-only and `size` bytes long, of which none take room. */
static void make_sealed(struct fixture *f, off_t size)
{
	char *path = log_file_path(f, &key);
	char *slash = strrchr(path, '/');
	int fd;

	*slash = '\0';
	cr_assert_eq(file_make_dirs(path, 0700, &f->err), 0);
	*slash = '/';
	fd = open(path, O_CREAT | O_WRONLY, 0400);
	cr_assert_eq(ftruncate(fd, size), 0);
	close(fd);
	free(path);
}

Test(append, no_log_grows_beyond_a_gigabyte)
{
	struct fixture *f = setup();
	uint64_t limit = 1 << 30, end;

	make_sealed(f, (off_t)limit - 4);
	cr_expect_eq(logbook_end(f->book, &key), limit - 4);
	cr_assert_eq(logbook_append(f->book, &key, limit - 4, "12345", 5, &end, &f->err), -1);
	cr_expect_eq(f->err.code, ERR_EXHAUSTED);
	cr_expect_str_eq(f->err.id, "E0503");
	append(f, &key, limit - 4, "1234");
	sync_log(f, &key, limit);
	teardown(f);
}

Test(append, a_log_that_was_over_takes_more_and_keeps_it)
{
	struct fixture *f = setup();
	char *path = log_file_path(f, &key);
	struct stat st;

	append(f, &key, 0, "first");
	sync_log(f, &key, 5);
	logbook_finish(f->book, &key, 5);
	sync_log(f, &key, 5);
	reopen(f); /* recovery makes what is over read-only */
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0400);
	append(f, &key, 0, "first"); /* only said again: it stays as it is */
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0400);
	append(f, &key, 5, " and more");
	sync_log(f, &key, 14);
	reopen(f);
	cr_expect_eq(logbook_end(f->book, &key), 14);
	expect_text(f, &key, "first and more");
	free(path);
	teardown(f);
}

static int open_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 4096; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

Test(append, many_logs_need_few_descriptors)
{
	struct fixture *f = setup();
	int before = open_descriptors();

	for (uint64_t round = 0; round < 2; round++)
		for (uint64_t fence = 1; fence <= 700; fence++) {
			struct log_key k = { .run = "run-1", .fence = fence };

			append(f, &k, round * 3, round ? "def" : "abc");
			if (fence % 50 == 0)
				sync_log(f, &k, round * 3 + 3);
		}
	cr_expect_leq(open_descriptors() - before, 256);
	for (uint64_t fence = 1; fence <= 700; fence += 99) {
		struct log_key k = { .run = "run-1", .fence = fence };

		sync_log(f, &k, 6);
		expect_text(f, &k, "abcdef");
	}
	teardown(f);
}

Test(append, logs_of_old_runs_are_removed_and_live_ones_kept)
{
	struct fixture *f = setup();
	struct log_key live = { .run = "run-2", .fence = 8 };
	char *old = xprintf("%s/run-1", f->dir), *kept = xprintf("%s/run-2", f->dir);
	uint64_t removed = 0;

	append(f, &key, 0, "old");
	append(f, &live, 0, "live");
	sync_log(f, &key, 3);
	sync_log(f, &live, 4);
	logbook_finish(f->book, &key, 3);
	cr_assert_eq(logbook_expire(f->book, 1000, &removed, &f->err), 0, "%s", f->err.text);
	cr_expect_eq(removed, 0); /* none is as old as that */
	cr_assert_eq(logbook_expire(f->book, INT64_MAX, &removed, &f->err), 0, "%s", f->err.text);
	cr_expect_eq(removed, 1);
	cr_expect_not(file_exists(old));
	cr_expect(file_exists(kept));
	cr_expect_eq(logbook_end(f->book, &key), 0);
	reopen(f);
	cr_expect_not(file_exists(old)); /* no journal brings it back */
	cr_expect_eq(logbook_end(f->book, &live), 4);
	free(old);
	free(kept);
	teardown(f);
}

#ifdef SLUICE_FAULTS
Test(append, a_full_journal_refuses_the_sync_and_the_next_one_does_it)
{
	struct fixture *f = setup();
	uint64_t durable = 0;

	append(f, &key, 0, "some");
	fault_load("journal.full=error@1");
	cr_assert_eq(logbook_sync(f->book, &key, &durable, &f->err), -1);
	cr_expect_eq(f->err.code, ERR_EXHAUSTED);
	cr_expect_eq(durable, 0);
	cr_expect_eq(logbook_end(f->book, &key), 0);
	append(f, &key, 4, "more");
	sync_log(f, &key, 8);
	fault_load("");
	reopen(f);
	expect_text(f, &key, "somemore");
	teardown(f);
}

Test(append, after_a_failed_sync_nothing_is_acknowledged_any_more)
{
	struct fixture *f = setup();
	uint64_t durable = 0;

	append(f, &key, 0, "some");
	fault_load("logbook.before-sync=error@1");
	cr_expect_eq(logbook_sync(f->book, &key, &durable, &f->err), -1);
	cr_expect_eq(logbook_sync(f->book, &key, &durable, &f->err), -1);
	cr_expect_neq(f->err.code, ERR_EXHAUSTED);
	cr_expect_eq(logbook_end(f->book, &key), 0);
	fault_load("");
	teardown(f);
}
#endif
