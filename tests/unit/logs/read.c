#include "helpers.h"

#include "base/clock.h"
#include "base/thread.h"

static struct log_reader *reader_of(struct fixture *f)
{
	struct log_reader *r = log_reader_open(f->book, &key, &f->err);

	cr_assert(r, "%s", f->err.text);
	return r;
}

static int64_t read_some(struct fixture *f, struct log_reader *r, uint64_t at, bool *ended)
{
	char data[16];
	int64_t n = log_reader_read(r, at, data, sizeof data, ended, &f->err);

	cr_assert_geq(n, 0, "%s", f->err.text);
	return n;
}

Test(read, only_a_live_reader_sees_what_is_not_durable)
{
	struct fixture *f = setup();
	struct log_reader *r = reader_of(f), *live = reader_of(f);
	bool ended;

	log_reader_live(live);
	append(f, &key, 0, "four");
	cr_expect_eq(read_some(f, r, 0, &ended), 0);
	cr_expect_not(ended);
	cr_expect_eq(read_some(f, live, 0, &ended), 4);
	sync_log(f, &key, 4);
	cr_expect_eq(read_some(f, r, 0, &ended), 4);
	cr_expect_eq(read_some(f, r, 3, &ended), 1);
	log_reader_close(r);
	log_reader_close(live);
	teardown(f);
}

Test(read, a_log_ends_where_its_attempt_said)
{
	struct fixture *f = setup();
	struct log_reader *r = reader_of(f);
	bool ended;

	append(f, &key, 0, "four");
	sync_log(f, &key, 4);
	logbook_finish(f->book, &key, 8);
	cr_expect_eq(read_some(f, r, 4, &ended), 0);
	cr_expect_not(ended, "four bytes are still to come");
	append(f, &key, 4, "more");
	sync_log(f, &key, 8);
	cr_expect_eq(read_some(f, r, 0, &ended), 8);
	cr_expect_not(ended);
	cr_expect_eq(read_some(f, r, 8, &ended), 0);
	cr_expect(ended);
	log_reader_close(r);
	teardown(f);
}

Test(read, a_log_without_a_byte_ends_too)
{
	struct fixture *f = setup();
	struct log_reader *r = reader_of(f);
	bool ended;

	cr_expect_eq(read_some(f, r, 0, &ended), 0);
	cr_expect_not(ended);
	logbook_finish(f->book, &key, 0);
	cr_expect_eq(read_some(f, r, 0, &ended), 0);
	cr_expect(ended);
	log_reader_wait(r, 0, -1); /* must not wait */
	log_reader_close(r);
	teardown(f);
}

Test(read, the_log_of_a_lost_attempt_ends_where_it_is_and_later_bytes_open_it_again)
{
	struct fixture *f = setup();
	struct log_reader *r = reader_of(f);
	bool ended;

	append(f, &key, 0, "four");
	sync_log(f, &key, 4);
	logbook_finish(f->book, &key, 0);
	cr_expect_eq(read_some(f, r, 4, &ended), 0);
	cr_expect(ended);
	append(f, &key, 4, "late");
	sync_log(f, &key, 8);
	cr_expect_eq(read_some(f, r, 4, &ended), 4);
	cr_expect_eq(read_some(f, r, 8, &ended), 0);
	cr_expect_not(ended, "more may come");
	logbook_finish(f->book, &key, 0);
	cr_expect_eq(read_some(f, r, 8, &ended), 0);
	cr_expect(ended);
	log_reader_close(r);
	teardown(f);
}

Test(read, an_end_that_a_crash_took_bytes_from_is_where_the_log_is)
{
	struct fixture *f = setup();
	struct log_reader *r;
	bool ended;

	append(f, &key, 0, "four");
	sync_log(f, &key, 4);
	logbook_finish(f->book, &key, 9); /* of which five bytes never come */
	r = reader_of(f);
	cr_expect_eq(read_some(f, r, 4, &ended), 0);
	cr_expect_not(ended);
	logbook_finish(f->book, &key, 0);
	cr_expect_eq(read_some(f, r, 4, &ended), 0);
	cr_expect(ended);
	log_reader_close(r);
	teardown(f);
}

Test(read, what_came_back_from_a_backup_is_believed_as_far_as_the_rows_say)
{
	struct fixture *f = setup();
	char *path = log_file_path(f, &key);
	struct log_reader *r;
	bool ended;

	append(f, &key, 0, "restored");
	sync_log(f, &key, 8);
	logbook_finish(f->book, &key, 8);
	sync_log(f, &key, 8);
	reopen(f);
	cr_assert_eq(chmod(path, 0600), 0); /* a backup that kept no modes */
	reopen(f);
	r = reader_of(f);
	logbook_finish(f->book, &key, 8);
	cr_expect_eq(read_some(f, r, 0, &ended), 8);
	cr_expect_eq(read_some(f, r, 8, &ended), 0);
	cr_expect(ended);
	log_reader_close(r);
	free(path);
	teardown(f);
}

static void *wake_soon(void *arg)
{
	usleep(20000);
	log_reader_wake(arg);
	return NULL;
}

static void *append_soon(void *arg)
{
	usleep(20000);
	append(arg, &key, 0, "x");
	return NULL;
}

