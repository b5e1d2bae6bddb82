/*
 * Stored things by what people write: "318", "#318", "r57", an id, a digest, "m:4c1e",
 * "318/evaluate/best", "transactions@12". Indexed reads, but for short digests and old versions of
 * a published name, which look at the newest rows only.
 */
#include "controller/api/private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/suggest.h"
#include "crypto/digest.h"

enum { SCANNED = 20000 }; /* newest rows that a search looks at */

/* "318" behind an optional prefix; 0: it is no number. */
static uint64_t number_of(const char *text, const char *prefixes)
{
	char *end;
	unsigned long long n;

	if (*text && strchr(prefixes, *text))
		text++;
	if (*text < '1' || *text > '9')
		return 0;
	errno = 0;
	n = strtoull(text, &end, 10);
	return errno || *end ? 0 : n;
}

static int newest(struct store_reader *r, enum row_kind kind, const struct row_filter *like,
		  struct arena *a, ProtobufCMessage **ret, struct error *err)
{
	struct row_filter filter = *like;
	struct row_page page;

	filter.limit = 1;
	filter.after = "";
	if (reader_list(r, kind, &filter, a, &page, err) < 0)
		return -1;
	if (!page.count)
		return 0;
	*ret = page.messages[0];
	return 1;
}

/* A person who names no run means the pipeline's, not a verification that began by itself. */
static int newest_run(struct store_reader *r, struct arena *a, ProtobufCMessage **ret,
		      struct error *err)
{
	struct row_filter filter = { .limit = 20, .after = "" };
	struct row_page page;

	for (int seen = 0; seen < SCANNED; seen += filter.limit) {
		if (reader_list(r, ROW_RUN, &filter, a, &page, err) < 0)
			return -1;
		for (size_t i = 0; i < page.count; i++)
			if (((Sluice__V1__Run *)page.messages[i])->kind !=
			    SLUICE__V1__RUN__KIND__VERIFY) {
				*ret = page.messages[i];
				return 1;
			}
		if (!*page.next)
			break;
		filter.after = page.next;
	}
	return 0;
}

Sluice__V1__Run *find_run(struct store_reader *r, const char *text, struct arena *a,
			  struct error *err)
{
	uint64_t number = number_of(text, "#");
	ProtobufCMessage *m = NULL;
	int found;

	if (!*text)
		found = newest_run(r, a, &m, err);
	else if (number)
		found = reader_by_number(r, ROW_RUN, number, a, &m, err);
	else
		found = reader_get(r, ROW_RUN, text, a, &m, err);
	if (found < 0)
		return NULL;
	if (!found && !*text)
		return error_id(err, "E0204", "there is no run yet"),
		       error_hint(err, "sluice submit . begins one"), NULL;
	if (!found)
		return error_id(err, "E0204", "there is no run '%s'", text),
		       error_hint(err, "sluice runs ls shows what there is"), NULL;
	return (Sluice__V1__Run *)m;
}

Sluice__V1__Job *find_job(struct store_reader *r, const Sluice__V1__Run *run, const char *name,
			  struct arena *a, struct error *err)
{
	struct row_filter filter = { .parent = run->id,
				     .key = *name ? name : NULL,
				     .limit = 2,
				     .oldest_first = true,
				     .after = "" };
	struct row_page page;

	if (reader_list(r, ROW_JOB, &filter, a, &page, err) < 0)
		return NULL;
	if (!page.count)
		return error_id(err, "E0204", "run %u has no job '%s'", run->number, name),
		       error_hint(err, "sluice runs show %u --jobs lists its jobs", run->number),
		       NULL;
	if (page.count > 1)
		return error_set(err, ERR_INVALID, "run %u has several jobs: name one",
				 run->number),
		       error_hint(err, "sluice runs show %u lists its jobs", run->number), NULL;
	return (Sluice__V1__Job *)page.messages[0];
}

Sluice__V1__Attempt *find_attempt(struct store_reader *r, const Sluice__V1__Job *job,
				  uint32_t number, struct arena *a, struct error *err)
{
	struct row_filter filter = { .parent = job->id, .limit = 1000, .after = "" };
	struct row_page page;

	if (reader_list(r, ROW_ATTEMPT, &filter, a, &page, err) < 0)
		return NULL;
	for (size_t i = 0; i < page.count; i++) {
		Sluice__V1__Attempt *attempt = (Sluice__V1__Attempt *)page.messages[i];

		if (!number || attempt->number == number)
			return attempt;
	}
	if (number)
		error_id(err, "E0204", "job '%s' of run %u has no attempt %u", job->spec->name,
			 job->run_number, number);
	return NULL;
}

Sluice__V1__Release *find_release(struct store_reader *r, const char *text, struct arena *a,
				  struct error *err)
{
	uint64_t number = number_of(text, "r");
	ProtobufCMessage *m = NULL;
	int found;

	if (number)
		found = reader_by_number(r, ROW_RELEASE, number, a, &m, err);
	else if (strncmp(text, "sha256:", 7) == 0)
		found = newest(r, ROW_RELEASE, &(struct row_filter){ .key = text }, a, &m, err);
	else
		found = reader_get(r, ROW_RELEASE, text, a, &m, err);
	if (found < 0)
		return NULL;
	if (!found)
		return error_id(err, "E0204", "there is no release '%s'", text),
		       error_hint(err, "sluice releases ls shows what there is"), NULL;
	return (Sluice__V1__Release *)m;
}

/* ---- artifacts ---- */

static Sluice__V1__Artifact *no_artifact(const char *text, struct error *err)
{
	error_id(err, "E0204", "there is no artifact '%s'", text);
	error_hint(err, "sluice artifacts ls shows what there is");
	return NULL;
}

