/*
 * Foreign bytes as the journal that an agent finds on its disk: it opens whatever they are, starts
 * nothing that the damage may have hidden the start of, and has said the same when opened again.
 * Inputs that begin with '#' get the magic line and records with right checksums around what
 * follows: {length byte, bytes}..., so that the messages inside are reached.
 */
#include <assert.h>
#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "agent/journal.h"
#include "base/buf.h"
#include "base/file.h"
#include "crypto/digest.h"
#include "proto/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static char dir[64];
static char *path, *aside;

static void remove_dir(void)
{
	file_remove_tree(dir, NULL);
	free(path);
	free(aside);
}

static void make_dir(void)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	snprintf(dir, sizeof dir, "%s/journal-fuzz-XXXXXX", base);
	if (!mkdtemp(dir))
		abort();
	path = path_join(dir, "journal");
	aside = path_join(dir, "journal.damaged");
	atexit(remove_dir);
}

static void frame(struct buf *out, const uint8_t *data, size_t len)
{
	uint32_t head[2] = { htole32((uint32_t)len), htole32(crc32c(0, data, len)) };

	buf_add(out, head, sizeof head);
	buf_add(out, data, len);
}

static void as_records(struct buf *out, const uint8_t *data, size_t len)
{
	buf_puts(out, "sluice journal 1\n");
	while (len > 0 && data[0] < len) {
		frame(out, data + 1, data[0]);
		len -= 1 + (size_t)data[0];
		data += 1 + (size_t)data[0];
	}
	buf_add(out, data, len); /* what is left is the torn end */
}

struct known {
	size_t attempts, accepted, hosts;
};

static void see_attempt(void *arg, Sluice__V1__JournalAttempt *row)
{
	struct known *k = arg;

	k->attempts++;
	k->accepted += row->state == SLUICE__V1__JOURNAL_ATTEMPT__STATE__ACCEPTED;
	message_free(row);
}

static void see_host(void *arg, Sluice__V1__JournalHost *row)
{
	((struct known *)arg)->hosts++;
	message_free(row);
}

static struct known known_of(struct journal *j)
{
	struct known k = { 0 };

	journal_attempts(j, see_attempt, &k);
	journal_hosts(j, see_host, &k);
	return k;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	cleanup(buf_release) struct buf file = { 0 }, kept = { 0 };
	cleanup(journal_closep) struct journal *first = NULL, *again = NULL;
	struct error err = { 0 };
	struct known before, after;

	if (!path)
		make_dir();
	if (len > 0 && data[0] == '#')
		as_records(&file, data + 1, len - 1);
	else
		buf_add(&file, data, len);
	unlink(aside);
	if (file_write_atomic(path, file.data, file.len, 0600, &err) < 0)
		abort();
	first = journal_open(path, "boot", &err);
	assert(first);
	before = known_of(first);
	assert(journal_lost(first) == file_exists(aside));
	if (journal_lost(first)) {
		assert(before.accepted == 0);
		assert(file_read(aside, file.len, &kept, &err) == 0);
		assert(kept.len == file.len && memcmp(kept.data, buf_str(&file), kept.len) == 0);
	}
	again = journal_open(path, "boot", &err);
	assert(again && !journal_lost(again));
	after = known_of(again);
	assert(memcmp(&before, &after, sizeof before) == 0);
	assert(journal_max_fence(first) == journal_max_fence(again));
	assert(journal_max_epoch(first) == journal_max_epoch(again));
	return 0;
}
