/*
 * Services. The log of one is a row of segments, each a log like any other but for its name, which
 * holds the offset where it begins. When the last one is full it is synced, is over, and the next
 * begins: so all that stands before the last is durable, and a crash needs no word about segments
 * but their files. Output that never came leaves a gap between two of them.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "controller/logs/private.h"

#define OFFSET_MAX (UINT64_MAX / 4)

void segment_name(const struct service *s, uint64_t start, char ret[LOG_NAME_SIZE])
{
	if (start)
		snprintf(ret, LOG_NAME_SIZE, "%s@%" PRIu64, s->name, start);
	else
		snprintf(ret, LOG_NAME_SIZE, "%s", s->name);
}

void service_free(struct service *s)
{
	free(s->name);
	free(s->segments);
	free(s);
}

static void add_segment(struct service *s, uint64_t start, uint64_t kept)
{
	s->segments = xreallocarray(s->segments, s->n + 1, sizeof *s->segments);
	s->segments[s->n++] = (struct segment){ start, kept };
}

/* ---- what is on the disk ---- */

/* "<agent>.log" begins at 0, "<agent>@<start>.log" there; false: it is none of a log. */
static bool parse_file(const char *file, size_t *ret_agent_len, uint64_t *ret_start)
{
	size_t len = strcspn(file, "@");
	const char *suffix = file + len;
	char *end;

	*ret_start = 0;
	if (*suffix == '@') {
		*ret_start = strtoull(suffix + 1, &end, 10);
		suffix = end;
	} else if (len > strlen(".log")) {
		len -= strlen(".log");
		suffix = file + len;
	}
	*ret_agent_len = len;
	return len && strcmp(suffix, ".log") == 0;
}

