/*
 * The journal: what is live, in memory, and what callers say about it. Nothing but open ever reads
 * the file (journal_file.c).
 */
#include "agent/journal_private.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "proto/message.h"

/* ---- what is live ---- */

static void attempt_drop(struct journal *j, uint64_t fence)
{
	struct attempt_entry *e;

	HASH_FIND(hh, j->attempts, &fence, sizeof fence, e);
	if (!e)
		return;
	HASH_DEL(j->attempts, e);
	message_free(e->row);
	free(e);
}

static void host_drop(struct journal *j, const char *environment)
{
	struct host_entry *e;

	HASH_FIND_STR(j->hosts, environment, e);
	if (!e)
		return;
	HASH_DEL(j->hosts, e);
	message_free(e->row);
	free(e);
}

/* ACCEPTED brings the assignment; what follows keeps it. */
static void attempt_put(struct journal *j, const Sluice__V1__JournalAttempt *row)
{
	Sluice__V1__JournalAttempt *copy = message_copy(row);
	struct attempt_entry *e;

	HASH_FIND(hh, j->attempts, &row->fence, sizeof row->fence, e);
	if (e) {
		if (!copy->assignment)
			copy->assignment = steal(e->row->assignment);
		if (!*copy->slot)
			message_set_string(&copy->slot, e->row->slot);
		message_free(e->row);
		e->row = copy;
		return;
	}
	e = xcalloc(1, sizeof *e);
	e->row = copy;
	e->fence = copy->fence;
	HASH_ADD(hh, j->attempts, fence, sizeof e->fence, e);
}

static void host_put(struct journal *j, const Sluice__V1__JournalHost *row)
{
	struct host_entry *e = xcalloc(1, sizeof *e);

	host_drop(j, row->environment);
	e->row = message_copy(row);
	HASH_ADD_KEYPTR(hh, j->hosts, e->row->environment, strlen(e->row->environment), e);
}

void journal_apply(struct journal *j, const Sluice__V1__JournalRecord *r)
{
	switch (r->body_case) {
	case SLUICE__V1__JOURNAL_RECORD__BODY_ATTEMPT:
		attempt_put(j, r->attempt);
		j->max_fence = MAX(j->max_fence, r->attempt->fence);
		break;
	case SLUICE__V1__JOURNAL_RECORD__BODY_FORGET:
		attempt_drop(j, r->forget);
		break;
	case SLUICE__V1__JOURNAL_RECORD__BODY_HOST:
		host_put(j, r->host);
		break;
	case SLUICE__V1__JOURNAL_RECORD__BODY_FORGET_HOST:
		host_drop(j, r->forget_host);
		break;
	case SLUICE__V1__JOURNAL_RECORD__BODY_FENCES:
		j->max_fence = MAX(j->max_fence, r->fences->max_fence);
		j->max_epoch = MAX(j->max_epoch, r->fences->max_ctl_epoch);
		break;
	default: /* of a newer version: skipped, and gone at the next rewriting */
		break;
	}
}

/* ---- beginning and end ---- */

struct journal *journal_open(const char *path, const char *boot_id, struct error *err)
{
	cleanup(journal_closep) struct journal *j = xcalloc(1, sizeof *j);

	lock_init(&j->lock);
	signal_init(&j->synced);
	j->fd = -1;
	j->path = xstrdup(path);
	j->boot_id = xstrdup(boot_id);
	if (journal_load(j, err) < 0)
		return error_wrap(err, "opening the journal"), NULL;
	return steal(j);
}

void journal_close(struct journal *j)
{
	struct attempt_entry *a, *next_a;
	struct host_entry *h, *next_h;
	struct error err = { 0 };

	if (!j)
		return;
	if (j->fd >= 0 && journal_flush(j, &err) < 0)
		log_warn("%s", err.text);
	HASH_ITER(hh, j->attempts, a, next_a)
		attempt_drop(j, a->fence);
	HASH_ITER(hh, j->hosts, h, next_h)
		host_drop(j, h->row->environment);
	closep(&j->fd);
	buf_release(&j->pending);
	free(j->path);
	free(j->boot_id);
	signal_release(&j->synced);
	lock_release(&j->lock);
	free(j);
}

bool journal_lost(const struct journal *j)
{
	return j->lost;
}

/* ---- what callers say ---- */

static int write_record(struct journal *j, const Sluice__V1__JournalRecord *r, struct error *err)
{
	LOCKED(&j->lock);
	return journal_write_locked(j, r, err);
}

static int gather(struct journal *j, const Sluice__V1__JournalRecord *r, struct error *err)
{
	LOCKED(&j->lock);
	return journal_gather_locked(j, r, err);
}

uint64_t journal_max_fence(struct journal *j)
{
	LOCKED(&j->lock);
	return j->max_fence;
}

uint64_t journal_max_epoch(struct journal *j)
{
	LOCKED(&j->lock);
	return j->max_epoch;
}

int journal_epoch(struct journal *j, uint64_t epoch, struct error *err)
{
	Sluice__V1__JournalFences fences = SLUICE__V1__JOURNAL_FENCES__INIT;
	Sluice__V1__JournalRecord r = SLUICE__V1__JOURNAL_RECORD__INIT;
	LOCKED(&j->lock);

	if (epoch < j->max_epoch)
		return error_set(err, ERR_CONFLICT,
				 "the controller is at epoch %llu, this host has seen %llu",
				 (unsigned long long)epoch, (unsigned long long)j->max_epoch);
	if (epoch == j->max_epoch)
		return 0;
	fences.max_ctl_epoch = epoch;
	r.body_case = SLUICE__V1__JOURNAL_RECORD__BODY_FENCES;
	r.fences = &fences;
	return journal_gather_locked(j, &r, err);
}

