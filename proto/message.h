/*
 * message.h - protobuf-c messages on the heap, and from the wire into an arena
 *
 * A message on the heap owns its strings, bytes and members, all by malloc, but
 * protobuf_c_empty_string, which nobody owns. Start one with
 * message_new(&sluice__v1__run__descriptor), change it only by these
 * functions, end it with message_free(). A message from message_unpack() belongs
 * to its arena: read it, never change or free it.
 *
 * "message" parameters are void so that any generated type fits; protobuf-c
 * asserts that it is one.
 */
#ifndef PROTO_MESSAGE_H
#define PROTO_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"

/* An empty message on the heap: `Sluice__V1__Run *run = message_new(&sluice__v1__run__descriptor)`.
 */
void *message_new(const ProtobufCMessageDescriptor *type);
void message_free(void *message);	 /* NULL is well */
void message_freep(void *message);	 /* for cleanup(): message_free(*(void **)message) */
void *message_copy(const void *message); /* deep; unknown fields come along */

/* NULL and "" empty the field. The old value is freed; value may be a part of it. */
void message_set_string(char **field, const char *value);
void message_set_bytes(ProtobufCBinaryData *field, const void *data, size_t len);

/*
 * message_append(run, jobs, job): the message (or heap string) job becomes the last of the
 * repeated field run->jobs, which owns it from now on.
 */
#define message_append(message, field, item)                                                 \
	do {                                                                                 \
		__typeof__(*(message)->field) item_ = (item);                                \
		(message)->field =                                                           \
			message_grow_((message)->field, (message)->n_##field, sizeof item_); \
		(message)->field[(message)->n_##field++] = item_;                            \
	} while (0)
void *message_grow_(void *list, size_t count, size_t size);

/* Appends the packed message to *ret. */
void message_pack_buf(const void *message, struct buf *ret);
/*
 * Unpacks into an arena, or the heap when it is NULL. Whoever reads from a peer gives an arena with
 * a cap: ERR_EXHAUSTED past it, ERR_INVALID when the bytes are no such message, and E0207 when a
 * text in it is not UTF-8.
 */
void *message_unpack(const ProtobufCMessageDescriptor *type, struct arena *arena, const void *data,
		     size_t len, struct error *err);
/* Are all strings in it, at any depth, UTF-8? protobuf-c does not ask. (It has cut them at an
 * inner NUL by then.) message_unpack() has asked. */
bool message_valid_utf8(const void *message);
/* The name of the first field whose text is not UTF-8 (or what is said of a field with an
 * impossible number, which protobuf-c takes but cannot read back), or NULL. */
const char *message_invalid_field(const void *message);

#endif
