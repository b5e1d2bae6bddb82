/*
 * The journal. The file is a magic line and records {u32 length, u32 crc32c, bytes}, little-endian.
 * What is live is also in memory, so nothing but open ever reads it. Appending takes one lock and
 * one write; syncing is a turn that one of the waiters takes for all who wait.
 */
#include "agent/journal.h"

#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "crypto/digest.h"
#include "proto/message.h"

enum {
	RECORD_MAX = 1 << 20,
	RECORD_READ_MAX = 4 << 20, /* a rewritten one holds what came in two */
	HEAD = 8,
	REWRITE_ABOVE = 4 << 20, /* bytes; and four times what is live */
	JOURNAL_MAX = 1 << 30,
};

static const char magic[] = "sluice journal 1\n";

struct attempt_entry {
	Sluice__V1__JournalAttempt *row;
	uint64_t fence;
	UT_hash_handle hh;
};

struct host_entry {
	Sluice__V1__JournalHost *row;
	UT_hash_handle hh;
};

struct journal {
	struct lock lock; /* guards all below */
	struct signal synced;
	char *path, *boot_id;
	int fd;
	uint64_t size;		    /* bytes in the file */
	uint64_t rewrite_above;	    /* of them: look whether most is history */
	uint64_t appended, durable; /* records */
	bool syncing, lost;
	bool broken; /* what the file holds is not known: it is written anew before it is used */
	uint64_t max_fence, max_epoch;
	struct attempt_entry *attempts;
	struct host_entry *hosts;
};

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

static void apply(struct journal *j, const Sluice__V1__JournalRecord *r)
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

/* ---- the file ---- */

static void frame(struct buf *out, const Sluice__V1__JournalRecord *r)
{
	size_t at = out->len;
	uint32_t head[2] = { 0, 0 };

	buf_add(out, head, HEAD);
	message_pack_buf(r, out);
	head[0] = htole32((uint32_t)(out->len - at - HEAD));
	head[1] = htole32(crc32c(0, out->data + at + HEAD, out->len - at - HEAD));
	memcpy(out->data + at, head, HEAD);
}

static void frame_live(struct journal *j, struct buf *out)
{
	Sluice__V1__JournalFences fences = SLUICE__V1__JOURNAL_FENCES__INIT;
	Sluice__V1__JournalRecord r = SLUICE__V1__JOURNAL_RECORD__INIT;
	struct attempt_entry *a, *next_a;
	struct host_entry *h, *next_h;

	buf_puts(out, magic);
	fences.max_fence = j->max_fence;
	fences.max_ctl_epoch = j->max_epoch;
	r.body_case = SLUICE__V1__JOURNAL_RECORD__BODY_FENCES;
	r.fences = &fences;
	frame(out, &r);
	r.body_case = SLUICE__V1__JOURNAL_RECORD__BODY_ATTEMPT;
	HASH_ITER(hh, j->attempts, a, next_a) {
		r.attempt = a->row;
		frame(out, &r);
	}
	r.body_case = SLUICE__V1__JOURNAL_RECORD__BODY_HOST;
	HASH_ITER(hh, j->hosts, h, next_h) {
		r.host = h->row;
		frame(out, &r);
	}
}

/* Writes what is live into a new file and takes it over. */
static int rewrite(struct journal *j, struct error *err)
{
	cleanup(buf_release) struct buf all = { 0 };
	int fd;

	frame_live(j, &all);
	if (file_write_atomic(j->path, all.data, all.len, 0600, err) < 0)
		return -1;
	fd = open(j->path, O_RDWR | O_APPEND | O_CLOEXEC);
	if (fd < 0) {
		j->broken = true; /* the descriptor that is left leads to a file without a name */
		return error_errno(err, "opening '%s'", j->path);
	}
	closep(&j->fd);
	j->fd = fd;
	j->size = all.len;
	j->rewrite_above = MAX((uint64_t)REWRITE_ABOVE, 4 * j->size);
	j->durable = j->appended;
	j->broken = false;
	return 0;
}

