/* A store in a directory of its own, and rows that are quickly made. */
#ifndef TEST_STORE_HELPERS_H
#define TEST_STORE_HELPERS_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "controller/store/store.h"
#include "proto/message.h"
#include "sluice/v1/environments.pb-c.h"
#include "sluice/v1/runs.pb-c.h"
#include "sluice/v1/store.pb-c.h"

struct fixture {
	char dir[64];
	char *path;
	struct store *store;
	struct error err;
};

static inline struct fixture *setup(void)
{
	struct fixture *f = xcalloc(1, sizeof *f);

	snprintf(f->dir, sizeof f->dir, "/tmp/sluice-store-XXXXXX");
	cr_assert(mkdtemp(f->dir));
	f->path = path_join(f->dir, "sluice.db");
	f->store = store_open(f->path, &f->err);
	cr_assert(f->store, "%s", f->err.text);
	return f;
}

static inline void reopen(struct fixture *f)
{
	store_close(f->store);
	f->store = store_open(f->path, &f->err);
	cr_assert(f->store, "%s", f->err.text);
}

static inline void teardown(struct fixture *f)
{
	store_close(f->store);
	cr_assert_eq(file_remove_tree(f->dir, &f->err), 0, "%s", f->err.text);
	free(f->path);
	free(f);
}

static inline int put_message(struct store *s, enum row_kind kind, const void *message,
			      struct error *err)
{
	cleanup(buf_release) struct buf body = { 0 };
	char scratch[256];
	struct row row;

	row_describe(kind, message, &row, scratch);
	message_pack_buf(message, &body);
	row.body = (const uint8_t *)body.data;
	row.len = body.len;
	return store_put(s, &row, err);
}

static inline void put_run(struct fixture *f, uint32_t number, int state, const char *pipeline)
{
	Sluice__V1__Run run = SLUICE__V1__RUN__INIT;
	char id[40];

	snprintf(id, sizeof id, "run-%06u", number);
	run.id = id;
	run.number = number;
	run.state = (Sluice__V1__RunState)state;
	run.pipeline = (char *)pipeline;
	run.created_ms = 1000 + number / 3; /* several share a time */
	cr_assert_eq(put_message(f->store, ROW_RUN, &run, &f->err), 0, "%s", f->err.text);
}

static inline void begin(struct fixture *f)
{
	store_begin(f->store);
}

static inline void commit(struct fixture *f)
{
	cr_assert_eq(store_commit(f->store, &f->err), 0, "%s", f->err.text);
}

static inline void append_event(struct fixture *f, uint64_t seq)
{
	Sluice__V1__Event *e = message_new(&sluice__v1__event__descriptor);
	char text[32];

	snprintf(text, sizeof text, "event %llu", (unsigned long long)seq);
	e->seq = seq;
	e->time_ms = 5000 + (int64_t)seq;
	e->kind = SLUICE__V1__EVENT_KIND__EVENT_RUN_SUBMITTED;
	message_set_string(&e->text, text);
	store_append_event(f->store, e);
	message_free(e);
}

#endif
