/*
 * The two quiet threads: the heartbeat, which renews what runs and waits for nothing else, and the
 * sweeper of old workspaces.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>

#include "agent/spares.h"
#include "agent/work_private.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

/* ---- renewals ---- */

/* When the next renewal is due; INT64_MAX: nothing needs one. */
static int64_t renewal_due(const struct work *w)
{
	int64_t every = INT64_MAX;
	struct attempt *a, *next;

	HASH_ITER(hh, w->attempts, a, next)
		if (a->lease_boot_ms && !a->gone)
			every = MIN(every, lease_renewal(a->lease_ms));
	return every == INT64_MAX ? every : w->renewed_boot_ms + every;
}

static uint64_t *renewable(struct work *w, size_t *ret_n)
{
	uint64_t *fences = xcalloc(HASH_COUNT(w->attempts) + 1, sizeof *fences);
	struct attempt *a, *next;

	*ret_n = 0;
	HASH_ITER(hh, w->attempts, a, next)
		if (a->lease_boot_ms && !a->gone)
			fences[(*ret_n)++] = a->fence;
	return fences;
}

void *heartbeat_main(void *arg)
{
	struct work *w = arg;

	lock_take(&w->lock);
	while (!w->stopping) {
		Sluice__V1__AgentMessage m = SLUICE__V1__AGENT_MESSAGE__INIT;
		Sluice__V1__Renew renew = SLUICE__V1__RENEW__INIT;
		int64_t now = clock_boot_ms(), due = renewal_due(w);
		struct error err = { 0 };

		w->beat_boot_ms = due;
		if (due > now) {
			if (due == INT64_MAX)
				signal_wait(&w->beat, &w->lock);
			else
				signal_wait_ms(&w->beat, &w->lock, due - now);
			continue;
		}
		w->renewed_boot_ms = now;
		renew.fences = renewable(w, &renew.n_fences);
		lock_drop(&w->lock);
		m.body_case = SLUICE__V1__AGENT_MESSAGE__BODY_RENEW;
		m.renew = &renew;
		/* What is not said now is made up for by Register. */
		if (session_post(w->session, &m, &err) < 0)
			log_debug("not renewed: %s", err.text);
		free(renew.fences);
		lock_take(&w->lock);
	}
	lock_drop(&w->lock);
	return NULL;
}

/* ---- old workspaces ---- */

struct swept {
	struct list link;
	char *path;
};

static void sweep_add(struct work *w, char *path)
{
	struct swept *s = xcalloc(1, sizeof *s);

	s->path = path;
	list_append(&w->sweep, &s->link);
	signal_one(&w->sweep_wake);
}

void sweep_later(struct work *w, uint64_t fence)
{
	sweep_add(w, xprintf("%s/%" PRIu64, w->config.workspace.work_dir, fence));
}

static void swept_free(struct swept *s)
{
	free(s->path);
	free(s);
}

void sweep_free(struct work *w)
{
	struct swept *s;

	while ((s = list_first(&w->sweep, struct swept, link))) {
		list_remove(&s->link);
		swept_free(s);
	}
}

/* All that no attempt is known for. */
void work_sweep(struct work *w)
{
	const char *dir = w->config.workspace.work_dir;
	DIR *d = opendir(dir);
	struct dirent *e;
	LOCKED(&w->lock);

	while (d && (e = readdir(d))) {
		uint64_t fence;
		char *end;

		if (e->d_name[0] == '.')
			continue;
		fence = strtoull(e->d_name, &end, 10);
		if (*end || !attempt_find(w, fence))
			sweep_add(w, path_join(dir, e->d_name));
	}
	if (d)
		closedir(d);
}

/* What is left when the agent stops is removed after its next start. */
void *sweeper_main(void *arg)
{
	struct work *w = arg;

	lock_take(&w->lock);
	for (;;) {
		struct swept *s = list_first(&w->sweep, struct swept, link);
		struct error err = { 0 };

		if (w->stopping)
			break;
		if (!s) {
			signal_wait(&w->sweep_wake, &w->lock);
			continue;
		}
		list_remove(&s->link);
		lock_drop(&w->lock);
		if (workspace_discard(&w->config.workspace, s->path, &err) < 0)
			log_warn("removing a workspace: %s", err.text);
		swept_free(s);
		lock_take(&w->lock);
	}
	lock_drop(&w->lock);
	return NULL;
}
