/*
 * table.h - rows and columns for people
 *
 * Columns are as wide as their widest cell, two spaces apart; a heading that begins with `>` is
 * aligned to the right. On a terminal the last column is cut to what is left of the width; a pipe
 * gets everything.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "base/buf.h"
#include "base/mem.h"
#include "cli/text.h"

struct table;

/* headings: NULL at the end; borrowed. */
struct table *table_new(const char *const *headings);
void table_free(struct table *t);
DEFINE_CLEANUP(struct table *, table_free)
/* The next cell; after the last column a new row begins. */
void table_cell(struct table *t, enum paint paint, const char *text);
void table_cellf(struct table *t, enum paint paint, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Headings and rows; `empty` and nothing else when there are no rows. */
void table_render(const struct table *t, const struct look *look, const char *empty,
		  struct buf *out);

#endif
