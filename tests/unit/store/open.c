/* What is found at the start: nothing, an old schema, a new one, damage, a crash, a full disk. */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "base/fault.h"
#include "controller/store/private.h"

static int make_a(struct db *db, struct error *err)
{
	return db_exec(db, "CREATE TABLE a (x TEXT); INSERT INTO a VALUES ('one')", err);
}

static int make_b(struct db *db, struct error *err)
{
	return db_exec(db, "CREATE TABLE b AS SELECT x AS y FROM a; DROP TABLE a", err);
}

static int fail_half_way(struct db *db, struct error *err)
{
	if (db_exec(db, "DROP TABLE a", err) < 0)
		return -1;
	return error_set(err, ERR_INTERNAL, "the second half");
}

struct bare {
	char dir[64];
	char *path, *copy;
	struct db *db;
	struct error err;
};

static struct bare *bare_setup(void)
{
	static const struct migration first[] = { { make_a } };
	struct bare *b = xcalloc(1, sizeof *b);

	snprintf(b->dir, sizeof b->dir, "/tmp/sluice-store-XXXXXX");
	cr_assert(mkdtemp(b->dir));
	b->path = path_join(b->dir, "x.db");
	b->copy = path_join(b->dir, "x.db.v1");
	b->db = db_open(b->path, DB_WRITER, &b->err);
	cr_assert(b->db, "%s", b->err.text);
	cr_assert_eq(schema_migrate(b->db, b->path, first, 1, &b->err), 0, "%s", b->err.text);
	return b;
}

static void bare_teardown(struct bare *b)
{
	db_close(b->db);
	file_remove_tree(b->dir, &b->err);
	free(b->path);
	free(b->copy);
	free(b);
}

Test(open, an_older_schema_is_migrated_after_a_copy)
{
	static const struct migration steps[] = { { make_a }, { make_b } };
	struct bare *b = bare_setup();
	struct db *copy;
	int version = 0;

	cr_expect_not(file_exists(b->copy)); /* an empty database was not worth one */
	cr_assert_eq(schema_migrate(b->db, b->path, steps, 2, &b->err), 0, "%s", b->err.text);
	cr_expect_eq(db_exec(b->db, "SELECT y FROM b", &b->err), 0);
	cr_assert_eq(db_version(b->db, &version, &b->err), 0);
	cr_expect_eq(version, 2);
	copy = db_open(b->copy, DB_WRITER, &b->err);
	cr_assert(copy, "%s", b->err.text);
	cr_expect_eq(db_exec(copy, "SELECT x FROM a", &b->err), 0);
	db_close(copy);
	bare_teardown(b);
}

Test(open, a_migration_that_fails_changes_nothing)
{
	static const struct migration steps[] = { { make_a }, { fail_half_way } };
	struct bare *b = bare_setup();
	int version = 0;

	cr_assert_eq(schema_migrate(b->db, b->path, steps, 2, &b->err), -1);
	cr_expect(strstr(b->err.text, "from version 1"), "%s", b->err.text);
	cr_assert_eq(db_version(b->db, &version, &b->err), 0);
	cr_expect_eq(version, 1);
	cr_expect_eq(db_exec(b->db, "SELECT x FROM a", &b->err), 0);
	bare_teardown(b);
}

Test(open, a_newer_schema_is_refused)
{
	struct fixture *f = setup();
	struct db *db;

	store_close(f->store);
	db = db_open(f->path, DB_WRITER, &f->err);
	cr_assert_eq(db_set_version(db, 99, &f->err), 0);
	db_close(db);
	f->store = store_open(f->path, &f->err);
	cr_expect_null(f->store);
	cr_expect_str_eq(f->err.id, "E0604");
	cr_expect(strstr(f->err.text, "99"), "%s", f->err.text);
	teardown(f);
}

static void expect_damaged(struct fixture *f)
{
	f->store = store_open(f->path, &f->err);
	cr_expect_null(f->store);
	cr_expect_str_eq(f->err.id, "E0603", "%s: %s", f->err.id, f->err.text);
	cr_expect(strstr(f->err.text, f->path), "%s", f->err.text);
}

static void write_at(const char *path, off_t at, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY);

	cr_assert_eq(pwrite(fd, data, len, at), (ssize_t)len);
	close(fd);
}

static struct fixture *setup_with_rows(void)
{
	struct fixture *f = setup();

	begin(f);
	for (uint32_t i = 1; i <= 2000; i++)
		put_run(f, i, SLUICE__V1__RUN_STATE__RUN_SUCCEEDED, "a-pipeline");
	commit(f);
	store_close(f->store);
	f->store = NULL;
	return f;
}

Test(open, a_file_that_is_no_database_is_refused)
{
	struct fixture *f = setup_with_rows();

	write_at(f->path, 0, "This is not a database, it is a letter.", 39);
	expect_damaged(f);
	teardown(f);
}

Test(open, a_file_that_was_cut_is_refused)
{
	struct fixture *f = setup_with_rows();

	cr_assert_eq(truncate(f->path, 40960), 0);
	expect_damaged(f);
	teardown(f);
}

Test(open, a_page_of_rubbish_is_found_at_the_start)
{
	struct fixture *f = setup_with_rows();
	char rubbish[4096];

	memset(rubbish, 0xa5, sizeof rubbish);
	for (off_t page = 20; page < 40; page++)
		write_at(f->path, page * 4096, rubbish, sizeof rubbish);
	expect_damaged(f);
	teardown(f);
}

