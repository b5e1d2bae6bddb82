/*
 * Removing what is older than it is kept for. A journal that knows of a log would bring it back
 * after a crash, so first a new one begins.
 */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "controller/logs/private.h"

static bool in_use(struct logbook *b, const char *run)
{
	size_t len = strlen(run);
	struct log *log, *next;

	LOCKED(&b->lock);
	HASH_ITER(hh, b->logs, log, next)
		if (strncmp(log->name, run, len) == 0 && log->name[len] == '/')
			return true;
	return false;
}

bool log_is_known(struct logbook *b, const char *name)
{
	LOCKED(&b->lock);
	return log_find_locked(b, name) != NULL;
}

/* Begins a new journal, so that none is left that knows of logs about to be removed. */
int logbook_forget(struct logbook *b, struct error *err)
{
	int r;

	lock_take(&b->lock);
	while (b->leading)
		signal_wait(&b->synced, &b->lock);
	b->leading = true;
	lock_drop(&b->lock);
	r = logbook_switch(b, err);
	lock_take(&b->lock);
	b->leading = false;
	signal_all(&b->synced);
	while (r == 0 && !b->retired && !b->broken.code)
		signal_wait(&b->synced, &b->lock);
	lock_drop(&b->lock);
	return r;
}

int logbook_expire(struct logbook *b, int64_t before_wall_ms, uint64_t *ret_removed,
		   struct error *err)
{
	uint64_t removed = 0;
	struct dirent *entry;
	int r = 0;
	DIR *dir;

	if (logbook_forget(b, err) < 0)
		return -1;
	dir = opendir(b->dir);
	if (!dir)
		return error_errno(err, "opening '%s'", b->dir);
	while (r == 0 && (entry = readdir(dir))) {
		cleanup(freep) char *path = path_join(b->dir, entry->d_name);
		struct stat st;

		if (entry->d_name[0] == '.' || strcmp(entry->d_name, "env") == 0 ||
		    lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) ||
		    (int64_t)st.st_mtim.tv_sec * 1000 >= before_wall_ms || in_use(b, entry->d_name))
			continue;
		r = file_remove_tree(path, err);
		removed += r == 0;
	}
	closedir(dir);
	if (r == 0)
		r = services_expire(b, before_wall_ms, &removed, err);
	*ret_removed = removed;
	return r;
}
