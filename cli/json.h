/*
 * json.h - any message of the schema as JSON, by its descriptor
 *
 * Names are those of the .proto. Numbers are numbers, 64 bits included (above 2^63 - 1: text);
 * `bytes` are hex. An enum is a lower-case word without the prefix of its type: RUN_SUCCEEDED is
 * "succeeded", EVENT_RUN_SUBMITTED is "run.submitted". Lists are always there, an absent message is
 * null, a oneof's member is there only when it is set. A number that JSON has no word for (NaN) is
 * null.
 */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include "base/buf.h"

json_t *json_of(const ProtobufCMessage *message); /* a new reference */
/* As text, on one line or indented: each number in the fewest digits that read back as it. */
void json_write(const json_t *value, bool line, struct buf *out);
/* The word of an enum's value, in out (ENUM_WORD bytes), which is returned. */
enum { ENUM_WORD = 64 };
char *enum_word(const ProtobufCEnumDescriptor *type, int value, char out[ENUM_WORD]);

#endif
