/*
 * Packing and unpacking packets and records. Every read is checked against the
 * packet's end, every enum against its range: a damaged message is refused whole.
 */
#include "agent/shim/wire.h"

#include <endian.h>
#include <string.h>

struct wire_head {
	uint16_t version, kind;
	uint32_t bytes; /* after the head */
};

struct field_head {
	uint16_t tag, zero;
	uint32_t bytes;
};

void wire_begin(struct wire_out *out, void *data, size_t cap, enum wire_kind kind)
{
	struct wire_head head = { .version = WIRE_VERSION, .kind = (uint16_t)kind };

	*out = (struct wire_out){ .data = data, .cap = cap, .over = cap < sizeof head };
	if (out->over)
		return;
	memcpy(out->data, &head, sizeof head);
	out->len = sizeof head;
}

void wire_bytes(struct wire_out *out, enum wire_tag tag, const void *data, size_t len)
{
	struct field_head head = { .tag = (uint16_t)tag, .bytes = (uint32_t)len };

	if (out->over || len > out->cap || out->cap - out->len < len + sizeof head) {
		out->over = true;
		return;
	}
	memcpy(out->data + out->len, &head, sizeof head);
	if (len)
		memcpy(out->data + out->len + sizeof head, data, len);
	out->len += sizeof head + len;
}

void wire_number(struct wire_out *out, enum wire_tag tag, uint64_t value)
{
	wire_bytes(out, tag, &value, sizeof value);
}

void wire_string(struct wire_out *out, enum wire_tag tag, const char *s)
{
	if (s)
		wire_bytes(out, tag, s, strlen(s) + 1);
}

size_t wire_end(struct wire_out *out)
{
	uint32_t bytes;

	if (out->over)
		return 0;
	bytes = (uint32_t)(out->len - sizeof(struct wire_head));
	memcpy(out->data + offsetof(struct wire_head, bytes), &bytes, sizeof bytes);
	return out->len;
}

int wire_open(struct wire_in *in, const void *data, size_t len)
{
	struct wire_head head;

	if (len < sizeof head || len > WIRE_MAX_BYTES)
		return -1;
	memcpy(&head, data, sizeof head);
	if (head.version < 1 || head.version > WIRE_VERSION + 1 || head.bytes != len - sizeof head)
		return -1;
	*in = (struct wire_in){ .data = data,
				.len = len,
				.at = sizeof head,
				.kind = head.kind,
				.version = head.version };
	return 0;
}

int wire_next(struct wire_in *in, struct wire_field *ret)
{
	struct field_head head;

	if (in->at == in->len)
		return 0;
	if (in->len - in->at < sizeof head)
		return -1;
	memcpy(&head, in->data + in->at, sizeof head);
	if (head.bytes > in->len - in->at - sizeof head)
		return -1;
	*ret = (struct wire_field){ .tag = head.tag,
				    .data = in->data + in->at + sizeof head,
				    .len = head.bytes };
	in->at += sizeof head + head.bytes;
	return 1;
}

int wire_field_number(const struct wire_field *f, uint64_t *ret)
{
	if (f->len != sizeof *ret)
		return -1;
	memcpy(ret, f->data, sizeof *ret);
	return 0;
}

