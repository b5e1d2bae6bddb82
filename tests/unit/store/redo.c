/* The log of commits, and the tables that follow it: after crashes, damage, and in between. */
#include "helpers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/fault.h"
#include "base/file.h"
#include "controller/store/private.h"

/* ---- the files alone ---- */

struct taken {
	uint64_t first, last;
	unsigned int count;
	bool in_order;
};

static void take(void *arg, uint64_t number, struct buf *record)
{
	struct taken *t = arg;
	struct record_item item;
	size_t at = 0;

	t->in_order = (!t->count || number == t->last + 1) &&
		      record_next(record, &at, &item) == 1 && item.row.number == number &&
		      record_next(record, &at, &item) == 0;
	t->first = t->count++ ? t->first : number;
	t->last = number;
	buf_release(record);
}

static int replay(struct fixture *f, int version, uint64_t after, struct taken *ret)
{
	struct redo *r = redo_open(f->path, version, &f->err);
	int result;

	*ret = (struct taken){ 0 };
	cr_assert(r, "%s", f->err.text);
	result = redo_replay(r, after, take, ret, &f->err);
	redo_close(r);
	return result;
}

static int append(struct redo *r, uint64_t number, size_t len, uint64_t durable, struct error *err)
{
	cleanup(buf_release) struct buf record = { 0 };
	cleanup(freep) uint8_t *body = xcalloc(1, len + 1);
	struct row row = { .kind = ROW_RUN,
			   .id = "id",
			   .parent = "",
			   .key = "key",
			   .number = number,
			   .body = body,
			   .len = len };

	record_begin(&record);
	record_row(&record, &row);
	return redo_append(r, &record, durable, err);
}

/* A log of its own, apart from the fixture's store. */
static struct fixture *setup_log(uint64_t first, uint64_t last, size_t len)
{
	struct fixture *f = setup();
	struct redo *r;

	store_close(f->store);
	f->store = NULL;
	free(f->path);
	f->path = path_join(f->dir, "alone");
	r = redo_open(f->path, 7, &f->err);
	cr_assert(r, "%s", f->err.text);
	redo_restart(r, first - 1);
	for (uint64_t n = first; n <= last; n++)
		cr_assert_eq(append(r, n, len, 0, &f->err), 0, "%s", f->err.text);
	cr_expect_eq(redo_last(r), last);
	redo_close(r);
	return f;
}

Test(redo, what_the_tables_lack_is_replayed_in_order)
{
	struct fixture *f = setup_log(5, 60, 100);
	struct taken t;

	cr_assert_eq(replay(f, 7, 4, &t), 0, "%s", f->err.text);
	cr_expect(t.count == 56 && t.first == 5 && t.last == 60 && t.in_order);
	cr_assert_eq(replay(f, 7, 40, &t), 0, "%s", f->err.text);
	cr_expect(t.count == 20 && t.first == 41 && t.last == 60 && t.in_order);
	cr_assert_eq(replay(f, 7, 60, &t), 0, "%s", f->err.text);
	cr_expect_eq(t.count, 0);
	teardown(f);
}

Test(redo, two_files_take_turns_and_are_overwritten)
{
	struct fixture *f = setup_log(1, 1, 10);
	struct redo *r = redo_open(f->path, 7, &f->err);
	cleanup(freep) char *file = xprintf("%s.redo0", f->path);
	uint64_t n, durable = 1;
	struct taken t;
	struct stat st;

	redo_restart(r, 1);
	for (n = 2; n <= 400; n++) {
		cr_assert_eq(append(r, n, 100000, durable, &f->err), 0, "%s", f->err.text);
		if (n % 50 == 0) /* the tables follow now and then */
			durable = n - 20;
	}
	cr_expect_not(redo_is_long(r));
	redo_close(r);
	cr_assert_eq(stat(file, &st), 0);
	cr_expect_lt(st.st_size, 16 << 20); /* of 40 MB */
	cr_assert_eq(replay(f, 7, durable, &t), 0, "%s", f->err.text);
	cr_expect(t.first == durable + 1 && t.last == 400 && t.in_order);
	teardown(f);
}

Test(redo, a_file_grows_until_the_other_is_free_and_says_so)
{
	struct fixture *f = setup_log(1, 1, 10);
	struct redo *r = redo_open(f->path, 7, &f->err);
	uint64_t n = 1;

	redo_restart(r, 1);
	cr_expect_eq(redo_awaits(r, 1), 0);
	while (!redo_is_long(r) && n < 200)
		cr_assert_eq(append(r, ++n, 1 << 20, 1, &f->err), 0, "%s", f->err.text);
	cr_expect(redo_is_long(r) && redo_awaits(r, 1) > 1);
	cr_expect_eq(redo_awaits(r, n), 0);
	n++;
	cr_assert_eq(append(r, n, 10, n - 1, &f->err), 0, "%s", f->err.text);
	cr_expect_not(redo_is_long(r));
	redo_close(r);
	teardown(f);
}

