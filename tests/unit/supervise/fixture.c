#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"

enum { PATIENCE_MS = 20000 };

static void open_supervisor(struct bench *b)
{
	struct error err = { 0 };

	b->supervise = supervise_open(b->dir, SHIM_PROGRAM, &b->contain, &err);
	cr_assert(b->supervise, "%s", err.text);
	b->slot = NULL;
}

static void open_slot(struct bench *b)
{
	struct error err = { 0 };

	b->slot = slot_open(b->supervise, "0", &err);
	cr_assert(b->slot, "%s", err.text);
}

void bench_open_in(struct bench *b, enum contain_kind kind, const char *dir, const char *cgroup)
{
	struct error err = { 0 };

	*b = (struct bench){ 0 };
	snprintf(b->dir, sizeof b->dir, "%s/shim-test-XXXXXX", dir);
	cr_assert(mkdtemp(b->dir), "making '%s': %s", b->dir, strerror(errno));
	chmod(b->dir, 0755); /* jobs of other users write here */
	cr_assert_eq(contain_probe(SHIM_PROGRAM, cgroup, kind, &b->contain, &err), 0, "%s",
		     err.text);
	if (b->contain.kind != kind) {
		rmdir(b->dir);
		cr_skip_test("this host gives only: %s", b->contain.reason);
	}
	open_supervisor(b);
	open_slot(b);
}

void bench_open(struct bench *b, enum contain_kind kind)
{
	bench_open_in(b, kind, "/tmp", "");
}

void bench_restart(struct bench *b)
{
	slot_close(b->slot);
	supervise_close(b->supervise);
	open_supervisor(b);
}

static void shim_leaves(struct bench *b)
{
	cleanup(freep) char *lock = xprintf("%s/shims/0.lock", b->dir);
	int64_t until = clock_boot_ms() + PATIENCE_MS;

	while (file_locked(lock)) {
		cr_assert_lt(clock_boot_ms(), until, "the shim stays");
		usleep(1000);
	}
}

void bench_close(struct bench *b)
{
	struct error err = { 0 };

	slot_close(b->slot);
	supervise_close(b->supervise);
	shim_leaves(b);
	contain_release(&b->contain);
	cr_assert_eq(file_remove_tree(b->dir, &err), 0, "%s", err.text);
}

static const char *const job_env[] = { "PATH=/usr/bin:/bin", "WHO=job", NULL };

struct supervise_spec a_job(uint64_t fence, const char *command)
{
	return (struct supervise_spec){ .fence = fence, .command = command, .env = job_env };
}

void must_run(struct bench *b, const struct supervise_spec *spec)
{
	struct error err = { 0 };

	cr_assert_eq(slot_run(b->slot, spec, &err), 0, "%s", err.text);
}

struct slot_event await(struct slot *slot, enum slot_event_kind kind)
{
	struct slot_event event;
	struct error err = { 0 };

	for (;;) {
		int r = slot_wait(slot, PATIENCE_MS, &event, &err);

		cr_assert_eq(r, 1, "waiting for event %d: %s", kind, r ? err.text : "nothing came");
		if (event.kind == kind)
			return event;
		cr_assert(event.kind != SLOT_REFUSED, "%s", event.why.text);
		cr_assert(event.kind != SLOT_GONE, "the shim went away");
	}
}

struct shim_record run_to_end(struct bench *b, const struct supervise_spec *spec)
{
	must_run(b, spec);
	return await(b->slot, SLOT_EXITED).record;
}

char *output_of(struct bench *b, const char *name, size_t *ret_len)
{
	cleanup(buf_release) struct buf all = { 0 };
	struct error err = { 0 };
	cleanup(spool_closep) struct spool *s =
		spool_open(supervise_spool_dir(b->supervise), name, &err);
	char chunk[65536];
	ssize_t n;

	cr_assert(s, "%s", err.text);
	while ((n = spool_read(s, SPOOL_OUTPUT, all.len, chunk, sizeof chunk, &err)) > 0)
		buf_add(&all, chunk, (size_t)n);
	cr_assert_eq(n, 0, "%s", err.text);
	if (ret_len)
		*ret_len = all.len;
	return buf_detach(&all);
}

char *output_of_fence(struct bench *b, uint64_t fence)
{
	cleanup(freep) char *name = xprintf("%llu", (unsigned long long)fence);

	return output_of(b, name, NULL);
}

struct found what_became(struct bench *b, const char *name)
{
	struct found f;
	struct error err = { 0 };

	cr_assert_eq(supervise_find(b->supervise, "0", name, &f, &err), 0, "%s", err.text);
	return f;
}

long number_in(const char *dir, const char *name)
{
	cleanup(freep) char *path = path_join(dir, name);
	int64_t until = clock_boot_ms() + PATIENCE_MS;

	for (;;) {
		cleanup(buf_release) struct buf text = { 0 };
		long n;

		if (file_read(path, 100, &text, NULL) == 0 && strchr(buf_str(&text), '\n') &&
		    (n = strtol(text.data, NULL, 10)) > 0)
			return n;
		cr_assert_lt(clock_boot_ms(), until, "'%s' does not appear", path);
		usleep(1000);
	}
}

/* A zombie is dead: its parent may be slow. */
bool process_lives(pid_t pid)
{
	cleanup(freep) char *path = xprintf("/proc/%d/stat", (int)pid);
	cleanup(buf_release) struct buf stat = { 0 };
	const char *p;

	if (file_read(path, 4096, &stat, NULL) < 0)
		return false;
	p = strrchr(buf_str(&stat), ')');
	return p && p[2] != 'Z' && p[2] != 'X';
}

bool process_ends(pid_t pid)
{
	int64_t until = clock_boot_ms() + 5000;

	while (process_lives(pid)) {
		if (clock_boot_ms() > until)
			return false;
		usleep(1000);
	}
	return true;
}

int open_descriptors(pid_t pid)
{
	cleanup(freep) char *path = xprintf("/proc/%d/fd", (int)pid);
	DIR *d = opendir(path);
	int n = 0;

	cr_assert(d, "'%s': %s", path, strerror(errno));
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}
