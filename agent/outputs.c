/*
 * Outputs. Everything a job wrote is foreign: sizes are bounded, links are not followed out of the
 * workspace.
 */
#include "agent/outputs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "proto/message.h"

static int open_beneath(int dir, const char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

/* The real path of `path` beneath the working directory, on the heap. */
static char *resolve(const struct workspace *ws, const char *path, struct stat *ret_st,
		     struct error *err)
{
	char link[64], real[4096];
	int dir = workspace_open_dir(ws, err), fd;
	ssize_t n = -1;

	if (dir < 0)
		return NULL;
	fd = open_beneath(dir, path);
	closep(&dir);
	if (fd < 0 && errno == EXDEV)
		return error_set(err, ERR_INVALID, "'%s' leads out of the workspace", path), NULL;
	if (fd < 0 && errno == ELOOP)
		return error_set(err, ERR_INVALID, "'%s' is a link that leads nowhere", path), NULL;
	if (fd < 0 && errno == ENOTDIR)
		return error_set(err, ERR_NOT_FOUND, "'%s': there is a file in its way", path),
		       NULL;
	if (fd < 0)
		return error_errno(err, "'%s'", path), NULL;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	if (fstat(fd, ret_st) == 0)
		n = readlink(link, real, sizeof real - 1);
	closep(&fd);
	if (n < 0)
		return error_errno(err, "'%s'", path), NULL;
	real[n] = '\0';
	return xstrdup(real);
}

/* A FIFO would keep us waiting for ever. */
static int must_be_file(const char *path, const struct stat *st, struct error *err)
{
	if (S_ISREG(st->st_mode))
		return 0;
	return error_set(err, ERR_INVALID, "'%s' is no file", path);
}

/* ---- descriptions of data ---- */

/* "2026-11-23", "2026-11-23T15:04:05Z", "...+01:00" as Unix milliseconds; 0: not a time. */
static int64_t parse_time(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%d", &tm);
	int64_t offset = 0;
	int hours, minutes;

	if (!rest)
		return 0;
	if (*rest == 'T' || *rest == ' ') {
		rest = strptime(rest + 1, "%H:%M:%S", &tm);
		if (!rest)
			return 0;
		if (*rest == '.')
			rest += 1 + strspn(rest + 1, "0123456789");
		if ((*rest == '+' || *rest == '-') &&
		    sscanf(rest + 1, "%2d:%2d", &hours, &minutes) == 2 && hours >= 0 &&
		    hours <= 14 && minutes >= 0 && minutes < 60 && strlen(rest) == 6)
			offset = (*rest == '+' ? 1 : -1) * (hours * 60 + minutes) * 60;
		else if (*rest && strcmp(rest, "Z") != 0)
			return 0;
	} else if (*rest) {
		return 0;
	}
	return ((int64_t)timegm(&tm) - offset) * 1000;
}

static char *json_text(const json_t *value)
{
	if (json_is_string(value))
		return xstrdup(json_string_value(value));
	if (json_is_integer(value))
		return xprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
	if (json_is_real(value))
		return number_format(json_real_value(value), xmalloc(CLOCK_TEXT));
	if (json_is_boolean(value))
		return xstrdup(json_is_true(value) ? "true" : "false");
	return NULL;
}

struct meta {
	Sluice__V1__Variable **pairs;
	size_t n_pairs;
	int64_t data_until_ms, produced_at_ms;
};

static void meta_release(struct meta *m)
{
	for (size_t i = 0; i < m->n_pairs; i++)
		message_free(m->pairs[i]);
	free(m->pairs);
}

static int meta_take(struct meta *m, const char *key, const json_t *value, struct error *err)
{
	cleanup(freep) char *text = json_text(value);
	Sluice__V1__Variable *pair;
	int64_t *time = strcmp(key, "data_until") == 0	  ? &m->data_until_ms
			: strcmp(key, "produced_at") == 0 ? &m->produced_at_ms
							  : NULL;

	if (!text)
		return error_set(err, ERR_INVALID, "'%s' is neither text nor a number", key);
	if (time && !(*time = parse_time(text)))
		return error_set(err, ERR_INVALID,
				 "'%s' is '%s', not a time like 2026-11-23T15:04:05Z", key, text);
	pair = message_new(&sluice__v1__variable__descriptor);
	message_set_string(&pair->name, key);
	message_set_string(&pair->value, text);
	m->pairs = xreallocarray(m->pairs, m->n_pairs + 1, sizeof *m->pairs);
	m->pairs[m->n_pairs++] = pair;
	return 0;
}

static int meta_read(const struct workspace *ws, const char *path, struct meta *ret,
		     struct error *err)
{
	cleanup(buf_release) struct buf text = { 0 };
	cleanup(freep) char *real = NULL;
	struct stat st;
	json_error_t where;
	json_t *object, *value;
	const char *key;
	int r = 0;

	real = resolve(ws, path, &st, err);
	if (!real || must_be_file(path, &st, err) < 0 ||
	    file_read(real, META_FILE_MAX, &text, err) < 0)
		return -1;
	object = json_loadb(buf_str(&text), text.len, JSON_REJECT_DUPLICATES, &where);
	if (!json_is_object(object)) {
		json_decref(object);
		return error_set(err, ERR_INVALID, "'%s' is not a JSON object: line %d: %s", path,
				 where.line, where.text);
	}
	json_object_foreach(object, key, value) if (r == 0) r = meta_take(ret, key, value, err);
	json_decref(object);
	return r < 0 ? error_wrap(err, "'%s'", path) : 0;
}

/* ---- artifacts ---- */

static const Sluice__V1__Artifact *upload_path(const struct transfer *t, const struct workspace *ws,
					       struct upload *what, const char *path,
					       struct arena *arena, struct error *err)
{
	cleanup(freep) char *real = NULL;
	struct stat st;

	real = resolve(ws, path, &st, err);
	if (!real)
		return NULL;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID, "'%s' is neither a file nor a directory", path),
		       NULL;
	if (what->kind == SLUICE__V1__ARTIFACT_KIND__REPORT && !S_ISREG(st.st_mode))
		return error_set(err, ERR_INVALID, "'%s' is a report, but not a file", path), NULL;
	what->is_file = S_ISREG(st.st_mode);
	what->content.media =
		what->kind == SLUICE__V1__ARTIFACT_KIND__REPORT ? MANIFEST_RAW : MANIFEST_TAR;
	what->content.tree.path = real;
	return transfer_upload(t, what, arena, NULL, err);
}

