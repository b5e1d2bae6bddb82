#include "house.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "proto/message.h"

struct house *house_new(void)
{
	struct house *h = xcalloc(1, sizeof *h);
	cleanup(freep) char *path = NULL;

	snprintf(h->dir, sizeof h->dir, "/tmp/sluice-api-XXXXXX");
	cr_assert(mkdtemp(h->dir));
	path = path_join(h->dir, "sluice.db");
	h->store = store_open(path, &h->err);
	cr_assert(h->store, "%s", h->err.text);
	h->arena = arena_new(0);
	return h;
}

void house_free(struct house *h)
{
	store_reader_give(h->reader);
	engine_free(h->engine);
	store_close(h->store);
	arena_free(h->arena);
	cr_assert_eq(file_remove_tree(h->dir, &h->err), 0, "%s", h->err.text);
	free(h);
}

void house_put(struct house *h, enum row_kind kind, const void *message)
{
	cleanup(buf_release) struct buf body = { 0 };
	char scratch[256];
	struct row row;

	cr_assert_null(h->engine, "the store is the engine's by now");
	row_describe(kind, message, &row, scratch);
	message_pack_buf(message, &body);
	row.body = (const uint8_t *)body.data;
	row.len = body.len;
	store_begin(h->store);
	cr_assert_eq(store_put(h->store, &row, &h->err), 0, "%s", h->err.text);
	cr_assert_eq(store_commit(h->store, &h->err), 0, "%s", h->err.text);
}

static void drop(void *arg, struct effect *effect)
{
}

void house_start(struct house *h)
{
	struct engine_config config = { .store = h->store,
					.effects = { .perform = drop },
					.cluster = "lab",
					.reserve_bytes = 1 };

	h->engine = engine_new(&config, &h->err);
	cr_assert(h->engine, "%s", h->err.text);
	engine_start(h->engine);
}

struct store_reader *house_reader(struct house *h)
{
	h->reader = h->reader ?: store_reader_take(h->store, &h->err);
	cr_assert(h->reader, "%s", h->err.text);
	return h->reader;
}