Sluice__V1__Artifact *find_artifact_by_digest(struct store_reader *r, const char *digest,
					      struct arena *a, struct error *err)
{
	ProtobufCMessage *m = NULL;
	int found = newest(r, ROW_ARTIFACT, &(struct row_filter){ .key = digest }, a, &m, err);

	return found > 0 ? (Sluice__V1__Artifact *)m : found < 0 ? NULL : no_artifact(digest, err);
}

/* Newest first, among the last SCANNED rows. */
static Sluice__V1__Artifact *scan(struct store_reader *r, struct arena *a,
				  bool (*is_it)(const Sluice__V1__Artifact *, const void *),
				  const void *arg, struct error *err)
{
	struct row_filter filter = { .limit = 1000, .after = "" };
	struct row_page page;

	for (int seen = 0; seen < SCANNED; seen += 1000) {
		if (reader_list(r, ROW_ARTIFACT, &filter, a, &page, err) < 0)
			return NULL;
		for (size_t i = 0; i < page.count; i++)
			if (is_it((Sluice__V1__Artifact *)page.messages[i], arg))
				return (Sluice__V1__Artifact *)page.messages[i];
		if (!*page.next)
			break;
		filter.after = page.next;
	}
	return NULL;
}

static bool begins(const Sluice__V1__Artifact *artifact, const void *hex)
{
	return strncmp(artifact->digest + 7, hex, strlen(hex)) == 0;
}

struct version {
	const char *name;
	uint64_t number;
};

static bool is_version(const Sluice__V1__Artifact *artifact, const void *arg)
{
	const struct version *v = arg;

	return artifact->version == v->number && strcmp(artifact->published, v->name) == 0;
}

static Sluice__V1__Artifact *by_version(struct store_reader *r, const char *text, const char *at,
					struct arena *a, struct error *err)
{
	const char *name = arena_strndup(a, text, (size_t)(at - text));
	struct version v = { .name = name, .number = number_of(at + 1, "v") };
	ProtobufCMessage *m = NULL;
	int found = reader_get(r, ROW_PUBLISHED, name, a, &m, err);

	if (found <= 0)
		return found < 0 ? NULL : no_artifact(text, err);
	if (strcmp(at + 1, "latest") == 0 || v.number == ((Sluice__V1__PublishedRow *)m)->version) {
		const char *id = ((Sluice__V1__PublishedRow *)m)->artifact_id;

		found = reader_get(r, ROW_ARTIFACT, id, a, &m, err);
		return found > 0 ? (Sluice__V1__Artifact *)m : no_artifact(text, err);
	}
	return scan(r, a, is_version, &v, err) ?: err->code ? NULL : no_artifact(text, err);
}

static Sluice__V1__Artifact *no_output(const Sluice__V1__Run *run, const Sluice__V1__Job *job,
				       const char *name, struct arena *a, struct error *err)
{
	struct suggest near = suggest_new(name);
	const char *all = "";

	for (size_t i = 0; i < job->n_outputs; i++) {
		suggest_offer(&near, job->outputs[i]->name);
		all = arena_printf(a, "%s%s%s", all, i ? ", " : "", job->outputs[i]->name);
	}
	error_id(err, "E0204", "'%s' of run %u has no output '%s'", job->spec->name, run->number,
		 name);
	if (near.best)
		error_hint(err, "did you mean `%s`?", near.best);
	else if (*all)
		error_hint(err, "it has: %s", all);
	else
		error_hint(err, "it has none%s", job->finished_ms ? "" : " yet");
	return NULL;
}

/* "318/train[seed=1]/model" */
static Sluice__V1__Artifact *by_path(struct store_reader *r, const char *text, struct arena *a,
				     struct error *err)
{
	const char *first = strchr(text, '/'), *last = strrchr(text, '/');
	Sluice__V1__Run *run;
	Sluice__V1__Job *job;
	ProtobufCMessage *m = NULL;

	if (first == last)
		return error_set(err, ERR_INVALID, "'%s' is not RUN/JOB/OUTPUT", text), NULL;
	run = find_run(r, arena_strndup(a, text, (size_t)(first - text)), a, err);
	if (!run)
		return NULL;
	job = find_job(r, run, arena_strndup(a, first + 1, (size_t)(last - first - 1)), a, err);
	if (!job)
		return NULL;
	for (size_t i = 0; i < job->n_outputs; i++)
		if (strcmp(job->outputs[i]->name, last + 1) == 0 &&
		    reader_get(r, ROW_ARTIFACT, job->outputs[i]->artifact_id, a, &m, err) > 0)
			return (Sluice__V1__Artifact *)m;
	if (strcmp(last + 1, "report") == 0 && *job->report)
		return find_artifact_by_digest(r, job->report, a, err);
	return err->code ? NULL : no_output(run, job, last + 1, a, err);
}

Sluice__V1__Artifact *find_artifact(struct store_reader *r, const char *text, struct arena *a,
				    struct error *err)
{
	const char *at = strrchr(text, '@'), *colon = strchr(text, ':');
	ProtobufCMessage *m = NULL;
	int found;

	if (strncmp(text, "sha256:", 7) == 0 && strlen(text) == DIGEST_TEXT_SIZE - 1)
		return find_artifact_by_digest(r, text, a, err);
	if (strchr(text, '/'))
		return by_path(r, text, a, err);
	if (at && at > text)
		return by_version(r, text, at, a, err);
	found = reader_get(r, ROW_ARTIFACT, text, a, &m, err);
	if (found)
		return found < 0 ? NULL : (Sluice__V1__Artifact *)m;
	if (colon && strlen(colon + 1) >= 4)
		m = (ProtobufCMessage *)scan(r, a, begins, colon + 1, err);
	return m ? (Sluice__V1__Artifact *)m : err->code ? NULL : no_artifact(text, err);
}
