/*
 * house.h - what the tests of the api share: a directory with a store, and an engine over it
 *
 * Rows go in before the engine runs: from then on the store's writer is the engine's.
 */
#ifndef TEST_API_HOUSE_H
#define TEST_API_HOUSE_H

#include <stdint.h>
#include "base/arena.h"
#include "base/error.h"
#include "controller/engine/engine.h"
#include "controller/store/store.h"

struct house {
	char dir[64];
	struct store *store;
	struct engine *engine;	     /* NULL before house_start() */
	struct store_reader *reader; /* NULL before house_reader() */
	struct arena *arena;
	struct error err;
};

struct house *house_new(void);
void house_free(struct house *h);
/* Writes one row, durable; a message of the kind. */
void house_put(struct house *h, enum row_kind kind, const void *message);
void house_start(struct house *h);
struct store_reader *house_reader(struct house *h);

#endif
