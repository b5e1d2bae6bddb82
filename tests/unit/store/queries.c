#include "helpers.h"

#include "controller/store/private.h"

static struct store_reader *take(struct fixture *f)
{
	struct store_reader *r = store_reader_take(f->store, &f->err);

	cr_assert(r, "%s", f->err.text);
	return r;
}

static uint32_t number_of(const struct row_page *page, size_t i)
{
	return ((Sluice__V1__Run *)page->messages[i])->number;
}

static void fill(struct fixture *f, uint32_t runs)
{
	begin(f);
	for (uint32_t i = 1; i <= runs; i++)
		put_run(f, i,
			i % 4 ? SLUICE__V1__RUN_STATE__RUN_SUCCEEDED
			      : SLUICE__V1__RUN_STATE__RUN_RUNNING,
			i % 2 ? "odd" : "even");
	commit(f);
}

/* Walks all pages and checks that numbers come by `step` from `first`, `want` of them. */
static void walk(struct fixture *f, struct row_filter filter, uint32_t first, int step, int want)
{
	struct store_reader *r = take(f);
	struct arena *a = arena_new(0);
	struct row_page page;
	uint32_t expect = first;
	int seen = 0;

	filter.after = "";
	do {
		cr_assert_eq(reader_list(r, ROW_RUN, &filter, a, &page, &f->err), 0, "%s",
			     f->err.text);
		cr_assert_leq((int)page.count, filter.limit);
		for (size_t i = 0; i < page.count; i++, seen++, expect += (uint32_t)step)
			cr_assert_eq(number_of(&page, i), expect);
		filter.after = page.next;
	} while (*page.next);
	cr_expect_eq(seen, want);
	arena_free(a);
	store_reader_give(r);
}

Test(queries, pages_show_every_row_once_newest_first)
{
	struct fixture *f = setup();

	fill(f, 100);
	walk(f, (struct row_filter){ .limit = 7 }, 100, -1, 100);
	walk(f, (struct row_filter){ .limit = 100 }, 100, -1, 100);
	walk(f, (struct row_filter){ .limit = 10, .oldest_first = true }, 1, 1, 100);
	walk(f, (struct row_filter){ .limit = 10, .key = "even" }, 100, -2, 50);
	walk(f, (struct row_filter){ .limit = 3, .state = SLUICE__V1__RUN_STATE__RUN_RUNNING }, 100,
	     -4, 25);
	walk(f, (struct row_filter){ .limit = 3, .open_only = true, .oldest_first = true }, 4, 4,
	     25);
	walk(f, (struct row_filter){ .limit = 3, .number = 42 }, 42, 1, 1);
	walk(f, (struct row_filter){ .limit = 3, .key = "none" }, 0, 0, 0);
	teardown(f);
}

Test(queries, a_page_ends_where_it_would_be_too_large)
{
	struct fixture *f = setup();
	struct store_reader *r;
	struct arena *a = arena_new(0);
	struct row_page page;

	fill(f, 100);
	walk(f, (struct row_filter){ .limit = 50, .max_bytes = 1 }, 100, -1, 100);
	walk(f, (struct row_filter){ .limit = 50, .max_bytes = 500 }, 100, -1, 100);
	walk(f, (struct row_filter){ .limit = 50, .max_bytes = 1 << 20 }, 100, -1, 100);
	r = take(f);
	cr_assert_eq(reader_list(r, ROW_RUN,
				 &(struct row_filter){ .limit = 50, .max_bytes = 1, .after = "" },
				 a, &page, &f->err),
		     0);
	cr_expect_eq(page.count, 1);
	store_reader_give(r);
	arena_free(a);
	teardown(f);
}

static bool ends_in_seven(void *arg, const ProtobufCMessage *m)
{
	return ((const Sluice__V1__Run *)m)->number % 10 == 7;
}

Test(queries, what_no_column_knows_is_filtered_row_by_row)
{
	struct fixture *f = setup();

	fill(f, 100);
	walk(f, (struct row_filter){ .limit = 3, .match = ends_in_seven }, 97, -10, 10);
	teardown(f);
}

Test(queries, a_row_added_between_pages_does_not_shift_them)
{
	struct fixture *f = setup();
	struct row_filter filter = { .limit = 5, .after = "" };
	struct arena *a = arena_new(0);
	struct store_reader *r = take(f);
	struct row_page page;

	fill(f, 20);
	cr_assert_eq(reader_list(r, ROW_RUN, &filter, a, &page, &f->err), 0);
	begin(f);
	put_run(f, 21, SLUICE__V1__RUN_STATE__RUN_RUNNING, "odd");
	commit(f);
	filter.after = page.next;
	cr_assert_eq(reader_list(r, ROW_RUN, &filter, a, &page, &f->err), 0);
	cr_expect_eq(number_of(&page, 0), 15);
	arena_free(a);
	store_reader_give(r);
	teardown(f);
}

