/*
 * Logs of services: they never end, so the oldest is removed.
 */
#include <dirent.h>
#include <pthread.h>
#include <sys/time.h>

#include "helpers.h"

enum { KEPT = 1 << 20, SEGMENT = KEPT / 16, PIECE = 10000 };

static const struct log_key service = { .run = "",
					.environment = "production",
					.agent = "agent-1" };

static unsigned char byte_at(uint64_t at)
{
	return at % 50 == 49 ? '\n' : (unsigned char)('a' + (at / 50 + at) % 26);
}

/* Up to `end`, durable every now and then. */
static void write_to(struct fixture *f, uint64_t from, uint64_t end)
{
	cleanup(freep) unsigned char *data = xmalloc(PIECE);
	uint64_t durable;

	for (uint64_t at = from, got; at < end; at = got) {
		size_t len = MIN((uint64_t)PIECE, end - at);

		for (size_t i = 0; i < len; i++)
			data[i] = byte_at(at + i);
		cr_assert_eq(logbook_append(f->book, &service, at, data, len, &got, &f->err), 0,
			     "%s", f->err.text);
		cr_assert_eq(got, at + len);
		if (at / PIECE % 7 == 0)
			cr_assert_eq(logbook_sync(f->book, &service, &durable, &f->err), 0);
	}
	cr_assert_eq(logbook_sync(f->book, &service, &durable, &f->err), 0);
	cr_assert_eq(durable, end);
	cr_assert_eq(logbook_end(f->book, &service), end);
}

/* All that is kept from offset on: each byte is right. Where it began and ended. */
static void read_all(struct fixture *f, uint64_t from, uint64_t *ret_begin, uint64_t *ret_end)
{
	cleanup(log_reader_closep) struct log_reader *r =
		log_reader_open(f->book, &service, &f->err);
	cleanup(freep) unsigned char *data = xmalloc(PIECE);
	uint64_t at = from;
	bool ended, first = true;

	cr_assert(r, "%s", f->err.text);
	*ret_begin = *ret_end = from;
	for (;;) {
		int64_t n;

		cr_assert_eq(log_reader_seek(r, &at, &f->err), 0, "%s", f->err.text);
		if (first)
			*ret_begin = at;
		first = false;
		n = log_reader_read(r, at, data, PIECE, &ended, &f->err);
		cr_assert_geq(n, 0, "%s", f->err.text);
		*ret_end = at;
		if (!n)
			return;
		for (int64_t i = 0; i < n; i++)
			cr_assert_eq(data[i], byte_at(at + (uint64_t)i));
		at += (uint64_t)n;
	}
}

/* Bytes of its files, and how many there are. */
static uint64_t on_disk(struct fixture *f, unsigned *ret_files)
{
	cleanup(freep) char *path = xprintf("%s/env/production", f->dir);
	DIR *d = opendir(path);
	struct dirent *entry;
	uint64_t bytes = 0;

	*ret_files = 0;
	while (d && (entry = readdir(d))) {
		cleanup(freep) char *file = path_join(path, entry->d_name);
		struct stat st;

		if (entry->d_name[0] == '.' || stat(file, &st) < 0)
			continue;
		bytes += (uint64_t)st.st_size;
		++*ret_files;
	}
	if (d)
		closedir(d);
	return bytes;
}

Test(service, a_log_goes_on_for_ever_and_keeps_its_newest_part)
{
	struct fixture *f = setup();
	uint64_t begin, end, total = 5 * (uint64_t)KEPT + 12345;
	unsigned files;

	logbook_keep(f->book, KEPT);
	write_to(f, 0, total);
	read_all(f, 0, &begin, &end);
	cr_expect_eq(end, total);
	cr_expect_gt(begin, total - KEPT - 2 * SEGMENT, "more is kept than should be");
	cr_expect_lt(begin, total - KEPT / 2, "too little is kept");
	cr_expect_leq(on_disk(f, &files), KEPT + 64 * 1024);
	read_all(f, total - 100, &begin, &end);
	cr_expect_eq(begin, total - 100);
	teardown(f);
}

Test(service, after_a_restart_its_segments_are_found_and_it_goes_on)
{
	struct fixture *f = setup();
	uint64_t before, begin, end;

	logbook_keep(f->book, KEPT);
	write_to(f, 0, 3 * KEPT + 5);
	read_all(f, 0, &before, &end);
	for (int i = 0; i < 3; i++) {
		reopen(f);
		logbook_keep(f->book, KEPT);
		cr_expect_eq(logbook_end(f->book, &service), 3 * KEPT + 5 + (uint64_t)i * 100);
		read_all(f, 0, &begin, &end);
		cr_expect(begin >= before && begin <= before + (uint64_t)i * 2 * SEGMENT);
		write_to(f, 3 * KEPT + 5 + (uint64_t)i * 100, 3 * KEPT + 105 + (uint64_t)i * 100);
	}
	teardown(f);
}

