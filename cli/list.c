/*
 * Paging by descriptors, so that no verb has a loop of its own.
 */
#include "cli/list.h"

#include <assert.h>
#include <string.h>

#include "cli/complete.h"
#include "cli/json.h"
#include "cli/out.h"
#include "sluice/v1/common.pb-c.h"

enum { PAGE = 1000 };

static void *field_of(const void *message, const char *name,
		      const ProtobufCFieldDescriptor **ret_field)
{
	const ProtobufCMessage *m = message;
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);

	assert(f);
	if (ret_field)
		*ret_field = f;
	return (char *)message + f->offset;
}

static void append(struct cli *cli, struct list *list, const void *reply, const char *items,
		   size_t limit)
{
	const ProtobufCFieldDescriptor *field;
	const ProtobufCMessage **page = *(const ProtobufCMessage ***)field_of(reply, items, &field);
	size_t n = *(const size_t *)((const char *)reply + field->quantifier_offset);
	size_t add = MIN(n, limit - list->count);
	const ProtobufCMessage **grown =
		arena_alloc(cli->arena, (list->count + add + 1) * sizeof *grown);

	if (list->count)
		memcpy(grown, list->items, list->count * sizeof *grown);
	if (add)
		memcpy(grown + list->count, page, add * sizeof *grown);
	list->items = grown;
	list->count += add;
	list->more = add < n;
}

static bool has_limit(const struct args *args)
{
	for (const struct flag *f = args->verb->flags; f && f->name; f++)
		if (strcmp(f->name, "limit") == 0)
			return true;
	return false;
}

int list_ask(struct cli *cli, const struct paged *paged, ProtobufCMessage *request,
	     struct list *ret, struct error *err)
{
	Sluice__V1__PageRequest page = SLUICE__V1__PAGE_REQUEST__INIT;
	struct rpc_channel *ch = cli_channel(cli, err);
	int64_t limit = LIST_MOST;

	memset(ret, 0, sizeof *ret);
	if (has_limit(&cli->args)) {
		limit = LIST_DEFAULT;
		if (flag_number(&cli->args, "limit", 1, LIST_MOST, &limit, err) < 0)
			return -1;
	}
	if (!ch)
		return -1;
	*(Sluice__V1__PageRequest **)field_of(request, "page", NULL) = &page;
	do {
		const void *reply;

		page.size = (int32_t)MIN(limit - (int64_t)ret->count, (int64_t)PAGE);
		reply = ask_complete(ch, paged->service, paged->method, cli->arena, request, err);
		if (!reply)
			return -1;
		append(cli, ret, reply, paged->items, (size_t)limit);
		page.token = *(char **)field_of(reply, "next", NULL);
	} while (*page.token && (int64_t)ret->count < limit);
	ret->more |= *page.token != 0;
	return 0;
}

void list_json(const struct paged *paged, const struct list *list)
{
	json_t *items = json_array(), *root = json_object();

	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(items, json_of(list->items[i]));
	json_object_set_new(root, paged->items, items);
	out_json_value(root, false);
}

void list_hint(const struct list *list)
{
	if (list->more)
		say("There are more: --limit %zu shows further ones", list->count * 10);
}
