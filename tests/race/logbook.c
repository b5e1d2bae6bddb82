/*
 * Writers, live and patient readers, finishes and journal changes in one logbook at once. Each
 * reader must see the seeded stream of its log, whole and in order.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/thread.h"
#include "controller/logs/logbook.h"

enum { LOGS = 4, ROUNDS = 5, SIZE = 600000 };

static struct logbook *book;

static unsigned char byte_at(uint64_t fence, uint64_t at)
{
	return (unsigned char)(at * 131 + fence * 7 + (at >> 8));
}

static void *write_log(void *arg)
{
	struct log_key key = { .run = "run", .fence = (uint64_t)(uintptr_t)arg };
	unsigned int seed = (unsigned int)key.fence;
	unsigned char *piece = xmalloc(40000);
	uint64_t end = 0, durable;

	while (end < SIZE) {
		/* a little of what was said already, then more */
		uint64_t from = end > 100 ? end - rand_r(&seed) % 100 : 0;
		size_t len = 1 + (rand_r(&seed) % 10 ? rand_r(&seed) % 900 : rand_r(&seed) % 39000);

		len = MIN(len + (end - from), (size_t)(SIZE - from));
		for (size_t i = 0; i < len; i++)
			piece[i] = byte_at(key.fence, from + i);
		if (logbook_append(book, &key, from, piece, len, &end, NULL) < 0)
			abort();
		if (rand_r(&seed) % 4 == 0 &&
		    (logbook_sync(book, &key, &durable, NULL) < 0 || durable < end))
			abort();
	}
	logbook_finish(book, &key, SIZE);
	if (logbook_sync(book, &key, &durable, NULL) < 0 || durable != SIZE)
		abort();
	free(piece);
	return NULL;
}

static void *read_log(void *arg)
{
	uintptr_t what = (uintptr_t)arg;
	struct log_key key = { .run = "run", .fence = what >> 1 };
	struct log_reader *r = log_reader_open(book, &key, NULL);
	unsigned char data[8192];
	uint64_t at = 0, line, offset;
	bool ended = false;

	if (what & 1)
		log_reader_live(r);
	while (!ended) {
		int64_t n = log_reader_read(r, at, data, sizeof data, &ended, NULL);

		if (n < 0)
			abort();
		for (int64_t i = 0; i < n; i++, at++)
			if (data[i] != byte_at(key.fence, at))
				abort();
		if (n == 0 && !ended)
			log_reader_wait(r, at, 1000);
		if (at % 7 == 0 && (log_reader_line(r, at, &line, NULL) < 0 ||
				    log_reader_tail(r, 3, &offset, NULL) < 0))
			abort();
	}
	log_reader_close(r);
	if (at != SIZE)
		abort();
	return NULL;
}

/* ---- a service: its log goes from segment to segment, and loses the oldest ---- */

static const struct log_key service = { .run = "", .environment = "production", .agent = "agent" };

static void *write_service(void *arg)
{
	unsigned char *piece = xmalloc(5000);
	uint64_t end = 0, durable;

	while (end < SIZE) {
		size_t len = MIN((uint64_t)5000, SIZE - end);

		for (size_t i = 0; i < len; i++)
			piece[i] = byte_at(0, end + i);
		if (logbook_append(book, &service, end, piece, len, &end, NULL) < 0 ||
		    logbook_sync(book, &service, &durable, NULL) < 0 || durable != end)
			abort();
	}
	free(piece);
	return NULL;
}

static void *read_service(void *arg)
{
	struct log_reader *r = log_reader_open(book, &service, NULL);
	unsigned char data[3000];
	uint64_t at = 0, offset;
	bool ended;

	if (arg)
		log_reader_live(r);
	while (at < SIZE) {
		struct error err = { 0 };
		int64_t n;

		if (log_reader_seek(r, &at, NULL) < 0)
			abort();
		n = log_reader_read(r, at, data, sizeof data, &ended, &err);
		if (n < 0 && err.code == ERR_NOT_FOUND)
			continue;
		if (n < 0 || ended)
			abort();
		for (int64_t i = 0; i < n; i++, at++)
			if (data[i] != byte_at(0, at))
				abort();
		if (at % 5 == 0 && log_reader_tail(r, 3, &offset, NULL) < 0)
			abort();
		if (n == 0)
			log_reader_wait(r, at, 1000);
	}
	log_reader_close(r);
	return NULL;
}

int main(void)
{
	char dir[] = "/tmp/sluice-race-XXXXXX";
	struct error err = { 0 };
	pthread_t served[3];
	uint64_t removed;

	book = logbook_open(mkdtemp(dir), &err);
	if (!book) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	logbook_keep(book, SIZE / 3);
	served[0] = thread_start("serve", 0, write_service, NULL);
	served[1] = thread_start("reader", 0, read_service, NULL);
	served[2] = thread_start("live", 0, read_service, book);
	for (uintptr_t round = 0; round < ROUNDS; round++) {
		pthread_t writers[LOGS], readers[2 * LOGS];

		for (uintptr_t i = 0; i < LOGS; i++) {
			uintptr_t fence = 1 + round * LOGS + i;

			readers[2 * i] = thread_start("reader", 0, read_log, (void *)(fence << 1));
			readers[2 * i + 1] =
				thread_start("live", 0, read_log, (void *)(fence << 1 | 1));
			writers[i] = thread_start("writer", 0, write_log, (void *)fence);
		}
		usleep(5000);
		/* changes the journal under them; nothing is old enough to go */
		if (logbook_expire(book, 1, &removed, &err) < 0 || removed) {
			fprintf(stderr, "%s\n", err.text);
			return 1;
		}
		for (int i = 0; i < LOGS; i++)
			thread_join(writers[i]);
		for (int i = 0; i < 2 * LOGS; i++)
			thread_join(readers[i]);
	}
	for (int i = 0; i < 3; i++)
		thread_join(served[i]);
	logbook_close(book);
	file_remove_tree(dir, NULL);
	return 0;
}
