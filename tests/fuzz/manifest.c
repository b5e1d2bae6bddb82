/*
 * Foreign bytes as a manifest: what parses packs to the same bytes, and keeps its limits.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "base/mem.h"
#include "blob/chunker.h"
#include "blob/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	cleanup(manifest_release) struct manifest m = { 0 };
	cleanup(buf_release) struct buf again = { 0 };
	struct error err = { 0 };
	uint64_t sum = 0;

	if (manifest_parse(data, len, &m, &err) < 0) {
		assert(err.code && err.text[0] && !m.chunks);
		return 0;
	}
	manifest_pack(&m, &again);
	assert(again.len == len && memcmp(again.data, data, len) == 0);
	for (size_t i = 0; i < m.n_chunks; i++) {
		assert(m.chunks[i].size >= 1 && m.chunks[i].size <= CHUNK_MAX);
		sum += m.chunks[i].size;
	}
	assert(sum == m.size);
	return 0;
}
