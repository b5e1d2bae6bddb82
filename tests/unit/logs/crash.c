/* What a crash leaves: of the program (everything written is still in the files) and of the power
 * (what was not synced is gone: here, because the test takes it away). */
#include "helpers.h"

#include <signal.h>

static void append_text(struct logbook *b, const struct log_key *k, uint64_t at, const char *text,
			size_t len)
{
	uint64_t end;

	if (logbook_append(b, k, at, text, len, &end, NULL) < 0)
		_exit(2);
}

static void sync_or_die(struct logbook *b, const struct log_key *k)
{
	uint64_t durable;

	if (logbook_sync(b, k, &durable, NULL) < 0)
		_exit(3);
}

static void write_and_forget_the_rest(struct logbook *b)
{
	append_text(b, &key, 0, "kept", 4);
	sync_or_die(b, &key);
	append_text(b, &key, 4, "cut", 3);
}

Test(crash, what_was_not_synced_is_cut)
{
	struct fixture *f = setup();
	char *path = log_file_path(f, &key);
	struct stat st;

	logbook_close(f->book);
	in_a_child(f->dir, write_and_forget_the_rest);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_size, 7);
	f->book = open_book(f->dir);
	cr_expect_eq(logbook_end(f->book, &key), 4);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_size, 4);
	append(f, &key, 4, "again");
	sync_log(f, &key, 9);
	free(path);
	teardown(f);
}

Test(crash, small_pieces_come_back_from_the_journal)
{
	struct fixture *f = setup();
	char *path = log_file_path(f, &key);
	struct log_reader *r;
	char got[8] = "";
	bool ended;

	logbook_close(f->book);
	in_a_child(f->dir, write_and_forget_the_rest);
	cr_assert_eq(unlink(path), 0); /* the power went before the kernel wrote it */
	f->book = open_book(f->dir);
	cr_expect_eq(logbook_end(f->book, &key), 4);
	r = log_reader_open(f->book, &key, &f->err);
	cr_assert_eq(log_reader_read(r, 0, got, sizeof got - 1, &ended, &f->err), 4, "%s",
		     f->err.text);
	cr_expect_str_eq(got, "kept");
	log_reader_close(r);
	free(path);
	teardown(f);
}

static void write_large_between_small(struct logbook *b)
{
	char *large = xmalloc(100000);

	memset(large, 'L', 100000);
	append_text(b, &key, 0, "small", 5);
	sync_or_die(b, &key);
	append_text(b, &key, 5, large, 100000);
	sync_or_die(b, &key);
	append_text(b, &key, 100005, "small again", 11);
	sync_or_die(b, &key);
	free(large);
}

Test(crash, large_pieces_are_durable_in_their_own_file)
{
	struct fixture *f = setup();
	char *path = log_file_path(f, &key);

	logbook_close(f->book);
	in_a_child(f->dir, write_large_between_small);
	cr_assert_eq(truncate(path, 100005), 0); /* what was synced in the file itself */
	f->book = open_book(f->dir);
	cr_expect_eq(logbook_end(f->book, &key), 100016);
	free(path);
	teardown(f);
}

Test(crash, acknowledged_bytes_that_are_missing_stop_the_start)
{
	struct fixture *f = setup();
	char *path = log_file_path(f, &key);

	logbook_close(f->book);
	in_a_child(f->dir, write_large_between_small);
	cr_assert_eq(truncate(path, 50000), 0);
	f->book = logbook_open(f->dir, &f->err);
	cr_expect_null(f->book, "a hole was taken for a log");
	cr_expect_str_eq(f->err.id, "E0602", "%s", f->err.text);
	free(path);
	teardown(f);
}

static void fill_journals(struct logbook *b)
{
	char line[3000];

	memset(line, 'j', sizeof line);
	for (uint64_t fence = 1; fence <= 4000; fence++) {
		struct log_key k = { .run = "run-1", .fence = fence };

		append_text(b, &k, 0, line, sizeof line);
		append_text(b, &k, sizeof line, line, fence % 3 ? 1 : 500);
		if (fence % 40 == 0)
			sync_or_die(b, &k);
		if (fence % 2)
			logbook_finish(b, &k, sizeof line + (fence % 3 ? 1 : 500));
	}
	sync_or_die(b, &(struct log_key){ .run = "run-1", .fence = 4000 });
}