/* After a failed sync or a half written record only memory knows what holds: it becomes the file.
 */
static int mend_locked(struct journal *j, struct error *err)
{
	if (!j->broken)
		return 0;
	while (j->syncing)
		signal_wait(&j->synced, &j->lock);
	if (j->broken && rewrite(j, err) < 0)
		return error_wrap(err, "writing the journal anew, after an error");
	return 0;
}

static int append_locked(struct journal *j, const Sluice__V1__JournalRecord *r, struct error *err)
{
	cleanup(buf_release) struct buf bytes = { 0 };

	if (mend_locked(j, err) < 0)
		return -1;
	frame(&bytes, r);
	if (bytes.len > RECORD_MAX)
		return error_set(err, ERR_EXHAUSTED, "a journal record of %zu bytes", bytes.len);
	if (FAULT_POINT("journal.append") ||
	    file_write_all(j->fd, bytes.data, bytes.len, err) < 0) {
		/* Part of a record may be there: cut it off, or nothing after it is ever read. */
		if (ftruncate(j->fd, (off_t)j->size) < 0)
			j->broken = true;
		return error_wrap(err, "writing the journal '%s'", j->path);
	}
	j->size += bytes.len;
	j->appended++;
	apply(j, r);
	return 0;
}

static int append(struct journal *j, const Sluice__V1__JournalRecord *r, struct error *err)
{
	LOCKED(&j->lock);
	return append_locked(j, r, err);
}

/* All that was asked for is durable already: that this fails concerns nobody, it comes again. */
static void shrink_locked(struct journal *j)
{
	struct attempt_entry *a, *next_a;
	struct host_entry *h, *next_h;
	struct error err = { 0 };
	uint64_t live = 4096;

	HASH_ITER(hh, j->attempts, a, next_a)
		live += protobuf_c_message_get_packed_size(&a->row->base) + HEAD;
	HASH_ITER(hh, j->hosts, h, next_h)
		live += protobuf_c_message_get_packed_size(&h->row->base) + HEAD;
	if (j->size > 4 * live && rewrite(j, &err) < 0)
		log_warn("shortening the journal: %s", err.text);
	j->rewrite_above = MAX(j->rewrite_above, j->size + REWRITE_ABOVE);
}

int journal_sync(struct journal *j, struct error *err)
{
	LOCKED(&j->lock);
	uint64_t want = j->appended;

	while (j->durable < want) {
		uint64_t covers;
		int fd, r;

		if (j->syncing) {
			signal_wait(&j->synced, &j->lock);
			continue;
		}
		if (j->broken) {
			if (mend_locked(j, err) < 0)
				return -1;
			continue;
		}
		j->syncing = true;
		covers = j->appended;
		fd = j->fd;
		lock_drop(&j->lock);
		r = FAULT_POINT("journal.sync") ? -1 : fdatasync(fd);
		lock_take(&j->lock);
		j->syncing = false;
		if (r < 0) {
			/* The kernel may have dropped the pages: nothing is known any more. */
			error_errno(err, "syncing the journal '%s'", j->path);
			j->broken = true;
			signal_all(&j->synced);
			return -1;
		}
		j->durable = MAX(j->durable, covers);
		signal_all(&j->synced);
	}
	if (j->size > j->rewrite_above && !j->syncing)
		shrink_locked(j);
	return 0;
}

/* Reads the records; *ret_good is the length of what is whole. */
static int replay(struct journal *j, const struct buf *file, size_t *ret_good, struct error *err)
{
	size_t at = sizeof magic - 1;

	*ret_good = 0;
	if (file->len < at || memcmp(file->data, magic, at) != 0)
		return error_set(err, ERR_CORRUPT, "'%s' is not a journal of this version",
				 j->path);
	while (file->len - at >= HEAD) {
		Sluice__V1__JournalRecord *r;
		uint32_t head[2], len;

		memcpy(head, file->data + at, HEAD);
		len = le32toh(head[0]);
		if (len > RECORD_READ_MAX || len > file->len - at - HEAD ||
		    crc32c(0, file->data + at + HEAD, len) != le32toh(head[1]))
			break;
		r = message_unpack(&sluice__v1__journal_record__descriptor, NULL,
				   file->data + at + HEAD, len, err);
		if (!r)
			return -1;
		apply(j, r);
		message_free(r);
		at += HEAD + len;
	}
	*ret_good = at;
	return 0;
}

