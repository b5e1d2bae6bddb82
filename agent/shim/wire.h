/*
 * wire.h - what the agent and a shim say to each other, and the exit record
 *
 * One SOCK_SEQPACKET Unix socket per shim; a packet is one message, at most
 * WIRE_MAX_BYTES: an 8-byte head {u16 version, u16 kind, u32 bytes after the
 * head} and fields {u16 tag, u16 zero, u32 length, length bytes}, all in the
 * host's byte order (both ends are this machine). A number is a field of 8
 * bytes. Unknown tags are skipped and unknown kinds ignored, so that an agent
 * may be one version ahead of the shims it finds.
 *
 * The exit record is SHIM_RECORD_BYTES long, little-endian, with a crc32c, at the end of
 * the spool: the rename of `spool/NAME` to `spool/NAME.done` makes it valid.
 *
 * libc only: this file is compiled into the shim.
 */
#ifndef AGENT_SHIM_WIRE_H
#define AGENT_SHIM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	WIRE_VERSION = 1,
	WIRE_MAX_BYTES = 192 * 1024, /* one packet must fit the default socket buffer (208 KiB) */
	WIRE_MAX_ARGS = 4096,	     /* of argv, and of the environment */
	WIRE_MAX_MASKS = 256,
	WIRE_MIN_MASK = 4, /* a shorter secret would blank the log; it is not masked */
	WIRE_MAX_MASK = 8192,
	SHIM_NAME_MAX = 128,
	SHIM_RECORD_BYTES = 128,
};

enum wire_kind {
	/* agent -> shim */
	WIRE_RUN = 1,  /* starts the one thing this shim runs; refused while one runs */
	WIRE_DEADLINE, /* FENCE, DEADLINE: the lease now ends there */
	WIRE_SIGNAL,   /* FENCE, GRACE, REASON: TERM, after GRACE kill the tree */
	WIRE_WATCH,    /* FENCE, LENGTH: one GROWN as soon as the output is longer */
	WIRE_STATUS,   /* answered by STATE */
	WIRE_QUIT,     /* leave; refused while something runs */
	/* shim -> agent */
	WIRE_STATE = 64, /* also the first message on each connection */
	WIRE_GROWN,	 /* FENCE, LENGTH */
	WIRE_RESTARTED,	 /* FENCE, RESTARTS, RECORD of the run that ended: services */
	WIRE_EXITED,	 /* FENCE, RECORD; the spool is renamed (else UNWRITTEN is set) */
	WIRE_REFUSED,	 /* FENCE, KIND, STEP, ERRNO: a message that was not obeyed */
};

/* Old shims are met by new agents: a number is never given to another meaning, new ones go to the
 * end. */
enum wire_tag {
	WIRE_FENCE = 1,
	WIRE_NAME,   /* the file's name in spool/ */
	WIRE_EXEC,   /* the program's path */
	WIRE_ARG,    /* one of argv; repeated, in order */
	WIRE_ENV,    /* "K=V"; repeated */
	WIRE_DIR,    /* the working directory */
	WIRE_CGROUP, /* a cgroup v2 directory that is there */
	WIRE_MASK,   /* bytes to blank in the output; repeated */
	WIRE_UID,    /* absent: as the shim */
	WIRE_GID,
	WIRE_FLAGS,	  /* enum wire_flag */
	WIRE_DEADLINE_AT, /* CLOCK_BOOTTIME ms; absent or 0: none */
	WIRE_BUDGET,	  /* K, ms */
	WIRE_TIMEOUT,	  /* ms; absent or 0: none */
	WIRE_GRACE,	  /* ms */
	WIRE_LIMIT,	  /* bytes of output, 0: none; for a service the size of one segment */
	WIRE_FULL,	  /* ms that a full disk is waited for */
	WIRE_LENGTH,	  /* bytes of output; in RUN: where a service's output goes on */
	WIRE_REASON,	  /* enum shim_reason */
	WIRE_PID,	  /* of the shim */
	WIRE_JOB_PID,	  /* of what it runs, 0: nothing now */
	WIRE_PHASE,	  /* enum shim_phase */
	WIRE_RESTARTS,
	WIRE_RESTART_MAX,    /* so many restarts ... */
	WIRE_RESTART_WINDOW, /* ... in so many ms are a crash loop; 0: never */
	WIRE_BACKOFF_MIN,    /* ms */
	WIRE_BACKOFF_MAX,
	WIRE_HEALTHY, /* ms of life after which the back-off begins anew */
	WIRE_RECORD,  /* an encoded struct shim_record */
	WIRE_STEP,    /* enum shim_step */
	WIRE_ERRNO,
	WIRE_KIND,	/* of the message that this answers */
	WIRE_UNWRITTEN, /* 1: the record is only in the shim's memory, the disk is full */
	WIRE_RUNS,	/* how many this shim has started */
	WIRE_LEAVING,	/* 1: the shim ends after this message; the next run needs another */
	WIRE_DROPPED,	/* bytes of a service's output that found no room */
};