Test(crash, journals_take_turns_and_forget_nothing, .timeout = 120)
{
	struct fixture *f = setup();
	int sealed = 0;

	logbook_close(f->book);
	in_a_child(f->dir, fill_journals);
	for (int round = 0; round < 2; round++) {
		f->book = open_book(f->dir);
		for (uint64_t fence = 1; fence <= 4000; fence++) {
			struct log_key k = { .run = "run-1", .fence = fence };

			cr_assert_eq(logbook_end(f->book, &k), 3000 + (fence % 3 ? 1 : 500), "%llu",
				     (unsigned long long)fence);
		}
		logbook_close(f->book);
	}
	for (uint64_t fence = 1; fence <= 4000; fence++) {
		char *path = log_file_path(f, &(struct log_key){ .run = "run-1", .fence = fence });
		struct stat st;

		cr_assert_eq(stat(path, &st), 0);
		sealed += (st.st_mode & 0777) == 0400;
		cr_assert_eq(st.st_size, 3000 + (fence % 3 ? 1 : 500));
		free(path);
	}
	cr_expect_eq(sealed, 2000, "%d logs are read-only", sealed);
	f->book = open_book(f->dir);
	teardown(f);
}

static unsigned char byte_at(uint64_t fence, uint64_t at)
{
	return (unsigned char)((at * 31 + fence * 7 + at / 253) & 0x7f);
}

struct ack {
	uint64_t fence, end;
};

/* Three logs in turn, pieces of all sizes, each acknowledged through the pipe once it is synced. */
static _Noreturn void append_for_ever(const char *dir, int out, unsigned int seed)
{
	struct logbook *b = logbook_open(dir, NULL);
	unsigned char *piece = malloc(200000);
	uint64_t ends[4] = { 0 };

	for (unsigned int n = 0; b; n++) {
		struct ack ack = { .fence = 1 + n % 3 };
		struct log_key k = { .run = "run-1", .fence = ack.fence };
		size_t len;

		seed = seed * 1103515245 + 12345;
		len = 1 + (seed >> 8) % ((seed >> 4) % 8 ? 600 : 150000);
		for (size_t i = 0; i < len; i++)
			piece[i] = byte_at(ack.fence, ends[ack.fence] + i);
		append_text(b, &k, ends[ack.fence], (char *)piece, len);
		ends[ack.fence] += len;
		if ((seed >> 16) % 3)
			continue;
		if (logbook_sync(b, &k, &ack.end, NULL) < 0 ||
		    write(out, &ack, sizeof ack) != sizeof ack)
			break;
	}
	_exit(1);
}

static void check_bytes(struct fixture *f, uint64_t fence, uint64_t acked)
{
	struct log_key k = { .run = "run-1", .fence = fence };
	struct log_reader *r = log_reader_open(f->book, &k, &f->err);
	unsigned char data[4096];
	uint64_t at = 0;
	int64_t n;
	bool ended;

	cr_assert(r, "%s", f->err.text);
	cr_expect_geq(logbook_end(f->book, &k), acked, "acknowledged bytes are missing");
	while ((n = log_reader_read(r, at, data, sizeof data, &ended, &f->err)) > 0)
		for (int64_t i = 0; i < n; i++, at++)
			cr_assert_eq(data[i], byte_at(fence, at), "byte %llu of %llu",
				     (unsigned long long)at, (unsigned long long)fence);
	cr_expect_eq(n, 0, "%s", f->err.text);
	log_reader_close(r);
}

Test(crash, what_was_acknowledged_survives_kill_9, .timeout = 120)
{
	for (unsigned int round = 0; round < 12; round++) {
		struct fixture *f = setup();
		uint64_t acked[4] = { 0 };
		struct ack ack;
		int fds[2];
		pid_t pid;

		logbook_close(f->book);
		cr_assert_eq(pipe(fds), 0);
		pid = fork();
		if (pid == 0)
			append_for_ever(f->dir, fds[1], round + 1);
		close(fds[1]);
		usleep(30000 + 23000 * round);
		kill(pid, SIGKILL);
		while (read(fds[0], &ack, sizeof ack) == sizeof ack)
			acked[ack.fence] = ack.end;
		close(fds[0]);
		waitpid(pid, NULL, 0);
		f->book = open_book(f->dir);
		for (uint64_t fence = 1; fence <= 3; fence++)
			check_bytes(f, fence, acked[fence]);
		teardown(f);
	}
}
