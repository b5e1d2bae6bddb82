/*
 * Lists, a page at a time. A page is found by where the last one ended (its time and id), not by
 * counting rows, so the thousandth page costs what the first does. The token that carries this
 * place also carries a checksum over kind and filter: one from another list is refused.
 *
 * `match` filters what no column knows. It is tried on 10,000 rows a page at most; a page
 * may then be short or empty and still have a next.
 */
#include "controller/store/private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

enum {
	PAGE_MAX = 1000,
	MATCH_MAX = 10000,
	/* what a list is filtered by: bits of its variant */
	OF_PARENT = 1,
	OF_KEY = 2,
	OF_STATE = 4,
	OF_NUMBER = 8,
	ONLY_OPEN = 16,
	OLDEST_FIRST = 32,
};

static int variant_of(const struct row_filter *f)
{
	return (f->parent ? OF_PARENT : 0) | (f->key ? OF_KEY : 0) | (f->state ? OF_STATE : 0) |
	       (f->number ? OF_NUMBER : 0) | (f->open_only ? ONLY_OPEN : 0) |
	       (f->oldest_first ? OLDEST_FIRST : 0);
}

char *list_sql(enum row_kind kind, int variant)
{
	struct buf sql = { 0 };
	const char *order = variant & OLDEST_FIRST ? "ASC" : "DESC";

	buf_printf(&sql, "SELECT %s FROM %s t WHERE (t.time_ms, t.id) %s ($1, $2)", row_columns,
		   schema_table(kind), variant & OLDEST_FIRST ? ">" : "<");
	if (variant & OF_PARENT)
		buf_puts(&sql, " AND t.parent = $4");
	if (variant & OF_KEY)
		buf_puts(&sql, " AND t.key = $5");
	if (variant & OF_STATE)
		buf_puts(&sql, " AND t.state = $6");
	if (variant & OF_NUMBER)
		buf_puts(&sql, " AND t.number = $7");
	if (variant & ONLY_OPEN)
		buf_puts(&sql, " AND t.open = 1");
	buf_printf(&sql, " ORDER BY t.time_ms %s, t.id %s LIMIT $3", order, order);
	return buf_detach(&sql);
}

/* Where a page ends: after the row with this time and id. */
struct place {
	int64_t time_ms;
	char id[ROW_ID_MAX];
};

static uint32_t token_crc(enum row_kind kind, const struct row_filter *f, const struct place *p)
{
	char numbers[96];
	uint32_t crc;
	int n = snprintf(numbers, sizeof numbers, "%d %d %d %" PRIu64 " %" PRId64, (int)kind,
			 variant_of(f), f->state, f->number, p->time_ms);

	crc = crc32c(0x70616765, numbers, (size_t)n + 1);
	crc = crc32c(crc, f->parent ? f->parent : "", f->parent ? strlen(f->parent) + 1 : 1);
	crc = crc32c(crc, f->key ? f->key : "", f->key ? strlen(f->key) + 1 : 1);
	return crc32c(crc, p->id, strlen(p->id));
}

static char *token_write(enum row_kind kind, const struct row_filter *f, const struct place *p,
			 struct arena *a)
{
	return arena_printf(a, "%08" PRIx32 "%016" PRIx64 "%s", token_crc(kind, f, p),
			    (uint64_t)p->time_ms, p->id);
}

/* Exactly n lower-case hex digits. */
static bool take_hex(const char *text, int n, uint64_t *ret)
{
	uint64_t value = 0;

	for (int i = 0; i < n; i++) {
		const char *digits = "0123456789abcdef";
		const char *at = text[i] ? strchr(digits, text[i]) : NULL;

		if (!at)
			return false;
		value = value << 4 | (uint64_t)(at - digits);
	}
	*ret = value;
	return true;
}

static int token_read(enum row_kind kind, const struct row_filter *f, struct place *ret,
		      struct error *err)
{
	const char *token = f->after;
	uint64_t crc, time;