enum wire_flag {
	WIRE_FLAG_SERVICE = 1,
	WIRE_FLAG_NO_NEW_PRIVS = 2,
};

enum shim_phase {
	SHIM_IDLE,
	SHIM_RUNNING,
	SHIM_ENDING,	  /* killed, not empty yet; or the record finds no room on the disk */
	SHIM_BACKING_OFF, /* a service between two starts */
};

/* Why a run ended. The first cause counts: a job that exits 0 after the TERM of its
 * timeout ended by its timeout (its exit code is kept beside it). */
enum shim_reason {
	SHIM_NONE,
	SHIM_EXITED,	/* exit_code */
	SHIM_SIGNALLED, /* signal, not sent by us */
	SHIM_TIMEOUT,
	SHIM_LEASE, /* the deadline came: agent_lost */
	SHIM_CANCELLED,
	SHIM_STOPPED, /* the agent or the host goes down, or a service's stop */
	SHIM_PREEMPTED,
	SHIM_OUT_OF_MEMORY, /* its cgroup's memory.events says so */
	SHIM_NOT_STARTED,   /* step, errno_value */
	SHIM_LOG_LIMIT,
	SHIM_DISK_FULL,	 /* the spool found no room for WIRE_FULL ms */
	SHIM_CRASH_LOOP, /* a service; exit_code and signal are the last run's */
	SHIM_REASONS
};

/* Where starting failed. */
enum shim_step {
	STEP_NONE,
	STEP_BUSY,    /* something runs already */
	STEP_MESSAGE, /* the message does not parse or passes a limit */
	STEP_FENCE,   /* not the one that runs */
	STEP_LOCK,
	STEP_SOCKET,
	STEP_NAMESPACE,
	STEP_SPOOL, /* creating the spool; EEXIST: it was started before */
	STEP_PIPE,
	STEP_CLONE,
	STEP_CGROUP,
	STEP_GROUPS,
	STEP_GID,
	STEP_UID,
	STEP_DIR,
	STEP_EXEC,
	SHIM_STEPS
};

struct shim_record {
	uint64_t fence;
	uint64_t length;	      /* bytes of stream 0, the output */
	int64_t started_ms, ended_ms; /* wall */
	enum shim_reason reason;
	enum shim_step step;
	int exit_code; /* -1: it did not exit */
	int signal;    /* 0: none */
	int errno_value;
	uint32_t restarts;
	uint64_t user_us, system_us, max_rss_bytes; /* of what was waited for */
	uint64_t dropped;
};

void shim_record_encode(const struct shim_record *r, unsigned char ret[SHIM_RECORD_BYTES]);
/* False: not a record (magic, crc, or a value out of its range). */
bool shim_record_decode(const unsigned char in[SHIM_RECORD_BYTES], struct shim_record *ret);

const char *shim_reason_name(enum shim_reason reason); /* "timeout"; the protocol's words */
const char *shim_step_text(enum shim_step step);       /* "entering the directory" */

/* Writing: fields are added to a buffer of the caller's; too much sets `over`. */
struct wire_out {
	unsigned char *data;
	size_t len, cap;
	bool over;
};

void wire_begin(struct wire_out *out, void *data, size_t cap, enum wire_kind kind);
void wire_number(struct wire_out *out, enum wire_tag tag, uint64_t value);
void wire_bytes(struct wire_out *out, enum wire_tag tag, const void *data, size_t len);
void wire_string(struct wire_out *out, enum wire_tag tag, const char *s); /* NULL: nothing */
/* The packet's length, or 0 if it did not fit. */
size_t wire_end(struct wire_out *out);

/* Reading: a cursor over one packet, whose bytes it points into. */
struct wire_in {
	const unsigned char *data;
	size_t len, at;
	enum wire_kind kind;
	unsigned version;
};

struct wire_field {
	enum wire_tag tag;
	const unsigned char *data;
	size_t len;
};

/* -1: not a message of a version we know. */
int wire_open(struct wire_in *in, const void *data, size_t len);
/* 1 a field, 0 the end, -1 damaged. */
int wire_next(struct wire_in *in, struct wire_field *ret);
/* -1: not a number. */
int wire_field_number(const struct wire_field *f, uint64_t *ret);

uint32_t wire_crc32c(const void *data, size_t len);

#endif