static void expect_refused(struct fixture *f, struct store_reader *r, enum row_kind kind,
			   const struct row_filter *filter)
{
	struct arena *a = arena_new(0);
	struct row_page page;

	cr_expect_eq(reader_list(r, kind, filter, a, &page, &f->err), -1, "'%s' was taken",
		     filter->after);
	cr_expect_eq(f->err.code, ERR_INVALID);
	arena_free(a);
}

Test(queries, a_token_of_another_list_is_refused)
{
	struct fixture *f = setup();
	struct row_filter filter = { .limit = 5, .after = "" };
	struct arena *a = arena_new(0);
	struct store_reader *r = take(f);
	static const char *const bad[] = { "x", "0000000000000000000000000000000", "zz", "-1",
					   "ffffffffffffffffffffffffrun-000010" };
	struct row_page page;
	char *changed;

	fill(f, 20);
	cr_assert_eq(reader_list(r, ROW_RUN, &filter, a, &page, &f->err), 0);
	filter.after = page.next;
	expect_refused(f, r, ROW_JOB, &filter);
	filter.key = "odd";
	expect_refused(f, r, ROW_RUN, &filter);
	filter.key = NULL;
	changed = arena_strdup(a, page.next);
	changed[strlen(changed) - 1] ^= 1;
	filter.after = changed;
	expect_refused(f, r, ROW_RUN, &filter);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		filter.after = bad[i];
		expect_refused(f, r, ROW_RUN, &filter);
	}
	filter.after = "";
	filter.limit = 1001;
	expect_refused(f, r, ROW_RUN, &filter);
	arena_free(a);
	store_reader_give(r);
	teardown(f);
}

/* What the planner does for one query; it must neither sort nor read the whole table. */
static void expect_descent(struct store_reader *r, enum row_kind kind, int variant)
{
	cleanup(freep) char *sql = list_sql(kind, variant);
	cleanup(freep) char *explain = xprintf("EXPLAIN QUERY PLAN %s", sql);
	struct error err = { 0 };
	struct db_statement *st = db_prepare(r->connection.db, explain, &err);

	cr_assert(st, "%s", err.text);
	while (db_step(st, &err) > 0) {
		const char *plan = db_text(st, 3);

		cr_expect(strncmp(plan, "SEARCH", 6) == 0 && strstr(plan, "INDEX"), "%s: %s", sql,
			  plan);
	}
	db_finish(st);
}

Test(queries, the_lists_that_handlers_ask_for_are_one_index_descent)
{
	enum { PARENT = 1, KEY = 2, STATE = 4, NUMBER = 8, OLDEST = 32 };
	static const struct {
		enum row_kind kind;
		int variant;
	} lists[] = {
		{ ROW_RUN, 0 },
		{ ROW_RUN, OLDEST },
		{ ROW_RUN, KEY },
		{ ROW_RUN, STATE },
		{ ROW_RUN, NUMBER },
		{ ROW_RELEASE, 0 },
		{ ROW_PROMOTION, PARENT },
		{ ROW_JOB, PARENT },
		{ ROW_JOB, PARENT | OLDEST },
		{ ROW_ATTEMPT, PARENT },
		{ ROW_ATTEMPT, KEY },
		{ ROW_ARTIFACT, 0 },
		{ ROW_ARTIFACT, PARENT },
		{ ROW_ARTIFACT, KEY },
		{ ROW_ARTIFACT, STATE },
		{ ROW_VERDICT, PARENT },
		{ ROW_TOKEN, 0 },
		{ ROW_AGENT, 0 },
		{ ROW_REQUEST, OLDEST },
		{ ROW_VERDICT, KEY },
	};
	struct fixture *f = setup();
	struct store_reader *r = take(f);

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		expect_descent(r, lists[i].kind, lists[i].variant);
	store_reader_give(r);
	teardown(f);
}

Test(queries, a_reader_sees_commits_and_nothing_before_them)
{
	struct fixture *f = setup();
	struct store_reader *r = take(f);
	struct arena *a = arena_new(0);
	ProtobufCMessage *m = NULL;

	begin(f);
	put_run(f, 1, SLUICE__V1__RUN_STATE__RUN_RUNNING, "p");
	cr_expect_eq(reader_get(r, ROW_RUN, "run-000001", a, &m, &f->err), 0);
	commit(f);
	cr_expect_eq(reader_get(r, ROW_RUN, "run-000001", a, &m, &f->err), 1);
	cr_expect_eq(reader_by_number(r, ROW_RUN, 1, a, &m, &f->err), 1);
	cr_expect_eq(reader_find(r, ROW_RUN, (const char *[]){ "", "p" }, a, &m, &f->err), 1);
	cr_expect_eq(reader_by_number(r, ROW_RUN, 2, a, &m, &f->err), 0);
	arena_free(a);
	store_reader_give(r);
	teardown(f);
}

Test(queries, a_reader_cannot_write)
{
	struct fixture *f = setup();
	struct store_reader *r = take(f);

	cr_expect_eq(db_exec(r->connection.db, "DELETE FROM runs", &f->err), -1);
	store_reader_give(r);
	teardown(f);
}
