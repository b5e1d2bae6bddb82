/*
 * What of common/base is used by many threads at once: locks and signals as a
 * small queue, the log, ids, fault points, and starting programs.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/thread.h"

enum { PRODUCERS = 3, ITEMS = 2000, ROOM = 16 };

static struct {
	struct lock lock;
	struct signal changed;
	int items[ROOM]; /* lock */
	int used;	 /* lock */
	long sum;	 /* lock */
} queue;

static void *produce(void *arg)
{
	for (int i = 1; i <= ITEMS; i++) {
		LOCKED(&queue.lock);
		while (queue.used == ROOM)
			signal_wait(&queue.changed, &queue.lock);
		queue.items[queue.used++] = i;
		signal_all(&queue.changed);
	}
	return NULL;
}

static void *consume(void *arg)
{
	for (int taken = 0; taken < PRODUCERS * ITEMS; taken++) {
		LOCKED(&queue.lock);
		while (queue.used == 0)
			signal_wait_ms(&queue.changed, &queue.lock, 1000);
		queue.sum += queue.items[--queue.used];
		signal_all(&queue.changed);
	}
	return NULL;
}

static void *do_the_rest(void *arg)
{
	static const char *const argv[] = { "/bin/true", NULL };
	struct id before = id_new();

	for (int i = 0; i < 20; i++) {
		struct spawn s = { .argv = argv, .in = -1, .out = -1, .errout = -1 };
		struct id id = id_new();
		struct child child;
		struct error err = { 0 };
		int status = -1;

		assert(id_valid(id.text) && strcmp(id.text, before.text) != 0);
		before = id;
		log_debug("not shown");
		log_set_level(LOG_LEVEL_WARN);
#ifdef SLUICE_FAULTS
		fault_point("race.place");
#endif
		assert(spawn_start(&s, &child, &err) == 0);
		assert(spawn_wait(&child, 30000, &status, &err) == 0);
		assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[PRODUCERS + 3];
	int n = 0;

	thread_block_signals();
	lock_init(&queue.lock);
	signal_init(&queue.changed);
	for (int i = 0; i < PRODUCERS; i++)
		threads[n++] = thread_start("producer", 0, produce, NULL);
	threads[n++] = thread_start("consumer", 0, consume, NULL);
	threads[n++] = thread_start("rest", 0, do_the_rest, NULL);
	threads[n++] = thread_start("rest", 0, do_the_rest, NULL);
	for (int i = 0; i < n; i++)
		thread_join(threads[i]);
	assert(queue.sum == (long)PRODUCERS * ITEMS * (ITEMS + 1) / 2);
	signal_release(&queue.changed);
	lock_release(&queue.lock);
	return 0;
}
