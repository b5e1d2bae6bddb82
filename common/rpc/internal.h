/*
 * internal.h - what the files of common/rpc share
 *
 *	init.c		the core: start, log lines, cipher suites
 *	queue.c		completion queue, io threads, timers
 *	codec.c		messages and errors <-> byte buffers, status and trailers
 *	call.c		a call of either side: batches, receiving, end;  call_send.c  sending
 *	client.c	channels, unary calls, streams;  words.c  what went wrong, for people
 *	server.c	start, stop, the table of methods;  accept.c  calls come in
 *	caller.c	who calls, guard;  worker.c  call threads;  session.c  sessions
 *	tls.c		credentials, rotation;  tls_fetch.c  the CA before it is known
 *	health.c reflection.c raw.c
 *
 * Locks: a call's, the server's, the queue's. They do not nest. Batches are started under the
 *call's.
 */
#ifndef RPC_INTERNAL_H
#define RPC_INTERNAL_H

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <stdatomic.h>
#include <uthash.h>

#include "base/list.h"
#include "base/thread.h"
#include "rpc/rpc.h"

/* TSan does not see inside the core: what goes in by a batch comes out by the queue. */
#if defined(__SANITIZE_THREAD__)
#define RPC_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RPC_TSAN 1
#endif
#endif
#ifdef RPC_TSAN
void __tsan_acquire(void *);
void __tsan_release(void *);
#define tsan_acquire(p) __tsan_acquire(p)
#define tsan_release(p) __tsan_release(p)
#else
#define tsan_acquire(p) ((void)(p))
#define tsan_release(p) ((void)(p))
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(RPC_TSAN)
enum { RPC_STACK = 1 << 20 };
#else
enum { RPC_STACK = 256 << 10 };
#endif

enum {
	RPC_MAX_LISTENERS = 4,
	RPC_MAX_IO_THREADS = 8,
	RPC_MAX_METADATA = 8 << 10,
	RPC_SEND_AHEAD = 256 << 10, /* bytes that rpc_send_more() leaves waiting */
};

/* ---- queue.c ---- */

/* What a completion queue hands back: a thing that knows what to do next. */
struct rpc_tag {
	void (*done)(struct rpc_tag *tag, bool ok);
};

struct rpc_timer {
	struct list link;
	int64_t due_ms;			       /* monotonic */
	void (*fire)(struct rpc_timer *timer); /* on an io thread; may set it again */
};

struct rpc_queue {
	grpc_completion_queue *cq;
	grpc_channel *tower; /* a lame channel, here only to hang the bell on */
	grpc_call *bell;     /* an empty batch on it wakes an io thread */
	struct rpc_tag rung;
	struct lock lock;   /* guards timers */
	struct list timers; /* soonest first */
	pthread_t io[RPC_MAX_IO_THREADS];
	unsigned n_io;
};

void queue_start(struct rpc_queue *q, unsigned io_threads);
void queue_stop(struct rpc_queue *q); /* drains, joins; timers that are set are forgotten */
void queue_set_timer(struct rpc_queue *q, struct rpc_timer *timer,
		     int64_t in_ms); /* once set: no change */
gpr_timespec rpc_in_ms(int64_t ms);  /* negative: never */

/* ---- codec.c ---- */

grpc_byte_buffer *codec_pack(const ProtobufCMessage *msg);
/* Unpacks and checks UTF-8; NULL with ERR_INVALID or ERR_EXHAUSTED. */
ProtobufCMessage *codec_unpack(const ProtobufCMessageDescriptor *type, grpc_byte_buffer *buf,
			       struct arena *arena, struct error *err);
grpc_status_code codec_status(enum error_code code);
enum error_code codec_code(grpc_status_code status);
/* The trailer for *err; slice_unref the value after the batch was started. */
grpc_metadata codec_trailer(const struct error *err);
/* From a trailer, or from status and text alone. Returns whether the trailer was there. */
bool codec_error(grpc_status_code status, grpc_slice details, const grpc_metadata_array *trailers,
		 struct error *err);

/* ---- call.c, call_send.c ---- */

struct rpc_out {
	struct rpc_out *next;
	grpc_byte_buffer *buf;
	size_t bytes;
};

struct rpc_call {
	atomic_uint refs;
	const struct rpc_limits *limits;
	const ProtobufCMessageDescriptor *in, *out; /* what is received, what is sent */
	struct rpc_server *server;		    /* NULL at a client */

