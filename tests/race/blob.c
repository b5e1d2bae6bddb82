/*
 * Many threads at one store: writers of the same and of different blobs, group syncs, readers,
 * pins, a collector. What was synced and pinned must be there with its bytes; nothing temporary is
 * left. Run under TSan.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "blob/store.h"

enum { WRITERS = 4, ROUNDS = 60, SHARED = 16, GROUP = 8, SIZE = 20000 };

static struct blob_store *store;
static atomic_bool over;

#define CHECK(cond, ...)                        \
	do {                                    \
		if (!(cond)) {                  \
			log_error(__VA_ARGS__); \
			abort();                \
		}                               \
	} while (0)

static void fill(char *data, uint64_t seed)
{
	/* every other blob compresses */
	for (size_t i = 0; i < SIZE; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		data[i] = (char)(seed & 1u << 20 ? seed >> 33 : 'x');
	}
}

static void expect(const struct digest *d, const char *data)
{
	cleanup(buf_release) struct buf got = { 0 };
	struct error err = { 0 };

	CHECK(blob_read(store, d, SIZE, &got, &err) == 0, "reading: %s", err.text);
	CHECK(got.len == SIZE && memcmp(got.data, data, SIZE) == 0, "other bytes");
}

/* Puts blobs that all writers put, and some that only this one does; syncs them in groups. */
static void *writer(void *arg)
{
	uint64_t self = (uintptr_t)arg;
	char *data = xmalloc(SIZE);

	for (uint64_t round = 0; round < ROUNDS; round++) {
		struct digest group[GROUP];
		struct error err = { 0 };
		size_t n = round % 2 ? GROUP : 2;

		for (size_t i = 0; i < n; i++) {
			fill(data,
			     i % 2 ? (round + i) % SHARED : (self + 1) << 32 | round << 8 | i);
			group[i] = digest_of(data, SIZE);
			CHECK(blob_put(store, &group[i], data, SIZE, &err) == 0, "%s", err.text);
		}
		CHECK(blob_sync(store, group, n, &err) == 0, "syncing: %s", err.text);
		for (size_t i = 0; i < n; i++) {
			CHECK(blob_pin(store, &group[i]), "a synced blob is gone");
			fill(data,
			     i % 2 ? (round + i) % SHARED : (self + 1) << 32 | round << 8 | i);
			expect(&group[i], data);
		}
	}
	free(data);
	return NULL;
}

static bool nothing_lives(void *arg, const struct digest *d)
{
	return false;
}

/* Only pins and youth protect; blobs are younger than this by far. */
static void *collector(void *arg)
{
	struct blob_collection how = { nothing_lives, NULL, 10 * 60 * 1000 };

	while (!over) {
		struct error err = { 0 };
		struct blob_stats stats;

		CHECK(blob_collect(store, &how, &stats, &err) == 0, "collecting: %s", err.text);
		CHECK(stats.removed == 0, "%llu were removed", (unsigned long long)stats.removed);
	}
	return NULL;
}

static void *reader(void *arg)
{
	char *data = xmalloc(SIZE);
	uint64_t seen = 0;

	for (uint64_t i = 0; !over; i++) {
		struct digest d;

		fill(data, i % SHARED);
		d = digest_of(data, SIZE);
		if (blob_has(store, &d)) {
			expect(&d, data);
			seen++;
		}
	}
	CHECK(seen, "the reader saw nothing");
	free(data);
	return NULL;
}

int main(void)
{
	char dir[] = "/tmp/sluice-race-blob-XXXXXX";
	pthread_t writers[WRITERS], others[2];
	struct error err = { 0 };
	cleanup(freep) char *temporary = NULL;

	CHECK(mkdtemp(dir), "no directory");
	store = blob_store_open(dir, &err);
	CHECK(store, "%s", err.text);
	others[0] = thread_start("collector", 0, collector, NULL);
	others[1] = thread_start("reader", 0, reader, NULL);
	for (uintptr_t i = 0; i < WRITERS; i++)
		writers[i] = thread_start("writer", 0, writer, (void *)i);
	for (int i = 0; i < WRITERS; i++)
		thread_join(writers[i]);
	over = true;
	thread_join(others[0]);
	thread_join(others[1]);
	blob_store_close(store);
	temporary = path_join(dir, "tmp");
	CHECK(rmdir(temporary) == 0, "something is left in tmp/");
	CHECK(file_remove_tree(dir, &err) == 0, "%s", err.text);
	puts("blob: no race seen");
	return 0;
}
