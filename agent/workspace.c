/*
 * Workspaces. An artifact is fetched into the chunk cache first and unpacked from there, so that
 * eight instances that read one data set fetch it once.
 */
#include "agent/workspace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/owners.h"
#include "agent/spares.h"
#include "base/file.h"
#include "base/log.h"
#include "blob/reader.h"
#include "spec/spec.h"

static void env_add(struct workspace *ws, const char *name, const char *value)
{
	ws->env = xreallocarray(ws->env, ws->n_env + 2, sizeof *ws->env);
	ws->env[ws->n_env++] = xprintf("%s=%s", name, value);
	ws->env[ws->n_env] = NULL;
}

static void env_add_as(struct workspace *ws, const char *prefix, const char *name,
		       const char *value)
{
	cleanup(freep) char *variable = spec_variable(prefix, name);

	env_add(ws, variable, value);
}

/* Verify steps, services and hooks start in the release's part `code`, where there is one. */
static bool has_code(const Sluice__V1__Assignment *a)
{
	for (size_t i = 0; a->release && i < a->release->n_parts; i++)
		if (strcmp(a->release->parts[i]->slot, "code") == 0)
			return !a->release->parts[i]->is_file;
	return false;
}

/* ---- artifacts ---- */

/* The one entry of a directory, on the heap. */
static char *only_entry(const char *dir, struct error *err)
{
	DIR *d = opendir(dir);
	cleanup(freep) char *found = NULL;
	struct dirent *e;

	if (!d)
		return error_errno(err, "opening '%s'", dir), NULL;
	while (!found && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			found = path_join(dir, e->d_name);
	closedir(d);
	if (!found)
		return error_set(err, ERR_CORRUPT, "an artifact of one file holds none"), NULL;
	return steal(found);
}

static int unpack(struct blob_store *cache, const struct digest *digest, const struct placing *p,
		  struct error *err)
{
	cleanup(freep) char *aside = xprintf("%s.unpacking", p->path);
	cleanup(freep) char *file = NULL;

	if (!p->is_file)
		return blob_unpack(cache, digest, p->path, false, err);
	if (blob_unpack(cache, digest, aside, false, err) < 0)
		return -1;
	file = only_entry(aside, err);
	if (!file || rename(file, p->path) < 0) {
		if (file)
			error_errno(err, "placing '%s'", p->path);
		file_remove_tree(aside, NULL);
		return -1;
	}
	return file_remove_tree(aside, err);
}

int workspace_place(const struct transfer *t, struct blob_store *cache, struct download what,
		    const struct placing *p, struct error *err)
{
	if (digest_parse(p->digest, &what.artifact, err) < 0)
		return -1;
	for (bool again = false;; again = true) {
		struct error why = { 0 };

		if (transfer_fetch(t, &what, cache, NULL, err) < 0)
			return -1;
		if (unpack(cache, &what.artifact, p, &why) == 0)
			return 0;
		/* the store has put aside what is damaged, so the next fetch mends it */
		if (again || (why.code != ERR_CORRUPT && why.code != ERR_NOT_FOUND))
			return *err = why, -1;
		log_warn("fetching %s again: %s", p->digest, why.text);
	}
}

static int place(const struct workspace_from *from, const Sluice__V1__Assignment *a,
		 const struct placing *p, struct error *err)
{
	struct download what = { .fence = a->fence };

	return workspace_place(&from->transfer, from->cache, what, p, err);
}

/* "seed=1,lr=0.1": any one entry of a directory. */
static bool is_entry(const char *key)
{
	return *key && *key != '.' && !strchr(key, '/') && strlen(key) < 256;
}

static int place_input(const struct workspace_from *from, const Sluice__V1__Assignment *a,
		       const Sluice__V1__ResolvedInput *input, const char *path, struct error *err)
{
	if (!name_valid(input->name))
		return error_set(err, ERR_INVALID, "'%.100s' is no name for an input", input->name);
	if (input->fan_in && mkdir(path, 0755) < 0)
		return error_errno(err, "creating '%s'", path);
	for (size_t i = 0; i < input->n_artifacts; i++) {
		const Sluice__V1__ResolvedArtifact *artifact = input->artifacts[i];
		cleanup(freep) char *at =
			input->fan_in ? path_join(path, artifact->key) : xstrdup(path);

		if (input->fan_in && !is_entry(artifact->key))
			return error_set(err, ERR_INVALID,
					 "input '%s': '%.100s' is no name for a file", input->name,
					 artifact->key);
		if (place(from, a, &(struct placing){ artifact->digest, at, artifact->is_file },
			  err) < 0)
			return error_wrap(err, "input '%s'", input->name);
	}
	return 0;
}

static int place_all(const struct workspace_from *from, const Sluice__V1__Assignment *a,
		     struct workspace *ws, struct error *err)
{
	cleanup(freep) char *in = path_join(ws->root, "in");
	cleanup(freep) char *release = path_join(ws->root, "release");

	if (*a->source && place(from, a, &(struct placing){ a->source, ws->dir, false }, err) < 0)
		return error_wrap(err, "the source tree");
	if (a->n_inputs && mkdir(in, 0755) < 0)
		return error_errno(err, "creating '%s'", in);
	for (size_t i = 0; i < a->n_inputs; i++) {
		cleanup(freep) char *path = path_join(in, a->inputs[i]->name);

		if (place_input(from, a, a->inputs[i], path, err) < 0)
			return -1;
	}
	if (a->release && mkdir(release, 0755) < 0)
		return error_errno(err, "creating '%s'", release);
	for (size_t i = 0; a->release && i < a->release->n_parts; i++) {
		const Sluice__V1__ReleasePart *part = a->release->parts[i];
		cleanup(freep) char *path = path_join(release, part->slot);

		if (!name_valid(part->slot))
			return error_set(err, ERR_INVALID, "'%.100s' is no name for a part",
					 part->slot);
		if (place(from, a, &(struct placing){ part->digest, path, part->is_file }, err) < 0)
			return error_wrap(err, "release part '%s'", part->slot);
	}
	return 0;
}

/* ---- the environment ---- */

static void env_of_job(struct workspace *ws, const Sluice__V1__Assignment *a)
{
	for (size_t i = 0; i < a->n_params; i++)
		env_add_as(ws, "PARAM", a->params[i]->name, a->params[i]->value);
	for (size_t i = 0; i < a->spec->n_matrix; i++)
		env_add_as(ws, "MATRIX", a->spec->matrix[i]->name, a->spec->matrix[i]->value);
	for (size_t i = 0; i < a->n_inputs; i++) {
		cleanup(freep) char *path = xprintf("%s/in/%s", ws->root, a->inputs[i]->name);

		env_add_as(ws, "INPUT", a->inputs[i]->name, path);
	}
	for (size_t i = 0; i < a->spec->n_outputs; i++) {
		cleanup(freep) char *path = path_join(ws->dir, a->spec->outputs[i]->path);

		env_add_as(ws, "OUTPUT", a->spec->outputs[i]->name, path);
	}
	for (size_t i = 0; i < a->spec->n_env; i++)
		env_add(ws, a->spec->env[i]->name, a->spec->env[i]->value);
}

static void env_of_sluice(struct workspace *ws, const Sluice__V1__Assignment *a)
{
	cleanup(freep) char *run = xprintf("%u", a->run_number);
	cleanup(freep) char *attempt = xprintf("%u", a->attempt);
	cleanup(freep) char *gpus = xprintf("%zu", a->n_gpus);
	cleanup(buf_release) struct buf devices = { 0 }, endpoints = { 0 };

	env_add(ws, "SLUICE_RUN", run);
	env_add(ws, "SLUICE_PIPELINE", a->pipeline);
	env_add(ws, "SLUICE_JOB", a->spec->name);
	env_add(ws, "SLUICE_ATTEMPT", attempt);
	for (size_t i = 0; i < a->n_gpus; i++)
		buf_printf(&devices, "%s%u", i ? "," : "", a->gpus[i]);
	env_add(ws, "SLUICE_GPUS", gpus);
	env_add(ws, "CUDA_VISIBLE_DEVICES", buf_str(&devices));
	env_add(ws, "CUDA_DEVICE_ORDER", "PCI_BUS_ID"); /* as NVML counts them */
	if (*a->spec->metrics) {
		cleanup(freep) char *path = path_join(ws->dir, a->spec->metrics);

		env_add(ws, "SLUICE_METRICS", path);
	}
	if (*a->environment)
		env_add(ws, "SLUICE_ENVIRONMENT", a->environment);
	if (a->release) {
		cleanup(freep) char *number = xprintf("r%u", a->release->number);
		cleanup(freep) char *path = path_join(ws->root, "release");

		env_add(ws, "SLUICE_RELEASE", number);
		env_add(ws, "SLUICE_RELEASE_DIR", path);
		for (size_t i = 0; i < a->n_endpoints; i++)
			buf_printf(&endpoints, "%s%s", i ? "," : "", a->endpoints[i]);
		env_add(ws, "SLUICE_ENDPOINTS", buf_str(&endpoints));
	}
}

static void env_of_host(struct workspace *ws)
{
	static const char *const passed[] = { "PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH" };
	cleanup(freep) char *home = path_join(ws->root, "home");
	cleanup(freep) char *tmp = path_join(ws->root, "tmp");

	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		if (getenv(passed[i]))
			env_add(ws, passed[i], getenv(passed[i]));
	if (!getenv("PATH"))
		env_add(ws, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	env_add(ws, "HOME", home);
	env_add(ws, "TMPDIR", tmp);
	env_add(ws, "CI", "true");
	env_add(ws, "SLUICE", "true");
}

/* ---- the whole ---- */

struct workspace *workspace_reopen(const struct workspace_from *from,
				   const Sluice__V1__Assignment *a)
{
	struct workspace *ws = xcalloc(1, sizeof *ws);

	ws->root = xprintf("%s/%" PRIu64, from->work_dir, a->fence);
	ws->dir = path_join(ws->root, !*a->source && has_code(a) ? "release/code" : "src");
	env_of_host(ws);
	env_of_job(ws, a);
	env_of_sluice(ws, a); /* the last of two counts */
	return ws;
}

/* All beneath the workspace is its job's, the working directory, too: a link in its place must not
 * lead us, who may read more than the job, to where the job wants us. */
int workspace_open_dir(const struct workspace *ws, struct error *err)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	const char *name = ws->dir + strlen(ws->root);
	cleanup(closep) int root = open(ws->root, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fd = -1;

	name += strspn(name, "/");
	if (root >= 0)
		fd = (int)syscall(SYS_openat2, root, *name ? name : ".", &how, sizeof how);
	if (fd >= 0)
		return fd;
	if (errno == ELOOP || errno == ENOTDIR)
		return error_set(err, ERR_INVALID, "the job replaced its directory '%s'", ws->dir);
	return error_errno(err, "opening '%s'", ws->dir);
}

static _Thread_local uid_t owner_uid; /* nftw() takes no argument, and runs own() on our thread */
static _Thread_local gid_t owner_gid;

static int own(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return lchown(path, owner_uid, owner_gid);
}

int workspace_give(const char *root, uid_t uid, gid_t gid, struct error *err)
{
	if (!uid)
		return 0;
	owner_uid = uid;
	owner_gid = gid;
	if (nftw(root, own, 16, FTW_PHYS) != 0)
		return error_errno(err, "giving '%s' to the job's user", root);
	return 0;
}

/* The directories; `src` only where no tree becomes it. */
static int make_dirs(const struct workspace *ws, bool with_src, struct error *err)
{
	if (mkdir(ws->root, 0700) < 0)
		return error_errno(err, "creating '%s'", ws->root);
	for (const struct spares_dir *d = spares_dirs; d->name; d++) {
		cleanup(freep) char *path = path_join(ws->root, d->name);

		if (!with_src && strcmp(d->name, "src") == 0)
			continue;
		if (mkdir(path, d->mode) < 0)
			return error_errno(err, "creating '%s'", path);
	}
	return 0;
}

/* A user that no other workspace has. Spare ones give theirs when there is no other. */
static int take_owner(const struct workspace_from *from, struct workspace *ws, struct error *err)
{
	struct error why = { 0 };

	while (owners_take(from->owners, &ws->uid, &why) < 0) {
		if (!from->spares || !spares_drop(from->spares))
			return *err = why, -1;
		error_clear(&why);
	}
	return 0;
}

static int make(const struct workspace_from *from, const Sluice__V1__Assignment *a,
		struct workspace *ws, struct error *err)
{
	bool with_src = !*a->source && !has_code(a);
	bool spare = with_src && from->spares && spares_take(from->spares, ws->root, &ws->uid);

	ws->gid = owners_gid(from->owners);
	if (!spare && (take_owner(from, ws, err) < 0 || make_dirs(ws, with_src, err) < 0))
		return -1;
	if (place_all(from, a, ws, err) < 0)
		return -1;
	if (spare && !a->n_inputs && !a->release)
		return 0; /* it is the job's user's already */
	return workspace_give(ws->root, ws->uid, ws->gid, err);
}

/* Its user is free only when nothing of it is left. */
static int discard(const struct workspace_from *from, const char *path, uid_t uid,
		   struct error *err)
{
	if (file_remove_tree(path, err) < 0)
		return -1;
	owners_return(from->owners, uid);
	return 0;
}

struct workspace *workspace_new(const struct workspace_from *from, const Sluice__V1__Assignment *a,
				struct error *err)
{
	cleanup(workspace_freep) struct workspace *ws = workspace_reopen(from, a);
	struct stat st;

	/* What a crash left of it, whoever it was of. */
	if (lstat(ws->root, &st) == 0 && discard(from, ws->root, st.st_uid, err) < 0)
		return NULL;
	if (make(from, a, ws, err) < 0) {
		discard(from, ws->root, ws->uid, NULL);
		return NULL;
	}
	return steal(ws);
}

int workspace_discard(const struct workspace_from *from, const char *path, struct error *err)
{
	struct stat st;

	if (from->spares && spares_keep(from->spares, path))
		return 0;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : error_errno(err, "removing '%s'", path);
	return discard(from, path, st.st_uid, err);
}

void workspace_free(struct workspace *ws)
{
	if (!ws)
		return;
	for (size_t i = 0; i < ws->n_env; i++)
		free(ws->env[i]);
	free(ws->env);
	free(ws->root);
	free(ws->dir);
	free(ws);
}