/* Is what follows the whole records one torn record, as a crash leaves it, or damage with more
 * behind? A torn append is shorter than it says it is; anything else is not the last thing that was
 * written. */
static bool torn(const struct buf *file, size_t good)
{
	uint32_t len;

	if (file->len - good < HEAD)
		return true;
	memcpy(&len, file->data + good, sizeof len);
	len = le32toh(len);
	return len <= RECORD_READ_MAX && file->len - good <= HEAD + (size_t)len;
}

/* What is missing may have said that they were started: none of them may be, now. */
static void never_again(struct journal *j)
{
	struct attempt_entry *a, *next;

	HASH_ITER(hh, j->attempts, a, next)
		if (a->row->state == SLUICE__V1__JOURNAL_ATTEMPT__STATE__ACCEPTED)
			a->row->state = SLUICE__V1__JOURNAL_ATTEMPT__STATE__STARTED;
}

static int load(struct journal *j, struct error *err)
{
	cleanup(buf_release) struct buf file = { 0 };
	size_t good = 0;

	if (!file_exists(j->path))
		return rewrite(j, err);
	if (file_read(j->path, JOURNAL_MAX, &file, err) < 0)
		return -1;
	if (replay(j, &file, &good, err) < 0 || !torn(&file, good)) {
		cleanup(freep) char *aside = xprintf("%s.damaged", j->path);

		j->lost = true;
		error_clear(err);
		never_again(j);
		if (file_rename(j->path, aside, err) < 0)
			return -1;
	}
	return rewrite(j, err);
}

struct journal *journal_open(const char *path, const char *boot_id, struct error *err)
{
	cleanup(journal_closep) struct journal *j = xcalloc(1, sizeof *j);

	lock_init(&j->lock);
	signal_init(&j->synced);
	j->fd = -1;
	j->path = xstrdup(path);
	j->boot_id = xstrdup(boot_id);
	if (load(j, err) < 0)
		return error_wrap(err, "opening the journal"), NULL;
	return steal(j);
}

void journal_close(struct journal *j)
{
	struct attempt_entry *a, *next_a;
	struct host_entry *h, *next_h;

	if (!j)
		return;
	HASH_ITER(hh, j->attempts, a, next_a)
		attempt_drop(j, a->fence);
	HASH_ITER(hh, j->hosts, h, next_h)
		host_drop(j, h->row->environment);
	closep(&j->fd);
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
	return append_locked(j, &r, err);
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
	return append_locked(j, &r, err);
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
	return append(j, &r, err);
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
	return append(j, &r, err);
}

int journal_forget(struct journal *j, uint64_t fence, struct error *err)
{
	Sluice__V1__JournalRecord r = SLUICE__V1__JOURNAL_RECORD__INIT;

	r.body_case = SLUICE__V1__JOURNAL_RECORD__BODY_FORGET;
	r.forget = fence;
	return append(j, &r, err);
}

int journal_host(struct journal *j, const Sluice__V1__JournalHost *host, struct error *err)
{
	Sluice__V1__JournalRecord r = SLUICE__V1__JOURNAL_RECORD__INIT;

	r.body_case = SLUICE__V1__JOURNAL_RECORD__BODY_HOST;
	r.host = (Sluice__V1__JournalHost *)host;
	return append(j, &r, err);
}

int journal_forget_host(struct journal *j, const char *environment, struct error *err)
{
	Sluice__V1__JournalRecord r = SLUICE__V1__JOURNAL_RECORD__INIT;

	r.body_case = SLUICE__V1__JOURNAL_RECORD__BODY_FORGET_HOST;
	r.forget_host = (char *)environment;
	return append(j, &r, err);
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
