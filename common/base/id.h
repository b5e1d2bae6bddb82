/*
 * id.h - identities: UUIDv7 as strings (RFC 9562), sortable by the time they were made
 *
 * Made by the caller of a decision, never by the model. Thread-safe.
 */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>

enum { ID_SIZE = 37 }; /* 36 characters and the NUL */

struct id {
	char text[ID_SIZE];
};

struct id id_new(void);
bool id_valid(const char *text);

#endif
