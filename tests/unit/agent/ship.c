#include "agent/ship.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "stand.h"

static struct stand *stand;
static struct ship *ship;
static char *spool_dir;
static bool resumed; /* how owner_open() opens */

static void begin(void)
{
	struct error err = { 0 };

	stand = stand_new();
	spool_dir = stand_path(stand, "spool");
	cr_assert_eq(file_make_dirs(spool_dir, 0700, &err), 0);
	ship = ship_start(stand->channel, spool_dir);
}

static void end(void)
{
	ship_stop(ship);
	free(spool_dir);
	stand_free(stand);
}

TestSuite(ship, .init = begin, .fini = end, .timeout = 120);

/* What the owner of a log heard. */
struct owner {
	struct lock lock;
	struct signal changed;
	int shipped, refused, drained;
	uint64_t at;
	struct ship_log *log;
	uint64_t fence;
};

static void on_drained(void *arg, uint64_t length)
{
	struct owner *o = arg;
	LOCKED(&o->lock);

	o->drained++;
	o->at = length;
	signal_all(&o->changed);
}

static void on_shipped(void *arg, bool refused)
{
	struct owner *o = arg;
	LOCKED(&o->lock);

	o->shipped++;
	o->refused += refused;
	signal_all(&o->changed);
}

static void owner_wait(struct owner *o, const int *what, int n)
{
	int64_t until = clock_boot_ms() + PATIENCE_MS;
	LOCKED(&o->lock);

	while (*what < n) {
		cr_assert_lt(clock_boot_ms(), until, "waited in vain");
		signal_wait_ms(&o->changed, &o->lock, 100);
	}
}

static void write_spool(const char *name, const char *data, size_t n)
{
	cleanup(freep) char *path = path_join(spool_dir, name);
	struct error err = { 0 };

	cr_assert_eq(file_write_atomic(path, data, n, 0600, &err), 0, "%s", err.text);
}

static void owner_open(struct owner *o, uint64_t fence)
{
	struct ship_events events = { on_drained, on_shipped, o };
	char name[32];
	struct ship_what what = { .fence = fence, .name = name, .resumed = resumed };

	snprintf(name, sizeof name, "%" PRIu64, fence);
	*o = (struct owner){ .fence = fence };
	lock_init(&o->lock);
	signal_init(&o->changed);
	o->log = ship_log_open(ship, &what, &events);
}

static void owner_close(struct owner *o)
{
	ship_log_close(o->log);
	signal_release(&o->changed);
	lock_release(&o->lock);
}

static char *text(size_t n, unsigned seed)
{
	char *data = xmalloc(n + 1);

	for (size_t i = 0; i < n; i++)
		data[i] = (char)('a' + (i / 64 * 7 + i * seed) % 26);
	data[n] = '\0';
	return data;
}

Test(ship, a_log_comes_whole_and_its_owner_hears_it)
{
	cleanup(freep) char *data = text(5 << 20, 3);
	uint64_t ends[SPOOL_STREAMS] = { 5 << 20, 6, 3 };
	struct owner o;

	write_spool("7", data, 5 << 20);
	write_spool("7.words", "a word", 6);
	write_spool("7.metrics", "{}\n", 3);
	owner_open(&o, 7);
	ship_log_grown(o.log, 1000);
	owner_wait(&o, &o.drained, 1);
	cr_expect_eq(o.at, 1000);
	ship_log_grown(o.log, 2 << 20);
	ship_log_end(o.log, ends);
	owner_wait(&o, &o.shipped, 1);
	cr_expect_eq(o.refused, 0);
	stand_wait_log(stand, 7, 0, data, 5 << 20);
	stand_wait_log(stand, 7, 1, "a word", 6);
	stand_wait_log(stand, 7, 2, "{}\n", 3);
	cr_expect_eq(stand_log(stand, 7, "", 0)->received, (uint64_t)5 << 20,
		     "something came twice");
	owner_close(&o);
}

Test(ship, a_stream_that_breaks_all_the_time_loses_and_doubles_nothing)
{
	static struct owner owners[5];
	char *data[5];

	stand->cut_logs = 3;
	for (unsigned i = 0; i < 5; i++) {
		char name[8];

		data[i] = text(2 << 20, i + 2);
		snprintf(name, sizeof name, "%u", i + 1);
		write_spool(name, data[i], 2 << 20);
		owner_open(&owners[i], i + 1);
	}
	for (unsigned i = 0; i < 5; i++) {
		uint64_t ends[SPOOL_STREAMS] = { 2 << 20 };

		ship_log_end(owners[i].log, ends);
	}
	for (unsigned i = 0; i < 5; i++) {
		owner_wait(&owners[i], &owners[i].shipped, 1);
		stand_wait_log(stand, i + 1, 0, data[i], 2 << 20);
		cr_expect_eq(owners[i].shipped, 1);
		owner_close(&owners[i]);
		free(data[i]);
	}
	cr_expect_gt(stand->appends, 5u);
}

