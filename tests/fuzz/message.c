/*
 * Bytes from a peer as each of the largest messages: they unpack within the
 * arena's cap or are refused, their text is UTF-8, and what was taken can be
 * packed and is then the same message.
 */
#include <assert.h>
#include <string.h>

#include "proto/message.h"
#include "sluice/v1/agents.pb-c.h"
#include "sluice/v1/artifacts.pb-c.h"
#include "sluice/v1/runs.pb-c.h"

enum { CAP = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Unknown fields keep their place at the end, so packing is stable from the second time on. */
static void check_round_trip(const ProtobufCMessage *m)
{
	cleanup(buf_release) struct buf first = { 0 }, second = { 0 };
	cleanup(message_freep) ProtobufCMessage *copy = message_copy(m);

	message_pack_buf(m, &first);
	message_pack_buf(copy, &second);
	assert(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const ProtobufCMessageDescriptor *const types[] = {
		&sluice__v1__agent_message__descriptor,
		&sluice__v1__controller_message__descriptor,
		&sluice__v1__upload_request__descriptor,
		&sluice__v1__submit_request__descriptor,
	};
	cleanup(arena_freep) struct arena *arena = arena_new(CAP);
	struct error err = { 0 };
	ProtobufCMessage *m;

	if (!size)
		return 0;
	m = message_unpack(types[data[0] % ARRAY_SIZE(types)], arena, data + 1, size - 1, &err);
	assert(arena_used(arena) <= CAP);
	if (!m) {
		assert(err.code == ERR_INVALID || err.code == ERR_EXHAUSTED);
		return 0;
	}
	assert(message_valid_utf8(m));
	check_round_trip(m);
	return 0;
}
