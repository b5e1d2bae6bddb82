#include "agent/journal.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/thread.h"
#include "proto/message.h"

#define STATE(name) SLUICE__V1__JOURNAL_ATTEMPT__STATE__##name

static char dir[64], path[128];

static void begin(void)
{
	snprintf(dir, sizeof dir, "/tmp/journal-test-XXXXXX");
	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/journal", dir);
}

static void end(void)
{
	file_remove_tree(dir, NULL);
}

TestSuite(journal, .init = begin, .fini = end, .timeout = 60);

static struct journal *must_open(void)
{
	struct error err = { 0 };
	struct journal *j = journal_open(path, "boot", &err);

	cr_assert(j, "%s", err.text);
	return j;
}

static void must_accept(struct journal *j, uint64_t fence, const char *run)
{
	Sluice__V1__Assignment a = SLUICE__V1__ASSIGNMENT__INIT;
	Sluice__V1__JobSpec spec = SLUICE__V1__JOB_SPEC__INIT;
	struct error err = { 0 };

	a.fence = fence;
	a.spec = &spec;
	spec.run = (char *)run;
	cr_assert_eq(journal_accept(j, &a, &err), 0, "%s", err.text);
}

static void must_exit(struct journal *j, uint64_t fence)
{
	Sluice__V1__FinishedAttempt done = SLUICE__V1__FINISHED_ATTEMPT__INIT;
	struct error err = { 0 };

	done.fence = fence;
	cr_assert_eq(journal_exited(j, &done, &err), 0, "%s", err.text);
}

static void must(int r, const struct error *err)
{
	cr_assert_eq(r, 0, "%s", err->text);
}

struct seen {
	size_t n;
	Sluice__V1__JournalAttempt *rows[4096];
};

static void see(void *arg, Sluice__V1__JournalAttempt *row)
{
	struct seen *s = arg;

	s->rows[s->n++] = row;
}

static const Sluice__V1__JournalAttempt *row_of(const struct seen *s, uint64_t fence)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->rows[i]->fence == fence)
			return s->rows[i];
	return NULL;
}

static void seen_release(struct seen *s)
{
	for (size_t i = 0; i < s->n; i++)
		message_free(s->rows[i]);
}

static void see_host(void *arg, Sluice__V1__JournalHost *row)
{
	*(uint64_t *)arg = row->phi;
	message_free(row);
}

Test(journal, what_was_said_is_there_after_opening_again)
{
	struct error err = { 0 };
	struct journal *j = must_open();
	cleanup(seen_release) struct seen s = { 0 };
	Sluice__V1__JournalHost host = SLUICE__V1__JOURNAL_HOST__INIT;
	uint64_t phi = 0;

	must(journal_epoch(j, 5, &err), &err);
	must_accept(j, 1, "first");
	must_accept(j, 2, "second");
	must_accept(j, 3, "third");
	must(journal_started(j, 2, "slot-1", &err), &err);
	must(journal_started(j, 3, "slot-2", &err), &err);
	must_exit(j, 3);
	must(journal_forget(j, 1, &err), &err);
	host.environment = (char *)"prod";
	host.phi = 9;
	must(journal_host(j, &host, &err), &err);
	must(journal_sync(j, &err), &err);
	journal_close(j);

	j = must_open();
	journal_attempts(j, see, &s);
	journal_hosts(j, see_host, &phi);
	cr_expect_eq(s.n, 2);
	cr_assert(row_of(&s, 2) && row_of(&s, 3));
	cr_expect_eq(row_of(&s, 2)->state, STATE(STARTED));
	cr_expect_str_eq(row_of(&s, 2)->slot, "slot-1");
	cr_expect_str_eq(row_of(&s, 2)->assignment->spec->run, "second");
	cr_expect_eq(row_of(&s, 3)->state, STATE(EXITED));
	cr_expect_eq(row_of(&s, 3)->finished->fence, 3);
	cr_expect_str_eq(row_of(&s, 3)->assignment->spec->run, "third");
	cr_expect_str_eq(row_of(&s, 3)->boot_id, "boot");
	cr_expect_eq(phi, 9);
	cr_expect_eq(journal_max_fence(j), 3);
	cr_expect_eq(journal_max_epoch(j), 5);
	cr_expect_not(journal_lost(j));
	journal_close(j);
}

Test(journal, fences_and_epochs_only_grow)
{
	struct error err = { 0 };
	struct journal *j = must_open();
	Sluice__V1__Assignment a = SLUICE__V1__ASSIGNMENT__INIT;

	must_accept(j, 7, "x");
	must(journal_forget(j, 7, &err), &err);
	for (a.fence = 6; a.fence <= 7; a.fence++) {
		cr_expect_lt(journal_accept(j, &a, &err), 0);
		cr_expect_eq(err.code, ERR_CONFLICT);
	}
	must(journal_epoch(j, 3, &err), &err);
	must(journal_epoch(j, 3, &err), &err);
	cr_expect_lt(journal_epoch(j, 2, &err), 0);
	cr_expect_eq(err.code, ERR_CONFLICT);
	journal_close(j);
	j = must_open(); /* forgotten attempts leave their fence */
	a.fence = 7;
	cr_expect_lt(journal_accept(j, &a, &err), 0);
	cr_expect_eq(journal_max_fence(j), 7);
	cr_expect_lt(journal_epoch(j, 2, &err), 0);
	journal_close(j);
}