int journal_accept(struct journal *j, const Sluice__V1__Assignment *a, struct error *err)
{
	Sluice__V1__JournalAttempt attempt = SLUICE__V1__JOURNAL_ATTEMPT__INIT;
	Sluice__V1__JournalRecord r = SLUICE__V1__JOURNAL_RECORD__INIT;
	LOCKED(&j->lock);

	if (a->fence <= j->max_fence)
		return error_set(err, ERR_CONFLICT, "fence %llu was offered after %llu",
				 (unsigned long long)a->fence, (unsigned long long)j->max_fence);
	attempt.fence = a->fence;
	attempt.state = SLUICE__V1__JOURNAL_ATTEMPT__STATE__ACCEPTED;
	attempt.assignment = (Sluice__V1__Assignment *)a;
	attempt.boot_id = j->boot_id;
	r.body_case = SLUICE__V1__JOURNAL_RECORD__BODY_ATTEMPT;
	r.attempt = &attempt;
	return journal_gather_locked(j, &r, err);
}

int journal_started(struct journal *j, uint64_t fence, const char *slot, struct error *err)
{
	Sluice__V1__JournalAttempt attempt = SLUICE__V1__JOURNAL_ATTEMPT__INIT;
	Sluice__V1__JournalRecord r = SLUICE__V1__JOURNAL_RECORD__INIT;

	attempt.fence = fence;
	attempt.state = SLUICE__V1__JOURNAL_ATTEMPT__STATE__STARTED;
	attempt.slot = (char *)slot;
	attempt.boot_id = j->boot_id;
	r.body_case = SLUICE__V1__JOURNAL_RECORD__BODY_ATTEMPT;
	r.attempt = &attempt;
	return write_record(j, &r, err);
}

int journal_exited(struct journal *j, const Sluice__V1__FinishedAttempt *finished,
		   struct error *err)
{
	Sluice__V1__JournalAttempt attempt = SLUICE__V1__JOURNAL_ATTEMPT__INIT;
	Sluice__V1__JournalRecord r = SLUICE__V1__JOURNAL_RECORD__INIT;

	attempt.fence = finished->fence;
	attempt.state = SLUICE__V1__JOURNAL_ATTEMPT__STATE__EXITED;
	attempt.finished = (Sluice__V1__FinishedAttempt *)finished;
	attempt.boot_id = j->boot_id;
	r.body_case = SLUICE__V1__JOURNAL_RECORD__BODY_ATTEMPT;
	r.attempt = &attempt;
	return gather(j, &r, err);
}

int journal_forget(struct journal *j, uint64_t fence, struct error *err)
{
	Sluice__V1__JournalRecord r = SLUICE__V1__JOURNAL_RECORD__INIT;

	r.body_case = SLUICE__V1__JOURNAL_RECORD__BODY_FORGET;
	r.forget = fence;
	return gather(j, &r, err);
}

int journal_host(struct journal *j, const Sluice__V1__JournalHost *host, struct error *err)
{
	Sluice__V1__JournalRecord r = SLUICE__V1__JOURNAL_RECORD__INIT;

	r.body_case = SLUICE__V1__JOURNAL_RECORD__BODY_HOST;
	r.host = (Sluice__V1__JournalHost *)host;
	return write_record(j, &r, err);
}

int journal_forget_host(struct journal *j, const char *environment, struct error *err)
{
	Sluice__V1__JournalRecord r = SLUICE__V1__JOURNAL_RECORD__INIT;

	r.body_case = SLUICE__V1__JOURNAL_RECORD__BODY_FORGET_HOST;
	r.forget_host = (char *)environment;
	return write_record(j, &r, err);
}

/* The visitor may use the journal: what it sees was copied before. */
void journal_attempts(struct journal *j,
		      void (*visit)(void *arg, Sluice__V1__JournalAttempt *attempt), void *arg)
{
	cleanup(freep) Sluice__V1__JournalAttempt **copies = NULL;
	struct attempt_entry *e, *next;
	size_t n = 0;

	lock_take(&j->lock);
	copies = xcalloc(HASH_COUNT(j->attempts) + 1, sizeof *copies);
	HASH_ITER(hh, j->attempts, e, next)
		copies[n++] = message_copy(e->row);
	lock_drop(&j->lock);
	for (size_t i = 0; i < n; i++)
		visit(arg, copies[i]);
}

void journal_hosts(struct journal *j, void (*visit)(void *arg, Sluice__V1__JournalHost *host),
		   void *arg)
{
	cleanup(freep) Sluice__V1__JournalHost **copies = NULL;
	struct host_entry *e, *next;
	size_t n = 0;

	lock_take(&j->lock);
	copies = xcalloc(HASH_COUNT(j->hosts) + 1, sizeof *copies);
	HASH_ITER(hh, j->hosts, e, next)
		copies[n++] = message_copy(e->row);
	lock_drop(&j->lock);
	for (size_t i = 0; i < n; i++)
		visit(arg, copies[i]);
}
