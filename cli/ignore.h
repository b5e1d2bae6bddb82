/*
 * ignore.h - .sluiceignore: which files are not part of a source tree
 *
 * The language is git's, as far as most people know it: a glob a line; `*` and `?` stay within a
 * name, `**` goes across; a `/` at the beginning or within ties it to the root, else it matches a
 * name anywhere; a `/` at the end takes directories only; `!` takes something back in (but nothing
 * beneath a directory that is out); `#` is a comment. The last line that matches decides.
 */
#ifndef CLI_IGNORE_H
#define CLI_IGNORE_H

#include <stdbool.h>
#include <stddef.h>

struct ignore;

/* text need not end in a NUL. Lines past IGNORE_MAX are ignored themselves. */
enum { IGNORE_MAX = 4096 };
struct ignore *ignore_parse(const char *text, size_t len);
void ignore_free(struct ignore *ig); /* NULL is well */
/* Is path (relative, no leading "./") or a directory above it left out? NULL ignores nothing. */
bool ignore_matches(const struct ignore *ig, const char *path, bool is_directory);

#endif
