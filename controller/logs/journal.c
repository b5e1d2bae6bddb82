/*
 * The journal's format, and its I/O. A batch that was torn by a crash fails its crc and ends the
 * replay: it was never acknowledged, and nothing follows it.
 */
#include "controller/logs/journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "crypto/digest.h"

enum {
	MAGIC = 0x4c4a3031, /* "LJ01" */
	NAME_MAX_BYTES = 512,
	REPLAY_MAX = 256 << 20, /* bytes of a journal; far more than one ever holds */
};

struct batch_head {
	uint32_t magic;
	uint32_t crc; /* of the rest of this head and the payload */
	uint64_t epoch;
	uint64_t len; /* of the payload */
};

struct record_head {
	uint32_t type;
	uint32_t name_len; /* with the NUL */
	uint64_t data_len;
	uint64_t at;
	int64_t time_ms;
};

void journal_add(struct buf *batch, const struct journal_record *r)
{
	struct record_head head = {
		.type = r->type,
		.name_len = (uint32_t)strlen(r->name) + 1,
		.data_len = r->len,
		.at = r->at,
		.time_ms = r->time_ms,
	};

	assert(head.name_len <= NAME_MAX_BYTES);
	buf_add(batch, &head, sizeof head);
	buf_add(batch, r->name, head.name_len);
	buf_add(batch, r->data, r->len);
}

/* Blocks that are there and written once, so that later syncs change no metadata. Grown a step at a
 * time; without room for it, the batch itself is still tried. */
static void lay_out(struct journal_file *j, uint64_t upto)
{
	enum { STEP = 1 << 20 };
	cleanup(freep) char *zeros = NULL;

	if (upto <= j->size)
		return;
	zeros = xcalloc(1, STEP);
	while (j->size < upto && file_pwrite_all(j->fd, zeros, STEP, (off_t)j->size, NULL) == 0)
		j->size += STEP;
}

int journal_open(struct journal_file *j, const char *path, struct error *err)
{
	struct stat st;

	j->path = xstrdup(path);
	j->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (j->fd < 0 || fstat(j->fd, &st) < 0)
		return error_errno(err, "opening '%s'", path);
	j->size = (uint64_t)st.st_size;
	return 0;
}

void journal_release(struct journal_file *j)
{
	if (j->path && j->fd >= 0)
		close(j->fd);
	free(j->path);
	*j = (struct journal_file){ .fd = -1 };
}

static uint32_t crc_of(const struct batch_head *head, const void *payload)
{
	uint32_t crc =
		crc32c(MAGIC, &head->epoch, sizeof *head - offsetof(struct batch_head, epoch));

	return crc32c(crc, payload, head->len);
}

/* The payload of the batch at *at, or NULL at the end; *at moves behind it. */
static const char *next_batch(const struct buf *content, uint64_t epoch, size_t *at,
			      struct batch_head *ret)
{
	const char *payload = content->data + *at + sizeof *ret;

	if (content->len - *at < sizeof *ret)
		return NULL;
	memcpy(ret, content->data + *at, sizeof *ret);
	if (ret->magic != MAGIC || !ret->epoch || (epoch && ret->epoch != epoch) ||
	    ret->len > content->len - *at - sizeof *ret || crc_of(ret, payload) != ret->crc)
		return NULL;
	*at += sizeof *ret + ret->len;
	return payload;
}

/* The crc was right, so what does not fit together is a bug or another version's. */
static int damaged(const struct journal_file *j, struct error *err)
{
	return error_id(err, "E0602", "'%s' holds a record that cannot be read", j->path);
}

static int replay_batch(struct journal_file *j, const char *payload, size_t len,
			int (*apply)(void *arg, const struct journal_record *, struct error *),
			void *arg, struct error *err)
{
	while (len) {
		struct record_head head;
		struct journal_record record;

		if (len < sizeof head)
			return damaged(j, err);
		memcpy(&head, payload, sizeof head);
		payload += sizeof head;
		len -= sizeof head;
		if (head.name_len < 1 || head.name_len > NAME_MAX_BYTES || head.name_len > len ||
		    payload[head.name_len - 1] || head.data_len > len - head.name_len)
			return damaged(j, err);
		record = (struct journal_record){
			.type = (enum journal_type)head.type,
			.name = payload,
			.at = head.at,
			.time_ms = head.time_ms,
			.data = payload + head.name_len,
			.len = head.data_len,
		};
		if (apply(arg, &record, err) < 0)
			return -1;
		payload += head.name_len + head.data_len;
		len -= head.name_len + head.data_len;
	}
	return 0;
}

/* Which epoch it holds is known from its first batch. */
int journal_replay(struct journal_file *j,
		   int (*apply)(void *arg, const struct journal_record *record, struct error *err),
		   void *arg, struct error *err)
{
	cleanup(buf_release) struct buf content = { 0 };
	struct batch_head head;
	const char *payload;
	size_t at = 0;

	j->epoch = 0;
	if (file_read(j->path, REPLAY_MAX, &content, err) < 0)
		return -1;
	while ((payload = next_batch(&content, j->epoch, &at, &head))) {
		j->epoch = head.epoch;
		if (apply && replay_batch(j, payload, head.len, apply, arg, err) < 0)
			return -1;
		if (!apply)
			return 0; /* only the epoch is wanted */
	}
	return 0;
}

void journal_restart(struct journal_file *j, uint64_t epoch)
{
	j->epoch = epoch;
	j->at = 0;
}

int journal_write(struct journal_file *j, const struct buf *batch, struct error *err)
{
	struct batch_head head = { .magic = MAGIC, .epoch = j->epoch, .len = batch->len };
	cleanup(buf_release) struct buf all = { 0 };
	struct error why = { 0 };

	head.crc = crc_of(&head, buf_str(batch));
	buf_reserve(&all, sizeof head + batch->len);
	buf_add(&all, &head, sizeof head);
	buf_add(&all, batch->data, batch->len);
	lay_out(j, j->at + all.len);
	if (FAULT_POINT("journal.full"))
		return error_id(err, "E0601", "injected: writing '%s'", j->path);
	if (file_pwrite_all(j->fd, all.data, all.len, (off_t)j->at, &why) < 0)
		return why.code == ERR_EXHAUSTED
			       ? error_id(err, "E0601", "'%s': %s", j->path, why.text)
			       : error_set(err, why.code, "'%s': %s", j->path, why.text);
	if (fdatasync(j->fd) < 0) {
		error_errno(err, "syncing '%s'", j->path);
		if (err)
			err->code = ERR_INTERNAL; /* a full disk is refused before, by the write */
		return -1;
	}
	j->at += all.len;
	return 0;
}

int journal_clear(struct journal_file *j, struct error *err)
{
	struct batch_head none = { 0 };

	if (file_pwrite_all(j->fd, &none, sizeof none, 0, err) < 0)
		return error_wrap(err, "clearing '%s'", j->path);
	if (fdatasync(j->fd) < 0)
		return error_errno(err, "syncing '%s'", j->path);
	j->epoch = 0;
	j->at = 0;
	return 0;
}
