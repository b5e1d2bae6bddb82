/*
 * Bytes without a copy. Sending: a slice with the packed message and the
 * field's tag and length, then a slice that is the caller's memory. Receiving:
 * the message's slices are walked to where the field begins; what precedes it
 * is unpacked, the bytes stay where they are. A message that has the field
 * twice, or something behind it, is taken the common way.
 */
#include <assert.h>
#include <string.h>

#include "rpc/internal.h"

enum { LENGTH_DELIMITED = 2, MAX_VARINT = 10 };

static size_t put_varint(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		p[n++] = (uint8_t)(v | 0x80);
	p[n++] = (uint8_t)v;
	return n;
}

int rpc_send_tail_(struct rpc_call *c, const ProtobufCMessage *msg, const struct rpc_tail *tail,
		   struct error *err)
{
	size_t packed = protobuf_c_message_get_packed_size(msg), n;
	grpc_slice slices[2];
	grpc_byte_buffer *buf;
	uint8_t *p;

	assert(msg->descriptor == c->out);
	slices[0] = grpc_slice_malloc(packed + 2 * MAX_VARINT);
	p = GRPC_SLICE_START_PTR(slices[0]);
	n = protobuf_c_message_pack(msg, p);
	n += put_varint(p + n, (uint64_t)tail->field << 3 | LENGTH_DELIMITED);
	n += put_varint(p + n, tail->len);
	GRPC_SLICE_SET_LENGTH(slices[0], n);
	slices[1] = grpc_slice_new_with_user_data((void *)tail->data, tail->len, tail->release,
						  tail->arg);
	buf = grpc_raw_byte_buffer_create(slices, 2);
	grpc_slice_unref(slices[0]);
	grpc_slice_unref(slices[1]);
	return call_send(c, buf, false, err);
}

/* ---- receiving ---- */

struct raw {
	grpc_byte_buffer *buf;
	struct iovec *parts;
	size_t cap;
};

void raw_release(struct rpc_call *c)
{
	struct raw *raw = c->raw;

	if (!raw)
		return;
	if (raw->buf)
		grpc_byte_buffer_destroy(raw->buf);
	free(raw->parts);
	free(raw);
	c->raw = NULL;
}

/* A reader over slices. */
struct cursor {
	const grpc_slice_buffer *slices;
	size_t slice, at; /* in which, and where */
	size_t pos;	  /* from the beginning of all */
};

static bool cursor_end(struct cursor *k)
{
	while (k->slice < k->slices->count &&
	       k->at == GRPC_SLICE_LENGTH(k->slices->slices[k->slice])) {
		k->slice++;
		k->at = 0;
	}
	return k->slice == k->slices->count;
}

static bool cursor_skip(struct cursor *k, uint64_t n)
{
	size_t here;

	for (; n > 0; n -= here) {
		if (cursor_end(k))
			return false;
		here = MIN(n, GRPC_SLICE_LENGTH(k->slices->slices[k->slice]) - k->at);
		k->at += here;
		k->pos += here;
	}
	return true;
}

