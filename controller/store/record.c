/*
 * A commit as bytes: a head, which redo.c fills in, then an item for each row and event. Names end
 * with a NUL, so that a record in memory is used as it is.
 */
#include <assert.h>
#include <string.h>

#include "controller/store/private.h"
#include "controller/store/redo.h"

struct item {
	uint8_t is_event, kind, open, gone;
	int32_t state;
	uint64_t number;
	int64_t time_ms;
	uint32_t id_len, parent_len, key_len, body_len; /* names without their NUL */
};

void record_begin(struct buf *record)
{
	static const struct redo_head none;

	buf_clear(record);
	buf_add(record, &none, sizeof none);
}

bool record_is_empty(const struct buf *record)
{
	return record->len <= sizeof(struct redo_head);
}

void record_row(struct buf *record, const struct row *row)
{
	struct item item = {
		.kind = (uint8_t)row->kind,
		.open = row->open,
		.gone = row->gone,
		.state = row->state,
		.number = row->number,
		.time_ms = row->time_ms,
		.id_len = (uint32_t)strlen(row->id),
		.parent_len = (uint32_t)strlen(row->parent),
		.key_len = (uint32_t)strlen(row->key),
		.body_len = row->gone ? 0 : (uint32_t)row->len,
	};

	buf_add(record, &item, sizeof item);
	buf_add(record, row->id, item.id_len + 1);
	buf_add(record, row->parent, item.parent_len + 1);
	buf_add(record, row->key, item.key_len + 1);
	buf_add(record, row->body, item.body_len);
}

void record_event(struct buf *record, const struct record_item *event)
{
	struct item item = {
		.is_event = 1,
		.state = event->row.state,
		.number = event->row.number,
		.time_ms = event->row.time_ms,
		.body_len = (uint32_t)event->row.len,
	};

	buf_add(record, &item, sizeof item);
	buf_add(record, event->hash, DIGEST_SIZE);
	buf_add(record, event->row.body, event->row.len);
}

/* len bytes and their NUL, or NULL. */
static const char *take_name(const struct buf *record, size_t *at, uint32_t len)
{
	const char *name = record->data + *at;

	if (len >= ROW_ID_MAX || record->len - *at <= len || name[len])
		return NULL;
	*at += len + 1;
	return name;
}

static const uint8_t *take_bytes(const struct buf *record, size_t *at, size_t len)
{
	const char *bytes = record->data + *at;

	if (record->len - *at < len)
		return NULL;
	*at += len;
	return (const uint8_t *)bytes;
}

int record_next(const struct buf *record, size_t *at, struct record_item *ret)
{
	size_t p = *at ? *at : sizeof(struct redo_head);
	struct record_item r = { 0 };
	struct item item;

	if (p >= record->len)
		return 0;
	if (record->len - p < sizeof item)
		return -1;
	memcpy(&item, record->data + p, sizeof item);
	p += sizeof item;
	r.is_event = item.is_event;
	r.row = (struct row){ .kind = (enum row_kind)item.kind,
			      .state = item.state,
			      .number = item.number,
			      .time_ms = item.time_ms,
			      .open = item.open,
			      .gone = item.gone,
			      .len = item.body_len };
	if (r.is_event && !(r.hash = take_bytes(record, &p, DIGEST_SIZE)))
		return -1;
	if (!r.is_event && (!item.kind || item.kind >= ROW_KINDS ||
			    !(r.row.id = take_name(record, &p, item.id_len)) ||
			    !(r.row.parent = take_name(record, &p, item.parent_len)) ||
			    !(r.row.key = take_name(record, &p, item.key_len))))
		return -1;
	r.row.body = take_bytes(record, &p, item.body_len);
	if (!r.row.body)
		return -1;
	*at = p;
	*ret = r;
	return 1;
}