	struct lock lock; /* guards what follows, to the next comment */
	struct signal changed;
	grpc_call *core; /* NULL once it is over and every batch is back */
	unsigned pins;	 /* batches in flight, and who else needs core */
	struct rpc_tag send, recv, end;
	struct rpc_out *first, **last; /* waiting to be sent */
	unsigned n_out;
	size_t out_bytes;
	uint64_t n_queued, n_sent; /* messages ever */
	grpc_byte_buffer *sending, *received;
	bool opened;		  /* initial metadata were sent */
	bool in_send, in_recv;	  /* a batch of this kind is in flight */
	bool arrived;		  /* one recv is back: received, or NULL for the end */
	bool at_end;		  /* nothing more comes */
	bool lost;		  /* and the peer did not mean it */
	bool finishing, finished; /* status or half-close: wanted, started */
	bool broken;		  /* a send failed */
	bool ended;		  /* the end tag is back */
	bool cancelled;		  /* by the peer, the network, or us */
	bool waking;
	struct error *why; /* the status to send; NULL: success */
	void (*wake)(void *arg);
	void *wake_arg;

	/* server */
	void (*notify)(struct rpc_call *call); /* after a recv or the end, without lock */
	struct rpc_port *port;
	const struct rpc_route *route;
	struct rpc_caller *caller;
	struct rpc_identity identity;
	struct list open, timed; /* in the server's lists, under its lock */
	int64_t due_ms;
	int64_t deadline_ms; /* boot clock */
	struct peer *peer;
	int was_cancelled;
	grpc_metadata_array initial;
	struct arena *arena, *inbox; /* the worker's at a server, own at a client */
	struct list runnable;	     /* session.c, under the server's lock */
	bool running, again;	     /* and these */
	bool began, open_ok, was_closed, counted;
	unsigned n_received; /* by a session */
	void *user;

	/* client */
	struct rpc_channel *channel;
	grpc_status_code status;
	grpc_slice details;
	grpc_metadata_array trailing;
	int timeout_ms;
	void *raw; /* raw.c: what a received tail points into */
};

struct rpc_call *call_new(void);
/* With the lock held: starts a batch under a tag of the call. */
void call_start_locked(struct rpc_call *c, const grpc_op *ops, size_t n, struct rpc_tag *tag);
void call_sent(struct rpc_tag *tag, bool ok); /* the send batch is back */
void call_drop_queue(struct rpc_call *c);
void call_enqueue_locked(struct rpc_call *c, grpc_byte_buffer *buf); /* takes buf */
void call_pump_locked(struct rpc_call *c); /* starts what can be sent now */
void call_want_locked(struct rpc_call *c); /* asks for one message, unless one is on its way */
/* Drops a pin; the last releases the core. */
void call_unpin(struct rpc_call *c);
void call_finish(struct rpc_call *c, const struct error *why); /* once; queued messages go first */
/* Waits for the next message: 1 with the buffer, 0 at a meant end, -1. */
int call_next(struct rpc_call *c, int ms, grpc_byte_buffer **ret, struct error *err);
/* Queues a packed message and waits for flow control; takes buf. */
int call_send(struct rpc_call *c, grpc_byte_buffer *buf, bool more, struct error *err);
/* Queues one without waiting; takes buf. */
int call_post(struct rpc_call *c, grpc_byte_buffer *buf, struct error *err);
struct arena *call_inbox(struct rpc_call *c); /* emptied */
void raw_release(struct rpc_call *c);
/* Does the message end in the bytes of this field? Then *ret_head bytes precede its tag, and its
 * value is the last *ret_len bytes. */
bool raw_split(const grpc_byte_buffer *buf, unsigned field, size_t *ret_head, size_t *ret_len);

/* ---- client.c, words.c ---- */

struct rpc_channel {
	grpc_channel *core;
	struct rpc_queue *queue;
	struct rpc_limits limits;
	char *address, *what, *server_name, *ca_pem, *cert_pem, *key_pem;
	int timeout_ms, wait_ready_ms;
	struct lock lock;    /* guards authorization */
	char *authorization; /* "Bearer ...", or NULL */
};

/* Fills *err from how the call ended. 0 when it ended well. */
int client_status(struct rpc_call *c, struct error *err);
/* Turns what the core says of a broken connection into a sentence for people. */
void words_for(const struct rpc_channel *ch, grpc_status_code status, const char *details,
	       int timeout_ms, struct error *err);

