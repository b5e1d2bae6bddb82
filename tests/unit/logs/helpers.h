/* A logbook in a directory of its own. */
#ifndef TEST_LOGS_HELPERS_H
#define TEST_LOGS_HELPERS_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "controller/logs/logbook.h"

struct fixture {
	char dir[64];
	struct logbook *book;
	struct error err;
};

static const struct log_key key = { .run = "run-1", .fence = 7 };

static inline struct logbook *open_book(const char *dir)
{
	struct error err = { 0 };
	struct logbook *b = logbook_open(dir, &err);

	cr_assert(b, "%s", err.text);
	return b;
}

static inline struct fixture *setup(void)
{
	struct fixture *f = xcalloc(1, sizeof *f);

	snprintf(f->dir, sizeof f->dir, "/tmp/sluice-logs-XXXXXX");
	cr_assert(mkdtemp(f->dir));
	f->book = open_book(f->dir);
	return f;
}

static inline void reopen(struct fixture *f)
{
	logbook_close(f->book);
	f->book = open_book(f->dir);
}

static inline void teardown(struct fixture *f)
{
	logbook_close(f->book);
	cr_assert_eq(file_remove_tree(f->dir, &f->err), 0, "%s", f->err.text);
	free(f);
}

static inline void append(struct fixture *f, const struct log_key *k, uint64_t at, const char *text)
{
	uint64_t end;

	cr_assert_eq(logbook_append(f->book, k, at, text, strlen(text), &end, &f->err), 0, "%s",
		     f->err.text);
}

static inline void sync_log(struct fixture *f, const struct log_key *k, uint64_t want)
{
	uint64_t durable = 0;

	cr_assert_eq(logbook_sync(f->book, k, &durable, &f->err), 0, "%s", f->err.text);
	cr_expect_eq(durable, want);
}

static inline char *log_file_path(struct fixture *f, const struct log_key *k)
{
	return xprintf("%s/%s/%llu.%u.log", f->dir, k->run, (unsigned long long)k->fence,
		       k->stream);
}

/* What a child of this very program does to the logs in dir before it dies without a goodbye. */
static inline void in_a_child(const char *dir, void (*work)(struct logbook *b))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct logbook *b = logbook_open(dir, NULL);

		if (b)
			work(b);
		_exit(b ? 0 : 1);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child failed");
}

#endif
