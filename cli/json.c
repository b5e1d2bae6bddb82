/*
 * The converter: one walk over the fields of a descriptor.
 */
#include "cli/json.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

/* The prefix that a value of this enum carries: RUN_STATE_UNSPECIFIED says that it is RUN_STATE_
 * or, more often, RUN_. */
static const char *without_prefix(const ProtobufCEnumDescriptor *type, const char *name)
{
	static const char zero[] = "UNSPECIFIED";
	const ProtobufCEnumValue *none = protobuf_c_enum_descriptor_get_value(type, 0);
	size_t len;

	if (!none || strlen(none->name) < sizeof zero)
		return name;
	len = strlen(none->name) - strlen(zero);
	if (strcmp(none->name + len, zero) != 0)
		return name;
	while (len) {
		if (strncmp(name, none->name, len) == 0)
			return name + len;
		for (len--; len && none->name[len - 1] != '_'; len--)
			;
	}
	return name;
}

char *enum_word(const ProtobufCEnumDescriptor *type, int value, char out[ENUM_WORD])
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(type, value);
	char *dot;

	if (!v) {
		snprintf(out, ENUM_WORD, "%d", value);
		return out;
	}
	snprintf(out, ENUM_WORD, "%s", without_prefix(type, v->name));
	for (char *p = out; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	dot = strcmp(type->short_name, "EventKind") == 0 ? strchr(out, '_') : NULL;
	if (dot)
		*dot = '.';
	return out;
}

static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

static json_t *large(uint64_t value)
{
	char text[24];

	if (value <= INT64_MAX)
		return json_integer((json_int_t)value);
	snprintf(text, sizeof text, "%ju", (uintmax_t)value);
	return json_string(text);
}

static json_t *hex(const ProtobufCBinaryData *bytes)
{
	cleanup(buf_release) struct buf text = { 0 };

	for (size_t i = 0; i < bytes->len; i++)
		buf_printf(&text, "%02x", bytes->data[i]);
	return json_string(buf_str(&text));
}

static json_t *text_of(const char *text)
{
	json_t *value = json_string(text ? text : "");

	return value ? value : json_string("?"); /* not UTF-8: rpc has refused that */
}

static size_t size_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_ENUM:
		return 4;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	default:
		return 8;
	}
}

static json_t *value_of(const ProtobufCFieldDescriptor *field, const void *at)
{
	char word[ENUM_WORD];

	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return json_integer(*(const int32_t *)at);
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return json_integer(*(const uint32_t *)at);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return json_integer(*(const int64_t *)at);
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return large(*(const uint64_t *)at);
	case PROTOBUF_C_TYPE_FLOAT:
		return number(*(const float *)at);
	case PROTOBUF_C_TYPE_DOUBLE:
		return number(*(const double *)at);
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)at);
	case PROTOBUF_C_TYPE_ENUM:
		return json_string(enum_word(field->descriptor, *(const int *)at, word));
	case PROTOBUF_C_TYPE_STRING:
		return text_of(*(char *const *)at);
	case PROTOBUF_C_TYPE_BYTES:
		return hex(at);
	case PROTOBUF_C_TYPE_MESSAGE:
		return *(void *const *)at ? json_of(*(ProtobufCMessage *const *)at) : json_null();
	}
	return json_null();
}

static json_t *list_of(const ProtobufCFieldDescriptor *field, const void *message)
{
	size_t count = *(const size_t *)((const char *)message + field->quantifier_offset);
	const char *items = *(char *const *)((const char *)message + field->offset);
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, value_of(field, items + i * size_of(field->type)));
	return list;
}

/* A oneof's case stands where a list has its count. */
static bool is_set(const ProtobufCFieldDescriptor *field, const void *message)
{
	return !(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) ||
	       *(const uint32_t *)((const char *)message + field->quantifier_offset) == field->id;
}

json_t *json_of(const ProtobufCMessage *message)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];

		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			json_object_set_new(object, field->name, list_of(field, message));
		else if (is_set(field, message))
			json_object_set_new(object, field->name,
					    value_of(field, (const char *)message + field->offset));
	}
	return object;
}

/* ---- as text ---- */

/* jansson writes 17 digits, always: 0.1 becomes 0.10000000000000001. */
static size_t put_number(const char *text, struct buf *out)
{
	size_t len = strspn(text, "-+0123456789.eE");
	cleanup(freep) char *number = xstrndup(text, len);
	char shortest[CLOCK_TEXT];

	if (!strpbrk(number, ".eE")) {
		buf_puts(out, number);
		return len;
	}
	number_format(strtod(number, NULL), shortest);
	buf_puts(out, shortest);
	if (!strpbrk(shortest, ".eE")) /* a real stays one */
		buf_puts(out, ".0");
	return len;
}

static size_t put_string(const char *text, struct buf *out)
{
	size_t len = 1;

	while (text[len] != '"')
		len += text[len] == '\\' ? 2 : 1;
	buf_add(out, text, ++len);
	return len;
}

void json_write(const json_t *value, bool line, struct buf *out)
{
	cleanup(freep) char *all = json_dumps(value, line ? JSON_COMPACT : JSON_INDENT(2));
	const char *at = all ? all : "null";

	while (*at) {
		if (*at == '"')
			at += put_string(at, out);
		else if (*at == '-' || isdigit((unsigned char)*at))
			at += put_number(at, out);
		else
			buf_putc(out, *at++);
	}
}
