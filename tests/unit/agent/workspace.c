#include "agent/workspace.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/deploy_private.h"
#include "base/file.h"
#include "blob/source.h"
#include "spec/spec.h"

static char dir[64];
static struct workspace_from from;
static Sluice__V1__Assignment assignment;
static Sluice__V1__JobSpec spec;
static Sluice__V1__ResolvedInput input, *inputs;
static Sluice__V1__ResolvedArtifact artifact, *artifacts;
static char digest[DIGEST_TEXT_SIZE], *work_dir;

/* Everything is in the cache already, so no controller is asked. */
static void begin(void)
{
	cleanup(freep) char *cache = NULL, *tree = NULL, *file = NULL;
	struct source_spec source = { .media = MANIFEST_TAR };
	struct error err = { 0 };
	struct digest d;

	snprintf(dir, sizeof dir, "/tmp/workspace-XXXXXX");
	cr_assert(mkdtemp(dir));
	cache = path_join(dir, "cache");
	tree = path_join(dir, "tree");
	file = path_join(tree, "only");
	work_dir = path_join(dir, "work");
	cr_assert_eq(file_make_dirs(work_dir, 0711, &err), 0);
	cr_assert_eq(file_make_dirs(tree, 0755, &err), 0);
	cr_assert_eq(file_write_atomic(file, "content", 7, 0644, &err), 0);
	from = (struct workspace_from){ .work_dir = work_dir };
	from.cache = blob_store_open(cache, &err);
	cr_assert(from.cache, "%s", err.text);
	source.tree.path = tree;
	cr_assert_eq(source_store(&source, from.cache, &d, &err), 0, "%s", err.text);
	digest_format(&d, digest);
	sluice__v1__assignment__init(&assignment);
	sluice__v1__job_spec__init(&spec);
	sluice__v1__resolved_input__init(&input);
	sluice__v1__resolved_artifact__init(&artifact);
	assignment.fence = 9;
	assignment.spec = &spec;
	inputs = &input;
	assignment.inputs = &inputs;
	assignment.n_inputs = 1;
	artifacts = &artifact;
	input.name = (char *)"data";
	input.artifacts = &artifacts;
	input.n_artifacts = 1;
	artifact.digest = digest;
}

static void end(void)
{
	blob_store_close(from.cache);
	file_remove_tree(dir, NULL);
	free(work_dir);
}

TestSuite(workspace, .init = begin, .fini = end, .timeout = 20);

static bool there(const char *name)
{
	cleanup(freep) char *path = xprintf("%s/9/%s", work_dir, name);

	return file_exists(path);
}

static const char *value_of(const struct workspace *ws, const char *name)
{
	for (size_t i = 0; i < ws->n_env; i++)
		if (strncmp(ws->env[i], name, strlen(name)) == 0 && ws->env[i][strlen(name)] == '=')
			return ws->env[i] + strlen(name) + 1;
	return NULL;
}

Test(workspace, an_input_is_a_directory_or_the_file_it_was)
{
	for (int is_file = 0; is_file < 2; is_file++) {
		struct error err = { 0 };
		struct workspace *ws;

		artifact.is_file = is_file;
		ws = workspace_new(&from, &assignment, &err);
		cr_assert(ws, "%s", err.text);
		cr_expect_eq(there("in/data/only"), !is_file);
		cr_expect(there("in/data") && there("src") && there("home") && there("tmp"));
		cr_expect_not(there("in/data.unpacking"));
		cr_expect(value_of(ws, "INPUT_DATA") &&
			  strstr(value_of(ws, "INPUT_DATA"), "/9/in/data"));
		workspace_free(ws);
	}
}

Test(workspace, a_fan_in_has_an_entry_for_each_instance)
{
	struct error err = { 0 };
	struct workspace *ws;

	input.fan_in = true;
	artifact.key = (char *)"seed=1,lr=0.1";
	ws = workspace_new(&from, &assignment, &err);
	cr_assert(ws, "%s", err.text);
	cr_expect(there("in/data/seed=1,lr=0.1/only"));
	workspace_free(ws);
}

Test(workspace, names_that_lead_out_are_refused_and_leave_nothing)
{
	static const char *const names[] = { "..", "../x", "a/b", "", "-x", ".hidden" };
	static const char *const keys[] = { "..", "../../../x", "a/b", "", "/etc" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct error err = { 0 };

		input.name = (char *)names[i];
		cr_expect_null(workspace_new(&from, &assignment, &err), "'%s'", names[i]);
		cr_expect_eq(err.code, ERR_INVALID, "%s", err.text);
		cr_expect_not(there(""));
	}
	input.name = (char *)"data";
	input.fan_in = true;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct error err = { 0 };

		artifact.key = (char *)keys[i];
		cr_expect_null(workspace_new(&from, &assignment, &err), "'%s'", keys[i]);
		cr_expect_eq(err.code, ERR_INVALID, "%s", err.text);
		cr_expect_not(there(""));
	}
}