/* Three attempts; the file's bytes and the lengths after each. */
static void write_three(struct buf *ret, size_t ends[4])
{
	struct journal *j = must_open();
	struct error err = { 0 };
	struct stat st;

	for (uint64_t fence = 0; fence <= 3; fence++) {
		if (fence)
			must_accept(j, fence, "echo hello");
		must(journal_flush(j, &err), &err);
		cr_assert_eq(stat(path, &st), 0);
		ends[fence] = (size_t)st.st_size;
	}
	must(journal_sync(j, &err), &err);
	journal_close(j);
	cr_assert_eq(file_read(path, 1 << 20, ret, &err), 0);
	cr_assert_eq(ret->len, ends[3]);
}

static void open_with(const void *data, size_t len, struct seen *ret, bool *ret_lost)
{
	struct error err = { 0 };
	struct journal *j;

	cr_assert_eq(file_write_atomic(path, data, len, 0600, &err), 0);
	j = must_open();
	journal_attempts(j, see, ret);
	*ret_lost = journal_lost(j);
	must_accept(j, 100, "it can be used");
	must(journal_sync(j, &err), &err);
	journal_close(j);
}

Test(journal, a_torn_tail_is_cut_off_at_every_byte)
{
	cleanup(buf_release) struct buf whole = { 0 };
	size_t ends[4];

	write_three(&whole, ends);
	for (size_t len = ends[1]; len <= ends[3]; len++) {
		cleanup(seen_release) struct seen s = { 0 };
		bool lost;

		open_with(whole.data, len, &s, &lost);
		cr_expect_not(lost, "cut at %zu", len);
		cr_expect_eq(s.n, len == ends[3] ? 3 : len >= ends[2] ? 2 : 1, "cut at %zu", len);
	}
}

Test(journal, damage_before_the_end_is_said_and_starts_nothing)
{
	cleanup(buf_release) struct buf whole = { 0 };
	size_t ends[4];

	write_three(&whole, ends);
	for (size_t at = ends[1]; at < ends[2]; at++) {
		cleanup(seen_release) struct seen s = { 0 };
		cleanup(freep) char *bytes = xmemdup(whole.data, whole.len);
		bool lost;

		bytes[at] ^= 0x15;
		open_with(bytes, whole.len, &s, &lost);
		if (!lost) /* a length that now says: this is the last record, and it is torn */
			cr_expect_lt(at, ends[1] + 4, "byte %zu", at);
		cr_expect_leq(s.n, 1, "byte %zu", at);
		for (size_t i = 0; lost && i < s.n; i++)
			cr_expect_eq(s.rows[i]->state, STATE(STARTED));
	}
	cr_expect(file_exists(path));
}

Test(journal, what_is_no_journal_is_put_aside)
{
	cleanup(seen_release) struct seen s = { 0 };
	cleanup(freep) char *aside = xprintf("%s.damaged", path);
	bool lost;

	open_with("hello, I am a letter", 20, &s, &lost);
	cr_expect(lost);
	cr_expect_eq(s.n, 0);
	cr_expect(file_exists(aside));
}

Test(journal, history_is_dropped_when_it_is_most_of_the_file)
{
	cleanup(freep) char *text = xmalloc(32 << 10);
	struct error err = { 0 };
	struct journal *j = must_open();
	cleanup(seen_release) struct seen s = { 0 };
	struct stat st;
	off_t largest = 0;

	memset(text, 'x', 32 << 10);
	text[(32 << 10) - 1] = '\0';
	must_accept(j, 1, "stays");
	for (uint64_t fence = 2; fence < 600; fence++) {
		must_accept(j, fence, text);
		must(journal_forget(j, fence, &err), &err);
		must(journal_sync(j, &err), &err);
		cr_assert_eq(stat(path, &st), 0);
		largest = MAX(largest, st.st_size);
	}
	cr_expect_lt(largest, 5 << 20);
	journal_close(j);
	j = must_open();
	journal_attempts(j, see, &s);
	cr_expect_eq(s.n, 1);
	cr_assert(row_of(&s, 1));
	cr_expect_str_eq(row_of(&s, 1)->assignment->spec->run, "stays");
	cr_expect_eq(journal_max_fence(j), 599);
	journal_close(j);
}

Test(journal, a_record_that_cannot_be_is_refused_and_leaves_the_rest)
{
	cleanup(freep) char *text = xmalloc(2 << 20);
	Sluice__V1__Assignment a = SLUICE__V1__ASSIGNMENT__INIT;
	struct error err = { 0 };
	struct journal *j = must_open();

	memset(text, 'x', 2 << 20);
	text[(2 << 20) - 1] = '\0';
	a.fence = 1;
	a.pipeline = text;
	cr_expect_lt(journal_accept(j, &a, &err), 0);
	cr_expect_eq(err.code, ERR_EXHAUSTED, "%s", err.text);
	must_accept(j, 1, "small");
	journal_close(j);
}

