/*
 * The journal's file: a magic line and records {u32 length, u32 crc32c, bytes}, little-endian.
 * Records are gathered in memory until somebody flushes or syncs: one write for all. Syncing is a
 * turn that one of the waiters takes for all who wait. A write or a sync that failed leaves a file
 * of which nothing is known: memory becomes the file.
 */
#include "agent/journal_private.h"

#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
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

/* ---- writing ---- */

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
	j->pending.len = 0;
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

/* At the end of what is pending. */
static int frame_bounded(struct journal *j, const Sluice__V1__JournalRecord *r, struct error *err)
{
	size_t before = j->pending.len, size;

	frame(&j->pending, r);
	size = j->pending.len - before;
	if (size <= RECORD_MAX)
		return 0;
	j->pending.len = before;
	return error_set(err, ERR_EXHAUSTED, "a journal record of %zu bytes", size);
}

int journal_gather_locked(struct journal *j, const Sluice__V1__JournalRecord *r, struct error *err)
{
	lock_assert_held(&j->lock);
	if (frame_bounded(j, r, err) < 0)
		return -1;
	j->appended++;
	journal_apply(j, r);
	return 0;
}

int journal_flush_locked(struct journal *j, struct error *err)
{
	lock_assert_held(&j->lock);
	if (mend_locked(j, err) < 0)
		return -1;
	if (!j->pending.len)
		return 0;
	if (FAULT_POINT("journal.append") ||
	    file_write_all(j->fd, j->pending.data, j->pending.len, err) < 0) {
		/* Part of it may be there: cut it off, or nothing after it is ever read. */
		if (ftruncate(j->fd, (off_t)j->size) < 0)
			j->broken = true;
		return error_wrap(err, "writing the journal '%s'", j->path);
	}
	j->size += j->pending.len;
	j->pending.len = 0;
	return 0;
}

int journal_write_locked(struct journal *j, const Sluice__V1__JournalRecord *r, struct error *err)
{
	if (journal_flush_locked(j, err) < 0 || frame_bounded(j, r, err) < 0)
		return -1;
	if (journal_flush_locked(j, err) < 0) {
		j->pending.len = 0;
		return -1;
	}
	j->appended++;
	journal_apply(j, r);
	return 0;
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

int journal_flush(struct journal *j, struct error *err)
{
	LOCKED(&j->lock);
	return journal_flush_locked(j, err);
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
		if (journal_flush_locked(j, err) < 0)
			return -1;
		if (j->durable >= want || j->syncing)
			continue; /* by being written anew; or mending waited, and somebody was
				     quicker */
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
		journal_apply(j, r);
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

int journal_load(struct journal *j, struct error *err)
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
