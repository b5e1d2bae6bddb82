#include "helpers.h"

#include "controller/store/private.h"

static void append_some(struct fixture *f, uint64_t from, uint64_t to)
{
	begin(f);
	for (uint64_t seq = from; seq <= to; seq++)
		append_event(f, seq);
	commit(f);
}

static int verify(struct fixture *f, uint64_t *ret_count)
{
	struct store_reader *r = store_reader_take(f->store, &f->err);
	int result;

	cr_assert(r, "%s", f->err.text);
	result = reader_verify_events(r, ret_count, &f->err);
	store_reader_give(r);
	return result;
}

/* Changes the events behind the store's back. */
static void tamper(struct fixture *f, const char *sql)
{
	struct db *db;

	store_close(f->store);
	db = db_open(f->path, DB_WRITER, &f->err);
	cr_assert(db, "%s", f->err.text);
	cr_assert_eq(db_exec(db, sql, &f->err), 0, "%s", f->err.text);
	db_close(db);
	f->store = store_open(f->path, &f->err);
	cr_assert(f->store, "%s", f->err.text);
}

Test(events, the_chain_goes_on_over_commits_and_restarts)
{
	struct fixture *f = setup();
	uint64_t count = 0;

	append_some(f, 1, 3);
	append_some(f, 4, 4);
	reopen(f);
	cr_expect_eq(store_last_event(f->store, NULL), 4);
	append_some(f, 5, 2500);
	cr_assert_eq(verify(f, &count), 0, "%s", f->err.text);
	cr_expect_eq(count, 2500);
	teardown(f);
}

Test(events, they_are_read_in_order_after_any_number)
{
	struct fixture *f = setup();
	struct store_reader *r;
	struct arena *a = arena_new(0);
	Sluice__V1__Event **events;
	size_t n;

	append_some(f, 1, 10);
	r = store_reader_take(f->store, &f->err);
	cr_assert_eq(reader_events(r, 7, 100, a, &events, &n, &f->err), 0);
	cr_assert_eq(n, 3);
	cr_expect_eq(events[0]->seq, 8);
	cr_expect_str_eq(events[2]->text, "event 10");
	cr_expect_eq(events[1]->prev_hash.len, 32);
	cr_expect_arr_eq(events[1]->prev_hash.data, events[0]->hash.data, 32);
	cr_assert_eq(reader_events(r, UINT64_MAX, 100, a, &events, &n, &f->err), 0);
	cr_expect_eq(n, 0);
	cr_expect_eq(reader_events(r, 0, 0, a, &events, &n, &f->err), -1);
	arena_free(a);
	store_reader_give(r);
	teardown(f);
}

Test(events, a_removed_event_is_noticed)
{
	struct fixture *f = setup();
	uint64_t count = 0;

	append_some(f, 1, 10);
	tamper(f, "DELETE FROM events WHERE seq = 5");
	cr_assert_eq(verify(f, &count), -1);
	cr_expect_str_eq(f->err.id, "E0602");
	cr_expect(strstr(f->err.text, "event 6 "), "%s", f->err.text);
	teardown(f);
}

Test(events, a_changed_event_is_noticed)
{
	struct fixture *f = setup();
	uint64_t count = 0;

	append_some(f, 1, 10);
	tamper(f, "UPDATE events SET body = (SELECT body FROM events WHERE seq = 2) WHERE seq = 5");
	cr_assert_eq(verify(f, &count), -1);
	cr_expect(strstr(f->err.text, "event 5 "), "%s", f->err.text);
	teardown(f);
}

Test(events, an_event_moved_elsewhere_is_noticed)
{
	struct fixture *f = setup();
	uint64_t count = 0;

	append_some(f, 1, 10);
	tamper(f, "DELETE FROM events WHERE seq = 5; UPDATE events SET seq = 5 WHERE seq = 9");
	cr_assert_eq(verify(f, &count), -1);
	cr_expect(strstr(f->err.text, "event 5 "), "%s", f->err.text);
	teardown(f);
}

Test(events, a_cut_end_is_noticed_by_the_controllers_row)
{
	struct fixture *f = setup();
	Sluice__V1__ControllerRow row = SLUICE__V1__CONTROLLER_ROW__INIT;
	const uint8_t *hash;
	uint64_t count = 0;

	append_some(f, 1, 10);
	store_last_event(f->store, &hash);
	row.last_event_hash.data = (uint8_t *)hash;
	row.last_event_hash.len = 32;
	begin(f);
	cr_assert_eq(put_message(f->store, ROW_CONTROLLER, &row, &f->err), 0);
	commit(f);
	cr_assert_eq(verify(f, &count), 0, "%s", f->err.text);
	tamper(f, "DELETE FROM events WHERE seq > 8");
	cr_assert_eq(verify(f, &count), -1);
	cr_expect(strstr(f->err.text, "event 8 "), "%s", f->err.text);
	teardown(f);
}

Test(events, a_last_event_that_is_damaged_stops_the_start)
{
	struct fixture *f = setup();
	struct db *db;

	append_some(f, 1, 2);
	store_close(f->store);
	db = db_open(f->path, DB_WRITER, &f->err);
	cr_assert_eq(db_exec(db, "UPDATE events SET hash = body WHERE seq = 2", &f->err), 0);
	db_close(db);
	f->store = store_open(f->path, &f->err);
	cr_expect_null(f->store);
	cr_expect_str_eq(f->err.id, "E0602");
	teardown(f);
}
