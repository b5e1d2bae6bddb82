/*
 * Packets in both directions, records and masks: the first byte chooses which parser gets the rest.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/shim/mask.h"
#include "agent/shim/run.h"
#include "agent/shim/wire.h"
#include "agent/supervise_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct request request;
static struct mask masks;

static void as_run(const uint8_t *data, size_t size)
{
	struct wire_in in;

	if (wire_open(&in, data, size) == 0 && request_parse(&request, &masks, &in) == 0 &&
	    (strchr(request.name, '/') || !request.argv[0] || request.argv[request.n_argv]))
		abort();
}

static void as_record(const uint8_t *data, size_t size)
{
	unsigned char again[SHIM_RECORD_BYTES];
	struct shim_record record;
	char text[64];

	if (size < SHIM_RECORD_BYTES || !shim_record_decode(data, &record))
		return;
	spool_record_text(&record, text, sizeof text);
	shim_record_encode(&record, again);
	if (!shim_record_decode(again, &record))
		abort();
}

/* What an agent makes of any packet of a shim. */
static void as_event(const uint8_t *data, size_t size)
{
	struct slot slot = { .name = (char *)"0", .fence = 1, .busy = true };
	struct slot_event event;
	int fds[2];

	if (size == 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0)
		return;
	lock_init(&slot.lock);
	slot.fd = fds[0];
	if (send(fds[1], data, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size)
		slot_next(&slot, &event, NULL);
	lock_release(&slot.lock);
	close(fds[0]);
	close(fds[1]);
}

/* Cut in two anywhere, the masked text is the same as in one piece. */
static void as_mask(const uint8_t *data, size_t size)
{
	static unsigned char whole[4096], parts[4096 + 1];
	size_t n_pattern, cut, first;

	if (size < 8 || size > 2048)
		return;
	n_pattern = 4 + data[0] % 8;
	if (size < 2 + n_pattern)
		return;
	cut = data[1] % (size - 1 - n_pattern);
	mask_clear(&masks);
	mask_add(&masks, data + 2, n_pattern);
	data += 2 + n_pattern;
	size -= 2 + n_pattern;
	memcpy(whole, data, size);
	mask_restart(&masks);
	if (mask_apply(&masks, whole, size, true) != size)
		abort();
	memcpy(parts, data, size);
	mask_restart(&masks);
	first = mask_apply(&masks, parts, cut < size ? cut : size, false);
	if (mask_apply(&masks, parts + first, size - first, true) != size - first)
		abort();
	if (memcmp(whole, parts, size) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parsers[])(const uint8_t *, size_t) = { as_run, as_record, as_event,
								    as_mask };

	if (size > 0)
		parsers[data[0] % ARRAY_SIZE(parsers)](data + 1, size - 1);
	return 0;
}
