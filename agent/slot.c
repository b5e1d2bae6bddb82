/*
 * The connection to one shim: orders out, events in. Nothing here waits for a shim but
 * slot_connect(), which is for the start.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/supervise_internal.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"

enum { EVENT_BYTES = 4096 };

bool slot_alive(const struct supervise *s, const char *slot)
{
	cleanup(freep) char *lock = xprintf("%s/%s.lock", s->shims, slot);

	return file_locked(lock);
}

const char *slot_name(const struct slot *slot)
{
	return slot->name;
}

int slot_fd(const struct slot *slot)
{
	return slot->fd;
}

const struct slot_status *slot_status(const struct slot *slot)
{
	return &slot->status;
}

/* A shim of ours that hung up is about to exit; only this keeps it from staying a zombie. */
static void reap(struct slot *slot)
{
	if (slot->child > 0)
		while (waitpid(slot->child, NULL, 0) < 0 && errno == EINTR)
			;
	slot->child = 0;
}

void slot_disconnect(struct slot *slot)
{
	LOCKED(&slot->lock);
	closep(&slot->fd);
	slot->fd = -1;
}

/* ---- orders ---- */

static int send_order(struct slot *slot, struct wire_out *out, struct error *err)
{
	size_t n = wire_end(out);
	ssize_t r;
	LOCKED(&slot->lock);

	if (slot->fd < 0)
		return error_set(err, ERR_UNAVAILABLE, "slot '%s' has no shim", slot->name);
	if (FAULT_POINT("slot.send"))
		return error_set(err, ERR_UNAVAILABLE, "sending to slot '%s': fault", slot->name);
	r = send(slot->fd, out->data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (r == (ssize_t)n)
		return 0;
	if (errno == EAGAIN)
		return error_set(err, ERR_UNAVAILABLE, "the shim of slot '%s' takes no messages",
				 slot->name);
	if (errno == EPIPE || errno == ECONNRESET)
		return error_set(err, ERR_UNAVAILABLE, "the shim of slot '%s' has left",
				 slot->name);
	return error_errno(err, "sending to the shim of slot '%s'", slot->name);
}

int slot_deadline(struct slot *slot, uint64_t fence, int64_t at, struct error *err)
{
	unsigned char data[128];
	struct wire_out out;

	wire_begin(&out, data, sizeof data, WIRE_DEADLINE);
	wire_number(&out, WIRE_FENCE, fence);
	wire_number(&out, WIRE_DEADLINE_AT, (uint64_t)at);
	return send_order(slot, &out, err);
}

int slot_signal(struct slot *slot, uint64_t fence, enum shim_reason reason, int64_t grace_ms,
		struct error *err)
{
	unsigned char data[128];
	struct wire_out out;

	assert(reason == SHIM_CANCELLED || reason == SHIM_STOPPED || reason == SHIM_PREEMPTED);
	wire_begin(&out, data, sizeof data, WIRE_SIGNAL);
	wire_number(&out, WIRE_FENCE, fence);
	wire_number(&out, WIRE_REASON, reason);
	wire_number(&out, WIRE_GRACE, (uint64_t)MAX(grace_ms, (int64_t)0));
	return send_order(slot, &out, err);
}

int slot_watch(struct slot *slot, uint64_t fence, uint64_t length, struct error *err)
{
	unsigned char data[128];
	struct wire_out out;

	wire_begin(&out, data, sizeof data, WIRE_WATCH);
	wire_number(&out, WIRE_FENCE, fence);
	wire_number(&out, WIRE_LENGTH, length);
	return send_order(slot, &out, err);
}

int slot_ask_status(struct slot *slot, struct error *err)
{
	unsigned char data[64];
	struct wire_out out;

	wire_begin(&out, data, sizeof data, WIRE_STATUS);
	return send_order(slot, &out, err);
}

/* ---- events ---- */

/* All that a message of a shim can say. */
struct heard {
	enum wire_kind kind;
	uint64_t fence, length, restarts, unwritten, leaving, phase, pid, job_pid, runs, dropped;
	uint64_t about, step, errno_value;
	bool has_record;
	struct shim_record record;
	char name[SHIM_NAME_MAX + 1];
};

static uint64_t *number_place(struct heard *h, enum wire_tag tag)
{
	switch (tag) {
	case WIRE_FENCE:
		return &h->fence;
	case WIRE_LENGTH:
		return &h->length;
	case WIRE_RESTARTS:
		return &h->restarts;
	case WIRE_UNWRITTEN:
		return &h->unwritten;
	case WIRE_LEAVING:
		return &h->leaving;
	case WIRE_PHASE:
		return &h->phase;
	case WIRE_PID:
		return &h->pid;
	case WIRE_JOB_PID:
		return &h->job_pid;
	case WIRE_RUNS:
		return &h->runs;
	case WIRE_DROPPED:
		return &h->dropped;
	case WIRE_KIND:
		return &h->about;
	case WIRE_STEP:
		return &h->step;
	case WIRE_ERRNO:
		return &h->errno_value;
	default:
		return NULL;
	}
}

static int heard_field(struct heard *h, const struct wire_field *f)
{
	uint64_t *place = number_place(h, f->tag);

	if (place)
		return wire_field_number(f, place);
	if (f->tag == WIRE_RECORD) {
		h->has_record =
			f->len == SHIM_RECORD_BYTES && shim_record_decode(f->data, &h->record);
		return h->has_record ? 0 : -1;
	}
	if (f->tag == WIRE_NAME) {
		if (f->len == 0 || f->len > sizeof h->name ||
		    memchr(f->data, '\0', f->len) != f->data + f->len - 1)
			return -1;
		memcpy(h->name, f->data, f->len);
	}
	return 0;
}

static int heard_parse(struct heard *h, const void *data, size_t len)
{
	struct wire_in in;
	struct wire_field f;
	int r;

	*h = (struct heard){ 0 };
	if (wire_open(&in, data, len) < 0)
		return -1;
	h->kind = in.kind;
	while ((r = wire_next(&in, &f)) > 0)
		if (heard_field(h, &f) < 0)
			return -1;
	if ((h->kind == WIRE_EXITED || h->kind == WIRE_RESTARTED) && !h->has_record)
		return -1;
	return h->phase > SHIM_BACKING_OFF || h->step >= SHIM_STEPS ? -1 : r;
}

static void take_state(struct slot *slot, const struct heard *h)
{
	slot->status = (struct slot_status){
		.phase = (enum shim_phase)h->phase,
		.shim_pid = (pid_t)h->pid,
		.job_pid = (pid_t)h->job_pid,
		.fence = h->fence,
		.length = h->length,
		.restarts = (uint32_t)h->restarts,
		.dropped = h->dropped,
		.runs = (uint32_t)h->runs,
	};
	snprintf(slot->status.name, sizeof slot->status.name, "%s", h->name);
}

static int refused(struct slot *slot, const struct heard *h, struct slot_event *ret)
{
	const char *what = shim_step_text((enum shim_step)h->step);

	ret->kind = SLOT_REFUSED;
	ret->run = h->about == WIRE_RUN;
	if (!ret->fence)
		ret->fence = slot->fence;
	if (h->about == WIRE_RUN && h->step != STEP_BUSY)
		slot->busy = false;
	errno = (int)h->errno_value;
	if (errno)
		error_errno(&ret->why, "slot '%s': %s", slot->name, what);
	else
		error_set(&ret->why, ERR_CONFLICT, "slot '%s': %s", slot->name, what);
	return 1;
}

/* 1: an event, 0: nothing to tell. */
static int translate(struct slot *slot, const struct heard *h, struct slot_event *ret)
{
	ret->fence = h->fence;
	ret->length = h->length;
	ret->restarts = (uint32_t)h->restarts;
	ret->record = h->record;
	switch (h->kind) {
	case WIRE_STATE:
		take_state(slot, h);
		ret->status = slot->status;
		ret->kind = SLOT_STATUS;
		return h->about == WIRE_STATUS; /* the first on a connection is for us alone */
	case WIRE_GROWN:
		ret->kind = SLOT_GROWN;
		return 1;
	case WIRE_RESTARTED:
		ret->kind = SLOT_RESTARTED;
		return 1;
	case WIRE_EXITED:
		ret->kind = SLOT_EXITED;
		ret->length = h->record.length;
		ret->unwritten = h->unwritten;
		slot->leaving = h->leaving;
		slot->busy = h->unwritten;
		return 1;
	case WIRE_REFUSED:
		return refused(slot, h, ret);
	default:
		return 0; /* of a newer shim */
	}
}

static int gone(struct slot *slot, struct slot_event *ret)
{
	slot_disconnect(slot);
	reap(slot);
	ret->kind = SLOT_GONE;
	ret->fence = slot->busy ? slot->fence : 0;
	slot->busy = slot->leaving = false;
	slot->status = (struct slot_status){ 0 };
	return 1;
}

int slot_next(struct slot *slot, struct slot_event *ret, struct error *err)
{
	unsigned char data[EVENT_BYTES];
	struct heard h;
	ssize_t n;

	while (slot->fd >= 0) {
		n = recv(slot->fd, data, sizeof data, MSG_DONTWAIT | MSG_TRUNC);
		if (n < 0 && (errno == EINTR || errno == ECONNRESET))
			continue; /* reset: it left before it read all; what it said comes next */
		if (n < 0 && errno == EAGAIN)
			return 0;
		*ret = (struct slot_event){ 0 };
		if (n == 0)
			return gone(slot, ret);
		if (n < 0)
			return error_errno(err, "hearing the shim of slot '%s'", slot->name);
		if ((size_t)n > sizeof data || heard_parse(&h, data, (size_t)n) < 0)
			return error_set(err, ERR_CORRUPT,
					 "the shim of slot '%s' sends damaged messages",
					 slot->name);
		if (translate(slot, &h, ret))
			return 1;
	}
	return 0;
}

int slot_wait(struct slot *slot, int timeout_ms, struct slot_event *ret, struct error *err)
{
	int64_t until = clock_boot_ms() + timeout_ms;

	for (;;) {
		struct pollfd p = { .fd = slot->fd, .events = POLLIN };
		int r = slot_next(slot, ret, err);
		int64_t left = timeout_ms < 0 ? -1 : MAX(until - clock_boot_ms(), (int64_t)0);

		if (r != 0 || slot->fd < 0 || left == 0)
			return r;
		if (poll(&p, 1, (int)MIN(left, (int64_t)INT32_MAX)) < 0 && errno != EINTR)
			return error_errno(err, "waiting for the shim of slot '%s'", slot->name);
	}
}

/* ---- beginning and end ---- */

/* The path may be longer than a socket's address: by way of the directory's descriptor. */
static int connect_once(const struct supervise *s, const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	cleanup(closep) int dir = open(s->shims, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup(closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int r;

	if (dir < 0 || fd < 0)
		return -1;
	r = snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/%s.sock", dir, name);
	if (r < 0 || (size_t)r >= sizeof addr.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
		return -1;
	r = fd;
	fd = -1;
	return r;
}

static int hear_state(struct slot *slot, int64_t until, struct error *err)
{
	unsigned char data[EVENT_BYTES];
	struct pollfd p = { .fd = slot->fd, .events = POLLIN };
	struct heard h;
	ssize_t n;

	if (poll(&p, 1, (int)MAX(until - clock_boot_ms(), (int64_t)0)) <= 0)
		return error_set(err, ERR_TIMEOUT, "the shim of slot '%s' does not answer",
				 slot->name);
	n = recv(slot->fd, data, sizeof data, MSG_DONTWAIT);
	if (n <= 0)
		return error_set(err, ERR_NOT_FOUND, "the shim of slot '%s' has left", slot->name);
	if (heard_parse(&h, data, (size_t)n) < 0 || h.kind != WIRE_STATE)
		return error_set(err, ERR_CORRUPT, "the shim of slot '%s' speaks another language",
				 slot->name);
	take_state(slot, &h);
	slot->busy = h.phase != SHIM_IDLE;
	slot->fence = h.fence;
	return 0;
}

int slot_connect(struct slot *slot, struct error *err)
{
	int64_t until = clock_boot_ms() + ANSWER_MS;

	while (slot_alive(slot->supervise, slot->name)) {
		slot->fd = connect_once(slot->supervise, slot->name);
		if (slot->fd >= 0) {
			if (hear_state(slot, until, err) == 0)
				return 0;
			slot_disconnect(slot);
			return -1;
		}
		if (errno != ENOENT && errno != ECONNREFUSED)
			return error_errno(err, "connecting to the shim of slot '%s'", slot->name);
		if (clock_boot_ms() >= until)
			return error_set(err, ERR_TIMEOUT, "the shim of slot '%s' opens no socket",
					 slot->name);
		usleep(1000); /* it is only beginning, or on its way out */
	}
	return error_set(err, ERR_NOT_FOUND, "slot '%s' has no shim", slot->name);
}

struct slot *slot_open(struct supervise *s, const char *name, struct error *err)
{
	cleanup(slot_closep) struct slot *slot = NULL;
	struct error why = { 0 };

	if (!name_valid(name) || strlen(name) > SLOT_NAME_MAX)
		return error_set(err, ERR_INVALID, "'%.40s' is no name for a slot", name), NULL;
	slot = xcalloc(1, sizeof *slot);
	slot->supervise = s;
	slot->name = xstrdup(name);
	slot->fd = -1;
	lock_init(&slot->lock);
	if (slot_connect(slot, &why) < 0 && why.code != ERR_NOT_FOUND) {
		if (err)
			*err = why;
		return NULL;
	}
	return steal(slot);
}

void slot_close(struct slot *slot)
{
	if (!slot)
		return;
	slot_disconnect(slot);
	if (!slot->busy)
		reap(slot); /* idle and alone it leaves at once */
	lock_release(&slot->lock);
	free(slot->packet);
	free(slot->name);
	free(slot);
}
