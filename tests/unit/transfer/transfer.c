#include "transfer/transfer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "stand.h"

static struct stand *stand;
static struct blob_store *cache;
static struct transfer transfer;

static void open_cache(const char *name)
{
	cleanup(freep) char *path = stand_path(stand, name);
	struct error err = { 0 };

	blob_store_close(cache);
	cache = blob_store_open(path, &err);
	cr_assert(cache, "%s", err.text);
}

static void begin(void)
{
	stand = stand_new();
	cache = NULL;
	open_cache("cache");
	transfer = (struct transfer){ .channel = stand->channel, .patience_ms = 5000 };
}

static void end(void)
{
	blob_store_close(cache);
	stand_free(stand);
}

/* Bytes that no compression and no deduplication makes fewer. */
static char *noise(size_t n, uint64_t seed)
{
	char *data = xmalloc(n);

	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		data[i] = (char)(seed >> 56);
	}
	return data;
}

static struct upload raw(const void *data, size_t n)
{
	return (struct upload){ .content = { .media = MANIFEST_RAW, .data = data, .len = n },
				.name = "report",
				.kind = SLUICE__V1__ARTIFACT_KIND__REPORT,
				.fence = 3 };
}

static struct digest must_upload(const struct upload *what, struct upload_stats *ret_stats)
{
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	struct error err = { 0 };
	const Sluice__V1__Artifact *a = transfer_upload(&transfer, what, arena, ret_stats, &err);
	struct digest d;

	cr_assert(a, "%s", err.text);
	cr_assert_eq(digest_parse(a->digest, &d, &err), 0);
	return d;
}

static void must_fetch(const struct digest *d, const void *data, size_t n, uint64_t *ret_received)
{
	struct download what = { .artifact = *d, .fence = 3 };
	cleanup(manifest_release) struct manifest m = { 0 };
	cleanup(buf_release) struct buf packed = { 0 }, content = { 0 };
	struct error err = { 0 };

	cr_assert_eq(transfer_fetch(&transfer, &what, cache, ret_received, &err), 0, "%s",
		     err.text);
	cr_assert_eq(blob_read(cache, d, MANIFEST_MAX_BYTES, &packed, &err), 0);
	cr_assert_eq(manifest_parse(packed.data, packed.len, &m, &err), 0);
	for (size_t i = 0; i < m.n_chunks; i++)
		cr_assert_eq(blob_read(cache, &m.chunks[i].digest, BLOB_MAX_SIZE, &content, &err),
			     0);
	cr_assert_eq(content.len, n);
	cr_assert(n == 0 || memcmp(content.data, data, n) == 0);
}

TestSuite(transfer, .init = begin, .fini = end, .timeout = 120);

Test(transfer, what_was_uploaded_comes_back)
{
	static const size_t sizes[] = { 0, 1, 255, 256 << 10, (256 << 10) + 1, 20 << 20 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		cleanup(freep) char *data = noise(sizes[i] + 1, i);
		struct upload what = raw(data, sizes[i]);
		struct upload_stats stats;
		struct digest d = must_upload(&what, &stats);

		cr_expect_eq(stats.size, sizes[i]);
		cr_expect_eq(stats.sent, sizes[i]);
		must_fetch(&d, data, sizes[i], NULL);
	}
}

Test(transfer, what_is_there_is_not_sent_again)
{
	cleanup(freep) char *data = noise(12 << 20, 1);
	struct upload what = raw(data, 12 << 20);
	struct upload_stats stats;
	struct digest first = must_upload(&what, &stats), second;
	uint64_t received;

	cr_expect_eq(stats.sent, (uint64_t)12 << 20);
	second = must_upload(&what, &stats);
	cr_expect_eq(stats.sent, 0);
	cr_expect_eq(stats.chunks_sent, 0);
	cr_expect(stats.chunks > 1);
	cr_expect(memcmp(&first, &second, sizeof first) == 0);

	must_fetch(&first, data, 12 << 20, &received);
	cr_expect_geq(received, (uint64_t)12 << 20);
	must_fetch(&first, data, 12 << 20, &received);
	cr_expect_eq(received, 0);
	cr_expect_eq(stand->downloads, 2); /* manifest and chunks, once */
}

Test(transfer, an_upload_that_breaks_at_any_message_goes_on)
{
	for (unsigned every = 2; every <= 40; every += 7) {
		size_t size = 6 << 20;
		cleanup(freep) char *data = noise(size, 100 + every);
		struct upload what = raw(data, size);
		struct upload_stats stats;
		struct digest d;

		stand->cut_uploads = every;
		transfer.patience_ms = 60000;
		/* a stream needs start, have, parts of one chunk and the commit: at least some must
		 * get through for progress; with every 2nd cut none does */
		if (every < 20) {
			struct transfer impatient = transfer;
			cleanup(arena_freep) struct arena *arena = arena_new(0);
			struct error err = { 0 };

			impatient.patience_ms = 0;
			cr_expect_null(transfer_upload(&impatient, &what, arena, NULL, &err));
			cr_expect_eq(err.code, ERR_UNAVAILABLE, "%s", err.text);
			continue;
		}
		stand->uploads = 0;
		d = must_upload(&what, &stats);
		cr_expect_gt(stand->uploads, 1u);
		stand->cut_uploads = 0;
		must_fetch(&d, data, size, NULL);
	}
}