Test(read, a_waiting_reader_is_woken_by_growth_by_hand_and_by_time)
{
	struct fixture *f = setup();
	struct log_reader *r = reader_of(f);
	int64_t start = clock_mono_us();
	pthread_t t;
	bool ended;

	log_reader_wait(r, 0, 30);
	cr_expect_geq(clock_mono_us() - start, 29000);
	log_reader_live(r);
	t = thread_start("append", 0, append_soon, f);
	log_reader_wait(r, 0, -1);
	cr_expect_eq(read_some(f, r, 0, &ended), 1);
	thread_join(t);
	t = thread_start("wake", 0, wake_soon, r);
	log_reader_wait(r, 1, -1);
	log_reader_wait(r, 1, -1); /* a wake stays */
	thread_join(t);
	log_reader_close(r);
	teardown(f);
}

static void expect_tail(struct fixture *f, uint32_t lines, uint64_t want)
{
	struct log_reader *r = reader_of(f);
	uint64_t offset = 12345;

	cr_assert_eq(log_reader_tail(r, lines, &offset, &f->err), 0, "%s", f->err.text);
	cr_expect_eq(offset, want, "the last %u lines begin at %llu, not %llu", lines,
		     (unsigned long long)offset, (unsigned long long)want);
	log_reader_close(r);
}

Test(read, the_last_lines_begin_where_they_should)
{
	struct fixture *f = setup();

	expect_tail(f, 3, 0);
	append(f, &key, 0, "one\ntwo\n\nfour\n");
	sync_log(f, &key, 14);
	expect_tail(f, 0, 14);
	expect_tail(f, 1, 9);
	expect_tail(f, 2, 8);
	expect_tail(f, 3, 4);
	expect_tail(f, 4, 0);
	expect_tail(f, 100, 0);
	append(f, &key, 14, "unfinished");
	sync_log(f, &key, 24);
	expect_tail(f, 1, 14);
	expect_tail(f, 2, 9);
	teardown(f);
}

/* A log of many lines of unequal length: bytes, and where each line begins. */
struct text {
	char *data;
	size_t len, lines;
	size_t *begins;
};

static struct text make_text(size_t lines)
{
	struct text t = { .lines = lines };
	uint64_t random = 42;

	t.begins = xcalloc(lines + 1, sizeof *t.begins);
	t.data = xmalloc(lines * 400);
	for (size_t i = 0; i < lines; i++) {
		size_t n =
			(size_t)((random = random * 6364136223846793005u + 1442695040888963407u) >>
				 40) %
			300;

		t.begins[i] = t.len;
		memset(t.data + t.len, 'a' + (int)(i % 26), n);
		t.data[t.len + n] = '\n';
		t.len += n + 1;
	}
	t.begins[lines] = t.len;
	return t;
}

static void append_all(struct fixture *f, const struct text *t, size_t step)
{
	uint64_t end;

	for (size_t at = 0; at < t->len; at += step)
		cr_assert_eq(logbook_append(f->book, &key, at, t->data + at, MIN(step, t->len - at),
					    &end, &f->err),
			     0, "%s", f->err.text);
	sync_log(f, &key, t->len);
}

static void expect_lines(struct fixture *f, const struct text *t)
{
	struct log_reader *r = reader_of(f);
	uint64_t line;

	for (size_t i = 0; i <= t->lines; i += 977) {
		cr_assert_eq(log_reader_line(r, t->begins[i], &line, &f->err), 0, "%s",
			     f->err.text);
		cr_expect_eq(line, i);
	}
	cr_assert_eq(log_reader_line(r, UINT64_MAX, &line, &f->err), 0, "%s", f->err.text);
	cr_expect_eq(line, t->lines);
	for (uint32_t n = 1; n < 3000; n += 333)
		expect_tail(f, n, t->begins[t->lines - n]);
	log_reader_close(r);
}

Test(read, line_numbers_are_right_with_and_without_an_index)
{
	struct fixture *f = setup();
	struct text t = make_text(20000);
	struct log_reader *r;
	uint64_t line;
	char *index = xprintf("%s/run-1/7.0.idx", f->dir);
	struct stat st;

	append_all(f, &t, 100000);
	cr_assert_eq(stat(index, &st), 0);
	cr_expect_geq((size_t)st.st_size / 24, t.len / (400 << 10));
	expect_lines(f, &t);
	reopen(f);
	expect_lines(f, &t);
	cr_assert_eq(truncate(index, 24 * 2 + 11), 0); /* torn */
	expect_lines(f, &t);
	append(f, &key, t.len, "x\n"); /* a writer goes on behind what it believes */
	sync_log(f, &key, t.len + 2);
	cr_assert_eq(stat(index, &st), 0);
	cr_expect_eq(st.st_size % 24, 0);
	cr_assert_eq(unlink(index), 0);
	r = reader_of(f);
	cr_assert_eq(log_reader_line(r, t.begins[15000], &line, &f->err), 0, "%s", f->err.text);
	cr_expect_eq(line, 15000);
	log_reader_close(r);
	free(index);
	free(t.data);
	free(t.begins);
	teardown(f);
}