/* ---- server.c, accept.c ---- */

struct rpc_route {
	char *path; /* "/sluice.v1.Runs/Get" */
	const ProtobufCServiceDescriptor *service;
	const ProtobufCMethodDescriptor *descriptor;
	const struct rpc_method *method;
	void *self;
	UT_hash_handle hh;
};

struct rpc_slot { /* a standing request for the next call */
	struct rpc_tag tag;
	struct rpc_port *port;
	grpc_call *core;
	grpc_call_details details;
	grpc_metadata_array initial;
};

enum { RPC_SLOTS = 32 };

struct rpc_port { /* a listener */
	struct rpc_server *server;
	enum rpc_listener_kind kind;
	char *address, *cert, *key, *client_ca;
	grpc_server *core;
	struct tls_files *files;
	int port;
	unsigned sessions; /* open, under the server's lock */
	struct rpc_slot slots[RPC_SLOTS];
	struct rpc_tag shut;
};

struct peer { /* the open calls of one certificate's URI, or of one bearer token */
	char *uri;
	unsigned calls;
	UT_hash_handle hh;
};

struct rpc_health;

struct rpc_server {
	struct rpc_limits limits;
	struct rpc_port ports[RPC_MAX_LISTENERS];
	unsigned n_ports;
	struct rpc_queue queue;
	struct rpc_route *routes; /* by path; fixed from the start on */
	rpc_guard *guard;
	void *guard_self;
	struct rpc_health *health;
	struct lock lock; /* guards what follows */
	struct signal changed;
	struct list open;  /* every call that is not over */
	struct list timed; /* requests that are awaited, answers not taken yet; soonest due first */
	struct rpc_timer sweep;
	bool sweeping;
	struct peer *peers;
	unsigned n_open, n_timed, armed, shut;
	unsigned calls;	  /* handlers that run or are about to */
	struct list idle; /* workers */
	struct list gone; /* workers that left and were not joined */
	unsigned n_workers;
	struct list runnable; /* sessions with something to do */
	struct signal session_work;
	pthread_t session_threads[16];
	unsigned n_session_threads;
	bool started, stopping, stopped, quitting;
	uint64_t served, refused;
};

void accept_arm(struct rpc_port *port); /* all slots */
void accept_refuse(struct rpc_call *c,
		   const struct error *why); /* without a handler; keeps no pin */
void server_forget(struct rpc_call *c);	     /* the call is over */
void server_expect(struct rpc_call *c);	     /* it has request_timeout_ms from now */
void server_settle(struct rpc_call *c);	     /* it came in time */

/* ---- caller.c ---- */

/* The serial of the first certificate in a PEM text, upper-case hex; "" if there is none. */
enum { RPC_SERIAL_TEXT = 41 };
void caller_serial(const char *pem, size_t pem_len, char *ret);
void caller_free(struct rpc_call *c);
/* Counts against the peer's limit, then asks the guard. */
int caller_admit(struct rpc_call *c, struct error *err);

/* ---- worker.c, session.c ---- */

/* Takes over the call's pin; refuses the call when no handler is free. */
void worker_submit(struct rpc_call *c);
void workers_stop(struct rpc_server *s);
void session_schedule(struct rpc_call *c); /* something happened to it */
void sessions_start(struct rpc_server *s);
void sessions_stop(struct rpc_server *s);
bool call_is_session(const struct rpc_call *c);

/* ---- tls.c ---- */

/* Reads and checks the files of a listener; a sentence about what is wrong with them. */
grpc_server_credentials *tls_server_credentials(struct rpc_port *port, struct error *err);
void tls_files_free(struct tls_files *files);
grpc_channel_credentials *tls_channel_credentials(const struct rpc_endpoint *ep, struct error *err);
/* Why does a handshake with this endpoint fail? Tries one and says it in *err; 0 if it works. */
int tls_probe(const struct rpc_channel *ch, struct error *err);
/* "host:port" -> host on the heap ("[::1]" without brackets), port. */
int tls_split_address(const char *address, char **ret_host, char **ret_port, struct error *err);

/* ---- health.c, reflection.c ---- */

void health_init(struct rpc_server *s);
void health_all(struct rpc_server *s, bool serving);
void health_free(struct rpc_server *s);
void reflection_init(struct rpc_server *s);

#endif
