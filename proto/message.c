/*
 * What protobuf-c leaves to its users: ownership of strings, a deep copy, a bound
 * on what hostile bytes make it allocate (a 2-byte empty submessage costs 24
 * times that), and the check that text is UTF-8 and numbers are numbers. The walk
 * over a message reads its fields by descriptor, as protobuf-c itself does.
 */
#include "proto/message.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *message_new(const ProtobufCMessageDescriptor *type)
{
	ProtobufCMessage *m = xmalloc(type->sizeof_message);

	protobuf_c_message_init(type, m);
	return m;
}

void message_free(void *message)
{
	if (message)
		protobuf_c_message_free_unpacked(message, NULL);
}

void message_freep(void *message)
{
	message_free(*(void **)message);
}

void *message_copy(const void *message)
{
	const ProtobufCMessage *m = message;
	cleanup(buf_release) struct buf packed = { 0 };
	void *copy;

	message_pack_buf(m, &packed);
	copy = protobuf_c_message_unpack(m->descriptor, NULL, packed.len,
					 (const uint8_t *)buf_str(&packed));
	assert(copy); /* what we packed can be unpacked */
	return copy;
}

void message_set_string(char **field, const char *value)
{
	char *before = *field;

	*field = value && *value ? xstrdup(value) : (char *)protobuf_c_empty_string;
	if (before != protobuf_c_empty_string)
		free(before);
}

void message_set_bytes(ProtobufCBinaryData *field, const void *data, size_t len)
{
	uint8_t *before = field->data;

	field->data = len ? xmemdup(data, len) : NULL;
	field->len = len;
	free(before);
}

void *message_grow_(void *list, size_t count, size_t size)
{
	return xreallocarray(list, count + 1, size);
}

void message_pack_buf(const void *message, struct buf *ret)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	size_t packed;

	buf_reserve(ret, size);
	packed = protobuf_c_message_pack(message, (uint8_t *)ret->data + ret->len);
	assert(packed == size);
	ret->len += size;
	ret->data[ret->len] = '\0';
}

/* protobuf-c's allocator over an arena; it takes NULL for "no memory" and gives up cleanly. */
struct arena_allocator {
	struct arena *arena;
	bool refused;
};

static void *take(void *self, size_t size)
{
	struct arena_allocator *a = self;
	void *p = arena_alloc(a->arena, size);

	if (!p)
		a->refused = true;
	return p;
}

static void leave(void *self, void *p)
{
}

static const char no_number[] = "a field whose number no field can have";

static int check_fields(const void *message, const char *type, struct error *err)
{
	const char *field = message_invalid_field(message);

	if (!field)
		return 0;
	if (field == no_number)
		return error_set(err, ERR_INVALID, "a message %s holds %s", type, field);
	return error_id(err, "E0207", "field '%s' of %s is not UTF-8", field, type);
}

void *message_unpack(const ProtobufCMessageDescriptor *type, struct arena *arena, const void *data,
		     size_t len, struct error *err)
{
	struct arena_allocator own = { .arena = arena };
	ProtobufCAllocator allocator = { take, leave, &own };
	void *m = protobuf_c_message_unpack(type, arena ? &allocator : NULL, len, data);

	if (!m && own.refused)
		error_set(err, ERR_EXHAUSTED, "%zu bytes of %s need more memory than is allowed",
			  len, type->name);
	else if (!m)
		error_set(err, ERR_INVALID, "%zu bytes are not a message %s", len, type->name);
	else if (check_fields(m, type->name, err) == 0)
		return m;
	if (!arena)
		message_free(m);
	return NULL;
}

/* Bytes that may follow the lead byte c, and the range of the first of them (Unicode 15, table
 * 3-7). */
static int utf8_follow(unsigned char c, unsigned char *ret_low, unsigned char *ret_high)
{
	*ret_low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	*ret_high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	if (c < 0x80)
		return 0;
	if (c >= 0xc2 && c <= 0xdf)
		return 1;
	if (c >= 0xe0 && c <= 0xef)
		return 2;
	return c >= 0xf0 && c <= 0xf4 ? 3 : -1;
}

static bool utf8(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	while (*p) {
		unsigned char low, high;
		int follow = utf8_follow(*p++, &low, &high);

		for (int i = 0; i < follow; i++, p++, low = 0x80, high = 0xbf)
			if (*p < low || *p > high)
				return false;
		if (follow < 0)
			return false;
	}
	return true;
}

/* The value of one string or message field: its name if that text is bad, or what is bad inside. */
static const char *invalid_value(const ProtobufCFieldDescriptor *field, const void *value)
{
	if (!value)
		return NULL;
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return message_invalid_field(value);
	return utf8(value) ? NULL : field->name;
}

static const char *invalid_field(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *field)
{
	const char *member = (const char *)m + field->offset;
	const char *quantifier = (const char *)m + field->quantifier_offset;

	if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
		return NULL;
	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		void *const *items = *(void *const *const *)member;
		size_t count = *(const size_t *)quantifier;
		const char *bad = NULL;

		for (size_t i = 0; !bad && i < count; i++)
			bad = invalid_value(field, items[i]);
		return bad;
	}
	if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
	    *(const uint32_t *)quantifier != field->id)
		return NULL;
	return invalid_value(field, *(void *const *)member);
}

/* protobuf-c takes an overlong field number 0 for an unknown field, packs it in its short form,
 * and refuses that: what a peer sent could be stored and never read again. */
static const char *invalid_number(const ProtobufCMessage *m)
{
	enum { LARGEST = (1 << 29) - 1 };

	for (unsigned int i = 0; i < m->n_unknown_fields; i++)
		if (!m->unknown_fields[i].tag || m->unknown_fields[i].tag > LARGEST)
			return no_number;
	return NULL;
}

const char *message_invalid_field(const void *message)
{
	const ProtobufCMessage *m = message;
	const char *bad = invalid_number(m);

	for (unsigned int i = 0; !bad && i < m->descriptor->n_fields; i++)
		bad = invalid_field(m, &m->descriptor->fields[i]);
	return bad;
}

bool message_valid_utf8(const void *message)
{
	return !message_invalid_field(message);
}
