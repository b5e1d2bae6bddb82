/*
 * The logs in memory: those that are written, read, or known to a journal that is in use. All
 * others are files only. A name is made of ids that were checked, so a path leaves no directory.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "controller/logs/private.h"

int log_name(const struct log_key *key, char ret[LOG_NAME_SIZE], struct error *err)
{
	if (*key->run) {
		if (!name_valid(key->run) || strcmp(key->run, "env") == 0)
			return error_set(err, ERR_INVALID, "'%.64s' is not the id of a run",
					 key->run);
		snprintf(ret, LOG_NAME_SIZE, "%s/%" PRIu64 ".%" PRIu32, key->run, key->fence,
			 key->stream);
		return 0;
	}
	if (!key->environment || !name_valid(key->environment))
		return error_set(err, ERR_INVALID, "'%.64s' is not the name of an environment",
				 key->environment ? key->environment : "");
	if (!key->agent || !name_valid(key->agent))
		return error_set(err, ERR_INVALID, "'%.64s' is not the id of an agent",
				 key->agent ? key->agent : "");
	snprintf(ret, LOG_NAME_SIZE, "env/%s/%s", key->environment, key->agent);
	return 0;
}

char *log_path(struct logbook *b, const char *name, const char *suffix)
{
	return xprintf("%s/%s%s", b->dir, name, suffix);
}

struct log *log_find_locked(struct logbook *b, const char *name)
{
	struct log *log;

	lock_assert_held(&b->lock);
	HASH_FIND(hh, b->logs, name, strlen(name), log);
	return log;
}

struct log *log_add_locked(struct logbook *b, const char *name)
{
	struct log *log = xcalloc(1, sizeof *log);

	lock_assert_held(&b->lock);
	log->name = xstrdup(name);
	log->fd = -1;
	log->finished = LOG_OPEN;
	list_init(&log->used);
	list_init(&log->dirty);
	list_init(&log->readers);
	HASH_ADD_KEYPTR(hh, b->logs, log->name, strlen(log->name), log);
	return log;
}

void log_close_file_locked(struct logbook *b, struct log *log)
{
	lock_assert_held(&b->lock);
	if (log->fd < 0)
		return;
	close(log->fd);
	log->fd = -1;
	list_remove(&log->used);
	b->n_files--;
}

void log_drop_unused_locked(struct logbook *b, struct log *log)
{
	lock_assert_held(&b->lock);
	if (log->holds || log->refs || log->in_journal || list_linked(&log->dirty))
		return;
	assert(!log->busy && list_empty(&log->readers));
	log_close_file_locked(b, log);
	HASH_DEL(b->logs, log);
	free(log->name);
	free(log);
}

/* A file that is read-only is durable to its last byte; of any other without a journal's word,
 * nothing was ever acknowledged. */
static int load(struct logbook *b, struct log *log, struct error *err)
{
	cleanup(freep) char *path = log_path(b, log->name, ".log");
	struct stat st;
	bool there;

	if (log->known)
		return 0;
	there = stat(path, &st) == 0;
	if (!there && errno != ENOENT)
		return error_errno(err, "looking at '%s'", path);
	lock_take(&b->lock);
	if (there && !(st.st_mode & S_IWUSR)) {
		log->sealed = true;
		log->end = log->durable = log->finished = (uint64_t)st.st_size;
	}
	log->known = true;
	lock_drop(&b->lock);
	return 0;
}

struct log *log_hold(struct logbook *b, const char *name, struct error *err)
{
	struct log *log;

	lock_take(&b->lock);
	log = log_find_locked(b, name);
	if (!log)
		log = log_add_locked(b, name);
	log->holds++;
	while (log->busy)
		signal_wait(&b->let_go, &b->lock);
	log->busy = true;
	lock_drop(&b->lock);
	if (load(b, log, err) == 0)
		return log;
	log_let_go(b, log);
	return NULL;
}

void log_let_go_locked(struct logbook *b, struct log *log)
{
	lock_assert_held(&b->lock);
	assert(log->busy && log->holds > 0);
	log->busy = false;
	if (--log->holds > 0)
		signal_all(&b->let_go);
	log_drop_unused_locked(b, log);
}

void log_let_go(struct logbook *b, struct log *log)
{
	LOCKED(&b->lock);
	log_let_go_locked(b, log);
}

bool log_over_locked(const struct log *log)
{
	return log->finished != LOG_OPEN && log->durable >= log->finished;
}

void log_wake_readers_locked(struct log *log)
{
	struct log_reader *r;

	list_each(r, &log->readers, link)
		signal_one(&r->signal);
}

/* Makes room for one more, from those used longest ago. What is not synced stays open, so that the
 * descriptor which syncs it is the one that wrote it and hears of errors. */
static void make_room_locked(struct logbook *b)
{
	struct log *log, *next;

	lock_assert_held(&b->lock);
	list_each_safe(log, next, &b->files, used) {
		if (b->n_files < OPEN_FILES)
			return;
		if (log->holds == 0 && !log->direct)
			log_close_file_locked(b, log);
	}
}

static int open_file(struct logbook *b, struct log *log, struct error *err)
{
	cleanup(freep) char *path = log_path(b, log->name, ".log");
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 && errno == ENOENT) {
		cleanup(freep) char *parent = xstrndup(path, (size_t)(strrchr(path, '/') - path));

		if (file_make_dirs(parent, 0700, err) < 0)
			return -1;
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	}
	if (fd < 0)
		return error_errno(err, "opening '%s'", path);
	return fd;
}

int log_file(struct logbook *b, struct log *log, struct error *err)
{
	bool open_already;
	int fd;

	assert(log->busy);
	lock_take(&b->lock);
	open_already = log->fd >= 0;
	if (open_already) {
		list_remove(&log->used);
		list_append(&b->files, &log->used);
	} else {
		make_room_locked(b);
	}
	lock_drop(&b->lock);
	if (open_already)
		return 0;
	fd = open_file(b, log, err);
	if (fd < 0)
		return -1;
	lock_take(&b->lock);
	log->fd = fd;
	log->fresh |= log->end == 0;
	list_append(&b->files, &log->used);
	b->n_files++;
	lock_drop(&b->lock);
	return 0;
}