static void write_and_die(struct logbook *b)
{
	cleanup(freep) unsigned char *data = xmalloc(PIECE);
	uint64_t durable, end;

	logbook_keep(b, KEPT);
	for (uint64_t at = 0; at < 2 * KEPT; at = end) {
		for (size_t i = 0; i < PIECE; i++)
			data[i] = byte_at(at + i);
		if (logbook_append(b, &service, at, data, PIECE, &end, NULL) < 0 ||
		    (at / PIECE % 5 == 0 && logbook_sync(b, &service, &durable, NULL) < 0))
			abort();
	}
}

Test(service, a_crash_leaves_no_hole_and_cuts_only_what_was_not_durable)
{
	struct fixture *f = setup();
	uint64_t begin, end, durable;

	logbook_close(f->book);
	in_a_child(f->dir, write_and_die);
	f->book = open_book(f->dir);
	logbook_keep(f->book, KEPT);
	durable = logbook_end(f->book, &service);
	cr_expect_geq(durable, 2 * KEPT - 5 * PIECE);
	read_all(f, KEPT + KEPT / 2, &begin, &end);
	cr_expect_eq(begin, KEPT + KEPT / 2);
	cr_expect_eq(end, durable);
	write_to(f, durable, durable + KEPT);
	teardown(f);
}

Test(service, what_was_said_already_is_dropped_across_segments_and_a_gap_is_refused)
{
	struct fixture *f = setup();
	cleanup(freep) unsigned char *data = xmalloc(SEGMENT);
	uint64_t end, at = 2 * SEGMENT + 500;

	logbook_keep(f->book, KEPT);
	write_to(f, 0, at);
	for (size_t i = 0; i < SEGMENT; i++)
		data[i] = byte_at(at - SEGMENT + 100 + i);
	cr_assert_eq(
		logbook_append(f->book, &service, at - SEGMENT + 100, data, SEGMENT, &end, &f->err),
		0);
	cr_expect_eq(end, at + 100);
	cr_assert_eq(logbook_append(f->book, &service, 5, data, 10, &end, &f->err), 0);
	cr_expect_eq(end, at + 100);
	cr_expect_eq(logbook_append(f->book, &service, at + 101, data, 10, &end, &f->err), -1);
	cr_expect_eq(f->err.code, ERR_CONFLICT);
	write_to(f, at + 100, at + 200);
	teardown(f);
}

Test(service, output_that_never_came_leaves_a_gap_that_readers_step_over)
{
	struct fixture *f = setup();
	uint64_t begin, end, at = 150;
	struct log_reader *r;
	char text[8] = "";
	bool ended;

	write_to(f, 0, 100);
	cr_assert_eq(logbook_skip(f->book, &service, 50, &f->err), 0); /* there already */
	cr_expect_eq(logbook_end(f->book, &service), 100);
	r = log_reader_open(f->book, &service, &f->err);
	cr_assert_eq(logbook_skip(f->book, &service, 1ULL << 40, &f->err), 0);
	cr_expect_eq(logbook_end(f->book, &service), 1ULL << 40);
	log_reader_wait(r, 100, -1); /* it is told */
	at = 100;
	cr_assert_eq(log_reader_seek(r, &at, &f->err), 0);
	cr_expect_eq(at, 1ULL << 40);
	write_to(f, 1ULL << 40, (1ULL << 40) + 70);
	cr_expect_eq(log_reader_read(r, at, text, 7, &ended, &f->err), 7);
	cr_expect_eq((unsigned char)text[0], byte_at(1ULL << 40));
	log_reader_close(r);
	reopen(f);
	read_all(f, 90, &begin, &end);
	cr_expect_eq(begin, 90);
	cr_expect_eq(end, (1ULL << 40) + 70);
	read_all(f, 100, &begin, &end);
	cr_expect_eq(begin, 1ULL << 40);
	teardown(f);
}

Test(service, gaps_without_end_do_not_make_files_without_end)
{
	struct fixture *f = setup();
	unsigned files;

	for (uint64_t i = 1; i <= 300; i++) {
		cr_assert_eq(logbook_skip(f->book, &service, i * 1000, &f->err), 0);
		write_to(f, i * 1000, i * 1000 + 1);
	}
	on_disk(f, &files);
	cr_expect_leq(files, 65);
	teardown(f);
}