	if (!token || !*token) {
		ret->time_ms = f->oldest_first ? INT64_MIN : INT64_MAX;
		ret->id[0] = '\0';
		return 0;
	}
	if (!take_hex(token, 8, &crc) || !take_hex(token + 8, 16, &time) ||
	    strlen(token + 24) >= sizeof ret->id)
		return error_set(err, ERR_INVALID, "'%.64s' is not a page token", token);
	ret->time_ms = (int64_t)time;
	snprintf(ret->id, sizeof ret->id, "%s", token + 24);
	if (crc != token_crc(kind, f, ret))
		return error_set(err, ERR_INVALID, "page token '%.64s' is not of this list", token);
	return 0;
}

static void bind_filter(struct db_statement *st, const struct row_filter *f,
			const struct place *from, int64_t limit)
{
	db_bind_int(st, 1, from->time_ms);
	db_bind_text(st, 2, from->id);
	db_bind_int(st, 3, limit);
	if (f->parent)
		db_bind_text(st, 4, f->parent);
	if (f->key)
		db_bind_text(st, 5, f->key);
	if (f->state)
		db_bind_int(st, 6, f->state);
	if (f->number)
		db_bind_int(st, 7, (int64_t)f->number);
}

/* Is the current row wanted? Tried on a copy that is thrown away, so that what is passed over
 * costs no memory. 1, 0, -1. */
static int wanted(struct db_statement *st, enum row_kind kind, const struct row_filter *f,
		  struct arena *scratch, struct error *err)
{
	ProtobufCMessage *m;

	if (!f->match)
		return 1;
	arena_reset(scratch);
	m = row_message(st, kind, scratch, err);
	return m ? f->match(f->match_arg, m) : -1;
}

/* Takes rows until the page is full or enough were looked at; 1 when rows are left. *last is the
 * place of the last row that was looked at. */
static int fill(struct db_statement *st, enum row_kind kind, const struct row_filter *f,
		struct arena *a, struct row_page *page, struct place *last, struct error *err)
{
	cleanup(arena_freep) struct arena *scratch = f->match ? arena_new(0) : NULL;
	size_t bytes = 0;
	int seen = 0, r;

	while ((r = db_step(st, err)) > 0) {
		ProtobufCMessage *m = NULL;
		int want;

		if ((int)page->count == f->limit || seen++ == MATCH_MAX ||
		    (f->max_bytes && bytes >= f->max_bytes))
			break;
		want = wanted(st, kind, f, scratch, err);
		if (want > 0)
			m = row_message(st, kind, a, err);
		if (want < 0 || (want && !m)) {
			r = -1;
			break;
		}
		if (want)
			page->messages[page->count++] = m;
		if (want && f->max_bytes)
			bytes += protobuf_c_message_get_packed_size(m);
		last->time_ms = db_int(st, 5);
		snprintf(last->id, sizeof last->id, "%s", db_text(st, 0));
	}
	db_reset(st);
	return r;
}

int reader_list(struct store_reader *r, enum row_kind kind, const struct row_filter *f,
		struct arena *a, struct row_page *ret, struct error *err)
{
	struct row_page page = { .next = "" };
	struct db_statement *st;
	struct place place;
	int more;

	if (f->limit < 1 || f->limit > PAGE_MAX)
		return error_set(err, ERR_INVALID, "a page of %d rows; 1 to %d are possible",
				 f->limit, PAGE_MAX);
	if (token_read(kind, f, &place, err) < 0 || store_settle(r->store, false, err) < 0)
		return -1;
	st = row_query(&r->connection, kind, QUERY_LIST + variant_of(f), err);
	if (!st)
		return -1;
	bind_filter(st, f, &place, f->match ? MATCH_MAX + 1 : f->limit + 1);
	page.messages = arena_alloc(a, (size_t)f->limit * sizeof *page.messages);
	if (!page.messages)
		return error_set(err, ERR_EXHAUSTED, "no memory for a page of %d rows", f->limit);
	more = fill(st, kind, f, a, &page, &place, err);
	if (more < 0)
		return error_wrap(err, "listing %s", schema_table(kind));
	if (more)
		page.next = token_write(kind, f, &place, a);
	if (!page.next)
		return error_set(err, ERR_EXHAUSTED, "no memory for a page token");
	*ret = page;
	return 0;
}
