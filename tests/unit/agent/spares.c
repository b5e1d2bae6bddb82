#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/spares.h"
#include "base/file.h"

static char *dir;
static struct spares *spares;

static void set_up(void)
{
	dir = xprintf("%s/spares.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	umask(022);
	cr_assert(mkdtemp(dir));
	spares = spares_new(dir, NULL);
}

static void tear_down(void)
{
	spares_free(spares);
	file_remove_tree(dir, NULL);
	free(dir);
}

TestSuite(spares, .init = set_up, .fini = tear_down);

static char *make(const char *name)
{
	char *path = path_join(dir, name);

	cr_assert_eq(mkdir(path, 0700), 0);
	for (const struct spares_dir *d = spares_dirs; d->name; d++) {
		cleanup(freep) char *inner = path_join(path, d->name);

		cr_assert_eq(mkdir(inner, d->mode), 0);
	}
	return path;
}

Test(spares, an_untouched_workspace_is_given_again)
{
	cleanup(freep) char *one = make("1"), *two = path_join(dir, "2");
	cleanup(freep) char *src = path_join(two, "src");
	uid_t uid = 1;

	cr_assert(!spares_take(spares, two, &uid));
	cr_assert(spares_keep(spares, one));
	cr_assert(!file_exists(one));
	cr_assert(spares_take(spares, two, &uid));
	cr_assert(file_exists(src));
	cr_expect_eq(uid, geteuid());
	cr_assert(!spares_take(spares, one, &uid));
}

/* What a job may have left in or done to its workspace, as a shell would. */
static const char *const traces[] = {
	"touch %s/file",
	"touch %s/src/file",
	"touch %s/tmp/.hidden",
	"mkdir %s/home/deep",
	"mkdir %s/in",
	"rmdir %s/tmp",
	"chmod 777 %s/src",
	"chmod 711 %s",
	"chmod u+s %s/home",
	"rmdir %s/tmp && ln -s /etc %s/tmp",
	"rmdir %s/src && touch %s/src",
};

Test(spares, a_workspace_with_any_trace_of_a_job_is_refused)
{
	for (size_t i = 0; i < ARRAY_SIZE(traces); i++) {
		cleanup(freep) char *name = xprintf("%zu", i);
		cleanup(freep) char *path = make(name);
		char command[8192];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(command, sizeof command, traces[i], path, path);
#pragma GCC diagnostic pop
		cr_assert_eq(system(command), 0, "%s", command);
		cr_expect(!spares_keep(spares, path), "kept after: %s", command);
		cr_expect(file_exists(path));
	}
}

Test(spares, a_file_or_a_link_in_the_place_of_a_workspace_is_refused)
{
	cleanup(freep) char *real = make("1"), *link = path_join(dir, "2"),
			    *none = path_join(dir, "3");

	cr_assert_eq(symlink(real, link), 0);
	cr_assert(!spares_keep(spares, link));
	cr_assert(!spares_keep(spares, none));
	cr_assert(spares_keep(spares, real));
}

Test(spares, there_is_an_end_to_how_many_are_kept)
{
	unsigned kept = 0;
	uid_t uid;

	for (int i = 0; i < 300; i++) {
		cleanup(freep) char *name = xprintf("%d", i);
		cleanup(freep) char *path = make(name);

		kept += spares_keep(spares, path);
	}
	cr_assert(kept > 8 && kept < 300, "%u", kept);
	while (kept--) {
		cleanup(freep) char *name = xprintf("again-%u", kept);
		cleanup(freep) char *path = path_join(dir, name);

		cr_assert(spares_take(spares, path, &uid));
	}
}