static void flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	char byte;

	cr_assert_eq(pread(fd, &byte, 1, at), 1);
	byte ^= 0x10;
	cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

Test(redo, a_torn_end_is_no_commit_and_is_written_over)
{
	struct fixture *f = setup_log(1, 20, 100);
	cleanup(freep) char *file = xprintf("%s.redo0", f->path);
	off_t each = sizeof(struct redo_head) + 40 + 3 + 1 + 4 + 100;
	struct taken t;
	struct redo *r;

	for (off_t at = 0; at < each; at += 7) {
		flip(file, 19 * each + at);
		cr_assert_eq(replay(f, 7, 0, &t), 0, "byte %d: %s", (int)at, f->err.text);
		cr_expect_eq(t.last, 19, "byte %d", (int)at);
		flip(file, 19 * each + at);
	}
	cr_assert_eq(truncate(file, 19 * each + 50), 0);
	cr_assert_eq(replay(f, 7, 0, &t), 0, "%s", f->err.text);
	cr_expect_eq(t.last, 19);
	r = redo_open(f->path, 7, &f->err);
	redo_restart(r, 19);
	cr_assert_eq(append(r, 20, 30, 19, &f->err), 0);
	redo_close(r);
	cr_assert_eq(replay(f, 7, 19, &t), 0, "%s", f->err.text);
	cr_expect(t.count == 1 && t.last == 20);
	teardown(f);
}

Test(redo, damage_between_whole_commits_is_refused)
{
	struct fixture *f = setup_log(1, 20, 100);
	cleanup(freep) char *file = xprintf("%s.redo0", f->path);
	off_t each = sizeof(struct redo_head) + 40 + 3 + 1 + 4 + 100;
	struct taken t;

	for (off_t at = 0; at < each; at += 7) {
		flip(file, 9 * each + at);
		cr_assert_eq(replay(f, 7, 0, &t), -1, "byte %d", (int)at);
		cr_expect_str_eq(f->err.id, "E0603");
		cr_expect(strstr(f->err.text, file), "%s", f->err.text);
		flip(file, 9 * each + at);
	}
	cr_assert_eq(replay(f, 7, 0, &t), 0, "%s", f->err.text);
	teardown(f);
}

Test(redo, a_log_of_another_database_or_version_is_refused)
{
	struct fixture *f = setup_log(100, 110, 10);
	struct taken t;

	cr_expect_eq(replay(f, 7, 50, &t), -1);
	cr_expect_str_eq(f->err.id, "E0603");
	cr_expect(strstr(f->err.text, "100") && strstr(f->err.text, "50"), "%s", f->err.text);
	cr_expect_eq(replay(f, 8, 105, &t), -1);
	cr_expect_str_eq(f->err.id, "E0604");
	cr_expect_eq(replay(f, 8, 110, &t), 0, "%s", f->err.text); /* none of it is needed */
	teardown(f);
}

/* ---- with the tables ---- */

static bool in_table(struct fixture *f, const char *id)
{
	struct connection c = { 0 };
	struct db_statement *st;
	bool found;

	cr_assert_eq(connection_open(&c, f->path, DB_READER, &f->err), 0, "%s", f->err.text);
	st = db_prepare(c.db, "SELECT 1 FROM runs WHERE id = $1", &f->err);
	db_bind_text(st, 1, id);
	found = db_step(st, &f->err) == 1;
	db_finish(st);
	connection_close(&c);
	return found;
}