static int upload_output(const struct transfer *t, const struct workspace *ws, uint64_t fence,
			 const Sluice__V1__OutputSpec *spec, Sluice__V1__FinishedAttempt *ret,
			 struct error *err)
{
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	cleanup(meta_release) struct meta meta = { 0 };
	struct upload what = { .name = spec->name, .kind = spec->kind, .fence = fence };
	const Sluice__V1__Artifact *artifact;
	Sluice__V1__ProducedOutput *output;

	if (*spec->meta && meta_read(ws, spec->meta, &meta, err) < 0)
		return -1;
	what.meta = meta.pairs;
	what.n_meta = meta.n_pairs;
	what.data_until_ms = meta.data_until_ms;
	what.produced_at_ms = meta.produced_at_ms;
	artifact = upload_path(t, ws, &what, spec->path, arena, err);
	if (!artifact)
		return -1;
	output = message_new(&sluice__v1__produced_output__descriptor);
	message_set_string(&output->name, spec->name);
	message_set_string(&output->digest, artifact->digest);
	message_set_string(&output->artifact_id, artifact->id);
	output->size = artifact->size;
	output->kind = artifact->kind;
	output->is_file = artifact->is_file;
	message_append(ret, outputs, output);
	return 0;
}

static int upload_text(const struct transfer *t, const struct workspace *ws, uint64_t fence,
		       const char *name, const char *path, char **ret_digest, struct error *err)
{
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	struct upload what = { .name = name,
			       .kind = SLUICE__V1__ARTIFACT_KIND__REPORT,
			       .fence = fence };
	const Sluice__V1__Artifact *artifact = upload_path(t, ws, &what, path, arena, err);

	if (!artifact)
		return -1;
	message_set_string(ret_digest, artifact->digest);
	return 0;
}

int outputs_upload(const struct transfer *t, const struct workspace *ws,
		   const Sluice__V1__Assignment *a, Sluice__V1__FinishedAttempt *ret,
		   struct error *err)
{
	const Sluice__V1__JobSpec *spec = a->spec;

	for (size_t i = 0; i < spec->n_outputs; i++)
		if (upload_output(t, ws, a->fence, spec->outputs[i], ret, err) < 0)
			return error_wrap(err, "output '%s'", spec->outputs[i]->name);
	if (*spec->report &&
	    upload_text(t, ws, a->fence, "report", spec->report, &ret->report, err) < 0)
		return error_wrap(err, "report");
	if (spec->release && *spec->release->notes &&
	    upload_text(t, ws, a->fence, "notes", spec->release->notes, &ret->notes, err) < 0)
		return error_wrap(err, "release notes");
	return 0;
}