static bool cursor_varint(struct cursor *k, uint64_t *ret)
{
	uint8_t byte;

	*ret = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (cursor_end(k))
			return false;
		byte = GRPC_SLICE_START_PTR(k->slices->slices[k->slice])[k->at];
		*ret |= (uint64_t)(byte & 0x7f) << shift;
		cursor_skip(k, 1);
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

/* Over one field's value; groups are refused. */
static bool cursor_value(struct cursor *k, unsigned wire_type)
{
	uint64_t n;

	switch (wire_type) {
	case 0:
		return cursor_varint(k, &n);
	case 1:
		return cursor_skip(k, 8);
	case LENGTH_DELIMITED:
		return cursor_varint(k, &n) && cursor_skip(k, n);
	case 5:
		return cursor_skip(k, 4);
	default:
		return false;
	}
}

bool raw_split(const grpc_byte_buffer *buf, unsigned field, size_t *ret_head, size_t *ret_len)
{
	struct cursor k = { .slices = &buf->data.raw.slice_buffer };
	size_t total = grpc_byte_buffer_length((grpc_byte_buffer *)buf), before;
	uint64_t key, len;

	while (!cursor_end(&k)) {
		before = k.pos;
		if (!cursor_varint(&k, &key))
			return false;
		if (key != ((uint64_t)field << 3 | LENGTH_DELIMITED)) {
			if (!cursor_value(&k, key & 7))
				return false;
			continue;
		}
		if (!cursor_varint(&k, &len) || len != total - k.pos)
			return false;
		*ret_head = before;
		*ret_len = len;
		return true;
	}
	return false;
}

static void add_part(struct raw *raw, unsigned n, void *base, size_t len)
{
	if (n == raw->cap) {
		raw->cap = raw->cap ? 2 * raw->cap : 8;
		raw->parts = xreallocarray(raw->parts, raw->cap, sizeof *raw->parts);
	}
	raw->parts[n] = (struct iovec){ base, len };
}

/* The last len bytes of the message, where they lie. */
static void give_parts(struct raw *raw, size_t len, struct rpc_bytes *ret)
{
	struct cursor k = { .slices = &raw->buf->data.raw.slice_buffer };
	const grpc_slice *slice;
	unsigned n = 0;

	cursor_skip(&k, grpc_byte_buffer_length(raw->buf) - len);
	for (; !cursor_end(&k); k.slice++, k.at = 0) {
		slice = &k.slices->slices[k.slice];
		add_part(raw, n++, (void *)(GRPC_SLICE_START_PTR(*slice) + k.at),
			 GRPC_SLICE_LENGTH(*slice) - k.at);
	}
	*ret = (struct rpc_bytes){ raw->parts, n, len };
}

/* The first n bytes of a message as a byte buffer of their own. */
static grpc_byte_buffer *head_of(const grpc_byte_buffer *buf, size_t n)
{
	const grpc_slice_buffer *slices = &buf->data.raw.slice_buffer;
	grpc_slice head = grpc_slice_malloc(n);
	uint8_t *p = GRPC_SLICE_START_PTR(head);
	grpc_byte_buffer *ret;
	size_t here;

	for (size_t i = 0; i < slices->count && n > 0; i++, n -= here) {
		here = MIN(n, GRPC_SLICE_LENGTH(slices->slices[i]));
		memcpy(p, GRPC_SLICE_START_PTR(slices->slices[i]), here);
		p += here;
	}
	ret = grpc_raw_byte_buffer_create(&head, 1);
	grpc_slice_unref(head);
	return ret;
}

static ProtobufCMessage *take_common(struct rpc_call *c, struct raw *raw, unsigned field,
				     struct rpc_bytes *ret, struct error *err)
{
	ProtobufCMessage *msg = codec_unpack(c->in, raw->buf, call_inbox(c), err);
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(c->in, field);
	ProtobufCBinaryData *bytes;

	assert(f && f->type == PROTOBUF_C_TYPE_BYTES && f->label != PROTOBUF_C_LABEL_REPEATED);
	if (!msg)
		return NULL;
	bytes = (ProtobufCBinaryData *)((char *)msg + f->offset);
	add_part(raw, 0, bytes->data, bytes->len);
	*ret = (struct rpc_bytes){ raw->parts, bytes->len > 0, bytes->len };
	*bytes = (ProtobufCBinaryData){ 0, NULL };
	return msg;
}

static ProtobufCMessage *take_tail(struct rpc_call *c, struct raw *raw, unsigned field,
				   struct rpc_bytes *ret, struct error *err)
{
	grpc_byte_buffer *head;
	ProtobufCMessage *msg;
	size_t head_len, len;

	if (raw->buf->data.raw.compression != GRPC_COMPRESS_NONE ||
	    !raw_split(raw->buf, field, &head_len, &len))
		return take_common(c, raw, field, ret, err);
	head = head_of(raw->buf, head_len);
	msg = codec_unpack(c->in, head, call_inbox(c), err);
	grpc_byte_buffer_destroy(head);
	if (msg)
		give_parts(raw, len, ret);
	return msg;
}

int rpc_recv_tail_(struct rpc_call *c, const void **ret, size_t size, unsigned field,
		   struct rpc_bytes *ret_tail, struct error *err)
{
	struct raw *raw;
	int r;

	assert(size == c->in->sizeof_message);
	if (!c->raw)
		c->raw = xcalloc(1, sizeof *raw);
	raw = c->raw;
	if (raw->buf)
		grpc_byte_buffer_destroy(steal(raw->buf));
	r = call_next(c, -1, &raw->buf, err);
	if (r <= 0)
		return r;
	*ret = take_tail(c, raw, field, ret_tail, err);
	return *ret ? 1 : error_wrap(err, "a message '%s' was refused", c->in->short_name);
}
