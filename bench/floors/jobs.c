/*
 * Floors of small jobs: spawning, committing, and the smallest honest path of both: a controller
 * that commits `queued`, sends, waits, commits `finished`, and an agent that spawns and captures.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "floors/floor.h"

enum { AT_ONCE_MAX = 64, PATH_MAX_JOBS = 10000 };

extern char **environ;

static long left;

static int spawn_once(void)
{
	char *argv[] = { (char *)"/bin/sh", (char *)"-c", (char *)"true", NULL };
	posix_spawn_file_actions_t actions;
	char bytes[4096];
	int fds[2], status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		floor_die("pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
	posix_spawn_file_actions_adddup2(&actions, fds[1], 2);
	if ((errno = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ)))
		floor_die("spawning");
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	while (read(fds[0], bytes, sizeof bytes) > 0)
		;
	close(fds[0]);
	if (waitpid(pid, &status, 0) != pid || status)
		floor_die("waiting");
	return status;
}

static void *spawner(void *arg)
{
	while (__atomic_sub_fetch(&left, 1, __ATOMIC_RELAXED) >= 0)
		spawn_once();
	return arg;
}

void floor_spawn(char **args)
{
	long count = atol(args[0]);
	int at_once = atoi(args[1]);
	pthread_t threads[AT_ONCE_MAX];
	double began = floor_clock_s();

	left = count;
	for (int i = 0; i < at_once && i < AT_ONCE_MAX; i++)
		pthread_create(&threads[i], NULL, spawner, NULL);
	for (int i = 0; i < at_once && i < AT_ONCE_MAX; i++)
		pthread_join(threads[i], NULL);
	printf("%.1f\n", (double)count / (floor_clock_s() - began));
}

/* ---- rows ---- */

static void sql(sqlite3 *db, const char *text)
{
	if (sqlite3_exec(db, text, NULL, NULL, NULL)) {
		fprintf(stderr, "bench_floor: %s: %s\n", text, sqlite3_errmsg(db));
		exit(1);
	}
}

static sqlite3 *open_db(const char *dir)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char path[4096];
	sqlite3 *db;

	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/floor.db%s", dir, ends[i]);
		unlink(path);
	}
	snprintf(path, sizeof path, "%s/floor.db", dir);
	if (sqlite3_open(path, &db))
		floor_die(path);
	sql(db, "PRAGMA journal_mode=WAL");
	sql(db, "PRAGMA synchronous=FULL");
	sql(db, "CREATE TABLE job(id INTEGER PRIMARY KEY, stage TEXT, state INTEGER, "
		"status INTEGER, began REAL, ended REAL)");
	return db;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *text)
{
	sqlite3_stmt *s;

	if (sqlite3_prepare_v2(db, text, -1, &s, NULL))
		floor_die(text);
	return s;
}

static void insert(sqlite3_stmt *s, long id)
{
	sqlite3_bind_int64(s, 1, id);
	sqlite3_bind_double(s, 2, floor_clock_s());
	if (sqlite3_step(s) != SQLITE_DONE)
		floor_die("inserting");
	sqlite3_reset(s);
}

static void update(sqlite3_stmt *s, long id, int status)
{
	sqlite3_bind_int(s, 1, status);
	sqlite3_bind_double(s, 2, floor_clock_s());
	sqlite3_bind_int64(s, 3, id);
	if (sqlite3_step(s) != SQLITE_DONE)
		floor_die("updating");
	sqlite3_reset(s);
}

#define INSERT "INSERT INTO job(id, stage, state, began) VALUES(?, 'train-model-0001', 0, ?)"

void floor_commits(char **args)
{
	double until = floor_clock_s() + atof(args[1]), began = floor_clock_s();
	sqlite3 *db = open_db(args[0]);
	sqlite3_stmt *s = prepare(db, INSERT);
	long n = 0;

	for (; floor_clock_s() < until; n++)
		insert(s, n);
	printf("%.1f\n", (double)n / (floor_clock_s() - began));
	sqlite3_finalize(s);
	sqlite3_close(db);
}

/* ---- the smallest honest path ---- */

struct message { /* 128 bytes each way */
	int64_t id;
	int32_t status;
	char command[116];
};

static _Noreturn void path_agent(int fd)
{
	struct message m;

	while (floor_read(fd, &m, sizeof m)) {
		m.status = spawn_once();
		floor_write(fd, &m, sizeof m);
	}
	_exit(0);
}

void floor_path(char **args)
{
	static double ms[PATH_MAX_JOBS];
	long count = atol(args[1]);
	struct message m = { .command = "true" };
	int fds[2];
	sqlite3_stmt *queued, *finished;
	sqlite3 *db;
	pid_t agent;

	count = count > PATH_MAX_JOBS ? PATH_MAX_JOBS : count;
	floor_pair(fds);
	agent = fork();
	if (agent == 0) {
		close(fds[0]);
		path_agent(fds[1]);
	}
	close(fds[1]);
	db = open_db(args[0]);
	queued = prepare(db, INSERT);
	finished = prepare(db, "UPDATE job SET state = 2, status = ?, ended = ? WHERE id = ?");
	for (long i = 0; i < count; i++) {
		double began = floor_clock_s();

		insert(queued, i);
		m.id = i;
		floor_write(fds[0], &m, sizeof m);
		if (!floor_read(fds[0], &m, sizeof m))
			floor_die("the agent ended");
		update(finished, i, m.status);
		ms[i] = (floor_clock_s() - began) * 1e3;
	}
	close(fds[0]);
	waitpid(agent, NULL, 0);
	printf("%.4f %.4f\n", floor_part(ms, (size_t)count, 0.5),
	       floor_part(ms, (size_t)count, 0.99));
	sqlite3_finalize(queued);
	sqlite3_finalize(finished);
	sqlite3_close(db);
}