static uint64_t received(uint64_t fence, uint32_t stream)
{
	LOCKED(&stand->lock);
	return stand_log(stand, fence, "", stream)->received;
}

/* As after a restart: `n` bytes are in the spool, and nobody knows what the controller has. */
static void ship_again(const char *data, size_t n)
{
	uint64_t ends[SPOOL_STREAMS] = { n };
	struct owner o;

	write_spool("1", data, n);
	owner_open(&o, 1);
	ship_log_end(o.log, ends);
	owner_wait(&o, &o.shipped, 1);
	cr_expect_eq(o.refused, 0);
	owner_close(&o);
	stand_wait_log(stand, 1, 0, data, n);
}

Test(ship, a_resumed_log_sends_only_what_is_missing)
{
	enum { FIRST = 1 << 20, MORE = 100, LESS = 1000 };
	cleanup(freep) char *data = text(FIRST + MORE, 5);

	resumed = true;
	ship_again(data, FIRST);
	cr_expect_eq(received(1, 0), FIRST, "nothing was there before");
	ship_again(data, FIRST);
	cr_expect_eq(received(1, 0), FIRST, "all was there");
	ship_again(data, FIRST + MORE);
	cr_expect_eq(received(1, 0), FIRST + MORE);
	lock_take(&stand->lock);
	stand_log(stand, 1, "", 0)->bytes.len = LESS; /* it came back older than it was */
	lock_drop(&stand->lock);
	ship_again(data, FIRST + MORE);
	cr_expect_eq(received(1, 0), 2 * (FIRST + MORE) - LESS);
	cr_expect_eq(stand_log(stand, 1, "", 0)->gaps, 0);
}

Test(ship, a_question_that_is_lost_is_asked_again)
{
	cleanup(freep) char *data = text(1 << 20, 5);

	resumed = true;
	ship_again(data, 1 << 20);
	lock_take(&stand->lock);
	stand->cut_logs = 1; /* no question is answered */
	lock_drop(&stand->lock);
	{
		uint64_t ends[SPOOL_STREAMS] = { 1 << 20 };
		struct owner o;
		unsigned begun;

		owner_open(&o, 1);
		lock_take(&stand->lock);
		begun = stand->appends;
		lock_drop(&stand->lock);
		ship_log_end(o.log, ends);
		usleep(700000);
		lock_take(&stand->lock);
		cr_expect_geq(stand->appends, begun + 2);
		stand->cut_logs = 0;
		lock_drop(&stand->lock);
		owner_wait(&o, &o.shipped, 1);
		owner_close(&o);
	}
	cr_expect_eq(received(1, 0), 1 << 20);
}

Test(ship, what_the_controller_lost_is_sent_again)
{
	cleanup(freep) char *data = text(1 << 20, 5);
	uint64_t ends[SPOOL_STREAMS] = { 1 << 20 };
	struct owner o;

	write_spool("1", data, 1 << 20);
	owner_open(&o, 1);
	ship_log_grown(o.log, 600000);
	stand_wait_log(stand, 1, 0, data, 600000);
	owner_wait(&o, &o.drained, 1);
	lock_take(&stand->lock);
	stand_log(stand, 1, "", 0)->bytes.len = 1234; /* restored from an older copy */
	lock_drop(&stand->lock);
	ship_log_end(o.log, ends);
	owner_wait(&o, &o.shipped, 1);
	stand_wait_log(stand, 1, 0, data, 1 << 20);
	cr_expect_gt(stand_log(stand, 1, "", 0)->gaps, 0u);
	owner_close(&o);
}

Test(ship, a_rewind_ships_and_tells_again)
{
	uint64_t ends[SPOOL_STREAMS] = { 5 }, none[SPOOL_STREAMS] = { 0 };
	struct owner o;

	write_spool("1", "12345", 5);
	owner_open(&o, 1);
	ship_log_end(o.log, ends);
	owner_wait(&o, &o.shipped, 1);
	lock_take(&stand->lock);
	stand_log(stand, 1, "", 0)->bytes.len = 0;
	lock_drop(&stand->lock);
	ship_log_rewind(o.log, none);
	owner_wait(&o, &o.shipped, 2);
	stand_wait_log(stand, 1, 0, "12345", 5);
	ship_log_end(o.log, ends); /* collected and ended once more: told once more */
	owner_wait(&o, &o.shipped, 3);
	owner_close(&o);
}

