/*
 * out.h - the answer on stdout, for a terminal, a pipe or a program
 */
#ifndef CLI_OUT_H
#define CLI_OUT_H

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include "base/buf.h"
#include "cli/text.h"

/* Is a person looking at stdout? A dumb terminal counts as a pipe. */
bool out_live(void);
/* How to draw for stdout now: colour on a terminal unless NO_COLOR is set, and its width. */
struct look out_look(void);
int out_rows(void);
/* The same for stderr. */
struct look out_error_look(void);

/* Writes and flushes. Nobody reads any more (a closed pipe): ends the process as SIGPIPE would. */
void out_write(const void *data, size_t len);
void out_buf(const struct buf *text);
void out_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A reply as one JSON document. */
void out_json(const ProtobufCMessage *message);
/* One line of JSON: for streams. */
void out_json_line(const ProtobufCMessage *message);
/* Takes the reference. */
void out_json_value(json_t *value, bool line);

#endif