#ifdef SLUICE_FAULTS
Test(journal, after_a_failed_sync_memory_becomes_the_file)
{
	struct error err = { 0 };
	struct journal *j = must_open();
	cleanup(seen_release) struct seen s = { 0 };

	must_accept(j, 1, "x");
	fault_load("journal.sync=error@1");
	cr_assert_lt(journal_sync(j, &err), 0);
	error_clear(&err);
	must(journal_sync(j, &err), &err);
	must_accept(j, 2, "y");
	must(journal_sync(j, &err), &err);
	journal_close(j);
	j = must_open();
	journal_attempts(j, see, &s);
	cr_expect_eq(s.n, 2);
	journal_close(j);
}

Test(journal, a_failed_write_changes_nothing)
{
	struct error err = { 0 };
	struct journal *j = must_open();
	cleanup(seen_release) struct seen s = { 0 };

	must_accept(j, 4, "x");
	must(journal_flush(j, &err), &err);
	fault_load("journal.append=error@1");
	cr_assert_lt(journal_started(j, 4, "slot-0", &err), 0);
	error_clear(&err);
	must_accept(j, 5, "y");
	journal_close(j);
	j = must_open();
	journal_attempts(j, see, &s);
	cr_assert_eq(s.n, 2);
	cr_expect_eq(row_of(&s, 4)->state, STATE(ACCEPTED));
	journal_close(j);
}

Test(journal, what_was_gathered_is_written_once_the_disk_lets_us)
{
	cleanup(freep) char *copy = xprintf("%s.copy", path);
	cleanup(buf_release) struct buf bytes = { 0 };
	cleanup(seen_release) struct seen s = { 0 };
	struct error err = { 0 };
	struct journal *j = must_open();

	must_accept(j, 1, "x");
	fault_load("journal.append=error@1");
	cr_assert_lt(journal_flush(j, &err), 0);
	error_clear(&err);
	must_accept(j, 2, "y");
	must(journal_flush(j, &err), &err);
	cr_assert_eq(file_read(path, 1 << 20, &bytes, &err), 0); /* as a crash would leave it */
	cr_assert_eq(file_write_atomic(copy, bytes.data, bytes.len, 0600, &err), 0);
	journal_close(j);
	j = journal_open(copy, "boot", &err);
	cr_assert(j && !journal_lost(j), "%s", err.text);
	journal_attempts(j, see, &s);
	cr_expect_eq(s.n, 2);
	journal_close(j);
}
#endif

struct writer {
	struct journal *j;
	struct lock *order; /* fences are offered in order */
	uint64_t *next;
	int n;
};

static void *accept_many(void *arg)
{
	struct writer *w = arg;
	struct error err = { 0 };

	for (int i = 0; i < w->n; i++) {
		lock_take(w->order);
		must_accept(w->j, ++*w->next, "x");
		lock_drop(w->order);
		must(journal_sync(w->j, &err), &err);
	}
	return NULL;
}

Test(journal, many_threads_share_it)
{
	struct journal *j = must_open();
	struct lock order;
	uint64_t next = 0;
	struct writer w = { j, &order, &next, 50 };
	cleanup(seen_release) struct seen s = { 0 };
	pthread_t threads[8];

	lock_init(&order);
	for (int i = 0; i < 8; i++)
		threads[i] = thread_start("writer", 0, accept_many, &w);
	for (int i = 0; i < 8; i++)
		thread_join(threads[i]);
	lock_release(&order);
	journal_close(j);
	j = must_open();
	journal_attempts(j, see, &s);
	cr_expect_eq(s.n, 400);
	journal_close(j);
}

Test(journal, what_came_in_two_large_records_is_kept_in_one)
{
	Sluice__V1__Assignment a = SLUICE__V1__ASSIGNMENT__INIT;
	Sluice__V1__JobSpec spec = SLUICE__V1__JOB_SPEC__INIT;
	Sluice__V1__FinishedAttempt done = SLUICE__V1__FINISHED_ATTEMPT__INIT;
	Sluice__V1__Exit how = SLUICE__V1__EXIT__INIT;
	cleanup(freep) char *large = xcalloc(1, 700001);
	struct error err = { 0 };
	struct journal *j;

	memset(large, 'x', 700000);
	spec.run = how.text = large;
	a.fence = done.fence = 7;
	a.spec = &spec;
	done.exit = &how;
	j = journal_open(path, "boot", &err);
	cr_assert(j && journal_accept(j, &a, &err) == 0 && journal_exited(j, &done, &err) == 0,
		  "%s", err.text);
	for (int i = 0; i < 2; i++) { /* opening writes it anew */
		journal_close(j);
		j = journal_open(path, "boot", &err);
		cr_assert(j, "%s", err.text);
		cr_expect_not(journal_lost(j));
	}
	journal_close(j);
}
