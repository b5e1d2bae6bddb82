#include "cli/context.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static char dir[] = "/tmp/sluice-context-XXXXXX";
static char *path;

static void setup(void)
{
	cr_assert(mkdtemp(dir));
	path = xprintf("%s/deeper/contexts.json", dir);
	unsetenv("SLUICE_ADDRESS");
	unsetenv("SLUICE_CONTEXT");
	setenv("XDG_CONFIG_HOME", dir, 1);
}

static void teardown(void)
{
	file_remove_tree(dir, NULL);
	free(path);
}

TestSuite(context, .init = setup, .fini = teardown);

static void put(struct contexts *all, const char *name, const char *address)
{
	struct context c = { (char *)name, (char *)address, (char *)"secret", (char *)"PEM",
			     (char *)(strcmp(name, "dev") == 0 ? "/d" : "") };

	contexts_put(all, &c);
}

Test(context, what_was_kept_is_there_again_and_for_its_owner_only)
{
	struct error err = { 0 };
	struct contexts *all = contexts_load_from(path, &err);
	struct stat st;

	cr_assert(all, "%s", err.text);
	cr_expect_eq(all->count, 0);
	put(all, "prod", "a:7700");
	put(all, "dev", "b:7700");
	put(all, "prod", "c:7700");
	contexts_use(all, "prod");
	cr_assert_eq(contexts_save(all, &err), 0, "%s", err.text);
	contexts_free(all);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600);
	all = contexts_load_from(path, &err);
	cr_assert(all, "%s", err.text);
	cr_expect_eq(all->count, 2);
	cr_expect_str_eq(all->current, "prod");
	cr_expect_str_eq(contexts_find(all, "prod")->address, "c:7700");
	cr_expect_str_eq(contexts_find(all, "prod")->token, "secret");
	cr_expect_str_eq(contexts_find(all, "prod")->dev, "");
	cr_expect_str_eq(contexts_find(all, "dev")->dev, "/d");
	contexts_free(all);
}

Test(context, forgetting_the_current_one_leaves_none)
{
	struct error err = { 0 };
	struct contexts *all = contexts_load_from(path, &err);

	put(all, "a", "a:1");
	put(all, "b", "b:1");
	contexts_use(all, "a");
	cr_expect(contexts_remove(all, "a"));
	cr_expect_null(all->current);
	cr_expect_not(contexts_remove(all, "a"));
	cr_expect_str_eq(all->items[0].name, "b");
	contexts_free(all);
}

Test(context, a_file_that_others_may_read_or_that_is_damaged_is_refused)
{
	struct error err = { 0 };
	const char *bad[] = { "{", "[]", "{\"contexts\": []}", "{\"contexts\": {\"a\": {}}}",
			      "{\"contexts\": {\"a\": {\"address\": 1}}}" };

	cr_assert_eq(file_make_dirs(dir, 0700, &err), 0);
	free(path);
	path = path_join(dir, "contexts.json");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_assert_eq(file_write_atomic(path, bad[i], strlen(bad[i]), 0600, &err), 0);
		cr_expect_null(contexts_load_from(path, &err), "%s", bad[i]);
		cr_expect_eq(err.code, ERR_CORRUPT, "%s: %s", bad[i], err.text);
	}
	cr_assert_eq(file_write_atomic(path, "{}", 2, 0644, &err), 0);
	cr_expect_null(contexts_load_from(path, &err));
	cr_expect_str_eq(err.id, "E0305");
}

static const char *resolved(const char *wanted, struct error *err)
{
	static char address[64];
	struct context c = { 0 };

	*address = 0;
	if (context_resolve(wanted, &c, err) == 0)
		snprintf(address, sizeof address, "%s", c.address);
	context_release(&c);
	return address;
}

Test(context, the_flag_goes_before_the_environment_and_that_before_the_file)
{
	struct error err = { 0 };
	struct contexts *all = contexts_load(&err);
	cleanup(freep) char *ca = path_join(dir, "ca.pem");

	put(all, "a", "a:1");
	put(all, "b", "b:1");
	contexts_use(all, "a");
	cr_assert_eq(contexts_save(all, &err), 0);
	contexts_free(all);
	cr_expect_str_eq(resolved(NULL, &err), "a:1");
	setenv("SLUICE_CONTEXT", "b", 1);
	cr_expect_str_eq(resolved(NULL, &err), "b:1");
	setenv("SLUICE_ADDRESS", "e:1", 1);
	cr_expect_str_eq(resolved(NULL, &err), "", "without a CA nobody is trusted");
	cr_expect(strstr(err.text, "SLUICE_CA"));
	setenv("SLUICE_CA", ca, 1);
	cr_assert_eq(file_write_atomic(ca, "PEM", 3, 0644, &err), 0);
	cr_expect_str_eq(resolved(NULL, &err), "e:1");
	cr_expect_str_eq(resolved("a", &err), "a:1");
}

Test(context, when_there_is_none_it_says_what_to_do)
{
	struct error err = { 0 };

	cr_expect_str_eq(resolved(NULL, &err), "");
	cr_expect_str_eq(err.id, "E0307");
	cr_expect(strstr(err.hint, "sluice dev"));
	error_clear(&err);
	cr_expect_str_eq(resolved("prod", &err), "");
	cr_expect_str_eq(err.id, "E0204");
}