Test(transfer, a_download_that_breaks_goes_on_where_it_was)
{
	size_t size = 20 << 20;
	cleanup(freep) char *data = noise(size, 7);
	struct upload what = raw(data, size);
	struct digest d = must_upload(&what, NULL);
	uint64_t received;

	stand->cut_downloads = 30; /* about 6 MB */
	must_fetch(&d, data, size, &received);
	cr_expect_gt(stand->downloads, 3u);
	/* of what broke off in the middle of a chunk at most that chunk comes twice */
	cr_expect_lt(received, (uint64_t)size + stand->downloads * ((uint64_t)4 << 20));
}

Test(transfer, what_is_the_same_many_times_comes_once)
{
	size_t size = 64 << 20;
	cleanup(freep) char *zeros = xcalloc(1, size);
	struct upload what = raw(zeros, size);
	struct digest d = must_upload(&what, NULL);
	uint64_t received;

	must_fetch(&d, zeros, size, &received);
	cr_expect_lt(received, (uint64_t)9 << 20, "%llu bytes", (unsigned long long)received);
}

Test(transfer, a_manifest_that_rots_in_the_cache_comes_again)
{
	static const char text[] = "a report";
	struct upload what = raw(text, sizeof text);
	struct digest d = must_upload(&what, NULL);
	cleanup(freep) char *name = stand_path(stand, "cache");
	char hex[DIGEST_HEX_SIZE];
	struct error err = { 0 };

	must_fetch(&d, text, sizeof text, NULL);
	cr_assert_eq(blob_sync_all(cache, &err), 0);
	digest_hex(&d, hex);
	{
		cleanup(freep) char *path = xprintf("%s/%.2s/%s", name, hex, hex + 2);

		cr_assert_eq(truncate(path, 20), 0, "%s", path);
	}
	must_fetch(&d, text, sizeof text, NULL);
}

#ifdef SLUICE_FAULTS
Test(transfer, what_was_committed_although_a_send_failed_is_not_uploaded_again)
{
	static const char text[] = "a report";
	struct upload what = raw(text, sizeof text);
	struct digest d;

	fault_load("upload.commit-sent=error@1");
	d = must_upload(&what, NULL);
	fault_load("");
	cr_expect_eq(stand->uploads, 1);
	must_fetch(&d, text, sizeof text, NULL);
}
#endif

Test(transfer, a_wrong_byte_is_never_kept)
{
	cleanup(freep) char *data = noise(3 << 20, 9);
	struct upload what = raw(data, 3 << 20);
	struct download down = { .artifact = must_upload(&what, NULL), .fence = 3 };
	struct error err = { 0 };

	stand->flip_downloads = true;
	transfer.patience_ms = 0;
	cr_assert_lt(transfer_fetch(&transfer, &down, cache, NULL, &err), 0);
	cr_expect_eq(err.code, ERR_CORRUPT, "%s", err.text);
	stand->flip_downloads = false;
	must_fetch(&down.artifact, data, 3 << 20, NULL);
}

Test(transfer, what_is_refused_is_not_tried_again)
{
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	struct upload what = raw("x", 1);
	struct download unknown = { .fence = 3 };
	struct error err = { 0 };

	stand->refuse_uploads = true;
	cr_assert_null(transfer_upload(&transfer, &what, arena, NULL, &err));
	cr_expect_eq(err.code, ERR_DENIED, "%s", err.text);
	cr_expect_eq(stand->uploads, 1);
	error_clear(&err);
	cr_assert_lt(transfer_fetch(&transfer, &unknown, cache, NULL, &err), 0);
	cr_expect_eq(err.code, ERR_NOT_FOUND, "%s", err.text);
	cr_expect_eq(stand->downloads, 1);
}

Test(transfer, patience_ends)
{
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	struct upload what = raw("x", 1);
	struct error err = { 0 };
	int64_t begin_ms = clock_boot_ms();

	rpc_server_stop(stand->server, 0);
	transfer.patience_ms = 700;
	cr_assert_null(transfer_upload(&transfer, &what, arena, NULL, &err));
	cr_expect_eq(err.code, ERR_UNAVAILABLE, "%s", err.text);
	cr_expect_geq(clock_boot_ms() - begin_ms, 700);
	cr_expect_lt(clock_boot_ms() - begin_ms, 10000);
}

static bool now(void *arg)
{
	return --*(int *)arg <= 0;
}

Test(transfer, a_cancelled_transfer_ends)
{
	cleanup(arena_freep) struct arena *arena = arena_new(0);
	cleanup(freep) char *data = noise(8 << 20, 11);
	struct upload what = raw(data, 8 << 20);
	struct error err = { 0 };
	int asked = 10;

	transfer.cancelled = now;
	transfer.cancelled_arg = &asked;
	cr_assert_null(transfer_upload(&transfer, &what, arena, NULL, &err));
	cr_expect_eq(err.code, ERR_CANCELLED, "%s", err.text);
	cr_expect_lt(stand->uploaded, (uint64_t)8 << 20);
}

Test(transfer, a_tree_is_packed_and_unpacked)
{
	cleanup(freep) char *tree = stand_path(stand, "tree");
	cleanup(freep) char *file = path_join(tree, "a");
	struct upload what = { .content = { .media = MANIFEST_TAR, .tree = { .path = tree } },
			       .name = "data",
			       .kind = SLUICE__V1__ARTIFACT_KIND__DATA };
	struct error err = { 0 };
	struct digest d;

	cr_assert_eq(file_make_dirs(tree, 0755, &err), 0);
	cr_assert_eq(file_write_atomic(file, "hello", 5, 0644, &err), 0);
	d = must_upload(&what, NULL);
	must_upload(&what, NULL);
	cr_expect(blob_has(stand->store, &d));
}
