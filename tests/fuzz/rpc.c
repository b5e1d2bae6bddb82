/*
 * What common/rpc reads of foreign bytes by itself: a message that ends in
 * bytes, in slices cut anywhere, must split so that head and tail give the same
 * as the whole; and the serial of a certificate.
 */
#include <assert.h>
#include <string.h>

#include "echo.h"
#include "rpc/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte says where to cut. */
static grpc_byte_buffer *in_slices(const uint8_t *data, size_t size, uint8_t cut)
{
	size_t n = cut % 7 + 1, step = size / n + 1, at, k = 0;
	grpc_slice slices[8];
	grpc_byte_buffer *buf;

	for (at = 0; at < size; at += step)
		slices[k++] = grpc_slice_from_copied_buffer((const char *)data + at,
							    MIN(step, size - at));
	buf = grpc_raw_byte_buffer_create(slices, k);
	while (k > 0)
		grpc_slice_unref(slices[--k]);
	return buf;
}

static void check_split(const uint8_t *data, size_t size, uint8_t cut)
{
	grpc_byte_buffer *buf = in_slices(data, size, cut);
	size_t head_len = 0, len = 0;
	Part *whole, *head;

	if (raw_split(buf, 15, &head_len, &len)) {
		assert(head_len + len < size);
		whole = rpctest__v1__part__unpack(NULL, size, data);
		head = rpctest__v1__part__unpack(NULL, head_len, data);
		assert(!whole == !head);
		if (whole) {
			assert(whole->data.len == len && head->data.len == 0);
			assert(len == 0 || memcmp(whole->data.data, data + size - len, len) == 0);
			assert(whole->offset == head->offset);
			assert(strcmp(whole->name, head->name) == 0);
		}
		if (whole)
			rpctest__v1__part__free_unpacked(whole, NULL);
		if (head)
			rpctest__v1__part__free_unpacked(head, NULL);
	}
	grpc_byte_buffer_destroy(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char serial[RPC_SERIAL_TEXT];

	if (size == 0)
		return 0;
	check_split(data + 1, size - 1, data[0]);
	caller_serial((const char *)data, size, serial);
	assert(strspn(serial, "0123456789ABCDEF") == strlen(serial));
	return 0;
}