/* A child that commits and ends as by kill -9, at once: mostly before the tables have anything. */
static void commit_and_die(struct fixture *f, uint32_t from, uint32_t to)
{
	pid_t pid;
	int status;

	store_close(f->store);
	f->store = NULL;
	pid = fork();
	if (pid == 0) {
		f->store = store_open(f->path, &f->err);
		for (uint32_t n = from; f->store && n <= to; n++) {
			store_begin(f->store);
			put_run(f, n, SLUICE__V1__RUN_STATE__RUN_RUNNING, "p");
			if (n > 1)
				put_run(f, n - 1, SLUICE__V1__RUN_STATE__RUN_SUCCEEDED, "p");
			append_event(f, n);
			commit(f);
		}
		_exit(f->store ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
}

Test(behind, what_only_the_log_has_is_in_the_tables_after_a_start)
{
	struct fixture *f = setup();
	struct store_reader *r;
	ProtobufCMessage *m = NULL;
	uint64_t count = 0;

	commit_and_die(f, 1, 30);
	commit_and_die(f, 31, 50);
	cr_expect_not(in_table(f, "run-000050"));
	f->store = store_open(f->path, &f->err);
	cr_assert(f->store, "%s", f->err.text);
	cr_expect(in_table(f, "run-000050"));
	cr_expect_eq(store_last_event(f->store, NULL), 50);
	for (uint32_t n = 1; n <= 50; n++) {
		cr_assert_eq(store_by_number(f->store, ROW_RUN, n, &m, &f->err), 1, "run %u", n);
		cr_expect_eq(((Sluice__V1__Run *)m)->state,
			     n < 50 ? SLUICE__V1__RUN_STATE__RUN_SUCCEEDED
				    : SLUICE__V1__RUN_STATE__RUN_RUNNING);
		message_free(m);
	}
	r = store_reader_take(f->store, &f->err);
	cr_assert_eq(reader_verify_events(r, &count, &f->err), 0, "%s", f->err.text);
	cr_expect_eq(count, 50);
	store_reader_give(r);
	teardown(f);
}

Test(behind, a_log_that_is_missing_is_missed_unless_the_store_was_closed_in_order)
{
	struct fixture *f = setup();
	cleanup(freep) char *file = xprintf("%s.redo1", f->path);

	reopen(f);
	store_close(f->store);
	cr_assert_eq(unlink(file), 0);
	f->store = store_open(f->path, &f->err);
	cr_assert(f->store, "%s", f->err.text);
	commit_and_die(f, 1, 3);
	cr_assert_eq(unlink(file), 0);
	f->store = store_open(f->path, &f->err);
	cr_expect_null(f->store);
	cr_expect_str_eq(f->err.id, "E0603");
	cr_expect(strstr(f->err.text, file), "%s", f->err.text);
	cr_expect_null(store_open(f->path, &f->err)); /* and is not made up for */
	teardown(f);
}

/* As somebody who brings an older database back and leaves the rest. */
Test(behind, an_older_copy_of_the_tables_is_not_led_on_by_a_log_that_is_newer)
{
	struct fixture *f = setup();
	cleanup(buf_release) struct buf copy = { 0 };
	static const char *const beside[] = { "-wal", "-shm", ".redo0", ".redo1" };

	commit_and_die(f, 1, 3);
	f->store = store_open(f->path, &f->err);
	cr_assert(f->store, "%s", f->err.text);
	store_close(f->store);
	cr_assert_eq(file_read(f->path, SIZE_MAX, &copy, &f->err), 0);
	f->store = store_open(f->path, &f->err);
	commit_and_die(f, 4, 6);
	for (size_t i = 0; i < ARRAY_SIZE(beside); i++) {
		cleanup(freep) char *file = xprintf("%s%s", f->path, beside[i]);

		if (i == 2) {
			cr_assert_eq(file_write_atomic(f->path, copy.data, copy.len, 0600, &f->err),
				     0);
			f->store = store_open(f->path, &f->err);
			cr_assert_null(f->store);
			cr_expect_str_eq(f->err.id, "E0603");
			cr_expect(strstr(f->err.text, file), "%s", f->err.text);
			error_clear(&f->err);
		}
		unlink(file);
	}
	f->store = store_open(f->path, &f->err);
	cr_assert(f->store, "%s", f->err.text);
	cr_expect_eq(store_last_event(f->store, NULL), 3);
	teardown(f);
}

Test(behind, a_query_finds_what_was_committed_before_it)
{
	struct fixture *f = setup();
	cleanup(arena_freep) struct arena *a = arena_new(0);

	for (uint32_t n = 1; n <= 200; n++) {
		struct store_reader *r;
		ProtobufCMessage *m = NULL;
		char id[40];

		begin(f);
		put_run(f, n, SLUICE__V1__RUN_STATE__RUN_RUNNING, "p");
		commit(f);
		snprintf(id, sizeof id, "run-%06u", n);
		r = store_reader_take(f->store, &f->err);
		cr_assert_eq(reader_get(r, ROW_RUN, id, a, &m, &f->err), 1, "%s", id);
		store_reader_give(r);
	}
	teardown(f);
}

Test(behind, the_tables_follow_by_themselves)
{
	struct fixture *f = setup();

	begin(f);
	put_run(f, 1, SLUICE__V1__RUN_STATE__RUN_RUNNING, "p");
	commit(f);
	for (int i = 0; i < 500 && !in_table(f, "run-000001"); i++)
		usleep(10000);
	cr_expect(in_table(f, "run-000001"));
	teardown(f);
}

Test(behind, the_last_version_of_a_row_counts_and_a_deleted_one_is_gone)
{
	struct fixture *f = setup();
	ProtobufCMessage *m = NULL;
	struct row gone = {
		.kind = ROW_RUN, .id = "run-000002", .parent = "", .key = "", .gone = true
	};

	for (int state = 1; state <= 3; state++) {
		begin(f);
		put_run(f, 1, state, "p");
		put_run(f, 2, state, "p");
		commit(f);
	}
	begin(f);
	cr_assert_eq(store_put(f->store, &gone, &f->err), 0);
	commit(f);
	for (int settled = 0; settled < 2; settled++) { /* before the tables have it, and after */
		cr_assert_eq(store_get(f->store, ROW_RUN, "run-000001", &m, &f->err), 1);
		cr_expect_eq(((Sluice__V1__Run *)m)->state, 3);
		message_free(m);
		cr_expect_eq(store_get(f->store, ROW_RUN, "run-000002", &m, &f->err), 0);
		cr_assert_eq(store_settle(f->store, settled, &f->err), 0, "%s", f->err.text);
	}
	cr_expect_not(in_table(f, "run-000002"));
	begin(f);
	put_run(f, 2, 2, "p"); /* it may come back */
	commit(f);
	cr_assert_eq(store_by_number(f->store, ROW_RUN, 2, &m, &f->err), 1);
	message_free(m);
	teardown(f);
}

Test(behind, neither_log_grows_without_end, .timeout = 120)
{
	struct fixture *f = setup();
	char reason[2000];
	struct stat st;
	const char *const names[] = { "redo0", "redo1", "wal" };

	memset(reason, 'x', sizeof reason - 1);
	reason[sizeof reason - 1] = '\0';
	for (uint32_t n = 1; n <= 12000; n++) {
		Sluice__V1__Run run = SLUICE__V1__RUN__INIT;
		char id[40];

		snprintf(id, sizeof id, "run-%06u", n % 500);
		run.id = id;
		run.number = n % 500 + 1;
		run.reason = reason;
		begin(f);
		cr_assert_eq(put_message(f->store, ROW_RUN, &run, &f->err), 0);
		commit(f);
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup(freep) char *log = xprintf("%s%s%s", f->path, i < 2 ? "." : "-", names[i]);

		cr_assert_eq(stat(log, &st), 0);
		cr_expect_lt(st.st_size, 20 << 20, "%s: %lld bytes", log, (long long)st.st_size);
	}
	teardown(f);
}

#ifdef SLUICE_FAULTS
Test(behind, tables_that_cannot_be_written_for_a_while_miss_nothing)
{
	struct fixture *f = setup();
	cleanup(arena_freep) struct arena *a = arena_new(0);
	struct store_reader *r = store_reader_take(f->store, &f->err);
	ProtobufCMessage *m = NULL;

	fault_load("behind.before=error@1+");
	begin(f);
	put_run(f, 1, SLUICE__V1__RUN_STATE__RUN_RUNNING, "p");
	commit(f); /* the log can */
	cr_expect_eq(reader_by_number(r, ROW_RUN, 1, a, &m, &f->err), -1);
	cr_expect_str_eq(f->err.id, "E0601");
	begin(f);
	put_run(f, 1, SLUICE__V1__RUN_STATE__RUN_SUCCEEDED, "p");
	cr_expect_eq(store_commit(f->store, &f->err), -1); /* but nothing more piles up */
	cr_expect_str_eq(f->err.id, "E0601");
	fault_load("");
	begin(f);
	put_run(f, 2, SLUICE__V1__RUN_STATE__RUN_RUNNING, "p");
	commit(f);
	cr_expect_eq(reader_by_number(r, ROW_RUN, 1, a, &m, &f->err), 1, "%s", f->err.text);
	cr_expect_eq(((Sluice__V1__Run *)m)->state, SLUICE__V1__RUN_STATE__RUN_RUNNING);
	store_reader_give(r);
	cr_expect(in_table(f, "run-000001") && in_table(f, "run-000002"));
	teardown(f);
}

Test(behind, a_log_that_cannot_be_synced_is_in_doubt)
{
	struct fixture *f = setup();

	fault_load("redo.before-sync=error@1");
	begin(f);
	put_run(f, 1, SLUICE__V1__RUN_STATE__RUN_RUNNING, "p");
	cr_expect_eq(store_commit(f->store, &f->err), -1);
	cr_expect_neq(f->err.code, ERR_EXHAUSTED);
	fault_load("");
	teardown(f);
}
#endif
