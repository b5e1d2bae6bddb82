/*
 * Commits on their way to the tables. Memory of a version that was replaced is given back with its
 * commit: behind.c lets only so much gather.
 */
#include "controller/store/pending.h"

#include <string.h>

#include "base/mem.h"

static size_t count_rows(const struct buf *record)
{
	struct record_item item;
	size_t at = 0, n = 0;
	int r;

	while ((r = record_next(record, &at, &item)) > 0)
		n += !item.is_event;
	return r < 0 ? SIZE_MAX : n;
}

static void index_row(struct pending *p, struct pending_row *row)
{
	struct pending_row **all = &p->rows[row->row.kind], *before;
	size_t len = strlen(row->row.id);

	HASH_FIND(by_id, *all, row->row.id, len, before);
	if (before) {
		before->replaced = true;
		HASH_DELETE(by_id, *all, before);
	}
	HASH_ADD_KEYPTR(by_id, *all, row->row.id, len, row);
}

static void append(struct pending *p, struct pending_commit *c)
{
	c->next = NULL;
	if (p->last)
		p->last->next = c;
	else
		p->first = c;
	p->last = c;
	p->bytes += c->record.len;
	for (size_t i = 0; i < c->n_rows; i++)
		if (!c->rows[i].replaced)
			index_row(p, &c->rows[i]);
}

bool pending_add(struct pending *p, uint64_t number, struct buf *record)
{
	size_t n = count_rows(record), at = 0;
	struct pending_commit *c;
	struct record_item item;

	if (n == SIZE_MAX) {
		buf_release(record);
		return false;
	}
	c = xcalloc(1, sizeof *c);
	c->number = number;
	c->record = *record;
	*record = (struct buf){ 0 };
	c->rows = xcalloc(n + 1, sizeof *c->rows);
	while (record_next(&c->record, &at, &item) > 0)
		if (!item.is_event)
			c->rows[c->n_rows++].row = item.row;
	append(p, c);
	return true;
}

const struct row *pending_find(const struct pending *p, enum row_kind kind, const char *id)
{
	struct pending_row *row;

	HASH_FIND(by_id, p->rows[kind], id, strlen(id), row);
	return row ? &row->row : NULL;
}

void pending_join(struct pending *p, struct pending *later)
{
	struct pending_commit *c, *next;

	if (!p->first) {
		*p = *later;
		*later = (struct pending){ 0 };
		return;
	}
	for (int kind = 0; kind < ROW_KINDS; kind++)
		HASH_CLEAR(by_id, later->rows[kind]);
	for (c = later->first; c; c = next) {
		next = c->next;
		append(p, c);
	}
	*later = (struct pending){ 0 };
}

void pending_release(struct pending *p)
{
	struct pending_commit *c, *next;

	for (int kind = 0; kind < ROW_KINDS; kind++)
		HASH_CLEAR(by_id, p->rows[kind]);
	for (c = p->first; c; c = next) {
		next = c->next;
		buf_release(&c->record);
		free(c->rows);
		free(c);
	}
	*p = (struct pending){ 0 };
}