Test(workspace, nothing_of_a_users_is_changed_on_its_way_into_the_environment)
{
	Sluice__V1__Variable v = SLUICE__V1__VARIABLE__INIT, *list = &v;
	struct error err = { 0 };
	struct workspace *ws;

	v.name = (char *)"GREETING";
	v.value = (char *)"$(rm -rf /) `id` \"quoted\"\nsecond line";
	spec.env = &list;
	spec.n_env = 1;
	ws = workspace_new(&from, &assignment, &err);
	cr_assert(ws, "%s", err.text);
	cr_expect_str_eq(value_of(ws, "GREETING"), v.value);
	cr_expect(value_of(ws, "PATH") && value_of(ws, "HOME") && value_of(ws, "TMPDIR"));
	cr_expect_null(value_of(ws, "GRPC_SSL_CIPHER_SUITES"));
	workspace_free(ws);
}

Test(workspace, a_job_sees_the_gpus_that_it_got_whatever_it_wishes)
{
	Sluice__V1__Variable v = SLUICE__V1__VARIABLE__INIT, *list = &v;
	const char *last = NULL;
	struct error err = { 0 };
	struct workspace *ws;
	uint32_t gpus[] = { 3, 5 };

	v.name = (char *)"CUDA_VISIBLE_DEVICES";
	v.value = (char *)"0,1,2,3,4,5,6,7";
	spec.env = &list;
	spec.n_env = 1;
	assignment.gpus = gpus;
	assignment.n_gpus = 2;
	ws = workspace_new(&from, &assignment, &err);
	cr_assert(ws, "%s", err.text);
	for (size_t i = 0; i < ws->n_env; i++)
		if (strncmp(ws->env[i], "CUDA_VISIBLE_DEVICES=", 21) == 0)
			last = ws->env[i] + 21;
	cr_assert(last);
	cr_expect_str_eq(last, "3,5");
	workspace_free(ws);
}

/* The row of spec_seen that a variable is; NULL: it is none. */
static const struct spec_seen *row_of(const char *variable)
{
	for (const struct spec_seen *v = spec_seen; v->name; v++) {
		const char *each = strstr(v->name, "_NAME");
		size_t len = strlen(v->name), stem = each ? (size_t)(each + 1 - v->name) : 0;

		if (each ? strncmp(variable, v->name, stem) == 0
			 : strncmp(variable, v->name, len) == 0 && variable[len] == '=')
			return v;
	}
	return NULL;
}

/* What sluice-shim's caller adds, and what is only passed on. */
static bool is_set_elsewhere(const char *name)
{
	static const char *const names[] = { "SLUICE_SHIM", "LANG", "LC_ALL", "TZ",
					     "LD_LIBRARY_PATH" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static void check_documented(char *const *env, size_t n, enum spec_seen_by by)
{
	for (size_t i = 0; i < n; i++) {
		const struct spec_seen *v = row_of(env[i]);

		cr_expect(v && v->by & by, "not in the table of what is seen: %s", env[i]);
	}
	for (const struct spec_seen *v = spec_seen; v->name; v++) {
		bool found = is_set_elsewhere(v->name) || !(v->by & by);

		for (size_t i = 0; i < n && !found; i++)
			found = row_of(env[i]) == v;
		cr_expect(found, "nobody sets %s", v->name);
	}
}

Test(workspace, a_job_sees_what_is_documented_and_nothing_else)
{
	Sluice__V1__Variable v = SLUICE__V1__VARIABLE__INIT, *list = &v;
	Sluice__V1__Param param = SLUICE__V1__PARAM__INIT, *params = &param;
	Sluice__V1__OutputSpec output = SLUICE__V1__OUTPUT_SPEC__INIT, *outputs = &output;
	Sluice__V1__Release release = SLUICE__V1__RELEASE__INIT;
	struct workspace *ws;

	v.name = (char *)"seed";
	v.value = (char *)"1";
	output.name = (char *)"model";
	output.path = (char *)"out";
	param.name = v.name;
	param.value = v.value;
	assignment.params = &params;
	spec.matrix = &list;
	spec.n_matrix = assignment.n_params = 1;
	spec.outputs = &outputs;
	spec.n_outputs = 1;
	spec.metrics = (char *)"m.json";
	assignment.environment = (char *)"staging";
	assignment.release = &release;
	ws = workspace_reopen(&from, &assignment);
	check_documented(ws->env, ws->n_env, SEEN_BY_JOBS);
	workspace_free(ws);
}

Test(workspace, a_service_sees_what_is_documented_and_nothing_else)
{
	Sluice__V1__Release release = SLUICE__V1__RELEASE__INIT;
	Sluice__V1__DeploySpec deploy = SLUICE__V1__DEPLOY_SPEC__INIT;
	struct host h = { .name = (char *)"staging", .dir = dir };
	struct strings env = { 0 };

	release.id = (char *)"abc";
	service_env(&env, &h, &release, &deploy, 18000);
	check_documented(env.at, env.n, SEEN_BY_SERVICES);
	strings_release(&env);
}
