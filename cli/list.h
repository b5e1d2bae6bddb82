/*
 * list.h - the pages of a paged rpc as one list
 */
#ifndef CLI_LIST_H
#define CLI_LIST_H

#include <jansson.h>
#include "cli/cli.h"

enum { LIST_DEFAULT = 100, LIST_MOST = 100000 };

/* A paged rpc: its request has `page`, its reply `next` and the repeated field `items`. */
struct paged {
	const ProtobufCServiceDescriptor *service;
	const char *method, *items;
};

struct list {
	const ProtobufCMessage **items; /* in the program's arena */
	size_t count;
	bool more; /* the limit cut it */
};

#define LIST_FLAG                                                                \
	{                                                                        \
		0, "limit", "N", "at most this many, newest first (default 100)" \
	}

/* As many as --limit (or LIST_DEFAULT) says; a verb without that flag gets all. */
int list_ask(struct cli *cli, const struct paged *paged, ProtobufCMessage *request,
	     struct list *ret, struct error *err);
/* {"runs": [...]}: the same names as the schema's reply. */
void list_json(const struct paged *paged, const struct list *list);
/* Says on stderr that there is more, if there is. */
void list_hint(const struct list *list);

#endif