static void *follow(void *arg)
{
	struct fixture *f = arg;
	cleanup(log_reader_closep) struct log_reader *r = log_reader_open(f->book, &service, NULL);
	cleanup(freep) unsigned char *data = xmalloc(PIECE);
	uint64_t at = 0;
	bool ended;

	log_reader_live(r);
	while (at < 2 * KEPT) {
		int64_t n;

		if (log_reader_seek(r, &at, NULL) < 0)
			return "it cannot seek";
		n = log_reader_read(r, at, data, PIECE, &ended, NULL);
		if (n < 0 || ended)
			return "it cannot read";
		for (int64_t i = 0; i < n; i++)
			if (data[i] != byte_at(at + (uint64_t)i))
				return "a byte is wrong";
		at += (uint64_t)n;
		if (!n)
			log_reader_wait(r, at, -1);
	}
	return NULL;
}

Test(service, a_follower_goes_from_segment_to_segment)
{
	struct fixture *f = setup();
	pthread_t thread;
	void *why;

	logbook_keep(f->book, KEPT);
	cr_assert_eq(pthread_create(&thread, NULL, follow, f), 0);
	write_to(f, 0, 2 * KEPT);
	pthread_join(thread, &why);
	cr_expect_null(why, "%s", (char *)why);
	teardown(f);
}

Test(service, the_last_lines_are_found_behind_the_border_of_a_segment)
{
	struct fixture *f = setup();
	struct log_reader *r;
	uint64_t offset;

	logbook_keep(f->book, KEPT);
	write_to(f, 0, 8 * PIECE); /* a segment holds 7, since the one that fills it stays whole */
	r = log_reader_open(f->book, &service, &f->err);
	cr_assert_eq(log_reader_tail(r, 3, &offset, &f->err), 0, "%s", f->err.text);
	cr_expect_eq(offset, 8 * PIECE - 150);
	cr_assert_eq(log_reader_tail(r, 900, &offset, &f->err), 0, "%s", f->err.text);
	cr_expect_eq(offset, 8 * PIECE - 900 * 50);
	cr_assert_eq(log_reader_tail(r, 1000000, &offset, &f->err), 0, "%s", f->err.text);
	cr_expect_eq(offset, 0);
	log_reader_close(r);
	teardown(f);
}

/* As if it had been written long ago. */
static void make_old(struct fixture *f, const char *suffix)
{
	cleanup(freep) char *path = xprintf("%s/env/production/agent-1%s.log", f->dir, suffix);
	struct timeval times[2] = { { 1000, 0 }, { 1000, 0 } };

	cr_assert_eq(utimes(path, times), 0, "%s", path);
}

Test(service, what_is_older_than_it_is_kept_for_is_removed)
{
	struct fixture *f = setup();
	uint64_t removed = 0, begin, end;

	logbook_keep(f->book, KEPT);
	write_to(f, 0, 20 * PIECE);
	make_old(f, "");
	cr_assert_eq(logbook_expire(f->book, 2000 * 1000, &removed, &f->err), 0, "%s", f->err.text);
	cr_expect_eq(removed, 1);
	read_all(f, 0, &begin, &end);
	cr_expect_eq(begin, 7 * PIECE);
	cr_expect_eq(end, 20 * PIECE);
	/* the one that is written stays, however old */
	make_old(f, "@140000");
	cr_assert_eq(logbook_expire(f->book, 2000 * 1000, &removed, &f->err), 0);
	cr_expect_eq(removed, 0);
	reopen(f); /* no journal brings it back, and nothing is missed */
	read_all(f, 0, &begin, &end);
	cr_expect_eq(begin, 7 * PIECE);
	write_to(f, 20 * PIECE, 21 * PIECE);
	teardown(f);
}

Test(append, words_and_metrics_end_at_32_mib)
{
	struct fixture *f = setup();
	struct log_key metrics = key;
	cleanup(freep) char *piece = xcalloc(1, 1 << 20);
	uint64_t end = 0;

	metrics.stream = 2;
	for (int i = 0; i < 32; i++)
		cr_assert_eq(logbook_append(f->book, &metrics, end, piece, 1 << 20, &end, &f->err),
			     0);
	cr_assert_eq(logbook_append(f->book, &metrics, end, "x", 1, &end, &f->err), -1);
	cr_expect_str_eq(f->err.id, "E0503");
	teardown(f);
}