/* A child that commits run after run and says so through a pipe, until it is killed. */
static _Noreturn void commit_for_ever(const char *path, int out)
{
	struct fixture f = { 0 };
	struct store *s = store_open(path, &f.err);

	f.store = s;
	for (uint32_t n = 1; s; n++) {
		store_begin(s);
		put_run(&f, n, SLUICE__V1__RUN_STATE__RUN_RUNNING, "p");
		append_event(&f, n);
		if (store_commit(s, &f.err) < 0 || write(out, &n, sizeof n) != sizeof n)
			break;
	}
	_exit(1);
}

Test(open, what_was_acknowledged_survives_kill_9, .timeout = 120)
{
	struct error err = { 0 };

	for (unsigned int round = 0; round < 12; round++) {
		struct fixture *f = setup();
		uint32_t last = 0, n;
		uint64_t count = 0;
		int fds[2];
		pid_t pid;
		struct store_reader *r;
		ProtobufCMessage *m = NULL;

		store_close(f->store);
		cr_assert_eq(pipe(fds), 0);
		pid = fork();
		if (pid == 0)
			commit_for_ever(f->path, fds[1]);
		close(fds[1]);
		usleep(20000 + 17000 * round);
		kill(pid, SIGKILL);
		while (read(fds[0], &n, sizeof n) == sizeof n)
			last = n;
		close(fds[0]);
		waitpid(pid, NULL, 0);
		f->store = store_open(f->path, &err);
		cr_assert(f->store, "%s", err.text);
		for (n = 1; n <= last; n++) {
			cr_assert_eq(store_by_number(f->store, ROW_RUN, n, &m, &err), 1,
				     "run %u of %u", n, last);
			message_free(m);
		}
		r = store_reader_take(f->store, &err);
		cr_assert_eq(reader_verify_events(r, &count, &err), 0, "%s", err.text);
		cr_expect_geq(count, last);
		store_reader_give(r);
		teardown(f);
	}
}

/* Fills the disk by commits until one is refused. */
static int commit_until_refused(struct fixture *f, uint32_t *n)
{
	for (; *n < 100000; ++*n) {
		int r;

		store_begin(f->store);
		for (int i = 0; i < 20; i++) {
			Sluice__V1__Run run = SLUICE__V1__RUN__INIT;
			char id[40], reason[600];

			snprintf(id, sizeof id, "run-%06u-%02d", *n, i);
			memset(reason, 'x', sizeof reason - 1);
			reason[sizeof reason - 1] = '\0';
			run.id = id;
			run.number = *n;
			run.reason = reason;
			r = put_message(f->store, ROW_RUN, &run, &f->err);
			if (r < 0)
				break;
		}
		if (r < 0 || store_commit(f->store, &f->err) < 0) {
			store_rollback(f->store);
			return -1;
		}
	}
	return 0;
}

Test(open, a_full_disk_is_refused_rolled_back_and_survived)
{
	struct fixture *f;
	uint32_t n = 1;
	char id[40];
	ProtobufCMessage *m = NULL;
	char *db, *ballast;
	int fd;

	f = setup();
	store_close(f->store);
	f->store = NULL;
	if (mount("tmpfs", f->dir, "tmpfs", 0, "size=32m") < 0)
		cr_skip_test("mounting a small file system needs root: %s", strerror(errno));
	db = path_join(f->dir, "full.db");
	ballast = path_join(f->dir, "ballast");
	fd = open(ballast, O_CREAT | O_WRONLY, 0600);
	cr_assert_eq(posix_fallocate(fd, 0, 20 << 20), 0);
	close(fd);
	f->store = store_open(db, &f->err);
	cr_assert(f->store, "%s", f->err.text);
	cr_assert_eq(commit_until_refused(f, &n), -1);
	cr_expect_eq(f->err.code, ERR_EXHAUSTED, "%s", f->err.text);
	cr_expect_str_eq(f->err.id, "E0601", "%s", f->err.text);
	/* what was acknowledged is there, what was refused is not */
	snprintf(id, sizeof id, "run-%06u-19", n - 1);
	cr_expect_eq(store_get(f->store, ROW_RUN, id, &m, &f->err), 1);
	message_free(m);
	snprintf(id, sizeof id, "run-%06u-00", n);
	cr_expect_eq(store_get(f->store, ROW_RUN, id, &m, &f->err), 0);
	/* with room again it goes on */
	cr_assert_eq(unlink(ballast), 0);
	begin(f);
	put_run(f, 999999, SLUICE__V1__RUN_STATE__RUN_RUNNING, "p");
	append_event(f, 1);
	commit(f);
	store_close(f->store);
	f->store = store_open(db, &f->err);
	cr_assert(f->store, "%s", f->err.text);
	cr_expect_eq(store_by_number(f->store, ROW_RUN, 999999, &m, &f->err), 1);
	cr_expect_eq(store_last_event(f->store, NULL), 1);
	message_free(m);
	store_close(f->store);
	f->store = NULL;
	cr_expect_eq(umount(f->dir), 0);
	free(db);
	free(ballast);
	teardown(f);
}

#ifdef SLUICE_FAULTS
Test(open, a_commit_that_fails_otherwise_is_no_full_disk)
{
	struct fixture *f = setup();

	fault_load("commit.before=error@1");
	begin(f);
	put_run(f, 1, SLUICE__V1__RUN_STATE__RUN_RUNNING, "p");
	cr_expect_eq(store_commit(f->store, &f->err), -1);
	cr_expect_neq(f->err.code, ERR_EXHAUSTED);
	fault_load("");
	teardown(f);
}
#endif