static int by_start(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static int find_segments(struct logbook *b, struct service *s, struct error *err)
{
	const char *agent = strrchr(s->name, '/') + 1;
	cleanup(freep) char *dir = xprintf("%s/%.*s", b->dir, (int)(agent - 1 - s->name), s->name);
	struct dirent *entry;
	DIR *d = opendir(dir);

	if (!d && errno != ENOENT)
		return error_errno(err, "opening '%s'", dir);
	while (d && (entry = readdir(d))) {
		cleanup(freep) char *path = path_join(dir, entry->d_name);
		uint64_t start;
		struct stat st;
		size_t len;

		if (parse_file(entry->d_name, &len, &start) && len == strlen(agent) &&
		    memcmp(entry->d_name, agent, len) == 0 && stat(path, &st) == 0)
			add_segment(s, start, (uint64_t)st.st_size);
	}
	if (d)
		closedir(d);
	if (!s->n)
		add_segment(s, 0, 0);
	qsort(s->segments, s->n, sizeof *s->segments, by_start);
	s->segments[s->n - 1].kept = 0;
	return 0;
}

struct service *service_of(struct logbook *b, const char *name, struct error *err)
{
	struct service *found, *made;

	lock_take(&b->lock);
	HASH_FIND(hh, b->services, name, strlen(name), found);
	lock_drop(&b->lock);
	if (found)
		return found;
	made = xcalloc(1, sizeof *made);
	made->name = xstrdup(name);
	if (find_segments(b, made, err) < 0) {
		service_free(made);
		return NULL;
	}
	lock_take(&b->lock);
	HASH_FIND(hh, b->services, name, strlen(name), found);
	if (!found)
		HASH_ADD_KEYPTR(hh, b->services, made->name, strlen(made->name), made);
	lock_drop(&b->lock);
	if (found)
		service_free(made);
	return found ? found : made;
}

/* ---- where things are ---- */

bool segment_is_last_locked(const struct service *s, uint64_t start)
{
	return s->segments[s->n - 1].start == start;
}

uint64_t segment_for_locked(const struct service *s, uint64_t *offset)
{
	size_t i = s->n - 1;

	while (i > 0 && s->segments[i].start > *offset)
		i--;
	if (i + 1 < s->n && *offset >= s->segments[i].start + s->segments[i].kept)
		i++;
	*offset = MAX(*offset, s->segments[i].start);
	return s->segments[i].start;
}

/* The last segment, held. */
static struct log *hold_last(struct logbook *b, struct service *s, uint64_t *ret_start,
			     struct error *err)
{
	for (;;) {
		char name[LOG_NAME_SIZE];
		struct log *log;
		bool last;

		lock_take(&b->lock);
		*ret_start = s->segments[s->n - 1].start;
		lock_drop(&b->lock);
		segment_name(s, *ret_start, name);
		log = log_hold(b, name, err);
		if (!log)
			return NULL;
		lock_take(&b->lock);
		last = segment_is_last_locked(s, *ret_start);
		if (!last)
			log_let_go_locked(b, log);
		lock_drop(&b->lock);
		if (last)
			return log;
	}
}

/* ---- a new segment, and the end of the oldest ---- */

static uint64_t segment_size(const struct logbook *b)
{
	return MAX(b->service_bytes / SEGMENTS, (uint64_t)SEGMENT_LEAST);
}

static void remove_segment(struct logbook *b, const char *name)
{
	cleanup(freep) char *log = log_path(b, name, ".log");
	cleanup(freep) char *index = log_path(b, name, ".idx");

	unlink(log);
	unlink(index);
}

/* Takes the oldest off when more is kept than should be. */
static bool take_oldest(struct logbook *b, struct service *s, uint64_t *ret_start)
{
	uint64_t kept = segment_size(b); /* the last will be full, too */
	LOCKED(&b->lock);

	for (size_t i = 0; i + 1 < s->n; i++)
		kept += s->segments[i].kept;
	if (s->n == 1 || (kept <= b->service_bytes && s->n <= SEGMENTS_MAX))
		return false;
	*ret_start = s->segments[0].start;
	s->n--;
	memmove(s->segments, s->segments + 1, s->n * sizeof *s->segments);
	return true;
}

/* What cannot be removed is found again at the next start. */
static void trim(struct logbook *b, struct service *s)
{
	uint64_t start;

	while (take_oldest(b, s, &start)) {
		char name[LOG_NAME_SIZE];

		segment_name(s, start, name);
		if (!log_is_known(b, name) || logbook_forget(b, NULL) == 0)
			remove_segment(b, name);
	}
}

/* The held last segment, which begins at `start`, is over; the next one begins at `next`. It is let
 * go. */
static int begin_segment(struct logbook *b, struct service *s, struct log *log, uint64_t next,
			 struct error *err)
{
	int r;

	lock_take(&b->lock);
	r = log_sync_locked(b, log, log->end, err);
	if (r == 0) {
		s->segments[s->n - 1].kept = log->end;
		add_segment(s, next, 0);
		log_finish_locked(b, log, log->end);
	}
	log_let_go_locked(b, log);
	lock_drop(&b->lock);
	if (r == 0)
		trim(b, s);
	return r;
}

/* ---- for writers ---- */

int service_append(struct logbook *b, struct service *s, const struct piece *p, uint64_t *ret_end,
		   struct error *err)
{
	struct piece rest = *p;
	struct log *log;
	uint64_t start, known;
	int r;

	if (p->offset > OFFSET_MAX)
		return error_set(err, ERR_INVALID, "no log has a byte %" PRIu64, p->offset);
	log = hold_last(b, s, &start, err);
	if (log && log->end >= segment_size(b) && p->offset + p->len > start + log->end) {
		if (begin_segment(b, s, log, start + log->end, err) < 0)
			return -1;
		log = hold_last(b, s, &start, err);
	}
	if (!log)
		return -1;
	/* what stands before this segment was durable when it began */
	known = start > p->offset ? MIN(start - p->offset, (uint64_t)p->len) : 0;
	rest.data += known;
	rest.len -= known;
	rest.offset = MAX(p->offset, start) - start;
	rest.limit = OFFSET_MAX;
	r = rest.len ? log_append(b, log, &rest, err) : 0;
	log_appended(b, log, r, ret_end);
	*ret_end += start;
	return r;
}

int logbook_skip(struct logbook *b, const struct log_key *key, uint64_t offset, struct error *err)
{
	char name[LOG_NAME_SIZE];
	struct service *s;
	struct log *log;
	uint64_t start;

	assert(!*key->run);
	if (log_name(key, name, err) < 0)
		return -1;
	if (offset > OFFSET_MAX)
		return error_set(err, ERR_INVALID, "no log has a byte %" PRIu64, offset);
	s = service_of(b, name, err);
	log = s ? hold_last(b, s, &start, err) : NULL;
	if (!log)
		return -1;
	if (offset > start + log->end)
		return begin_segment(b, s, log, offset, err);
	log_let_go(b, log);
	return 0;
}

void logbook_keep(struct logbook *b, uint64_t service_bytes)
{
	LOCKED(&b->lock);
	b->service_bytes = service_bytes;
}

/* ---- expiry ---- */

/* Last written before: that of the last segment is gone, too, if nobody has it in memory, but where
 * it ended is where the next one begins. */
static bool take_old(struct logbook *b, struct service *s, int64_t before_wall_ms,
		     char ret_name[LOG_NAME_SIZE])
{
	cleanup(freep) char *path = NULL;
	uint64_t start;
	struct stat st;
	bool last;

	lock_take(&b->lock);
	start = s->segments[0].start;
	last = s->n == 1;
	lock_drop(&b->lock);
	segment_name(s, start, ret_name);
	path = log_path(b, ret_name, ".log");
	if (stat(path, &st) < 0)
		st = (struct stat){ 0 };
	if ((int64_t)st.st_mtim.tv_sec * 1000 >= before_wall_ms || (last && !st.st_size))
		return false;
	LOCKED(&b->lock);
	if (s->segments[0].start != start || log_find_locked(b, ret_name))
		return false;
	if (s->n == 1)
		add_segment(s, start + (uint64_t)st.st_size, 0);
	s->n--;
	memmove(s->segments, s->segments + 1, s->n * sizeof *s->segments);
	return true;
}

static int expire_environment(struct logbook *b, const char *environment, int64_t before_wall_ms,
			      uint64_t *removed, struct error *err)
{
	cleanup(freep) char *dir = xprintf("%s/env/%s", b->dir, environment);
	struct dirent *entry;
	DIR *d = opendir(dir);

	if (!d)
		return errno == ENOTDIR ? 0 : error_errno(err, "opening '%s'", dir);
	while ((entry = readdir(d))) {
		char name[LOG_NAME_SIZE];
		struct service *s;
		uint64_t start;
		size_t len;

		if (!parse_file(entry->d_name, &len, &start) || len > 128)
			continue;
		snprintf(name, sizeof name, "env/%.128s/%.*s", environment, (int)len,
			 entry->d_name);
		s = service_of(b, name, err);
		while (s && take_old(b, s, before_wall_ms, name)) {
			remove_segment(b, name);
			++*removed;
		}
	}
	closedir(d);
	return 0;
}

int services_expire(struct logbook *b, int64_t before_wall_ms, uint64_t *removed, struct error *err)
{
	cleanup(freep) char *dir = path_join(b->dir, "env");
	struct dirent *entry;
	DIR *d = opendir(dir);
	int r = 0;

	if (!d)
		return errno == ENOENT ? 0 : error_errno(err, "opening '%s'", dir);
	while (r == 0 && (entry = readdir(d)))
		if (name_valid(entry->d_name))
			r = expire_environment(b, entry->d_name, before_wall_ms, removed, err);
	closedir(d);
	return r;
}