Test(ship, a_refused_log_is_told_and_does_not_hold_up_others)
{
	uint64_t ends[SPOOL_STREAMS] = { 3 };
	struct owner bad, good;

	stand->logs[stand->n_logs++] = (struct stand_log){ .fence = 1, .refused = true };
	write_spool("1", "abc", 3);
	write_spool("2", "def", 3);
	owner_open(&bad, 1);
	owner_open(&good, 2);
	ship_log_end(bad.log, ends);
	ship_log_end(good.log, ends);
	owner_wait(&bad, &bad.refused, 1);
	owner_wait(&good, &good.shipped, 1);
	cr_expect_eq(good.refused, 0);
	owner_close(&bad);
	owner_close(&good);
}

Test(ship, a_spool_that_is_not_there_does_not_hold_up_others)
{
	uint64_t ends[SPOOL_STREAMS] = { 3 }, more[SPOOL_STREAMS] = { 3, 100 };
	struct owner missing, shorter, good;

	write_spool("2", "def", 3);
	write_spool("3", "ghi", 3);
	owner_open(&missing, 1);
	owner_open(&shorter, 3);
	owner_open(&good, 2);
	ship_log_end(missing.log, ends);
	ship_log_end(shorter.log, more); /* its words are not there at all */
	ship_log_end(good.log, ends);
	owner_wait(&missing, &missing.refused, 1);
	owner_wait(&shorter, &shorter.refused, 1);
	owner_wait(&good, &good.shipped, 1);
	stand_wait_log(stand, 3, 0, "ghi", 3);
	cr_expect_eq(stand->appends, 1, "the stream was given up for one log");
	owner_close(&missing);
	owner_close(&shorter);
	owner_close(&good);
}

static bool window_is_full(struct stand *s, void *arg)
{
	struct stand_log *log = stand_log(s, 1, "", 0);

	return log && log->bytes.len >= SHIP_WINDOW;
}

Test(ship, no_more_than_a_window_is_ahead_of_the_acknowledgement)
{
	cleanup(freep) char *data = text(SHIP_WINDOW + (4 << 20), 3);
	uint64_t ends[SPOOL_STREAMS] = { SHIP_WINDOW + (4 << 20) };
	struct owner o;

	write_spool("1", data, SHIP_WINDOW + (4 << 20));
	stand->hold_acks = true;
	owner_open(&o, 1);
	ship_log_end(o.log, ends);
	lock_take(&stand->lock);
	stand_wait_locked(stand, window_is_full, NULL, "a window");
	lock_drop(&stand->lock);
	usleep(200000);
	lock_take(&stand->lock);
	cr_expect_lt(stand_log(stand, 1, "", 0)->bytes.len, SHIP_WINDOW + SHIP_FRAME + 1u);
	stand->hold_acks = false;
	lock_drop(&stand->lock);
	owner_close(&o);
}

Test(ship, a_service_goes_on_where_its_output_was_rotated_to)
{
	struct ship_what what = { .environment = "prod", .name = "service-prod" };
	struct ship_events events = { 0 };
	struct ship_log *log;
	cleanup(freep) char *data = text(SPOOL_SEGMENT_BYTES, 3);
	uint64_t begin_at = 8ull * SPOOL_SEGMENT_BYTES,
		 end_at = begin_at + SPOOL_SEGMENT_BYTES + 777;
	int64_t until = clock_boot_ms() + PATIENCE_MS;
	bool whole = false;

	write_spool("service-prod.seg-8", data, SPOOL_SEGMENT_BYTES);
	write_spool("service-prod.seg-9", data, 777);
	log = ship_log_open(ship, &what, &events);
	ship_log_grown(log, end_at);
	while (!whole && clock_boot_ms() < until) {
		struct stand_log *got;

		usleep(10000);
		lock_take(&stand->lock);
		got = stand_log(stand, 0, "prod", 0);
		whole = got && got->bytes.len == end_at &&
			memcmp(got->bytes.data + begin_at, data, SPOOL_SEGMENT_BYTES) == 0;
		lock_drop(&stand->lock);
	}
	cr_expect(whole);
	ship_log_close(log);
}

Test(ship, stopping_does_not_wait_for_a_controller_that_does_not_answer)
{
	cleanup(freep) char *data = text(1 << 20, 3);
	uint64_t ends[SPOOL_STREAMS] = { 1 << 20 };
	struct owner o;
	int64_t before;

	write_spool("1", data, 1 << 20);
	stand->hold_acks = true;
	owner_open(&o, 1);
	ship_log_end(o.log, ends);
	stand_wait_log(stand, 1, 0, data, 1 << 20);
	owner_close(&o);
	before = clock_boot_ms();
	ship_stop(ship);
	cr_expect_lt(clock_boot_ms() - before, 2000);
	ship = ship_start(stand->channel, spool_dir);
}
