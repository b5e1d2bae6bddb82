/*
 * text.h - the little text a shim makes, without stdio (which would triple its memory)
 */
#ifndef AGENT_SHIM_TEXT_H
#define AGENT_SHIM_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Appends to the string at `to`, size bytes in all; what does not fit is left out. */
void text_add(char *to, size_t size, const char *more);
void text_number(char *to, size_t size, uint64_t n);
/* The decimal number that s begins with; 0 if there is none. */
uint64_t text_parse(const char *s);
/* The parent of a process, from /proc; 0 if it is gone. */
pid_t text_parent_of(pid_t pid);

#endif
