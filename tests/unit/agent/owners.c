#include "agent/owners.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/spares.h"
#include "agent/workspace.h"
#include "base/file.h"

enum { FIRST = 76000, N = 8 };

static char dir[64];
static struct owners *owners;

/* Only root can give files away. */
static struct owners *range_of(const char *range, unsigned slots, struct error *err)
{
	struct owners_spec spec = {
		.work_dir = dir, .range = range, .uid = 65534, .gid = 65534, .slots = slots
	};

	return owners_new(&spec, err);
}

static void begin(void)
{
	struct error err = { 0 };

	if (geteuid() != 0)
		cr_skip_test("only root has users to give");
	snprintf(dir, sizeof dir, "/tmp/owners-XXXXXX");
	cr_assert(mkdtemp(dir));
	owners = range_of("76000-76007", 4, &err);
	cr_assert(owners, "%s", err.text);
}

static void end(void)
{
	owners_free(owners);
	file_remove_tree(dir, NULL);
}

TestSuite(owners, .init = begin, .fini = end, .timeout = 20);

Test(owners, each_is_another_until_there_is_none)
{
	struct error err = { 0 };
	bool seen[N] = { 0 };
	uid_t uid;

	for (int i = 0; i < N; i++) {
		cr_assert_eq(owners_take(owners, &uid, &err), 0, "%s", err.text);
		cr_assert(uid >= FIRST && uid < FIRST + N && !seen[uid - FIRST], "%u", uid);
		seen[uid - FIRST] = true;
	}
	cr_expect_lt(owners_take(owners, &uid, &err), 0);
	cr_expect_eq(err.code, ERR_EXHAUSTED);
	owners_return(owners, FIRST + 3);
	owners_return(owners, FIRST + N); /* not ours */
	cr_assert_eq(owners_take(owners, &uid, &err), 0);
	cr_expect_eq(uid, FIRST + 3);
}

Test(owners, one_that_came_back_waits_for_its_turn)
{
	struct error err = { 0 };
	uid_t first, second;

	cr_assert_eq(owners_take(owners, &first, &err), 0);
	owners_return(owners, first);
	cr_assert_eq(owners_take(owners, &second, &err), 0);
	cr_expect_neq(first, second);
}

Test(owners, who_has_a_workspace_at_the_start_keeps_it)
{
	cleanup(freep) char *path = path_join(dir, "17");
	cleanup(owners_freep) struct owners *later = NULL;
	struct error err = { 0 };
	uid_t uid;

	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_eq(chown(path, FIRST + 5, 65534), 0);
	later = range_of("76000-76007", 4, &err);
	for (int i = 0; i < N - 1; i++) {
		cr_assert_eq(owners_take(later, &uid, &err), 0);
		cr_expect_neq(uid, FIRST + 5);
	}
	cr_expect_lt(owners_take(later, &uid, &err), 0);
}

Test(owners, a_range_that_is_wrong_is_refused_by_name)
{
	static const struct {
		const char *range, *says;
	} table[] = {
		{ "70000", "'70000'" },		  { "70000-70999x", "'70000-70999x'" },
		{ "70999-70000", "not a range" }, { "0-99", "system's" },
		{ "70000-170000", "at most" },	  { "76000-76003", "4 slots need 8" },
		{ "65530-65539", "'nobody'" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct error err = { 0 };

		cr_expect_null(range_of(table[i].range, 4, &err), "%s", table[i].range);
		cr_expect(strstr(err.text, table[i].says), "%s: %s", table[i].range, err.text);
	}
}

Test(owners, without_a_range_all_share_one)
{
	struct error err = { 0 };
	cleanup(owners_freep) struct owners *one = range_of(NULL, 4, &err);
	uid_t a, b;

	cr_assert_eq(owners_take(one, &a, &err), 0);
	cr_assert_eq(owners_take(one, &b, &err), 0);
	cr_expect(a == 65534 && b == 65534);
	cr_expect(owners_has(one, 65534) && !owners_has(one, FIRST));
	cr_assert_eq(owners_take(NULL, &a, &err), 0);
	cr_expect_eq(a, 0);
}

static struct workspace *workspace_of(struct workspace_from *from, uint64_t fence)
{
	Sluice__V1__Assignment a = SLUICE__V1__ASSIGNMENT__INIT;
	Sluice__V1__JobSpec spec = SLUICE__V1__JOB_SPEC__INIT;
	struct error err = { 0 };
	struct workspace *ws;

	a.fence = fence;
	a.spec = &spec;
	ws = workspace_new(from, &a, &err);
	cr_assert(ws, "%s", err.text);
	return ws;
}

Test(owners, a_workspace_is_one_users_alone_and_a_spare_keeps_its_user)
{
	struct workspace_from from = { .work_dir = dir, .owners = owners };
	struct workspace *ws[N];
	struct error err = { 0 };
	uid_t spare;

	from.spares = spares_new(dir, owners);
	for (int i = 0; i < N; i++) {
		struct stat st;

		ws[i] = workspace_of(&from, (uint64_t)i + 1);
		cr_assert_eq(lstat(ws[i]->root, &st), 0);
		cr_expect(st.st_uid == ws[i]->uid && st.st_gid == 65534 &&
			  (st.st_mode & 07777) == 0700);
		for (int k = 0; k < i; k++)
			cr_expect_neq(ws[k]->uid, ws[i]->uid);
	}
	spare = ws[2]->uid;
	cr_assert_eq(workspace_discard(&from, ws[2]->root, &err), 0, "%s", err.text);
	workspace_free(ws[2]);
	ws[2] = workspace_of(&from, 100);
	cr_expect_eq(ws[2]->uid, spare);
	for (int i = 0; i < N; i++)
		workspace_free(ws[i]);
	spares_free(from.spares);
}

/* All users are bound in spare workspaces, and one is needed that cannot begin as a spare. */
Test(owners, a_spare_gives_its_user_when_there_is_no_other)
{
	struct workspace_from from = { .work_dir = dir, .owners = owners };
	cleanup(freep) char *mark = NULL;
	struct error err = { 0 };
	struct workspace *ws[N];
	uid_t uid;

	from.spares = spares_new(dir, owners);
	for (int i = 0; i < N; i++)
		ws[i] = workspace_of(&from, (uint64_t)i + 1);
	for (int i = 0; i < N; i++) {
		cr_assert_eq(workspace_discard(&from, ws[i]->root, &err), 0);
		workspace_free(ws[i]);
	}
	cr_expect_lt(owners_take(owners, &uid, &err), 0, "the spares have all");
	cr_assert(spares_drop(from.spares));
	cr_expect_eq(owners_take(owners, &uid, &err), 0);
	ws[0] = workspace_of(&from, 50);
	cr_expect_neq(ws[0]->uid, uid);
	mark = path_join(ws[0]->dir, "mark");
	cr_assert_eq(file_write_atomic(mark, "", 0, 0644, &err), 0);
	uid = ws[0]->uid;
	cr_assert_eq(workspace_discard(&from, ws[0]->root, &err), 0);
	cr_expect_not(file_exists(ws[0]->root), "used: removed");
	workspace_free(ws[0]);
	spares_free(from.spares);
}