/* CRC-32C (Castagnoli), a nibble at a time: records are small, and so is the shim. */
uint32_t wire_crc32c(const void *data, size_t len)
{
	static const uint32_t table[16] = { 0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
					    0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
					    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
					    0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75 };
	const unsigned char *p = data;
	uint32_t crc = 0xffffffff;

	while (len--) {
		crc ^= *p++;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

/* The record on disk. */
struct packed_record {
	char magic[8];
	uint64_t fence, length, started_ms, ended_ms;
	uint64_t user_us, system_us, max_rss_bytes, dropped;
	uint32_t reason, step, exit_code, signal, errno_value, restarts;
	unsigned char zero[SHIM_RECORD_BYTES - 9 * 8 - 6 * 4 - 4];
	uint32_t crc;
};

_Static_assert(sizeof(struct packed_record) == SHIM_RECORD_BYTES,
	       "the record's size is its format");

static const char record_magic[8] = { 'S', 'L', 'C', 'E', 'N', 'D', '0', '1' };

void shim_record_encode(const struct shim_record *r, unsigned char ret[SHIM_RECORD_BYTES])
{
	struct packed_record p = {
		.fence = htole64(r->fence),
		.length = htole64(r->length),
		.started_ms = htole64((uint64_t)r->started_ms),
		.ended_ms = htole64((uint64_t)r->ended_ms),
		.user_us = htole64(r->user_us),
		.system_us = htole64(r->system_us),
		.max_rss_bytes = htole64(r->max_rss_bytes),
		.dropped = htole64(r->dropped),
		.reason = htole32((uint32_t)r->reason),
		.step = htole32((uint32_t)r->step),
		.exit_code = htole32((uint32_t)r->exit_code),
		.signal = htole32((uint32_t)r->signal),
		.errno_value = htole32((uint32_t)r->errno_value),
		.restarts = htole32(r->restarts),
	};

	memcpy(p.magic, record_magic, sizeof p.magic);
	p.crc = htole32(wire_crc32c(&p, offsetof(struct packed_record, crc)));
	memcpy(ret, &p, sizeof p);
}

bool shim_record_decode(const unsigned char in[SHIM_RECORD_BYTES], struct shim_record *ret)
{
	struct packed_record p;
	uint32_t reason, step;

	memcpy(&p, in, sizeof p);
	reason = le32toh(p.reason);
	step = le32toh(p.step);
	if (memcmp(p.magic, record_magic, sizeof p.magic) != 0 ||
	    le32toh(p.crc) != wire_crc32c(&p, offsetof(struct packed_record, crc)) ||
	    reason == SHIM_NONE || reason >= SHIM_REASONS || step >= SHIM_STEPS)
		return false;
	*ret = (struct shim_record){
		.fence = le64toh(p.fence),
		.length = le64toh(p.length),
		.started_ms = (int64_t)le64toh(p.started_ms),
		.ended_ms = (int64_t)le64toh(p.ended_ms),
		.reason = (enum shim_reason)reason,
		.step = (enum shim_step)step,
		.exit_code = (int)le32toh(p.exit_code),
		.signal = (int)le32toh(p.signal),
		.errno_value = (int)le32toh(p.errno_value),
		.restarts = le32toh(p.restarts),
		.user_us = le64toh(p.user_us),
		.system_us = le64toh(p.system_us),
		.max_rss_bytes = le64toh(p.max_rss_bytes),
		.dropped = le64toh(p.dropped),
	};
	return true;
}

const char *shim_reason_name(enum shim_reason reason)
{
	static const char *const names[SHIM_REASONS] = {
		[SHIM_NONE] = "none",
		[SHIM_EXITED] = "exited",
		[SHIM_SIGNALLED] = "signalled",
		[SHIM_TIMEOUT] = "timeout",
		[SHIM_LEASE] = "agent_lost",
		[SHIM_CANCELLED] = "cancelled",
		[SHIM_STOPPED] = "stopped",
		[SHIM_PREEMPTED] = "preempted",
		[SHIM_OUT_OF_MEMORY] = "out_of_memory",
		[SHIM_NOT_STARTED] = "infra",
		[SHIM_LOG_LIMIT] = "log_limit",
		[SHIM_DISK_FULL] = "agent-disk-full",
		[SHIM_CRASH_LOOP] = "crash_loop",
	};

	return (unsigned)reason < SHIM_REASONS ? names[reason] : "unknown";
}

const char *shim_step_text(enum shim_step step)
{
	static const char *const texts[SHIM_STEPS] = {
		[STEP_NONE] = "",
		[STEP_BUSY] = "something runs here already",
		[STEP_MESSAGE] = "the message is damaged or too large",
		[STEP_FENCE] = "this fence does not run here",
		[STEP_LOCK] = "taking the shim's lock",
		[STEP_SOCKET] = "opening the shim's socket",
		[STEP_NAMESPACE] = "making the namespaces",
		[STEP_SPOOL] = "creating the spool",
		[STEP_PIPE] = "making the output's pipe",
		[STEP_CLONE] = "starting a process",
		[STEP_CGROUP] = "entering the cgroup",
		[STEP_GROUPS] = "dropping the groups",
		[STEP_GID] = "becoming the job's group",
		[STEP_UID] = "becoming the job's user",
		[STEP_DIR] = "entering the working directory",
		[STEP_EXEC] = "executing the program",
	};

	return (unsigned)step < SHIM_STEPS ? texts[step] : "an unknown step";
}
