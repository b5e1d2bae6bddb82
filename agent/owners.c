/*
 * Owners: a bit for each user of the range. Who has a workspace at the start is read from work/.
 */
#include "agent/owners.h"

#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/thread.h"

#define SUBUID "/etc/subuid"
enum { SUBUID_MAX = 1 << 20, UID_ABOVE_SYSTEM = 1000 };

struct owners {
	uid_t uid; /* the one that all share, where there is no range */
	gid_t gid;
	uid_t first;
	size_t n;	  /* 0: no range */
	struct lock lock; /* guards what follows */
	size_t next;	  /* where the search begins */
	bool *taken;
};

/* ---- the range ---- */

static int parse_range(const char *text, uid_t *ret_first, size_t *ret_n, struct error *err)
{
	unsigned long first, last;
	int end = 0;

	if (sscanf(text, "%9lu-%9lu%n", &first, &last, &end) != 2 || text[end] || last < first)
		return error_set(err, ERR_INVALID,
				 "job_uids is '%.60s', not a range like "
				 "70000-70999",
				 text);
	if (first <= UID_ABOVE_SYSTEM)
		return error_set(err, ERR_INVALID,
				 "job_uids is '%s': users up to %d are the system's", text,
				 UID_ABOVE_SYSTEM);
	if (last - first >= OWNERS_MAX)
		return error_set(err, ERR_INVALID, "job_uids is '%s': %d users at most", text,
				 OWNERS_MAX);
	*ret_first = (uid_t)first;
	*ret_n = last - first + 1;
	return 0;
}

/* The next "NAME:FIRST:COUNT" from *at on; false at the end. */
static bool next_reservation(char **at, const char **ret_name, unsigned long *ret_first,
			     unsigned long *ret_count)
{
	char *line;

	while ((line = strsep(at, "\n"))) {
		char *name = strsep(&line, ":");

		if (!line || sscanf(line, "%lu:%lu", ret_first, ret_count) != 2 || !*ret_count)
			continue;
		*ret_name = name;
		return true;
	}
	return false;
}

char *owners_reserved(void)
{
	cleanup(buf_release) struct buf text = { 0 };
	unsigned long first, count;
	const char *name;
	char *at;

	if (file_read(SUBUID, SUBUID_MAX, &text, NULL) < 0)
		return NULL;
	buf_str(&text);
	at = text.data;
	while (next_reservation(&at, &name, &first, &count))
		if (strcmp(name, OWNERS_RESERVED) == 0)
			return xprintf("%lu-%lu", first, first + count - 1);
	return NULL;
}

static int check_reservations(const struct owners *o, struct error *err)
{
	cleanup(buf_release) struct buf text = { 0 };
	unsigned long first, count;
	const char *name;
	char *at;

	if (!file_exists(SUBUID))
		return 0;
	if (file_read(SUBUID, SUBUID_MAX, &text, err) < 0)
		return -1;
	buf_str(&text);
	at = text.data;
	while (next_reservation(&at, &name, &first, &count))
		if (strcmp(name, OWNERS_RESERVED) != 0 && first < o->first + o->n &&
		    o->first < first + count)
			return error_set(
				err, ERR_CONFLICT,
				"job_uids %u-%zu: '%s' gives %lu-%lu to '%s'; choose users "
				"that nobody has",
				o->first, o->first + o->n - 1, SUBUID, first, first + count - 1,
				name);
	return 0;
}

static int check_users(const struct owners *o, struct error *err)
{
	for (size_t i = 0; i < o->n; i++) {
		struct passwd *user = getpwuid(o->first + (uid_t)i);

		if (user)
			return error_set(err, ERR_CONFLICT,
					 "job_uids %u-%zu: %u is the user '%s'; choose users that "
					 "nobody has",
					 o->first, o->first + o->n - 1, user->pw_uid,
					 user->pw_name);
	}
	return check_reservations(o, err);
}

static void take_existing(struct owners *o, const char *work_dir)
{
	DIR *d = opendir(work_dir);
	struct dirent *e;
	struct stat st;

	while (d && (e = readdir(d)))
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_uid >= o->first && st.st_uid - o->first < o->n)
			o->taken[st.st_uid - o->first] = true;
	if (d)
		closedir(d);
}

struct owners *owners_new(const struct owners_spec *spec, struct error *err)
{
	cleanup(owners_freep) struct owners *o = xcalloc(1, sizeof *o);

	lock_init(&o->lock);
	o->uid = spec->uid;
	o->gid = spec->gid;
	if (!spec->range)
		return steal(o);
	if (geteuid() != 0)
		return error_set(err, ERR_DENIED,
				 "only root can run jobs as other users; leave "
				 "job_uids out"),
		       NULL;
	if (parse_range(spec->range, &o->first, &o->n, err) < 0)
		return NULL;
	if (o->n < 2 * (size_t)spec->slots)
		return error_set(
			       err, ERR_INVALID,
			       "job_uids is '%s': %u slots need %u users, as one that ended keeps "
			       "its own until its result is acknowledged",
			       spec->range, spec->slots, 2 * spec->slots),
		       NULL;
	if (check_users(o, err) < 0)
		return NULL;
	o->taken = xcalloc(o->n, sizeof *o->taken);
	take_existing(o, spec->work_dir);
	return steal(o);
}

void owners_free(struct owners *o)
{
	if (!o)
		return;
	lock_release(&o->lock);
	free(o->taken);
	free(o);
}

/* ---- who has which ---- */

int owners_take(struct owners *o, uid_t *ret_uid, struct error *err)
{
	if (!o || !o->n) {
		*ret_uid = o ? o->uid : 0;
		return 0;
	}
	LOCKED(&o->lock);
	for (size_t i = 0; i < o->n; i++) {
		size_t at = (o->next + i) % o->n;

		if (o->taken[at])
			continue;
		o->taken[at] = true;
		o->next = at + 1;
		*ret_uid = o->first + (uid_t)at;
		return 0;
	}
	return error_set(err, ERR_EXHAUSTED,
			 "all %zu users of job_uids have a workspace; give the agent more of them",
			 o->n);
}

void owners_return(struct owners *o, uid_t uid)
{
	if (!o || uid < o->first || uid - o->first >= o->n)
		return;
	LOCKED(&o->lock);
	o->taken[uid - o->first] = false;
}

bool owners_has(const struct owners *o, uid_t uid)
{
	if (o && o->n)
		return uid >= o->first && uid - o->first < o->n;
	return uid == (o && o->uid ? o->uid : geteuid());
}

gid_t owners_gid(const struct owners *o)
{
	return o ? o->gid : 0;
}
